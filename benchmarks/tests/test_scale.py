"""Very large runs in small: they give the right values, keep to their memory, and a miss is told."""

import asyncio

import pytest

from benchmarks.effort import Effort
from benchmarks.measuring import Estimate
from benchmarks.report import BYTES, Row
from benchmarks.scale import __main__ as command
from benchmarks.scale.crowds import before_last_low, order_of
from benchmarks.scale.growing import MUST_WEIGH, Sized, growth_row, peak_of
from benchmarks.scale.items import SOURCES, bytes_above_results
from benchmarks.scale.stages import CASES, bytes_per_stage, check

TINY = Effort(rounds=2, scale=0.001)


@pytest.mark.parametrize("name", command.SCALES)
def test_scale_gives_rows(name: str) -> None:
    """Each runs at any size and gives positive figures."""
    rows = asyncio.run(command.SCALES[name](TINY))
    assert rows
    assert all(row.figure.low <= row.figure.median <= row.figure.high for row in rows)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_stage_of_a_large_graph_has_its_value(case) -> None:
    """2,000 stages, deep and wide, bounded and not, come to what the plain loop gives."""
    asyncio.run(check(case, 2000))


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.is_promised], ids=lambda case: case.title)
def test_memory_of_a_stage_is_bounded(case) -> None:
    """A stage takes what is promised at most, and one that waits does so too where only so many may start."""
    assert 0 < asyncio.run(bytes_per_stage(case, 2000)) <= MUST_WEIGH


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_memory_of_a_map_does_not_follow_its_items(make) -> None:
    """Ten times the items take no more memory beside the list of their results."""
    few, many = (asyncio.run(bytes_above_results(make, count)) for count in (2000, 20_000))
    assert many <= 1.5 * few


def test_low_priority_does_not_starve() -> None:
    """Behind 1,000 of high priority for two permits, five of low priority end before the last tenth of those."""
    ended = asyncio.run(order_of(1000))
    assert (ended.count("high"), ended.count("low")) == (1000, 5)
    assert before_last_low(ended) <= 0.9


def test_place_of_the_last_low_is_told_as_a_share() -> None:
    """What ended after the last low one does not count."""
    assert before_last_low(["high", "low", "high", "low", "high", "high"]) == 0.5


def test_peak_counts_what_is_dropped_before_the_end() -> None:
    """Memory that a run has given back was needed all the same."""

    async def run() -> str:
        return f"{len(bytes(1_000_000))}"

    peak, outcome = asyncio.run(peak_of(Sized(1, run)))
    assert outcome == "1000000"
    assert 1_000_000 <= peak < 1_100_000


def test_growth_runs_every_size_and_tells_the_cost_of_one() -> None:
    """A run that grows with the square of its size is told from a linear one."""

    def quadratic(count: int) -> Sized:
        async def run() -> None:
            sum(range(count * count))

        return Sized(count, run)

    row = asyncio.run(growth_row(quadratic, [400, 1600], 2, key="k", title="squares", unit="thing"))
    assert row.title == "growth, squares, 400 to 1600"
    assert row.ours.endswith("tasks/thing")
    assert row.verdict == "MISSES"


def test_command_fails_and_names_what_is_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make scale` is red if one row misses its must, and shows all of them."""

    async def rows(effort: Effort) -> list[Row]:
        weights = {"light": 300, "heavy": 601}
        return [
            Row(title, title, "", Estimate.of([weight]), unit=BYTES, must=600, aim=400)
            for title, weight in weights.items()
        ]

    monkeypatch.setattr(command, "SCALES", {"graphs": rows})
    assert command.main([]) == 1
    told = capsys.readouterr()
    assert "light" in told.out
    assert told.err.splitlines() == ["measuring graphs ...", "missed: heavy"]
    assert command.main(["--quick"]) == 0
