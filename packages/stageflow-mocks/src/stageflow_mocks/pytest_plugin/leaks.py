"""Tests that may leave no asyncio task behind."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Callable, Coroutine, Generator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import pytest

from stageflow_mocks.pytest_plugin.items import rewrapped

_NOT_THE_MAKER = (str(Path(asyncio.__file__).parent), __file__)


class LeftTask(NamedTuple):
    """A task that a test left behind: its name, its coroutine, where it was made and where it waits."""

    name: str
    coroutine: str
    made_at: str
    waits_at: str


class TaskLeakError(AssertionError):
    """A test has ended, and tasks that it made have not.

    Attributes:
        tasks: What is known of each, in the order of their names.
    """

    def __init__(self, tasks: Sequence[LeftTask]) -> None:
        super().__init__(tasks)
        self.tasks = tuple(tasks)

    def __str__(self) -> str:
        many = "an asyncio task" if len(self.tasks) == 1 else f"{len(self.tasks)} asyncio tasks"
        lines = [
            f"  {task.name} ({task.coroutine}), made at {task.made_at}, waits at {task.waits_at}" for task in self.tasks
        ]
        way_out = (
            "Await what it starts, or cancel and await it. Of a task that may stay say so: "
            '@pytest.mark.stageflow_tasks(allowed=["name*"]).'
        )
        return "\n".join([f"The test left {many} behind:", *lines, way_out])


def forbid_leaks(item: pytest.Function, allowed: Sequence[str]) -> None:
    """Let an async test fail that leaves tasks behind, other than those of these names (`*` stands for any text)."""
    started_in = f"{item.config.invocation_params.dir}{os.sep}"

    def around(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
        @functools.wraps(function)
        async def leaving_no_task(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                # Under trio, which anyio may run the test with, a task cannot be left behind.
                await function(*args, **kwargs)
                return
            before = asyncio.all_tasks(loop)
            origins = _Origins(loop, started_in)
            try:
                await function(*args, **kwargs)
            finally:
                origins.stop()
            left = [task for task in asyncio.all_tasks(loop) - before if not _is_allowed(task, allowed)]
            if left:
                raise TaskLeakError(sorted(LeftTask(*_described(task), *origins.of(task)) for task in left))

        return leaving_no_task

    item.obj = rewrapped(item.obj, around)


class _Origins:
    """Remembers of each task that a loop makes the line of the program that made it.

    Args:
        loop: The loop.
        folder: What the names of files in it are shown without.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, folder: str) -> None:
        self._loop = loop
        self._folder = folder
        self._given = loop.get_task_factory()
        self._made_at: WeakKeyDictionary[asyncio.Future[Any], str] = WeakKeyDictionary()
        # Kept, since each access to a method makes another object.
        self._factory: Any = self._make
        loop.set_task_factory(self._factory)

    def _make(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **rest: Any,
    ) -> asyncio.Future[Any]:
        task: asyncio.Future[Any]
        if self._given is None:
            task = asyncio.Task(coroutine, loop=loop, **rest)
        else:
            task = self._given(loop, coroutine, **rest)
        self._made_at[task] = _caller()
        return task

    def stop(self) -> None:
        # A test may have set a factory of its own, which is left as it is.
        if self._loop.get_task_factory() is self._factory:
            self._loop.set_task_factory(self._given)

    def of(self, task: asyncio.Task[Any]) -> tuple[str, str]:
        stack = task.get_stack()
        # The innermost frame that is suspended in the task's own coroutine, as asyncio shows it.
        waits_at = f"{stack[-1].f_code.co_filename}:{stack[-1].f_lineno}" if stack else "its beginning"
        made_at = self._made_at.get(task, "a place unknown")
        return made_at.removeprefix(self._folder), waits_at.removeprefix(self._folder)


def _caller() -> str:
    """Return the innermost line outside of asyncio that is making a task."""
    frame = inspect.currentframe()
    assert frame is not None
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_NOT_THE_MAKER):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def _described(task: asyncio.Task[Any]) -> tuple[str, str]:
    coroutine = task.get_coro()
    return task.get_name(), getattr(coroutine, "__qualname__", repr(coroutine))


def _is_allowed(task: asyncio.Task[Any], allowed: Sequence[str]) -> bool:
    return any(fnmatchcase(task.get_name(), name) for name in allowed)
