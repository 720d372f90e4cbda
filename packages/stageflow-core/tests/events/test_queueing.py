"""The queue in front of a slow sink: what it keeps, what it drops, and that it counts right."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Awaitable

import pytest
from stageflow import clear_event_sink, get_event_sink, set_event_sink
from stageflow.errors import ForeignLoopError, InvalidOptionError
from stageflow.events.queueing import STOP_GRACE, QueueingEventSink, QueueStatistics
from stageflow.events.sinks import check_sink
from stageflow_mocks.simulation import VirtualClockLoop, run, simulated


def now():
    return asyncio.get_running_loop().time()


class Slow:
    """A sink that takes so many seconds for each event, or does what it is told for one of a certain type."""

    def __init__(self, seconds=1.0, **behaviours):
        self.seconds = seconds
        self.behaviours = behaviours
        self.taken = []
        self.began = []

    def try_emit(self, *, type, data):
        raise AssertionError("the queue awaits `emit`")

    async def emit(self, *, type, data):
        self.began.append(type)
        await self.behaviours.get(type, self.take)()
        self.taken.append(type)

    async def take(self):
        await asyncio.sleep(self.seconds)


async def hang():
    await asyncio.sleep(1_000_000)


async def ignore_the_first_cancellation():
    try:
        await hang()
    except asyncio.CancelledError:
        await asyncio.sleep(1)


async def ignore_every_cancellation():
    until = now() + 1_000
    while now() < until:
        try:
            await asyncio.sleep(until - now())
        except asyncio.CancelledError:
            continue


def raising(error):
    async def fault():
        raise error

    return fault


def counted(queue):
    """Return the statistics, once they have been found to add up."""
    found = queue.statistics()
    assert found.received == found.delivered + found.dropped + found.failed + found.queued
    assert found.dropped == sum(found.dropped_by_class.values())
    assert found.high_water >= found.queued
    return found


def give(queue, *types, run_id="r"):
    """Give events to a queue, and return its answers."""
    return [queue.try_emit(type=type, data={"pipeline_run_id": run_id}) for type in types]


def tasks():
    return asyncio.all_tasks() - {asyncio.current_task()}


@simulated
async def test_events_reach_the_sink_in_order_while_nobody_waits():
    """To emit takes no time; the sink gets one after the other."""
    sink = Slow(1.0)
    async with QueueingEventSink(sink) as queue:
        assert [True] * 3 == give(queue, "a", "b", "c")
        assert (0.0, []) == (now(), sink.began)
        await asyncio.sleep(1.5)
        assert (["a", "b"], ["a"]) == (sink.began, sink.taken)
        assert counted(queue) == QueueStatistics(
            received=3,
            delivered=1,
            dropped=0,
            dropped_by_class={},
            evicted=0,
            failed=0,
            queued=2,
            high_water=3,
            overflowed=0,
        )
    assert (["a", "b", "c"], 3.0) == (sink.taken, now())


@simulated
async def test_the_sink_gets_what_was_given():
    """The very type and data, None included."""
    got = []

    class Keeps(Slow):
        async def emit(self, *, type, data):
            got.append((type, data))

    data = {"x": 1}
    async with QueueingEventSink(Keeps()) as queue:
        queue.try_emit(type="a", data=data)
        await queue.emit(type="b", data=None)
    assert [("a", data), ("b", None)] == got
    assert got[0][1] is data


def test_it_is_a_sink():
    """It passes the check that every sink must pass."""
    queue = QueueingEventSink(Slow())
    assert check_sink(queue) is queue


@simulated
async def test_no_task_waits_while_there_is_nothing_to_deliver():
    """The queue makes a task when an event comes, and it ends with the last."""
    queue = QueueingEventSink(Slow(1.0))
    assert set() == tasks()
    give(queue, "a", "b")
    assert 1 == len(tasks())
    await asyncio.sleep(3)
    assert set() == tasks()
    give(queue, "c")
    await asyncio.sleep(2)
    assert (3, 2) == ((found := counted(queue)).delivered, found.high_water)


# --- when it is full ---------------------------------------------------------------------------------------------


@simulated
async def test_drop_newest_drops_what_comes_to_a_full_queue():
    """And says so; what waits stays."""
    sink = Slow(1.0)
    async with QueueingEventSink(sink, capacity=2) as queue:
        assert [True, True, False, False] == give(queue, "a", "b", "c", "d")
        await asyncio.sleep(1.5)
        assert [True, False] == give(queue, "e", "f")
        assert {"*": 3} == counted(queue).dropped_by_class
    assert ["a", "b", "e"] == sink.taken
    assert (6, 3, 3, 0, 2) == (
        (found := counted(queue)).received,
        found.delivered,
        found.dropped,
        found.evicted,
        found.high_water,
    )


@simulated
async def test_drop_oldest_drops_what_waited_longest():
    """Never what is under way already; and the run, whose event it was, is told."""
    sink = Slow(1.0)
    async with QueueingEventSink(sink, capacity=3, on_full="drop_oldest") as queue:
        give(queue, "a")
        await asyncio.sleep(0.5)
        assert [True, True, False, False] == give(queue, "b", "c", "d", "e")
        assert (2, 2, {"*": 2}) == ((found := counted(queue)).dropped, found.evicted, found.dropped_by_class)
    assert ["a", "d", "e"] == sink.taken


@simulated
async def test_drop_oldest_drops_the_new_event_if_no_other_may_go():
    """All that waits is under way, or of classes that are not dropped once they wait."""
    sink = Slow(1.0)
    on_full = {"old.*": "drop_oldest", "kept.*": "drop_newest"}
    async with QueueingEventSink(sink, capacity=2, on_full=on_full, audit=["audit.*"]) as queue:
        assert [True, True, False, False] == give(queue, "kept.1", "audit.1", "old.1", "old.2")
        assert ({"old.*": 2}, 0) == ((found := counted(queue)).dropped_by_class, found.evicted)
    assert ["kept.1", "audit.1"] == sink.taken


@simulated
async def test_an_event_that_made_room_for_another_run_is_told_to_neither():
    """The one has lost nothing, the other may have ended: it is in the statistics."""
    async with QueueingEventSink(Slow(1.0), capacity=1, on_full="drop_oldest") as queue:
        give(queue, "a", run_id="one")
        assert [True] == give(queue, "b", run_id="two")
        assert [False] == give(queue, "c", run_id="two")
        assert queue.try_emit(type="d", data=None) is True
        assert queue.try_emit(type="e", data={}) is True
        assert 4 == counted(queue).evicted


@pytest.mark.parametrize("type", ["pipeline.completed", "stage.x.failed", "my.audit.x"])
@simulated
async def test_audit_events_are_never_dropped(type):
    """They wait beyond the capacity, and that is counted."""
    sink = Slow(0.5)
    async with QueueingEventSink(sink, capacity=1, on_full="drop_oldest", audit=["my.audit.*"]) as queue:
        assert [True] * 5 == give(queue, *[type] * 5)
        assert [False] == give(queue, "other")
        assert (5, 4, 5) == ((found := counted(queue)).high_water, found.overflowed, found.queued)
    assert [type] * 5 == sink.taken


@simulated
async def test_emit_of_a_class_that_blocks_waits_for_room():
    """It returns when no more wait than may."""
    sink = Slow(0.1)
    async with QueueingEventSink(sink, capacity=2, on_full={"a": "block"}) as queue:
        give(queue, "a", "a")
        await queue.emit(type="a", data=None)
        assert 0.1 == pytest.approx(now())
        assert 2 == counted(queue).queued
        await queue.emit(type="other", data=None)
        assert 0.1 == pytest.approx(now())  # it was dropped, and there is nothing to wait for
        assert 1 == counted(queue).dropped


@simulated
async def test_emit_waits_for_room_for_so_long_only():
    """Then it returns; the event waits on."""
    async with QueueingEventSink(Slow(100.0), capacity=1, on_full="block", room_timeout=0.5, close_timeout=0) as queue:
        await queue.emit(type="a", data=None)
        assert 0.0 == now()
        await asyncio.gather(*(queue.emit(type="b", data=None) for _ in range(3)))
        assert (0.5, 4) == (now(), counted(queue).queued)


@simulated
async def test_an_event_of_a_cancelled_emit_is_queued_all_the_same():
    """What blocks is never dropped."""
    sink = Slow(1.0)
    async with QueueingEventSink(sink, capacity=1, on_full="block") as queue:
        give(queue, "a")
        task = asyncio.create_task(queue.emit(type="b", data=None))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ["a", "b"] == sink.taken


# --- sinks that fail ---------------------------------------------------------------------------------------------


class Odd(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [LookupError("api_key=hunter2"), Odd("odd"), asyncio.CancelledError(), GeneratorExit()]
)
@simulated
async def test_a_sink_that_raises_loses_that_event_only(error, caplog):
    """It is counted, the first is logged without its secrets, and the next is delivered."""
    sink = Slow(1.0, bad=raising(error))
    async with QueueingEventSink(sink) as queue:
        give(queue, "a", "bad", "b", "bad", "c")
    assert (["a", "b", "c"], 2) == (sink.taken, counted(queue).failed)
    assert [1, 1] == [sum("did not reach" in message for message in caplog.messages), caplog.text.count("is closed")]
    assert type(error).__name__ in caplog.text
    assert "hunter2" not in caplog.text


@simulated
async def test_an_event_that_the_sink_drops_has_failed(caplog):
    """As a second queue behind the first does when it is closed."""
    second = QueueingEventSink(Slow())
    await second.close()
    async with QueueingEventSink(second) as queue:
        give(queue, "a", "b")
    assert (2, 2) == (counted(queue).failed, counted(second).dropped)
    assert "Event 'a' did not reach QueueingEventSink: the sink dropped it." in caplog.text


@simulated
async def test_an_emit_that_raises_when_it_is_called_loses_that_event_only():
    """An emit that is a callable object and fails at once, or gives nothing to await."""

    class Emit:
        def __call__(self, *, type, data) -> Awaitable[None]:
            if type == "raises":
                raise LookupError(type)
            return 42

    sink = Slow()
    sink.emit = Emit()
    async with QueueingEventSink(sink) as queue:
        give(queue, "raises", "gives nothing")
    assert 2 == counted(queue).failed


@simulated
async def test_a_sink_that_hangs_is_cut_off(caplog):
    """After its time limit the event has failed, and the next is delivered."""
    sink = Slow(1.0, bad=hang)
    async with QueueingEventSink(sink, delivery_timeout=3.0) as queue:
        give(queue, "bad", "a", "bad", "b")
        await asyncio.sleep(5)
        assert (["a"], 1, 1) == (sink.taken, (found := counted(queue)).failed, found.delivered)
    assert (["a", "b"], 2, 8.0) == (sink.taken, counted(queue).failed, now())
    assert "Event 'bad' did not reach Slow: the sink took longer than 3 s." in caplog.text
    assert set() == tasks()


@simulated
async def test_every_delivery_has_its_own_time():
    """Many that each keep within the limit are no reason to cut one off."""
    sink = Slow(0.9)
    async with QueueingEventSink(sink, delivery_timeout=1.0, close_timeout=60) as queue:
        give(queue, *"abcdefghij")
    assert (10, 0) == ((found := counted(queue)).delivered, found.failed)


@simulated
async def test_a_sink_that_takes_the_event_when_it_is_cut_off_has_taken_it():
    """What counts is how its emit ended."""
    sink = Slow(1.0, bad=ignore_the_first_cancellation)
    async with QueueingEventSink(sink, delivery_timeout=2.0, close_timeout=60) as queue:
        give(queue, "bad", "a")
        await asyncio.sleep(2.5)
        assert (["bad"], 2) == (sink.began, counted(queue).queued)  # in order, so the next one waits
    assert (["bad", "a"], 0, 4.0) == (sink.taken, counted(queue).failed, now())


@simulated
async def test_a_sink_that_ignores_being_cut_off_is_asked_again():
    """At each further limit, and its task is not left marked as cancelled."""
    asked = []

    async def stubborn():
        for _ in range(3):
            try:
                await hang()
            except asyncio.CancelledError:
                asked.append(now())
        assert asyncio.current_task().cancelling() == 3

    cancelling = []

    async def looks():
        cancelling.append(asyncio.current_task().cancelling())

    async with QueueingEventSink(Slow(1.0, bad=stubborn, looks=looks), delivery_timeout=2.0, close_timeout=60) as queue:
        give(queue, "bad", "looks")
    assert ([2.0, 4.0, 6.0], [0], 2) == (asked, cancelling, counted(queue).delivered)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_the_sink_is_not_swallowed(error):
    """It goes through as through any code; the event still waits, and is delivered later."""
    sink = Slow(1.0, bad=raising(error()))
    queue = QueueingEventSink(sink)

    async def interrupted():
        give(queue, "bad", "a")
        await asyncio.sleep(10)

    with pytest.raises(error):
        run(interrupted())
    assert 2 == counted(queue).queued
    sink.behaviours.clear()
    run(queue.close())
    assert ["bad", "a"] == sink.taken


# --- closing -----------------------------------------------------------------------------------------------------


@simulated
async def test_close_gives_up_after_its_time(caplog):
    """What the sink has not taken then has failed; nothing is left behind, and the log says what is lost."""
    sink = Slow(1.0)
    queue = QueueingEventSink(sink, close_timeout=2.5)
    give(queue, *"abcdef")
    await queue.close()
    assert (["a", "b"], 2.5) == (sink.taken, now())
    assert (2, 4, 0) == ((found := counted(queue)).delivered, found.failed, found.queued)
    assert set() == tasks()
    assert "before Slow is closed. Of 6 events it delivered 2 and dropped 0, and 4 failed." in caplog.text


@simulated
async def test_close_without_losses_says_nothing(caplog):
    """All is well."""
    async with QueueingEventSink(Slow(1.0)) as queue:
        give(queue, "a")
    assert [] == caplog.records


@simulated
async def test_what_comes_after_close_is_dropped(caplog):
    """Whatever its class; it is counted, and logged once."""
    sink = Slow()
    queue = QueueingEventSink(sink)
    await queue.close()
    assert [False, False] == give(queue, "gsk_abcdefghijklmnop", "pipeline.failed")
    assert await queue.emit(type="pipeline.completed", data=None) is False
    found = counted(queue)
    assert (3, {"*": 1, "*.failed": 1, "pipeline.completed": 1}) == (found.received, found.dropped_by_class)
    assert (0.0, []) == (now(), sink.taken)
    assert ["Event '[redacted, 20 characters]' came after its queue before Slow was closed, and was dropped."] == (
        caplog.messages
    )


@simulated
async def test_close_may_be_called_again_and_at_once():
    """Each call returns when all is delivered, or at once if it is."""
    sink = Slow(1.0)
    async with QueueingEventSink(sink) as queue:
        give(queue, "a", "b")
        await asyncio.gather(queue.close(), queue.close())
        assert (2.0, ["a", "b"]) == (now(), sink.taken)
        await queue.close()
    assert (2.0, 2) == (now(), counted(queue).delivered)


@simulated
async def test_a_cancelled_close_leaves_no_task():
    """The queue is closed, and what waited has failed."""
    sink = Slow(100.0)
    queue = QueueingEventSink(sink, close_timeout=60, delivery_timeout=200)
    give(queue, "a", "b")
    closing = asyncio.create_task(queue.close())
    await asyncio.sleep(1)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert (1.0, set(), 2) == (now(), tasks(), counted(queue).failed)
    assert [False] == give(queue, "c")


@simulated
async def test_a_close_that_is_cancelled_again_lets_the_sink_clean_up():
    """Further cancellations do not cut that short."""
    cleaned = []

    async def cleans_up():
        try:
            await hang()
        finally:
            await asyncio.sleep(STOP_GRACE / 2)
            cleaned.append(now())

    queue = QueueingEventSink(Slow(1.0, bad=cleans_up))
    give(queue, "bad")
    closing = asyncio.create_task(queue.close())
    await asyncio.sleep(1)
    for _ in range(3):
        closing.cancel()
        await asyncio.sleep(0.1)
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert ([1.0 + STOP_GRACE / 2], set(), 1) == (cleaned, tasks(), counted(queue).failed)


@simulated
async def test_a_sink_that_nothing_stops_is_left_behind(caplog):
    """The close returns all the same, says so, and what the sink does later is not counted again."""
    sink = Slow(1.0, bad=ignore_every_cancellation)
    queue = QueueingEventSink(sink, delivery_timeout=2.0, close_timeout=3.0)
    give(queue, "bad", "a")
    await queue.close()
    assert (3.0 + STOP_GRACE, 2) == (now(), counted(queue).failed)
    assert "Slow did not stop within 1 s of its cancellation, and was left behind." in caplog.text
    await asyncio.sleep(2_000)
    assert (["bad"], 2, 0) == (sink.taken, (found := counted(queue)).failed, found.delivered)
    assert set() == tasks()


@simulated
async def test_closing_a_full_queue_lets_go_whoever_waits_for_room():
    """Their events were queued before, so they are delivered or have failed."""
    sink = Slow(1.0)
    queue = QueueingEventSink(sink, capacity=1, on_full="block", room_timeout=100, close_timeout=1.5)
    give(queue, "a")
    waiting = [asyncio.create_task(queue.emit(type=type, data=None)) for type in "bc"]
    await asyncio.sleep(0.1)
    await queue.close()
    await asyncio.gather(*waiting)
    assert (1.6, ["a"], 2) == (pytest.approx(now()), sink.taken, counted(queue).failed)


@simulated
async def test_an_error_in_the_body_goes_through():
    """And the queue is closed."""
    sink = Slow(1.0)

    async def body():
        async with QueueingEventSink(sink) as queue:
            give(queue, "a")
            raise LookupError

    with pytest.raises(LookupError):
        await body()
    assert ["a"] == sink.taken


# --- tasks, loops and contexts -----------------------------------------------------------------------------------


@simulated
async def test_a_cancelled_task_of_the_queue_loses_nothing():
    """The delivery that it was at is made again by the next task, in order."""
    sink = Slow(1.0)
    async with QueueingEventSink(sink) as queue:
        give(queue, "a", "b")
        await asyncio.sleep(0.5)
        for task in tasks():
            task.cancel()
        await asyncio.sleep(5)
        assert ([], 2) == (sink.taken, counted(queue).queued)
        give(queue, "c")
    assert (["a", "a", "b", "c"], ["a", "b", "c"], 3) == (sink.began, sink.taken, counted(queue).delivered)


@simulated
async def test_close_goes_on_after_its_task_was_cancelled():
    """What waits is delivered by another one."""
    sink = Slow(1.0)
    queue = QueueingEventSink(sink)
    give(queue, "a", "b")
    closing = asyncio.create_task(queue.close())
    await asyncio.sleep(1.5)
    for task in tasks() - {closing}:
        task.cancel()
    await closing
    assert (["a", "b"], 2, 3 - 0.5) == (sink.taken, counted(queue).delivered, now())


@simulated
async def test_a_sink_that_swallows_a_cancellation_ends_the_task_with_that_event():
    """Whoever cancelled the task is not made to wait for all that waits."""

    async def swallows():
        with contextlib.suppress(asyncio.CancelledError):
            await hang()

    sink = Slow(1.0, bad=swallows)
    async with QueueingEventSink(sink) as queue:
        give(queue, "bad", "a")
        await asyncio.sleep(0.5)
        (task,) = tasks()
        task.cancel()
        await asyncio.wait({task})
        assert (0.5, 1, 1) == (now(), (found := counted(queue)).delivered, found.queued)
    assert ["bad", "a"] == sink.taken


@simulated
async def test_a_cancellation_beside_the_time_limit_ends_the_task():
    """The timer's is taken back, the other one stays."""
    sink = Slow(1.0, bad=ignore_the_first_cancellation)
    queue = QueueingEventSink(sink, delivery_timeout=2.0)
    give(queue, "bad", "a")
    await asyncio.sleep(2.5)
    (task,) = tasks()
    task.cancel()
    await asyncio.wait({task})
    assert (True, 2, 0) == (task.cancelled(), (found := counted(queue)).queued, found.failed)
    sink.behaviours.clear()
    await queue.close()
    assert ["bad", "a"] == sink.taken


def test_it_may_be_made_and_filled_before_a_loop_runs():
    """What came before waits for the first event in a loop, or for close."""
    sink = Slow(1.0)
    queue = QueueingEventSink(sink)
    assert [True, True] == give(queue, "a", "b")

    async def main():
        give(queue, "c")
        await asyncio.sleep(10)

    run(main())
    assert ["a", "b", "c"] == sink.taken


def test_one_loop_after_another_may_use_it():
    """What the first did not deliver goes on in the next, interrupted deliveries again."""
    sink = Slow(1.0)
    queue = QueueingEventSink(sink, capacity=3, on_full="block", room_timeout=100)

    async def main(*types):
        give(queue, *types)
        await asyncio.sleep(1.5)

    run(main("a", "b", "c"))
    assert (["a"], 2) == (sink.taken, counted(queue).queued)
    run(main("d"))
    run(queue.close())
    assert (["a", "b", "c", "d"], 4) == (sink.taken, counted(queue).delivered)


def test_a_loop_that_was_stopped_for_a_while_goes_on():
    """What is given meanwhile waits for it."""
    sink = Slow(1.0)
    queue = QueueingEventSink(sink)
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:

        async def main(*types):
            give(queue, *types)
            await asyncio.sleep(0.5)

        runner.run(main("a", "b"))
        give(queue, "c")
        runner.run(asyncio.sleep(10))
    assert (["a", "b", "c"], ["a", "b", "c"]) == (sink.began, sink.taken)


def test_a_loop_that_comes_back_after_another_only_ends_what_it_was_at():
    """The other one has taken over; of two deliveries of one event the first that ends counts."""
    sink = Slow(1.0)
    queue = QueueingEventSink(sink)
    with asyncio.Runner(loop_factory=VirtualClockLoop) as first:

        async def main(*types):
            give(queue, *types)
            await asyncio.sleep(0.5)

        async def other():
            give(queue, "c")
            await asyncio.sleep(1.5)

        first.run(main("a", "b"))
        run(other())
        assert (["a"], 1) == (sink.taken, counted(queue).delivered)
        first.run(asyncio.sleep(10))
        assert (["a", "a"], 1) == (sink.taken, counted(queue).delivered)
    run(queue.close())
    assert (["a", "a", "b", "c"], 3) == (sink.taken, counted(queue).delivered)


def test_whoever_waits_for_room_on_a_loop_that_is_gone_is_left(caplog):
    """The next loop makes room without it."""
    sink = Slow(1.0)
    queue = QueueingEventSink(sink, capacity=1, on_full="block", room_timeout=100)
    loop = VirtualClockLoop()

    async def main():
        give(queue, "a")
        waiting = asyncio.ensure_future(queue.emit(type="b", data=None))
        await asyncio.sleep(0.5)
        return waiting

    waiting = loop.run_until_complete(main())
    left = [waiting, *asyncio.all_tasks(loop)]
    loop.close()
    run(queue.close())
    assert ["a", "b"] == sink.taken
    assert [] == caplog.records
    for task in left:
        task._log_destroy_pending = False


def test_two_loops_at_once_are_refused():
    """In try_emit, emit and close, with what to do instead; nothing is counted."""
    entered, leave = threading.Event(), threading.Event()
    queue = QueueingEventSink(Slow(1.0))

    async def elsewhere():
        give(queue, "a")
        entered.set()
        await asyncio.to_thread(leave.wait)

    thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
    thread.start()
    try:
        entered.wait()
        for use in (queue.close(), queue.emit(type="b", data=None)):
            with pytest.raises(ForeignLoopError, match="Make one QueueingEventSink for each event loop"):
                run(use)
        with pytest.raises(ForeignLoopError):
            give(queue, "b")
        assert 1 == counted(queue).received
    finally:
        leave.set()
        thread.join()


MARK = contextvars.ContextVar("mark", default="none")


@simulated
async def test_the_sink_runs_in_the_context_in_which_the_queue_was_made():
    """And not in that of the stage that happened to emit; what the sink sets stays in its task."""
    seen = []

    class Looks(Slow):
        async def emit(self, *, type, data):
            seen.append((MARK.get(), type))
            MARK.set("the sink's")

    MARK.set("maker's")
    queue = QueueingEventSink(Looks())

    async def emits(type):
        MARK.set("stage's")
        give(queue, type)

    await asyncio.create_task(emits("a"))
    await asyncio.sleep(1)
    await asyncio.create_task(emits("b"))
    await queue.close()
    assert [("maker's", "a"), ("maker's", "b")] == seen
    assert "maker's" == MARK.get()


@simulated
async def test_a_queue_that_is_the_current_sink_is_not_that_of_its_own_sink():
    """A sink that runs a pipeline itself would feed its own queue for ever."""
    seen = []

    class Looks(Slow):
        async def emit(self, *, type, data):
            seen.append(get_event_sink())

    async with QueueingEventSink(Looks()) as queue:
        set_event_sink(queue)
        give(queue, "a")
    clear_event_sink()
    assert queue not in seen


@simulated
async def test_the_task_is_not_made_by_a_task_factory():
    """An eager one would run the sink inside of try_emit, and so hold up whoever emits."""

    def refuse(loop, coroutine, **options):
        coroutine.close()
        raise AssertionError("asked for a task")

    sink = Slow(0.0)
    queue = QueueingEventSink(sink)
    loop = asyncio.get_running_loop()
    loop.set_task_factory(refuse)
    give(queue, "a")
    loop.set_task_factory(None)
    assert [] == sink.began
    await queue.close()
    assert ["a"] == sink.taken


@simulated
async def test_a_sink_that_emits_into_its_own_queue_is_served_in_turn():
    """What it gives waits behind what waits."""

    class Echo(Slow):
        async def emit(self, *, type, data):
            self.taken.append(type)
            if type == "a":
                give(queue, "echo")

    sink = Echo()
    async with QueueingEventSink(sink) as queue:
        give(queue, "a", "b")
        await asyncio.sleep(1)
    assert ["a", "b", "echo"] == sink.taken


# --- options -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [0, -1, 1.5, "10", True, None])
def test_a_capacity_is_a_whole_number_from_one_on(capacity):
    """Anything else is refused when the queue is made."""
    with pytest.raises(InvalidOptionError, match="capacity of a QueueingEventSink is a whole number from 1 on, not "):
        QueueingEventSink(Slow(), capacity=capacity)


@pytest.mark.parametrize("option", ["delivery_timeout", "room_timeout", "close_timeout"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "5", None, True])
def test_a_time_is_a_finite_number_of_seconds(option, value):
    """Anything else is refused when the queue is made."""
    with pytest.raises(
        InvalidOptionError, match=f"{option} of a QueueingEventSink is a finite number of seconds"
    ) as caught:
        QueueingEventSink(Slow(), **{option: value})
    assert option == caught.value.option


def test_only_a_delivery_needs_time():
    """To close at once, and not to wait for room, are choices."""
    QueueingEventSink(Slow(), room_timeout=0, close_timeout=0)
    with pytest.raises(InvalidOptionError, match="above 0, not 0"):
        QueueingEventSink(Slow(), delivery_timeout=0)


def test_what_is_not_a_sink_is_refused():
    """As everywhere."""
    with pytest.raises(TypeError, match="is not an EventSink"):
        QueueingEventSink(print)
