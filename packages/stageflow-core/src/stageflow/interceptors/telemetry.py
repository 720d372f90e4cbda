"""What telemetry interceptors share: they only watch, and a fault of the telemetry is not a fault of the stage.

It is the one exception to failing closed. A tracer, a meter or a log handler that raises is told once in the log, and
from then on counted, as an event sink is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from stageflow.core.kinds import StageStatus
from stageflow.core.output import ErrorInfo, StageOutput
from stageflow.events.secret_text import redacted_text
from stageflow.interceptors.base import BaseInterceptor, InterceptorContext, Proceed
from stageflow.interceptors.outcome import told

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Ending:
    """How an attempt ended, as telemetry tells it.

    Attributes:
        status: Of the output; FAIL if the stage raised, CANCEL if it was cancelled.
        error: Why it failed, or None.
        duration_ms: How long it took, with the interceptors further in.
    """

    __slots__ = ("duration_ms", "error", "status")

    def __init__(self, status: StageStatus, error: ErrorInfo | None, duration_ms: float) -> None:
        self.status = status
        self.error = error
        self.duration_ms = duration_ms


class TelemetryInterceptor(BaseInterceptor):
    """Base of the interceptors that only watch: `begin` before what is inside, `end` after it, whatever comes of it.

    Attributes:
        lost: How often the telemetry raised.
    """

    only_watches = True

    def __init__(self) -> None:
        self.lost = 0

    def begin(self, ctx: InterceptorContext) -> Any:
        """Note that an attempt begins; what is returned comes back in `end`."""

    def end(self, ctx: InterceptorContext, begun: Any, ending: Ending) -> None:
        """Note how it ended; not called if `begin` raised."""

    async def around(self, ctx: InterceptorContext, call: Proceed) -> StageOutput[Any]:
        """Run what is inside between `begin` and `end`."""
        clock = ctx.stage.timer.clock
        begun = self._attempt(self.begin, ctx)
        started = clock()
        try:
            output = await call()
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            status, info = (StageStatus.CANCEL, None) if cancelled else (StageStatus.FAIL, ErrorInfo.of(error))
            self._end(ctx, begun, Ending(status, info, (clock() - started) / 1e6))
            raise
        self._end(ctx, begun, Ending(output.status, output.error, (clock() - started) / 1e6))
        return output

    def _end(self, ctx: InterceptorContext, begun: _Begun[Any] | None, ending: Ending) -> None:
        if begun is not None:
            self._attempt(self.end, ctx, begun.result, ending)

    def _attempt(self, report: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> _Begun[T] | None:
        try:
            return _Begun(report(*arguments, **named))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - it may raise anything, CancelledError too
            self.lost += 1
            if self.lost == 1:
                what = "Interceptor '%s' could not report: %s. Further losses are only counted, in its `lost`."
                logger.warning(what, self.name, redacted_text(told(error)))
            return None


class _Begun(Generic[T]):
    """What `begin` returned, which may be None."""

    __slots__ = ("result",)

    def __init__(self, result: T) -> None:
        self.result = result
