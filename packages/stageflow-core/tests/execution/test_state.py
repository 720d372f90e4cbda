"""How outcomes are settled: what is skipped, what fails, what cancels, and what the records say."""

import asyncio
import copy

import pytest
from stageflow import (
    Pipeline,
    PipelineCancelled,
    PipelineContext,
    StageContext,
    StageExecutionError,
    StageOutput,
    StageStatus,
    stage,
)
from stageflow.execution.run import Run
from stageflow_mocks.simulation import simulated

OK, SKIP, CANCEL, FAIL = StageStatus.OK, StageStatus.SKIP, StageStatus.CANCEL, StageStatus.FAIL


def returning(output, *, after=0):
    async def execute(ctx: StageContext):
        for _ in range(after):
            await asyncio.sleep(0)
        return output

    return execute


def sleeping(seconds):
    async def execute(ctx: StageContext):
        await asyncio.sleep(seconds)
        return {"slept": seconds}

    return execute


async def reading(ctx: StageContext, before: dict | None = None):
    return {"has": ctx.inputs.has_output("before"), "got": ctx.inputs.get_from("before", "x", "default")}


def statuses(results):
    return {name: output.status for name, output in results.items()}


@simulated
async def test_what_requires_a_skipped_stage_is_skipped():
    """The skip goes all the way down; each record names the stage where it began, and why."""
    results = await Pipeline(
        "skip",
        [
            stage("origin", returning(StageOutput.skip("no profile"))),
            stage("child", returning({}), dependencies="origin"),
            stage("grandchild", returning({}), dependencies="child"),
            stage("beside", returning({})),
        ],
    ).run()
    assert statuses(results) == {"origin": SKIP, "child": SKIP, "grandchild": SKIP, "beside": OK}
    assert results.status == "completed"
    assert results.skipped() == ("origin", "child", "grandchild")
    assert [results.record(name).origin for name in results] == [None, "origin", "origin", None]
    assert results["grandchild"].reason == "required stage 'origin' was skipped: no profile"
    assert results.record("grandchild").attempts == 0
    assert results.record("grandchild").started_at is None


@simulated
async def test_a_stage_that_is_reached_by_two_ways_is_skipped_once(recorder):
    """Behind a diamond there is one outcome and one event for each stage."""
    stages = [
        stage("top", returning(StageOutput.skip("x"))),
        stage("left", returning({}), dependencies="top"),
        stage("right", returning({}), dependencies="top"),
        stage("bottom", returning({}), dependencies=("left", "right", "top")),
    ]
    results = await Pipeline("diamond", stages).run(event_sink=recorder)
    assert results.status == "completed"
    assert recorder.types[3:] == [
        "stage.top.skipped",
        "stage.left.skipped",
        "stage.right.skipped",
        "stage.bottom.skipped",
        "pipeline.completed",
    ]


@simulated
async def test_one_missing_requirement_is_enough_to_skip():
    """A stage with one skipped requirement never runs, however well the others ended."""
    ran = []

    async def never(ctx: StageContext):
        ran.append(ctx.stage_name)

    results = await Pipeline(
        "both",
        [
            stage("fine", returning({}, after=3)),
            stage("skipped", returning(StageOutput.skip("x"))),
            stage("needs_both", never, dependencies=("fine", "skipped")),
        ],
    ).run()
    assert results["needs_both"].status is SKIP
    assert ran == []


@pytest.mark.parametrize("after", [0, 3])
@simulated
async def test_an_optional_dependency_that_was_skipped_reads_as_absent(after):
    """The dependent runs; has_output is False and get_from gives the default."""
    results = await Pipeline(
        "optional",
        [stage("before", returning(StageOutput.skip("x"), after=after)), stage("reads", reading)],
    ).run()
    assert results.data("reads") == {"has": False, "got": "default"}


@simulated
async def test_an_optional_dependency_that_is_ok_is_waited_for():
    """The dependent starts after it and reads what it returned."""
    results = await Pipeline("optional", [stage("reads", reading), stage("before", returning({"x": 1}, after=5))]).run()
    assert results.data("reads") == {"has": True, "got": 1}


@simulated
async def test_an_optional_dependent_waits_for_the_skipped_and_for_the_others():
    """A stage whose optional dependency was skipped still waits for its required one."""
    results = await Pipeline(
        "mixed",
        [
            stage("skipped", returning(StageOutput.skip("x"))),
            stage("child", returning({}), dependencies="skipped"),
            stage("slow", sleeping(5)),
            stage("end", returning({"ran": True}), dependencies="slow", optional=("skipped", "child")),
        ],
    ).run()
    assert results.data("end") == {"ran": True}
    assert asyncio.get_running_loop().time() == 5.0


@simulated
async def test_what_a_skip_releases_starts_in_plan_order():
    """The optional dependents of a skipped stage and of what it skipped start in the order of the plan."""
    started = []

    async def note(ctx: StageContext):
        started.append(ctx.stage_name)

    await Pipeline(
        "order",
        [
            stage("a", returning(StageOutput.skip("x"))),
            stage("b", note, dependencies="a"),
            stage("c", note, optional="b"),
            stage("d", note, optional="a"),
            stage("e", note, optional=("a", "b")),
        ],
    ).run()
    assert started == ["c", "d", "e"]


@simulated
async def test_a_returned_failure_fails_the_run():
    """The run raises StageExecutionError with the stage, its attempts, its code and the results."""
    pipeline = Pipeline("fails", [stage("s", returning(StageOutput.fail("no money", code="payment", data={"due": 3})))])
    with pytest.raises(StageExecutionError, match="Stage 's' of pipeline 'fails' failed: no money") as caught:
        await pipeline.run()
    error = caught.value
    assert (error.stage, error.attempts, error.stage_code, error.__cause__) == ("s", 1, "payment", None)
    assert error.results["s"].data == {"due": 3}
    assert error.results.status == "failed"


@simulated
async def test_an_exception_is_the_cause_without_frames_of_the_executor():
    """The exception of a stage comes as __cause__, its traceback beginning in the stage's own code."""

    async def execute():
        raise LookupError("gone")

    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("fails", [stage("s", execute)]).run()
    cause = caught.value.__cause__
    assert isinstance(cause, LookupError)
    assert cause.__traceback__.tb_frame.f_code.co_name == "execute"


@simulated
async def test_failing_records_who_was_kept_from_running():
    """Behind a failure: SKIP with the failed stage as origin; all else that had not ended: CANCEL with the reason."""
    results = (
        await Pipeline(
            "fails",
            [
                stage("done", returning({"x": 1})),
                stage("running", sleeping(100)),
                stage("behind_running", returning({}), dependencies="running"),
                stage("fails", returning(StageOutput.fail("no"), after=5)),
                stage("child", returning({}), dependencies="fails"),
                stage("grandchild", returning({}), dependencies=("child", "running")),
                stage("optional_child", returning({}), optional="fails"),
            ],
        )
        .start()
        .outcome()
    )
    assert statuses(results) == {
        "done": OK,
        "running": CANCEL,
        "behind_running": CANCEL,
        "fails": FAIL,
        "child": SKIP,
        "grandchild": SKIP,
        "optional_child": CANCEL,
    }
    assert [results.record(name).origin for name in results] == [
        None,
        "stage 'fails' failed",
        "stage 'fails' failed",
        None,
        "fails",
        "fails",
        "stage 'fails' failed",
    ]
    assert results["child"].reason == "required stage 'fails' failed: no"
    assert results["running"].reason == "stage 'fails' failed"
    assert [results.record(name).attempts for name in results] == [1, 1, 0, 1, 0, 0, 0]
    assert tuple(results.error.failures) == (results.error,)


@simulated
async def test_failures_of_one_turn_are_all_reported_in_plan_order():
    """Two stages that fail in the same turn of the loop are both in `failures`; the first of the plan is raised."""
    gate = asyncio.Event()

    async def fail(ctx: StageContext):
        await gate.wait()
        raise LookupError(ctx.stage_name)

    async def finish(ctx: StageContext):
        await gate.wait()
        return {"finished": True}

    async def open_gate():
        gate.set()

    stages = [stage("sooner", fail), stage("later", fail), stage("finishes", finish), stage("gate", open_gate)]
    results = await Pipeline("turn", stages).start().outcome()
    assert [error.stage for error in results.error.failures] == ["sooner", "later"]
    assert results.error.stage == "sooner"
    assert results["finishes"].status is OK, "a stage already woken in that turn finishes"


@simulated
async def test_the_first_failure_in_plan_order_is_raised_whichever_came_first():
    """Among the failures of one turn the run raises for the one that was declared first."""
    gates = {"a": asyncio.Event(), "b": asyncio.Event()}

    async def fail(ctx: StageContext):
        await gates[ctx.stage_name].wait()
        raise LookupError

    async def open_gates():
        gates["b"].set()
        gates["a"].set()

    results = await Pipeline("turn", [stage("a", fail), stage("b", fail), stage("gate", open_gates)]).start().outcome()
    assert results.error.stage == "a"
    assert [error.stage for error in results.error.failures] == ["a", "b"]


@simulated
async def test_a_failure_while_being_cancelled_is_recorded_but_not_raised():
    """A sibling that raises in its cleanup is FAIL in the results; the run raises for the stage that began it."""

    async def clumsy():
        try:
            await asyncio.sleep(100)
        finally:
            raise OSError("cleanup")

    results = (
        await Pipeline(
            "clumsy",
            [
                stage("clumsy", clumsy),
                stage("behind", returning({}), dependencies="clumsy"),
                stage("fails", failing(1)),
            ],
        )
        .start()
        .outcome()
    )
    assert results.error.stage == "fails"
    assert results.failed() == ("clumsy", "fails")
    assert [error.stage for error in results.error.failures] == ["fails"]
    assert results["behind"].status is SKIP
    assert results.record("behind").origin == "clumsy"


def failing(seconds):
    async def execute():
        await asyncio.sleep(seconds)
        raise LookupError("no")

    return execute


@simulated
async def test_a_stage_that_swallows_its_cancellation_keeps_its_result():
    """A stage that answers its cancellation with a result is recorded with that result; nothing behind it starts."""
    ran = []

    async def stubborn():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
        return {"kept": True}

    async def never():
        ran.append(True)

    results = (
        await Pipeline(
            "stubborn",
            [stage("stubborn", stubborn), stage("behind", never, dependencies="stubborn"), stage("fails", failing(1))],
        )
        .start()
        .outcome()
    )
    assert results.data("stubborn") == {"kept": True}
    assert results["behind"].status is CANCEL
    assert ran == []
    assert results.status == "failed"
    assert results.stragglers == ()
    assert asyncio.get_running_loop().time() == 2.0


@simulated
async def test_a_stage_can_end_the_run_gracefully():
    """CANCEL cancels and awaits the rest and raises PipelineCancelled with stage, reason and results."""
    cleaned = []

    async def sibling():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)
            cleaned.append(True)

    pipeline = Pipeline(
        "cancels",
        [
            stage("sibling", sibling),
            stage("behind_sibling", returning({}), dependencies="sibling"),
            stage("quits", returning(StageOutput.cancel("user hung up"), after=3)),
            stage("child", returning({}), dependencies="quits"),
            stage("optional_child", returning({}), optional="quits"),
        ],
    )
    with pytest.raises(PipelineCancelled, match="user hung up") as caught:
        await pipeline.run()
    error = caught.value
    assert (error.stage, error.reason, cleaned) == ("quits", "user hung up", [True])
    assert statuses(error.results) == {
        "sibling": CANCEL,
        "behind_sibling": CANCEL,
        "quits": CANCEL,
        "child": SKIP,
        "optional_child": CANCEL,
    }
    assert error.results.status == "cancelled"
    assert error.results.record("child").origin == "quits"
    assert error.results.record("quits").origin is None
    assert error.results.record("sibling").origin == "stage 'quits' cancelled the run: user hung up"
    assert error.results["optional_child"].reason == "stage 'quits' cancelled the run: user hung up"


@simulated
async def test_the_first_of_two_cancelling_stages_counts():
    """When two stages cancel in the same turn the run ends by the first that did."""
    gate = asyncio.Event()

    async def quit_run(ctx: StageContext):
        await gate.wait()
        return StageOutput.cancel(ctx.stage_name)

    async def open_gate():
        gate.set()

    stages = [stage("a", quit_run), stage("b", quit_run), stage("gate", open_gate)]
    results = await Pipeline("two", stages).start().outcome()
    assert (results.error.stage, results.error.reason) == ("a", "a")


@simulated
async def test_a_failure_outweighs_a_cancel_of_the_same_turn():
    """A stage that fails in the turn in which another one cancels the run is not lost: the run fails."""
    gate = asyncio.Event()

    async def quit_run():
        await gate.wait()
        return StageOutput.cancel("enough")

    async def fail():
        await gate.wait()
        raise LookupError

    async def open_gate():
        gate.set()

    results = await Pipeline("two", [stage("q", quit_run), stage("f", fail), stage("g", open_gate)]).start().outcome()
    assert results.status == "failed"
    assert results.error.stage == "f"


@simulated
async def test_a_stage_that_cancels_while_being_cancelled_does_not_take_over_the_reason():
    """The run gives the reason that it was cancelled for, not what a stage answered to it."""

    async def answers():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            return StageOutput.cancel("mine")

    run = Pipeline("answers", [stage("s", answers)]).start()
    await asyncio.sleep(1)
    run.cancel("the owner's")
    results = await run.outcome()
    assert (results.error.stage, results.error.reason) == (None, "the owner's")
    assert results["s"].reason == "mine"


@simulated
async def test_raise_if_cancelled_in_the_turn_of_the_cancel_is_no_failure():
    """A stage that learns of the cancel before its worker was cancelled is CANCEL, and the run is cancelled."""
    gate = asyncio.Event()

    async def polite(ctx: StageContext):
        await gate.wait()
        ctx.raise_if_cancelled()

    run = Pipeline("polite", [stage("polite", polite)]).start()
    await asyncio.sleep(1)
    gate.set()
    run.cancel("bye")
    results = await run.outcome()
    assert (results.status, results["polite"].status, results["polite"].reason) == ("cancelled", CANCEL, "bye")


@simulated
async def test_records_hold_times():
    """A record has the attempts, the start since the epoch and the duration; starts are in the order of the starts."""
    results = await Pipeline("times", [stage("a", sleeping(2)), stage("b", sleeping(0.5), dependencies="a")]).run()
    a, b = results.record("a"), results.record("b")
    assert (a.attempts, b.attempts) == (1, 1)
    assert (a.duration_ms, b.duration_ms, results.duration_ms) == (2000.0, 500.0, 2500.0)
    assert b.started_at - a.started_at == 2.0


@simulated
async def test_depth_and_width_do_not_matter():
    """A skip at the head of a chain of 10,000 and of a fan of 10,000 reaches every stage."""
    chain = [stage("c0", returning(StageOutput.skip("deep")))]
    chain += [stage(f"c{i}", returning({}), dependencies=f"c{i - 1}") for i in range(1, 10_000)]
    fan = [stage(f"f{i}", returning({}), dependencies="c0") for i in range(10_000)]
    results = await Pipeline("large", [*chain, *fan]).run()
    assert len(results.skipped()) == 20_000
    assert results.record("c9999").origin == "c0"


@simulated
async def test_a_run_that_comes_to_rest_too_early_raises_instead_of_waiting():
    """A defect of the executor is shown, with the stages that it lost; it neither hangs nor passes for a result."""
    graph = Pipeline("p", [stage("a", nothing), stage("b", nothing, dependencies="a")]).build()
    plan = copy.copy(graph._plan)
    plan.in_degrees = (0, 2)
    with pytest.raises(RuntimeError, match="these never did: b"):
        await Run(plan, PipelineContext()).execute()


async def nothing(ctx: StageContext):
    return None
