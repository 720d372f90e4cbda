"""What a CircuitBreaker promises."""

from __future__ import annotations

import asyncio
from typing import Any

from stageflow import CircuitBreaker, CircuitBreakerInterceptor, Pipeline, StageContext, stage
from stageflow.errors import CircuitOpenError
from stageflow.observability import CircuitPermit

from stageflow_mocks.conformance.suite import Conformance, ends_when_cancelled, not_told, promise, promised

_STATES = ("closed", "open", "half-open")


class CircuitBreakerConformance(Conformance[CircuitBreaker]):
    """Subclass it, and give `make` and the numbers of what that makes.

    Attributes:
        failures: Failures in a row that open a circuit; None for a breaker that never opens one.
        recovery_s: Seconds after which an open circuit lets probes through.
        probes: How many at a time; None for a breaker that stays open until somebody closes it.
    """

    failures: int | None = None
    recovery_s: float = 30.0
    probes: int | None = 1

    @promised
    async def test_it_fits_the_protocol(self, breaker: CircuitBreaker) -> None:
        """An interceptor takes it."""
        CircuitBreakerInterceptor(breaker)

    @promised
    async def test_a_new_circuit_is_closed(self, breaker: CircuitBreaker) -> None:
        """What nobody has called yet may be called, by any number at once."""
        permits = await asyncio.gather(*(breaker.allow("new") for _ in range(20)))
        for permit in permits:
            _check(permit)
            promise(permit.allowed and permit.state == "closed", "A circuit without failures is closed.")
        for permit in permits:
            await breaker.record_success("new", permit)

    @promised
    async def test_failures_in_a_row_open_it(self, breaker: CircuitBreaker) -> None:
        """The last of so many failures opens the circuit, and not the one before; a refusal says when to ask again."""
        await self._fail(breaker, "c", self._failures() - 1)
        permit = await breaker.allow("c")
        promise(permit.allowed, f"{self._failures() - 1} failures do not open a circuit that opens after one more.")
        await breaker.record_failure("c", permit)
        refused = await breaker.allow("c")
        _check(refused)
        promise(not refused.allowed and refused.state == "open", f"{self._failures()} failures open the circuit.")
        told = f"A refusal says after how many seconds it may help to ask again, not {refused.retry_after!r}."
        promise(0 < refused.retry_after <= self.recovery_s, told)

    @promised
    async def test_failures_at_the_same_time_count(self, breaker: CircuitBreaker) -> None:
        """Of calls that fail together each is counted."""
        permits = await asyncio.gather(*(breaker.allow("c") for _ in range(self._failures())))
        await asyncio.gather(*(breaker.record_failure("c", permit) for permit in permits))
        refused = await breaker.allow("c")
        promise(not refused.allowed, f"{self._failures()} failures at the same time open the circuit.")

    @promised
    async def test_circuits_are_kept_apart(self, breaker: CircuitBreaker) -> None:
        """What becomes of the calls of one circuit says nothing of another."""
        await self._fail(breaker, "broken", self._failures() - 1)
        await breaker.record_success("well", await breaker.allow("well"))
        await self._fail(breaker, "broken", 1)
        promise((await breaker.allow("well")).allowed, "Another circuit stays closed.")
        opened = not (await breaker.allow("broken")).allowed
        promise(opened, "The broken one is open. The success of another circuit is none of its own.")
        if self.probes is None:
            return
        await self._open(breaker, "broken too")
        await self.pass_time(self.recovery_s * 1.1)
        for _ in range(self.probes):
            await breaker.allow("broken")
        promise((await breaker.allow("broken too")).allowed, "Each circuit that is half-open has probes of its own.")

    @promised
    async def test_success_breaks_the_row(self, breaker: CircuitBreaker) -> None:
        """Failures count that come one after the other."""
        if self._failures() == 1:
            not_told("one failure alone opens a circuit")
        for _ in range(3):
            await self._fail(breaker, "c", self._failures() - 1)
            await breaker.record_success("c", await breaker.allow("c"))
        promise((await breaker.allow("c")).allowed, "A success between failures keeps the circuit closed.")

    @promised
    async def test_a_released_call_counts_for_nothing(self, breaker: CircuitBreaker) -> None:
        """Neither does it open a circuit, nor does it break a row of failures."""
        for _ in range(3 * self._failures()):
            await breaker.release("c", await breaker.allow("c"))
        promise((await breaker.allow("c")).allowed, "Released calls open no circuit.")
        await self._fail(breaker, "d", self._failures() - 1)
        await breaker.release("d", await breaker.allow("d"))
        await self._fail(breaker, "d", 1)
        promise(not (await breaker.allow("d")).allowed, "A released call is no success.")

    @promised
    async def test_probes_are_let_through_after_a_time(self, breaker: CircuitBreaker) -> None:
        """Not earlier, and of many who ask at once so many as there may be; when they end, others follow."""
        most = self._probes()
        await self._open(breaker, "c")
        await self.pass_time(self.recovery_s * 0.5)
        refused = await breaker.allow("c")
        promise(not refused.allowed, "An open circuit refuses calls until its time is up.")
        told = f"After half of {self.recovery_s:g} s a refusal says after how many seconds it may help to ask again: "
        promise(refused.retry_after <= self.recovery_s * 0.6, f"{told}about half, not {refused.retry_after!r}.")
        await self.pass_time(self.recovery_s * 0.6)
        permits = await asyncio.gather(*(breaker.allow("c") for _ in range(most + 9)))
        probes = [permit for permit in permits if permit.allowed]
        promise(len(probes) == most, f"{most} probes are let through, not {len(probes)}.")
        for permit in permits:
            _check(permit)
            promise(permit.state == "half-open", f"A circuit that is being probed is half-open, not {permit.state}.")
        await breaker.release("c", probes[0])
        promise((await breaker.allow("c")).allowed, "A probe that was released leaves its place to another.")

    @promised
    async def test_a_probe_that_succeeds_closes_it(self, breaker: CircuitBreaker) -> None:
        """From then on everybody may call, and the count of failures begins anew."""
        self._probes()
        await self._open(breaker, "c")
        await self.pass_time(self.recovery_s * 1.1)
        await breaker.record_success("c", await breaker.allow("c"))
        permits = await asyncio.gather(*(breaker.allow("c") for _ in range(10)))
        closed = all(permit.allowed and permit.state == "closed" for permit in permits)
        promise(closed, "A probe that succeeds closes the circuit.")
        if self._failures() > 1:
            await breaker.record_failure("c", permits[0])
            promise((await breaker.allow("c")).allowed, "Failures from before do not count any more.")

    @promised
    async def test_a_probe_that_fails_opens_it_again(self, breaker: CircuitBreaker) -> None:
        """And for the whole time again."""
        self._probes()
        await self._open(breaker, "c")
        await self.pass_time(self.recovery_s * 1.1)
        await breaker.record_failure("c", await breaker.allow("c"))
        await self.pass_time(self.recovery_s * 0.5)
        promise(not (await breaker.allow("c")).allowed, "A probe that fails opens the circuit for its time again.")
        await self.pass_time(self.recovery_s * 0.6)
        promise((await breaker.allow("c")).allowed, "Then another probe is let through.")

    @promised
    async def test_a_cancelled_call_ends(self, breaker: CircuitBreaker) -> None:
        """And leaves the circuit as it was, open to calls, or to probes."""
        await self._release(breaker, await ends_when_cancelled(lambda: breaker.allow("c")))
        promise((await breaker.allow("c")).allowed, "A cancelled `allow` closes nothing to others.")
        if self.failures is None or self.probes is None:
            return
        await self._open(breaker, "d")
        await self.pass_time(self.recovery_s * 1.1)
        await self._release(breaker, await ends_when_cancelled(lambda: breaker.allow("d")), circuit="d")
        await self.pass_time(self.recovery_s * 1.1)
        probe = await breaker.allow("d")
        promise(probe.allowed, "A cancelled `allow` lets nobody probe, even when the time of a probe is over.")

    @promised
    async def test_a_stage_that_keeps_failing_is_not_called(self, breaker: CircuitBreaker) -> None:
        """Behind an interceptor a stage is called so often, and then fails without being called."""
        calls: list[int] = []

        async def fails(ctx: StageContext) -> None:
            calls.append(ctx.attempt)
            raise ConnectionError("as it should")

        interceptors = (CircuitBreakerInterceptor(breaker, circuit="model"),)
        pipeline = Pipeline("conformance", [stage("fails", fails)], interceptors=interceptors)
        times, error = self._failures() + 3, None
        for _ in range(times):
            error = (await pipeline.start().outcome())["fails"].error
        promise(len(calls) == self._failures(), f"The stage was called {len(calls)} times, not {self._failures()}.")
        refused = error is not None and isinstance(error.exception, CircuitOpenError)
        promise(refused, "It fails with a CircuitOpenError then.")

    async def _release(self, breaker: CircuitBreaker, permits: list[CircuitPermit], *, circuit: str = "c") -> None:
        for permit in permits:
            if permit.allowed:
                await breaker.release(circuit, permit)

    def _failures(self) -> int:
        return self.failures if self.failures is not None else not_told("the breaker never opens a circuit")

    def _probes(self) -> int:
        return self.probes if self.probes is not None else not_told("the breaker lets no probes through by itself")

    async def _fail(self, breaker: CircuitBreaker, circuit: str, times: int) -> None:
        for _ in range(times):
            await breaker.record_failure(circuit, await breaker.allow(circuit))

    async def _open(self, breaker: CircuitBreaker, circuit: str) -> None:
        await self._fail(breaker, circuit, self._failures())
        promise(not (await breaker.allow(circuit)).allowed, f"{self._failures()} failures open the circuit.")


def _check(permit: Any) -> None:
    promise(isinstance(permit, CircuitPermit), f"`allow` returns a CircuitPermit, not {permit!r}.")
    promise(permit.state in _STATES, f"The state of a circuit is one of {_STATES}, not {permit.state!r}.")
