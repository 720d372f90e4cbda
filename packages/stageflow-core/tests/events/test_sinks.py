"""The sinks of core, and which of them a run uses."""

import asyncio
import logging

import pytest
from stageflow import (
    LoggingEventSink,
    NoOpEventSink,
    Pipeline,
    StageContext,
    clear_event_sink,
    get_event_sink,
    set_event_sink,
    stage,
)
from stageflow.events.sinks import check_sink
from stageflow_mocks.simulation import simulated


async def instant(ctx: StageContext):
    return {"sink": type(ctx.event_sink).__name__}


ONE = Pipeline("one", [stage("s", instant)])


@simulated
async def test_the_current_sink_is_used(recorder):
    """Without an argument a run takes the sink that was set in its context."""
    set_event_sink(recorder)
    await ONE.run()
    assert recorder.types[0] == "pipeline.created"
    assert get_event_sink() is recorder


@simulated
async def test_an_argument_beats_the_current_sink(recorder):
    """event_sink= wins over the sink of the context."""
    set_event_sink(LoggingEventSink())
    results = await ONE.run(event_sink=recorder)
    assert len(recorder.types) == 5
    assert results.data("s") == {"sink": "Recorder"}


@simulated
async def test_no_sink_can_be_asked_for(recorder):
    """A NoOpEventSink given to a run silences it, whatever the context holds."""
    set_event_sink(recorder)
    results = await ONE.run(event_sink=NoOpEventSink())
    assert recorder.types == []
    assert results.data("s") == {"sink": "NoOpEventSink"}


@simulated
async def test_a_cleared_sink_is_gone(recorder):
    """After clear_event_sink runs have no sink."""
    set_event_sink(recorder)
    clear_event_sink()
    await ONE.run()
    assert recorder.types == []
    assert isinstance(get_event_sink(), NoOpEventSink)


@simulated
async def test_the_current_sink_belongs_to_a_context(recorder):
    """A sink set in one task is not seen by another."""

    async def sets():
        set_event_sink(recorder)

    await asyncio.create_task(sets())
    await ONE.run()
    assert recorder.types == []


@simulated
async def test_a_reader_beside_no_sink(recorder):
    """With readers only, a stage's event_sink is one that takes nothing."""
    run = ONE.start()
    events = [event async for event in run.events()]
    assert len(events) == 5
    assert (await run).data("s") == {"sink": "NoOpEventSink"}


class NoTryEmit:
    async def emit(self, *, type, data): ...


class PlainEmit:
    def emit(self, *, type, data): ...

    def try_emit(self, *, type, data): ...


class AsyncTryEmit:
    async def emit(self, *, type, data): ...

    async def try_emit(self, *, type, data): ...


@pytest.mark.parametrize("wrong", [object(), NoTryEmit(), PlainEmit(), AsyncTryEmit(), print])
def test_what_is_not_a_sink_is_refused_at_once(wrong):
    """A run, and set_event_sink, refuse what lacks the two methods or has them the wrong way round."""
    with pytest.raises(
        TypeError,
        match=r"^The event sink is not an EventSink, but .*expected: `(async def emit|def try_emit)\(self, \*, ",
    ):
        set_event_sink(wrong)
    with pytest.raises(TypeError, match="is not an EventSink"):
        simulated(ONE.run)(event_sink=wrong)


def test_core_sinks_are_sinks(recorder):
    """The sinks of core pass the check that a user's sink must pass."""
    for sink in (NoOpEventSink(), LoggingEventSink(), recorder):
        assert check_sink(sink) is sink


@simulated
async def test_the_no_op_sink_takes_everything():
    """Both methods of NoOpEventSink do nothing."""
    sink = NoOpEventSink()
    assert sink.try_emit(type="x", data={}) is None
    assert await sink.emit(type="x", data=None) is None


@simulated
async def test_the_logging_sink_writes_every_event(caplog):
    """One record an event, its text readable, its fields as extra."""
    caplog.set_level(logging.INFO, "stageflow.events")
    results = await ONE.run(event_sink=LoggingEventSink())
    types = [record.stageflow["event_type"] for record in caplog.records]
    assert types == [
        "pipeline.created",
        "pipeline.started",
        "stage.s.started",
        "stage.s.completed",
        "pipeline.completed",
    ]
    assert caplog.records[0].getMessage() == f"pipeline.created (run {results.pipeline_run_id})"
    assert " ms (run " in caplog.records[3].getMessage()
    assert {record.name for record in caplog.records} == {"stageflow.events"}
    assert {record.levelno for record in caplog.records} == {logging.INFO}


@simulated
async def test_the_logging_sink_takes_a_logger_and_a_level(caplog):
    """Where to and at what level can be chosen."""
    caplog.set_level(logging.DEBUG, "mine")
    await ONE.run(event_sink=LoggingEventSink(logging.getLogger("mine"), level=logging.DEBUG))
    assert {(record.name, record.levelno) for record in caplog.records} == {("mine", logging.DEBUG)}


def test_the_logging_sink_takes_an_event_without_data(caplog):
    """data=None, which the protocol allows, is written too."""
    caplog.set_level(logging.INFO, "stageflow.events")
    LoggingEventSink().try_emit(type="custom", data=None)
    assert caplog.records[0].getMessage() == "custom (run None)"


class ListSink(list):
    """A sink that is a container, and so false while it is empty."""

    async def emit(self, *, type, data):
        self.append(type)

    def try_emit(self, *, type, data):
        self.append(type)


class HalfSink(NoOpEventSink):
    """A sink that overrides half of the one that does nothing."""

    def __init__(self):
        self.types = []

    def try_emit(self, *, type, data):
        self.types.append(type)


async def test_an_empty_container_is_a_sink_all_the_same():
    """Whether a sink is there is a question of identity, not of truth."""
    sink = ListSink()
    set_event_sink(sink)
    assert get_event_sink() is sink
    await Pipeline("p", [noop]).run()
    assert sink[-1] == "pipeline.completed"


async def test_a_subclass_of_the_sink_that_does_nothing_gets_events():
    """It is the natural way to write a sink that wants only some of them."""
    sink = HalfSink()
    await Pipeline("p", [noop]).run(event_sink=sink)
    assert "stage.noop.completed" in sink.types


@stage
async def noop():
    """Do nothing."""
