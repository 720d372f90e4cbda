"""Run stores that work, and that do not."""

import asyncio

Stubborn = 12.0
"""Seconds for which a stubborn store goes on, whoever cancels it."""


def now():
    return asyncio.get_running_loop().time()


class Odd(BaseException):
    """No Exception: what a library may use for its own ends."""


class Store:
    """Keeps each call that it has finished, and of each that has begun the status and the moment."""

    def __init__(self, latency_s=0.0):
        self.latency_s = latency_s
        self.calls, self.tried, self.begun = [], [], []

    async def create_run(self, run_id, **metadata):
        await self._take(run_id, "created", metadata)

    async def update_status(self, run_id, status, **data):
        await self._take(run_id, status, data)

    async def get_run(self, run_id):
        return None

    async def _take(self, run_id, status, data):
        self.tried.append(status)
        self.begun.append(now())
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        self.calls.append((run_id, status, data))

    def statuses(self, run_id):
        """Return what was told of a run, in order."""
        return [status for of, status, _ in self.calls if of == run_id]

    def data(self, run_id, status):
        """Return what was told of a run with this status, which was told once."""
        (data,) = (data for of, told, data in self.calls if (of, told) == (run_id, status))
        return data

    def of(self, status):
        """Return what was told of all runs with this status."""
        return [data for _, told, data in self.calls if told == status]


class Broken(Store):
    """Has a fault for each of some statuses."""

    def __init__(self, faults):
        super().__init__()
        self.faults = faults

    async def _take(self, run_id, status, data):
        fault = self.faults.get(status)
        if fault is None:
            return await super()._take(run_id, status, data)
        self.tried.append(status)
        self.begun.append(now())
        if fault == "raises":
            raise RuntimeError("it is down, its key is sk-abcdefghijklmnopqrstuvwxyz012345")
        if fault == "raises odd":
            raise Odd
        if fault == "raises cancelled":
            raise asyncio.CancelledError
        if fault == "hangs":
            await asyncio.Event().wait()
        until = now() + (Stubborn if fault == "is stubborn" else 4.0 if fault == "is slow" else 0.0)
        while now() < until:
            try:
                await asyncio.sleep(until - now())
            except asyncio.CancelledError:
                continue
        self.calls.append((run_id, status, data))
        return ["nonsense"] if fault == "answers nonsense" else None
