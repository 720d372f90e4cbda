"""What becomes of stages whose streams break, in ways that the simulation found."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from stageflow import Pipeline, StageContext, StageStatus, Stream, stage
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


@simulated
async def test_a_reader_that_swallows_its_cancellation_finds_the_end_of_a_stream_that_was_cancelled() -> None:
    """Else the run would wait for it as long as the grace lasts, and leave it behind."""

    @stage
    async def talking() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    @stage
    async def stubborn(talking: Stream[int]) -> dict[str, int]:
        read = 0
        with suppress(asyncio.CancelledError):
            async for _ in talking:
                read += 1
        with suppress(asyncio.CancelledError):
            async for _ in talking:
                read += 1
        return {"read": read}

    run = Pipeline("test", [talking, stubborn]).start()
    await asyncio.sleep(1)
    run.cancel("enough")
    results = await run.outcome()
    assert results.status == "cancelled"
    assert results.stragglers == ()
    assert results.data(stubborn) == {"read": 1}
    assert asyncio.get_running_loop().time() == 1.0


@simulated(seeds=range(300))
async def test_a_map_over_a_stream_that_breaks_does_not_fail_itself() -> None:
    """The task that takes the chunks may find the end before the map is told that it is cut off."""

    @stage
    async def talking() -> AsyncIterator[int]:
        for chunk in range(3):
            await asyncio.sleep(0)
            yield chunk
        raise LookupError("it is lost")

    @stage(map_over="talking", deadline=60)
    async def each(ctx: StageContext) -> None:
        for _ in range(2):
            await asyncio.sleep(0)

    results = await Pipeline("test", [talking, each]).start().outcome()
    assert results[each].status is StageStatus.CANCEL
    results = await Pipeline("test", [talking, each], on_failure="continue").start().outcome()
    assert results[each].status is StageStatus.SKIP
    assert results.record(each).origin == "talking"


@simulated
async def test_a_reader_whose_time_was_up_and_that_reads_on_finds_the_end_of_a_broken_stream() -> None:
    """Its limit has cancelled it, so it is not cancelled for the stream as well."""

    @stage
    async def talking() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(2)
        raise LookupError("it is lost")

    @stage(timeout=1)
    async def stubborn(talking: Stream[int]) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        async for _ in talking:
            pass

    results = await Pipeline("test", [talking, stubborn], on_failure="continue").start().outcome()
    assert results[talking].status is StageStatus.FAIL
    assert asyncio.get_running_loop().time() == 2.0
