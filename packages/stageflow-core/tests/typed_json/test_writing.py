"""Values to JSON and kinds."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import pydantic
import pytest
from stageflow.errors import SerializationError
from stageflow.typed_json.writing import write


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Loose(str, enum.Enum):  # noqa: UP042 - its text is not its value
    """Is a text that is not its value."""

    FIRST = "a"

    def __new__(cls, text: str) -> Self:
        made = str.__new__(cls, text * 2)
        made._value_ = text
        return made


class Odd(tuple[int, ...]):
    __slots__ = ()


class Spot(NamedTuple):
    x: int


@dataclass
class Box:
    value: Any


DAY = dt.date(2026, 1, 2)
HERE = __name__
FROZEN = {"of": "frozenset", "items": {"of": "tuple", "items": "datetime.date"}}


@pytest.mark.parametrize(
    ("value", "data", "kinds"),
    [
        ({"a": [1, None, "b"]}, {"a": [1, None, "b"]}, None),
        (Box(1), {"value": 1}, f"{HERE}.Box"),
        (Box({"a": [1.5]}), {"value": {"a": [1.5]}}, f"{HERE}.Box"),
        (Box(()), {"value": []}, {"of": f"{HERE}.Box", "fields": {"value": "tuple"}}),
        (Box(DAY), {"value": "2026-01-02"}, {"of": f"{HERE}.Box", "fields": {"value": "datetime.date"}}),
        (
            {"a": [Box(1), Box(2)], "b": 1},
            {"a": [{"value": 1}, {"value": 2}], "b": 1},
            {"of": "dict", "values": {"each": {"a": {"of": "list", "items": f"{HERE}.Box"}}}},
        ),
        ({"a": Box(1)}, {"a": {"value": 1}}, {"of": "dict", "values": f"{HERE}.Box"}),
    ],
)
def test_the_types_that_json_does_not_tell_stand_beside_the_data(value: Any, data: Any, kinds: Any) -> None:
    """And only those."""
    assert (data, kinds) == write(value, "$")


@pytest.mark.parametrize(
    ("value", "data", "kind"),
    [
        ([1, (), DAY], [1, [], "2026-01-02"], {"of": "list", "items": [None, "tuple", "datetime.date"]}),
        ({"b", "a"}, ["a", "b"], "set"),
        (frozenset([DAY]), ["2026-01-02"], {"of": "frozenset", "items": "datetime.date"}),
        ((DAY, DAY), ["2026-01-02", "2026-01-02"], {"of": "tuple", "items": "datetime.date"}),
        (frozenset([(DAY,)]), [["2026-01-02"]], FROZEN),
        (Spot(5), [5], f"{HERE}.Spot"),
        ({1: 2}, {"1": 2}, {"of": "dict", "keys": "int"}),
        ({1: 2, "a": 3}, {"1": 2, "a": 3}, {"of": "dict", "keys": {"each": {"1": "int"}}}),
        ({DAY: DAY}, {"2026-01-02": "2026-01-02"}, {"of": "dict", "keys": "datetime.date", "values": "datetime.date"}),
        (Color.RED, 1, f"{HERE}.Color"),
        (Level.LOW, 1, {"of": f"{HERE}.Level", "equal": True}),
        (Loose.FIRST, "a", f"{HERE}.Loose"),
        (collections.OrderedDict(a=1), {"a": 1}, None),
        (dt.timedelta(days=-1, microseconds=1), "-PT86399.999999S", "datetime.timedelta"),
        (b"\xff\x00", "/wA=", "bytes"),
    ],
)
def test_what_a_contract_value_may_hold(value: Any, data: Any, kind: Any) -> None:
    """In a form that people and other programs read."""
    assert ({"value": data}, {"of": f"{HERE}.Box", "fields": {"value": kind}} if kind else f"{HERE}.Box") == write(
        Box(value), "$"
    )


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        ({"a": DAY}, "$.a", "a datetime.date is not JSON."),
        ({"a": {1}}, "$.a", "a set is not JSON."),
        ({"a": (1,)}, "$.a", "a tuple is not JSON."),
        ({1: 2}, "$", "the key 1 is not a string."),
        ({"a": [Box(object())]}, "$.a[0].value", "an object is not JSON."),
        (Box(Odd()), "$.value", f"a {HERE}.Odd is not JSON."),
        (Box(float("nan")), "$.value", "nan is not a JSON number."),
        (Box((1j,)), "$.value[0]", "a complex is not JSON."),
        (Box({1: 2, "1": 3}), "$.value", "two of its keys would be one in JSON."),
        (Box({(1,): 2}), "$.value", "the key (1,) cannot be written as a string."),
        (Box({True: 2}), "$.value", "the key True cannot be written as a string."),
    ],
)
def test_what_cannot_be_written_is_refused(value: Any, path: str, problem: str) -> None:
    """In a plain mapping, a date would come back as a text, without anybody who could tell."""
    with pytest.raises(SerializationError) as caught:
        write(value, "$")
    assert (path, problem) == (caught.value.path, caught.value.problem)


def test_values_nested_too_deep_are_refused() -> None:
    """With an error of ours."""
    value: Any = None
    for _ in range(5000):
        value = [value]
    with pytest.raises(SerializationError, match="nested too deep"):
        write(Box(value), "$")


# --- pydantic ----------------------------------------------------------------------------------------------------


class Plain(pydantic.BaseModel):
    size: int = 0


class SubPlain(Plain):
    more: int = 0


class Root(pydantic.RootModel[list[int]]):
    pass


class Secret(pydantic.BaseModel):
    key: pydantic.SecretStr


class Excluding(pydantic.BaseModel):
    size: int = 0
    hidden: int = pydantic.Field(default=0, exclude=True)


class Holding(pydantic.BaseModel):
    plain: Plain


class Aliased(pydantic.BaseModel):
    first_name: str = pydantic.Field(alias="firstName")

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def shout(self) -> str:
        """Return what is no field."""
        return self.first_name.upper()


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    day: dt.date


class Raw(pydantic.BaseModel):
    raw: bytes = b""


class Listed(pydantic.BaseModel):
    @pydantic.model_serializer
    def write(self) -> list[int]:
        return [1]


class Incomparable(pydantic.BaseModel):
    size: int = 0

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("cannot be compared")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Plain(size=1), {"size": 1}),
        (SubPlain(more=1), {"size": 0, "more": 1}),
        (Root([1, 2]), {"root": [1, 2]}),
        (Aliased(firstName="Ada"), {"first_name": "Ada"}),
        (Strict(day=DAY), {"day": "2026-01-02"}),
    ],
)
def test_a_pydantic_value_writes_itself(value: Any, data: Any) -> None:
    """By the names of its fields, as it looked before it was JSON."""
    assert (data, f"{HERE}.{type(value).__name__}") == write(value, "$")


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Secret(key="abc"), {"key": "**********"}),
        (Excluding(hidden=5), {"size": 0}),
        (Holding(plain=SubPlain(more=5)), {"plain": {"size": 0}}),
        (Plain.model_construct(size="many"), {"size": "many"}),
        (Incomparable(), {"size": 0}),
    ],
)
def test_what_a_pydantic_value_does_not_write_of_itself_is_noted(value: Any, data: Any) -> None:
    """The data tell of it, and nobody takes them for the whole."""
    assert (data, {"of": f"{HERE}.{type(value).__name__}", "lossy": True}) == write(value, "$")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Raw(raw=b"\xff"), r"\$\.a: .*Raw cannot be written: .*utf-8"),
        (Listed(), r"\$\.a: .*Listed is written as list, not as an object"),
    ],
)
def test_a_pydantic_value_that_cannot_write_itself_is_refused(value: Any, text: str) -> None:
    """With what it said."""
    with pytest.raises(SerializationError, match=text):
        write({"a": value}, "$")


def test_what_writes_text_needs_no_import() -> None:
    """A program that has no Decimal does not pay for decimal."""
    code = (
        "import sys, stageflow; from stageflow.typed_json.writing import write; write({'a': 1}, '$'); "
        "print(*{'decimal', 'fractions', 'ipaddress', 'uuid', 'zoneinfo', 'pathlib', 'json'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "" == done.stdout.strip()


def test_a_set_is_written_in_the_same_order_by_every_process() -> None:
    """Its own order depends on the seed of the hashes."""
    words = [f"word {number:03}" for number in range(100)]
    assert {"value": words} == write(Box(set(words)), "$")[0]
