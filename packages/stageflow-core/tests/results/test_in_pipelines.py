"""Typed results in runs: checked, read by dependents, routed by, written and resumed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest
from stageflow import (
    BaseInterceptor,
    ContextSnapshot,
    InterceptorContext,
    Pipeline,
    PipelineCancelled,
    PipelineResults,
    PipelineSuspended,
    RetryPolicy,
    StageContext,
    StageExecutionError,
    StageKind,
    StageOutput,
    StageStatus,
    Stream,
    stage,
)
from stageflow.errors import ContractMismatchError, StageContractError, StageReturnTypeError, UndeclaredRouteError
from stageflow.providers import ToolCall, Usage
from stageflow.results import AgentResult, GuardResult, RouteResult, TransformResult, TypedResult, WorkResult

ANSWER = AgentResult("hi", "m-1", "groq", "stop", (ToolCall("1", "f", "{}"),), Usage(1, 2), 3, 4.5)


@stage(kind=StageKind.ROUTE, routes=("billing", "support"), terminal_routes=("support",))
async def triage(input: str) -> RouteResult:
    return RouteResult(input, 0.75, alternatives={"support": 0.25})


@stage(kind=StageKind.AGENT, route={"triage": "billing"})
async def answer(triage: RouteResult) -> AgentResult:
    assert triage.route == "billing"
    return ANSWER


@stage(kind=StageKind.GUARD)
async def guard(ctx: StageContext, answer: AgentResult) -> GuardResult:
    if ctx.snapshot.metadata.get("strict"):
        return GuardResult(False, reason="too strict", findings=(answer.text,))
    return GuardResult(True, answer.text)


@stage(kind=StageKind.WORK)
async def send(ctx: StageContext, guard: GuardResult) -> WorkResult:
    if ctx.snapshot.metadata.get("asks") and ctx.decision is None:
        return StageOutput.suspend("may it go out?")  # pyright: ignore[reportReturnType]
    return WorkResult(True, f"sent {guard.text}", "msg-1")


CHAT = Pipeline("chat", [triage, answer, guard, send])


def test_results_are_checked_read_and_typed() -> None:
    """A route leads on, each dependent gets the value, and `results.value` has it."""
    results = CHAT.run_sync(input="billing")
    assert [
        RouteResult("billing", 0.75, alternatives={"support": 0.25}),
        ANSWER,
        GuardResult(True, "hi"),
        WorkResult(True, "sent hi", "msg-1"),
    ] == [results.value(one) for one in (triage, answer, guard, send)]
    assert ("billing", "hi") == (results.data("triage")["route"], results.data("answer")["text"])


def test_a_route_is_held_to_those_declared() -> None:
    """As one that came in a mapping would be."""
    with pytest.raises(StageExecutionError) as caught:
        CHAT.run_sync(input="bilng")
    assert isinstance(caught.value.__cause__, UndeclaredRouteError)


def test_results_come_back_from_json() -> None:
    """Each of its kind, from what another process reads."""
    results = CHAT.run_sync(input="billing")
    again = PipelineResults.from_dict(json.loads(json.dumps(results.to_dict())))
    read: list[TypedResult] = [
        RouteResult.from_output(again["triage"]),
        AgentResult.from_output(again["answer"]),
        GuardResult.from_output(again["guard"]),
        WorkResult.from_output(again["send"]),
    ]
    assert [results.value(name) for name in CHAT.build().stages] == read


def test_a_run_is_resumed_with_them_in_another_process() -> None:
    """Dependents that run only then get the values of those that ran before."""
    with pytest.raises(PipelineSuspended) as caught:
        CHAT.run_sync(input="billing", metadata={"asks": True})
    stored = json.dumps(caught.value.results.to_dict())
    resumed = CHAT.run_sync(resume=PipelineResults.from_dict(json.loads(stored)), decisions={"send": {"ok": True}})
    assert (GuardResult(True, "hi"), "sent hi") == (resumed.value(guard), resumed.value(send).effect)


def test_what_was_changed_in_between_does_not_resume() -> None:
    """A result from JSON passes its own checks again."""
    with pytest.raises(PipelineSuspended) as caught:
        CHAT.run_sync(input="billing", metadata={"asks": True})
    data = caught.value.results.to_dict()
    data["stages"]["triage"]["output"]["data"]["confidence"] = 7
    with pytest.raises(ValueError, match="confidence is a number from 0 to 1"):
        CHAT.run_sync(resume=PipelineResults.from_dict(data), decisions={"send": {"ok": True}})


def test_another_result_than_declared_breaks_the_contract() -> None:
    """A stage that says RouteResult and returns another one fails."""

    @stage
    async def route() -> RouteResult:
        return TransformResult("billing")  # pyright: ignore[reportReturnType]

    with pytest.raises(StageExecutionError) as caught:
        Pipeline("one", [route]).run_sync()
    assert isinstance(caught.value.__cause__, StageContractError)


def test_a_dependent_that_wants_another_result_does_not_build() -> None:
    """Types of results are compared when the pipeline is built."""

    @stage
    async def reader(guard: RouteResult) -> None: ...

    with pytest.raises(ContractMismatchError):
        Pipeline("chat", [triage, answer, guard, reader]).build()


# --- refusals ----------------------------------------------------------------------------------------------------


REFUSED = GuardResult(False, reason="abuse", findings=("insult",))


@stage(kind=StageKind.GUARD)
async def direct() -> GuardResult:
    return REFUSED


@stage(kind=StageKind.GUARD)
async def made() -> StageOutput[GuardResult]:
    return REFUSED.to_stage_output()


@stage(kind=StageKind.GUARD)
async def unannotated():
    return REFUSED


@stage(kind=StageKind.GUARD, retry=RetryPolicy(max_attempts=3), timeout=5.0)
async def managed() -> GuardResult:
    return REFUSED


@stage(kind=StageKind.GUARD, version="2")
async def with_version() -> GuardResult:
    return REFUSED


@stage(kind=StageKind.GUARD)
async def generator() -> AsyncGenerator[str | GuardResult, None]:
    yield "looking"
    yield REFUSED


class ByClass:
    name = "by_class"
    kind = StageKind.GUARD

    async def execute(self, ctx: StageContext) -> GuardResult:
        return REFUSED


GUARDS = [direct, made, unannotated, managed, with_version, generator, stage("by_class", ByClass)]


class Watch(BaseInterceptor):
    """Sees what comes of each stage."""

    name = "watch"

    def __init__(self) -> None:
        self.seen: dict[str, StageStatus] = {}

    async def after(self, ctx: InterceptorContext, output: StageOutput[Any]) -> None:
        self.seen[ctx.stage_name] = output.status


@pytest.mark.parametrize("watched", [False, True], ids=["plain", "with interceptors"])
@pytest.mark.parametrize("optional", [False, True], ids=["required", "optional"])
@pytest.mark.parametrize("spec", GUARDS, ids=lambda spec: spec.name)
def test_nothing_behind_a_guard_that_refuses_runs(spec: Any, optional: bool, watched: bool) -> None:
    """However the guard is written, and whether or not it could be done without."""
    ran: list[str] = []

    async def behind() -> None:
        ran.append("behind")

    dependency: Any = {"optional" if optional else "dependencies": spec.name}
    watch = Watch()
    pipeline = Pipeline(
        "guarded", [spec, stage("behind", behind, **dependency)], interceptors=[watch] if watched else ()
    )
    with pytest.raises(PipelineCancelled, match="abuse") as caught:
        pipeline.run_sync()
    results = caught.value.results
    assert results is not None
    assert [] == ran
    assert (StageStatus.CANCEL, "abuse") == (results[spec.name].status, results[spec.name].reason)
    assert REFUSED == GuardResult.from_output(results[spec.name])
    assert ({spec.name: StageStatus.CANCEL} if watched else {}) == watch.seen


@pytest.mark.parametrize("on_failure", ["fail_fast", "continue"])
@pytest.mark.parametrize("join", ["all", "any"])
def test_no_option_lets_a_refusal_through(join: Any, on_failure: Any) -> None:
    """A run that goes on after failures does not go on after this, nor does a join with another way in."""
    ran: list[str] = []

    @stage(optional="direct")
    async def other(ctx: StageContext) -> None:
        ran.append("other")

    async def behind() -> None:
        ran.append("behind")

    stages = [direct, other, stage("behind", behind, dependencies=("direct", "other"), join=join)]
    with pytest.raises(PipelineCancelled, match="abuse"):
        Pipeline("guarded", stages, on_failure=on_failure).run_sync()
    assert [] == ran


def test_a_refusal_comes_back_from_json() -> None:
    """Who reads a run's record finds why it was refused, with the findings."""
    with pytest.raises(PipelineCancelled) as caught:
        Pipeline("guarded", [direct]).run_sync()
    assert caught.value.results is not None
    again = PipelineResults.from_dict(json.loads(json.dumps(caught.value.results.to_dict())))
    assert REFUSED == GuardResult.from_output(again["direct"])


def test_one_refused_item_of_a_map_ends_the_run() -> None:
    """A guard that is asked for each item lets nothing on if it refuses one."""
    ran: list[str] = []

    @stage
    async def texts() -> dict[str, list[str]]:
        return {"items": ["a", "bad", "c"]}

    @stage(kind=StageKind.GUARD, map_over=("texts", "items"), dependencies="texts")
    async def each(ctx: StageContext) -> GuardResult:
        return REFUSED if ctx.item == "bad" else GuardResult(True)

    @stage
    async def behind(each: Mapping[str, Any]) -> None:
        ran.append("behind")

    with pytest.raises(PipelineCancelled, match="abuse"):
        Pipeline("guarded", [texts, each, behind]).run_sync()
    assert [] == ran


def test_a_stream_may_end_with_a_result() -> None:
    """An async generator that yields a result last ends with it, and its readers never see it as a chunk."""

    @stage(kind=StageKind.AGENT)
    async def agent() -> AsyncGenerator[str | AgentResult, None]:
        yield "h"
        yield "i"
        yield ANSWER

    @stage
    async def reader(agent: Stream[Any]) -> dict[str, list[str]]:
        return {"read": [chunk async for chunk in agent]}

    results = Pipeline("chat", [agent, reader]).run_sync()
    assert (ANSWER, ["h", "i"]) == (results.value(agent), results.data("reader")["read"])


def test_nothing_comes_after_the_result_of_a_stream() -> None:
    """As after a StageOutput."""

    @stage
    async def agent() -> AsyncGenerator[Any, None]:
        yield ANSWER
        yield "more"

    with pytest.raises(StageExecutionError) as caught:
        Pipeline("chat", [agent]).run_sync()
    assert isinstance(caught.value.__cause__, StageReturnTypeError)


def test_a_snapshot_can_hold_results_of_another_run() -> None:
    """As its input, where they stay what they are."""
    assert REFUSED == ContextSnapshot(input=REFUSED).input
