"""Failures that do not end the run: `critical=False`, and `on_failure="continue"`."""

import asyncio
import logging

import pytest
from stageflow import (
    Pipeline,
    PipelineCancelled,
    RetryPolicy,
    StageContext,
    StageExecutionError,
    StageOutput,
    StageStatus,
    stage,
)
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


def after(seconds, result=None, *, log=None):
    """A stage that takes some time, then returns the result or raises it."""

    async def execute(ctx: StageContext):
        if log is not None:
            log.append((ctx.stage_name, now()))
        await asyncio.sleep(seconds)
        if isinstance(result, BaseException):
            raise result
        return result

    return execute


async def outcome(*stages, sink=None, **options):
    return await Pipeline("p", stages, **options).start(event_sink=sink).outcome()


def statuses(results):
    return {name: output.status for name, output in results.items()}


# --- critical=False ----------------------------------------------------------------------------------------------


@simulated
async def test_a_run_completes_without_a_stage_that_is_not_critical(recorder, caplog):
    """Its failure is recorded and reported; what depends on it optionally runs, what requires it is skipped."""
    caplog.set_level(logging.WARNING)
    error = LookupError("no")
    stages = [
        stage("s", after(1, error), critical=False),
        stage("maybe", after(1, {}), optional="s"),
        stage("behind", after(1), dependencies="s"),
        stage("far", after(1), dependencies="behind"),
        stage("beside", after(5, {})),
    ]
    results = await Pipeline("p", stages).run(event_sink=recorder)
    assert (results.status, results.error, now()) == ("completed", None, 5.0)
    assert statuses(results) == {"s": FAIL, "maybe": OK, "behind": SKIP, "far": SKIP, "beside": OK}
    assert (results.failed(), results["s"].error.exception) == (("s",), error)
    assert results.record("far").origin == "s"
    assert results["far"].reason == "required stage 's' failed: LookupError: no"
    failed = recorder.of("stage.s.failed")["data"]
    assert (failed["critical"], failed["error"]["message"]) == (False, "no")
    assert recorder.types[-1] == "pipeline.completed"
    assert "failed" not in recorder.events[-1]["data"]
    assert "Stage 's' failed (LookupError); it is not critical" in caplog.text


@pytest.mark.parametrize(
    "result",
    [LookupError("no"), StageOutput.fail("no"), "no result", StageOutput.retry("busy"), asyncio.CancelledError("mine")],
    ids=repr,
)
@simulated
async def test_however_it_fails(result):
    """Raised or returned, in form or not, by a CancelledError of its own too."""
    results = await outcome(stage("s", after(1, result), critical=False), stage("beside", after(2, {})))
    assert (results.status, statuses(results)) == ("completed", {"s": FAIL, "beside": OK})


@simulated
async def test_one_whose_attempts_or_time_are_used_up():
    """Each ends FAIL."""
    policy = RetryPolicy(max_attempts=2, base_delay=0, retry_on=LookupError)
    results = await outcome(
        stage("tried", after(1, LookupError("no")), critical=False, retry=policy),
        stage("slow", after(10), critical=False, timeout=2),
    )
    assert (results.status, results.failed(), results.record("tried").attempts) == ("completed", ("tried", "slow"), 2)


@pytest.mark.parametrize("output", [StageOutput.cancel("enough"), StageOutput.suspend("may I?")], ids=repr)
@simulated
async def test_what_is_no_failure_counts_as_for_any_stage(output):
    """To cancel and to suspend are decisions."""
    results = await outcome(stage("s", after(1, output), critical=False), stage("beside", after(2)))
    assert results.status in ("cancelled", "suspended")


@simulated
async def test_the_failure_of_another_stage_does_not_name_it():
    """`failures` has those that the run failed for; the results have all."""
    stages = [stage("s", after(1, LookupError("s")), critical=False), stage("x", after(1, LookupError("x")))]
    results = await outcome(*stages)
    assert ([error.stage for error in results.error.failures], results.failed()) == (["x"], ("s", "x"))


@simulated
async def test_it_makes_no_difference_to_a_stage_that_succeeds(recorder):
    """Neither in its record nor in its events."""
    seen = []
    for critical in (True, False):
        results = await outcome(stage("s", after(1, {"a": 1}), critical=critical), sink=recorder)
        seen.append((results.data("s"), recorder.events[-2]["data"], recorder.events[-2]["event_type"]))
    assert seen[0] == seen[1]


# --- on_failure="continue" ---------------------------------------------------------------------------------------


@simulated
async def test_what_does_not_depend_on_a_failure_goes_on(recorder):
    """The run then raises for the failure."""
    log = []
    stages = [
        stage("x", after(1, LookupError("no"))),
        stage("behind", after(1), dependencies="x"),
        stage("maybe", after(1, {}, log=log), optional="x"),
        stage("beside", after(5, {})),
        stage("later", after(1, {}, log=log), dependencies="beside"),
    ]
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", stages, on_failure="continue").run(event_sink=recorder)
    results = caught.value.results
    assert (now(), caught.value.stage, results.status) == (6.0, "x", "failed")
    assert statuses(results) == {"x": FAIL, "behind": SKIP, "maybe": OK, "beside": OK, "later": OK}
    assert log == [("maybe", 1.0), ("later", 5.0)]
    assert caught.value.failures == (caught.value,)
    assert recorder.of("pipeline.failed")["data"] == {"pipeline": "p", "failed": ["x"]}


@simulated
async def test_it_raises_for_the_first_failure_in_plan_order():
    """Whichever came first; `failures` has all, in plan order, each with its cause."""
    errors = [LookupError(str(number)) for number in range(3)]
    stages = [stage(f"s{number}", after(3 - number, error)) for number, error in enumerate(errors)]
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", stages, on_failure="continue").run()
    assert (now(), caught.value.stage) == (3.0, "s0")
    assert [(error.stage, error.__cause__) for error in caught.value.failures] == [
        (f"s{number}", error) for number, error in enumerate(errors)
    ]
    assert all(error.results is caught.value.results for error in caught.value.failures)


@simulated
async def test_a_stage_behind_two_failures_is_skipped_for_the_first():
    """It has one outcome."""
    stages = [
        stage("a", after(2, LookupError("a"))),
        stage("b", after(1, LookupError("b"))),
        stage("s", after(1), dependencies=("a", "b")),
    ]
    results = await outcome(*stages, on_failure="continue")
    assert (results["s"].status, results.record("s").origin) == (SKIP, "b")


@simulated
async def test_a_cancel_ends_it_all_the_same():
    """With the failures that there were before, which come first."""
    started = Pipeline(
        "p", [stage("x", after(1, LookupError("no"))), stage("slow", after(100))], on_failure="continue"
    ).start()
    await asyncio.sleep(2)
    started.cancel("enough")
    results = await started.outcome()
    assert (results.status, statuses(results)) == ("failed", {"x": FAIL, "slow": CANCEL})
    assert (results.error.stage, results["slow"].reason, now()) == ("x", "enough", 2.0)


@simulated
async def test_a_stage_that_cancels_the_run_ends_it_all_the_same():
    """That is no failure."""
    stages = [stage("c", after(1, StageOutput.cancel("enough"))), stage("slow", after(100))]
    with pytest.raises(PipelineCancelled, match="enough"):
        await Pipeline("p", stages, on_failure="continue").run()
    assert now() == 1.0


@simulated
async def test_a_failure_beats_a_suspension():
    """There is nothing to resume; what waits is recorded as waiting."""
    stages = [
        stage("ask", after(1, StageOutput.suspend("may I?"))),
        stage("behind", after(1), dependencies="ask"),
        stage("x", after(2, LookupError("no"))),
    ]
    results = await outcome(*stages, on_failure="continue")
    assert (results.status, results.suspension) == ("failed", None)
    assert statuses(results) == {"ask": SUSPEND, "behind": SUSPEND, "x": FAIL}
    assert isinstance(results.error, StageExecutionError)


@simulated
async def test_stages_that_are_not_critical_do_not_fail_it_either():
    """Both options together."""
    stages = [stage("s", after(1, LookupError("no")), critical=False), stage("beside", after(2, {}))]
    results = await outcome(*stages, on_failure="continue")
    assert (results.status, results.error) == ("completed", None)


@simulated
async def test_other_stages_are_retried_after_a_failure():
    """The run is not stopping."""
    policy = RetryPolicy(max_attempts=3, base_delay=5, max_delay=5, jitter=False)

    async def asking(ctx: StageContext):
        return StageOutput.retry("busy") if ctx.attempt < 3 else {}

    stages = [stage("x", after(1, LookupError("no"))), stage("s", asking, retry=policy)]
    results = await outcome(*stages, on_failure="continue")
    assert (results["s"].status, results.record("s").attempts, now()) == (OK, 3, 10.0)


@simulated
async def test_fail_fast_is_what_happens_unless_said_otherwise():
    """The first failure ends the run, and those of the same turn stand beside it."""
    results = await outcome(stage("x", after(1, LookupError("no"))), stage("slow", after(100)))
    assert (now(), statuses(results)) == (1.0, {"x": FAIL, "slow": CANCEL})
    results = await outcome(*(stage(f"s{number}", after(1, LookupError("no"))) for number in range(3)))
    assert [error.stage for error in results.error.failures] == ["s0", "s1", "s2"]


@simulated
async def test_thousands_of_failures_are_told_once_each():
    """The error of the run holds them all."""

    async def failing():
        raise LookupError

    results = await outcome(*(stage(f"s{number}", failing) for number in range(2000)), on_failure="continue")
    assert [error.stage for error in results.error.failures] == [f"s{number}" for number in range(2000)]
