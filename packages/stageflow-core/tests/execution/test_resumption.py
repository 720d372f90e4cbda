"""Runs that are suspended until somebody decides, and runs that go on from there."""

import asyncio
import json
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass, field

import pytest
from stageflow import (
    ContextSnapshot,
    Conversation,
    Pipeline,
    PipelineCancelled,
    PipelineContext,
    PipelineResults,
    PipelineSuspended,
    PipelineTimeoutError,
    RetryPolicy,
    RunIdentity,
    StageArtifact,
    StageContext,
    StageExecutionError,
    StageKind,
    StageOutput,
    StageStatus,
    stage,
)
from stageflow.capabilities import NO_PORTS
from stageflow.errors import NotCopyableError, ResumeError, SerializationError
from stageflow_mocks.simulation import simulated

OK, SKIP, CANCEL, FAIL, SUSPEND = (
    StageStatus.OK,
    StageStatus.SKIP,
    StageStatus.CANCEL,
    StageStatus.FAIL,
    StageStatus.SUSPEND,
)


def now():
    return asyncio.get_running_loop().time()


class Stages:
    """Makes stages that note when they are executed, and with which decision."""

    def __init__(self):
        self.executed = []
        self.decisions = []
        self.keys = []

    def asking(self, name="ask", request="may I?", *, times=1, seconds=0.0, **options):
        """A stage that suspends the run until it was decided for so many times."""
        rounds = []

        async def execute(ctx: StageContext):
            self.executed.append(ctx.stage_name)
            self.keys.append(ctx.idempotency_key)
            self.decisions.append(ctx.decision)
            await asyncio.sleep(seconds)
            if ctx.decision is not None:
                rounds.append(ctx.decision)
            return StageOutput.suspend(request) if len(rounds) < times else {"decided": ctx.decision}

        return stage(name, execute, **options)

    def doing(self, name, result=None, *, seconds=1.0, **options):
        async def execute(ctx: StageContext):
            self.executed.append(ctx.stage_name)
            self.keys.append(ctx.idempotency_key)
            assert ctx.decision is None
            await asyncio.sleep(seconds)
            if isinstance(result, BaseException):
                raise result
            return {"by": ctx.stage_name} if result is None else result

        return stage(name, execute, **options)


@pytest.fixture
def stages():
    return Stages()


def statuses(results):
    return {name: output.status for name, output in results.items()}


async def suspended(pipeline, context=None, /, **fields):
    """Run the pipeline and return the results with which it is suspended."""
    with pytest.raises(PipelineSuspended) as caught:
        await pipeline.run(context, **fields)
    return caught.value.results


def through_json(results):
    return PipelineResults.from_dict(json.loads(json.dumps(results.to_dict())))


def chat(stages, **options):
    """A pipeline with something before the question, beside it, and after it."""
    return Pipeline(
        "chat",
        [
            stages.doing("before"),
            stages.asking(dependencies="before"),
            stages.doing("behind", dependencies="ask"),
            stages.doing("far", dependencies="behind"),
            stages.doing("maybe", optional="ask"),
            stages.doing("beside", seconds=5),
            stages.doing("later", dependencies="beside"),
        ],
        **options,
    )


# --- suspended ---------------------------------------------------------------------------------------------------


@simulated
async def test_what_does_not_wait_is_done_first(stages, recorder):
    """Then the run ends suspended. What depends on the question, optionally or not, waits, and has no event."""
    with pytest.raises(PipelineSuspended) as caught:
        await chat(stages).run(event_sink=recorder)
    error, results = caught.value, caught.value.results
    assert (error.pipeline, error.stages, error.code, now()) == ("chat", ("ask",), "suspended", 6.0)
    assert (results.status, results.error, results.suspended()) == ("suspended", error, ("ask",))
    assert statuses(results) == {
        **dict.fromkeys(("before", "beside", "later"), OK),
        **dict.fromkeys(("ask", "behind", "far", "maybe"), SUSPEND),
    }
    waiting = [results.record(name) for name in ("behind", "far", "maybe")]
    assert [(record.origin, record.attempts, record.output.reason) for record in waiting] == [
        ("ask", 0, "waits for 'ask'")
    ] * 3
    record = results.record("ask")
    assert (record.origin, record.attempts, record.output.data) == (None, 1, {"request": "may I?"})
    told = [kind for kind in recorder.types if kind.split(".")[1] in ("ask", "behind", "far", "maybe")]
    assert told == ["stage.ask.started", "stage.ask.suspended"]
    event = recorder.of("stage.ask.suspended")
    assert (event["status"], event["attempt"]) == ("suspend", 1)
    assert event["data"]["request"] == {"request": "may I?"}
    assert recorder.types[-1] == "pipeline.suspended"
    assert recorder.events[-1]["data"] == {"pipeline": "chat", "suspended": ["ask"]}


@simulated
async def test_what_is_asked_may_be_a_mapping(stages):
    """It stands in the results as it is, to be shown to whoever decides."""
    request = {"question": "Refund?", "amount": 12.5, "items": ["a", "b"]}
    results = await suspended(Pipeline("p", [stages.asking(request=request)]))
    assert results["ask"].data == request
    assert results["ask"].error is None


@simulated
async def test_several_may_ask(stages):
    """The error names them in plan order; what waits for both names the first."""
    pipeline = Pipeline(
        "p",
        [
            stages.asking("b", seconds=1),
            stages.asking("a", seconds=3),
            stages.asking("c"),
            stages.doing("s", dependencies=("a", "c")),
        ],
    )
    results = await suspended(pipeline)
    assert (results.error.stages, results.suspended()) == (("b", "a", "c"), ("b", "a", "c"))
    assert results.record("s").origin == "a"


@simulated
async def test_what_it_publishes_is_published(recorder):
    """Beside its question."""

    async def asking():
        return StageOutput.suspend("may I?").publishing(StageArtifact("draft", {"text": "Dear"}))

    results = await Pipeline("p", [stage("ask", asking)]).start(event_sink=recorder).outcome()
    assert recorder.of("stage.ask.artifact")["data"]["type"] == "draft"
    assert results["ask"].artifacts == (StageArtifact("draft", {"text": "Dear"}),)


@simulated
async def test_what_asks_for_nothing_json_can_hold_fails():
    """It waits for as long as a human takes."""

    async def asking():
        return StageOutput.suspend({"at": object()})

    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", [stage("ask", asking)]).run()
    assert isinstance(caught.value.__cause__, SerializationError)
    assert caught.value.__cause__.path == "request.at"


@pytest.mark.parametrize("ending", ["cancel", "stage", "failure", "timeout", "caller"])
@simulated
async def test_a_run_that_ends_in_another_way_cannot_be_resumed(ending, stages):
    """Although a stage asks: its record and those of what waits stay."""
    last = {"stage": StageOutput.cancel("enough"), "failure": LookupError("no")}.get(ending)
    others = [stages.doing("last", last, seconds=2 if last else 100), stages.doing("behind", dependencies="ask")]
    started = Pipeline("p", [stages.asking(), *others], timeout=2 if ending == "timeout" else None).start()
    await asyncio.sleep(1)
    if ending == "cancel":
        started.cancel("enough")
    if ending == "caller":
        started._task.cancel()
    results = await started.outcome()
    status = "failed" if ending in ("failure", "timeout") else "cancelled"
    assert (results.status, results.suspension) == (status, None)
    assert (results["ask"].status, results["behind"].status) == (SUSPEND, SUSPEND)
    expected = {"failure": StageExecutionError, "timeout": PipelineTimeoutError}.get(ending, PipelineCancelled)
    assert isinstance(results.error, expected)
    with pytest.raises(ResumeError, match=f"ended {status}: there is nothing to resume"):
        await Pipeline("p", [stages.asking(), *others]).run(resume=results, decisions={"ask": True})


@simulated
async def test_a_run_that_has_come_to_rest_cannot_be_cancelled():
    """Although nobody has been told yet."""

    async def asking():
        return StageOutput.suspend("may I?")

    async def last():
        await asyncio.sleep(1)
        asyncio.get_running_loop().call_soon(started.cancel, "too late")

    async def behind(ask): ...

    started = Pipeline("p", [stage("ask", asking), stage("last", last), stage("behind", behind)]).start()
    with pytest.raises(PipelineSuspended):
        await started


# --- resumed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("json_", [False, True], ids=["as it is", "through JSON"])
@simulated
async def test_a_resumed_run_does_what_was_left(json_, stages, recorder):
    """Nothing that was OK runs again, its records stay as they were, and events tell of what happens now."""
    pipeline = chat(stages)
    first = await suspended(pipeline, input_text="hi")
    before = [first.record(name) for name in ("before", "beside", "later")]
    stages.executed.clear()
    begun = now()
    given = through_json(first) if json_ else first
    results = await pipeline.run(resume=given, decisions={"ask": "yes"}, event_sink=recorder)
    assert (results.status, set(statuses(results).values())) == ("completed", {OK})
    assert stages.executed == ["ask", "maybe", "behind", "far"] or stages.executed == ["ask", "behind", "maybe", "far"]
    assert results.data("ask") == {"decided": "yes"}
    assert [results.record(name) for name in ("before", "beside", "later")] == before
    assert (now() - begun, results.duration_ms) == (2.0, 2000.0)
    assert (results.resumed_from, results.suspension) == (first.pipeline_run_id, None)
    assert results.pipeline_run_id not in (first.pipeline_run_id, None)
    told = {kind.split(".")[1] for kind in recorder.types if kind.startswith("stage.")}
    assert told == {"ask", "behind", "far", "maybe"}
    created = recorder.of("pipeline.created")
    assert created["data"]["resumed_from"] == first.pipeline_run_id
    assert {event["pipeline_run_id"] for event in recorder.events} == {results.pipeline_run_id}
    assert [event["sequence"] for event in recorder.events] == list(range(1, len(recorder.events) + 1))
    assert recorder.types[-1] == "pipeline.completed"


@simulated
async def test_the_results_that_it_began_with_stay_as_they_are(stages):
    """They may be resumed a second time, each time as a run of its own."""
    pipeline = chat(stages)
    first = await suspended(pipeline)
    written = first.to_dict()
    one, two = await asyncio.gather(
        pipeline.run(resume=first, decisions={"ask": 1}), pipeline.run(resume=first, decisions={"ask": 2})
    )
    assert first.to_dict() == written
    assert (one.data("ask"), two.data("ask")) == ({"decided": 1}, {"decided": 2})
    assert one.pipeline_run_id != two.pipeline_run_id
    assert one.resumed_from == two.resumed_from == first.pipeline_run_id


@simulated
async def test_it_is_asked_the_same_as_the_first_run():
    """By the same snapshot, whose identity is the same but for the id of the run."""
    seen = []

    async def asking(ctx: StageContext):
        seen.append(ctx.snapshot)
        return {} if ctx.decision else StageOutput.suspend("may I?")

    pipeline = Pipeline("p", [stage("ask", asking)])
    snapshot = ContextSnapshot(
        run_id=RunIdentity("r", request_id="q", session_id="s", user_id="u", org_id="o", interaction_id="i"),
        input_text="hi",
        input={"deep": [1]},
        conversation=Conversation().with_message("user", "hi"),
        metadata={"a": 1},
    )
    first = await suspended(pipeline, snapshot)
    for given in (first, through_json(first)):
        results = await pipeline.run(resume=given, decisions={"ask": True})
        again = seen[-1]
        assert again.replace(run_id=snapshot.run_id) == snapshot == seen[0]
        ours, identity = snapshot.run_id, again.run_id
        assert identity == RunIdentity(
            results.pipeline_run_id,
            request_id=ours.request_id,
            session_id=ours.session_id,
            user_id=ours.user_id,
            org_id=ours.org_id,
            interaction_id=ours.interaction_id,
        )


@simulated
async def test_a_run_may_be_suspended_again_and_again(stages):
    """By the same stage or another one: idempotency keys stay those of the first run, attempts begin anew."""
    pipeline = Pipeline(
        "p",
        [
            stages.asking("a", times=2),
            stages.asking("b", dependencies="a"),
            stages.doing("s", dependencies="b"),
        ],
    )
    results = await suspended(pipeline)
    first = results.pipeline_run_id
    ids = [first]
    for name, asking in (("a", "a"), ("a", "b")):
        results = await suspended(pipeline, resume=through_json(results), decisions={name: len(ids)})
        assert (results.suspended(), results.resumed_from) == ((asking,), ids[-1])
        assert results.suspension.first_run_id == first
        assert results.record(asking).attempts == 1
        ids.append(results.pipeline_run_id)
    results = await pipeline.run(resume=through_json(results), decisions={"b": 3})
    assert (results.status, results.resumed_from, results.data("b")) == ("completed", ids[-1], {"decided": 3})
    assert len({*ids, results.pipeline_run_id}) == 4
    assert stages.keys == [f"{first}:{name}" for name in ("a", "a", "a", "b", "b", "s")]
    assert stages.decisions == [None, 1, 2, None, 3]


@simulated
async def test_of_several_some_may_be_decided(stages, recorder):
    """The run is suspended again, until all are; who was not decided for is not asked again."""
    pipeline = Pipeline(
        "p",
        [
            stages.asking("a"),
            stages.asking("b"),
            stages.doing("behind_a", dependencies="a"),
            stages.doing("behind_b", dependencies="b"),
            stages.doing("behind_both", optional=("a", "b")),
        ],
    )
    first = await suspended(pipeline)
    second = await suspended(pipeline, resume=first, decisions={"a": 1}, event_sink=recorder)
    assert statuses(second) == {"a": OK, "b": SUSPEND, "behind_a": OK, "behind_b": SUSPEND, "behind_both": SUSPEND}
    assert second.record("b") == first.record("b")
    assert (second.suspended(), second.record("behind_both").origin) == (("b",), "b")
    assert recorder.events[-1]["data"]["suspended"] == ["b"]
    assert not [kind for kind in recorder.types if kind.startswith("stage.b.")]
    third = await pipeline.run(resume=second, decisions={"b": 2})
    assert set(statuses(third).values()) == {OK}
    assert stages.executed == ["a", "b", "a", "behind_a", "b", "behind_b", "behind_both"]


@simulated
async def test_those_that_are_decided_for_at_once_start_in_plan_order(stages):
    """Whatever the order of the decisions."""
    pipeline = Pipeline("p", [stages.asking(name) for name in ("c", "a", "d", "b")])
    first = await suspended(pipeline)
    stages.executed.clear()
    await pipeline.run(resume=first, decisions={"a": 1, "b": 2, "c": 3, "d": 4})
    assert stages.executed == ["c", "a", "d", "b"]


@simulated
async def test_a_resumed_run_may_fail(stages):
    """Then it is that run which failed; the results before it can be resumed anew."""
    pipeline = Pipeline("p", [stages.asking(), stages.doing("x", LookupError("no"), dependencies="ask")])
    first = await suspended(pipeline)
    with pytest.raises(StageExecutionError) as caught:
        await pipeline.run(resume=first, decisions={"ask": 1})
    assert (caught.value.stage, caught.value.results.resumed_from) == ("x", first.pipeline_run_id)
    with pytest.raises(ResumeError):
        await pipeline.run(resume=caught.value.results, decisions={"ask": 1})
    with pytest.raises(StageExecutionError):
        await pipeline.run(resume=first, decisions={"ask": 1})


@simulated
async def test_a_resumed_run_may_be_cancelled(stages):
    """What was carried over stays as it was."""
    pipeline = chat(stages)
    first = await suspended(pipeline)
    started = pipeline.start(resume=first, decisions={"ask": 1})
    await asyncio.sleep(0.5)
    started.cancel("enough")
    results = await started.outcome()
    assert statuses(results) == {
        **dict.fromkeys(("before", "ask", "beside", "later"), OK),
        **dict.fromkeys(("behind", "maybe", "far"), CANCEL),
    }
    assert results.record("before") == first.record("before")


@simulated
async def test_a_failure_that_the_run_could_do_without_is_carried_over(stages):
    """As is what was skipped for it: it is not executed although all else that it requires is there now."""
    pipeline = Pipeline(
        "p",
        [
            stages.asking(),
            stages.doing("broken", LookupError("no"), critical=False),
            stages.doing("skips", StageOutput.skip("no")),
            stages.doing("behind_broken", dependencies=("ask", "broken")),
            stages.doing("behind_skips", dependencies=("skips", "ask")),
            stages.doing("far", dependencies="behind_skips", optional="ask"),
            stages.doing("maybe", optional=("ask", "broken", "skips")),
        ],
    )
    first = await suspended(pipeline)
    assert statuses(first) == {
        "ask": SUSPEND,
        "broken": FAIL,
        "skips": SKIP,
        "behind_broken": SKIP,
        "behind_skips": SKIP,
        "far": SKIP,
        "maybe": SUSPEND,
    }
    results = await pipeline.run(resume=through_json(first), decisions={"ask": 1})
    assert statuses(results) == {**statuses(first), "ask": OK, "maybe": OK}
    assert stages.executed == ["ask", "broken", "skips", "ask", "maybe"]
    assert results.record("far") == first.record("far")
    assert results.failed() == ("broken",)


@pytest.mark.parametrize("chosen", ["left", "right"])
@simulated
async def test_a_route_that_was_taken_stays_taken(chosen, stages):
    """What was not on the way is not started by the decision."""
    pipeline = Pipeline(
        "p",
        [
            stages.doing("way", {"route": chosen}, kind=StageKind.ROUTE, routes=("left", "right")),
            stages.asking(),
            stages.doing("left", route={"way": "left"}, dependencies="ask"),
            stages.doing("right", route={"way": "right"}, dependencies="ask"),
            stages.doing("joined", join="any", dependencies=("left", "right")),
        ],
    )
    first = await suspended(pipeline)
    other = {"left": "right", "right": "left"}[chosen]
    assert statuses(first) == {"way": OK, "ask": SUSPEND, chosen: SUSPEND, other: SKIP, "joined": SUSPEND}
    results = await pipeline.run(resume=through_json(first), decisions={"ask": 1})
    assert statuses(results) == {"way": OK, "ask": OK, chosen: OK, other: SKIP, "joined": OK}
    assert stages.executed == ["way", "ask", "ask", chosen, "joined"]


@pytest.mark.parametrize("chosen", ["left", "right"])
@simulated
async def test_a_router_may_ask(chosen):
    """The decision may be the route."""

    async def way(ctx: StageContext):
        return {"route": ctx.decision} if ctx.decision else StageOutput.suspend("left or right?")

    async def done(): ...

    pipeline = Pipeline(
        "p",
        [
            stage("way", way, kind=StageKind.ROUTE, routes=("left", "right")),
            stage("left", done, route={"way": "left"}),
            stage("right", done, route={"way": "right"}),
        ],
    )
    first = await suspended(pipeline)
    results = await pipeline.run(resume=first, decisions={"way": chosen})
    assert {name for name, status in statuses(results).items() if status is OK} == {"way", chosen}


@simulated
async def test_a_condition_is_asked_of_what_waited_and_of_nothing_twice():
    """The stage that asks has been started already."""
    asked = []

    def when(inputs, snapshot):
        asked.append(inputs._stage)
        return inputs._stage != "no"

    async def asking(ctx: StageContext):
        return {} if ctx.decision else StageOutput.suspend("may I?")

    async def done(): ...

    pipeline = Pipeline(
        "p",
        [
            stage("done", done, when=when),
            stage("ask", asking, when=when, dependencies="done"),
            stage("yes", done, when=when, dependencies="ask"),
            stage("no", done, when=when, dependencies="ask"),
        ],
    )
    first = await suspended(pipeline)
    assert asked == ["done", "ask"]
    results = await pipeline.run(resume=first, decisions={"ask": 1})
    assert asked == ["done", "ask", "yes", "no"]
    assert statuses(results) == {"done": OK, "ask": OK, "yes": OK, "no": SKIP}


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 5},
        {"deadline": 5},
        {"retry": RetryPolicy(base_delay=1, jitter=False)},
        {"version": "2"},
        {"critical": False},
    ],
    ids=str,
)
@simulated
async def test_a_stage_that_asks_has_its_options_again(options):
    """Its attempts count from 1 in each run."""
    attempts = []

    async def asking(ctx: StageContext):
        attempts.append(ctx.attempt)
        if "retry" in options and ctx.attempt == 1:
            return StageOutput.retry("busy")
        return {"decided": ctx.decision} if ctx.decision else StageOutput.suspend("may I?")

    pipeline = Pipeline("p", [stage("ask", asking, **options)])
    first = await suspended(pipeline)
    results = await pipeline.run(resume=first, decisions={"ask": 1})
    assert attempts == ([1, 2, 1, 2] if "retry" in options else [1, 1])
    assert (first["ask"].version, results["ask"].version) == (None, options.get("version"))
    assert results.record("ask").attempts == len(attempts) // 2


@simulated
async def test_the_time_of_a_run_begins_anew(stages):
    """Its limit is of the run, not of the human."""
    pipeline = Pipeline("p", [stages.asking(seconds=2), stages.doing("s", seconds=2, dependencies="ask")], timeout=5)
    first = await suspended(pipeline)
    await asyncio.sleep(10**6)
    results = await pipeline.run(resume=first, decisions={"ask": 1})
    assert (results.status, results.duration_ms) == ("completed", 4000.0)


@simulated
async def test_its_events_can_be_read_from_the_run(stages):
    """`start` resumes as `run` does."""
    pipeline = Pipeline("p", [stages.asking(), stages.doing("s", dependencies="ask")])
    first = await suspended(pipeline)
    started = pipeline.start(resume=first, decisions={"ask": 1})
    types = [event.event_type async for event in started.events()]
    assert types == [
        "pipeline.created",
        "pipeline.started",
        "stage.ask.started",
        "stage.ask.completed",
        "stage.s.started",
        "stage.s.completed",
        "pipeline.completed",
    ]
    assert started.id == (await started).pipeline_run_id


def test_run_sync_resumes_too(stages):
    """From code that is not async."""
    pipeline = Pipeline("p", [stages.asking()])
    with pytest.raises(PipelineSuspended) as caught:
        pipeline.run_sync()
    assert pipeline.run_sync(resume=caught.value.results, decisions={"ask": 1}).status == "completed"


@simulated
async def test_a_graph_of_thousands_is_resumed_without_recursion(stages):
    """A chain behind the question, and as many that had ended."""
    chain = [stages.asking()]
    chain += [
        stages.doing(f"s{number}", seconds=0, dependencies=f"s{number - 1}" if number else "ask")
        for number in range(2000)
    ]
    done = [stages.doing(f"d{number}", seconds=0) for number in range(2000)]
    pipeline = Pipeline("p", [*chain, *done])
    first = await suspended(pipeline)
    assert first.record("s1999").origin == "ask"
    results = await pipeline.run(resume=first, decisions={"ask": 1})
    assert set(statuses(results).values()) == {OK}
    assert len(stages.executed) == 4002


# --- decisions ---------------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    items: list = field(default_factory=list)


@pytest.mark.parametrize(
    "decision", [True, False, 0, "", {}, [], 1.5, "yes", {"refund": [1, 2]}, Verdict(["a"]), ("a",)], ids=repr
)
@simulated
async def test_a_decision_may_be_any_value_but_none(decision):
    """False is one."""
    seen = []

    async def asking(ctx: StageContext):
        seen.append(ctx.decision)
        return StageOutput.suspend("may I?") if ctx.decision is None else {}

    ask = stage("ask", asking)
    pipeline = Pipeline("p", [ask])
    first = await suspended(pipeline)
    for key in ("ask", ask):
        results = await pipeline.run(resume=first, decisions={key: decision})
        assert (seen[-1], results.status) == (decision, "completed")


@simulated
async def test_a_decision_cannot_be_changed_for_anyone_else():
    """Neither by who gave it, nor by the stage that reads it."""
    given, seen = {"items": ["a"], "verdict": Verdict(["a"])}, []

    async def asking(ctx: StageContext):
        if ctx.decision is None:
            return StageOutput.suspend("may I?")
        await asyncio.sleep(1)
        with pytest.raises(TypeError):
            ctx.decision["items"].append("b")
        seen.append((ctx.decision["items"], list(ctx.decision["verdict"].items)))
        ctx.decision["verdict"].items.append("b")
        return StageOutput.retry("again")

    pipeline = Pipeline("p", [stage("ask", asking, retry=RetryPolicy(max_attempts=2, base_delay=0))])
    first = await suspended(pipeline)
    started = pipeline.start(resume=first, decisions={"ask": given})
    given["items"].append("c")
    await started.outcome()
    assert seen == [(["a"], ["a"])] * 2
    assert given["verdict"] == Verdict(["a"])


def decide(pipeline, results, *decisions, **fields):
    """Return what the run raises before it begins."""
    options = {"decisions": decisions[0]} if decisions else {}
    return pipeline.start(resume=results, **options, **fields)


@pytest.mark.parametrize(
    ("decisions", "stage_", "text"),
    [
        ({"before": 1}, "before", "A decision was given for stage 'before', which ended OK."),
        ({"behind": 1}, "behind", "A decision was given for stage 'behind', which only waits for 'ask'."),
        ({"aks": 1}, "aks", "A decision was given for stage 'aks', which is not in the pipeline. Did you mean 'ask'?"),
        ({"ask": 1, "far": 1}, "far", "A decision was given for stage 'far', which only waits for 'ask'."),
        ({"ask": None}, "ask", "The decision for stage 'ask' is None, which is what ctx.decision is before there is"),
    ],
    ids=str,
)
@simulated
async def test_a_decision_that_nobody_asked_for_is_refused(decisions, stage_, text, stages):
    """Before anything runs, with the stages that ask."""
    pipeline = chat(stages)
    first = await suspended(pipeline)
    stages.executed.clear()
    with pytest.raises(ResumeError) as caught:
        decide(pipeline, first, decisions)
    assert str(caught.value).startswith(text)
    assert caught.value.stage == stage_
    if None not in decisions.values():
        assert caught.value.hint.endswith("Stages that ask for one: ask.")
    assert isinstance(caught.value, ValueError)
    await asyncio.sleep(10)
    assert stages.executed == []


@simulated
async def test_a_decision_for_what_has_been_decided_is_refused(stages):
    """It was, in the run that these results are of."""
    pipeline = Pipeline("p", [stages.asking("a"), stages.asking("b")])
    second = await suspended(pipeline, resume=await suspended(pipeline), decisions={"a": 1})
    with pytest.raises(ResumeError, match="for stage 'a', which ended OK"):
        decide(pipeline, second, {"a": 1, "b": 2})


@pytest.mark.parametrize("decisions", [(), (None,), ({},)], ids=["not given", "None", "empty"])
@simulated
async def test_a_run_is_not_resumed_without_a_decision(decisions, stages):
    """It would be suspended as it was."""
    pipeline = chat(stages)
    with pytest.raises(ResumeError) as caught:
        decide(pipeline, await suspended(pipeline), *decisions)
    assert caught.value.message.endswith("waits for a decision, and was given none.")
    assert caught.value.hint == "Decide for ask: run(resume=..., decisions={'ask': ...})."


@pytest.mark.parametrize(
    ("decisions", "text"),
    [
        (["ask"], "run(decisions=...) takes a mapping from stages to values, not ['ask']."),
        ("ask", "run(decisions=...) takes a mapping from stages to values, not 'ask'."),
        (True, "run(decisions=...) takes a mapping from stages to values, not True."),
        ([], "run(decisions=...) takes a mapping from stages to values, not []."),
        ({5: 1}, "run(decisions=...) takes names or handles of stages as keys, not 5."),
    ],
    ids=str,
)
@simulated
async def test_decisions_are_a_mapping_from_stages(decisions, text, stages):
    """Anything else is a wrong argument."""
    pipeline = chat(stages)
    with pytest.raises(TypeError) as caught:
        decide(pipeline, await suspended(pipeline), decisions)
    assert str(caught.value) == text


@simulated
async def test_a_decision_that_cannot_be_copied_is_refused(stages):
    """As all that stages read."""
    pipeline = chat(stages)
    with pytest.raises(NotCopyableError) as caught:
        decide(pipeline, await suspended(pipeline), {"ask": [threading.Lock()]})
    assert caught.value.path == "decisions['ask'][0]"


@simulated
async def test_decisions_go_with_results(stages):
    """Alone they mean nothing."""
    with pytest.raises(TypeError, match=r"run\(decisions=...\) goes with run\(resume=...\)"):
        await chat(stages).run(decisions={"ask": 1})


# --- what can be resumed -----------------------------------------------------------------------------------------


@simulated
async def test_only_a_suspended_run_is_resumed(stages):
    """One that completed has nothing left."""
    pipeline = Pipeline("p", [stages.doing("s")])
    results = await pipeline.run()
    with pytest.raises(ResumeError) as caught:
        decide(pipeline, results, {"s": 1})
    assert caught.value.message == (
        f"Run {results.pipeline_run_id} of pipeline 'p' ended completed: there is nothing to resume."
    )
    done = through_json(results)
    with pytest.raises(ResumeError, match="ended completed"):
        decide(pipeline, done, {"s": 1})


@pytest.mark.parametrize(("status", "kept"), [("suspended", False), ("failed", True), ("completed", True)])
@simulated
async def test_results_that_say_both_are_not_resumed(status, kept, stages):
    """A run is suspended if it says so, and has what is needed to go on."""
    pipeline = Pipeline("p", [stages.asking()])
    written = (await suspended(pipeline)).to_dict()
    written["status"] = status
    if not kept:
        written["suspension"] = None
    with pytest.raises(ResumeError, match="there is nothing to resume"):
        decide(pipeline, PipelineResults.from_dict(written), {"ask": 1})


@simulated
async def test_what_is_resumed_are_results(stages):
    """Not what they are written as, and not the error that has them."""
    pipeline = chat(stages)
    first = await suspended(pipeline)
    for given, hint in (
        (first.to_dict(), "PipelineResults.from_dict(...) reads what to_dict() wrote."),
        (first.error, "Give it what is in the error: resume=error.results."),
        (None, "PipelineResults.from_dict(...) reads what to_dict() wrote."),
        (first.pipeline_run_id, "PipelineResults.from_dict(...) reads what to_dict() wrote."),
    ):
        with pytest.raises(TypeError) as caught:
            decide(pipeline, given, {"ask": 1})
        assert str(caught.value).startswith("run(resume=...) takes the PipelineResults of a suspended run, not ")
        assert str(caught.value).endswith(hint)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda p, s: p.with_stage("new", s.doing("new").runner), "new stages: new"),
        (lambda p, s: Pipeline("chat", p.stages[:-1]), "missing stages: later"),
        (
            lambda p, s: Pipeline("chat", [*p.stages[:-1], s.doing("later", dependencies="before")]),
            "changed stages: later",
        ),
        (
            lambda p, s: Pipeline(
                "chat", [*p.stages[1:-1], s.doing("before", timeout=5), s.doing("last", dependencies="beside")]
            ),
            "changed stages: before; new stages: last; missing stages: later",
        ),
        (lambda p, s: Pipeline("chat", p.stages, timeout=100), "the pipeline's own options differ"),
        (lambda p, s: Pipeline("chat", p.stages, on_failure="continue"), "the pipeline's own options differ"),
    ],
    ids=["new", "missing", "changed", "all", "timeout", "on_failure"],
)
@pytest.mark.parametrize("json_", [False, True], ids=["as it is", "through JSON"])
@simulated
async def test_another_plan_is_refused(change, text, json_, stages):
    """The error names the stages that differ, and nothing runs."""
    pipeline = chat(stages)
    first = await suspended(pipeline)
    stages.executed.clear()
    with pytest.raises(ResumeError) as caught:
        decide(change(pipeline, stages), through_json(first) if json_ else first, {"ask": 1})
    assert f"was suspended by another plan than this one of 'chat': {text}." in caught.value.message
    await asyncio.sleep(1)
    assert stages.executed == []


@simulated
async def test_the_name_of_the_pipeline_and_the_order_of_its_stages_do_not_count(stages):
    """The results of the resumed run stand in the order of its own plan."""
    pipeline = chat(stages)
    first = await suspended(pipeline)
    other = Pipeline("talk", reversed(pipeline.stages))
    results = await other.run(resume=through_json(first), decisions={"ask": 1})
    assert (results.pipeline, results.status) == ("talk", "completed")
    assert list(results) == list(reversed(list(first)))
    assert results.record("before") == first.record("before")


# --- beside it ---------------------------------------------------------------------------------------------------


@simulated
async def test_ports_and_a_sink_may_be_given(recorder):
    """As for any run, by keywords or in a context."""
    seen = []

    async def asking(ctx: StageContext):
        seen.append((ctx.ports, ctx.snapshot.input_text))
        return {} if ctx.decision else StageOutput.suspend("may I?")

    pipeline = Pipeline("p", [stage("ask", asking)])
    first = await suspended(pipeline, input_text="hi", ports="first")
    await pipeline.run(resume=first, decisions={"ask": 1}, ports="keyword", event_sink=recorder)
    context = PipelineContext(ports="context", event_sink=recorder)
    results = await pipeline.run(context, resume=first, decisions={"ask": 1})
    await pipeline.run(resume=first, decisions={"ask": 1})
    assert seen == [("first", "hi"), ("keyword", "hi"), ("context", "hi"), (NO_PORTS, "hi")]
    assert results.resumed_from == first.pipeline_run_id
    assert recorder.types.count("pipeline.completed") == 2


SNAPSHOT_TEXT = "run(resume=...) takes no snapshot, since it has that of the run that was suspended."


@pytest.mark.parametrize(
    ("context", "fields", "text"),
    [
        (ContextSnapshot(), {}, SNAPSHOT_TEXT),
        (ContextSnapshot(input_text="hi"), {}, SNAPSHOT_TEXT),
        (PipelineContext(snapshot=ContextSnapshot(input_text="hi")), {}, SNAPSHOT_TEXT),
        (PipelineContext(snapshot=ContextSnapshot(input=0)), {}, SNAPSHOT_TEXT),
        (PipelineContext(snapshot=ContextSnapshot(metadata={"a": 1})), {}, SNAPSHOT_TEXT),
        (PipelineContext(snapshot=ContextSnapshot(run_id=RunIdentity("r", user_id="u"))), {}, SNAPSHOT_TEXT),
        (PipelineContext(), {"ports": 1}, SNAPSHOT_TEXT),
        (5, {}, SNAPSHOT_TEXT),
        (None, {"input_text": "hi"}, "run() beside resume= takes no keyword 'input_text'."),
        (None, {"run_id": RunIdentity("r")}, "run() beside resume= takes no keyword 'run_id'."),
        (None, {"prots": 1}, "run() beside resume= takes no keyword 'prots'. Did you mean 'ports'?"),
        (None, {"user_id": "u"}, "run() beside resume= takes no keyword 'user_id'."),
    ],
)
@simulated
async def test_what_the_first_run_was_asked_is_not_asked_again(context, fields, text, stages):
    """Nothing of it can be given, since it would be another run."""
    pipeline = Pipeline("p", [stages.asking()])
    first = await suspended(pipeline)
    with pytest.raises(TypeError) as caught:
        pipeline.start(context, resume=first, decisions={"ask": 1}, **fields)
    assert str(caught.value).startswith(text)


# --- as data -----------------------------------------------------------------------------------------------------


@simulated
async def test_suspended_results_survive_json_and_pickling(stages):
    """Equal, with all that resuming needs."""
    first = await suspended(chat(stages), input_text="hi", input={"a": [1]})
    for back in (
        through_json(first),
        pickle.loads(pickle.dumps(first)),
        pickle.loads(pickle.dumps(first.error)).results,
    ):
        assert back == first
        assert back.suspension == first.suspension
        assert (back.suspended(), back.error) == (("ask",), None)
        results = await chat(stages).run(resume=back, decisions={"ask": 1})
        assert results.status == "completed"


@simulated
async def test_a_snapshot_that_is_no_json_is_told_with_its_path(stages):
    """The results of such a run can still be resumed where they are."""
    pipeline = Pipeline("p", [stages.asking()])
    first = await suspended(pipeline, input={"audio": [b"abc"]})
    with pytest.raises(SerializationError) as caught:
        first.to_dict()
    assert caught.value.path == "$.suspension.snapshot.input.audio[0]"
    assert (await pipeline.run(resume=first, decisions={"ask": 1})).status == "completed"


@dataclass(frozen=True)
class Profile:
    name: str


@simulated
async def test_a_contract_value_is_carried_over_as_it_is(stages):
    """Its readers get the value itself, through JSON as well if its stage says what it returns."""
    read = []

    async def profile() -> Profile:
        return Profile("Ada")

    async def reader(ctx: StageContext, ask):
        read.append(ctx.inputs.value("profile", Profile))

    pipeline = Pipeline(
        "p", [stage("profile", profile), stages.asking(), stage("reader", reader, dependencies="profile")]
    )
    first = await suspended(pipeline)
    for given in (first, through_json(first)):
        results = await pipeline.run(resume=given, decisions={"ask": 1})
        assert results.value("profile") == Profile("Ada")
    assert read == [Profile("Ada")] * 2


@simulated
async def test_a_contract_value_that_cannot_be_made_again_is_refused(stages):
    """A stage that does not say what it returns would be read as something else."""

    async def profile():
        return Profile("Ada")

    pipeline = Pipeline("p", [stage("profile", profile), stages.asking()])
    first = await suspended(pipeline)
    with pytest.raises(ResumeError) as caught:
        decide(pipeline, through_json(first), {"ask": 1})
    assert caught.value.stage == "profile"
    assert caught.value.hint == "Annotate the stage with the type that it returns, or give that as output=."
    assert (await pipeline.run(resume=first, decisions={"ask": 1})).value("profile") == Profile("Ada")


@simulated
async def test_a_typed_input_is_carried_over_as_it_is(stages):
    """Through JSON as well if the pipeline says what it takes, and of the form that it had then."""
    specs = [stages.asking(), stage("reader", reading_input, dependencies="ask")]
    pipeline = Pipeline("p", specs, input=Profile)
    first = await suspended(pipeline, input=Profile("Ada"))
    for given in (first, through_json(first), through_json(through_json(first))):
        results = await pipeline.run(resume=given, decisions={"ask": 1})
        assert results.data("reader") == {"is": "Profile Ada"}
    untyped = Pipeline("p", [stages.asking()])
    with pytest.raises(ResumeError, match="was not plain JSON, and the pipeline does not say what type it is of"):
        decide(untyped, through_json(await suspended(untyped, input=Profile("Ada"))), {"ask": 1})
    written = first.to_dict()
    written["suspension"]["snapshot"]["input"] = {"nme": "Ada"}
    with pytest.raises(ResumeError, match="The input of the suspended run cannot be made again of its JSON"):
        decide(pipeline, PipelineResults.from_dict(written), {"ask": 1})


async def reading_input(input: Profile):
    return {"is": f"{type(input).__name__} {input.name}"}


PROGRAM = """
import asyncio, json, sys
from stageflow import *

async def before():
    print("before", flush=True)
    return {"at": 1}

async def ask(ctx: StageContext, before):
    if ctx.decision is None:
        return StageOutput.suspend({"question": "Refund?"})
    return {"decided": ctx.decision, "key": ctx.idempotency_key}

async def behind(ctx: StageContext):
    return {"decided": ctx.inputs.get_from("ask", "decided"), "text": ctx.snapshot.input_text}

async def other(): ...

pipeline = Pipeline("shop", [
    stage("before", before),
    stage("ask", ask, retry=RetryPolicy(retry_on={ValueError, KeyError, ConnectionError})),
    stage("other", other, kind=StageKind.ROUTE, routes={"a", "b", "c"}, terminal_routes={"a", "b", "c"},
          when=lambda *_: False),
    stage("behind", behind, dependencies={"ask", "before"}, optional={"other", "more"}),
    stage("more", before, version="2", critical=False),
], timeout=60)

if sys.argv[1:]:
    results = PipelineResults.from_dict(json.load(sys.stdin))
    results = pipeline.run_sync(resume=results, decisions={"ask": json.loads(sys.argv[1])})
    print(json.dumps(results.to_dict()))
else:
    try:
        pipeline.run_sync(input_text="hi")
    except PipelineSuspended as error:
        print(json.dumps(error.results.to_dict()))
"""


def in_process(path, seed, *arguments, given=None):
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        input=given,
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_run_is_resumed_in_another_process(tmp_path):
    """Where sets have another order, too: the plan is the same, nothing that was OK runs again."""
    path = tmp_path / "shop.py"
    path.write_text(PROGRAM)
    *printed, written = in_process(path, "1")
    assert printed == ["before", "before"]
    for seed in ("2", "3", "4"):
        *printed, last = in_process(path, seed, json.dumps({"refund": 5}), given=written)
        assert printed == []
        results = PipelineResults.from_dict(json.loads(last))
        assert (results.status, results.resumed_from) == ("completed", json.loads(written)["pipeline_run_id"])
        assert results.data("behind") == {"decided": {"refund": 5}, "text": "hi"}
        assert results.data("ask")["key"] == f"{results.resumed_from}:ask"
