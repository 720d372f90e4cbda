"""The circuit breaker as an interceptor: a stage that keeps failing is left alone for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from stageflow.conformance import conforming
from stageflow.core.kinds import StageStatus
from stageflow.core.output import StageOutput
from stageflow.errors import CircuitOpenError, InterceptorError
from stageflow.interceptors.base import BaseInterceptor, FailStage, InterceptorContext, Proceed
from stageflow.interceptors.hooks import PASSING
from stageflow.observability.circuit_breaker import CircuitBreaker, CircuitPermit, InMemoryCircuitBreaker
from stageflow.wording import shown

CircuitOf = Callable[[InterceptorContext], str]

Report = Callable[[str, CircuitPermit], Awaitable[None]]

_FAILED = frozenset({StageStatus.FAIL, StageStatus.RETRY})


class CircuitBreakerInterceptor(BaseInterceptor):
    """Keeps a stage from running while its circuit is open: it fails with CircuitOpenError, which says for how long.

    What counts as a failure is what the stage raised, a returned `fail` or `retry`, and a time limit. A cancellation
    does not, nor a broken interceptor further in, nor another open circuit.

    Args:
        breaker: An InMemoryCircuitBreaker with its defaults unless given.
        circuit: The name of the circuit, or a function of the InterceptorContext that gives it, for stages that call
            the same service. Each stage of each pipeline has its own unless given.
        ignored: Exceptions that say nothing of the circuit, such as those for bad input.

    Raises:
        TypeError: An argument is of another type.
    """

    priority = 300

    def __init__(
        self,
        breaker: CircuitBreaker | None = None,
        *,
        circuit: str | CircuitOf | None = None,
        ignored: tuple[type[BaseException], ...] = (),
    ) -> None:
        self._breaker: CircuitBreaker = InMemoryCircuitBreaker() if breaker is None else breaker
        conforming(self._breaker, CircuitBreaker, f"The breaker of {self.name}")
        if circuit is not None and not isinstance(circuit, str) and not callable(circuit):
            raise TypeError(
                f"The circuit of {self.name} is a name, or a function that gives one, not {shown(circuit)}."
            )
        self._circuit = circuit
        self._neutral = (asyncio.CancelledError, CircuitOpenError, InterceptorError, *PASSING, *ignored)

    async def around(self, ctx: InterceptorContext, call: Proceed) -> StageOutput[Any]:
        circuit = self._circuit_of(ctx)
        permit = await self._breaker.allow(circuit)
        if not permit.allowed:
            ctx.observations["circuit"] = permit.state
            raise FailStage(CircuitOpenError(ctx.stage_name, circuit, retry_after=permit.retry_after))
        report = self._breaker.release
        try:
            output = await call()
            report = self._report_of(output)
        except self._neutral:
            raise
        except BaseException:
            report = self._breaker.record_failure
            raise
        finally:
            await report(circuit, permit)
        return output

    def _circuit_of(self, ctx: InterceptorContext) -> str:
        if self._circuit is None:
            return f"{ctx.pipeline}.{ctx.stage_name}"
        circuit = self._circuit if isinstance(self._circuit, str) else self._circuit(ctx)
        if not isinstance(circuit, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"The circuit of a stage is a string, not {shown(circuit)}.")
        return circuit

    def _report_of(self, output: StageOutput[Any]) -> Report:
        if output.status is StageStatus.OK:
            return self._breaker.record_success
        error = None if output.error is None else output.error.exception
        failed = output.status in _FAILED and not isinstance(error, self._neutral)
        return self._breaker.record_failure if failed else self._breaker.release
