"""What starts a stage: the cheapest way to do all that its options ask for, chosen when the graph is built.

A stage that is called once and that is all is started by `stageflow.execution.calling`. The others are started by one
of the functions that are made here. Each does no more than its stage needs while that goes well; a `ManagedStage` is
made for time limits, which concern every attempt, and for a further attempt, when there is to be one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

from stageflow.capabilities import check_ports
from stageflow.core.context import RunScope, StageContext, StageScope
from stageflow.core.inputs import StageInputs, Stored
from stageflow.core.returning import returned
from stageflow.execution.attempts import ManagedStage, accepted
from stageflow.execution.calling import (
    bind,
    call_bound,
    invoke_class,
    invoke_execute,
    invoke_function,
    invoke_in_context,
)
from stageflow.execution.mapping import mapped
from stageflow.execution.permits import take_permit, wait_for_permit
from stageflow.execution.plan import Form, Invoke, Management, PlanNode
from stageflow.execution.streaming import driven, gathering, joined
from stageflow.frozen import FrozenDict
from stageflow.interceptors.base import InterceptorContext
from stageflow.interceptors.chain import Chain


def choose_invoke(form: Form, management: Management) -> Invoke:
    """Return what starts a stage of that form and with that management."""
    if management.ports:  # once, whatever its streams, its items, its attempts and its permits
        return needing(choose_invoke(form, management.but(ports=())), management.ports)
    chain, retry = management.chain, management.retry
    if management.map_over is not None:  # of a class, there is one instance for all items
        of_one = management.but(map_over=None, deadline=None, version=None, streams=None, gathers=None)
        start = mapped(choose_invoke(Form.METHOD if form is Form.CLASS else form, of_one), management)
        return start if management.streams is None else _opening(start, management)
    if management.streams is not None:
        return _opening(_joined(form, management), management)
    if management.timeout is not None or management.deadline is not None:
        return managed(management)
    if form is Form.CLASS and retry is not None:  # all attempts of a run share an instance
        return managed(management)
    if chain is not None and management.checks:  # they belong to the attempt, so that interceptors see what they find
        return managed(management)
    start = _CALLS[form] if chain is None else _intercepted(form, chain)
    if management.limit is not None:
        return permitted(start, management, management.limit)
    if retry is not None:
        return retried(start, management)
    return checked(start, management) if management.checks else start


def needing(start: Invoke, ports: tuple[str, ...]) -> Invoke:
    """Return what starts a stage if its run has the ports that it needs."""

    def invoke(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Awaitable[Any]:
        check_ports(node.name, ports, scope.context.ports)
        return start(scope, outputs, node)

    return invoke


def _opening(start: Invoke, management: Management) -> Invoke:
    """Return what opens the streams of a stage and then starts it."""
    plainly = management.gathers is None and management.holding is None
    return joined(start) if plainly else gathering(start, management)


def _joined(form: Form, management: Management) -> Invoke:
    """Return what starts a stage that streams or reads a stream, once its streams are open."""
    limited = management.timeout is not None or management.deadline is not None or management.limit is not None
    if limited or management.chain is not None or (form is Form.CLASS and management.retry is not None):
        return managed(management)
    start = invoke_function if form is Form.FUNCTION else invoke_in_context
    if management.streams:
        start = driven(start, management)
    if management.retry is not None:
        return retried(start, management)
    return checked(start, management) if management.checks else start


_CALLS: dict[Form, Invoke] = {
    Form.METHOD: invoke_execute,
    Form.CLASS: invoke_class,
    Form.FUNCTION: invoke_function,
}


def _intercepted(form: Form, chain: Chain) -> Invoke:
    return intercepted_method(chain) if form is Form.METHOD else intercepted(chain)


def intercepted_method(chain: Chain) -> Invoke:
    """Return what starts, once, the `execute` of an instance with its interceptors around it."""
    call = chain.call

    def invoke(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Awaitable[Stored]:
        name = node.name
        ctx = InterceptorContext()  # by InterceptorContext.of it costs half as much again
        ctx.stage = StageContext(scope, name, StageInputs(outputs, name, node.declared))
        ctx.kind = node.kind
        ctx.scope = scope.hooks
        return call(ctx, node.target)

    return invoke


def intercepted(chain: Chain) -> Invoke:
    """Return what starts, once, a stage of any form with its interceptors around it."""

    def invoke(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Awaitable[Stored]:
        def execute(context: StageContext) -> Awaitable[Any]:
            return call_bound(scope, outputs, node, bind(node), context)

        context = StageContext(scope, node.name, StageInputs(outputs, node.name, node.declared))
        return chain.call(InterceptorContext.of(context, node.kind, scope.hooks), execute)

    return invoke


def checked(start: Invoke, management: Management) -> Invoke:
    """Return what starts a stage, once, and checks that it returns what it says it does."""

    async def invoke(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Stored:
        return accepted(node.name, management, returned(node.name, await start(scope, outputs, node)))

    return invoke


def retried(start: Invoke, management: Management) -> Invoke:
    """Return what starts a stage, and tries it again as its policy says."""
    checks = management.checks

    async def invoke(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Stored:
        ended: Stored | Exception
        try:
            ended = returned(node.name, await start(scope, outputs, node))
            if checks:
                ended = accepted(node.name, management, ended)
            if type(ended) is FrozenDict:
                return ended
        except Exception as error:  # noqa: BLE001 - raised again unless the policy covers it
            ended = error
        try:
            return await ManagedStage(scope, outputs, node, management).go_on(ended)
        finally:
            del ended  # else the error holds this frame, and this frame the error

    return invoke


def permitted(start: Invoke, management: Management, limit: str) -> Invoke:
    """Return what starts a stage that holds a permit, and tries it again if its policy says so."""
    checks, priority = management.checks, management.priority

    async def invoke(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Stored:
        own = scope if isinstance(scope, StageScope) else StageScope(scope)  # else it is that of an item
        index = node.index
        permit = take_permit(own, index, limit, priority) or await wait_for_permit(own, index, limit, priority)
        own.permit = permit
        ended: Stored | Exception
        try:
            ended = returned(node.name, await start(own, outputs, node))
            if checks:
                ended = accepted(node.name, management, ended)
        except Exception as error:  # noqa: BLE001 - raised again unless a policy covers it
            ended = error
        finally:
            permit.release()
        if type(ended) is FrozenDict:
            return ended
        try:
            return await ManagedStage(own, outputs, node, management).go_on(ended)
        finally:
            del ended  # else the error holds this frame, and this frame the error

    return invoke


def managed(management: Management) -> Invoke:
    """Return what starts a stage with all that its options ask for."""
    limited = management.limit is not None

    async def invoke(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Stored:
        if limited and not isinstance(scope, StageScope):  # else it is that of an item
            scope = StageScope(scope)
        stage = ManagedStage(scope, outputs, node, management)
        deadline = management.deadline
        return await stage.run() if deadline is None else await stage.limited("deadline", deadline, stage.run)

    return invoke
