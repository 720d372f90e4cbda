"""The compiled form of a pipeline: what a run executes.

A plan is made once, by `stageflow.pipeline.compilation`, and never changes: any number of runs share it. Stages are
known by their index in plan order, which is the order in which they were declared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from stageflow.core.context import RunScope, StageContext
from stageflow.core.inputs import StageInputs, Stored
from stageflow.core.kinds import StageKind, StageStatus
from stageflow.core.output import StageOutput, plain, reader_view
from stageflow.frozen import FrozenDict


class Reads(Enum):
    """What a parameter of a function stage receives."""

    CONTEXT = "context"
    INPUT = "input"
    VALUE = "value"
    DATA = "data"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Argument:
    """Where one argument of a function stage comes from. `keyword` is its name if it can only be given by name."""

    reads: Reads
    index: int = -1
    default: Any = None
    keyword: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PlanNode:
    """One stage of a plan.

    Attributes:
        invoke: Starts the stage: `await node.invoke(scope, outputs, node)` is what it returned.
        target: What `invoke` calls: `execute` of an instance, a class, or a function.
        arguments: For a function, where its arguments come from.
        declared: The dependencies, required and optional, by name.
        optional: Those of them that are optional.
        successors: The stages that depend on this one, in plan order.
        started_event, completed_event: The types of the two events that nearly every run of it emits.
    """

    name: str
    kind: StageKind
    invoke: Callable[[RunScope, Sequence[Stored], PlanNode], Awaitable[Any]]
    target: Callable[..., Any]
    arguments: tuple[Argument, ...]
    declared: Mapping[str, int]
    optional: frozenset[int]
    successors: tuple[int, ...]
    started_event: str
    completed_event: str


@dataclass(frozen=True, slots=True, eq=False)
class ExecutionPlan:
    """A whole pipeline, compiled.

    Attributes:
        in_degrees: How many dependencies each stage waits for.
        roots: The stages that wait for none.
        cancel_grace: Seconds that a stage may take to stop once it is cancelled.
    """

    name: str
    nodes: tuple[PlanNode, ...]
    names: tuple[str, ...]
    index: Mapping[str, int]
    in_degrees: tuple[int, ...]
    roots: tuple[int, ...]
    cancel_grace: float


def invoke_execute(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Awaitable[Any]:
    """Start a stage whose `target` takes the context: an instance's `execute`."""
    name = node.name
    return node.target(StageContext(scope, name, StageInputs(outputs, name, node.declared)))


def invoke_class(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Awaitable[Any]:
    """Start a stage that is a class: this run gets an instance of its own."""
    name = node.name
    return node.target().execute(StageContext(scope, name, StageInputs(outputs, name, node.declared)))


def invoke_function(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Awaitable[Any]:
    """Start a stage that is a function: its parameters are its dependencies."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for argument in node.arguments:
        stored = outputs[argument.index] if argument.index >= 0 else None
        # Nearly every argument is the mapping that a stage returned.
        plainly = type(stored) is FrozenDict and argument.reads is not Reads.OUTPUT
        value = stored if plainly else _argument(scope, outputs, node, argument)
        if argument.keyword is None:
            positional.append(value)
        else:
            named[argument.keyword] = value
    return node.target(*positional, **named)


def _argument(scope: RunScope, outputs: Sequence[Stored], node: PlanNode, argument: Argument) -> Any:
    reads = argument.reads
    if reads is Reads.CONTEXT:
        return StageContext(scope, node.name, StageInputs(outputs, node.name, node.declared))
    if reads is Reads.INPUT:
        given = scope.context.snapshot.input
        return argument.default if given is None else given
    stored = outputs[argument.index]
    if type(stored) is FrozenDict:
        return plain(stored) if reads is Reads.OUTPUT else stored
    if not isinstance(stored, StageOutput) or stored.status is not StageStatus.OK:
        return argument.default
    output = reader_view(stored)
    if reads is Reads.OUTPUT:
        return output
    return output.value if reads is Reads.VALUE else output.data
