"""Everything that changes while a run goes on, and how an outcome other than a plain OK is settled.

A run owns one `RunState`; it dies with the run. Its workers read and write it without locks, since all of them live on
one event loop and none awaits between reading and writing. Only the worker that ran a stage records its outcome; only
the coordinator (`stageflow.execution.run`) cancels, and records what never ran.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextvars import Context, copy_context
from typing import Any

from stageflow.core.context import RunScope
from stageflow.core.inputs import Stored
from stageflow.core.kinds import StageStatus
from stageflow.core.output import StageOutput
from stageflow.events.secret_text import redacted_text
from stageflow.execution.plan import ExecutionPlan
from stageflow.wording import listed

logger = logging.getLogger(__name__)


class RunState:
    """The mutable state of one run, indexed by stage as the plan is.

    Attributes:
        outputs: What each stage ended as, None while it has not.
        waiting: How many dependencies each stage still waits for.
        ready: Stages that may start, in the order in which they will.
        started, ended: Readings of the run's clock, 0 where there is none.
        origins: The stage or the reason that kept a stage from running, or stopped it.
        failures: Stages that failed of their own accord, not while they were being cancelled.
        cancelled_by: The stage that returned CANCEL, if that is what ended the run.
        relief: How many workers and guards are queued; the event loop will come to each.
        growth: How many workers the next guard brings on that finds work left.
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
        "cancelled_by",
        "cancelling",
        "closed",
        "current",
        "ended",
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
        "scope",
        "started",
        "waiting",
        "wake",
        "workers",
    )

    def __init__(self, plan: ExecutionPlan, scope: RunScope) -> None:
        size = len(plan.nodes)
        self.plan = plan
        self.scope = scope
        self.outputs: list[Stored] = [None] * size
        self.waiting = list(plan.in_degrees)
        self.ready = deque(plan.roots)
        self.started = [0] * size
        self.ended = [0] * size
        self.origins: dict[int, str] = {}
        # Outcomes that end the run.
        self.failures: list[int] = []
        self.cancelled_by: int | None = None
        self.cancel_output: StageOutput[Any] | None = None
        self.cancelling = False
        self.closed = False
        self.broken: BaseException | None = None
        # Workers: see stageflow.execution.worker.
        self.workers: set[asyncio.Task[None]] = set()
        self.relief = 0
        self.growth = 1
        self.paused = False
        self.hold_until = 0
        self.current = -1

    def begin(self) -> None:
        """Tie the run to the running event loop and to the context of whoever runs it."""
        self.loop = asyncio.get_running_loop()
        self.base: Context = copy_context()
        self.wake: asyncio.Future[None] = self.loop.create_future()

    def is_settled(self) -> bool:
        """Return whether every stage has an outcome."""
        return all(stored is not None for stored in self.outputs)

    def check(self) -> None:
        """Raise what is a defect of the executor, instead of results that would not be true."""
        if self.broken is not None:
            raise self.broken
        # `ended` first: to look for a zero is as cheap as it gets, and only stages that never ran have one.
        if self.scope.stopping is None and 0 in self.ended and not self.is_settled():
            names = [name for name, stored in zip(self.plan.names, self.outputs, strict=True) if stored is None]
            raise RuntimeError(f"A defect of Stageflow: nothing runs any more, and these never did: {listed(names)}.")

    def stop(self, reason: str) -> None:
        """Let no further stage start, and have the coordinator cancel those that run. The first reason stays."""
        if self.scope.stopping is None:
            self.cancel_output = StageOutput.cancel(reason)
            self.scope.stopping = reason
        self.wake_coordinator()

    def wake_coordinator(self) -> None:
        """Let the coordinator look at the run."""
        if not self.wake.done():
            self.wake.set_result(None)

    def raised(self, error: BaseException) -> StageOutput[Any]:
        """Return the outcome of a stage that raised."""
        # From the moment on in which the run is stopping: a stage that asks `raise_if_cancelled` may be told before the
        # coordinator has cancelled its worker.
        if self.cancel_output is not None and isinstance(error, asyncio.CancelledError):
            return self.cancel_output
        trace = error.__traceback__
        if trace is not None and trace.tb_next is not None:
            # Without the worker's own frame, which would keep the whole run alive, and tells the user nothing.
            error = error.with_traceback(trace.tb_next)
        return StageOutput.fail(error)

    def settle(self, index: int, stored: Stored) -> None:
        """Record an outcome that is not OK, or that arrives while the run is ending, and what follows from it."""
        if self.closed:
            name = self.plan.names[index]
            logger.warning("Stage '%s' ended after its run had left it behind: %s", name, _in_words(stored))
            return
        cancelled = self.cancel_output
        if cancelled is not None and stored is cancelled:
            self.origins[index] = str(cancelled.reason)
            self.record(index, stored)
            return
        self.record(index, stored)
        status = stored.status if isinstance(stored, StageOutput) else StageStatus.OK
        if status is StageStatus.OK:
            return
        assert isinstance(stored, StageOutput)
        self._skip_dependents(index, stored)
        name = self.plan.names[index]
        if status is StageStatus.FAIL:
            if not self.cancelling:
                self.failures.append(index)
            self.stop(f"stage '{name}' failed")
        elif status is StageStatus.CANCEL:
            if self.scope.stopping is None:
                self.cancelled_by = index
            self.stop(f"stage '{name}' cancelled the run: {stored.reason}")

    def record(self, index: int, stored: Stored) -> None:
        """Write one outcome down, and emit its events."""
        self.outputs[index] = stored
        emitter = self.scope.emitter
        if emitter is not None:
            self.emit_ended(index, stored)

    def emit_ended(self, index: int, stored: Stored) -> None:
        """Emit what a stage published, and its terminal event."""
        emitter = self.scope.emitter
        assert emitter is not None
        node = self.plan.nodes[index]
        name, started = node.name, self.started[index]
        attempt = 1 if started else None
        duration_ms = (self.ended[index] - started) / 1e6 if started else None
        if not isinstance(stored, StageOutput):
            emitter.emit(node.completed_event, stage=name, status=_OK, attempt=attempt, duration_ms=duration_ms)
            return
        for artifact in stored.artifacts:
            payload = {"type": artifact.type, "payload": artifact.payload}
            emitter.emit(f"stage.{name}.artifact", stage=name, attempt=attempt, data=payload)
        for event in stored.events:
            emitter.emit(event.type, stage=name, attempt=attempt, data=event.data)
        emitter.emit(
            f"stage.{name}.{EVENT_OF[stored.status]}",
            stage=name,
            status=stored.status.value,
            attempt=attempt,
            duration_ms=duration_ms,
            data=_terminal_data(stored, self.origins.get(index)),
        )

    def _skip_dependents(self, index: int, output: StageOutput[Any]) -> None:
        """Skip all that requires this stage, however far; what it was optional for goes on without it."""
        nodes, names, outputs, waiting = self.plan.nodes, self.plan.names, self.outputs, self.waiting
        origin = names[index]
        why = f"'{origin}' {_ENDED[output.status]}: {output.error or output.reason}"
        reached, released = deque((index,)), list[int]()
        while reached:
            source = reached.popleft()
            for successor in nodes[source].successors:
                if outputs[successor] is not None:
                    continue
                if source in nodes[successor].optional:
                    waiting[successor] -= 1
                    if not waiting[successor]:
                        released.append(successor)
                    continue
                self.origins[successor] = origin
                self.record(successor, StageOutput.skip(f"required stage {why}"))
                reached.append(successor)
        self.ready.extend(sorted(released))  # together, so in plan order

    def close(self) -> tuple[str, ...]:
        """Record CANCEL for every stage without an outcome; return those of them that still run."""
        stragglers: list[str] = []
        reason = self.scope.stopping
        if reason is not None:
            now = self.scope.timer.clock()
            for index, stored in enumerate(self.outputs):
                if stored is None:
                    self.origins[index] = reason
                    if self.started[index]:
                        self.ended[index] = now
                        stragglers.append(self.plan.names[index])
                    self.record(index, self.cancel_output)
        if stragglers:
            self.ended = list(self.ended)  # their workers keep the other list, and write into it when they end at last
        self.closed = True
        return tuple(stragglers)


_OK = StageStatus.OK.value

EVENT_OF = {
    StageStatus.OK: "completed",
    StageStatus.FAIL: "failed",
    StageStatus.SKIP: "skipped",
    StageStatus.CANCEL: "cancelled",
}

_ENDED = {StageStatus.FAIL: "failed", StageStatus.SKIP: "was skipped", StageStatus.CANCEL: "cancelled the run"}


def _in_words(stored: Stored) -> str:
    """Say how a stage ended, for a log: what it returned is not for it."""
    if not isinstance(stored, StageOutput):
        return StageStatus.OK.name
    why = stored.error or stored.reason
    return stored.status.name if why is None else f"{stored.status.name}: {redacted_text(str(why))}"


def _terminal_data(output: StageOutput[Any], origin: str | None) -> dict[str, Any] | None:
    data: dict[str, Any] = {}
    if output.error is not None:
        data["error"] = {"message": output.error.message, "type": output.error.type, "code": output.error.code}
    if output.reason is not None:
        data["reason"] = output.reason
    if origin is not None:
        data["origin"] = origin
    return data or None
