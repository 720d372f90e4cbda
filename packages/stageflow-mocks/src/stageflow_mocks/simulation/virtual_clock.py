"""An event loop whose clock jumps to the next timer instead of waiting for it.

`asyncio.sleep(3600)`, a timeout, a grace period: all of them end at once, in the order in which they would have ended,
and `loop.time()` says what a real clock would have said. Code that is ready costs no time at all. So a test of what
happens after five seconds takes microseconds and gives the same result on a busy machine.

A clock that jumps cannot wait for anything real, so the loop has no sockets, pipes, signals or threads: asking for one
raises. When nothing is ready and no timer is set nothing can ever happen again, which a real loop would wait out for
ever: here it raises StalledError, and a deadlock becomes a failed test. A livelock, in which tasks keep each other busy
without an end, becomes a TooManyStepsError.
"""

# ruff: noqa: SLF001 - it does the work of BaseEventLoop, whose handles have no other doors.

from __future__ import annotations

import asyncio
import heapq
import random
import weakref
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any

from stageflow_mocks.simulation.errors import StalledError, TooManyStepsError
from stageflow_mocks.simulation.ordering import SeededOrder, task_of
from stageflow_mocks.simulation.outside_world import NoOutsideWorld
from stageflow_mocks.simulation.waiting import name_and_place

_ORIGIN_NS = 1_000_000_000
"""The first reading of `perf_counter_ns`: like a real one it means nothing, and is not zero."""

_RESOLUTION = 1e-9
"""Timers that are closer together, in seconds, are of the same time: sums of decimals are not exact."""

MAX_STEPS = 10_000_000
"""How many steps a loop takes unless it is told otherwise: some ten seconds of work."""


_MANY_TIMERS = 100
"""From so many timers on, those that were cancelled are thrown out once they are more than half of them."""


class _Clock:
    """The selector of the loop: where asyncio would wait for the outside world, time jumps, and a turn begins."""

    def __init__(self, loop: VirtualClockLoop) -> None:
        self._loop = loop
        self.now = 0.0

    def select(self, timeout: float | None) -> tuple[()]:
        self._loop.begin_turn(stalled=timeout is None)
        return ()


class VirtualClockLoop(NoOutsideWorld):
    """An event loop in simulated time, which starts at 0.0 s.

    Args:
        seed: Decides in which order tasks run that are ready at the same moment; None leaves them in the order in which
            they became ready, as asyncio does.
        threads_in_place: Whether a function that is to run in a thread is called in place; else it is refused.
        max_steps: After how many steps of tasks and callbacks the loop raises TooManyStepsError; and again after so
            many more, since what cleans up may not end either.

    Attributes:
        random: A source of random numbers that gives the same for the same seed. Code that finds it on the running
            event loop, as Stageflow's retries do, can be repeated.
        steps: How many steps have been taken.
    """

    # What BaseEventLoop keeps, without saying so in its types.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int
    _stopping: bool
    _debug: bool
    _closed: bool
    _asyncgens: weakref.WeakSet[AsyncGenerator[Any, Any]]

    def __init__(self, seed: int | None = None, *, max_steps: int = MAX_STEPS, threads_in_place: bool = False) -> None:
        super().__init__(threads_in_place=threads_in_place)
        if max_steps < 1:
            self.close()
            raise ValueError(f"max_steps is at least 1, not {max_steps!r}.")
        # BaseEventLoop leaves the waiting to `_selector.select(timeout)`, and the rest of these to its subclasses.
        self._selector = self._clock = _Clock(self)
        self._clock_resolution = _RESOLUTION
        self._order = None if seed is None else SeededOrder(seed)
        self.random = random.Random(0 if seed is None else seed)
        self.steps = 0
        self._late: list[asyncio.TimerHandle] = []
        self._max_steps = self._may_take = max_steps

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        if self._debug or self._closed:
            return super().call_soon(callback, *args, context=context)
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def time(self) -> float:
        """Return the simulated time in seconds."""
        return self._clock.now

    def perf_counter_ns(self) -> int:
        """Return the simulated time in nanoseconds, from an origin of its own: what a run takes its durations from."""
        return _ORIGIN_NS + round(self._clock.now * 1e9)

    @property
    def has_open_generators(self) -> bool:
        """Whether async generators have begun and not ended, which `shutdown_asyncgens` would close."""
        return bool(self._asyncgens)

    def hold(self, seconds: float) -> None:
        """Let time pass in which nothing else can run, as a computation does that holds up the event loop."""
        self._clock.now += seconds

    def _run_once(self) -> None:
        """Run one turn, as BaseEventLoop does; this is most of what a simulated run costs beside its own code."""
        if self._debug:  # which looks after each callback: how long it took, and who made it
            super()._run_once()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - it has no type
            return
        self._forget_cancelled_timers()
        ready = self._ready
        self.begin_turn(stalled=not (ready or self._scheduled or self._stopping))
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
        handle = None  # as asyncio does: since Python 3.12 an error that is kept may keep this frame

    def _forget_cancelled_timers(self) -> None:
        timers = self._scheduled
        if len(timers) > _MANY_TIMERS and self._timer_cancelled_count * 2 > len(timers):
            for timer in timers:
                timer._scheduled = not timer._cancelled
            timers[:] = [timer for timer in timers if timer._scheduled]
            heapq.heapify(timers)
            self._timer_cancelled_count = 0
            return
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
            self._timer_cancelled_count -= 1

    def begin_turn(self, *, stalled: bool) -> None:
        """Let the time come for the next timers if nothing else is ready, and put what is ready in its order."""
        if stalled and not self._late:
            raise StalledError(self.time(), sorted(map(name_and_place, asyncio.all_tasks(self))))
        ready, order = self._ready, self._order
        if self._scheduled or self._late:
            self._let_timers_come()
        self.steps += len(ready)
        if self.steps > self._may_take:
            self._may_take = self.steps + self._max_steps
            busy = [_name_of(handle) for handle in ready if not handle.cancelled()]
            raise TooManyStepsError(self._max_steps, self.time(), busy)
        if order is not None:
            order.arrange(ready)

    def _let_timers_come(self) -> None:
        timers, ready, clock, due = self._scheduled, self._ready, self._clock, self._late
        all_may_wait = bool(ready) or self._stopping
        if timers:
            if not (due or all_may_wait):
                clock.now = max(clock.now, timers[0]._when)
            # `<=`, where BaseEventLoop has `<`: after half a year a nanosecond more is the same number.
            until = clock.now + _RESOLUTION
            while timers and timers[0]._when <= until:
                timer = heapq.heappop(timers)
                timer._scheduled = False  # as BaseEventLoop does: to cancel it from now on counts for nothing
                if timer._cancelled:
                    self._timer_cancelled_count -= 1
                else:
                    due.append(timer)
        if due:
            self._late = []
            if self._order is not None:
                due, self._late = self._order.choose_timers(due, all_may_wait=all_may_wait)
            ready.extend(due)

    def _process_events(self, event_list: object) -> None:
        """There are never any."""

    def _write_to_self(self) -> None:
        """The loop never sleeps, so nobody needs to wake it."""


def _name_of(handle: asyncio.Handle) -> str:
    task = task_of(handle)
    return repr(handle) if task is None else task.get_name()
