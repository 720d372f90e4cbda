"""What has come of an attempt, on its way out through the layers."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from stageflow.core.inputs import Stored
from stageflow.core.kinds import StageStatus
from stageflow.core.output import PlainOutput, StageOutput, plain
from stageflow.errors import InterceptorError, StageReturnedFailure
from stageflow.events.secret_text import redacted_text
from stageflow.frozen import FrozenDict
from stageflow.wording import text_of, type_name

logger = logging.getLogger(__name__)


class RetryRequested(Exception):
    """Leaves the chain in place of a failure that an `on_error` wants retried.

    Attributes:
        error: The failure, as `on_error` saw it.
        output: The output that the stage failed with, if it returned one: the outcome if there is no further attempt.
    """

    def __init__(self, error: BaseException, output: StageOutput[Any] | None) -> None:
        super().__init__(error, output)
        self.error = error
        self.output = output

    def outcome(self) -> StageOutput[Any]:
        """Return or raise what the stage failed with: what has come of it if there is no further attempt."""
        if self.output is None:
            raise self.error
        return self.output


class Outcome:
    """What has come of an attempt: an outcome to store, or an error, or for a returned failure both.

    Attributes:
        stored: None if the attempt raised.
        error: What `on_error` sees; None if the attempt did not fail.
        retry: Whether an `on_error` wants it retried.
    """

    __slots__ = ("error", "retry", "stored")

    def __init__(self, stage: str, stored: Stored = None, error: BaseException | None = None) -> None:
        self.stored = stored
        self.error = error
        self.retry = False
        if type(stored) is not FrozenDict and stored is not None:
            output = cast("StageOutput[Any]", stored)
            if output.status is StageStatus.FAIL:
                self.error = exception_of(stage, output)

    @property
    def sealed(self) -> bool:
        """Whether an interceptor broke, so that nothing may be returned in place of the failure."""
        return isinstance(self.error, InterceptorError) and self.stored is None

    @property
    def passing(self) -> bool:
        """Whether it is a cancellation, which no interceptor decides on."""
        return isinstance(self.error, asyncio.CancelledError)

    def deliver(self) -> Stored:
        """Return what is to be stored, or raise, as `Chain.call` does; nothing is left in here then.

        Raises:
            RetryRequested: An `on_error` wants another attempt.
            BaseException: The attempt raised.
        """
        stored, error = self.stored, self.error
        self.stored = self.error = None  # else the error holds the frames that hold it
        try:
            if self.retry and error is not None:
                raise RetryRequested(error, None if stored is None else output_of(stored))
            if stored is not None or error is None:
                return stored
            raise error
        finally:
            del error

    def replace(self, other: Outcome) -> None:
        """Let that be the outcome."""
        self.stored, self.error, self.retry = other.stored, other.error, False

    def break_by(self, flaw: BaseException) -> None:
        """Let what is wrong with a hook be the outcome; of several broken interceptors the first one stands."""
        if self.sealed and isinstance(flaw, InterceptorError):
            assert self.error is not None
            note = f"Then this happened: {type_name(flaw)}: {flaw}"
            self.error.add_note(note)
            logger.warning("%s", redacted_text(f"{self.error} {note}"))
            return
        # What it hides is told in the traceback, as Python does for an error within an `except`.
        innermost = flaw if flaw.__cause__ is None else flaw.__cause__
        if innermost is not self.error and innermost.__context__ is None:
            innermost.__context__ = self.error
        self.stored, self.error, self.retry = None, flaw, False


def stored_of(output: StageOutput[Any]) -> Stored:
    """Return what a run stores for an output: the data alone where that says it all."""
    if type(output) is PlainOutput and type(output.data) is FrozenDict:
        return cast("FrozenDict[str, Any]", output.data)
    return output


def output_of(stored: Stored) -> StageOutput[Any]:
    """Return the StageOutput of what a run stores."""
    return plain(stored) if isinstance(stored, FrozenDict) else cast("StageOutput[Any]", stored)


def exception_of(stage: str, output: StageOutput[Any]) -> BaseException:
    """Return the exception that a failed output was made of, or one that tells of it."""
    error = output.error
    if error is not None and error.exception is not None:
        return error.exception
    return StageReturnedFailure(stage, "without a reason" if error is None else error.message, output=output)


def told(error: BaseException) -> str:
    """Return what a message says of an exception: its type and its text."""
    text = text_of(error)
    return f"{type_name(error)}: {text}" if text else type_name(error)
