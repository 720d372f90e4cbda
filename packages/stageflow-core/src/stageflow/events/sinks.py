"""Sinks that come with core, and the current sink."""

from __future__ import annotations

import logging
from contextvars import ContextVar, Token
from typing import Any

from stageflow.conformance import conforming
from stageflow.events.redaction import without_secrets
from stageflow.events.secret_text import redacted_text
from stageflow.protocols import EventSink

logger = logging.getLogger("stageflow.events")


class NoOpEventSink:
    """Takes every event and does nothing; a run that has it emits nothing at all."""

    async def emit(self, *, type: str, data: dict[str, Any] | None) -> None:
        return None

    def try_emit(self, *, type: str, data: dict[str, Any] | None) -> None:
        return None


class LoggingEventSink:
    """Writes every event to a logger, its fields as `extra` under `stageflow`.

    What comes from elsewhere than a run is written without secrets and bytes too; what is not JSON in it is told of.

    Args:
        logger: Where to; `stageflow.events` unless given.
        level: At what level, as in `logging`.
    """

    def __init__(self, logger: logging.Logger = logger, *, level: int = logging.INFO) -> None:
        self._logger = logger
        self._level = level

    async def emit(self, *, type: str, data: dict[str, Any] | None) -> None:
        self.try_emit(type=type, data=data)

    def try_emit(self, *, type: str, data: dict[str, Any] | None) -> None:
        if not self._logger.isEnabledFor(self._level):
            return
        type, fields = redacted_text(type), without_secrets(data or {})
        run, duration = fields.get("pipeline_run_id"), fields.get("duration_ms")
        took = f" in {duration:.1f} ms" if isinstance(duration, (int, float)) else ""
        self._logger.log(self._level, "%s%s (run %s)", type, took, run, extra={"stageflow": fields})


NO_SINK: EventSink = NoOpEventSink()

_current: ContextVar[EventSink | None] = ContextVar("stageflow_event_sink", default=None)


def check_sink(sink: Any) -> EventSink:
    """Return the sink if it is one.

    Raises:
        ProtocolMismatchError: It does not have the two methods, or not as they have to be.
    """
    if sink is NO_SINK:  # as a child of a run without a sink is given
        return NO_SINK
    return conforming(sink, EventSink, "The event sink")


def set_event_sink(sink: EventSink) -> Token[EventSink | None]:
    """Make this the sink of the runs started from here on in this context (a task and the tasks it makes)."""
    return _current.set(check_sink(sink))


def get_event_sink() -> EventSink:
    """Return the current sink; one that does nothing if none was set."""
    sink = _current.get()
    return NO_SINK if sink is None else sink  # by identity: a sink that is a container may be empty


def clear_event_sink() -> None:
    """Let the runs started from here on in this context have no sink, unless they are given one."""
    _current.set(None)
