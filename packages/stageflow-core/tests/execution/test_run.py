"""The coordinator: how a run ends, whoever ends it."""

import asyncio
import logging

import pytest
from stageflow import Pipeline, StageContext, StageExecutionError, StageOutput, StageStatus, stage
from stageflow_mocks.simulation import simulated

OK, SKIP, CANCEL, FAIL = StageStatus.OK, StageStatus.SKIP, StageStatus.CANCEL, StageStatus.FAIL


class Cleanup:
    """Stages that note when their `finally` blocks are through."""

    def __init__(self):
        self.done = []

    def stage(self, name, *, cleanup=0.0, **options):
        async def execute():
            try:
                await asyncio.sleep(1000)
            finally:
                if cleanup:
                    await asyncio.sleep(cleanup)
                self.done.append((name, now()))

        return stage(name, execute, **options)


@pytest.fixture
def cleanup():
    return Cleanup()


def now():
    return asyncio.get_running_loop().time()


async def instant(ctx: StageContext):
    return {}


def failing(seconds):
    async def execute():
        await asyncio.sleep(seconds)
        raise LookupError("no")

    return execute


def ignoring(seconds):
    """A stage that ignores cancellation, as often as it comes, until it has had its time."""

    async def execute():
        until = now() + seconds
        while now() < until:
            try:
                await asyncio.sleep(until - now())
            except asyncio.CancelledError:
                continue
        return {"ignored": True}

    return execute


async def in_task(awaitable):
    return await awaitable


@simulated
async def test_a_failure_waits_for_every_finally(cleanup):
    """The run raises only when the cleanup of all siblings is through."""
    with pytest.raises(StageExecutionError):
        await Pipeline("f", [cleanup.stage("a"), cleanup.stage("b", cleanup=3), stage("x", failing(1))]).run()
    assert cleanup.done == [("a", 1.0), ("b", 4.0)]
    assert now() == 4.0


@simulated
async def test_the_callers_task_is_never_marked_as_cancelled(cleanup):
    """After a fail-fast end the caller's cancelling() is 0, and it can go on waiting."""
    with pytest.raises(StageExecutionError):
        await Pipeline("f", [cleanup.stage("a"), stage("x", failing(1))]).run()
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(1)


@simulated
async def test_the_callers_cancellation_cancels_and_awaits_every_stage(cleanup):
    """Cancelling who awaits run() reaches every stage; it propagates when their cleanup is through."""
    before = asyncio.all_tasks()
    stages = [cleanup.stage("a"), cleanup.stage("b", cleanup=3), stage("behind", instant, dependencies="a")]
    task = asyncio.create_task(Pipeline("c", stages).run())
    await asyncio.sleep(1)
    task.cancel("stop")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleanup.done == [("a", 1.0), ("b", 4.0)]
    assert asyncio.all_tasks() == before


@simulated
async def test_a_timeout_around_a_run_is_an_ordinary_timeout(cleanup):
    """asyncio.timeout around run() raises TimeoutError, and leaves no mark on the task."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await Pipeline("c", [cleanup.stage("a", cleanup=1)]).run()
    assert cleanup.done == [("a", 3.0)]
    assert asyncio.current_task().cancelling() == 0


@simulated
async def test_a_second_cancellation_does_not_cut_the_cleanup_short(cleanup):
    """Cancelling the caller again while the run winds down neither hurries nor harms the stages."""
    task = asyncio.create_task(Pipeline("c", [cleanup.stage("a", cleanup=3)]).run())
    await asyncio.sleep(1)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.5)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleanup.done == [("a", 4.0)]


@simulated
async def test_a_cancellation_while_a_failure_winds_down_propagates(cleanup):
    """A caller who is cancelled while the siblings of a failure clean up gets its CancelledError, not the failure."""
    task = asyncio.create_task(Pipeline("c", [cleanup.stage("a", cleanup=5), stage("x", failing(1))]).run())
    await asyncio.sleep(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleanup.done == [("a", 6.0)]


@pytest.mark.parametrize("turns", range(9))
@simulated
async def test_a_cancellation_in_any_turn_propagates_and_leaves_nothing(turns, recorder):
    """Whenever the caller is cancelled the cancellation arrives, and every stage has one terminal event."""
    before = asyncio.all_tasks()
    fan = [stage(f"s{i}", instant) for i in range(3)] + [stage("end", instant, dependencies=("s0", "s1", "s2"))]
    task = asyncio.create_task(Pipeline("c", fan).run(event_sink=recorder))
    for _ in range(turns):
        await asyncio.sleep(0)
    ended = task.done()
    task.cancel()
    outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    assert ended or isinstance(outcome, asyncio.CancelledError)
    assert asyncio.all_tasks() == before
    if recorder.events:
        terminal = [event["stage"] for event in recorder.events if event["status"] and event["stage"]]
        assert sorted(terminal) == ["end", "s0", "s1", "s2"]
        assert recorder.types[-1] in ("pipeline.completed", "pipeline.cancelled")


@simulated
async def test_a_cancellation_in_the_turn_of_completion_is_not_lost():
    """A cancel that arrives when the last stage has ended, and before the caller could see it, still propagates."""

    async def last():
        caller.cancel()

    caller = asyncio.create_task(Pipeline("c", [stage("last", last)]).run())
    with pytest.raises(asyncio.CancelledError):
        await caller


@simulated
async def test_a_straggler_is_left_behind_and_named(cleanup, recorder, caplog):
    """A stage that ignores cancellation beyond cancel_grace ends CANCEL; results, events and log name it."""
    pipeline = Pipeline(
        "s", [stage("stubborn", ignoring(60)), cleanup.stage("good", cleanup=2), stage("x", failing(1))], cancel_grace=5
    )
    results = await pipeline.start(event_sink=recorder).outcome()
    assert now() == 6.0
    assert results.stragglers == ("stubborn",)
    assert [output.status for output in results.values()] == [CANCEL, CANCEL, FAIL]
    assert results["stubborn"].reason == "stage 'x' failed"
    assert recorder.of("stage.stubborn.straggling")["data"] == {"cancel_grace_s": 5}
    assert recorder.types.count("stage.stubborn.cancelled") == 1
    assert "Stage 'stubborn' did not stop within 5 s" in caplog.text
    assert cleanup.done == [("good", 3.0)]


@simulated
async def test_cancel_grace_is_five_seconds_unless_given():
    """Without an option a straggler has 5 s."""
    await Pipeline("s", [stage("stubborn", ignoring(60)), stage("x", failing(1))]).start().outcome()
    assert now() == 6.0


@simulated
async def test_a_stage_within_its_grace_is_no_straggler():
    """A stage that takes most of the grace period to stop is waited for."""
    stages = [stage("slow", ignoring(5.5)), stage("x", failing(1))]
    results = await Pipeline("s", stages, cancel_grace=5).start().outcome()
    assert (now(), results.stragglers, results["slow"].status) == (5.5, (), OK)


@simulated
async def test_what_a_straggler_does_later_changes_nothing(recorder, caplog):
    """The record, the results and the events stay as they were; the log tells how it ended."""
    caplog.set_level(logging.WARNING)
    pipeline = Pipeline("s", [stage("stubborn", ignoring(60)), stage("x", failing(1))])
    results = await pipeline.start(event_sink=recorder).outcome()
    written, types = results.to_dict(), recorder.types
    await asyncio.sleep(100)
    assert results.to_dict() == written
    assert recorder.types == types
    assert "'stubborn' ended after its run had left it behind" in caplog.text


@simulated
async def test_without_grace_a_stage_that_stops_at_once_is_no_straggler(cleanup):
    """cancel_grace=0 still gives every stage its CancelledError and the turn to act on it."""
    before = asyncio.all_tasks()
    stages = [cleanup.stage("a"), stage("x", failing(1))]
    results = await Pipeline("z", stages, cancel_grace=0).start().outcome()
    assert results.stragglers == ()
    assert cleanup.done == [("a", 1.0)]
    assert asyncio.all_tasks() == before


@simulated
async def test_without_grace_a_stage_that_lingers_is_a_straggler(cleanup):
    """cancel_grace=0 waits for nobody."""
    stages = [cleanup.stage("a", cleanup=1), stage("x", failing(1))]
    results = await Pipeline("z", stages, cancel_grace=0).start().outcome()
    assert results.stragglers == ("a",)
    assert now() == 1.0
    await asyncio.sleep(2)


@simulated
async def test_a_straggler_that_was_cancelled_by_the_caller(caplog):
    """A caller's cancellation propagates when the grace period is over, whatever a stage does."""
    task = asyncio.create_task(Pipeline("s", [stage("stubborn", ignoring(60))]).run())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == 6.0
    assert "'stubborn'" in caplog.text
    await asyncio.sleep(100)


@simulated
async def test_nothing_starts_once_the_run_is_stopping(cleanup):
    """A stage that becomes ready while the run winds down does not start."""
    ran = []

    async def note(ctx: StageContext):
        ran.append(ctx.stage_name)

    stages = [
        stage("slow", ignoring(3)),
        stage("behind_slow", note, dependencies="slow"),
        stage("x", failing(1)),
    ]
    results = await Pipeline("s", stages).start().outcome()
    assert ran == []
    assert results["behind_slow"].status is CANCEL


@simulated
async def test_a_run_inside_a_stage_is_cancelled_with_it(cleanup):
    """A pipeline that a stage runs itself is cancelled and awaited when the stage is."""
    inner = Pipeline("inner", [cleanup.stage("deep", cleanup=2)])

    async def outer():
        await inner.run()

    results = await Pipeline("outer", [stage("outer", outer), stage("x", failing(1))]).start().outcome()
    assert results["outer"].status is CANCEL
    assert cleanup.done == [("deep", 3.0)]


@simulated
async def test_wide_and_deep_graphs_run():
    """A chain of 10,000 and a fan of 10,000 run, and the last of each reads what was before it."""

    def adding(before):
        async def execute(ctx: StageContext):
            return {"n": ctx.inputs.get_from(before, "n") + 1}

        return execute

    async def start():
        return {"n": 0}

    chain = [stage("c0", start)]
    chain += [stage(f"c{i}", adding(f"c{i - 1}"), dependencies=f"c{i - 1}") for i in range(1, 10_000)]
    fan = [stage(f"f{i}", adding("c0"), dependencies="c0") for i in range(10_000)]

    async def total(ctx: StageContext):
        return {"n": sum(ctx.inputs.get_from(f"f{i}", "n") for i in range(10_000))}

    last = stage("total", total, dependencies=[f"f{i}" for i in range(10_000)])
    results = await Pipeline("large", [*chain, *fan, last]).run()
    assert results.data("c9999") == {"n": 9_999}
    assert results.data("total") == {"n": 10_000}


@simulated
async def test_a_wide_fan_that_waits_is_cancelled_as_a_whole():
    """Ten thousand stages that wait are all cancelled, and awaited."""
    ended = 0

    async def waits():
        nonlocal ended
        try:
            await asyncio.sleep(100)
        finally:
            ended += 1

    before = asyncio.all_tasks()
    stages = [*(stage(f"f{i}", waits) for i in range(10_000)), stage("x", failing(1))]
    results = await Pipeline("wide", stages).start().outcome()
    assert ended == 10_000
    assert sum(output.status is CANCEL for output in results.values()) == 10_000
    assert asyncio.all_tasks() == before


@simulated
async def test_a_thousand_concurrent_runs_see_nothing_of_each_other():
    """Runs of one graph share it and nothing else: each reads its own input, outputs and instances."""

    class Counter:
        def __init__(self):
            self.calls = 0

        async def execute(self, ctx):
            self.calls += 1
            await asyncio.sleep(int(ctx.snapshot.input_text) % 7)
            return {"calls": self.calls, "input": ctx.snapshot.input_text}

    async def echo(ctx: StageContext, count: dict):
        await asyncio.sleep(0)
        return {"text": ctx.snapshot.input_text, "count": count}

    async def odd_ones_fail(ctx: StageContext, echo: dict):
        return StageOutput.fail("odd") if int(ctx.snapshot.input_text) % 2 else {"even": True}

    graph = Pipeline("shared", [stage("count", Counter), stage("echo", echo), stage("odd", odd_ones_fail)]).build()
    runs = [graph.start(input_text=str(i)) for i in range(1000)]
    for i, run in enumerate(runs):
        results = await run.outcome()
        assert results.data("echo") == {"text": str(i), "count": {"calls": 1, "input": str(i)}}
        assert results.status == ("failed" if i % 2 else "completed")
    assert len({run.id for run in runs}) == 1000
    assert now() == 6.0


@simulated
async def test_a_failing_run_leaves_other_runs_of_the_graph_alone(cleanup):
    """Cancelling one run of a graph does not touch another one."""

    async def execute(ctx: StageContext):
        await asyncio.sleep(5)
        return {}

    graph = Pipeline("shared", [stage("s", execute)]).build()
    first, second = graph.start(), graph.start()
    await asyncio.sleep(1)
    first.cancel()
    assert (await first.outcome()).status == "cancelled"
    assert (await second).status == "completed"
