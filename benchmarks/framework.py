"""Stageflow as a contender: the same graphs, built with the public API and run through `StageGraph.run`."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from stageflow import (
    BaseInterceptor,
    ContextSnapshot,
    InterceptorContext,
    InterceptorResult,
    Limits,
    Pipeline,
    PipelineResults,
    RetryPolicy,
    StageContext,
    StageGraph,
    StageInputs,
    StageKind,
    StageOutput,
    StageSpec,
    stage,
)

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


class AddAfterTurn(Add):
    """The same, after a turn of the event loop."""

    async def execute(self, ctx: StageContext) -> Mapping[str, Any]:
        """Give up the event loop once."""
        await asyncio.sleep(0)
        return await super().execute(ctx)


class AddAndRoute(Add):
    """The same, with a route in what it returns."""

    async def execute(self, ctx: StageContext) -> Mapping[str, Any]:
        """Add up, and choose the only way there is."""
        return {**await super().execute(ctx), "route": "on"}


class AddUnsteadily(Add):
    """The same, but for every third run, whose first attempt fails."""

    async def execute(self, ctx: StageContext) -> Mapping[str, Any]:
        """Fail as a service does that is busy."""
        if ctx.attempt == 1 and ctx.snapshot.input % 3 == 0:
            raise ConnectionError("busy")
        return await super().execute(ctx)


def always(_inputs: StageInputs, _snapshot: ContextSnapshot) -> bool:
    """Let the stage run."""
    return True


class NoOp(BaseInterceptor):
    """Looks at every stage before and after, and does nothing."""

    async def before(self, ctx: InterceptorContext) -> InterceptorResult | None:
        """Let the stage run."""

    async def after(self, ctx: InterceptorContext, output: StageOutput[Any]) -> None:
        """Let its outcome stand."""


class PassingOn(BaseInterceptor):
    """Stands around every stage, and does nothing."""

    async def around(self, ctx: InterceptorContext, call: Any) -> StageOutput[Any]:
        """Run the stage."""
        return await call()


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


class DictStore:
    """A run store that keeps what it is told in a dict, as cheaply as a store can."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}

    async def create_run(self, run_id: str, **metadata: Any) -> None:
        """Keep what is said of a run that begins."""
        self.runs[run_id] = {**metadata, "run_id": run_id, "status": "created"}

    async def update_status(self, run_id: str, status: str, **data: Any) -> None:
        """Keep what has become of it."""
        self.runs[run_id].update(data, status=status)

    async def get_run(self, run_id: str) -> Mapping[str, Any] | None:
        """Return what is known."""
        return self.runs.get(run_id)


def runners(graph: Graph, make: type[Add] = Add) -> list[tuple[Add, tuple[str, ...]]]:
    """Make a runner for each stage, beside the names of its dependencies."""
    names = graph.stage_names
    dependencies = [tuple(names[index] for index in reads) for reads in graph.dependencies]
    return [(make(name, reads), reads) for name, reads in zip(names, dependencies, strict=True)]


def specs(graph: Graph, make: type[Add] = Add, **options: Any) -> list[StageSpec[Any]]:
    """Declare each stage of a graph, with the same options."""
    return [stage(runner.name, runner, dependencies=reads, **options) for runner, reads in runners(graph, make)]


def build(
    graph: Graph,
    make: type[Add] = Add,
    *,
    interceptors: Sequence[BaseInterceptor] = (),
    max_concurrency: int | None = None,
    **options: Any,
) -> StageGraph:
    """Build a graph once; contenders run it many times."""
    return Pipeline(
        graph.name, specs(graph, make, **options), interceptors=interceptors, max_concurrency=max_concurrency
    ).build()


def values(graph: Graph, results: PipelineResults) -> list[object]:
    """Read every stage's value from the results."""
    return [results.data(name)["value"] for name in graph.stage_names]


def contender(graph: Graph, *, sleeps: bool = False) -> Contender:
    """Run a graph with no sink and no interceptors."""
    return contender_of(graph, build(graph, AddAfterSleep if sleeps else Add))


def contender_of(graph: Graph, built: StageGraph, name: str = "stageflow", **given: Any) -> Contender:
    """Run what was built of a graph, with no sink, and with what else a run is given."""
    return Contender(
        name,
        run=lambda run_input: built.run(input=run_input, **given),
        read=lambda results: values(graph, results),
    )


def option_contenders(graph: Graph) -> list[tuple[Contender, Contender]]:
    """Pair what a stage may ask for, where nothing comes of it, with the same graph without it."""
    routes = {"kind": StageKind.ROUTE, "routes": "on", "terminal_routes": "on"}
    plain, routing = contender(graph), contender_of(graph, build(graph, AddAndRoute))
    room = Limits({"service": len(graph)})
    asked = [
        ("a retry policy that is never used", build(graph, retry=RetryPolicy()), {}, plain),
        ("a `when` that always says yes", build(graph, when=always), {}, plain),
        ("routes that are checked", build(graph, AddAndRoute, **routes), {}, routing),
        ("a version", build(graph, version="1"), {}, plain),
        ("a no-op `around`", build(graph, interceptors=[PassingOn()]), {}, plain),
        ("a limit that nobody waits for", build(graph, limit="service"), {"limits": room}, plain),
    ]
    return [(contender_of(graph, built, title, **given), other) for title, built, given, other in asked]


def bounded_contenders(graph: Graph, bound: int = 64) -> tuple[Contender, Contender]:
    """Pair a run in which so many stages may run at once, and none waits, with one without a bound."""
    built = build(graph, max_concurrency=bound)
    return contender_of(graph, built, f"max_concurrency={bound}"), contender(graph)


def eventful_contender(graph: Graph) -> Contender:
    """Run a graph with a sink, an interceptor, and attempts that fail."""
    policy = RetryPolicy(max_attempts=2, base_delay=0, retry_on=ConnectionError)
    built = build(graph, AddUnsteadily, interceptors=[NoOp()], retry=policy)
    return Contender(
        "stageflow, with everything",
        run=lambda run_input: built.run(input=run_input, event_sink=RecordingSink()),
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


def stored_contender(graph: Graph) -> Contender:
    """Run a graph with a run store in memory; what the store knows of the run in the end is checked too."""
    built = build(graph)

    async def run(run_input: int) -> tuple[PipelineResults, DictStore]:
        store = DictStore()
        return await built.run(input=run_input, run_store=store), store

    def read(outcome: tuple[PipelineResults, DictStore]) -> list[object]:
        results, store = outcome
        statuses = [run["status"] for run in store.runs.values()]
        if statuses != ["completed"]:
            raise ValueError(f"{graph.name}: the run store says {statuses}")
        return values(graph, results)

    return Contender("stageflow, stored", run, read)
