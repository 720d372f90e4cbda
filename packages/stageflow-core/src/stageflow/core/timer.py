"""How far a run has come, in time."""

from __future__ import annotations

import time


class PipelineTimer:
    """The clock of one run: read by its stages, never set by them.

    Attributes:
        started_at: When the run started, in seconds since the epoch.
        started_ns: The same moment as a reading of `time.perf_counter_ns`.
    """

    __slots__ = ("started_at", "started_ns")

    def __init__(self) -> None:
        self.started_at = time.time()
        self.started_ns = time.perf_counter_ns()

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the run started, by a clock that never goes back."""
        return (time.perf_counter_ns() - self.started_ns) / 1e6

    def moment(self, perf_counter_ns: int) -> float:
        """Convert a reading of `time.perf_counter_ns` to seconds since the epoch, in the order of the readings."""
        return self.started_at + (perf_counter_ns - self.started_ns) / 1e9
