"""Rows of the executor: each workload against hand-written asyncio, and a run with a sink against one without."""

import statistics

from benchmarks import framework, graphs
from benchmarks.effort import Effort
from benchmarks.handwritten import LIMIT
from benchmarks.measuring import Load, Samples, cheapest, interleave, ratio
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


async def sink_rows(effort: Effort) -> list[Row]:
    """Compare a recording sink with no sink where a stage is cheapest, so that events weigh most."""
    graph = graphs.chain(effort.stages(1000))
    load = Load(2)
    plain, recorded = framework.contender(graph), framework.recorded_contender(graph)
    samples = await interleave([plain, recorded], graph, load, effort.rounds)
    return [
        Row(
            key="sink",
            title="a sink that records, chain of 1000",
            against="no sink",
            figure=ratio(samples, recorded.name, plain.name),
            must=3.5,
            aim=2.5,
            ours=one_run(samples, recorded.name, load),
            other=one_run(samples, plain.name, load),
        )
    ]
