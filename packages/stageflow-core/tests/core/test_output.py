"""What a stage returns: how it is built, compared and read."""

from __future__ import annotations

import copy
import pickle
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec
import pydantic
import pytest
from stageflow import StageArtifact, StageEvent, StageOutput, StageStatus
from stageflow.core.output import ErrorInfo, reader_view
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
        (StageOutput, "A StageOutput is built by StageOutput.ok(), skip(), cancel(), fail(), retry() or suspend()."),
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
        ({"x": [{1}]}, "$.x[0]: a set is not JSON."),
        ({"p": Frozen("a")}, f"$.p: a {__name__}.Frozen is not JSON."),
    ],
)
def test_what_is_published_is_json_ready(make: Any, data: Any, text: str) -> None:
    """What is not is refused in the stage that made it."""
    with pytest.raises(SerializationError) as caught:
        make("x", data)
    assert text == caught.value.message


@pytest.mark.parametrize("make", [StageArtifact, StageEvent])
def test_bytes_that_are_published_stay_what_they_are(make: Any) -> None:
    """The output and the results hold them; only the event has their size and hash in their place."""
    view = memoryview(b"abcd")[1:3]
    item = make("clip", {"raw": b"audio", "more": [bytearray(b"x")], "view": view})
    view.release()
    data = item.payload if isinstance(item, StageArtifact) else item.data
    assert {"raw": b"audio", "more": [bytearray(b"x")], "view": b"bc"} == data


@pytest.mark.parametrize("make", [StageArtifact, StageEvent])
@pytest.mark.parametrize("levels", [100, 101])
def test_what_is_published_has_a_hundred_levels_at_most(make: Any, levels: int) -> None:
    """What an event could not hold is refused in the stage that made it, whatever the depth of the stack there."""
    data: dict[str, Any] = {}
    for _ in range(levels - 1):
        data = {"x": data}
    if levels == 100:
        make("deep", data)
    else:
        with pytest.raises(SerializationError, match="nested too deep"):
            make("deep", data)


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


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ErrorInfo("no such user"), "no such user"),
        (ErrorInfo("no such user", "LookupError"), "LookupError: no such user"),
        (ErrorInfo("", "KeyboardInterrupt"), "KeyboardInterrupt"),
        (ErrorInfo.of(StageReturnTypeError("s", "5", hint="No.")), "Stage 's' returned 5. No."),
        (ErrorInfo("Groq failed", "stageflow.errors.ProviderServerError"), "Groq failed"),
    ],
)
def test_an_error_reads_as_a_sentence(error: ErrorInfo, text: str) -> None:
    """Python's own needs its type to be understood; one of Stageflow's says what it is."""
    assert text == str(error)
