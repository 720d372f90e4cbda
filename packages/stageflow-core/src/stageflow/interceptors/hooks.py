"""How a hook is called, and what becomes of one that raises or takes too long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from stageflow.errors import InterceptorError
from stageflow.interceptors.base import HOOK_TIMEOUT, BaseInterceptor, FailStage, InterceptorContext
from stageflow.interceptors.outcome import told
from stageflow.wording import shown

logger = logging.getLogger(__name__)

Hook = Callable[..., Coroutine[Any, Any, Any]]

PASSING = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends the program or its event loop, not the stage."""


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


async def run_hook(ctx: InterceptorContext, layer: Layer, hook: str, *arguments: Any) -> Any:
    """Call a hook and return what it returned.

    Raises:
        InterceptorError: It raised, or took too long.
        asyncio.CancelledError: The stage is being cancelled.
    """
    task = running_task(ctx)
    ctx.scope.enter(task, layer.seconds)
    result, error = None, None
    try:
        result = await getattr(layer, hook)(ctx, *arguments)
    except PASSING:
        ctx.scope.leave(task)
        raise
    except BaseException as raised:  # noqa: BLE001 - a hook of the user's may raise anything
        error = raised
    failure = failure_of(ctx, layer, hook, task, error)
    if failure is not None:
        raise failure
    return result


def failure_of(
    ctx: InterceptorContext,
    layer: Layer,
    hook: str,
    task: asyncio.Task[Any],
    error: BaseException | None,
    cancellations: int | None = None,
) -> InterceptorError | FailStage | None:
    """End a hook that raised, or that was suspended, and say what is wrong with it: None if nothing is.

    Args:
        ctx: Of the attempt.
        layer: Whose hook it is.
        hook: Its name.
        task: The task that ran it.
        error: What it raised, if it did.
        cancellations: How often the task had been cancelled when the hook started, if the hook may not swallow a
            cancellation: one before the stage, which would then run.

    Raises:
        asyncio.CancelledError: The stage is being cancelled.
    """
    in_time = ctx.scope.leave(task) is not None
    if isinstance(error, asyncio.CancelledError) and task.cancelling():
        raise error
    if cancellations is not None and task.cancelling() > cancellations:
        raise cancelled_in(ctx, layer, hook, error)
    if not in_time:
        return too_slow(ctx, layer, hook, error)
    if error is None or (isinstance(error, FailStage) and hook == "before"):
        return error
    return hook_failure(ctx, layer, hook, error)


def running_task(ctx: InterceptorContext) -> asyncio.Task[Any]:
    """Return the task that runs the stage."""
    task = asyncio.current_task(ctx.scope.loop)
    assert task is not None
    return task


def hook_failure(ctx: InterceptorContext, layer: Layer, hook: str, error: BaseException) -> InterceptorError:
    """Return the failure of a hook that raised."""
    if error.__traceback__ is not None:  # without our own frame, which would keep the whole run alive
        error.__traceback__ = error.__traceback__.tb_next
    failure = InterceptorError(ctx.stage_name, layer.name, hook, f"raised {told(error)}")
    failure.__cause__ = error
    return failure


def wrong_return(ctx: InterceptorContext, layer: Layer, hook: str, result: object, expected: str) -> InterceptorError:
    """Return the failure of a hook that returned something else than it may."""
    return InterceptorError(ctx.stage_name, layer.name, hook, f"returned {shown(result)}", hint=expected)


def too_slow(ctx: InterceptorContext, layer: Layer, hook: str, error: BaseException | None = None) -> InterceptorError:
    """Return the failure of a hook that outlasted its time."""
    failure = InterceptorError(
        ctx.stage_name,
        layer.name,
        hook,
        f"took longer than its hook_timeout of {layer.seconds:g} s",
        hint="Find out what it waits for, or set `hook_timeout` of the interceptor, in seconds.",
    )
    failure.__cause__ = error
    return failure


def cancelled_in(
    ctx: InterceptorContext, layer: Layer, hook: str, error: BaseException | None
) -> asyncio.CancelledError:
    """Return the cancellation of a stage that came while a hook was waiting, whatever the hook made of it."""
    if error is not None:
        where = (ctx.stage_name, hook, layer.name)
        logger.warning("Stage '%s' was cancelled, and `%s` of its interceptor '%s' raised %s.", *where, told(error))
    cancelled = asyncio.CancelledError()
    cancelled.__cause__ = error
    return cancelled
