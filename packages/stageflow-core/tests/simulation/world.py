"""Runs a scenario in simulated time and records everything that can be seen of it."""

import asyncio
import contextlib
import gc
import logging

from stageflow import Pipeline
from stageflow_mocks.simulation import VirtualClockLoop

from simulation.caller import Run
from simulation.scenario import Scenario
from simulation.stages import spec_of

MAX_STEPS = 50_000
MOST_RUNS = 6
LONG_AFTERWARDS = 1000.0
"""Seconds in which everything that a run left behind has come to its end."""


class Observation:
    """Everything that was seen of one scenario.

    Attributes:
        trace: What happened, in its order, of all runs.
        runs: Those of the scenario, and those that went on with suspended ones.
        complaints: What asyncio told its exception handler.
        broken: What came out of the event loop itself: nothing can happen any more, or there is no end.
        remaining: Names of tasks that are still there long after the end.
        steps: How many steps the event loop took.
    """

    def __init__(self, scenario: Scenario):
        self.scenario = scenario
        self.trace = []
        self.runs = [Run(number, scenario, self.trace) for number in range(scenario.runs)]
        self.complaints = []
        self.broken = None
        self.remaining = []
        self.steps = 0

    def to_be_resumed(self, runs):
        """Return the runs that go on with those of these that were suspended, if the scenario wants that."""
        suspended = [run for run in runs if run.results is not None and run.results.status == "suspended"]
        if not self.scenario.resumes or len(self.runs) > MOST_RUNS:
            return []
        first = len(self.runs)
        later = [Run(first + place, self.scenario, self.trace, run) for place, run in enumerate(suspended)]
        self.runs += later
        return later

    def interfere(self):
        for run in self.runs:
            run.interfere(self.scenario.outside.kind, self.scenario.outside.times)


class Interrupter(VirtualClockLoop):
    """An event loop in which somebody acts between two of its steps."""

    def __init__(self, order, at_step, act):
        super().__init__(order, max_steps=MAX_STEPS)
        self.at_step, self.act = at_step, act

    def begin_turn(self, *, stalled):
        before = self.steps
        super().begin_turn(stalled=stalled)
        if self.at_step is not None and before < self.at_step <= self.steps:
            self._ready.insert(self.at_step - before - 1, asyncio.Handle(self.act, (), self))


def observe(scenario: Scenario) -> Observation:
    """Run the scenario once."""
    observation, outside = Observation(scenario), scenario.outside
    at_step = int(outside.at) if outside is not None and outside.occasion == "step" else None
    loop = Interrupter(scenario.order, at_step, observation.interfere)
    loop.set_exception_handler(lambda _, context: observation.complaints.append(complaint_of(context)))
    with without_logs():
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(_watch(observation))
        except RuntimeError as error:  # StalledError, TooManyStepsError
            observation.broken = error
        gc.collect(0)  # a task whose exception nobody asked for complains when it is gone
    observation.steps = loop.steps
    return observation


async def _watch(observation):
    scenario, loop = observation.scenario, asyncio.get_running_loop()
    graph = pipeline_of(scenario).build()
    if scenario.outside is not None and scenario.outside.occasion == "time":
        loop.call_at(scenario.outside.at, observation.interfere)
    runs = observation.runs
    while runs:
        for run in runs:
            run.caller = asyncio.create_task(run.call(graph), name="caller")
            if scenario.patience is not None:
                kind = "cancel the run" if scenario.entry == "start and watch" else "cancel the caller"
                loop.call_later(scenario.patience, run.interfere, kind)
        await asyncio.wait({run.caller for run in runs})
        runs = observation.to_be_resumed(runs)
    await asyncio.sleep(LONG_AFTERWARDS)
    observation.remaining = sorted(task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()})


def pipeline_of(scenario: Scenario) -> Pipeline:
    """Return the pipeline that the scenario tells of."""
    taken: dict[int, set[str]] = {}
    for script in scenario.stages:
        for router, route in script.behind:
            taken.setdefault(router, set()).add(route)
    return Pipeline(
        "simulated",
        [spec_of(script, index, taken.get(index, set())) for index, script in enumerate(scenario.stages)],
        timeout=scenario.timeout,
        on_failure="continue" if scenario.goes_on else "fail_fast",
        cancel_grace=scenario.cancel_grace,
    )


def complaint_of(context):
    error = context.get("exception")
    return context["message"] + (f" {type(error).__name__}: {error}" if error is not None else "")


@contextlib.contextmanager
def without_logs():
    """Keep the log quiet: that sinks lose events and stages straggle is what is being tried."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
