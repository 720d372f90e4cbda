"""A stage that is mapped over a stream belongs to the group of it."""

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
