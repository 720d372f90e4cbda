"""The run store of a composed scenario: one for all runs, and their children."""

import asyncio
import contextlib

from simulation.sinks import FAULTS
from simulation.stores import SLOW


class Records:
    """Keeps what it is told, and does what its kind does.

    Attributes:
        tried, kept: By run, what it was told and what of that it has kept, in order.
        parents: By run, that of which it is a child.
    """

    def __init__(self, kind):
        self.kind = kind
        self.calls = 0
        self.tried, self.kept, self.parents = {}, {}, {}

    async def create_run(self, run_id, **metadata):
        if "parent_run_id" in metadata:
            self.parents[run_id] = metadata["parent_run_id"]
        await self.take(run_id, "created")

    async def update_status(self, run_id, status, **data):
        await self.take(run_id, status)

    async def get_run(self, run_id):
        return None

    async def take(self, run_id, status):
        self.calls += 1
        self.tried.setdefault(run_id, []).append(status)
        if self.kind == "raises" and self.calls % 3 == 0:
            raise FAULTS[self.calls % len(FAULTS)]("the store is broken")
        if self.kind == "hangs at first" and self.calls < 3:
            await asyncio.Event().wait()
        if self.kind == "is slow":
            await asyncio.sleep(SLOW)
        if self.kind == "is stubborn" and self.calls == 2:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        self.kept.setdefault(run_id, []).append(status)

    def root_of(self, run_id):
        while run_id in self.parents:
            run_id = self.parents[run_id]
        return run_id
