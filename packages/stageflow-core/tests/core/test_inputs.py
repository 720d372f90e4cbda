"""What a stage reads of its dependencies, accessor by accessor."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, TypedDict

import pytest
from stageflow import (
    AmbiguousInputError,
    StageContext,
    StageInputs,
    StageOutput,
    Stream,
    UndeclaredDependencyError,
    stage,
)
from stageflow.core.inputs import Stored, StreamingInputs
from stageflow.core.returning import returned
from stageflow.errors import MissingInputError, StageReturnTypeError


@dataclass
class Profile:
    name: str
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    name: str


@stage
async def a(ctx: StageContext) -> None:
    """Stand for a stage named `a`."""


def inputs(**outputs: Any) -> StageInputs:
    """Return the inputs of a stage `me` that declared these stages; None stands for one that has not ended."""
    stored: list[Stored] = [None if value is None else returned(name, value) for name, value in outputs.items()]
    return StageInputs(stored, "me", {name: index for index, name in enumerate(outputs)})


NOT_OK = [None, StageOutput.skip("no need"), StageOutput.cancel("spam"), StageOutput.fail("boom", data={"k": 1})]
absent = pytest.mark.parametrize("outcome", NOT_OK, ids=repr)
by_reference = pytest.mark.parametrize("ref", ["a", a], ids=["name", "handle"])

READS: dict[str, Callable[[StageInputs, Any], object]] = {
    "get_from": lambda inputs, ref: inputs.get_from(ref, "k"),
    "get_from with a default": lambda inputs, ref: inputs.get_from(ref, "k", 5),
    "require_from": lambda inputs, ref: inputs.require_from(ref, "k"),
    "has_output": lambda inputs, ref: inputs.has_output(ref),
    "get_output": lambda inputs, ref: inputs.get_output(ref),
    "value": lambda inputs, ref: inputs.value(ref, dict),
}
each_read = pytest.mark.parametrize("read", READS.values(), ids=READS.keys())


# --- I1: undeclared ----------------------------------------------------------------------------------------------


@each_read
@by_reference
@pytest.mark.parametrize("declared", [{}, {"b": {"k": 1}}], ids=["no dependencies", "others"])
def test_an_undeclared_stage_cannot_be_read(read: Callable[..., object], ref: Any, declared: dict[str, Any]) -> None:
    """Through no accessor, by name or handle, with or without other dependencies."""
    with pytest.raises(UndeclaredDependencyError) as caught:
        read(inputs(**declared), ref)
    assert ("me", "a", tuple(declared)) == (caught.value.stage, caught.value.dependency, caught.value.declared)
    assert 'dependencies=("a",)' in str(caught.value)


@each_read
@pytest.mark.parametrize("ref", [5, None, ("a", "k")], ids=repr)
def test_a_reference_that_is_none_is_refused(read: Callable[..., object], ref: Any) -> None:
    """What is neither a name nor a handle is a TypeError that says what is."""
    with pytest.raises(TypeError, match="A stage is given by its name or by its handle"):
        read(inputs(a={"k": 1}), ref)


# --- reading -----------------------------------------------------------------------------------------------------

HOLDING = [{"k": 1}, StageOutput.ok(k=1), StageOutput.ok({"k": 1}, version="2"), {"k": 1, "p": Profile("x")}]
holding = pytest.mark.parametrize("outcome", HOLDING, ids=["mapping", "ok", "version", "guarded"])


@by_reference
@holding
def test_a_key_is_read(ref: Any, outcome: Any) -> None:
    """However the data are kept."""
    read = inputs(a=outcome)
    assert (1, 1, 1) == (read.get_from(ref, "k"), read.require_from(ref, "k"), read.get("k"))


def test_a_field_of_a_contract_is_read() -> None:
    """By its name, as if it were a key."""
    read = inputs(a=Profile("Ada"))
    assert ("Ada", "Ada", "Ada") == (read.get_from("a", "name"), read.require_from("a", "name"), read.get("name"))


@holding
def test_a_missing_key_gives_the_default(outcome: Any) -> None:
    """None unless another is given."""
    read = inputs(a=outcome)
    assert (None, 5, None, 5) == (read.get_from("a", "x"), read.get_from("a", "x", 5), read.get("x"), read.get("x", 5))


@pytest.mark.parametrize("value", [None, False, 0, ""])
def test_a_falsy_value_is_a_value(value: Any) -> None:
    """The default is for keys that are not there."""
    read = inputs(a={"k": value})
    assert (value, value, value) == (read.get_from("a", "k", 5), read.require_from("a", "k"), read.get("k", 5))


@holding
def test_a_missing_key_can_be_required(outcome: Any) -> None:
    """The error lists the keys that there are."""
    with pytest.raises(MissingInputError) as caught:
        inputs(a=outcome).require_from("a", "x")
    assert ("me", "a", "x") == (caught.value.stage, caught.value.dependency, caught.value.key)
    keys = "k, p" if outcome is HOLDING[-1] else "k"
    assert f"Stage 'me' requires the key 'x' from 'a', whose data has the keys {keys}." == caught.value.message


@absent
def test_an_absent_dependency_reads_as_absent(outcome: Any) -> None:
    """An optional one that ended other than OK gives defaults, and no output."""
    read = inputs(a=outcome)
    assert (None, 5, None, 5) == (read.get_from("a", "k"), read.get_from("a", "k", 5), read.get("k"), read.get("k", 5))
    assert (False, None) == (read.has_output("a"), read.get_output("a"))


@pytest.mark.parametrize(
    ("outcome", "name"), [*zip(NOT_OK[1:], ["SKIP", "CANCEL", "FAIL"], strict=True)], ids=lambda value: str(value)[:20]
)
def test_an_absent_dependency_cannot_be_required(outcome: Any, name: str) -> None:
    """The error tells how it ended."""
    with pytest.raises(MissingInputError, match=f"requires the key 'k' from 'a', which ended {name}"):
        inputs(a=outcome).require_from("a", "k")
    with pytest.raises(MissingInputError, match=f"requires a value from 'a', which ended {name}"):
        inputs(a=outcome).value("a", dict)


@holding
def test_an_ok_dependency_has_an_output(outcome: Any) -> None:
    """has_output is True, and get_output gives the whole."""
    read = inputs(a=outcome)
    output = read.get_output("a")
    assert read.has_output("a")
    assert output is not None
    assert 1 == output.data["k"]


def test_a_whole_output_has_its_version_and_what_was_published() -> None:
    """get_output hides nothing."""
    output = StageOutput.ok({"k": 1}, version="2")
    assert output == inputs(a=output).get_output("a")


# --- I2: keys ----------------------------------------------------------------------------------------------------


def test_a_key_of_two_dependencies_is_ambiguous() -> None:
    """The error names both, and how to say which."""
    with pytest.raises(AmbiguousInputError) as caught:
        inputs(a={"k": 1}, b={"x": 2}, c=Profile("Ada"), d={"name": "Bob", "k": 3}).get("k")
    assert ("me", "k", ("a", "d")) == (caught.value.stage, caught.value.key, caught.value.candidates)


def test_an_equal_value_is_ambiguous_too() -> None:
    """Whether it is does not depend on what the stages returned."""
    with pytest.raises(AmbiguousInputError):
        inputs(a={"k": None}, b={"k": None}).get("k", 5)


def test_an_absent_dependency_holds_no_key() -> None:
    """What a stage said when it failed is not its data."""
    assert 2 == inputs(a=StageOutput.fail("boom", data={"k": 1}), b={"k": 2}).get("k")


def test_a_stage_without_dependencies_cannot_look_for_a_key() -> None:
    """`get` would look at nothing for ever: this is an undeclared read, default or not."""
    with pytest.raises(UndeclaredDependencyError) as caught:
        inputs().get("k", 5)
    assert ("me", None, ()) == (caught.value.stage, caught.value.dependency, caught.value.declared)
    assert str(caught.value) == (
        "Stage 'me' looked for the key 'k' in its dependencies, and declares none. "
        'Declare the stage that holds the key: dependencies=("...",)'
    )


def test_a_misspelt_stage_is_not_to_be_declared() -> None:
    """Only the name that was meant is suggested."""
    with pytest.raises(UndeclaredDependencyError) as caught:
        inputs(profile={}).get_from("profle", "k")
    assert "Did you mean 'profile'?" == caught.value.hint


# --- contract values ---------------------------------------------------------------------------------------------


def test_a_value_is_read_by_its_type() -> None:
    """A contract value, its base class, or the mapping."""
    assert Profile("Ada") == inputs(a=Profile("Ada")).value("a", Profile)
    assert Profile("Ada") == inputs(a=Profile("Ada")).value(a, object)
    assert {"k": 1} == inputs(a={"k": 1}).value("a", dict)


def test_a_value_of_another_type_is_an_error() -> None:
    """It names the producer, what it returned, and who reads it as what."""
    with pytest.raises(StageReturnTypeError) as caught:
        inputs(a={"k": 1}).value("a", Profile)
    assert (
        "Stage 'a' returned a mapping, and stage 'me' reads it as Profile. "
        "Read the type that the stage returns, or make it return that type." == str(caught.value)
    )


# --- I3: copies --------------------------------------------------------------------------------------------------


def test_reading_twice_gives_the_same_object() -> None:
    """One reader has one copy, as it would have one shared object."""
    read = inputs(a=Profile("Ada"), b={"p": Profile("Bob")})
    assert read.value("a", Profile) is read.value("a", Profile)
    assert read.get_from("b", "p") is read.require_from("b", "p")
    assert read.get_output("a") is read.get_output(a)


def test_what_cannot_be_changed_is_never_copied() -> None:
    """All readers share it."""
    value = Frozen("Ada")
    first, second = inputs(a=value), inputs(a=value)
    assert value is first.value("a", Frozen)
    assert first.value("a", Frozen) is second.value("a", Frozen)


class Ticket(TypedDict):
    title: str


@pytest.mark.parametrize("wanted", [Ticket, dict[str, str], Mapping, Mapping[str, str], dict | None, Optional[dict]])  # noqa: UP045 - the old form too
def test_a_mapping_can_be_read_as_any_type_of_mapping(wanted: Any) -> None:
    """What a type checker tells apart is a mapping at run time."""
    assert {"title": "x"} == inputs(a={"title": "x"}).value("a", wanted)


@pytest.mark.parametrize(
    ("wanted", "name"), [(Ticket, "Ticket"), (list[int], "list"), (int | None, r"int | None")], ids=str
)
def test_a_contract_value_is_no_mapping(wanted: Any, name: str) -> None:
    """The message has the type as it was written, or its name."""
    with pytest.raises(StageReturnTypeError, match=re.escape(f"reads it as {name}")):
        inputs(a=Profile("Ada")).value("a", wanted)


# --- streams -----------------------------------------------------------------------------------------------------


def streaming_inputs() -> tuple[StageInputs, Stream[Any]]:
    """Return the inputs of a stage that reads two streams, of which the second never started, and one stage besides."""
    stream: Any = object()
    return StreamingInputs([returned("b", {"p": 1})], "me", {"b": 0}, {"a": stream, "late": None}), stream


def test_a_stream_is_read_by_name_or_handle() -> None:
    """It is the same one each time, and other stages are read as ever."""
    read, stream = streaming_inputs()
    assert read.stream("a") is read.stream(a) is stream
    assert (read.declared, read.get_from("b", "p"), read.get("p"), read.has_output("b")) == (("b",), 1, 1, True)


def test_an_optional_stream_that_never_started_is_absent() -> None:
    """The error names it."""
    with pytest.raises(MissingInputError) as caught:
        streaming_inputs()[0].stream("late")
    assert (caught.value.stage, caught.value.dependency) == ("me", "late")
    assert "not started" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "told", "declared"),
    [
        (
            lambda: inputs(b={"p": 1}),
            '(declared: b). To read it chunk by chunk, give the stage streams=("x",).',
            ("b",),
        ),
        (
            lambda: streaming_inputs()[0],
            (
                '(its streams: a, late). To read it chunk by chunk, give the stage streams=("x",), '
                "beside those that it has."
            ),
            ("b", "a", "late"),
        ),
    ],
    ids=["none", "others"],
)
def test_a_stream_that_is_not_declared_cannot_be_read(
    make: Callable[[], StageInputs], told: str, declared: tuple[str, ...]
) -> None:
    """The message holds the line to add; that it is waited for is another mistake."""
    with pytest.raises(UndeclaredDependencyError) as caught:
        make().stream("x")
    assert str(caught.value) == f"Stage 'me' reads the stream of 'x' without declaring it {told}"
    assert (caught.value.dependency, caught.value.declared) == ("x", declared)
    with pytest.raises(
        UndeclaredDependencyError, match="reads the stream of 'b', and declares it as a dependency that"
    ):
        make().stream("b")


@pytest.mark.parametrize(
    "read",
    [
        lambda read: read.get_from("a", "k"),
        lambda read: read.require_from("a", "k"),
        lambda read: read.has_output("a"),
        lambda read: read.get_output(a),
        lambda read: read.value("a", dict),
        lambda read: read.get_output("late"),
    ],
)
def test_a_stage_whose_stream_is_read_has_returned_nothing_yet(read: Callable[[StageInputs], Any]) -> None:
    """No accessor reads it; the error says what to do in place of that."""
    with pytest.raises(UndeclaredDependencyError, match=r"and declares it as a stream.*ctx\.inputs\.stream\('"):
        read(streaming_inputs()[0])
