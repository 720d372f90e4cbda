"""Interceptors in whole runs: what the run says, and that a guard that breaks lets nothing through."""

import asyncio
import contextlib
from contextvars import ContextVar

import pytest
from stageflow import (
    Pipeline,
    PipelineSuspended,
    RetryPolicy,
    RunIdentity,
    StageExecutionError,
    StageKind,
    StageOutput,
    StageStatus,
    StageTimeoutError,
    stage,
)
from stageflow.errors import CircuitOpenError, IdempotencyConflictError, InterceptorError, PolicyDeniedError
from stageflow.interceptors.base import BaseInterceptor, ErrorAction, FailStage, InterceptorResult
from stageflow.interceptors.circuit_breaker import CircuitBreakerInterceptor
from stageflow.interceptors.idempotency import IdempotencyInterceptor
from stageflow.interceptors.policy import PolicyInterceptor
from stageflow.interceptors.timeout import TimeoutInterceptor
from stageflow.observability.circuit_breaker import InMemoryCircuitBreaker
from stageflow.protocols import PolicyDecision
from stageflow_mocks.simulation import simulated


class Stage:
    """Does as it is told, and counts how often."""

    kind = StageKind.WORK

    def __init__(self, *outcomes, name="pay", seconds=0.0):
        self.name = name
        self.calls = 0
        self._outcomes = outcomes or ({"paid": True},)
        self._seconds = seconds

    async def execute(self, ctx):
        self.calls += 1
        outcome = self._outcomes[min(self.calls, len(self._outcomes)) - 1]
        await asyncio.sleep(self._seconds)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def pipeline(runner, *interceptors, **options):
    return Pipeline("shop", interceptors=interceptors).with_stage("pay", runner, **options)


def guard(function, hook="before"):
    async def call(self, ctx, *rest):
        return await function(ctx, *rest)

    return type("Auth", (BaseInterceptor,), {hook: call, "name": "auth"})()


async def raising(*_):
    raise PermissionError("no token")


async def hanging(*_):
    await asyncio.get_running_loop().create_future()


async def denying(*_):
    return InterceptorResult(StageOutput.fail(PermissionError("not you"), code="denied"))


async def nonsense(*_):
    return True


@pytest.mark.parametrize(
    ("breaking", "cause"),
    [
        (raising, InterceptorError),
        (hanging, InterceptorError),
        (nonsense, InterceptorError),
        (denying, PermissionError),
    ],
)
def test_a_guard_that_denies_raises_or_hangs_keeps_its_stage_from_running(recorder, breaking, cause):
    """And the run says so: in what it raises, in its results and in its events."""
    runner, after = Stage(), Stage(name="ship")
    policy = RetryPolicy(max_attempts=5, retry_on=(Exception,))
    whole = pipeline(runner, guard(breaking), retry=policy).with_stage("ship", after, dependencies="pay")

    @simulated
    async def check():
        with pytest.raises(StageExecutionError) as caught:
            await whole.run(event_sink=recorder)
        error = caught.value
        assert isinstance(error.__cause__, cause)
        assert ("pay", 1) == (error.stage, error.attempts)
        assert [StageStatus.FAIL, StageStatus.SKIP] == [output.status for output in error.results.values()]
        if cause is InterceptorError:
            assert ("interceptor", "auth", "before") == (
                error.stage_code,
                error.__cause__.interceptor,
                error.__cause__.hook,
            )
        assert (0, 0) == (runner.calls, after.calls)
        assert error.results["pay"].error.message == recorder.of("stage.pay.failed")["data"]["error"]["message"]

    check()


@pytest.mark.parametrize("hook", ["around", "after"])
def test_an_interceptor_that_breaks_fails_a_stage_that_was_fine(hook):
    """Its output is not what the dependents get."""

    async def breaking(ctx, rest):
        if hook == "around":
            await rest()
        raise OSError("audit log")

    runner = Stage()

    @simulated
    async def check():
        with pytest.raises(StageExecutionError) as caught:
            await pipeline(runner, guard(breaking, hook)).run()
        assert (hook, 1) == (caught.value.__cause__.hook, runner.calls)
        assert {} == caught.value.results["pay"].data

    check()


@simulated
async def test_the_cancellation_of_a_run_wins_against_an_interceptor():
    """Whichever hook swallows it."""

    async def deaf(ctx, call=None):
        with contextlib.suppress(asyncio.CancelledError):
            await (call() if call else asyncio.sleep(1000))
        return StageOutput.ok(saved=True) if call else None

    for hook in ("before", "around"):
        runner = Stage(seconds=1000)
        task = asyncio.ensure_future(pipeline(runner, guard(deaf, hook)).run())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (0 if hook == "before" else 1) == runner.calls


@simulated
async def test_a_failing_sibling_ends_a_hook_that_waits():
    """It unwinds, and its stage is recorded as cancelled."""
    unwound = []

    async def waiting(ctx, call):
        try:
            return await call()
        finally:
            unwound.append(ctx.stage_name)

    whole = pipeline(Stage(seconds=1000), guard(waiting, "around")).with_stage("fail", Stage(ValueError(), name="fail"))
    with pytest.raises(StageExecutionError) as caught:
        await whole.run()
    assert "fail" == caught.value.stage
    assert StageStatus.CANCEL is caught.value.results["pay"].status
    assert ["fail", "pay"] == sorted(unwound)


class Deciding(BaseInterceptor):
    def __init__(self, action):
        self.action = action
        self.seen = []

    async def on_error(self, ctx, error):
        self.seen.append((ctx.attempt, error))
        return self.action

    async def fallback(self, ctx, error):
        return StageOutput.ok(paid=False)


@simulated
async def test_an_interceptor_may_have_a_failure_retried():
    """Under the attempts of the policy, and beyond the exceptions that it lists; a returned failure too."""
    for first in (ValueError("busy"), StageOutput.fail("busy")):
        runner, deciding = Stage(first, first, {"paid": True}), Deciding(ErrorAction.RETRY)
        results = await pipeline(runner, deciding, retry=RetryPolicy(max_attempts=3)).run()
        assert (3, 3) == (runner.calls, results.record("pay").attempts)
        assert [1, 2] == [attempt for attempt, _ in deciding.seen]
    runner = Stage(StageOutput.fail("busy", code="busy"))
    with pytest.raises(StageExecutionError) as caught:
        await pipeline(runner, Deciding(ErrorAction.RETRY), retry=RetryPolicy(max_attempts=3)).run()
    assert (3, "busy") == (runner.calls, caught.value.stage_code)


@simulated
async def test_an_interceptor_may_fall_back():
    """What the run records is what it gave."""
    runner = Stage(ValueError("busy"))
    results = await pipeline(runner, Deciding(ErrorAction.FALLBACK), retry=RetryPolicy(max_attempts=3)).run()
    assert {"paid": False} == results.data("pay")
    assert 1 == runner.calls


@simulated
async def test_observations_belong_to_an_attempt():
    """Each finds them empty; the interceptors of one share them."""
    seen = []

    class Noting(BaseInterceptor):
        async def before(self, ctx):
            seen.append(dict(ctx.observations))
            ctx.observations["by"] = self.name

    class Second(Noting):
        priority = 1

    await pipeline(Stage(ValueError(), {}), Noting(), Second(), retry=RetryPolicy(retry_on=ValueError)).run()
    assert [{}, {"by": "Noting"}] * 2 == seen


@simulated
async def test_a_limit_by_an_interceptor_is_retried_as_the_policy_says():
    """As `timeout=` is: if TimeoutError is listed, or StageTimeoutError."""
    for kind, attempts in ((TimeoutError, 3), (StageTimeoutError, 3), (ValueError, 1), (Exception, 1)):
        runner = Stage(seconds=10)
        policy = RetryPolicy(max_attempts=3, retry_on=(kind,))
        with pytest.raises(StageExecutionError) as caught:
            await pipeline(runner, TimeoutInterceptor(2), retry=policy).run()
        assert isinstance(caught.value.__cause__, StageTimeoutError)
        assert attempts == runner.calls


@simulated
async def test_the_limit_of_the_stage_and_that_of_an_interceptor_do_not_meet():
    """Whichever is shorter; the other's error is not mistaken for it."""
    for own, limit in ((1, "timeout"), (5, "TimeoutInterceptor")):
        with pytest.raises(StageExecutionError) as caught:
            await pipeline(Stage(seconds=10), TimeoutInterceptor(2), timeout=own).run()
        assert limit == caught.value.__cause__.limit


@simulated
async def test_the_deadline_of_a_stage_bounds_its_interceptors():
    """A hook that waits is part of the stage."""
    with pytest.raises(StageExecutionError) as caught:
        await pipeline(Stage(), guard(hanging), deadline=3).run()
    assert "deadline" == caught.value.__cause__.limit
    assert 3.0 == asyncio.get_running_loop().time()


@simulated
async def test_a_circuit_is_shared_by_runs():
    """It opens after failures of several, and recovers by one of them."""
    breaker = InMemoryCircuitBreaker(failure_threshold=3, recovery_time=60)
    runner = Stage(*[ConnectionError()] * 3, {"paid": True})
    graph = pipeline(runner, CircuitBreakerInterceptor(breaker)).build()
    causes = []
    for _ in range(5):
        with pytest.raises(StageExecutionError) as caught:
            await graph.run()
        causes.append(type(caught.value.__cause__))
    assert [ConnectionError] * 3 + [CircuitOpenError] * 2 == causes
    assert 3 == runner.calls
    await asyncio.sleep(60)
    assert {"paid": True} == (await graph.run()).data("pay")
    assert "closed" == breaker.state("shop.pay")


@simulated
async def test_a_policy_waits_for_a_circuit_to_recover():
    """CircuitOpenError says how long, as a service's Retry-After does."""
    breaker = InMemoryCircuitBreaker(failure_threshold=1, recovery_time=60)
    runner = Stage(ConnectionError(), {"paid": True})
    policy = RetryPolicy(max_attempts=3, max_delay=1, retry_on=(ConnectionError, CircuitOpenError))
    await pipeline(runner, CircuitBreakerInterceptor(breaker), retry=policy).run()
    assert 2 == runner.calls
    assert pytest.approx(60.0, abs=1.1) == asyncio.get_running_loop().time()


@simulated
async def test_a_hundred_runs_with_one_key_have_one_effect():
    """All get the same output; other parameters are refused."""
    runner = Stage({"receipt": 1}, {"receipt": 2}, seconds=1)
    interceptor = IdempotencyInterceptor(key=lambda ctx: ctx.run.snapshot.input["order"])
    graph = pipeline(runner, interceptor).build()
    order = {"order": "o-1", "amount": 5}
    runs = [graph.run(input=order, run_id=RunIdentity(org_id="acme")) for _ in range(100)]
    results = await asyncio.gather(*runs)
    assert [{"receipt": 1}] * 100 == [result.data("pay") for result in results]
    assert 1 == runner.calls
    with pytest.raises(StageExecutionError) as caught:
        await graph.run(input={**order, "amount": 6}, run_id=RunIdentity(org_id="acme"))
    assert isinstance(caught.value.__cause__, IdempotencyConflictError)
    other = await graph.run(input=order, run_id=RunIdentity(org_id="other"))
    assert {"receipt": 2} == other.data("pay")


@simulated
async def test_a_failed_attempt_frees_the_key_for_the_next():
    """The key of a stage is the same for each attempt."""
    runner = Stage(ConnectionError(), {"receipt": 1})
    results = await pipeline(runner, IdempotencyInterceptor(), retry=RetryPolicy(retry_on=ConnectionError)).run()
    assert {"receipt": 1} == results.data("pay")


class Approval:
    """A policy that wants a human to decide."""

    async def evaluate(self, request):
        if request.decision is None:
            return PolicyDecision.require_decision("over the limit", {"amount": 1200})
        return PolicyDecision.allow() if request.decision == "yes" else PolicyDecision.deny("a human said no")


@pytest.mark.parametrize("decision", ["yes", "no"])
def test_a_policy_may_wait_for_a_human(decision):
    """The run is suspended, and resumed with what was decided."""

    @simulated
    async def check():
        runner = Stage()
        graph = pipeline(runner, PolicyInterceptor(Approval())).build()
        with pytest.raises(PipelineSuspended) as caught:
            await graph.run()
        results = caught.value.results
        assert ({"amount": 1200}, 0) == (results["pay"].data, runner.calls)
        if decision == "yes":
            resumed = await graph.run(resume=results, decisions={"pay": decision})
            assert {"paid": True} == resumed.data("pay")
            return
        with pytest.raises(StageExecutionError) as denied:
            await graph.run(resume=results, decisions={"pay": decision})
        assert isinstance(denied.value.__cause__, PolicyDeniedError)
        assert 0 == runner.calls

    check()


@simulated
async def test_a_context_variable_of_an_interceptor_reaches_its_stage_only():
    """One set around a stage is gone in the next."""
    current = ContextVar("current", default=None)
    seen = []

    class Marking(BaseInterceptor):
        async def around(self, ctx, call):
            token = current.set(ctx.stage_name)
            try:
                return await call()
            finally:
                current.reset(token)

    class Leaking(BaseInterceptor):
        async def before(self, ctx):
            seen.append(("before", current.get()))
            current.set("leaked")

    def named(name):
        @stage(name=name)
        async def look():
            seen.append((name, current.get()))
            return {}

        return look

    await Pipeline("p", [named("a"), named("b")], interceptors=[Marking()]).run()
    await Pipeline("p", [named("c"), named("d")], interceptors=[Leaking()]).run()
    assert [("a", "a"), ("b", "b"), ("before", None), ("c", "leaked"), ("before", None), ("d", "leaked")] == seen


@simulated
async def test_a_stage_in_each_form_runs_in_the_chain():
    """An instance, a class, and a function with dependencies."""

    class Kind:
        name, kind = "kind", StageKind.TRANSFORM

        async def execute(self, ctx):
            return {"attempt": ctx.attempt}

    @stage
    async def function(pay, kind):
        return {"all": [*pay, *kind]}

    log = []

    class Logging(BaseInterceptor):
        async def before(self, ctx):
            log.append((ctx.stage_name, ctx.kind.value, ctx.inputs.declared))

    whole = Pipeline("p", [stage("pay", Stage()), stage("kind", Kind), function], interceptors=[Logging()])
    results = await whole.run()
    assert ["paid", "attempt"] == results.data("function")["all"]
    assert [("pay", "work", ()), ("kind", "transform", ()), ("function", "transform", ("pay", "kind"))] == log


@simulated
async def test_fail_stage_is_told_as_the_stages_own():
    """Its error is the cause."""

    async def full(*_):
        raise FailStage(OverflowError("full"))

    with pytest.raises(
        StageExecutionError, match="Stage 'pay' of pipeline 'shop' failed: OverflowError: full"
    ) as caught:
        await pipeline(Stage(), guard(full)).run()
    assert isinstance(caught.value.__cause__, OverflowError)
