"""A stage runs its children as told, each with the values of the graph."""

import asyncio

import pytest

from benchmarks import graphs
from benchmarks.children import CHILDREN, as_child, by_itself, parent_contender
from benchmarks.measuring import Load, sample


@pytest.mark.parametrize("run_child", [as_child, by_itself])
def test_children_run_the_graph_each_time(run_child) -> None:
    """The parent runs so many, with the input that it has itself."""
    graph = graphs.chain(3)
    started: list[object] = []

    async def noted(ctx, child):
        results = await run_child(ctx, child)
        started.append(ctx.snapshot.input)
        return results

    asyncio.run(sample(parent_contender(graph, "parent", noted), graph, Load(2)))
    assert started == [0] * CHILDREN + [1] * CHILDREN
