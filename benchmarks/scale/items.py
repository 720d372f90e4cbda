"""Rows of very large maps: over a range, and over what a stage streams."""

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

from stageflow import Pipeline, PipelineResults, StageContext, StageGraph, stage

from benchmarks.effort import Effort
from benchmarks.measuring import Estimate
from benchmarks.report import MULTIPLE, Row
from benchmarks.scale.growing import Sized, growth_row, peak_of, sizes

CONCURRENCY = 10


class AddUp:
    """Add up the items of one run after the other, and return nothing: the results are then a list and no more."""

    def __init__(self) -> None:
        self.total = 0

    async def execute(self, ctx: StageContext) -> None:
        """Add one item."""
        self.total += ctx.item


def over_range(count: int, each: AddUp) -> StageGraph:
    """Build a map over the numbers of a range, none of which is made before its turn."""

    @stage
    async def source() -> Mapping[str, Any]:
        return {"items": range(count)}

    over = stage("each", each, map_over=("source", "items"), map_concurrency=CONCURRENCY)
    return Pipeline("map", [source, over]).build()


def over_stream(count: int, each: AddUp) -> StageGraph:
    """Build a map over the chunks of a stage that makes them while the map goes on."""

    @stage
    async def source() -> AsyncIterator[int]:
        for number in range(count):
            yield number

    over = stage("each", each, map_over="source", map_concurrency=CONCURRENCY)
    return Pipeline("map", [source, over]).build()


SOURCES: Mapping[str, Callable[[int, AddUp], StageGraph]] = {"range": over_range, "stream": over_stream}


def sized_map(make: Callable[[int, AddUp], StageGraph], count: int) -> Sized:
    """Build a map; each run of it checks that every item came once."""
    each = AddUp()
    graph = make(count, each)

    async def run() -> PipelineResults:
        each.total = 0
        results = await graph.run()
        got = len(results.data("each")["items"])
        if (got, each.total) != (count, count * (count - 1) // 2):
            raise ValueError(f"a map of {count} items gave {got}, which add up to {each.total}")
        return results

    return Sized(count, run)


async def bytes_above_results(make: Callable[[int, AddUp], StageGraph], count: int) -> int:
    """Measure the peak of a run, without the list of results, after one that fills the interpreter's free lists."""
    sized = sized_map(make, count)
    await sized_map(make, min(count, 1000)).run()
    peak, results = await peak_of(sized)
    return peak - sys.getsizeof(results.data("each")["items"])


async def item_rows(effort: Effort) -> list[Row]:
    """Measure growth and memory, of a million items against ten thousand."""
    counts = sizes(effort, 10_000, 100_000, 1_000_000)
    rows: list[Row] = []
    for key, make in SOURCES.items():
        rows.append(
            await growth_row(
                partial(sized_map, make), counts, effort.rounds, key=key, title=f"map over a {key}", unit="item"
            )
        )
        few, many = [await bytes_above_results(make, count) for count in (counts[0], counts[-1])]
        rows.append(
            Row(
                key=f"{key}-memory",
                title=f"peak memory above the results, map over a {key}, {counts[-1]}",
                against=f"of {counts[0]}",
                figure=Estimate.of([many / few]),
                unit=MULTIPLE,
                must=1.5,
                aim=1.1,
                ours=f"{many / 1000:.0f} kB",
                other=f"{few / 1000:.0f} kB",
            )
        )
    return rows
