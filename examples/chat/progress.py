"""A live line that says what a run is doing."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

from stageflow import PipelineEvent

from examples.terminal.writing import FRAMES, Terminal

_ASCII_FRAMES = "|/-\\"
_REDRAW_SECONDS = 0.1


class Progress:
    """A live line that says what a run is doing, for the length of an `async with` block.

    Where there is no live line, one plain line says that the model has begun to write.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._begun = time.monotonic()
        self._doing = "starting"
        self._ticking: asyncio.Task[None] | None = None

    def note(self, event: PipelineEvent) -> None:
        """Take notice of an event of the run."""
        if event.event_type == f"stage.{event.stage}.started":
            self._doing = f"{event.stage}"
        elif event.event_type == "llm.progress":
            pieces, characters = event.data["chunks"], event.data["characters"]
            if pieces == 1 and not self._terminal.is_live:
                self._terminal.line(
                    f"  {event.stage} is writing, the first words after {event.data['first_text_ms']:.0f} ms"
                )
            self._doing = f"{event.stage} is writing: {characters} characters in {pieces} pieces"

    async def __aenter__(self) -> Self:
        if self._terminal.is_live:
            self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            # If it failed, the terminal is gone, and the next line says so in its place.
            await asyncio.gather(self._ticking, return_exceptions=True)
            self._terminal.redraw("")

    async def _tick(self) -> None:
        style = self._terminal.style
        frames = FRAMES if style.unicode else _ASCII_FRAMES
        number = 0
        while True:
            seconds = time.monotonic() - self._begun
            self._terminal.redraw(f"{frames[number % len(frames)]} {self._doing} · {seconds:.1f} s")
            number += 1
            await asyncio.sleep(_REDRAW_SECONDS)
