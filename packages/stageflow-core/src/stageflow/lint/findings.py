"""What lint finds, and the rules by which it does."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from stageflow.value import Value


class Rule(Value):
    """What lint looks for.

    Attributes:
        code: Its name.
        summary: What a finding of it says, in a sentence.
        help: Why that matters, and what to do.
    """

    __slots__ = ("code", "help", "summary")

    code: str
    summary: str
    help: str

    def __init__(self, code: str, summary: str, help: str) -> None:  # noqa: A002 - what SARIF calls it
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "summary", summary)
        object.__setattr__(self, "help", help)


_ALL = (
    Rule(
        "undeclared-read",
        "A stage reads another one that it does not declare as a dependency.",
        "The read raises UndeclaredDependencyError when the stage runs. Declare the dependency: "
        "`stageflow lint --fix` writes it.",
    ),
    Rule(
        "unused-dependency",
        "A stage declares a dependency and never reads it.",
        "It waits for nothing. Remove the dependency, or read it. Dependencies on stages of kind GUARD, ROUTE or WORK "
        "are never reported: they gate, or put in order.",
    ),
    Rule(
        "unknown-stage",
        "A stage names one that is not in its pipeline.",
        "The pipeline does not build, or the read raises. Correct the name, or add the stage.",
    ),
    Rule("cycle", "Stages depend on each other in a circle.", "The pipeline does not build. Remove one dependency."),
    Rule(
        "self-dependency",
        "A stage depends on itself.",
        "The pipeline does not build. What a stage knew earlier belongs in the snapshot.",
    ),
    Rule(
        "duplicate-stage",
        "Two stages of a pipeline have the same name, or a dependency is declared twice.",
        "The builder call raises DuplicateStageError. Give one of the stages another name.",
    ),
    Rule(
        "isolated-stage",
        "A stage is joined to no other stage of its pipeline.",
        "Nothing depends on it, and it depends on nothing: usually a dependency was forgotten.",
    ),
    Rule(
        "optional-read",
        "An optional dependency is read as if it were always there.",
        "It is absent if that stage failed or was skipped. Give a default, or ask `has_output` first.",
    ),
    Rule(
        "unknown-key",
        "A stage reads a key that the other one never returns.",
        "The read gives None, or raises MissingInputError. Correct the key.",
    ),
    Rule(
        "discarded-pipeline",
        "A builder call returns a new pipeline, and nobody keeps it.",
        "A Pipeline never changes. Assign what the call returns.",
    ),
)

RULES: Mapping[str, Rule] = MappingProxyType({rule.code: rule for rule in _ALL})
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
    """A dependency that is missing from a stage, for whoever writes it in.

    Attributes:
        place: The call whose keywords are the stage's options, or a decorator without parentheses.
        option: "dependencies", "optional" or "streams".
        stage: The name of the dependency.
        shape: What the option holds so far: "none", "one" name or handle, or "several".
    """

    __slots__ = ("option", "place", "shape", "stage")

    place: Place
    option: str
    stage: str
    shape: str

    def __init__(self, place: Place, option: str, stage: str, shape: str) -> None:
        object.__setattr__(self, "place", place)
        object.__setattr__(self, "option", option)
        object.__setattr__(self, "stage", stage)
        object.__setattr__(self, "shape", shape)


class Finding(Value):
    """One thing that is wrong.

    Attributes:
        rule: One of `RULES`.
        message: What is wrong, with the names of pipeline and stage.
        place: Where.
        write: The line to write, or what to do.
        stage, pipeline: Which ones, where they have names.
        about: The other stage, or `stage.key`, that it is about; empty if there is none.
        declaration: What `fix` would write, or None.
        obstacle: Why `fix` leaves it to a person, of what it otherwise would mend; else empty.
    """

    __slots__ = ("about", "declaration", "message", "obstacle", "pipeline", "place", "rule", "stage", "write")

    rule: str
    message: str
    place: Place
    write: str
    stage: str | None
    pipeline: str | None
    about: str
    declaration: Declaration | None
    obstacle: str

    def __init__(
        self,
        rule: str,
        message: str,
        place: Place,
        write: str,
        *,
        stage: str | None = None,
        pipeline: str | None = None,
        about: str = "",
        declaration: Declaration | None = None,
        obstacle: str = "",
    ) -> None:
        put: Any = object.__setattr__
        put(self, "rule", rule)
        put(self, "message", message)
        put(self, "place", place)
        put(self, "write", write)
        put(self, "stage", stage)
        put(self, "pipeline", pipeline)
        put(self, "about", about)
        put(self, "declaration", declaration)
        put(self, "obstacle", obstacle)
