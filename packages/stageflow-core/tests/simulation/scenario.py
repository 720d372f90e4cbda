"""What a simulated run consists of, as plain data."""

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
    "retry",
    "retry later",
    "raise transient",
    "raise transient later",
    "suspend",
    "route a",
    "route b",
    "route nowhere",
]
"""How an execution of a stage ends that is left alone. "later" asks for a wait before the next attempt."""

Reaction = Literal["leave", "clean up", "return", "return late", "raise", "skip", "straggle"]
"""What a stage does when it is cancelled: nothing of its own, take its time for a `finally`, return all the same, at
once or later, raise something else, return a skip, or go on far beyond the grace."""

Answer = Literal["yes", "no", "raises", "nonsense"]
"""What a condition says."""

SinkKind = Literal[
    "none", "records", "raises", "refuses", "emit raises", "emit is slow", "emit hangs", "emit is stubborn"
]
"""What becomes of events: nobody listens, all are taken, or some or the last one come to grief."""

StoreKind = Literal["none", "keeps", "is slow", "raises", "hangs", "hangs at first", "is stubborn"]
"""What becomes of records: there is no store, all are kept, or some or all come to grief."""

Entry = Literal["run", "run within a limit", "start and await", "start and watch"]
"""How the run is started: by `run`, the same under `asyncio.timeout`, by `start` and its await, or by `start` and its
`outcome()`."""

OutsideKind = Literal["cancel the caller", "cancel the run"]

Occasion = Literal["step", "time", "event"]
"""When somebody outside interferes: between two steps of the loop, at a time, or while the sink takes an event."""

ROUTES = ("a", "b")


@dataclass(frozen=True, slots=True)
class Wait:
    """One await of a stage. `seconds` is how long it takes, or 0 for turns of the loop alone."""

    kind: WaitKind
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Act:
    """What a stage does in one attempt."""

    waits: tuple[Wait, ...] = ()
    ending: Ending = "ok"
    when_cancelled: Reaction = "leave"


@dataclass(frozen=True, slots=True)
class Policy:
    """A RetryPolicy. It covers transient errors, and time limits if it says so."""

    max_attempts: int = 3
    base_delay: float = 0.5
    max_delay: float = 30.0
    jitter: bool = False
    covers_limits: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """What one stage depends on and does.

    Attributes:
        acts: What it does in each attempt; the last one is for all further ones.
        decided: What it does when it is executed with a decision.
        behind: The routers that it is behind, and the route of each that leads to it.
    """

    required: tuple[int, ...] = ()
    optional: tuple[int, ...] = ()
    acts: tuple[Act, ...] = (Act(),)
    decided: Act = Act()
    form: Literal["function", "instance", "class"] = "function"
    sets_variable: bool = False
    publishes: bool = False
    critical: bool = True
    when: Answer | None = None
    join_any: bool = False
    is_router: bool = False
    behind: tuple[tuple[int, str], ...] = ()
    policy: Policy | None = None
    timeout: float | None = None
    deadline: float | None = None

    @property
    def routers(self) -> tuple[int, ...]:
        return tuple(router for router, _ in self.behind)

    @property
    def dependencies(self) -> tuple[int, ...]:
        return self.required + self.optional + self.routers

    @property
    def is_limited(self) -> bool:
        """Whether its code runs in a task of its own, so that what it ends as is known some steps after its end."""
        return self.timeout is not None or self.deadline is not None


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
        timeout: The pipeline's own limit.
        reads_events: Whether somebody reads `events()`, for the entries that have a PipelineRun.
        resumes: How many of the stages that ask for a decision get one each time that the run is suspended.
        order: The seed of the order of tasks; None is asyncio's own order.
    """

    stages: tuple[Script, ...]
    entry: Entry = "run"
    sink: SinkKind = "records"
    store: StoreKind = "none"
    outside: Outside | None = None
    patience: float | None = None
    limit: float = 0.0
    timeout: float | None = None
    goes_on: bool = False
    cancel_grace: float = 5.0
    runs: int = 1
    reads_events: bool = False
    resumes: int = 0
    order: int | None = None


def name_of(index: int) -> str:
    """Return the name of the stage at an index."""
    return f"s{index}"
