"""How a stage is called, by what its runner is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from stageflow.core.context import LaterContext, RunScope, StageContext
from stageflow.core.inputs import StageInputs, Stored, StreamingInputs
from stageflow.core.kinds import StageStatus
from stageflow.core.output import StageOutput, plain, reader_view
from stageflow.execution.plan import Argument, Form, PlanNode, Reads
from stageflow.frozen import FrozenDict


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
        stored = outputs[argument.source] if argument.source >= 0 else None
        # Nearly every argument is the mapping that a stage returned.
        plainly = type(stored) is FrozenDict and argument.reads is not Reads.OUTPUT
        value = stored if plainly else _argument(scope, outputs, node, argument)
        if argument.keyword is None:
            positional.append(value)
        else:
            named[argument.keyword] = value
    return node.target(*positional, **named)


def invoke_in_context(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Awaitable[Any]:
    """Start a stage that is an object or a class, and whose context is not the plain one."""
    return bind(node)(context_of(scope, outputs, node))


def bind(node: PlanNode) -> Callable[..., Any]:
    """Return what one run calls for each attempt of a stage: of a class, a method of the instance for this run."""
    return node.target().execute if node.form is Form.CLASS else node.target


def call_bound(
    scope: RunScope, outputs: Sequence[Stored], node: PlanNode, bound: Callable[..., Any], context: StageContext
) -> Awaitable[Any]:
    """Start one attempt; what it reads is made anew, since an earlier one may have changed its copies."""
    return invoke_function(scope, outputs, node) if node.form is Form.FUNCTION else bound(context)


def context_of(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> StageContext:
    """Return the context of the current attempt."""
    name, attempt = node.name, scope.attempts.get(node.index, 1)
    if node.streams:
        streams = {source: scope.streams.stream(node.index, index) for source, index in node.streams.items()}
        inputs = StreamingInputs(outputs, name, node.declared, streams)
    else:
        inputs = StageInputs(outputs, name, node.declared)
    return StageContext(scope, name, inputs) if attempt == 1 else LaterContext(scope, name, inputs, attempt)


def _argument(scope: RunScope, outputs: Sequence[Stored], node: PlanNode, argument: Argument) -> Any:
    reads = argument.reads
    if reads is Reads.STREAM:
        stream = scope.streams.stream(node.index, argument.stream)
        return argument.default if stream is None else stream
    if reads is Reads.CONTEXT:
        return context_of(scope, outputs, node)
    if reads is Reads.INPUT:
        given = scope.context.snapshot.input
        return argument.default if given is None else given
    stored = outputs[argument.source]
    if type(stored) is FrozenDict:
        return plain(stored) if reads is Reads.OUTPUT else stored
    if not isinstance(stored, StageOutput) or stored.status is not StageStatus.OK:
        return argument.default
    output = reader_view(stored)
    if reads is Reads.OUTPUT:
        return output
    return output.value if reads is Reads.VALUE else output.data
