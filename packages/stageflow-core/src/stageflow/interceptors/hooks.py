"""How a hook is called, and what becomes of one that raises or takes too long."""

from __future__ import annotations

import asyncio
import dis
import inspect
import logging
from collections.abc import Callable, Coroutine
from types import CodeType
from typing import Any

from stageflow.errors import InterceptorError
from stageflow.events.secret_text import redacted_text
from stageflow.interceptors.base import HOOK_TIMEOUT, BaseInterceptor, FailStage, InterceptorContext
from stageflow.interceptors.outcome import told
from stageflow.wording import shown, type_name, with_article

logger = logging.getLogger(__name__)

Hook = Callable[..., Coroutine[Any, Any, Any]]

PASSING = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends the program or its event loop, not the stage."""

_SUSPENDING = frozenset({"SEND", "YIELD_FROM", "YIELD_VALUE"})
"""The names of the instructions at which a coroutine can suspend; each `await` is made of one."""


def can_suspend(hook: Hook) -> bool:
    """Return whether a hook may ever suspend: not if it is a plain `async def` without any `await` in it."""
    code = getattr(hook, "__code__", None)
    if type(code) is not CodeType or not code.co_flags & inspect.CO_COROUTINE:  # a mock says that it is one
        return True
    return any(step.opname in _SUSPENDING for step in dis.get_instructions(code))


class FlawedHookError(Exception):
    """Raised by a hook that was kept to its time, in the place of what is wrong with it."""

    def __init__(self, flaw: BaseException) -> None:
        super().__init__(flaw)
        self.flaw = flaw


class Layer:
    """One interceptor as its chain calls it: hooks that are not overridden are None, the others are kept to their time.

    That of `around` is kept where it is run, since what it calls does not count.

    Attributes:
        depth: How many layers of its chain are outside of it.
        seconds: How long a hook may take.
        calls_again: Whether its `around` may run what is inside more than once.
    """

    __slots__ = ("after", "around", "before", "calls_again", "depth", "fallback", "name", "on_error", "seconds")

    def __init__(self, interceptor: Any) -> None:
        self.name: str = interceptor.name
        self.seconds: float = getattr(interceptor, "hook_timeout", HOOK_TIMEOUT)
        self.calls_again: bool = getattr(interceptor, "calls_again", False)
        self.depth = 0
        self.around = _overridden(interceptor, "around")
        self.before = self._timed("before", _overridden(interceptor, "before"))
        self.after = self._timed("after", _overridden(interceptor, "after"))
        self.on_error = self._timed("on_error", _overridden(interceptor, "on_error"))
        self.fallback = self._timed("fallback", _overridden(interceptor, "fallback"))

    @property
    def has_hooks(self) -> bool:
        """Whether there is anything to call."""
        return not (self.before is self.around is self.after is self.on_error is None)

    def _timed(self, name: str, hook: Hook | None) -> Hook | None:
        if hook is None or not can_suspend(hook):
            return hook  # which no time limit could reach

        async def timed(ctx: InterceptorContext, about: Any = None) -> Any:
            scope, task = ctx.scope, running_task(ctx)
            cancellations = task.cancelling()
            scope.enter(task, self.seconds)
            result, error = None, None
            try:
                result = await (hook(ctx) if about is None else hook(ctx, about))  # `before` is about nothing yet
            except PASSING:
                scope.leave(task)
                raise
            except BaseException as raised:  # noqa: BLE001 - a hook of the user's may raise anything
                error = raised
            else:
                if scope.entered is task:  # as nearly always: it was not suspended
                    scope.entered = None
                    return result
            flaw = flaw_at_end(ctx, self, name, task, cancellations, error)
            if flaw is None:
                return result
            try:
                raise FlawedHookError(flaw)
            finally:
                del error, flaw  # else the error holds this frame, and this frame the error

        return timed


def _overridden(interceptor: Any, hook: str) -> Hook | None:
    function = getattr(interceptor, hook, None)
    return None if getattr(function, "__func__", None) is getattr(BaseInterceptor, hook) else function


async def run_hook(
    ctx: InterceptorContext, layer: Layer, name: str, *arguments: Any
) -> tuple[Any, BaseException | None]:
    """Call a hook; return what it returned, and what is wrong with it."""
    try:
        return await getattr(layer, name)(ctx, *arguments), None
    except PASSING:
        raise
    except BaseException as error:  # noqa: BLE001 - a hook of the user's may raise anything
        return None, flaw_of(ctx, layer, name, error)


def flaw_at_end(
    ctx: InterceptorContext,
    layer: Layer,
    name: str,
    task: asyncio.Task[Any],
    cancellations: int,
    error: BaseException | None,
) -> BaseException | None:
    """End a hook that raised, or that was suspended; say what is wrong with it, None if nothing is.

    Args:
        ctx: Of the attempt.
        layer: Whose hook it is.
        name: What the hook is called.
        task: The task that ran it.
        cancellations: How often the task had been cancelled when the hook started.
        error: What it raised, if it did.
    """
    in_time = ctx.scope.leave(task) is not None
    if isinstance(error, asyncio.CancelledError) and task.cancelling():
        return error
    if name == "before" and task.cancelling() > cancellations:  # which it may not swallow: the stage would run
        return cancelled_in(ctx, layer, name, error)
    if not in_time:
        return too_slow(ctx, layer, name, error)
    return None if error is None else flaw_of(ctx, layer, name, error)


def flaw_of(ctx: InterceptorContext, layer: Layer, name: str, error: BaseException) -> BaseException:
    """Say what is wrong with a hook that raised, though it was neither cancelled nor late.

    Returns:
        An InterceptorError; for a `before` that fails the stage on purpose, the error that it gives.
    """
    if isinstance(error, FlawedHookError):  # found out already
        return error.flaw
    if isinstance(error, FailStage) and name == "before":
        return error.reason()
    return hook_failure(ctx, layer, name, error)


def running_task(ctx: InterceptorContext) -> asyncio.Task[Any]:
    """Return the task that runs the stage."""
    task = asyncio.current_task(ctx.scope.loop)
    assert task is not None
    return task


def hook_failure(ctx: InterceptorContext, layer: Layer, hook: str, error: BaseException) -> InterceptorError:
    """Return the failure of a hook that raised."""
    strip(error)
    failure = InterceptorError(ctx.stage_name, layer.name, hook, f"raised {told(error)}")
    failure.__cause__ = error
    return failure


_WORD = 20
"""Characters of a text that is shown."""


def wrong_return(ctx: InterceptorContext, layer: Layer, hook: str, result: object, expected: str) -> InterceptorError:
    """Return the failure of a hook that returned something else than it may."""
    # A word says what was meant by it; of anything larger the type must do, since it may be the stage's data.
    short = result is None or isinstance(result, (bool, type)) or (isinstance(result, str) and len(result) <= _WORD)
    what = shown(result) if short else with_article(type_name(result))
    return InterceptorError(ctx.stage_name, layer.name, hook, f"returned {what}", hint=expected)


def too_slow(ctx: InterceptorContext, layer: Layer, hook: str, error: BaseException | None = None) -> InterceptorError:
    """Return the failure of a hook that outlasted its time."""
    failure = InterceptorError(
        ctx.stage_name,
        layer.name,
        hook,
        f"took longer than its hook_timeout of {layer.seconds:g} s",
        hint="Find out what it waits for, or set `hook_timeout` of the interceptor, in seconds.",
    )
    if error is not None:
        strip(error)
    failure.__cause__ = error
    return failure


def cancelled_in(
    ctx: InterceptorContext, layer: Layer, hook: str, error: BaseException | None
) -> asyncio.CancelledError:
    """Return the cancellation of a stage that came while a hook was waiting, whatever the hook made of it."""
    if isinstance(error, asyncio.CancelledError):
        return error
    if error is not None:
        strip(error)
        where, secretless = (ctx.stage_name, hook, layer.name), redacted_text(told(error))
        logger.warning("Stage '%s' was cancelled, and `%s` of its interceptor '%s' raised %s.", *where, secretless)
    cancelled = asyncio.CancelledError()
    cancelled.__cause__ = error
    return cancelled


def strip(error: BaseException) -> None:
    """Take the frame that caught an error out of its traceback: it would keep the whole run alive."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
