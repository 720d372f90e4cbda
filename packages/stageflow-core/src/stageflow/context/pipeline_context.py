"""What a run is given beside its snapshot."""

# Without `from __future__ import annotations`: a TypedDict compiles each annotation that is a text, at every import.

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from stageflow.conformance import conforming
from stageflow.context.conversation import Conversation
from stageflow.context.limits import Limits
from stageflow.context.parent import ParentStage
from stageflow.context.snapshot import ContextSnapshot
from stageflow.errors import InvalidOptionError, RunResults
from stageflow.protocols import NO_CONFIG, ConfigProvider, CorrelationIds, EventSink, RunStore
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
    run_store: RunStore | None
    config: ConfigProvider | None
    correlation: CorrelationIds | None
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
        run_store: What keeps what becomes of the run.
        config: Where its stages look settings up.
        correlation: Under which ids others know it, as they were given; `correlation_of` fills in what is the run's.
        deadline: When the run must be over, as a reading of `time()` of the running event loop, in seconds.
        parent: Of a child run, the stage that it was started by.
    """

    unshown = ("event_sink", "ports", "run_store", "config")  # an application's own, which may show its keys

    snapshot: ContextSnapshot
    # What most runs are not given is not set, but read from here: half of what the object cost.
    event_sink: EventSink | None = None
    ports: Any = None
    limits: Limits | None = None
    run_store: RunStore | None = None
    config: ConfigProvider = NO_CONFIG
    correlation: CorrelationIds | None = None
    deadline: float | None = None
    parent: ParentStage | None = None

    def __init__(
        self,
        *,
        snapshot: ContextSnapshot = _NEW_SNAPSHOT,
        event_sink: EventSink | None = None,
        ports: Any = None,
        limits: Limits | None = None,
        run_store: RunStore | None = None,
        config: ConfigProvider | None = None,
        correlation: CorrelationIds | None = None,
        deadline: float | None = None,
        parent: ParentStage | None = None,
    ) -> None:
        if snapshot is _NEW_SNAPSHOT:
            snapshot = ContextSnapshot()
        elif not isinstance(snapshot, ContextSnapshot):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"The snapshot of a PipelineContext is a ContextSnapshot, not {snapshot!r}.")
        put = object.__setattr__
        put(self, "snapshot", snapshot)
        if event_sink is not None:
            put(self, "event_sink", conforming(event_sink, EventSink, "The event sink"))
        if ports is not None:
            put(self, "ports", ports)
        if limits is not None:
            put(self, "limits", _checked_limits(limits))
        if run_store is not None:
            put(self, "run_store", conforming(run_store, RunStore, "The run_store of a run"))
        if config is not None:
            # A dict fits; to find that out of a method in C would cost more than a small run.
            fits = type(config) is dict
            put(self, "config", config if fits else conforming(config, ConfigProvider, "The config of a run"))
        if correlation is not None:
            put(self, "correlation", _checked_correlation(correlation))
        if deadline is not None:
            put(self, "deadline", _checked_deadline(deadline))
        if parent is not None:
            put(self, "parent", parent)


def _checked_limits(limits: Any) -> Limits:
    if not isinstance(limits, Limits):
        told = "Make them once, and give them to each run: limits=Limits({'groq': 8})."
        raise TypeError(f"The limits of a run are a Limits, not {shown(limits)}. {told}")
    return limits


def correlation_of(context: PipelineContext) -> CorrelationIds:
    """Return the ids under which others know a run: where none were given, its root's and those of its identity."""
    given, identity, parent = context.correlation or _NO_CORRELATION, context.snapshot.run_id, context.parent
    run_id = identity.pipeline_run_id if parent is None else parent.root_run_id
    return CorrelationIds(
        run_id if given.run_id is None else given.run_id,
        identity.request_id if given.request_id is None else given.request_id,
        given.trace_id,
        given.extra,
    )


_NO_CORRELATION = CorrelationIds()


def _checked_correlation(correlation: Any) -> CorrelationIds:
    if not isinstance(correlation, CorrelationIds):
        told = "Write correlation=CorrelationIds(trace_id='...', extra={'order': '...'})."
        raise TypeError(f"The correlation of a run is a CorrelationIds, not {shown(correlation)}. {told}")
    return correlation


def _checked_deadline(deadline: Any) -> float:
    is_number = isinstance(deadline, (int, float)) and not isinstance(deadline, bool)
    if not is_number or not abs(deadline) <= sys.float_info.max:
        raise InvalidOptionError(
            "deadline",
            f"is a moment in seconds, not {shown(deadline)}",
            of="a PipelineContext",
            hint="Add to the clock of the event loop: asyncio.get_running_loop().time() + 30.",
        )
    return deadline
