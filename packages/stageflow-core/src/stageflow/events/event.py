"""The one shape of all events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stageflow.frozen import EMPTY
from stageflow.value import Value


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

    __slots__ = (  # noqa: RUF023 - in the order in which a sink gets them
        "event_id",
        "event_type",
        "timestamp",
        "sequence",
        "pipeline_run_id",
        "parent_run_id",
        "request_id",
        "session_id",
        "user_id",
        "org_id",
        "stage",
        "status",
        "attempt",
        "duration_ms",
        "data",
    )

    event_id: str
    event_type: str
    timestamp: float
    sequence: int
    pipeline_run_id: str
    parent_run_id: str | None
    request_id: str | None
    session_id: str | None
    user_id: str | None
    org_id: str | None
    stage: str | None
    status: str | None
    attempt: int | None
    duration_ms: float | None
    data: Mapping[str, Any]

    def __init__(
        self,
        *,
        event_id: str,
        event_type: str,
        timestamp: float,
        sequence: int,
        pipeline_run_id: str,
        parent_run_id: str | None = None,
        request_id: str | None = None,
        session_id: str | None = None,
        user_id: str | None = None,
        org_id: str | None = None,
        stage: str | None = None,
        status: str | None = None,
        attempt: int | None = None,
        duration_ms: float | None = None,
        data: Mapping[str, Any] = EMPTY,
    ) -> None:
        put = object.__setattr__
        put(self, "event_id", event_id)
        put(self, "event_type", event_type)
        put(self, "timestamp", timestamp)
        put(self, "sequence", sequence)
        put(self, "pipeline_run_id", pipeline_run_id)
        put(self, "parent_run_id", parent_run_id)
        put(self, "request_id", request_id)
        put(self, "session_id", session_id)
        put(self, "user_id", user_id)
        put(self, "org_id", org_id)
        put(self, "stage", stage)
        put(self, "status", status)
        put(self, "attempt", attempt)
        put(self, "duration_ms", duration_ms)
        put(self, "data", data)

    def to_dict(self) -> dict[str, Any]:
        """Return the event as a new dict, with `data` copied: what a sink gets."""
        fields = {name: getattr(self, name) for name in PipelineEvent.__slots__}
        fields["data"] = dict(self.data)
        return fields
