"""Speech in tones: what a mock says, one tone for each word, as raw samples."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache

from stageflow.providers import AudioFormat

_LOUDNESS = 8_000
_FADE_MS = 5.0


def hertz_of(word: str, voice: str) -> float:
    """Return the pitch of a word, which is always the same, and another for another voice."""
    return 200.0 + zlib.crc32(f"{voice}/{word.lower()}".encode()) % 600


@lru_cache(maxsize=500)  # simulations say the same words over and over
def tone(hertz: float, samples: int, silence: int, format: AudioFormat) -> bytes:
    """Return a tone of so many samples, faded in and out so that it does not click, and silence after it."""
    rate = format.sample_rate
    assert rate is not None
    fade = max(1, min(samples // 2, round(rate * _FADE_MS / 1000)))

    def values() -> Iterator[int]:
        for place in range(samples):
            loudness = _LOUDNESS * min(1.0, place / fade, (samples - 1 - place) / fade)
            value = round(loudness * math.sin(2 * math.pi * hertz * place / rate))
            yield from (value,) * format.channels
        yield from (0,) * (silence * format.channels)

    return struct.pack(f"<{(samples + silence) * format.channels}h", *values())
