"""The chain of interceptors: what runs around each attempt of a stage.

A chain is built once per graph. Its layers go from the outside in, by ascending priority. One attempt goes through them
so: `before` of each on the way in, the stage, then `after` or `on_error` of each on the way out, or only of those that
were entered. A layer with `around` ends the chain; what is inside of it is a chain of its own, which `around` awaits as
`call()`. So each chain is a loop in, one await, and a loop out.

A hook is awaited in the task of the stage, and costs no timer unless it suspends: see `stageflow.interceptors.guard`.

It fails closed: whatever a hook does other than what it may do becomes an InterceptorError. Layers further out see it,
and can no longer retry it, fall back from it or return something in its place. A cancellation is none of their
business: it passes, and wins against a hook that swallows it.
"""

from __future__ import annotations

import asyncio
from asyncio import current_task
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, cast

from stageflow.core.context import StageContext
from stageflow.core.inputs import Stored
from stageflow.core.kinds import StageStatus
from stageflow.core.output import StageOutput, plain, reader_view
from stageflow.core.returning import returned
from stageflow.errors import InterceptorError
from stageflow.frozen import SHAREABLE_TYPES, FrozenDict
from stageflow.interceptors.around import Inner, run_around
from stageflow.interceptors.base import ErrorAction, FailStage, InterceptorContext, InterceptorResult
from stageflow.interceptors.hooks import PASSING, Layer, failure_of, run_hook, wrong_return
from stageflow.interceptors.outcome import Outcome, RetryRequested, output_of, stored_of

Execute = Callable[[StageContext], Awaitable[Any]]
"""Runs a stage once."""


class Chain:
    """Interceptors in the order in which they are entered, ready to be called for each attempt; made by `Chain.of`."""

    __slots__ = ("_afters", "_around", "_befores", "_inner", "_layers")

    def __init__(self, layers: Sequence[Layer]) -> None:
        around = next((place for place, layer in enumerate(layers) if layer.around is not None), len(layers))
        own, inside = layers[: around + 1], layers[around + 1 :]
        for depth, layer in enumerate(own):
            layer.depth = depth
        self._layers = tuple(own)
        self._around = own[around] if around < len(layers) else None
        self._inner = Chain(inside) if inside else None
        self._befores = tuple((layer, layer.before) for layer in own if layer.before is not None)
        self._afters = tuple((layer, layer.after) for layer in reversed(own) if layer.after is not None)

    @classmethod
    def of(cls, interceptors: Iterable[Any]) -> Chain | None:
        """Return the chain of interceptors, as `check_interceptors` gave them; None if there is no hook to call."""
        layers = [Layer(interceptor) for interceptor in sorted(interceptors, key=attrgetter("priority"))]
        layers = [layer for layer in layers if layer.has_hooks]
        return cls(layers) if layers else None

    # One long function on purpose: a call for each hook would cost as much as the hook does.
    async def call(self, ctx: InterceptorContext, execute: Execute) -> Stored:  # noqa: C901, PLR0912, PLR0915 - see above
        """Run one attempt through all layers, and return what is to be stored.

        Args:
            ctx: Of this attempt.
            execute: Runs the stage once, with the stage's context, and returns what the stage returned.

        Raises:
            InterceptorError: A hook raised, took too long, or returned the wrong thing.
            RetryRequested: An `on_error` wants another attempt.
            BaseException: What the stage raised, if no `on_error` gave another outcome.
        """
        scope = ctx.scope
        task = current_task(scope.loop)
        assert task is not None
        for layer, before in self._befores:
            if scope.entered is not None:
                scope.set_timer()
            scope.entered = task
            scope.seconds = layer.seconds
            if not scope.watching:
                scope.watch()
            failure = verdict = None
            try:
                verdict = await before(ctx)
            except PASSING:
                scope.leave(task)
                raise
            except BaseException as error:  # noqa: BLE001 - a hook of the user's may raise anything
                failure = failure_of(ctx, layer, "before", task, error, 0)
            else:
                if scope.entered is task:
                    scope.entered = None
                else:
                    failure = failure_of(ctx, layer, "before", task, None, 0)
            if failure is not None:
                return await self._refuse(ctx, layer, failure)
            if verdict is not None:
                return await self._short_circuit(ctx, layer, verdict)

        if self._around is None:
            outcome, entered = None, len(self._layers)
            try:
                result: Any = await execute(ctx.stage)
                if type(result) is dict:
                    stored: Stored = FrozenDict(cast("dict[str, Any]", result))
                    for value in stored.values():
                        if type(value) not in SHAREABLE_TYPES:
                            stored = returned(ctx.stage_name, result)
                            break
                else:
                    stored = returned(ctx.stage_name, result)
            except (asyncio.CancelledError, *PASSING):
                raise
            except BaseException as error:  # noqa: BLE001 - whatever a stage raises is the outcome of that stage
                stored, outcome = None, raised(ctx, error)
        else:
            outcome, entered = await run_around(ctx, self._around, self._inside(ctx, execute))
            stored = outcome.stored
        if outcome is not None and outcome.error is not None:
            return await self._leave(ctx, entered, outcome)

        if type(stored) is FrozenDict:
            if not self._afters:
                return stored
            output = plain(stored)
        elif output_of(stored).status is StageStatus.FAIL:
            return await self._leave(ctx, len(self._layers), Outcome(ctx.stage_name, stored))
        else:
            output = None
        for layer, after in self._afters:
            if scope.entered is not None:
                scope.set_timer()
            scope.entered = task
            scope.seconds = layer.seconds
            if not scope.watching:
                scope.watch()
            failure = result = None
            try:
                # What holds something mutable is copied for each reader.
                result = await after(ctx, reader_view(output_of(stored)) if output is None else output)
            except PASSING:
                scope.leave(task)
                raise
            except BaseException as error:  # noqa: BLE001 - as above
                failure = failure_of(ctx, layer, "after", task, error)
            else:
                if scope.entered is task:
                    scope.entered = None
                else:
                    failure = failure_of(ctx, layer, "after", task, None)
            if failure is None and result is not None:
                failure = returned_by_after(ctx, layer, result)
            if failure is not None:
                return await self._break(ctx, layer, stored, failure)
        return stored

    def _inside(self, ctx: InterceptorContext, execute: Execute) -> Inner:
        return partial(execute_once, ctx, execute) if self._inner is None else partial(self._inner.call, ctx, execute)

    async def _short_circuit(self, ctx: InterceptorContext, layer: Layer, verdict: Any) -> Stored:
        if not isinstance(verdict, InterceptorResult):
            expected = "Return None to let the stage run, or an InterceptorResult with the outcome in its place."
            return await self._refuse(ctx, layer, wrong_return(ctx, layer, "before", verdict, expected))
        return await self._leave(ctx, layer.depth, Outcome(ctx.stage_name, stored_of(verdict.output)))

    async def _refuse(self, ctx: InterceptorContext, layer: Layer, failure: Exception) -> Stored:
        error = failure.error if isinstance(failure, FailStage) else failure
        return await self._leave(ctx, layer.depth, Outcome(ctx.stage_name, error=error))

    async def _break(self, ctx: InterceptorContext, layer: Layer, stored: Stored, failure: Exception) -> Stored:
        assert isinstance(failure, InterceptorError)
        outcome = Outcome(ctx.stage_name, stored)
        outcome.break_by(failure)
        return await self._leave(ctx, layer.depth, outcome)

    async def _leave(self, ctx: InterceptorContext, entered: int, outcome: Outcome) -> Stored:
        """Leave the layers that were entered, from the inside out, and deliver what has come of the attempt."""
        for layer in reversed(self._layers[:entered]):
            try:
                await leave(ctx, layer, outcome)
            except InterceptorError as failure:
                outcome.break_by(failure)
        error, stored = outcome.error, outcome.stored
        if outcome.retry:
            assert error is not None
            raise RetryRequested(error, None if stored is None else output_of(stored))
        if stored is not None or error is None:
            return stored
        try:
            raise error
        finally:
            del error, outcome  # else the error holds this frame, and this frame the error


async def execute_once(ctx: InterceptorContext, execute: Execute) -> Stored:
    """Run the stage, and return what is to be stored of what it returned."""
    return returned(ctx.stage_name, await execute(ctx.stage))


async def leave(ctx: InterceptorContext, layer: Layer, outcome: Outcome) -> None:
    """Tell a layer what has come of the attempt, and let it decide on a failure.

    Raises:
        InterceptorError: Its hook broke.
    """
    error = outcome.error
    if error is None:
        if layer.after is not None:
            result = await run_hook(ctx, layer, "after", reader_view(output_of(outcome.stored)))
            if result is not None:
                raise returned_by_after(ctx, layer, result)
        return
    if layer.on_error is None:
        return
    action = await run_hook(ctx, layer, "on_error", error)
    if type(action) is not ErrorAction:
        expected = "Return ErrorAction.FAIL, ErrorAction.RETRY or ErrorAction.FALLBACK."
        raise wrong_return(ctx, layer, "on_error", action, expected)
    if outcome.sealed:
        return
    if action is ErrorAction.RETRY:
        outcome.retry = True
    elif action is ErrorAction.FALLBACK:
        outcome.replace(ctx.stage_name, await fallback_of(ctx, layer, error))


async def fallback_of(ctx: InterceptorContext, layer: Layer, error: BaseException) -> StageOutput[Any]:
    """Return the outcome that a layer gives in place of a failure."""
    if layer.fallback is None:
        problem = "is missing, though `on_error` answered FALLBACK"
        hint = "Write: async def fallback(self, ctx, error) -> StageOutput."
        raise InterceptorError(ctx.stage_name, layer.name, "fallback", problem, hint=hint)
    output = await run_hook(ctx, layer, "fallback", error)
    if not isinstance(output, StageOutput):
        raise wrong_return(ctx, layer, "fallback", output, "Return a StageOutput, as StageOutput.ok(...) makes.")
    return output  # pyright: ignore[reportUnknownVariableType]


def returned_by_after(ctx: InterceptorContext, layer: Layer, result: object) -> InterceptorError:
    """Return the failure of an `after` that returned something, which would be lost."""
    return wrong_return(ctx, layer, "after", result, "`after` returns nothing; to change the outcome, use `around`.")


def raised(ctx: InterceptorContext, error: BaseException) -> Outcome:
    """Return the outcome of a stage that raised."""
    trace = error.__traceback__
    if trace is not None and trace.tb_next is not None:
        error.__traceback__ = trace.tb_next  # without the chain's own frame, which is added once more on the way out
    return Outcome(ctx.stage_name, error=error)
