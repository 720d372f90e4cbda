"""MockSTT: what it hears, when, and of which audio."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow.errors import ProviderProtocolError, ProviderRequestError, ProviderServerError
from stageflow.providers import AudioFormat, STTRequest, TTSRequest, Word
from stageflow_mocks import (
    CutOff,
    Hang,
    Heard,
    Malformed,
    MockSTT,
    MockTTS,
    ServerError,
    UnscriptedCallError,
)
from stageflow_mocks.simulation import run, simulated

FORMAT = AudioFormat("pcm_s16le", 8_000)
MS = 16  # bytes of a millisecond


def asks(audio, **options):
    return STTRequest(audio, format=FORMAT, **options)


async def microphone(*pieces_ms, every=0.0):
    for size in pieces_ms:
        await asyncio.sleep(every)
        yield bytes(size * MS)


async def read(stt, request):
    return [chunk async for chunk in stt.stream(request)]


@simulated
async def test_a_recording_is_heard_as_scripted() -> None:
    """Always the same, or in order, with the length of the audio."""
    stt = MockSTT(["Hello there.", "Bye."])
    heard = await stt.transcribe(asks(bytes(1_000 * MS), language="en", model="m"))
    assert ("Hello there.", 1_000.0, (), "en", "m", "mock-stt-1") == (
        heard.text,
        heard.duration_ms,
        heard.words,
        heard.language,
        heard.model,
        heard.request_id,
    )
    assert 1 == stt.answers_left
    assert "Bye." == (await stt.transcribe(asks(b""))).text
    with pytest.raises(
        UnscriptedCallError, match=r"all of its 2 answers are used up[^$]*asked: +pcm_s16le audio in en"
    ):
        await stt.transcribe(asks(b"", language="en"))
    assert ["Yes", "Yes"] == [(await one.transcribe(asks(b""))).text for one in [MockSTT("Yes")] for _ in range(2)]


@simulated
async def test_words_have_times_if_they_are_wanted() -> None:
    """At the pace of `ms_per_word`, and squeezed where the audio is too short for it."""
    stt = MockSTT("one two three", ms_per_word=100)
    long = await stt.transcribe(asks(bytes(1_000 * MS), words=True))
    assert (Word("one", 0, 100), Word("two", 100, 200), Word("three", 200, 300)) == long.words
    short = await stt.transcribe(asks(bytes(180 * MS), words=True))
    assert (Word("one", 0, 100), Word("two", 100, 140), Word("three", 140, 180)) == short.words
    none = await stt.transcribe(asks(b"", words=True))
    assert (Word("one", 0, 0), Word("two", 0, 0), Word("three", 0, 0)) == none.words


@simulated
async def test_times_and_confidence_are_scripted() -> None:
    """A Heard says when its words are."""
    heard = Heard("Yes. No.", (Word("Yes.", 10, 20), Word("No.", 500, 900)), confidence=0.5)
    whole = await MockSTT(heard).transcribe(asks(bytes(1_000 * MS), words=True))
    assert (0.5, (Word("Yes.", 10, 20, 0.5), Word("No.", 500, 900, 0.5))) == (whole.confidence, whole.words)
    short = await MockSTT(heard).transcribe(asks(bytes(15 * MS), words=True))
    assert whole.words == short.words
    chunks = await read(MockSTT(heard), asks(microphone(100, 100, 100)))
    assert [("Yes.", True), (" No.", True)] == [(chunk.text, chunk.is_final) for chunk in chunks]


@simulated
async def test_guesses_come_while_the_audio_comes_in() -> None:
    """A guess with each further word, a final chunk with each sentence, the rest at the end of the audio."""
    stt, loop = MockSTT("Good day. How are you", ms_per_word=100), asyncio.get_running_loop()
    chunks = stt.stream(asks(microphone(150, 150, 50, 50, every=1)))
    came = [(loop.time(), chunk.text, chunk.is_final) async for chunk in chunks]
    assert [
        (1.0, "Good", False),
        (2.0, "Good day.", True),
        (2.0, " How", False),
        (4.0, " How are", False),
        (4.0, " How are you", True),
    ] == came
    assert ("Good day. How are you", "ok", 5) == (
        stt.calls[0].answer.text,
        stt.calls[0].ended,
        stt.calls[0].chunks,
    )


@simulated
async def test_answers_take_their_time() -> None:
    """Before the first chunk, and before each further one."""
    stt = MockSTT("one two", ms_per_word=100, latency=0.5, per_chunk=0.25)
    await stt.transcribe(asks(bytes(150 * MS)))
    assert 0.75 == asyncio.get_running_loop().time()


@simulated
async def test_recordings_are_told_apart() -> None:
    """By their bytes, and in a stream as soon as only one of them begins so."""
    yes, no = b"\1" * 100 * MS, b"\1" * 50 * MS + b"\2" * 50 * MS
    stt = MockSTT({yes: "Oh yes", no: "Oh no", b"": ServerError()}, ms_per_word=25)
    assert "Oh no" == (await stt.transcribe(asks(no))).text

    async def pieces(audio):
        for place in range(0, len(audio), 20 * MS):
            yield audio[place : place + 20 * MS]

    heard = await read(stt, asks(pieces(yes)))
    assert [("Oh", False), ("Oh yes", False), ("Oh yes", True)] == [(chunk.text, chunk.is_final) for chunk in heard]
    heard = await read(stt, asks(pieces(no)))
    assert [("Oh", False), ("Oh no", False), ("Oh no", True)] == [(chunk.text, chunk.is_final) for chunk in heard]
    with pytest.raises(ProviderServerError):
        await stt.transcribe(asks(b""))
    stt = MockSTT({yes: "Oh. Yes."}, ms_per_word=75)
    assert ["Oh.", " Yes."] == [chunk.text for chunk in await read(stt, asks(pieces(yes)))]


@simulated
async def test_an_unknown_recording_is_compared_with_those_that_it_knows() -> None:
    """The error has its size, theirs, and the one that begins like it."""
    stt = MockSTT({b"\1\2\3\4": "Yes", b"\5\6": "No"})
    with pytest.raises(UnscriptedCallError) as caught:
        await stt.transcribe(asks(b"\1\2\3\3"))
    assert "The nearest is that of Heard('Yes')" in str(caught.value)
    assert "its first 3 bytes are the same." in str(caught.value)
    assert "asked:    4 bytes of pcm_s16le\n  scripted: 4 bytes (Heard('Yes')), 2 bytes (Heard('No'))" in str(
        caught.value
    )
    stt.fail_next(ServerError())
    with pytest.raises(ProviderServerError):
        await read(stt, asks(b"\7\7"))
    with pytest.raises(UnscriptedCallError) as caught:
        await read(stt, asks(b"\7\7"))
    assert "nearest" not in str(caught.value)


@simulated
async def test_a_function_hears_the_whole_recording() -> None:
    """It is asked when the audio has come in."""
    stt = MockSTT(lambda audio: f"{len(audio)} bytes.")
    assert "32 bytes." == (await stt.transcribe(asks(bytes(32)))).text
    assert [("48 bytes.", True)] == [(chunk.text, chunk.is_final) for chunk in await read(stt, asks(microphone(1, 2)))]


@simulated
async def test_audio_whose_length_is_not_told() -> None:
    """Of compressed audio nothing is heard before its end, and its duration stays open."""

    async def pieces():
        yield bytes(100_000)
        yield bytes(1)

    stt = MockSTT("one two")
    opus = AudioFormat("opus", 48_000)
    assert ["one two"] == [chunk.text for chunk in await read(stt, STTRequest(pieces(), format=opus))]
    whole = await stt.transcribe(STTRequest(b"x", format=opus, words=True))
    assert (None, (Word("one", 0, 300), Word("two", 300, 600))) == (whole.duration_ms, whole.words)


@simulated
async def test_faults() -> None:
    """Cut off, without a final chunk, and hanging; `transcribe` returns no half answer."""
    stt, audio = MockSTT("One. Two. Three", ms_per_word=100), bytes(1_000 * MS)
    stt.fail_next(CutOff(1), CutOff(1), Malformed(), Malformed())
    assert [("One.", True)] == [(chunk.text, chunk.is_final) for chunk in await read(stt, asks(audio))]
    with pytest.raises(ProviderProtocolError, match="is incomplete"):
        await stt.transcribe(asks(audio))
    guesses = await read(stt, asks(audio))
    assert len(guesses) == 4
    assert not any(chunk.is_final for chunk in guesses)
    with pytest.raises(ProviderProtocolError, match="is incomplete"):
        await stt.transcribe(asks(audio))
    stt.fail_next(CutOff(99))
    assert 4 == len(await read(stt, asks(audio)))
    stt.fail_next(Hang())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await stt.transcribe(asks(audio))
    assert ["cut off", "error", "ok", "error", "cut off", "cancelled"] == [call.ended for call in stt.calls]
    assert [None] * 6 == [call.answer for call in stt.calls]


@simulated
async def test_pieces_are_for_streams() -> None:
    """A whole transcript is of a whole recording."""
    with pytest.raises(ProviderRequestError, match=r"comes in pieces\. .* or call stream\(\)"):
        await MockSTT("x").transcribe(asks(microphone(1)))


@simulated
async def test_it_hears_what_a_mock_says() -> None:
    """The samples of MockTTS are a recording like any other."""
    spoken = await MockTTS().synthesize(TTSRequest("How are you?"))
    stt = MockSTT({spoken.audio: "How are you?"})
    assert "How are you?" == (await stt.transcribe(STTRequest(spoken.audio, format=spoken.format))).text


TEXTS = st.lists(st.sampled_from(["one", "two.", "three", "four!", "5?"]), max_size=8).map(" ".join)


@given(TEXTS, st.lists(st.integers(0, 400), max_size=8))
def test_final_chunks_make_the_transcript(text, sizes) -> None:
    """However the audio comes in, the final chunks have the text and the words of the whole recording."""

    async def both():
        stt = MockSTT(text, ms_per_word=100)
        chunks = await read(stt, asks(microphone(*sizes), words=True))
        whole = await stt.transcribe(asks(bytes(sum(sizes) * MS), words=True))
        return [chunk for chunk in chunks if chunk.is_final], whole, stt.calls[0].answer

    finals, whole, recorded = run(both())
    assert text == "".join(chunk.text for chunk in finals) == whole.text == recorded.text
    assert whole.words == tuple(word for chunk in finals for word in chunk.words)
    assert len(text.split()) == len(whole.words)
    assert all(word.end_ms <= sum(sizes) + 1e-6 for word in whole.words)


@pytest.mark.parametrize(
    ("answers", "options", "error", "why"),
    [
        ([], {}, ValueError, "at least one"),
        (3, {}, TypeError, "answers is a string, a Heard, or a fault, not 3"),
        ({"x": "y"}, {}, TypeError, "is bytes, not 'x'"),
        ([Malformed("goes_on")], {}, ValueError, "no_final"),
        ("x", {"ms_per_word": 0}, ValueError, "ms_per_word of a MockSTT"),
        ("x", {"ms_per_word": True}, ValueError, "ms_per_word of a MockSTT"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(answers, options, error, why) -> None:
    """A script or an option that makes no sense never reaches a run."""
    with pytest.raises(error, match=why):
        MockSTT(answers, **options)


def test_words_of_a_heard_are_those_of_its_text() -> None:
    """Times of other words would be heard as none of them."""
    with pytest.raises(ValueError, match="words of a Heard are those of its text, 'a b', and not"):
        Heard("a b", (Word("a", 0, 1),))
    with pytest.raises(ValueError, match="confidence"):
        Heard("a", confidence=2)


@simulated
async def test_what_is_no_request_or_no_audio_is_refused() -> None:
    """Where a type checker was not asked."""
    stt = MockSTT("x")
    with pytest.raises(TypeError, match="MockSTT 'mock-stt' is asked with an STTRequest, not b'abc'"):
        await stt.transcribe(b"abc")
    with pytest.raises(TypeError, match="is asked with an STTRequest"):
        await read(stt, b"abc")

    async def written():
        yield "abc"

    with pytest.raises(TypeError, match="A piece of the audio of an STTRequest is bytes, not 'abc'"):
        await read(stt, asks(written()))
    assert 1 == len(stt.calls)


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        ((3,), TypeError, "text of a Heard is a string"),
        (("x", (), 2), ValueError, "confidence of a Heard"),
        (("x", "x"), TypeError, "words of a Heard is a tuple of Word"),
    ],
)
def test_what_cannot_be_heard(arguments, error, why) -> None:
    """The message names the class that the test has written."""
    with pytest.raises(error, match=why):
        Heard(*arguments)


def test_a_function_hears_the_audio() -> None:
    """One that does not take it is refused when the mock is made."""
    with pytest.raises(TypeError, match="is called with the audio, and"):
        MockSTT(lambda: "x")


@simulated
async def test_titles_end_no_sentence() -> None:
    """A full stop after them is that of an abbreviation."""
    chunks = await read(MockSTT("Ask Dr. Who. Now."), asks(bytes(0)))
    assert ["Ask Dr. Who.", " Now."] == [chunk.text for chunk in chunks]
