"""Which environment variables a module reads: found in its source, since nothing else declares them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple


class Variable(NamedTuple):
    """A read of an environment variable; `required` if it raises where there is none."""

    name: str
    required: bool
    path: str
    line: int


def variables_in(source: str, path: str) -> Iterator[Variable]:
    """Yield the environment variables that a module reads by a name that stands in it.

    Raises:
        SyntaxError: It is no Python.
    """
    tree = ast.parse(source)
    names = _names(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=owner, slice=key, ctx=ast.Load()) if _said(owner, names) == "os.environ":
                required = True
            case ast.Call(func=ast.Attribute(value=owner, attr="get"), args=[key, *_]) if (
                _said(owner, names) == "os.environ"
            ):
                required = False
            case ast.Call(func=function, args=[key, *_]) if _said(function, names) == "os.getenv":
                required = False
            case _:
                continue
        name = _text(key, tree)
        if name is not None:
            yield Variable(name, required, path, node.lineno)


def _names(tree: ast.Module) -> dict[str, str]:
    """Return what `os` and its parts are called in a module, each with its own name."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {each.asname or each.name: "os" for each in node.names if each.name == "os"}
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            names |= {each.asname or each.name: f"os.{each.name}" for each in node.names}
    return names


def _said(node: ast.expr, names: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and names.get(node.value.id) == "os":
        return f"os.{node.attr}"
    return None


def _text(node: ast.expr, tree: ast.Module) -> str | None:
    """Return the text that an expression is: a literal, or a constant at the top of the module."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        for statement in tree.body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))) if name == node.id:
                    return text
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(text))) if name == node.id:
                    return text
                case _:
                    continue
    return None
