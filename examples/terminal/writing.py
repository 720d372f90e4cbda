"""What the chat writes on the terminal, with control codes only where there is one."""

from __future__ import annotations

import asyncio
import shutil
import time
import unicodedata
from collections.abc import Mapping
from types import TracebackType
from typing import Self, TextIO

from stageflow import PipelineEvent, PipelineResults

from examples.chat.timeline import Style, timeline

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_FRAMES = "|/-\\"
_REDRAW_SECONDS = 0.1
_ECHO_LENGTH = 200


class Terminal:
    """Writes lines; colours, a live line and block characters only where the output can show them."""

    def __init__(self, out: TextIO, environ: Mapping[str, str]) -> None:
        self._out = out
        self.is_live = out.isatty() and environ.get("TERM", "") != "dumb"
        self._colour = self.is_live and not environ.get("NO_COLOR")
        self._prompting = False
        self._unicode = _can_show(out, "█" + _FRAMES)

    @property
    def style(self) -> Style:
        """What can be shown now; the width may change at any time."""
        return Style(self._colour, self._unicode, shutil.get_terminal_size().columns)

    def line(self, text: str = "") -> None:
        """Write one line."""
        self._prompting = False
        self._write(f"{text}\n")

    def close(self) -> None:
        """Leave the cursor at the start of a line."""
        if self._prompting:
            self.line()

    def prompt(self) -> None:
        """Ask for the next line."""
        self._prompting = True
        self._write(self.style.paint("you> ", "36"))

    def echo(self, text: str) -> None:
        """Write a line that was not typed here after its prompt, so that a piped conversation can be read."""
        flat = visible(text)
        self.prompt()
        self.line(flat if len(flat) <= _ECHO_LENGTH else flat[: _ECHO_LENGTH - 1] + "…")

    def answer(self, text: str) -> None:
        """Write what the model said."""
        self.line(self.style.paint("bot> ", "35") + visible(text))

    def problem(self, text: str) -> None:
        """Say in one line what went wrong."""
        self.line(self.style.paint("  ! " + " ".join(visible(text).split()), "31"))

    def results(self, results: PipelineResults) -> None:
        """Write one line for each stage of a run."""
        self.line()
        for row in timeline(results, self.style):
            self.line(row)
        self.line()

    def redraw(self, text: str) -> None:
        """Replace the live line; only where there is one."""
        width = self.style.width - 1
        self._write(f"\r\x1b[K{text[:width]}")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


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
        frames = _FRAMES if style.unicode else _ASCII_FRAMES
        number = 0
        while True:
            seconds = time.monotonic() - self._begun
            self._terminal.redraw(f"{frames[number % len(frames)]} {self._doing} · {seconds:.1f} s")
            number += 1
            await asyncio.sleep(_REDRAW_SECONDS)


def visible(text: str) -> str:
    """Return the text without anything that a terminal would obey: a model's answer is not to move the cursor."""
    return "".join(
        character if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs") else "\ufffd"
        for character in text
    )


def _can_show(out: TextIO, characters: str) -> bool:
    try:
        characters.encode(out.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
