"""What source code defines: modules, functions, classes, and the objects that are made of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from stageflow.lint.values import Context, External, Inputs, InputsMethod, Items, Record


class Scope:
    """Names and what they stand for; a name that is not here may be in the scope around it."""

    __slots__ = ("around", "names")

    def __init__(self, around: Scope | None = None, names: dict[str, Any] | None = None) -> None:
        self.around = around
        self.names: dict[str, Any] = {} if names is None else names

    def find(self, name: str) -> Any:
        """Return what a name stands for, or None if it is nowhere."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.around
        return None


class Module:
    """One file.

    Attributes:
        name: Its name as an import writes it; that of the file if it is in no package.
        path: Where it is, as it is shown.
        tree: What it says.
        scope: Its names, once it has been evaluated.
        state: How far its evaluation is.
    """

    __slots__ = ("_lines", "name", "path", "scope", "state", "text", "tree")

    def __init__(self, name: str, path: Path, text: str, tree: ast.Module) -> None:
        self.name = name
        self.path = path
        self.text = text
        self.tree = tree
        self.scope = Scope()
        self._lines: list[str] | None = None
        self.state: Literal["new", "waiting", "busy", "done"] = "new"

    def lines(self) -> list[str]:
        """Return the lines of the file."""
        if self._lines is None:
            self._lines = self.text.split("\n")
        return self._lines

    def imports(self) -> Iterator[ast.Import | ast.ImportFrom]:
        """Yield the imports that are made when the module is: those in functions and classes are left out."""
        waiting: list[ast.stmt] = list(reversed(self.tree.body))
        while waiting:
            node = waiting.pop()
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                yield node
            elif isinstance(node, (ast.If, ast.Try, ast.With)):
                waiting += (each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt))

    @property
    def package(self) -> str:
        """The package that its relative imports begin at."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


class Function:
    """A function, method or lambda, where it was defined."""

    __slots__ = ("module", "node", "owner", "scope")

    def __init__(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
        module: Module,
        scope: Scope,
        owner: ClassValue | None = None,
    ) -> None:
        self.node = node
        self.module = module
        self.scope = scope
        self.owner = owner

    @property
    def name(self) -> str:
        return "lambda" if isinstance(self.node, ast.Lambda) else self.node.name


class Property:
    """A method that is called when it is read."""

    __slots__ = ("function",)

    def __init__(self, function: Function) -> None:
        self.function = function


class Bound:
    """A method together with the object that it was read from."""

    __slots__ = ("function", "of")

    def __init__(self, function: Function, of: Any) -> None:
        self.function = function
        self.of = of


class ClassValue:
    """A class; `names` are those of its body, in a scope of its own."""

    __slots__ = ("bases", "module", "node", "scope")

    def __init__(self, node: ast.ClassDef, module: Module, scope: Scope, bases: list[Any]) -> None:
        self.node = node
        self.module = module
        self.scope = scope
        self.bases = bases

    @property
    def name(self) -> str:
        return self.node.name

    def line(self) -> Iterator[ClassValue]:
        """Yield the class and those it derives from, as far as they are known."""
        seen: set[int] = set()
        waiting: list[Any] = [self]
        while waiting:
            each = waiting.pop(0)
            if isinstance(each, ClassValue) and id(each.node) not in seen:
                seen.add(id(each.node))
                yield each
                waiting += each.bases

    def is_whole(self) -> bool:
        """Return whether everything that it derives from is known, but for what adds no fields."""
        return all(isinstance(base, ClassValue) or self._adds_no_fields(base) for base in self._all_bases())

    def derives_from(self, *names: str) -> bool:
        """Return whether one of its bases is an external class of one of these names, whatever its module."""
        return any(isinstance(base, External) and base.short in names for base in self._all_bases())

    def _all_bases(self) -> Iterator[Any]:
        return (base for each in self.line() for base in each.bases)

    @staticmethod
    def _adds_no_fields(base: Any) -> bool:
        return isinstance(base, External) and base.name in _WITHOUT_FIELDS

    def member(self, name: str, after: ClassValue | None = None) -> Any:
        """Return what a class has under a name, its bases included, or None; only those behind `after`, if given."""
        asked = after is None
        for each in self.line():
            if asked and name in each.scope.names:
                return each.scope.names[name]
            asked = asked or each.node is (None if after is None else after.node)
        return None

    def attribute_names(self) -> set[str]:
        """Return the names that its body and those of its bases bind."""
        return {name for each in self.line() for name in each.scope.names}

    def fields(self) -> dict[str, ast.AnnAssign]:
        """Return the fields that the body annotates, those of its bases first."""
        found: dict[str, ast.AnnAssign] = {}
        for each in reversed(list(self.line())):
            for node in each.node.body:
                if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                    continue
                if "ClassVar" not in ast.unparse(node.annotation):
                    found[node.target.id] = node
        return found


_WITHOUT_FIELDS = {
    "object",
    "typing.TypedDict",
    "typing_extensions.TypedDict",
    "typing.NamedTuple",
    "typing.Generic",
    "pydantic.BaseModel",
    "msgspec.Struct",
    "stageflow.TypedExtension",
}


class Instance:
    """An object of a known class, with those of its attributes that are known."""

    __slots__ = ("attributes", "kind")

    def __init__(self, kind: ClassValue, attributes: dict[str, Any]) -> None:
        self.kind = kind
        self.attributes = attributes


class Super:
    """What `super()` stands for: an object, and the class whose bases are asked."""

    __slots__ = ("after", "of")

    def __init__(self, of: Instance, after: ClassValue) -> None:
        self.of = of
        self.after = after


def carries_context(value: Any, deep: int = 3) -> bool:
    """Return whether a stage's context, or its inputs, can be reached from a value."""
    match value:
        case Context() | Inputs() | InputsMethod():
            return True
        case Items() if deep:
            return any(carries_context(each, deep - 1) for each, _ in value.pairs)
        case Record() if deep:
            return any(carries_context(each, deep - 1) for each in value.fields.values())
        case Instance() if deep:
            return any(carries_context(each, deep - 1) for each in value.attributes.values())
        case Bound() if deep:
            return carries_context(value.of, deep - 1)
        case _:
            return False
