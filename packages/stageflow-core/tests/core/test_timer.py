"""The clock of a run."""

from __future__ import annotations

import time

import pytest
from stageflow import PipelineTimer


def test_elapsed_time_is_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted from the start by the monotonic clock."""
    monkeypatch.setattr(time, "perf_counter_ns", lambda: 5_000_000)
    timer = PipelineTimer()
    monkeypatch.setattr(time, "perf_counter_ns", lambda: 7_500_000)
    assert 2.5 == timer.elapsed_ms


def test_a_reading_becomes_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock is read once, so that moments stay in the order of the readings when it is set back."""
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    monkeypatch.setattr(time, "perf_counter_ns", lambda: 5_000_000_000)
    timer = PipelineTimer()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert (1000.0, 1001.5) == (timer.started_at, timer.moment(6_500_000_000))
