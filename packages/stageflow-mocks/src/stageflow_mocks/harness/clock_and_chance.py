"""Time and chance that a test decides."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable


class FakeClock:
    """A clock that stands still until it is moved: for what takes a `clock=`, outside of an event loop's own time.

    Args:
        now: What it shows first, in seconds.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = _seconds("now", now)

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass; it never goes back."""
        self._now += _seconds("advance()", seconds)

    def __repr__(self) -> str:
        return f"FakeClock({self._now:g})"


class FakeRandom(random.Random):
    """A source of random numbers that gives the same for the same seed, or first of all what it is told to.

    Args:
        seed: Decides about all numbers that are not told.
        told: What `random()` gives first, each from 0 up to 1.

    Attributes:
        drawn: What `random()` has given; whatever is made of it, as by `uniform()`, draws from there as well.
    """

    def __init__(self, seed: int = 0, told: Iterable[float] = ()) -> None:
        if not isinstance(told, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"told of a FakeRandom is a list of numbers: [{told!r}].")
        self._told = list(told)
        for number in self._told:
            if not _is_number(number) or not 0 <= number < 1:
                raise ValueError(f"random() gives numbers from 0 up to 1, and was told {number!r}.")
        self.drawn: list[float] = []
        super().__init__(seed)

    def random(self) -> float:
        number = self._told.pop(0) if self._told else super().random()
        self.drawn.append(number)
        return number


def _seconds(what: str, value: float) -> float:
    if not _is_number(value) or not 0 <= value < math.inf:
        raise ValueError(f"{what} of a FakeClock is a number of seconds from 0 on, not {value!r}.")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
