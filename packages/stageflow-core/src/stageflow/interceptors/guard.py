"""How hooks are kept to their time without a timer for each.

A hook without any `await` in it cannot suspend, so it has nothing to be kept to. Of the others most end at once all the
same, and a timer costs more than the stage. So each is awaited plainly, and before it starts its task is noted as the
one that runs a hook. In the next turn of the event loop a callback looks: a task that is still noted has suspended in
its hook, and gets a timer. So does one that is found there by the next hook.
"""

from __future__ import annotations

import asyncio
from typing import Any

from stageflow.context.pipeline_context import PipelineContext


class _Timer:
    """The time limit of a hook that has suspended."""

    __slots__ = ("expired", "handle", "since", "task")

    def __init__(self, task: asyncio.Task[Any], seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self.task = task
        self.since = loop.time()
        self.expired = False
        self.handle = loop.call_later(seconds, self.expire)

    def expire(self) -> None:
        """Interrupt the hook; `HookScope.leave` takes the cancellation back."""
        self.expired = True
        self.task.cancel()


class HookScope:
    """What the interceptors of one run share; the run makes one if its pipeline has any.

    Attributes:
        pipeline: The name of the pipeline.
        run: What the run was given.
        loop: The event loop of the run.
        entered: The task that has started a hook and not been seen suspended in it; None if there is none.
        seconds: How long that hook may take.
        watching: Whether the callback is queued.
    """

    __slots__ = ("_timers", "entered", "loop", "pipeline", "run", "seconds", "watching")

    def __init__(self, pipeline: str, run: PipelineContext) -> None:
        self.pipeline = pipeline
        self.run = run
        self.entered: asyncio.Task[Any] | None = None
        self.seconds = 0.0
        self.watching = False
        self.loop = asyncio.get_running_loop()
        self._timers: dict[asyncio.Task[Any], _Timer] = {}

    def enter(self, task: asyncio.Task[Any], seconds: float) -> None:
        """Note that the task starts a hook, or goes on with one, that may take so long from here on."""
        if self.entered is not None:
            self.set_timer()
        self.entered = task
        self.seconds = seconds
        if not self.watching:
            self.watch()

    def leave(self, task: asyncio.Task[Any]) -> float | None:
        """Note that the hook of the task has ended, and return how many seconds it took; None if its time was up."""
        if self.entered is task:
            self.entered = None
            return 0.0
        timer = self._timers.pop(task, None)
        if timer is None:  # `around`, while its `call()` is being awaited
            return 0.0
        timer.handle.cancel()
        if timer.expired:
            task.uncancel()
            return None
        return self.loop.time() - timer.since

    def watch(self) -> None:
        """Look in the next turn of the event loop."""
        self.watching = True
        self.loop.call_soon(self._look)

    def _look(self) -> None:
        self.watching = False
        if self.entered is not None:
            self.set_timer()

    def set_timer(self) -> None:
        """Limit the hook that is still noted, because it has suspended."""
        task = self.entered
        assert task is not None
        self.entered = None
        self._timers[task] = _Timer(task, self.seconds, self.loop)
