"""What must not begin any more when a map has ended, in ways that the simulation found."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from stageflow import Limits, Pipeline, StageContext, StageExecutionError, stage
from stageflow_mocks.simulation import simulated


class Turns:
    """Items that come one by one, each after a turn of the event loop."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Turns":
        return self

    async def __aiter__(self) -> AsyncIterator[int]:
        for index in range(6):
            await asyncio.sleep(0)
            yield index


class SlowItems:
    """Items of which the second one takes long."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "SlowItems":
        return self

    async def __aiter__(self) -> AsyncIterator[int]:
        yield 0
        await asyncio.sleep(100)
        yield 1


@simulated(seeds=range(50))
async def test_whatever_asks_for_items_ends_with_its_run() -> None:
    """The last item ends when the run is stopping already, and its map has not been cancelled yet."""

    @stage
    async def source() -> dict[str, Any]:
        return {"items": SlowItems()}

    @stage(map_over=("source", "items"))
    async def each(ctx: StageContext) -> None:
        await asyncio.sleep(1)

    @stage
    async def failing(source: dict[str, Any]) -> None:
        await asyncio.sleep(1)
        raise LookupError("it is lost")

    with pytest.raises(StageExecutionError, match="lost"):
        await Pipeline("test", [source, each, failing]).run()
    assert {asyncio.current_task()} == asyncio.all_tasks()


@simulated(seeds=range(100))
async def test_an_item_that_was_handed_over_does_not_begin_once_another_one_has_failed() -> None:
    """A task waits for an item, is given one, and another task fails before it gets its turn."""
    began: list[int] = []

    @stage
    async def source() -> dict[str, Any]:
        return {"items": Turns()}

    @stage(map_over=("source", "items"), map_concurrency=3)
    async def each(ctx: StageContext) -> None:
        began.append(ctx.item)
        if ctx.item == 2:
            began.append(-1)
            raise LookupError("the third is lost")

    with pytest.raises(StageExecutionError):
        await Pipeline("test", [source, each]).run()
    assert began[-1] == -1


async def test_an_item_that_waits_for_a_permit_does_not_begin_once_another_one_has_failed() -> None:
    """The one that fails gives its permit back, which wakes the next one before the map can cancel it."""
    began: list[Any] = []

    @stage
    async def source() -> dict[str, Any]:
        return {"items": [0, 1, 2]}

    @stage(map_over=("source", "items"), limit="x")
    async def each(ctx: StageContext) -> None:
        began.append(ctx.item)
        await asyncio.sleep(0)
        raise LookupError("it is lost")

    with pytest.raises(StageExecutionError, match="Item 0 of stage 'each' failed: LookupError: it is lost"):
        await Pipeline("test", [source, each]).run(limits=Limits({"x": 1}))
    assert [0] == began


@simulated
async def test_items_are_told_that_their_map_has_ended() -> None:
    """As those of a run are that is stopping."""
    told: list[Any] = []

    @stage
    async def source() -> dict[str, Any]:
        return {"items": [0, 1]}

    @stage(map_over=("source", "items"))
    async def each(ctx: StageContext) -> None:
        if ctx.index == 0:
            await asyncio.sleep(1)
            raise LookupError("it is lost")
        told.append(ctx.cancelled)
        try:
            await asyncio.sleep(2)
        finally:
            told.append(ctx.cancelled)

    with pytest.raises(StageExecutionError):
        await Pipeline("test", [source, each]).run()
    assert told == [False, True]
