"""What source code is known to say without being run: the values of an abstract evaluation.

Whatever is not known is UNKNOWN, and nothing is concluded from it.
"""

from __future__ import annotations

import ast
from typing import Any


class Unknown:
    """What the source does not tell."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()

OURS = frozenset({"stageflow"})
"""What is known without looking: the names of core itself."""


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
    """A dict by its keys that are texts, and where it is written; `complete` is False if there may be more."""

    __slots__ = ("complete", "fields", "node")

    def __init__(self, fields: dict[str, Any], complete: bool = True, node: ast.AST | None = None) -> None:
        self.fields = fields
        self.complete = complete
        self.node = node


class External:
    """Something of a module that is not looked into, by its whole name: `stageflow.Pipeline`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def short(self) -> str:
        """The last part of its name."""
        return self.name.rpartition(".")[2]


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


class Output:
    """A `StageOutput`: with what it was made by, and what is known of its data."""

    __slots__ = ("data", "made_by")

    def __init__(self, made_by: str, data: Any) -> None:
        self.made_by = made_by
        self.data = data


class Context:
    """The StageContext of the stage whose code is looked at: there is only one at a time, `CONTEXT`."""

    __slots__ = ()


class Inputs:
    """Its `inputs`: `INPUTS`."""

    __slots__ = ()


CONTEXT = Context()
INPUTS = Inputs()


class InputsMethod:
    """One of the methods of its `inputs`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class UpstreamData:
    """The data of another stage."""

    __slots__ = ("stage",)

    def __init__(self, stage: str) -> None:
        self.stage = stage


class UpstreamOutput:
    """The output of another stage."""

    __slots__ = ("stage",)

    def __init__(self, stage: str) -> None:
        self.stage = stage


class Answer:
    """What a read gave, which the code may look at before it uses it: `read` is told."""

    __slots__ = ("read",)

    def __init__(self, read: Any) -> None:
        self.read = read
