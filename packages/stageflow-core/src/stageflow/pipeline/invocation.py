"""From the arguments of `run` and `start` to a PipelineContext."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from stageflow.context.identity import RunIdentity
from stageflow.context.limits import Limits
from stageflow.context.pipeline_context import ChildFields, PipelineContext
from stageflow.context.snapshot import ContextSnapshot
from stageflow.errors import LimitTooSmallError, UnknownLimitError
from stageflow.execution.plan import ExecutionPlan
from stageflow.execution.resumption import resume
from stageflow.execution.run import Run
from stageflow.pipeline.contract_checks import check_input
from stageflow.wording import nearest


class RunFields(ChildFields, total=False):
    """The keywords of `run` and `start`: the fields of a snapshot, and what a run is given beside it."""

    run_id: RunIdentity


# All of them are given by name, and may be left out. `inspect.signature` would take as long as another module.
_SNAPSHOT_FIELDS = frozenset(cast("dict[str, Any]", ContextSnapshot.__init__.__kwdefaults__))
_ALL_FIELDS = frozenset(RunFields.__annotations__)
_RESUME_FIELDS = frozenset({"resume", "decisions"})
_CONTEXT_FIELDS = _ALL_FIELDS - _SNAPSHOT_FIELDS - _RESUME_FIELDS


def make_run(plan: ExecutionPlan, context: Any, fields: RunFields) -> Run:
    """Return a run that has not begun. The fields are those of one call, which has no other use for them.

    Raises:
        InputContractError: The input is not of the type that the pipeline takes.
        TypeError: The arguments are wrong.
        ResumeError: What is to be resumed cannot be.
        UnknownLimitError: A stage takes permits of a limit that the run is not given.
    """
    if "resume" in fields or "decisions" in fields:
        run = _resuming_run(plan, context, fields)
    else:
        made = make_context(context, fields)
        if plan.input is not None:
            check_input(plan.name, plan.input, made.snapshot.input)
        run = Run(plan, made)
    if plan.limits:
        check_limits(plan, run.scope.context.limits)
    return run


def check_limits(plan: ExecutionPlan, limits: Limits | None) -> None:
    """Check that a run of the plan can have the permits that its stages take.

    Raises:
        UnknownLimitError: The limit of a stage is not among those of the run.
        LimitTooSmallError: There are fewer permits than stages that start together take.
    """
    given = None if limits is None else limits.names
    missing = {stage: limit for stage, limit in plan.limits.items() if given is None or limit not in given}
    for group in plan.permit_groups:
        if limits is None or missing:
            break
        for limit, needed in group.needs:
            if needed > (capacity := limits.capacity(limit)):
                stages = [plan.names[index] for index, named in group.limits if named == limit]
                raise LimitTooSmallError(limit, needed=needed, capacity=capacity, stages=stages)
    for stage, limit in missing.items():
        raise UnknownLimitError(limit, stage=stage, given=given, missing=tuple(dict.fromkeys(missing.values())))


def _resuming_run(plan: ExecutionPlan, context: Any, fields: RunFields) -> Run:
    if "resume" not in fields:
        raise TypeError("run(decisions=...) goes with run(resume=...), the results of the run that was suspended.")
    given = cast("dict[str, Any]", fields)
    resumption = resume(plan, given.pop("resume"), given.pop("decisions", None))
    if isinstance(context, PipelineContext) and not given and _asks_nothing(context.snapshot):
        return Run(plan, replace(context, snapshot=resumption.snapshot), resumption)
    if context is not None:
        raise TypeError(
            "run(resume=...) takes no snapshot, since it has that of the run that was suspended. Beside it go "
            f"{', '.join(f'{name}=' for name in sorted(_CONTEXT_FIELDS))}, or a PipelineContext without a snapshot of "
            "its own."
        )
    where, hint = "run() beside resume=", "The snapshot is that of the run that was suspended."
    check_keywords(given, _CONTEXT_FIELDS, where, hint)
    return Run(plan, PipelineContext(snapshot=resumption.snapshot, **given), resumption)


def _asks_nothing(snapshot: ContextSnapshot) -> bool:
    """Return whether this is the snapshot of a PipelineContext that was given none."""
    single = (
        snapshot.input_text,
        snapshot.input,
        snapshot.input_audio_duration_ms,
        snapshot.topology,
        snapshot.execution_mode,
        snapshot.transport,
    )
    identity = snapshot.run_id
    single += (identity.request_id, identity.session_id, identity.user_id, identity.org_id, identity.interaction_id)
    several = (snapshot.conversation, snapshot.enrichments, snapshot.extensions, snapshot.metadata)
    return all(value is None for value in single) and not any(map(len, several))


def make_context(context: Any, fields: RunFields) -> PipelineContext:
    """Return the context of a run. The fields are those of one call, which has no other use for them.

    Raises:
        TypeError: The positional argument is of another type, a keyword is unknown, or both say the same thing.
    """
    given = cast("dict[str, Any]", fields)
    if context is None:
        if given.keys() <= _SNAPSHOT_FIELDS:
            return PipelineContext(snapshot=ContextSnapshot(**given))
        check_keywords(given, _ALL_FIELDS, "run()")
        beside = {name: given.pop(name) for name in _CONTEXT_FIELDS if name in given}
        return PipelineContext(snapshot=ContextSnapshot(**given), **beside)
    if isinstance(context, ContextSnapshot):
        check_keywords(
            given, _CONTEXT_FIELDS, "run() beside a ContextSnapshot", "Use snapshot.replace(...) for its fields."
        )
        return PipelineContext(snapshot=context, **given)
    if isinstance(context, PipelineContext):
        check_keywords(given, frozenset(), "run() beside a PipelineContext", "Put everything into the context.")
        return context
    raise TypeError(
        f"run() takes a PipelineContext or a ContextSnapshot, not a {type(context).__qualname__}. "
        "Give fields as keywords: run(input_text=..., input=...)."
    )


def check_keywords(given: dict[str, Any], names: frozenset[str], where: str, hint: str = "") -> None:
    """Check the names of the keywords of a call.

    Raises:
        TypeError: One is not among the names; it says which one is meant.
    """
    for name in given:
        if name not in names:
            choices = sorted(names)
            advice = nearest(name, choices) or (f"They are: {', '.join(choices)}. " if choices else "")
            if name in ("snapshot", "context"):
                advice = f"Give it as the first argument: run({name}). "
            elif name in RunIdentity.__slots__:
                advice = f"It is part of the run's identity: run_id=RunIdentity({name}=...). "
            raise TypeError(f"{where} takes no keyword '{name}'. {advice}{hint}".rstrip())
