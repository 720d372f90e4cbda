"""In which order what is ready runs: one of the orders that asyncio leaves open, chosen by a seed.

An event loop works in turns: what is ready when a turn begins runs in it, what becomes ready meanwhile waits for the
next. Within a turn asyncio runs everything in the order in which it was queued. It promises that for callbacks:
`call_soon` is "a FIFO queue", and the done-callbacks of futures go through it. Of tasks it promises only that they run
soon. Whoever relies on more has a bug that shows when an answer comes sooner or a library awaits once more. So:

- A step of a task (its start, or going on after an await) may be held back behind whatever else is in its turn.
- It never comes before a callback that was queued before it. A done-callback that was added before somebody awaited the
  future runs before that somebody goes on, and what `call_soon` got before `await asyncio.sleep(0)` has run after it.
- Callbacks stay in their order, and what is ready is not put off to a later turn.
- Timers of the same time come in any order ("it is undefined which will be called first"), in one turn or in several.
  So a time limit that ends at the moment of the result is met or not, as it would be by a real clock.

The order depends on nothing but the seed and the program. TaskGroup and others keep tasks in sets, whose order follows
addresses and differs from one process to the next; so the tasks that are ready are first put in the order in which they
began.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import tasks
from collections import deque
from operator import itemgetter
from types import BuiltinFunctionType, MethodType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

H = TypeVar("H", bound=asyncio.Handle)

_by_number = itemgetter(0)

_PYTHON_TASK: type[asyncio.Task[Any]] = getattr(tasks, "_PyTask")  # noqa: B009 - it has no type
# Of the tasks that are written in Python, where Python has no faster ones or somebody prefers them.
_STEPS_IN_PYTHON = {
    function for name, function in vars(_PYTHON_TASK).items() if name in ("_Task__step", "_Task__wakeup")
}


def task_of(handle: asyncio.Handle) -> asyncio.Task[Any] | None:
    """Return the task that this callback takes one step further, or None if it does something else.

    `task.cancel`, given to `call_later` for instance, is something else.
    """
    callback: Any = handle._callback  # noqa: SLF001 - there is no other way to tell
    kind: type = type(callback)
    if (
        (kind is BuiltinFunctionType and callback.__name__ == "task_wakeup")
        or kind.__name__ == "TaskStepMethWrapper"
        or (kind is MethodType and callback.__func__ in _STEPS_IN_PYTHON)
    ):
        task: asyncio.Task[Any] = callback.__self__
        return task  # pyright: ignore[reportUnknownVariableType] - the narrowed `kind` spoils it
    return None


class SeededOrder:
    """The order of one event loop's turns, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        # A stream of its own: what a program draws from `loop.random` changes nothing here.
        # Only `random()` is promised to give the same in every version of Python.
        self._draw = random.Random(f"the order of tasks under seed {seed}").random
        self._numbers: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        # What it keeps inside, by references: it is looked into at each step, and its own methods take twice as long.
        self._known: dict[ref[asyncio.Task[Any]], int] = getattr(self._numbers, "data")  # noqa: B009 - it has no type
        self._began = 0

    def arrange(self, ready: deque[asyncio.Handle]) -> None:
        """Put the turn that is about to run in its order."""
        if len(ready) == 1:
            only = task_of(ready[0])
            if only is not None and ref(only) not in self._known:
                self._number(only)
            return
        turn: list[asyncio.Handle] = []
        held: list[asyncio.Handle] = []
        steps: list[tuple[int, asyncio.Handle]] = []
        for handle in ready:
            task = task_of(handle)
            if task is not None:
                steps.append((self._number(task), handle))
            elif not handle.cancelled():
                _hold(held, steps)
                self._move_by_lot(held, turn, blanks=1)
                turn.append(handle)
        _hold(held, steps)
        self._move_by_lot(held, turn, blanks=0)
        ready.clear()
        ready.extend(turn)

    def choose_timers(
        self, due: list[asyncio.TimerHandle], *, all_may_wait: bool
    ) -> tuple[list[asyncio.TimerHandle], list[asyncio.TimerHandle]]:
        """Shuffle timers of the same time, and return those that come in this turn and those for the next."""
        if len(due) == 1 and not all_may_wait:
            self._draw()  # as for several: what follows under a seed does not change with how this is done
            return due, []
        shuffled: list[asyncio.TimerHandle] = []
        self._move_by_lot(due, shuffled, blanks=0)
        fewest, most = 0 if all_may_wait else 1, len(shuffled)
        count = most
        if fewest < most and self._draw() < 0.5:
            count = fewest + int(self._draw() * (most - fewest))
        return shuffled[:count], shuffled[count:]

    def _move_by_lot(self, source: list[H], target: list[H], *, blanks: int) -> None:
        """Move what the lot falls on from one list to the other, until it falls on a blank."""
        draw = self._draw
        while source:
            drawn = int(draw() * (len(source) + blanks))
            if drawn >= len(source):
                return
            source[drawn], source[-1] = source[-1], source[drawn]
            target.append(source.pop())

    def _number(self, task: asyncio.Task[Any]) -> int:
        """Return the place of a task among all of the loop's, in the order in which they began."""
        number = self._known.get(ref(task))
        if number is None:
            self._began += 1
            number = self._numbers[task] = self._began
        return number


def _hold(held: list[asyncio.Handle], steps: list[tuple[int, asyncio.Handle]]) -> None:
    """Let the steps that were queued since the last callback join those that are held back."""
    if len(steps) > 1:
        steps.sort(key=_by_number)
    held.extend(handle for _, handle in steps)
    steps.clear()
