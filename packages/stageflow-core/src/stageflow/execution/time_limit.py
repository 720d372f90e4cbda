"""Calls that may only take so long.

What is limited runs in a task of its own: a worker's task is shared by many stages, so that a cancellation of it could
not be told from the run's. The life of that task: it is made here; when the time is up it is cancelled, and awaited for
a grace period; when whoever waits here is cancelled so is it, and then it is awaited for as long as it takes, since the
coordinator keeps the time. One that goes on beyond its grace is left behind, and whoever asked is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, TypeVar

from stageflow.wording import type_name

logger = logging.getLogger(__name__)

T = TypeVar("T")


class TimeUpError(Exception):
    """The call took longer than it may.

    `left_behind` says that it has not stopped. What it raised when it was told to is the cause; what it returned then
    counts for nothing.
    """

    def __init__(self, *, left_behind: bool) -> None:
        super().__init__()
        self.left_behind = left_behind


async def within(seconds: float, call: Callable[[], Awaitable[T]], *, grace_s: float, name: str) -> T:
    """Return what the call returns, or raise what it raises.

    Args:
        seconds: How long it may take.
        call: Starts it.
        grace_s: Seconds that it may take to stop when its time is up.
        name: What its task is called.

    Raises:
        TimeUpError: It took longer.
    """
    task = asyncio.Task(_awaited(call), loop=asyncio.get_running_loop(), name=name, context=copy_context())
    expired = False
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            expired = True
            task.cancel(f"it took longer than {seconds:g} s")
            await asyncio.wait({task}, timeout=grace_s)
    except asyncio.CancelledError as cancelled:
        await _stop(task, cancelled)
        if expired:
            _ = task.cancelled() or task.exception()  # looked at, so that asyncio does not report it
            raise
    if not task.done():
        _leave_behind(task)
        raise TimeUpError(left_behind=True)
    if expired:
        raise TimeUpError(left_behind=False) from None if task.cancelled() else task.exception()
    return task.result()  # also what it returned, or raised, in spite of being cancelled


_left_behind: set[asyncio.Task[Any]] = set()
"""Tasks that nobody waits for any more; the event loop itself holds tasks only weakly."""


def _leave_behind(task: asyncio.Task[Any]) -> None:
    _left_behind.add(task)
    task.add_done_callback(_ended_late)


def _ended_late(task: asyncio.Task[Any]) -> None:
    _left_behind.discard(task)
    if not task.cancelled():
        error = task.exception()
        what = "returned" if error is None else f"raised {type_name(error)}"
        logger.warning("What had been left behind has ended: %s %s.", task.get_name(), what)


async def _awaited(call: Callable[[], Awaitable[T]]) -> T:
    return await call()


async def _stop(task: asyncio.Task[T], cancelled: asyncio.CancelledError) -> None:
    """Cancel the task and wait until it has ended, passing on every further cancellation."""
    task.cancel(*cancelled.args)
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as again:
            task.cancel(*again.args)
