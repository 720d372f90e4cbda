"""How a stage has its calls to providers logged: one way for all.

    async with logged_call(ctx, "chat", provider=llm.name, model=model, messages=len(messages)) as call:
        response = await llm.complete(request)
        call.note(finish_reason=response.finish_reason, request_id=response.request_id)

The records go to the port `call_logger`, if the run has one. A logger watches: whatever it does, the call is made and
ends as it would without it. So each of its two methods runs in a task of its own, which has a second, and when that is
over, is cancelled, and has another one to stop; and a cancellation of the stage waits that long for the record of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from uuid import UUID
from weakref import WeakKeyDictionary

from stageflow.core.context import StageContext
from stageflow.core.timer import PipelineTimer
from stageflow.errors import ProviderError, StageflowError
from stageflow.events.secret_text import redacted_text
from stageflow.observability.call_logger import CallStatus, ProviderCallLogger
from stageflow.wording import class_name, shown, text_of, type_name, with_article

T = TypeVar("T")

LOG_SECONDS = 1.0
"""How long a logger may take over each of its methods, and then to stop."""

RECORD_LOST = "provider.call.record_lost"
"""The event that tells of a record which the logger did not take."""

logger = logging.getLogger(__name__)

_lost: WeakKeyDictionary[PipelineTimer, int] = WeakKeyDictionary()
"""By the clock of a run, of which each has its own, how many records of it were lost."""


def logged_call(
    ctx: StageContext, operation: str, /, *, provider: str, model: str | None = None, **details: float | str | None
) -> LoggedCall:
    """Return a context manager within which a call to a provider is made, and logged if the run has a `call_logger`.

    The call ends "ok" if the block does, "cancelled" if it was cancelled or closed, and else "error" with the error's
    `code`, or the name of its class if it has none. The error itself goes on; its text is not logged, since providers
    repeat in it what they were told.

    Args:
        ctx: The context of the stage that calls.
        operation: What is done: "chat", "transcribe", "synthesize".
        provider: The name of the provider.
        model: The model that is asked for; None for the provider's default.
        details: Sizes, counts and names, never content.

    Raises:
        TypeError: A detail is not a number, a string, a bool or None, or has the name of something else in a record; or
            one of the names is no string.
    """
    _check_names(operation=operation, provider=provider, model="" if model is None else model)
    _check_details(details, _START_FIELDS)
    return LoggedCall(ctx, operation, provider, model, details)


class LoggedCall:
    """A call to a provider while it is made; see `logged_call`."""

    __slots__ = ("_begun_ns", "_call_id", "_ctx", "_logger", "_noted", "_started")

    def __init__(
        self, ctx: StageContext, operation: str, provider: str, model: str | None, details: Mapping[str, Any]
    ) -> None:
        self._ctx = ctx
        self._logger: ProviderCallLogger | None = None
        self._started: dict[str, Any] = {"operation": operation, "provider": provider, "model": model, **details}
        self._noted: dict[str, Any] = {}
        self._call_id: list[UUID] = []
        self._begun_ns = 0

    def note(self, **details: float | str | None) -> None:
        """Add to what is logged when the call has ended: how it ended, what it used, never content.

        Raises:
            TypeError: As in `logged_call`.
        """
        _check_details(details, _END_FIELDS)
        self._noted.update(details)

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the call began, by the clock of the run."""
        return (self._ctx.timer.clock() - self._begun_ns) / 1e6

    async def __aenter__(self) -> Self:
        self._logger = self._logger_of_the_run()
        if self._logger is not None:
            cancelled = await self._log("start", self._start, self._call_id)
            if cancelled is not None:
                await self._end("cancelled", 0.0, {})
                raise cancelled
        self._begun_ns = self._ctx.timer.clock()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        status, told = _ending(error)
        cancelled = await self._end(status, self.elapsed_ms, told)
        if cancelled is not None and not isinstance(error, asyncio.CancelledError):
            raise cancelled  # rather than the error: it would be tried again, in a run that is ending

    def _logger_of_the_run(self) -> ProviderCallLogger | None:
        try:
            return getattr(self._ctx.ports, "call_logger", None)
        except Exception as error:  # noqa: BLE001 - a property of the application's may raise anything
            self._lose("start", _told(error))
            return None

    async def _start(self) -> UUID:
        ctx, log = self._ctx, cast("ProviderCallLogger", self._logger)
        run_id = ctx.snapshot.run_id.pipeline_run_id
        call_id: Any = await log.log_call_start(
            run_id=run_id, stage=ctx.stage_name, attempt=ctx.attempt, **self._started
        )
        if not isinstance(call_id, UUID):  # most likely a forgotten return: the ends of all calls would go to None
            raise TypeError(f"log_call_start returned {with_article(type_name(call_id))}, not a UUID")
        return call_id

    async def _end(
        self, status: CallStatus, duration_ms: float, told: Mapping[str, Any]
    ) -> asyncio.CancelledError | None:
        """Log the end of a call of which the start was logged; return a cancellation that came meanwhile."""
        if self._logger is None or not self._call_id:
            return None
        log, call_id, details = self._logger, self._call_id.pop(), {**self._noted, **told}
        return await self._log(
            "end", lambda: log.log_call_end(call_id, status=status, duration_ms=duration_ms, **details), []
        )

    async def _log(
        self, what: str, call: Callable[[], Coroutine[Any, Any, T]], kept: list[T]
    ) -> asyncio.CancelledError | None:
        """Call the logger, and put what it returns into `kept`; return a cancellation that came meanwhile."""
        loop = asyncio.get_running_loop()
        # Not by `create_task`: an eager task factory would run the logger inside of the stage.
        task = asyncio.Task(_keep(call, kept), loop=loop, name="stageflow call logger")
        cancelled = await _until_done(task, LOG_SECONDS)
        late = not task.done()
        if late:
            task.cancel(f"it took longer than {LOG_SECONDS:g} s")
            cancelled = await _until_done(task, LOG_SECONDS) or cancelled
        why = _failure(task, late)
        if why is not None:
            self._lose(what, why)
        return cancelled

    def _lose(self, what: str, why: str) -> None:
        """Tell that a record was lost: in an event, and once for each run in the log."""
        ctx = self._ctx
        lost = _lost[ctx.timer] = _lost.get(ctx.timer, 0) + 1
        operation, provider = self._started["operation"], self._started["provider"]
        told = {"operation": operation, "provider": provider, "record": what, "why": why, "lost": lost}
        if lost == 1:
            logger.warning(
                "Call logger %s lost the %s of a call (%s to %s, stage '%s'): %s. Further losses of this run are only "
                "counted, in its events '%s'.",
                "of the run" if self._logger is None else type(self._logger).__qualname__,
                what,
                operation,
                provider,
                ctx.stage_name,
                why,
                RECORD_LOST,
            )
        ctx.emit_event(RECORD_LOST, told)


_START_FIELDS = ("operation", "provider", "model", "run_id", "stage", "attempt")
_END_FIELDS = ("call_id", "status", "duration_ms", "error_code")


def _check_names(**names: Any) -> None:
    for name, value in names.items():
        if not isinstance(value, str):
            raise TypeError(f"The {name} of a logged call is a string, not {shown(value)}.")


def _check_details(details: Mapping[str, Any], taken: tuple[str, ...]) -> None:
    for name, value in details.items():
        if name in taken:
            raise TypeError(f"'{name}' of a logged call is not a detail: it is known without that.")
        if not isinstance(value, str | int | float | None):
            raise TypeError(f"'{name}' of a logged call is a number, a string, a bool or None, not {shown(value)}.")


def _ending(error: BaseException | None) -> tuple[CallStatus, dict[str, Any]]:
    if error is None:
        return "ok", {}
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "cancelled", {}
    code = error.code if isinstance(error, StageflowError) else class_name(type(error))
    known = {"http_status": error.status, "request_id": error.request_id} if isinstance(error, ProviderError) else {}
    return "error", {"error_code": code, **{name: value for name, value in known.items() if value is not None}}


async def _keep(call: Callable[[], Coroutine[Any, Any, T]], kept: list[T]) -> None:
    kept.append(await call())


async def _until_done(task: asyncio.Task[None], seconds: float) -> asyncio.CancelledError | None:
    """Wait for a task, for so long at most; return a cancellation that came meanwhile, which does not cut it short."""
    loop = asyncio.get_running_loop()
    cancelled, until = None, loop.time() + seconds
    while not task.done() and (left := until - loop.time()) > 0:
        try:
            await asyncio.wait({task}, timeout=left)
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
    return cancelled


def _failure(task: asyncio.Task[None], late: bool) -> str | None:
    """Return why the logger did not take a record, or None if it did."""
    took_longer = f"it took longer than {LOG_SECONDS:g} s"
    if not task.done():
        return f"{took_longer}, and did not stop when it was cancelled"
    if task.cancelled():
        return took_longer if late else "it raised CancelledError"
    error = task.exception()
    if error is not None:
        return took_longer if late else _told(error)
    return None


def _told(error: BaseException) -> str:
    return f"{type_name(error)}: {redacted_text(text_of(error))}"
