"""How `around` is run: it may call what is inside once, in its own time, and cannot lose what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from stageflow.core.output import StageOutput
from stageflow.core.returning import returned
from stageflow.errors import InterceptorError
from stageflow.interceptors.base import FailStage, InterceptorContext
from stageflow.interceptors.hooks import (
    PASSING,
    Layer,
    cancelled_in,
    hook_failure,
    running_task,
    too_slow,
    wrong_return,
)
from stageflow.interceptors.outcome import Outcome, RetryRequested, output_of, stored_of

# pytest shows the interceptor and the stage, and not how one calls the other. A local of the frame would not be seen:
# the frames behind an error are emptied when the run has ended.
__tracebackhide__ = True

Inner = Callable[[], Awaitable[Any]]
"""Runs what is inside of a layer: the chain of those further in, or the stage; gives what that returned."""


class Call:
    """The `call()` of one `around`: what came of it, and how much time `around` has left for itself.

    Attributes:
        given: The output that it returned to `around`.
        outcome: What came of it; None if it has not come to an end.
        misuse: What `around` did with it that it may not, if anything.
    """

    __slots__ = (
        "_begun",
        "_ctx",
        "_inner",
        "_layer",
        "_over",
        "_seconds",
        "_task",
        "given",
        "misuse",
        "outcome",
        "runner",
    )

    def __init__(self, ctx: InterceptorContext, layer: Layer, inner: Inner, task: asyncio.Task[Any]) -> None:
        self._ctx = ctx
        self._layer = layer
        self._inner = inner
        self._task = task
        self._seconds = layer.seconds
        self._begun = False
        self._over = False
        self.runner: asyncio.Task[Any] | None = None
        self.given: StageOutput[Any] | None = None
        self.outcome: Outcome | None = None
        self.misuse: InterceptorError | None = None

    async def proceed(self) -> StageOutput[Any]:
        """Run what is inside, once: this is what `around` knows as `call`."""
        self._begin()
        stage, error = self._ctx.stage.stage_name, None
        try:
            self.outcome = Outcome(stage, returned(stage, await self._inner()))
        except PASSING:
            raise
        except RetryRequested as request:
            self.outcome = Outcome(stage, request.output, request.error)
            self.outcome.retry = True
        except BaseException as raised:  # noqa: BLE001 - whatever a stage raises is its outcome
            self.outcome = Outcome(stage, None, raised)
        if not self._over:
            self._ctx.scope.enter(self._task, self._seconds)
        if self.outcome.stored is None:
            error = self.outcome.error
            assert error is not None
            try:
                raise error
            finally:
                del error
        self.given = output_of(self.outcome.stored)
        return self.given

    def _begin(self) -> None:
        problem = None
        if self._begun and not self._may_begin_again():
            problem = "called `call()` twice", "An attempt runs the stage once: for more, give it a RetryPolicy."
        elif self._over:
            problem = "had ended when its `call()` was awaited", "Await call() within `around`."
        if problem is not None:
            misuse = InterceptorError(self._ctx.stage_name, self._layer.name, "around", problem[0], hint=problem[1])
            self.misuse = self.misuse or misuse
            raise misuse
        self._begun, self.outcome = True, None
        taken = self._ctx.scope.leave(self._task)
        if taken is None:  # its time limit has cancelled `around`, which swallowed that
            self._ctx.scope.enter(self._task, 0.0)
            self.misuse = too_slow(self._ctx, self._layer, "around")
            raise self.misuse
        if taken:
            self._seconds = max(self._seconds - taken, 0.0)
        self.runner = running_task(self._ctx)

    def _may_begin_again(self) -> bool:
        # What broke further in stands, see `_judged`: to run it again would undo that.
        return self._layer.calls_again and self.outcome is not None and not self.outcome.sealed

    def close(self) -> bool:
        """Note that `around` has ended; return whether it has left `call()` running."""
        self._over = True
        return self.runner is not None and self.outcome is None

    async def end(self) -> None:
        """End what `around` has left running, which it may not."""
        assert self.runner is not None
        hint = "Await call(), or cancel the task that does and await that."
        problem = "ended while its `call()` was still running"
        misuse = InterceptorError(self._ctx.stage_name, self._layer.name, "around", problem, hint=hint)
        self.misuse = self.misuse or misuse
        if self.runner is not self._task:
            self.runner.cancel()
            await asyncio.wait({self.runner})  # a stage does not outlive its attempt


async def run_around(ctx: InterceptorContext, layer: Layer, inner: Inner) -> tuple[Outcome, int]:
    """Run `around` of a layer; return what came of it, and how many layers are still to be left.

    That does not include the layer itself if it is its `around` that broke.
    """
    assert layer.around is not None
    task = running_task(ctx)
    cancellations = task.cancelling()
    call = Call(ctx, layer, inner, task)
    result, error = None, None
    ctx.scope.enter(task, layer.seconds)
    try:
        result = await layer.around(ctx, call.proceed)
    except PASSING:
        ctx.scope.leave(task)
        raise
    except BaseException as raised:  # noqa: BLE001 - a hook of the user's may raise anything
        error = raised
    try:
        in_time = True
        if call.close():
            await call.end()
        else:
            in_time = ctx.scope.leave(task) is not None
        cancelled = _cancellation(ctx, layer, error, task.cancelling(), cancellations)
        if cancelled is not None:
            return Outcome(ctx.stage_name, error=cancelled), 0
        broken = call.misuse if in_time else too_slow(ctx, layer, "around", error)
        return _judged(ctx, layer, call, broken, result, error)
    finally:
        call.outcome = None  # else the error holds the frames that hold it
        del error


def _cancellation(
    ctx: InterceptorContext, layer: Layer, error: BaseException | None, now: int, before: int
) -> asyncio.CancelledError | None:
    if isinstance(error, asyncio.CancelledError) and now:
        return error
    return cancelled_in(ctx, layer, "around", error) if now > before else None


def _judged(
    ctx: InterceptorContext,
    layer: Layer,
    call: Call,
    broken: InterceptorError | None,
    result: Any,
    error: BaseException | None,
) -> tuple[Outcome, int]:
    inside, entered = call.outcome, layer.depth + 1
    if broken is None and error is None and inside is not None and result is call.given is not None:
        return inside, entered  # as nearly always
    passed_on = inside is not None and inside.stored is None and error is inside.error
    if broken is None and not passed_on:
        broken = _fault(ctx, layer, result, error)
    if broken is not None:
        outcome = inside or Outcome(ctx.stage_name)
        outcome.break_by(broken)
        return outcome, layer.depth
    if inside is not None and (passed_on or inside.sealed):
        return inside, entered
    if isinstance(error, FailStage):
        return Outcome(ctx.stage_name, error=error.reason()), entered
    assert result is not None
    return in_its_place(ctx, result), entered


def in_its_place(ctx: InterceptorContext, output: StageOutput[Any]) -> Outcome:
    """Return the outcome that an interceptor gives in the stage's place: a failure if it is not what the stage returns.

    Here rather than when the attempt is over, so that the interceptors further out see the true outcome.
    """
    stored = stored_of(output)
    accept = getattr(ctx, "accept", None)
    if accept is None:
        return Outcome(ctx.stage_name, stored)
    try:
        return Outcome(ctx.stage_name, accept(stored))
    except Exception as error:  # noqa: BLE001 - a mapping of the user's class may raise anything when it is looked at
        return Outcome(ctx.stage_name, error=error)


def _fault(ctx: InterceptorContext, layer: Layer, result: Any, error: BaseException | None) -> InterceptorError | None:
    if isinstance(error, FailStage) or (error is None and isinstance(result, StageOutput)):
        return None
    if error is not None:
        return hook_failure(ctx, layer, "around", error)
    return wrong_return(ctx, layer, "around", result, "Return what `await call()` returned, or another StageOutput.")
