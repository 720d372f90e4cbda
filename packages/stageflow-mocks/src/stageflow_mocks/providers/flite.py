"""Real speech, where the program flite is installed: English, by diphones or from samples of a speaker.

What is used of its options stands in `flite --help`. It is run twice for each sentence, without a shell: once for the
speech, and once for the sounds of each word, which tell where words begin. What it has said is kept.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
import unicodedata
import wave
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import ParamSpec, TypeVar

from stageflow.providers import AudioFormat, TTSRequest

from stageflow_mocks.providers.errors import FliteError
from stageflow_mocks.providers.hearing import ends_sentence
from stageflow_mocks.providers.speaking import Sound, UnspeakableError, check_speed
from stageflow_mocks.simulation.outside_world import NoOutsideWorld
from stageflow_mocks.wording import listed, nearest, shown

__tracebackhide__ = True  # pytest shows who asked, and not how it is answered

P = ParamSpec("P")
T = TypeVar("T")

TIME_LIMIT_S = 30.0
"""For how long the program may take; it needs some 20 ms for a sentence."""

_MOST_WORDS = 40
_MOST_CHARACTERS = 1_000
_MOST_CHANNELS = 8
_SILENCE = "pau"
_FASTEST = "kal16"
# Typographic quotation marks, dashes, and the stroke of a fraction.
_PLAIN = str.maketrans("\u2018\u2019\u201c\u201d\u2013\u2014\u2044", "''\"\"--/")


class Flite:
    """A `Speaker` that has the program flite say a sentence at a time.

    Args:
        voices: Those that there are, of flite's; or names of one's own, each with the voice of flite's that stands for
            it. All of flite's, if None. The first of them speaks where none is asked for.

    Raises:
        FliteError: The program is not installed, or does not work.
        ValueError: A voice is none of flite's.
    """

    def __init__(self, voices: Sequence[str] | Mapping[str, str] | None) -> None:
        program = _here(shutil.which, "flite")
        if program is None:
            raise FliteError(
                "The program flite, which spoken_by='flite' needs, is not installed: apt-get install flite, or see "
                "https://github.com/festvox/flite. Tones need nothing: spoken_by='tones'."
            )
        self._program = program
        known = _here(_voices, program)
        self._voices = dict(voices) if isinstance(voices, Mapping) else {name: name for name in voices or known}
        for voice in self._voices.values():
            if voice not in known:
                told = f"voices of a MockTTS are those of flite, {listed(known)}; {shown(voice)} is none."
                raise ValueError(f"{told} {nearest(str(voice), known)}".rstrip())

    async def format_of(self, request: TTSRequest) -> AudioFormat:
        """Return raw samples of the rate that the voice has, on as many channels as were asked for."""
        check_speed(request)
        if request.language is not None and re.split("[-_]", request.language)[0].lower() != "en":
            raise UnspeakableError(f"is spoken by flite, in English, not in {shown(request.language)}")
        voice = self._voice(request)
        rate = await _in_a_thread(_rate, self._program, voice)
        format = request.format or AudioFormat("pcm_s16le", rate)
        if format.encoding != "pcm_s16le" or format.sample_rate != rate or format.channels > _MOST_CHANNELS:
            spoken = f"pcm_s16le of {rate:,} hertz, as flite's voice '{voice}' does, on up to {_MOST_CHANNELS} channels"
            raise UnspeakableError(f"speaks {spoken}, not {format}")
        return format

    def is_phrase(self, words: Sequence[str]) -> bool:
        """Return whether a sentence is over, or so long that one would draw breath."""
        return ends_sentence(words[-1]) or len(words) == _MOST_WORDS

    async def say(self, words: Sequence[str], request: TTSRequest, format: AudioFormat) -> Sequence[Sound]:
        """Return the speech of a sentence, cut where its words begin."""
        plain = tuple(_written_plainly(word) for word in words)
        speech = await _in_a_thread(_speech, self._program, self._voice(request), request.speed, plain)
        cuts = [0, *(begins for begins, _ in speech.times[1:]), len(speech.samples) // 2]
        return [
            Sound(
                word,
                _on_channels(speech.samples[2 * cut : 2 * after], format.channels),
                begins - cut,
                ends - cut,
                after - cut,
            )
            for word, (begins, ends), cut, after in zip(words, speech.times, cuts, cuts[1:], strict=False)
        ]

    def _voice(self, request: TTSRequest) -> str:
        if request.voice is None:
            return next(iter(self._voices.values()))
        if request.voice not in self._voices:
            raise UnspeakableError(f"has no voice '{request.voice}'; its voices: {listed(tuple(self._voices))}")
        return self._voices[request.voice]


@dataclass(frozen=True, slots=True)
class _Speech:
    """A sentence on one channel, and of each of its words between which samples it is heard."""

    samples: bytes
    times: Sequence[tuple[int, int]]


async def _in_a_thread(ask: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Ask the program without holding up the loop; one in simulated time has no threads, and nothing to hold up."""
    if isinstance(asyncio.get_running_loop(), NoOutsideWorld):
        return _here(ask, *given, **named)
    return await asyncio.to_thread(ask, *given, **named)


def _here(ask: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Ask the program, and wait for it on purpose: what looks for calls that block a loop is not to find this one."""
    running = asyncio._get_running_loop()  # noqa: SLF001 - which returns None outside of a loop, and raises nothing
    asyncio._set_running_loop(None)  # noqa: SLF001 - as event loops themselves do
    try:
        return ask(*given, **named)
    finally:
        asyncio._set_running_loop(running)  # noqa: SLF001


@lru_cache(maxsize=8)
def _voices(program: str) -> tuple[str, ...]:
    """Return the voices that the program has, the fastest first; without those that can only tell the time."""
    names = _run(program, "-lv").partition("Voices available:")[2].split()
    found = sorted((name for name in names if not name.endswith("_time")), key=lambda name: name != _FASTEST)
    if not found:
        raise FliteError(f"{program} -lv lists no voices: it is another program, or flite was built without any.")
    return tuple(found)


@lru_cache(maxsize=32)
def _rate(program: str, voice: str) -> int:
    with tempfile.TemporaryDirectory(prefix="stageflow-flite-") as folder:
        return _recorded(program, voice, 1.0, "a", Path(folder))[1]


@lru_cache(maxsize=128)  # tests say the same sentences over and over; the longest of them have about a megabyte
def _speech(program: str, voice: str, speed: float, words: tuple[str, ...]) -> _Speech:
    said = [word for word in words if word]
    if not said:
        return _Speech(b"", [(0, 0)] * len(words))
    with tempfile.TemporaryDirectory(prefix="stageflow-flite-") as place:
        folder = Path(place)
        samples, rate, told = _recorded(program, voice, speed, " ".join(said), folder)
        alone = iter(_phones_alone(program, voice, said, folder))
    phones = [next(alone) if word else [] for word in words]
    return _Speech(samples, _times(phones, _segments(told), rate, len(samples) // 2))


def _recorded(program: str, voice: str, speed: float, text: str, folder: Path) -> tuple[bytes, int, str]:
    """Return the samples of a text, their rate, and what the program tells of its segments."""
    target = folder / "said.wav"
    options = ("-voice", voice, "--setf", f"duration_stretch={1 / speed:.6f}", "-psdur", "-o", str(target))
    told = _run(program, *options, "-t", text)
    try:
        with wave.open(str(target), "rb") as recording:
            shape = recording.getnchannels(), recording.getsampwidth()
            samples, rate = recording.readframes(recording.getnframes()), recording.getframerate()
    except (OSError, EOFError, wave.Error) as error:
        raise FliteError(f"{program} wrote no recording of {shown(text)}: {error}.") from error
    if shape != (1, 2):
        raise FliteError(f"{program} wrote {shape[0]} channels of {shape[1]} bytes, and not one of two.")
    return samples, rate, told


def _segments(told: str) -> list[tuple[str, float, float]]:
    """Return what the program tells as "name:end" in seconds: each sound with its beginning and end, no silence."""
    ends = [(name, float(end)) for name, _, end in (segment.rpartition(":") for segment in told.split())]
    begins = [0.0, *(end for _, end in ends)]
    return [(name, begin, end) for (name, end), begin in zip(ends, begins, strict=False) if name != _SILENCE]


def _phones_alone(program: str, voice: str, words: Sequence[str], folder: Path) -> list[list[str]]:
    """Return the phones of each word as it is said alone."""
    asked = ("-voice", voice, "-ps", "-o", "none")
    listing = folder / "words.txt"
    listing.write_text("\n\n".join(words) + "\n", encoding="ascii")
    lines = _run(program, *asked, "-f", str(listing)).splitlines()
    if len(lines) != len(words):  # it has one for each, but for some that are only signs: those may make two
        lines = [_run(program, *asked, "-t", word) for word in words]
    return [[phone for phone in line.split() if phone != _SILENCE] for line in lines]


def _times(
    alone: Sequence[Sequence[str]], segments: Sequence[tuple[str, float, float]], rate: int, most: int
) -> list[tuple[int, int]]:
    """Return between which samples each word is heard.

    The program does not tell which phone is whose. In a sentence a word may have other phones than alone, so the two
    are laid beside each other where they are alike.
    """
    phones = [phone for word in alone for phone in word]
    matcher = SequenceMatcher(None, phones, [name for name, _, _ in segments], autojunk=False)
    found = {one + step: other + step for one, other, size in matcher.get_matching_blocks() for step in range(size)}
    firsts, count = list[int](), 0
    for word in alone:
        firsts.append(next((found[place] for place in range(count, len(phones)) if place in found), len(segments)))
        count += len(word)
    times, last = list[tuple[int, int]](), 0
    for first, after in zip(firsts, [*firsts[1:], len(segments)], strict=True):
        if first < after:
            begins, last = (min(most, round(at * rate)) for at in (segments[first][1], segments[after - 1][2]))
            times.append((begins, last))
        else:
            times.append((last, last))
    return times


def _written_plainly(word: str) -> str:
    """Return a word in ASCII, which is all that the program reads: without accents, and without other symbols."""
    letters = "".join(
        sign for sign in unicodedata.normalize("NFKD", word.translate(_PLAIN)) if not unicodedata.combining(sign)
    )
    if any(sign.isalnum() and not sign.isascii() for sign in letters):
        raise UnspeakableError(f"is spoken by flite, in English, and cannot say {shown(word)}")
    if len(letters) > _MOST_CHARACTERS:
        raise UnspeakableError(f"says words of up to {_MOST_CHARACTERS:,} characters, not {shown(word)}")
    return "".join(sign for sign in letters if "!" <= sign <= "~")  # what is ASCII, and seen


def _on_channels(samples: bytes, channels: int) -> bytes:
    if channels == 1:
        return samples
    spread = array("h", bytes(len(samples) * channels))
    for channel in range(channels):
        spread[channel::channels] = array("h", samples)
    return spread.tobytes()


def _run(program: str, *options: str) -> str:
    """Run the program, and return what it prints."""
    try:
        done = subprocess.run(  # noqa: S603 - no shell is asked; what stands behind -t is text, whatever it begins with
            [program, *options], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise FliteError(f"{program} was stopped after {TIME_LIMIT_S:g} s, asked for {shown(options)}.") from None
    except OSError as error:
        raise FliteError(f"{program} cannot be run: {error}.") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise FliteError(
            f"{program} ended with {done.returncode}, asked for {shown(options)}: {said or 'no word why'}."
        )
    return done.stdout.decode(errors="replace")
