"""Run stores that work, and that do not."""

import asyncio
import contextlib

from simulation.sinks import FAULTS

SLOW, LIMIT, STUBBORN = 0.75, 5.0, 3.0
"""Seconds that a call takes: to do its work, until it is cut off, and to give up when it is."""

ENDS = ("completed", "failed", "cancelled", "suspended")


class Store:
    """A store that keeps what it is told, and then does what its kind does.

    Attributes:
        tried: What it was told, in order.
        kept: That which it has kept.
        lost: How many of its calls the run should count.
        takes: How many seconds each of the three calls takes.
    """

    takes = (0.0, 0.0, 0.0)

    def __init__(self, run):
        self.run = run
        self.tried = []
        self.kept = []
        self.lost = 0

    async def create_run(self, run_id, **metadata):
        await self.take("created")

    async def update_status(self, run_id, status, **data):
        await self.take(status)

    async def get_run(self, run_id):
        return None

    async def take(self, status):
        self.tried.append(status)
        await self.work(status)
        self.kept.append(status)

    async def work(self, status):
        return None


class SlowStore(Store):
    takes = (SLOW, SLOW, SLOW)

    async def work(self, status):
        await asyncio.sleep(SLOW)


class RaisingStore(Store):
    async def work(self, status):
        if (len(self.tried) + self.run.number) % 2:
            self.lost += 1
            raise FAULTS[len(self.tried) % len(FAULTS)]("the store is broken")


class HangingStore(Store):
    takes = (LIMIT, LIMIT, LIMIT)

    async def work(self, status):
        self.lost += 1
        await asyncio.Event().wait()


class StoreThatHangsAtFirst(HangingStore):
    takes = (LIMIT, 0.0, 0.0)

    async def work(self, status):
        if status == "created":
            await super().work(status)


class StubbornStore(Store):
    takes = (LIMIT + STUBBORN, 0.0, LIMIT + STUBBORN)

    async def work(self, status):
        if status == "running":
            return
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(STUBBORN)


_KINDS = {
    "keeps": Store,
    "is slow": SlowStore,
    "raises": RaisingStore,
    "hangs": HangingStore,
    "hangs at first": StoreThatHangsAtFirst,
    "is stubborn": StubbornStore,
}


def store_for(kind, run):
    """Return a store of the kind for the run, or None."""
    return None if kind == "none" else _KINDS[kind](run)
