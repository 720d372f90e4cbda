"""Verdicts, the table and the JSON say what was measured."""

import json
from pathlib import Path

import pytest

from benchmarks.measuring import Estimate
from benchmarks.report import MILLISECONDS, Row, document, duration, multiples_of, multiples_table, table, write


def row(figure: float, *, must: float | None = 2.0, aim: float | None = 1.0) -> Row:
    """Make a row with that median."""
    return Row("key", "a workload", "LIMIT", Estimate(figure, figure - 0.25, figure + 0.25), must=must, aim=aim)


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [(0.9, "meets aim"), (1.0, "meets aim"), (1.5, "meets must"), (2.0, "meets must"), (2.01, "MISSES")],
)
def test_verdict(figure: float, verdict: str) -> None:
    """The limits themselves are still met."""
    assert row(figure).verdict == verdict


def test_row_without_limits_has_no_verdict() -> None:
    """What only informs is not judged."""
    assert row(9, must=None, aim=None).verdict == "-"


def test_table_shows_figure_spread_limits_and_notes() -> None:
    """A line holds all that a reader judges by; notes stand below."""
    lines = table([row(1.5), Row("k", "held", "", Estimate.of([3.125]), unit=MILLISECONDS, note="why")]).splitlines()
    assert lines[1].split() == ["a", "workload", "LIMIT", "1.50", "x", "1.25..1.75", "2", "1", "meets", "must"]
    assert lines[2].split() == ["held", "3.12", "ms", "3.12..3.12", "-"]
    assert lines[-1] == "held: why"


def test_multiples_are_shown_by_contender() -> None:
    """Contenders that did not run a workload have a dash there."""
    rows = [Row(key, key, "", Estimate.of([1]), multiples={"ours": 1.234}) for key in ("chain1000", "pipe10")]
    lines = multiples_table({**multiples_of(rows), "peer": {"pipe10": 821.4}}).splitlines()
    assert [line.split()[-2:] for line in lines] == [["chain1000", "pipe10"], ["1.23", "1.23"], ["-", "821"]]


def test_document_is_written_as_json(tmp_path: Path) -> None:
    """The JSON holds every figure, its verdict and the peers."""
    path = tmp_path / "new" / "report.json"
    write(path, document([row(1.5)], {"dask": {"skipped": "absent"}}, rounds=3))
    read = json.loads(path.read_text())
    assert read["rows"][0]["figure"] == {"median": 1.5, "low": 1.25, "high": 1.75}
    assert read["rows"][0]["verdict"] == "meets must"
    assert read["peers"] == {"dask": {"skipped": "absent"}}
    assert read["rounds"] == 3


@pytest.mark.parametrize(
    ("nanoseconds", "text"), [(12, "12 ns"), (1234, "1.23 us"), (5.678e6, "5.68 ms"), (2e9, "2 s")]
)
def test_duration_has_a_fitting_unit(nanoseconds: float, text: str) -> None:
    """Three digits and a unit."""
    assert duration(nanoseconds) == text
