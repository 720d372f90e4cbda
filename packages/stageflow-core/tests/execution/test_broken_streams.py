"""What becomes of stages whose streams break, in ways that the simulation found."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from stageflow import Pipeline, StageStatus, Stream, stage
from stageflow_mocks.simulation import simulated


@simulated
async def test_a_reader_that_was_cut_off_and_reads_on_finds_the_end_of_every_broken_stream() -> None:
    """It swallows the cancellation for the first stream, and the second one breaks only then."""

    @stage
    async def first() -> AsyncIterator[int]:
        await asyncio.sleep(1)
        yield 1
        raise LookupError("the first is lost")

    @stage
    async def second() -> AsyncIterator[int]:
        await asyncio.sleep(2)
        yield 2
        raise LookupError("the second is lost")

    @stage
    async def stubborn(first: Stream[int], second: Stream[int]) -> dict[str, str]:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1.5)
        with pytest.raises(asyncio.CancelledError, match="'second' broke"):
            async for _ in second:
                pass
        return {"said": "done all the same"}

    run = Pipeline("test", [first, second, stubborn], on_failure="continue").start()
    results = await run.outcome()
    assert results.status == "failed"
    assert results[stubborn].status is StageStatus.SKIP
    assert asyncio.get_running_loop().time() == 2.0
