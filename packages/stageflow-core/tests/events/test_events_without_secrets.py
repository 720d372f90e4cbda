"""No secret and no bytes in any event of a run, nor in what the runs themselves log, whatever the stages do."""

import asyncio
import hashlib
import json
import logging

import pytest
from stageflow import (
    ContextSnapshot,
    LoggingEventSink,
    Pipeline,
    PipelineResults,
    RunIdentity,
    StageArtifact,
    StageContext,
    StageEvent,
    StageExecutionError,
    StageOutput,
    stage,
)
from stageflow.errors import SerializationError
from stageflow.events.emitter import Emitter
from stageflow.interceptors.base import BaseInterceptor
from stageflow_mocks.simulation import simulated

SECRETS = ["gsk_abcdefghijklmnop1234", "hunter2", "s3cret", "dXNlcjpwYXNz"]
SOUND = b"RIFF" + bytes(range(256))
SUMMARY = {"bytes": 260, "sha256": hashlib.sha256(SOUND).hexdigest()}
LEAK = {"api_key": SECRETS[0], "url": "postgres://u:s3cret@db", "text": "password=hunter2", "sound": SOUND}
CLEAN = {
    "api_key": "[redacted, 24 characters]",
    "url": "postgres://u:[redacted, 6 characters]@db",
    "text": "password=[redacted, 7 characters]",
    "sound": SUMMARY,
}
WORDS = f"401 for Basic dXNlcjpwYXNz with key {SECRETS[0]}, password: 'hunter2', chunk {SOUND!r}"


def assert_clean(told):
    """Fail if a secret, or bytes in any form, stands in what was told."""
    for secret in [*SECRETS, "RIFF", "\\x00", "\x00"]:
        assert secret not in told


async def tells(ctx: StageContext):
    ctx.emit_event("tells", LEAK)
    return StageOutput.ok(LEAK).publishing(StageArtifact("clip", LEAK), StageEvent("told", LEAK))


async def raises():
    await asyncio.sleep(1)
    raise ValueError(WORDS)


async def fails():
    await asyncio.sleep(1)
    return StageOutput.fail(WORDS, code=SECRETS[0])


async def skips():
    return StageOutput.skip(WORDS)


async def cancels():
    await asyncio.sleep(1)
    return StageOutput.cancel(WORDS)


async def waits():
    await asyncio.sleep(100)


@pytest.mark.parametrize("ends", [tells, raises, fails, skips, cancels], ids=lambda ends: ends.__name__)
@simulated
async def test_no_event_holds_a_secret_or_bytes(ends, recorder, caplog):
    """However a stage ends: not the sink's, not a reader's, not the log's; nor those of stages that it took along."""
    caplog.set_level(logging.DEBUG)
    stages = [stage("ends", ends), stage("behind", waits, dependencies="ends"), stage("beside", waits)]
    run = Pipeline("p", stages).start(event_sink=recorder)
    seen = [event async for event in run.events()]
    await run.outcome()
    assert len(recorder.events) == len(seen) >= 8
    assert_clean(json.dumps(recorder.events))
    assert_clean(repr(seen))
    assert_clean(caplog.text)


@simulated
async def test_sizes_hashes_and_previews_take_their_place(recorder):
    """In an event of the stage's own, in one of its output, and in an artifact."""
    await Pipeline("p", [stage("s", tells)]).run(event_sink=recorder)
    assert recorder.of("tells")["data"] == CLEAN
    assert recorder.of("told")["data"] == CLEAN
    assert recorder.of("stage.s.artifact")["data"] == {"type": "clip", "payload": CLEAN}


@simulated
async def test_an_error_is_told_without_its_secrets(recorder):
    """What is left says what happened, in the stage's event and in what it took along."""
    stages = [stage("s", raises), stage("behind", waits, dependencies="s")]
    await Pipeline("p", stages).start(event_sink=recorder).outcome()
    error = recorder.of("stage.s.failed")["data"]["error"]
    assert error["type"] == "ValueError"
    assert error["message"].startswith("401 for Basic [redacted, 12 characters] with key [redacted, 24 characters]")
    assert "401 for Basic [redacted" in recorder.of("stage.behind.skipped")["data"]["reason"]


@simulated
async def test_a_reason_given_from_outside_is_told_without_its_secrets(recorder):
    """In the run's last event, and in those of the stages that it ended."""
    run = Pipeline("p", [stage("s", waits)]).start(event_sink=recorder)
    await asyncio.sleep(1)
    run.cancel("token=hunter2 was revoked")
    results = await run.outcome()
    assert recorder.of("pipeline.cancelled")["data"]["reason"] == "token=[redacted, 7 characters] was revoked"
    assert_clean(json.dumps(recorder.events))
    assert results.error.reason == "token=hunter2 was revoked"


@simulated
async def test_outputs_and_results_hold_what_the_stages_returned(recorder):
    """Only the events are redacted: what other stages and the caller get is as it was."""

    async def reads(ctx: StageContext):
        return {"same": dict(ctx.inputs.get_output("s").data) == LEAK}

    results = await Pipeline("p", [stage("s", tells), stage("r", reads, dependencies="s")]).run(event_sink=recorder)
    assert results.data("r") == {"same": True}
    assert results.data("s") == results["s"].artifacts[0].payload == results["s"].events[0].data == LEAK


@simulated
async def test_an_error_that_is_raised_has_all_that_the_stage_said():
    """It goes to the caller, who may log it or not."""
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", [stage("s", raises)]).run()
    assert WORDS in str(caught.value)


@simulated
async def test_bytes_in_an_artifact_do_not_go_to_json():
    """to_dict says where they are, as for bytes in data; without them the results come back equal."""

    async def draws(ctx: StageContext):
        payload = {"raw": b"x"} if ctx.snapshot.input_text else {"api_key": "x"}
        return StageOutput.ok().publishing(StageArtifact("clip", payload))

    pipeline = Pipeline("p", [stage("s", draws)])
    with pytest.raises(SerializationError) as caught:
        (await pipeline.run(input_text="bytes")).to_dict()
    assert caught.value.path == "$.stages.s.output.artifacts[0].raw"
    results = await pipeline.run()
    assert PipelineResults.from_dict(json.loads(json.dumps(results.to_dict()))) == results


@simulated
async def test_the_type_of_an_event_is_redacted_too(recorder):
    """Of one that is emitted and of one that is returned."""

    async def odd(ctx: StageContext):
        ctx.emit_event(f"called {SECRETS[0]}")
        ctx.emit_event(f"called again {SECRETS[0]}", {})
        return StageOutput.ok().publishing(StageEvent(f"returned {SECRETS[0]}"))

    await Pipeline("p", [stage("s", odd)]).run(event_sink=recorder)
    assert recorder.types[3:6] == [
        "called [redacted, 24 characters]",
        "called again [redacted, 24 characters]",
        "returned [redacted, 24 characters]",
    ]


@simulated
async def test_an_id_that_is_a_secret_is_redacted(recorder):
    """Some applications use the token of a session as its id."""
    identity = RunIdentity(session_id=SECRETS[0], user_id="u1", request_id="550e8400-e29b-41d4-a716-446655440000")
    await Pipeline("p", [stage("s", skips)]).run(ContextSnapshot(run_id=identity), event_sink=recorder)
    event = recorder.events[0]
    assert (event["session_id"], event["user_id"], event["request_id"], event["org_id"]) == (
        "[redacted, 24 characters]",
        "u1",
        "550e8400-e29b-41d4-a716-446655440000",
        None,
    )


@simulated
async def test_the_log_of_a_sinks_fault_has_no_secret(recorder, caplog):
    """Its error may tell of its connection, and the event that it lost of a key."""

    def fault(*, type, data):
        raise OSError(WORDS)

    recorder.try_emit = fault

    async def odd(ctx: StageContext):
        ctx.emit_event(SECRETS[0])

    await Pipeline("p", [stage("s", odd)]).run(event_sink=recorder)
    assert "OSError: 401 for Basic [redacted" in caplog.text
    assert_clean(caplog.text)


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (lambda: LEAK, "OK"),
        (lambda: StageOutput.fail("password=hunter2"), "FAIL: password=[redacted, 7 characters]"),
        (lambda: StageOutput.skip("password=hunter2"), "SKIP: password=[redacted, 7 characters]"),
    ],
)
@simulated
async def test_the_log_of_a_straggler_does_not_show_what_it_returned(end, told, caplog):
    """It tells how the stage ended, and why; and of an event of its that came too late the type."""

    async def stubborn(ctx: StageContext):
        try:
            await asyncio.sleep(50)
        except asyncio.CancelledError:
            await asyncio.sleep(50)
        ctx.emit_event(f"late {SECRETS[0]}", LEAK)
        return end()

    await (
        Pipeline("p", [stage("s", stubborn), stage("f", fails)], cancel_grace=1)
        .start(event_sink=LoggingEventSink())
        .outcome()
    )
    await asyncio.sleep(100)
    assert f"Stage 's' ended after its run had left it behind: {told}" in caplog.messages
    assert "Event 'late [redacted, 24 characters]' of stage 's' came after the end" in caplog.text
    assert_clean(caplog.text)


@simulated
async def test_the_log_of_an_attempt_that_was_left_behind_has_no_secret(caplog):
    """It may end with any error, long after its limit."""

    async def stubborn():
        try:
            await asyncio.sleep(50)
        except asyncio.CancelledError:
            await asyncio.sleep(50)
        raise ValueError(WORDS)

    await Pipeline("p", [stage("s", stubborn, timeout=1)], cancel_grace=1).start().outcome()
    await asyncio.sleep(100)
    assert "ended after it had been left behind: it raised ValueError: 401 for Basic [redacted" in caplog.text
    assert_clean(caplog.text)


class Breaks(BaseInterceptor):
    """Breaks on the way out."""

    def __init__(self, name, priority):
        self.name, self.priority = name, priority

    async def after(self, ctx, output):
        raise ValueError(WORDS)

    async def on_error(self, ctx, error):
        raise ValueError(WORDS)


class WaitsOnTheWayIn(BaseInterceptor):
    """Breaks when it is cancelled."""

    name, priority = "waits", 0

    async def before(self, ctx):
        try:
            await asyncio.sleep(100)
        finally:
            raise ValueError(WORDS)


@simulated
async def test_the_log_of_broken_interceptors_has_no_secret(caplog):
    """Of one that breaks after another has, and of one that breaks while its stage is cancelled."""
    broken = [Breaks("outer", 0), Breaks("inner", 1)]
    await Pipeline("p", [stage("s", skips)], interceptors=broken).start().outcome()
    run = Pipeline("p", [stage("s", skips)], interceptors=[WaitsOnTheWayIn()]).start()
    await asyncio.sleep(1)
    run.cancel()
    await run.outcome()
    assert "Then this happened" in caplog.text
    assert "of its interceptor 'waits' raised ValueError: 401 for Basic [redacted" in caplog.text
    assert_clean(caplog.text)


@simulated
async def test_the_logging_sink_writes_no_secret_that_it_is_given_directly(caplog):
    """It is a log, whoever calls it; and what is not JSON in it is told of."""
    caplog.set_level(logging.INFO)

    async def direct(ctx: StageContext):
        ctx.event_sink.try_emit(type=f"mine {SECRETS[0]}", data=LEAK)
        ctx.event_sink.try_emit(type="odd", data={"x": {1}, "duration_ms": "long"})

    await Pipeline("p", [stage("s", direct)]).run(event_sink=LoggingEventSink())
    mine, odd = caplog.records[3:5]
    assert (mine.getMessage(), mine.stageflow) == ("mine [redacted, 24 characters] (run None)", CLEAN)
    assert odd.stageflow["x"]["unpublishable"].startswith("$.x: a set is not JSON.")
    assert odd.stageflow["duration_ms"] == "long"


async def test_events_of_the_run_that_cannot_be_published_are_told_of(recorder):
    """What the executor emits never raises, whatever is in it."""
    emitter = Emitter(RunIdentity(), recorder, lambda: 0.0)
    emitter.emit("stage.s.suspended", stage="s", data={"reason": "why", "request": {1}})
    await emitter.finish("pipeline.suspended", status="suspended", duration_ms=1.0, data={"request": object()})
    told = [event["data"]["request"]["unpublishable"] for event in recorder.events]
    assert told[0].startswith("$.request: a set is not JSON.")
    assert told[1].startswith("$.request: an object is not JSON.")
    assert recorder.events[0]["data"]["reason"] == "why"


async def test_an_event_belongs_to_the_sink(recorder):
    """What a sink changes at any depth of an artifact's event reaches nobody else."""

    class Vandal(type(recorder)):
        def try_emit(self, *, type, data):
            if type == "stage.s.artifact":
                data["data"]["payload"]["points"].append("vandalized")

    async def draws():
        return StageOutput.ok().publishing(StageArtifact("chart", {"points": [1]}))

    run = Pipeline("p", [stage("s", draws)]).start(event_sink=Vandal())
    seen = [event.data async for event in run.events() if event.event_type == "stage.s.artifact"]
    results = await run
    assert results["s"].artifacts[0].payload == {"points": [1]}
    assert seen == [{"type": "chart", "payload": {"points": [1]}}]
    assert results.events_lost == 0
