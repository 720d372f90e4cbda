"""What a stage returned, as its run stores it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn, TypedDict

import msgspec
import pydantic
import pytest
from stageflow import StageArtifact, StageEvent, StageOutput, StageStatus
from stageflow.core.returning import returned, stored_from
from stageflow.errors import StageReturnTypeError
from stageflow.frozen import FrozenDict


@dataclass
class Profile:
    name: str
    tags: list[str] = field(default_factory=list)


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


async def forgotten() -> None:
    """Be called without `await`."""


def test_a_forgotten_await_is_called_so() -> None:
    """Whether the coroutine is the result or stands in it."""
    coroutine = forgotten()
    with pytest.raises(StageReturnTypeError) as bare:
        returned("s", coroutine)
    with pytest.raises(StageReturnTypeError) as inside:
        returned("s", {"a": [coroutine]})
    coroutine.close()
    assert "Await it first: `return await ...`." == bare.value.hint
    assert "its result['a'][0] is a coroutine" in inside.value.message
    assert "Await it first: an `await` seems to be missing." == inside.value.hint


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


def test_what_cannot_be_stored_is_the_failure_of_the_stage() -> None:
    """A result, however odd, never breaks a run."""
    assert "return-type" == stored_from("s", 5).error.code
    assert "ValueError" == stored_from("s", Unreadable()).error.type


class Unreadable(dict[str, object]):
    """A mapping that cannot be read."""

    def items(self) -> NoReturn:
        raise ValueError("not now")
