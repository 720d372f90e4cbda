"""How calls to providers are logged: what is told, and that a logger never changes the call."""

import asyncio
import json
import logging
from contextvars import ContextVar
from types import SimpleNamespace
from uuid import UUID

import pytest
from stageflow import Pipeline, PipelineCancelled, RetryPolicy, StageContext, StageStatus, stage
from stageflow.calls import RECORD_LOST, logged_call
from stageflow.capabilities import StagePorts
from stageflow.errors import ProviderRateLimited, ProviderServerError, ProviderTransientError
from stageflow.observability.no_call_logger import NoOpProviderCallLogger
from stageflow_mocks.simulation import simulated


def now():
    return asyncio.get_running_loop().time()


class Log:
    """Keeps the records of calls; what `start` and `end` are told to do is done first."""

    def __init__(self, *, start=None, end=None):
        self.started = []
        self.ended = []
        self._start = start
        self._end = end

    async def log_call_start(self, **told):
        self.started.append(told)
        if self._start is not None:
            await self._start()
        return UUID(int=len(self.started))

    async def log_call_end(self, call_id, *, status, duration_ms, error_code=None, **details):
        self.ended.append({"call": call_id.int, "status": status, "ms": duration_ms, "code": error_code, **details})
        if self._end is not None:
            await self._end()


def calling(work=None, *, log=None):
    """Return a pipeline of one stage that makes a call, in which it does some work; and notes the end of that."""

    @stage(name="reply")
    async def reply(ctx: StageContext):
        async with logged_call(ctx, "chat", provider="p", model="m", messages=3) as call:
            try:
                if work is not None:
                    await work()
            finally:
                if log is not None:
                    log.append(("work ends", now()))
            call.note(finish_reason="stop")
        return {"ms": call.elapsed_ms}

    return Pipeline("chat", [reply])


async def raises(error):
    raise error


def raising(error):
    return lambda: raises(error)


@simulated
async def test_a_call_is_told_with_its_run():
    """Who asked whom for what, how long it took by the clock of the run, and how it ended."""
    log = Log()
    results = await calling(lambda: asyncio.sleep(2)).run(ports=StagePorts(call_logger=log))
    assert [
        {
            "operation": "chat",
            "provider": "p",
            "model": "m",
            "run_id": results.pipeline_run_id,
            "stage": "reply",
            "attempt": 1,
            "messages": 3,
        }
    ] == log.started
    (ended,) = log.ended
    assert {"call": 1, "status": "ok", "ms": pytest.approx(2000), "code": None, "finish_reason": "stop"} == ended
    assert json.loads(json.dumps([log.started, log.ended])) == [log.started, log.ended]


@simulated
async def test_without_a_logger_nothing_is_told():
    """A run whose ports have no call_logger, or none at all, makes its calls."""
    for ports in (None, StagePorts(), object(), StagePorts(call_logger=NoOpProviderCallLogger())):
        assert "completed" == (await calling().run(ports=ports)).status


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            ProviderServerError("It said: secret.", provider="p", status=503, request_id="r"),
            {"code": "provider-server", "http_status": 503, "request_id": "r"},
        ),
        (ProviderServerError("It said: secret.", provider="p"), {"code": "provider-server"}),
        (LookupError("secret"), {"code": "LookupError"}),
        (json.JSONDecodeError("secret", "", 0), {"code": "json.decoder.JSONDecodeError"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_told_by_its_code(error, told):
    """The error goes on as it is; its text, which may repeat what was said, is not logged."""

    @simulated
    async def main():
        log = Log()
        results = await calling(raising(error)).start(ports=StagePorts(call_logger=log)).outcome()
        assert error is results["reply"].error.exception
        assert [{"call": 1, "status": "error", "ms": pytest.approx(0), **told}] == log.ended
        assert "secret" not in repr(log.ended)

    main()


@simulated
async def test_every_attempt_is_a_call():
    """A stage that is tried again has each of its calls logged, with the wait that the provider asked for between."""
    log, times = Log(), []
    errors = [ProviderRateLimited("Wait.", provider="p", retry_after=7.0), ProviderServerError("Broke.", provider="p")]

    async def work():
        times.append(now())
        if errors:
            raise errors.pop(0)

    policy = RetryPolicy(max_attempts=3, base_delay=1.0, jitter=False, retry_on=ProviderTransientError)

    async def reply(ctx: StageContext):
        async with logged_call(ctx, "chat", provider="p"):
            await work()
        return {}

    pipeline = Pipeline("chat").with_stage("reply", reply, retry=policy)
    await pipeline.run(ports=StagePorts(call_logger=log))
    assert [1, 2, 3] == [told["attempt"] for told in log.started]
    assert ["error", "error", "ok"] == [told["status"] for told in log.ended]
    assert [7.0, 2.0] == [pytest.approx(times[1] - times[0]), pytest.approx(times[2] - times[1])]


# --- cancellation ------------------------------------------------------------------------------------------------


async def cancelled_at(seconds, log, work, *, then=None):
    """Run a call that is cancelled after some time; return the results and when the run was over."""
    run = calling(work).start(ports=StagePorts(call_logger=log))
    await asyncio.sleep(seconds)
    run.cancel("enough")
    if then is not None:
        await asyncio.sleep(then)
        run.cancel("now")
    results = await run.outcome()
    assert "cancelled" == results.status
    assert isinstance(results.error, PipelineCancelled)
    assert () == results.stragglers
    return results, now()


@simulated
async def test_a_cancelled_call_ends_cancelled():
    """The end is told, and the stage ends at once."""
    log = Log()
    _, over = await cancelled_at(1, log, lambda: asyncio.sleep(60))
    assert [("cancelled", pytest.approx(1000))] == [(told["status"], told["ms"]) for told in log.ended]
    assert pytest.approx(1) == over


@simulated
async def test_a_call_that_is_cancelled_before_it_begins_ends_cancelled():
    """While the start is being logged the stage is cancelled: the record is completed, and nothing is asked."""
    log, asked = Log(start=lambda: asyncio.sleep(0.5)), []

    async def work():
        asked.append(now())

    _, over = await cancelled_at(0.2, log, work)
    assert ([], ["cancelled"]) == (asked, [told["status"] for told in log.ended])
    assert pytest.approx(0.5) == over


@simulated
async def test_a_call_that_has_ended_stays_ok_when_its_record_is_cancelled():
    """While the end is being logged the stage is cancelled: the record says what was, and the stage ends cancelled."""
    kept = []

    async def end():
        await asyncio.sleep(0.5)
        kept.append(now())

    log = Log(end=end)
    results, over = await cancelled_at(0.2, log, None)
    assert ["ok"] == [told["status"] for told in log.ended]
    assert [pytest.approx(0.5)] == kept
    assert StageStatus.CANCEL is results["reply"].status
    assert pytest.approx(0.5) == over


@simulated
async def test_a_failed_call_whose_record_is_cancelled_is_not_tried_again():
    """The cancellation is not lost behind the error, which a policy would try again in a run that is ending."""
    log, asked = Log(end=lambda: asyncio.sleep(0.5)), []

    async def reply(ctx: StageContext):
        async with logged_call(ctx, "chat", provider="p"):
            asked.append(now())
            raise ProviderServerError("Broke.", provider="p")

    policy = RetryPolicy(max_attempts=3, base_delay=0, retry_on=ProviderTransientError)
    run = Pipeline("chat").with_stage("reply", reply, retry=policy).start(ports=StagePorts(call_logger=log))
    await asyncio.sleep(0.2)
    run.cancel("enough")
    results = await run.outcome()
    assert StageStatus.CANCEL is results["reply"].status
    assert 1 == len(asked)
    assert ["error"] == [told["status"] for told in log.ended]


@simulated
async def test_a_second_cancellation_does_not_cut_the_record_short():
    """However often a stage is cancelled, the end is told once, in the time that it may take."""
    log = Log(end=lambda: asyncio.sleep(0.5))

    async def reply(ctx: StageContext):
        async with logged_call(ctx, "chat", provider="p"):
            await asyncio.sleep(60)

    async def main():
        await Pipeline("chat").with_stage("reply", reply).run(ports=StagePorts(call_logger=log))

    task = asyncio.create_task(main())
    for _ in range(3):
        await asyncio.sleep(0.1)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ["cancelled"] == [told["status"] for told in log.ended]
    assert pytest.approx(0.6) == now()


@simulated
async def test_a_stage_whose_time_is_up_ends_its_call_cancelled():
    """A time limit of the stage is its own cancellation, and fails it as ever."""
    log = Log()

    async def reply(ctx: StageContext):
        async with logged_call(ctx, "chat", provider="p"):
            await asyncio.sleep(60)

    pipeline = Pipeline("chat").with_stage("reply", reply, timeout=2.0)
    results = await pipeline.start(ports=StagePorts(call_logger=log)).outcome()
    assert StageStatus.FAIL is results["reply"].status
    assert [("cancelled", pytest.approx(2000))] == [(told["status"], told["ms"]) for told in log.ended]


@simulated
async def test_a_generator_that_is_closed_ends_its_call_cancelled():
    """Whoever stops reading has ended the call."""
    log = Log()

    @stage
    async def reply(ctx: StageContext):
        async with logged_call(ctx, "chat", provider="p"):
            for token in "abc":
                yield token

    run = Pipeline("chat", [reply]).start(ports=StagePorts(call_logger=log))
    async for _ in run.stream("reply"):
        break
    await run
    assert ["cancelled"] == [told["status"] for told in log.ended]


# --- loggers that fail -------------------------------------------------------------------------------------------


async def stubborn():
    """Swallow the cancellation, and go on."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(60)


async def late_but_done():
    """Take the cancellation for the end of the wait."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return


LATE = "it took longer than 1 s"
FAULTS = [
    (raising(OSError("disk full")), "OSError: disk full", 0),
    (raising(asyncio.CancelledError()), "it raised CancelledError", 0),
    (raising(OSError("Bearer gsk_abcdefghijklmnopqrstuvwxyz0123456789")), "OSError: Bearer [", 0),
    (lambda: asyncio.sleep(60), LATE, 1),
    (stubborn, f"{LATE}, and did not stop when it was cancelled", 2),
]


@pytest.mark.parametrize("method", ["start", "end"])
@pytest.mark.parametrize(("fault", "why", "seconds"), FAULTS, ids=[why for _, why, _ in FAULTS])
def test_a_logger_that_fails_changes_nothing(fault, why, seconds, method, caplog, recorder):
    """The call is made and ends as it would; the loss is logged, and told in an event."""

    @simulated
    async def main():
        log = Log(**{method: fault})
        results = await calling().run(ports=StagePorts(call_logger=log), event_sink=recorder)
        assert "completed" == results.status
        assert seconds == pytest.approx(now())
        assert (1, 0 if method == "start" else 1) == (len(log.started), len(log.ended))

    with caplog.at_level(logging.WARNING, "stageflow.calls"):
        main()
    event = recorder.of(RECORD_LOST)
    assert {"operation": "chat", "provider": "p", "record": method, "lost": 1} == {
        name: value for name, value in event["data"].items() if name != "why"
    }
    assert event["data"]["why"].startswith(why)
    assert ("reply", 1) == (event["stage"], event["attempt"])
    (record,) = caplog.records
    assert f"Call logger Log lost the {method} of a call (chat to p, stage 'reply'): {why}" in record.getMessage()
    assert "gsk_" not in record.getMessage() + repr(event)


@simulated
async def test_a_record_that_comes_late_all_the_same_is_kept():
    """A logger that ends when it is told to, with the id, has a record, and the end goes to that."""
    log = Log(start=late_but_done)
    await calling().run(ports=StagePorts(call_logger=log))
    assert [1] == [told["call"] for told in log.ended]


def test_losses_are_logged_once_for_each_run(caplog, recorder):
    """A logger that is down does not fill the log: the events count on."""

    async def reply(ctx: StageContext):
        for _ in range(3):
            async with logged_call(ctx, "chat", provider="p"):
                pass
        return {}

    @simulated
    async def main():
        pipeline = Pipeline("chat").with_stage("reply", reply)
        for _ in range(2):
            await pipeline.run(ports=StagePorts(call_logger=Log(start=raising(OSError()))), event_sink=recorder)

    with caplog.at_level(logging.WARNING, "stageflow.calls"):
        main()
    assert 2 == len(caplog.records)
    lost = [event["data"]["lost"] for event in recorder.events if event["event_type"] == RECORD_LOST]
    assert [1, 2, 3, 1, 2, 3] == lost


@simulated
async def test_a_logger_that_swallows_the_cancellation_does_not_keep_it_from_the_stage():
    """The logger runs beside the stage: what it does with a cancellation is its own affair."""
    results, over = await cancelled_at(0.2, Log(start=late_but_done), lambda: asyncio.sleep(60))
    assert StageStatus.CANCEL is results["reply"].status
    assert pytest.approx(1) == over


@simulated
async def test_what_a_logger_sets_does_not_reach_the_stage():
    """A ContextVar of the logger is not seen by the stage that calls."""
    seen, variable = [], ContextVar("variable", default=None)

    async def sets():
        variable.set("logger")

    async def work():
        seen.append(variable.get())

    await calling(work).run(ports=StagePorts(call_logger=Log(start=sets)))
    assert [None] == seen


class Forgets(Log):
    """Keeps what it is told, and does not say under which id."""

    async def log_call_start(self, **told):
        await super().log_call_start(**told)


def test_a_start_without_an_id_has_no_end(caplog, recorder):
    """The ends of all calls would be kept under None: so there is a loss, and it is told."""

    @simulated
    async def main():
        log = Forgets()
        assert "completed" == (await calling().run(ports=StagePorts(call_logger=log), event_sink=recorder)).status
        assert (1, []) == (len(log.started), log.ended)

    with caplog.at_level(logging.WARNING, "stageflow.calls"):
        main()
    assert "TypeError: log_call_start returned a NoneType, not a UUID" == recorder.of(RECORD_LOST)["data"]["why"]


class Broken:
    """Ports of an application's own, which cannot be asked for their logger."""

    @property
    def call_logger(self):
        raise OSError("no connection")


@pytest.mark.parametrize(
    ("ports", "why"),
    [
        (SimpleNamespace(call_logger=object()), "AttributeError: 'object' object has no attribute 'log_call_start'"),
        (Broken(), "OSError: no connection"),
    ],
    ids=["no logger", "raises"],
)
def test_a_logger_of_ports_that_nobody_has_checked_changes_nothing(ports, why, caplog, recorder):
    """Only StagePorts looks at it beforehand."""

    @simulated
    async def main():
        assert "completed" == (await calling().run(ports=ports, event_sink=recorder)).status

    with caplog.at_level(logging.WARNING, "stageflow.calls"):
        main()
    assert why == recorder.of(RECORD_LOST)["data"]["why"]
    assert 1 == len(caplog.records)


@simulated
async def test_one_context_manager_may_stand_for_several_calls():
    """Each of them has its own record."""
    log = Log()

    async def reply(ctx: StageContext):
        call = logged_call(ctx, "chat", provider="p")
        for _ in range(2):
            async with call:
                pass

    await Pipeline("chat").with_stage("reply", reply).run(ports=StagePorts(call_logger=log))
    assert [1, 2] == [told["call"] for told in log.ended]


# --- details -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ({"run_id": "r"}, "'run_id' of a logged call is not a detail: it is known without that."),
        ({"stage": "r"}, "'stage' of a logged call is not a detail: it is known without that."),
        ({"attempt": 2}, "'attempt' of a logged call is not a detail: it is known without that."),
        (
            {"messages": ["hi"]},
            "'messages' of a logged call is a number, a string, a bool or None, not ['hi'].",
        ),
    ],
)
@simulated
async def test_a_detail_that_cannot_be_is_refused(details, text):
    """A mistake of the stage is told to the stage, also while nobody logs."""

    async def reply(ctx: StageContext):
        logged_call(ctx, "chat", provider="p", **details)

    results = await Pipeline("chat").with_stage("reply", reply).start().outcome()
    assert text == str(results["reply"].error.exception)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ({"operation": 3, "provider": "p"}, "The operation of a logged call is a string, not 3."),
        ({"operation": "chat", "provider": None}, "The provider of a logged call is a string, not None."),
        ({"operation": "chat", "provider": "p", "model": 3}, "The model of a logged call is a string, not 3."),
    ],
)
@simulated
async def test_a_name_that_is_none_is_refused(names, text):
    """A logger that keeps them in columns would lose the record, and the stage never know why."""

    async def reply(ctx: StageContext):
        given = dict(names)
        logged_call(ctx, given.pop("operation"), **given)

    results = await Pipeline("chat").with_stage("reply", reply).start().outcome()
    assert text == str(results["reply"].error.exception)


@simulated
async def test_a_noted_detail_that_cannot_be_is_refused():
    """What ends a record has names of its own."""

    async def reply(ctx: StageContext):
        async with logged_call(ctx, "chat", provider="p") as call:
            call.note(status="ok")

    results = await Pipeline("chat").with_stage("reply", reply).start().outcome()
    assert "'status' of a logged call is not a detail: it is known without that." == str(
        results["reply"].error.exception
    )
