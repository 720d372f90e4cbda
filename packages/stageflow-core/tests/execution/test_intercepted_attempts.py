"""Interceptors around the attempts of a stage: what the executor makes of what leaves the chain."""

import asyncio
import gc
import weakref

import pytest
from stageflow import (
    Pipeline,
    RetryPolicy,
    StageArtifact,
    StageContext,
    StageExecutionError,
    StageKind,
    StageOutput,
    StageStatus,
    StageTimeoutError,
    stage,
)
from stageflow.errors import InterceptorError, MissingRetryPolicyError, StageReturnedFailure, UndeclaredRouteError
from stageflow.interceptors.base import BaseInterceptor, ErrorAction, InterceptorResult
from stageflow_mocks.simulation import simulated

OK, SKIP, CANCEL, FAIL, SUSPEND = (
    StageStatus.OK,
    StageStatus.SKIP,
    StageStatus.CANCEL,
    StageStatus.FAIL,
    StageStatus.SUSPEND,
)


def now():
    return asyncio.get_running_loop().time()


class Watching(BaseInterceptor):
    """Notes each hook with the number of the attempt, and answers failures in one way."""

    def __init__(self, *, action=ErrorAction.FAIL, given=None, fallback=None):
        self.seen = []
        self._action = action
        self._given = given
        self._fallback = fallback

    async def before(self, ctx):
        self.seen.append(("before", ctx.attempt))
        return None if self._given is None else InterceptorResult(self._given)

    async def after(self, ctx, output):
        self.seen.append(("after", ctx.attempt, output.status))

    async def on_error(self, ctx, error):
        self.seen.append(("on_error", ctx.attempt, type(error)))
        return self._action

    async def fallback(self, ctx, error):
        return self._fallback


class Script:
    """A stage that does one thing after the other, a step each attempt: it raises it, or returns it."""

    def __init__(self, *steps):
        self.steps = steps
        self.attempts = []

    async def execute(self, ctx):
        self.attempts.append(ctx.attempt)
        step = self.steps[min(len(self.attempts), len(self.steps)) - 1]
        if isinstance(step, BaseException):
            raise step
        return step


RETRYING = ErrorAction.RETRY
POLICY = RetryPolicy(max_attempts=3, base_delay=1, jitter=False, retry_on=ConnectionError)
MANAGED = [{}, {"timeout": 50}, {"deadline": 50}, {"version": "2"}]


async def outcome(script, *interceptors, sink=None, **options):
    kind = options.pop("kind", None)
    pipeline = Pipeline("p", [stage("s", script, kind, **options)], interceptors=interceptors)
    return await pipeline.start(event_sink=sink).outcome()


@pytest.mark.parametrize("form", ["instance", "class", "function"])
@pytest.mark.parametrize("options", [{}, {"retry": POLICY}], ids=["once", "managed"])
@simulated
async def test_every_form_of_a_stage_is_intercepted(form, options):
    """The hooks see the attempt, the stage its context."""
    names = []

    class Runner:
        async def execute(self, ctx):
            names.append((ctx.stage_name, ctx.attempt))
            return {"a": 1}

    async def function(ctx: StageContext):
        return await Runner().execute(ctx)

    watching = Watching()
    results = await outcome({"instance": Runner(), "class": Runner, "function": function}[form], watching, **options)
    assert (results.data("s"), names) == ({"a": 1}, [("s", 1)])
    assert watching.seen == [("before", 1), ("after", 1, OK)]


@simulated
async def test_the_hooks_are_called_for_each_attempt():
    """In and out, and the waits are outside of them."""
    watching, script = Watching(), Script(ConnectionError(), StageOutput.retry("busy"), {})
    results = await outcome(script, watching, retry=POLICY)
    assert watching.seen == [
        ("before", 1),
        ("on_error", 1, ConnectionError),
        ("before", 2),
        ("after", 2, StageStatus.RETRY),
        ("before", 3),
        ("after", 3, OK),
    ]
    assert (results.record("s").attempts, now()) == (3, 3.0)


@pytest.mark.parametrize(
    "failure", [LookupError("no"), StageOutput.fail("no"), StageOutput.fail(LookupError("no"))], ids=repr
)
@simulated
async def test_an_interceptor_may_ask_for_another_attempt(failure, recorder):
    """Also after what the policy does not list, and for a returned failure; the policy counts."""
    script = Script(failure, failure, {"done": True})
    results = await outcome(script, Watching(action=RETRYING), retry=POLICY, sink=recorder)
    assert (script.attempts, results.data("s"), now()) == ([1, 2, 3], {"done": True}, 3.0)
    assert recorder.types.count("stage.s.retrying") == 2


@simulated
async def test_what_it_has_retried_fails_for_what_it_was_when_no_attempts_are_left():
    """With the last failure, raised or returned."""
    error = LookupError("no")
    results = await outcome(Script(error), Watching(action=RETRYING), retry=POLICY)
    assert (results.record("s").attempts, results["s"].error.exception) == (3, error)
    failure = StageOutput.fail("no", data={"a": 1}, code="x").publishing(StageArtifact("draft"))
    results = await outcome(Script(failure), Watching(action=RETRYING), retry=POLICY)
    assert (results.record("s").attempts, results["s"]) == (3, failure)


@pytest.mark.parametrize("options", MANAGED, ids=str)
@simulated
async def test_to_ask_for_another_attempt_without_a_policy_is_a_failure_that_says_so(options):
    """Whatever else is asked for the stage."""
    error, script = LookupError("no"), Script(LookupError("no"))
    script.steps = (error,)
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", [stage("s", script, **options)], interceptors=[Watching(action=RETRYING)]).run()
    cause = caught.value.__cause__
    assert isinstance(cause, MissingRetryPolicyError)
    assert (cause.__cause__, cause.stage, script.attempts) == (error, "s", [1])


@pytest.mark.parametrize("options", MANAGED, ids=str)
@simulated
async def test_nor_is_a_returned_failure_lost(options):
    """It stands in the message, since there is no exception."""
    script = Script(StageOutput.fail("the account is closed"))
    results = await outcome(script, Watching(action=RETRYING), **options)
    error = results["s"].error.exception
    assert isinstance(error, MissingRetryPolicyError)
    assert isinstance(error.__cause__, StageReturnedFailure)
    assert "the account is closed" in str(error)


@simulated
async def test_what_a_returned_failure_publishes_is_published_though_it_is_retried(recorder):
    """With the number of its attempt."""
    failure = StageOutput.fail("no").publishing(StageArtifact("draft"))
    await outcome(Script(failure, {}), Watching(action=RETRYING), retry=POLICY, sink=recorder)
    assert recorder.of("stage.s.artifact")["attempt"] == 1


@simulated
async def test_another_attempt_waits_as_long_as_the_error_asks():
    """As with any other that is tried again."""

    class Limited(LookupError):
        retry_after = 20

    script = Script(Limited(), {})
    await outcome(script, Watching(action=RETRYING), retry=POLICY)
    assert now() == 20.0


@simulated
async def test_a_fallback_is_the_outcome():
    """Nothing is tried again, and the record has one attempt."""
    script = Script(ConnectionError())
    watching = Watching(action=ErrorAction.FALLBACK, fallback=StageOutput.ok(stale=True))
    results = await outcome(script, watching, retry=POLICY, version="2")
    assert (results.data("s"), results["s"].version, script.attempts) == ({"stale": True}, "2", [1])


@pytest.mark.parametrize(
    "given",
    [
        StageOutput.ok(cached=True),
        StageOutput.skip("no"),
        StageOutput.cancel("no"),
        StageOutput.fail("no"),
        StageOutput.suspend("may I?"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("options", MANAGED, ids=str)
@simulated
async def test_an_outcome_in_the_stages_place(given, options):
    """The stage does not run; the run sees the status that was given."""
    script = Script({})
    results = await outcome(script, Watching(given=given), **options)
    assert (results["s"].status, results["s"].data, script.attempts) == (given.status, given.data, [])


@pytest.mark.parametrize(("given", "attempts"), [(POLICY, 3), (None, 1)])
@simulated
async def test_a_request_for_another_attempt_in_the_stages_place(given, attempts):
    """It is one like the stage's own."""
    watching, script = Watching(given=StageOutput.retry("later")), Script({})
    results = await outcome(script, watching, retry=given)
    assert (results["s"].status, results.record("s").attempts, script.attempts) == (FAIL, attempts, [])
    assert isinstance(results["s"].error.exception, MissingRetryPolicyError) is (given is None)


@pytest.mark.parametrize("how", ["before", "fallback"])
@simulated
async def test_what_stands_in_for_a_router_must_choose_a_route(how):
    """As the router itself must."""
    given = StageOutput.ok(route="nowhere")
    watching = Watching(given=given) if how == "before" else Watching(action=ErrorAction.FALLBACK, fallback=given)
    routes = {"kind": StageKind.ROUTE, "routes": ("left",), "terminal_routes": ("left",)}
    results = await outcome(Script(LookupError()), watching, **routes)
    assert isinstance(results["s"].error.exception, UndeclaredRouteError)
    right = Watching(given=StageOutput.ok(route="left"))
    assert (await outcome(Script({}), right, **routes))["s"].status is OK


@simulated
async def test_that_a_router_chooses_no_route_is_seen_by_its_interceptors():
    """What the stage returned is checked before they hear of it, so that they may answer."""
    routes = {"kind": StageKind.ROUTE, "routes": ("left",), "terminal_routes": ("left",)}
    watching = Watching(action=ErrorAction.FALLBACK, fallback=StageOutput.ok(route="left"))
    results = await outcome(Script({"route": "nowhere"}), watching, **routes)
    assert watching.seen == [("before", 1), ("on_error", 1, UndeclaredRouteError)]
    assert results.data("s") == {"route": "left"}


class Broken(BaseInterceptor):
    async def before(self, ctx):
        raise ConnectionError("no keys")


@pytest.mark.parametrize(("retry_on", "attempts"), [(Exception, 1), (ConnectionError, 1), (InterceptorError, 3)])
@simulated
async def test_a_broken_interceptor_is_tried_again_only_by_its_name(retry_on, attempts):
    """A policy for the network does not open a guard."""
    script = Script({})
    policy = RetryPolicy(max_attempts=3, base_delay=0, retry_on=retry_on)
    results = await outcome(script, Broken(), retry=policy)
    assert (results.record("s").attempts, script.attempts) == (attempts, [])
    assert isinstance(results["s"].error.exception, InterceptorError)


async def hanging():
    await asyncio.sleep(1000)


@simulated
async def test_the_timeout_of_an_attempt_is_seen_by_its_interceptors():
    """They are outside of it, and may answer it."""
    watching = Watching(action=ErrorAction.FALLBACK, fallback=StageOutput.ok(stale=True))
    results = await outcome(hanging, watching, timeout=2)
    assert (watching.seen[-1], results.data("s")) == (("on_error", 1, StageTimeoutError), {"stale": True})
    assert now() == 2.0


@simulated
async def test_the_timeout_does_not_bound_the_interceptors():
    """Each hook has a time of its own."""

    class Slow(BaseInterceptor):
        async def before(self, ctx):
            await asyncio.sleep(10)

    results = await outcome(Script({}), Slow(), timeout=2)
    assert (results["s"].status, now()) == (OK, 10.0)


@simulated
async def test_the_deadline_bounds_them_too():
    """They are told as by any cancellation: not through `on_error`."""

    class Slow(Watching):
        async def after(self, ctx, output):
            await asyncio.sleep(10)

    slow = Slow()
    results = await outcome(Script({}), slow, deadline=2)
    assert (type(results["s"].error.exception), now()) == (StageTimeoutError, 2.0)
    assert slow.seen == [("before", 1)]


@simulated
async def test_an_attempt_that_was_left_behind_is_not_tried_again_for_an_interceptor_either():
    """It would run twice at a time."""

    async def ignoring():
        begun.append(now())
        while now() < 60:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    begun = []
    results = await outcome(ignoring, Watching(action=RETRYING), timeout=2, retry=POLICY)
    assert (begun, results.stragglers) == ([0.0], ("s",))
    assert isinstance(results["s"].error.exception, StageTimeoutError)


class Client:
    """A live object, as ports hold them."""


async def failing():
    raise LookupError("no")


@pytest.mark.parametrize("options", MANAGED, ids=str)
@pytest.mark.parametrize("action", [ErrorAction.RETRY, ErrorAction.FAIL])
@simulated
async def test_the_results_of_a_failure_do_not_keep_the_run(options, action):
    """No frame of ours stays in what led to it, that of the chain neither."""
    client = Client()
    freed = weakref.ref(client)
    pipeline = Pipeline("p", [stage("s", failing, **options)], interceptors=[Watching(action=action)])
    results = await pipeline.start(ports=client).outcome()
    del client, pipeline
    await asyncio.sleep(0)
    gc.collect()
    assert (results.failed(), freed()) == (("s",), None)


@pytest.mark.parametrize("options", MANAGED, ids=str)
@simulated
async def test_nor_do_those_of_a_broken_interceptor(options):
    """What the stage had raised is told as the context of what the hook raised."""

    class Breaking(BaseInterceptor):
        async def on_error(self, ctx, error):
            del ctx, error  # its own frame is not ours to take off
            raise ConnectionError("no log")

    client = Client()
    freed = weakref.ref(client)
    results = (
        await Pipeline("p", [stage("s", failing, **options)], interceptors=[Breaking()]).start(ports=client).outcome()
    )
    del client
    await asyncio.sleep(0)
    gc.collect()
    error = results["s"].error.exception
    assert isinstance(error, InterceptorError)
    assert (str(error.__cause__), str(error.__cause__.__context__)) == ("no log", "no")
    assert freed() is None


@simulated
async def test_a_cancel_reaches_neither_hook():
    """The run is what ends, not the stage."""
    watching = Watching(action=RETRYING)
    started = Pipeline("p", [stage("s", hanging, retry=POLICY)], interceptors=[watching]).start()
    await asyncio.sleep(1)
    started.cancel("enough")
    results = await started.outcome()
    assert (results["s"].status, watching.seen) == (CANCEL, [("before", 1)])
