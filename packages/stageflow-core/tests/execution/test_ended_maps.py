"""What must not begin any more when a map has ended, in ways that the simulation found."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from stageflow import Pipeline, StageContext, StageExecutionError, stage
from stageflow_mocks.simulation import simulated


class Turns:
    """Items that come one by one, each after a turn of the event loop."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Turns":
        return self

    async def __aiter__(self) -> AsyncIterator[int]:
        for index in range(6):
            await asyncio.sleep(0)
            yield index


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
