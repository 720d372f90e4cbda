"""An event sink that keeps what it is given, and says what ran where a test expected something else."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from types import EllipsisType
from typing import Any, NamedTuple, TypeAlias

Expected: TypeAlias = Sequence[str | EllipsisType]
"""Types of events in their order; in a type `*` stands for any text, and `...` for any number of events."""


class RecordedEvent(NamedTuple):
    """An event as a sink was given it: its type, and all of it as data: of a run, the fields of a PipelineEvent."""

    type: str
    data: dict[str, Any]

    @property
    def stage(self) -> str | None:
        """The stage that it is of; None for the run's own."""
        return self.data.get("stage")

    @property
    def run_id(self) -> str | None:
        """The `pipeline_run_id`."""
        return self.data.get("pipeline_run_id")


class RecordingEventSink:
    """Keeps every event in the order in which it came.

    Attributes:
        events: What has come.
    """

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []

    async def emit(self, *, type: str, data: dict[str, Any] | None) -> None:
        self.try_emit(type=type, data=data)

    def try_emit(self, *, type: str, data: dict[str, Any] | None) -> None:
        self.events.append(RecordedEvent(type, {} if data is None else data))

    @property
    def types(self) -> list[str]:
        """The types of the events, in order."""
        return [event.type for event in self.events]

    def of(self, stage: str) -> list[RecordedEvent]:
        """Return the events of one stage, in order."""
        return [event for event in self.events if event.stage == stage]

    def clear(self) -> None:
        """Forget what has come."""
        self.events.clear()

    def assert_sequence(self, expected: Expected, *, stage: str | None = None) -> None:
        """Check that these events came, in this order, and no others; `...` among them stands for any number of others.

        Args:
            expected: The types, in which `*` stands for any text: `["pipeline.*", ..., "stage.reply.completed", ...]`.
            stage: The events of which stage are meant; all unless given.

        Raises:
            AssertionError: Others came; the message shows both, side by side.
            TypeError: The types are not given as a list of strings and `...`.
        """
        __tracebackhide__ = True  # pytest shows the test, not this
        if isinstance(expected, str) or not all(isinstance(one, str) or one is ... for one in expected):
            raise TypeError(f"assert_sequence() takes a list of types and `...`, not {expected!r}.")
        happened = self.types if stage is None else [event.type for event in self.of(stage)]
        rows = _aligned(expected, happened)
        if all(row.fits for row in rows):
            return
        if not self.events:
            raise AssertionError("No event has come. Was the sink given to the run, as event_sink=...?")
        whose = "" if stage is None else f" of stage '{stage}'"
        raise AssertionError(f"The events{whose} are not those that were expected:\n{_table(rows)}")


class _Row(NamedTuple):
    """One line of the comparison: what was expected, what happened, and whether the two fit."""

    expected: str
    happened: str
    fits: bool


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
        elif isinstance(wanted, str) and came is not None and fnmatchcase(came, wanted) and here == costs[i + 1][j + 1]:
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
                if fnmatchcase(happened[j], wanted):
                    row[j] = min(row[j], below[j + 1])
    return costs


def _at(items: Sequence[Any], place: int) -> Any:
    return items[place] if place < len(items) else None


def _table(rows: Sequence[_Row]) -> str:
    width = max(len("expected"), *(len(row.expected) for row in rows))
    lines = [f"    {'expected':<{width}}  happened".rstrip()]
    for row in rows:
        mark = " " if row.fits else ("-" if row.expected else "+")
        lines.append(f"  {mark} {row.expected:<{width}}  {row.happened}".rstrip())
    return "\n".join([*lines, "(- did not happen here, + was not expected here)"])
