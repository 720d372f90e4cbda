"""How long mocks take: a time in seconds, or a distribution of times from which a seed draws."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from stageflow_mocks.wording import shown


def check_seconds(name: str, value: Any) -> None:
    """Refuse what is no time."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} is a time in seconds, 0 or more, not {shown(value)}.")


@dataclass(frozen=True, slots=True)
class Uniform:
    """Times from `low` to `high` seconds, all equally likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        check_seconds("low of a Uniform", self.low)
        check_seconds("high of a Uniform", self.high)
        if self.high < self.low:
            raise ValueError(f"high of a Uniform is not below its low, {self.low!r}; it is {self.high!r}.")


@dataclass(frozen=True, slots=True)
class Exponential:
    """Times of `mean` seconds on average: most are shorter, a few much longer, up to `most` if it is given."""

    mean: float
    most: float | None = None

    def __post_init__(self) -> None:
        check_seconds("mean of an Exponential", self.mean)
        if self.most is not None:
            check_seconds("most of an Exponential", self.most)


Latency: TypeAlias = float | Uniform | Exponential


def check_latency(name: str, value: Any) -> None:
    """Refuse what is neither a time nor a distribution."""
    if not isinstance(value, Uniform | Exponential):
        check_seconds(name, value)


def drawn(latency: Latency, random: Random) -> float:
    """Return a time of the distribution."""
    match latency:
        case Uniform(low, high):
            return random.uniform(low, high)
        case Exponential(mean, most):
            time = random.expovariate(1 / mean) if mean else 0.0
            return time if most is None else min(time, most)
        case _:
            return latency
