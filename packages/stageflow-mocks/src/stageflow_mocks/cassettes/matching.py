"""Whether a request is the recorded one, and in what it is not."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from stageflow_mocks.cassettes.errors import Difference
from stageflow_mocks.cassettes.secret_values import MARK
from stageflow_mocks.cassettes.tape import RecordedRequest

_LONGEST = 80


class _Absent:
    """There is nothing of that name."""


_ABSENT: Final = _Absent()


def differences(
    recorded: RecordedRequest, asked: RecordedRequest, varying: Collection[str], headers: Collection[str]
) -> list[Difference]:
    """Return in what they differ: nothing, if the recorded answer is one to the asked request.

    Args:
        recorded: What the cassette holds; a mark in place of a secret is equal to any text.
        asked: What is asked, with its secrets hidden.
        varying: Names of fields and parameters whose values do not count.
        headers: Names of headers, in lower case, whose values count.
    """
    found = list(_between("method", recorded.method, asked.method, varying))
    found += _between("url", recorded.url, asked.url, varying)
    found += _between("query", _by_name(recorded.query), _by_name(asked.query), varying)
    for name in sorted(headers):
        found += _between(
            f"headers.{name}", recorded.headers.get(name, _ABSENT), asked.headers.get(name, _ABSENT), varying
        )
    kinds = [_kind(recorded.body), _kind(asked.body)]
    if kinds[0] != kinds[1]:
        found.append(Difference("body", kinds[0], kinds[1]))
    else:
        found += _between("body", _tree(recorded.body), _tree(asked.body), varying)
    return found


def weight(found: Sequence[Difference]) -> tuple[int, int]:
    """Return how far apart two requests are that differ so: of another place altogether, and then in how many ways."""
    return sum(each.path in ("method", "url") for each in found), len(found)


def _kind(body: Mapping[str, Any] | None) -> str | None:
    return (
        None
        if body is None
        else next(kind for kind in ("json", "form", "parts", "audio", "text", "base64") if kind in body)
    )


def _tree(body: Mapping[str, Any] | None) -> Any:
    kind = _kind(body)
    if body is None or kind is None:
        return None
    if kind == "form":
        return _by_name(body["form"])
    if kind == "parts":
        parts = [(part["name"], {key: item for key, item in part.items() if key != "name"}) for part in body["parts"]]
        return _by_name(parts)
    return body[kind]


def _by_name(pairs: Sequence[Sequence[Any]]) -> dict[str, Any]:
    named: dict[str, list[Any]] = {}
    for name, value in pairs:
        named.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in named.items()}


def _between(path: str, recorded: Any, asked: Any, varying: Collection[str]) -> Iterator[Difference]:
    if isinstance(recorded, dict) and isinstance(asked, dict):
        yield from _between_fields(path, cast("dict[str, Any]", recorded), cast("dict[str, Any]", asked), varying)
    elif isinstance(recorded, list) and isinstance(asked, list):
        left, right = cast("list[Any]", recorded), cast("list[Any]", asked)
        for index in range(max(len(left), len(right))):
            yield from _between(
                f"{path}[{index}]",
                left[index] if index < len(left) else _ABSENT,
                right[index] if index < len(right) else _ABSENT,
                varying,
            )
    elif not _is_same(recorded, asked):
        yield Difference(path, *_shown(recorded, asked))


def _between_fields(
    path: str, recorded: dict[str, Any], asked: dict[str, Any], varying: Collection[str]
) -> Iterator[Difference]:
    for name in [*recorded, *(name for name in asked if name not in recorded)]:
        if name in varying and name in recorded and name in asked:
            continue
        place = f"{path}.{name}" if re.fullmatch(r"[\w-]+", name) else f"{path}[{json.dumps(name, ensure_ascii=False)}]"
        yield from _between(place, recorded.get(name, _ABSENT), asked.get(name, _ABSENT), varying)


def _is_same(recorded: Any, asked: Any) -> bool:
    if recorded is _ABSENT or asked is _ABSENT:
        return recorded is asked
    if recorded == MARK:
        return True
    if isinstance(recorded, str) and isinstance(asked, str):
        return _is_same_text(recorded, asked)
    # Numbers are equal as JSON has them, 1 and 1.0; true is none.
    return isinstance(recorded, bool) is isinstance(asked, bool) and recorded == asked


def _is_same_text(recorded: str, asked: str) -> bool:
    first, *rest = recorded.split(MARK)
    if not rest:
        return recorded == asked
    *between, last = rest
    if len(asked) < len(first) + len(last) or not (asked.startswith(first) and asked.endswith(last)):
        return False
    place, end = len(first), len(asked) - len(last)
    for part in between:  # the first place where it fits leaves the most for the others: no need to try another
        place = asked.find(part, place, end)
        if place < 0:
            return False
        place += len(part)
    return True


def _shown(recorded: Any, asked: Any) -> tuple[str | None, str | None]:
    if isinstance(recorded, str) and isinstance(asked, str):
        pairs = enumerate(zip(recorded, asked, strict=False))
        start = next((place for place, (left, right) in pairs if left != right), min(len(recorded), len(asked)))
        if max(len(recorded), len(asked)) > _LONGEST:
            start = max(0, start - _LONGEST // 4)
            return _part_of(recorded, start), _part_of(asked, start)
    return _one(recorded), _one(asked)


def _part_of(text: str, start: int) -> str:
    part = text[start : start + _LONGEST]
    return f"{'...' if start else ''}{part!r}{'...' if start + _LONGEST < len(text) else ''}"


def _one(value: Any) -> str | None:
    if value is _ABSENT:
        return None
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
