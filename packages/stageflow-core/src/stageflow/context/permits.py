"""Permits, and the ledger of who has them and who waits.

A ledger serves one event loop, and dies with it. It grants when permits are given back, when somebody comes, and when
somebody leaves who others waited behind; in between nobody waits who could be served.

Those that need the same wait in one `PermitQueue`, which says who of them is next. Most need one permit of one limit.
A group of stages needs several at once, and gets all or none, since whoever held some while waiting for others could
wait for somebody who waits for them. So of the queues that want a permit that is free, the first one *that can be
served completely* is. A queue that is passed over `PATIENCE` times becomes the reserver: nobody else may take what it
would miss. There is one reserver at a time, and whoever holds permits never waits for others, so what it needs is given
back sooner or later, and then it is served and another queue may be the reserver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from stageflow.context.permit_queue import PATIENCE, PermitQueue, Waiter


class _Pool:
    """The permits of one limit, and the queues in which somebody waits for some of them."""

    __slots__ = ("capacity", "free", "queues", "waiting")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.free = capacity
        self.waiting = 0
        self.queues: dict[PermitQueue, None] = {}


class Ledger:
    """Who has which permits in one event loop, and who waits for them."""

    __slots__ = ("_last", "_pools", "_queues", "_reserver", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, capacities: Mapping[str, int]) -> None:
        self.loop = loop
        self._pools = {name: _Pool(capacity) for name, capacity in capacities.items()}
        self._queues: dict[tuple[tuple[str, int], ...], PermitQueue] = {}
        self._reserver: PermitQueue | None = None
        self._last = 0

    def in_use(self, name: str) -> int:
        """Return how many permits of a limit are held."""
        pool = self._pools[name]
        return pool.capacity - pool.free

    def waiting(self, name: str) -> int:
        """Return how many wait for permits of a limit."""
        return self._pools[name].waiting

    def is_alive(self) -> bool:
        """Return whether somebody holds permits or waits for them, in an event loop that can still run."""
        busy = any(pool.free < pool.capacity or pool.waiting for pool in self._pools.values())
        return busy and not self.loop.is_closed()

    def take_one(self, name: str) -> bool:
        """Take one permit of a limit, if one is free and nobody waits for it; return whether it is taken."""
        pool = self._pools[name]
        if pool.queues or not pool.free:  # whoever it may be reserved for is in one of the queues
            return False
        pool.free -= 1
        return True

    def enter(self, needs: Mapping[str, int], priority: int) -> Waiter | None:
        """Take permits; return None if they are taken, else the waiter that will be granted them."""
        if not any(self._pools[name].queues for name in needs) and self._fits(needs, None):
            self._take(needs)
            return None
        key = tuple(sorted(needs.items()))
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = PermitQueue(dict(needs))
            for name in needs:
                self._pools[name].queues[queue] = None
        self._last += 1
        waiter = Waiter(self.loop.create_future(), priority, self._last, queue)
        queue.push(waiter)
        for name in needs:
            self._pools[name].waiting += 1
        self._serve(needs)  # those that are there already may wait for something else
        return None if waiter.granted else waiter

    def leave(self, waiter: Waiter) -> None:
        """Forget a waiter; what it was granted goes on to the next."""
        queue = waiter.queue
        if queue is not None:
            queue.discard(waiter)
            self._forget(queue)
            if not queue and self._reserver is queue:
                self._reserver = None
                self._serve(queue.needs)
        waiter.wake()

    def give(self, needs: Mapping[str, int]) -> None:
        """Give permits back."""
        for name, count in needs.items():
            self._pools[name].free += count
        self._serve(needs)

    def _take(self, needs: Mapping[str, int]) -> None:
        for name, count in needs.items():
            self._pools[name].free -= count

    def _fits(self, needs: Mapping[str, int], queue: PermitQueue | None) -> bool:
        reserved: Mapping[str, int] = {}
        if self._reserver is not None and self._reserver is not queue:
            reserved = self._reserver.needs
        return all(self._pools[name].free - reserved.get(name, 0) >= count for name, count in needs.items())

    def _serve(self, names: Iterable[str]) -> None:
        """Grant what can be granted of these limits."""
        for name in names:
            pool = self._pools[name]
            while pool.free and pool.queues and (queue := self._next(pool)) is not None:
                self._grant(queue)

    def _next(self, pool: _Pool) -> PermitQueue | None:
        able = (queue for queue in pool.queues if self._fits(queue.needs, queue))
        return max(able, key=PermitQueue.rank, default=None)

    def _grant(self, queue: PermitQueue) -> None:
        waiter = queue.pop()
        self._take(queue.needs)
        waiter.granted = True
        waiter.wake()
        queue.passed_over = 0
        if self._reserver is queue:
            self._reserver = None
        self._forget(queue)
        self._pass_over(queue)

    def _forget(self, queue: PermitQueue) -> None:
        """Count that one fewer waits in a queue, which may have been the last."""
        for name in queue.needs:
            pool = self._pools[name]
            pool.waiting -= 1
            if not queue:
                del pool.queues[queue]
        if not queue:
            del self._queues[tuple(sorted(queue.needs.items()))]

    def _pass_over(self, served: PermitQueue) -> None:
        """Count that others could have used what was granted, and let one of them be the reserver if that is due."""
        longest: PermitQueue | None = None
        for queue in dict.fromkeys(queue for name in served.needs for queue in self._pools[name].queues):
            if queue is not served:
                queue.passed_over += 1
                if longest is None or queue.passed_over > longest.passed_over:
                    longest = queue
        if self._reserver is None and longest is not None and longest.passed_over >= PATIENCE:
            self._reserver = longest


class Permit:
    """What `Limits.acquire` gives: permits of one limit, or of several at once, until they are released.

    It may be lent while whoever holds it waits for something that needs permits itself: the first `lend` gives it back,
    and the last `regain` takes it again.
    """

    __slots__ = ("_held_in", "_ledger", "_lent", "_needs", "_priority", "_released", "_waits")

    def __init__(
        self, ledger: Callable[[], Ledger], needs: Mapping[str, int], priority: int, held_in: Ledger | None = None
    ) -> None:
        self._ledger = ledger
        self._needs = dict(needs)
        self._priority = priority
        self._lent = 1 if held_in is None else 0  # it begins as one that is lent, so that to acquire it is to regain it
        self._released = False
        self._held_in = held_in
        self._waits: tuple[Ledger, Waiter] | None = None

    @property
    def needs(self) -> Mapping[str, int]:
        """How many permits of which limits this is, whether they are held or lent."""
        return dict(self._needs)

    @property
    def is_held(self) -> bool:
        """Whether it is neither lent, nor waited for, nor released."""
        return self._held_in is not None

    def release(self) -> None:
        """Give it back for good. To do so twice, or while it is lent, does no harm."""
        self._released = True
        self._let_go()

    def lend(self) -> None:
        """Give it back until it is regained as often as it was lent."""
        self._lent += 1
        self._let_go()

    async def regain(self) -> None:
        """Take it again, behind those of its priority that wait, unless it is still lent otherwise.

        Whoever is cancelled in here holds nothing.

        Raises:
            ForeignLoopError: Another event loop uses the limits meanwhile.
            RuntimeError: It is not lent.
        """
        if not self._lent:
            raise RuntimeError("A permit that is not lent cannot be regained.")
        self._lent -= 1
        if self._lent or self._released:
            return
        ledger = self._ledger()
        waiter = ledger.enter(self._needs, self._priority)
        if waiter is not None:
            self._waits = ledger, waiter
            try:
                await waiter.future
            except BaseException:  # cancelled, maybe in the turn in which it was granted; or the event loop was closed
                self._withdraw(ledger, waiter)
                raise
            finally:
                self._waits = None
            if not waiter.granted:
                return  # it has been lent again or released meanwhile
        self._held_in = ledger

    def split(self, name: str) -> Permit:
        """Return a permit of its own for one of these: one unit of that limit moves to it.

        Raises:
            RuntimeError: Nothing of that limit is held.
        """
        if self._held_in is None or name not in self._needs:
            raise RuntimeError(f"There is nothing of '{name}' to split from {self!r}.")
        self._needs[name] -= 1
        if not self._needs[name]:
            del self._needs[name]
        return Permit(self._ledger, {name: 1}, self._priority, self._held_in)

    def _let_go(self) -> None:
        ledger, self._held_in = self._held_in, None
        if ledger is not None:
            ledger.give(self._needs)
        elif self._waits is not None:
            self._withdraw(*self._waits)

    def _withdraw(self, ledger: Ledger, waiter: Waiter) -> None:
        if waiter.granted:
            waiter.granted = False
            ledger.give(self._needs)
        else:
            ledger.leave(waiter)

    def __repr__(self) -> str:
        what = ", ".join(f"{count} of '{name}'" for name, count in self._needs.items()) or "nothing"
        state = "held" if self.is_held else "released" if self._released else "lent" if self._lent else "waiting"
        return f"<Permit: {what}, {state}>"
