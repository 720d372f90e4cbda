"""Runs a scenario in simulated time and records everything that can be seen of it."""

import asyncio
import contextlib
import gc
import logging

from stageflow import Pipeline, stage
from stageflow_mocks.simulation import VirtualClockLoop
from simulation.caller import Run
from simulation.scenario import Scenario, name_of
from simulation.stages import runner_for

MAX_STEPS = 50_000
LONG_AFTERWARDS = 1000.0
"""Seconds in which everything that a run left behind has come to its end."""


class Observation:
    """Everything that was seen of one scenario.

    Attributes:
        trace: What happened, in its order, of all runs.
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
    loop.set_exception_handler(lambda _, context: observation.complaints.append(_complaint(context)))
    with _without_logs():
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
    for run in observation.runs:
        run.caller = asyncio.create_task(run.call(graph), name="caller")
        if scenario.patience is not None:
            watched = scenario.entry == "start and watch"
            kind = "cancel the run" if watched else "cancel the caller"
            loop.call_at(scenario.patience, run.interfere, kind)
    if scenario.outside is not None and scenario.outside.occasion == "time":
        loop.call_at(scenario.outside.at, observation.interfere)
    await asyncio.wait({run.caller for run in observation.runs})
    await asyncio.sleep(LONG_AFTERWARDS)
    observation.remaining = sorted(task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()})


def pipeline_of(scenario: Scenario) -> Pipeline:
    """Return the pipeline that the scenario tells of."""
    specs = [
        stage(
            name_of(index),
            runner_for(script, index),
            dependencies=[name_of(other) for other in script.required],
            optional=[name_of(other) for other in script.optional],
        )
        for index, script in enumerate(scenario.stages)
    ]
    return Pipeline("simulated", specs, cancel_grace=scenario.cancel_grace)


def _complaint(context):
    error = context.get("exception")
    return context["message"] + (f" {type(error).__name__}: {error}" if error is not None else "")


@contextlib.contextmanager
def _without_logs():
    """Keep the log quiet: that sinks lose events and stages straggle is what is being tried."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
