"""A call of something that watches runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from stageflow.events.delivery import deliver
from stageflow_mocks.simulation import simulated


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The moments at which timers were set."""
    found: list[float] = []
    call_at = asyncio.BaseEventLoop.call_at

    def noted(self: Any, when: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        found.append(when)
        return call_at(self, when, *args, **kwargs)

    monkeypatch.setattr(asyncio.BaseEventLoop, "call_at", noted)
    return found


def test_a_call_that_waits_for_nothing_needs_no_timer(timers: list[float]) -> None:
    """It has ended after one turn of the loop: most stores and sinks only put things into a queue or a dict."""

    async def call() -> int:
        return 3

    async def scenario() -> Any:
        return await deliver(call, to="the store", timeout_s=1.0)

    told = asyncio.run(scenario())
    assert (None, 3, None) == (told.failure, told.value, told.interrupted)
    assert [] == timers


def test_a_call_that_fails_at_once_says_why(timers: list[float]) -> None:
    """As one that fails later does."""

    async def call() -> None:
        raise OSError("full")

    async def scenario() -> Any:
        return await deliver(call, to="the store", timeout_s=1.0)

    assert "OSError('full')" == repr(asyncio.run(scenario()).failure)
    assert [] == timers


@simulated()
async def test_a_call_that_waits_has_its_whole_time() -> None:
    """A turn of the loop before the limit takes nothing from it."""
    clock = asyncio.get_running_loop().time

    async def waits(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    assert "done" == (await deliver(lambda: waits(0.9), to="the store", timeout_s=1.0)).value
    began = clock()
    assert "the store took longer than 1 s" == (await deliver(lambda: waits(9), to="the store", timeout_s=1.0)).failure
    assert 1.0 == pytest.approx(clock() - began)


def test_a_caller_that_is_cancelled_at_once_hears_of_it() -> None:
    """What has been done by then has been done, and the cancellation is handed back to be raised again."""

    async def call() -> str:
        return "done"

    async def scenario() -> Any:
        task = asyncio.ensure_future(deliver(call, to="the store", timeout_s=1.0))
        await asyncio.sleep(0)
        task.cancel()
        return await task

    told = asyncio.run(scenario())
    assert (None, "done") == (told.failure, told.value)
    assert isinstance(told.interrupted, asyncio.CancelledError)
