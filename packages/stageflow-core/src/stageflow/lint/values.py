"""What source code is known to say without being run: the values of an abstract evaluation.

Whatever is not known is UNKNOWN, and nothing is concluded from it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal


class Unknown:
    """What the source does not tell."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()


class Constant:
    """A text, a number, True, False or None."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Items:
    """A tuple, list or set, with the node of each item.

    `complete` is False if there may be more; `several` is True if it holds what either of two branches would add.
    """

    __slots__ = ("complete", "pairs", "several")

    def __init__(self, pairs: list[tuple[Any, ast.AST]], complete: bool = True) -> None:
        self.pairs = pairs
        self.complete = complete
        self.several = False


class Record:
    """A dict by its keys that are texts; `complete` is False if there may be more."""

    __slots__ = ("complete", "fields")

    def __init__(self, fields: dict[str, Any], complete: bool = True) -> None:
        self.fields = fields
        self.complete = complete


class External:
    """Something of a module that is not looked into, by its whole name: `stageflow.Pipeline`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Imported:
    """A name that was imported, and is looked up once somebody uses it."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class ModuleValue:
    """A module that was imported, by its whole name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


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

    def copy(self) -> Scope:
        """Return a scope with the same names, in the same scope."""
        return Scope(self.around, dict(self.names))


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
        self.state: Literal["new", "busy", "done"] = "new"

    def lines(self) -> list[str]:
        """Return the lines of the file."""
        if self._lines is None:
            self._lines = self.text.splitlines()
        return self._lines

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
        return all(
            isinstance(base, ClassValue) or (isinstance(base, External) and base.name in _WITHOUT_FIELDS)
            for each in self.line()
            for base in each.bases
        )

    def member(self, name: str) -> Any:
        """Return what a class has under a name, its bases included, or None."""
        for each in self.line():
            if name in each.scope.names:
                return each.scope.names[name]
        return None

    def fields(self) -> dict[str, ast.AnnAssign]:
        """Return the fields that the body annotates, those of its bases first."""
        found: dict[str, ast.AnnAssign] = {}
        for each in reversed(list(self.line())):
            for node in each.node.body:
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
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


class Output:
    """A `StageOutput`: with what it was made by, and what is known of its data."""

    __slots__ = ("data", "made_by")

    def __init__(self, made_by: str, data: Any) -> None:
        self.made_by = made_by
        self.data = data


class Context:
    """The StageContext of the stage whose code is looked at."""

    __slots__ = ()


class Inputs:
    """Its `inputs`."""

    __slots__ = ()


class InputsMethod:
    """One of the methods of its `inputs`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class UpstreamData:
    """The data of another stage, as a parameter reads it."""

    __slots__ = ("stage",)

    def __init__(self, stage: str) -> None:
        self.stage = stage


class Decorator:
    """What `stage(...)` returns where it was given no function yet: its options."""

    __slots__ = ("call",)

    def __init__(self, call: ast.Call) -> None:
        self.call = call


class Named:
    """A dependency as it was declared: its name, None if that is not known, and where it stands."""

    __slots__ = ("name", "node")

    def __init__(self, name: str | None, node: ast.AST) -> None:
        self.name = name
        self.node = node


class StageModel:
    """A stage as the source declares it.

    Attributes:
        name: None if it is not known.
        runner: Function, ClassValue, Instance or UNKNOWN.
        kind: The name of its kind, such as "GUARD"; None if it is not known.
        required, optional, streams: What is declared by options; what a function's parameters say comes on top.
        whole: Whether all that is declared is known.
        node, module: The call or the function that makes it.
        when: What is given as `when`, or None.
        routers, source: The stages of `route=` and `map_over=`.
        call: The call whose keywords are its options, or None for a bare decorator.
    """

    __slots__ = (
        "call",
        "join_any",
        "kind",
        "module",
        "name",
        "node",
        "optional",
        "required",
        "routers",
        "runner",
        "source",
        "streams",
        "when",
        "whole",
    )

    def __init__(self, name: str | None, runner: Any, node: ast.AST, module: Module, call: ast.Call | None) -> None:
        self.name = name
        self.runner = runner
        self.node = node
        self.module = module
        self.call = call
        self.kind: str | None = None
        self.required: list[Named] = []
        self.optional: list[Named] = []
        self.streams: list[Named] = []
        self.routers: list[Named] = []
        self.source: Named | None = None
        self.when: Any = None
        self.whole = True
        self.join_any = False

    def renamed(self, name: str | None, node: ast.AST, module: Module) -> StageModel:
        """Return the same stage under another name."""
        other = StageModel(name, self.runner, node, module, self.call)
        for slot in ("kind", "required", "optional", "streams", "routers", "source", "when", "whole", "join_any"):
            setattr(other, slot, getattr(self, slot))
        return other


class PipelineModel:
    """A pipeline as the source builds it.

    Attributes:
        name: None if it is not known.
        stages: Those that are known.
        complete: Whether these are all.
        extensions: How many others were made of it, and kept: then it need not be whole by itself.
        base: The one that it was made of by one more stage, or None.
        used: Whether it is built or run as it is.
        several: Whether it is what either of two branches of the code would make.
        node, module: Where it is made.
    """

    __slots__ = ("base", "complete", "extensions", "module", "name", "node", "several", "stages", "used")

    def __init__(
        self, name: str | None, stages: list[StageModel], complete: bool, node: ast.AST, module: Module
    ) -> None:
        self.name = name
        self.stages = stages
        self.complete = complete
        self.node = node
        self.module = module
        self.extensions = 0
        self.base: PipelineModel | None = None
        self.used = False
        self.several = False
