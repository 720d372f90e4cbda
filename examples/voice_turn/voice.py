"""A voice of tones, one for each syllable: 16-bit mono PCM at 16 kHz, as speech services send it."""

from __future__ import annotations

import asyncio
import functools
import math
import re
import struct
from collections.abc import AsyncGenerator
from dataclasses import dataclass

RATE_HZ = 16_000
BYTES_PER_SAMPLE = 2
SYLLABLE_SAMPLES = 2_000
WORD_GAP_SAMPLES = 640
SENTENCE_GAP_SAMPLES = 4_000

_FADE_SAMPLES = 200
_LOUDNESS = 0.3 * 32_767
_HZ = {"a": 262.0, "e": 294.0, "i": 330.0, "o": 247.0, "u": 220.0, "y": 349.0}
_HZ_OF_OTHERS = 262.0
_VOWELS = re.compile(r"[aeiouyäöü]+", re.IGNORECASE)


@dataclass(frozen=True)
class Sound:
    """A piece of sound, and what is said by it."""

    text: str
    pcm: bytes

    @property
    def samples(self) -> int:
        """How many samples it has."""
        return len(self.pcm) // BYTES_PER_SAMPLE

    @property
    def seconds(self) -> float:
        """How long it takes to play."""
        return self.samples / RATE_HZ


class ToneVoice:
    """Stands in for a speech service: thinks for a moment about each sentence, then makes sounds of its words."""

    def __init__(self, *, think_s: float = 0.05) -> None:
        self._think_s = think_s

    async def say(self, sentence: str) -> AsyncGenerator[Sound]:
        """Yield the sound of each word, and a pause after the last."""
        await asyncio.sleep(self._think_s)
        words = sentence.split()
        for number, word in enumerate(words, 1):
            gap = SENTENCE_GAP_SAMPLES if number == len(words) else WORD_GAP_SAMPLES
            yield Sound(word, b"".join(map(_tone, syllables(word))) + bytes(gap * BYTES_PER_SAMPLE))


def can_be_said(text: str) -> bool:
    """Return whether there is anything in a text that makes a sound."""
    return any(map(syllables, text.split()))


def syllables(word: str) -> list[float]:
    """Return the pitch of each syllable, in hertz: one for each group of vowels; none for punctuation alone."""
    if not re.search(r"\w", word):
        return []
    groups = _VOWELS.findall(word)
    return [_HZ.get(group[0].lower(), _HZ_OF_OTHERS) for group in groups] or [_HZ_OF_OTHERS]


@functools.cache
def _tone(hz: float) -> bytes:
    samples = (
        _LOUDNESS
        * min(1.0, number / _FADE_SAMPLES, (SYLLABLE_SAMPLES - number) / _FADE_SAMPLES)
        * math.sin(math.tau * hz * number / RATE_HZ)
        for number in range(SYLLABLE_SAMPLES)
    )
    return struct.pack(f"<{SYLLABLE_SAMPLES}h", *map(round, samples))
