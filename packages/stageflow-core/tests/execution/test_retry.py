"""The policy by which a stage is tried again."""

from __future__ import annotations

import asyncio
import math
import random
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow import Pipeline, RetryPolicy, stage
from stageflow.errors import InterceptorError, InvalidOptionError, StageTimeoutError
from stageflow.execution.retry import asked_delay, system_random
from stageflow_mocks.simulation import run

TIMEOUT = StageTimeoutError("a", limit="timeout", seconds=1)
BROKEN = InterceptorError("a", "auth", "before", "raised ValueError")

# --- what it may be ----------------------------------------------------------------------------------------------


def test_without_arguments_nothing_is_retried() -> None:
    """Only a stage that asks for it is tried again: three times, after half a second at first."""
    policy = RetryPolicy()
    assert (3, 0.5, 30.0, True, (), None) == (
        policy.max_attempts,
        policy.base_delay,
        policy.max_delay,
        policy.jitter,
        policy.retry_on,
        policy.random,
    )
    assert not policy.covers(ValueError())


@pytest.mark.parametrize("attempts", [0, -1, 1.0, 2.5, True, "3", None, math.nan, math.inf])
def test_less_than_one_attempt_is_refused(attempts: Any) -> None:
    """So is what is no whole number."""
    with pytest.raises(InvalidOptionError) as caught:
        RetryPolicy(max_attempts=attempts)
    assert f"max_attempts of a RetryPolicy is a whole number from 1 on, not {attempts!r}." == caught.value.message
    assert "1 means that it is not tried again." == caught.value.hint
    assert ("max_attempts", None) == (caught.value.option, caught.value.stage)


@pytest.mark.parametrize("option", ["base_delay", "max_delay"])
@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf, -math.inf, True, "1", None, 10**400])
def test_a_time_that_is_none_is_refused(option: str, seconds: Any) -> None:
    """Negative, endless, not a number."""
    with pytest.raises(InvalidOptionError) as caught:
        RetryPolicy(**{option: seconds})
    assert f"{option} of a RetryPolicy is a number of seconds, 0 or more, not {seconds!r}." == str(caught.value)


@pytest.mark.parametrize("option", ["base_delay", "max_delay"])
@pytest.mark.parametrize("seconds", [0, 0.0, 1, 1e-9, sys.float_info.max])
def test_any_other_time_is_taken(option: str, seconds: Any) -> None:
    """Also none at all."""
    assert seconds == getattr(RetryPolicy(**{option: seconds}), option)


@pytest.mark.parametrize("jitter", [None, 0, 1, "yes", 0.5])
def test_jitter_is_on_or_off(jitter: Any) -> None:
    """It is no amount."""
    with pytest.raises(InvalidOptionError, match=r"^jitter of a RetryPolicy is True or False, not "):
        RetryPolicy(jitter=jitter)


@pytest.mark.parametrize("source", [0.5, "random", random])
def test_a_source_of_random_numbers_is_called(source: Any) -> None:
    """The module, for one, is not."""
    with pytest.raises(InvalidOptionError) as caught:
        RetryPolicy(random=source)
    assert "random" == caught.value.option
    assert str(caught.value).endswith("Give a function: random=random.Random(7).random.")


@pytest.mark.parametrize(
    ("retry_on", "text"),
    [
        ("ValueError", "retry_on of a RetryPolicy is a class of exceptions or several, not 'ValueError'."),
        (None, "retry_on of a RetryPolicy is a class of exceptions or several, not None."),
        (ValueError(), "retry_on of a RetryPolicy is a class of exceptions or several, not ValueError()."),
        ([ValueError, "x"], "retry_on of a RetryPolicy holds classes of exceptions (subclasses of Exception), not"),
        (int, "retry_on of a RetryPolicy holds classes of exceptions (subclasses of Exception), not the class int."),
    ],
    ids=str,
)
def test_what_is_no_class_of_exceptions_is_refused(retry_on: Any, text: str) -> None:
    """With what came."""
    with pytest.raises(InvalidOptionError) as caught:
        RetryPolicy(retry_on=retry_on)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("kind", [BaseException, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_what_ends_a_program_is_no_reason_to_try_again(kind: Any) -> None:
    """Neither is a cancellation."""
    with pytest.raises(InvalidOptionError) as caught:
        RetryPolicy(retry_on=(ValueError, kind))
    assert "A cancellation, for one, is no reason to try again." == caught.value.hint


@pytest.mark.parametrize("given", [ValueError, [ValueError], {ValueError}, frozenset({ValueError}), (ValueError,)])
def test_one_class_or_several(given: Any) -> None:
    """In any form."""
    policy = RetryPolicy(retry_on=given)
    assert (ValueError,) == policy.retry_on
    assert policy == RetryPolicy(retry_on=(ValueError,))


def test_a_policy_is_a_value() -> None:
    """Equal ones are one to compose; the source of random numbers does not count."""
    assert RetryPolicy(max_attempts=4) == RetryPolicy(max_attempts=4, random=random.random)
    assert RetryPolicy(max_attempts=4) != RetryPolicy(max_attempts=5)
    assert 1 == len({RetryPolicy(retry_on=ValueError), RetryPolicy(retry_on=[ValueError])})
    with pytest.raises(AttributeError):
        RetryPolicy().max_attempts = 0  # pyright: ignore[reportAttributeAccessIssue]


# --- what it covers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_on", "error", "covered"),
    [
        ((), ValueError(), False),
        (ValueError, ValueError(), True),
        (ValueError, UnicodeDecodeError("utf-8", b"", 0, 1, "x"), True),
        (UnicodeError, ValueError(), False),
        ((KeyError, OSError), ConnectionResetError(), True),
        (Exception, ValueError(), True),
        (Exception, KeyboardInterrupt(), False),
        (TimeoutError, TimeoutError(), True),
        (Exception, TIMEOUT, False),
        (OSError, TIMEOUT, False),
        (type(TIMEOUT).__mro__[1], TIMEOUT, False),
        (TimeoutError, TIMEOUT, True),
        (StageTimeoutError, TIMEOUT, True),
        (StageTimeoutError, TimeoutError(), False),
        ((Exception, StageTimeoutError), TIMEOUT, True),
        (Exception, BROKEN, False),
        (InterceptorError, BROKEN, True),
    ],
    ids=repr,
)
def test_what_is_covered(retry_on: Any, error: BaseException, covered: bool) -> None:
    """Subclasses too; a time limit of the stage and a broken interceptor only by a name of their own."""
    assert covered is RetryPolicy(retry_on=retry_on).covers(error)


# --- how long it waits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 5.0), (6, 5.0), (10**9, 5.0)]
)
def test_the_wait_doubles_up_to_its_bound(attempt: int, seconds: float) -> None:
    """Without jitter it is as long as it may be."""
    policy = RetryPolicy(base_delay=0.5, max_delay=5, jitter=False)
    assert seconds == policy.delay(attempt, lambda: 0.0)


@pytest.mark.parametrize(("drawn", "seconds"), [(0.0, 0.0), (0.25, 1.0), (0.999, 3.996)])
def test_with_jitter_the_wait_is_any_part_of_it(drawn: float, seconds: float) -> None:
    """From none of it to nearly all, so that many clients do not come back together."""
    assert seconds == pytest.approx(RetryPolicy(base_delay=1).delay(3, lambda: drawn))


@pytest.mark.parametrize(("after", "seconds"), [(None, 2.0), (0.0, 2.0), (1.5, 2.0), (2.5, 2.5), (60.0, 60.0)])
def test_what_the_service_asks_for_is_a_minimum(after: float | None, seconds: float) -> None:
    """Also beyond max_delay: to come earlier would be of no use."""
    policy = RetryPolicy(base_delay=2, max_delay=10, jitter=False)
    assert seconds == policy.delay(1, lambda: 0.0, after=after)


def test_what_the_service_asks_for_is_a_minimum_of_a_random_wait() -> None:
    """The jitter comes first."""
    policy = RetryPolicy(base_delay=8)
    assert (4.0, 3.0) == (policy.delay(1, lambda: 0.5, after=3), policy.delay(1, lambda: 0.1, after=3))


times = st.floats(0, sys.float_info.max) | st.integers(0, 10**6)
parts = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10**7), times, times, st.booleans(), parts, st.none() | times)
def test_a_wait_is_a_time_within_its_bounds(
    attempt: int,
    base: float,
    most: float,
    jitter: bool,
    drawn: float,
    after: float | None,
) -> None:
    """Whatever the policy: a number, 0 or more, at least what was asked for, and else no more than max_delay."""
    policy = RetryPolicy(base_delay=base, max_delay=most, jitter=jitter)
    seconds = policy.delay(attempt, lambda: drawn, after=after)
    assert math.isfinite(seconds)
    assert 0 <= seconds <= max(most, after or 0)
    assert after is None or seconds >= after


@given(st.integers(1, 2000), times, times, parts)
def test_a_wait_never_shrinks_with_the_attempts(attempt: int, base: float, most: float, drawn: float) -> None:
    """For the same random number the next one is as long or longer, and with jitter no longer than without."""
    policy = RetryPolicy(base_delay=base, max_delay=most)
    now, then = (policy.delay(number, lambda: drawn) for number in (attempt, attempt + 1))
    assert now <= then
    assert now <= RetryPolicy(base_delay=base, max_delay=most, jitter=False).delay(attempt, lambda: drawn)


# --- where its numbers come from ---------------------------------------------------------------------------------


def test_the_systems_random_numbers_lie_where_they_should() -> None:
    """From 0 to below 1, all over it, and no two alike."""
    numbers = [system_random() for _ in range(2000)]
    assert 0.0 <= min(numbers) < 0.05
    assert 0.95 < max(numbers) < 1.0
    assert 2000 == len(set(numbers))
    assert 0.45 < sum(numbers) / 2000 < 0.55


def test_the_largest_number_of_the_system_is_below_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """All bits set is the largest, all bits clear the smallest."""
    monkeypatch.setattr("os.urandom", lambda size: b"\xff" * size)
    assert 1.0 - 2.0**-53 == system_random()
    monkeypatch.setattr("os.urandom", lambda size: b"\x00" * size)
    assert 0.0 == system_random()


class Asking(Exception):
    """An error of a service that says when to come again."""

    def __init__(self, retry_after: Any) -> None:
        super().__init__()
        self.retry_after = retry_after


class Mute(Exception):
    """An error that cannot even be asked."""

    @property
    def retry_after(self) -> float:
        raise RuntimeError("ask somebody else")


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Asking(2.5), 2.5),
        (Asking(3), 3.0),
        (Asking(0), 0.0),
        (Asking(-1), None),
        (Asking(math.nan), None),
        (Asking(math.inf), None),
        (Asking(10**400), None),
        (Asking("5"), None),
        (Asking(True), None),
        (Asking(None), None),
        (ValueError(), None),
        (Mute(), None),
        (None, None),
    ],
)
def test_what_an_exception_asks_for(error: Exception | None, seconds: float | None) -> None:
    """A number of seconds in its `retry_after`; anything else asks for nothing."""
    asked = asked_delay(error)
    assert (seconds, None if seconds is None else float) == (asked, None if asked is None else type(asked))


def test_a_simulation_repeats_the_waits_of_its_seed() -> None:
    """The numbers come from its loop, so that the same seed gives the same run again."""
    moments: list[float] = []

    async def execute() -> None:
        moments.append(asyncio.get_running_loop().time())
        raise ConnectionError

    policy = RetryPolicy(max_attempts=4, retry_on=ConnectionError)
    pipeline = Pipeline("p", [stage("a", execute, retry=policy)])

    async def main() -> list[float]:
        moments.clear()
        await pipeline.start().outcome()
        return moments.copy()

    first, again, other = run(main(), seed=7), run(main(), seed=7), run(main(), seed=8)
    assert first == again
    assert first != other
    assert 0.0 < first[1] < 0.5
