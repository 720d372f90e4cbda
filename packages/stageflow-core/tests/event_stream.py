"""A reader of `text/event-stream`, written from the WHATWG HTML standard (section 9.2), for tests."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Received(NamedTuple):
    """An event as a browser would dispatch it."""

    type: str
    data: str
    last_event_id: str

    @property
    def message(self) -> Any:
        """What the data are, read as JSON."""
        return json.loads(self.data)


class EventStream:
    """Interprets an event stream that comes in pieces."""

    def __init__(self, last_event_id: str = "") -> None:
        self.retry_ms: int | None = None
        self.last_event_id = last_event_id
        self._id_buffer = last_event_id
        self._data = ""
        self._type = ""
        self._rest = ""
        self._is_first = True

    def feed(self, text: str) -> list[Received]:
        """Return the events that are complete with this piece."""
        if self._is_first and text:
            text, self._is_first = text.removeprefix("\ufeff"), False
        self._rest += text
        events: list[Received] = []
        while (line := self._next_line()) is not None:
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                events.append(event)
        return events

    def _next_line(self) -> str | None:
        ends = [at for at in (self._rest.find("\r"), self._rest.find("\n")) if at >= 0]
        if not ends:
            return None
        at = min(ends)
        if self._rest[at] == "\r" and at + 1 == len(self._rest):
            return None  # it may be the first half of CRLF
        width = 2 if self._rest.startswith("\r\n", at) else 1
        line, self._rest = self._rest[:at], self._rest[at + width :]
        return line

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._type = value
            case "data":
                self._data += value + "\n"
            case "id" if "\0" not in value:
                self._id_buffer = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value)
            case _:
                pass  # a comment, or a field that is ignored

    def _dispatch(self) -> Received | None:
        self.last_event_id = self._id_buffer
        data, kind = self._data, self._type
        self._data = self._type = ""
        return Received(kind or "message", data.removesuffix("\n"), self.last_event_id) if data else None
