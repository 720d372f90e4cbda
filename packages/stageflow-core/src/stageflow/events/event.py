"""The one shape of all events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stageflow.frozen import EMPTY
from stageflow.value import Value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class PipelineEvent(Value):
    """One event of a run: a wide event, with every id beside it.

    Attributes:
        event_id: Unique: the run's id and the sequence number.
        event_type: `pipeline.*`, `stage.{name}.*`, or a stage's own.
        timestamp: Seconds since the epoch, never going back within a run.
        sequence: Counts from 1 within the run, without gaps.
        stage: Name of the stage, or None for the run's own events.
        status: How the stage or the run ended, or None where nothing ended.
        attempt: Which attempt of the stage, from 1.
        duration_ms: Of the stage or the run, by a monotonic clock, or None where nothing ended.
        data: What else there is to say, JSON-ready.
    """

    event_id: str
    event_type: str
    timestamp: float
    sequence: int
    pipeline_run_id: str
    parent_run_id: str | None = None
    request_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    org_id: str | None = None
    stage: str | None = None
    status: str | None = None
    attempt: int | None = None
    duration_ms: float | None = None
    data: Mapping[str, Any] = field(default_factory=lambda: EMPTY)

    def to_dict(self) -> dict[str, Any]:
        """Return the event as a new dict, with `data` copied: what a sink gets."""
        fields = {name: getattr(self, name) for name in PipelineEvent.__slots__}
        fields["data"] = dict(self.data)
        return fields
