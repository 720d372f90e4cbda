"""A stage that is tried again: how often, when, and what stands in its record and its events."""

import asyncio
import gc
import weakref
from contextvars import ContextVar
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow import (
    Pipeline,
    PipelineCancelled,
    RetryPolicy,
    StageArtifact,
    StageContext,
    StageEvent,
    StageExecutionError,
    StageKind,
    StageOutput,
    StageReturnTypeError,
    StageStatus,
    stage,
)
from stageflow.errors import MissingRetryPolicyError, UndeclaredRouteError
from stageflow_mocks.simulation import run, simulated

OK, SKIP, CANCEL, FAIL = StageStatus.OK, StageStatus.SKIP, StageStatus.CANCEL, StageStatus.FAIL

POLICY = RetryPolicy(max_attempts=3, base_delay=1, jitter=False, retry_on=ConnectionError)
"""Attempts that take no time start at 0, 1 and 3 s."""


def now():
    return asyncio.get_running_loop().time()


class Script:
    """A stage that does one thing after the other, a step each attempt: it raises it, or returns it.

    A number is the seconds that the attempt takes before it does the last step.
    """

    def __init__(self, *steps):
        self.steps = steps
        self.attempts = []
        self.times = []
        self.keys = set()

    async def execute(self, ctx):
        self.attempts.append(ctx.attempt)
        self.times.append(now())
        self.keys.add(ctx.idempotency_key)
        step = self.steps[min(len(self.attempts), len(self.steps)) - 1]
        if isinstance(step, int | float):
            await asyncio.sleep(step)
            step = self.steps[-1]
        if isinstance(step, BaseException):
            raise step
        return step

    def stage(self, name="s", **options):
        return stage(name, self, **{"retry": POLICY, **options})


async def outcome(*stages, **options):
    """Run the stages to their end, whatever it is."""
    sink = options.pop("sink", None)
    return await Pipeline("p", stages, **options).start(event_sink=sink).outcome()


def retry(text="busy", **options):
    return StageOutput.retry(text, **options)


# --- how often ---------------------------------------------------------------------------------------------------


@simulated
async def test_a_stage_is_tried_until_it_succeeds():
    """Its waits grow; what it returned at last is its output, and its record counts every attempt."""
    script = Script(ConnectionError("1"), ConnectionError("2"), {"done": True})
    results = await outcome(script.stage())
    assert (script.attempts, script.times) == ([1, 2, 3], [0.0, 1.0, 3.0])
    assert results.data("s") == {"done": True}
    record = results.record("s")
    assert (record.attempts, record.duration_ms, record.status, record.origin) == (3, 3000.0, OK, None)


@simulated
async def test_the_record_tells_when_the_first_attempt_started():
    """And its duration has everything: the attempts and the waits between them."""
    script = Script(ConnectionError(), ConnectionError(), {})
    first = stage("first", Script(5, {}))
    results = await outcome(first, script.stage(dependencies="first"))
    begun = results.record("first").started_at
    record = results.record("s")
    assert record.started_at == pytest.approx(begun + 5)
    assert record.duration_ms == 3000.0


@given(attempts=st.integers(1, 8), good=st.integers(1, 10), asks=st.booleans())
def test_never_more_than_max_attempts(attempts, good, asks):
    """A stage that succeeds in its nth attempt is executed n times, but no more often than the policy allows."""

    async def main():
        failure = retry() if asks else ConnectionError("busy")
        script = Script(*[failure] * (good - 1), {"done": True})
        policy = RetryPolicy(max_attempts=attempts, base_delay=0.5, retry_on=ConnectionError)
        results = await outcome(script.stage(retry=policy))
        executed = min(attempts, good)
        assert script.attempts == list(range(1, executed + 1))
        assert results.record("s").attempts == executed
        assert results["s"].status is (OK if good <= attempts else FAIL)

    run(main())


@pytest.mark.parametrize("attempts", [1, 2, 3, 50])
@simulated
async def test_a_stage_that_never_succeeds_is_executed_exactly_so_often(attempts):
    """It fails with what its last attempt raised, and the error of the run says how often it was tried."""
    policy = RetryPolicy(max_attempts=attempts, base_delay=0.01, retry_on=ConnectionError)
    errors = [ConnectionError(str(number)) for number in range(1, attempts + 1)]
    script = Script(*errors)
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", [script.stage(retry=policy)]).run()
    assert len(script.attempts) == attempts
    assert (caught.value.attempts, caught.value.__cause__) == (attempts, errors[-1])
    tries = f" after {attempts} attempts" if attempts > 1 else ""
    assert str(caught.value) == f"Stage 's' of pipeline 'p' failed{tries}: ConnectionError: {attempts}"
    assert caught.value.results.record("s").attempts == attempts


@pytest.mark.parametrize(
    "failure",
    [
        ValueError("other"),
        asyncio.CancelledError("its own"),
        StageOutput.fail(ConnectionError("returned")),
        StageOutput.skip("no"),
        StageOutput.cancel("stop"),
        StageOutput.suspend("may I?"),
        {"done": True},
        None,
    ],
    ids=repr,
)
@simulated
async def test_anything_else_is_executed_exactly_once(failure):
    """Other exceptions, a cancellation of the stage's own, and whatever it returns but `retry()`."""
    script = Script(failure)
    results = await outcome(script.stage())
    assert (script.attempts, now()) == ([1], 0.0)
    assert results.record("s").attempts == 1


class Halt(BaseException):
    """No Exception."""


@pytest.mark.parametrize("error", [Halt(), GeneratorExit()], ids=repr)
@simulated
async def test_what_is_no_exception_is_never_retried(error):
    """Whatever the policy covers."""
    script = Script(error)
    results = await outcome(script.stage(retry=RetryPolicy(retry_on=Exception)))
    assert (script.attempts, results["s"].status) == ([1], FAIL)
    assert results["s"].error.exception is error


@pytest.mark.parametrize("options", [{}, {"timeout": 5}, {"deadline": 5}, {"timeout": 5, "deadline": 7}], ids=str)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_leaves_the_event_loop_once_and_is_never_retried(kind, options, caplog):
    """Then asyncio cancels what is left, so that the siblings' finally blocks run."""
    cleaned, script = [], Script(0, kind("now"))

    async def sibling():
        try:
            await asyncio.sleep(100)
        finally:
            cleaned.append(True)

    policy = RetryPolicy(retry_on=Exception)
    pipeline = Pipeline("p", [stage("sibling", sibling), script.stage(retry=policy, **options)])
    with pytest.raises(kind, match="now"):
        run(pipeline.run())
    gc.collect()
    assert (cleaned, script.attempts, caplog.messages) == ([True], [1], [])


@simulated
async def test_without_a_policy_a_stage_is_executed_once():
    """Whatever it raises."""
    script = Script(ConnectionError())
    results = await outcome(script.stage(retry=None, timeout=5))
    assert (script.attempts, results.failed()) == ([1], ("s",))


@simulated
async def test_output_that_is_no_output_is_an_error_like_another():
    """Tried again if the policy covers it, as a model that is asked again may answer in form."""
    script = Script("text", {"done": True})
    policy = RetryPolicy(retry_on=StageReturnTypeError)
    results = await outcome(script.stage(retry=policy))
    assert (script.attempts, results["s"].status) == ([1, 2], OK)
    assert (await outcome(Script("text").stage())).record("s").attempts == 1


@simulated
async def test_a_route_that_is_none_is_an_error_like_another():
    """So is a route that the router does not declare."""
    router = {"kind": StageKind.ROUTE, "routes": ("a",), "terminal_routes": ("a",)}
    script = Script({"route": "b"}, {"route": "a"})
    results = await outcome(script.stage(retry=RetryPolicy(retry_on=UndeclaredRouteError), **router))
    assert (script.attempts, results.data("s")) == ([1, 2], {"route": "a"})


# --- retry() -----------------------------------------------------------------------------------------------------


@simulated
async def test_a_stage_may_ask_for_another_attempt():
    """Also under a policy that lists no exception."""
    script = Script(retry(), retry(ValueError("busy")), {"done": True})
    results = await outcome(script.stage(retry=RetryPolicy(base_delay=1, jitter=False)))
    assert (script.times, results["s"].status) == ([0.0, 1.0, 3.0], OK)


@simulated
async def test_a_stage_may_say_how_long_to_wait():
    """At least; the policy's own wait stays where it is longer."""
    script = Script(retry(after=10), retry(after=0.5), {})
    await outcome(script.stage())
    assert script.times == [0.0, 10.0, 12.0]


@simulated
async def test_the_policys_own_random_numbers_are_taken():
    """One is drawn for each wait."""
    drawn = [0.5, 0.25]
    policy = RetryPolicy(max_attempts=3, base_delay=8, random=drawn.pop)
    script = Script(retry())
    await outcome(script.stage(retry=policy))
    assert (script.times, drawn) == ([0.0, 2.0, 10.0], [])


class Limited(ConnectionError):
    """What a service raises that says when to come again."""

    def __init__(self, retry_after):
        super().__init__("limited")
        self.retry_after = retry_after


@pytest.mark.parametrize(
    ("step", "at"),
    [
        (Limited(20), 20.0),
        (Limited(0.1), 1.0),
        (Limited("20"), 1.0),
        (retry(Limited(20)), 20.0),
        (retry(Limited(20), after=5), 5.0),
        (retry(Limited(20), after=0), 1.0),
    ],
    ids=["raised", "shorter", "malformed", "returned", "said", "said-0"],
)
@simulated
async def test_an_exception_may_say_how_long_to_wait(step, at):
    """By its attribute `retry_after`, in seconds; what the stage says itself wins."""
    script = Script(step, {})
    await outcome(script.stage())
    assert script.times == [0.0, at]


@simulated
async def test_the_last_request_for_another_attempt_is_the_failure():
    """With its error as the cause, and what it published."""
    error = LookupError("still busy")
    last = StageOutput.retry(error).publishing(StageArtifact("draft", {"n": 3}), StageEvent("gave.up", {"n": 3}))
    script = Script(retry(), retry(), last)
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", [script.stage()]).run()
    output = caught.value.results["s"]
    assert str(caught.value) == "Stage 's' of pipeline 'p' failed after 3 attempts: LookupError: still busy"
    assert (caught.value.__cause__, output.status, output.error.exception) == (error, FAIL, error)
    assert (output.artifacts, output.events) == (last.artifacts, last.events)


@simulated
async def test_a_request_in_words_fails_in_these_words():
    """There is no exception, and so no cause."""
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", [Script(retry("the queue is full")).stage()]).run()
    assert str(caught.value) == "Stage 's' of pipeline 'p' failed after 3 attempts: the queue is full"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("options", [{}, {"timeout": 5}, {"deadline": 5}, {"version": "2"}], ids=str)
@simulated
async def test_asking_without_a_policy_is_a_failure_that_says_so(options, recorder):
    """It tells why the stage asked, and what it published is published."""
    error = LookupError("busy")
    asked = StageOutput.retry(error).publishing(StageArtifact("draft"))
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", [Script(asked).stage(retry=None, **options)]).run(event_sink=recorder)
    cause = caught.value.__cause__
    assert isinstance(cause, MissingRetryPolicyError)
    assert (cause.stage, cause.__cause__, caught.value.stage_code) == ("s", error, "no-retry-policy")
    assert "LookupError: busy" in str(cause)
    assert caught.value.attempts == 1
    types = ["stage.s.started", "stage.s.artifact", "stage.s.failed"]
    assert [kind for kind in recorder.types if kind.startswith("stage.")] == types


@simulated
async def test_retry_is_never_how_a_stage_ends():
    """Not even where nothing can follow."""
    for policy in (None, RetryPolicy(max_attempts=1), POLICY):
        results = await outcome(Script(retry()).stage(retry=policy))
        assert results["s"].status is FAIL


@pytest.mark.parametrize("last", [StageOutput.skip("no"), StageOutput.cancel("stop"), StageOutput.fail("broken")])
@simulated
async def test_a_later_attempt_may_end_in_any_way(last):
    """And that stands, with the number of attempts."""
    script = Script(retry(), ConnectionError(), last)
    results = await outcome(script.stage(retry=RetryPolicy(max_attempts=9, retry_on=ConnectionError)))
    assert (results["s"].status, results.record("s").attempts) == (last.status, 3)


@simulated
async def test_a_later_attempt_may_suspend_the_run():
    """The record counts the attempts before."""
    script = Script(retry(), StageOutput.suspend("may I?"))
    results = await outcome(script.stage())
    assert (results.status, results.record("s").attempts) == ("suspended", 2)


# --- what an attempt sees ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["instance", "class", "function", "parameter"])
@simulated
async def test_every_form_of_a_stage_is_tried_again(form):
    """Each knows which attempt it is."""
    seen = []

    class Runner:
        async def execute(self, ctx):
            seen.append(ctx.attempt)
            return retry() if ctx.attempt < 3 else {}

    async def function(ctx: StageContext):
        return await Runner().execute(ctx)

    async def parameter(other, ctx: StageContext, *, again=None):
        return await Runner().execute(ctx)

    runner = {"instance": Runner(), "class": Runner, "function": function, "parameter": parameter}[form]
    others = [stage("other", Script({})), stage("again", Script({}))]
    results = await outcome(stage("s", runner, retry=POLICY), *others)
    assert (seen, results["s"].status, results.record("s").attempts) == ([1, 2, 3], OK, 3)


@simulated
async def test_the_idempotency_key_is_the_same_for_every_attempt():
    """And another one for every stage and run."""
    first, second = Script(retry(), retry(), {}), Script(retry(), {})
    pipeline = Pipeline("p", [first.stage("first"), second.stage("second")])
    results = await pipeline.run()
    assert first.keys == {f"{results.pipeline_run_id}:first"}
    assert second.keys == {f"{results.pipeline_run_id}:second"}
    await pipeline.run()
    assert len(first.keys) == 2


@simulated
async def test_a_class_is_constructed_once_for_all_attempts_of_a_run():
    """So that what one attempt keeps in `self` the next one finds; another run has another instance."""
    made = []

    class Runner:
        def __init__(self):
            made.append(self)
            self.left = 2

        async def execute(self, ctx):
            self.left -= 1
            return retry() if self.left >= 0 else {"by": made.index(self)}

    graph = Pipeline("p", [stage("s", Runner, retry=POLICY)]).build()
    first, second = await asyncio.gather(graph.run(), graph.run())
    assert (first.data("s"), second.data("s")) == ({"by": 0}, {"by": 1})
    assert len(made) == 2


@simulated
async def test_a_constructor_that_raises_is_an_attempt_that_failed():
    """It is called again for the next one."""
    made = []

    class Runner:
        def __init__(self):
            made.append(now())
            if len(made) < 3:
                raise ConnectionError("no pool")

        async def execute(self, ctx):
            return {"attempt": ctx.attempt}

    results = await outcome(stage("s", Runner, retry=POLICY))
    assert (made, results.data("s")) == ([0.0, 1.0, 3.0], {"attempt": 3})


@pytest.mark.parametrize("options", [{"retry": POLICY}, {"timeout": 1}, {}], ids=["retry", "timeout", "plain"])
@simulated
async def test_a_constructor_that_raises_something_else_fails_the_stage(options):
    """With that."""

    class Runner:
        def __init__(self):
            raise LookupError("no settings")

        async def execute(self, ctx): ...

    results = await outcome(stage("s", Runner, **options))
    assert (results["s"].error.type, results.record("s").attempts) == ("LookupError", 1)


@dataclass
class Basket:
    items: list = field(default_factory=list)


@pytest.mark.parametrize("form", ["inputs", "parameter"])
@simulated
async def test_an_attempt_sees_its_inputs_as_they_were(form):
    """What an earlier one has changed was its own copy."""
    seen = []

    async def basket():
        return Basket(["apple"])

    def spoil(mine):
        seen.append(list(mine.items))
        mine.items.append("worm")
        return retry()

    async def by_inputs(ctx: StageContext):
        return spoil(ctx.inputs.value("basket", Basket))

    async def by_parameter(basket: Basket):
        return spoil(basket)

    spoiling = by_inputs if form == "inputs" else by_parameter
    options = {"dependencies": "basket"} if form == "inputs" else {}
    results = await outcome(stage("basket", basket), stage("s", spoiling, retry=POLICY, **options))
    assert seen == [["apple"]] * 3
    assert results.value("basket") == Basket(["apple"])


VARIABLE = ContextVar("VARIABLE", default="unset")


@pytest.mark.parametrize("options", [{"retry": POLICY}, {"retry": POLICY, "timeout": 5}, {"deadline": 50}], ids=str)
@simulated
async def test_a_variable_that_an_attempt_sets_reaches_no_other_stage(options):
    """Neither the one that runs beside it, nor the one after it."""
    seen = []

    async def setting(ctx: StageContext):
        VARIABLE.set(f"set by attempt {ctx.attempt}")
        return retry() if ctx.attempt < 3 and "retry" in options else {}

    async def looking():
        await asyncio.sleep(0.5)
        seen.append(VARIABLE.get())

    async def after(setting):
        seen.append(VARIABLE.get())

    await outcome(stage("setting", setting, **options), stage("looking", looking), stage("after", after))
    assert seen == ["unset", "unset"]
    assert VARIABLE.get() == "unset"


@simulated
async def test_a_stage_sees_the_variables_of_whoever_runs_it():
    """In every attempt, also where it has a task of its own."""
    seen = []
    VARIABLE.set("given")

    async def looking(ctx: StageContext):
        seen.append(VARIABLE.get())
        return retry()

    for options in ({}, {"timeout": 5}, {"deadline": 50}):
        await outcome(stage("s", looking, retry=POLICY, **options))
    assert seen == ["given"] * 9


@simulated
async def test_runs_of_one_graph_count_their_attempts_apart():
    """Concurrent ones too."""
    counts = {}

    async def execute(ctx: StageContext, input):
        counts[input] = ctx.attempt
        return retry() if ctx.attempt < input else {}

    graph = Pipeline("p", [stage("s", execute, retry=POLICY)]).build()
    runs = await asyncio.gather(*(graph.run(input=number) for number in (1, 2, 3)))
    assert [results.record("s").attempts for results in runs] == [1, 2, 3]
    assert counts == {1: 1, 2: 2, 3: 3}


# --- beside others -----------------------------------------------------------------------------------------------


@simulated
async def test_others_run_while_a_stage_waits():
    """The wait holds up nothing but what depends on the stage."""
    order = []

    async def noting(ctx: StageContext):
        order.append((ctx.stage_name, now()))
        return {}

    script = Script(retry(after=5), {})
    stages = [
        script.stage(),
        stage("a", noting),
        stage("b", noting, dependencies="a"),
        stage("behind", noting, dependencies="s"),
    ]
    await outcome(*stages)
    assert order == [("a", 0.0), ("b", 0.0), ("behind", 5.0)]


@simulated
async def test_a_cancel_ends_the_wait_at_once(recorder):
    """The stage ends CANCEL with the attempts that it had, and no other one follows."""
    script = Script(retry(after=100))
    pipeline = Pipeline("p", [script.stage(), stage("behind", Script({}), dependencies="s")])
    started = pipeline.start(event_sink=recorder)
    await asyncio.sleep(3)
    started.cancel("enough")
    results = await started.outcome()
    assert (now(), script.attempts) == (3.0, [1])
    assert (results["s"].status, results["s"].reason, results.record("s").attempts) == (CANCEL, "enough", 1)
    assert results.record("s").duration_ms == 3000.0
    types = ["stage.s.started", "stage.s.retrying", "stage.s.cancelled", "stage.behind.cancelled"]
    assert [kind for kind in recorder.types if kind.startswith("stage.")] == types


@pytest.mark.parametrize("options", [{}, {"timeout": 50}, {"deadline": 500}], ids=str)
@simulated
async def test_the_callers_cancellation_ends_the_wait(options):
    """And nothing is left of the run."""
    before = asyncio.all_tasks()
    script = Script(retry(after=100))
    task = asyncio.create_task(Pipeline("p", [script.stage(**options)]).run())
    await asyncio.sleep(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (now(), script.attempts, asyncio.all_tasks()) == (3.0, [1], before)


@simulated
async def test_a_failure_elsewhere_ends_the_wait():
    """Fail-fast does not wait for stages that wait."""
    script = Script(retry(after=100))
    results = await outcome(script.stage(), stage("x", Script(2, LookupError("no"))))
    assert (now(), results.failed(), results["s"].status) == (2.0, ("x",), CANCEL)


@pytest.mark.parametrize("step", [ConnectionError("busy"), retry("busy")], ids=["raised", "returned"])
@simulated
async def test_nothing_is_tried_again_once_the_run_is_stopping(step):
    """A stage that answers its cancellation by what is retried elsewhere has had its attempts."""

    async def stubborn(ctx: StageContext):
        attempts.append(ctx.attempt)
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            if isinstance(step, Exception):
                raise step from None
            return step

    attempts = []
    results = await outcome(stage("s", stubborn, retry=POLICY), stage("x", Script(2, LookupError("no"))))
    assert (attempts, now()) == ([1], 2.0)
    assert (results["s"].status, results["s"].error.message) == (FAIL, "busy")
    assert [error.stage for error in results.error.failures] == ["x"]


@simulated(seeds=range(60))
async def test_a_wait_that_ends_when_the_run_does():
    """Whichever comes first: the record counts each attempt that was begun, and has one end."""
    script = Script(retry(), {})
    sink = Counting()
    results = await outcome(script.stage(), stage("x", Script(1, LookupError("no"))), sink=sink)
    assert now() == 1.0
    assert results.record("s").attempts == len(script.attempts)
    assert sink.of("stage.s.") == ["started", "retrying", {OK: "completed", CANCEL: "cancelled"}[results["s"].status]]
    assert sink.last["stage.s."]["attempt"] == len(script.attempts)


@simulated(seeds=range(30))
async def test_no_attempt_begins_in_a_run_that_is_stopping():
    """A wait of no time is over before the coordinator has cancelled it."""
    begun = []

    async def execute(ctx: StageContext):
        begun.append(ctx.cancelled)
        return retry()

    policy = RetryPolicy(max_attempts=10**6, base_delay=0)
    await outcome(stage("s", execute, retry=policy), stage("x", Script(0, LookupError("no"))))
    assert not any(begun)


class Counting:
    """A sink that keeps the types of events by their beginning, and the last event of each."""

    def __init__(self):
        self.types = []
        self.last = {}

    async def emit(self, *, type, data):
        self.try_emit(type=type, data=data)

    def try_emit(self, *, type, data):
        self.types.append(type)
        self.last[type.rpartition(".")[0] + "."] = data

    def of(self, prefix):
        return [kind.removeprefix(prefix) for kind in self.types if kind.startswith(prefix)]


@simulated
async def test_a_stage_that_is_tried_for_ever_holds_up_nobody():
    """Attempts that take no time let the event loop go on between them."""
    policy = RetryPolicy(max_attempts=10**6, base_delay=0)
    run_ = Pipeline("p", [Script(retry()).stage(retry=policy)]).start()
    for _ in range(100):
        await asyncio.sleep(0)
    run_.cancel("enough")
    with pytest.raises(PipelineCancelled, match="enough"):
        await run_


# --- events ------------------------------------------------------------------------------------------------------


def of_stages(recorder):
    """Return the type, attempt and data of the events of stages."""
    return [
        (event["event_type"].removeprefix("stage."), event["attempt"], event["data"])
        for event in recorder.events
        if event["stage"] is not None
    ]


@simulated
async def test_a_stage_starts_once_and_ends_once_however_often_it_is_tried(recorder):
    """Each attempt that failed is told with its error, the wait, and the number of the next one."""
    script = Script(ConnectionError("gone"), retry("busy", after=7), {"done": True})
    await Pipeline("p", [script.stage()]).run(event_sink=recorder)
    gone = {"message": "gone", "type": "ConnectionError", "code": None}
    busy = {"message": "busy", "type": None, "code": None}
    assert of_stages(recorder) == [
        ("s.started", 1, {}),
        ("s.retrying", 1, {"error": gone, "delay_s": 1.0, "next_attempt": 2}),
        ("s.retrying", 2, {"error": busy, "delay_s": 7.0, "next_attempt": 3}),
        ("s.completed", 3, {}),
    ]
    assert recorder.events[-2]["duration_ms"] == 8000.0
    assert [event["sequence"] for event in recorder.events] == list(range(1, len(recorder.events) + 1))


@simulated
async def test_the_last_attempt_is_told_by_the_failure_alone(recorder):
    """It is followed by no other, so that there are N - 1 events of retrying."""
    await outcome(Script(ConnectionError("gone")).stage(), sink=recorder)
    assert [(kind, attempt) for kind, attempt, _ in of_stages(recorder)] == [
        ("s.started", 1),
        ("s.retrying", 1),
        ("s.retrying", 2),
        ("s.failed", 3),
    ]


@simulated
async def test_what_an_attempt_publishes_bears_its_number(recorder):
    """Artifacts and events of an output that asks for another attempt, and those that a stage emits meanwhile."""

    async def execute(ctx: StageContext):
        ctx.emit_event("progress", {"n": ctx.attempt})
        output = retry() if ctx.attempt < 3 else StageOutput.ok()
        return output.publishing(StageArtifact("draft", {"n": ctx.attempt}), StageEvent("draft.made"))

    await Pipeline("p", [stage("s", execute, retry=POLICY)]).run(event_sink=recorder)
    told = [(event["event_type"], event["attempt"]) for event in recorder.events if event["stage"] == "s"]
    attempts = [
        [("progress", n), ("stage.s.artifact", n), ("draft.made", n), (f"stage.s.{end}", n)]
        for n, end in ((1, "retrying"), (2, "retrying"), (3, "completed"))
    ]
    assert told == [("stage.s.started", 1), *attempts[0], *attempts[1], *attempts[2]]


@simulated
async def test_with_nobody_listening_attempts_are_the_same():
    """Events are the only difference."""
    artifact = StageArtifact("draft")
    script = Script(retry().publishing(artifact), StageOutput.ok().publishing(artifact))
    results = await Pipeline("p", [script.stage()]).run()
    assert (results.record("s").attempts, results["s"].artifacts) == (2, (artifact,))


# --- version -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "version"),
    [
        ({"a": 1}, "2"),
        (None, "2"),
        (StageOutput.ok(a=1), "2"),
        (StageOutput.ok(a=1, version="1"), "1"),
        (Basket(), "2"),
        (StageOutput.ok(Basket()).publishing(StageArtifact("x")), "2"),
        (StageOutput.skip("no"), None),
    ],
    ids=repr,
)
@simulated
async def test_an_output_has_the_version_of_its_stage(step, version):
    """Unless it says another one itself; nothing else of it changes."""
    versioned = (await outcome(Script(step).stage(version="2")))["s"]
    plain = (await outcome(Script(step).stage()))["s"]
    assert versioned.version == version
    assert (versioned.value, versioned.data, versioned.artifacts) == (plain.value, plain.data, plain.artifacts)


# --- afterwards --------------------------------------------------------------------------------------------------


class Client:
    """A live object, as ports hold them."""


async def hanging():
    await asyncio.sleep(100)


async def hanging_and_failing():
    try:
        await asyncio.sleep(100)
    finally:
        raise ConnectionError("closing")


async def failing():
    raise ConnectionError("gone")


async def asking():
    try:
        await failing()
    except ConnectionError as error:
        return StageOutput.retry(error)


PATIENT = RetryPolicy(max_attempts=2, base_delay=1, jitter=False, retry_on=(ConnectionError, TimeoutError))


@pytest.mark.parametrize(
    ("runner", "options"),
    [
        (failing, {}),
        (failing, {"retry": PATIENT}),
        (failing, {"retry": PATIENT, "deadline": 0.5}),
        (asking, {}),
        (asking, {"retry": PATIENT}),
        (asking, {"retry": PATIENT, "deadline": 0.5}),
        (hanging, {"timeout": 1}),
        (hanging, {"deadline": 1}),
        (hanging, {"timeout": 1, "deadline": 2, "retry": PATIENT}),
        (hanging, {"timeout": 1, "retry": PATIENT}),
        (hanging_and_failing, {"timeout": 1}),
        (hanging_and_failing, {"timeout": 1, "retry": PATIENT}),
        (hanging_and_failing, {"deadline": 1, "retry": PATIENT}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
@pytest.mark.parametrize("how", ["run", "start"])
@simulated
async def test_the_results_of_a_failure_do_not_keep_the_run(runner, options, how):
    """No frame of ours stays in its traceback, nor in that of what led to it."""
    graph = Pipeline("p", [stage("s", runner, **options)]).build()
    client = Client()
    freed = weakref.ref(client)
    if how == "start":
        results = await graph.start(ports=client).outcome()
    else:
        try:
            await graph.run(ports=client)
        except StageExecutionError as error:
            results = error.results
    del client
    await asyncio.sleep(0)
    gc.collect()
    assert results.failed() == ("s",)
    assert freed() is None
