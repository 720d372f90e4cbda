"""When and how soon a stage is tried again."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from stageflow.errors import InterceptorError, InvalidOptionError, StageTimeoutError
from stageflow.value import Value
from stageflow.wording import shown


class RetryPolicy(Value):
    """How often a stage is tried, and how long it waits before each further attempt.

    The wait before attempt n + 1 is a random part of `min(max_delay, base_delay * 2 ** (n - 1))`, so that many clients
    of one service do not come back together: "full jitter", see M. Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015. It is at least what the service asked for: `StageOutput.retry(after=...)`, or a number of
    seconds in the attribute `retry_after` of the exception.

    Args:
        max_attempts: How often the stage is executed at most, the first time included.
        base_delay: Seconds, the longest wait before the second attempt.
        max_delay: Seconds that no wait exceeds, unless the service asks for more.
        jitter: Whether a wait is random; without it each is as long as it may be.
        retry_on: The exceptions after which a stage is tried again: a class or several. None unless given: then only
            `StageOutput.retry(...)` asks for another attempt. A StageTimeoutError counts if it or TimeoutError itself
            is listed, and an InterceptorError if that is, not through a base of theirs such as Exception.
        random: Gives numbers from 0.0 to below 1.0. Unless given the event loop is asked for one (`loop.random.random`,
            as simulated loops have it), and else the operating system.

    Raises:
        InvalidOptionError: A value is out of range.
    """

    __slots__ = ("base_delay", "jitter", "max_attempts", "max_delay", "random", "retry_on")

    uncompared = ("random",)

    max_attempts: int
    base_delay: float
    max_delay: float
    jitter: bool
    retry_on: tuple[type[Exception], ...] | type[Exception]
    random: Callable[[], float] | None

    def __init__(
        self,
        max_attempts: int = 3,
        base_delay: float = 0.5,
        max_delay: float = 30.0,
        jitter: bool = True,
        retry_on: tuple[type[Exception], ...] | type[Exception] = (),
        *,
        random: Callable[[], float] | None = None,
    ) -> None:
        object.__setattr__(self, "max_attempts", max_attempts)
        object.__setattr__(self, "base_delay", base_delay)
        object.__setattr__(self, "max_delay", max_delay)
        object.__setattr__(self, "jitter", jitter)
        object.__setattr__(self, "retry_on", retry_on)
        object.__setattr__(self, "random", random)
        self._check()

    def _check(self) -> None:
        attempts: Any = self.max_attempts
        if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
            hint = "1 means that it is not tried again."
            raise InvalidOptionError(
                "max_attempts", f"is a whole number from 1 on, not {attempts!r}", of=_US, hint=hint
            )
        for name in ("base_delay", "max_delay"):
            seconds: Any = getattr(self, name)
            if not is_number(seconds) or not 0 <= seconds <= sys.float_info.max:
                raise InvalidOptionError(name, f"is a number of seconds, 0 or more, not {seconds!r}", of=_US)
        if not isinstance(self.jitter, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOptionError("jitter", f"is True or False, not {self.jitter!r}", of=_US)
        if self.random is not None and not callable(self.random):
            hint = "Give a function: random=random.Random(7).random."
            raise InvalidOptionError("random", f"is called for each wait, not {shown(self.random)}", of=_US, hint=hint)
        given: Any = self.retry_on
        kinds = (given,) if isinstance(given, type) else given
        if not isinstance(kinds, (tuple, list, set, frozenset)):
            raise InvalidOptionError("retry_on", f"is a class of exceptions or several, not {shown(given)}", of=_US)
        for kind in kinds:  # pyright: ignore[reportUnknownVariableType]
            if not (isinstance(kind, type) and issubclass(kind, Exception)):
                hint = "A cancellation, for one, is no reason to try again."
                problem = f"holds classes of exceptions (subclasses of Exception), not {shown(kind)}"  # pyright: ignore[reportUnknownArgumentType]
                raise InvalidOptionError("retry_on", problem, of=_US, hint=hint)
        object.__setattr__(self, "retry_on", tuple(kinds))  # pyright: ignore[reportUnknownArgumentType]

    def covers(self, error: BaseException) -> bool:
        """Return whether a stage that raised this is tried again."""
        kinds: Any = self.retry_on
        if isinstance(error, StageTimeoutError):
            return TimeoutError in kinds or StageTimeoutError in kinds
        if isinstance(error, InterceptorError):
            return InterceptorError in kinds
        return isinstance(error, kinds)

    def delay(self, attempt: int, random: Callable[[], float], *, after: float | None = None) -> float:
        """Return how many seconds to wait after this attempt, which counts from 1."""
        longest = min(self.max_delay, self.base_delay * 2.0 ** min(attempt - 1, 1_000))
        seconds = longest * random() if self.jitter else longest
        return seconds if after is None else max(seconds, after)


_US = "a RetryPolicy"


def is_number(value: Any) -> bool:
    """Return whether the value is a number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def system_random() -> float:
    """Return a random number from 0.0 to below 1.0, with 53 random bits, from the operating system."""
    # Importing `random` would cost every program that never tries again.
    return (int.from_bytes(os.urandom(7)) >> 3) * 2.0**-53


def asked_delay(error: object) -> float | None:
    """Return the wait, in seconds, that an exception asks for by its attribute `retry_after`, or None."""
    try:
        seconds: Any = getattr(error, "retry_after", None)
    except Exception:  # noqa: BLE001 - a property of the user's class may raise anything; then it asks for nothing
        return None
    return float(seconds) if is_number(seconds) and 0 <= seconds <= sys.float_info.max else None
