"""Stages that hold permits: when they take them, and when they give them back."""

import asyncio

import pytest
from stageflow import (
    BaseInterceptor,
    ErrorAction,
    InterceptorResult,
    Limits,
    Pipeline,
    PipelineContext,
    PipelineResults,
    RetryPolicy,
    StageContext,
    StageExecutionError,
    StageOutput,
    StageStatus,
    StageTimeoutError,
    stage,
)
from stageflow.core.context import StageScope
from stageflow.errors import ForeignLoopError, UnknownLimitError
from stageflow_mocks.simulation import simulated

OK, CANCEL, FAIL = StageStatus.OK, StageStatus.CANCEL, StageStatus.FAIL

POLICY = RetryPolicy(max_attempts=3, base_delay=10, max_delay=10, jitter=False, retry_on=ConnectionError)


def now():
    return asyncio.get_running_loop().time()


class Service:
    """A stage that uses what the limit protects, and notes when."""

    def __init__(self, limits, seconds=1.0, then=None):
        self.limits = limits
        self.seconds = seconds
        self.then = [] if then is None else list(then)
        self.log = []
        self.running = 0
        self.most = 0

    async def execute(self, ctx):
        self.running += 1
        self.most = max(self.most, self.running)
        self.log.append((ctx.stage_name, now()))
        assert ctx._scope.permit.is_held
        try:
            await asyncio.sleep(self.seconds)
            step = self.then.pop(0) if self.then else None
            if isinstance(step, BaseException):
                raise step
            return step
        finally:
            self.running -= 1


def several(count, service, **options):
    return [stage(f"s{number}", service, limit="x", **options) for number in range(count)]


async def outcome(*stages, limits, **options):
    return await Pipeline("p", stages, **options).start(limits=limits).outcome()


# --- how many run ------------------------------------------------------------------------------------------------


@simulated(seeds=range(10))
async def test_no_more_run_at_once_than_there_are_permits():
    """Over all stages, also beside those that take none."""
    limits = Limits({"x": 3})
    service = Service(limits)

    @stage
    async def free():
        assert 0.0 == now()

    results = await Pipeline("p", [*several(10, service), free]).run(limits=limits)
    assert (3, "completed") == (service.most, results.status)
    assert {0.0: 3, 1.0: 3, 2.0: 3, 3.0: 1} == {at: [t for _, t in service.log].count(at) for _, at in service.log}
    assert 0 == limits.in_use("x")


@simulated(seeds=range(10))
async def test_runs_share_the_permits():
    """Of one graph and of several."""
    limits = Limits({"x": 3})
    service = Service(limits)
    one, other = Pipeline("one", several(5, service)).build(), Pipeline("other", several(5, service)).build()
    await asyncio.gather(*(graph.run(limits=limits) for graph in (one, other, one, other)))
    assert (3, 20, 6.0) == (service.most, len(service.log), service.log[-1][1])
    assert (0, 0) == (limits.in_use("x"), limits.waiting("x"))


@simulated
async def test_who_waits_is_served_by_priority_then_in_order():
    """Stages of different runs stand in one line."""
    limits = Limits({"x": 1})
    service, runs = Service(limits), []
    for name, priority in (("a", 0), ("b", 0), ("c", 0), ("d", 2), ("e", -1)):
        pipeline = Pipeline(name, [stage(name, service, limit="x", priority=priority)])
        runs.append(pipeline.start(limits=limits))
        await asyncio.sleep(0.1)
    for run in runs:
        await run
    assert ["a", "d", "b", "c", "e"] == [name for name, _ in service.log]


# --- when a permit is held ---------------------------------------------------------------------------------------


@simulated
async def test_a_permit_is_free_during_a_back_off():
    """Another stage has it meanwhile; the next attempt waits for it again, and both waits are counted."""
    limits = Limits({"x": 1})
    failing = Service(limits, 1, [ConnectionError("busy")])
    other = Service(limits, 15)
    held = await limits.acquire({"x": 1})
    asyncio.get_running_loop().call_later(2, held.release)
    results = await outcome(stage("a", failing, limit="x", retry=POLICY), stage("b", other, limit="x"), limits=limits)
    assert [("a", 2.0), ("a", 18.0)] == failing.log
    assert [("b", 3.0)] == other.log
    record = results.record("a")
    assert (2, {"limit": {"name": "x", "waited_ms": 7_000.0}}) == (record.attempts, record.statistics)
    assert {"limit": {"name": "x", "waited_ms": 3_000.0}} == results.record("b").statistics
    assert results.to_dict() == PipelineResults.from_dict(results.to_dict()).to_dict()


@pytest.mark.parametrize("end", [ValueError("no"), StageOutput.fail("no"), StageOutput.skip("no"), StageOutput.ok()])
@simulated
async def test_a_permit_is_given_back_however_the_stage_ends(end):
    """And then the next stage has it."""
    limits = Limits({"x": 1})
    service = Service(limits, 1, [end])
    await outcome(*several(2, service), limits=limits, on_failure="continue")
    assert [("s0", 0.0), ("s1", 1.0)] == service.log
    assert 0 == limits.in_use("x")


@simulated
async def test_a_stage_without_a_limit_has_neither_a_permit_nor_a_count():
    """Its scope is that of the run."""
    seen = []

    @stage
    async def plain(ctx: StageContext):
        seen.append(ctx._scope.permit)

    results = await outcome(plain, limits=Limits({"x": 1}))
    assert ([None], {}) == (seen, results.record("plain").statistics)


@simulated
async def test_a_stage_with_a_limit_has_a_scope_of_its_own():
    """Which the executor takes from whoever gives it one: an item of a map keeps its number."""
    limits, seen = Limits({"x": 2}), []

    @stage(limit="x")
    async def one(ctx: StageContext):
        seen.append((type(ctx._scope), ctx._scope.index, ctx._scope.permit.needs))

    graph = Pipeline("p", [one]).build()
    run = graph.start(limits=limits)
    await run
    scope = run._run.scope
    node = graph._plan.nodes[0]
    await node.invoke(StageScope(scope, 7, "item"), [None], node)
    assert [(StageScope, None, {"x": 1}), (StageScope, 7, {"x": 1})] == seen


@simulated
async def test_interceptors_are_inside_of_the_permit():
    """A `before` that takes time, and a retry that one asks for, hold one as the stage does."""
    limits, seen = Limits({"x": 1}), []

    class Watching(BaseInterceptor):
        async def before(self, ctx):
            seen.append(("before", limits.in_use("x"), now()))
            return InterceptorResult(StageOutput.ok()) if ctx.stage_name == "s1" else None

        async def after(self, ctx, output):
            seen.append(("after", limits.in_use("x"), now()))

        async def on_error(self, ctx, error):
            seen.append(("error", limits.in_use("x"), now()))
            return ErrorAction.RETRY

    service = Service(limits, 1, [ValueError("no")])
    policy = RetryPolicy(max_attempts=2, base_delay=10, jitter=False)
    await outcome(*several(2, service, retry=policy), limits=limits, interceptors=[Watching()])
    assert [
        ("before", 1, 0.0),
        ("error", 1, 1.0),
        ("before", 1, 1.0),
        ("before", 1, 11.0),
        ("after", 1, 12.0),
    ] == seen


@simulated
async def test_the_wait_for_a_permit_is_not_part_of_the_timeout():
    """It bounds what the stage does."""
    limits = Limits({"x": 1})
    service = Service(limits, 5)
    results = await outcome(*several(3, service, timeout=6), limits=limits)
    assert ("completed", 15_000.0) == (results.status, results.duration_ms)


@simulated
async def test_the_wait_for_a_permit_is_part_of_the_deadline():
    """Who does not get one in time leaves the line, and says so."""
    limits = Limits({"x": 1})
    service = Service(limits, 5)
    results = await outcome(
        stage("a", service, limit="x"),
        stage("b", service, limit="x", deadline=3, critical=False),
        stage("c", service, limit="x"),
        limits=limits,
    )
    assert isinstance(results["b"].error.exception, StageTimeoutError)
    assert [("a", 0.0), ("c", 5.0)] == service.log
    assert {"limit": {"name": "x", "waited_ms": 3_000.0}} == results.record("b").statistics


@pytest.mark.parametrize("option", ["timeout", "deadline"])
@simulated
async def test_an_attempt_that_is_left_behind_keeps_its_permit_until_it_ends(option):
    """It still uses the service."""
    limits, ended = Limits({"x": 1}), []

    @stage(limit="x", critical=False, retry=RetryPolicy(retry_on=TimeoutError, base_delay=0), **{option: 1})
    async def stubborn(ctx: StageContext):
        until = now() + 20
        while now() < until:
            try:
                await asyncio.sleep(until - now())
            except asyncio.CancelledError:
                continue
        ended.append((now(), ctx._scope.permit.is_held))

    service = Service(limits)
    results = await outcome(stubborn, stage("next", service, limit="x"), limits=limits, cancel_grace=2)
    assert (("stubborn",), FAIL, OK) == (results.stragglers, results["stubborn"].status, results["next"].status)
    assert ([(20.0, True)], [("next", 20.0)]) == (ended, service.log)
    assert 0 == limits.in_use("x")


@simulated
async def test_a_straggler_of_a_run_keeps_its_permit_until_it_ends():
    """Another run waits for it."""
    limits = Limits({"x": 1})

    @stage(limit="x")
    async def stubborn(ctx: StageContext):
        until = now() + 20
        while now() < until:
            try:
                await asyncio.sleep(until - now())
            except asyncio.CancelledError:
                continue

    run = Pipeline("p", [stubborn], cancel_grace=1).start(limits=limits)
    await asyncio.sleep(1)
    run.cancel("enough")
    results = await run.outcome()
    assert (("stubborn",), 1) == (results.stragglers, limits.in_use("x"))
    service = Service(limits)
    await outcome(*several(1, service), limits=limits)
    assert [("s0", 20.0)] == service.log


# --- a run that ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fail", "cancel", "timeout"])
@simulated(seeds=range(10))
async def test_nothing_starts_that_waited_when_its_run_ended(how):
    """Those who wait are gone, also when a permit becomes free at that very moment."""
    limits = Limits({"x": 1})
    service = Service(limits, 1, [ValueError("no")] if how == "fail" else [])
    run = Pipeline("p", several(4, service), timeout=1 if how == "timeout" else None).start(limits=limits)
    if how == "cancel":
        asyncio.get_running_loop().call_later(1, run.cancel, "enough")
    results = await run.outcome()
    started = [name for name, _ in service.log]
    assert "s0" == started[0]
    assert len(started) <= (1 if how == "fail" else 2)
    assert results.status != "completed"
    assert all(results[name].status is CANCEL for name in results if name not in started)
    assert (0, 0) == (limits.in_use("x"), limits.waiting("x"))


@simulated
async def test_a_stage_that_is_granted_a_permit_as_its_run_stops_does_not_start():
    """The grant and the stop come in one turn."""
    limits = Limits({"x": 1})
    service = Service(limits)
    held = await limits.acquire({"x": 1})
    run = Pipeline("p", several(1, service)).start(limits=limits)
    await asyncio.sleep(1)
    held.release()
    run.cancel("enough")
    results = await run.outcome()
    assert ([], CANCEL, 0) == (service.log, results["s0"].status, limits.in_use("x"))
    assert {"limit": {"name": "x", "waited_ms": 1_000.0}} == results.record("s0").statistics


@simulated
async def test_the_callers_cancellation_ends_those_who_wait():
    """And leaves the permits to others."""
    limits = Limits({"x": 1})
    service = Service(limits, 5)
    task = asyncio.create_task(Pipeline("p", several(3, service)).run(limits=limits))
    await asyncio.sleep(1)
    assert (1, 2) == (limits.in_use("x"), limits.waiting("x"))
    task.cancel()
    await asyncio.wait([task])
    assert (True, 0, 0) == (task.cancelled(), limits.in_use("x"), limits.waiting("x"))


# --- what a run is given -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("give", ["run", "context", "resume"])
@simulated
async def test_limits_are_given_in_each_way(give):
    """As a keyword, in a context, beside results that are resumed."""
    limits = Limits({"x": 1})
    service = Service(limits)

    @stage
    async def ask(ctx: StageContext):
        return StageOutput.ok() if ctx.decision or give != "resume" else StageOutput.suspend({})

    pipeline = Pipeline("p", [ask, stage("s", service, limit="x", dependencies="ask")])
    if give == "context":
        results = await pipeline.run(PipelineContext(limits=limits))
    else:
        results = await pipeline.start(limits=limits).outcome()
    if give == "resume":
        assert "suspended" == results.status
        results = await pipeline.run(resume=results, decisions={"ask": True}, limits=limits)
    assert ("completed", 1) == (results.status, len(service.log))


@simulated
async def test_a_limit_that_the_run_was_not_given_is_an_error_before_the_first_stage():
    """`run` and `start` raise it, however few of the names are missing."""
    begun = []

    @stage
    async def first():
        begun.append(True)
        return StageOutput.suspend({})

    service = Service(None)
    pipeline = Pipeline("p", [first, stage("a", service, limit="x"), stage("b", service, limit="y")])
    with pytest.raises(UnknownLimitError, match=r"limits=Limits\(\{'x': 8, 'y': 8\}\)") as caught:
        await pipeline.run()
    assert ("a", "x", None) == (caught.value.stage, caught.value.limit, caught.value.given)
    with pytest.raises(UnknownLimitError, match="Did you mean 'yy'") as caught:
        pipeline.start(limits=Limits({"x": 1, "yy": 2}))
    assert ("b", "y", ("x", "yy")) == (caught.value.stage, caught.value.limit, caught.value.given)
    assert not begun
    results = await pipeline.start(limits=Limits({"x": 1, "y": 1})).outcome()
    with pytest.raises(UnknownLimitError):
        await pipeline.run(resume=results, decisions={"first": 1}, limits=Limits({"x": 1}))
    assert [True] == begun


@pytest.mark.parametrize("given", [{"x": 1}, 3, "x", Limits], ids=str)
@simulated
async def test_what_is_given_as_limits_is_a_limits(given):
    """A mapping would have no permits to share."""

    @stage
    async def first():
        raise AssertionError("It has started.")

    with pytest.raises(TypeError, match=r"limits=Limits\(\{'groq': 8\}\)"):
        await Pipeline("p", [first]).run(limits=given)


def test_limits_that_another_loop_uses_fail_the_stage_at_once():
    """No policy tries that again: it is the application that must change."""
    limits, other = Limits({"x": 1}), asyncio.new_event_loop()
    policy = RetryPolicy(max_attempts=3, retry_on=Exception)
    try:
        permit = other.run_until_complete(limits.acquire({"x": 1}))
        with pytest.raises(StageExecutionError) as caught:
            Pipeline("p", several(1, Service(limits), retry=policy)).run_sync(limits=limits)
        permit.release()
    finally:
        other.close()
    assert (ForeignLoopError, 1) == (type(caught.value.__cause__), caught.value.attempts)


# --- a permit that is free ---------------------------------------------------------------------------------------


@simulated
async def test_a_stage_that_does_not_wait_counts_a_wait_of_nothing():
    """So that a reader finds the limit of every stage that has one."""
    limits = Limits({"x": 1})
    results = await Pipeline("p", several(1, Service(limits))).run(limits=limits)
    assert {"limit": {"name": "x", "waited_ms": 0.0}} == results.record("s0").statistics


class Cancelling:
    """A sink that cancels the run when it hears of the start of a stage."""

    def __init__(self, stage):
        self.event = f"stage.{stage}.started"
        self.run = None

    async def emit(self, *, type, data):
        pass

    def try_emit(self, *, type, data):
        if type == self.event:
            self.run.cancel("enough")


@simulated
async def test_a_stage_whose_run_ends_as_it_starts_takes_no_permit():
    """It does not begin either, and the permit is free."""
    limits, sink = Limits({"x": 1}), Cancelling("s0")
    service = Service(limits)
    sink.run = Pipeline("p", several(1, service)).start(limits=limits, event_sink=sink)
    results = await sink.run.outcome()
    assert (CANCEL, []) == (results["s0"].status, service.log)
    assert 0 == limits.in_use("x")
