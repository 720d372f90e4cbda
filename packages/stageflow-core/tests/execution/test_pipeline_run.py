"""A run in the background: awaiting, cancelling and watching it."""

import asyncio

import pytest
from stageflow import Pipeline, PipelineCancelled, StageContext, StageExecutionError, StageOutput, StageStatus, stage
from stageflow.errors import TooLateError
from stageflow_mocks.simulation import simulated


def now():
    return asyncio.get_running_loop().time()


async def instant(ctx: StageContext):
    return {"x": 1}


async def second():
    await asyncio.sleep(1)


async def fails():
    await asyncio.sleep(1)
    raise LookupError("no")


@simulated
async def test_start_returns_at_once_and_awaiting_gives_the_results():
    """The run goes on in the background; await gives what run() would have."""
    run = Pipeline("bg", [stage("s", second)]).start()
    assert not run.done
    results = await run
    assert (run.done, results.status, now()) == (True, "completed", 1.0)
    assert results.pipeline_run_id == run.id


@simulated
async def test_a_run_can_be_awaited_more_than_once():
    """Every await of an ended run gives the same results."""
    run = Pipeline("bg", [stage("s", instant)]).start()
    assert (await run) is (await run) is (await run.outcome())


@simulated
async def test_awaiting_a_failed_run_raises():
    """Await raises what run() would have raised."""
    with pytest.raises(StageExecutionError, match="no"):
        await Pipeline("bg", [stage("s", fails)]).start()


@simulated
async def test_outcome_never_raises_for_what_the_stages_did():
    """outcome() has the error in the results."""
    results = await Pipeline("bg", [stage("s", fails)]).start().outcome()
    assert results.status == "failed"
    assert isinstance(results.error, StageExecutionError)
    assert results.error.results is results


@simulated
async def test_outcome_of_a_run_that_went_well_has_no_error():
    """outcome() of a completed run: status completed, error None."""
    results = await Pipeline("bg", [stage("s", instant)]).start().outcome()
    assert (results.status, results.error) == ("completed", None)


@simulated
async def test_cancel_ends_the_run_in_good_order(recorder):
    """cancel(reason) cancels and awaits the stages; the run raises PipelineCancelled with the reason."""
    cleaned = []

    async def running():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(2)
            cleaned.append(now())

    run = Pipeline("bg", [stage("s", running), stage("t", instant, dependencies="s")]).start(event_sink=recorder)
    await asyncio.sleep(1)
    run.cancel("user hung up")
    with pytest.raises(PipelineCancelled, match="user hung up") as caught:
        await run
    assert (caught.value.stage, caught.value.reason) == (None, "user hung up")
    assert cleaned == [3.0]
    assert [output.status for output in caught.value.results.values()] == [StageStatus.CANCEL] * 2
    assert caught.value.results["t"].reason == "user hung up"
    assert recorder.types[-3:] == ["stage.s.cancelled", "stage.t.cancelled", "pipeline.cancelled"]
    assert recorder.of("pipeline.cancelled")["data"]["reason"] == "user hung up"
    assert recorder.of("stage.s.cancelled")["data"] == {"reason": "user hung up", "origin": "user hung up"}


@simulated
async def test_cancel_before_the_first_step_starts_no_stage(recorder):
    """A run that is cancelled right after start() runs nothing, and says so in its events."""
    ran = []

    async def never():
        ran.append(True)

    run = Pipeline("bg", [stage("s", never)]).start(event_sink=recorder)
    run.cancel("changed my mind")
    results = await run.outcome()
    assert ran == []
    assert (results.status, results.error.reason, results["s"].reason) == ("cancelled", *["changed my mind"] * 2)
    assert recorder.types == ["pipeline.created", "pipeline.started", "stage.s.cancelled", "pipeline.cancelled"]


@simulated
async def test_the_first_reason_stays():
    """A second cancel() while the run winds down changes nothing."""

    async def lingers():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(2)

    run = Pipeline("bg", [stage("s", lingers)]).start()
    await asyncio.sleep(1)
    run.cancel("first")
    await asyncio.sleep(1)
    run.cancel("second")
    results = await run.outcome()
    assert (results.error.reason, now()) == ("first", 3.0)


@simulated
async def test_the_first_reason_stays_before_the_first_step_too():
    """Of two cancels before the run began the first counts."""
    run = Pipeline("bg", [stage("s", instant)]).start()
    run.cancel("first")
    run.cancel("second")
    assert (await run.outcome()).error.reason == "first"


@simulated
async def test_cancel_with_an_empty_reason_ends_the_run():
    """An empty reason is a reason: no stage starts any more, and no worker makes others without end."""
    started = []

    async def cancels():
        run.cancel("")
        await asyncio.sleep(0)
        return {}

    async def note(ctx: StageContext):
        started.append(ctx.stage_name)

    run = Pipeline("bg", [stage("c", cancels), *(stage(f"s{i}", note) for i in range(5))]).start()
    results = await run.outcome()
    assert (results.status, started, now()) == ("cancelled", [], 0.0)


@simulated
async def test_cancel_after_the_end_does_nothing():
    """Cancelling a run that has ended leaves its results alone."""
    run = Pipeline("bg", [stage("s", instant)]).start()
    results = await run
    run.cancel("late")
    assert (results.status, (await run.outcome()).error) == ("completed", None)


@simulated
async def test_cancel_while_the_last_event_is_being_delivered_is_too_late(recorder):
    """A run that has told its sink that it completed does not become a cancelled one."""
    recorder.emit = slow = SlowEmit(recorder)
    run = Pipeline("bg", [stage("s", instant)]).start(event_sink=recorder)
    await slow.entered.wait()
    run.cancel("late")
    results = await run
    assert (recorder.types[-1], results.status) == ("pipeline.completed", "completed")


class SlowEmit:
    """An `emit` that takes three seconds."""

    def __init__(self, recorder):
        self.entered = asyncio.Event()
        self.recorder = recorder

    async def __call__(self, *, type, data):
        self.entered.set()
        await asyncio.sleep(3)
        self.recorder.events.append(data)


@simulated
async def test_a_stage_may_cancel_its_own_run():
    """A stage that calls run.cancel keeps its result; what was behind it does not start."""

    async def cancels():
        run.cancel("from inside")
        return {"kept": True}

    run = Pipeline("bg", [stage("s", cancels), stage("t", instant, dependencies="s")]).start()
    results = await run.outcome()
    assert results.data("s") == {"kept": True}
    assert results["t"].status is StageStatus.CANCEL
    assert results.status == "cancelled"


@simulated
async def test_cancelling_whoever_awaits_the_run_cancels_it():
    """As with a task: the awaiter's cancellation reaches the stages."""
    cleaned = []

    async def running():
        try:
            await asyncio.sleep(100)
        finally:
            cleaned.append(now())

    run = Pipeline("bg", [stage("s", running)]).start()

    async def awaits():
        await run

    task = asyncio.create_task(awaits())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    results = await run.outcome()
    assert cleaned == [1.0]
    assert (results.status, results["s"].reason) == ("cancelled", "the caller was cancelled")


@simulated
async def test_cancelling_who_waits_for_the_outcome_leaves_the_run_alone():
    """outcome() only watches."""
    run = Pipeline("bg", [stage("s", second)]).start()
    watcher = asyncio.create_task(run.outcome())
    await asyncio.sleep(0.5)
    watcher.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watcher
    assert (await run).status == "completed"


@simulated
async def test_a_run_whose_task_is_cancelled_before_its_first_step_has_an_outcome(recorder):
    """Whoever cancels all tasks right after start() leaves a run that says so in its results and its events."""
    run = Pipeline("bg", [stage("s", instant)]).start(event_sink=recorder)
    events = run.events()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    results = await run.outcome()
    assert (results.status, results["s"].status) == ("cancelled", StageStatus.CANCEL)
    assert results["s"].reason == "the caller was cancelled"
    assert recorder.types == ["pipeline.created", "pipeline.started", "stage.s.cancelled", "pipeline.cancelled"]
    assert recorder.types == [event.event_type async for event in events]


@simulated
async def test_events_yields_all_of_them_from_the_first_to_the_last():
    """A reader without any sink sees the whole run, and ends with it."""
    run = Pipeline("bg", [stage("s", second)]).start()
    seen = [(event.event_type, now()) async for event in run.events()]
    assert seen == [
        ("pipeline.created", 0.0),
        ("pipeline.started", 0.0),
        ("stage.s.started", 0.0),
        ("stage.s.completed", 1.0),
        ("pipeline.completed", 1.0),
    ]
    assert run.done or (await run)


@simulated
async def test_a_failed_run_ends_its_readers_too():
    """The last event of a failed run is pipeline.failed."""
    run = Pipeline("bg", [stage("s", fails)]).start()
    assert [event.event_type async for event in run.events()][-1] == "pipeline.failed"
    assert (await run.outcome()).status == "failed"


@simulated
async def test_every_reader_gets_every_event():
    """Readers are independent: an early one, a late one and one after the end see the same."""
    run = Pipeline("bg", [stage("s", second)]).start()

    async def read():
        return [event async for event in run.events()]

    early = asyncio.create_task(read())
    first = run.events()
    assert (await anext(first)).event_type == "pipeline.created"
    await asyncio.sleep(0.5)
    late = asyncio.create_task(read())
    await run
    assert await early == await late == await read()
    assert len(await early) == 5


@simulated
async def test_a_reader_that_is_cancelled_leaves_the_run_and_other_readers_alone():
    """events() only watches."""
    run = Pipeline("bg", [stage("s", second)]).start()

    async def read(events):
        return [event.sequence async for event in events]

    doomed, other = asyncio.create_task(read(run.events())), asyncio.create_task(read(run.events()))
    await asyncio.sleep(0.5)
    doomed.cancel()
    assert (await run).status == "completed"
    assert await other == [1, 2, 3, 4, 5]
    assert doomed.cancelled()


@simulated
async def test_readers_and_sink_get_the_same_events(recorder):
    """The events of events() are those of the sink."""
    run = Pipeline("bg", [stage("s", instant)]).start(event_sink=recorder)
    events = [event.to_dict() async for event in run.events()]
    await run
    assert events == recorder.events


@simulated
async def test_asking_for_events_after_the_first_step_is_too_late():
    """A run that began without a reader has kept nothing, and says so."""
    run = Pipeline("bg", [stage("s", second)]).start()
    await asyncio.sleep(0.5)
    with pytest.raises(TooLateError, match=run.id):
        run.events()
    await run


@simulated
async def test_events_of_a_stage_reach_the_readers():
    """What a stage emits and publishes comes to events() with frozen data."""

    async def talks(ctx: StageContext):
        ctx.emit_event("token", {"words": ["a", "b"]})
        return StageOutput.ok({})

    run = Pipeline("bg", [stage("s", talks)]).start()
    (token,) = [event async for event in run.events() if event.event_type == "token"]
    assert (token.stage, token.data) == ("s", {"words": ["a", "b"]})
    with pytest.raises(TypeError, match="frozen"):
        token.data["words"].append("c")
    await run


@simulated
async def test_cancel_once_every_stage_has_ended_changes_nothing():
    """There is nothing left to cancel, though the run has not yet returned."""

    @stage
    async def last():
        # Two turns on, the stage has ended and whoever awaits the run has not been told.
        asyncio.get_running_loop().call_soon(run.cancel, "too late")

    run = Pipeline("p", [last]).start()
    results = await run
    assert "completed" == results.status


@simulated
async def test_an_event_of_a_straggler_after_the_end_is_dropped_with_a_warning(recorder, caplog):
    """The run's last event stays the last one."""
    late, gone = asyncio.Event(), asyncio.Event()

    @stage
    async def stubborn(ctx: StageContext):
        try:
            await late.wait()
        except asyncio.CancelledError:
            await late.wait()
        ctx.emit_event("late")
        gone.set()

    @stage
    async def fails():
        raise ValueError("boom")

    run = Pipeline("p", [stubborn, fails], cancel_grace=1.0).start(event_sink=recorder)
    results = await run.outcome()
    assert ("stubborn",) == results.stragglers
    late.set()
    await gone.wait()
    assert "pipeline.failed" == recorder.events[-1]["event_type"]
    assert "Event 'late' of stage 'stubborn' came after the end of its run, and was dropped." in caplog.messages


@pytest.mark.parametrize("reason", [None, 5])
@simulated
async def test_a_reason_that_is_no_text_is_refused_and_changes_nothing(reason):
    """A wrong argument is the caller's error, and the run goes on."""
    run = Pipeline("bg", [stage("s", second)]).start()
    with pytest.raises(TypeError, match="The reason for a cancel is a string"):
        run.cancel(reason)
    await asyncio.sleep(0)
    with pytest.raises(TypeError, match="The reason for a cancel is a string"):
        run.cancel(reason)
    assert (await run).status == "completed"
