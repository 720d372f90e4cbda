"""Secrets that a stream gives in parts: a key of which each event of a model's answer holds a token.

Such streams are lines of JSON, after `data:` where they are server-sent events. The texts that stand at one place of
all of them, as `choices[0].delta.content`, are read as one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from stageflow_mocks.cassettes.secret_values import MARK, Secrets

_LINE = re.compile(r"^(?:data:[ ]?)?(?P<json>\{.*\})\r?$", re.MULTILINE)


class _Part(NamedTuple):
    """A text in an event: what holds it, and under which key."""

    event: int
    holder: Any
    key: str | int
    text: str


def learn_events(text: str, secrets: Secrets) -> None:
    """Let the secrets that the events of a stream hold in parts be known."""
    for parts in _places(_events(text)).values():
        if len(parts) > 1:
            secrets.learn_text("".join(part.text for part in parts))


def hidden_parts(text: str, secrets: Secrets) -> list[tuple[int, int, str]]:
    """Return where events have to be written anew, and how, so that they hold no part of a secret."""
    events = _events(text)
    changed: set[int] = set()
    for parts in _places(events).values():
        if len(parts) > 1:
            changed |= _hide(parts, secrets.spans("".join(part.text for part in parts)))
    return [
        (start, end, _written(value, text[start:end]))
        for number, (start, end, value) in enumerate(events)
        if number in changed
    ]


def _events(text: str) -> list[tuple[int, int, Any]]:
    found: list[tuple[int, int, Any]] = []
    for line in _LINE.finditer(text):
        try:
            found.append((*line.span("json"), json.loads(line["json"])))
        except (ValueError, RecursionError):
            continue
    return found


def _places(events: list[tuple[int, int, Any]]) -> dict[tuple[str | int, ...], list[_Part]]:
    places: dict[tuple[str | int, ...], list[_Part]] = {}
    for number, (_, _, value) in enumerate(events):
        for path, holder, key, text in _texts(value, ()):
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


def _hide(parts: list[_Part], spans: list[tuple[int, int]]) -> set[int]:
    changed: set[int] = set()
    begin = 0
    for part in parts:
        end, kept, place = begin + len(part.text), "", begin
        for start, until in spans:
            if until <= begin or start >= end:
                continue
            kept += part.text[place - begin : max(start, begin) - begin] + (MARK if start >= begin else "")
            place = min(until, end)
            changed.add(part.event)
        part.holder[part.key] = kept + part.text[place - begin :]
        begin = end
    return changed


def _written(value: Any, before: str) -> str:
    """Write an event as it was written before, as far as can be told."""
    separators = (", ", ": ") if re.match(r'\{"[^"]*": ', before) else (",", ":")
    return json.dumps(value, ensure_ascii=before.isascii(), separators=separators)
