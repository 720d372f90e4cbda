"""Whoever starts a run and waits for it, in each of the ways there are, and notes what comes of it."""

import asyncio
import json

from stageflow import PipelineCancelled, PipelineResults, PipelineSuspended, PipelineTimeoutError, StageExecutionError

from simulation.scenario import name_of
from simulation.sinks import sink_for
from simulation.stages import MARK, RUN
from simulation.stores import store_for
from simulation.trace import Entry

OWNERS_REASON = "its owner has had enough"
DECISION = "granted"


class Run:
    """One run of the scenario's pipeline, as it is seen from outside. Stages find it as `ctx.ports`.

    Attributes:
        resumes: The suspended run that this one goes on with, or None.
        decided: The stages of that one that were decided for.
        events: What the sink was given.
        told_before_the_end: How many things the store had been told when the sink was given the last event.
        read: What a reader of `events()` was given, or None if there was none.
        results: What the run returned, or attached to its error. A cancelled `run()` gives none.
        raised: What the caller got in place of results.
        left_over: Names of tasks that are still there when the caller learns of the end.
        left_behind: What the caller finds in its own task then.
    """

    def __init__(self, number, scenario, trace, resumes=None):
        self.number = number
        self.scenario = scenario
        self.resumes = resumes
        self.decided = () if resumes is None else resumes.results.suspended()[: scenario.resumes]
        self.names = [name_of(index) for index in range(len(scenario.stages))]
        self.trace = trace
        self.sink = sink_for(scenario.sink, self)
        self.store = store_for(scenario.store, self)
        self.told_before_the_end = None
        self.events = []
        self.read = None
        self.caller = None
        self.handle = None
        self.reader = None
        self.began_at = None
        self.ended_at = None
        self.results = None
        self.raised = None
        self.left_over = []
        self.left_behind = ""

    def tell(self, what, index=None, detail="", *, stopping=False):
        time = asyncio.get_running_loop().time()
        self.trace.append(Entry(time, self.number, what, index, detail, stopping))

    def take(self, event):
        """Note an event that the sink was given, and interfere if the scenario wants it now."""
        self.events.append(event)
        if self.store is not None and event["event_type"].startswith("pipeline.") and event["duration_ms"] is not None:
            self.told_before_the_end = len(self.store.tried)
        index = None if event["stage"] is None else self.names.index(event["stage"])
        self.tell("event", index, event["event_type"])
        outside = self.scenario.outside
        if outside is not None and outside.occasion == "event" and outside.at == len(self.events):
            self.interfere(outside.kind, outside.times)

    def interfere(self, kind, times=1):
        """Do what somebody outside may do, unless it is too early or too late for that."""
        if self.began_at is None or self.ended_at is not None:
            return
        for _ in range(times):
            self.tell(kind)
            if kind == "cancel the caller":
                self.caller.cancel()
            else:
                self.handle.cancel(OWNERS_REASON)

    async def call(self, graph):
        """Start the run, wait for it, and note what comes of it."""
        loop, before = asyncio.get_running_loop(), asyncio.all_tasks()
        RUN.set(self)
        self.began_at = loop.time()
        try:
            self.results = await ENTRIES[self.scenario.entry](self, graph)
        except (StageExecutionError, PipelineCancelled, PipelineSuspended, PipelineTimeoutError) as error:
            self.raised, self.results = error, error.results
        except BaseException as error:  # noqa: BLE001 - whatever the caller gets is to be judged
            self.raised = error
        self.ended_at = loop.time()
        self.left_over = sorted(task.get_name() for task in asyncio.all_tasks() - before - {self.reader})
        self.left_behind = f"mark={MARK.get()} cancelling={asyncio.current_task().cancelling()}"
        if self.results is None and self.handle is not None:
            self.results = await self.handle.outcome()
        self.tell("returned" if self.raised is None else "raised", None, self.summary())

    def arguments(self):
        """Return what the run is given."""
        given = {"event_sink": self.sink, "ports": self, "run_store": self.store}
        if self.resumes is None:
            return given
        kept = PipelineResults.from_dict(json.loads(json.dumps(self.resumes.results.to_dict())))
        decisions = dict.fromkeys(self.decided, DECISION)
        return {**given, "resume": kept, "decisions": decisions}

    def summary(self):
        """Return what came of the run in one line."""
        said = "" if self.raised is None else type(self.raised).__name__
        if self.results is None:
            return said
        outcomes = (
            f"{record.name}={record.status.value}" + (f"({record.origin})" if record.origin else "")
            for record in self.results.records()
        )
        return f"{said} {self.results.status} in {self.results.duration_ms:g} ms: {' '.join(outcomes)}".strip()


async def _run(run, graph):
    return await graph.run(**run.arguments())


async def _run_within_a_limit(run, graph):
    async with asyncio.timeout(run.scenario.limit):
        return await graph.run(**run.arguments())


async def _start_and_await(run, graph):
    _start(run, graph)
    return await run.handle


async def _start_and_watch(run, graph):
    _start(run, graph)
    while True:
        try:
            return await run.handle.outcome()
        except asyncio.CancelledError:  # one who only watched goes, the next one comes, and the run goes on
            continue


def _start(run, graph):
    run.handle = graph.start(**run.arguments())
    if run.scenario.reads_events:
        run.read = []
        run.reader = asyncio.create_task(_read(run, run.handle.events()), name="reader")


async def _read(run, events):
    async for event in events:
        run.read.append(event)


ENTRIES = {
    "run": _run,
    "run within a limit": _run_within_a_limit,
    "start and await": _start_and_await,
    "start and watch": _start_and_watch,
}
