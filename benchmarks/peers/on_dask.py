"""Dask's threaded scheduler: its tasks are plain functions, so the stages are not asynchronous here."""

from typing import Any

import dask.threaded

from benchmarks.graphs import PRIME, Graph
from benchmarks.measuring import Contender
from benchmarks.peers.measure import main


def add(values: list[int]) -> int:
    """Add up what a stage reads."""
    return (sum(values) + 1) % PRIME


def make(graph: Graph) -> Contender:
    """Write the graph as dask's dictionary of tasks; the run's input is one more key."""
    names = list(graph.stage_names)
    tasks: dict[str, Any] = {}
    for name, dependencies in zip(names, graph.dependencies, strict=True):
        tasks[name] = (add, [names[each] for each in dependencies] or ["run_input"])

    async def run(run_input: int) -> tuple[int, ...]:
        return dask.threaded.get({"run_input": run_input, **tasks}, names)

    return Contender("dask", run, read=list)


if __name__ == "__main__":
    main(make)
