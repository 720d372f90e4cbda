"""Time limits: of an attempt, and of a stage with its retries."""

import asyncio
import logging

import pytest
from stageflow import (
    Pipeline,
    PipelineCancelled,
    RetryPolicy,
    StageArtifact,
    StageContext,
    StageExecutionError,
    StageOutput,
    StageStatus,
    StageTimeoutError,
    stage,
)
from stageflow.execution.time_limit import TimeUpError, within
from stageflow_mocks.simulation import simulated

OK, SKIP, CANCEL, FAIL = StageStatus.OK, StageStatus.SKIP, StageStatus.CANCEL, StageStatus.FAIL


def policy(*retry_on, attempts=3, wait=1.0):
    return RetryPolicy(max_attempts=attempts, base_delay=wait, max_delay=wait, jitter=False, retry_on=retry_on)


def now():
    return asyncio.get_running_loop().time()


def timers():
    """Return the timers that are set in the running loop."""
    return [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]


def sleeping(*seconds, then=None, log=None):
    """A stage whose nth attempt takes the nth time, the last one for all that follow."""
    begun = [] if log is None else log

    async def execute(ctx: StageContext):
        begun.append(now())
        await asyncio.sleep(seconds[min(ctx.attempt, len(seconds)) - 1])
        return then

    return execute


def cleaning(seconds, *, log, ends_with=None):
    """A stage that takes some time to clean up when it is cancelled, and then returns or raises."""

    async def execute(ctx: StageContext):
        log.append(("begun", now()))
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(seconds)
            log.append(("clean", now()))
            if isinstance(ends_with, BaseException):
                raise ends_with from None
            if ends_with is not None:
                return ends_with
            raise

    return execute


def ignoring(seconds, *, ends_with=None, log=None):
    """A stage that ignores every cancellation until it has had its time."""

    async def execute(ctx: StageContext):
        if log is not None:
            log.append(now())
        until = now() + seconds
        while now() < until:
            try:
                await asyncio.sleep(until - now())
            except asyncio.CancelledError:
                continue
        if isinstance(ends_with, BaseException):
            raise ends_with
        return ends_with

    return execute


async def outcome(*stages, sink=None, **options):
    return await Pipeline("p", stages, **options).start(event_sink=sink).outcome()


def error_of(results, name="s"):
    return results[name].error.exception


# --- one attempt -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["timeout", "deadline"])
@simulated
async def test_a_stage_is_cut_off_when_its_time_is_up(limit):
    """The error names stage, limit and seconds, and is a TimeoutError."""
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", [stage("s", sleeping(10), **{limit: 2})]).run()
    error = caught.value.__cause__
    assert isinstance(error, StageTimeoutError)
    assert isinstance(error, TimeoutError)
    assert (error.stage, error.limit, error.seconds, error.__cause__) == ("s", limit, 2, None)
    assert (now(), caught.value.attempts, caught.value.stage_code) == (2.0, 1, "stage-timeout")
    assert caught.value.results.record("s").duration_ms == 2000.0
    assert timers() == []


@pytest.mark.parametrize("options", [{"timeout": 2}, {"deadline": 2}, {"timeout": 2, "deadline": 3}], ids=str)
@simulated
async def test_a_stage_that_is_faster_is_left_alone(options):
    """And its timer does not stay behind."""
    results = await outcome(stage("s", sleeping(1.99, then={"done": True}), **options))
    assert (now(), results.data("s"), timers()) == (1.99, {"done": True}, [])


@pytest.mark.parametrize("options", [{"timeout": 2}, {"deadline": 2}, {"timeout": 2, "deadline": 3}], ids=str)
@simulated
async def test_a_stage_with_a_limit_raises_what_it_raises(options):
    """The very same exception."""
    error = LookupError("no")

    async def execute():
        raise error

    results = await outcome(stage("s", execute, **options))
    assert error_of(results) is error


@simulated
async def test_every_attempt_has_all_of_the_time():
    """The timeout begins anew; waits do not count."""
    log = []
    execute = sleeping(3, 1.9, log=log, then={})
    results = await outcome(stage("s", execute, timeout=2, retry=policy(TimeoutError, wait=10)))
    assert (log, now(), results["s"].status) == ([0.0, 12.0], 13.9, OK)


@simulated
async def test_what_a_stage_returns_after_its_time_counts_for_nothing():
    """It was asked to stop, and did: it returned too late."""
    log = []
    results = await outcome(stage("s", cleaning(1, log=log, ends_with={"done": True}), timeout=2))
    assert isinstance(error_of(results), StageTimeoutError)
    assert (results["s"].data, error_of(results).__cause__) == ({}, None)
    assert (log, results.stragglers) == ([("begun", 0.0), ("clean", 3.0)], ())


@pytest.mark.parametrize("ends_with", [LookupError("closing"), TimeoutError("its own"), GeneratorExit()], ids=repr)
@simulated
async def test_what_a_stage_raises_after_its_time_is_the_cause(ends_with):
    """The error is that it took too long."""
    results = await outcome(stage("s", cleaning(1, log=[], ends_with=ends_with), timeout=2))
    assert isinstance(error_of(results), StageTimeoutError)
    assert error_of(results).__cause__ is ends_with


@simulated
async def test_the_next_attempt_waits_until_this_one_is_clean():
    """Two attempts never run at once."""
    log = []
    results = await outcome(stage("s", cleaning(3, log=log), timeout=2, retry=policy(TimeoutError, attempts=2)))
    assert log == [("begun", 0.0), ("clean", 5.0), ("begun", 6.0), ("clean", 11.0)]
    assert results.record("s").attempts == 2


@simulated
async def test_a_timeout_error_of_the_stages_own_is_its_own():
    """It is not taken for one of the limit."""
    own = TimeoutError("the service")

    async def execute():
        raise own

    results = await outcome(stage("s", execute, timeout=2))
    assert error_of(results) is own


@simulated
async def test_a_stage_may_have_limits_of_its_own_inside():
    """asyncio.timeout works there, and its error is the stage's."""

    async def execute():
        async with asyncio.timeout(1):
            await asyncio.sleep(10)

    results = await outcome(stage("s", execute, timeout=2, deadline=3))
    assert (type(error_of(results)), now()) == (TimeoutError, 1.0)


@simulated
async def test_a_stage_with_a_limit_may_catch_its_own_limits():
    """The cancellation inside is its own affair."""

    async def execute():
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(10)
        except TimeoutError:
            await asyncio.sleep(0.5)
        return {"done": True}

    results = await outcome(stage("s", execute, timeout=2), stage("after", sleeping(1), dependencies="s"))
    assert (results.status, now()) == ("completed", 2.5)


@pytest.mark.parametrize("options", [{"timeout": 2}, {"deadline": 2}, {"timeout": 2, "deadline": 3}], ids=str)
@simulated
async def test_a_stage_with_a_limit_that_cancels_itself_fails_alone(options):
    """Its task is its own."""

    async def execute():
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    results = await outcome(stage("s", execute, **options), stage("other", sleeping(1, then={})), on_failure="continue")
    assert (results["s"].error.type, results["other"].status) == ("asyncio.exceptions.CancelledError", OK)


@simulated
async def test_the_task_of_an_attempt_is_named_after_its_stage():
    """For whoever looks at the tasks of a program that hangs."""

    async def execute():
        return {"task": asyncio.current_task().get_name()}

    results = await outcome(stage("reply", execute, timeout=2))
    assert results.data("reply") == {"task": "stageflow stage reply"}


@simulated(seeds=range(30))
async def test_a_stage_that_ends_with_its_time_ends_in_one_way():
    """Either in time or out of it."""
    results = await outcome(stage("s", sleeping(2, then={}), timeout=2))
    assert now() == 2.0
    if results["s"].status is FAIL:
        assert isinstance(error_of(results), StageTimeoutError)
    else:
        assert results["s"].status is OK
    assert (results.stragglers, timers()) == ((), [])


# --- tried again -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_on", "attempts"),
    [
        ((Exception,), 1),
        ((OSError,), 1),
        ((ConnectionError,), 1),
        ((TimeoutError,), 3),
        ((StageTimeoutError,), 3),
        ((Exception, TimeoutError), 3),
    ],
    ids=str,
)
@simulated
async def test_a_timeout_is_tried_again_if_the_policy_names_it(retry_on, attempts):
    """Through a base of it alone it is not: whoever retries everything has not thought of the time that takes."""
    log = []
    results = await outcome(stage("s", sleeping(10, log=log), timeout=2, retry=policy(*retry_on)))
    assert (len(log), results.record("s").attempts) == (attempts, attempts)
    assert isinstance(error_of(results), StageTimeoutError)


@pytest.mark.parametrize(("retry_on", "attempts"), [(TimeoutError, 3), (StageTimeoutError, 1), (Exception, 3)])
@simulated
async def test_a_timeout_error_of_the_stages_own_is_tried_again_as_any_error(retry_on, attempts):
    """It is no StageTimeoutError."""

    async def execute():
        raise TimeoutError("the service")

    results = await outcome(stage("s", execute, timeout=2, retry=policy(retry_on)))
    assert results.record("s").attempts == attempts


@simulated
async def test_what_a_stage_raises_after_its_time_is_no_reason_to_try_again():
    """The policy is asked about the timeout, not about its cause."""
    log = []
    execute = cleaning(1, log=log, ends_with=ConnectionError("closing"))
    await outcome(stage("s", execute, timeout=2, retry=policy(ConnectionError)))
    assert log == [("begun", 0.0), ("clean", 3.0)]


@simulated
async def test_a_timeout_is_told_like_any_attempt_that_failed(recorder):
    """One start, one event for each attempt that is followed by another, one end."""
    await outcome(stage("s", sleeping(10, 1), timeout=2, retry=policy(TimeoutError)), sink=recorder)
    told = [(event["event_type"], event["attempt"]) for event in recorder.events if event["stage"]]
    assert told == [("stage.s.started", 1), ("stage.s.retrying", 1), ("stage.s.completed", 2)]
    assert recorder.of("stage.s.retrying")["data"]["error"]["code"] == "stage-timeout"


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"timeout": 2}, "have it tried again: retry=RetryPolicy(retry_on=(TimeoutError,))."),
        ({"timeout": 2, "retry": policy(Exception)}, "have it tried again: list TimeoutError itself in retry_on."),
        ({"timeout": 2, "retry": policy(TimeoutError)}, "the max_attempts of its RetryPolicy."),
        ({"deadline": 2}, "Raise deadline=."),
        ({"deadline": 2, "retry": policy(Exception)}, "let its retries give up sooner."),
    ],
    ids=str,
)
@simulated
async def test_the_error_says_what_can_be_done(options, hint):
    """What the stage has already is not advised."""
    error = error_of(await outcome(stage("s", sleeping(10), **options)))
    assert error.hint.endswith(hint)


# --- left behind -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 2},
        {"deadline": 2},
        {"timeout": 2, "deadline": 2.5},
        {"timeout": 2, "deadline": 50},
        {"timeout": 2, "retry": policy(TimeoutError)},
        {"timeout": 2, "retry": policy(TimeoutError), "deadline": 50},
        {"deadline": 2, "retry": policy(TimeoutError)},
    ],
    ids=str,
)
@simulated
async def test_an_attempt_that_does_not_stop_is_left_behind(options, recorder, caplog):
    """After cancel_grace. It is named once, in results, event and log, and never tried again while it still runs."""
    begun = []
    execute = ignoring(60, log=begun)
    results = await outcome(stage("s", execute, **options), cancel_grace=3, sink=recorder)
    left_at = 5.5 if options.get("deadline") == 2.5 else 5.0
    assert (now(), begun, results.stragglers) == (left_at, [0.0], ("s",))
    assert isinstance(error_of(results), StageTimeoutError)
    assert "was left behind" in error_of(results).message
    types = ["stage.s.started", "stage.s.straggling", "stage.s.failed"]
    assert [kind for kind in recorder.types if kind.startswith("stage.")] == types
    assert recorder.of("stage.s.straggling")["data"] == {"cancel_grace_s": 3}
    assert caplog.text.count("did not stop within 3 s") == 1
    await asyncio.sleep(100)
    assert begun == [0.0]


@pytest.mark.parametrize(
    ("ends_with", "how"),
    [
        ({"late": True}, "it returned."),
        (ConnectionError("at last"), "it raised ConnectionError: at last."),
        (asyncio.CancelledError(), "it was cancelled."),
    ],
    ids=repr,
)
@pytest.mark.parametrize("options", [{"timeout": 2}, {"deadline": 2}], ids=str)
@simulated
async def test_what_becomes_of_it_is_logged_and_changes_nothing(options, ends_with, how, recorder, caplog):
    """Not even an error that the policy covers."""
    caplog.set_level(logging.WARNING)
    begun = []
    execute = ignoring(60, ends_with=ends_with, log=begun)
    results = await outcome(stage("s", execute, retry=policy(ConnectionError), **options), sink=recorder)
    written, types = results.to_dict(), recorder.types
    await asyncio.sleep(100)
    assert (begun, results.to_dict(), recorder.types) == ([0.0], written, types)
    assert caplog.messages[1:] == [f"Stage 's' ended after it had been left behind: {how}"]


@simulated
async def test_a_run_goes_on_without_what_it_left_behind():
    """What does not depend on it completes; it is still named."""
    s = stage("s", ignoring(60), timeout=2, critical=False)
    results = await outcome(s, stage("other", sleeping(20, then={})), cancel_grace=3)
    assert (now(), results.status, results.stragglers) == (20.0, "completed", ("s",))


@simulated
async def test_everything_left_behind_is_named_in_plan_order():
    """Attempts whose time was up, and what did not stop with its run."""
    stages = [
        stage("last", ignoring(60)),
        stage("first", ignoring(60), timeout=2, critical=False),
        stage("x", sleeping(8), timeout=7),
        stage("second", ignoring(60), timeout=3, critical=False),
    ]
    results = await outcome(*stages, cancel_grace=1)
    assert results.stragglers == ("last", "first", "second")
    assert results.failed() == ("first", "x", "second")


@simulated
async def test_without_grace_an_attempt_that_stops_at_once_is_not_left_behind():
    """No grace is needed for what ends with its cancellation."""
    results = await outcome(stage("s", sleeping(10), timeout=2), cancel_grace=0)
    assert (now(), results.stragglers) == (2.0, ())


# --- the deadline ------------------------------------------------------------------------------------------------


@simulated
async def test_the_deadline_cuts_a_later_attempt_off():
    """Whatever its own timeout allows."""
    log = []
    execute = sleeping(10, log=log)
    results = await outcome(stage("s", execute, timeout=3, deadline=6, retry=policy(TimeoutError, attempts=9)))
    assert (log, now(), results.record("s").attempts) == ([0.0, 4.0], 6.0, 2)
    assert (error_of(results).limit, error_of(results).seconds) == ("deadline", 6)


@pytest.mark.parametrize("wait", [5.0, 4.0], ids=["after", "at"])
@simulated
async def test_no_wait_outlasts_the_deadline(wait, recorder):
    """The stage fails at once, with its last failure as the cause: to wait would be in vain."""
    gone, log = ConnectionError("gone"), []

    async def execute():
        log.append(now())
        await asyncio.sleep(1)
        raise gone

    pipeline = Pipeline("p", [stage("s", execute, deadline=5, retry=policy(ConnectionError, wait=wait))])
    with pytest.raises(StageExecutionError) as caught:
        await pipeline.run(event_sink=recorder)
    error = caught.value.__cause__
    assert (log, now(), caught.value.attempts) == ([0.0], 1.0, 1)
    assert (type(error), error.limit, error.seconds, error.__cause__) == (StageTimeoutError, "deadline", 5, gone)
    assert "next attempt would begin after its deadline of 5 s (the last one: ConnectionError: gone)" in str(error)
    assert [kind for kind in recorder.types if kind.startswith("stage.")] == ["stage.s.started", "stage.s.failed"]


class Talkative(ConnectionError):
    """Has a `message` that is not one."""

    @property
    def message(self):
        raise RuntimeError("ask somebody else")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Talkative("gone"), f"(the last one: {__name__}.Talkative: gone)."),
        (StageTimeoutError("s", limit="timeout", seconds=2), "(the last one: Stage 's' ran out of time: an attempt "),
    ],
    ids=repr,
)
@simulated
async def test_what_the_last_attempt_failed_of_is_told_in_its_words(error, told):
    """Those of an error of ours without its hint."""

    async def execute():
        raise error

    retry = policy(ConnectionError, TimeoutError, wait=9)
    found = error_of(await outcome(stage("s", execute, deadline=5, retry=retry)))
    assert (type(found), found.__cause__) == (StageTimeoutError, error)
    assert told in found.message
    assert "Raise timeout=" not in found.message


@simulated
async def test_a_wait_within_the_deadline_is_waited_out():
    """The next attempt has what is left."""
    log = []

    async def execute():
        log.append(now())
        await asyncio.sleep(1)
        raise ConnectionError

    await outcome(stage("s", execute, deadline=5, retry=policy(ConnectionError, wait=3.9)))
    assert (log, now()) == ([0.0, 4.9], 5.0)


@simulated
async def test_what_an_attempt_published_is_not_lost_with_the_deadline(recorder):
    """Although no other one follows."""
    asked = StageOutput.retry("busy", after=60).publishing(StageArtifact("draft", {"n": 1}))

    async def execute():
        return asked

    results = await outcome(stage("s", execute, deadline=5, retry=policy()), sink=recorder)
    assert recorder.of("stage.s.artifact")["data"] == {"type": "draft", "payload": {"n": 1}}
    assert "(the last one: busy)" in error_of(results).message
    assert error_of(results).__cause__ is None


@pytest.mark.parametrize("retry_on", [TimeoutError, StageTimeoutError])
@simulated
async def test_the_deadline_is_never_retried(retry_on):
    """It bounds the retries, too."""
    log = []
    results = await outcome(stage("s", sleeping(10, log=log), deadline=3, retry=policy(retry_on)))
    assert (log, error_of(results).limit, results.record("s").attempts) == ([0.0], "deadline", 1)


@simulated
async def test_of_two_limits_the_shorter_one_is_told():
    """An attempt of five seconds cannot outlast a deadline of two."""
    results = await outcome(stage("s", sleeping(10), timeout=5, deadline=2))
    assert (now(), error_of(results).limit) == (2.0, "deadline")
    results = await outcome(stage("s", sleeping(10), timeout=2, deadline=5))
    assert (now(), error_of(results).limit) == (4.0, "timeout")


@pytest.mark.parametrize("cleanup", [1, 3])
@simulated
async def test_a_deadline_during_the_cleanup_of_an_attempt(cleanup):
    """The cleanup is not cut short by a second cancellation."""
    log = []
    execute = cleaning(cleanup, log=log)
    results = await outcome(stage("s", execute, timeout=2, deadline=4, retry=policy(TimeoutError, wait=10)))
    assert log == [("begun", 0.0), ("clean", 2.0 + cleanup)]
    assert (now(), error_of(results).limit) == (2.0 + cleanup, "deadline")


# --- the end of the run ------------------------------------------------------------------------------------------

LIMITS = [{"timeout": 1000}, {"deadline": 1000}, {"timeout": 1000, "deadline": 2000}]


def told(recorder):
    return [
        (event["event_type"], event["stage"], event["attempt"], event["duration_ms"], event["data"])
        for event in recorder.events
        if event["event_type"] != "pipeline.created"
    ]


BEHAVIOURS = {
    "stops": lambda log: sleeping(100),
    "cleans up": lambda log: cleaning(2, log=log),
    "returns": lambda log: cleaning(1, log=log, ends_with={"late": True}),
    "returns at once": lambda log: cleaning(0, log=log, ends_with={"late": True}),
    "skips": lambda log: cleaning(1, log=log, ends_with=StageOutput.skip("no")),
    "fails": lambda log: cleaning(1, log=log, ends_with=StageOutput.fail("no")),
    "suspends": lambda log: cleaning(1, log=log, ends_with=StageOutput.suspend("may I?")),
    "cancels": lambda log: cleaning(1, log=log, ends_with=StageOutput.cancel("me too")),
    "raises": lambda log: cleaning(1, log=log, ends_with=LookupError("closing")),
    "raises another cancellation": lambda log: cleaning(1, log=log, ends_with=asyncio.CancelledError("mine")),
    "does not stop": lambda log: ignoring(60),
    "stops late": lambda log: ignoring(7),
}


@pytest.mark.parametrize("ending", ["cancel", "failure", "caller"])
@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@simulated
async def test_a_limit_that_has_not_run_out_makes_no_difference(behaviour, limits, ending):
    """However the run ends, and whatever the stage does then: the same outcome, at the same time, and events."""
    seen = []
    for options in ({}, limits):
        sink, log, begun = Sink(), [], now()
        stages = [stage("s", BEHAVIOURS[behaviour](log), **options), stage("x", sleeping(1))]
        if ending == "failure":
            stages.append(stage("y", cleaning(0, log=[], ends_with=LookupError("no")), timeout=3))
        started = Pipeline("p", [*stages, stage("behind", sleeping(1), optional="s")]).start(event_sink=sink)
        if ending == "cancel":
            asyncio.get_running_loop().call_later(3, started.cancel, "enough")
        if ending == "caller":
            asyncio.get_running_loop().call_later(3, started._task.cancel)
        results = await started.outcome()
        seen.append(
            (
                now() - begun,
                [(record.status, record.attempts, record.duration_ms, record.origin) for record in results.records()],
                [str(output.error) for output in results.values()],
                (results.status, results.stragglers, str(results.error)),
                [(what, moment - begun) for what, moment in log],
                told(sink),
            )
        )
        await asyncio.sleep(100)
    assert seen[0] == seen[1]


class Sink:
    def __init__(self):
        self.events = []

    async def emit(self, *, type, data):
        self.events.append(data)

    def try_emit(self, *, type, data):
        self.events.append(data)


@pytest.mark.parametrize("limits", [{"timeout": 1}, {"deadline": 1}, {"timeout": 1, "deadline": 1.5}], ids=str)
@simulated
async def test_a_cleanup_after_a_timeout_is_not_cut_short_by_the_end_of_the_run(limits):
    """The stage was told to stop once, and stops; the run waits for it."""
    log = []
    started = Pipeline("p", [stage("s", cleaning(3, log=log), **limits)]).start()
    await asyncio.sleep(2)
    started.cancel("enough")
    with pytest.raises(PipelineCancelled):
        await started
    assert (log, now()) == ([("begun", 0.0), ("clean", 4.0)], 4.0)


@simulated
async def test_a_stage_whose_time_is_up_while_its_run_ends_is_not_told_twice(caplog):
    """Its run is ending: that is how it ends, and what it raises then is nobody's business."""
    log = []
    execute = cleaning(3, log=log, ends_with=LookupError("closing"))
    started = Pipeline("p", [stage("s", execute, timeout=1)]).start()
    await asyncio.sleep(2)
    started.cancel("enough")
    results = await started.outcome()
    assert (results["s"].status, results["s"].reason, now()) == (CANCEL, "enough", 4.0)
    assert caplog.messages == []


@simulated
async def test_a_timeout_that_runs_out_while_the_run_ends_changes_nothing():
    """The stage cleans up, has been cancelled, and ends with its run."""
    log = []
    started = Pipeline("p", [stage("s", cleaning(3, log=log), timeout=2.5, deadline=3)]).start()
    await asyncio.sleep(1)
    started.cancel("enough")
    results = await started.outcome()
    assert (log, now(), results["s"].status) == ([("begun", 0.0), ("clean", 4.0)], 4.0, CANCEL)


@pytest.mark.parametrize("cancelled_at", [1.5, 2, 4])
@simulated
async def test_a_straggler_whose_time_was_up_is_told_once(cancelled_at, recorder, caplog):
    """The run leaves it behind when its own grace is over, or when that of the attempt was."""
    started = Pipeline("p", [stage("s", ignoring(60), timeout=1), stage("other", sleeping(100))], cancel_grace=5).start(
        event_sink=recorder
    )
    await asyncio.sleep(cancelled_at)
    started.cancel("enough")
    results = await started.outcome()
    assert (results.stragglers, recorder.types.count("stage.s.straggling")) == (("s",), 1)
    assert (results["s"].status, now()) == (CANCEL, cancelled_at + 5)
    assert caplog.text.count("did not stop within 5 s") == 1
    assert (recorder.types.count("stage.s.cancelled"), recorder.types.count("stage.s.failed")) == (1, 0)


@simulated(seeds=range(40))
async def test_a_cancel_at_the_moment_of_the_timeout_gives_one_outcome():
    """Either of the two."""
    sink = Sink()
    started = Pipeline("p", [stage("s", sleeping(10), timeout=2)]).start(event_sink=sink)
    asyncio.get_running_loop().call_later(2, started.cancel, "enough")
    results = await started.outcome()
    types = [event["event_type"] for event in sink.events if event["stage"]]
    assert types in (["stage.s.started", "stage.s.cancelled"], ["stage.s.started", "stage.s.failed"])
    assert (now(), results.stragglers, timers()) == (2.0, (), [])
    assert results.status == ("cancelled" if types[-1].endswith("cancelled") else "failed")


# --- the wait itself ---------------------------------------------------------------------------------------------


@simulated
async def test_every_cancellation_reaches_what_is_limited():
    """One that ignores the first may obey the next, and what it returns then is what is returned."""
    seen = []

    async def stubborn():
        for _ in range(3):
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError as error:
                seen.append((now(), error.args))
        return "done"

    task = asyncio.create_task(within(1000, stubborn, grace_s=5, name="limited"))
    for reason in ("one", "two", "three"):
        await asyncio.sleep(1)
        task.cancel(reason)
    assert await task == "done"
    assert seen == [(1.0, ("one",)), (2.0, ("two",)), (3.0, ("three",))]


@simulated
async def test_what_is_limited_is_told_why_it_is_cancelled():
    """In the words of the cancellation."""
    seen = []

    async def telling():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError as error:
            seen.append(str(error))
            raise

    with pytest.raises(TimeUpError) as caught:
        await within(2.5, telling, grace_s=5, name="limited")
    assert (seen, caught.value.left_behind, now()) == (["it took longer than 2.5 s"], None, 2.5)


@simulated
async def test_a_stage_that_cancels_its_task_and_returns_all_the_same_has_returned():
    """As one without a limit has: a task that is cancelled in its last step does not tell its result."""

    async def hasty():
        asyncio.current_task().cancel()
        return {"a": 1}

    results = await Pipeline("p", [stage("hasty", hasty, timeout=1)]).run()
    assert {"a": 1} == results.data("hasty")


@simulated
async def test_the_code_of_a_limited_stage_does_not_begin_once_the_run_is_stopping():
    """Its task starts a turn after the worker has asked for it."""
    begun = []

    async def effect():
        begun.append("effect")

    async def stopper(ctx: StageContext):
        await asyncio.sleep(1)
        run.cancel("enough")

    async def wait():
        await asyncio.sleep(1)

    run = Pipeline(
        "p", [stage("wait", wait), stage("stopper", stopper), stage("effect", effect, timeout=1, dependencies="wait")]
    ).start()
    outcome = await run.outcome()
    assert ("cancelled", [], StageStatus.CANCEL) == (outcome.status, begun, outcome["effect"].status)
