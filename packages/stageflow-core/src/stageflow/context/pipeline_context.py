"""What a run is given beside its snapshot."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from stageflow.context.conversation import Conversation
from stageflow.context.limits import Limits
from stageflow.context.parent import ParentStage
from stageflow.context.snapshot import ContextSnapshot
from stageflow.errors import InvalidOptionError, RunResults
from stageflow.protocols import EventSink
from stageflow.value import Value, made_by
from stageflow.wording import shown


class ChildFields(TypedDict, total=False):
    """The keywords of `ctx.run_pipeline`: those of `Pipeline.run`, but for `run_id`."""

    input_text: str | None
    input: Any
    input_audio_duration_ms: float | None
    topology: str | None
    execution_mode: str | None
    transport: str | None
    conversation: Conversation | None
    enrichments: Mapping[str, Any]
    extensions: Mapping[str, Any]
    metadata: Mapping[str, Any]
    created_at: datetime
    event_sink: EventSink | None
    ports: Any
    limits: Limits | None
    resume: RunResults
    decisions: Mapping[Any, Any]


_NEW_SNAPSHOT = made_by(ContextSnapshot)


class PipelineContext(Value):
    """What a run is given: its snapshot, and the live objects that data cannot hold.

    Attributes:
        snapshot: What the run is asked.
        event_sink: Where its events go; beats the current sink of `set_event_sink`.
        ports: What its stages may use from outside (clients, stores), handed to them as `ctx.ports` as it is.
        limits: The permits that stages with `limit=` take, shared between runs.
        deadline: When the run must be over, as a reading of `time()` of the running event loop, in seconds.
        parent: Of a child run, the stage that it was started by.
    """

    __slots__ = ("deadline", "event_sink", "limits", "parent", "ports", "snapshot")

    snapshot: ContextSnapshot
    event_sink: EventSink | None
    ports: Any
    limits: Limits | None
    deadline: float | None
    parent: ParentStage | None

    def __init__(
        self,
        *,
        snapshot: ContextSnapshot = _NEW_SNAPSHOT,
        event_sink: EventSink | None = None,
        ports: Any = None,
        limits: Limits | None = None,
        deadline: float | None = None,
        parent: ParentStage | None = None,
    ) -> None:
        if snapshot is _NEW_SNAPSHOT:
            snapshot = ContextSnapshot()
        elif not isinstance(snapshot, ContextSnapshot):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"The snapshot of a PipelineContext is a ContextSnapshot, not {snapshot!r}.")
        if limits is not None and not isinstance(limits, Limits):  # pyright: ignore[reportUnnecessaryIsInstance]
            told = "Make them once, and give them to each run: limits=Limits({'groq': 8})."
            raise TypeError(f"The limits of a run are a Limits, not {shown(limits)}. {told}")
        if deadline is not None and not _is_moment(deadline):
            raise InvalidOptionError(
                "deadline",
                f"is a moment in seconds, not {shown(deadline)}",
                of="a PipelineContext",
                hint="Add to the clock of the event loop: asyncio.get_running_loop().time() + 30.",
            )
        put = object.__setattr__
        put(self, "snapshot", snapshot)
        put(self, "event_sink", event_sink)
        put(self, "ports", ports)
        put(self, "limits", limits)
        put(self, "deadline", deadline)
        put(self, "parent", parent)


def _is_moment(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
