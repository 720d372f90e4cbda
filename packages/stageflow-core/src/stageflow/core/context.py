"""What a stage sees of its run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar, Unpack

from stageflow.capabilities import NO_PORTS
from stageflow.context.pipeline_context import ChildFields, PipelineContext, correlation_of
from stageflow.context.snapshot import ContextSnapshot
from stageflow.core.inputs import StageInputs
from stageflow.core.returning import returned
from stageflow.core.timer import PipelineTimer
from stageflow.errors import NotMappedError
from stageflow.events.emitter import Emitter
from stageflow.events.sinks import NO_SINK, NoOpEventSink
from stageflow.frozen import EMPTY, FrozenDict, for_reader, freeze, is_shareable
from stageflow.protocols import ConfigProvider, CorrelationIds, EventSink
from stageflow.wording import shown

R = TypeVar("R")


class RunScope:
    """What the stages of one run share. The run owns and changes it; a stage reads it through its StageContext.

    Attributes:
        emitter: None while nobody listens, so that events cost nothing.
        stopping: Why the run is ending before its stages are done; None while it is not.
        over: Whether it has ended, for whoever has kept a StageContext.
        attempts: By the index of a stage, how often it was started, where that is more than once.
        left_behind: Stages of which an attempt did not stop when its time was up.
        decisions: By stage, what was decided for it; empty unless the run was resumed.
        hooks: What the interceptors of the run share; only they know what it is.
        first_run_id: Of a resumed run, the id of the run that all began with; of a child, what stands in its place.
        pipeline: The name of the run's pipeline.
        recorder: What tells the run store what becomes of this run and its children; None if none of them has one.
        deadline: When the run must be over, by the clock of the event loop, or None: the earliest of all that bound it.
        grace_s: Seconds that its stages may take to stop once they are cancelled.
        children: The tasks that run a child at this moment, each with the stage that started it.
        statistics: By the index of a stage, what it counted of its streams, its items and its permits.
        streams: The streams of the run, or None if no stage streams; see `stageflow.execution.streams`.
        index, item, permit, left, holding: Of a `StageScope`.
    """

    __slots__ = (
        "attempts",
        "children",
        "context",
        "deadline",
        "decisions",
        "emitter",
        "first_run_id",
        "grace_s",
        "hooks",
        "left_behind",
        "over",
        "pipeline",
        "recorder",
        "statistics",
        "stopping",
        "streams",
        "timer",
    )

    index: int | None = None
    item: Any = None
    permit: Any = None
    left: bool = False
    holding: str | None = None

    def __init__(
        self,
        context: PipelineContext,
        emitter: Emitter | None,
        timer: PipelineTimer,
        pipeline: str = "pipeline",
        grace_s: float = 5.0,
    ) -> None:
        self.context = context
        self.emitter = emitter
        self.timer = timer
        self.pipeline = pipeline
        self.grace_s = grace_s
        self.deadline = context.deadline
        self.children: dict[asyncio.Task[Any], str] = {}
        self.stopping: str | None = None
        self.over = False
        self.attempts: dict[int, int] = {}
        self.left_behind: list[str] = []
        self.decisions: Mapping[str, Any] = EMPTY
        self.first_run_id: str | None = None
        self.recorder: Any = None
        self.hooks: Any = None
        self.statistics: dict[int, dict[str, Any]] = {}
        self.streams: Any = None

    def idempotency_key(self, stage: str) -> str:
        """Return the key of a stage, which stays the same for its attempts, and when the run is resumed."""
        return f"{self.first_run_id or self.context.snapshot.run_id.pipeline_run_id}:{stage}"


class StageScope(RunScope):
    """The scope of a run as one stage sees it that has something to itself: a permit, or one of the items it runs for.

    Attributes:
        run: The scope that all stages share.
        index, item: The place and the value of the item; None unless the stage is mapped.
        permit: The permit that the attempt holds, or None; see `stageflow.context.limits`.
        holding: A limit of which another stage that streams with this one holds a permit until it ends, or None.
        left: Whether a child that it ran left stages behind.
    """

    __slots__ = ("_copy", "holding", "index", "item", "left", "permit", "run")

    def __init__(self, run: RunScope, index: int | None = None, item: Any = None) -> None:
        self.run = run
        self.index = index
        self.item = item
        self.permit = None
        self.left = False
        self.holding = run.holding
        self._copy: tuple[int, Any] | None = None
        self.context = run.context
        self.emitter = run.emitter
        self.timer = run.timer
        self.pipeline = run.pipeline
        self.grace_s = run.grace_s
        self.deadline = run.deadline
        self.children = run.children
        self.decisions = run.decisions
        self.first_run_id = run.first_run_id
        self.hooks = run.hooks
        self.statistics = run.statistics
        self.streams = run.streams if index is None else None  # an item reads none: it may be one of the chunks
        self.left_behind = run.left_behind
        self.attempts = run.attempts if index is None else {}

    @property
    def over(self) -> bool:
        return self.run.over

    @property
    def recorder(self) -> Any:
        return self.run.recorder

    @property
    def stopping(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride] - the run alone sets it
        return self.run.stopping

    def idempotency_key(self, stage: str) -> str:
        key = self.run.idempotency_key(stage)
        return key if self.index is None else f"{key}[{self.index}]"

    def item_for(self, attempt: int) -> Any:
        """Return the item for an attempt: a copy of its own, if it may be changed."""
        if is_shareable(self.item):
            return self.item
        if self._copy is None or self._copy[0] != attempt:
            self._copy = (attempt, for_reader(self.item))
        return self._copy[1]


class MapScope(StageScope):
    """The scope of the items of one mapped stage: for them the run is stopping when the map has ended.

    Attributes:
        ended: Why it has, while some of its items may still run; None while it has not.
    """

    __slots__ = ("ended",)

    def __init__(self, run: RunScope) -> None:
        super().__init__(run)
        self.ended: str | None = None

    @property
    def stopping(self) -> str | None:
        return self.ended if self.ended is not None else self.run.stopping


class ChildPipeline(Generic[R]):
    """What a stage can run as a child: `Pipeline` and `StageGraph` are. Runs of it end in an R."""

    __slots__ = ()

    def _run_in(
        self, scope: RunScope, stage: str, key_of: Callable[[str, str | None], str], fields: ChildFields
    ) -> Coroutine[Any, Any, R]:
        """Run it as a child of a stage; `key_of` is the `StageContext._key_of_child` of the attempt."""
        raise NotImplementedError


class StageContext:
    """What one stage sees of its run.

    Attributes:
        stage_name: The name that the stage has in this pipeline.
        inputs: The outputs of its declared dependencies.
        attempt: Counts from 1.
    """

    __slots__ = ("_keys", "_scope", "inputs", "stage_name")

    attempt: int = 1
    _keys: dict[str, int]  # there only once the attempt has started a child

    def __init__(self, scope: RunScope, stage_name: str, inputs: StageInputs) -> None:
        self._scope = scope
        self.stage_name = stage_name
        self.inputs = inputs

    @staticmethod
    def alone(
        stage_name: str,
        context: PipelineContext | None = None,
        *,
        inputs: Mapping[str, Any] = EMPTY,
        attempt: int = 1,
        decision: Any = None,
    ) -> StageContext:
        """Return the context of a stage that is called by hand, without a run around it: in a test, say.

        Nothing of a run happens but what the stage does itself: nothing is checked, recorded, retried or limited in
        time. It never is `cancelled`, has no streams and no items. Make it where an event loop runs, so that its timer
        is that loop's; a child that the stage runs needs the loop, too.

        Args:
            stage_name: The name that the stage is to have.
            context: What it is asked and given; nothing unless given.
            inputs: By name, what the stages returned that it declares as dependencies: what a stage may return. One
                whose output is not OK reads as absent.
            attempt: Which attempt it is, from 1.
            decision: What was decided for it, if it is to have been suspended.

        Raises:
            StageReturnTypeError: One of the inputs is nothing that a stage may return.
            NotCopyableError: The decision cannot be copied.
        """
        context = PipelineContext() if context is None else context
        timer, emitter = PipelineTimer(_running_loop()), None
        if context.event_sink is not None and type(context.event_sink) is not NoOpEventSink:
            emitter = Emitter(context.snapshot.run_id, context.event_sink, timer.now)
        scope = RunScope(context, emitter, timer)
        if decision is not None:
            scope.decisions = FrozenDict({stage_name: freeze(decision, "decision")})
        outputs = [returned(name, result) for name, result in inputs.items()]
        read = StageInputs(outputs, stage_name, {name: place for place, name in enumerate(inputs)})
        return StageContext(scope, stage_name, read) if attempt == 1 else LaterContext(scope, stage_name, read, attempt)

    @property
    def snapshot(self) -> ContextSnapshot:
        """What the run was asked."""
        return self._scope.context.snapshot

    @property
    def ports(self) -> Any:
        """What the run was given as `ports`: clients and other live objects.

        Of a run that was given none they are `StagePorts` without any: each that is read is a MissingPortError.
        """
        ports = self._scope.context.ports
        return NO_PORTS if ports is None else ports

    @property
    def config(self) -> ConfigProvider:
        """The settings that the run was given; if it was given none, every key has its default."""
        return self._scope.context.config

    @property
    def correlation(self) -> CorrelationIds:
        """The ids under which others know this work: `run_id` is that of the run at the root unless one was given."""
        return correlation_of(self._scope.context)

    @property
    def timer(self) -> PipelineTimer:
        """The clock of the run."""
        return self._scope.timer

    @property
    def event_sink(self) -> EventSink:
        """Where the run's events go; a sink that takes nothing if there is none. Prefer `emit_event`."""
        emitter = self._scope.emitter
        return NO_SINK if emitter is None or emitter.sink is None else emitter.sink

    @property
    def idempotency_key(self) -> str:
        """A key for this stage of this run, the same for each attempt and when the run is resumed.

        Give it to services that ask for one.
        """
        return self._scope.idempotency_key(self.stage_name)

    @property
    def item(self) -> Any:
        """The item that this run of the stage is for, under `map_over=`; each attempt gets it as it was.

        Raises:
            NotMappedError: The stage is not mapped.
        """
        scope = self._scope
        if not isinstance(scope, StageScope) or scope.index is None:
            raise NotMappedError(self.stage_name)
        return scope.item_for(self.attempt)

    @property
    def index(self) -> int | None:
        """The place of the item, which counts from 0; None if the stage is not mapped."""
        return self._scope.index

    @property
    def decision(self) -> Any:
        """What was decided for this stage after it had suspended the run that this one resumes; else None."""
        return for_reader(self._scope.decisions.get(self.stage_name))

    def emit_event(self, type: str, data: Mapping[str, Any] | None = None) -> None:
        """Publish an event of the stage's own, with the run's ids and the next sequence number.

        Bytes and secrets in the data do not enter the event: their size and hash, or a preview, do. A fault of the sink
        never reaches the stage; it is counted in `results.events_lost`.

        Raises:
            SerializationError: Somebody listens, and the data is neither JSON-ready nor bytes.
        """
        emitter = self._scope.emitter
        if emitter is not None:
            emitter.publish(type, data, stage=self.stage_name, attempt=self.attempt)

    @property
    def cancelled(self) -> bool:
        """Whether the run is ending early: work that has not begun should not begin."""
        return self._scope.stopping is not None

    def raise_if_cancelled(self) -> None:
        """Raise asyncio.CancelledError if the run is ending early."""
        if self._scope.stopping is not None:
            raise asyncio.CancelledError(self._scope.stopping)

    async def checkpoint(self) -> None:
        """Let others run, then raise asyncio.CancelledError if the run is ending early: for long computations."""
        await asyncio.sleep(0)
        self.raise_if_cancelled()

    def run_pipeline(self, child: ChildPipeline[R], /, **fields: Unpack[ChildFields]) -> Coroutine[Any, Any, R]:
        """Run another pipeline as a child of this stage, and return its results.

        The child is a run of its own, for the same user and tenant, with the same sink, ports, limits, run store,
        config and correlation unless the call gives others, and it must be over when this run must. It is cancelled
        with this stage, and has stopped before this goes on. Nothing of what this run was asked is passed on to it.

        Args:
            child: A Pipeline or a StageGraph.
            fields: What the child is asked and given, as in `Pipeline.run`, but for `run_id`.

        Raises:
            StageExecutionError: A stage of the child failed; like all that it raises, it tells its `chain` of stages.
            PipelineSuspended: A human must decide before the child goes on: see `resume=`.
            PipelineDepthError: The child would lie too deep.
            LimitDeadlockError: It takes permits while one is held that is not given back before it ends.
            asyncio.CancelledError: This run is ending, or the stage was cancelled.
            TypeError: The arguments are wrong.
        """
        if not isinstance(child, ChildPipeline):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"ctx.run_pipeline() takes a Pipeline or a StageGraph, not {shown(child)}.")
        run_in = child._run_in  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - users call run_pipeline
        return run_in(self._scope, self.stage_name, self._key_of_child, fields)

    def _key_of_child(self, pipeline: str, kept: str | None) -> str:
        """Return what the idempotency keys of the next child begin with, the same in each attempt.

        Args:
            pipeline: The child's name.
            kept: What they began with before, if it is resumed.
        """
        try:
            keys = self._keys
        except AttributeError:
            keys = self._keys = {}
        if kept is not None:
            keys.setdefault(kept, 0)
            return kept
        plain = pipeline.isidentifier()  # as most names are, and ten times as quick as to replace nothing
        first = f"{self.idempotency_key}/{pipeline if plain else pipeline.translate(_NO_SEPARATORS)}"
        number, key = keys.get(first, 0), first
        while key in keys:  # also if only a child that was resumed has it
            number += 1
            key = f"{first}#{number}" if number > 1 else key
        keys[key] = 0
        keys[first] = max(number, 1)
        return key


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_NO_SEPARATORS = {ord(mark): f"%{ord(mark):02X}" for mark in "%/#"}


class LaterContext(StageContext):
    """The context of a further attempt: the first one, by far the most frequent, needs no field for its number."""

    __slots__ = ("attempt",)

    def __init__(self, scope: RunScope, stage_name: str, inputs: StageInputs, attempt: int) -> None:
        super().__init__(scope, stage_name, inputs)
        self.attempt = attempt
