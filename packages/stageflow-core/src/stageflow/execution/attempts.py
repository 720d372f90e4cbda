"""A managed stage: its attempts, the waits between them, its time limits, and what its output must be.

    deadline( attempt, wait, attempt, ... )
    an attempt: permit( interceptors( timeout( the stage's own code ), then its output is checked ))

A `ManagedStage` belongs to one stage of one run, from its start to its outcome. It holds all that changes meanwhile,
but for the number of attempts, which the run keeps for its records. It returns what the stage ended as, or raises what
the stage raised; recording that is the worker's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from stageflow.core.context import RunScope, StageContext
from stageflow.core.inputs import Stored
from stageflow.core.kinds import StageStatus
from stageflow.core.output import ErrorInfo, StageOutput, make_output, output_fields, versioned
from stageflow.core.returning import returned
from stageflow.errors import MissingRetryPolicyError, StageflowError, StageTimeoutError, UndeclaredRouteError
from stageflow.execution.announcing import announce_retry, announce_straggler, publish, report_late_end
from stageflow.execution.calling import bind, call_bound, context_of
from stageflow.execution.group_permits import GroupPermits
from stageflow.execution.permits import take_permit, wait_for_permit
from stageflow.execution.plan import Management, PlanNode
from stageflow.execution.retry import RetryPolicy, asked_delay, system_random
from stageflow.execution.returning import check_output
from stageflow.execution.streaming import drive
from stageflow.execution.time_limit import TimeUpError, within
from stageflow.frozen import FrozenDict
from stageflow.interceptors.base import InterceptorContext
from stageflow.interceptors.outcome import RetryRequested


class _Demand:
    """That there be another attempt: because of what, after how many seconds at least, and what is to be published."""

    __slots__ = ("after", "failure", "output")

    def __init__(self, failure: ErrorInfo, after: float | None, output: StageOutput[Any] | None) -> None:
        self.failure = failure
        self.after = after
        self.output = output


class ManagedStage:
    """One stage of one run, with its attempts."""

    __slots__ = ("_attempt", "_bound", "_left", "_loop", "_management", "_node", "_outputs", "_scope", "_until")

    def __init__(self, scope: RunScope, outputs: Sequence[Stored], node: PlanNode, management: Management) -> None:
        self._scope = scope
        self._outputs = outputs
        self._node = node
        self._management = management
        self._attempt = 1
        self._bound: Callable[..., Any] | None = None
        self._left: asyncio.Future[Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._until = None if management.deadline is None else self._loop.time() + management.deadline

    async def run(self) -> Stored:
        """Try the stage until it ends in a way that stands."""
        return await self.go_on(await self._attempted())

    async def go_on(self, ended: Stored | Exception) -> Stored:
        """Try the stage again until it ends in a way that stands; `ended` is what the first attempt ended as."""
        policy = self._management.retry
        while True:
            demand = self._demand(ended)
            if demand is None or policy is None or not self._may_go_on(policy):
                if demand is not None and policy is not None:
                    ended = self._explained(ended, policy)
                return self._final(ended)
            del ended  # the wait may be long, and what an error holds large
            await self._wait(policy, demand)
            ended = await self._attempted()

    def _attempted(self) -> Awaitable[Stored | Exception]:
        return self._end() if self._management.limit is None else self._end_with_permit(self._management.limit)

    async def _end_with_permit(self, limit: str) -> Stored | Exception:
        """Make one attempt that holds a permit, from before its interceptors until its code has really ended."""
        scope, groups = self._scope, self._groups
        if groups is not None and self._node.index in groups.held:
            return await self._end()  # with the permit that it has until it ends, and does not lend
        index, priority = self._node.index, self._management.priority
        permit = take_permit(scope, index, limit, priority) or await wait_for_permit(scope, index, limit, priority)
        scope.permit = permit
        try:
            return await self._end()
        finally:
            if self._left is None:
                scope.permit = None
                permit.release()
            else:  # it still uses what the limit protects, and there is no further attempt
                self._left.add_done_callback(lambda _: permit.release())

    @property
    def _groups(self) -> GroupPermits | None:
        """What groups of stages hold of limits in this run."""
        streams = self._scope.streams
        return None if streams is None else streams.permits

    def _explained(self, ended: Stored | Exception, policy: RetryPolicy) -> Stored | Exception:
        """Return what ended a stage that its streams keep from being tried again, with a note that says so."""
        streams = self._scope.streams
        if streams is None or self._attempt >= policy.max_attempts or not streams.has_delivered(self._node.index):
            return ended
        note = f"Stage '{self._node.name}' was not tried again: chunks of a stream had been delivered."
        asked = ended if isinstance(ended, RetryRequested) else None
        output = asked.output if asked is not None else ended
        if not isinstance(output, StageOutput):
            cast("BaseException", ended if asked is None else asked.error).add_note(note)
            return ended
        info = output.error
        assert info is not None
        if info.exception is not None:
            info.exception.add_note(note)
            return ended
        fields = output_fields(output)  # of a failure in words only
        fields["error"] = replace(info, message=f"{info.message} ({note})")
        return make_output(**fields) if asked is None else RetryRequested(asked.error, make_output(**fields))

    async def _end(self) -> Stored | Exception:
        try:
            return await self._try()
        except Exception as error:  # noqa: BLE001 - raised again unless the policy covers it
            return error

    def _demand(self, ended: Stored | Exception) -> _Demand | None:
        """Return the demand for another attempt, if what the last one ended as is one."""
        policy = self._management.retry
        if isinstance(ended, RetryRequested):
            return _Demand(ErrorInfo.of(ended.error), asked_delay(ended.error), ended.output)
        if isinstance(ended, Exception):
            covered = policy is not None and policy.covers(ended)
            return _Demand(ErrorInfo.of(ended), asked_delay(ended), None) if covered else None
        if isinstance(ended, StageOutput) and ended.status is StageStatus.RETRY:
            return _demand_of(ended)
        return None

    def _final(self, ended: Stored | Exception) -> Stored:
        """Return or raise what the last attempt ended as, now that there is no other."""
        may_retry = self._management.retry is not None
        if isinstance(ended, RetryRequested):
            if not may_retry:
                raise missing_policy(self._node.name, ErrorInfo.of(ended.error)) from ended.error
            return ended.outcome()
        if isinstance(ended, Exception):
            try:
                raise ended
            finally:
                del ended  # else the error holds this frame, and this frame the error
        if isinstance(ended, StageOutput) and ended.status is StageStatus.RETRY:
            return failed_for_good(self._node.name, ended, may_retry=may_retry)
        return ended

    async def limited(self, limit: str, seconds: float, call: Callable[[], Awaitable[Any]]) -> Any:
        """Return what the call returns, if that takes no longer.

        Raises:
            StageTimeoutError: It did.
        """
        node, grace_s = self._node, self._management.grace_s
        bounded = partial(_unless_stopping, self._scope, call)
        try:
            return await within(seconds, bounded, grace_s=grace_s, name=f"stageflow stage {node.name}")
        except (KeyboardInterrupt, SystemExit) as error:
            # It has gone through the event loop from the task in there. Once more would cut short what asyncio.run
            # does then: to cancel and await what is left.
            return StageOutput.fail(error)
        except TimeUpError as error:
            left_behind, cause = error.left_behind, error.__cause__
        problem, hint = None, self._held_up(seconds) or self._way_out(limit)
        if left_behind is not None:
            left_behind.add_done_callback(partial(report_late_end, node.name))
            self._scope.left_behind.append(node.name)
            self._left = left_behind
            if self._groups is not None:
                self._groups.settled(node.index, left_behind)
            announce_straggler(self._scope.emitter, node.name, grace_s)
            problem = f"it did not stop when its {limit} of {seconds:g} s was up, and was left behind"
            hint = "Let it stop when it is cancelled. It is not tried again while it still runs."
        raise StageTimeoutError(node.name, limit=limit, seconds=seconds, problem=problem, hint=hint) from cause

    def _held_up(self, limit_s: float) -> str | None:
        """Return what to do about a reader because of which most of the time of a stage that streams has passed."""
        if self._node.stream is None:
            return None
        reader, waited_s = self._scope.streams.held_up(self._node.index)
        if waited_s <= limit_s / 2:
            return None
        return (
            f"For {waited_s:.3g} s of it, its reader '{reader}' made no room: let that read on, or close its stream "
            "where it leaves its loop (`await stream.aclose()`)."
        )

    def _way_out(self, limit: str) -> str:
        policy = self._management.retry
        if limit == "deadline":
            return "Raise deadline=." if policy is None else "Raise deadline=, or let its retries give up sooner."
        if policy is None:
            return "Raise timeout=, or have it tried again: retry=RetryPolicy(retry_on=(TimeoutError,))."
        kinds: Any = policy.retry_on
        if TimeoutError in kinds or StageTimeoutError in kinds:
            return "Raise timeout=, or the max_attempts of its RetryPolicy."
        return "Raise timeout=, or have it tried again: list TimeoutError itself in retry_on."

    async def _try(self) -> Stored:
        """Make one attempt, through the interceptors."""
        management, node, scope = self._management, self._node, self._scope
        context = context_of(scope, self._outputs, node)
        if management.chain is None:
            return await self._execute(context)
        ctx = InterceptorContext.of(context, node.kind, scope.hooks)
        if management.checks:
            ctx.accept = partial(accepted, node.name, management)
        return await management.chain.call(ctx, self._execute)

    async def _execute(self, context: StageContext) -> Stored:
        """Execute the stage once, and return what it ended as if that is what it says it returns."""
        if self._bound is None:
            self._bound = bind(self._node)
        call: Callable[[], Awaitable[Any]] = partial(
            call_bound, self._scope, self._outputs, self._node, self._bound, context
        )
        if self._node.stream is not None:
            call = partial(drive, self._scope, self._node, self._management, call)
        timeout = self._management.timeout
        result = await call() if timeout is None else await self.limited("timeout", timeout, call)
        return accepted(self._node.name, self._management, returned(self._node.name, result))

    def _may_go_on(self, policy: RetryPolicy) -> bool:
        # A stage of which an attempt still runs would run twice.
        if self._attempt >= policy.max_attempts or self._scope.stopping is not None or self._runs_on():
            return False
        # What was read cannot be taken back, nor be had a second time.
        streams = self._scope.streams
        return streams is None or not streams.has_delivered(self._node.index)

    def _runs_on(self) -> bool:
        """Return whether an attempt, or a child that it ran, was left behind."""
        scope = self._scope
        return self._left is not None or scope.left or (scope.index is None and self._node.name in scope.left_behind)

    async def _wait(self, policy: RetryPolicy, demand: _Demand) -> None:
        """Wait as the policy says before the next attempt, and count it."""
        node, scope, attempt = self._node, self._scope, self._attempt
        delay_s = policy.delay(attempt, policy.random or _random_of(self._loop), after=demand.after)
        if scope.emitter is not None and demand.output is not None:
            publish(scope.emitter, node.name, attempt, demand.output)
        if self._until is not None and self._loop.time() + delay_s >= self._until:
            raise self._out_of_time(demand.failure)
        if scope.emitter is not None:
            announce_retry(scope.emitter, node.name, attempt, delay_s, demand.failure, index=scope.index)
        await asyncio.sleep(delay_s)
        if scope.stopping is not None:  # the wait was shorter than it takes the coordinator to cancel this
            raise asyncio.CancelledError(scope.stopping)
        self._attempt += 1
        scope.attempts[node.index] = self._attempt

    def _out_of_time(self, failure: ErrorInfo) -> StageTimeoutError:
        deadline = self._management.deadline
        assert deadline is not None
        cause = failure.exception
        what = cause.message if isinstance(cause, StageflowError) else failure  # of ours without its hint
        error = StageTimeoutError(
            self._node.name,
            limit="deadline",
            seconds=deadline,
            problem=f"its next attempt would begin after its deadline of {deadline:g} s (the last one: {what})",
            hint=self._way_out("deadline"),
        )
        error.__cause__ = cause
        return error


async def _unless_stopping(scope: RunScope, call: Callable[[], Awaitable[Any]]) -> Any:
    """Await the call, unless the run began to stop after the worker started this, which runs a turn later.

    A function of the module: the frame of a closure, which an error of the stage may hold, keeps what it closes over.
    """
    if scope.stopping is not None:
        raise asyncio.CancelledError(scope.stopping)
    return await call()


def accepted(stage: str, management: Management, stored: FrozenDict[str, Any] | StageOutput[Any]) -> Stored:
    """Return what a stage ended as, with its version, if it is what the stage says it returns.

    Raises:
        StageContractError: Its value is of another type than it declares.
        UndeclaredRouteError: A router chose a route that it does not declare.
    """
    if isinstance(stored, StageOutput) and stored.status is not StageStatus.OK:
        return stored
    if management.contract is not None:
        check_output(stage, management.contract, stored)
    if management.routes:
        data: Any = stored.data if isinstance(stored, StageOutput) else stored
        route: Any = data.get("route")
        if not isinstance(route, str) or route not in management.routes:
            raise UndeclaredRouteError(stage, route, routes=management.routes)
    if management.version is not None:
        if not isinstance(stored, StageOutput):
            return versioned(stored, management.version)
        if stored.version is None:
            fields = output_fields(stored)
            fields["version"] = management.version
            return make_output(**fields)
    return stored


def failed_for_good(stage: str, output: StageOutput[Any], *, may_retry: bool) -> StageOutput[Any]:
    """Return the failure that a stage ends with which asked for another attempt, and gets none."""
    info = output.error
    assert info is not None
    if not may_retry:
        info = ErrorInfo.of(missing_policy(stage, info))
    return make_output(StageStatus.FAIL, error=info, artifacts=output.artifacts, events=output.events)


def missing_policy(stage: str, failure: ErrorInfo) -> MissingRetryPolicyError:
    """Return what says that there is no policy by which to try again."""
    missing = MissingRetryPolicyError(stage, str(failure))
    missing.__cause__ = failure.exception
    return missing


def _demand_of(output: StageOutput[Any]) -> _Demand:
    failure, after = output.error, output.retry_after
    assert failure is not None
    return _Demand(failure, asked_delay(failure.exception) if after is None else after, output)


def _random_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return the source of random numbers of the loop, as simulated ones have it, else that of the system."""
    source: Any = getattr(loop, "random", None)
    return system_random if source is None else source.random
