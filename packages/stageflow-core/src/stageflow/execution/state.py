"""Everything that changes while a run goes on, and how an outcome other than a plain OK is settled.

A run owns one `RunState`; it dies with the run. Its workers read and write it without locks, since all of them live on
one event loop and none awaits between reading and writing. Only the worker that ran a stage records its outcome; only
the coordinator (`stageflow.execution.run`) cancels, and records what never ran.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from contextvars import Context, copy_context
from dataclasses import replace
from enum import Enum
from typing import Any

from stageflow.core.context import RunScope
from stageflow.core.inputs import StageInputs, Stored, StreamingInputs
from stageflow.core.kinds import StageStatus
from stageflow.core.output import ErrorInfo, StageOutput, make_output
from stageflow.errors import ConditionError, StreamSuspendedError
from stageflow.execution.announcing import announce_end, end_in_words
from stageflow.execution.attempts import failed_for_good, missing_policy
from stageflow.execution.edges import Held, edge_holds, join_holds
from stageflow.execution.frames import forget_our_frames
from stageflow.execution.plan import ExecutionPlan, PlanNode
from stageflow.execution.streams import RunStreams
from stageflow.interceptors.outcome import RetryRequested
from stageflow.wording import listed

logger = logging.getLogger(__name__)


class Cause(Enum):
    """What can end a run before its stages have ended."""

    FAILURE = "failure"
    STAGE = "stage"
    OUTSIDE = "outside"
    TIMEOUT = "timeout"


class Ending:
    """How a run came to end early: what for, why, and which stage did it, if one did."""

    __slots__ = ("cause", "reason", "stage")

    def __init__(self, cause: Cause, reason: str, stage: int | None) -> None:
        self.cause = cause
        self.reason = reason
        self.stage = stage


class RunState:
    """The mutable state of one run, indexed by stage as the plan is.

    Attributes:
        streams: The streams of the run, or None if no stage streams.
        outputs: What each stage ended as, None while it has not.
        waiting: How many dependencies each stage still waits for.
        ready: Stages that may start, in the order in which they will.
        started, ended: Readings of the run's clock, 0 where there is none.
        origins: The stage or the reason that kept a stage from running, or stopped it.
        failures: Critical stages that failed of their own accord, not while they were being cancelled.
        errors: What stages raised and failed with, which frames of the run are behind; None while there is nothing.
        suspended: Stages that returned SUSPEND.
        ending: What ended the run before its stages had, if anything did.
        relief: How many workers and guards are queued; the event loop will come to each.
        growth: How many workers the next guard brings on that finds work left.
        room: How many workers there may be. Whoever lets stages run beyond `max_concurrency` makes more of it for as
            long as they do, and queues a worker for them; where it gets less, workers retire that settle an outcome.
        together: By group of stages joined by streams, its members that run or are ready, once that makes room.
        paused: Whether a worker is yielding to the event loop, so that the others stand back.
        hold_until: The reading of the clock from which on the run has held the event loop for too long.
        current: The stage that was started last; another one than that which ended means that it was suspended.
        base: The context that every worker starts from a copy of.
        wake: What the coordinator sleeps on.
        cancelling: Set when the coordinator has cancelled the workers.
        closed: Set when the run has its results: a straggler that ends now changes nothing.
        broken: An error of the executor itself.
    """

    __slots__ = (
        "base",
        "broken",
        "cancel_output",
        "cancelling",
        "closed",
        "current",
        "ended",
        "ending",
        "errors",
        "failures",
        "growth",
        "hold_until",
        "loop",
        "origins",
        "outputs",
        "paused",
        "plan",
        "ready",
        "relief",
        "room",
        "scope",
        "started",
        "streams",
        "suspended",
        "together",
        "waiting",
        "wake",
        "workers",
    )

    def __init__(self, plan: ExecutionPlan, scope: RunScope, loop: asyncio.AbstractEventLoop) -> None:
        size = len(plan.nodes)
        self.plan = plan
        self.scope = scope
        self.streams: RunStreams | None = None
        self.loop = loop
        self.outputs: list[Stored] = [None] * size
        self.waiting = list(plan.in_degrees)
        self.ready = deque(plan.roots)
        self.started = [0] * size
        self.ended = [0] * size
        self.origins: dict[int, str] = {}
        # Outcomes that end the run.
        self.failures: list[int] = []
        self.errors: list[BaseException] | None = None
        self.suspended: list[int] = []
        self.ending: Ending | None = None
        self.cancel_output: StageOutput[Any] | None = None
        self.cancelling = False
        self.closed = False
        self.broken: BaseException | None = None
        # Workers: see stageflow.execution.worker.
        # In the order in which they were made, so that they are cancelled in it: a set has another one in each process.
        self.workers: dict[asyncio.Task[None], None] = {}
        self.relief = 0
        self.growth = 1
        self.together: dict[int, set[int]] | None = None
        self.room = sys.maxsize if plan.max_concurrency is None else plan.max_concurrency
        self.paused = False
        self.hold_until = 0
        self.current = -1

    def begin(self) -> None:
        """Tie the run to the context of whoever runs it."""
        self.base: Context = copy_context()
        self.wake: asyncio.Future[None] = self.loop.create_future()

    def is_settled(self) -> bool:
        """Return whether every stage has an outcome."""
        return all(stored is not None for stored in self.outputs)

    def join_group(self, index: int) -> None:
        """Make room for a stage beside those of its group that run: together they count as one."""
        if self.plan.max_concurrency is None:
            return
        if self.together is None:
            self.together = {}
        members = self.together.setdefault(self.plan.groups[index], set())
        if index not in members:
            members.add(index)
            self.room += len(members) > 1

    def take_roots_beside(self, index: int) -> list[int]:
        """Take those out of the queue that read no stream and belong to the group of a stage which starts.

        They start with it, in the place that the group has: those that read both would wait for them without end.
        """
        if self.plan.max_concurrency is None:
            return []
        groups = self.plan.groups
        beside = [other for other in self.ready if groups.get(other) == groups[index]]
        for other in beside:
            self.ready.remove(other)
        return beside

    def _leave_group(self, index: int) -> None:
        assert self.together is not None
        members = self.together.get(self.plan.groups.get(index, -1))
        if members is not None and index in members:
            members.remove(index)
            self.room -= len(members) > 0

    def is_overstaffed(self) -> bool:
        """Return whether there are more workers than there is room for, since it has become less."""
        return len(self.workers) > self.room

    def is_at_rest(self) -> bool:
        """Return whether every stage has ended, but for those that wait for a suspended one."""
        left = {index for index, stored in enumerate(self.outputs) if stored is None}
        return not left or (bool(self.suspended) and left == self._waiting_for_decisions().keys())

    def stop(self, cause: Cause, reason: str, stage: int | None = None) -> None:
        """Let no further stage start, and have the coordinator cancel those that run. The first reason stays."""
        if self.ending is None:
            self.ending = Ending(cause, reason, stage)
            self.cancel_output = StageOutput.cancel(reason)
            self.scope.stopping = reason
        self.wake_coordinator()

    def wake_coordinator(self) -> None:
        """Let the coordinator look at the run."""
        if not self.wake.done():
            self.wake.set_result(None)

    def raised(self, index: int, error: BaseException) -> StageOutput[Any]:
        """Return the outcome of a stage that raised."""
        # From the moment on in which the run is stopping: a stage that asks `raise_if_cancelled` may be told before the
        # coordinator has cancelled its worker.
        if self.cancel_output is not None and isinstance(error, asyncio.CancelledError):
            return self.cancel_output
        if isinstance(error, RetryRequested):  # by an interceptor, of a stage that has no policy
            error = missing_policy(self.plan.names[index], ErrorInfo.of(error.error))
        forget_our_frames(error)
        self._remember(error)
        return StageOutput.fail(error)

    def _remember(self, error: BaseException) -> None:
        if self.errors is None:
            self.errors = []
        self.errors.append(error)

    def settle(self, index: int, stored: Stored) -> None:
        """Record an outcome that is not OK, or that arrives while the run is ending, and what follows from it."""
        if self.closed:
            name = self.plan.names[index]
            logger.warning("Stage '%s' ended after its run had left it behind: %s", name, end_in_words(stored))
            return
        cancelled = self.cancel_output
        if cancelled is not None and stored is cancelled:
            self.origins[index] = str(cancelled.reason)
            self.record(index, stored)
            if self.streams is not None and self.cancelling:
                self.streams.cut_off(index, str(cancelled.reason), stopping=True, told=True)
            return
        node, streams = self.plan.nodes[index], self.streams
        if streams is not None:
            stored = self._of_streaming(node, stored)
        if isinstance(stored, StageOutput) and stored.status is StageStatus.RETRY:
            stored = failed_for_good(node.name, stored, may_retry=False)
        status = stored.status if isinstance(stored, StageOutput) else StageStatus.OK
        self.record(index, stored, stops=streams is not None and self._stops(node, status))
        if status is StageStatus.SUSPEND:
            self.suspended.append(index)
            return
        self._follow_up(index)
        if status is StageStatus.FAIL:
            self._fail(node)
        elif status is StageStatus.CANCEL:
            assert isinstance(stored, StageOutput)
            self.stop(Cause.STAGE, f"stage '{node.name}' cancelled the run: {stored.reason}", index)
        # Between the end of the run and the cancellation of its workers they are left alone: that comes at once.
        if streams is not None and status is not StageStatus.OK and (self.ending is None or self.cancelling):
            streams.cut_off(
                index, f"the stream of stage '{node.name}' broke", stopping=self.cancelling, told=self.cancelling
            )

    def end_broken_streams(self) -> None:
        """Let those that have just been cancelled, and read on all the same, find the end of what had broken before."""
        streams, outputs = self.streams, self.outputs
        assert streams is not None
        for stage in self.plan.streaming:
            stored = outputs[stage.stage]
            if isinstance(stored, StageOutput) and stored.status is not StageStatus.OK:
                streams.cut_off(stage.stage, "the run is ending", stopping=True)

    def _of_streaming(self, node: PlanNode, stored: Stored) -> Stored:
        """Return what a stage ended as, in view of the streams that it yields or reads."""
        streams, output = self.streams, stored if isinstance(stored, StageOutput) else None
        assert streams is not None
        if node.index in streams.cut:
            error = None if output is None or output.error is None else output.error.exception
            failed = output is not None and output.status is StageStatus.FAIL
            if not failed or isinstance(error, asyncio.CancelledError):  # else it broke in its own way
                return self._skipped_for(node, streams.cut[node.index])
        elif output is not None and output.status is StageStatus.SUSPEND and node.index in self.plan.groups:
            return StageOutput.fail(StreamSuspendedError(node.name))
        return stored

    def _skipped_for(self, node: PlanNode, source: int) -> StageOutput[Any]:
        """Return the outcome of a stage that was cut off, since the stream that it requires broke."""
        held = edge_holds(node, source, self.outputs[source], self.plan.names)
        assert held is not None
        return StageOutput.skip(self._origin_of_skip(node.index, held))

    def _fail(self, node: PlanNode) -> None:
        output = self.outputs[node.index]
        assert isinstance(output, StageOutput)
        if output.error is not None and output.error.exception is not None:
            self._remember(output.error.exception)
        if not node.critical:
            what = None if output.error is None else output.error.type
            logger.warning("Stage '%s' failed (%s); it is not critical, so its run goes on.", node.name, what)
            return
        if not self.cancelling:
            self.failures.append(node.index)
        if self.plan.on_failure == "fail_fast":
            self.stop(Cause.FAILURE, f"stage '{node.name}' failed", node.index)

    def _stops(self, node: PlanNode, status: StageStatus) -> bool:
        """Return whether the coordinator is to cancel all that runs, as it has not yet."""
        fails = status is StageStatus.FAIL and node.critical and self.plan.on_failure == "fail_fast"
        return not self.cancelling and (fails or status is StageStatus.CANCEL or self.ending is not None)

    def record(self, index: int, stored: Stored, *, stops: bool = False) -> None:
        """Write one outcome down, and emit its events."""
        self.outputs[index] = stored
        if self.streams is not None:
            self.streams.settled(index, stored, stops=stops)
            if self.together:
                self._leave_group(index)
        emitter = self.scope.emitter
        if emitter is not None:
            self.emit_ended(index, stored)

    def emit_ended(self, index: int, stored: Stored) -> None:
        """Emit what a stage published, and its terminal event."""
        emitter = self.scope.emitter
        assert emitter is not None
        node, started = self.plan.nodes[index], self.started[index]
        attempt = self.scope.attempts.get(index, 1) if started else None
        duration_ms = (self.ended[index] - started) / 1e6 if started else None
        if not isinstance(stored, StageOutput):
            emitter.emit(node.completed_event, stage=node.name, status=_OK, attempt=attempt, duration_ms=duration_ms)
            return
        origin = self.origins.get(index)
        announce_end(emitter, node, stored, attempt=attempt, duration_ms=duration_ms, origin=origin)

    def held_back(self, index: int) -> StageOutput[Any] | None:
        """Ask the condition of a stage; return how the stage ends if it does not start."""
        node = self.plan.nodes[index]
        if node.name in self.scope.decisions:
            return None  # it was asked before the run was suspended
        when = self.plan.conditions[index]
        inputs = StageInputs(self.outputs, node.name, node.declared)
        if node.streams:  # nothing has come of them yet, and to say so it must know them
            inputs = StreamingInputs(self.outputs, node.name, node.declared, dict.fromkeys(node.streams))
        try:
            # In a context of its own: what it sets is not for the stages of this worker.
            holds: Any = self.base.copy().run(when, inputs, self.scope.context.snapshot)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a condition raises is the failure of its stage
            info = ErrorInfo.of(error)
            return make_output(StageStatus.FAIL, error=replace(info, message=f"its `when` raised: {info.message}"))
        if holds is True:
            return None
        if holds is False:
            return StageOutput.skip("its `when` said no")
        return StageOutput.fail(ConditionError(node.name, holds))

    def _follow_up(self, index: int) -> None:
        """Let go on what waited for a stage that has ended, or skip it, and what requires that, however far."""
        nodes, names, outputs, waiting = self.plan.nodes, self.plan.names, self.outputs, self.waiting
        reached, released = deque((index,)), list[int]()
        while reached:
            source = reached.popleft()
            for successor in nodes[source].successors:
                if outputs[successor] is not None:
                    continue
                node = nodes[successor]
                held = edge_holds(node, source, outputs[source], names)
                if held is None:
                    waiting[successor] -= 1
                    if waiting[successor]:
                        continue
                    held = join_holds(node, outputs, names)
                    if held is None:
                        released.append(successor)
                        continue
                self._skip(successor, held)
                reached.append(successor)
            if nodes[source].readers:
                self._follow_up_stream(source, reached, released)
        self.ready.extend(sorted(released))  # together, so in plan order

    def _follow_up_stream(self, source: int, reached: deque[int], released: list[int]) -> None:
        """Do likewise for those that would read the stream of a stage that has ended, and have not started."""
        nodes, outputs, streams = self.plan.nodes, self.outputs, self.streams
        assert streams is not None
        for reader in nodes[source].readers:
            if outputs[reader] is not None or self.started[reader]:
                continue
            held = edge_holds(nodes[reader], source, outputs[source], self.plan.names)
            if held is not None:
                if reader in self.ready:
                    self.ready.remove(reader)
                self._skip(reader, held)
                reached.append(reader)
            elif source not in streams.opened:
                self.waiting[reader] -= 1
                if not self.waiting[reader]:
                    self._release_reader(reader, released)

    def _release_reader(self, reader: int, released: list[int]) -> None:
        """Let a stage go on whose group has begun, so that others may wait for it or for what it is to give back."""
        if self.together is not None and self.plan.groups[reader] in self.together:
            self.join_group(reader)
            self.ready.appendleft(reader)  # or another stage would take its place, and wait for what its group holds
        else:
            released.append(reader)

    def released_by_start(self, index: int) -> list[int]:
        """Count the start of a stage that streams; return which of those that read it may start now."""
        released: list[int] = []
        for reader in self.plan.nodes[index].readers:
            if self.outputs[reader] is None:
                self.waiting[reader] -= 1
                if not self.waiting[reader]:
                    released.append(reader)
        return released

    def _skip(self, index: int, held: Held) -> None:
        self.record(index, StageOutput.skip(self._origin_of_skip(index, held)))

    def _origin_of_skip(self, index: int, held: Held) -> str:
        """Note the origin of a skip, and return its reason."""
        why, before = held.why, self.outputs[held.stage]
        if held.passed_on and held.stage in self.origins and isinstance(before, StageOutput):
            why = str(before.reason)
        self.origins[index] = self.origins.get(held.stage, self.plan.names[held.stage])
        return why

    def close(self) -> tuple[str, ...]:
        """Give every stage without an outcome its own; return those that still run.

        Raises:
            RuntimeError: There is a stage that should have run and did not: a defect of the executor.
        """
        if self.broken is not None:
            raise self.broken
        stragglers: tuple[str, ...] = ()
        # `ended` first: to look for a zero is as cheap as it gets, and only stages that never ran have one.
        if not ((all(self.ended) and self.ending is None) or self.is_settled()):
            self._let_wait()
            stragglers = self._cancel_the_rest()
        if self.ending is not None and self.ending.cause is Cause.TIMEOUT and not self.cancelling:
            self._forgive_the_time()
        self.closed = True
        return stragglers

    def _forgive_the_time(self) -> None:
        # All that was left when the time was up had been woken already, and has ended: there is nothing that the run
        # would be without.
        if not any(stored is self.cancel_output for stored in self.outputs):
            self.ending = None

    def _let_wait(self) -> None:
        """Record SUSPEND, without an event, for all that waits for a suspended stage."""
        for index, origin in self._waiting_for_decisions().items():
            self.origins[index] = name = self.plan.names[origin]
            self.outputs[index] = waiting = make_output(StageStatus.SUSPEND, reason=f"waits for '{name}'")
            if self.streams is not None:
                self.streams.settled(index, waiting)

    def _waiting_for_decisions(self) -> dict[int, int]:
        """Return the stages that wait for a suspended one, however far, each with the first for which it does."""
        nodes, outputs, found = self.plan.nodes, self.outputs, dict[int, int]()
        for origin in sorted(self.suspended):
            reached = [origin]
            while reached:
                waits = nodes[reached.pop()]
                for successor in (*waits.successors, *waits.readers):
                    if outputs[successor] is None and not self.started[successor] and successor not in found:
                        found[successor] = origin
                        reached.append(successor)
        return found

    def _cancel_the_rest(self) -> tuple[str, ...]:
        """Record CANCEL for every stage without an outcome; return those of them that still run."""
        stragglers: list[str] = []
        left = [index for index, stored in enumerate(self.outputs) if stored is None]
        if self.ending is None:
            if left:
                names = [self.plan.names[index] for index in left]
                raise RuntimeError(
                    f"A defect of Stageflow: nothing runs any more, and these never did: {listed(names)}."
                )
            return ()
        now = self.scope.timer.clock()
        for index in left:
            self.origins[index] = self.ending.reason
            if self.started[index]:
                self.ended[index] = now
                stragglers.append(self.plan.names[index])
            self.record(index, self.cancel_output)
        if stragglers:
            self.ended = list(self.ended)  # their workers keep the other list, and write into it when they end at last
        return tuple(stragglers)


_OK = StageStatus.OK.value
