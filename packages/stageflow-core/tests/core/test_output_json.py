"""A StageOutput through JSON."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow import StageArtifact, StageEvent, StageOutput
from stageflow.core.output import reader_view
from stageflow.core.output_json import output_from_dict, output_to_dict, written_kinds
from stageflow.errors import SerializationError


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
    data = output_to_dict(output)
    back = output_from_dict(json.loads(json.dumps(data)))
    assert output == back
    assert data == output_to_dict(back)


@by_type
def test_a_contract_value_comes_back_as_its_mapping(value: Any) -> None:
    """JSON does not know the class."""
    back = output_from_dict(output_to_dict(StageOutput.ok(value, version="2")))
    assert StageOutput.ok({"name": "Ada", "tags": ["a"]}, version="2") == back


@by_type
def test_a_contract_value_that_was_read_still_knows_its_type(value: Any) -> None:
    """However often it is written and read, copied or pickled."""
    output = StageOutput.ok(value, version="2")
    data = output_to_dict(output)
    assert f"{__name__}.{type(value).__name__}" == data["contract"]
    back = output_from_dict(json.loads(json.dumps(data)))
    assert data["contract"] == written_kinds(back)
    for same in (back, copy.deepcopy(back), pickle.loads(pickle.dumps(back)), reader_view(back)):
        assert data == output_to_dict(same)
    assert None is written_kinds(output)


def test_what_stands_in_the_data_knows_its_type_too() -> None:
    """Whoever resumes must know that a mapping held more than JSON."""
    output = output_from_dict(output_to_dict(StageOutput.ok(a=1, person=Frozen("Bob"))))
    assert {"of": "dict", "values": {"each": {"person": f"{__name__}.Frozen"}}} == written_kinds(output)
    assert None is written_kinds(output_from_dict(output_to_dict(StageOutput.ok(a=[1]))))


@by_type
def test_data_that_were_read_are_frozen(value: Any) -> None:
    """As all data are."""
    back = output_from_dict(output_to_dict(StageOutput.ok(value)))
    with pytest.raises(TypeError, match="frozen"):
        back.data["name"] = "Eve"  # type: ignore[index]
    assert back.data == dict(back.data)


def test_contracts_inside_data_are_written_as_their_mappings() -> None:
    """At any depth."""
    data = output_to_dict(StageOutput.ok(people=[{"one": Profile("Ada")}, Frozen("Bob")]))["data"]
    assert {"people": [{"one": {"name": "Ada", "tags": []}}, {"name": "Bob"}]} == data


@pytest.mark.parametrize(
    ("output", "path"),
    [
        (StageOutput.ok(a={"b": [(1,)]}), "$.data.a.b[0]"),
        (StageOutput.ok(a=(Frozen("b"),)), "$.data.a"),
        (StageOutput.ok(Frozen(1j)), "$.data.name"),  # type: ignore[arg-type]
        (StageOutput.ok(when=date(2026, 1, 2)), "$.data.when"),
        (StageOutput.fail("a", data={"e": ValueError()}), "$.data.e"),
    ],
)
def test_writing_names_the_path_of_what_is_not_json(output: StageOutput[Any], path: str) -> None:
    """The error leads to it from the output."""
    with pytest.raises(SerializationError) as caught:
        output_to_dict(output)
    assert path == caught.value.path


def test_data_nested_too_deep_for_writing_is_refused() -> None:
    """Where the stack is shorter than when the data was frozen, the error is still a typed one."""
    output = StageOutput.ok(a=nested(150))

    def deeper(levels: int) -> Any:
        return deeper(levels - 1) if levels else output_to_dict(output)

    with pytest.raises(SerializationError, match=r"\$\.data: is nested too deep\."):
        deeper(levels_left() - 120)  # from 3.12 on, a level of nesting takes one call, before it takes two


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


GOOD = output_to_dict(StageOutput.fail("boom").publishing(StageArtifact("a"), StageEvent("e")))


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        ({"status": "done"}, "$.status", "'done' is not how a stage can end."),
        ({"status": "retry"}, "$.status", "'retry' is not how a stage can end."),
        ({"status": None}, "$.status", "expected str, found NoneType."),
        ({"data": []}, "$.data", "expected an object, found list."),
        ({"data": {"a": {1}}}, "$.data.a", "a set is not JSON."),
        ({"contract": 5}, "$.contract", "expected an object, found int."),
        ({"contract": {}}, "$.contract.of", "expected str, found NoneType."),
        ({"contract": {"of": "a", "items": {1}}}, "$.contract.items", "a set is not JSON."),
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
        output_from_dict({**GOOD, **change})
    assert (path, text) == (caught.value.path, caught.value.problem)


@pytest.mark.parametrize("name", GOOD)
def test_a_missing_field_is_named(name: str) -> None:
    """No default is made up when something is read."""
    with pytest.raises(SerializationError) as caught:
        output_from_dict({key: value for key, value in GOOD.items() if key != name})
    assert (f"$.{name}", "is missing.") == (caught.value.path, caught.value.problem)


def test_tuples_of_a_contract_value_come_back_as_lists() -> None:
    """A frozen dataclass has no other way to hold several things."""
    value = Frozen(("a", Frozen(("b",))))  # pyright: ignore[reportArgumentType]
    data = json.loads(json.dumps(output_to_dict(StageOutput.ok(value))))
    assert {"name": ["a", {"name": ["b"]}]} == output_from_dict(data).data
