"""Runs whose sink is a queue: what the sink behind it does changes nothing but what is delivered."""

import asyncio

import pytest
from stageflow import Pipeline, StageArtifact, StageContext, StageOutput, set_event_sink, stage
from stageflow.events.queueing import QueueingEventSink
from stageflow_mocks.simulation import run, simulated

TICKS = 20


def now():
    return asyncio.get_running_loop().time()


async def ticks(ctx: StageContext):
    for number in range(TICKS):
        ctx.emit_event("tick", {"number": number})
        if number % 5 == 4:
            await asyncio.sleep(0.1)
    return StageOutput.ok(n=TICKS).publishing(StageArtifact("chart", {"points": [1]}))


async def doubles(ctx: StageContext):
    return {"n": 2 * ctx.inputs.require_from("ticks", "n")}


async def fails():
    await asyncio.sleep(0.25)
    raise LookupError("no")


GOOD = Pipeline("good", [stage("ticks", ticks), stage("doubles", doubles, dependencies="ticks")])
BAD = Pipeline("bad", [stage("ticks", ticks), stage("fails", fails)])


class Behind:
    """The sink behind the queue; `take` is what it does with an event."""

    def __init__(self, take):
        self.take = take
        self.events = []

    def try_emit(self, *, type, data):
        raise AssertionError("the queue awaits `emit`")

    async def emit(self, *, type, data):
        await self.take()
        self.events.append(data)

    def types(self, run_id):
        return [event["event_type"] for event in self.events if event["pipeline_run_id"] == run_id]


async def quick():
    pass


async def slow():
    await asyncio.sleep(0.07)


async def hanging():
    await asyncio.sleep(1_000_000)


async def raising():
    raise ConnectionError("down")


TAKES = [quick, slow, hanging, raising]


def essence(results):
    """Return what must not depend on the sink."""
    outputs = {
        name: (output.status, dict(output.data), output.artifacts, output.error) for name, output in results.items()
    }
    return results.status, outputs, str(results.error), results.duration_ms


@pytest.mark.parametrize("pipeline", [GOOD, BAD], ids=["good", "bad"])
@pytest.mark.parametrize("on_full", ["block", "drop_newest", "drop_oldest"])
@pytest.mark.parametrize("take", TAKES, ids=lambda take: take.__name__)
@simulated
async def test_a_run_ends_as_it_would_without_a_sink(take, on_full, pipeline):
    """In the same time, with the same outcome of every stage, and only the last event waits for room."""
    alone = await pipeline.start().outcome()
    began = now()
    async with QueueingEventSink(Behind(take), capacity=5, on_full=on_full) as queue:
        results = await pipeline.start(event_sink=queue).outcome()
        assert essence(alone) == essence(results)
        assert now() - began <= alone.duration_ms / 1_000 + 1.0 + 1e-9
        found = queue.statistics()
        assert found.received == found.delivered + found.dropped + found.failed + found.queued
        assert results.events_lost == found.dropped
        assert "block" != on_full or not found.dropped
    assert found.received == queue.statistics().received


@pytest.mark.parametrize("on_full", ["block", "drop_newest", "drop_oldest"])
@simulated
async def test_what_is_lost_and_what_arrives_are_the_whole_story(on_full):
    """Of a run alone: delivered and lost together are all its events, and the last one always arrives."""
    sink = Behind(slow)
    async with QueueingEventSink(sink, capacity=5, on_full=on_full) as queue:
        results = await GOOD.run(event_sink=queue)
    numbers = [event["sequence"] for event in sink.events]
    assert sorted(numbers) == numbers
    assert queue.statistics().received == len(numbers) + results.events_lost == numbers[-1]
    assert sink.events[-1]["event_type"] == "pipeline.completed"
    assert (results.events_lost > 0) == (on_full != "block")


@simulated
async def test_a_run_whose_queue_is_closed_has_lost_all_its_events():
    """The last one, too."""
    queue = QueueingEventSink(Behind(quick))
    await queue.close()
    results = await GOOD.run(event_sink=queue)
    assert (results.status, results.events_lost) == ("completed", queue.statistics().dropped)
    assert queue.statistics().received == queue.statistics().dropped > TICKS


@simulated
async def test_events_by_class_lose_what_they_may_lose():
    """Ticks make room, the stages' own story stays."""
    sink = Behind(slow)
    async with QueueingEventSink(sink, capacity=4, on_full={"tick": "drop_oldest", "*": "block"}) as queue:
        results = await BAD.start(event_sink=queue).outcome()
    types = sink.types(results.pipeline_run_id)
    assert [type for type in types if type != "tick"] == [
        "pipeline.created",
        "pipeline.started",
        "stage.ticks.started",
        "stage.fails.started",
        "stage.fails.failed",
        "stage.ticks.cancelled",
        "pipeline.failed",
    ]
    assert queue.statistics().dropped_by_class == {"tick": results.events_lost}
    assert 0 < results.events_lost < TICKS


@simulated
async def test_concurrent_runs_share_a_queue():
    """Each run's events arrive in its order, and the counts are those of all."""
    sink = Behind(quick)
    async with QueueingEventSink(sink, capacity=10_000) as queue:
        all_results = await asyncio.gather(*(GOOD.run(event_sink=queue) for _ in range(20)))
    for results in all_results:
        sequence = [event["sequence"] for event in sink.events if event["pipeline_run_id"] == results.pipeline_run_id]
        assert sequence == list(range(1, len(sequence) + 1))
        assert (results.events_lost, sink.types(results.pipeline_run_id)[-1]) == (0, "pipeline.completed")
    assert queue.statistics().delivered == len(sink.events) == queue.statistics().received
    runs_in_order = [event["pipeline_run_id"] for event in sink.events]
    assert len(set(runs_in_order[:20])) > 1  # their events are mixed


@simulated
async def test_concurrent_runs_are_told_of_no_more_than_is_dropped():
    """An event that made room for another run's is in the statistics only."""
    async with QueueingEventSink(Behind(slow), capacity=10, on_full="drop_oldest") as queue:
        all_results = await asyncio.gather(*(GOOD.run(event_sink=queue) for _ in range(20)))
        assert 0 < sum(results.events_lost for results in all_results) <= queue.statistics().dropped


@simulated
async def test_the_last_events_of_runs_slow_them_down_to_the_pace_of_the_sink():
    """They are never dropped, so each waits for room: not for ever, and no run counts it as lost."""
    async with QueueingEventSink(Behind(hanging), capacity=1, room_timeout=0.5, close_timeout=0) as queue:
        results = await GOOD.run(event_sink=queue)
        assert now() == pytest.approx(results.duration_ms / 1_000 + 0.5)
        assert queue.statistics().dropped == results.events_lost


def test_a_queue_for_the_whole_program_serves_run_after_run():
    """What one event loop leaves undone goes on in the next, and in the one that closes the queue."""
    sink = Behind(quick)
    queue = QueueingEventSink(sink)
    token = set_event_sink(queue)
    try:
        ids = [GOOD.run_sync().pipeline_run_id for _ in range(3)]
    finally:
        token.var.reset(token)
    run(queue.close())
    found = queue.statistics()
    assert (found.delivered, found.failed, found.dropped) == (found.received, 0, 0)
    for run_id in ids:
        assert sink.types(run_id)[0] == "pipeline.created"
        assert sink.types(run_id)[-1] == "pipeline.completed"
        assert sink.types(run_id).count("tick") == TICKS
