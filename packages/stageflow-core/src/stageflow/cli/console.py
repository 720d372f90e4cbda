"""What commands write: data on stdout, everything that is told beside it on stderr."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Self, TextIO, cast

from stageflow.contracts import contract_of
from stageflow.errors import CommandError
from stageflow.wording import one_line, shown

_CODES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2"}


NARROW = 60
"""Columns of a terminal below which lines are wrapped rather than cut."""


def is_terminal(stream: TextIO) -> bool:
    """Return whether the stream is a terminal that understands control codes."""
    return stream.isatty() and os.environ.get("TERM", "") != "dumb"


class Console:
    """Writes lines. There are colours on a terminal alone, and none with NO_COLOR; lines are cut to its width.

    Within its `with` block stdout is for data alone: what pipelines and their modules print goes to stderr.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.is_live = is_terminal(self.err)
        self._colours = self.is_live and not os.environ.get("NO_COLOR")
        self._unfinished = False  # whether stdout, on the same terminal, is in the middle of a line

    def __enter__(self) -> Self:
        sys.stdout = self.err
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout = self.out

    @property
    def width(self) -> int | None:
        """How long a line on stderr may be; None if that does not matter."""
        return shutil.get_terminal_size().columns if self.is_live else None

    def paint(self, text: str, colour: str) -> str:
        """Return the text in a colour, where there are any."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self._colours and colour in _CODES else text

    def data(self, text: str) -> None:
        """Write a line of data."""
        _write(self.out, f"{text}\n")
        self._unfinished = False

    def json(self, value: Any, *, indent: int | None = None) -> None:
        """Write any value as JSON, in characters that stdout has: what escapes others does not know JSON."""
        ascii_only = (self.out.encoding or "ascii").lower().replace("-", "") != "utf8"
        self.data(as_json(value, indent=indent, ascii_only=ascii_only))

    def piece(self, text: str) -> None:
        """Write a part of a line of data."""
        _write(self.out, text)
        self._unfinished = not text.endswith("\n") if text else self._unfinished

    def finish_line(self) -> None:
        """End the line of data that `piece` has begun."""
        if self._unfinished:
            self.data("")

    def tell(self, text: str, colour: str = "") -> None:
        """Write a line on stderr, and cut what the terminal is too narrow for."""
        if self._unfinished and self.out.isatty():
            self.data("")
        line, width = one_line_kept(text), self.width
        if width is not None and len(line) > width >= NARROW:
            line = f"{line[: width - 3]}..."
        _write(self.err, f"{self.paint(line, colour)}\n")


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"The output cannot be written: {error.strerror}.") from error


def one_line_kept(text: str) -> str:
    """Return the text as one line that a terminal only shows, with its blanks as they are."""
    return "".join(char if char.isprintable() else " " for char in text).rstrip()


def columns(rows: Iterable[Iterable[str]]) -> list[str]:
    """Return rows of cells as lines in which they stand below each other."""
    cells = [list(map(one_line, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def as_json(value: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """Return any value as JSON to be looked at: what JSON does not have is described."""
    return json.dumps(_presented(value), ensure_ascii=ascii_only, indent=indent)


def _presented(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # JSON has neither infinities nor nan
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {key if isinstance(key, str) else shown(key): _presented(each) for key, each in items}
    if isinstance(value, (list, tuple)):
        return [_presented(each) for each in cast("Iterable[Any]", value)]
    if isinstance(value, AbstractSet):
        return sorted((_presented(each) for each in cast("Iterable[Any]", value)), key=str)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(cast('bytes', value))} bytes>"
    contract = contract_of(cast("type[Any]", type(value)))
    if contract is not None:
        return {name: _presented(getattr(value, name, None)) for name in contract.names}
    return shown(value)
