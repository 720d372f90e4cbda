"""A loudspeaker: takes the time that sounds take, shows their words, and keeps what was heard for a WAV file."""

from __future__ import annotations

import asyncio
import contextlib
import wave
from collections.abc import Generator
from pathlib import Path

from stageflow.providers import TTSChunk

from examples.terminal.writing import Terminal
from examples.voice_turn.voice import BYTES_PER_SAMPLE, RATE_HZ


class Loudspeaker:
    """Plays one sound after the other.

    Attributes:
        begun_at: When it began to play, on the clock of the event loop; None if it never did.
        heard: The samples that it has played.
    """

    def __init__(self, terminal: Terminal) -> None:
        self.begun_at: float | None = None
        self.heard = bytearray()
        self._terminal = terminal
        self._silent_at = 0.0

    async def play(self, sound: TTSChunk) -> None:
        """Begin when the sound before it is over, and return when this one is."""
        now = asyncio.get_running_loop().time()
        if self.begun_at is None:
            self.begun_at = now
            self._terminal.begin_answer()
        self.heard += sound.audio
        self._terminal.piece("".join(f"{word.text} " for word in sound.words))
        # From the end of the last one on, not from now: to wake up takes a little longer each time.
        self._silent_at = max(now, self._silent_at) + sound.format.duration_ms(sound.audio) / 1000
        await asyncio.sleep(self._silent_at - now)


@contextlib.contextmanager
def wav_file(path: Path) -> Generator[wave.Wave_write]:
    """Open a file for samples as ToneVoice makes them. To write it would hold up the event loop: do it afterwards.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("wb") as file, wave.open(file, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(BYTES_PER_SAMPLE)
        recording.setframerate(RATE_HZ)
        yield recording
