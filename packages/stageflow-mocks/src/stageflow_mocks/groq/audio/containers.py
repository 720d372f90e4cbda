"""Files of sound: what kind a file is by its first bytes, and what a WAV file holds."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass

# By the formats' own definitions: RFC 9639 (FLAC), RFC 3533 (Ogg), RFC 8794 (EBML, for WebM), ISO 14496-12 (MP4, M4A),
# id3.org (ID3v2), ISO 11172-1 (MPEG program streams).
_BEGINNINGS = (b"fLaC", b"OggS", b"\x1a\x45\xdf\xa3", b"ID3", b"\x00\x00\x01\xba")


@dataclass(frozen=True, slots=True)
class Sound:
    """The samples of a WAV file, as they stand in it."""

    sample_rate: int
    channels: int
    sample_width: int
    samples: bytes

    @property
    def duration_ms(self) -> float:
        return len(self.samples) * 1000 / (self.sample_rate * self.channels * self.sample_width)


def is_sound(data: bytes) -> bool:
    """Return whether a file begins as one of the formats that Groq takes."""
    is_wav = data.startswith(b"RIFF") and data[8:12] == b"WAVE"
    is_mpeg_audio = len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0
    return is_wav or data.startswith(_BEGINNINGS) or data[4:8] == b"ftyp" or is_mpeg_audio


def read_wav(data: bytes) -> Sound | None:
    """Return what a WAV file of PCM samples holds; None of another file, and of samples of another kind."""
    try:
        with wave.open(io.BytesIO(data)) as file:
            samples = file.readframes(file.getnframes())
            return Sound(file.getframerate(), file.getnchannels(), file.getsampwidth(), samples)
    except (wave.Error, EOFError):
        return None


def write_wav(samples: bytes, sample_rate: int) -> bytes:
    """Return a WAV file of 16-bit samples of one channel."""
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples)
    return written.getvalue()
