"""What an application may plug into a run."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class EventSink(Protocol):
    """Takes the events of runs.

    While stages run, events come through `try_emit`, which must not block. The last event of a run comes through
    `emit`, which may take its time within a limit. Both may return False to say that an event of the run was dropped,
    this one or one before it, which the run then counts in `results.events_lost`. `data` is the whole event as
    JSON-ready data, see `PipelineEvent.to_dict`; it belongs to the sink.
    """

    async def emit(self, *, type: str, data: dict[str, Any] | None) -> bool | None: ...

    def try_emit(self, *, type: str, data: dict[str, Any] | None) -> bool | None: ...
