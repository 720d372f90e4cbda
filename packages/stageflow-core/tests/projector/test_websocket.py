"""The messages that a client gets: their shapes, and what is kept from it."""

import asyncio
import json

import pytest
from stageflow import (
    Pipeline,
    PipelineEvent,
    RetryPolicy,
    RunIdentity,
    StageArtifact,
    StageContext,
    StageKind,
    StageOutput,
    StageStatus,
    WSMessageProjector,
    stage,
)
from stageflow.errors import InvalidOptionError, ProjectionError, ProtocolMismatchError
from stageflow.protocols import NoOpPipelineMetadata
from stageflow_mocks.simulation import simulated

SECRET = "no row in table customers"


def event(event_type, *, stage=None, sequence=1, data=None, **fields):
    return PipelineEvent(
        event_id=f"r1-{sequence}",
        event_type=event_type,
        timestamp=5.0,
        sequence=sequence,
        pipeline_run_id="r1",
        stage=stage,
        data=data or {},
        **fields,
    )


def head(type, sequence):
    return {"type": type, "run_id": "r1", "sequence": sequence, "event_id": f"r1-{sequence}", "timestamp": 5.0}


async def messages_of(pipeline, projector=None, **fields):
    """Return what a client gets of a run, without its ids and times."""
    run = pipeline.start(run_id=RunIdentity("r1"), **fields)
    found = [message async for message in run.messages(projector or WSMessageProjector())]
    await run.outcome()
    if run.done:
        await asyncio.gather(run, return_exceptions=True)
    assert json.loads(json.dumps(found)) == found
    for message in found:
        assert message["event_id"] == f"{message.pop('run_id')}-{message.pop('sequence')}"
        del message["event_id"], message["timestamp"]
        message.pop("duration_ms", None)
    return found


def statuses(messages, stage):
    return [message for message in messages if message["type"] == "status" and message["stage"] == stage]


# --- shapes ------------------------------------------------------------------------------------------------------


def test_the_first_message_says_what_runs():
    """Which pipeline, how many stages, and how it was asked."""
    data = {"pipeline": "chat", "stages": 3, "topology": "voice.fast", "execution_mode": "live", "transport": "ws"}
    made = WSMessageProjector().project(event("pipeline.created", data=data, request_id="q1"))
    assert made == {
        **head("metadata", 1),
        "pipeline": "chat",
        "stages": 3,
        "topology": "voice.fast",
        "labels": {},
        "execution_mode": "live",
        "transport": "ws",
        "request_id": "q1",
        "parent_run_id": None,
    }


def test_the_first_message_of_a_child_names_its_parent():
    """And where it was started; that of a resumed run the run before."""
    data = {"pipeline": "look_up", "stages": 1, "parent_stage": "reply", "depth": 2, "resumed_from": "r-1"}
    made = WSMessageProjector().project(event("pipeline.created", data=data, parent_run_id="r0"))
    told = ("parent_run_id", "parent_stage", "depth", "resumed_from")
    assert {name: made[name] for name in told} == {
        "parent_run_id": "r0",
        "parent_stage": "reply",
        "depth": 2,
        "resumed_from": "r-1",
    }


def test_nobody_is_named_to_a_client():
    """User, tenant and session stay on the server."""
    ids = {"user_id": "u-77", "org_id": "o-77", "session_id": "s-77"}
    for made in (event("pipeline.created", **ids), event("a.note", stage="a", **ids)):
        assert "77" not in json.dumps(WSMessageProjector().project(made))


def test_a_status_says_which_stage_and_how_it_goes():
    """Also for how long, at its end."""
    projector = WSMessageProjector()
    began = projector.project(event("stage.a.started", stage="a", sequence=3, attempt=1))
    ended = projector.project(
        event("stage.a.completed", stage="a", sequence=4, attempt=1, status="ok", duration_ms=2.5)
    )
    assert began == {**head("status", 3), "stage": "a", "status": "running", "attempt": 1}
    assert ended == {**head("status", 4), "stage": "a", "status": "ok", "attempt": 1, "duration_ms": 2.5}


def test_the_status_of_the_run_has_no_stage():
    """It has begun."""
    made = WSMessageProjector().project(event("pipeline.started", sequence=2))
    assert made == {**head("status", 2), "stage": None, "status": "running"}


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "suspended"])
def test_the_last_message_is_of_a_type_of_its_own(status):
    """However the run ended."""
    data = {"pipeline": "chat", "failed": ["a"], "suspended": ["b"], "reason": "it was"}
    made = WSMessageProjector().project(event(f"pipeline.{status}", status=status, duration_ms=7.0, data=data))
    assert made == {
        **head("end", 1),
        "status": status,
        "duration_ms": 7.0,
        "failed": ["a"],
        "suspended": ["b"],
        "reason": "it was",
    }


def test_progress_of_a_map_is_a_message():
    """So many of so many."""
    made = WSMessageProjector().project(event("stage.a.progress", stage="a", data={"done": 3, "total": None}))
    assert made == {**head("progress", 1), "stage": "a", "done": 3, "total": None}


def test_text_says_where_it_belongs():
    """A client that gets some of it twice puts it where it was."""
    made = WSMessageProjector().text("r1", "reply", "lo", offset=3)
    assert made == {"type": "text", "run_id": "r1", "stage": "reply", "offset": 3, "text": "lo"}


@simulated
async def test_what_stages_publish_is_a_message():
    """Their own events, and their artifacts."""

    @stage
    async def clip(ctx: StageContext):
        ctx.emit_event("clip.note", {"n": 1, "deep": [{"x": None}]})
        return StageOutput.ok({}).publishing(StageArtifact("wav", {"ms": 120}))

    found = await messages_of(Pipeline("p", [clip]))
    assert found[3:5] == [
        {"type": "event", "stage": "clip", "attempt": 1, "event": "clip.note", "data": {"n": 1, "deep": [{"x": None}]}},
        {"type": "artifact", "stage": "clip", "attempt": 1, "artifact": "wav", "payload": {"ms": 120}},
    ]


@simulated
async def test_a_run_is_one_metadata_message_and_one_end_around_the_rest():
    """In every way in which a run can end."""

    @stage
    async def ends(ctx: StageContext):
        match ctx.snapshot.input_text:
            case "fail":
                raise ValueError(SECRET)
            case "cancel":
                return StageOutput.cancel("not allowed")
            case "suspend":
                return StageOutput.suspend({"ask": "me"})
        return {}

    expected = {"ok": "completed", "fail": "failed", "cancel": "cancelled", "suspend": "suspended"}
    for text, status in expected.items():
        found = await messages_of(Pipeline("p", [ends]), input_text=text)
        types = [message["type"] for message in found]
        assert (types[0], types[-1], types.count("metadata"), types.count("end")) == ("metadata", "end", 1, 1)
        assert found[-1]["status"] == status


# --- what is kept from a client ----------------------------------------------------------------------------------


@stage(retry=RetryPolicy(max_attempts=2, base_delay=1, jitter=False, retry_on=LookupError), critical=False)
async def fails(ctx: StageContext):
    raise LookupError(SECRET)


@stage
async def needs(fails: dict):
    raise NotImplementedError


@stage
async def needs_that(needs: dict):
    raise NotImplementedError


FAILING = Pipeline("p", [fails, needs, needs_that], on_failure="continue")


@simulated
async def test_no_text_of_an_error_reaches_a_client():
    """Not by the failure, its attempts, the stages that it skipped, nor the end of the run."""
    found = await messages_of(FAILING)
    assert SECRET not in json.dumps(found)
    assert "LookupError" not in json.dumps(found)
    assert statuses(found, "fails") == [
        {"type": "status", "stage": "fails", "status": "running", "attempt": 1},
        {
            "type": "status",
            "stage": "fails",
            "status": "retrying",
            "attempt": 1,
            "next_attempt": 2,
            "delay_s": 1.0,
            "error": {"code": None},
        },
        {"type": "status", "stage": "fails", "status": "fail", "attempt": 2, "error": {"code": None}},
    ]
    assert statuses(found, "needs_that") == [
        {"type": "status", "stage": "needs_that", "status": "skip", "attempt": None, "origin": "fails"}
    ]


@simulated
async def test_the_code_of_an_error_is_told():
    """It is what a program on the other side can act on."""

    @stage
    async def refuses(ctx: StageContext):
        return StageOutput.fail(SECRET, code="quota")

    found = await messages_of(Pipeline("p", [refuses]))
    assert statuses(found, "refuses")[-1]["error"] == {"code": "quota"}


@simulated
async def test_texts_of_errors_are_told_if_they_are_asked_for():
    """For a developer's own page."""
    found = await messages_of(FAILING, WSMessageProjector(errors=True))
    retrying, failed = statuses(found, "fails")[1:]
    assert retrying["error"] == failed["error"] == {"message": SECRET, "type": "LookupError", "code": None}
    assert SECRET in statuses(found, "needs_that")[0]["reason"]


@simulated
async def test_reasons_that_authors_wrote_are_told():
    """A skip and a cancel of a stage's own, and that of the run."""

    @stage
    async def skips(ctx: StageContext):
        return StageOutput.skip("nothing to do")

    @stage(kind=StageKind.GUARD, dependencies=())
    async def cancels(ctx: StageContext):
        await asyncio.sleep(1)
        return StageOutput.cancel("not allowed")

    found = await messages_of(Pipeline("p", [skips, cancels]))
    assert statuses(found, "skips")[-1]["reason"] == "nothing to do"
    assert statuses(found, "cancels")[-1]["reason"] == "not allowed"
    assert found[-1]["reason"] == "stage 'cancels' cancelled the run: not allowed"


@simulated
async def test_what_a_human_is_asked_is_told_if_it_is_asked_for():
    """Who watches a run need not be who decides."""

    @stage
    async def asks(ctx: StageContext):
        return StageOutput.suspend({"amount": 5})

    closed = await messages_of(Pipeline("p", [asks]))
    opened = await messages_of(Pipeline("p", [asks]), WSMessageProjector(requests=True))
    assert "request" not in statuses(closed, "asks")[-1]
    assert statuses(opened, "asks")[-1]["request"] == {"amount": 5}
    assert opened[-1]["suspended"] == ["asks"]


@pytest.mark.parametrize(
    ("patterns", "told"),
    [
        ("*", ["a.note", "b.note", "a.secret"]),
        ((), []),
        ("a.*", ["a.note", "a.secret"]),
        (["*.note"], ["a.note", "b.note"]),
        (("b.note", "a.secret"), ["b.note", "a.secret"]),
    ],
)
def test_own_events_and_artifacts_are_told_by_pattern(patterns, told):
    """An application lists what is for its clients."""
    types = ["a.note", "b.note", "a.secret"]
    for name in ("events", "artifacts"):
        projector = WSMessageProjector(**{name: patterns})
        events = [event(kind, stage="s") for kind in types]
        artifacts = [event("stage.s.artifact", stage="s", data={"type": kind, "payload": {}}) for kind in types]
        found_events = [made["event"] for each in events if (made := projector.project(each))]
        found_artifacts = [made["artifact"] for each in artifacts if (made := projector.project(each))]
        assert found_events == (told if name == "events" else types)
        assert found_artifacts == (told if name == "artifacts" else types)


@pytest.mark.parametrize("event_type", ["pipeline.measured", "pipeline", "other"])
def test_events_of_the_run_that_are_not_known_are_not_told(event_type):
    """A later version may put into them what is not for a client."""
    assert WSMessageProjector().project(event(event_type)) is None


@pytest.mark.parametrize(
    "event_type",
    [
        "pipeline.completed",
        "stage.other.failed",
        "stage.s.failed",
        "stage.s.odd",
        "failed",
        "started",
        "artifact",
        "progress",
    ],
)
def test_a_stage_cannot_pretend_that_something_ended(event_type):
    """An event of its own stays one, whatever it is called."""
    made = WSMessageProjector().project(event(event_type, stage="s", attempt=1))
    assert (made["type"], made["event"]) == ("event", event_type)


def test_a_stage_left_behind_is_told():
    """Without how long it was waited for."""
    made = WSMessageProjector().project(event("stage.s.straggling", stage="s", data={"cancel_grace_s": 5.0}))
    assert made == {**head("status", 1), "stage": "s", "status": "straggling"}


def test_every_status_of_a_stage_that_ended_is_told_as_it_is():
    """In the words of StageStatus."""
    ends = {"completed": "OK", "failed": "FAIL", "skipped": "SKIP", "cancelled": "CANCEL", "suspended": "SUSPEND"}
    for word, name in ends.items():
        status = StageStatus[name].value
        made = WSMessageProjector().project(event(f"stage.s.{word}", stage="s", status=status, duration_ms=1.0))
        assert (made["type"], made["status"], made["duration_ms"]) == ("status", status, 1.0)


# --- what an application plugs in --------------------------------------------------------------------------------


class Variants:
    """Reads "service.variant"."""

    def interpret(self, topology):
        service, variant = topology.split(".")
        return {"service": service, "variant": variant}


def created(topology):
    return event("pipeline.created", data={"pipeline": "p", "stages": 1, "topology": topology})


def test_metadata_says_what_a_topology_means():
    """In the application's own words."""
    made = WSMessageProjector(metadata=Variants()).project(created("voice.fast"))
    assert made["labels"] == {"service": "voice", "variant": "fast"}
    assert WSMessageProjector(metadata=NoOpPipelineMetadata()).project(created("voice.fast"))["labels"] == {}


def test_metadata_is_not_asked_about_no_topology():
    """It takes a string."""
    assert WSMessageProjector(metadata=Variants()).project(created(None))["labels"] == {}


def test_metadata_that_raises_is_named():
    """With the topology that it did not understand."""
    with pytest.raises(ProjectionError, match=r"Variants raised ValueError for the topology 'voice'") as caught:
        WSMessageProjector(metadata=Variants()).project(created("voice"))
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("labels", [None, "voice", {"service": 3}, {1: "x"}, [("a", "b")]])
def test_metadata_that_gives_something_else_is_named(labels):
    """Texts by name are expected."""

    class Odd:
        def interpret(self, topology):
            return labels

    with pytest.raises(ProjectionError, match=r"Odd gave .* for the topology 'voice'"):
        WSMessageProjector(metadata=Odd()).project(created("voice"))


def test_metadata_that_is_none_is_refused_when_it_is_handed_over():
    """With the method as it should be."""
    with pytest.raises(ProtocolMismatchError, match=r"The metadata of a WSMessageProjector .*def interpret"):
        WSMessageProjector(metadata=object())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("errors", 1),
        ("errors", None),
        ("requests", "no"),
        ("events", 3),
        ("events", [3]),
        ("events", ""),
        ("artifacts", None),
        ("artifacts", ["a", ""]),
    ],
)
def test_an_option_that_cannot_be_is_refused(option, value):
    """`errors="false"` would tell them all."""
    with pytest.raises(InvalidOptionError, match=f"^{option} of a WSMessageProjector is "):
        WSMessageProjector(**{option: value})
