"""Runs that stages start: `ctx.run_pipeline`.

A child is a run like any other, awaited by the task of the stage that started it. So whatever cancels that stage
cancels the child, and the child has stopped before the stage goes on. What is its parent's is handed down in its
PipelineContext; what it is asked is what the call says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from stageflow.context.identity import RunIdentity, uuid7
from stageflow.context.parent import MOST_DEEP, ParentStage
from stageflow.context.pipeline_context import ChildFields, PipelineContext
from stageflow.context.snapshot import ContextSnapshot
from stageflow.core.context import RunScope, StageScope
from stageflow.errors import LimitDeadlockError, PipelineDepthError, StageflowError, TooLateError
from stageflow.events.sinks import NO_SINK
from stageflow.execution.announcing import announce_child_straggler
from stageflow.execution.locating import chain_of, located
from stageflow.execution.plan import ExecutionPlan
from stageflow.execution.results import PipelineResults
from stageflow.execution.resumption import Resumption, resume
from stageflow.execution.run import Run
from stageflow.pipeline.contract_checks import check_input
from stageflow.pipeline.invocation import check_keywords, check_limits

GRACE_SHARE = 0.9
"""How much of its parent's `cancel_grace` a child has at most: so it has given up before its parent gives it up."""

_FIELDS = frozenset(ChildFields.__annotations__)


async def run_child(
    name: str,
    compiled: Callable[[], ExecutionPlan],
    scope: RunScope,
    stage: str,
    key_of: Callable[[str, str | None], str],
    fields: ChildFields,
) -> PipelineResults:
    """Run a pipeline as a child of a stage, and return its results; what it raises tells the chain of stages.

    Args:
        name: The name of the pipeline.
        compiled: Gives its plan.
        scope: What the stage sees of its run.
        stage: The name of the stage.
        key_of: Gives what the idempotency keys of the child begin with.
        fields: The keywords of the call, which has no other use for them.
    """
    task = _current_task(scope)
    above = scope.context.parent
    if above is not None and above.depth >= MOST_DEEP:
        raise PipelineDepthError(pipeline=name, chain=chain_of(above, scope.pipeline, stage), most=MOST_DEEP)
    try:
        run = _make_run(compiled(), scope, stage, key_of, cast("dict[str, Any]", fields))
    except StageflowError as error:
        located(error, _parent_stage(scope, stage, ""), name)
        del scope, key_of  # the error keeps this frame: it is not to keep the run
        raise
    results = await _execute(run, scope, stage, task)
    if results.error is not None:
        del run, scope, key_of, task  # the error keeps this frame: it is not to keep the runs
        __tracebackhide__ = True
        raise results.error
    return results


def _current_task(scope: RunScope) -> asyncio.Task[Any]:
    """Return the task of the stage; raise CancelledError if its run is ending, or it was cancelled and cleans up."""
    if scope.stopping is not None:
        raise asyncio.CancelledError(scope.stopping)
    if scope.over:
        raise TooLateError(
            f"A stage of pipeline '{scope.pipeline}' wanted to run a child after its run had ended.",
            hint="Await ctx.run_pipeline(...) in the stage, before it returns.",
        )
    task = asyncio.current_task()
    assert task is not None
    if task.cancelling():
        raise asyncio.CancelledError("the stage was cancelled, so it starts no child")
    return task


def _parent_stage(scope: RunScope, stage: str, key: str) -> ParentStage:
    context = scope.context
    run_id = context.snapshot.run_id.pipeline_run_id
    return ParentStage(run_id, scope.pipeline, stage, key, context.parent, _holding(scope))


def _holding(scope: RunScope) -> str | None:
    """Return the limit of which a permit is held that is not given back before the stage ends, or None."""
    above = scope.context.parent
    return above.holding if scope.holding is None and above is not None else scope.holding


def _make_run(
    plan: ExecutionPlan,
    scope: RunScope,
    stage: str,
    key_of: Callable[[str, str | None], str],
    given: dict[str, Any],
) -> Run:
    """Return the run of a child, which has not begun."""
    if plan.limits and (holding := _holding(scope)) is not None:
        raise LimitDeadlockError(
            pipeline=plan.name, stage=stage, holding=holding, limits=tuple(dict.fromkeys(plan.limits.values()))
        )
    if "run_id" in given:
        raise TypeError(
            "ctx.run_pipeline() takes no run_id: a child runs for whom its parent runs, with a run id of its own."
        )
    if not given.keys() <= _FIELDS:
        check_keywords(given, _FIELDS, "ctx.run_pipeline()")
    around, resumption = scope.context, None
    sink, ports = given.pop("event_sink", None), given.pop("ports", around.ports)
    limits = given.pop("limits", None)
    if limits is None:
        limits = around.limits
    if plan.limits:
        check_limits(plan, limits)
    inherited = _inherited(around, given)
    if "resume" in given:
        resumption = _resumption(plan, given)
        snapshot = resumption.snapshot.replace(run_id=_identity(scope))
        key = key_of(plan.name, resumption.first_run_id)
    elif "decisions" in given:
        raise TypeError("run_pipeline(decisions=...) goes with run_pipeline(resume=...), the results of the child.")
    else:
        snapshot = ContextSnapshot(run_id=_identity(scope), **given)
        if plan.input is not None:
            check_input(plan.name, plan.input, snapshot.input)
        key = key_of(plan.name, None)
    context = PipelineContext(
        snapshot=snapshot,
        event_sink=_sink(scope) if sink is None else sink,
        ports=ports,
        limits=limits,
        **inherited,
        deadline=scope.deadline,
        parent=_parent_stage(scope, stage, key),
    )
    grace_s = min(plan.cancel_grace, GRACE_SHARE * scope.grace_s)
    return Run(plan, context, resumption, grace_s=grace_s, recorder=scope.recorder)


def _inherited(around: PipelineContext, given: dict[str, Any]) -> dict[str, Any]:
    """Return what a child has of its parent unless it was given its own; most runs have none of it."""
    inherited: dict[str, Any] = {}
    for name in ("run_store", "config", "correlation"):
        own = given.pop(name, None)
        if own is None and name in around.__dict__:
            own = around.__dict__[name]
        if own is not None:
            inherited[name] = own
    return inherited


def _resumption(plan: ExecutionPlan, given: dict[str, Any]) -> Resumption:
    resumption = resume(plan, given.pop("resume"), given.pop("decisions", None))
    hint = "The snapshot is that of the run that was suspended."
    check_keywords(given, frozenset(), "ctx.run_pipeline() beside resume=", hint)
    return resumption


def _identity(scope: RunScope) -> RunIdentity | None:
    """Return the parent's identity with an id of its own; None, which costs less, if there is nothing else in it."""
    of = scope.context.snapshot.run_id
    if of.request_id is of.session_id is of.user_id is of.org_id is of.interaction_id is None:
        return None
    return RunIdentity(uuid7(), of.request_id, of.session_id, of.user_id, of.org_id, of.interaction_id)


def _sink(scope: RunScope) -> Any:
    # Said even if there is none: the current one may be another than when the parent began.
    emitter = scope.emitter
    return NO_SINK if emitter is None or emitter.sink is None else emitter.sink


async def _execute(run: Run, scope: RunScope, stage: str, task: asyncio.Task[Any]) -> PipelineResults:
    """Execute the run of a child, while its stage lends the permit that it holds."""
    permit = scope.permit
    if permit is not None:
        permit.lend()
    scope.children[task] = stage
    try:
        results = await run.execute()
    except asyncio.CancelledError:  # then nobody needs the permit any more
        raise
    except Exception:
        if permit is not None:
            await permit.regain()
        raise
    finally:
        del scope.children[task]
        if run.results is not None and run.results.stragglers:
            scope.left_behind.append(stage)
            if isinstance(scope, StageScope):
                scope.left = True
            announce_child_straggler(scope.emitter, stage, run.results, run.scope.grace_s)
    if permit is not None:
        await permit.regain()
    return results
