"""Audio and text come in while something goes out, at the pace of those who send them."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest
from stageflow import Pipeline, StageContext, StageExecutionError, StagePorts, Stream, stage
from stageflow.providers import AudioFormat, LLMRequest, Message, STTRequest, TTSRequest, closing_stream
from stageflow_mocks import AtCall, CutOff, Failure, MockLLM, MockSTT, MockTTS
from stageflow_mocks.simulation import run, simulated

FORMAT = AudioFormat("pcm_s16le", 8_000)
PIECE = bytes(1_600)  # 100 ms


async def microphone(pieces=10, every=0.1):
    for _ in range(pieces):
        await asyncio.sleep(every)
        yield PIECE


def asks(audio):
    return STTRequest(audio, format=FORMAT)


def tasks():
    return [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]


@simulated
async def test_slow_ears_do_not_hold_the_microphone() -> None:
    """A second of speech takes a second, whatever each guess takes; the last one comes after that."""
    stt, loop = MockSTT("one two three", ms_per_word=100, latency=0.25, per_chunk=0.3), asyncio.get_running_loop()
    sent: list[float] = []

    async def timed():
        async for piece in microphone():
            sent.append(round(loop.time(), 3))
            yield piece

    came = [(round(loop.time(), 3), chunk.text, chunk.is_final) async for chunk in stt.stream(asks(timed()))]
    assert [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0] == sent
    assert [(0.35, "one"), (0.65, "one two"), (0.95, "one two three"), (1.3, "one two three")] == [
        one[:2] for one in came
    ]


@simulated
async def test_slow_readers_do_not_hold_the_microphone() -> None:
    """Who plays or shows what came may take as long as it wants, and wait for what is still to be said."""
    stt = MockSTT("one two three", ms_per_word=100)
    said = asyncio.Event()

    async def speaks():
        async for piece in microphone():
            yield piece
        said.set()

    stream = stt.stream(asks(speaks()))
    assert "one" == (await anext(stream)).text
    await said.wait()
    assert ["one two", "one two three", "one two three"] == [chunk.text async for chunk in stream]


@simulated
async def test_a_source_that_never_waits_is_held() -> None:
    """So many pieces wait for the mock, and no more, so endless silence does not fill the memory."""
    sent = []

    async def endless():
        while True:
            sent.append(len(sent))
            yield "on and on "

    stream = MockTTS(latency=1).stream(TTSRequest(endless()))
    await anext(stream)
    assert 100 < len(sent) < 110
    await stream.aclose()
    assert [] == tasks()


@simulated
async def test_long_speech_is_taken_to_its_end() -> None:
    """However many pieces it has."""
    chunks = [chunk async for chunk in MockSTT("one two").stream(asks(microphone(250, every=0)))]
    assert "one two" == chunks[-1].text


@simulated
async def test_what_came_in_is_recorded() -> None:
    """Piece by piece, or the whole; also of a call that was left."""
    tts, stt = MockTTS(), MockSTT("x")

    async def writes(*pieces):
        for piece in pieces:
            yield piece

    [_ async for _ in tts.stream(TTSRequest(writes("Good mor", "ning.")))]
    await tts.synthesize(TTSRequest("Good night."))
    [_ async for _ in stt.stream(asks(writes(bytearray(b"ab"), memoryview(b"cd"))))]
    await stt.transcribe(asks(b"abcd"))
    assert [["Good mor", "ning."], ["Good night."]] == [call.pieces for call in tts.calls]
    assert [[b"ab", b"cd"], [b"abcd"]] == [call.pieces for call in stt.calls]
    assert {bytes} == {type(piece) for call in stt.calls for piece in call.pieces}


@simulated
async def test_a_stream_that_ends_early_ends_what_it_reads() -> None:
    """Closed, cancelled, cut off or failed: the source is told, and no task is left."""
    ended = []

    async def speaks():
        try:
            async for piece in microphone(100):
                yield piece
        finally:
            ended.append(asyncio.get_running_loop().time())

    stt = MockSTT("one two three", ms_per_word=100, faults=[AtCall(3, CutOff(1)), AtCall(4, Failure(OSError, 1))])
    closed = stt.stream(asks(speaks()))
    await anext(closed)
    await closed.aclose()
    assert (1, []) == (len(ended), tasks())

    async def reads():
        return [chunk async for chunk in stt.stream(asks(speaks()))]

    cancelled = asyncio.create_task(reads())
    await asyncio.sleep(0.25)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert (2, []) == (len(ended), tasks())

    assert 1 == len(await reads())
    assert (3, []) == (len(ended), tasks())
    with pytest.raises(OSError, match="fails, as it was told to"):
        await reads()
    assert (4, []) == (len(ended), tasks())
    assert ["closed", "cancelled", "cut off", "error"] == [call.ended for call in stt.calls]


@simulated
async def test_an_error_of_the_source_comes_after_what_it_gave() -> None:
    """It is the call's error, and nothing is lost before it."""

    async def breaks() -> AsyncIterator[str]:
        yield "One two "
        raise ConnectionError("The microphone is gone.")

    tts = MockTTS()
    stream = tts.stream(TTSRequest(breaks()))
    assert ["One", "two"] == [(await anext(stream)).words[0].text for _ in range(2)]
    with pytest.raises(ConnectionError, match="is gone"):
        await anext(stream)
    assert ("error", ["One two "]) == (tts.calls[0].ended, tts.calls[0].pieces)


@simulated
async def test_an_error_of_a_source_that_nobody_reads_any_more_is_dropped() -> None:
    """It would be told by asyncio, to nobody in particular."""
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))

    async def breaks():
        yield "One two "
        raise ConnectionError("gone")

    stream = MockTTS().stream(TTSRequest(breaks()))
    await anext(stream)
    await asyncio.sleep(1)
    await stream.aclose()
    gc.collect()
    assert [] == told


@pytest.mark.parametrize("seed", range(10))
def test_stages_speak_what_others_write(seed) -> None:
    """The stream of a stage is a source like any other, in whatever order tasks run; nothing outlives the run."""
    llm, tts = MockLLM("One two three four.", per_chunk=0.2), MockTTS(per_chunk=0.1)

    @stage
    async def written(ctx: StageContext) -> AsyncIterator[str]:
        async with closing_stream(ctx.ports.llm.stream(LLMRequest((Message("user", "Count."),)))) as chunks:
            async for chunk in chunks:
                yield chunk.text

    @stage
    async def spoken(ctx: StageContext, written: Stream[str]) -> AsyncIterator[str]:
        async with closing_stream(ctx.ports.tts.stream(TTSRequest(written))) as chunks:
            async for chunk in chunks:
                yield chunk.words[0].text

    async def runs():
        ports = StagePorts(llm=llm, tts=tts)
        pipeline = Pipeline("speech", [written, spoken])
        heard = [text async for text in pipeline.start(ports=ports).stream("spoken")]
        tts.fail_next(Failure(OSError, 1))
        with pytest.raises(StageExecutionError, match="spoken"):
            await pipeline.run(ports=ports)
        return heard, tasks()

    heard, left = run(runs(), seed=seed)
    assert (["One", "two", "three", "four."], []) == (heard, left)
    assert "One two three four." == "".join(tts.calls[0].pieces)
    assert ["ok", "error"] == [call.ended for call in tts.calls]


@pytest.mark.parametrize("way", [run, asyncio.run])
def test_a_stream_left_open_when_its_loop_ends_is_closed(way, caplog) -> None:
    """Without a word: the failure of the test that left it is what should be seen."""

    async def leaves():
        tts = MockTTS()
        stream = tts.stream(TTSRequest(microphone_of_words()))
        await anext(stream)
        return tts, stream

    async def microphone_of_words():
        yield "One two "
        await asyncio.sleep(60)
        yield "three"

    tts, _stream = way(leaves())
    assert ("closed", []) == (tts.calls[0].ended, caplog.records)
