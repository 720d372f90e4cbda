"""What core knows of contract types."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec
import pydantic
import pytest
from stageflow.contracts import ContractMismatch, contract_fields, step_to, unsubscripted

T = TypeVar("T")


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass
class Mutable:
    items: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    value: Any


class HalfFrozen(Frozen):
    """Inherits from a frozen dataclass and is none: it takes new attributes."""


@dataclass
class WithClassVar:
    known: ClassVar[list[str]] = ["a"]
    hint: InitVar[str] = "b"
    size: int = 1


class Model(pydantic.BaseModel):
    items: list[int] = []


class FrozenModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    value: Any = None
    _cache: list[int] = pydantic.PrivateAttr(default_factory=list)


class OpenModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    size: int = 1


class Struct(msgspec.Struct):
    items: list[int] = []


class Vector:
    """Compares like a numpy array, element by element, and copies itself in its own way."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers

    def __eq__(self, other: object) -> Any:
        return [number == other for number in self.numbers]

    def __bool__(self) -> bool:
        raise ValueError("The truth value of an array is ambiguous.")

    __hash__ = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Vector:
        return Vector(self.numbers.copy())


class Uncopyable:
    def __deepcopy__(self, memo: dict[int, Any]) -> Uncopyable:
        raise RuntimeError("there is only one of me")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Mutable([1]), {"items": [1]}),
        (Frozen(Mutable()), {"value": Mutable()}),
        (WithClassVar(), {"size": 1}),
        (Model(items=[1]), {"items": [1]}),
        (OpenModel(size=2, colour="red"), {"size": 2, "colour": "red"}),
        (FrozenModel(value=1), {"value": 1}),
        (Struct([1]), {"items": [1]}),
        (HalfFrozen(1), {"value": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_contract_value_has_its_fields(value: Any, expected: dict[str, Any]) -> None:
    """The fields are listed by name, one level deep, without what belongs to the class."""
    assert expected == contract_fields(value)


@pytest.mark.parametrize("value", [1, "a", [], {}, None, Mutable, Model, Struct, object(), Point(1, 2)])
def test_other_values_are_no_contract(value: Any) -> None:
    """A plain value, and the class of a contract itself, have no fields."""
    assert None is contract_fields(value)


def test_a_field_that_was_never_set_is_left_out() -> None:
    """A dataclass may have a field without a value."""

    @dataclass
    class Lazy:
        size: int = field(init=False)

    assert {} == contract_fields(Lazy())


@pytest.mark.parametrize(("key", "step"), [("a", ".a"), ("a b", "['a b']"), ("", "['']"), (5, "[5]"), (None, "[None]")])
def test_the_step_to_a_key(key: object, step: str) -> None:
    """As one would write it."""
    assert step == step_to(key)


def test_a_mismatch_tells_the_whole_way() -> None:
    """Each thing that holds the value adds a step in front."""
    error = ContractMismatch("int", value="a")
    error.within("[3]")
    error.within(".items")
    assert ("$.items[3]", "$.items[3] is a str ('a'); expected int.") == (error.path, str(error))


def test_a_mismatch_may_say_in_words_what_is_there() -> None:
    """Where there is no value."""
    assert "$ is missing; expected int." == str(ContractMismatch("int", found="missing"))


class Form(pydantic.BaseModel, Generic[T]):
    item: T


@pytest.mark.parametrize(("kind", "expected"), [(Form[int], Form), (Form, Form), (Model, Model), (int, int)])
def test_a_subscripted_pydantic_class_is_a_form_of_another(kind: type[Any], expected: type[Any]) -> None:
    """Where others have an alias, pydantic has a class of its own."""
    assert unsubscripted(kind) is expected
