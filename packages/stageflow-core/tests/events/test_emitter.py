"""The events of a run, and what a sink may do without harm."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable

import pytest
from stageflow import (
    ContextSnapshot,
    NoOpEventSink,
    Pipeline,
    PipelineEvent,
    RunIdentity,
    StageArtifact,
    StageContext,
    StageEvent,
    StageOutput,
    StageStatus,
    stage,
)
from stageflow.errors import SerializationError
from stageflow.events import emitter as emitter_module
from stageflow.events.emitter import TERMINAL_EMIT_TIMEOUT
from stageflow_mocks.simulation import simulated


def now():
    return asyncio.get_running_loop().time()


async def instant(ctx: StageContext):
    return {"x": 1}


async def skips():
    return StageOutput.skip("nothing to do")


async def fails():
    await asyncio.sleep(1)
    raise LookupError("no")


async def waits():
    await asyncio.sleep(100)


CHAIN = Pipeline("chain", [stage("a", instant), stage("b", instant, dependencies="a")])
CHAIN_TYPES = [
    "pipeline.created",
    "pipeline.started",
    "stage.a.started",
    "stage.a.completed",
    "stage.b.started",
    "stage.b.completed",
    "pipeline.completed",
]


@simulated
async def test_a_run_tells_its_story_in_causal_order(recorder):
    """Created, started, each stage's start and end, completed."""
    await CHAIN.run(event_sink=recorder)
    assert recorder.types == CHAIN_TYPES


async def test_sequence_numbers_count_from_one_without_gaps(recorder):
    """Every event has the next number, an id of its own, and a time that never goes back."""
    await CHAIN.run(event_sink=recorder)
    assert [event["sequence"] for event in recorder.events] == list(range(1, 8))
    assert len({event["event_id"] for event in recorder.events}) == 7
    times = [event["timestamp"] for event in recorder.events]
    assert times == sorted(times)
    assert abs(times[0] - time.time()) < 60


@simulated
async def test_every_event_carries_the_ids_of_the_run(recorder):
    """The identity of the run stands beside every event."""
    identity = RunIdentity(request_id="req", session_id="ses", user_id="usr", org_id="org")
    await CHAIN.run(ContextSnapshot(run_id=identity), event_sink=recorder)
    ids = ("pipeline_run_id", "request_id", "session_id", "user_id", "org_id")
    for event in recorder.events:
        assert [event[name] for name in ids] == [identity.pipeline_run_id, "req", "ses", "usr", "org"]


@simulated
async def test_events_are_json_ready_and_have_the_fields_of_the_schema(recorder):
    """What a sink gets is a PipelineEvent as a dict, and goes through JSON unchanged."""
    stages = [stage("a", skips), stage("b", instant, dependencies="a"), stage("c", fails), stage("d", waits)]
    await Pipeline("all", stages).start(event_sink=recorder).outcome()
    for event in recorder.events:
        assert json.loads(json.dumps(event)) == event
        assert PipelineEvent(**event).to_dict() == event


@simulated
async def test_terminal_events_say_how_and_how_long(recorder):
    """Each kind of end has its event, with status, duration, and the data that explains it."""
    stages = [
        stage("ok", instant),
        stage("skips", skips),
        stage("behind", instant, dependencies="skips"),
        stage("fails", fails),
        stage("waits", waits),
        stage("never", instant, dependencies="waits"),
    ]
    await Pipeline("all", stages).start(event_sink=recorder).outcome()
    brief = {
        event["event_type"]: (event["stage"], event["status"], event["attempt"], event["data"])
        for event in recorder.events
        if event["status"]
    }
    reason = "stage 'fails' failed"
    assert brief == {
        "stage.ok.completed": ("ok", "ok", 1, {}),
        "stage.skips.skipped": ("skips", "skip", 1, {"reason": "nothing to do"}),
        "stage.behind.skipped": (
            "behind",
            "skip",
            None,
            {"reason": "required stage 'skips' was skipped: nothing to do", "origin": "skips"},
        ),
        "stage.fails.failed": (
            "fails",
            "fail",
            1,
            {"error": {"message": "no", "type": "LookupError", "code": None}},
        ),
        "stage.waits.cancelled": ("waits", "cancel", 1, {"reason": reason, "origin": reason}),
        "stage.never.cancelled": ("never", "cancel", None, {"reason": reason, "origin": reason}),
        "pipeline.failed": (None, "failed", None, {"pipeline": "all", "failed": ["fails"], "reason": reason}),
    }
    ran = {event["stage"] for event in recorder.events if event["duration_ms"] is not None}
    assert ran == {"ok", "skips", "fails", "waits", None}
    assert all(event["duration_ms"] >= 0 for event in recorder.events if event["duration_ms"] is not None)


@simulated
async def test_started_events_carry_the_attempt(recorder):
    """A started event names stage and attempt, and has no end yet."""
    await CHAIN.run(event_sink=recorder)
    started = recorder.of("stage.a.started")
    assert (started["stage"], started["attempt"], started["status"], started["duration_ms"]) == ("a", 1, None, None)
    assert recorder.of("pipeline.created")["data"] == {"pipeline": "chain", "stages": 2}


@simulated
async def test_the_first_event_tells_where_and_how_the_run_was_asked(recorder):
    """What the snapshot says of topology, mode and transport stands in it, and nothing of what it does not say."""
    await CHAIN.run(topology="voice-fast", execution_mode="practice", transport="websocket", event_sink=recorder)
    told = {"topology": "voice-fast", "execution_mode": "practice", "transport": "websocket"}
    assert {"pipeline": "chain", "stages": 2, **told} == recorder.of("pipeline.created")["data"]
    assert {"pipeline": "chain"} == recorder.of("pipeline.completed")["data"]


@simulated
async def test_artifacts_and_events_of_an_output_are_published_before_the_stage_ends(recorder):
    """Artifacts as stage.{name}.artifact, events under their own type, all with the stage's name."""

    async def publishes():
        return StageOutput.ok(x=1).publishing(
            StageEvent("tokens", {"n": 3}), StageArtifact("chart", {"points": [1, 2]}), StageEvent("done")
        )

    await Pipeline("p", [stage("s", publishes)]).run(event_sink=recorder)
    published = [(event["event_type"], event["stage"], event["attempt"], event["data"]) for event in recorder.events]
    assert published[2:6] == [
        ("stage.s.started", "s", 1, {}),
        ("stage.s.artifact", "s", 1, {"type": "chart", "payload": {"points": [1, 2]}}),
        ("tokens", "s", 1, {"n": 3}),
        ("done", "s", 1, {}),
    ]
    assert published[6][0] == "stage.s.completed"


@pytest.mark.parametrize(
    "output", [StageOutput.skip("x"), StageOutput.fail("x"), StageOutput.cancel("x")], ids=["skip", "fail", "cancel"]
)
@simulated
async def test_what_an_output_publishes_is_published_however_the_stage_ended(output, recorder):
    """A skipped, failed or cancelling stage has its events and artifacts published too."""

    async def publishes():
        return output.publishing(StageEvent("note", {"kept": True}), StageArtifact("trace"))

    await Pipeline("p", [stage("s", publishes)]).start(event_sink=recorder).outcome()
    assert recorder.types[3:5] == ["stage.s.artifact", "note"]


@simulated
async def test_what_is_returned_while_the_run_ends_is_published_too(recorder):
    """A stage that answers its cancellation with an output has it published."""

    async def answers():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            return StageOutput.ok(partial=True).publishing(StageEvent("partial", {"n": 1}))

    await Pipeline("p", [stage("s", answers), stage("f", fails)]).start(event_sink=recorder).outcome()
    assert recorder.types[-3:] == ["partial", "stage.s.completed", "pipeline.failed"]


@pytest.mark.parametrize("kind", [StageArtifact, StageEvent])
@pytest.mark.parametrize("data", [{"raw": object()}, {"set": {1}}, {"nan": float("nan")}, {1: "key"}])
def test_what_is_not_json_cannot_be_published(kind, data):
    """Objects, sets, NaN and keys that are no strings are refused where the artifact or event is made."""
    with pytest.raises(SerializationError, match=r"\$"):
        kind("x", data)


def test_only_artifacts_and_events_can_be_published():
    """publishing() refuses anything else."""
    with pytest.raises(TypeError, match="StageArtifact and StageEvent"):
        StageOutput.ok().publishing({"type": "x"})


@simulated
async def test_a_sink_may_do_what_it_likes_with_an_event(recorder):
    """What a sink changes in an event reaches neither the stage, nor later events, nor readers."""

    class Vandal:
        def try_emit(self, *, type, data):
            data["data"]["payload"] = "vandalized"
            for key in data:
                data[key] = None

        async def emit(self, *, type, data):
            data.clear()

    async def talks(ctx: StageContext):
        mine = {"list": [1]}
        ctx.emit_event("mine", mine)
        return StageOutput.ok(mine).publishing(StageEvent("ours", mine))

    run = Pipeline("p", [stage("s", talks)]).start(event_sink=Vandal())
    events = [event async for event in run.events()]
    results = await run
    assert results.data("s") == results["s"].events[0].data == {"list": [1]}
    assert results.events_lost == 0
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6, 7]
    assert events[3].data == events[4].data == {"list": [1]}
    assert events[-1].event_type == "pipeline.completed"


class Faulty:
    """A sink that counts calls and does something bad in each."""

    def __init__(self, fault):
        self.fault = fault
        self.seen = []

    def try_emit(self, *, type, data):
        self.seen.append(type)
        return self.fault()

    async def emit(self, *, type, data):
        self.seen.append(type)


def raising(error):
    def fault():
        raise error

    return fault


class Odd(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [LookupError("sink"), asyncio.CancelledError("sink"), Odd("sink"), GeneratorExit("sink")]
)
@simulated
async def test_a_sink_that_raises_changes_nothing(error, caplog):
    """Results and order are as without it; each loss is counted, the first is logged with the sink's name."""
    sink = Faulty(raising(error))
    results = await CHAIN.run(event_sink=sink)
    assert (results.status, results.events_lost) == ("completed", 6)
    assert sink.seen == CHAIN_TYPES
    (record,) = caplog.records
    assert "Faulty lost 'pipeline.created'" in record.getMessage()
    assert f"{type(error).__name__}: sink" in record.getMessage()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_sink_is_not_swallowed(error):
    """KeyboardInterrupt and SystemExit go through a sink as through any code."""
    with pytest.raises(error):
        simulated(CHAIN.run)(event_sink=Faulty(raising(error)))


@simulated
async def test_events_that_a_sink_refuses_are_counted(caplog):
    """try_emit that returns False has dropped the event; that is counted and not a fault to log."""
    results = await CHAIN.run(event_sink=Faulty(lambda: False))
    assert results.events_lost == 6
    assert caplog.records == []


@simulated
async def test_the_first_fault_is_logged_after_refusals_too(caplog):
    """A sink that first refused and then raises has its first exception logged, once."""
    answers = iter([lambda: False, lambda: False, raising(LookupError("full")), raising(LookupError("again"))])

    def fault():
        return next(answers, lambda: None)()

    results = await CHAIN.run(event_sink=Faulty(fault))
    assert results.events_lost == 4
    assert [("full" in record.getMessage()) for record in caplog.records] == [True]


@pytest.mark.parametrize("answer", [None, True, 0, "dropped"])
@simulated
async def test_any_other_answer_means_that_the_event_was_taken(answer):
    """Only False is a refusal."""
    assert (await CHAIN.run(event_sink=Faulty(lambda: answer))).events_lost == 0


@simulated
async def test_a_slow_sink_delays_but_changes_nothing(monkeypatch):
    """A sink that blocks the loop for long leaves results, order and sequence as they are."""
    clock = time.perf_counter_ns

    def block():
        until = clock() + 2_000_000
        while clock() < until:
            pass

    sink = Faulty(block)
    results = await CHAIN.run(event_sink=sink)
    assert (results.status, results.events_lost, sink.seen) == ("completed", 0, CHAIN_TYPES)


class LastEvent:
    """A sink whose `emit` does as it is told."""

    def __init__(self, emit):
        self._emit = emit
        self.cleaned = None

    def try_emit(self, *, type, data):
        return None

    async def emit(self, *, type, data):
        try:
            await self._emit()
        finally:
            self.cleaned = now()


@simulated
async def test_the_last_event_is_awaited():
    """run() returns when the sink has taken the run's terminal event."""

    async def takes_its_time():
        await asyncio.sleep(3)

    sink = LastEvent(takes_its_time)
    results = await CHAIN.run(event_sink=sink)
    assert (sink.cleaned, now(), results.events_lost) == (3.0, 3.0, 0)


@pytest.mark.parametrize(("answer", "lost"), [(False, 1), (None, 0), (True, 0), (0, 0)])
@simulated
async def test_a_last_event_that_is_refused_is_counted(answer, lost):
    """`emit` that returns False has dropped it, as with try_emit."""

    class Refuses:
        def try_emit(self, *, type, data):
            return None

        async def emit(self, *, type, data):
            return answer

    assert (await CHAIN.run(event_sink=Refuses())).events_lost == lost


@simulated
async def test_a_sink_that_hangs_in_the_last_event_is_cut_off(caplog):
    """After the time limit the sink is cancelled, the event is counted as lost, and the result stands."""
    before = asyncio.all_tasks()
    sink = LastEvent(waits)
    results = await CHAIN.run(event_sink=sink)
    assert (results.status, results.events_lost) == ("completed", 1)
    assert (sink.cleaned, now()) == (TERMINAL_EMIT_TIMEOUT, TERMINAL_EMIT_TIMEOUT)
    assert "lost 'pipeline.completed': the sink took longer than 5 s" in caplog.text
    assert asyncio.all_tasks() == before


@simulated
async def test_a_sink_that_ignores_being_cut_off_is_left(caplog):
    """A sink that hangs whatever happens holds the run up for twice the limit at most."""

    async def hangs():
        until = now() + 100
        while now() < until:
            try:
                await asyncio.sleep(until - now())
            except asyncio.CancelledError:
                continue

    results = await CHAIN.run(event_sink=LastEvent(hangs))
    assert (results.status, results.events_lost, now()) == ("completed", 1, 2 * TERMINAL_EMIT_TIMEOUT)
    assert "did not stop when it was cancelled" in caplog.text
    await asyncio.sleep(200)


@simulated
async def test_a_sink_that_takes_the_event_late_after_all_has_taken_it():
    """A sink that answers being cut off by finishing its work has lost nothing."""

    async def finishes():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(1)

    results = await CHAIN.run(event_sink=LastEvent(finishes))
    assert (results.events_lost, now()) == (0, TERMINAL_EMIT_TIMEOUT + 1)


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (LookupError("down"), "LookupError: down"),
        (asyncio.CancelledError(), "the sink raised CancelledError"),
        (Odd("odd"), "Odd: odd"),
    ],
)
@simulated
async def test_a_sink_that_raises_in_the_last_event_changes_nothing(error, logged, caplog):
    """What emit raises is counted and logged; the run ends as it would have."""

    async def fault():
        raise error

    results = await CHAIN.run(event_sink=LastEvent(fault))
    assert (results.status, results.events_lost) == ("completed", 1)
    assert logged in caplog.text


@pytest.mark.parametrize("error", [LookupError("sync"), asyncio.CancelledError("sync")])
@simulated
async def test_an_emit_that_raises_before_it_is_awaited_changes_nothing(error, caplog):
    """An emit that is a callable object and fails at once is counted and logged."""

    class Sync:
        def try_emit(self, *, type, data):
            return None

        class Emit:
            def __call__(self, **kwargs) -> Awaitable[None]:
                raise error

        emit = Emit()

    results = await CHAIN.run(event_sink=Sync())
    assert (results.status, results.events_lost) == ("completed", 1)
    assert "sync" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_before_the_last_event_is_awaited_is_not_swallowed(error):
    """KeyboardInterrupt and SystemExit go through an emit that is a callable object, too."""

    class Sync:
        def try_emit(self, *, type, data):
            return None

        class Emit:
            def __call__(self, **kwargs) -> Awaitable[None]:
                raise error

        emit = Emit()

    with pytest.raises(error):
        simulated(CHAIN.run)(event_sink=Sync())


@simulated
async def test_an_emit_that_gives_nothing_to_await_is_counted(caplog):
    """An emit whose result cannot be awaited has lost the event."""

    class Sync:
        def try_emit(self, *, type, data):
            return None

        class Emit:
            def __call__(self, **kwargs) -> Awaitable[None]:
                return 42

        emit = Emit()

    assert (await CHAIN.run(event_sink=Sync())).events_lost == 1
    assert "TypeError" in caplog.text


@simulated
async def test_a_caller_cancelled_during_the_last_event_leaves_no_task(caplog):
    """The cancellation propagates once the sink has stopped; the event counts as lost, the run as completed."""
    before = asyncio.all_tasks()
    sink = LastEvent(waits)
    run = CHAIN.start(event_sink=sink)

    async def awaits():
        await run

    task = asyncio.create_task(awaits())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    results = await run.outcome()
    assert (sink.cleaned, now()) == (1.0, 1.0)
    assert (results.status, results.error, results.events_lost) == ("completed", None, 1)
    assert "the caller was cancelled before the sink had taken it" in caplog.text
    assert asyncio.all_tasks() == before


@simulated
async def test_a_caller_cancelled_again_and_again_during_the_last_event_leaves_no_task():
    """Further cancellations do not cut the sink's cleanup short."""

    async def cleans_up():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(2)

    before, sink = asyncio.all_tasks(), LastEvent(cleans_up)
    task = asyncio.create_task(CHAIN.run(event_sink=sink))
    await asyncio.sleep(1)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.25)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sink.cleaned == 3.0
    assert asyncio.all_tasks() == before


@simulated
async def test_a_sink_may_cancel_the_run():
    """A sink that cancels the run at an event stops it: what is behind that stage does not start."""

    class Impatient:
        def __init__(self):
            self.types = []

        def try_emit(self, *, type, data):
            self.types.append(type)
            if type == "stage.a.completed":
                run.cancel("enough")

        async def emit(self, *, type, data):
            self.types.append(type)

    sink = Impatient()
    run = CHAIN.start(event_sink=sink)
    results = await run.outcome()
    assert (results.status, results["a"].status, results["b"].status) == (
        "cancelled",
        StageStatus.OK,
        StageStatus.CANCEL,
    )
    assert sink.types == [*CHAIN_TYPES[:4], "stage.b.cancelled", "pipeline.cancelled"]


@pytest.mark.parametrize("at", ["pipeline.created", "pipeline.started"])
@simulated
async def test_a_sink_may_cancel_the_run_before_any_stage(at):
    """A sink that cancels at the first events keeps every stage from starting."""

    class Impatient(Faulty):
        def try_emit(self, *, type, data):
            self.seen.append(type)
            if type == at:
                run.cancel("enough")

    sink = Impatient(None)
    run = CHAIN.start(event_sink=sink)
    assert (await run.outcome()).status == "cancelled"
    assert sink.seen == [*CHAIN_TYPES[:2], "stage.a.cancelled", "stage.b.cancelled", "pipeline.cancelled"]


@pytest.mark.parametrize("sink", [None, NoOpEventSink()])
@simulated
async def test_without_a_listener_no_event_is_made(sink, monkeypatch):
    """With no sink, or the one that does nothing, no emitter exists, and what a stage emits is not even checked."""
    made = []
    monkeypatch.setattr(emitter_module.Emitter, "_event", lambda *args: made.append(args))
    checked = []

    async def talks(ctx: StageContext):
        ctx.emit_event("x", {"object": object()})
        checked.append(True)
        return StageOutput.ok().publishing(StageEvent("y"))

    await Pipeline("quiet", [stage("s", talks)]).run(event_sink=sink)
    assert (made, checked) == ([], [True])


@simulated
async def test_two_runs_number_their_events_apart(recorder):
    """Each of two concurrent runs counts from one."""
    await asyncio.gather(CHAIN.run(event_sink=recorder), CHAIN.run(event_sink=recorder))
    by_run = {}
    for event in recorder.events:
        by_run.setdefault(event["pipeline_run_id"], []).append(event["sequence"])
    assert list(by_run.values()) == [list(range(1, 8))] * 2


@simulated
async def test_logged_losses_name_what_to_look_at(caplog):
    """The one log line of a faulty sink is a warning that points to results.events_lost."""
    await CHAIN.run(event_sink=Faulty(raising(LookupError("x"))))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "results.events_lost" in record.getMessage()


class MuteError(Exception):
    """Cannot even say what it is."""

    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize("method", ["try_emit", "emit"])
@simulated
async def test_a_sink_whose_error_cannot_be_told_changes_nothing(method, recorder, monkeypatch, caplog):
    """The loss is logged as well as it can be."""

    def fail(*, type, data):
        raise MuteError

    async def fail_later(*, type, data):
        raise MuteError

    monkeypatch.setattr(recorder, method, fail if method == "try_emit" else fail_later)
    results = await CHAIN.run(event_sink=recorder)
    assert (results.status, results.events_lost) == ("completed", 6 if method == "try_emit" else 1)
    assert "MuteError: <its __str__ raised RuntimeError>" in caplog.text
