"""What speech is made of, for those that hear it and those that make it.

Times are in milliseconds, sample rates in hertz.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from typing import Any, Literal, get_args

from stageflow.providers.checking import check_choice, check_count, check_number, check_text, own_bytes, tuple_of
from stageflow.value import Value

AudioEncoding = Literal["pcm_s16le", "wav", "mp3", "opus", "ogg", "flac", "mulaw"]
"""How audio is written: raw samples of 16 bits with a sign, little-endian; or a container or codec of that name."""

ENCODINGS: tuple[str, ...] = get_args(AudioEncoding)


class AudioFormat(Value):
    """What audio is made of: what its bytes cannot say by themselves.

    Attributes:
        encoding: How it is written.
        sample_rate: Samples in a second; None if the audio itself says it, as a WAV file does.
        channels: 1 is mono.
    """

    __slots__ = ("channels", "encoding", "sample_rate")

    encoding: AudioEncoding
    sample_rate: int | None
    channels: int

    def __init__(self, encoding: AudioEncoding, sample_rate: int | None = None, channels: int = 1) -> None:
        check_choice("an AudioFormat", "encoding", encoding, ENCODINGS)
        check_count("an AudioFormat", "sample_rate", sample_rate, least=1, optional=True)
        check_count("an AudioFormat", "channels", channels, least=1)
        object.__setattr__(self, "encoding", encoding)
        object.__setattr__(self, "sample_rate", sample_rate)
        object.__setattr__(self, "channels", channels)

    def duration_ms(self, audio: bytes) -> float:
        """Return how long raw samples of this format last.

        Raises:
            TypeError: `audio` is not bytes.
            ValueError: The format is not "pcm_s16le", or its sample rate is unknown.
        """
        size = len(own_bytes("duration_ms", "audio", audio))
        if self.encoding != "pcm_s16le" or self.sample_rate is None:
            raise ValueError(f"How long {self.encoding} audio lasts cannot be told from the number of its bytes.")
        return size / (2 * self.channels * self.sample_rate) * 1000


class Word(Value):
    """A word that was heard or spoken, and when: milliseconds from the beginning of the audio.

    Attributes:
        confidence: From 0 to 1; None if the provider does not say.
    """

    __slots__ = ("confidence", "end_ms", "start_ms", "text")

    text: str
    start_ms: float
    end_ms: float
    confidence: float | None

    def __init__(self, text: str, start_ms: float, end_ms: float, confidence: float | None = None) -> None:
        check_text("a Word", "text", text)
        check_number("a Word", "start_ms", start_ms, least=0)
        check_number("a Word", "end_ms", end_ms, least=0)
        if end_ms < start_ms:
            raise ValueError(f"end_ms of a Word is not before its start_ms, {start_ms!r}; it is {end_ms!r}.")
        check_number("a Word", "confidence", confidence, least=0, most=1, optional=True)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "start_ms", start_ms)
        object.__setattr__(self, "end_ms", end_ms)
        object.__setattr__(self, "confidence", confidence)


def words_in_order(of: str, words: Any) -> tuple[Word, ...]:
    """Return the words as a tuple, none of which begins before the one in front of it."""
    found = tuple_of(of, "words", words, Word)
    for place, (one, after) in enumerate(pairwise(found)):
        if after.start_ms < one.start_ms:
            times = f"words[{place}] begins at {one.start_ms:g} ms, words[{place + 1}] at {after.start_ms:g} ms"
            raise ValueError(f"words of {of} stand in the order of their times; {times}.")
    return found


def without_audio(value: Any) -> str:
    """Return the repr of a value with the number of bytes in place of the bytes."""
    shown = (f"{field.name}={_sketched(getattr(value, field.name))}" for field in fields(value))
    return f"{type(value).__qualname__}({', '.join(shown)})"


def _sketched(value: Any) -> str:
    return f"<{len(value):,} bytes>" if isinstance(value, bytes) else repr(value)
