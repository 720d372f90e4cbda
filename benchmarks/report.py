"""Rows of figures, their verdicts, the table and the JSON."""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measuring import Estimate

RESULTS = Path(__file__).parent / "results"

MULTIPLE, EXPONENT, BYTES, MILLISECONDS, MICROSECONDS = "x", "exponent", "B/stage", "ms", "us"
_DIGITS = {MULTIPLE: 2, EXPONENT: 3, BYTES: 0, MILLISECONDS: 2, MICROSECONDS: 2}


@dataclass(frozen=True)
class Row:
    """One judged figure; lower is better, and without `must` and `aim` it only informs.

    `multiples` are those of LIMIT, by contender, where the row has a LIMIT.
    """

    key: str
    title: str
    against: str
    figure: Estimate
    unit: str = MULTIPLE
    must: float | None = None
    aim: float | None = None
    ours: str = ""
    other: str = ""
    note: str = ""
    multiples: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def verdict(self) -> str:
        """Say whether the figure keeps its promise."""
        if self.must is None or self.aim is None:
            return "-"
        if self.figure.median <= self.aim:
            return "meets aim"
        return "meets must" if self.figure.median <= self.must else "MISSES"


def duration(nanoseconds: float) -> str:
    """Write a duration with three significant digits and a fitting unit."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def machine() -> Mapping[str, Any]:
    """Describe where the figures were taken, as far as it explains them."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def columns(cells: Sequence[Sequence[str]], left: int) -> Iterable[str]:
    """Align rows of cells: the first `left` columns to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        aligned = [
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(aligned).rstrip()


def table(rows: Sequence[Row]) -> str:
    """Write the rows as one table, with their notes below."""
    head = ("workload", "against", "ours", "other", "figure", "", "quartiles", "must", "aim", "verdict")
    cells: list[Sequence[str]] = [head]
    for row in rows:
        digits = _DIGITS[row.unit]
        cells.append(
            (
                row.title,
                row.against,
                row.ours,
                row.other,
                f"{row.figure.median:.{digits}f}",
                row.unit,
                f"{row.figure.low:.{digits}f}..{row.figure.high:.{digits}f}",
                "" if row.must is None else f"{row.must:g}",
                "" if row.aim is None else f"{row.aim:g}",
                row.verdict,
            )
        )
    notes = [f"{row.title}: {row.note}" for row in rows if row.note]
    return "\n".join([*columns(cells, left=2), *([""] if notes else []), *notes])


def multiples_table(multiples: Mapping[str, Mapping[str, float]]) -> str:
    """Write how many times LIMIT each contender costs: a line a contender, a column a workload."""
    keys = list(dict.fromkeys(key for figures in multiples.values() for key in figures))
    cells = [["multiple of LIMIT", *keys]]
    for name, figures in multiples.items():
        cells.append([name, *[f"{figures[key]:.3g}" if key in figures else "-" for key in keys]])
    return "\n".join(columns(cells, left=1))


def multiples_of(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Turn the rows' multiples into a line for each contender."""
    lines: dict[str, dict[str, float]] = {}
    for row in rows:
        for name, figure in row.multiples.items():
            lines.setdefault(name, {})[row.key] = figure
    return lines


def document(rows: Sequence[Row], peers: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """Make the JSON form of a report."""
    return {
        "machine": dict(machine()),
        "rounds": rounds,
        "rows": [{**asdict(row), "verdict": row.verdict} for row in rows],
        "peers": dict(peers),
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a report, making its folder where it is absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
