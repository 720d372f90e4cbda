"""The order in which those are served that wait for the same permits.

First come, first served within a priority, and the larger priority first. So that none starves, one in `PATIENCE + 1`
is not the one whose turn it is by priority, but one of those that were passed over: of the priority that has waited
longest since it was last served. Each step costs O(log n) of the number of priorities, O(1) of that of waiters.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from heapq import heapify, heappop, heappush

PATIENCE = 8
"""How often in a row those who wait may be passed over."""


class Waiter:
    """One that waits.

    Attributes:
        future: Done when its turn has come, or when it need not wait any longer.
        number: Its place among all that ever waited.
        queue: Where it waits; None once it does not.
        granted: Whether it was given what it waited for.
    """

    __slots__ = ("future", "granted", "number", "priority", "queue")

    def __init__(self, future: asyncio.Future[None], priority: int, number: int, queue: PermitQueue) -> None:
        self.future = future
        self.priority = priority
        self.number = number
        self.queue: PermitQueue | None = queue
        self.granted = False

    def wake(self) -> None:
        """Let it go on, unless its task has just been cancelled, or its event loop is closed."""
        if not self.future.done() and not self.future.get_loop().is_closed():
            self.future.set_result(None)


class PermitQueue:
    """Those that wait for the same permits.

    Attributes:
        needs: How many permits of which limits each of them waits for.
        passed_over: How often others have been given permits that these need too, since one of these was.
    """

    __slots__ = ("_classes", "_heap", "_passes", "needs", "passed_over")

    def __init__(self, needs: dict[str, int]) -> None:
        self.needs = needs
        self.passed_over = 0
        # By priority; those first that have gone without for the longest. An OrderedDict finds its first item at once,
        # a dict searches for it among all that it has forgotten.
        self._classes: OrderedDict[int, OrderedDict[Waiter, None]] = OrderedDict()
        self._heap: list[int] = []  # of the priorities, negated; of those that nobody has any more, too
        self._passes = 0

    def __bool__(self) -> bool:
        return bool(self._classes)

    def rank(self) -> tuple[int, int]:
        """Return what of two queues the larger one comes before the other by: the first waiter of its top priority."""
        priority = self._top()
        return priority, -next(iter(self._classes[priority])).number

    def push(self, waiter: Waiter) -> None:
        """Add one behind those of its priority."""
        waiting = self._classes.get(waiter.priority)
        if waiting is None:
            waiting = self._classes[waiter.priority] = OrderedDict()
            self._note(waiter.priority)
        waiting[waiter] = None

    def pop(self) -> Waiter:
        """Take out the one whose turn it is."""
        top = self._top()
        priority = top if self._passes < PATIENCE else next(iter(self._classes))
        self._passes = self._passes + 1 if priority == top and len(self._classes) > 1 else 0
        waiting = self._classes[priority]
        waiter, _ = waiting.popitem(last=False)
        waiter.queue = None
        if waiting:
            self._classes.move_to_end(priority)
        else:
            del self._classes[priority]
        return waiter

    def discard(self, waiter: Waiter) -> None:
        """Take out one that does not wait any longer."""
        waiting = self._classes[waiter.priority]
        del waiting[waiter]
        waiter.queue = None
        if not waiting:
            del self._classes[waiter.priority]

    def _top(self) -> int:
        heap = self._heap
        while -heap[0] not in self._classes:
            heappop(heap)
        return -heap[0]

    def _note(self, priority: int) -> None:
        """Put a priority on the heap; it may be there still, from the last time that somebody had it."""
        heappush(self._heap, -priority)
        if len(self._heap) > 2 * len(self._classes) + 8:
            self._heap = [-known for known in self._classes]
            heapify(self._heap)
