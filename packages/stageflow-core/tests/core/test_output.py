"""What a stage returns: how it is built, compared, and brought through JSON."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow import StageArtifact, StageEvent, StageOutput, StageStatus
from stageflow.core.output import ErrorInfo, reader_view, returned
from stageflow.errors import NotCopyableError, SerializationError, StageReturnTypeError, UnpicklableCause
from stageflow.frozen import FrozenDict


@dataclass
class Profile:
    name: str
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    name: str


class Model(pydantic.BaseModel):
    name: str
    tags: list[str] = []


class Struct(msgspec.Struct):
    name: str
    tags: list[str] = []


class Typed(TypedDict):
    name: str


CONTRACTS = [Profile("Ada", ["a"]), Model(name="Ada", tags=["a"]), Struct("Ada", ["a"])]
by_type = pytest.mark.parametrize("value", CONTRACTS, ids=lambda value: type(value).__name__)

# --- ok ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (StageOutput.ok(), {}),
        (StageOutput.ok(None), {}),
        (StageOutput.ok({}), {}),
        (StageOutput.ok(data=None), {}),
        (StageOutput.ok(data={}), {}),
        (StageOutput.ok({"a": 1}), {"a": 1}),
        (StageOutput.ok(data={"a": 1}), {"a": 1}),
        (StageOutput.ok(a=1), {"a": 1}),
        (StageOutput.ok({"a": 1}, b=2), {"a": 1, "b": 2}),
        (StageOutput.ok(data={"a": 1}, b=2), {"a": 1, "b": 2}),
        (StageOutput.ok({"a": 1}, data={"b": 2}, c=3), {"a": 1, "b": 2, "c": 3}),
        (StageOutput.ok({}, b=2), {"b": 2}),
        (StageOutput.ok({"data": 1}), {"data": 1}),
        (StageOutput.ok({"version": 1}), {"version": 1}),
        (StageOutput.ok({"data": {"a": 1}}), {"data": {"a": 1}}),
        (StageOutput.ok(value=1, reason=2, self=3), {"value": 1, "reason": 2, "self": 3}),
        (StageOutput.ok(MappingProxyType({"a": 1})), {"a": 1}),
        (StageOutput.ok(OrderedDict(a=1)), {"a": 1}),
        (StageOutput.ok({"a": 1}, version="2"), {"a": 1}),
    ],
)
def test_ok_takes_a_mapping_and_keywords(output: StageOutput[Any], expected: dict[str, Any]) -> None:
    """`data=` means the mapping itself, keywords merge, and nothing is nested."""
    assert (StageStatus.OK, expected, expected) == (output.status, output.data, output.value)
    assert isinstance(output.data, FrozenDict)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: StageOutput.ok({"a": 1}, a=2), "ok() was given 'a' twice."),
        (lambda: StageOutput.ok(data={"a": 1}, a=2), "ok() was given 'a' twice."),
        (lambda: StageOutput.ok({"a": 1, "b": 1}, data={"b": 2, "a": 1}), "ok() was given 'a', 'b' twice."),
        (lambda: StageOutput.ok({"a": 1}, data=5), "ok(data=...) takes a mapping, not an int."),
        (lambda: StageOutput.ok(5), "ok() takes a mapping or a contract value, not an int; say ok(value=...)."),
        (lambda: StageOutput.ok(data=5), "ok() takes a mapping or a contract value, not an int; say ok(value=...)."),
        (lambda: StageOutput.ok([1]), "ok() takes a mapping or a contract value, not a list; say ok(value=...)."),
        (lambda: StageOutput.ok(Profile), "ok() takes a mapping or a contract value, not a type; say ok(value=...)."),
        (lambda: StageOutput.ok(Profile("a"), b=1), "ok() takes a Profile or fields, not both: b"),
        (lambda: StageOutput.ok({}, version=2), "The version of an output is a string, not an int."),
    ],
)
def test_ok_refuses_what_it_cannot_mean(call: Any, text: str) -> None:
    """The error says what was wrong, and for a single value what to write instead."""
    with pytest.raises(TypeError) as caught:
        call()
    assert text == str(caught.value)


@by_type
def test_ok_takes_a_contract_value(value: Any) -> None:
    """The value keeps its type, and data is its shallow field mapping, frozen."""
    output = StageOutput.ok(value, version="3")
    assert (value, type(value), "3") == (output.value, type(output.value), output.version)
    assert {"name": "Ada", "tags": ["a"]} == output.data
    assert isinstance(output.data, FrozenDict)


@by_type
def test_data_may_be_a_contract_value_by_keyword(value: Any) -> None:
    """`data=` is the first argument under its name."""
    assert StageOutput.ok(value) == StageOutput.ok(data=value)


def test_data_of_a_contract_is_shallow() -> None:
    """A contract within a contract stays a contract."""

    @dataclass
    class Outer:
        inner: Profile

    assert Profile("Ada") == StageOutput.ok(Outer(Profile("Ada"))).data["inner"]


def test_ok_copies_what_can_be_changed() -> None:
    """The stage may go on with its object."""
    profile = Profile("Ada")
    output = StageOutput.ok(profile)
    profile.name = "Bob"
    assert ("Ada", {"name": "Ada", "tags": []}) == (output.value.name, output.data)


def test_ok_names_what_cannot_be_copied() -> None:
    """The error has the path within the data."""
    with pytest.raises(NotCopyableError) as caught:
        StageOutput.ok(session={"lock": threading.Lock()})
    assert "data['session']['lock']" == caught.value.path


# --- the other outcomes ------------------------------------------------------------------------------------------


def test_skip_and_cancel_have_a_reason() -> None:
    """And no data."""
    skip, cancel = StageOutput.skip("no need"), StageOutput.cancel("spam")
    assert (StageStatus.SKIP, "no need", {}) == (skip.status, skip.reason, skip.data)
    assert (StageStatus.CANCEL, "spam", {}) == (cancel.status, cancel.reason, cancel.data)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: StageOutput.skip(None), "The reason for a skip is a string, not a NoneType."),
        (lambda: StageOutput.skip(ValueError("a")), "The reason for a skip is a string, not a ValueError."),
        (lambda: StageOutput.cancel(5), "The reason for a cancel is a string, not an int."),
        (lambda: StageOutput.fail("a", code=5), "The code of a failure is a string, not an int."),
        (lambda: StageOutput.fail("a", data=[1]), "fail(data=...) takes a mapping, not a list."),
        (lambda: StageOutput.fail(None), "fail() takes a text or an exception (an instance), not None."),
        (
            lambda: StageOutput.fail(ValueError),
            "fail() takes a text or an exception (an instance), not <class 'ValueError'>.",
        ),
        (lambda: StageEvent(5), "The type of a StageEvent is a string, not an int."),
        (lambda: StageArtifact(5), "The type of a StageArtifact is a string, not an int."),
        (lambda: StageOutput.ok().publishing("a"), "publishing() takes StageArtifact and StageEvent objects."),
        (StageOutput, "A StageOutput is built by StageOutput.ok(), .skip(), .cancel() or .fail()."),
    ],
)
def test_an_argument_of_another_type_is_refused(call: Any, text: str) -> None:
    """In the stage that gave it, rather than where somebody reads it."""
    with pytest.raises(TypeError) as caught:
        call()
    assert text == str(caught.value)


def test_fail_takes_words() -> None:
    """With data and a code for whoever reads the results."""
    output = StageOutput.fail("no such user", data={"user": 5}, code="unknown-user")
    assert (StageStatus.FAIL, {"user": 5}) == (output.status, output.data)
    assert ErrorInfo("no such user", None, "unknown-user") == output.error


def test_fail_takes_an_exception() -> None:
    """Its type and text are kept, and the exception itself."""
    error = LookupError("no such user")
    output = StageOutput.fail(error)
    assert output.error is not None
    assert (ErrorInfo("no such user", "LookupError"), error) == (output.error, output.error.exception)


class CodedError(Exception):
    code = "own-code"


class NumberedError(Exception):
    code = 404


class SilentError(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError

    @property
    def code(self) -> str:
        raise AssertionError


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (CodedError("a"), None, ErrorInfo("a", f"{__name__}.CodedError", "own-code")),
        (CodedError("a"), "given", ErrorInfo("a", f"{__name__}.CodedError", "given")),
        (NumberedError("a"), None, ErrorInfo("a", f"{__name__}.NumberedError", None)),
        (
            SilentError(),
            None,
            ErrorInfo("<its __str__ raised ZeroDivisionError>", f"{__name__}.SilentError", None),
        ),
        (KeyboardInterrupt(), None, ErrorInfo("", "KeyboardInterrupt", None)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_is_described(error: BaseException, code: str | None, expected: ErrorInfo) -> None:
    """A code of its own is taken if it is text, and an exception that cannot be shown is described all the same."""
    assert expected == ErrorInfo.of(error, code)


@pytest.mark.parametrize(
    ("info", "expected"),
    [(ErrorInfo("a", "B"), "B: a"), (ErrorInfo("a"), "a"), (ErrorInfo("", "B"), "B"), (ErrorInfo(""), "")],
)
def test_an_error_reads_as_a_line(info: ErrorInfo, expected: str) -> None:
    """No colon stands alone."""
    assert expected == str(info)


def test_publishing_adds_events_and_artifacts() -> None:
    """The output stays, and what was added before stays with it."""
    chart, note = StageArtifact("chart", {"x": [1]}), StageEvent("note")
    output = StageOutput.ok(a=1).publishing(chart)
    more = output.publishing(note, chart)
    assert ((chart,), ()) == (output.artifacts, output.events)
    assert ((chart, chart), (note,), {"a": 1}) == (more.artifacts, more.events, more.data)


@pytest.mark.parametrize("make", [StageArtifact, StageEvent])
@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([1], "$: expected an object, found list."),
        ({"x": [b""]}, "$.x[0]: a bytes is not JSON."),
        ({"p": Frozen("a")}, f"$.p: a {__name__}.Frozen is not JSON."),
    ],
)
def test_what_is_published_is_json_ready(make: Any, data: Any, text: str) -> None:
    """What is not is refused in the stage that made it."""
    with pytest.raises(SerializationError) as caught:
        make("x", data)
    assert text == caught.value.message


def test_what_is_published_is_frozen() -> None:
    """A payload is copied when the artifact is made."""
    payload = {"x": [1]}
    artifact, event = StageArtifact("a", payload), StageEvent("e", payload)
    payload["x"].append(2)
    assert ({"x": [1]}, {"x": [1]}) == (artifact.payload, event.data)


# --- an output as a value ----------------------------------------------------------------------------------------

OUTPUTS = [
    StageOutput.ok(),
    StageOutput.ok(a=[1]),
    StageOutput.ok({"a": 1}, version="2"),
    StageOutput.ok(Profile("Ada")),
    StageOutput.skip("no need"),
    StageOutput.cancel("spam"),
    StageOutput.fail("boom", data={"a": 1}, code="b"),
    StageOutput.ok().publishing(StageArtifact("a", {"x": 1}), StageEvent("e", {"y": 2})),
]
each = pytest.mark.parametrize("output", OUTPUTS, ids=repr)


@each
@pytest.mark.parametrize("name", ["status", "data", "reason", "something"])
def test_an_output_is_frozen(output: StageOutput[Any], name: str) -> None:
    """No attribute can be set or deleted."""
    with pytest.raises(AttributeError, match=f"'{name}' cannot be set"):
        setattr(output, name, 1)
    with pytest.raises(AttributeError, match=f"'{name}' cannot be deleted"):
        delattr(output, name)


def test_outputs_are_equal_only_to_themselves() -> None:
    """Each of the examples differs from each other one, and from what is no output."""
    for index, output in enumerate(OUTPUTS):
        assert [index] == [other for other, candidate in enumerate(OUTPUTS) if output == candidate]
        assert False is (output == {})


def test_how_an_output_was_built_does_not_matter() -> None:
    """Equality is by value."""
    assert StageOutput.ok({"a": 1}) == StageOutput.ok(a=1) == StageOutput.ok({"a": 1}, version=None)


@each
@pytest.mark.parametrize("duplicate", [lambda o: pickle.loads(pickle.dumps(o)), copy.copy, copy.deepcopy])
def test_a_copy_is_equal(output: StageOutput[Any], duplicate: Any) -> None:
    """Pickle and copy keep everything."""
    assert output == duplicate(output)


def test_an_output_has_no_hash() -> None:
    """Its data may be unhashable."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(StageOutput.ok())


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (StageOutput.ok(a=1), "StageOutput.ok({'a': 1})"),
        (StageOutput.ok(Frozen("a")), "StageOutput.ok(Frozen(name='a'))"),
        (StageOutput.skip("no need"), "StageOutput.skip('no need')"),
        (StageOutput.fail("boom"), "StageOutput.fail(ErrorInfo(message='boom', type=None, code=None))"),
    ],
)
def test_the_repr_shows_the_outcome(output: StageOutput[Any], expected: str) -> None:
    """What one would look for first: the value, the reason, or the error."""
    assert expected == repr(output)


def test_a_failure_pickles_whatever_its_exception_holds() -> None:
    """An exception that cannot be pickled is described in its place."""
    error = ValueError("locked")
    error.lock = threading.Lock()
    back = pickle.loads(pickle.dumps(StageOutput.fail(error)))
    assert StageOutput.fail(error) == back
    assert UnpicklableCause is type(back.error.exception)


# --- what a stage returned ---------------------------------------------------------------------------------------


def test_none_is_ok_without_data() -> None:
    """A stage that says nothing did what it is for."""
    assert {} == returned("s", None)


@pytest.mark.parametrize("result", [{"a": [1]}, MappingProxyType({"a": [1]}), OrderedDict(a=[1]), Typed(name="a")])
def test_a_mapping_is_stored_frozen(result: Any) -> None:
    """The data alone, as nothing else is to be said."""
    stored = returned("s", result)
    assert dict(result) == stored
    assert FrozenDict is type(stored)


def test_a_mapping_with_a_mutable_object_is_stored_as_an_output() -> None:
    """So that it is seen to need a copy for each reader."""
    stored = returned("s", {"p": Profile("a")})
    assert StageOutput.ok({"p": Profile("a")}) == stored


@by_type
def test_a_contract_value_is_ok_with_that_value(value: Any) -> None:
    """Returning it is the same as ok() of it."""
    assert StageOutput.ok(value) == returned("s", value)


@each
def test_an_output_is_stored_as_what_it_says(output: StageOutput[Any]) -> None:
    """A plain one is stored as its data."""
    stored = returned("s", output)
    assert output == (StageOutput.ok(stored) if isinstance(stored, FrozenDict) else stored)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (5, "Stage 's' returned an int, which is not a stage's result."),
        ("a", "Stage 's' returned a str, which is not a stage's result."),
        ([1], "Stage 's' returned a list, which is not a stage's result."),
        ((1, 2), "Stage 's' returned a tuple, which is not a stage's result."),
        (True, "Stage 's' returned a bool, which is not a stage's result."),
        (Profile, "Stage 's' returned a type, which is not a stage's result."),
        (StageStatus.OK, "Stage 's' returned a stageflow.core.kinds.StageStatus, which is not a stage's result."),
        ((n for n in ()), "Stage 's' returned a generator, which is not a stage's result."),
    ],
)
def test_anything_else_is_an_error(result: Any, text: str) -> None:
    """It names the stage and the type, and says what to return."""
    with pytest.raises(StageReturnTypeError) as caught:
        returned("s", result)
    assert (text, "s") == (caught.value.message, caught.value.stage)


@pytest.mark.parametrize("result", [{"a": [threading.Lock()]}, Profile("a", [threading.Lock()])])
def test_what_cannot_be_shared_is_an_error(result: Any) -> None:
    """It leads to the culprit and says where live objects go."""
    with pytest.raises(StageReturnTypeError) as caught:
        returned("s", result)
    path = "['a'][0]" if isinstance(result, dict) else ".tags[0]"
    assert (
        f"Stage 's' returned something that cannot be shared: its result{path} is a _thread.lock, which cannot be "
        "copied. What stages share is frozen or copied for them; live objects (clients, locks, connections) belong "
        "in ports." == str(caught.value)
    )


# --- one reader's view -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", [StageOutput.ok(a=[1]), StageOutput.ok(Frozen("a")), OUTPUTS[-1]], ids=repr)
def test_readers_share_what_cannot_be_changed(output: StageOutput[Any]) -> None:
    """The view is the output itself."""
    assert output is reader_view(output)


@pytest.mark.parametrize(
    ("output", "read"),
    [
        (StageOutput.ok(Profile("a")), lambda output: output.value.tags),
        (StageOutput.ok(Model(name="a")), lambda output: output.value.tags),
        (StageOutput.ok(Struct("a")), lambda output: output.value.tags),
        (StageOutput.ok(p=Profile("a")), lambda output: output.data["p"].tags),
        (StageOutput.ok(p=[Profile("a")]), lambda output: output.value["p"][0].tags),
    ],
)
def test_each_reader_gets_a_copy_of_what_can_be_changed(output: StageOutput[Any], read: Any) -> None:
    """Whatever way a reader takes to it, nobody else sees what it changed."""
    view = reader_view(output)
    assert output == view
    read(view).append("changed")
    assert [] == read(output) == read(reader_view(output))


# --- JSON --------------------------------------------------------------------------------------------------------

texts = st.text()
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=8)
objects = st.dictionaries(texts, json_values, max_size=3)
outcomes = (
    objects.map(StageOutput.ok)
    | st.builds(lambda data, version: StageOutput.ok(data, version=version), objects, texts)
    | texts.map(StageOutput.skip)
    | texts.map(StageOutput.cancel)
    | st.builds(
        lambda text, data, code: StageOutput.fail(text, data=data, code=code), texts, objects, st.none() | texts
    )
    | st.builds(lambda text: StageOutput.fail(ValueError(text)), texts)
)
outputs = st.builds(
    lambda output, items: output.publishing(*items) if items else output,
    outcomes,
    st.lists(st.builds(StageArtifact, texts, objects) | st.builds(StageEvent, texts, objects), max_size=2),
)


@given(outputs)
def test_json_gives_an_equal_output_back(output: StageOutput[Any]) -> None:
    """Through json.dumps and json.loads, everything is exactly what it was."""
    data = output.to_dict()
    back = StageOutput.from_dict(json.loads(json.dumps(data)))
    assert output == back
    assert data == back.to_dict()


@by_type
def test_a_contract_value_comes_back_as_its_mapping(value: Any) -> None:
    """JSON does not know the class."""
    back = StageOutput.from_dict(StageOutput.ok(value, version="2").to_dict())
    assert StageOutput.ok({"name": "Ada", "tags": ["a"]}, version="2") == back


def test_contracts_inside_data_are_written_as_their_mappings() -> None:
    """At any depth."""
    data = StageOutput.ok(people=[{"one": Profile("Ada")}, Frozen("Bob")]).to_dict()["data"]
    assert {"people": [{"one": {"name": "Ada", "tags": []}}, {"name": "Bob"}]} == data


@pytest.mark.parametrize(
    ("output", "path"),
    [
        (StageOutput.ok(a={"b": [(1,)]}), "$.data.a.b[0]"),
        (StageOutput.ok(Frozen(b"a")), "$.data.name"),
        (StageOutput.fail("a", data={"e": ValueError()}), "$.data.e"),
    ],
)
def test_writing_names_the_path_of_what_is_not_json(output: StageOutput[Any], path: str) -> None:
    """The error leads to it from the output."""
    with pytest.raises(SerializationError) as caught:
        output.to_dict()
    assert path == caught.value.path


def test_data_nested_too_deep_for_writing_is_refused() -> None:
    """Where the stack is shorter than when the data was frozen, the error is still a typed one."""
    output = StageOutput.ok(a=nested(150))

    def deeper(levels: int) -> Any:
        return deeper(levels - 1) if levels else output.to_dict()

    with pytest.raises(SerializationError, match=r"\$\.data: is nested too deep\."):
        deeper(levels_left() - 200)


def nested(depth: int) -> list[Any]:
    """Return lists in lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def levels_left() -> int:
    """Return how many calls deep one can still go."""
    try:
        return levels_left() + 1
    except RecursionError:
        return 1


GOOD = StageOutput.fail("boom").publishing(StageArtifact("a"), StageEvent("e")).to_dict()


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        ({"status": "done"}, "$.status", "'done' is not a status."),
        ({"status": None}, "$.status", "expected str, found NoneType."),
        ({"data": []}, "$.data", "expected an object, found list."),
        ({"data": {"a": {1}}}, "$.data.a", "a set is not JSON."),
        ({"artifacts": {}}, "$.artifacts", "expected list, found dict."),
        ({"artifacts": [5]}, "$.artifacts[0]", "expected an object, found int."),
        ({"artifacts": [{"type": 5, "payload": {}}]}, "$.artifacts[0].type", "expected str, found int."),
        ({"artifacts": [{"type": "a"}]}, "$.artifacts[0].payload", "expected an object, found NoneType."),
        ({"artifacts": [{"type": "a", "payload": {"x": b""}}]}, "$.artifacts[0].payload.x", "a bytes is not JSON."),
        ({"events": [{"type": "a", "data": 5}]}, "$.events[0].data", "expected an object, found int."),
        ({"error": "boom"}, "$.error", "expected an object, found str."),
        ({"error": {}}, "$.error.message", "expected str, found NoneType."),
        ({"error": {"message": "a", "type": 5}}, "$.error.type", "expected str, found int."),
        ({"error": {"message": "a", "code": 5}}, "$.error.code", "expected str, found int."),
        ({"reason": 5}, "$.reason", "expected str, found int."),
        ({"version": 5}, "$.version", "expected str, found int."),
        ({"extra": 5}, "$.extra", "is not a field that is known here."),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("$") else "",
)
def test_reading_names_the_path_of_what_is_malformed(change: dict[str, Any], path: str, text: str) -> None:
    """Each field is checked, and the error leads to it."""
    with pytest.raises(SerializationError) as caught:
        StageOutput.from_dict({**GOOD, **change})
    assert (path, text) == (caught.value.path, caught.value.problem)


@pytest.mark.parametrize("name", GOOD)
def test_a_missing_field_is_named(name: str) -> None:
    """No default is made up when something is read."""
    with pytest.raises(SerializationError) as caught:
        StageOutput.from_dict({key: value for key, value in GOOD.items() if key != name})
    assert (f"$.{name}", "is missing.") == (caught.value.path, caught.value.problem)
