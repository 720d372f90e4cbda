"""Interleaved samples of several contenders in one process, checked after each, and what is computed from them.

The garbage collector stays on, as it is in an application, and is run to the end before each sample, so that nobody
pays for what another left behind. Contenders take turns (A B C A B C ...), so that a slow second of the machine is
everyone's. A ratio is taken within each round and its median over the rounds is given, with the quartiles as spread.
"""

import asyncio
import gc
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Clock = Callable[[], int]
"""A clock in nanoseconds: `time.process_time_ns` for work, `time.perf_counter_ns` for waiting."""

Samples = Mapping[str, Sequence[int]]
"""Nanoseconds of each round, by contender."""


class Work(Protocol):
    """What contenders do: a graph, or anything else whose values can be checked."""

    def check(self, values: Sequence[object], run_input: int) -> None:
        """Raise ValueError naming the first value that is not the one that this input must give."""
        ...


@dataclass(frozen=True)
class Contender:
    """A way to do some work: `run` from the input to an outcome, `read` from that to all values, in order.

    `read` stands outside what is timed: a framework that makes its records when they are asked for gains by that.
    """

    name: str
    run: Callable[[int], Awaitable[Any]]
    read: Callable[[Any], Sequence[object]]


@dataclass(frozen=True)
class Load:
    """How often a sample runs the graph, and whether one run after the other or all of them at once."""

    runs: int = 1
    concurrent: bool = False
    clock: Clock = time.process_time_ns


@dataclass(frozen=True)
class Estimate:
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """Summarise values; a single one is its own spread."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


async def sample(contender: Contender, work: Work, load: Load, first_input: int = 0) -> int:
    """Time one sample and then checks every value of every run in it."""
    inputs = range(first_input, first_input + load.runs)
    gc.collect()
    started = load.clock()
    if load.concurrent:
        outcomes = await asyncio.gather(*[contender.run(run_input) for run_input in inputs])
    else:
        outcomes = [await contender.run(run_input) for run_input in inputs]
    elapsed_ns = load.clock() - started
    for run_input, outcome in zip(inputs, outcomes, strict=True):
        work.check(contender.read(outcome), run_input)
    return elapsed_ns


Sampling = Callable[[Contender, Work, Load, int], Awaitable[int]]
"""What takes one sample, in nanoseconds: `sample`, or what looks at another moment than the end of a run."""


async def interleave(
    contenders: Sequence[Contender], work: Work, load: Load, rounds: int, take: Sampling = sample
) -> Samples:
    """Sample the contenders in turn, after one round that warms up and is checked but not counted."""
    samples: dict[str, list[int]] = {contender.name: [] for contender in contenders}
    for number in range(rounds + 1):
        for contender in contenders:
            elapsed_ns = await take(contender, work, load, number * load.runs)
            if number:
                samples[contender.name].append(elapsed_ns)
    return samples


def cheapest(samples: Samples, names: Sequence[str]) -> str:
    """Name the contender with the lowest median: among hand-written executors, that is LIMIT."""
    return min(names, key=lambda name: statistics.median(samples[name]))


def ratio(samples: Samples, name: str, other: str) -> Estimate:
    """Compare two contenders round by round."""
    return Estimate.of([mine / theirs for mine, theirs in zip(samples[name], samples[other], strict=True)])


def growth_exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Fit cost = c * size ** exponent by least squares on logarithms; 1.0 is linear."""
    return statistics.linear_regression([math.log(size) for size in sizes], [math.log(cost) for cost in costs]).slope
