"""The time limit of a whole run."""

import asyncio

import pytest
from stageflow import (
    Pipeline,
    PipelineCancelled,
    PipelineSuspended,
    PipelineTimeoutError,
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


def timers():
    """Return the timers that are set in the running loop."""
    return [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]


def sleeping(seconds, *, then=None, cleanup=0.0, log=None):
    async def execute(ctx: StageContext):
        try:
            await asyncio.sleep(seconds)
        finally:
            if cleanup:
                await asyncio.sleep(cleanup)
            if log is not None:
                log.append((ctx.stage_name, now()))
        if isinstance(then, BaseException):
            raise then
        return then

    return execute


async def ignoring(ctx: StageContext):
    until = now() + 60
    while now() < until:
        try:
            await asyncio.sleep(until - now())
        except asyncio.CancelledError:
            continue


REASON = "the run took longer than its timeout of 3 s"


@simulated
async def test_a_run_is_cut_off_when_its_time_is_up(recorder):
    """Every stage has stopped, its cleanup too; the error names what was running, and has the results."""
    log = []
    stages = [
        stage("done", sleeping(1, then={"a": 1})),
        stage("slow", sleeping(10, cleanup=2, log=log), dependencies="done"),
        stage("behind", sleeping(1), dependencies="slow"),
        stage("maybe", sleeping(1), optional="slow"),
        stage("quick", sleeping(10, log=log)),
    ]
    with pytest.raises(PipelineTimeoutError) as caught:
        await Pipeline("p", stages, timeout=3).run(event_sink=recorder)
    error, results = caught.value, caught.value.results
    assert (error.pipeline, error.seconds, error.running) == ("p", 3, ("slow", "quick"))
    assert (now(), log) == (5.0, [("quick", 3.0), ("slow", 5.0)])
    assert [output.status for output in results.values()] == [OK, CANCEL, CANCEL, CANCEL, CANCEL]
    assert {output.reason for output in results.values()} == {None, REASON}
    assert (results.status, results.failed(), results.error) == ("failed", (), error)
    assert [results.record(name).origin for name in results] == [None, REASON, REASON, REASON, REASON]
    assert recorder.types[-1] == "pipeline.failed"
    assert recorder.events[-1]["data"] == {"pipeline": "p", "reason": REASON}
    assert isinstance(error, TimeoutError)


@simulated
async def test_a_run_that_is_faster_is_left_alone():
    """And its timer does not stay in the event loop."""
    results = await Pipeline("p", [stage("s", sleeping(2.99))], timeout=3).run()
    assert (results.status, now(), timers()) == ("completed", 2.99, [])
    await asyncio.sleep(10)
    assert results.status == "completed"


@pytest.mark.parametrize("ending", ["failure", "cancel", "stage", "suspend", "caller"])
@simulated
async def test_its_timer_goes_however_the_run_ends(ending):
    """A program with many runs does not collect them."""
    last = {
        "failure": StageOutput.fail("no"),
        "stage": StageOutput.cancel("no"),
        "suspend": StageOutput.suspend("may I?"),
    }.get(ending)
    started = Pipeline("p", [stage("s", sleeping(1 if last else 100, then=last))], timeout=50).start()
    await asyncio.sleep(0.5)
    if ending == "cancel":
        started.cancel("enough")
    if ending == "caller":
        started._task.cancel()
    results = await started.outcome()
    assert results.status == {
        "failure": "failed",
        "suspend": "suspended",
    }.get(ending, "cancelled")
    assert timers() == []


@simulated
async def test_the_time_runs_from_the_start_of_the_run():
    """Not from when the pipeline was built, and for each run by itself."""
    graph = Pipeline("p", [stage("s", sleeping(10))], timeout=3).build()
    ends = []

    async def one(wait):
        await asyncio.sleep(wait)
        with pytest.raises(PipelineTimeoutError):
            await graph.run()
        ends.append(now())

    await asyncio.gather(one(5), one(6), one(7))
    assert ends == [8.0, 9.0, 10.0]


@simulated
async def test_a_wait_before_another_attempt_is_cut_off_too():
    """The stage counts as running."""
    policy = RetryPolicy(base_delay=100, max_delay=100, jitter=False)

    async def asking():
        return StageOutput.retry("busy")

    with pytest.raises(PipelineTimeoutError) as caught:
        await Pipeline("p", [stage("s", asking, retry=policy)], timeout=3).run()
    assert (now(), caught.value.running, caught.value.results.record("s").attempts) == (3.0, ("s",), 1)


@simulated
async def test_a_stage_that_does_not_stop_is_left_behind():
    """And named, among what was running too."""
    with pytest.raises(PipelineTimeoutError) as caught:
        await Pipeline("p", [stage("s", ignoring)], timeout=3, cancel_grace=2).run()
    assert (now(), caught.value.running, caught.value.results.stragglers) == (5.0, ("s",), ("s",))


@pytest.mark.parametrize("limits", [{"timeout": 10}, {"deadline": 10}], ids=str)
@simulated
async def test_the_limits_of_a_stage_are_within_that_of_the_run(limits):
    """What comes first ends it."""
    with pytest.raises(PipelineTimeoutError):
        await Pipeline("p", [stage("s", sleeping(100), **limits)], timeout=3).run()
    with pytest.raises(StageExecutionError, match="ran out of time"):
        await Pipeline("p", [stage("s", sleeping(100), **limits)], timeout=30).run()


@simulated
async def test_a_failure_before_it_is_what_the_run_raises():
    """Although its time is up while a sibling cleans up."""
    stages = [stage("x", sleeping(1, then=LookupError("no"))), stage("s", sleeping(100, cleanup=10))]
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", stages, timeout=3, cancel_grace=20).run()
    assert (now(), caught.value.stage) == (11.0, "x")
    assert caught.value.results["s"].reason == "stage 'x' failed"


@simulated
async def test_a_failure_that_did_not_end_the_run_is_what_it_raises():
    """Under on_failure="continue" too: that the time was up is told by what was cancelled."""
    stages = [stage("x", sleeping(1, then=LookupError("no"))), stage("s", sleeping(100))]
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", stages, timeout=3, on_failure="continue").run()
    assert (now(), caught.value.stage, caught.value.results["s"].reason) == (3.0, "x", REASON)


@simulated
async def test_a_failure_while_it_winds_down_does_not_hide_it():
    """What a stage raises because it was cancelled is no failure of its own."""

    async def closing():
        try:
            await asyncio.sleep(100)
        finally:
            raise LookupError("closing")

    with pytest.raises(PipelineTimeoutError) as caught:
        await Pipeline("p", [stage("s", closing)], timeout=3).run()
    assert (caught.value.running, caught.value.results["s"].status) == ((), FAIL)


@simulated
async def test_a_cancel_before_it_is_what_the_run_raises():
    """The first reason stays."""
    started = Pipeline("p", [stage("s", sleeping(100, cleanup=10))], timeout=3, cancel_grace=20).start()
    await asyncio.sleep(2)
    started.cancel("enough")
    with pytest.raises(PipelineCancelled, match="enough"):
        await started
    assert now() == 12.0


@simulated
async def test_a_cancel_after_it_changes_nothing():
    """Nor does a second one."""
    started = Pipeline("p", [stage("s", sleeping(100, cleanup=4))], timeout=3).start()
    await asyncio.sleep(4)
    started.cancel("enough")
    with pytest.raises(PipelineTimeoutError):
        await started
    assert now() == 7.0


@simulated
async def test_the_callers_cancellation_propagates_while_it_winds_down():
    """Who was cancelled gets no timeout."""
    task = asyncio.create_task(Pipeline("p", [stage("s", sleeping(100, cleanup=4))], timeout=3).run())
    await asyncio.sleep(4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == 7.0


@simulated
async def test_a_sink_that_is_slow_at_the_end_is_not_part_of_it():
    """Every stage has ended by then."""

    class Slow:
        async def emit(self, *, type, data):
            await asyncio.sleep(4)

        def try_emit(self, *, type, data):
            return True

    results = await Pipeline("p", [stage("s", sleeping(2))], timeout=3).run(event_sink=Slow())
    assert (results.status, now()) == ("completed", 6.0)


@simulated(seeds=range(60))
async def test_a_run_whose_last_stage_ends_with_it_ends_in_one_way():
    """Completed, or timed out with the stage that was cancelled."""
    results = await Pipeline("p", [stage("s", sleeping(3, then={}))], timeout=3).start().outcome()
    expected = {OK: ("completed", None), CANCEL: ("failed", PipelineTimeoutError)}[results["s"].status]
    assert (results.status, None if results.error is None else type(results.error)) == expected
    assert (now(), timers()) == (3.0, [])


@simulated(seeds=range(60))
async def test_a_run_that_is_not_through_with_it_is_timed_out():
    """Although the last stage that ran has ended OK: another one would have been next."""
    stages = [stage("s", sleeping(3, then={})), stage("behind", sleeping(0), dependencies="s")]
    results = await Pipeline("p", stages, timeout=3).start().outcome()
    if results["behind"].status is OK:
        assert (results.status, results.error) == ("completed", None)
    else:
        assert results["behind"].status is CANCEL
        assert isinstance(results.error, PipelineTimeoutError)


@simulated
async def test_a_stage_that_stops_by_itself_was_cut_off():
    """It asked, and was told that the run is ending, before anybody had cancelled it."""

    async def asking(ctx: StageContext):
        loop = asyncio.get_running_loop()
        change = loop.create_future()
        loop.call_at(3, change.set_result, None)
        await change
        ctx.raise_if_cancelled()

    results = await Pipeline("p", [stage("s", asking)], timeout=3).start().outcome()
    assert results["s"].status in (OK, CANCEL)
    assert (results.status == "completed") is (results["s"].status is OK)


@simulated(seeds=range(60))
async def test_a_stage_that_fails_with_it_gives_one_error():
    """The failure if it came first; else the time that was up, with the failure in its record or none."""
    pipeline = Pipeline("p", [stage("s", sleeping(3, then=LookupError("no"))), stage("t", sleeping(9))], timeout=3)
    results = await pipeline.start().outcome()
    assert (now(), results.status, results["t"].status) == (3.0, "failed", CANCEL)
    if isinstance(results.error, StageExecutionError):
        assert (results.error.stage, results.failed()) == ("s", ("s",))
    else:
        assert isinstance(results.error, PipelineTimeoutError)
        assert results.error.running == ("t",) if results.failed() else ("s", "t")


@simulated
async def test_a_suspended_run_has_come_to_rest():
    """No time runs while a human decides; while others drain it does."""

    async def asking():
        return StageOutput.suspend("may I?")

    stages = [stage("ask", asking), stage("behind", sleeping(1), dependencies="ask")]
    with pytest.raises(PipelineSuspended):
        await Pipeline("p", [*stages, stage("s", sleeping(2))], timeout=3).run()
    with pytest.raises(PipelineTimeoutError) as caught:
        await Pipeline("p", [*stages, stage("s", sleeping(4))], timeout=3).run()
    results = caught.value.results
    assert [output.status for output in results.values()] == [SUSPEND, SUSPEND, CANCEL]
    assert (caught.value.running, results.suspension) == (("s",), None)


@simulated(seeds=range(40))
async def test_a_run_that_comes_to_rest_with_it_is_suspended_or_timed_out():
    """Not half of each."""

    async def asking():
        return StageOutput.suspend("may I?")

    stages = [stage("ask", asking), stage("behind", sleeping(1), dependencies="ask"), stage("s", sleeping(3))]
    results = await Pipeline("p", stages, timeout=3).start().outcome()
    assert (results.status, results["s"].status) in (("suspended", OK), ("failed", CANCEL))
    assert (results.suspension is not None) is (results.status == "suspended")


@simulated
async def test_a_run_whose_time_is_up_before_it_began_to_wait():
    """The shortest of times is a time."""
    with pytest.raises(PipelineTimeoutError):
        await Pipeline("p", [stage("s", sleeping(1))], timeout=1e-9).run()


def test_run_sync_has_the_same_limit():
    """In real time, and so with the shortest of limits."""
    with pytest.raises(PipelineTimeoutError):
        Pipeline("p", [stage("s", sleeping(60))], timeout=1e-3).run_sync()
