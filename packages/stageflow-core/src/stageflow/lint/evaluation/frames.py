"""What the parts of the evaluation know of each other."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, Protocol

from stageflow.lint.definitions import ClassValue, Function, Instance, Module, Scope
from stageflow.lint.evaluation.facts import Facts
from stageflow.lint.models import PipelineModel
from stageflow.lint.modules import Modules


class Loop:
    """One round of a loop, while it is being followed.

    Attributes:
        scope: Where its names are.
        changed: Those that it may change.
        branching: In how many branches the loop itself is.
        ways: What the names stand for wherever the code may leave the round before its end.
        ends: Whether the code may, or certainly does, leave the loop.
    """

    __slots__ = ("branching", "changed", "ends", "scope", "ways")

    def __init__(self, scope: Scope, changed: AbstractSet[str], branching: int) -> None:
        self.scope = scope
        self.changed = changed
        self.branching = branching
        self.ways: list[dict[str, Any]] = []
        self.ends: Literal["no", "maybe", "certainly"] = "no"


class Frame:
    """One function, or the body of a module or a class, while it is being followed.

    Attributes:
        module, scope: Where its names are found; the scope is that of the branch which is being followed.
        function, subject: The function, and the object that its method was called of.
        returned, yielded: What it gave, and where.
        maybe_more: Whether some of what it yields may be missing, or too much.
        loops: The rounds of the loops around.
    """

    __slots__ = ("function", "loops", "maybe_more", "module", "returned", "scope", "subject", "yielded")

    def __init__(
        self, module: Module, scope: Scope, function: Function | None = None, subject: Instance | None = None
    ) -> None:
        self.module = module
        self.scope = scope
        self.function = function
        self.subject = subject
        self.returned: list[Any] = []
        self.yielded: list[tuple[Any, ast.AST]] = []
        self.maybe_more = False
        self.loops: list[Loop] = []


class Builder(Protocol):
    """Makes pipelines and stages of the calls that make them."""

    def call(self, frame: Frame, node: ast.Call, function: Any, receiver: Any) -> Any:
        """Return what a call makes if it is one of a builder, else None."""
        ...

    def decorate(self, frame: Frame, decorator: ast.expr, node: ast.AST, function: Function) -> Any:
        """Return the stage that `@stage` makes of a function."""
        ...

    def either(self, one: PipelineModel, other: PipelineModel) -> PipelineModel:
        """Return the pipeline that stands for either of two."""
        ...

    def opened(self, pipeline: PipelineModel) -> PipelineModel:
        """Return the pipeline that stands for one with any stages more."""
        ...

    def given(self, node: ast.AST, module: Module) -> PipelineModel:
        """Return the pipeline that a parameter stands for."""
        ...

    def discarded(self, frame: Frame, node: ast.Call, value: Any) -> None:
        """Note a statement that is nothing but a call."""
        ...


class Reader(Protocol):
    """Is told what the code of a stage does with its context."""

    def read(self, frame: Frame, method: str, node: ast.Call) -> Any: ...

    def key(self, frame: Frame, stage: str, key: str, node: ast.AST) -> None: ...

    def tested(self, value: Any) -> None:
        """Note that the code asks whether there is anything."""
        ...

    def escaped(self) -> None:
        """Note that the context, or the inputs, went where they are not followed."""
        ...


class Evaluation(Protocol):
    """What follows code: the parts call each other through it.

    Attributes:
        branching: In how many branches the code is that may not be taken.
        trying: In how many `try` blocks whose errors are caught.
        expecting: In how many `with` blocks that expect an error.
    """

    modules: Modules
    builder: Builder
    reader: Reader | None
    branching: int
    trying: int
    expecting: int

    def block(self, frame: Frame, body: Sequence[ast.stmt]) -> bool:
        """Follow statements; return whether the code certainly leaves the block before its end."""
        ...

    def value(self, frame: Frame, node: ast.expr) -> Any:
        """Return what an expression stands for."""
        ...

    def attribute(self, owner: Any, name: str) -> Any:
        """Return what an attribute stands for."""
        ...

    def called(self, function: Function, arguments: list[Any], named: dict[str, Any], *, generic: bool = False) -> Any:
        """Return what a call of a function gives; where it is `generic`, its arguments are not known."""
        ...

    def instance(self, kind: ClassValue, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Return an object of a class, with what its constructor puts into it."""
        ...

    def either(self, values: Sequence[Any]) -> Any:
        """Return what stands for any of several values; None is a name that is not set."""
        ...

    def let_go(self, *values: Any) -> None:
        """Note that values went where they are not followed."""
        ...

    def tested(self, value: Any) -> bool | None:
        """Return whether a value is true, as far as that is known, and note that the code asks."""
        ...

    def looked_up(self, value: Any) -> Any:
        """Return what a value stands for, if it is a name that was imported."""
        ...

    def all_of(self, module_name: str) -> dict[str, Any]:
        """Return the public names of a module."""
        ...

    def defined(self, function: Function) -> None:
        """Note that a function was defined."""
        ...

    def facts(self, node: ast.AST) -> Facts:
        """Return what is to be known of a piece of code before it is followed."""
        ...

    def may_repeat(self) -> bool:
        """Return whether code may be followed once more than it is long."""
        ...
