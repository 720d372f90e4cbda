"""The task behind the queue, apart from it."""

import asyncio
from contextvars import copy_context

from stageflow import NoOpEventSink
from stageflow.events.draining import Drain, QueuedEvent
from stageflow.events.event_classes import EventClass
from stageflow_mocks.simulation import simulated

LIMIT = 1.0
EVENT = QueuedEvent(1, "a", None, EventClass("*", "block"))


def drain(events, settle=lambda event, failure: None):
    return Drain(NoOpEventSink(), lambda _: next(events, None), settle, timeout=LIMIT, context=copy_context())


@simulated
async def test_without_an_event_it_ends_at_once():
    """In the turn in which it began."""
    await asyncio.wait({drain(iter(())).task})
    assert asyncio.get_running_loop().time() == 0.0


@simulated
async def test_its_timer_ends_with_it():
    """Nothing rings when there is no delivery to watch."""
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    await asyncio.wait({drain(iter([EVENT])).task})
    await asyncio.sleep(10)
    assert reported == []


@simulated
async def test_it_lets_others_have_the_event_loop():
    """A sink that never waits would else keep it until nothing is left; the timer may ring meanwhile."""
    loop, seen = asyncio.get_running_loop(), []

    def settle(event, failure):
        seen.append(failure)
        loop._clock.now += 2 * LIMIT
        loop.call_soon(seen.append, "another")

    await asyncio.wait({drain(iter([EVENT] * 3), settle).task})
    assert seen == [None, "another"] * 3


@simulated
async def test_the_task_has_a_name_to_be_known_by():
    """Whoever lists all tasks sees whose it is."""
    one = drain(iter([EVENT]))
    assert one.task.get_name() == "stageflow event queue"
    await one.stop(1.0)
    assert one.task.done()


@simulated
async def test_a_defect_of_the_queue_is_reported():
    """Nobody awaits the task, so the event loop is told at once, not when the task is collected."""
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))

    def breaks(event, failure):
        raise ZeroDivisionError

    await asyncio.wait({drain(iter([EVENT]), breaks).task})
    await asyncio.sleep(0)
    (context,) = reported
    assert isinstance(context["exception"], ZeroDivisionError)
    assert "A defect of Stageflow" in context["message"]
