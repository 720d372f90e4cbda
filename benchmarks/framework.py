"""Stageflow as a contender: the same graphs, built with the public API and run through `StageGraph.run`."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from stageflow import Pipeline, PipelineResults, StageContext, StageGraph, StageKind, StageSpec, stage

from benchmarks import handwritten
from benchmarks.graphs import PRIME, Graph
from benchmarks.measuring import Contender


class Add:
    """Read every dependency, or the run's input at a root, through the context, and returns a mapping."""

    kind = StageKind.TRANSFORM

    def __init__(self, name: str, reads: Sequence[str]) -> None:
        self.name = name
        self.reads = reads

    async def execute(self, ctx: StageContext) -> Mapping[str, Any]:
        """Add up what it reads, as the hand-written body does."""
        inputs = ctx.inputs
        total = 0 if self.reads else ctx.snapshot.input
        for name in self.reads:
            total += inputs.get_from(name, "value")
        return {"value": (total + 1) % PRIME}


class AddAfterSleep(Add):
    """The same, after a wait."""

    async def execute(self, ctx: StageContext) -> Mapping[str, Any]:
        """Wait as a stage on a network does."""
        await asyncio.sleep(handwritten.SLEEP_S)
        return await super().execute(ctx)


class RecordingSink:
    """A sink that keeps every event, as cheaply as a sink can."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Any] | None]] = []

    async def emit(self, *, type: str, data: Mapping[str, Any] | None) -> None:
        """Record an event that the run waits for."""
        self.events.append((type, data))

    def try_emit(self, *, type: str, data: Mapping[str, Any] | None) -> None:
        """Record an event in passing."""
        self.events.append((type, data))


def runners(graph: Graph, *, sleeps: bool = False) -> list[tuple[Add, tuple[str, ...]]]:
    """Make a runner for each stage, beside the names of its dependencies."""
    make = AddAfterSleep if sleeps else Add
    names = graph.stage_names
    dependencies = [tuple(names[index] for index in reads) for reads in graph.dependencies]
    return [(make(name, reads), reads) for name, reads in zip(names, dependencies, strict=True)]


def specs(graph: Graph, *, sleeps: bool = False) -> list[StageSpec[Any]]:
    """Declare each stage of a graph."""
    return [stage(runner.name, runner, dependencies=reads) for runner, reads in runners(graph, sleeps=sleeps)]


def build(graph: Graph, *, sleeps: bool = False) -> StageGraph:
    """Build a graph once; contenders run it many times."""
    return Pipeline(graph.name, specs(graph, sleeps=sleeps)).build()


def values(graph: Graph, results: PipelineResults) -> list[object]:
    """Read every stage's value from the results."""
    return [results.data(name)["value"] for name in graph.stage_names]


def contender(graph: Graph, *, sleeps: bool = False) -> Contender:
    """Run a graph with no sink and no interceptors."""
    built = build(graph, sleeps=sleeps)
    return Contender(
        "stageflow",
        run=lambda run_input: built.run(input=run_input),
        read=lambda results: values(graph, results),
    )


def recorded_contender(graph: Graph) -> Contender:
    """Run a graph with a sink that records every event; the count of what it recorded is checked too."""
    built = build(graph)

    async def run(run_input: int) -> tuple[PipelineResults, RecordingSink]:
        sink = RecordingSink()
        return await built.run(input=run_input, event_sink=sink), sink

    def read(outcome: tuple[PipelineResults, RecordingSink]) -> list[object]:
        results, sink = outcome
        recorded = sum(1 for kind, _ in sink.events if kind.startswith("stage."))
        if recorded != 2 * len(graph):
            raise ValueError(f"{graph.name}: the sink recorded {recorded} stage events for {len(graph)} stages")
        return values(graph, results)

    return Contender("stageflow, recorded", run, read)
