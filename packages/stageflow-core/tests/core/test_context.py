"""What a stage sees of its run, and what it may say."""

import asyncio

import pytest
from stageflow import ContextSnapshot, Pipeline, StageContext, StageStatus, stage
from stageflow.errors import SerializationError
from stageflow_mocks.simulation import simulated


@simulated
async def test_a_stage_sees_what_the_run_was_asked_and_given(recorder):
    """Snapshot, ports, names, attempt, sink and timer are those of the run."""
    seen = []
    ports, snapshot = object(), ContextSnapshot(input_text="hi", metadata={"k": 1})

    async def execute(ctx: StageContext):
        await asyncio.sleep(0.25)
        seen.append(ctx)

    await Pipeline("p", [stage("s", execute)]).run(snapshot, ports=ports, event_sink=recorder)
    (ctx,) = seen
    assert (ctx.snapshot, ctx.ports, ctx.stage_name, ctx.attempt) == (snapshot, ports, "s", 1)
    assert ctx.event_sink is recorder
    assert ctx.timer.elapsed_ms == 250.0


@simulated
async def test_the_idempotency_key_is_of_this_run_and_stage():
    """Two stages of a run, and one stage of two runs, have different keys; a run's id is in it."""
    keys = []

    async def execute(ctx: StageContext):
        assert ctx.idempotency_key == ctx.idempotency_key
        keys.append((ctx.snapshot.run_id.pipeline_run_id, ctx.idempotency_key))

    pipeline = Pipeline("p", [stage("a", execute), stage("b", execute)])
    await pipeline.run()
    await pipeline.run()
    assert len({key for _, key in keys}) == 4
    assert all(run_id in key for run_id, key in keys)


@simulated
async def test_a_stage_may_emit_events_of_its_own(recorder):
    """emit_event publishes under the stage's own type, with its name, attempt, and a copy of the data."""

    async def execute(ctx: StageContext):
        data = {"n": [1]}
        ctx.emit_event("mine", data)
        data["n"].append(2)
        ctx.emit_event("bare")

    await Pipeline("p", [stage("s", execute)]).run(event_sink=recorder)
    mine = recorder.of("mine")
    assert (mine["stage"], mine["attempt"], mine["data"], mine["sequence"]) == ("s", 1, {"n": [1]}, 4)
    assert recorder.of("bare")["data"] == {}


@pytest.mark.parametrize("data", [{"raw": {b"x"}}, {"x": object()}, [1]])
@simulated
async def test_what_is_not_json_is_refused(data, recorder):
    """emit_event raises in the stage that gave the data, and nothing is published."""

    async def execute(ctx: StageContext):
        with pytest.raises(SerializationError, match=r"\$"):
            ctx.emit_event("mine", data)

    await Pipeline("p", [stage("s", execute)]).run(event_sink=recorder)
    assert "mine" not in recorder.types


@simulated
async def test_the_type_of_an_event_is_text(recorder):
    """emit_event raises a TypeError in the stage that gave another type, and nothing is published."""

    async def execute(ctx: StageContext):
        with pytest.raises(TypeError, match="The type of an event is a string, not an int"):
            ctx.emit_event(5)

    await Pipeline("p", [stage("s", execute)]).run(event_sink=recorder)
    assert 5 not in recorder.types


@simulated
async def test_a_sinks_fault_never_reaches_the_stage(recorder):
    """emit_event does not raise what the sink raised."""

    def fault(*, type, data):
        raise LookupError(type)

    recorder.try_emit = fault

    async def execute(ctx: StageContext):
        ctx.emit_event("mine")
        return {"went": "on"}

    results = await Pipeline("p", [stage("s", execute)]).run(event_sink=recorder)
    assert results.data("s") == {"went": "on"}
    assert results.events_lost == 5


async def fails():
    await asyncio.sleep(1)
    raise LookupError


@simulated
async def test_cancelled_tells_that_the_run_is_ending():
    """The probe is False while the run goes on, and True once it is stopping."""
    seen = []

    async def execute(ctx: StageContext):
        seen.append(ctx.cancelled)
        ctx.raise_if_cancelled()
        await ctx.checkpoint()
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            seen.append(ctx.cancelled)
            with pytest.raises(asyncio.CancelledError, match="stage 'f' failed"):
                ctx.raise_if_cancelled()
            raise

    results = await Pipeline("p", [stage("s", execute), stage("f", fails)]).start().outcome()
    assert seen == [False, True]
    assert results["s"].status is StageStatus.CANCEL


@simulated
async def test_a_checkpoint_ends_a_long_computation():
    """A stage that computes with checkpoints gives others their turn, and ends when the run does."""
    rounds = 0

    async def computes(ctx: StageContext):
        nonlocal rounds
        for _ in range(1000):
            await ctx.checkpoint()
            rounds += 1

    async def fails_soon():
        for _ in range(10):
            await asyncio.sleep(0)
        raise LookupError

    results = await Pipeline("p", [stage("c", computes), stage("f", fails_soon)]).start().outcome()
    assert results["c"].status is StageStatus.CANCEL
    assert 5 < rounds < 20


@simulated
async def test_a_checkpoint_after_a_swallowed_cancellation_raises():
    """A stage that swallowed its CancelledError is told again at the next checkpoint."""

    async def stubborn(ctx: StageContext):
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await ctx.checkpoint()

    results = await Pipeline("p", [stage("s", stubborn), stage("f", fails)]).start().outcome()
    assert results["s"].status is StageStatus.CANCEL
