"""JSON and kinds to values."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple, Self

import msgspec
import pydantic
import pytest
from stageflow.contracts import ContractMismatch
from stageflow.frozen import freeze
from stageflow.typed_json.reading import kind_name, read


class Color(enum.Enum):
    RED = 1


class Corner(enum.Enum):
    FIRST = (0, 0)


class Mood(enum.StrEnum):
    GOOD = "good"


class Spot(NamedTuple):
    x: int


@dataclass
class Box:
    value: Any
    made: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.made += 1


@dataclass
class Picky:
    size: int

    def __new__(cls, size: int) -> Self:
        """Cannot be called without arguments."""
        return object.__new__(cls)


class Struct(msgspec.Struct):
    size: int = 0

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("too small")


class Model(pydantic.BaseModel):
    size: int = 0


LISTED = {"of": "Box", "fields": {"value": "list"}}
MIXED = {"of": "dict", "keys": {"each": {"1": "int"}}, "values": {"each": {"a": "int"}}}
KNOWN = {kind.__name__: kind for kind in (Color, Corner, Mood, Spot, Box, Picky, Struct, Model)}


@pytest.mark.parametrize(
    ("data", "kinds", "value"),
    [
        ({"a": [1]}, None, {"a": [1]}),
        ([1, "2"], {"of": "tuple", "items": [None, "decimal.Decimal"]}, (1, Decimal(2))),
        ([["1"]], {"of": "list", "items": {"of": "set", "items": "int"}}, [{1}]),
        ([], "frozenset", frozenset()),
        ({"1": 2}, {"of": "dict", "keys": "int"}, {1: 2}),
        ({"1": 2, "a": "3"}, MIXED, {1: 2, "a": 3}),
        ({"value": 1, "made": 7}, "Box", None),
        ({"size": 1}, "Struct", Struct(1)),
        ({"size": 1}, "Model", Model(size=1)),
        (1, "Color", Color.RED),
        ("FIRST", "Corner", Corner.FIRST),
        ("good", {"of": "Mood", "equal": True}, Mood.GOOD),
        ("a", {"of": "Elsewhere", "equal": True}, "a"),
        ([5], "Spot", Spot(5)),
        ("PT90.000001S", "datetime.timedelta", dt.timedelta(seconds=90, microseconds=1)),
    ],
)
def test_values_are_made_of_data_and_kinds(data: Any, kinds: Any, value: Any) -> None:
    """As they were written."""
    back = read(freeze(data), kinds, KNOWN.get)
    assert isinstance(back, Box) if value is None else value == back
    assert value is None or type(value) is type(back)


def test_a_dataclass_is_restored_and_not_made_anew() -> None:
    """As unpickling does: what its constructor would count or check has happened already."""
    assert {"value": 1, "made": 7} == vars(read({"value": 1, "made": 7}, "Box", KNOWN.get))


def test_nothing_is_shared_with_the_data() -> None:
    """Which are frozen, while the lists of a dataclass are not."""
    back = read(freeze({"value": [{"a": []}], "made": 0}), "Box", KNOWN.get)
    assert (list, dict, list) == (type(back.value), type(back.value[0]), type(back.value[0]["a"]))


@pytest.mark.parametrize(
    ("data", "kinds", "path", "text"),
    [
        (1, 5, "$", "is an int (5); expected the name of a type."),
        (1, {"items": []}, "$", "is None; expected the name of a type."),
        (1, "Elsewhere", "$", "is an Elsewhere; expected a type that the contract mentions."),
        (1, "list", "$", "is an int (1); expected list."),
        ([1], {"of": "tuple", "items": [None, None]}, "$", "is a list of 1; expected tuple of 2."),
        ([1, "x"], {"of": "tuple", "items": [None, "int"]}, "$[1]", "is a str ('x'); expected int."),
        ([[1]], "set", "$", "is a list; expected set."),
        ([], "dict", "$", "is a list; expected dict."),
        ({"a": 1}, {"of": "dict", "keys": "int"}, "$.a", "is a str ('a'); expected int."),
        ({"[1]": 1}, {"of": "dict", "keys": "list"}, "$['[1]']", "is a str ('[1]'); expected list."),
        ({"a": 1}, {"of": "dict", "values": {"each": 5}}, "$", "is an int (5); expected kinds."),
        ("yesterday", "datetime.date", "$", "is a str ('yesterday'); expected datetime.date."),
        ("1 day", "datetime.timedelta", "$", "is a str ('1 day'); expected datetime.timedelta."),
        ("PT1.5S", "datetime.timedelta", "$", "is a str ('PT1.5S'); expected datetime.timedelta."),
        ("/wA=!", "bytes", "$", "is a str ('/wA=!'); expected bytes."),
        ("a", "bytes", "$", "is a str ('a'); expected bytes."),
        ("x", "decimal.Decimal", "$", "is a str ('x'); expected decimal.Decimal."),
        (2, "Color", "$", "is an int (2); expected Color."),
        ("SECOND", "Corner", "$", "is a str ('SECOND'); expected Corner."),
        ("bad", {"of": "Mood", "equal": True}, "$", "is a str ('bad'); expected Mood."),
        ([1, 2], "Spot", "$", "is a list; expected Spot."),
        ([], "Box", "$", "is a list; expected Box."),
        ({"value": 1}, "Box", "$.made", "is missing; expected a field of Box."),
        ({"value": 1, "made": 1, "more": 1}, "Box", "$.more", "is no such field; expected a field of Box."),
        ({"value": 1, "made": 1}, {"of": "Box", "fields": []}, "$", "is a list; expected Box."),
        ({"value": 1, "made": 1}, LISTED, "$.value", "is an int (1); expected list."),
        ({"size": 1}, "Picky", "$", "is a mapping; expected Picky."),
        ({"size": -1}, "Struct", "$", "is a mapping; expected Struct."),
        ({"size": "many"}, "Model", "$", "is what Model refuses; expected Model."),
        (
            {"size": 1},
            {"of": "Model", "lossy": True},
            "$",
            "is less than the Model that was written; expected Model.",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_place(data: Any, kinds: Any, path: str, text: str) -> None:
    """Data and kinds may have been changed, or the classes."""
    with pytest.raises(ContractMismatch) as caught:
        read(data, kinds, KNOWN.get)
    assert f"{path} {text}" == str(caught.value)


def test_a_refusal_tells_what_the_class_said() -> None:
    """In its hint."""
    with pytest.raises(ContractMismatch) as caught:
        read({"size": -1}, "Struct", KNOWN.get)
    assert "too small" == caught.value.hint
    with pytest.raises(ContractMismatch) as caught:
        read({"size": "my secret"}, "Model", KNOWN.get)
    assert "size: Input should be a valid integer, unable to parse string as an integer" == caught.value.hint


def test_a_model_that_raises_an_error_of_its_own_is_heard() -> None:
    """Not only pydantic's."""

    class Duck:
        model_fields: ClassVar[dict[str, Any]] = {}

        @classmethod
        def model_validate(cls, data: Any, **_: Any) -> None:
            raise RuntimeError("not today")

    with pytest.raises(ContractMismatch) as caught:
        read({}, "Duck", {"Duck": Duck}.get)
    assert "not today" == caught.value.hint


def test_the_name_of_the_outermost_type() -> None:
    """With or without what is in it."""
    assert ("m.Box", "m.Box") == (kind_name("m.Box"), kind_name({"of": "m.Box", "fields": {}}))
