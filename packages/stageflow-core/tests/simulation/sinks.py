"""Event sinks that work, and that do not."""

import asyncio
import contextlib

from simulation.stages import OddError

SLOW, STUBBORN = 2.0, 3.0
"""Seconds that `emit` takes: to do its work, and to give up when it is cancelled."""

FAULTS = (RuntimeError, OddError, asyncio.CancelledError)


class Sink:
    """A sink that tells its run of every event and then does what its kind does.

    `lost` counts what the run should count, `offered` says whether it was given the last event of the run.
    """

    def __init__(self, run):
        self.run = run
        self.lost = 0
        self.seen = 0
        self.offered = False

    def try_emit(self, *, type, data):
        self.run.take(data)

    async def emit(self, *, type, data):
        self.offered = True
        self.run.take(data)


class RaisingSink(Sink):
    def try_emit(self, *, type, data):
        self.seen += 1
        self.run.take(data)
        if self.seen % 2:
            self.lost += 1
            raise FAULTS[self.seen % len(FAULTS)]("the sink is broken")


class RefusingSink(Sink):
    def try_emit(self, *, type, data):
        self.seen += 1
        self.run.take(data)
        self.lost += self.seen % 3 == 0
        return self.seen % 3 != 0


class SinkWithBrokenEnd(Sink):
    async def emit(self, *, type, data):
        self.offered = True
        self.lost += 1
        raise FAULTS[self.run.number]("the sink is broken")


class SlowSink(Sink):
    async def emit(self, *, type, data):
        self.offered = True
        try:
            await asyncio.sleep(SLOW)
        except asyncio.CancelledError:
            self.lost += 1
            raise
        self.run.take(data)


class HangingSink(Sink):
    async def emit(self, *, type, data):
        self.offered = True
        self.lost += 1
        await asyncio.Event().wait()


class StubbornSink(Sink):
    async def emit(self, *, type, data):
        self.offered = True
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            until = asyncio.get_running_loop().time() + STUBBORN
        while (seconds := until - asyncio.get_running_loop().time()) > 0:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(seconds)
        self.run.take(data)


_KINDS = {
    "records": Sink,
    "raises": RaisingSink,
    "refuses": RefusingSink,
    "emit raises": SinkWithBrokenEnd,
    "emit is slow": SlowSink,
    "emit hangs": HangingSink,
    "emit is stubborn": StubbornSink,
}


def sink_for(kind, run):
    """Return a sink of the kind for the run; None if nobody listens."""
    return None if kind == "none" else _KINDS[kind](run)
