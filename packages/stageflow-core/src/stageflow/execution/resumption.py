"""From the results of a suspended run and what was decided to where another run starts.

The results of a suspended run are all that is kept of it, in the same process or as JSON for as long as a human takes.
The run that resumes it is one of its own: it is given what had ended as it was, runs the stages that were decided for
again, and then what waited for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from stageflow.context.identity import uuid7
from stageflow.context.snapshot import ContextSnapshot
from stageflow.contracts import ContractMismatch
from stageflow.core.handle import StageHandle, name_of
from stageflow.core.kinds import StageStatus
from stageflow.errors import PipelineSuspended, ResumeError
from stageflow.execution.plan import ExecutionPlan
from stageflow.execution.results import PipelineResults, StageResult, Suspension
from stageflow.execution.returning import revive_output
from stageflow.frozen import FrozenDict, freeze
from stageflow.wording import listed, nearest, shown


class Resumption:
    """Where a run starts that resumes another one.

    Attributes:
        snapshot: What the first run was asked, with a run id of its own.
        carried: By stage, the record that stays as it is; also of a stage that nobody has decided for yet.
        decisions: By stage, what was decided.
        resumed_from: The id of the suspended run.
        first_run_id: The id of the run that all began with, which idempotency keys are made of.
    """

    __slots__ = ("carried", "decisions", "first_run_id", "resumed_from", "snapshot")

    def __init__(
        self,
        snapshot: ContextSnapshot,
        carried: Mapping[int, StageResult],
        decisions: Mapping[str, Any],
        resumed_from: str,
        first_run_id: str,
    ) -> None:
        self.snapshot = snapshot
        self.carried = carried
        self.decisions = decisions
        self.resumed_from = resumed_from
        self.first_run_id = first_run_id


def resume(plan: ExecutionPlan, results: Any, decisions: Any) -> Resumption:
    """Check that the plan can go on with these results and decisions.

    Raises:
        ResumeError: The results are not of a suspended run of this plan, or a decision is for a stage that did not ask.
        TypeError: The arguments are not results and a mapping.
    """
    if not isinstance(results, PipelineResults):
        hint = "PipelineResults.from_dict(...) reads what to_dict() wrote."
        if isinstance(results, PipelineSuspended):
            hint = "Give it what is in the error: resume=error.results."
        raise TypeError(f"run(resume=...) takes the PipelineResults of a suspended run, not {shown(results)}. {hint}")
    suspended = results.suspension
    if suspended is None or results.status != "suspended":
        raise ResumeError(
            f"Run {results.pipeline_run_id} of pipeline '{results.pipeline}' ended {results.status}: there is nothing "
            "to resume.",
            hint="Only a run that raised PipelineSuspended can be resumed.",
        )
    differing = _differences(suspended.plan, plan.fingerprint())
    if differing:
        raise ResumeError(
            f"Run {results.pipeline_run_id} of pipeline '{results.pipeline}' was suspended by another plan than this "
            f"one of '{plan.name}': {differing}.",
            hint="Resume it with the pipeline as it was, or run anew.",
        )
    decided = _check_decisions(results, decisions)
    carried = {
        (index := plan.index[name]): _revived(plan, index, record)
        for name, record in zip(results, results.records(), strict=True)
        if name not in decided and (record.status is not StageStatus.SUSPEND or record.origin is None)
    }
    asked = _revived_input(plan, suspended)
    snapshot = suspended.snapshot.replace(run_id=_with_new_id(suspended.snapshot.run_id), input=asked)
    return Resumption(snapshot, carried, decided, results.pipeline_run_id, suspended.first_run_id)


def _revived(plan: ExecutionPlan, index: int, record: StageResult) -> StageResult:
    """Return a record whose output has its contract value again, if it comes from JSON."""
    try:
        output = revive_output(record.output, plan.nodes[index].contract)
    except ContractMismatch as error:
        raise ResumeError(
            f"What stage '{record.name}' returned cannot be made again of its JSON: {error}",
            stage=record.name,
            hint=error.hint,
        ) from error
    return record if output is record.output else replace(record, output=output)


def _revived_input(plan: ExecutionPlan, suspended: Suspension) -> Any:
    if suspended.input_kinds is None:
        return suspended.snapshot.input
    if plan.input is None:
        raise ResumeError(
            "The input of the suspended run was not plain JSON, and the pipeline does not say what type it is of.",
            hint="Say it: Pipeline(..., input=TheType).",
        )
    try:
        return plan.input.revive(suspended.snapshot.input, suspended.input_kinds)
    except ContractMismatch as error:
        message = f"The input of the suspended run cannot be made again of its JSON: {error}"
        raise ResumeError(message, hint=error.hint) from error


def _differences(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    if then == now:
        return ""
    kinds = (
        ("changed stages", [name for name in now if name and name in then and then[name] != now[name]]),
        ("new stages", [name for name in now if name not in then]),
        ("missing stages", [name for name in then if name not in now]),
    )
    told = [f"{kind}: {listed(names)}" for kind, names in kinds if names]
    return "; ".join(told) or "the pipeline's own options differ"


def _with_new_id(identity: Any) -> Any:
    others = ("request_id", "session_id", "user_id", "org_id", "interaction_id")
    return type(identity)(uuid7(), **{name: getattr(identity, name) for name in others})


def _check_decisions(results: PipelineResults, decisions: Any) -> Mapping[str, Any]:
    asking = results.suspended()
    if decisions is None or decisions == {}:
        raise ResumeError(
            f"Run {results.pipeline_run_id} waits for a decision, and was given none.",
            hint=f"Decide for {listed(asking)}: run(resume=..., decisions={{'{asking[0]}': ...}}).",
        )
    if not isinstance(decisions, Mapping):
        raise TypeError(f"run(decisions=...) takes a mapping from stages to values, not {shown(decisions)}.")
    decided: dict[str, Any] = {}
    for stage, value in cast("Mapping[Any, Any]", decisions).items():
        if not isinstance(stage, (str, StageHandle)):
            raise TypeError(f"run(decisions=...) takes names or handles of stages as keys, not {shown(stage)}.")
        name = name_of(cast("Any", stage))
        if name not in asking:
            ended = f"ended {results[name].status.name}" if name in results else "is not in the pipeline"
            if name in results and results[name].status is StageStatus.SUSPEND:
                ended = f"only waits for '{results.record(name).origin}'"
            raise ResumeError(
                f"A decision was given for stage '{name}', which {ended}.",
                stage=name,
                hint=f"{nearest(name, asking)}Stages that ask for one: {listed(asking)}.",
            )
        if value is None:
            raise ResumeError(
                f"The decision for stage '{name}' is None, which is what ctx.decision is before there is one.",
                stage=name,
                hint="Give a value that says what was decided: False, 'refused', {...}.",
            )
        decided[name] = freeze(value, f"decisions[{name!r}]")
    return FrozenDict(decided)
