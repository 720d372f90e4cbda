"""Speech in tones: each word is a tone of its own, as raw samples."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache

from stageflow.providers import AudioFormat, TTSRequest

from stageflow_mocks.providers.speaking import Sound, UnspeakableError, check_speed
from stageflow_mocks.wording import listed

FORMAT = AudioFormat("pcm_s16le", 16_000)

_LOUDNESS = 8_000
_FADE_MS = 5.0
_LEAST_RATE, _MOST_RATE = 1_000, 192_000
_MOST_CHANNELS = 8


class Tones:
    """A `Speaker` that is the same everywhere, and costs next to nothing.

    Args:
        ms_per_character: How long a word sounds, for each of its characters; divided by the request's `speed`.
        pause_ms: The silence after each word, divided by the same.
        voices: Those that there are; any, if None.
    """

    def __init__(self, ms_per_character: float, pause_ms: float, voices: Sequence[str] | None) -> None:
        self._ms_per_character = ms_per_character
        self._pause_ms = pause_ms
        self._voices = voices

    async def format_of(self, request: TTSRequest) -> AudioFormat:
        """Return what was asked for, if it is raw samples; 16,000 hertz if nothing was."""
        check_speed(request)
        format = request.format or FORMAT
        if format.encoding != "pcm_s16le" or format.sample_rate is None:
            raise UnspeakableError(f"speaks pcm_s16le of a sample rate that is given, not {format}")
        if not (_LEAST_RATE <= format.sample_rate <= _MOST_RATE and format.channels <= _MOST_CHANNELS):
            there_are = f"{_LEAST_RATE:,} to {_MOST_RATE:,} hertz on up to {_MOST_CHANNELS} channels"
            raise UnspeakableError(f"speaks pcm_s16le of {there_are}, not {format}")
        if request.voice is not None and self._voices is not None and request.voice not in self._voices:
            raise UnspeakableError(f"has no voice '{request.voice}'; its voices: {listed(self._voices)}")
        return format

    def is_phrase(self, words: Sequence[str]) -> bool:
        """Return True: each word is a sound by itself."""
        return True

    async def say(self, words: Sequence[str], request: TTSRequest, format: AudioFormat) -> Sequence[Sound]:
        """Return a tone for each of the words."""
        assert format.sample_rate is not None
        per_ms = format.sample_rate / 1000 / request.speed
        silent, sounds = round(self._pause_ms * per_ms), list[Sound]()
        for word in words:
            sounding = round(len(word) * self._ms_per_character * per_ms)
            audio = _tone(_hertz_of(word, request.voice or ""), sounding, silent, format)
            sounds.append(Sound(word, audio, 0, sounding, sounding + silent))
        return sounds


def _hertz_of(word: str, voice: str) -> float:
    """Return the pitch of a word, which is always the same, and another for another voice."""
    return 200.0 + zlib.crc32(f"{voice}/{word.lower()}".encode(errors="replace")) % 600


@lru_cache(maxsize=500)  # simulations say the same words over and over
def _tone(hertz: float, samples: int, silence: int, format: AudioFormat) -> bytes:
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
