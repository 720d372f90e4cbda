"""What a run was asked: frozen, and exact through JSON."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow import ContextSnapshot, Conversation, RunIdentity
from stageflow.context.snapshot import SCHEMA_VERSION
from stageflow.errors import NotCopyableError, SchemaVersionError, SerializationError
from stageflow.frozen import FrozenDict
from stageflow.providers import Message, ToolCall

MOMENT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


@dataclass
class Payload:
    words: list[str] = field(default_factory=list)


class Vector:
    """Compares like a numpy array."""

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError("The truth value of an array is ambiguous.")

    __hash__ = None


def full(**changes: Any) -> ContextSnapshot:
    """Return a snapshot with every field set."""
    fields: dict[str, Any] = {
        "run_id": RunIdentity("run", "request", "session", "user", "org", "interaction"),
        "input_text": "hello",
        "input": {"page": [1, 2]},
        "input_audio_duration_ms": 1500.5,
        "topology": "fast",
        "execution_mode": "live",
        "transport": "websocket",
        "conversation": Conversation()
        .with_message("user", "hi")
        .with_message("assistant", "", tool_calls=(ToolCall("call_1", "sum", "[2, 2]"),))
        .with_message("tool", "4", name="sum", tool_call_id="call_1"),
        "enrichments": {"profile": {"name": "Ada"}},
        "extensions": {"shop": {"basket": ["tea"]}},
        "metadata": {"trace": None},
        "created_at": MOMENT,
    }
    return ContextSnapshot(**{**fields, **changes})


def test_a_snapshot_without_anything_has_defaults() -> None:
    """Everything that nobody said is None or empty, and the moment is now, in UTC."""
    before = datetime.now(UTC)
    snapshot = ContextSnapshot()
    assert before <= snapshot.created_at <= datetime.now(UTC)
    assert UTC is snapshot.created_at.tzinfo
    texts = (snapshot.input_text, snapshot.topology, snapshot.execution_mode, snapshot.transport)
    assert (None, None, None, None) == texts
    assert (None, None) == (snapshot.input, snapshot.input_audio_duration_ms)
    assert ({}, {}, {}) == (snapshot.enrichments, snapshot.extensions, snapshot.metadata)
    assert Conversation() == snapshot.conversation


# --- frozen ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ContextSnapshot.__init__.__kwdefaults__, "something"])
def test_no_field_can_be_set_or_deleted(name: str) -> None:
    """Setting says how to get another snapshot."""
    snapshot = full()
    with pytest.raises(AttributeError, match=rf"snapshot\.replace\({name}=\.\.\.\) returns another"):
        setattr(snapshot, name, 1)
    with pytest.raises(AttributeError, match=f"'{name}' cannot be deleted"):
        delattr(snapshot, name)


@pytest.mark.parametrize("name", ["input", "enrichments", "extensions", "metadata"])
def test_data_are_frozen_all_the_way_down(name: str) -> None:
    """No reader can change what the others read."""
    snapshot = ContextSnapshot(**{name: {"a": {"b": [1]}}})
    with pytest.raises(TypeError, match="frozen"):
        getattr(snapshot, name)["a"]["b"].append(2)


@pytest.mark.parametrize("name", ["input", "enrichments", "extensions", "metadata"])
def test_a_mutable_object_is_copied_for_each_reader(name: str) -> None:
    """Neither the caller nor a reader can change it for anyone else."""
    payload = Payload(["a"])
    snapshot = ContextSnapshot(**{name: {"p": payload}})
    payload.words.append("by the caller")
    getattr(snapshot, name)["p"].words.append("by a reader")
    assert Payload(["a"]) == getattr(snapshot, name)["p"]


def test_a_typed_input_keeps_its_type() -> None:
    """A contract value is what the stages get."""
    assert Payload(["a"]) == ContextSnapshot(input=Payload(["a"])).input


def test_what_cannot_be_copied_is_named_by_its_field() -> None:
    """The caller sees which keyword to look at."""
    with pytest.raises(NotCopyableError) as caught:
        ContextSnapshot(metadata={"user": {"lock": threading.Lock()}})
    assert "metadata['user']['lock']" == caught.value.path


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        (
            {"run_id": "r"},
            TypeError,
            (
                "run_id of a snapshot is a RunIdentity, not a str. "
                "Make one: RunIdentity(session_id=...); its pipeline_run_id is new unless given."
            ),
        ),
        ({"input_text": 5}, TypeError, "input_text of a snapshot is a str, not an int."),
        ({"input_text": 0}, TypeError, "input_text of a snapshot is a str, not an int."),
        ({"topology": b"a"}, TypeError, "topology of a snapshot is a str, not a bytes."),
        ({"execution_mode": []}, TypeError, "execution_mode of a snapshot is a str, not a list."),
        ({"transport": False}, TypeError, "transport of a snapshot is a str, not a bool."),
        (
            {"conversation": []},
            TypeError,
            (
                "conversation of a snapshot is a Conversation, not a list. "
                "Make one: Conversation().with_message('user', '...')."
            ),
        ),
        ({"metadata": [("a", 1)]}, TypeError, "metadata of a snapshot is a Mapping, not a list."),
        ({"enrichments": None}, TypeError, "enrichments of a snapshot is a Mapping, not a NoneType."),
        ({"extensions": "a"}, TypeError, "extensions of a snapshot is a Mapping, not a str."),
        ({"created_at": "now"}, TypeError, "created_at of a snapshot is a datetime, not a str."),
        ({"input_audio_duration_ms": "5"}, TypeError, "input_audio_duration_ms of a snapshot is a number, not '5'."),
        ({"input_audio_duration_ms": True}, TypeError, "input_audio_duration_ms of a snapshot is a number, not True."),
        ({"input_audio_duration_ms": -1}, ValueError, "input_audio_duration_ms of a snapshot is 0 or more, not -1."),
        (
            {"input_audio_duration_ms": float("nan")},
            ValueError,
            "input_audio_duration_ms of a snapshot is 0 or more, not nan.",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_field_of_another_type_is_refused(fields: dict[str, Any], error: type[Exception], text: str) -> None:
    """What could not be read back, or what a stage would stumble over, is refused where it is given."""
    with pytest.raises(error) as caught:
        ContextSnapshot(**fields)
    assert text == str(caught.value)


@pytest.mark.parametrize("text", ["{}", b"{}"])
def test_json_that_was_not_parsed_is_refused(text: Any) -> None:
    """The error says which step is missing."""
    with pytest.raises(SerializationError, match=r"^\$: expected an object, found .*Read it with json\.loads first\.$"):
        ContextSnapshot.from_dict(text)


def test_a_moment_without_a_time_zone_is_refused() -> None:
    """The error shows how to make one with."""
    with pytest.raises(ValueError, match=r"created_at of a snapshot has a time zone; .* has none: datetime\.now"):
        ContextSnapshot(created_at=MOMENT.replace(tzinfo=None))


def test_a_moment_is_kept_in_utc() -> None:
    """Another time zone is the same moment."""
    moment = MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    snapshot = ContextSnapshot(created_at=moment)
    assert (UTC, moment) == (snapshot.created_at.tzinfo, snapshot.created_at)


# --- copies ------------------------------------------------------------------------------------------------------


def test_replace_returns_another_snapshot() -> None:
    """The fields given differ, the others stay, the original stays too."""
    snapshot = full()
    other = snapshot.replace(input_text="bye", metadata={})
    assert ("bye", {}, snapshot.run_id, "hello") == (
        other.input_text,
        other.metadata,
        other.run_id,
        snapshot.input_text,
    )


def test_replace_refuses_an_unknown_field() -> None:
    """A misspelt field is Python's own TypeError."""
    with pytest.raises(TypeError, match="inputtext"):
        full().replace(inputtext="a")


def test_equal_fields_make_equal_snapshots() -> None:
    """Equality is by value, and only among snapshots."""
    assert full() == full()
    assert full() != full(input_text="other")
    assert False is (full() == 5)


def test_a_snapshot_has_no_hash() -> None:
    """Its data may be unhashable."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(full())


@pytest.mark.parametrize("duplicate", [lambda s: pickle.loads(pickle.dumps(s)), copy.deepcopy, copy.copy])
def test_a_copy_is_equal(duplicate: Any) -> None:
    """Pickle and copy keep every field."""
    assert full() == duplicate(full())


def test_the_repr_shows_what_was_set() -> None:
    """Fields that nobody set are left out."""
    shown = repr(ContextSnapshot(run_id=RunIdentity("r"), input_text="hi", created_at=MOMENT))
    assert f"ContextSnapshot(run_id={RunIdentity('r')!r}, input_text='hi', created_at={MOMENT!r})" == shown


def test_the_repr_shows_conversation_and_data() -> None:
    """Those that are often empty are shown if they are not."""
    shown = repr(full())
    assert [True] * 4 == [f"{name}=" in shown for name in ("conversation", "enrichments", "extensions", "metadata")]


def test_the_repr_does_not_compare_the_input() -> None:
    """An input that compares like a numpy array can be shown."""
    assert "input=<" in repr(ContextSnapshot(input=Vector()))


# --- JSON --------------------------------------------------------------------------------------------------------

texts = st.text()
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=10)
objects = st.dictionaries(texts, json_values, max_size=4)
maybe_text = st.none() | texts
moments = st.datetimes(
    datetime(1950, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.timezones() | st.just(UTC) | st.just(ZoneInfo("Europe/Berlin")),
)
some_text = st.text(min_size=1)
calls = st.lists(st.builds(ToolCall, some_text, some_text, texts), max_size=3, unique_by=lambda call: call.id)
messages = (
    st.builds(Message, st.sampled_from(["system", "user", "assistant"]), texts, maybe_text)
    | st.builds(Message, st.just("assistant"), texts, maybe_text, tool_calls=calls.map(tuple))
    | st.builds(Message, st.just("tool"), texts, maybe_text, tool_call_id=some_text)
)
snapshots = st.builds(
    ContextSnapshot,
    run_id=st.builds(RunIdentity, texts, maybe_text, maybe_text, maybe_text, maybe_text, maybe_text),
    input_text=maybe_text,
    input=json_values,
    input_audio_duration_ms=st.none() | st.integers(0) | st.floats(0, allow_nan=False, allow_infinity=False),
    topology=maybe_text,
    execution_mode=maybe_text,
    transport=maybe_text,
    conversation=st.builds(Conversation, st.lists(messages, max_size=3).map(tuple)),
    enrichments=objects,
    extensions=objects,
    metadata=objects,
    created_at=moments,
)


@given(snapshots)
def test_json_gives_an_equal_snapshot_back(snapshot: ContextSnapshot) -> None:
    """Through json.dumps and json.loads, every field is exactly what it was, and writes the same again."""
    data = snapshot.to_dict()
    back = ContextSnapshot.from_dict(json.loads(json.dumps(data)))
    assert snapshot == back
    assert data == back.to_dict()


def test_a_message_without_tools_is_written_without_them() -> None:
    """Nothing of tools stands in what other readers of the JSON knew before there were any."""
    snapshot = ContextSnapshot(conversation=Conversation().with_message("user", "hi", name="ada"))
    assert [{"role": "user", "content": "hi", "name": "ada"}] == snapshot.to_dict()["conversation"]


def test_what_was_read_is_as_frozen_as_what_was_made() -> None:
    """The frozen types are there after the round trip."""
    back = ContextSnapshot.from_dict(full().to_dict())
    assert [FrozenDict] * 4 == [type(data) for data in (back.input, back.enrichments, back.extensions, back.metadata)]


def test_the_moment_in_the_repeated_hour_comes_back_equal() -> None:
    """At the end of summer time an hour happens twice; the snapshot still equals what was read back."""
    repeated = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    snapshot = ContextSnapshot(created_at=repeated)
    assert snapshot == ContextSnapshot.from_dict(snapshot.to_dict())


def test_the_data_hold_the_version_and_every_field() -> None:
    """The layout is a contract between processes."""
    assert {"schema_version": SCHEMA_VERSION, **dict.fromkeys(ContextSnapshot.__init__.__kwdefaults__)}.keys() == (
        full().to_dict().keys()
    )


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"input": Payload()}, "$.input"),
        ({"metadata": {"a": [(1,)]}}, "$.metadata.a[0]"),
        ({"enrichments": {"a": {"b": float("inf")}}}, "$.enrichments.a.b"),
        ({"extensions": {"a": {1: 1}}}, "$.extensions.a"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_writing_names_the_path_of_what_is_not_json(fields: dict[str, Any], path: str) -> None:
    """The error leads to it from the snapshot."""
    with pytest.raises(SerializationError) as caught:
        ContextSnapshot(**fields).to_dict()
    assert path == caught.value.path


def test_a_newer_snapshot_is_refused() -> None:
    """Reading half of what a newer Stageflow wrote would lose the other half."""
    with pytest.raises(SchemaVersionError):
        ContextSnapshot.from_dict({**full().to_dict(), "schema_version": SCHEMA_VERSION + 1})


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        ({"schema_version": None}, "$.schema_version", "expected int, found NoneType."),
        ({"schema_version": 0}, "$.schema_version", "there is no version 0."),
        ({"extra": 1}, "$.extra", "is not a field that is known here."),
        ({"input_text": 5}, "$.input_text", "expected str, found int."),
        ({"input": float("nan")}, "$.input", "nan is not a JSON number."),
        ({"input_audio_duration_ms": "5"}, "$.input_audio_duration_ms", "expected int or float, found str."),
        ({"input_audio_duration_ms": float("inf")}, "$.input_audio_duration_ms", "inf is not a JSON number."),
        ({"topology": []}, "$.topology", "expected str, found list."),
        ({"metadata": []}, "$.metadata", "expected an object, found list."),
        ({"metadata": {"a": {1}}}, "$.metadata.a", "a set is not JSON."),
        ({"run_id": "r"}, "$.run_id", "expected an object, found str."),
        ({"run_id": {}}, "$.run_id.pipeline_run_id", "expected str, found NoneType."),
        ({"run_id": {"pipeline_run_id": "r", "user_id": 5}}, "$.run_id.user_id", "expected str, found int."),
        (
            {"run_id": {"pipeline_run_id": "r", "uid": "5"}},
            "$.run_id.uid",
            "is not a field of a run's identity.",
        ),
        ({"conversation": {}}, "$.conversation", "expected list, found dict."),
        ({"conversation": ["hi"]}, "$.conversation[0]", "expected an object, found str."),
        ({"conversation": [{"content": "a"}]}, "$.conversation[0].role", "expected str, found NoneType."),
        ({"conversation": [{"role": "user"}]}, "$.conversation[0].content", "expected str, found NoneType."),
        (
            {"conversation": [{"role": "user", "content": "a", "name": 5}]},
            "$.conversation[0].name",
            "expected str, found int.",
        ),
        (
            {"conversation": [{"role": "user", "content": "a", "id": 5}]},
            "$.conversation[0].id",
            "is not a field of a message.",
        ),
        (
            {"conversation": [{"role": "robot", "content": "a"}]},
            "$.conversation[0].role",
            "A message's role is one of system, user, assistant, tool, not 'robot'.",
        ),
        (
            {"conversation": [{"role": "tool", "content": "4"}]},
            "$.conversation[0]",
            "A tool's Message has the tool_call_id of the call that it answers.",
        ),
        (
            {"conversation": [{"role": "tool", "content": "4", "tool_call_id": 4}]},
            "$.conversation[0].tool_call_id",
            "expected str, found int.",
        ),
        (
            {"conversation": [{"role": "assistant", "content": "", "tool_calls": {}}]},
            "$.conversation[0].tool_calls",
            "expected list, found dict.",
        ),
        (
            {"conversation": [{"role": "assistant", "content": "", "tool_calls": [{"id": "a", "name": "b"}]}]},
            "$.conversation[0].tool_calls[0].arguments",
            "is missing.",
        ),
        (
            {
                "conversation": [
                    {"role": "assistant", "content": "", "tool_calls": [{"id": "a", "name": "", "arguments": ""}]}
                ]
            },
            "$.conversation[0].tool_calls[0]",
            "name of a ToolCall is empty.",
        ),
        ({"created_at": 5}, "$.created_at", "expected str, found int."),
        ({"created_at": "yesterday"}, "$.created_at", "'yesterday' is not a date and time in ISO 8601."),
        ({"created_at": "2026-01-01T00:00:00"}, "$.created_at", "'2026-01-01T00:00:00' has no time zone."),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("$") else "",
)
def test_reading_names_the_path_of_what_is_malformed(change: dict[str, Any], path: str, text: str) -> None:
    """Each field is checked, and the error leads to it."""
    with pytest.raises(SerializationError) as caught:
        ContextSnapshot.from_dict({**full().to_dict(), **change})
    assert (path, text) == (caught.value.path, caught.value.problem)


@pytest.mark.parametrize("name", list(ContextSnapshot.__init__.__kwdefaults__))
def test_a_missing_field_is_named(name: str) -> None:
    """No default is made up when something is read."""
    data = full().to_dict()
    del data[name]
    with pytest.raises(SerializationError) as caught:
        ContextSnapshot.from_dict(data)
    assert (f"$.{name}", "is missing.") == (caught.value.path, caught.value.problem)


def test_what_is_no_object_at_all_is_refused() -> None:
    """A list where a snapshot should be has the path of the root."""
    data: Any = []
    with pytest.raises(SerializationError) as caught:
        ContextSnapshot.from_dict(data)
    assert "$" == caught.value.path


@given(st.recursive(json_values, lambda inner: st.dictionaries(st.sampled_from(list(full().to_dict())), inner)))
def test_no_json_breaks_the_reader(data: Any) -> None:
    """Whatever comes, the answer is a snapshot or a SerializationError."""
    for broken in (data, {**full().to_dict(), **(data if isinstance(data, dict) else {"input": data})}):
        with contextlib.suppress(SerializationError):
            snapshot = ContextSnapshot.from_dict(broken)
            assert {**broken} == {**snapshot.to_dict(), "created_at": broken["created_at"]}


def test_a_snapshot_has_one_identity_however_often_it_is_asked() -> None:
    """It is made when it is first read, and stays; another snapshot has another one."""
    snapshot = ContextSnapshot()
    assert snapshot.run_id is snapshot.run_id
    assert ContextSnapshot().run_id != snapshot.run_id
    assert ContextSnapshot.from_dict(snapshot.to_dict()) == snapshot


@pytest.mark.parametrize("duration", [-1, -0.5, 10**400, float("nan")])
def test_a_duration_that_is_none_is_refused_either_way(duration: float) -> None:
    """When a snapshot is made, and with its path when one is read."""
    with pytest.raises(ValueError, match="0 or more"):
        ContextSnapshot(input_audio_duration_ms=duration)
    with pytest.raises(SerializationError) as caught:
        ContextSnapshot.from_dict({**ContextSnapshot().to_dict(), "input_audio_duration_ms": duration})
    assert "$.input_audio_duration_ms" == caught.value.path


@pytest.mark.parametrize("name", ["user_id", "pipeline_run_id", "session_id"])
def test_an_id_is_found_where_it_is(name: str) -> None:
    """Whoever looks for it on the snapshot itself is told."""
    with pytest.raises(AttributeError, match=rf"has no '{name}' of its own: write snapshot\.run_id\.{name}$"):
        getattr(ContextSnapshot(), name)
    with pytest.raises(AttributeError, match="'ContextSnapshot' object has no attribute 'user'"):
        _ = ContextSnapshot().user  # type: ignore[attr-defined]
    assert not hasattr(ContextSnapshot(), name)
