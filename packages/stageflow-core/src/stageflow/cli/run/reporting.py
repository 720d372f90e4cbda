"""How a run is shown while it goes on: as lines for people, or as lines of JSON for programs."""

from __future__ import annotations

import json
from argparse import Namespace
from importlib import import_module
from typing import Any, Protocol, Self

from stageflow.cli.console import Console, as_json
from stageflow.errors import CommandError
from stageflow.events.event import PipelineEvent
from stageflow.wording import one_line


class Reporter(Protocol):
    """Shows what happens. It is entered before the run begins, and left when it has ended."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def event(self, event: PipelineEvent) -> None:
        """Show an event."""
        ...

    def chunk(self, stage: str, chunk: Any) -> None:
        """Show a chunk of a stage that streams."""
        ...

    def note(self, text: str) -> None:
        """Show what is no event."""
        ...

    def abandon(self) -> None:
        """Leave the terminal as it was: the process ends now, in the midst of whatever it does."""
        ...


class Silent:
    """Shows chunks alone, which were asked for."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._console.finish_line()

    def event(self, event: PipelineEvent) -> None:
        return None

    def chunk(self, stage: str, chunk: Any) -> None:
        if isinstance(chunk, str):
            self._console.piece(chunk)
        else:
            self._console.json(chunk)

    def note(self, text: str) -> None:
        self._console.tell(text)

    def abandon(self) -> None:
        return None


class Plain(Silent):
    """Shows each event as a line on stderr."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._began: float | None = None

    def event(self, event: PipelineEvent) -> None:
        self._began = event.timestamp if self._began is None else self._began
        verb, colour = verb_of(event)
        if verb == "created":  # and started at once
            return
        line = f"{event.timestamp - self._began:8.3f} s  {verb:<10}  {event.stage or 'the run'}{details_of(event)}"
        self._console.tell(line, colour)


class JsonLines(Silent):
    """Shows each event as a line of JSON on stdout."""

    def event(self, event: PipelineEvent) -> None:
        self._line("event", event.to_dict())

    def chunk(self, stage: str, chunk: Any) -> None:
        self._line("chunk", {"stage": stage, "value": chunk})

    def _line(self, key: str, value: Any) -> None:
        self._console.json({key: value})


def reporter_for(console: Console, options: Namespace) -> Reporter:
    """Return what shows a run as the options say.

    Raises:
        CommandError: It needs rich, which is not installed.
    """
    if options.json:
        return JsonLines(console)
    if options.progress == "off":
        return Silent(console)
    # Chunks go to stdout as they come: a live display that shares the terminal with them would tear them apart.
    wanted = options.progress == "rich" or (options.progress == "auto" and console.is_live and not options.stream)
    if wanted:
        try:
            return import_module("stageflow.cli.run.rich_progress").RichProgress(console)
        except ImportError as error:
            if options.progress == "rich":
                raise CommandError(f"--progress rich: {error}") from error
    return Plain(console)


_COLOURS = {
    "started": "cyan",
    "completed": "green",
    "failed": "red",
    "skipped": "dim",
    "cancelled": "yellow",
    "suspended": "yellow",
    "retrying": "yellow",
    "straggling": "red",
}
"""By what happens, how it is shown."""


def verb_of(event: PipelineEvent) -> tuple[str, str]:
    """Return what happened in a word, and its colour."""
    subject = "pipeline." if event.stage is None else f"stage.{event.stage}."
    verb = event.event_type.removeprefix(subject) if event.event_type.startswith(subject) else "event"
    return verb, _COLOURS.get(verb, "")


def details_of(event: PipelineEvent) -> str:
    """Return what else there is to say of an event, in a few words after a colon; or nothing."""
    data = event.data
    parts: list[str] = []
    if verb_of(event)[0] == "event":
        parts.append(event.event_type)
    if event.duration_ms is not None:
        parts.append(duration(event.duration_ms))
    if event.attempt is not None and event.attempt > 1:
        parts.append(f"attempt {event.attempt}")
    error = data.get("error")
    if error:
        parts.append(f"{error['type']}: {error['message']}" if "type" in error else str(error))
    if "delay_s" in data:
        parts.append(f"again in {duration(data['delay_s'] * 1000)}")
    if verb_of(event)[0] == "skipped" and "origin" in data:  # whose own line says why
        parts.append(f"because of {data['origin']}")
    elif "reason" in data:
        parts.append(str(data["reason"]))
    if "request" in data:
        parts.append(json.dumps(data["request"], ensure_ascii=False, default=str))
    if data.get("critical") is False:
        parts.append("the run goes on")
    if verb_of(event)[0] in ("event", "artifact") and data:
        parts.append(as_json(data))
    return f": {one_line(', '.join(parts))}" if parts else ""


def duration(milliseconds: float) -> str:
    """Return a time as a person reads it."""
    if milliseconds >= 60_000:
        minutes, seconds = divmod(round(milliseconds / 1000), 60)
        return f"{minutes} min {seconds} s"
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"
