"""What flows from one stage to its readers: buffers, counters, ends."""

import asyncio
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from stageflow import Stream, StreamOptions
from stageflow.core.stream import Source, StreamStatistics
from stageflow.errors import InvalidOptionError, NotCopyableError, StreamBrokenError, StreamFullError
from stageflow_mocks.simulation import simulated


def source(*readers, capacity=2, on_full="block", abandon=lambda: None):
    """A source with readers of these names, each of them begun."""
    loop = asyncio.get_running_loop()
    told = SimpleNamespace(abandon=lambda _: abandon())
    made = Source(0, "llm", StreamOptions(capacity, on_full), loop, lambda: round(loop.time() * 1e9), told)
    for name in readers:
        made.readers.append(Stream(made, name, required=False))
    made.heard = bool(readers)
    return made


async def send(made, *chunks):
    """Do what a stage does with what it yields."""
    for chunk in chunks:
        full = made.offer(chunk)
        if full is not None:
            await made.deliver(chunk, full)


async def read(stream):
    return [chunk async for chunk in stream]


def counts(stream):
    """Return sent, received, dropped and the high water."""
    return tuple(stream.statistics())[:4]


# --- options -----------------------------------------------------------------------------------------------------


def test_a_stage_waits_for_its_readers_unless_told_otherwise():
    """Sixteen chunks may wait for each."""
    assert StreamOptions() == StreamOptions(capacity=16, on_full="block")


@pytest.mark.parametrize("capacity", [0, -1, True, 1.5, "4", None])
def test_a_capacity_is_a_number_of_chunks(capacity):
    """With none, nothing could ever be sent."""
    with pytest.raises(
        InvalidOptionError, match="capacity of StreamOptions is a number of chunks, 1 or more"
    ) as caught:
        StreamOptions(capacity=capacity)
    assert caught.value.option == "capacity"


def test_a_policy_is_one_of_four():
    """The error names them, and the nearest one."""
    with pytest.raises(InvalidOptionError) as caught:
        StreamOptions(on_full="drop-oldest")
    assert str(caught.value) == (
        "on_full of StreamOptions is one of 'block', 'drop_oldest', 'drop_newest', 'error', not 'drop-oldest'. "
        "Did you mean 'drop_oldest'?"
    )
    with pytest.raises(InvalidOptionError, match="not 7"):
        StreamOptions(on_full=7)


# --- buffers -----------------------------------------------------------------------------------------------------


@simulated
async def test_each_reader_gets_every_chunk_in_order():
    """Whatever the other does."""
    made = source("a", "b", capacity=3)
    first, second = made.readers
    await send(made, 1, 2, 3)
    assert [await anext(first), await anext(first), await anext(first)] == [1, 2, 3]
    made.end()
    assert await read(second) == [1, 2, 3]
    assert await read(first) == []
    assert [counts(first), counts(second), made.sent, made.unheard] == [(3, 3, 0, 3), (3, 3, 0, 3), 3, 0]


@simulated
async def test_the_high_water_stays():
    """Also when less waits."""
    made = source("a", capacity=5)
    stream = made.readers[0]
    await send(made, 1, 2, 3)
    for _ in range(3):
        await anext(stream)
    await send(made, 4)
    assert counts(stream) == (4, 3, 0, 3)


@simulated
async def test_a_blocked_stage_waits_until_each_reader_has_room():
    """The wait is counted for whom it was for, the one who had room has its chunk at once."""
    made = source("slow", "fast", capacity=1)
    slow, fast = made.readers
    await send(made, 1)
    assert await anext(fast) == 1
    sending = asyncio.create_task(send(made, 2, 3))
    await asyncio.sleep(0)
    assert fast.pending == 1
    await asyncio.sleep(2)
    assert slow.statistics() == StreamStatistics(2, 0, 0, 1, 2000.0, 2)
    assert await anext(slow) == 1
    await asyncio.sleep(0)
    assert (slow.pending, sending.done(), await anext(fast)) == (1, False, 2)
    await asyncio.sleep(1)
    assert slow.statistics() == StreamStatistics(3, 1, 0, 1, 3000.0, 2)
    assert [await anext(slow), await anext(fast)] == [2, 3]
    await sending
    assert await anext(slow) == 3
    made.end()
    assert slow.statistics() == StreamStatistics(3, 3, 0, 1, 3000.0)
    assert fast.statistics() == StreamStatistics(3, 3, 0, 1, 0.0)


@simulated
async def test_a_chunk_waits_for_each_reader_without_room():
    """Also for those whose turn it is not yet: it is not told as dropped, and then as received."""
    made = source("first", "second", capacity=1)
    _, second = made.readers
    await send(made, 1)
    sending = asyncio.create_task(send(made, 2))
    await asyncio.sleep(1)
    assert (counts(second), second.statistics().waiting) == ((2, 0, 0, 1), 2)
    assert await anext(second) == 1
    assert (counts(second), second.statistics().waiting) == ((2, 1, 0, 1), 1)
    sending.cancel()
    await asyncio.sleep(0)
    assert [(counts(one), one.statistics().waiting) for one in made.readers] == [((2, 0, 1, 1), 1), ((2, 1, 1, 1), 0)]


@pytest.mark.parametrize(
    ("on_full", "left", "dropped"), [("drop_oldest", [3, 4], 2), ("drop_newest", [1, 2], 2)], ids=str
)
@simulated
async def test_a_full_buffer_drops_one_chunk_or_the_other(on_full, left, dropped):
    """For the reader that has no room, and no other; it is counted."""
    made = source("idle", "eager", on_full=on_full)
    idle, eager = made.readers
    got = []
    for chunk in (1, 2, 3, 4):
        assert made.offer(chunk) is None
        got.append(await anext(eager))
    made.end()
    assert (got, await read(idle)) == ([1, 2, 3, 4], left)
    assert (counts(idle), counts(eager)) == ((4, 2, dropped, 2), (4, 4, 0, 1))


@simulated
async def test_a_full_buffer_may_be_an_error():
    """It names the stage, the reader and the capacity."""
    made = source("tts", on_full="error")
    await send(made, 1, 2)
    with pytest.raises(StreamFullError) as caught:
        made.offer(3)
    assert (caught.value.stage, caught.value.reader, caught.value.capacity) == ("llm", "tts", 2)


@simulated
async def test_chunks_that_nobody_reads_are_counted():
    """They are not looked at, and not delivered."""
    made = source()
    await send(made, 1, object())
    assert (made.sent, made.unheard, made.delivered, made.abandoned) == (2, 2, False, False)


@simulated
async def test_tasks_that_read_one_stream_share_its_chunks():
    """Each chunk goes to one of them, and each waits no longer than it must."""
    made = source("a")
    tasks = [asyncio.create_task(read(made.readers[0])) for _ in range(3)]
    await asyncio.sleep(0)
    for chunk in range(4):
        await send(made, chunk)
        await asyncio.sleep(0)
    made.end()
    got = [await task for task in tasks]
    assert sorted(chunk for part in got for chunk in part) == [0, 1, 2, 3]
    assert all(got)


# --- isolation ---------------------------------------------------------------------------------------------------


@dataclass
class Note:
    tags: list = field(default_factory=list)


@simulated
async def test_a_chunk_is_frozen_when_it_is_sent():
    """What the stage does to its own afterwards changes nothing, and a reader cannot change it."""
    made = source("a", "b")
    mine = {"words": ["one"]}
    await send(made, mine)
    mine["words"].append("two")
    first, second = [await anext(reader) for reader in tuple(made.readers)]
    assert first == second == {"words": ["one"]}
    with pytest.raises(TypeError, match="frozen"):
        first["words"].append("three")


@pytest.mark.parametrize("wrapped", [lambda note: note, lambda note: [note], lambda note: {"note": note}])
@simulated
async def test_each_reader_has_a_mutable_chunk_to_itself(wrapped):
    """Also where it waited for room."""
    made = source("a", "b", capacity=1)
    mine = Note(["x"])
    await send(made, wrapped(mine))
    sending = asyncio.create_task(send(made, wrapped(mine)))
    await asyncio.sleep(0)
    mine.tags.append("y")

    def note(chunk):
        return chunk["note"] if isinstance(chunk, dict) else chunk[0] if isinstance(chunk, list) else chunk

    got = []
    for _ in range(2):
        for reader in tuple(made.readers):
            one = note(await anext(reader))
            got.append(list(one.tags))
            one.tags.append("z")
        await asyncio.sleep(0)
    await sending
    assert got == [["x"]] * 4


@simulated
async def test_a_chunk_that_cannot_be_shared_is_refused():
    """When it is sent, not when it is read."""
    made = source("a")
    with pytest.raises(NotCopyableError, match=r"chunk\['lock'\]"):
        made.offer({"lock": threading.Lock()})
    assert made.readers[0].pending == 0


# --- ends --------------------------------------------------------------------------------------------------------


@simulated
async def test_what_waits_can_be_read_after_the_end():
    """A whole stream just ends, also for those that wait."""
    made = source("a", "b")
    waiting = asyncio.create_task(read(made.readers[1]))
    first = made.readers[0]
    await send(made, 1, 2)
    made.end()
    assert (await read(first), await waiting, first.is_open) == ([1, 2], [1, 2], False)


@simulated
async def test_a_stream_that_broke_says_so_after_what_waits():
    """Each read raises an error of its own, which says why and has the cause."""
    made, cause = source("a"), ValueError("busy")
    stream = made.readers[0]
    await send(made, 1)
    made.end("failed: ValueError: busy", cause)
    assert await anext(stream) == 1
    errors = []
    for _ in range(2):
        with pytest.raises(StreamBrokenError) as caught:
            await anext(stream)
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert (errors[0].stage, errors[0].why, errors[0].__cause__) == ("llm", "failed: ValueError: busy", cause)


@simulated
async def test_whoever_requires_a_whole_stream_is_not_told_that_it_broke():
    """The run ends that stage."""
    made = source("a")
    made.readers[0].required = True
    made.end("failed: no")
    assert made.readers[0].is_open


@pytest.mark.parametrize("how", ["aclose", "with"])
@simulated
async def test_a_reader_that_closes_drops_what_waits(how):
    """It reads as ended from then on, and is sent nothing more."""
    left = []
    made = source("a", "b", abandon=lambda: left.append(True))
    stream, other = made.readers
    await send(made, 1, 2)
    assert await anext(stream) == 1
    if how == "aclose":
        await stream.aclose()
    else:
        async with stream as entered:
            assert entered is stream
    await send(made, 3) if other.pending < 2 else made.offer(3)
    assert (counts(stream), await read(stream), left, made.abandoned) == ((2, 1, 1, 2), [], [], False)
    await other.aclose()
    assert (left, made.abandoned, made.readers) == ([True], True, [])
    await other.aclose()
    assert left == [True]


@simulated
async def test_what_waited_at_the_end_is_dropped_by_a_close():
    """So the counters add up, whenever a reader leaves."""
    made = source("a")
    stream = made.readers[0]
    await send(made, 1, 2)
    made.end()
    assert counts(stream) == (2, 0, 0, 2)
    stream.close()
    assert counts(stream) == (2, 0, 2, 2)


@simulated
async def test_nobody_is_told_that_a_stage_which_has_ended_is_abandoned():
    """There is nothing left to close."""
    left = []
    made = source("a", abandon=lambda: left.append(True))
    made.end()
    assert (left, made.abandoned) == ([], True)


@simulated
async def test_a_reader_that_has_not_begun_leaves_no_stage_abandoned():
    """One that is skipped never was a reader."""
    made = source("a", abandon=lambda: pytest.fail("abandoned"))
    made.heard = False
    made.readers[0].close()
    assert not made.abandoned


@simulated
async def test_a_reader_that_closes_lets_a_blocked_stage_go_on():
    """It is not given the chunk for which it had no room, and no longer waited for."""
    made = source("a", "b", capacity=1)
    gone, other = made.readers
    await send(made, 1)
    sending = asyncio.create_task(send(made, 2))
    await asyncio.sleep(1)
    gone.close()
    await asyncio.sleep(1)
    assert not sending.done()
    assert await anext(other) == 1
    await sending
    assert (gone.statistics(), other.statistics()) == (
        StreamStatistics(2, 0, 2, 1, 1000.0),
        StreamStatistics(2, 1, 0, 1, 1000.0, 1),
    )


@simulated
async def test_a_stage_that_is_cancelled_while_it_is_blocked_waits_no_longer():
    """The time is counted once, and the chunk was never sent."""
    made = source("a", capacity=1)
    stream = made.readers[0]
    await send(made, 1)
    sending = asyncio.create_task(send(made, 2))
    await asyncio.sleep(1)
    sending.cancel()
    await asyncio.sleep(1)
    assert (sending.cancelled(), stream.statistics()) == (True, StreamStatistics(2, 0, 1, 1, 1000.0, 1))
    assert await anext(stream) == 1
    made.end()
    assert stream.statistics() == StreamStatistics(2, 1, 1, 1, 1000.0)


@pytest.mark.parametrize("then", ["chunk", "end", "nothing", "close"])
@simulated
async def test_a_read_that_is_cancelled_is_cancelled(then):
    """Whatever else comes in the same turn, and the chunk is there for the next read."""
    made = source("a")
    stream = made.readers[0]
    reading = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    reading.cancel()
    if then == "chunk":
        await send(made, 1)
    elif then == "end":
        made.end("failed: no")
    elif then == "close":
        stream.close()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert list(stream._waiting) == []
    if then == "chunk":
        assert await anext(stream) == 1


@simulated
async def test_a_chunk_that_woke_a_cancelled_task_goes_to_the_next():
    """Two tasks read one stream; the first is woken for a chunk, and cancelled before its turn."""
    made = source("a")
    stream = made.readers[0]
    first, second = (asyncio.create_task(anext(stream)) for _ in range(2))
    await asyncio.sleep(0)
    await send(made, 1)
    first.cancel()
    assert await asyncio.wait_for(second, 1) == 1
    assert first.cancelled()


def test_a_stream_knows_whether_it_was_used():
    """Who took a chunk, or wanted no more, cannot begin anew; who was sent some, or saw the end, can."""

    @simulated
    async def told():
        made = source("a", "b", "c")
        taking, closing, idle = made.readers
        await send(made, 1)
        await anext(taking)
        closing.close()
        made.end()
        return taking.is_used, closing.is_used, idle.is_used

    assert told() == (True, True, False)
