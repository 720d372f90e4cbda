"""What lint finds, and the rules by which it does."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from stageflow.value import Value

RULES: Mapping[str, str] = MappingProxyType(
    {
        "undeclared-read": "A stage reads another one that it does not declare as a dependency.",
        "unused-dependency": "A stage declares a dependency and never reads it.",
        "unknown-stage": "A stage names one that is not in its pipeline.",
        "cycle": "Stages depend on each other in a circle.",
        "self-dependency": "A stage depends on itself.",
        "duplicate-stage": "Two stages of a pipeline have the same name, or a dependency is declared twice.",
        "isolated-stage": "A stage is joined to no other stage of its pipeline.",
        "optional-read": "An optional dependency is read as if it were always there.",
        "unknown-key": "A stage reads a key that the other one never returns.",
        "discarded-pipeline": "A builder call returns a new pipeline, and nobody keeps it.",
    }
)
"""Each rule, by its code."""


class Place(Value):
    """Where something stands: lines and columns count from 1, `end` is behind the last character."""

    __slots__ = ("column", "end_column", "end_line", "line", "path")

    path: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __init__(self, path: str, line: int, column: int, end_line: int, end_column: int) -> None:
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "line", line)
        object.__setattr__(self, "column", column)
        object.__setattr__(self, "end_line", end_line)
        object.__setattr__(self, "end_column", end_column)


class Declaration(Value):
    """A dependency that is missing from a stage, for whoever writes it in: `lint --fix`.

    Attributes:
        place: The call or the function that makes the stage.
        option: "dependencies" or "streams".
        stage: The name of the dependency.
    """

    __slots__ = ("option", "place", "stage")

    place: Place
    option: str
    stage: str

    def __init__(self, place: Place, option: str, stage: str) -> None:
        object.__setattr__(self, "place", place)
        object.__setattr__(self, "option", option)
        object.__setattr__(self, "stage", stage)


class Finding(Value):
    """One thing that is wrong.

    Attributes:
        rule: One of `RULES`.
        message: What is wrong, with the names of pipeline and stage.
        place: Where.
        write: The line to write, or what to do.
        stage, pipeline: Which ones, where they have names.
        declaration: What `--fix` would write.
    """

    __slots__ = ("declaration", "message", "pipeline", "place", "rule", "stage", "write")

    rule: str
    message: str
    place: Place
    write: str
    stage: str | None
    pipeline: str | None
    declaration: Declaration | None

    def __init__(
        self,
        rule: str,
        message: str,
        place: Place,
        write: str,
        stage: str | None = None,
        pipeline: str | None = None,
        declaration: Declaration | None = None,
    ) -> None:
        put: Any = object.__setattr__
        put(self, "rule", rule)
        put(self, "message", message)
        put(self, "place", place)
        put(self, "write", write)
        put(self, "stage", stage)
        put(self, "pipeline", pipeline)
        put(self, "declaration", declaration)
