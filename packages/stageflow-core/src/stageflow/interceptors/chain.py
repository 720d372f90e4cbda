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

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, cast

from stageflow.core.context import StageContext
from stageflow.core.inputs import Stored
from stageflow.core.output import PlainOutput, StageOutput, put_data, reader_view
from stageflow.core.returning import returned
from stageflow.errors import InterceptorError
from stageflow.frozen import SHAREABLE_TYPES, FrozenDict
from stageflow.interceptors.around import Inner, in_its_place, run_around
from stageflow.interceptors.base import ErrorAction, InterceptorContext, InterceptorResult
from stageflow.interceptors.hooks import (
    PASSING,
    FlawedHookError,
    Hook,
    Layer,
    flaw_of,
    run_hook,
    strip,
    timed,
    wrong_return,
)
from stageflow.interceptors.outcome import Outcome, output_of

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
        self._befores = tuple(timed(layer, "before") for layer in own if layer.before is not None)
        self._afters = tuple(timed(layer, "after") for layer in reversed(own) if layer.after is not None)

    @classmethod
    def of(cls, interceptors: Iterable[Any]) -> Chain | None:
        """Return the chain of interceptors, as `check_interceptors` gave them; None if there is no hook to call."""
        layers = [Layer(interceptor) for interceptor in sorted(interceptors, key=attrgetter("priority"))]
        layers = [layer for layer in layers if layer.has_hooks]
        return cls(layers) if layers else None

    # One long function on purpose: a call for each hook would cost as much as the hook does.
    async def call(self, ctx: InterceptorContext, execute: Execute) -> Stored:  # noqa: C901, PLR0912 - see above
        """Run one attempt through all layers, and return what is to be stored.

        Args:
            ctx: Of this attempt.
            execute: Runs the stage once, with the stage's context, and returns what the stage returned.

        Raises:
            InterceptorError: A hook raised, took too long, or returned the wrong thing.
            RetryRequested: An `on_error` wants another attempt.
            BaseException: What the stage raised, if no `on_error` gave another outcome.
        """
        # The hook that runs, and what the stage ended as, once it has: together they say how far the attempt has come.
        hook: Hook | None = None
        stored: Stored = None
        try:
            for hook in self._befores:
                result: Any = await hook(ctx)
                if result is not None:
                    break
            else:
                hook = result = None
                if self._around is None:
                    result = await execute(ctx.stage)
                    if type(result) is dict:
                        stored = FrozenDict(cast("dict[str, Any]", result))
                        for value in stored.values():
                            if type(value) not in SHAREABLE_TYPES:
                                stored = returned(ctx.stage_name, result)
                                break
                    else:
                        stored = returned(ctx.stage_name, result)
                    if type(stored) is FrozenDict:  # as nearly always: nothing but `after` is left to be called
                        output = PlainOutput()
                        put_data(output, stored)
                        for hook in self._afters:
                            result = await hook(ctx, output)
                            if result is not None:
                                break
                        else:
                            return stored
        except PASSING:
            raise
        except BaseException as error:  # noqa: BLE001 - a stage or a hook of the user's may raise anything
            outcome, entered = self._raised(ctx, hook, stored, error)
        else:
            if hook is not None:
                outcome, entered = self._given(ctx, hook, stored, cast("Any", result))
            elif self._around is None:
                outcome, entered = Outcome(ctx.stage_name, stored), len(self._layers)
            else:
                outcome, entered = await run_around(ctx, self._around, self._inside(ctx, execute))
        return await self._leave(ctx, entered, outcome)

    def _raised(
        self, ctx: InterceptorContext, hook: Hook | None, stored: Stored, error: BaseException
    ) -> tuple[Outcome, int]:
        """Return what comes of an attempt in which a hook or the stage raised, and how many layers are to be left."""
        if hook is None:
            strip(error)
            return Outcome(ctx.stage_name, error=error), len(self._layers)
        layer, name = self._whose(hook, stored)
        flaw = error.flaw if isinstance(error, FlawedHookError) else flaw_of(ctx, layer, name, error)
        return Outcome(ctx.stage_name, error=flaw), layer.depth

    def _given(self, ctx: InterceptorContext, hook: Hook, stored: Stored, result: object) -> tuple[Outcome, int]:
        """Return what comes of an attempt in which a hook returned something, and how many layers are to be left."""
        layer, _ = self._whose(hook, stored)
        if stored is not None:
            outcome = Outcome(ctx.stage_name, error=returned_by_after(ctx, layer, result))
        elif isinstance(result, InterceptorResult):
            outcome = in_its_place(ctx, result.output)
        else:
            expected = "Return None to let the stage run, or an InterceptorResult with the outcome in its place."
            outcome = Outcome(ctx.stage_name, error=wrong_return(ctx, layer, "before", result, expected))
        return outcome, layer.depth

    def _whose(self, hook: Hook, stored: Stored) -> tuple[Layer, str]:
        name = "before" if stored is None else "after"
        hooks = self._befores if stored is None else self._afters
        layers = [layer for layer in self._layers if getattr(layer, name) is not None]
        place = next(place for place, one in enumerate(hooks) if one is hook)
        return layers[place if stored is None else -1 - place], name

    def _inside(self, ctx: InterceptorContext, execute: Execute) -> Inner:
        return partial(execute_once, ctx, execute) if self._inner is None else partial(self._inner.call, ctx, execute)

    async def _leave(self, ctx: InterceptorContext, entered: int, outcome: Outcome) -> Stored:
        """Leave the layers that were entered, from the inside out, and deliver what has come of the attempt."""
        for layer in reversed(self._layers[:entered]):
            if outcome.passing:
                break
            await leave(ctx, layer, outcome)
        return outcome.deliver()


async def execute_once(ctx: InterceptorContext, execute: Execute) -> Stored:
    """Run the stage, and return what is to be stored of what it returned."""
    return returned(ctx.stage_name, await execute(ctx.stage))


async def leave(ctx: InterceptorContext, layer: Layer, outcome: Outcome) -> None:
    """Tell a layer what has come of the attempt, and let it decide on a failure."""
    if outcome.error is not None:
        if layer.on_error is not None:
            await decide(ctx, layer, outcome)
    elif layer.after is not None:
        result, flaw = await run_hook(ctx, layer, "after", reader_view(output_of(outcome.stored)))
        if flaw is None and result is not None:
            flaw = returned_by_after(ctx, layer, result)
        if flaw is not None:
            outcome.break_by(flaw)


async def decide(ctx: InterceptorContext, layer: Layer, outcome: Outcome) -> None:
    """Let `on_error` of a layer decide on a failure."""
    action, flaw = await run_hook(ctx, layer, "on_error", outcome.error)
    if flaw is None and type(action) is not ErrorAction:
        expected = "Return ErrorAction.FAIL, ErrorAction.RETRY or ErrorAction.FALLBACK."
        flaw = wrong_return(ctx, layer, "on_error", action, expected)
    if flaw is not None:
        outcome.break_by(flaw)
    elif outcome.sealed:
        return
    elif action is ErrorAction.RETRY:
        outcome.retry = True
    elif action is ErrorAction.FALLBACK:
        await fall_back(ctx, layer, outcome)


async def fall_back(ctx: InterceptorContext, layer: Layer, outcome: Outcome) -> None:
    """Let a layer give another outcome in place of a failure."""
    if layer.fallback is None:
        problem = "is missing, though `on_error` answered FALLBACK"
        hint = "Write: async def fallback(self, ctx, error) -> StageOutput."
        outcome.break_by(InterceptorError(ctx.stage_name, layer.name, "fallback", problem, hint=hint))
        return
    output, flaw = await run_hook(ctx, layer, "fallback", outcome.error)
    if flaw is None and not isinstance(output, StageOutput):
        flaw = wrong_return(ctx, layer, "fallback", output, "Return a StageOutput, as StageOutput.ok(...) makes.")
    if flaw is None:
        outcome.replace(in_its_place(ctx, cast("StageOutput[Any]", output)))
    else:
        outcome.break_by(flaw)


def returned_by_after(ctx: InterceptorContext, layer: Layer, result: object) -> InterceptorError:
    """Return the failure of an `after` that returned something, which would be lost."""
    return wrong_return(ctx, layer, "after", result, "`after` returns nothing; to change the outcome, use `around`.")
