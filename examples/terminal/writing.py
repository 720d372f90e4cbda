"""What an example writes on the terminal, with control codes only where there is one."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Mapping
from typing import TextIO

from stageflow import PipelineResults

from examples.terminal.timeline import Style, timeline

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ECHO_LENGTH = 200


class Terminal:
    """Writes lines; colours, a live line and block characters only where the output can show them."""

    def __init__(self, out: TextIO, environ: Mapping[str, str]) -> None:
        self._out = out
        self.is_live = out.isatty() and environ.get("TERM", "") != "dumb"
        self._colour = self.is_live and not environ.get("NO_COLOR")
        self._prompting = False
        self._unicode = _can_show(out, "█" + FRAMES)

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

    def begin_answer(self) -> None:
        """Begin a line with what is said, piece by piece: `piece`, and `line` to end it."""
        self._write(self.style.paint("bot> ", "35"))

    def piece(self, text: str) -> None:
        """Write a piece of a line."""
        self._write(visible(text))

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
