"""Rows of maps: items through one stage, against a pool of tasks that pull from an iterator."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stageflow import Pipeline, PipelineResults, StageContext, StageGraph, stage

from benchmarks.effort import Effort
from benchmarks.executing import added_cost
from benchmarks.graphs import PRIME
from benchmarks.handwritten import results_of
from benchmarks.measuring import Contender, Load
from benchmarks.report import Row

CONCURRENCY = 10


@dataclass(frozen=True)
class Items:
    """So many numbers, to each of which the run's input is added; `suspending` gives up the event loop for each."""

    count: int
    suspending: bool = False

    def check(self, values: Sequence[object], run_input: int) -> None:
        """Raise ValueError naming the first item that is wrong."""
        if len(values) != self.count:
            raise ValueError(f"a map of {self.count}: {len(values)} values")
        for index, value in enumerate(values):
            if value != (index + run_input) % PRIME:
                raise ValueError(f"a map of {self.count}, input {run_input}: item {index} came to {value!r}")


class AddInput:
    """Add the run's input to an item."""

    async def execute(self, ctx: StageContext) -> Mapping[str, Any]:
        """Read the item from the context, and return a mapping."""
        return {"value": (ctx.item + ctx.snapshot.input) % PRIME}


class AddInputAfterTurn(AddInput):
    """The same, after a turn of the event loop."""

    async def execute(self, ctx: StageContext) -> Mapping[str, Any]:
        """Wait as a stage on a network does, though not as long."""
        await asyncio.sleep(0)
        return await super().execute(ctx)


def map_graph(items: Items) -> StageGraph:
    """Build a stage that gives the items, and one that runs once for each."""
    numbers = list(range(items.count))

    @stage
    async def source() -> Mapping[str, Any]:
        return {"items": numbers}

    each = AddInputAfterTurn() if items.suspending else AddInput()
    over = stage("each", each, map_over=("source", "items"), map_concurrency=CONCURRENCY)
    return Pipeline("map", [source, over]).build()


def mapped(items: Items) -> Contender:
    """Map with a graph."""
    graph = map_graph(items)

    def read(results: PipelineResults) -> list[object]:
        return [item["value"] for item in results.data("each")["items"]]

    return Contender("stageflow", lambda run_input: graph.run(input=run_input), read)


async def add_input(item: int, run_input: int) -> int:
    """Do what AddInput does."""
    return (item + run_input) % PRIME


async def add_input_after_turn(item: int, run_input: int) -> int:
    """Do what AddInputAfterTurn does."""
    await asyncio.sleep(0)
    return (item + run_input) % PRIME


def mapped_by_hand(items: Items) -> Contender:
    """Map with a pool of tasks."""
    numbers = list(range(items.count))
    body: Callable[[int, int], Awaitable[int]] = add_input_after_turn if items.suspending else add_input

    async def run(run_input: int) -> list[int]:
        loop = asyncio.get_running_loop()
        values = [0] * len(numbers)
        pending = enumerate(numbers)

        async def work() -> None:
            for index, item in pending:
                values[index] = await body(item, run_input)

        await results_of([loop.create_task(work()) for _ in range(CONCURRENCY)])
        return values

    return Contender("a pool of tasks", run, list)


async def map_rows(effort: Effort) -> list[Row]:
    """Compare items that do nothing, and items that wait a turn of the event loop."""
    count = effort.stages(1000)
    return [
        await added_cost(
            items := Items(count, suspending),
            Load(4),
            mapped(items),
            mapped_by_hand(items),
            rounds=effort.rounds,
            key=key,
            title=f"a map of {count} items{manner}, {CONCURRENCY} at once",
            against=f"a pool of {CONCURRENCY} tasks",
        )
        for key, suspending, manner in (("map", False, ""), ("map-suspending", True, " that wait a turn"))
    ]
