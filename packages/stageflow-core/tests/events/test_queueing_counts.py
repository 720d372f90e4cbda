"""That the counts of the queue add up, whatever is given to it and whatever its sink does."""

import asyncio
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stageflow.events.queueing import QueueingEventSink
from stageflow_mocks.simulation import run

TYPES = ["new", "old", "blocks", "x.failed"]
ON_FULL = {"old": "drop_oldest", "blocks": "block"}


def counted(queue):
    """Return the statistics, once they have been found to add up."""
    found = queue.statistics()
    assert found.received == found.delivered + found.dropped + found.failed + found.queued
    assert found.dropped == sum(found.dropped_by_class.values())
    assert found.high_water >= found.queued
    return found


def tasks():
    return asyncio.all_tasks() - {asyncio.current_task()}


class Fickle:
    """A sink that does each time the next of what it is told."""

    def __init__(self, faults):
        self.faults = faults
        self.began = []
        self.ended = []

    def try_emit(self, *, type, data):
        raise AssertionError("the queue awaits `emit`")

    async def emit(self, *, type, data):
        self.began.append(data["number"])
        await self.faults[len(self.began) % len(self.faults)]()
        self.ended.append(data["number"])


async def nap():
    await asyncio.sleep(0.5)


async def take():
    pass


async def hang():
    await asyncio.sleep(1_000_000)


async def finish_late():
    try:
        await hang()
    except asyncio.CancelledError:
        await asyncio.sleep(0.7)


def raising(error):
    async def fault():
        raise error

    return fault


class Model:
    """What a queue of these classes holds while nothing is delivered, by lists alone."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.waiting = []
        self.dropped = []

    def give(self, number, type, run_id):
        if len(self.waiting) >= self.capacity and type in {"new", "old"}:
            old = [event for event in self.waiting if event[1] == "old"]
            if type == "new" or not old:
                self.dropped.append((number, type, run_id))
                return False
            self.waiting.remove(old[0])
            self.dropped.append(old[0])
            self.waiting.append((number, type, run_id))
            return old[0][2] != run_id
        self.waiting.append((number, type, run_id))
        return True


@settings(deadline=None)
@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.sampled_from(TYPES), st.sampled_from(["one", "two"])), max_size=40),
)
def test_what_waits_and_what_is_dropped_are_as_in_the_model(capacity, given_events):
    """Event by event, and so are the answers; then the sink gets what waits, in order."""
    sink, model = Fickle([take]), Model(capacity)
    queue = QueueingEventSink(sink, capacity=capacity, on_full=ON_FULL)
    for number, (type, run_id) in enumerate(given_events):
        answer = queue.try_emit(type=type, data={"number": number, "pipeline_run_id": run_id})
        assert model.give(number, type, run_id) == answer
        found = counted(queue)
        assert (len(model.waiting), len(model.dropped)) == (found.queued, found.dropped)
        assert found.queued <= capacity + found.overflowed
    assert not [event for event in model.dropped if event[1] in {"blocks", "x.failed"}]
    run(queue.close())
    assert [number for number, _, _ in model.waiting] == sink.ended
    assert (len(sink.ended), 0) == (counted(queue).delivered, counted(queue).queued)


faults = st.sampled_from([take, nap, hang, finish_late, raising(LookupError()), raising(asyncio.CancelledError())])
steps = st.one_of(
    st.tuples(st.sampled_from(["try_emit", "emit"]), st.sampled_from(TYPES)),
    st.tuples(st.just("sleep"), st.sampled_from([0, 0.3, 1, 4])),
    st.sampled_from([("cancel", None), ("close", None)]),
)


async def do(queue, step, detail, data):
    """Do one step of a script; return how many events the queue said that it dropped."""
    before = counted(queue).dropped
    if step == "try_emit":
        return queue.try_emit(type=detail, data=data) is False
    if step == "emit":
        await queue.emit(type=detail, data=data)
        return counted(queue).dropped - before
    if step == "sleep":
        await asyncio.sleep(detail)
    elif step == "close":
        await queue.close()
    else:
        for task in tasks():
            task.cancel()
    return 0


@pytest.fixture
def silence():
    """Keep what is logged from slowing thousands of examples down."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("silence")
@given(st.integers(1, 3), st.lists(faults, min_size=1, max_size=6), st.lists(steps, max_size=25))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_counts_add_up_whatever_happens(capacity, faults, script):
    """With sinks that raise, hang and come late, tasks that are cancelled, and events that come after the end."""

    async def main():
        sink = Fickle(faults)
        options = {"delivery_timeout": 2, "room_timeout": 0.2, "close_timeout": 6}
        queue = QueueingEventSink(sink, capacity=capacity, on_full=ON_FULL, **options)
        dropped = 0
        for number, (step, detail) in enumerate(script):
            dropped += await do(queue, step, detail, {"number": number, "pipeline_run_id": "r"})
            assert dropped == counted(queue).dropped
        await queue.close()
        found = counted(queue)
        assert (0, set()) == (found.queued, tasks())
        assert sum(step in {"try_emit", "emit"} for step, _ in script) == found.received
        assert len(set(sink.ended)) == len(sink.ended) == found.delivered
        assert (sorted(sink.began), sorted(sink.ended)) == (sink.began, sink.ended)
        if ("close", None) not in script:
            assert {"*", "old"} >= found.dropped_by_class.keys()

    run(main())
