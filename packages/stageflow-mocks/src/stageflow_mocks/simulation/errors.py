"""What goes wrong only in simulated time."""

from __future__ import annotations

from collections.abc import Sequence

_MOST_NAMES = 10


class StalledError(RuntimeError):
    """Nothing is ready and no timer is set: whoever still waits would wait for ever.

    Attributes:
        now: The simulated time in seconds.
        waiting: The names of the tasks that wait, each with the line of the program where it does.
    """

    def __init__(self, now: float, waiting: Sequence[str]) -> None:
        super().__init__(now, waiting)
        self.now = now
        self.waiting = waiting

    def __str__(self) -> str:
        return (
            f"Nothing can happen any more at {self.now:g} s: no task is ready and no timer is set. "
            f"Still waiting: {_listed(self.waiting) or 'no task at all'}."
        )


class TooManyStepsError(RuntimeError):
    """More steps were taken than allowed: tasks or callbacks that keep each other going for ever, most likely.

    Attributes:
        max_steps: How many were allowed; every step of a task and every callback is one.
        now: The simulated time in seconds.
        busy: Who would have been next: names of tasks, and for callbacks what is called.
    """

    def __init__(self, max_steps: int, now: float, busy: Sequence[str]) -> None:
        super().__init__(max_steps, now, busy)
        self.max_steps = max_steps
        self.now = now
        self.busy = busy

    def __str__(self) -> str:
        return (
            f"After {self.max_steps} steps, at {self.now:g} s, there is still no end. Next would be: "
            f"{_listed(self.busy)}. If this is no endless loop, allow for more: max_steps={self.max_steps * 10}."
        )


class OutsideWorldError(RuntimeError):
    """Code under a virtual clock asked for something real: a socket, a pipe, a thread, a signal."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return (
            f"{self.what} needs the outside world, which a clock that jumps cannot wait for. "
            "Use a fake in its place, or an ordinary event loop."
        )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
