"""Rows of fairness: how long a run of no-op stages keeps everything else in its event loop waiting."""

import asyncio
import gc
import statistics
import time

from benchmarks import framework, graphs, handwritten
from benchmarks.effort import Effort
from benchmarks.graphs import Graph
from benchmarks.measuring import Contender, Estimate
from benchmarks.report import MILLISECONDS, Row, duration


async def longest_hold(contender: Contender, graph: Graph, run_input: int) -> int:
    """Run beside a callback that reschedules itself every turn of the loop; gives its longest wait, in wall time.

    Nothing is subtracted: what the operating system or the garbage collector took is in it.
    """
    loop = asyncio.get_running_loop()
    gc.collect()
    longest_ns = 0
    last_ns = time.perf_counter_ns()

    def tick() -> None:
        nonlocal longest_ns, last_ns, scheduled
        now_ns = time.perf_counter_ns()
        longest_ns = max(longest_ns, now_ns - last_ns)
        last_ns = now_ns
        scheduled = loop.call_soon(tick)

    scheduled = loop.call_soon(tick)
    outcome = await contender.run(run_input)
    ended_ns = time.perf_counter_ns()
    scheduled.cancel()
    graph.check(contender.read(outcome), run_input)
    return max(longest_ns, ended_ns - last_ns)


async def hold_rows(effort: Effort) -> list[Row]:
    """Take the median of the maxima of several runs, deep and wide; the widest stage's own reading is no part of it.

    The wide graph has no sink: a stage that reads 10,000 others holds the loop by itself, whoever runs it.
    """
    count = effort.stages(10_000)
    rows: list[Row] = []
    for key, graph in (("chain", graphs.chain(count)), ("fan", graphs.fan(count, sink=False))):
        contender = framework.contender(graph)
        by_hand = Contender("by hand", handwritten.by_level(graph, handwritten.add), list)
        ours: list[int] = []
        others: list[int] = []
        for number in range(effort.rounds):
            ours.append(await longest_hold(contender, graph, number))
            others.append(await longest_hold(by_hand, graph, number))
        rows.append(
            Row(
                key=f"hold-{key}",
                title=f"longest hold of the loop, {key} of {count}",
                against="by level",
                figure=Estimate.of([each / 1e6 for each in ours]),
                unit=MILLISECONDS,
                must=5,
                aim=2,
                ours=duration(statistics.median(ours)),
                other=duration(statistics.median(others)),
                note=f"the longest of {len(ours)} runs: {duration(max(ours))}",
            )
        )
    return rows
