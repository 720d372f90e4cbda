"""Secrets that a stream gives in parts: a key of which each event of a model's answer holds a token.

Such streams are server-sent events, or lines of JSON. The texts that stand at one place of all of them, as
`choices[0].delta.content`, or behind `data:` itself, are read as one.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from stageflow_mocks.cassettes.secret_values import MARK, Secrets

# Lines end with LF, CR or both, as in https://html.spec.whatwg.org/multipage/server-sent-events.html.
_LINE = re.compile(r"(?<![^\r\n])(?:data:[ ]?(?P<data>[^\r\n]*)|(?P<json>\{[^\r\n]*\})(?![^\r\n]))")


class _Event(NamedTuple):
    """What stands behind `data:`, or on a line: from where to where, and its value, JSON or else a text."""

    start: int
    end: int
    is_json: bool
    holder: list[Any]


class _Part(NamedTuple):
    """A text in an event: what holds it, and under which key."""

    event: int
    holder: Any
    key: str | int
    text: str


def learn_events(text: str, secrets: Secrets) -> None:
    """Let the secrets that the events of a stream hold, whole or in parts, be known."""
    events = _events(text)
    for event in events:
        secrets.learn_json(event.holder)
    for parts in _places(events).values():
        secrets.learn_text("".join(part.text for part in parts))


def hidden_events(text: str, secrets: Secrets) -> list[tuple[int, int, str]]:
    """Return where a text, of a stream of events or any other, has to be written anew so that it holds no secrets."""
    events = _events(text)
    hidden = copy.deepcopy(events)
    for parts in _places(hidden).values():
        _hide(parts, secrets.spans("".join(part.text for part in parts)))
    edits: list[tuple[int, int, str]] = []
    place = 0
    for event, after in zip(events, hidden, strict=True):
        edits += _hidden_between(text, place, event.start, secrets)
        value = secrets.hidden_json(after.holder)[0]
        if value != event.holder[0]:
            written = _written(value, text[event.start : event.end]) if event.is_json else value
            edits.append((event.start, event.end, written))
        place = event.end
    return [*edits, *_hidden_between(text, place, len(text), secrets)]


def _hidden_between(text: str, start: int, end: int, secrets: Secrets) -> list[tuple[int, int, str]]:
    return [(start + begin, start + until, MARK) for begin, until in secrets.spans(text[start:end])]


def _events(text: str) -> list[_Event]:
    found: list[_Event] = []
    for line in _LINE.finditer(text):
        group = "data" if line["json"] is None else "json"
        try:
            value, is_json = json.loads(line[group]), True
        except (ValueError, RecursionError):
            value, is_json = line[group], False
        found.append(_Event(*line.span(group), is_json, [value]))
    return found


def _places(events: list[_Event]) -> dict[tuple[str | int, ...], list[_Part]]:
    places: dict[tuple[str | int, ...], list[_Part]] = {}
    for number, event in enumerate(events):
        for path, holder, key, text in _texts(event.holder, ()):
            places.setdefault(path, []).append(_Part(number, holder, key, text))
    return places


def _texts(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any, str | int, str]]:
    items: Any = ()
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        # The parts of several calls of tools come under their own number, whatever their place in a list.
        number = fields.get("index")
        path = (*path[:-1], number) if path and isinstance(path[-1], int) and isinstance(number, int) else path
        items = fields.items()
    elif isinstance(value, list):
        items = enumerate(cast("list[Any]", value))
    for key, item in items:
        if isinstance(item, str):
            yield (*path, key), value, key, item
        else:
            yield from _texts(item, (*path, key))


def _hide(parts: list[_Part], spans: list[tuple[int, int]]) -> None:
    begin = 0
    for part in parts:
        end, kept, place = begin + len(part.text), "", begin
        for start, until in spans:
            if until <= begin or start >= end:
                continue
            kept += part.text[place - begin : max(start, begin) - begin] + (MARK if start >= begin else "")
            place = min(until, end)
        part.holder[part.key] = kept + part.text[place - begin :]
        begin = end


def _written(value: Any, before: str) -> str:
    """Write an event as it was written before, as far as can be told."""
    separators = (", ", ": ") if re.match(r'\{"[^"]*": ', before) else (",", ":")
    return json.dumps(value, ensure_ascii=before.isascii(), separators=separators)
