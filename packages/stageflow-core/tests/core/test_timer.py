"""The clock of a run."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import pytest
from stageflow import PipelineTimer


class SimulatedLoop:
    """As much of an event loop in simulated time as a timer asks for."""

    def __init__(self) -> None:
        self.now_ns = 5_000_000_000

    def perf_counter_ns(self) -> int:
        return self.now_ns


def test_time_is_that_of_a_simulated_loop() -> None:
    """Elapsed time in milliseconds, moments in seconds: all of it is simulated."""
    loop = SimulatedLoop()
    timer = PipelineTimer(cast("asyncio.AbstractEventLoop", loop))
    loop.now_ns += 2_500_000
    assert (5.0, 2.5, 5.0025) == (timer.started_at, timer.elapsed_ms, timer.now())
    assert 6.5 == timer.moment(6_500_000_000)


def test_a_reading_becomes_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock is read once, so that moments stay in the order of the readings when it is set back."""
    readings = iter([5_000_000_000, 7_000_000_000])
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    monkeypatch.setattr(time, "perf_counter_ns", lambda: next(readings))
    timer = PipelineTimer()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert (1000.0, 1001.5, 1002.0) == (timer.started_at, timer.moment(6_500_000_000), timer.now())


def test_an_ordinary_loop_leaves_the_real_clock() -> None:
    """Only a loop with a clock of its own is asked."""
    before = time.perf_counter_ns()
    loop = asyncio.new_event_loop()
    timer = PipelineTimer(loop)
    loop.close()
    assert before <= timer.started_ns <= time.perf_counter_ns()
