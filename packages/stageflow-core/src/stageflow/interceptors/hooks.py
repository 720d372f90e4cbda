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


class Layer:
    """One interceptor as its chain calls it: hooks that are not overridden are None.

    Attributes:
        depth: How many layers of its chain are outside of it.
        seconds: How long a hook may take.
    """

    __slots__ = ("after", "around", "before", "depth", "fallback", "name", "on_error", "seconds")

    def __init__(self, interceptor: Any) -> None:
        self.name: str = interceptor.name
        self.seconds: float = getattr(interceptor, "hook_timeout", HOOK_TIMEOUT)
        self.depth = 0
        self.before = _overridden(interceptor, "before")
        self.around = _overridden(interceptor, "around")
        self.after = _overridden(interceptor, "after")
        self.on_error = _overridden(interceptor, "on_error")
        self.fallback = _overridden(interceptor, "fallback")

    @property
    def has_hooks(self) -> bool:
        """Whether there is anything to call."""
        return not (self.before is self.around is self.after is self.on_error is None)


def _overridden(interceptor: Any, hook: str) -> Hook | None:
    function = getattr(interceptor, hook, None)
    return None if getattr(function, "__func__", None) is getattr(BaseInterceptor, hook) else function


class FlawedHookError(Exception):
    """Raised by a hook in the place of what is wrong with it, which `flaw_of` has found out."""

    def __init__(self, flaw: BaseException) -> None:
        super().__init__(flaw)
        self.flaw = flaw


def timed(layer: Layer, name: str) -> Hook:
    """Return a hook of a layer that is kept to its time: itself if it never suspends, which it then cannot outlast."""
    hook: Hook = getattr(layer, name)
    if not can_suspend(hook):
        return hook

    async def call(ctx: InterceptorContext, *arguments: Any) -> Any:
        result, flaw = await run_hook(ctx, layer, name, *arguments)
        if flaw is not None:
            raise FlawedHookError(flaw)
        return result

    return call


async def run_hook(
    ctx: InterceptorContext, layer: Layer, name: str, *arguments: Any
) -> tuple[Any, BaseException | None]:
    """Call a hook and keep it to its time; return what it returned, and what is wrong with it, as `flaw_of` says."""
    task = running_task(ctx)
    cancellations = task.cancelling()
    ctx.scope.enter(task, layer.seconds)
    result, error = None, None
    try:
        result = await getattr(layer, name)(ctx, *arguments)
    except PASSING:
        ctx.scope.leave(task)
        raise
    except BaseException as raised:  # noqa: BLE001 - a hook of the user's may raise anything
        error = raised
    in_time = ctx.scope.leave(task) is not None
    if name == "before" and task.cancelling() > cancellations:  # which it may not swallow: the stage would run
        return result, cancelled_in(ctx, layer, name, error)
    if isinstance(error, asyncio.CancelledError) and task.cancelling():
        return result, error
    if not in_time:
        return result, too_slow(ctx, layer, name, error)
    return result, None if error is None else flaw_of(ctx, layer, name, error)


def flaw_of(ctx: InterceptorContext, layer: Layer, name: str, error: BaseException) -> BaseException:
    """Say what is wrong with a hook that raised, though it was neither cancelled nor late.

    Returns:
        An InterceptorError; for a `before` that fails the stage on purpose, the error that it gives.
    """
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
