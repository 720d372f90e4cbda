"""MockTTS spoken by flite: real speech where the program is installed, and what becomes of it where it fails."""

import asyncio
import shutil
import stat
import struct
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stageflow.errors import ProviderRequestError
from stageflow.providers import AudioFormat, TTSRequest
from stageflow_mocks import AtCall, CutOff, FliteError, MockTTS
from stageflow_mocks.providers import flite
from stageflow_mocks.simulation import run, simulated

SENTENCES = "Good morning, Dr. Smith! It costs 1984 dollars, don\u2019t you think?"

where_it_is = pytest.mark.skipif(
    shutil.which("flite") is None, reason="needs the program flite (apt-get install flite)"
)


async def writes(*pieces, every=0.0):
    for piece in pieces:
        yield piece
        await asyncio.sleep(every)


def samples_of(audio):
    return struct.unpack(f"<{len(audio) // 2}h", audio)


@where_it_is
@simulated
async def test_what_is_said_is_heard_where_its_words_are() -> None:
    """There is speech within the words, silence at the ends, and the duration is that of the samples."""
    spoken = await MockTTS(spoken_by="flite").synthesize(TTSRequest(SENTENCES, model="m"))
    assert (AudioFormat("pcm_s16le", 16_000), "m") == (spoken.format, spoken.model)
    assert SENTENCES.split() == [word.text for word in spoken.words]
    assert spoken.duration_ms == spoken.format.duration_ms(spoken.audio)
    samples = samples_of(spoken.audio)
    for word in spoken.words:
        heard = samples[round(word.start_ms * 16) : round(word.end_ms * 16)]
        assert max(heard) > 2_000, word
        assert 100 < word.end_ms - word.start_ms < 1_200, word
    before, after = samples[: round(spoken.words[0].start_ms * 16)], samples[round(spoken.words[-1].end_ms * 16) :]
    assert len(before) > 1_000 < len(after)
    assert max(map(abs, before + after)) < 2_000
    smith, it = spoken.words[3:5]
    assert it.start_ms - smith.end_ms > 150  # a pause between sentences, and none after "Dr."
    assert spoken.words[2].end_ms == spoken.words[3].start_ms


@where_it_is
@simulated
async def test_the_duration_follows_the_text_and_the_speed() -> None:
    """More words take longer, and at twice the speed half as long."""
    tts = MockTTS(spoken_by="flite")

    async def lasts(text, **options):
        return (await tts.synthesize(TTSRequest(text, **options))).duration_ms

    short, long = await lasts("One two three."), await lasts("One two three four five six.")
    assert long > 1.4 * short
    assert await lasts("One two three.", speed=2) == pytest.approx(short / 2, rel=0.05)
    assert await lasts("... 🙂") == 0


@where_it_is
def test_real_and_simulated_time_give_the_same_samples() -> None:
    """In whatever loop, and without time of the simulated one going by."""

    async def said():
        return await MockTTS(spoken_by="flite").synthesize(
            TTSRequest("In real time.")
        ), asyncio.get_running_loop().time()

    flite._speech.cache_clear()
    real, _ = asyncio.run(said())
    flite._speech.cache_clear()
    fake, time = run(said())
    assert (real, 0.0) == (fake, time)


@where_it_is
@settings(max_examples=30, deadline=None)
@given(st.text(alphabet="abe ,.!?'-1é¨&\n\0—🙂", min_size=1, max_size=30), st.integers(1, 7))
def test_the_same_text_makes_the_same_samples(text, size) -> None:
    """However it comes in; and each word is there, whatever it is made of."""

    async def both():
        tts = MockTTS(spoken_by="flite")
        pieces = writes(*(text[place : place + size] for place in range(0, len(text), size)))
        chunks = [chunk async for chunk in tts.stream(TTSRequest(pieces))]
        return chunks, await tts.synthesize(TTSRequest(text))

    chunks, whole = run(both())
    assert text.split() == [word.text for chunk in chunks for word in chunk.words]
    assert whole.audio == b"".join(chunk.audio for chunk in chunks)
    assert whole.words == tuple(word for chunk in chunks for word in chunk.words)


@where_it_is
@simulated
async def test_sentences_are_spoken_while_the_text_comes_in() -> None:
    """A chunk for each word, as soon as its sentence is over."""
    tts, loop = MockTTS(spoken_by="flite", latency=0.5, per_chunk=0.1), asyncio.get_running_loop()
    chunks = tts.stream(TTSRequest(writes("It is ", "Dr. ", "Who. A", "nd", every=1)))
    came = [(round(loop.time(), 3), chunk.words[0].text) async for chunk in chunks]
    assert [(2.5, "It"), (2.6, "is"), (2.7, "Dr."), (2.8, "Who."), (4.1, "And")] == came
    tts.fail_next(CutOff(2))
    assert 2 == len([chunk async for chunk in tts.stream(TTSRequest("One two three."))])


@where_it_is
@simulated
async def test_a_sentence_without_an_end_is_spoken_by_and_by() -> None:
    """After forty words a breath is drawn."""
    stream = MockTTS(spoken_by="flite").stream(TTSRequest(writes(*["on "] * 100, every=1)))
    await anext(stream)
    assert 39 == asyncio.get_running_loop().time()
    await stream.aclose()


@where_it_is
@simulated
async def test_voices_and_rates() -> None:
    """Those of flite, also by other names; each at the rate that it has."""
    tts = MockTTS(spoken_by="flite", voices={"Ada-1": "slt", "Bob-1": "kal"})
    ada = await tts.synthesize(TTSRequest("Yes.", voice="Ada-1"))
    bob = await tts.synthesize(TTSRequest("Yes.", voice="Bob-1"))
    assert (16_000, 8_000) == (ada.format.sample_rate, bob.format.sample_rate)
    assert ada.audio == (await tts.synthesize(TTSRequest("Yes."))).audio
    stereo = AudioFormat("pcm_s16le", 8_000, 2)
    both = await tts.synthesize(TTSRequest("Yes.", voice="Bob-1", format=stereo))
    assert (stereo, bob.duration_ms) == (both.format, both.duration_ms)
    samples = samples_of(both.audio)
    assert samples[::2] == samples[1::2] == samples_of(bob.audio)
    for options, why in (
        ({"voice": "kal"}, "has no voice 'kal'; its voices: Ada-1, Bob-1"),
        ({"voice": "https://voices.test/x.flitevox"}, "has no voice"),
        ({"format": AudioFormat("pcm_s16le", 24_000)}, "speaks pcm_s16le of 16,000 hertz, as flite's voice 'slt' does"),
        ({"format": AudioFormat("mp3")}, "not AudioFormat"),
        ({"format": AudioFormat("pcm_s16le", 16_000, 99)}, "on up to 8 channels"),
        ({"language": "no"}, "is spoken by flite, in English, not in 'no'"),
        ({"speed": 100}, "at a speed from 0.1 to 10, not 100"),
    ):
        with pytest.raises(ProviderRequestError, match=why):
            await tts.synthesize(TTSRequest("Yes.", **options))
    await tts.synthesize(TTSRequest("Yes.", language="en-GB"))


@where_it_is
@simulated
async def test_texts_that_are_no_english() -> None:
    """Another script is refused rather than passed over; accents and typographic quotation marks are understood."""
    tts = MockTTS(spoken_by="flite")
    for text, why in (("你好", "cannot say '你好'"), ("Say приве́т now", "cannot say"), ("x" * 1_001, "of up to 1,000")):
        with pytest.raises(ProviderRequestError, match=why):
            await tts.synthesize(TTSRequest(text))

    async def said(text):
        return (await tts.synthesize(TTSRequest(text))).audio

    assert await said("Zoë \u201cdon\u2019t\u201d 🙂") == await said('Zoe "don\'t"')
    assert await said("We\u2019ll see") == await said("We'll see") != await said("Well see")
    assert await said("a\ud800") == await said("a")


@where_it_is
@simulated
async def test_signs_among_words_do_not_move_them() -> None:
    """The program takes some of them for several words, and others for none."""
    plain = await MockTTS(spoken_by="flite").synthesize(TTSRequest("one two three"))
    signs = await MockTTS(spoken_by="flite").synthesize(TTSRequest("' one ' 🙂 two three"))
    lengths = {word.text: word.end_ms - word.start_ms for word in signs.words}
    for word in plain.words:
        assert lengths[word.text] == pytest.approx(word.end_ms - word.start_ms, rel=0.35), word
    assert lengths["'"] == lengths["🙂"] == 0


@where_it_is
@simulated
async def test_text_is_never_an_option() -> None:
    """Nor a file, nor markup, whatever it begins with."""
    tts = MockTTS(spoken_by="flite")
    for text in ("-voice", "--help", "-o /tmp/said.wav", "/etc/passwd", "$(date)", "-lv", "<speak> a"):
        spoken = await tts.synthesize(TTSRequest(text))
        assert spoken.duration_ms > 300, text


@where_it_is
@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"ms_per_character": 5}, TypeError, "ms_per_character of a MockTTS is for tones"),
        ({"pause_ms": 0}, TypeError, "pause_ms of a MockTTS is for tones"),
        ({"voices": ["rmss"]}, ValueError, r"are those of flite, kal16, .*; 'rmss' is none\. Did you mean 'rms'\?"),
        ({"voices": {"Ada": "http://voices.test"}}, ValueError, "are those of flite"),
        ({"voices": ["awb_time"]}, ValueError, "'awb_time' is none"),  # which can only tell the time
        ({"voices": {"Ada": 3}}, ValueError, "3 is none"),
        ({"voices": []}, ValueError, "at least one name"),
    ],
)
def test_what_flite_cannot_be_told_is_refused_when_it_is_made(options, error, why) -> None:
    """Its voices are those that are installed, and its pace is its own."""
    with pytest.raises(error, match=why):
        MockTTS(spoken_by="flite", **options)


def test_where_it_is_missing_the_mock_cannot_be_made(monkeypatch, tmp_path) -> None:
    """The message says how to install it, and what does without."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FliteError, match=r"is not installed: apt-get install flite, .* spoken_by='tones'"):
        MockTTS(spoken_by="flite")


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Put a program of our own in the place of flite: it has one voice, and ends as a test says."""

    def written(then):
        place = tmp_path / "flite"
        place.write_text(
            f"#!{sys.executable}\nimport os, sys, time\n"
            "if '-lv' in sys.argv:\n    print('Voices available: kal16 awb_time')\n    sys.exit()\n" + then
        )
        place.chmod(place.stat().st_mode | stat.S_IXUSR)
        for cache in (flite._voices, flite._rate, flite._speech):
            cache.cache_clear()

    monkeypatch.setenv("PATH", str(tmp_path))
    yield written
    for cache in (flite._voices, flite._rate, flite._speech):
        cache.cache_clear()


@pytest.mark.parametrize(
    ("then", "why"),
    [
        ("sys.exit('out of phones')", r"ended with 1, asked for .*: out of phones\."),
        ("os.abort()", r"ended with -6, .*: no word why\."),
        ("pass", "wrote no recording of 'a'"),
        ("open(sys.argv[sys.argv.index('-o') + 1], 'w').write('RIFF?')", "wrote no recording of 'a'"),
    ],
)
def test_a_program_that_fails_is_no_error_of_a_provider(program, then, why) -> None:
    """It says what the program said; nothing that a retry would help."""
    program(then)
    tts = MockTTS(spoken_by="flite")
    with pytest.raises(FliteError, match=why):
        run(tts.synthesize(TTSRequest("Yes.")))
    assert "error" == tts.calls[0].ended


@pytest.mark.parametrize("way", [run, asyncio.run])
def test_a_program_that_hangs_is_stopped(program, monkeypatch, way) -> None:
    """After its time limit, in simulated time as well."""
    monkeypatch.setattr(flite, "TIME_LIMIT_S", 0.5)
    program("time.sleep(60)")
    with pytest.raises(FliteError, match=r"was stopped after 0\.5 s"):
        way(MockTTS(spoken_by="flite").synthesize(TTSRequest("Yes.")))


def test_another_program_of_its_name_is_found_out(program) -> None:
    """One that has no voices is not flite."""
    program("")
    Path(shutil.which("flite")).write_text("#!/bin/sh\n")
    with pytest.raises(FliteError, match="lists no voices"):
        MockTTS(spoken_by="flite")


def test_who_speaks_is_known() -> None:
    """One of two."""
    with pytest.raises(ValueError, match="spoken_by of a MockTTS is 'tones' or 'flite', not 'espeak'"):
        MockTTS(spoken_by="espeak")
    with pytest.raises(TypeError, match="a mapping only where flite speaks"):
        MockTTS(voices={"Ada": "slt"})


@where_it_is
@simulated
async def test_two_streams_at_once_do_not_mix() -> None:
    """Each says its own, whichever comes first."""
    tts = MockTTS(spoken_by="flite", latency=0.1, per_chunk=0.1, faults=[AtCall(3, CutOff(1))])

    async def said(text):
        return b"".join([chunk.audio async for chunk in tts.stream(TTSRequest(text))])

    one, two = await asyncio.gather(said("One two. Three."), said("Four five six."))
    assert one == tts.calls[0].answer.audio != two == tts.calls[1].answer.audio


def test_who_gives_up_does_not_wait_for_the_program(program, monkeypatch) -> None:
    """A call that is cancelled ends at once, in real time; the thread ends when the program does."""
    program("")
    released, ended = threading.Event(), []

    def held(*_options):
        released.wait(10)
        ended.append(True)
        raise FliteError("too late")

    async def gives_up():
        tts = MockTTS(spoken_by="flite")
        monkeypatch.setattr(flite, "_run", held)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(tts.synthesize(TTSRequest("Yes.")), 0.01)
        assert [] == ended
        released.set()
        return tts.calls[0].ended

    assert "cancelled" == asyncio.run(gives_up())
    assert [True] == ended
