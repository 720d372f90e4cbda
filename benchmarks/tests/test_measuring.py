"""Samples are interleaved and checked, and what is computed from them is right."""

import asyncio
from collections.abc import Sequence

import pytest

from benchmarks import graphs
from benchmarks.measuring import Contender, Estimate, Load, cheapest, growth_exponent, interleave, ratio, sample

GRAPH = graphs.chain(3)


def contender(name: str, log: list[tuple[str, int]], offset: int = 0) -> Contender:
    """Make a contender that notes its runs; with an offset its values are those of another input."""

    async def run(run_input: int) -> Sequence[int]:
        log.append((name, run_input))
        return GRAPH.expected(run_input + offset)

    return Contender(name, run, read=list)


def test_contenders_take_turns() -> None:
    """Rounds go A B A B, each with new inputs, and the first round is not counted."""
    log: list[tuple[str, int]] = []
    pair = [contender("a", log), contender("b", log)]
    samples = asyncio.run(interleave(pair, GRAPH, Load(runs=2), rounds=2))
    once = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert log == [(name, value + 2 * number) for number in range(3) for name, value in once]
    assert {name: len(taken) for name, taken in samples.items()} == {"a": 2, "b": 2}


@pytest.mark.parametrize("concurrent", [False, True])
def test_every_run_of_a_sample_is_checked(concurrent: bool) -> None:
    """A sample with wrong values is an error, not a figure."""
    with pytest.raises(ValueError, match="chain3, input 0: stage_0 came to 2, expected 1"):
        asyncio.run(sample(contender("wrong", [], offset=1), GRAPH, Load(runs=2, concurrent=concurrent)))


def test_clock_is_read_around_the_runs_alone() -> None:
    """What is timed begins after the collector and ends before the check."""
    log: list[tuple[str, int]] = []
    seen: list[int] = []

    def clock() -> int:
        seen.append(len(log))
        return 100 * len(seen)

    assert asyncio.run(sample(contender("a", log), GRAPH, Load(runs=3, clock=clock))) == 100
    assert seen == [0, 3]


def test_ratio_is_taken_round_by_round() -> None:
    """A slow round of the machine does not move the ratio."""
    samples = {"ours": [20, 2000, 20], "theirs": [10, 1000, 10]}
    assert ratio(samples, "ours", "theirs") == Estimate(2, 2, 2)


def test_cheapest_has_the_lowest_median() -> None:
    """One lucky sample does not make a LIMIT."""
    assert cheapest({"lucky": [1, 30, 30], "steady": [20, 20, 20], "ours": [1, 1, 1]}, ("lucky", "steady")) == "steady"


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_growth_exponent_of_a_power_law(exponent: float) -> None:
    """The exponent of an exact power law is found."""
    sizes = [10, 100, 1000]
    assert growth_exponent(sizes, [7 * size**exponent for size in sizes]) == pytest.approx(exponent)


def test_estimate_is_the_median_and_the_quartiles() -> None:
    """The spread is that of the middle half."""
    assert Estimate.of([5, 1, 2, 4, 3]) == Estimate(3, 2, 4)
    assert Estimate.of([5]) == Estimate(5, 5, 5)
