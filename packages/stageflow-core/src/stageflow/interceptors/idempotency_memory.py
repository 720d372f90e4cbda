"""An idempotency store for one process."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Any

from stageflow.protocols import Claim
from stageflow.wording import shown


class _Running:
    """A claimed key: who has it, for what, and who waits for it."""

    __slots__ = ("fingerprint", "loop", "owner", "waiters")

    def __init__(self, fingerprint: str, owner: str) -> None:
        self.fingerprint = fingerprint
        self.owner = owner
        self.loop = asyncio.get_running_loop()
        self.waiters: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)


class _Kept:
    """What came of some work."""

    __slots__ = ("expires_at", "fingerprint", "value")

    def __init__(self, fingerprint: str, value: Any, expires_at: float) -> None:
        self.fingerprint = fingerprint
        self.value = value
        self.expires_at = expires_at


class InMemoryIdempotencyStore:
    """Remembers in memory which work has been done; for one process, and one event loop at a time.

    A claim lasts until it is completed or released. Work that is under way is never forgotten; of what has been done
    the oldest is, when its time is up or there is too much of it.

    Args:
        ttl: Seconds for which the outcome of work is kept.
        max_entries: How many outcomes are kept.
        clock: Gives seconds that never go back; that of the running event loop unless given.

    Raises:
        ValueError: A number is not above 0.
    """

    lease_seconds: float | None = None

    def __init__(
        self, *, ttl: float = 3_600.0, max_entries: int = 10_000, clock: Callable[[], float] | None = None
    ) -> None:
        if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0 < ttl < math.inf:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"ttl of an InMemoryIdempotencyStore is a number of seconds above 0, not {shown(ttl)}.")
        if isinstance(max_entries, bool) or not isinstance(max_entries, int) or max_entries < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            told = f"not {shown(max_entries)}"
            raise ValueError(f"max_entries of an InMemoryIdempotencyStore is a whole number from 1 on, {told}.")
        self._ttl = ttl
        self._max_entries = max_entries
        self._clock = clock
        self._running: dict[str, _Running] = {}
        self._kept: dict[str, _Kept] = {}  # in the order in which they were kept, so the next to expire comes first

    def __len__(self) -> int:
        """Return how many keys are known: under way, or done and not yet forgotten."""
        return len(self._running) + len(self._kept)

    async def claim(self, key: str, *, fingerprint: str, owner: str) -> Claim:
        self._forget()
        kept = self._kept.get(key)
        if kept is not None:
            return Claim("done", kept.value) if kept.fingerprint == fingerprint else Claim("conflict")
        running = self._running_here(key)
        if running is not None:
            return Claim("running" if running.fingerprint == fingerprint else "conflict")
        self._running[key] = _Running(fingerprint, owner)
        return Claim("granted")

    async def wait(self, key: str) -> None:
        running = self._running_here(key)
        if running is None:
            return
        waiter = running.loop.create_future()
        running.waiters.append(waiter)
        try:
            await waiter
        finally:
            running.waiters.remove(waiter)

    async def renew(self, key: str, *, owner: str) -> bool:
        return self._owned(key, owner) is not None

    async def complete(self, key: str, *, owner: str, value: Any) -> bool:
        running = self._owned(key, owner)
        if running is None:
            return False
        del self._running[key]
        self._kept[key] = _Kept(running.fingerprint, value, self._now() + self._ttl)
        self._forget()
        running.wake()
        return True

    async def release(self, key: str, *, owner: str) -> None:
        running = self._owned(key, owner)
        if running is not None:
            del self._running[key]
            running.wake()

    def _owned(self, key: str, owner: str) -> _Running | None:
        running = self._running.get(key)
        return None if running is None or running.owner != owner else running

    def _running_here(self, key: str) -> _Running | None:
        running = self._running.get(key)
        if running is None or running.loop is asyncio.get_running_loop():
            return running
        if not running.loop.is_closed():
            raise RuntimeError("An InMemoryIdempotencyStore was asked by two event loops at a time: give each its own.")
        del self._running[key]  # whoever claimed it ended with its event loop
        return None

    def _forget(self) -> None:
        now, excess = self._now(), len(self._kept) - self._max_entries
        for key in list(self._oldest(now, excess)):
            del self._kept[key]

    def _oldest(self, now: float, excess: int) -> Iterator[str]:
        for place, (key, kept) in enumerate(self._kept.items()):
            if place >= excess and kept.expires_at > now:
                return
            yield key

    def _now(self) -> float:
        return asyncio.get_running_loop().time() if self._clock is None else self._clock()
