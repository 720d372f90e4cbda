"""How a run's events reach its sink and its readers.

One emitter belongs to one run and lives as long. It numbers the events and fills each from a template of the run's ids,
so that an event costs a copy of a dict. A sink is trusted with nothing: what it raises is counted and logged once, what
it holds up at the end of the run is cut off by a time limit. Everything that an event says beyond names and numbers of
the run's own goes through `redacted` here, so that no sink and no reader meets a secret or bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from stageflow.context.identity import RunIdentity
from stageflow.events.delivery import deliver, in_words
from stageflow.events.event import PipelineEvent
from stageflow.events.redaction import redacted, without_secrets
from stageflow.events.secret_text import redacted_text
from stageflow.frozen import freeze_mapping
from stageflow.protocols import EventSink
from stageflow.serialization import as_object
from stageflow.wording import type_name, with_article

logger = logging.getLogger(__name__)

TERMINAL_EMIT_TIMEOUT = 5.0
"""Seconds that a sink may take over the last event of a run."""


class Emitter:
    """Numbers and delivers the events of one run.

    Attributes:
        sink: Where events go, or None if only readers listen.
        lost: How many events the sink dropped, refused or did not finish.
    """

    __slots__ = (
        "_changed",
        "_finished",
        "_id_prefix",
        "_log",
        "_now",
        "_reported",
        "_template",
        "lost",
        "sequence",
        "sink",
    )

    def __init__(
        self,
        identity: RunIdentity,
        sink: EventSink | None,
        now: Callable[[], float],
        parent_run_id: str | None = None,
    ) -> None:
        self.sink = sink
        self.sequence = 0
        self.lost = 0
        self._log: list[PipelineEvent] | None = None
        self._changed: list[asyncio.Future[None]] = []
        self._finished = False
        self._id_prefix = f"{identity.pipeline_run_id}-"
        self._reported = False
        self._now = now
        self._template: dict[str, Any] = {
            "event_id": None,
            "event_type": None,
            "timestamp": None,
            "sequence": None,
            "pipeline_run_id": identity.pipeline_run_id,
            "parent_run_id": parent_run_id,
            "request_id": redacted_id(identity.request_id),
            "session_id": redacted_id(identity.session_id),
            "user_id": redacted_id(identity.user_id),
            "org_id": redacted_id(identity.org_id),
            "stage": None,
            "status": None,
            "attempt": None,
            "duration_ms": None,
            "data": None,
        }

    def emit(
        self,
        event_type: str,
        *,
        stage: str | None = None,
        status: str | None = None,
        attempt: int | None = None,
        duration_ms: float | None = None,
        data: Mapping[str, Any] | None = None,
        plain: dict[str, Any] | None = None,
    ) -> None:
        """Deliver an event at once; nothing that the sink does or the data holds reaches the caller.

        `plain` is data that has been through `redacted`, to be given instead of `data`.
        """
        if data is not None:
            plain = without_secrets(data)
            if not event_type.startswith(("stage.", "pipeline.")):  # a stage's own, given with its output
                event_type = redacted_text(event_type)
        if self._finished:  # by a stage that its run has left behind: the run's last event stays the last
            logger.warning(
                "Event '%s' of stage '%s' came after the end of its run, and was dropped.", event_type, stage
            )
            return
        event = self._event(event_type, stage, status, attempt, duration_ms, plain)
        if self.sink is not None:
            try:
                if self.sink.try_emit(type=event_type, data=event) is False:
                    self.lost += 1
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 - a sink may raise anything, CancelledError too
                self._lose(event_type, error)

    def publish(self, event_type: str, data: Mapping[str, Any] | None, *, stage: str, attempt: int) -> None:
        """Deliver an event of a stage's own at once; nothing that the sink does reaches the stage.

        Raises:
            TypeError: The type is not a string.
            SerializationError: The data is neither JSON nor bytes; `path` says where.
        """
        if not isinstance(event_type, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"The type of an event is a string, not {with_article(type_name(event_type))}.")
        plain = None if data is None else redacted(as_object(data, "$"))
        self.emit(redacted_text(event_type), stage=stage, attempt=attempt, plain=plain)

    async def finish(self, event_type: str, *, status: str, duration_ms: float, data: Mapping[str, Any]) -> None:
        """Deliver the last event through `emit`, and wait for the sink, but not for ever."""
        event = self._event(event_type, None, status, None, duration_ms, without_secrets(data))
        self.end_reading()
        if self.sink is None:
            return
        sink = self.sink
        told = await deliver(
            lambda: sink.emit(type=event_type, data=event), to="the sink", timeout_s=TERMINAL_EMIT_TIMEOUT
        )
        if told.failure is not None:
            self._lose(event_type, told.failure)
        elif told.value is False:
            self.lost += 1
        if told.interrupted is not None:
            raise told.interrupted

    @property
    def keeps_log(self) -> bool:
        """Whether every event is kept for readers."""
        return self._log is not None

    def keep_log(self) -> None:
        """Keep every event from now on, for readers."""
        if self._log is None:
            self._log = []

    async def read(self, position: int = 0) -> AsyncIterator[PipelineEvent]:
        """Yield every event of the run after so many of them, to the last."""
        while True:
            log = self._log or []
            while position < len(log):
                position += 1
                yield log[position - 1]
            if self._finished:
                return
            change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._changed.append(change)
            await change

    def end_reading(self) -> None:
        """Let the readers end once they have read what there is."""
        self._finished = True
        self._wake_readers()

    def _event(
        self,
        event_type: str,
        stage: str | None,
        status: str | None,
        attempt: int | None,
        duration_ms: float | None,
        data: dict[str, Any] | None,
    ) -> dict[str, Any]:
        event = self._template.copy()
        self.sequence = sequence = self.sequence + 1
        event["event_id"] = self._id_prefix + str(sequence)
        event["event_type"] = event_type
        event["timestamp"] = self._now()
        event["sequence"] = sequence
        event["stage"] = stage
        event["status"] = status
        event["attempt"] = attempt
        event["duration_ms"] = duration_ms
        event["data"] = {} if data is None else data
        if self._log is not None:
            frozen: dict[str, Any] = {**event, "data": freeze_mapping(event["data"])}
            self._log.append(PipelineEvent(**frozen))
            self._wake_readers()
        return event

    def _wake_readers(self) -> None:
        for change in self._changed:
            if not change.done():
                change.set_result(None)
        self._changed.clear()

    def _lose(self, event_type: str, why: BaseException | str) -> None:
        self.lost += 1
        if not self._reported:
            self._reported = True
            logger.warning(
                "Event sink %s lost '%s': %s. Further losses of this run are only counted, in results.events_lost.",
                type(self.sink).__qualname__,
                event_type,
                in_words(why),
            )


def redacted_id(value: str | None) -> str | None:
    """Return an id as it stands in events: some applications use the token of a session as its id."""
    return None if value is None else redacted_text(value)
