"""Whether events came in the order that a test expects, and where they did not.

What fits is found in one pass. Only what does not is laid side by side with what was expected, so that a test of many
thousand events costs next to nothing while it passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from types import EllipsisType
from typing import Any, NamedTuple, TypeAlias

Expected: TypeAlias = Sequence[str | EllipsisType]
"""Types of events in their order; in a type `*` stands for any text, and `...` for any number of events."""

_COLUMNS = 100
_WHOLE = 40
"""Up to how many lines a comparison is shown whole."""

_AROUND = 3
"""How many lines that fit are shown around one that does not."""

_MOST_LINES = 20
"""How many lines in a row are shown that do not fit, for the same reason."""

_MOST_COMPARED = 500_000
"""Up to how many pairs of an expected and a real event are compared: a quarter of a second."""


def fits(expected: Expected, happened: Sequence[str]) -> bool:
    """Return whether these types of events are those that were expected."""
    i, j = _furthest(expected, happened)
    return j == len(happened) and all(one is ... for one in expected[i:])


def _furthest(expected: Expected, happened: Sequence[str]) -> tuple[int, int]:
    """Return how far the two fit: before which expected type, and which event, nothing is missing.

    An expected type takes the first event that it can; what does not fit then is tried from the latest `...` on.
    """
    i = j = 0
    furthest = 0, 0
    after_any: tuple[int, int] | None = None
    while j < len(happened):
        furthest = max(furthest, (i, j))
        wanted = expected[i] if i < len(expected) else None
        if isinstance(wanted, EllipsisType):
            after_any = i + 1, j
            i += 1
        elif wanted is not None and _is(wanted, happened[j]):
            i, j = i + 1, j + 1
        elif after_any is not None:
            after_any = after_any[0], after_any[1] + 1
            i, j = after_any
        else:
            return furthest
    return (i, j) if all(one is ... for one in expected[i:]) else max(furthest, (i, j))


def compared(expected: Expected, happened: Sequence[str]) -> str:
    """Return lines in which what was expected stands beside what happened, no wider than a terminal."""
    rows, left_out = _rows(expected, happened)
    lines = _stacked(rows) if _is_wide(rows) else _beside(rows)
    told = [*lines, "(- did not happen here, + was not expected here)"]
    if left_out:
        told.append(f"({left_out:,} more events and expectations are not compared)")
    return "\n".join(told)


class _Row(NamedTuple):
    """One line of the comparison: what was expected, what happened, and whether the two fit."""

    expected: str
    happened: str
    fits: bool

    @property
    def mark(self) -> str:
        return " " if self.fits else ("-" if self.expected else "+")


def _rows(expected: Expected, happened: Sequence[str]) -> tuple[list[_Row], int]:
    """Return the comparison, and how much of both it leaves out since there is too much of it."""
    begin = 0
    while begin < min(len(expected), len(happened)):
        wanted = expected[begin]
        if isinstance(wanted, EllipsisType) or not _is(wanted, happened[begin]):
            break
        begin += 1
    if (len(expected) - begin) * (len(happened) - begin) <= _MOST_COMPARED:
        fitting = [_Row(str(expected[place]), happened[place], True) for place in range(begin)]
        return fitting + _aligned(expected[begin:], happened[begin:]), 0
    i, j = _furthest(expected, happened)
    fitting = [_Row("...", came, True) for came in happened[:j]]
    most = int(_MOST_COMPARED**0.5)
    wanted_rest, rest = expected[i : i + most], happened[j : j + most]
    left_out = len(expected) - i - len(wanted_rest) + len(happened) - j - len(rest)
    return fitting + _aligned(wanted_rest, rest), left_out


def _aligned(expected: Expected, happened: Sequence[str]) -> list[_Row]:
    """Lay the two side by side with as few lines that do not fit as there can be."""
    costs = _costs(expected, happened)
    rows: list[_Row] = []
    i, j = 0, 0
    while i < len(expected) or j < len(happened):
        wanted, came = _at(expected, i), _at(happened, j)
        here = costs[i][j]
        if wanted is ... and here == costs[i + 1][j]:
            i += 1
        elif wanted is ... and came is not None:
            rows.append(_Row("...", came, True))
            j += 1
        elif isinstance(wanted, str) and came is not None and _is(wanted, came) and here == costs[i + 1][j + 1]:
            rows.append(_Row(wanted, came, True))
            i, j = i + 1, j + 1
        elif isinstance(wanted, str) and here == costs[i + 1][j] + 1:
            rows.append(_Row(wanted, "", False))
            i += 1
        else:
            rows.append(_Row("", came or "", False))
            j += 1
    return rows


def _costs(expected: Expected, happened: Sequence[str]) -> list[list[int]]:
    """Return for each place in both how many lines from there on do not fit at least."""
    rest = len(happened) + 1
    costs = [[0] * rest for _ in range(len(expected) + 1)]
    costs[-1] = [len(happened) - j for j in range(rest)]
    for i in reversed(range(len(expected))):
        wanted, row, below = expected[i], costs[i], costs[i + 1]
        for j in reversed(range(rest)):
            if isinstance(wanted, EllipsisType):
                row[j] = min(below[j], row[j + 1]) if j < len(happened) else below[j]
                continue
            row[j] = below[j] + 1
            if j < len(happened):
                row[j] = min(row[j], row[j + 1] + 1)
                if _is(wanted, happened[j]):
                    row[j] = min(row[j], below[j + 1])
    return costs


def _at(items: Sequence[Any], place: int) -> Any:
    return items[place] if place < len(items) else None


def _is(wanted: str, came: str) -> bool:
    return wanted == came or ("*" in wanted and _pattern(wanted).fullmatch(came) is not None)


@lru_cache(maxsize=1_000)
def _pattern(wanted: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, wanted.split("*"))), re.DOTALL)


def _is_wide(rows: Sequence[_Row]) -> bool:
    widest = max((len(row.expected) for row in rows), default=0)
    return any(6 + widest + len(row.happened) > _COLUMNS for row in rows)


def _beside(rows: Sequence[_Row]) -> Iterator[str]:
    width = max(len("expected"), *(len(row.expected) for row in rows), 0)
    yield f"    {'expected':<{width}}  happened"
    for row in _shortened(rows):
        told = row if isinstance(row, str) else f"  {row.mark} {row.expected:<{width}}  {row.happened}"
        yield told.rstrip()


def _stacked(rows: Sequence[_Row]) -> Iterator[str]:
    """Yield one type in each line, where two have no room."""
    for row in _shortened(rows):
        text = row if isinstance(row, str) else f"  {row.mark} {row.happened or row.expected}"
        yield text if len(text) <= _COLUMNS else f"{text[: _COLUMNS // 2]}…{text[1 - _COLUMNS // 2 :]}"


def _shortened(rows: Sequence[_Row]) -> Iterator[_Row | str]:
    """Yield the rows, with words in the place of many in a row that say the same."""
    if len(rows) <= _WHOLE:
        yield from rows
        return
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row.mark)]
    for place, group in enumerate(groups):
        if group[0].fits:
            first, last = _AROUND if place else 0, _AROUND if place < len(groups) - 1 else 0
            told = "that fit"
        else:
            first, last = _MOST_LINES - _AROUND, _AROUND
            told = "that did not happen" if group[0].expected else "that were not expected"
        if len(group) <= first + last + 1:
            yield from group
            continue
        yield from group[:first]
        yield f"    … {len(group) - first - last:,} {told} …"
        yield from group[len(group) - last :]
