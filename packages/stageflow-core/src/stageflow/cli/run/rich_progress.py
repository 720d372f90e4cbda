"""A live display of what is running, by rich: the extra `cli-rich`."""

from __future__ import annotations

import sys
from typing import Any, Self

try:
    from rich.console import Console as RichConsole
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.text import Text
except ImportError as error:
    raise ImportError('The live display needs rich: pip install "stageflow-core[cli-rich]"') from error

from stageflow.cli.console import NARROW, Console
from stageflow.cli.run.reporting import Plain, details_of, verb_of
from stageflow.events.event import PipelineEvent

_STYLES = {
    "completed": "green",
    "failed": "red",
    "skipped": "dim",
    "cancelled": "yellow",
    "suspended": "yellow",
    "retrying": "yellow",
    "straggling": "red",
}
_MOST_SHOWN = 12


class RichProgress(Plain):
    """Shows a line for each stage that runs, with its time, below the lines of what has happened."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._rich = RichConsole(file=console.err, highlight=False)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self._rich,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # which is stderr now
        )
        self._shown: dict[str, TaskID] = {}
        self._hidden: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def event(self, event: PipelineEvent) -> None:
        self._began = event.timestamp if self._began is None else self._began
        verb, _ = verb_of(event)
        if verb == "created":  # and started at once
            return
        if event.stage is not None and verb == "started":
            self._begin(event.stage)
            return
        if event.status is not None and event.stage is not None:
            self._end(event.stage)
        line = Text(f"{event.timestamp - self._began:8.3f} s  ", style="dim")
        line.append(f"{verb:<10}", style=_STYLES.get(verb, ""))
        line.append(f"  {event.stage or 'the run'}{details_of(event)}")
        self.tell(line)

    def _begin(self, stage: str) -> None:
        visible = len(self._shown) < _MOST_SHOWN
        held = self._shown if visible else self._hidden
        held[stage] = self._progress.add_task(stage, total=None, visible=visible)

    def _end(self, stage: str) -> None:
        """Take a stage off the display, and show the one that has waited longest for a place."""
        for held in (self._shown, self._hidden):
            if stage in held:
                self._progress.remove_task(held.pop(stage))
        if self._hidden and len(self._shown) < _MOST_SHOWN:
            first = next(iter(self._hidden))
            self._shown[first] = self._hidden.pop(first)
            self._progress.update(self._shown[first], visible=True)

    def note(self, text: str) -> None:
        self.tell(Text(text))

    def tell(self, line: Any) -> None:
        """Print a line above what is running."""
        wide = self._rich.width >= NARROW
        self._rich.print(line, no_wrap=wide, overflow="ellipsis" if wide else "fold")

    def abandon(self) -> None:
        self._rich.show_cursor(True)
        self._rich.file.write("\n")
