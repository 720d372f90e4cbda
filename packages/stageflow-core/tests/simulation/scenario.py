"""What a simulated run consists of, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WaitKind = Literal["turn", "sleep", "task", "gather", "group", "limit", "checkpoint", "hold"]
"""How a stage waits: a turn of the loop, a sleep, tasks of its own in three ways, a time limit of its own that ends the
sleep, `ctx.checkpoint()`, or a computation that holds up the loop."""

Ending = Literal[
    "ok",
    "value",
    "nothing",
    "skip",
    "cancel",
    "fail",
    "raise",
    "raise odd",
    "raise cancelled",
    "raise in finally",
    "cancel own task",
    "cancel own task and return",
    "wrong type",
    "hang",
]
"""How a stage ends that is left alone."""

Reaction = Literal["leave", "clean up", "return", "return late", "raise", "skip", "straggle"]
"""What a stage does when it is cancelled: nothing of its own, take its time for a `finally`, return all the same, at once
or later, raise something else, return a skip, or go on far beyond the grace."""

SinkKind = Literal["none", "records", "raises", "refuses", "emit raises", "emit is slow", "emit hangs", "emit is stubborn"]
"""What becomes of events: nobody listens, all are taken, or some or all or the last one come to grief."""

Entry = Literal["run", "run within a limit", "start and await", "start and watch"]
"""How the run is started: by `run`, the same under `asyncio.timeout`, by `start` and its await, or by `start` and its
`outcome()`."""

OutsideKind = Literal["cancel the caller", "cancel the run"]

Occasion = Literal["step", "time", "event"]
"""When somebody outside interferes: between two steps of the event loop, at a time, or while the sink takes an event."""


@dataclass(frozen=True, slots=True)
class Wait:
    """One await of a stage. `seconds` is how long it takes, or 0 for turns of the loop alone."""

    kind: WaitKind
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Script:
    """What one stage depends on and does."""

    required: tuple[int, ...] = ()
    optional: tuple[int, ...] = ()
    waits: tuple[Wait, ...] = ()
    ending: Ending = "ok"
    when_cancelled: Reaction = "leave"
    sets_variable: bool = False
    publishes: bool = False
    form: Literal["function", "instance", "class"] = "function"

    @property
    def dependencies(self) -> tuple[int, ...]:
        return self.required + self.optional


@dataclass(frozen=True, slots=True)
class Outside:
    """Somebody who interferes with the run. `at` is the number of the step or event, or the time in seconds."""

    kind: OutsideKind
    occasion: Occasion
    at: float
    times: int = 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole simulated run, or several at once of the same graph.

    Attributes:
        stages: In plan order, which need not be an order in which they can run.
        patience: Seconds after which the run is cancelled come what may, so that one with a hanging stage ends.
        limit: Seconds of `asyncio.timeout`, for the entry that has one.
        reads_events: Whether somebody reads `events()`, for the entries that have a PipelineRun.
        order: The seed of the order of tasks; None is asyncio's own order.
    """

    stages: tuple[Script, ...]
    entry: Entry = "run"
    sink: SinkKind = "records"
    outside: Outside | None = None
    patience: float | None = None
    limit: float = 0.0
    runs: int = 1
    cancel_grace: float = 5.0
    reads_events: bool = False
    order: int | None = None


def name_of(index: int) -> str:
    """Return the name of the stage at an index."""
    return f"s{index}"


def describe(scenario: Scenario) -> str:
    """Return the scenario for a reader: a line for each stage, and what is out of the ordinary around them."""
    around = [f"{scenario.entry}", f"sink: {scenario.sink}"]
    if scenario.entry == "run within a limit":
        around[0] += f" of {scenario.limit:g} s"
    if scenario.reads_events:
        around.append("events() is read")
    if scenario.runs > 1:
        around.append(f"{scenario.runs} runs at once")
    if scenario.outside is not None:
        around.append(_describe_outside(scenario.outside))
    lines = [f"{len(scenario.stages)} stages, grace {scenario.cancel_grace:g} s; {'; '.join(around)}"]
    for index, script in enumerate(scenario.stages):
        lines.append(f"  {name_of(index):4} {_describe_stage(script)}")
    return "\n".join(lines)


def _describe_outside(outside: Outside) -> str:
    return f"{outside.kind} at {outside.occasion} {outside.at:g}" + (f", {outside.times} times" if outside.times > 1 else "")


def _describe_stage(script: Script) -> str:
    needs = [name_of(index) for index in script.required] + [f"{name_of(index)}?" for index in script.optional]
    waits = [wait.kind + (f" {wait.seconds:g}" if wait.seconds else "") for wait in script.waits]
    extras = [word for word, has in (("sets a variable", script.sets_variable), ("publishes", script.publishes)) if has]
    if script.when_cancelled != "leave":
        extras.append(f"{script.when_cancelled} when cancelled")
    if script.form != "function":
        extras.append(script.form)
    told = f"after {', '.join(needs) or '-'}: {', '.join(waits) or 'no wait'}, then {script.ending}"
    return told + (f" ({'; '.join(extras)})" if extras else "")
