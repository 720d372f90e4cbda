"""Rows of the executor: each workload against hand-written asyncio, and what a sink, interceptors and options add."""

import statistics
from typing import Any

from benchmarks import framework, graphs
from benchmarks.effort import Effort
from benchmarks.handwritten import LIMIT
from benchmarks.measuring import Contender, Load, Samples, Sampling, Work, cheapest, interleave, ratio, sample
from benchmarks.report import Row, duration
from benchmarks.workloads import INLINE, Workload, workloads

OURS = "stageflow"


def one_run(samples: Samples, name: str, load: Load) -> str:
    """Write the median cost of one run."""
    return duration(statistics.median(samples[name]) / load.runs)


async def workload_row(workload: Workload, rounds: int) -> Row:
    """Run one workload with all contenders in turn."""
    contenders = [framework.contender(workload.graph, sleeps=workload.sleeps), *workload.opponents()]
    samples = await interleave(contenders, workload.graph, workload.load, rounds)
    limit = cheapest(samples, tuple(LIMIT))
    other = INLINE if workload.against_inline else limit
    return Row(
        key=workload.key,
        title=workload.title,
        against=INLINE if workload.against_inline else f"LIMIT ({limit})",
        figure=ratio(samples, OURS, other),
        must=workload.must,
        aim=workload.aim,
        ours=one_run(samples, OURS, workload.load),
        other=one_run(samples, other, workload.load),
        multiples={name: ratio(samples, name, limit).median for name in (OURS, INLINE, *LIMIT)},
    )


async def workload_rows(effort: Effort, key: str) -> list[Row]:
    """Find the workload of that key and runs it."""
    return [await workload_row(each, effort.rounds) for each in workloads(effort.scale) if each.key == key]


async def added_cost(
    work: Work,
    load: Load,
    contender: Contender,
    plain: Contender,
    *,
    rounds: int,
    take: Sampling = sample,
    **fields: Any,
) -> Row:
    """Compare a contender with one that does without something."""
    samples = await interleave([plain, contender], work, load, rounds, take)
    return Row(
        figure=ratio(samples, contender.name, plain.name),
        ours=one_run(samples, contender.name, load),
        other=one_run(samples, plain.name, load),
        **fields,
    )


async def interceptor_rows(effort: Effort) -> list[Row]:
    """Compare a no-op interceptor with none: where a stage is cheapest, in a wider graph, and in a small pipeline."""
    rows: list[Row] = []
    for key in ("chain1000", "random300", "pipe10"):
        workload = next(each for each in workloads(effort.scale) if each.key == key)
        graph = workload.graph
        intercepted = framework.contender_of(graph, framework.build(graph, interceptors=[framework.NoOp()]), "no-op")
        rows.append(
            await added_cost(
                graph,
                workload.load,
                intercepted,
                framework.contender(graph),
                rounds=effort.rounds,
                key=f"interceptor-{key}",
                title=f"a no-op interceptor, {workload.title}",
                against="none",
                must=1.5,
                aim=1.25,
            )
        )
    return rows


async def option_rows(effort: Effort) -> list[Row]:
    """Compare what a stage may ask for, where nothing comes of it, with a stage that does not."""
    chain, fan = graphs.chain(effort.stages(1000)), graphs.fan(effort.stages(1000))
    pairs = [(chain, *pair) for pair in framework.option_contenders(chain)]
    pairs.append((fan, *framework.bounded_contenders(fan)))
    return [
        await added_cost(
            graph,
            Load(2),
            contender,
            plain,
            rounds=effort.rounds_of(0.5),
            key=f"option-{number}",
            title=f"{contender.name}, {graph.name}",
            against="without it",
        )
        for number, (graph, contender, plain) in enumerate(pairs)
    ]


async def sink_rows(effort: Effort) -> list[Row]:
    """Compare a recording sink with no sink where a stage is cheapest, so that events weigh most."""
    graph = graphs.chain(effort.stages(1000))
    load = Load(2)
    plain, recorded = framework.contender(graph), framework.recorded_contender(graph)
    row = await added_cost(
        graph,
        load,
        recorded,
        plain,
        rounds=effort.rounds,
        key="sink",
        title="a sink that records, chain of 1000",
        against="no sink",
        must=3.5,
        aim=2.5,
    )
    return [row]


async def store_rows(effort: Effort) -> list[Row]:
    """Compare a run store in memory with none, in small runs, where its three calls weigh most."""
    return [
        await added_cost(
            graph,
            Load(effort.stages(20, least=2)),
            framework.stored_contender(graph),
            framework.contender(graph),
            rounds=effort.rounds,
            key=f"store-{key}",
            title=f"a run store in memory, {title}",
            against="none",
        )
        for key, title, graph in (
            ("one", "one stage", graphs.chain(1)),
            ("pipe10", "pipeline of 10", graphs.agent_pipeline()),
        )
    ]
