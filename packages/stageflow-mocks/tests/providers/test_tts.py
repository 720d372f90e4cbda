"""MockTTS: real samples, as long as the text, while the text comes in."""

import asyncio
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow.errors import ProviderProtocolError, ProviderRequestError
from stageflow.providers import AudioFormat, TTSRequest, Word
from stageflow_mocks import AtCall, CutOff, Malformed, MockTTS, RateLimited
from stageflow_mocks.simulation import run, simulated


async def writes(*pieces, every=0.0):
    for piece in pieces:
        yield piece
        await asyncio.sleep(every)


async def read(tts, request):
    return [chunk async for chunk in tts.stream(request)]


@simulated
async def test_the_duration_follows_the_text() -> None:
    """Each character sounds for its time, each word is followed by a pause, and `speed` divides both."""
    tts = MockTTS(ms_per_character=50, pause_ms=100)
    spoken = await tts.synthesize(TTSRequest("Good day", model="m"))
    assert (AudioFormat("pcm_s16le", 16_000), 550.0, "m", "mock-tts-1") == (
        spoken.format,
        spoken.duration_ms,
        spoken.model,
        spoken.request_id,
    )
    assert (Word("Good", 0, 200), Word("day", 300, 450)) == spoken.words
    assert 550.0 == spoken.format.duration_ms(spoken.audio)
    assert 275.0 == (await tts.synthesize(TTSRequest("Good day", speed=2))).duration_ms


@simulated
async def test_the_audio_is_a_tone_and_then_silence() -> None:
    """Samples that swing, within their range, at the pitch of the word; nothing after it."""
    spoken = await MockTTS(ms_per_character=100, pause_ms=100).synthesize(TTSRequest("word"))
    samples = struct.unpack(f"<{len(spoken.audio) // 2}h", spoken.audio)
    sounding, silent = samples[:6_400], samples[6_400:]
    assert {0} == set(silent)
    assert 7_900 < max(sounding) <= 8_000
    assert -8_000 <= min(sounding) < -7_900
    assert abs(sounding[0]) < 100 > abs(sounding[-1])  # or it would click
    swings = sum(one < 0 <= after for one, after in pairwise(sounding))
    assert 80 <= swings <= 320


@simulated
async def test_words_and_voices_sound_different() -> None:
    """A word has its own tone, whatever its case, and each voice another."""
    tts = MockTTS()

    async def said(text, voice=None):
        return (await tts.synthesize(TTSRequest(text, voice=voice))).audio

    assert await said("yes") == await said("YES")
    assert await said("yes") != await said("yet")
    assert await said("yes") != await said("yes", "ada")


@simulated
async def test_formats() -> None:
    """Any rate and number of channels of raw samples; nothing else."""
    tts = MockTTS()
    mono = await tts.synthesize(TTSRequest("yes", format=AudioFormat("pcm_s16le", 8_000)))
    stereo = await tts.synthesize(TTSRequest("yes", format=AudioFormat("pcm_s16le", 8_000, 2)))
    assert mono.duration_ms == stereo.duration_ms
    assert 2 * len(mono.audio) == len(stereo.audio)
    left = [stereo.audio[place : place + 2] for place in range(0, len(stereo.audio), 4)]
    assert mono.audio == b"".join(left)
    for format in (AudioFormat("mp3"), AudioFormat("pcm_s16le")):
        with pytest.raises(ProviderRequestError, match="speaks pcm_s16le of a sample rate that is given"):
            await tts.synthesize(TTSRequest("yes", format=format))


@simulated
async def test_voices_that_there_are() -> None:
    """Another one is refused as a provider would."""
    tts = MockTTS(voices=["ada", "bob"])
    await tts.synthesize(TTSRequest("yes", voice="ada"))
    await tts.synthesize(TTSRequest("yes"))
    with pytest.raises(ProviderRequestError, match="has no voice 'eve'; its voices: ada, bob"):
        await read(tts, TTSRequest("yes", voice="eve"))
    assert "error" == tts.calls[2].ended


@simulated
async def test_words_are_spoken_while_the_text_comes_in() -> None:
    """Each as soon as it is known to be whole."""
    tts, loop = MockTTS(latency=0.5, per_chunk=0.1), asyncio.get_running_loop()
    chunks = tts.stream(TTSRequest(writes("Go", "od d", "ay, A", "da", every=1)))
    came = [(round(loop.time(), 3), chunk.words[0].text) async for chunk in chunks]
    assert [(1.5, "Good"), (2.1, "day,"), (4.1, "Ada")] == came
    assert (["Good", "day,", "Ada"], "ok") == ([word.text for word in tts.calls[0].answer.words], tts.calls[0].ended)


@simulated
async def test_faults() -> None:
    """Speech that is cut off, or has half a sample, passes in a stream and not as a whole."""
    tts = MockTTS(faults=[AtCall(1, CutOff(1)), AtCall(2, CutOff(1)), AtCall(3, Malformed()), AtCall(4, Malformed())])
    asked = TTSRequest("one two")
    assert 1 == len(await read(tts, asked))
    with pytest.raises(ProviderProtocolError, match="is incomplete"):
        await tts.synthesize(asked)
    assert [1, 1] == [len(chunk.audio) % 2 for chunk in await read(tts, asked)]
    with pytest.raises(ProviderProtocolError, match="is incomplete"):
        await tts.synthesize(asked)
    tts.fail_next(RateLimited(3))
    with pytest.raises(Exception, match="is limited"):
        await read(tts, asked)
    tts.fail_next(CutOff(2))
    assert 2 == len(await read(tts, asked))
    assert ["cut off", "error", "ok", "error", "error", "cut off"] == [call.ended for call in tts.calls]


@simulated
async def test_pieces_are_for_streams() -> None:
    """Whole speech is of a whole text."""
    with pytest.raises(ProviderRequestError, match=r"comes in pieces\. .* or call stream\(\)"):
        await MockTTS().synthesize(TTSRequest(writes("x")))


@given(st.text(alphabet="ab .\n", min_size=1, max_size=12), st.integers(1, 5), st.sampled_from([8_000, 22_050]))
def test_the_same_text_makes_the_same_samples(text, size, rate) -> None:
    """However it comes in, and each time."""
    format = AudioFormat("pcm_s16le", rate)

    async def both():
        pieces = [text[place : place + size] for place in range(0, len(text), size)]
        tts = MockTTS(ms_per_character=3, pause_ms=2)
        chunks = await read(tts, TTSRequest(writes(*pieces), format=format))
        return chunks, await tts.synthesize(TTSRequest(text, format=format)), tts.calls[0].answer

    chunks, whole, recorded = run(both())
    assert whole.audio == b"".join(chunk.audio for chunk in chunks) == recorded.audio
    assert whole.words == tuple(word for chunk in chunks for word in chunk.words)
    assert text.split() == [word.text for word in whole.words]
    assert whole.duration_ms == pytest.approx(format.duration_ms(whole.audio))


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"ms_per_character": -1}, ValueError, "ms_per_character of a MockTTS"),
        ({"pause_ms": "5"}, ValueError, "pause_ms of a MockTTS"),
        ({"voices": "ada"}, TypeError, "voices of a MockTTS is a list of names"),
        ({"voices": 3}, TypeError, "voices of a MockTTS is a list of names"),
        ({"voices": [3]}, TypeError, "strings that are not empty; one is 3"),
        ({"voices": []}, ValueError, "at least one name"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(options, error, why) -> None:
    """An option that makes no sense never reaches a run."""
    with pytest.raises(error, match=why):
        MockTTS(**options)


@simulated
async def test_what_is_no_request_or_no_text_is_refused() -> None:
    """Where a type checker was not asked."""
    tts = MockTTS()
    with pytest.raises(TypeError, match="MockTTS 'mock-tts' is asked with a TTSRequest, not 'yes'"):
        await tts.synthesize("yes")
    with pytest.raises(TypeError, match="is asked with a TTSRequest"):
        await read(tts, "yes")
    with pytest.raises(TypeError, match="A piece of the text of a TTSRequest is a string, not b'yes'"):
        await read(tts, TTSRequest(writes(b"yes")))
    assert 1 == len(tts.calls)


@simulated
async def test_what_would_never_end_is_refused() -> None:
    """Speeds and formats that nobody has."""
    tts = MockTTS()
    for options, why in (
        ({"speed": 1e-9}, "speaks at a speed from 0.1 to 10, not 1e-09"),
        ({"format": AudioFormat("pcm_s16le", 10**9)}, "of 1,000 to 192,000 hertz"),
        ({"format": AudioFormat("pcm_s16le", 8_000, 99)}, "on up to 8 channels"),
    ):
        with pytest.raises(ProviderRequestError, match=why):
            await tts.synthesize(TTSRequest("yes", **options))
    assert (await tts.synthesize(TTSRequest("\ud800"))).audio
