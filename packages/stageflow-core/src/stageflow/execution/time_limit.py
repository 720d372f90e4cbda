"""Calls that may only take so long.

What is limited runs in a task of its own: a worker's task is shared by many stages, so that a cancellation of it could
not be told from the run's. The life of that task: it is made here; when the time is up it is cancelled, and awaited for
a grace period; when whoever waits here is cancelled so is it, unless it has been already, since a second cancellation
would cut its cleanup short, and then it is awaited for as long as it takes, since the coordinator keeps the time. One
that goes on beyond its grace is left behind, and whoever asked is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class TimeUpError(Exception):
    """The call took longer than it may.

    `left_behind` is its task if that has not stopped. What it raised when it was told to is the cause; what it returned
    then counts for nothing.
    """

    def __init__(self, *, left_behind: asyncio.Task[Any] | None) -> None:
        super().__init__()
        self.left_behind = left_behind


async def within(seconds: float, call: Callable[[], Coroutine[Any, Any, T]], *, grace_s: float, name: str) -> T:
    """Return what the call returns, or raise what it raises.

    Args:
        seconds: How long it may take.
        call: Starts it.
        grace_s: Seconds that it may take to stop when its time is up.
        name: What its task is called.

    Raises:
        TimeUpError: It took longer.
    """
    kept: list[T] = []
    task = asyncio.Task(_keep(call, kept), loop=asyncio.get_running_loop(), name=name, context=copy_context())
    expired = False
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            expired = True
            task.cancel(f"it took longer than {seconds:g} s")
            await asyncio.wait({task}, timeout=grace_s)
    except asyncio.CancelledError as cancelled:
        if not expired:
            task.cancel(*cancelled.args)
        await end_of_all((task,))
        if expired:
            _ = task.cancelled() or task.exception()  # looked at, so that asyncio does not report it
            raise
    if not task.done():
        raise TimeUpError(left_behind=task)
    if expired:
        raise TimeUpError(left_behind=None) from None if task.cancelled() else task.exception()
    # Also what it returned in spite of being cancelled, which a task does not tell that was cancelled in its last step.
    return kept[0] if kept else task.result()


async def _keep(call: Callable[[], Coroutine[Any, Any, T]], kept: list[T]) -> T:
    result = await call()
    kept.append(result)
    return result


async def end_of_all(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Wait until the tasks have ended, passing on every further cancellation."""
    while living := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(living)
        except asyncio.CancelledError as again:
            for task in living:
                task.cancel(*again.args)
