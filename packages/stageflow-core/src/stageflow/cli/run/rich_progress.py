"""A live display of what is running, by rich: the extra `cli-rich`.

Drawing costs about a millisecond, as much as hundreds of stages that have little to do. So what is to be shown is kept,
and a thread draws it every 100 ms: all lines that have come since at once, with what runs below them.
"""

from __future__ import annotations

import io
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Self, TextIO, cast

try:
    from rich.cells import cell_len, set_cell_size
    from rich.console import Console as RichConsole
    from rich.console import ConsoleOptions
    from rich.live import Live
    from rich.segment import Segment
    from rich.style import Style
except ImportError as error:
    raise ImportError('The live display needs rich: pip install "stageflow-core[cli-rich]"') from error

from stageflow.cli.console import NARROW, Console
from stageflow.cli.run.reporting import Plain, details_of, verb_of
from stageflow.events.event import PipelineEvent

_PLAIN = Style.null()
_DIM = Style.parse("dim")
_STYLES = {
    "completed": Style.parse("green"),
    "failed": Style.parse("red"),
    "skipped": _DIM,
    "cancelled": Style.parse("yellow"),
    "suspended": Style.parse("yellow"),
    "retrying": Style.parse("yellow"),
    "straggling": Style.parse("red"),
}
_MOST_SHOWN = 12
_REFRESH_S = 0.1
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_FRAMES = "-\\|/"


class _Line(NamedTuple):
    """A line to be shown, in its parts; `kept` if it is somebody else's, and is shown as it is."""

    parts: tuple[tuple[str, Style], ...]
    kept: bool = False


class _Terminal(RichConsole):
    """A terminal that raises, rather than ends the process, when nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - rich calls it where it handles the error


class _Lines:
    """Lines of text, cut to the width of the terminal unless it is narrow."""

    def __init__(self, lines: list[_Line]) -> None:
        self._lines = lines

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> Iterator[Segment]:
        width = options.max_width if options.max_width >= NARROW else None
        for line in self._lines:
            if line.kept:
                yield from (Segment(text) for text, _ in line.parts)
            else:
                yield from _cut(line.parts, width)
            yield Segment.line()


class _Running:
    """The stages that run, those that have run longest first, and how many there are beside."""

    def __init__(self, running: Callable[[], list[tuple[str, float]]]) -> None:
        self._running = running

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> Iterator[Segment]:
        running, now = self._running(), time.monotonic()
        frames = _ASCII_FRAMES if options.ascii_only else _FRAMES
        frame = frames[int(now / _REFRESH_S) % len(frames)]
        lines = [f"{frame} {stage} {_clock(now - since)}" for stage, since in running[:_MOST_SHOWN]]
        if len(running) > _MOST_SHOWN:
            lines.append(f"  and {len(running) - _MOST_SHOWN} more")
        for line in lines:
            yield from _cut(((line, _PLAIN),), options.max_width)
            yield Segment.line()


class _Told(io.TextIOBase):
    """Stands in for a stream of the terminal, so that what a stage writes is shown above what is running."""

    def __init__(self, display: RichProgress, stream: TextIO) -> None:
        self._display = display
        self._stream = stream
        self._rest = ""

    def write(self, text: str, /) -> int:
        *lines, self._rest = f"{self._rest}{text}".split("\n")
        for line in lines:
            self._display.written(line)
        return len(text)

    def flush(self) -> None:
        if self._rest:
            self._display.written(self._rest)
            self._rest = ""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - read alone
        return self._stream.encoding


def _cut(parts: Iterable[tuple[str, Style]], width: int | None) -> Iterator[Segment]:
    """Yield the parts of a line, of which the last is cut if they are too wide."""
    left = width
    for text, style in parts:
        shown = "".join(char if char.isprintable() else " " for char in text)
        if left is not None:
            if cell_len(shown) > left:
                shown = f"{set_cell_size(shown, left - 1)}…" if left else ""
            left -= cell_len(shown)
        yield Segment(shown, style)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


class RichProgress(Plain):
    """Shows a line for each stage that runs, with its time, below the lines of what has happened."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._rich = _Terminal(file=console.err, highlight=False)
        self._live = Live(
            _Running(self._running),
            console=self._rich,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._redirected: tuple[Any, Any] | None = None
        self._ended = threading.Event()
        self._drawing = threading.Thread(target=self._draw_often, name="stageflow-progress", daemon=True)
        self._problem: OSError | None = None
        # Filled by the loop's thread and emptied by the drawing one, each by what the GIL makes one step.
        self._lines: deque[_Line] = deque()
        self._since: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._live.start()
        if self._rich.is_terminal:  # where what others write would be torn apart
            self._redirected = (sys.stdout, sys.stderr)
            if sys.stdout.isatty():  # which is stderr now
                sys.stdout = cast("Any", _Told(self, sys.stdout))
            sys.stderr = cast("Any", _Told(self, sys.stderr))
        self._drawing.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._redirected is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = self._redirected
        try:
            self._ended.set()
            self._drawing.join()
            self._draw()
        finally:
            self._live.stop()

    def event(self, event: PipelineEvent) -> None:
        if self._problem is not None:
            raise self._problem
        self._began = event.timestamp if self._began is None else self._began
        verb, _ = verb_of(event)
        if verb == "created":  # and started at once
            return
        if event.stage is not None and verb == "started":
            self._since.setdefault(event.stage, time.monotonic())
            return
        if event.status is not None and event.stage is not None:
            self._since.pop(event.stage, None)
        at, rest = f"{event.timestamp - self._began:8.3f} s  ", f"  {event.stage or 'the run'}{details_of(event)}"
        self._lines.append(_Line(((at, _DIM), (f"{verb:<10}", _STYLES.get(verb, _PLAIN)), (rest, _PLAIN))))

    def note(self, text: str) -> None:
        self._lines.append(_Line(((text, _PLAIN),)))

    def written(self, text: str) -> None:
        """Show a line that a stage has written."""
        self._lines.append(_Line(((text, _PLAIN),), kept=True))

    def abandon(self) -> None:
        """Write what has not been drawn yet, without rich, whose locks whoever is interrupted may hold."""
        rest = "".join(f"\n{''.join(text for text, _ in line.parts)}" for line in self._taken())
        show_cursor = "\x1b[?25h" if self._rich.is_terminal else ""
        self._rich.file.write(f"{show_cursor}{rest}\n")

    def _draw_often(self) -> None:
        while not self._ended.wait(_REFRESH_S):
            try:
                self._draw()
            except OSError as error:  # the next event raises it where it can end the run
                self._problem = error
                return

    def _draw(self) -> None:
        lines = self._taken()
        if lines:
            self._rich.print(_Lines(lines), end="", crop=False)
        elif self._rich.is_terminal:
            self._live.refresh()

    def _taken(self) -> list[_Line]:
        return [self._lines.popleft() for _ in range(len(self._lines))]

    def _running(self) -> list[tuple[str, float]]:
        return list(self._since.items())
