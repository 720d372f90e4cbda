"""How far a run has come, in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

HOLD_NS = 1_000_000
"""How long a run may keep the event loop to itself, in nanoseconds."""


class PipelineTimer:
    """The clock of one run: read by its stages, never set by them.

    Everything that a run notes of time comes from here. An event loop in simulated time has a `perf_counter_ns` of its
    own, which is asked in place of the real one, so that durations are simulated too and the same run gives the same.

    Attributes:
        started_at: When the run started, in seconds since the epoch.
        started_ns: The same moment as a reading of `clock`.
        clock: Gives nanoseconds that never go back; only differences mean anything.
    """

    __slots__ = ("__weakref__", "clock", "started_at", "started_ns")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        simulated: Callable[[], int] | None = getattr(loop, "perf_counter_ns", None)
        self.clock: Callable[[], int] = time.perf_counter_ns if simulated is None else simulated
        self.started_ns = self.clock()
        self.started_at = time.time() if simulated is None else self.started_ns / 1e9

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the run started."""
        return (self.clock() - self.started_ns) / 1e6

    def now(self) -> float:
        """Return the moment in seconds since the epoch; it never goes back."""
        return self.started_at + (self.clock() - self.started_ns) / 1e9

    def moment(self, reading_ns: int) -> float:
        """Convert a reading of `clock` to seconds since the epoch, in the order of the readings."""
        return self.started_at + (reading_ns - self.started_ns) / 1e9
