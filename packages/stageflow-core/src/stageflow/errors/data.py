"""What goes wrong with data that goes in, is shared or is written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Generator

from stageflow.errors.base import StageflowError
from stageflow.errors.stage import amiss
from stageflow.wording import type_name, with_article


class InputContractError(StageflowError, TypeError):
    """A run was given an input that is not of the type that its pipeline takes: `Pipeline(input=Type)`.

    The attributes are those of StageContractError, with `pipeline` instead of `stage`.
    """

    code = "input-contract"

    def __init__(
        self, pipeline: str, *, contract: str, given: str, path: str, expected: str, found: str, hint: str | None
    ) -> None:
        super().__init__(f"The input of pipeline '{pipeline}' is {amiss(given, path, expected, found)}", hint=hint)
        self.pipeline = pipeline
        self.contract = contract
        self.path = path
        self.expected = expected
        self.found = found


class NotCopyableError(StageflowError, TypeError):
    """A value that several stages read can be neither frozen nor copied.

    `path` leads to the place, `kind` is the name of its type, `why` says what stands in the way.
    """

    code = "not-copyable"

    def __init__(self, path: str, value: object, *, why: str | None = None) -> None:
        self.path = path
        self.kind = type_name(value)
        self.why = why or f"is {with_article(self.kind)}, which cannot be copied"
        if isinstance(value, Awaitable):
            hint = "Await it first: an `await` seems to be missing."
        elif isinstance(value, (AsyncGenerator, Generator)):
            hint = "Let the stage itself `yield` them: it then streams, and map_over='its name' takes them as items."
        else:
            hint = "What stages share is frozen or copied for them"
            hint += ": make it flatter." if why else "; live objects (clients, locks, connections) belong in ports."
        super().__init__(f"{path} {self.why}.", hint=hint)


class ResultMismatchError(StageflowError, TypeError):
    """The output of a stage does not hold what a typed result of `stageflow.results` holds.

    Attributes:
        result: The name of the typed result.
        kind: The kind of stage that it is for.
        path: Where in the data: `$.route`, or `$` for the output itself.
        expected: What should be there.
        found: What is there.
    """

    code = "result-mismatch"

    def __init__(
        self, result: str, kind: str, *, path: str, expected: str, found: str, hint: str | None = None
    ) -> None:
        super().__init__(
            f"The output is not a {result}, as a {kind} stage may return it: {path} is {found}; expected {expected}.",
            hint=hint,
        )
        self.result = result
        self.kind = kind
        self.path = path
        self.expected = expected
        self.found = found


class SerializationError(StageflowError, ValueError):
    """Data cannot be written as JSON, or what was read is malformed.

    `path` leads to the place, as in `$.metadata.user`.
    """

    code = "serialization"

    def __init__(self, path: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(f"{path}: {problem}", hint=hint)
        self.path = path
        self.problem = problem


class SchemaVersionError(SerializationError):
    """The data was written by a newer Stageflow than this one."""

    code = "schema-version"

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            "$.schema_version",
            f"this data has version {found}, and this Stageflow reads up to version {known}.",
            hint="Upgrade stageflow-core here.",
        )
        self.found = found
        self.known = known
