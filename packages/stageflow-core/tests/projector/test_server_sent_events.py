"""Frames of server-sent events, read back by a reader that was written from the standard."""

import json

import pytest
from event_stream import EventStream, Received
from hypothesis import example, given
from hypothesis import strategies as st
from stageflow import Pipeline, PipelineEvent, RunIdentity, SSEMessageProjector, StageContext, WSMessageProjector, stage
from stageflow.errors import InvalidOptionError, ProtocolMismatchError
from stageflow.projector import sse_comment, sse_frame
from stageflow.projector.event_ids import as_sent
from stageflow_mocks.simulation import simulated

TEXT = st.text(st.characters(codec="utf-8"))
LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)


def received(text):
    return EventStream().feed(text)


@given(TEXT.filter(bool), LINE.filter(bool), LINE.filter(lambda text: "\0" not in text))
@example("a\r\nb\n\rc\r", "e", "i")
@example("\n", "e", "i")
@example(" x", " e", " i")
@example("id: 7\nevent: other\n\ndata: x", "e", "i")
@example("\ufeff", "\ufeff", "\ufeff")
def test_any_text_comes_back(data, event, id):
    """As one event, of that type and id, with each kind of line break as a newline."""
    frame = sse_frame(data, event=event, id=id)
    expected = data.replace("\r\n", "\n").replace("\r", "\n")
    assert received("x: so that the stream does not begin with it\n" + frame) == [Received(event, expected, id)]


@given(st.lists(st.tuples(TEXT.filter(bool), TEXT)), st.integers(1, 7))
def test_frames_and_comments_in_any_pieces_come_back(pairs, size):
    """Whatever the network makes of them."""
    sent = "".join(sse_frame(data) + sse_comment(comment) for data, comment in pairs)
    stream, found = EventStream(), []
    for at in range(0, len(sent), size):
        found += stream.feed(sent[at : at + size])
    assert [each.data for each in found] == [data.replace("\r\n", "\n").replace("\r", "\n") for data, _ in pairs]
    assert {each.type for each in found} <= {"message"}


EVENTS = st.builds(
    PipelineEvent,
    event_id=LINE.filter(lambda text: "\0" not in text),
    event_type=TEXT | st.sampled_from(["stage.s.started", "stage.s.artifact", "stage.s.progress", "pipeline.created"]),
    timestamp=st.floats(0, 1e10),
    sequence=st.integers(1),
    pipeline_run_id=TEXT,
    request_id=st.none() | TEXT,
    stage=st.just("s"),
    status=st.none() | TEXT,
    attempt=st.none() | st.integers(1),
    duration_ms=st.none() | st.floats(0, 1e10),
    data=st.dictionaries(TEXT, JSON) | st.just({"type": "a\n\nid: 7", "payload": {"b": "\r\ndata: x"}}),
)


@given(EVENTS)
def test_any_event_comes_back(event):
    """One frame, with the message that a WebSocket would have got, and nothing in it becomes a field of its own."""
    frame = SSEMessageProjector().project(event)
    message = WSMessageProjector().project(event)
    assert message is not None
    (found,) = received(frame)
    assert (found.type, found.last_event_id) == (message["type"], as_sent(event.event_id))
    assert json.loads(found.data) == json.loads(json.dumps(message))


def test_a_frame_looks_like_this():
    """So that changes are seen."""
    frame = sse_frame("one\ntwo", event="note", id="r1-7", retry_ms=500)
    assert frame == "retry: 500\nid: r1-7\nevent: note\ndata: one\ndata: two\n\n"


@pytest.mark.parametrize("text", ["", "keep-alive", "a\nb", "\r\ndata: x\r\n\r\n", "data: x"])
def test_a_comment_is_no_event(text):
    """Whatever it says."""
    stream = EventStream()
    assert stream.feed(sse_comment(text) + sse_frame("x")) == [Received("message", "x", "")]


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\r\nb", "\n", "a\n\ndata: forged"])
def test_a_line_break_in_a_type_or_an_id_is_refused(text):
    """It would begin a field of its own."""
    with pytest.raises(InvalidOptionError, match=r"^id of a frame of server-sent events has a line break"):
        sse_frame("x", id=text)
    with pytest.raises(InvalidOptionError, match=r"^event of a frame of server-sent events has a line break"):
        sse_frame("x", event=text)


def test_a_null_character_in_an_id_is_refused():
    """A client would ignore the id, and come back with the one before."""
    with pytest.raises(InvalidOptionError, match=r"^id of a frame"):
        sse_frame("x", id="a\0b")


@pytest.mark.parametrize("field", ["id", "event"])
def test_a_type_or_an_id_that_is_no_string_is_refused(field):
    """It would be written as it looks in Python."""
    with pytest.raises(InvalidOptionError, match=f"^{field} of a frame of server-sent events is a string, not 7"):
        sse_frame("x", **{field: 7})


def test_an_empty_id_takes_back_the_one_before():
    """As the standard has it; no id leaves it."""
    found = received(sse_frame("x", id="1") + sse_frame("y") + sse_frame("z", id=""))
    assert [each.last_event_id for each in found] == ["1", "1", ""]


@pytest.mark.parametrize("retry_ms", [-1, 0.5, True, "500", None])
def test_retry_is_a_whole_number_of_milliseconds(retry_ms):
    """A client ignores anything else."""
    if retry_ms is None:
        stream = EventStream()
        stream.feed(sse_frame("x", retry_ms=None))
        assert stream.retry_ms is None
        return
    for make in (lambda: sse_frame("x", retry_ms=retry_ms), lambda: SSEMessageProjector(retry_ms=retry_ms)):
        with pytest.raises(InvalidOptionError, match=r"^retry_ms of "):
            make()


def test_what_is_not_json_is_refused():
    """A browser could not read it."""
    event = PipelineEvent(
        event_id="r1-2",
        event_type="own",
        timestamp=1.0,
        sequence=2,
        pipeline_run_id="r1",
        stage="s",
        data={"x": float("nan")},
    )
    with pytest.raises(ValueError, match="JSON"):
        SSEMessageProjector().project(event)


def test_text_has_no_id():
    """A client that comes back names the event before it."""
    frame = SSEMessageProjector().text("r1", "reply", "a\nb", offset=3)
    (found,) = EventStream("r1-4").feed(frame)
    assert (found.type, found.last_event_id) == ("text", "r1-4")
    assert found.message == WSMessageProjector().text("r1", "reply", "a\nb", offset=3)


def test_options_are_those_of_the_messages():
    """All of them."""

    class Broken:
        pass

    with pytest.raises(InvalidOptionError, match=r"^errors of an SSEMessageProjector is "):
        SSEMessageProjector(errors=1)
    with pytest.raises(ProtocolMismatchError, match=r"^The metadata of an SSEMessageProjector is "):
        SSEMessageProjector(metadata=Broken())


@pytest.mark.parametrize("run_id", ["a\nid: 9", "a\0b", "\ud800", "Zoë 7", " a ", "100%", "%25", ""])
@simulated
async def test_a_run_of_any_id_can_be_come_back_to(run_id):
    """By what a header carries: bytes of ASCII, that a server reads as Latin-1 and cuts the spaces off."""

    @stage
    async def first():
        return {}

    run = Pipeline("p", [first]).start(run_id=RunIdentity(run_id))
    frames = [frame async for frame in run.messages(SSEMessageProjector())]
    stream = EventStream()
    for frame in frames[:2]:
        stream.feed(frame.encode().decode())
    header = stream.last_event_id.encode("ascii").decode("latin-1").strip()
    assert [frame async for frame in run.messages(SSEMessageProjector(), after=header)] == frames[2:]
    messages = [message async for message in run.messages(WSMessageProjector())]
    again = run.messages(WSMessageProjector(), after=messages[1]["event_id"])
    assert [message async for message in again] == messages[2:]
    await run


@simulated
async def test_a_run_comes_back_from_where_the_connection_broke():
    """From any frame on, by the id that a browser would send."""

    @stage
    async def first(ctx: StageContext):
        ctx.emit_event("first.note", {"text": "one\n\ntwo"})
        ctx.emit_event("hidden", {})

    run = Pipeline("p", [first]).start(run_id=RunIdentity("r1"))
    projector = SSEMessageProjector(retry_ms=250, events="first.*")
    frames = [frame async for frame in run.messages(projector)]
    assert len(frames) == 6
    assert ["retry" in frame for frame in frames] == [True] + [False] * 5
    for kept in range(1, 7):
        before = EventStream()
        for frame in frames[:kept]:
            before.feed(frame)
        assert before.retry_ms == 250
        again = [frame async for frame in run.messages(projector, after=before.last_event_id)]
        assert again == frames[kept:]
    await run
