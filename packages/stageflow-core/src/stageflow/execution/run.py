"""One run of a plan: it starts the workers, ends them, and makes the results.

The coordinator is the coroutine that the caller awaits. It sleeps until it is woken: no worker is left and nothing is
ready, or the run must stop (a stage failed or cancelled, `PipelineRun.cancel`, or the caller was cancelled). Stages
that the event loop had already woken finish before it gets its turn. Then it cancels what still runs, waits for the
tasks themselves (a task that is cancelled before its first step runs no `finally`), gives every stage without an
outcome its CANCEL, and emits the run's last event.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from stageflow.context.pipeline_context import PipelineContext, correlation_of
from stageflow.core.context import RunScope
from stageflow.core.inputs import Stored
from stageflow.core.kinds import StageStatus
from stageflow.core.output import StageOutput
from stageflow.core.returning import returned
from stageflow.core.stream import Stream
from stageflow.core.timer import PipelineTimer
from stageflow.errors import (
    NoStreamError,
    PipelineCancelled,
    PipelineSuspended,
    PipelineTimeoutError,
    StageExecutionError,
    StageflowError,
    TooLateError,
    UnknownStageError,
)
from stageflow.events.emitter import Emitter
from stageflow.events.sinks import NoOpEventSink, get_event_sink
from stageflow.execution.announcing import announce_straggler, run_error_data
from stageflow.execution.frames import empty_our_frames
from stageflow.execution.locating import chain_of, located, passed_on
from stageflow.execution.plan import ExecutionPlan
from stageflow.execution.recording import Recorder
from stageflow.execution.results import PipelineResults, RunLog, RunStatus, StageResult, StageTimes, Suspension
from stageflow.execution.resumption import Resumption
from stageflow.execution.state import Cause, RunState
from stageflow.execution.streams import RunStreams
from stageflow.execution.worker import release_readers, spawn
from stageflow.interceptors.guard import HookScope
from stageflow.protocols import EventSink

logger = logging.getLogger(__name__)


class _Limit:
    """What ends a run whose time is up: "timeout" or "deadline", and how long it may take."""

    __slots__ = ("name", "seconds")

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds

    @property
    def in_words(self) -> str:
        if self.name == "timeout":
            return f"the run took longer than its timeout of {self.seconds:g} s"
        if not self.seconds:
            return "the run's deadline had passed before it began"
        return f"the run took longer than the {self.seconds:g} s that were left until its deadline"


class Run:
    """One run of a plan, from its start to its results."""

    __slots__ = (
        "_begun",
        "_cancel_requested",
        "_halted",
        "_interrupted",
        "_limit",
        "_patience",
        "plan",
        "results",
        "resumption",
        "scope",
        "state",
    )

    _limit: _Limit  # there only once there is one
    _halted: list[tuple[str, str]]  # and this only once that has run out
    _patience: float  # there once the caller was cancelled: when the run is to have ended

    def __init__(
        self,
        plan: ExecutionPlan,
        context: PipelineContext,
        resumption: Resumption | None = None,
        grace_s: float | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            plan: What runs.
            context: What it is given.
            resumption: Where it starts, if it resumes another one.
            grace_s: Of a child, what stands in the place of the plan's `cancel_grace`.
            recorder: Of a child, that of its parent.
        """
        sink = get_event_sink() if context.event_sink is None else context.event_sink
        listening = type(sink) is not NoOpEventSink  # a subclass may take what it likes
        self.plan = plan
        loop = asyncio.get_running_loop()
        timer = PipelineTimer(loop)
        emitter = _emitter(context, sink, timer) if listening else None
        self.scope = RunScope(context, emitter, timer, plan.name, plan.cancel_grace if grace_s is None else grace_s)
        if context.parent is not None:
            self.scope.first_run_id = context.parent.key
        if recorder is not None:
            self.scope.recorder = recorder
        elif context.run_store is not None:
            self.scope.recorder = Recorder(context.snapshot.run_id.pipeline_run_id)
        if plan.intercepted:
            self.scope.hooks = HookScope(plan.name, context)
        self.state = RunState(plan, self.scope, loop)
        if plan.streaming:
            self.scope.streams = self.state.streams = streams = RunStreams(plan, loop, timer.clock)
            streams.release = partial(release_readers, self.state)
        self.resumption = resumption
        if resumption is not None:
            self._carry_over(resumption)
        self.results: PipelineResults | None = None
        self._begun = False
        self._cancel_requested: str | None = None
        self._interrupted: asyncio.CancelledError | None = None

    async def execute(self) -> PipelineResults:
        """Run every stage and return the results; `results.error` is what went wrong, if anything did.

        Raises:
            asyncio.CancelledError: The caller was cancelled; every stage has stopped.
        """
        state, emitter = self.state, self.scope.emitter
        self._begun = True
        state.begin()
        if self.scope.recorder is not None:
            self.scope.recorder.begin(self.scope.context, self._creation_data())
        if emitter is not None:
            emitter.emit("pipeline.created", data=self._creation_data())
            emitter.emit("pipeline.started")
        timer = None
        if self.plan.timeout is not None or self.scope.deadline is not None:
            timer = self._set_timer()
        if self._cancel_requested is not None:
            state.stop(Cause.OUTSIDE, self._cancel_requested)
        if self.scope.stopping is None:  # it may also have begun too late
            spawn(state)
        try:
            await state.wake
        except asyncio.CancelledError as error:
            self.interrupt(error)
        if state.workers:
            await self._wind_down()
        if self.scope.children:
            await self._end_children()
        if timer is not None:
            timer.cancel()
        results = await self._finish(state.close())
        if self._interrupted is not None:
            raise self._interrupted
        return results

    def _carry_over(self, resumption: Resumption) -> None:
        """Let the run start where the suspended one ended."""
        self.scope.decisions = resumption.decisions
        self.scope.first_run_id = resumption.first_run_id
        state, nodes = self.state, self.plan.nodes
        for index, record in resumption.carried.items():
            state.outputs[index] = stored = returned(record.name, record.output)
            if record.statistics:
                self.scope.statistics[index] = dict(record.statistics)
            if state.streams is not None:
                state.streams.settled(index, stored)
            if record.origin is not None:
                state.origins[index] = record.origin
            if record.status is StageStatus.SUSPEND:
                state.suspended.append(index)
        state.ready.clear()
        for node in nodes:
            if state.outputs[node.index] is not None:
                continue  # and its count stays above 0, so that nothing that ends from now on releases it
            settled = [index for index in node.waits_for if _has_ended(state.outputs[index])]
            state.waiting[node.index] -= len(settled)
            if not state.waiting[node.index]:
                state.ready.append(node.index)

    def _set_timer(self) -> asyncio.TimerHandle | None:
        """Limit the run by its own timeout or its deadline, whichever comes first; return the timer, if it needs one.

        Raises nothing, but ends the run if its time is up already.
        """
        scope, loop, timeout = self.scope, self.state.loop, self.plan.timeout
        now, deadline = loop.time(), scope.deadline
        ends = None if timeout is None else now + timeout
        earliest = scope.deadline = min(moment for moment in (ends, deadline) if moment is not None)
        if ends == earliest:
            assert timeout is not None
            self._limit = _Limit("timeout", timeout)
        elif scope.context.parent is not None:
            return None  # the run that the deadline is from cancels the stage that this one runs in
        else:
            self._limit = _Limit("deadline", max(earliest - now, 0.0))
            if earliest <= now:
                self._expire()
                return None
        return loop.call_at(earliest, self._expire)

    def _expire(self) -> None:
        streams = self.state.streams
        self._halted = [] if streams is None else streams.halted()
        self._end(Cause.TIMEOUT, self._limit.in_words)

    def _end(self, cause: Cause, reason: str) -> None:
        if not self.state.is_at_rest():  # else there is nothing left to end
            self.state.stop(cause, reason)

    def _creation_data(self) -> Mapping[str, Any]:
        data: dict[str, Any] = {"pipeline": self.plan.name, "stages": len(self.plan.nodes)}
        if self.resumption is not None:
            data["resumed_from"] = self.resumption.resumed_from
        snapshot = self.scope.context.snapshot
        for name in ("topology", "execution_mode", "transport"):
            if (value := getattr(snapshot, name)) is not None:
                data[name] = value
        if self.scope.context.correlation is not None:
            ids = correlation_of(self.scope.context)
            named = {name: getattr(ids, name) for name in ("run_id", "request_id", "trace_id", "extra")}
            data["correlation"] = {name: value for name, value in named.items() if value}
        parent = self.scope.context.parent
        if parent is not None:
            data["parent_stage"] = parent.stage
            data["depth"] = parent.depth
        return data

    @property
    def id(self) -> str:
        """The `pipeline_run_id`."""
        return self.scope.context.snapshot.run_id.pipeline_run_id

    def listen(self) -> Emitter:
        """Return the emitter of the run, which keeps every event from now on.

        Raises:
            TooLateError: The run has begun, and has kept no events.
        """
        emitter = self.scope.emitter
        if emitter is None or not emitter.keeps_log:
            if self._begun:
                raise TooLateError(
                    f"Run {self.id} has begun without a reader, so its first events are gone.",
                    hint="Call run.events() or run.messages(...) right after start(), before the first await.",
                )
            if emitter is None:
                emitter = self.scope.emitter = _emitter(self.scope.context, None, self.scope.timer)
            emitter.keep_log()
        return emitter

    def listen_to(self, stage: str) -> Stream[Any]:
        """Return the stream of a stage for a reader outside of the run; see `PipelineRun.stream`."""
        plan = self.plan
        index = plan.index.get(stage)
        if index is None:
            raise UnknownStageError(stage, pipeline=plan.name, stages=plan.names)
        streams = self.state.streams
        if streams is None or plan.nodes[index].stream is None:
            streaming = [stage.name for stage in plan.streaming]
            raise NoStreamError(stage, pipeline=plan.name, streaming=streaming)
        return streams.listen(index)

    def request_cancel(self, reason: str) -> None:
        """End the run in good order; PipelineCancelled will give this reason."""
        if not self._begun:
            if self._cancel_requested is None:
                self._cancel_requested = reason
        else:
            self._end(Cause.OUTSIDE, reason)

    def interrupt(self, error: asyncio.CancelledError) -> None:
        """End the run because its caller was cancelled, before its first step or later."""
        if self._interrupted is None:
            self._interrupted = error
            self._patience = self.state.loop.time() + self.scope.grace_s
        self.request_cancel("the caller was cancelled")

    async def _wind_down(self) -> None:
        """Wait until every worker has ended, cancelling them if the run is stopping, for `cancel_grace` at most."""
        state = self.state
        deadline: float | None = None
        while state.workers:
            if self.scope.stopping is not None and deadline is None:
                state.cancelling = True
                deadline = state.loop.time() + self.scope.grace_s
                # A second cancellation would cut short the cleanup of those that are being ended already.
                ending = () if state.streams is None else state.streams.being_ended()
                for worker in state.workers:
                    if worker not in ending:
                        worker.cancel(self.scope.stopping)
                if state.streams is not None:
                    state.end_broken_streams()
            timeout = None if deadline is None else max(deadline - state.loop.time(), 0.0)
            try:
                ended, _ = await asyncio.wait(tuple(state.workers), timeout=timeout)
            except asyncio.CancelledError as error:
                self.interrupt(error)
            else:
                for worker in ended:  # each has left by itself; one that had not would be waited for without end
                    state.workers.pop(worker, None)
                if not ended and timeout is not None:
                    return

    async def _end_children(self) -> None:
        """End the children that stages have left running, and wait for them, for `cancel_grace` at most.

        `asyncio.gather`, for one, does not wait for the others when it is cancelled or one of them has failed.
        """
        state, children = self.state, self.scope.children
        until = state.loop.time() + (0.0 if state.workers else self.scope.grace_s)
        for task, stage in children.items():
            if not task.cancelling():
                logger.warning(
                    "Stage '%s' of pipeline '%s' ended before its child, which is cancelled.", stage, self.plan.name
                )
                task.cancel("its stage has ended")
        while left := {task for task in children if task not in state.workers and not task.done()}:
            seconds = until - state.loop.time()
            if seconds <= 0:
                break
            try:
                await asyncio.wait(left, timeout=seconds)
            except asyncio.CancelledError as error:
                self.interrupt(error)
        for task in left:
            self.scope.left_behind.append(children[task])
            announce_straggler(self.scope.emitter, children[task], self.scope.grace_s)

    async def _finish(self, stragglers: tuple[str, ...]) -> PipelineResults:
        emitter = self.scope.emitter
        for name in stragglers:
            announce_straggler(emitter, name, self.scope.grace_s)
        results = self._conclude(stragglers, self.scope.timer.elapsed_ms)
        if self.scope.recorder is not None:
            await self._record_the_end(self.scope.recorder, results)
        if emitter is not None:
            await self._tell_the_end(emitter, results.duration_ms)
            results.events_lost = emitter.lost
        if self.state.streams is not None:
            self.state.streams.finish(self.scope.statistics)
        return results

    async def _record_the_end(self, recorder: Recorder, results: PipelineResults) -> None:
        """Tell the run store how the run ended; unless that is left to the run at the root, wait for it."""
        context, emitter = self.scope.context, self.scope.emitter
        told = {
            **self._terminal_data(),
            "skipped": list(results.skipped()),
            "error": None if results.error is None else run_error_data(results.error),
            "events_lost": 0 if emitter is None else emitter.lost,
        }
        del told["pipeline"]  # which the store was told when the run was created
        recorder.end(context, results.status, results.duration_ms, told)
        if recorder.owner != self.id:
            return
        if context.parent is None:
            interrupted = await recorder.finish()
        else:  # so that it has given up before its parent gives it up
            until = math.inf if self._interrupted is None else self._patience
            interrupted = await recorder.finish(grace_s=self.scope.grace_s, until=until)
        results.records_lost = recorder.lost
        self._interrupted = self._interrupted or interrupted

    async def _tell_the_end(self, emitter: Emitter, duration_ms: float) -> None:
        """Emit the last event of the run; for a child, whose parent still runs, without waiting for the sink."""
        status, data = self._status(), self._terminal_data()
        if self.scope.context.parent is not None:
            emitter.emit(f"pipeline.{status}", status=status, duration_ms=duration_ms, data=data)
            emitter.end_reading()
            return
        try:
            await emitter.finish(f"pipeline.{status}", status=status, duration_ms=duration_ms, data=data)
        except asyncio.CancelledError as error:
            self._interrupted = self._interrupted or error

    def _conclude(self, stragglers: tuple[str, ...], duration_ms: float) -> PipelineResults:
        state, plan = self.state, self.plan
        self.scope.over = True
        scope, resumption = self.scope, self.resumption
        carried: Mapping[int, StageResult] = {} if resumption is None else resumption.carried
        times = StageTimes(state.started, state.ended, scope.timer, scope.attempts, carried)
        log = RunLog(plan.names, plan.index, state.outputs, state.origins, times, scope.statistics)
        status, snapshot = self._status(), scope.context.snapshot
        self.results = results = PipelineResults(log, plan.name, snapshot, status, duration_ms)
        results.stragglers = stragglers
        if scope.left_behind:
            results.stragglers = tuple(name for name in plan.names if name in (*scope.left_behind, *stragglers))
        if resumption is not None:
            results.resumed_from = resumption.resumed_from
        if status == "suspended":
            results.suspension = Suspension(snapshot, plan.fingerprint(), scope.first_run_id or self.id)
        if status != "completed":
            results.error = self._error(results)
        if state.errors is not None:
            empty_our_frames(state.errors)
        return results

    def _status(self) -> RunStatus:
        state = self.state
        if state.failures:
            return "failed"
        if state.ending is None:
            return "suspended" if state.suspended else "completed"
        return "failed" if state.ending.cause is Cause.TIMEOUT else "cancelled"

    def _terminal_data(self) -> Mapping[str, Any]:
        state, names = self.state, self.plan.names
        data: dict[str, Any] = {"pipeline": self.plan.name}
        if state.failures:
            data["failed"] = [names[index] for index in sorted(state.failures)]
        if state.suspended:
            data["suspended"] = [names[index] for index in sorted(state.suspended)]
        if state.ending is not None:
            data["reason"] = state.ending.reason
        return data

    def _error(self, results: PipelineResults) -> StageflowError:
        """Return what a run raises that did not complete."""
        state, names = self.state, self.plan.names
        if state.failures:
            failures = tuple(self._failure(index, results) for index in sorted(state.failures))
            failures[0].failures = failures
            return failures[0]
        ending = state.ending
        if ending is None:
            asking = [names[index] for index in sorted(state.suspended)]
            suspended = PipelineSuspended(pipeline=self.plan.name, stages=asking, results=results)
            return located(suspended, self.scope.context.parent, self.plan.name)
        if ending.cause is Cause.TIMEOUT:
            cut_off = (stored is not None and stored is state.cancel_output for stored in state.outputs)
            pairs = zip(names, state.started, cut_off, strict=True)
            running = [name for name, started, was_cut_off in pairs if started and was_cut_off]
            late = PipelineTimeoutError(
                pipeline=self.plan.name,
                seconds=self._limit.seconds,
                running=running,
                results=results,
                limit=self._limit.name,
                halted=self._halted,
            )
            return located(late, self.scope.context.parent, self.plan.name)
        stage = None if ending.stage is None else names[ending.stage]
        reason = ending.reason if stage is None else str(results[stage].reason)
        cancelled = PipelineCancelled(pipeline=self.plan.name, stage=stage, reason=reason, results=results)
        return located(cancelled, self.scope.context.parent, self.plan.name, stage)

    def _failure(self, index: int, results: PipelineResults) -> StageExecutionError:
        name, parent = self.plan.names[index], self.scope.context.parent
        info = results[name].error
        cause = None if info is None else info.exception
        here = chain_of(parent, self.plan.name, name)
        of_child = passed_on(cause, here)
        error = StageExecutionError(
            name,
            of_child.detail if isinstance(of_child, StageExecutionError) else str(info),
            pipeline=self.plan.name,
            attempts=results.record(name).attempts,
            stage_code=None if info is None else info.code,
            results=results,
            below=() if of_child is None else of_child.chain[len(here) :],
        )
        error.__cause__ = cause
        if of_child is not None:
            error.chain = of_child.chain
            return error
        return located(error, parent, self.plan.name, name)


def _emitter(context: PipelineContext, sink: EventSink | None, timer: PipelineTimer) -> Emitter:
    parent = context.parent
    return Emitter(context.snapshot.run_id, sink, timer.now, None if parent is None else parent.run_id)


def _has_ended(stored: Stored) -> bool:
    """Return whether a stage has ended for those that depend on it: a suspended one has not."""
    return stored is not None and not (isinstance(stored, StageOutput) and stored.status is StageStatus.SUSPEND)
