"""What each peer's script runs: the shared workloads beside the hand-written executors, printed as JSON.

Only the standard library and `benchmarks` modules without Stageflow are imported here: it runs in peers' environments.
"""

import asyncio
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import graphs, handwritten
from benchmarks.graphs import Graph
from benchmarks.handwritten import LIMIT
from benchmarks.measuring import Contender, Load, cheapest, interleave, ratio

ROUNDS = 5


class NotExpressibleError(Exception):
    """Say why a framework has no form for a graph."""


MakeContender = Callable[[Graph], Contender]


def peer_workloads(scale: float) -> Mapping[str, tuple[Graph, Load]]:
    """List the graphs that peers run; the heavy ones once a sample, as some peers take seconds."""

    def scaled(count: int) -> int:
        return max(3, round(count * scale))

    return {
        "chain1000": (graphs.chain(scaled(1000)), Load()),
        "fan1000": (graphs.fan(scaled(1000)), Load()),
        "layers10x10": (graphs.layers(scaled(10), scaled(10)), Load(5)),
        "random300": (graphs.random_dag(scaled(300)), Load(2)),
        "pipe10": (graphs.agent_pipeline(), Load(20)),
    }


async def measure_graph(make: MakeContender, graph: Graph, load: Load) -> dict[str, Any]:
    """Measure one graph, or says why it cannot be."""
    try:
        peer = make(graph)
    except NotExpressibleError as error:
        return {"skipped": str(error)}
    by_hand = [Contender(name, maker(graph, handwritten.add), list) for name, maker in LIMIT.items()]
    samples = await interleave([peer, *by_hand], graph, load, ROUNDS)
    limit = cheapest(samples, tuple(LIMIT))
    figure = ratio(samples, peer.name, limit)
    return {
        "multiple": figure.median,
        "low": figure.low,
        "high": figure.high,
        "limit": limit,
        "us_per_run": statistics.median(samples[peer.name]) / load.runs / 1000,
    }


def main(make: MakeContender) -> None:
    """Measure every graph; the only argument is the scale."""
    scale = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    multiples: dict[str, Any] = {}
    for key, (graph, load) in peer_workloads(scale).items():
        multiples[key] = asyncio.run(measure_graph(make, graph, load))
    print(json.dumps(multiples))
