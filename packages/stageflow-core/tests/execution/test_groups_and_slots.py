"""Stages that are joined by streams and take one place among `max_concurrency`, in ways that the simulation found."""

import asyncio
from collections.abc import AsyncIterator

from stageflow import Limits, Pipeline, StageContext, Stream, stage
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


@simulated
async def test_a_permit_comes_back_when_the_code_that_uses_it_has_ended() -> None:
    """A member that does not stop when its run does goes on to use what the limit protects."""
    limits, in_use = Limits({"x": 2}), list[int]()

    @stage(limit="x")
    async def talking() -> AsyncIterator[int]:
        yield 1

    @stage(limit="x")
    async def stubborn(talking: Stream[int]) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(10)
            in_use.append(limits.in_use("x"))

    run = Pipeline("test", [talking, stubborn], cancel_grace=1.0).start(limits=limits)
    await asyncio.sleep(1)
    run.cancel()
    assert (await run.outcome()).stragglers == ("stubborn",)
    assert limits.in_use("x") == 1
    await asyncio.sleep(20)
    assert (in_use, limits.in_use("x")) == ([1], 0)


@simulated
async def test_nor_before_that_if_its_time_was_up() -> None:
    """Whichever of the two limits it has gone beyond."""
    for limit in ({"timeout": 1.0}, {"deadline": 1.0}):
        limits = Limits({"x": 2})

        @stage(limit="x")
        async def talking() -> AsyncIterator[int]:
            yield 1

        @stage(limit="x", **limit)
        async def stubborn(talking: Stream[int]) -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(10)

        results = await Pipeline("test", [talking, stubborn], cancel_grace=1.0).start(limits=limits).outcome()
        assert (results.status, limits.in_use("x")) == ("failed", 1)
        await asyncio.sleep(20)
        assert limits.in_use("x") == 0
