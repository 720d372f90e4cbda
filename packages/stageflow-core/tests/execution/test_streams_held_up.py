"""Stages that stream, and run out of time because nobody reads."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from stageflow import Pipeline, StageExecutionError, StageTimeoutError, Stream, StreamOptions, stage
from stageflow_mocks.simulation import simulated


def _pipeline(*, first_s: float) -> Pipeline:
    @stage(timeout=10, stream=StreamOptions(capacity=1))
    async def llm() -> AsyncIterator[int]:
        await asyncio.sleep(first_s)
        for number in range(100):
            yield number

    @stage
    async def leaves(llm: Stream[int]) -> None:
        async for _ in llm:
            break
        await asyncio.sleep(60)

    return Pipeline("p", [llm, leaves])


async def _hint(*, first_s: float) -> str | None:
    with pytest.raises(StageExecutionError) as raised:
        await _pipeline(first_s=first_s).run()
    assert isinstance(raised.value.__cause__, StageTimeoutError)
    return raised.value.__cause__.hint


@simulated
async def test_reader_that_holds_it_up_is_named() -> None:
    """A time limit that ran out while a reader made no room names that reader, and what it may do."""
    assert await _hint(first_s=2) == (
        "For 8 s of it, its reader 'leaves' made no room: let that read on, or close its stream where it leaves its "
        "loop (`await stream.aclose()`)."
    )


@simulated
async def test_own_slowness_is_not_put_on_a_reader() -> None:
    """Where the stage itself took most of the time, the hint is that of any stage."""
    assert str(await _hint(first_s=6)).startswith("Raise timeout=")
