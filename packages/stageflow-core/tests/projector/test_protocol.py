"""What becomes of the messages of a run, whoever projects them."""

import asyncio

import pytest
from stageflow import (
    MessageProjector,
    Pipeline,
    RunIdentity,
    SSEMessageProjector,
    StageContext,
    WSMessageProjector,
    stage,
)
from stageflow.errors import InvalidEventIdError, ProjectionError, ProtocolMismatchError, TooLateError
from stageflow.projector import NoOpMessageProjector, projected
from stageflow_mocks.simulation import simulated


class Types:
    """Sends the type of each event."""

    def project(self, event):
        return event.event_type


@stage
async def first(ctx: StageContext):
    await asyncio.sleep(1)
    ctx.emit_event("first.note", {"n": 1})
    await asyncio.sleep(1)


@stage
async def second(first: dict):
    await asyncio.sleep(1)


CHAIN = Pipeline("chain", [first, second])
TYPES = [
    "pipeline.created",
    "pipeline.started",
    "stage.first.started",
    "first.note",
    "stage.first.completed",
    "stage.second.started",
    "stage.second.completed",
    "pipeline.completed",
]


async def read(messages):
    return [message async for message in messages]


@simulated
async def test_messages_are_what_the_projector_makes_of_each_event():
    """In the order of the events, to the last."""
    run = CHAIN.start()
    assert await read(run.messages(Types())) == TYPES
    await run


@simulated
async def test_a_message_comes_when_its_event_does():
    """Not at the end of the run."""
    run, loop = CHAIN.start(), asyncio.get_running_loop()
    times = [(message, loop.time()) async for message in run.messages(Types())]
    assert [at for _, at in times] == [0, 0, 0, 1, 2, 2, 3, 3]
    await run


@simulated
async def test_any_number_of_clients_read_at_their_own_pace():
    """A slow one holds up neither the run nor the others, and misses nothing."""
    run, loop = CHAIN.start(), asyncio.get_running_loop()

    async def slow(messages):
        found = []
        async for message in messages:
            found.append(message)
            await asyncio.sleep(100)
        return found

    async def quick(messages):
        return await read(messages), loop.time()

    slowly, (quickly, ended) = await asyncio.gather(slow(run.messages(Types())), quick(run.messages(Types())))
    assert slowly == quickly == TYPES
    assert ended == 3
    await run


@simulated
@pytest.mark.parametrize("sequence", range(1, 9))
async def test_a_client_that_comes_back_gets_what_it_has_not(sequence):
    """Also when the run has ended."""
    run = CHAIN.start(run_id=RunIdentity("r1"))
    await read(run.messages(Types()))
    assert await read(run.messages(Types(), after=f"r1-{sequence}")) == TYPES[sequence:]
    await run


@simulated
async def test_a_client_comes_back_while_the_run_goes_on():
    """It gets what happened meanwhile, and what happens from then on."""
    run = CHAIN.start(run_id=RunIdentity("r1"))
    messages = run.messages(Types())
    assert [await anext(messages) for _ in range(3)] == TYPES[:3]
    await messages.aclose()
    await asyncio.sleep(1.5)
    assert await read(run.messages(Types(), after="r1-3")) == TYPES[3:]
    await run


@simulated
async def test_a_wrong_event_id_is_refused_before_anything_is_sent():
    """By the call itself, while a server can still answer with a status."""
    run = CHAIN.start(run_id=RunIdentity("r1"))
    run.events()
    await asyncio.sleep(1.5)
    for after in ("r1-5", "r2-3", "r1", " "):
        with pytest.raises(InvalidEventIdError):
            run.messages(Types(), after=after)
    await run


@simulated
async def test_the_first_reader_must_come_right_after_the_start():
    """A run without one keeps no events."""
    run = CHAIN.start()
    await asyncio.sleep(0.5)
    with pytest.raises(TooLateError):
        run.messages(Types())
    await run


@simulated
async def test_none_sends_nothing():
    """A projector hides an event by returning None."""
    run = CHAIN.start()
    assert await read(run.messages(NoOpMessageProjector())) == []
    await run


@simulated
async def test_a_projector_that_raises_is_named():
    """The error says whose fault it is and what it was given, and leaves the run alone."""

    class Broken:
        def project(self, event):
            return {"first": event.data["first"]}

    run = CHAIN.start()
    with pytest.raises(ProjectionError, match=r"Broken raised KeyError for the event 'pipeline\.created'") as caught:
        await read(run.messages(Broken()))
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.projector.endswith("Broken")
    assert (await run).status == "completed"


@simulated
@pytest.mark.parametrize("sent", [3, ["x"], object(), ("a", "b")])
async def test_a_projector_that_returns_no_message_is_named(sent):
    """A number would break the connection, not the projector."""

    class Broken:
        def project(self, event):
            return sent

    run = CHAIN.start()
    with pytest.raises(ProjectionError, match=r"Broken returned an? \w+ for the event 'pipeline.created'"):
        await read(run.messages(Broken()))
    await run


@simulated
async def test_an_async_projector_is_refused_when_it_is_handed_over():
    """With the method as it should be."""

    class Broken:
        async def project(self, event):
            return "x"

    run = CHAIN.start()
    with pytest.raises(
        ProtocolMismatchError, match=r"async, and is called without await; expected: `def project\(self"
    ):
        run.messages(Broken())
    with pytest.raises(ProtocolMismatchError, match=r"It is the class: write WSMessageProjector\(\)"):
        run.messages(WSMessageProjector)
    await run


@pytest.mark.parametrize("made", [NoOpMessageProjector(), WSMessageProjector(), SSEMessageProjector(), Types()])
def test_those_that_come_with_core_are_message_projectors(made):
    """And so is any object with the method."""
    assert isinstance(made, MessageProjector)


@simulated
async def test_events_from_elsewhere_are_projected_too():
    """Those that a sink has kept, say."""
    run = CHAIN.start()
    kept = [event async for event in run.events()]
    await run

    async def replay():
        for event in kept:
            yield event

    assert await read(projected(replay(), Types())) == TYPES


@simulated
async def test_who_stops_reading_closes_what_it_read_from():
    """At once, not when the garbage is collected."""
    closed = []

    async def replay():
        try:
            while True:
                yield event
        finally:
            closed.append(True)

    run = CHAIN.start()
    event = await anext(run.events())
    messages = projected(replay(), Types())
    await anext(messages)
    await messages.aclose()
    assert closed == [True]
    await run


@simulated
async def test_messages_are_those_of_one_run():
    """A child has an id and messages of its own; its parent's stage tells what is to be shown."""

    @stage
    async def outer(ctx: StageContext):
        await ctx.run_pipeline(CHAIN)

    run = Pipeline("parent", [outer]).start()
    types = await read(run.messages(Types()))
    assert types == [
        "pipeline.created",
        "pipeline.started",
        "stage.outer.started",
        "stage.outer.completed",
        "pipeline.completed",
    ]
    await run
