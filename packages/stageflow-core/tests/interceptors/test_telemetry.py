"""Interceptors that only watch: what they tell, and that they never fail a stage."""

import asyncio
import logging
from contextvars import ContextVar

import pytest
from stageflow import StageOutput
from stageflow.errors import InterceptorError
from stageflow.interceptors.base import BaseInterceptor, ErrorAction
from stageflow.interceptors.defaults import get_default_interceptors
from stageflow.interceptors.logging import LoggingInterceptor
from stageflow.interceptors.metrics import MetricsInterceptor
from stageflow.interceptors.tracing import TracingInterceptor
from stageflow.protocols import Counter, Histogram, Meter, NoOpMeter, NoOpTracer, Span, Tracer
from stageflow_mocks.simulation import simulated

SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH"


class RecordingSpan:
    """Keeps what it is told, and knows what is current."""

    current = ContextVar("current_span", default=None)

    def __init__(self, tracer, name, attributes):
        self.tracer, self.name, self.attributes = tracer, name, dict(attributes)
        self.parent, self.errors, self.ended = None, [], False

    def __enter__(self):
        self.tracer.fail("enter")
        self.parent = self.current.get()
        self.token = self.current.set(self)
        return self

    def __exit__(self, *error):
        self.current.reset(self.token)
        self.ended = True
        self.tracer.fail("exit")
        return True

    def set_attribute(self, name, value):
        self.tracer.fail("set_attribute")
        self.attributes[name] = value

    def record_error(self, type, message):
        self.errors.append((type, message))


class RecordingTracer:
    """Keeps its spans, and raises where it is told to."""

    def __init__(self, *, failing=None, error=None):
        self.spans = []
        self._failing = failing
        self._error = error or OSError("the collector is gone")

    def fail(self, where):
        if where == self._failing:
            raise self._error

    def span(self, name, *, attributes):
        self.fail("span")
        self.spans.append(RecordingSpan(self, name, attributes))
        return self.spans[-1]


class RecordingMeter:
    """Keeps measurements by instrument."""

    def __init__(self, *, failing=False):
        self.made, self.measured, self._failing = {}, {}, failing

    def counter(self, name, *, unit, description):
        return self._instrument(name, unit)

    def histogram(self, name, *, unit, description):
        return self._instrument(name, unit)

    def _instrument(self, name, unit):
        meter = self
        meter.made[name] = unit

        class Instrument:
            def add(self, value, *, attributes):
                if meter._failing:
                    raise OSError("the collector is gone")
                meter.measured.setdefault(name, []).append((value, attributes))

            record = add

        return Instrument()


async def in_time():
    await asyncio.sleep(0.25)
    return {"answer": 42}


async def failing():
    await asyncio.sleep(0.25)
    raise ValueError(f"no such user, with the key {SECRET}")


async def failing_in_words():
    return StageOutput.fail("no such user", code="unknown-user")


async def hanging():
    await asyncio.sleep(1000)


async def end(trial):
    """Run an attempt, and return what came of it."""
    try:
        return await trial.run()
    except Exception as error:  # noqa: BLE001 - that is what came of it
        return error


async def cancelled(trial):
    task = asyncio.ensure_future(trial.run())
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- spans ---------------------------------------------------------------------------------------------------------


@simulated
async def test_a_span_tells_of_an_attempt(attempt):
    """Which one, and how it ended."""
    tracer = RecordingTracer()
    trial = attempt(TracingInterceptor(tracer), stage=in_time, number=2)
    await trial.run()
    (span,) = tracer.spans
    assert ("stage reply", True, []) == (span.name, span.ended, span.errors)
    assert {
        "stageflow.pipeline": "chat",
        "stageflow.run_id": trial.ctx.run.snapshot.run_id.pipeline_run_id,
        "stageflow.stage": "reply",
        "stageflow.kind": "work",
        "stageflow.attempt": 2,
        "stageflow.status": "ok",
    } == span.attributes


@pytest.mark.parametrize(
    ("stage", "status", "error"),
    [
        (failing, "fail", ("ValueError", "no such user, with the key ")),
        (failing_in_words, "fail", ("stage failure", "no such user")),
    ],
    ids=["raises", "returns"],
)
def test_a_span_tells_of_a_failure_without_secrets(attempt, stage, status, error):
    """Its type and its text."""

    @simulated
    async def check():
        tracer = RecordingTracer()
        await end(attempt(TracingInterceptor(tracer), stage=stage))
        (span,) = tracer.spans
        ((kind, message),) = span.errors
        assert (status, True) == (span.attributes["stageflow.status"], span.ended)
        assert (error[0], True, False) == (kind, message.startswith(error[1]), SECRET in message)

    check()


@simulated
async def test_a_span_ends_when_its_stage_is_cancelled(attempt):
    """That is no error."""
    tracer = RecordingTracer()
    await cancelled(attempt(TracingInterceptor(tracer), stage=hanging))
    (span,) = tracer.spans
    assert ("cancel", True, []) == (span.attributes["stageflow.status"], span.ended, span.errors)


@simulated
async def test_a_span_is_current_while_the_stage_runs(attempt):
    """So that what the stage traces is inside of it; afterwards it is not."""
    tracer, seen = RecordingTracer(), []

    async def stage():
        seen.append(RecordingSpan.current.get())

    class Inner(TracingInterceptor):
        priority = 0

    await attempt(TracingInterceptor(tracer), Inner(tracer), stage=stage).run()
    outer, inner = tracer.spans
    assert [inner] == seen
    assert inner.parent is outer
    assert RecordingSpan.current.get() is None


# --- measurements --------------------------------------------------------------------------------------------------


@simulated
async def test_attempts_are_counted_and_measured(attempt):
    """By pipeline, stage, kind, status and type of error."""
    meter = RecordingMeter()
    interceptor = MetricsInterceptor(meter)
    assert {"stageflow.stage.attempts": "1", "stageflow.stage.duration": "ms"} == meter.made
    for stage in (in_time, failing, failing_in_words):
        await end(attempt(interceptor, stage=stage))
    await cancelled(attempt(interceptor, stage=hanging))
    which = {"stageflow.pipeline": "chat", "stageflow.stage": "reply", "stageflow.kind": "work"}
    attributes = [
        {**which, "stageflow.status": "ok"},
        {**which, "stageflow.status": "fail", "error.type": "ValueError"},
        {**which, "stageflow.status": "fail", "error.type": "stage failure"},
        {**which, "stageflow.status": "cancel"},
    ]
    assert [(1, each) for each in attributes] == meter.measured["stageflow.stage.attempts"]
    durations = zip((250.0, 250.0, 0.0, 500.0), attributes, strict=True)
    assert list(durations) == meter.measured["stageflow.stage.duration"]


# --- the log -------------------------------------------------------------------------------------------------------


def lines(caplog):
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@simulated
async def logged(attempt, caplog, stage, **options):
    with caplog.at_level(logging.DEBUG, logger="stageflow.stages"):
        trial = attempt(LoggingInterceptor(**options), stage=stage, number=3)
        await (cancelled(trial) if stage is hanging else end(trial))
    return trial.ctx.run.snapshot.run_id.pipeline_run_id


def test_the_start_and_the_end_of_an_attempt_are_logged(attempt, caplog):
    """A line each, with the fields beside it; nothing of the data."""
    run = logged(attempt, caplog, in_time)
    where = f"(attempt 3, run {run})"
    assert [
        ("INFO", f"Stage 'reply' of pipeline 'chat' started {where}"),
        ("INFO", f"Stage 'reply' of pipeline 'chat' ended ok in 250.0 ms {where}"),
    ] == lines(caplog)
    fields = {"pipeline": "chat", "stage": "reply", "kind": "work", "attempt": 3, "pipeline_run_id": run}
    started, ended = (record.stageflow for record in caplog.records)
    assert fields == started
    assert {**fields, "status": "ok", "duration_ms": 250.0} == ended


def test_a_failure_is_logged_with_its_type_and_without_secrets(attempt, caplog):
    """As a warning."""
    logged(attempt, caplog, failing)
    level, text = lines(caplog)[1]
    assert "WARNING" == level
    assert text.startswith(
        "Stage 'reply' of pipeline 'chat' ended fail in 250.0 ms: ValueError: no such user, with the key "
    )
    error = caplog.records[1].stageflow["error"]
    assert ("ValueError", None) == (error["type"], error["code"])
    assert SECRET not in caplog.text + repr(error)


def test_a_failure_in_words_is_logged_with_its_code(attempt, caplog):
    """It has no type."""
    run = logged(attempt, caplog, failing_in_words)
    expected = f"Stage 'reply' of pipeline 'chat' ended fail in 0.0 ms: no such user (attempt 3, run {run})"
    assert ("WARNING", expected) == lines(caplog)[1]
    assert {"type": None, "code": "unknown-user", "message": "no such user"} == caplog.records[1].stageflow["error"]


def test_a_cancellation_is_logged(attempt, caplog):
    """It is no failure."""
    run = logged(attempt, caplog, hanging)
    expected = f"Stage 'reply' of pipeline 'chat' ended cancel in 500.0 ms (attempt 3, run {run})"
    assert ("INFO", expected) == lines(caplog)[1]


def test_the_level_and_the_logger_may_be_given(attempt, caplog):
    """What is not logged at that level costs no more than the question."""
    logged(attempt, caplog, failing, logger=logging.getLogger("stageflow.stages.mine"), level=logging.ERROR)
    assert ["ERROR", "ERROR"] == [level for level, _ in lines(caplog)]
    caplog.clear()
    logging.getLogger("stageflow.stages").setLevel(logging.WARNING)
    try:
        simulated(end)(attempt(LoggingInterceptor(), stage=in_time))
        assert [] == caplog.records
        simulated(end)(attempt(LoggingInterceptor(), stage=failing))
        assert 1 == len(caplog.records)
    finally:
        logging.getLogger("stageflow.stages").setLevel(logging.NOTSET)


# --- what they share -----------------------------------------------------------------------------------------------


class BrokenLogger(logging.Logger):
    def isEnabledFor(self, level):  # noqa: N802 - so it is called there
        raise OSError("the collector is gone")


BROKEN = {
    "span": lambda: TracingInterceptor(RecordingTracer(failing="span")),
    "enter": lambda: TracingInterceptor(RecordingTracer(failing="enter")),
    "set_attribute": lambda: TracingInterceptor(RecordingTracer(failing="set_attribute")),
    "exit": lambda: TracingInterceptor(RecordingTracer(failing="exit")),
    "cancelled": lambda: TracingInterceptor(RecordingTracer(failing="span", error=asyncio.CancelledError())),
    "meter": lambda: MetricsInterceptor(RecordingMeter(failing=True)),
    "logger": lambda: LoggingInterceptor(BrokenLogger("broken")),
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN)
def test_telemetry_that_breaks_is_told_once_and_counted(attempt, make, caplog):
    """It never fails a stage, and never saves one."""

    @simulated
    async def check():
        interceptor = make()
        for _ in range(3):
            assert StageOutput.ok(answer=42) == await end(attempt(interceptor, stage=in_time))
        assert isinstance(await end(attempt(interceptor, stage=failing)), ValueError)
        assert interceptor.lost >= 4
        (record,) = caplog.records
        told = record.getMessage()
        assert told.startswith(f"Interceptor '{interceptor.name}' could not report: ")
        assert told.endswith(". Further losses are only counted, in its `lost`.")

    check()


def test_a_span_whose_attributes_break_is_closed_all_the_same(attempt):
    """Else all that follows would be inside of it."""
    tracer = RecordingTracer(failing="set_attribute")
    simulated(end)(attempt(TracingInterceptor(tracer)))
    assert [True] == [span.ended for span in tracer.spans]


def test_what_ends_the_program_passes(attempt):
    """A tracer may be interrupted as anything may."""
    interrupted = KeyboardInterrupt()

    @simulated
    async def check():
        trial = attempt(TracingInterceptor(RecordingTracer(failing="span", error=interrupted)))
        try:
            await trial.run()
        except KeyboardInterrupt as error:
            return error

    assert check() is interrupted


@simulated
async def test_they_see_a_broken_interceptor_further_in(attempt):
    """And what one further out makes of it is not theirs."""

    class Broken(BaseInterceptor):
        async def before(self, ctx):
            raise OSError("disk")

        async def on_error(self, ctx, error):
            return ErrorAction.FALLBACK

    meter = RecordingMeter()
    assert isinstance(await end(attempt(MetricsInterceptor(meter), Broken())), InterceptorError)
    ((_, attributes),) = meter.measured["stageflow.stage.attempts"]
    assert "stageflow.errors.InterceptorError" == attributes["error.type"]


def test_the_defaults_watch_from_the_outside_in():
    """New ones each time, since a pipeline's interceptors belong to it."""
    first, second = get_default_interceptors(), get_default_interceptors()
    kinds = [TracingInterceptor, MetricsInterceptor, LoggingInterceptor]
    assert kinds == [type(one) for one in first]
    assert sorted(one.priority for one in first) == [one.priority for one in first]
    assert not {*map(id, first)} & {*map(id, second)}
    assert all(one.priority < BaseInterceptor.priority for one in first)


@simulated
async def test_the_defaults_report_to_what_they_are_given(attempt, caplog):
    """Each to its own; without any, only to the log."""
    tracer, meter = RecordingTracer(), RecordingMeter()
    logger = logging.getLogger("stageflow.stages.mine")
    with caplog.at_level(logging.INFO):
        await attempt(*get_default_interceptors(logger=logger, tracer=tracer, meter=meter)).run()
        assert (1, 1) == (len(tracer.spans), len(meter.measured["stageflow.stage.attempts"]))
        assert {"stageflow.stages.mine"} == {record.name for record in caplog.records}
        assert StageOutput.ok(answer=42) == await attempt(*get_default_interceptors()).run()


def test_the_no_ops_are_what_they_stand_for():
    """They have every method, and do nothing."""
    tracer, meter = NoOpTracer(), NoOpMeter()
    assert isinstance(tracer, Tracer)
    assert isinstance(meter, Meter)
    with tracer.span("a", attributes={}) as span:
        assert isinstance(span, Span)
        span.set_attribute("b", 1)
        span.record_error("ValueError", "no")
    counter = meter.counter("a", unit="1", description="")
    histogram = meter.histogram("a", unit="ms", description="")
    assert isinstance(counter, Counter)
    assert isinstance(histogram, Histogram)
    counter.add(1, attributes={})
    histogram.record(1.0, attributes={})


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: TracingInterceptor(5), r"The tracer of TracingInterceptor is not a Tracer, but 5: "),
        (lambda: TracingInterceptor(NoOpTracer), r"but the class NoOpTracer\. It is the class: write NoOpTracer\(\)\."),
        (lambda: MetricsInterceptor(5), r"The meter of MetricsInterceptor is not a Meter, but 5: "),
        (lambda: LoggingInterceptor("app"), r"The logger of LoggingInterceptor is a logging\.Logger, not 'app'\."),
        (lambda: LoggingInterceptor(level="INFO"), r"The level of LoggingInterceptor is a number, .* not 'INFO'\."),
        (lambda: LoggingInterceptor(level=True), r"The level of LoggingInterceptor is a number, .* not True\."),
    ],
)
def test_arguments_are_checked_when_one_is_made(make, told):
    """No stage finds out."""
    with pytest.raises(TypeError, match=told):
        make()
