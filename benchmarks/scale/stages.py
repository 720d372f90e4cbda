"""Rows of very large graphs, deep and wide, with and without a bound on how many stages run at once."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from benchmarks import framework, graphs
from benchmarks.effort import Effort
from benchmarks.graphs import Graph
from benchmarks.measuring import Contender, Estimate
from benchmarks.report import BYTES, Row
from benchmarks.scale.growing import AIM_TO_WEIGH, MUST_WEIGH, Sized, growth_row, peak_of, sizes

BOUND = 64


class Case(NamedTuple):
    """A shape of graph and how it is run; without a bound, stages that wait are all in memory at once."""

    title: str
    shape: Callable[[int], Graph]
    make: type[framework.Add] = framework.Add
    bound: int | None = None

    @property
    def is_promised(self) -> bool:
        """Tell whether time and memory of a stage are promised: with all of them in memory the collector takes most."""
        return self.make is framework.Add or self.bound is not None


CASES = {
    "chain": Case("chain", graphs.chain),
    "chain-bound": Case(f"chain, max_concurrency={BOUND}", graphs.chain, bound=BOUND),
    "fan": Case("fan", graphs.fan),
    "fan-bound": Case(f"fan, max_concurrency={BOUND}", graphs.fan, bound=BOUND),
    "waiting": Case("fan of stages that wait", graphs.fan, framework.AddAfterTurn),
    "waiting-bound": Case(
        f"fan of stages that wait, max_concurrency={BOUND}", graphs.fan, framework.AddAfterTurn, bound=BOUND
    ),
}


def sized_graph(case: Case, count: int) -> Sized:
    """Build a graph of so many stages."""
    graph, contender = contender_of(case, count)
    return Sized(len(graph), lambda: contender.run(1))


def contender_of(case: Case, count: int) -> tuple[Graph, Contender]:
    """Build a graph, and what runs it."""
    graph = case.shape(count)
    return graph, framework.contender_of(graph, framework.build(graph, case.make, max_concurrency=case.bound))


async def check(case: Case, count: int) -> None:
    """Run a graph once and check the value of every stage."""
    graph, contender = contender_of(case, count)
    graph.check(contender.read(await contender.run(7)), 7)


async def bytes_per_stage(case: Case, count: int) -> float:
    """Measure the peak of a run by stage, after one that fills the interpreter's free lists."""
    sized = sized_graph(case, count)
    await sized.run()
    peak, _ = await peak_of(sized)
    return peak / sized.count


async def stage_rows(effort: Effort) -> list[Row]:
    """Measure growth and memory of each case."""
    counts = sizes(effort, 10_000, 31_623, 100_000)
    rows: list[Row] = []
    for key, case in CASES.items():
        await check(case, counts[-1])
        make = partial(sized_graph, case)
        rows.append(
            await growth_row(
                make, counts, effort.rounds, key=key, title=case.title, unit="stage", promised=case.is_promised
            )
        )
        rows.append(
            Row(
                key=f"{key}-memory",
                title=f"peak memory, {case.title}, {counts[-1]}",
                against="",
                figure=Estimate.of([await bytes_per_stage(case, counts[-1])]),
                unit=BYTES,
                must=MUST_WEIGH if case.is_promised else None,
                aim=AIM_TO_WEIGH if case.is_promised else None,
            )
        )
    return rows
