"""Stages that are joined by streams and take one place among `max_concurrency`, in ways that the simulation found."""

import asyncio
from collections.abc import AsyncIterator

from stageflow import Pipeline, StageContext, Stream, stage
from stageflow_mocks.simulation import simulated


@simulated
async def test_a_group_takes_its_slot_until_its_last_member_has_ended() -> None:
    """Also if the stage that is mapped over the stream ends before the one that reads it."""

    @stage
    async def talking() -> AsyncIterator[int]:
        yield 1

    @stage(map_over="talking")
    async def each(ctx: StageContext) -> None:
        await asyncio.sleep(1)

    @stage
    async def listening(talking: Stream[int]) -> None:
        await asyncio.sleep(3)

    @stage
    async def beside() -> dict[str, float]:
        return {"began": asyncio.get_running_loop().time()}

    results = await Pipeline("test", [talking, each, listening, beside], max_concurrency=1).run()
    assert results.data(beside) == {"began": 3.0}


@simulated(seeds=range(20))
async def test_all_stages_that_begin_a_group_start_with_it() -> None:
    """Two stages stream to a third one, which needs both: one that waited for a place would let the others wait."""

    @stage
    async def words() -> AsyncIterator[str]:
        for _ in range(40):
            yield "word"

    @stage
    async def beside() -> None:
        await asyncio.sleep(1)

    @stage
    async def tones() -> AsyncIterator[int]:
        for tone in range(40):
            yield tone

    @stage
    async def both(words: Stream[str], tones: Stream[int]) -> dict[str, int]:
        return {"words": len([word async for word in words]), "tones": len([tone async for tone in tones])}

    results = await Pipeline("test", [words, beside, tones, both], max_concurrency=1).run()
    assert results.data(both) == {"words": 40, "tones": 40}
