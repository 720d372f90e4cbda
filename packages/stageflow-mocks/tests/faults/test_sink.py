"""Event sinks that fail by a plan."""

import asyncio

import pytest
from stageflow import Pipeline, StageContext
from stageflow_mocks.faults import FailingEventSink, FaultPlan, FaultPlanError, FaultRule
from stageflow_mocks.simulation import simulated


class Kept:
    """A sink that keeps the types of what it gets."""

    def __init__(self):
        self.types = []

    async def emit(self, *, type, data):
        self.types.append(type)

    def try_emit(self, *, type, data):
        self.types.append(type)


async def work(ctx: StageContext):
    await asyncio.sleep(1)
    return {"n": 1}


CHAT = Pipeline("chat").with_stage("a", work).with_stage("b", work, dependencies="a")


async def run_with(*rules, seed=0):
    """Run the pipeline; return what the sink kept, its results and the sink."""
    kept = Kept()
    sink = FailingEventSink(kept, FaultPlan(*rules, seed=seed))
    return kept.types, await CHAT.run(event_sink=sink), sink


@simulated
@pytest.mark.parametrize("fault", ["sink_raises", "sink_drops"])
async def test_what_a_sink_loses_is_counted_and_changes_no_run(fault):
    """One event of a stage, and the last one of the run."""
    whole, _, _ = await run_with()
    for event in ("stage.a.started", "pipeline.completed"):
        types, results, sink = await run_with(FaultRule(fault=fault, event=event))
        assert ("completed", 1) == (results.status, results.events_lost)
        assert [type for type in whole if type != event] == types
        assert [{"fault": fault, "event": event, "call": 1, "struck": True}] == sink.record()["injected"]


@simulated
async def test_a_sink_that_hangs_does_not_hold_the_run():
    """It can hang at the last event alone; at others the record says that nothing was done."""
    types, results, sink = await run_with(FaultRule(fault="sink_hangs", event="*.completed"))
    assert ("completed", 1) == (results.status, results.events_lost)
    assert "pipeline.completed" not in types
    struck = {entry["event"]: entry["struck"] for entry in sink.record()["injected"]}
    assert {"pipeline.completed": True, "stage.a.completed": False, "stage.b.completed": False} == struck


@simulated
async def test_a_rate_of_events_is_lost_and_the_record_replays_it():
    """The same events, though nothing of the seed is left."""
    types, results, sink = await run_with(FaultRule(fault="sink_drops", event="*", rate=0.5), seed=5)
    assert 0 < results.events_lost < 8
    again, repeated, _ = await run_with(*FaultPlan.replay(sink.record()).rules)
    assert (types, results.events_lost) == (again, repeated.events_lost)


@simulated
async def test_a_rule_about_no_event_is_found_after_the_run():
    """With the nearest type."""
    _, _, sink = await run_with(FaultRule(fault="sink_drops", event="stage.a.start"))
    with pytest.raises(FaultPlanError, match=r"no event is called 'stage.a.start'. Did you mean 'stage.a.started'\?"):
        sink.check()


def test_it_takes_a_sink_and_a_plan():
    """Anything else is refused when it is made."""
    with pytest.raises(TypeError, match="takes an EventSink"):
        FailingEventSink(3, FaultPlan())
    with pytest.raises(TypeError, match="takes a FaultPlan"):
        FailingEventSink(Kept(), {})


class WithTimes(Kept):
    """Keeps the times of the events as well."""

    def __init__(self):
        super().__init__()
        self.times = []

    def try_emit(self, *, type, data):
        super().try_emit(type=type, data=data)
        self.times.append(data["timestamp"])


@simulated
async def test_events_may_come_from_a_machine_whose_clock_is_off():
    """What orders them by their timestamps gets another order; nothing is lost, the events' own data stays."""
    slow = FaultRule(fault="clock_skew", event="stage.*", rate=0.5, seconds=-5)
    kept = WithTimes()
    sink = FailingEventSink(kept, FaultPlan(slow, seed=2))
    results = await CHAT.run(event_sink=sink)
    entries = sink.record()["injected"]
    assert (0, {-5.0}) == (results.events_lost, {entry["seconds"] for entry in entries})
    assert sorted(kept.times) != kept.times
    struck = {entry["event"] for entry in entries}
    right = [time + 5 * (type in struck) for type, time in zip(kept.types, kept.times, strict=False)]
    assert sorted(right) == right
    assert all(entry["struck"] for entry in entries)


@simulated
async def test_an_event_without_a_time_is_let_be():
    """It is not of a run; and what is given to the sink is not changed."""
    kept, sent = [], {"timestamp": 100.0}

    class Sink(Kept):
        def try_emit(self, *, type, data):
            kept.append(data)

    sink = FailingEventSink(Sink(), FaultPlan(FaultRule(fault="clock_skew", event="*")))
    for data in (None, {"a": 1}, sent):
        sink.try_emit(type="mine", data=data)
    await sink.emit(type="last", data={"timestamp": 1.0})
    assert ([None, {"a": 1}, {"timestamp": 3700.0}], {"timestamp": 100.0}) == (kept, sent)
    assert [True, False, False, True] == [entry["struck"] for entry in sink.record()["injected"]]
