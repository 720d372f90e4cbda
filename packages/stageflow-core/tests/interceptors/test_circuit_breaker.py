"""The circuit breaker as an interceptor."""

import asyncio

import pytest
from stageflow import StageOutput
from stageflow.errors import CircuitOpenError, InterceptorError
from stageflow.interceptors.base import BaseInterceptor
from stageflow.interceptors.circuit_breaker import CircuitBreakerInterceptor
from stageflow.interceptors.timeout import TimeoutInterceptor
from stageflow.observability.circuit_breaker import InMemoryCircuitBreaker
from stageflow_mocks.simulation import simulated

CIRCUIT = "chat.reply"


def guarded(**options):
    breaker = InMemoryCircuitBreaker(failure_threshold=2, recovery_time=30.0)
    return breaker, CircuitBreakerInterceptor(breaker, **options)


def raising(error):
    async def stage():
        raise error

    return stage


def returning(output):
    async def stage():
        return output

    return stage


async def slow():
    await asyncio.sleep(10)


async def end(trial):
    """Run an attempt, and return what came of it."""
    try:
        return await trial.run()
    except Exception as error:  # noqa: BLE001 - that is what came of it
        return error


@pytest.mark.parametrize(
    ("stage", "counts"),
    [
        (raising(ValueError("no")), True),
        (returning(StageOutput.fail("no")), True),
        (returning(StageOutput.fail(ValueError("no"))), True),
        (returning(StageOutput.retry("busy")), True),
        (slow, True),
        (raising(LookupError("bad input")), False),
        (returning(StageOutput.fail(LookupError("bad input"))), False),
        (returning(StageOutput.skip("nothing to do")), False),
        (returning(StageOutput.cancel("enough")), False),
        (raising(asyncio.CancelledError()), False),
        (raising(CircuitOpenError("a", "b", retry_after=1)), False),
        (returning({"answer": 42}), False),
    ],
    ids=[
        "raises", "fails", "fails-with-exception", "retry", "times-out", "ignored", "ignored-returned", "skips",
        "cancels", "raises-cancelled", "other-circuit", "ok",
    ],
)  # fmt: skip
def test_what_counts_as_a_failure(attempt, stage, counts):
    """And what does not."""

    @simulated
    async def check():
        breaker, interceptor = guarded(ignored=(LookupError,))
        for _ in range(2):
            trial = attempt(interceptor, TimeoutInterceptor(5), stage=stage)
            await asyncio.wait({asyncio.ensure_future(end(trial))})
            assert 1 == trial.calls
        assert ("open" if counts else "closed") == breaker.state(CIRCUIT)

    check()


@simulated
async def test_a_broken_interceptor_further_in_does_not_count(attempt):
    """It says nothing of what the stage calls."""

    class Broken(BaseInterceptor):
        priority = 900

        async def before(self, ctx):
            raise OSError("disk")

    breaker, interceptor = guarded()
    for _ in range(3):
        assert isinstance(await end(attempt(interceptor, Broken())), InterceptorError)
    assert "closed" == breaker.state(CIRCUIT)


@simulated
async def test_a_stage_whose_circuit_is_open_does_not_run(attempt):
    """It fails with an error that says for how long."""
    _, interceptor = guarded()
    for _ in range(2):
        await end(attempt(interceptor, stage=raising(ValueError())))
    await asyncio.sleep(12)
    trial = attempt(interceptor)
    error = await end(trial)
    assert isinstance(error, CircuitOpenError)
    assert ("reply", CIRCUIT, 18.0) == (error.stage, error.circuit, error.retry_after)
    assert 0 == trial.calls
    assert {"circuit": "open"} == trial.ctx.observations


@simulated
async def test_it_recovers_through_a_probe(attempt):
    """One at a time."""
    breaker, interceptor = guarded()
    for _ in range(2):
        await end(attempt(interceptor, stage=raising(ValueError())))
    await asyncio.sleep(30)
    first = asyncio.ensure_future(attempt(interceptor, stage=slow).run())
    await asyncio.sleep(1)
    assert isinstance(await end(attempt(interceptor)), CircuitOpenError)
    await first
    assert "closed" == breaker.state(CIRCUIT)
    assert StageOutput.ok(answer=42) == await end(attempt(interceptor))


@simulated
async def test_a_cancelled_probe_gives_its_place_back(attempt):
    """The next call is the probe then."""
    breaker, interceptor = guarded()
    for _ in range(2):
        await end(attempt(interceptor, stage=raising(ValueError())))
    await asyncio.sleep(30)
    probe = asyncio.ensure_future(attempt(interceptor, stage=slow).run())
    await asyncio.sleep(1)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert "half-open" == breaker.state(CIRCUIT)
    assert StageOutput.ok(answer=42) == await end(attempt(interceptor))
    assert "closed" == breaker.state(CIRCUIT)


@simulated
async def test_stages_may_share_a_circuit(attempt):
    """By its name, or by a function that gives it."""
    for circuit in ("groq", lambda ctx: "gr" + "oq"):
        breaker, interceptor = guarded(circuit=circuit)
        await end(attempt(interceptor, stage=raising(ValueError())))
        await end(attempt(interceptor, stage=raising(ValueError()), name="summary"))
        assert "open" == breaker.state("groq")


@simulated
async def test_each_stage_has_its_own_circuit_unless_told(attempt):
    """One that fails does not stop the others."""
    breaker, interceptor = guarded()
    for _ in range(2):
        await end(attempt(interceptor, stage=raising(ValueError())))
    assert ("open", "closed") == (breaker.state(CIRCUIT), breaker.state("chat.summary"))
    assert StageOutput.ok(answer=42) == await end(attempt(interceptor, name="summary"))


@simulated
async def test_a_breaker_that_breaks_keeps_the_stage_from_running(attempt):
    """It fails closed."""

    class Broken(InMemoryCircuitBreaker):
        async def allow(self, circuit):
            raise ConnectionError("redis")

    trial = attempt(CircuitBreakerInterceptor(Broken()))
    assert isinstance(await end(trial), InterceptorError)
    assert 0 == trial.calls


@simulated
async def test_the_name_of_a_circuit_is_a_string(attempt):
    """A function that gives anything else is a fault of the interceptor."""
    error = await end(attempt(CircuitBreakerInterceptor(circuit=lambda ctx: None)))
    assert "raised TypeError: The circuit of a stage is a string, not None." == error.problem


def test_arguments_are_checked_when_it_is_made():
    """What is no breaker, and what is no circuit."""
    with pytest.raises(TypeError, match=r"The breaker of CircuitBreakerInterceptor is not a CircuitBreaker, but 5: "):
        CircuitBreakerInterceptor(5)
    with pytest.raises(
        TypeError, match=r"but the class InMemoryCircuitBreaker\. It is the class: write InMemoryCircuitBreaker\(\)\."
    ):
        CircuitBreakerInterceptor(InMemoryCircuitBreaker)
    with pytest.raises(TypeError, match="The circuit of CircuitBreakerInterceptor is a name, or a function"):
        CircuitBreakerInterceptor(circuit=5)
