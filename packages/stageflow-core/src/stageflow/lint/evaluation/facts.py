"""What a piece of code mentions, told without following it."""

from __future__ import annotations

import ast
from collections.abc import Iterable

_BUILDERS = frozenset({"Pipeline", "stage", "with_stage", "from_stages", "compose", "StageSpec"})


class Facts:
    """What is to be known of a piece of code before it is followed.

    Attributes:
        builds: Whether it names anything that makes stages or pipelines.
        assigned: The names that it binds, those of functions in it included.
        attributes: The names of the attributes that it sets.
        used: The names that it reads.
        suspends: Whether it may ask for a decision.
    """

    __slots__ = ("assigned", "attributes", "builds", "suspends", "used")

    def __init__(self, nodes: Iterable[ast.AST]) -> None:
        self.builds = False
        self.assigned: set[str] = set()
        self.attributes: set[str] = set()
        self.used: set[str] = set()
        self.suspends = False
        for root in nodes:
            for node in ast.walk(root):
                self._note(node)

    def _note(self, node: ast.AST) -> None:
        match node:
            case ast.Name(ctx=ast.Load()):
                self.used.add(node.id)
                self.builds = self.builds or node.id in _BUILDERS
            case ast.Name():
                self.assigned.add(node.id)
            case ast.Attribute():
                self.builds = self.builds or node.attr in _BUILDERS
                self.suspends = self.suspends or node.attr == "suspend"
                if not isinstance(node.ctx, ast.Load):
                    self.attributes.add(node.attr)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self.assigned.add(node.name)
            case _:
                pass


def is_generator(function: ast.AST) -> bool:
    """Return whether a function yields, those within it left out."""
    waiting: list[ast.AST] = [] if isinstance(function, ast.Lambda) else list(getattr(function, "body", ()))
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)
    return False


def is_stub(function: ast.AST) -> bool:
    """Return whether a function is only there to be written: it has no body, or raises whatever it is given."""
    body = getattr(function, "body", ())
    return not isinstance(function, ast.Lambda) and all(
        isinstance(each, (ast.Pass, ast.Raise)) or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
        for each in body
    )
