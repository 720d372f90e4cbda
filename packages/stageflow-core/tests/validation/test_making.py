"""Values made of plain data by their annotation alone."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pydantic
import pytest
from stageflow.contracts import ContractMismatch
from stageflow.validation.contract import TypeContract, contract_for
from stageflow.validation.hints import UnresolvedContract
from typing_extensions import TypeAliasType

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = ("blue", 1)


class Number(enum.IntEnum):
    ONE = 1


@dataclass(frozen=True)
class Item:
    name: str
    price: float = 1.0


@dataclass(frozen=True)
class Tree:
    name: str
    below: tuple[Tree, ...] = ()
    above: Tree | None = None


@dataclass
class Page(Generic[T]):
    items: list[T]
    size: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.size = len(self.items)


class Point(NamedTuple):
    x: int
    y: int = 0


class Keys(TypedDict):
    item: Item
    note: NotRequired[str]


class Model(pydantic.BaseModel):
    when: date
    count: int = pydantic.Field(default=1, ge=1)


class Struct(msgspec.Struct):
    item: Item
    tags: tuple[str, ...] = ()


Tags = TypeAliasType("Tags", "list[str | Tags]")


def made(annotation: Any, data: Any) -> Any:
    contract = contract_for(annotation)
    assert contract is not None
    return contract.make(data)


@pytest.mark.parametrize(
    ("annotation", "data", "value"),
    [
        (int, 3, 3),
        (float, 3, 3),
        (str | None, None, None),
        (datetime, "2026-03-01T12:00:00+00:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        (datetime, datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        (Decimal, "1.10", Decimal("1.10")),
        (UUID, "12345678123456781234567812345678", UUID("12345678123456781234567812345678")),
        (bytes, "aGk=", b"hi"),
        (bytes, b"hi", b"hi"),
        (Color, "RED", Color.RED),
        (Color, "BLUE", Color.BLUE),
        (Number, 1, Number.ONE),
        (Literal["a", 1], 1, 1),
        (Literal[Number.ONE], 1, Number.ONE),
        (list[Item], [{"name": "a"}], [Item("a")]),
        (tuple[Item, ...], [{"name": "a"}], (Item("a"),)),
        (tuple[str, Item], ["a", {"name": "b", "price": 2}], ("a", Item("b", 2))),
        (set[str], ["a", "b"], {"a", "b"}),
        (frozenset[Color], ["RED"], frozenset({Color.RED})),
        (AbstractSet[str], ["a"], {"a"}),
        (Sequence[Item], [{"name": "a"}], [Item("a")]),
        (deque[int], [1, 2], deque([1, 2])),
        (dict[str, Item], {"a": {"name": "b"}}, {"a": Item("b")}),
        (Mapping[str, tuple[int, ...]], {"a": [1]}, {"a": (1,)}),
        (Item, Item("a"), Item("a")),
        (Item, {"name": "a", "price": 2}, Item("a", 2)),
        (Item | None, {"name": "a"}, Item("a")),
        (int | list[Item], [{"name": "a"}], [Item("a")]),
        (Item | dict[str, Any], {"name": "a"}, {"name": "a"}),
        (Tree, {"name": "a", "below": [{"name": "b"}]}, Tree("a", (Tree("b"),))),
        (Tree, {"name": "a", "above": {"name": "b"}}, Tree("a", above=Tree("b"))),
        (Page[Item], {"items": [{"name": "a"}]}, Page([Item("a")])),
        (Point, {"x": 1}, Point(1)),
        (Keys, {"item": {"name": "a"}}, {"item": Item("a")}),
        (Model, {"when": "2026-03-01"}, Model(when=date(2026, 3, 1))),
        (Struct, {"item": {"name": "a"}, "tags": ["b"]}, Struct(Item("a"), ("b",))),
        (Annotated[list[Item], msgspec.Meta(min_length=1)], [{"name": "a"}], [Item("a")]),
        (Tags, ["a", ["b"]], ["a", ["b"]]),
    ],
)
def test_what_plain_data_mean(annotation: Any, data: Any, value: Any) -> None:
    """Lists, texts and mappings become what the annotation says; what is that already stays."""
    result = made(annotation, data)
    assert value == result
    assert type(value) is type(result)


@pytest.mark.parametrize(
    ("annotation", "data", "path", "expected", "found"),
    [
        (int, "3", "$", "int", "a str ('3')"),
        (datetime, "monday", "$", "datetime", "a str ('monday')"),
        (datetime, 3, "$", "datetime", "an int (3)"),
        (Color, "red", "$", "Color", "a str ('red')"),
        (Literal[Number.ONE], True, "$", "<Number.ONE: 1>", "a bool (True)"),
        (list[Item], {"name": "a"}, "$", "list[Item]", "a mapping"),
        (list[str], "ab", "$", "list[str]", "a str ('ab')"),
        (Sequence[str], "ab", "$", "Sequence[str]", "a str ('ab')"),
        (list[Item], [{"name": "a"}, {"name": 3}], "$[1].name", "str", "an int (3)"),
        (tuple[str, int], ["a"], "$", "tuple[str, int]", "a list of 1"),
        (tuple[str, int], "ab", "$", "tuple[str, int]", "a str ('ab')"),
        (tuple[str, int], ["a", "b"], "$[1]", "int", "a str ('b')"),
        (dict[str, Item], [], "$", "dict[str, Item]", "a list"),
        (dict[str, Item], {"a": {}}, "$.a.name", "str", "missing"),
        (Item, [], "$", "Item", "a list"),
        (Item, {}, "$.name", "str", "missing"),
        (Item, {"name": "a", "prize": 2}, "$.prize", "no such key", "an int (2)"),
        (Item, Point(1), "$", "Item", "a Point"),
        (Page[Item], {"items": [], "size": 3}, "$.size", "no such key", "an int (3)"),
        (Item | int, {"name": 3}, "$.name", "str", "an int (3)"),
        (Item | int, "a", "$", "Item or int", "a str ('a')"),
        (Point, {"y": 1}, "$", "Point", "what Point refuses"),
        (Keys, {}, "$.item", "Item", "missing"),
        (Keys, {"item": {"name": "a"}, "noet": ""}, "$.noet", "no such key", "a str ('')"),
        (Keys, [], "$", "Keys", "a list"),
        (Model, {"when": "2026-03-01", "count": 0}, "$", "Model", "what Model refuses"),
        (Struct, {}, "$", "Struct", "what Struct refuses"),
        (Annotated[list[Item], msgspec.Meta(min_length=1)], [], "$", "array of length >= 1", "a list"),
        (Tree, {"name": "a", "below": [{"name": "b", "below": [3]}]}, "$.below[0].below[0]", "Tree", "an int (3)"),
    ],
    ids=str,
)
def test_data_that_mean_nothing_of_the_kind(annotation: Any, data: Any, path: str, expected: str, found: str) -> None:
    """The mismatch leads to the place."""
    with pytest.raises(ContractMismatch) as caught:
        made(annotation, data)
    error = caught.value
    assert (path, expected, found) == (error.path, error.expected, error.found)


def test_what_may_be_secret_is_not_told() -> None:
    """Neither the value nor what its type says of it."""

    @dataclass(frozen=True)
    class Login:
        api_key: UUID

    with pytest.raises(ContractMismatch) as caught:
        made(Login, {"api_key": "sk-1234"})
    assert ("$.api_key", "a str", None) == (caught.value.path, caught.value.found, caught.value.hint)


def test_data_that_go_too_deep_are_a_mismatch() -> None:
    """And not a RecursionError out of nowhere."""
    data: dict[str, Any] = {"name": "a"}
    for _ in range(5_000):
        data = {"name": "a", "below": [data]}
    with pytest.raises(ContractMismatch) as caught:
        made(Tree, data)
    assert "nested too deep" == caught.value.found


def test_a_subclass_that_nobody_can_read_is_a_mismatch() -> None:
    """Its fields are looked at only when a value of it comes."""

    @dataclass(frozen=True)
    class Odd(Item):
        what: Nowhere | None = None  # noqa: F821 # pyright: ignore[reportUndefinedVariable]

    with pytest.raises(UnresolvedContract):
        contract_for(Odd)
    with pytest.raises(ContractMismatch) as caught:
        made(Item, Odd("a"))
    assert isinstance(contract_for(Item), TypeContract)
    assert "cannot be resolved" in str(caught.value.hint)
