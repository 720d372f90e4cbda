"""The workloads that are judged against hand-written asyncio, with the ratios that the project asks of each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks import graphs, handwritten
from benchmarks.graphs import Graph
from benchmarks.handwritten import Body
from benchmarks.measuring import Contender, Load

INLINE = "inline awaits"


@dataclass(frozen=True)
class Workload:
    """A graph, how it is run, and how many times the cost of the other may be ours."""

    key: str
    title: str
    graph: Graph
    must: float
    aim: float
    load: Load = field(default_factory=Load)
    body: Body = handwritten.add
    against_inline: bool = False

    @property
    def sleeps(self) -> bool:
        """Tell whether the stages wait, so that the wall clock counts."""
        return self.body is handwritten.add_after_sleep

    def opponents(self) -> list[Contender]:
        """Make the hand-written executors of this graph: inline awaits first, then the three behind LIMIT."""
        makers = {INLINE: handwritten.inline, **handwritten.LIMIT}
        return [Contender(name, make(self.graph, self.body), read=list) for name, make in makers.items()]


def workloads(scale: float = 1.0) -> Sequence[Workload]:
    """List the workloads; a scale below 1 makes smaller ones of the same shape, to try them quickly."""

    def scaled(count: int, least: int) -> int:
        return max(least, round(count * scale))

    pipe = graphs.agent_pipeline()
    grid = graphs.layers(scaled(10, 2), scaled(10, 2))
    wall = Load(3, clock=time.perf_counter_ns)  # the kernel's timers make one run jump by a millisecond
    return (
        Workload("chain1000", "chain of 1000", graphs.chain(scaled(1000, 10)), 5.5, 4.0, Load(4), against_inline=True),
        Workload("fan1000", "fan 1000", graphs.fan(scaled(1000, 10)), 1.0, 0.8, Load(2)),
        Workload("ladder200", "ladder 200", graphs.ladder(scaled(200, 10)), 1.0, 0.8, Load(10)),
        Workload("random300", "random DAG 300", graphs.random_dag(scaled(300, 10)), 1.0, 0.8, Load(6)),
        Workload("layers10x10", "10 layers of 10", grid, 1.3, 1.0, Load(20)),
        Workload("pipe10", "pipeline of 10", pipe, 1.3, 1.0, Load(scaled(200, 2))),
        Workload("runs1000", "1000 concurrent runs", pipe, 1.3, 1.0, Load(scaled(1000, 3), concurrent=True)),
        Workload("sleeps", "layers of 1 ms sleeps, wall", grid, 1.10, 1.05, wall, handwritten.add_after_sleep),
    )
