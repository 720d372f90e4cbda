"""Rows of child runs: `ctx.run_pipeline` in a stage, against a run by itself that the stage starts."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from stageflow import Pipeline, PipelineResults, StageContext, StageGraph, stage

from benchmarks import framework, graphs
from benchmarks.effort import Effort
from benchmarks.executing import added_cost
from benchmarks.graphs import Graph
from benchmarks.measuring import Contender, Load
from benchmarks.report import Row

RunChild = Callable[[StageContext, StageGraph], Awaitable[PipelineResults]]

CHILDREN = 20
"""How many a stage runs, one after the other, so that its own run weighs little."""


def parent_contender(graph: Graph, name: str, run_child: RunChild) -> Contender:
    """Run a pipeline of one stage, which runs the graph several times and keeps the last results."""
    child = framework.build(graph)

    @stage
    async def parent(ctx: StageContext) -> Mapping[str, Any]:
        for _ in range(CHILDREN - 1):
            await run_child(ctx, child)
        return {"values": framework.values(graph, await run_child(ctx, child))}

    built = Pipeline("parent", [parent]).build()
    return Contender(
        name,
        run=lambda run_input: built.run(input=run_input),
        read=lambda results: results.data("parent")["values"],
    )


async def as_child(ctx: StageContext, child: StageGraph) -> PipelineResults:
    """Run it as a child, which knows where it comes from and ends with its parent."""
    return await ctx.run_pipeline(child, input=ctx.snapshot.input)


async def by_itself(ctx: StageContext, child: StageGraph) -> PipelineResults:
    """Run it as if nobody had asked for it."""
    return await child.run(input=ctx.snapshot.input)


async def child_rows(effort: Effort) -> list[Row]:
    """Compare a child of one stage, where it weighs most, and one of ten."""
    return [
        await added_cost(
            graph,
            Load(effort.stages(runs, least=2)),
            parent_contender(graph, "as a child", as_child),
            parent_contender(graph, "by itself", by_itself),
            rounds=effort.rounds,
            key=f"child-{graph.name}",
            title=f"a child run, {title}",
            against="child.run(...)",
        )
        for graph, title, runs in (
            (graphs.chain(1), "one stage", 10),
            (graphs.agent_pipeline(), "pipeline of 10", 4),
        )
    ]
