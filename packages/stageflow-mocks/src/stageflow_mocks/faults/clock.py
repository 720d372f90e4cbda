"""A wall clock that is off, for one stage and what it starts, while all others read the right time.

time-machine lets the functions of `time` and `datetime` ask one object for the time, whoever has imported them. That
object adds what a context variable says. A context is what a coroutine has in common with the tasks that it makes, the
callbacks that it schedules and `asyncio.to_thread`, and with nobody else: so the clock is off for these, and whatever
runs beside them reads the right time. Monotonic clocks, and with them the timers of event loops, are not touched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any

try:
    import time_machine
except ImportError as error:
    raise ImportError(
        'The fault clock_skew needs time-machine: pip install "stageflow-mocks[clock]"', name=error.name
    ) from error

_off_by_ns: ContextVar[int] = ContextVar("stageflow_mocks_clock_off_by_ns", default=0)


class _Clock:
    """The clock that the process reads while it is off for somebody."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._travel: time_machine.travel | None = None
        self._traveller: Any = None

    def acquire(self) -> None:
        with self._lock:
            if not self._users:
                self._begin()
            self._users += 1

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._end()

    def _begin(self) -> None:
        travellers = time_machine.traveller_stack
        beneath = travellers[-1].time_ns if travellers else _real_ns  # a test may travel itself
        self._travel = time_machine.travel(None)
        self._traveller = self._travel.start()
        self._traveller.time_ns = lambda: beneath() + _off_by_ns.get()
        if not copy_context().run(_can_be_moved):
            self._end()
            raise RuntimeError("This version of time-machine does not ask its traveller for the time; 3.6 does.")

    def _end(self) -> None:
        assert self._travel is not None
        # The last that began is the one that is stopped, and a test may have begun to travel meanwhile.
        time_machine.traveller_stack.remove(self._traveller)
        time_machine.traveller_stack.append(self._traveller)
        self._travel.stop()
        self._travel = self._traveller = None


def _can_be_moved() -> bool:
    before = time.time_ns()
    _off_by_ns.set(_off_by_ns.get() + _A_DAY_NS)
    return time.time_ns() - before >= _A_DAY_NS


def _real_ns() -> int:
    try:
        return time_machine.escape_hatch.time.time_ns()
    except ValueError:  # since this was called, the last stage has ended in another thread
        return time.time_ns()


_A_DAY_NS = 86_400 * 10**9
_clock = _Clock()


@contextmanager
def clock_off_by(seconds: float) -> Generator[None]:
    """Let the wall clock be off within this, and in whatever is started from it; at its end it is put right.

    Args:
        seconds: By how much it is fast, or slow if this is below 0.

    Raises:
        RuntimeError: It cannot be moved: freezegun holds it, or this version of time-machine works in another way.
    """
    _clock.acquire()
    token = _off_by_ns.set(_off_by_ns.get() + round(seconds * 1e9))
    try:
        yield
    finally:
        _off_by_ns.reset(token)
        _clock.release()
