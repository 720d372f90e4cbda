"""An event loop whose clock jumps to the next timer instead of waiting for it.

`asyncio.sleep(3600)`, a timeout, a grace period: all of them end at once, in the order in which they would have ended,
and `loop.time()` says what a real clock would have said. Code that is ready costs no time at all. So a test of what
happens after five seconds takes microseconds and gives the same result on a busy machine.

A clock that jumps cannot wait for anything real, so the loop has no sockets, pipes, signals or threads: asking for one
raises. When nothing is ready and no timer is set nothing can ever happen again, which a real loop would wait out for
ever: here it raises StalledError, and a deadlock becomes a failed test. A livelock, in which tasks keep each other busy
without an end, becomes a TooManyStepsError.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque

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

    def __init__(self, seed: int | None = None, *, max_steps: int = MAX_STEPS) -> None:
        super().__init__()
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

    def time(self) -> float:
        """Return the simulated time in seconds."""
        return self._clock.now

    def perf_counter_ns(self) -> int:
        """Return the simulated time in nanoseconds, from an origin of its own: what a run takes its durations from."""
        return _ORIGIN_NS + round(self._clock.now * 1e9)

    def hold(self, seconds: float) -> None:
        """Let time pass in which nothing else can run, as a computation does that holds up the event loop."""
        self._clock.now += seconds

    def begin_turn(self, *, stalled: bool) -> None:
        """Let the time come for the next timers if nothing else is ready, and put what is ready in its order."""
        if stalled and not self._late:
            raise StalledError(self.time(), sorted(map(name_and_place, asyncio.all_tasks(self))))
        ready, order = self._ready, self._order
        due = self._due_timers()
        if order is not None and due:
            due, self._late = order.choose_timers(due, all_may_wait=bool(ready) or self._stopping)
        ready.extend(due)
        self.steps += len(ready)
        if self.steps > self._may_take:
            self._may_take = self.steps + self._max_steps
            busy = [_name_of(handle) for handle in ready if not handle.cancelled()]
            raise TooManyStepsError(self._max_steps, self.time(), busy)
        if order is not None:
            order.arrange(ready)

    def _due_timers(self) -> list[asyncio.TimerHandle]:
        timers, clock, due = self._scheduled, self._clock, self._late
        self._late = []
        if timers and not due and not self._ready and not self._stopping:
            clock.now = max(clock.now, timers[0].when())
        until = clock.now + _RESOLUTION
        # `<=`, where BaseEventLoop has `<`: after half a year a nanosecond more is the same number.
        while timers and timers[0].when() <= until:
            timer = heapq.heappop(timers)
            timer._scheduled = False  # noqa: SLF001 - as BaseEventLoop does: to cancel it from now on counts for nothing
            if timer.cancelled():
                self._timer_cancelled_count -= 1
            else:
                due.append(timer)
        return due

    def _process_events(self, event_list: object) -> None:
        """There are never any."""

    def _write_to_self(self) -> None:
        """The loop never sleeps, so nobody needs to wake it."""


def _name_of(handle: asyncio.Handle) -> str:
    task = task_of(handle)
    return repr(handle) if task is None else task.get_name()
