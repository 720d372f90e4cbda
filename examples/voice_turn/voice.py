"""A voice of tones, one for each syllable: 16-bit mono PCM at 16 kHz, as speech services send it."""

from __future__ import annotations

import asyncio
import functools
import math
import re
import struct
from collections.abc import AsyncGenerator

from stageflow.errors import ProviderRequestError
from stageflow.providers import (
    AudioFormat,
    TTSChunk,
    TTSRequest,
    TTSResponse,
    Word,
    require_supported,
    synthesize_from_stream,
)

RATE_HZ = 16_000
BYTES_PER_SAMPLE = 2
FORMAT = AudioFormat("pcm_s16le", RATE_HZ)
SYLLABLE_SAMPLES = 2_000
WORD_GAP_SAMPLES = 640
SENTENCE_GAP_SAMPLES = 4_000

_FADE_SAMPLES = 200
_LOUDNESS = 0.3 * 32_767
_HZ = {"a": 262.0, "e": 294.0, "i": 330.0, "o": 247.0, "u": 220.0, "y": 349.0}
_HZ_OF_OTHERS = 262.0
_VOWELS = re.compile(r"[aeiouyäöü]+", re.IGNORECASE)


class ToneVoice:
    """Stands in for a speech service: thinks for a moment about each sentence, then makes sounds of its words."""

    name = "tones"

    def __init__(self, *, think_s: float = 0.05) -> None:
        self._think_s = think_s

    async def stream(self, request: TTSRequest) -> AsyncGenerator[TTSChunk]:
        """Yield the sound of each word, and a pause after the last of a sentence. Each piece of text is a sentence.

        Raises:
            ProviderRequestError: It is asked for another voice, speed or format than it has.
        """
        require_supported(request, "format", provider=self.name)
        if request.format not in (None, FORMAT):
            raise ProviderRequestError(f"It speaks {FORMAT}, not {request.format}.", provider=self.name)
        begins_ms = 0.0
        async for sentence in request.pieces():
            await asyncio.sleep(self._think_s)
            words = sentence.split()
            for number, word in enumerate(words, 1):
                tones = b"".join(map(_tone, syllables(word)))
                gap = bytes(BYTES_PER_SAMPLE * (SENTENCE_GAP_SAMPLES if number == len(words) else WORD_GAP_SAMPLES))
                spoken = Word(word, begins_ms, begins_ms + FORMAT.duration_ms(tones))
                yield TTSChunk(tones + gap, format=FORMAT, words=(spoken,))
                begins_ms += FORMAT.duration_ms(tones + gap)

    async def synthesize(self, request: TTSRequest) -> TTSResponse:
        """Return the sound of the whole text."""
        return await synthesize_from_stream(self, request)


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
