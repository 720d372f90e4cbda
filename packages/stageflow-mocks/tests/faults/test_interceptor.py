"""Faults done to the stages of real pipelines, in simulated time."""

import asyncio
import json
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stageflow import (
    BaseInterceptor,
    Pipeline,
    RetryPolicy,
    StageContext,
    StageEvent,
    StageKind,
    StageOutput,
    StageStatus,
    TimeoutInterceptor,
    run_with_interceptors,
    stage,
)
from stageflow.errors import ProviderRateLimited, StageContractError, StageExecutionError, StageTimeoutError
from stageflow.interceptors.idempotency import IdempotencyInterceptor
from stageflow_mocks.faults import FAULTS, FaultInterceptor, FaultPlan, FaultPlanError, FaultRule
from stageflow_mocks.simulation import run, simulated


class Trial:
    """A pipeline of one stage, `work`, that notes its calls and takes two seconds in two suspensions."""

    def __init__(self, *rules, interceptors=(), errors=None, priority=500, **options):
        self.calls = 0
        self.ended = []
        self.done = []
        self.pipeline = Pipeline("trial").with_stage("work", self.work, StageKind.WORK, **options)
        self.faults = FaultInterceptor(FaultPlan(*rules, errors=errors), pipeline=self.pipeline, priority=priority)
        self._interceptors = interceptors

    async def work(self, ctx: StageContext):
        self.calls += 1
        try:
            await asyncio.sleep(1)
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.ended.append(asyncio.get_running_loop().time())
            raise
        self.done.append(asyncio.get_running_loop().time())
        return {"text": "abcdef", "items": [1, 2, 3, 4], "count": 3}

    async def run(self):
        """Run it; return its output and the seconds that it took."""
        began = asyncio.get_running_loop().time()
        results = await run_with_interceptors(self.pipeline, interceptors=(self.faults, *self._interceptors))
        return results["work"], asyncio.get_running_loop().time() - began

    @property
    def struck(self):
        return [(entry["fault"], entry["call"], entry["struck"]) for entry in self.faults.record()["injected"]]


@simulated
async def test_latency_comes_before_the_stage():
    """By the clock of the event loop, so that it takes no time here."""
    trial = Trial(FaultRule(fault="latency", stage="work", seconds=1000))
    output, took_s = await trial.run()
    assert (StageStatus.OK, 1002.0) == (output.status, took_s)


@simulated
async def test_latencies_are_drawn_from_their_distributions():
    """Uniform ones stay below their `seconds`, exponential ones have it as their mean."""
    for distribution, most in (("uniform", 10.0), ("exponential", 200.0)):
        trial = Trial(FaultRule(fault="latency", stage="work", seconds=10, distribution=distribution))
        times = [(await trial.run())[1] - 2 for _ in range(300)]
        assert 0 <= min(times) < max(times) <= most
        assert len(set(times)) > 290
        assert sum(times) / 300 == pytest.approx(5.0 if distribution == "uniform" else 10.0, rel=0.2)
        recorded = [entry["seconds"] for entry in trial.faults.record()["injected"]]
        assert times == pytest.approx(recorded)


@simulated
async def test_an_error_comes_in_the_place_of_the_stage():
    """As the stage's own: what it fails with, and what its RetryPolicy looks at."""
    rule = FaultRule(fault="error", stage="work", call=1, error="provider-rate-limited", retry_after=30)
    trial = Trial(rule)
    with pytest.raises(StageExecutionError) as caught:
        await trial.run()
    assert isinstance(caught.value.__cause__, ProviderRateLimited)
    assert 0 == trial.calls
    retried = Trial(rule, retry=RetryPolicy(max_attempts=2, base_delay=0, retry_on=ProviderRateLimited))
    output, took_s = await retried.run()
    assert (StageStatus.OK, 32.0, 1) == (output.status, took_s, retried.calls)


@simulated
async def test_an_error_of_an_application_is_raised():
    """Of the class that its table has."""

    class QuotaError(Exception):
        pass

    trial = Trial(FaultRule(fault="error", stage="*", error="quota"), errors={"quota": QuotaError})
    with pytest.raises(StageExecutionError, match="Fault 'error' of the plan, at call 1 of stage 'work'") as caught:
        await trial.run()
    assert QuotaError is type(caught.value.__cause__)


@simulated
async def test_a_hang_is_ended_by_what_ends_a_stage():
    """A TimeoutInterceptor, the stage's deadline, or, if there is nothing, the interceptor's own limit."""
    hang = FaultRule(fault="hang", stage="work")
    for trial, seconds in (
        (Trial(hang, interceptors=(TimeoutInterceptor(5),)), 5),
        (Trial(hang, deadline=7), 7),
        (Trial(hang), 86_400),
    ):
        with pytest.raises(StageExecutionError) as caught:
            await trial.run()
        assert seconds == asyncio.get_running_loop().time() - trial_began(caught)
        assert (0, [("hang", 1, True)]) == (trial.calls, trial.struck)
        assert (seconds != 86_400) is isinstance(caught.value.__cause__, StageTimeoutError)


def trial_began(caught):
    """Return when the run began, by the loop's clock."""
    return asyncio.get_running_loop().time() - caught.value.results.duration_ms / 1000


@simulated
async def test_a_wrong_type_reaches_those_who_read_it():
    """The keys stay, their values are each of another type."""
    output, _ = await Trial(FaultRule(fault="wrong_type", stage="work")).run()
    assert {"text": 6, "items": "of another type", "count": "of another type"} == output.data


@simulated
async def test_a_stage_with_a_contract_fails_of_a_wrong_type():
    """And not of one that is cut, which is still of its type."""

    @dataclass(frozen=True)
    class Reply:
        text: str
        sources: list[str]

    @stage
    async def reply(ctx: StageContext) -> Reply:
        return Reply("hello", ["a", "b"])

    chat = Pipeline("chat", [reply])
    wrong, cut = (FaultInterceptor(FaultPlan(FaultRule(fault=name, stage="*"))) for name in ("wrong_type", "truncated"))
    with pytest.raises(StageExecutionError) as caught:
        await chat.with_interceptors(wrong).run()
    assert isinstance(caught.value.__cause__, StageContractError)
    assert Reply("he", ["a"]) == (await chat.with_interceptors(cut).run()).value(reply)


@simulated
async def test_truncated_cuts_texts_and_lists():
    """To the share that is kept; the rest of the data stays."""
    output, _ = await Trial(FaultRule(fault="truncated", stage="work", keep=0.25)).run()
    assert {"text": "a", "items": [1], "count": 3} == output.data


@simulated
async def test_what_is_not_ok_or_has_nothing_to_cut_is_let_be():
    """The record says that the fault had no effect."""

    async def empty(ctx: StageContext):
        return {"count": 3}

    async def skipping(ctx: StageContext):
        return StageOutput.skip("nothing to do")

    pipeline = Pipeline("p").with_stage("empty", empty).with_stage("skipping", skipping)
    faults = FaultInterceptor(
        FaultPlan(FaultRule(fault="truncated", stage="*"), FaultRule(fault="wrong_type", stage="s*"))
    )
    results = await run_with_interceptors(pipeline, interceptors=(faults,))
    assert {"count": 3} == results["empty"].data
    assert StageStatus.SKIP is results["skipping"].status
    assert [False] * 3 == [entry["struck"] for entry in faults.record()["injected"]]


@simulated
async def test_duplicated_calls_the_stage_twice():
    """One after the other, in one attempt."""
    trial = Trial(FaultRule(fault="duplicated", stage="work"))
    output, took_s = await trial.run()
    assert (StageStatus.OK, 4.0, 2) == (output.status, took_s, trial.calls)


@simulated
async def test_idempotency_further_in_sees_a_delivery_that_comes_twice():
    """What is done once stays done once: this is what the fault is for."""
    trial = Trial(FaultRule(fault="duplicated", stage="work"), interceptors=(IdempotencyInterceptor(),), priority=150)
    output, _ = await trial.run()
    assert ("abcdef", 1) == (output.data["text"], trial.calls)


@simulated
async def test_faults_within_a_duplicate_strike_each_time_and_are_recorded_once():
    """The first rule is around the second."""
    trial = Trial(
        FaultRule(fault="duplicated", stage="work"),
        FaultRule(fault="latency", stage="work", seconds=10, distribution="uniform"),
    )
    _, took_s = await trial.run()
    _, latency = trial.faults.record()["injected"]
    assert took_s == pytest.approx(4 + 2 * latency["seconds"])


@simulated
async def test_what_struck_once_has_struck():
    """Though it found nothing to cut the second time."""
    texts = ["", "abcd"]

    async def work(ctx: StageContext):
        return {"text": texts.pop()}

    plan = FaultPlan(FaultRule(fault="duplicated", stage="work"), FaultRule(fault="truncated", stage="work"))
    faults = FaultInterceptor(plan)
    await run_with_interceptors(Pipeline("p").with_stage("work", work), interceptors=(faults,))
    assert [True, True] == [entry["struck"] for entry in faults.record()["injected"]]


@simulated
async def test_what_else_an_output_has_stays():
    """Its version and what it publishes."""

    async def work(ctx: StageContext):
        return StageOutput.ok({"text": "abcd"}, version="3").publishing(StageEvent("noted", {"n": 1}))

    faults = FaultInterceptor(FaultPlan(FaultRule(fault="truncated", stage="work")))
    results = await run_with_interceptors(Pipeline("p").with_stage("work", work), interceptors=(faults,))
    output = results["work"]
    assert ("ab", "3", ["noted"]) == (output.data["text"], output.version, [event.type for event in output.events])


@simulated
async def test_each_rule_has_a_draw_of_its_own():
    """Two that are equal strike at different calls."""
    rule = FaultRule(fault="latency", stage="work", rate=0.5)
    trial = Trial(rule, rule)
    times = [(await trial.run())[1] for _ in range(40)]
    assert {2.0, 3.0, 4.0} == set(times)


@simulated
async def test_a_record_is_sorted_and_names_its_pipeline_exactly():
    """By the names of stages, whichever came first; a name that looks like a pattern is none in a replay."""
    trial = Trial()
    pipeline = Pipeline("p[ab]*").with_stage("b", trial.work).with_stage("a", trial.work, dependencies="b")
    faults = FaultInterceptor(FaultPlan(FaultRule(fault="truncated", stage="*", pipeline="p*")))
    await run_with_interceptors(pipeline, interceptors=(faults,))
    assert ["a", "b"] == [entry["stage"] for entry in faults.record()["injected"]]
    again = FaultInterceptor(FaultPlan.replay(faults.record()), pipeline=pipeline)
    await run_with_interceptors(pipeline, interceptors=(again,))
    assert faults.record()["injected"] != []
    assert [entry["struck"] for entry in again.record()["injected"]] == [True, True]


@simulated
async def test_reordered_holds_back_the_answer_not_the_stage():
    """Which has done its work on time."""
    trial = Trial(FaultRule(fault="reordered", stage="work", seconds=9, distribution="fixed"))
    began = asyncio.get_running_loop().time()
    _, took_s = await trial.run()
    assert ([began + 2], 11.0) == (trial.done, took_s)


@simulated
async def test_cancel_stops_the_task_of_a_stage_with_a_time_limit():
    """Its code runs in a task of its own: the wait for that is the one suspension."""
    trial = Trial(FaultRule(fault="cancel", stage="work", at_await=1), timeout=10)
    with pytest.raises(StageExecutionError) as caught:
        await trial.run()
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert {asyncio.current_task()} == asyncio.all_tasks()
    assert [] == trial.done


@simulated
async def test_reordered_items_end_in_another_order():
    """Their answers are late, their places in the list stay."""
    ended = []

    async def source(ctx: StageContext):
        return {"items": list(range(8))}

    async def each(ctx: StageContext):
        return {"n": ctx.item}

    class Watch(BaseInterceptor):
        async def after(self, ctx, output):
            if ctx.stage_name == "each":
                ended.append(output.data["n"])

    pipeline = (
        Pipeline("p")
        .with_stage("source", source)
        .with_stage("each", each, dependencies="source", map_over=("source", "items"))
    )
    faults = FaultInterceptor(FaultPlan(FaultRule(fault="reordered", stage="each"), seed=1))
    results = await run_with_interceptors(pipeline, interceptors=(Watch(), faults))
    assert [{"n": n} for n in range(8)] == results["each"].data["items"]
    assert sorted(ended) == list(range(8)) != ended
    assert list(range(8)) == [entry["item"] for entry in faults.record()["injected"]]


@simulated
async def test_a_partial_write_has_been_done_when_it_fails():
    """So whoever tries again does it twice."""
    rule = FaultRule(fault="partial_write", stage="work", call=1, error="ConnectionError")
    trial = Trial(rule, retry=RetryPolicy(max_attempts=2, base_delay=0, retry_on=ConnectionError))
    output, took_s = await trial.run()
    assert (StageStatus.OK, 4.0, 2) == (output.status, took_s, trial.calls)


@simulated
async def test_cancel_strikes_at_the_kth_suspension():
    """Its `finally` runs at that moment; the run is not cancelled, the stage fails."""
    for at_await in (1, 2):
        trial = Trial(FaultRule(fault="cancel", stage="work", at_await=at_await))
        began = asyncio.get_running_loop().time()
        with pytest.raises(StageExecutionError) as caught:
            await trial.run()
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert [began + at_await - 1] == trial.ended
    trial = Trial(FaultRule(fault="cancel", stage="work", at_await=3))
    output, _ = await trial.run()
    assert (StageStatus.OK, [("cancel", 1, False)]) == (output.status, trial.struck)


@simulated(seeds=range(5))
async def test_cancel_goes_through_what_the_stage_waits_for():
    """A task group stops its tasks, a time limit and a turn of the loop pass it on, a lock is not lost."""
    lock = asyncio.Lock()
    stopped = []

    async def child():
        try:
            await asyncio.sleep(100)
        finally:
            stopped.append("child")

    async def grouped(ctx: StageContext):
        async with asyncio.timeout(50), asyncio.TaskGroup() as group:
            group.create_task(child())
        return {}

    async def locked(ctx: StageContext):
        async with lock:
            await asyncio.sleep(0)
        return {}

    for work, at_await in ((grouped, 1), (locked, 1)):
        pipeline = Pipeline("p").with_stage("work", work)
        faults = FaultInterceptor(FaultPlan(FaultRule(fault="cancel", stage="work", at_await=at_await)))
        with pytest.raises(StageExecutionError) as caught:
            await run_with_interceptors(pipeline, interceptors=(faults,))
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert faults.record()["injected"][0]["struck"]
    assert not lock.locked()
    assert {"child"} >= set(stopped)  # it may not have begun


@simulated
async def test_a_stage_that_swallows_the_cancellation_goes_on():
    """As it would if it were cancelled for real; the run is in order."""

    async def stubborn(ctx: StageContext):
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
        return {"done": True}

    faults = FaultInterceptor(FaultPlan(FaultRule(fault="cancel", stage="work")))
    results = await run_with_interceptors(Pipeline("p").with_stage("work", stubborn), interceptors=(faults,))
    assert {"done": True} == results["work"].data


@simulated
async def test_calls_are_counted_over_runs():
    """The third call may be that of the third run."""
    trial = Trial(FaultRule(fault="truncated", stage="work", call=3))
    texts = [(await trial.run())[0].data["text"] for _ in range(4)]
    assert ["abcdef", "abcdef", "abc", "abcdef"] == texts
    assert [("truncated", 3, True)] == trial.struck


@simulated
async def test_a_rate_is_met():
    """By so many calls, more or less."""
    trial = Trial(FaultRule(fault="truncated", stage="work", rate=0.2))
    for _ in range(500):
        await trial.run()
    assert 70 < len(trial.struck) < 130


@simulated
async def test_a_rule_about_no_stage_is_found_after_the_run():
    """If the interceptor did not know its pipeline."""
    faults = FaultInterceptor(FaultPlan(FaultRule(fault="hang", stage="wrok")))
    await run_with_interceptors(Trial().pipeline, interceptors=(faults,))
    with pytest.raises(FaultPlanError, match=r"no stage is called 'wrok'\. Did you mean 'work'\?"):
        faults.check()
    with pytest.raises(FaultPlanError, match=r"no stage is called 'wrok'\. Did you mean 'work'\?"):
        Trial(FaultRule(fault="hang", stage="wrok"))
    with pytest.raises(TypeError, match=r"takes a FaultPlan, not a dict\.$"):
        FaultInterceptor({})
    with pytest.raises(TypeError, match=r"takes a FaultPlan, not a FaultRule\. Make it one: FaultPlan\(rule\)\."):
        FaultInterceptor(FaultRule(fault="hang", stage="work"))


NAMES = ("start", "left", "right", "each", "end")


def diamond():
    """A pipeline with stages at the same time, items, a retry, and a stage that may do without others."""

    async def start(ctx: StageContext):
        await asyncio.sleep(1)
        return {"items": [0, 1, 2], "text": "hello"}

    async def one(ctx: StageContext):
        await asyncio.sleep(1)
        await asyncio.sleep(0)
        return {"text": ctx.stage_name}

    again = RetryPolicy(max_attempts=3, base_delay=0.1, retry_on=Exception)
    return (
        Pipeline("diamond", on_failure="continue")
        .with_stage("start", start)
        .with_stage("left", one, dependencies="start", retry=again, deadline=50)
        .with_stage("right", one, dependencies="start", critical=False)
        .with_stage("each", one, dependencies="start", map_over=("start", "items"), map_concurrency=2)
        .with_stage("end", one, dependencies="left", optional=("right", "each"))
    )


def outcome_of(plan, seed):
    """Run the diamond under a plan and in an order of tasks; return its results and the record."""
    pipeline = diamond()
    faults = FaultInterceptor(plan, pipeline=pipeline)

    async def outcome():
        return await pipeline.with_interceptors(faults).start().outcome()

    return run(outcome(), seed=seed), faults.record()


RULES = st.builds(
    lambda fault, stage_name, when: FaultRule(fault=fault, stage=stage_name, **when),
    st.sampled_from([name for name in FAULTS if not name.startswith("sink_")]),
    st.sampled_from((*NAMES, "*", "*t")),
    st.one_of(
        st.fixed_dictionaries({"rate": st.sampled_from((0, 0.3, 0.7, 1))}),
        st.fixed_dictionaries({"call": st.integers(1, 3)}),
        st.just({}),
    ),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(RULES, max_size=4), st.integers(0, 1000), st.integers(0, 1000))
def test_under_any_plan_a_run_ends_and_every_stage_has_one_outcome(rules, seed, order):
    """And what was done to it is done again by its record, in the same order of tasks to the letter."""
    plan = FaultPlan(*rules, seed=seed)
    results, record = outcome_of(plan, order)
    assert NAMES == tuple(results)
    assert all(results[name].status is not StageStatus.RETRY for name in NAMES)
    assert results.status in ("completed", "failed")
    assert record == outcome_of(FaultPlan.from_dict(json.loads(json.dumps(plan.to_dict()))), order)[1]
    again, replayed = outcome_of(FaultPlan.replay(json.loads(json.dumps(record))), order)
    assert record == replayed
    assert {n: results[n].status for n in NAMES} == {n: again[n].status for n in NAMES}


def test_another_order_of_tasks_changes_no_fault():
    """Nor does one in which other stages come first: each place has a draw of its own."""
    plan = FaultPlan(
        FaultRule(fault="latency", stage="*", rate=0.5, distribution="exponential"),
        FaultRule(fault="truncated", stage="*", rate=0.5),
        seed=3,
    )
    records = [outcome_of(plan, order)[1] for order in range(20)]
    assert len(records[0]["injected"]) > 3
    assert [records[0]] * 20 == records
    assert outcome_of(FaultPlan(*plan.rules, seed=4), 0)[1] != records[0]
