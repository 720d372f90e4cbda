"""A turn of the voice assistant, in simulated time; and the command as a person runs it."""

import array
import asyncio
import io
import os
import re
import signal
import subprocess
import sys
import wave
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from stageflow import StageExecutionError, StagePorts, StageStatus
from stageflow.errors import ProviderRequestError, ProviderUnreachable
from stageflow.providers import AudioFormat, LLMChunk, LLMRequest, Message, TTSRequest
from stageflow_mocks.simulation import simulated

from examples.terminal.writing import Terminal
from examples.voice_turn.command import ANSWER, flows, show
from examples.voice_turn.loudspeaker import Loudspeaker, wav_file
from examples.voice_turn.model import MockModel, tokens_of
from examples.voice_turn.pipeline import build_turn
from examples.voice_turn.sentences import SentenceSplitter
from examples.voice_turn.turn import Turn
from examples.voice_turn.voice import (
    FORMAT,
    RATE_HZ,
    SENTENCE_GAP_SAMPLES,
    SYLLABLE_SAMPLES,
    WORD_GAP_SAMPLES,
    ToneVoice,
    can_be_said,
    syllables,
)

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-W", "error", "-m", "examples.voice_turn")
# 3 sentences, 7 words.
TEXT = "Tea now. More coffee later? Buy sugar."
SYLLABLES = 1 + 1 + 2 + 2 + 2 + 1 + 2
SAMPLES = SYLLABLES * SYLLABLE_SAMPLES + 4 * WORD_GAP_SAMPLES + 3 * SENTENCE_GAP_SAMPLES


class Held:
    """A turn whose parts can be looked at."""

    def __init__(self, model: MockModel | None = None, shown: io.StringIO | None = None) -> None:
        self.shown = shown or io.StringIO()
        self.terminal = Terminal(self.shown, {})
        self.model = model or MockModel(first_token_s=0.1, token_s=0.1)
        self.loudspeaker = Loudspeaker(self.terminal)
        self.turn = Turn(build_turn(), StagePorts(llm=self.model, tts=ToneVoice(think_s=0.01)), self.loudspeaker)

    @property
    def samples(self) -> int:
        return len(self.loudspeaker.heard) // 2


def _samples(path: Path) -> int:
    with wave.open(str(path), "rb") as recording:
        assert (recording.getnchannels(), recording.getsampwidth(), recording.getframerate()) == (1, 2, RATE_HZ)
        frames = recording.readframes(recording.getnframes())
        assert len(frames) == 2 * recording.getnframes()
        return recording.getnframes()


@simulated
async def test_first_audio_leaves_before_the_model_has_finished() -> None:
    """The first sound comes a moment after the first sentence is complete, while most of the answer is unwritten."""
    outcome = await Held().turn.take(TEXT)
    tokens = tokens_of(TEXT)
    # The sentence is complete with the token after its full stop; the voice thinks for 10 ms.
    assert outcome.first_audio_ms == pytest.approx(100 * (tokens.index(".") + 2) + 10)
    assert outcome.model_end_ms == pytest.approx(100 * len(tokens))
    assert outcome.first_audio_ms < outcome.model_end_ms / 2
    assert outcome.interrupted_ms is None


@simulated
async def test_all_of_it_is_heard() -> None:
    """Each syllable and each pause is heard, to the sample; and the words are shown in order."""
    held = Held()
    outcome = await held.turn.take(TEXT)
    assert held.samples == SAMPLES
    assert held.shown.getvalue() == f"bot> {TEXT} "
    assert held.model.unsaid == []
    answer = outcome.results.value("model")
    assert (answer.text, answer.chunks, answer.usage.completion_tokens) == (TEXT, *[len(tokens_of(TEXT))] * 2)
    assert [outcome.results.data(name)["count"] for name in ("sentences", "speech")] == [3, 7]
    assert (outcome.heard["sent"], outcome.heard["received"], outcome.heard["dropped"]) == (7, 7, 0)


@simulated
async def test_sounds_are_played_one_after_the_other() -> None:
    """A turn takes no less than its sounds do, and where the next one is ready in time there is no gap."""
    held = Held(MockModel(first_token_s=0.01, token_s=0.001))
    await held.turn.take(TEXT)
    assert held.loudspeaker.begun_at is not None
    assert asyncio.get_running_loop().time() - held.loudspeaker.begun_at == pytest.approx(SAMPLES / RATE_HZ)


@simulated
async def test_interrupted_turn() -> None:
    """Who stops listening closes all that was made for him: the model too, at once."""
    held = Held()
    outcome = await held.turn.take(TEXT, interrupt_after=0.85)
    assert asyncio.get_running_loop().time() == pytest.approx(0.85)
    assert (outcome.interrupted_ms, outcome.model_end_ms) == (pytest.approx(850), pytest.approx(850))
    said = outcome.results["model"].data["count"]
    assert tokens_of(TEXT) == [*tokens_of(TEXT)[:said], *held.model.unsaid]
    assert 0 < said < len(tokens_of(TEXT))
    assert [output.status for output in outcome.results.values()] == [StageStatus.OK] * 3
    assert held.shown.getvalue() == "bot> Tea now. "
    assert held.samples == 2 * SYLLABLE_SAMPLES + WORD_GAP_SAMPLES + SENTENCE_GAP_SAMPLES
    show(outcome, TEXT, held.model.unsaid, held.terminal)
    assert f"the model was closed after {said} of its {len(tokens_of(TEXT))} tokens" in held.shown.getvalue()
    assert re.search(r"^Model closed after +850 ms$", held.shown.getvalue(), re.MULTILINE)


@simulated
async def test_what_an_interruption_drops_is_counted() -> None:
    """Sounds that were ready and are not heard any more are dropped, and counted; so are sentences without sound."""
    held, text = Held(MockModel(first_token_s=0.01, token_s=0.001)), "One two. " * 10
    outcome = await held.turn.take(text, interrupt_after=1.0)
    heard = outcome.heard
    assert (heard["received"], heard["dropped"], heard["high_water"]) == (4, 9, 8)
    sentences = outcome.results.record("sentences").statistics["stream"]["readers"]["speech"]
    assert (sentences["sent"], sentences["received"], sentences["dropped"]) == (10, 7, 3)
    show(outcome, text, held.model.unsaid, held.terminal)
    assert "Interrupted after 1,000 ms: the model had finished." in held.shown.getvalue()
    assert [row.split()[:5] for row in flows(outcome)][1:] == [
        ["model", "sentences", "31", "31", "0"],
        ["sentences", "speech", "10", "7", "3"],
        ["speech", "loudspeaker", "13", "4", "9"],
    ]


@simulated
async def test_interrupted_before_the_first_sound() -> None:
    """A turn that is broken off before anything was heard says nothing of audio."""
    held = Held()
    outcome = await held.turn.take(TEXT, interrupt_after=0.05)
    assert (outcome.first_audio_ms, outcome.results["model"].data["count"], held.samples) == (None, 0, 0)
    assert held.model.unsaid == tokens_of(TEXT)
    show(outcome, TEXT, held.model.unsaid, held.terminal)
    assert "First audio" not in held.shown.getvalue()
    assert "the model was closed after 0 of its" in held.shown.getvalue()


@simulated(seeds=range(50))
async def test_interrupted_by_hand() -> None:
    """To interrupt from outside does the same, in whatever order things happen; a second time it does nothing."""
    held = Held()
    held.turn.interrupt()  # nothing to interrupt yet
    loop = asyncio.get_running_loop()
    loop.call_at(0.6, held.turn.interrupt)
    loop.call_at(0.6, held.turn.interrupt)
    outcome = await held.turn.take(TEXT)
    held.turn.interrupt()
    assert outcome.interrupted_ms == pytest.approx(600)
    assert held.model.unsaid


@simulated
async def test_model_that_fails() -> None:
    """The turn fails with the error of the stage that failed, not with that of the stream which broke by it."""

    class Broken(MockModel):
        async def stream(self, request: LLMRequest) -> AsyncGenerator[LLMChunk]:
            yield LLMChunk("Tea now. More ")
            raise ProviderUnreachable("The line is dead.", provider=self.name)

    with pytest.raises(StageExecutionError, match=r"Stage 'model' .* failed: The line is dead\."):
        await Held(Broken()).turn.take(TEXT)


@pytest.mark.parametrize("error", [BrokenPipeError, TimeoutError])
def test_output_that_breaks(error: type[OSError]) -> None:
    """What goes wrong while listening ends the turn with its own error, and leaves no model running."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    @simulated
    async def turn() -> None:
        held = Held(shown=Gone())
        with pytest.raises(error):
            await held.turn.take(TEXT)
        assert held.model.unsaid
        assert len(asyncio.all_tasks()) == 1

    turn()


@simulated
async def test_model_does_not_wait_for_the_loudspeaker() -> None:
    """However long the answer takes to be heard, the model writes at its own pace."""
    text = "One. " * 100
    outcome = await Held(MockModel(first_token_s=0.01, token_s=0.01)).turn.take(text)
    assert outcome.model_end_ms == pytest.approx(10 * len(tokens_of(text)))
    assert outcome.heard["blocked_ms"] > 10 * outcome.model_end_ms


@simulated
async def test_interrupted_when_it_is_over() -> None:
    """To interrupt a turn of which all was heard does nothing."""
    held = Held()
    assert (await held.turn.take(TEXT)).interrupted_ms is None
    held.turn.interrupt()


def test_wav_file(tmp_path: Path) -> None:
    """What is written is what `wave` reads, and a turn without a sound leaves a file that can be read as well."""
    for samples in (0, 1_234):
        with wav_file(tmp_path / "heard.wav") as recording:
            recording.writeframes(bytes(2 * samples))
        assert _samples(tmp_path / "heard.wav") == samples


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("It costs 3.14 euros. No more.", ["It costs 3.14 euros.", "No more."]),
        ('"Really?" he said... Yes.', ['"Really?"', "he said...", "Yes."]),
        ("A line\nand another\n\n", ["A line", "and another"]),
        ("  spaced   out. ", ["spaced out."]),
        ("x" * 450, ["x" * 200, "x" * 200, "x" * 50]),
        ("word " * 60, ["word " * 39 + "word", "word " * 19 + "word"]),
        ("", []),
        (" \n ", []),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_sentences(text: str, expected: list[str], size: int) -> None:
    """Sentences are the same however the text is cut; one that is too long to wait for is given in parts."""
    splitter = SentenceSplitter()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    sentences = [sentence for piece in pieces for sentence in splitter.feed(piece)]
    assert [*sentences, *splitter.rest()] == expected


def test_tokens_are_the_whole_text() -> None:
    """No character is lost between the text and the tokens."""
    for text in (ANSWER, TEXT, " a  b!? \n", "Žluťoučký 🦄 kůň...", "\u0301"):
        assert "".join(tokens_of(text)) == text


@pytest.mark.parametrize(
    ("word", "count"), [("tea", 1), ("coffee,", 2), ("rhythm", 1), ("42", 1), ("—", 0), ("...", 0), ("日本", 1)]
)
def test_syllables(word: str, count: int) -> None:
    """A word has as many sounds as groups of vowels, at least one; punctuation has none."""
    assert len(syllables(word)) == count
    assert can_be_said(f" {word} ") == (count > 0)


def test_sound_is_no_silence_and_does_not_click() -> None:
    """A tone can be heard, keeps below the limit, and begins and ends softly."""

    @simulated
    async def said() -> bytes:
        return (await ToneVoice().synthesize(TTSRequest("tea"))).audio

    samples = array.array("h", said())
    if sys.byteorder == "big":
        samples.byteswap()
    assert max(samples) > 8_000
    assert min(samples) >= -32_767
    assert max(abs(sample) for sample in (*samples[:5], *samples[SYLLABLE_SAMPLES - 5 :])) < 400


@simulated
async def test_whole_answer() -> None:
    """Who wants the whole at once gets what the pieces are, in the same time."""
    asked = LLMRequest((Message("system", "Speak."), Message("user", TEXT)))
    answer = await MockModel(first_token_s=0.1, token_s=0.1).complete(asked)
    tokens = len(tokens_of(TEXT))
    assert (answer.text, answer.finish_reason, answer.model) == (TEXT, "stop", "mock-1")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2 + tokens, tokens)
    assert asyncio.get_running_loop().time() == pytest.approx(0.1 * tokens)


@simulated
async def test_whole_sound() -> None:
    """Words have the times of their tones, from the beginning of the whole, and pauses belong to none."""
    spoken = await ToneVoice().synthesize(TTSRequest("More coffee", format=FORMAT))
    assert [(word.text, word.start_ms, word.end_ms) for word in spoken.words] == [
        ("More", 0.0, 2 * 125.0),
        ("coffee", 2 * 125.0 + 40.0, 4 * 125.0 + 40.0),
    ]
    assert spoken.duration_ms == 4 * 125.0 + 40.0 + 250.0


async def test_what_they_cannot_do() -> None:
    """It is refused, not left out."""
    said = (Message("user", TEXT),)
    for asked in (LLMRequest(said, temperature=1.0), LLMRequest(said, max_tokens=3), LLMRequest(said, model="big")):
        with pytest.raises(ProviderRequestError, match="Provider 'mock' does not support "):
            await MockModel().complete(asked)
    for wanted in ({"speed": 2.0}, {"voice": "alto"}, {"language": "de"}):
        with pytest.raises(ProviderRequestError, match="Provider 'tones' does not support "):
            await ToneVoice().synthesize(TTSRequest(TEXT, **wanted))
    with pytest.raises(ProviderRequestError, match=r"It speaks AudioFormat.*, not AudioFormat.*mp3"):
        await ToneVoice().synthesize(TTSRequest(TEXT, format=AudioFormat("mp3")))


def _run(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **options
    )


def test_command(tmp_path: Path) -> None:
    """A person sees the words, the two times, a line for each stage, and what flowed between them."""
    path = tmp_path / "heard.wav"
    done = _run("--output", str(path), "Hi. So long as it goes on.")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("bot> Hi. So long as it goes on. \n")
    first, model = (
        float(re.search(rf"^{what} +([\d,]+) ms$", done.stdout, re.MULTILINE)[1].replace(",", ""))  # type: ignore[index]
        for what in ("First audio after", "Model finished after")
    )
    assert first < model
    assert re.findall(r"^  (model|sentences|speech) +ok ", done.stdout, re.MULTILINE) == [
        "model",
        "sentences",
        "speech",
    ]
    assert re.search(r"^  speech +loudspeaker +7 +7 +0 ", done.stdout, re.MULTILINE)
    assert done.stdout.endswith(f"s of sound are in {path}\n")
    assert max(map(len, done.stdout.splitlines()[:-1])) < 80
    assert _samples(path) == 7 * SYLLABLE_SAMPLES + 5 * WORD_GAP_SAMPLES + 2 * SENTENCE_GAP_SAMPLES


@pytest.mark.parametrize("text", ["", "  \n", "...!?"])
def test_nothing_to_say(tmp_path: Path, text: str) -> None:
    """A text without words is one line and exit code 2, and no file is made or overwritten."""
    path = tmp_path / "heard.wav"
    done = _run("--output", str(path), text)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "There is nothing to say: the text has no words.\n")
    assert not path.exists()


@pytest.mark.parametrize(("where", "why"), [("missing/a.wav", "No such file or directory"), ("", "Is a directory")])
def test_file_that_cannot_be_written(tmp_path: Path, where: str, why: str) -> None:
    """A file that cannot be written is one line with its name and exit code 2, before anything is said."""
    path = tmp_path / where
    done = _run("--output", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{path} cannot be written: {why}.\n")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_bad_arguments(seconds: str) -> None:
    """A time that is none is explained, with exit code 2."""
    done = _run("--interrupt-after", seconds)
    assert (done.returncode, done.stdout) == (2, "")
    told = f"argument --interrupt-after: {seconds} is not a number of seconds above zero"
    assert done.stderr.splitlines()[-1].endswith(told)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_signal(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """A signal breaks in: the turn ends, shows what was done, and leaves a whole WAV file."""
    path = tmp_path / "heard.wav"
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("--output", str(path), "Yes. " * 100),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readuntil(b"bot> Yes.")
    process.send_signal(number)
    out, err = await process.communicate()
    assert (process.returncode, err) == (code, b"")
    assert re.search(rb"! Interrupted after [\d,]+ ms: the model was closed after \d+ of its 201 tokens\.", out)
    assert 0 < _samples(path) < 20 * (SYLLABLE_SAMPLES + SENTENCE_GAP_SAMPLES)


async def test_output_that_goes_away(tmp_path: Path) -> None:
    """A reader that has had enough ends the turn without a traceback."""
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("--output", str(tmp_path / "heard.wav")),
        cwd=ROOT,
        stdout=writing,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(writing)
    os.close(reading)
    _, err = await process.communicate()
    assert (process.returncode, err) == (128 + signal.SIGPIPE, b"")
