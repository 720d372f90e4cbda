"""Rows of growth: what a run and a build cost as the graph grows, as the exponent of a power law."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence

from stageflow import Pipeline, StageGraph

from benchmarks import framework, graphs
from benchmarks.effort import Effort
from benchmarks.graphs import Graph
from benchmarks.measuring import Estimate, Load, growth_exponent, sample
from benchmarks.report import EXPONENT, Row, duration

SHAPES: dict[str, Callable[[int], Graph]] = {"chain": graphs.chain, "fan": graphs.fan}


def sizes(effort: Effort) -> list[int]:
    """Space five sizes evenly on a logarithmic axis, from 1,000 to 100,000 stages."""
    return [effort.stages(round(1000 * 10 ** (step / 2))) for step in range(5)]


async def run_cost(graph: Graph, samples: int) -> float:
    """Measure the median cost of a run of a graph that is built for this and dropped afterwards."""
    contender = framework.contender(graph)
    await sample(contender, graph, Load())
    return statistics.median([await sample(contender, graph, Load(), first_input=number) for number in range(samples)])


async def run_costs(shape: Callable[[int], Graph], counts: Sequence[int]) -> list[float]:
    """Measure each size with nothing but its own graph in memory; small ones are noisier and get more samples."""
    return [await run_cost(shape(count), samples=9 - 2 * place) for place, count in enumerate(counts)]


async def run_growth_rows(effort: Effort) -> list[Row]:
    """Fit the exponent of a run, with the garbage collector on as ever, and tells what it is without it."""
    return [await run_growth_row(key, shape, effort) for key, shape in SHAPES.items()]


async def run_growth_row(key: str, shape: Callable[[int], Graph], effort: Effort) -> Row:
    """Go through the sizes several times; each pass gives an exponent."""
    counts = sizes(effort)
    passes = [await run_costs(shape, counts) for _ in range(effort.rounds_of(0.15))]
    gc.disable()
    try:
        uncollected = growth_exponent(counts, await run_costs(shape, counts))
    finally:
        gc.enable()
    first, *_, last = [statistics.median(costs) for costs in zip(*passes, strict=True)]
    return Row(
        key=f"growth-{key}",
        title=f"growth of a run, {key}, {counts[0]} to {counts[-1]} stages",
        against="linear is 1",
        figure=Estimate.of([growth_exponent(counts, costs) for costs in passes]),
        unit=EXPONENT,
        must=1.20,
        aim=1.12,
        ours=f"{duration(last / counts[-1])}/stage",
        other=f"{duration(first / counts[0])}/stage",
        note=f"{uncollected:.3f} with the garbage collector off; 'ours' is the largest graph, 'other' the smallest",
    )


def build_by_specs(graph: Graph) -> StageGraph:
    """Build from a list of specs, as generated pipelines do."""
    return Pipeline(graph.name, framework.specs(graph)).build()


def build_by_calls(graph: Graph) -> StageGraph:
    """Build by one `with_stage` call after the other, as people write it."""
    pipeline = Pipeline(graph.name)
    for runner, reads in framework.runners(graph):
        pipeline = pipeline.with_stage(runner.name, runner, dependencies=reads)
    return pipeline.build()


def build_cost(build: Callable[[Graph], StageGraph], graph: Graph) -> int:
    """Time one build, its stages and the builder included, in CPU time."""
    gc.collect()
    started = time.process_time_ns()
    build(graph)
    return time.process_time_ns() - started


async def build_rows(effort: Effort) -> list[Row]:
    """Measure what building costs, apart from any run, and how that grows from 1,000 to 10,000 stages."""
    counts = [effort.stages(1000), effort.stages(3162), effort.stages(10_000)]
    drawn = [graphs.random_dag(count) for count in counts]
    rows: list[Row] = []
    for title, build in (("specs", build_by_specs), ("with_stage", build_by_calls)):
        costs: list[list[int]] = [[] for _ in drawn]
        for _ in range(effort.rounds_of(0.15)):
            for graph, cost in zip(drawn, costs, strict=True):
                cost.append(build_cost(build, graph))
        medians = [statistics.median(cost) for cost in costs]
        exponents = [growth_exponent(counts, one) for one in zip(*costs, strict=True)]
        rows.append(
            Row(
                key=f"build-{title}",
                title=f"growth of a build by {title}, {counts[0]} to {counts[-1]} stages",
                against="linear is 1",
                figure=Estimate.of(exponents),
                unit=EXPONENT,
                ours=f"{duration(medians[-1] / counts[-1])}/stage",
                other=f"{duration(medians[0] / counts[0])}/stage",
                note="'ours' is the largest graph, 'other' the smallest",
            )
        )
    return rows
