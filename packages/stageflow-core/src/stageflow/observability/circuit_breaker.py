"""A circuit breaker: it stops calls to what keeps failing, and tries now and then whether it has recovered.

A circuit is closed while all is well. After so many failures in a row it opens: calls are refused for a time. Then it
is half-open: a few calls, the probes, are let through. One that succeeds closes it, one that fails opens it again.
Source of the pattern: Michael T. Nygard, "Release It!", 2nd edition (2018), section 5.2.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

from stageflow.wording import shown

CircuitState = Literal["closed", "open", "half-open"]


class CircuitPermit:
    """The answer of a CircuitBreaker to one call.

    Attributes:
        allowed: Whether the call may be made; if so, its end is to be reported with this very permit.
        state: How the circuit was found.
        retry_after: Seconds after which asking again may help, if it may not.
        token: The breaker's own.
    """

    __slots__ = ("allowed", "retry_after", "state", "token")

    def __init__(self, allowed: bool, state: CircuitState, *, retry_after: float = 0.0, token: object = None) -> None:
        self.allowed = allowed
        self.state: CircuitState = state
        self.retry_after = retry_after
        self.token = token

    def __repr__(self) -> str:
        return f"CircuitPermit({self.allowed}, {self.state!r}, retry_after={self.retry_after})"


@runtime_checkable
class CircuitBreaker(Protocol):
    """Decides whether a call may be made now. `circuit` names what is called.

    For each permit that allows a call, exactly one of the other three is called.
    """

    async def allow(self, circuit: str) -> CircuitPermit:
        """Say whether a call may be made now; a half-open circuit counts it as a probe until its end is reported."""
        ...

    async def record_success(self, circuit: str, permit: CircuitPermit) -> None: ...

    async def record_failure(self, circuit: str, permit: CircuitPermit) -> None: ...

    async def release(self, circuit: str, permit: CircuitPermit) -> None:
        """Note that the call ended without saying anything of the circuit: it was cancelled, say."""
        ...


class NoOpCircuitBreaker:
    """Allows every call."""

    async def allow(self, circuit: str) -> CircuitPermit:
        return _ALLOWED

    async def record_success(self, circuit: str, permit: CircuitPermit) -> None:
        return None

    async def record_failure(self, circuit: str, permit: CircuitPermit) -> None:
        return None

    async def release(self, circuit: str, permit: CircuitPermit) -> None:
        return None


_ALLOWED = CircuitPermit(True, "closed")


class _Circuit:
    """One circuit. `period` counts the changes of its state: what was allowed in another period says nothing now."""

    __slots__ = ("calls", "failures", "opened_at", "period", "probes", "state")

    def __init__(self) -> None:
        self.state: CircuitState = "closed"
        self.period = 0
        self.calls = 0
        self.failures = 0
        self.opened_at = 0.0
        self.probes: dict[object, float] = {}

    def change(self, state: CircuitState, now: float) -> None:
        self.state = state
        self.period += 1
        self.failures = 0
        self.opened_at = now
        self.probes.clear()

    def is_as_new(self) -> bool:
        return self.state == "closed" and not self.failures and not self.calls


class InMemoryCircuitBreaker:
    """A circuit breaker for one process.

    Args:
        failure_threshold: Failures in a row that open a circuit.
        recovery_time: Seconds that an open circuit refuses calls; a probe that has not ended by then is given up.
        probes: Calls at a time that a half-open circuit lets through.
        clock: Gives seconds that never go back; that of the running event loop unless given.

    Raises:
        ValueError: A number is not above 0.
    """

    def __init__(
        self,
        *,
        failure_threshold: int = 5,
        recovery_time: float = 30.0,
        probes: int = 1,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._failure_threshold = _count("failure_threshold", failure_threshold)
        self._recovery_time = _seconds("recovery_time", recovery_time)
        self._most_probes = _count("probes", probes)
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}

    def state(self, circuit: str) -> CircuitState:
        """Return how a circuit stands; one that nobody has asked for is closed."""
        known = self._circuits.get(circuit)
        return "closed" if known is None else known.state

    async def allow(self, circuit: str) -> CircuitPermit:
        known = self._circuits.get(circuit)
        if known is None:
            known = self._circuits[circuit] = _Circuit()
        permit = self._permit(known)
        known.calls += permit.allowed
        return permit

    def _permit(self, known: _Circuit) -> CircuitPermit:
        if known.state == "closed":
            return CircuitPermit(True, "closed", token=known.period)
        now = self._now()
        if known.state == "open":
            left = known.opened_at + self._recovery_time - now
            if left > 0:
                return CircuitPermit(False, "open", retry_after=left)
            known.change("half-open", now)
        for token, since in list(known.probes.items()):
            if now - since >= self._recovery_time:
                del known.probes[token]
        if len(known.probes) >= self._most_probes:
            left = min(known.probes.values()) + self._recovery_time - now
            return CircuitPermit(False, "half-open", retry_after=left)
        token = object()
        known.probes[token] = now
        return CircuitPermit(True, "half-open", token=token)

    async def record_success(self, circuit: str, permit: CircuitPermit) -> None:
        known = self._circuits[circuit]
        if known.probes.pop(permit.token, None) is not None:
            known.change("closed", self._now())
        elif permit.token == known.period:
            known.failures = 0
        self._end_call(circuit, known)

    async def record_failure(self, circuit: str, permit: CircuitPermit) -> None:
        known = self._circuits[circuit]
        if known.probes.pop(permit.token, None) is not None:
            known.change("open", self._now())
        elif permit.token == known.period:
            known.failures += 1
            if known.failures >= self._failure_threshold:
                known.change("open", self._now())
        self._end_call(circuit, known)

    async def release(self, circuit: str, permit: CircuitPermit) -> None:
        known = self._circuits[circuit]
        known.probes.pop(permit.token, None)
        self._end_call(circuit, known)

    def _end_call(self, circuit: str, known: _Circuit) -> None:
        known.calls -= 1
        if known.is_as_new():
            del self._circuits[circuit]

    def _now(self) -> float:
        return asyncio.get_running_loop().time() if self._clock is None else self._clock()


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"{name} of a circuit breaker is a whole number from 1 on, not {shown(value)}.")
    return value


def _seconds(name: str, value: float) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not number or not 0 < value < math.inf:
        raise ValueError(f"{name} of a circuit breaker is a number of seconds above 0, not {shown(value)}.")
    return value
