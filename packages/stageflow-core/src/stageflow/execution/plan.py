"""The compiled form of a pipeline: what a run executes.

A plan is made once, by `stageflow.pipeline.compilation`, and never changes: any number of runs share it. Stages are
known by their index in plan order, which is the order in which they were declared.

What most stages do without is kept apart, so that they pay nothing for it: what else is done with a stage than calling
it (`Management`: retries, time limits, a checked output) in another `PlanNode.invoke`, which
`stageflow.execution.invoking` chooses; edges that are more than "wait until it is OK" in `PlanNode.gates` and `joined`,
and the stages from which such edges start in `ExecutionPlan.branching`; conditions in `ExecutionPlan.conditions`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal

from stageflow.context.snapshot import ContextSnapshot
from stageflow.core.context import RunScope
from stageflow.core.inputs import StageInputs, Stored
from stageflow.core.kinds import StageKind
from stageflow.core.stream import StreamOptions
from stageflow.execution.retry import RetryPolicy
from stageflow.interceptors.chain import Chain
from stageflow.validation.contract import TypeContract

OnFailure = Literal["fail_fast", "continue"]


class Form(Enum):
    """What the runner of a stage is, and so what `PlanNode.target` is."""

    METHOD = "method"
    CLASS = "class"
    FUNCTION = "function"


class Reads(Enum):
    """What a parameter of a function stage receives."""

    CONTEXT = "context"
    INPUT = "input"
    VALUE = "value"
    DATA = "data"
    STREAM = "stream"
    OUTPUT = "output"


class Argument:
    """Where one argument of a function stage comes from.

    Attributes:
        source: The stage whose output it reads, or -1.
        stream: The stage whose chunks it reads, or -1.
        default: What it is if it is optional and absent.
        keyword: Its name, if it can only be given by name.
    """

    __slots__ = ("default", "keyword", "reads", "source", "stream")

    def __init__(
        self, reads: Reads, source: int = -1, stream: int = -1, default: Any = None, keyword: str | None = None
    ) -> None:
        self.reads = reads
        self.source = source
        self.stream = stream
        self.default = default
        self.keyword = keyword


class StreamPlan:
    """One stage that streams.

    Attributes:
        stage, name: The index and the name of the stage.
        options: How it streams.
        readers: Those that read it: the index and the name of each, and whether it requires the whole stream.
    """

    __slots__ = ("name", "options", "readers", "stage")

    def __init__(
        self, stage: int, name: str, options: StreamOptions, readers: tuple[tuple[int, str, bool], ...]
    ) -> None:
        self.stage = stage
        self.name = name
        self.options = options
        self.readers = readers


class PermitGroup:
    """Stages joined by streams of which two or more name limits, and which get their permits at once.

    Attributes:
        limits: The members that name one, by index, each with its limit.
        needs: How many permits that makes of each.
        priority: The largest of theirs.
    """

    __slots__ = ("limits", "needs", "priority")

    def __init__(self, limits: tuple[tuple[int, str], ...], needs: tuple[tuple[str, int], ...], priority: int) -> None:
        self.limits = limits
        self.needs = needs
        self.priority = priority


class MapOver:
    """What a stage is mapped over: a key in the data of a stage, which has an index and a name; or its chunks.

    `most` is how many of the items may run at once.
    """

    __slots__ = ("key", "most", "source", "stage")

    def __init__(self, source: int, stage: str, key: str | None, most: int) -> None:
        self.source = source
        self.stage = stage
        self.key = key
        self.most = most


class Management:
    """What is done with a stage beside calling it once.

    Attributes:
        retry, timeout, deadline: As in `StageOptions`.
        routes: What the stage may return as `data["route"]`, if it is a router.
        version: What its outputs say as their version, unless they say it themselves.
        contract: What its value must be, or None.
        chain: The interceptors of each attempt, or None.
        grace_s: Seconds that an attempt may take to stop when its time is up, before it is left behind.
        limit, priority: As in `StageOptions`.
        streams: Whether it streams, or None if it is not joined to others by streams at all.
        gathers: Of a member of a group that takes its permits at once, that group: the first to start takes them.
        holding: A limit of which another stage of its group holds a permit until it ends, or None.
        map_over: Where the items come from for each of which the stage runs, if it is mapped.
        ports: The ports that the stage needs.
    """

    __slots__ = (
        "chain",
        "contract",
        "deadline",
        "gathers",
        "grace_s",
        "holding",
        "limit",
        "map_over",
        "ports",
        "priority",
        "retry",
        "routes",
        "streams",
        "timeout",
        "version",
    )

    def __init__(
        self,
        grace_s: float,
        retry: RetryPolicy | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        routes: tuple[str, ...] = (),
        version: str | None = None,
        chain: Chain | None = None,
        contract: TypeContract | None = None,
        limit: str | None = None,
        priority: int = 0,
        streams: bool | None = None,
        gathers: PermitGroup | None = None,
        holding: str | None = None,
        map_over: MapOver | None = None,
        ports: tuple[str, ...] = (),
    ) -> None:
        self.grace_s = grace_s
        self.retry = retry
        self.timeout = timeout
        self.deadline = deadline
        self.routes = routes
        self.version = version
        self.chain = chain
        self.contract = contract
        self.limit = limit
        self.priority = priority
        self.streams = streams
        self.gathers = gathers
        self.holding = holding
        self.map_over = map_over
        self.ports = ports

    def but(self, **changes: Any) -> Management:
        """Return the same with some of it changed."""
        return Management(**{**{name: getattr(self, name) for name in self.__slots__}, **changes})

    @property
    def checks(self) -> bool:
        """Whether what the stage ends as is looked at or changed."""
        return self.contract is not None or bool(self.routes) or self.version is not None


class PlanNode:
    """One stage of a plan.

    Attributes:
        invoke: Starts the stage: `await node.invoke(scope, outputs, node)` is what it returned.
        form: What the runner is.
        target: What is called: `execute` of an instance, a class, or a function.
        arguments: For a function, where its arguments come from.
        declared: The dependencies whose outputs it reads, required and optional, by name.
        streams: The dependencies whose chunks it reads while they run, by name.
        waits_for: Every stage that keeps it from starting; for some only the order counts, see `pipeline.streaming`.
        optional: Those of them that need only have ended or, if it reads their stream, started.
        joined: Those of which one that ended OK is enough; empty unless the stage has `join="any"`.
        gates: The routers that it is behind, each with the route that leads to it.
        critical: Whether the run fails when it does.
        successors: The stages that wait for the end of this one, in plan order.
        readers: Those that read its stream, and wait for its start.
        following: Of the first that starts of a group joined by streams, how many start right after it; else 0.
        stream: How it streams, or None if it does not.
        contract: What its value must be, or None.
        started_event, completed_event: The types of the two events that nearly every run of it emits.
    """

    def __init__(
        self,
        *,
        index: int,
        name: str,
        kind: StageKind,
        invoke: Invoke,
        form: Form,
        target: Callable[..., Any],
        arguments: tuple[Argument, ...],
        declared: Mapping[str, int],
        streams: Mapping[str, int],
        waits_for: tuple[int, ...],
        optional: frozenset[int],
        joined: frozenset[int],
        gates: Mapping[int, str],
        critical: bool,
        successors: tuple[int, ...],
        readers: tuple[int, ...],
        following: int,
        stream: StreamOptions | None,
        contract: TypeContract | None,
        started_event: str,
        completed_event: str,
    ) -> None:
        self.index = index
        self.name = name
        self.kind = kind
        self.invoke = invoke
        self.form = form
        self.target = target
        self.arguments = arguments
        self.declared = declared
        self.streams = streams
        self.waits_for = waits_for
        self.optional = optional
        self.joined = joined
        self.gates = gates
        self.critical = critical
        self.successors = successors
        self.readers = readers
        self.following = following
        self.stream = stream
        self.contract = contract
        self.started_event = started_event
        self.completed_event = completed_event


Invoke = Callable[[RunScope, Sequence[Stored], PlanNode], Awaitable[Any]]
"""Starts a stage, and returns what the worker awaits."""


class ExecutionPlan:
    """A whole pipeline, compiled.

    Attributes:
        in_degrees: How many dependencies each stage waits for.
        roots: The stages that wait for none.
        conditions: By stage, the `when` that is asked before its first attempt.
        branching: Stages whose end means more to some successor than one dependency less to wait for.
        streaming: Stages that stream.
        timeout: Seconds that a run may take, or None.
        on_failure: Whether the first failure ends the run, or what does not depend on it goes on.
        max_concurrency: How many stages may run at once, or None.
        groups: By stage that is joined to others by streams, the number of its group.
        permit_groups: The groups that take their permits at once.
        limits: By stage, the name of the limit of which each attempt takes a permit, where there is one.
        ports: By the name of a port, the stages that need it.
        cancel_grace: Seconds that a stage may take to stop once it is cancelled.
        input: What the input of a run must be, or None.
        intercepted: Whether there are interceptors.
        fingerprint: Gives hashes of all that a resumed run relies on: names, edges, options and versions.
    """

    def __init__(
        self,
        *,
        name: str,
        nodes: tuple[PlanNode, ...],
        names: tuple[str, ...],
        index: Mapping[str, int],
        in_degrees: tuple[int, ...],
        roots: tuple[int, ...],
        conditions: Mapping[int, Callable[[StageInputs, ContextSnapshot], bool]],
        branching: frozenset[int],
        streaming: tuple[StreamPlan, ...],
        timeout: float | None,
        on_failure: OnFailure,
        max_concurrency: int | None,
        groups: Mapping[int, int],
        permit_groups: tuple[PermitGroup, ...],
        limits: Mapping[str, str],
        ports: Mapping[str, tuple[str, ...]],
        cancel_grace: float,
        intercepted: bool,
        input: TypeContract | None,
        fingerprint: Callable[[], Mapping[str, str]],
    ) -> None:
        self.name = name
        self.nodes = nodes
        self.names = names
        self.index = index
        self.in_degrees = in_degrees
        self.roots = roots
        self.conditions = conditions
        self.branching = branching
        self.streaming = streaming
        self.timeout = timeout
        self.on_failure = on_failure
        self.max_concurrency = max_concurrency
        self.groups = groups
        self.permit_groups = permit_groups
        self.limits = limits
        self.ports = ports
        self.cancel_grace = cancel_grace
        self.intercepted = intercepted
        self.input = input
        self.fingerprint = fingerprint
