"""Contract values through JSON: what a stage returned comes back equal, and of the same types."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import json
import math
import pathlib
import uuid
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import msgspec
import pydantic
import typing_extensions
from hypothesis import given
from hypothesis import strategies as st
from stageflow.typed_json.writing import write
from stageflow.validation.contract import contract_for

T = TypeVar("T")


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Corner(enum.Enum):
    """Has values that are not JSON, so that JSON has the names."""

    FIRST = (0, 0)
    LAST = (1, 1)


class Mood(enum.StrEnum):
    GOOD = "good"


class Level(enum.IntEnum):
    LOW = 1


class Flags(enum.Flag):
    A = 1
    B = 2


class Name(str):
    __slots__ = ()


class Spot(NamedTuple):
    x: int
    when: dt.date


@dataclass(frozen=True)
class Leaf:
    text: str
    color: Color
    spot: Spot | None = None


@dataclass(frozen=True)
class SubLeaf(Leaf):
    more: tuple[int, ...] = ()


@dataclass(slots=True)
class Page(Generic[T]):
    items: list[T]
    next: Page[T] | None = None


@dataclass
class Scalars:
    flag: bool
    number: int
    real: float
    name: Name
    corner: Corner
    mood: Mood
    level: Level
    flags: Flags
    decimal: decimal.Decimal
    fraction: fractions.Fraction
    raw: bytes
    buffer: bytearray
    day: dt.date
    time: dt.time
    moment: dt.datetime
    span: dt.timedelta
    key: uuid.UUID
    path: pathlib.PurePosixPath
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    zone: zoneinfo.ZoneInfo
    literal: Literal["a", 1]


@dataclass
class Tree:
    """Says little of what it holds: a sequence is a list or a tuple, anything is anything."""

    leaf: Leaf
    maybe: str | dt.date | decimal.Decimal | Color | None
    sequence: Sequence[Leaf]
    anything: Any
    members: set[str] | frozenset[int]
    by_number: dict[int, Leaf]
    by_key: Mapping[Any, int]
    page: Page[Leaf] | None
    trees: list[Tree] = field(default_factory=list)


class Struct(msgspec.Struct):
    leaf: Leaf
    span: dt.timedelta
    given: int | msgspec.UnsetType = msgspec.UNSET
    inner: Struct | None = None


class Model(pydantic.BaseModel):
    leaf: Leaf
    moment: dt.datetime
    price: decimal.Decimal
    raw: bytes
    names: frozenset[str]
    pair: tuple[int, str]
    by_number: dict[int, str]
    maybe: int | str | None
    inner: Model | None = None
    renamed: int = pydantic.Field(default=0, alias="reNamed")


class Bounded(msgspec.Struct):
    color: Annotated[Color, msgspec.Meta(description="of the rainbow")]
    names: Annotated[list[Name], msgspec.Meta(max_length=5)]
    json: Json = None


Json = typing_extensions.TypeAliasType("Json", "dict[str, Json] | Mood | None")


class Keys(TypedDict):
    text: str
    leaf: Leaf
    items: list[float]


def replaced(tree: Tree, trees: list[Tree]) -> Tree:
    """Return the tree with others below it."""
    return Tree(**{**vars(tree), "trees": trees})


texts = st.text()
finite = st.floats(allow_nan=False, allow_infinity=False)
zones = st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=-5, minutes=-30))])
moments = st.datetimes() | st.datetimes(timezones=zones)
spots = st.builds(Spot, st.integers(), st.dates())
leaves = st.builds(Leaf, texts, st.sampled_from(Color), st.none() | spots)
leaves |= st.builds(SubLeaf, texts, st.sampled_from(Color), more=st.lists(st.integers()).map(tuple))
decimals = st.decimals(allow_nan=False)
scalars = st.builds(
    Scalars,
    flag=st.booleans(),
    number=st.integers(),
    real=finite,
    name=texts.map(Name),
    corner=st.sampled_from(Corner),
    mood=st.sampled_from(Mood),
    level=st.sampled_from(Level),
    flags=st.sampled_from([Flags(0), Flags.A, Flags.A | Flags.B]),
    decimal=decimals,
    fraction=st.fractions(),
    raw=st.binary(),
    buffer=st.binary().map(bytearray),
    day=st.dates(),
    time=st.times() | st.times(timezones=zones),
    moment=moments,
    span=st.timedeltas(),
    key=st.uuids(),
    path=st.lists(st.text("ab.", min_size=1)).map(lambda parts: pathlib.PurePosixPath(*parts)),
    address=st.ip_addresses(),
    zone=st.sampled_from(["UTC", "Europe/Berlin"]).map(zoneinfo.ZoneInfo),
    literal=st.sampled_from(["a", 1]),
)
plain = st.none() | st.booleans() | st.integers() | finite | texts
hashable = plain | st.dates() | st.uuids() | st.sampled_from(Color) | st.sampled_from(Mood) | spots
anything = st.recursive(
    hashable | leaves | st.binary() | decimals,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.frozensets(hashable)
        | st.dictionaries(texts, inner)
        | st.dictionaries(st.integers() | st.dates(), inner)
    ),
    max_leaves=8,
)
pages = st.recursive(
    st.builds(Page, st.lists(leaves, max_size=2)),
    lambda inner: st.builds(Page, st.lists(leaves, max_size=2), inner),
    max_leaves=3,
)
trees = st.recursive(
    st.builds(
        Tree,
        leaf=leaves,
        maybe=texts | st.dates() | decimals | st.sampled_from(Color) | st.none(),
        sequence=st.lists(leaves, max_size=2) | st.lists(leaves, max_size=2).map(tuple),
        anything=anything,
        members=st.sets(texts) | st.frozensets(st.integers()),
        by_number=st.dictionaries(st.integers(), leaves, max_size=2),
        by_key=st.dictionaries(st.integers() | st.uuids() | st.sampled_from(Corner), st.integers(), max_size=3),
        page=st.none() | pages,
    ),
    lambda inner: st.builds(replaced, inner, st.lists(inner, max_size=2)),
    max_leaves=3,
)
structs = st.recursive(
    st.builds(Struct, leaves, st.timedeltas(), st.integers() | st.just(msgspec.UNSET)),
    lambda inner: st.builds(Struct, leaves, st.timedeltas(), st.just(msgspec.UNSET), inner),
    max_leaves=3,
)
models = st.builds(
    Model,
    leaf=st.builds(Leaf, texts, st.sampled_from(Color), st.none() | spots),
    moment=moments,
    price=st.decimals(allow_nan=False, allow_infinity=False),
    raw=texts.map(lambda text: text.encode("utf-8", "replace")),
    names=st.frozensets(texts),
    pair=st.tuples(st.integers(), texts),
    by_number=st.dictionaries(st.integers(), texts, max_size=2),
    maybe=st.none() | st.integers() | texts,
    reNamed=st.integers(),
)
keys = st.fixed_dictionaries({"text": texts, "leaf": leaves, "items": st.lists(finite)})


def same(first: Any, second: Any) -> bool:
    """Return whether the two are equal, and of the same types all the way down: 1 == True == Decimal(1)."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, (set, frozenset)):
        return same(sorted(first, key=repr), sorted(second, key=repr))
    if hasattr(first, "__dataclass_fields__"):
        names = type(first).__dataclass_fields__
        return all(same(getattr(first, name), getattr(second, name)) for name in names)
    return bool(first == second)


def through_json(annotation: Any, value: Any) -> Any:
    """Return what comes back, from data and kinds that have both been text."""
    contract = contract_for(annotation)
    assert contract is not None
    contract.check(value)
    data, kinds = json.loads(json.dumps(write(value, "$")))
    return contract.revive(data, kinds)


@given(scalars)
def test_scalars_come_back(value: Scalars) -> None:
    """Of every type that is written as text."""
    assert same(value, through_json(Scalars, value))


@given(trees)
def test_nested_dataclasses_come_back(value: Tree) -> None:
    """Where the annotation leaves open what it was, too: the kinds tell."""
    back = through_json(Tree | Corner | Mood, value)
    assert value == back
    assert same(value, back)


@given(structs)
def test_msgspec_values_come_back(value: Struct) -> None:
    """With what was not given still not given."""
    back = through_json(Struct, value)
    assert value == back
    assert type(value.leaf) is type(back.leaf)


@given(models)
def test_pydantic_values_come_back(value: Model) -> None:
    """In the way that they write themselves."""
    back = through_json(Model, value)
    assert value == back
    assert same(dict(value), dict(back))


@given(keys)
def test_typed_dicts_come_back(value: Keys) -> None:
    """With the contract values in them."""
    back = through_json(Keys, value)
    assert same(value, back)


def test_types_behind_aliases_and_conditions_come_back() -> None:
    """They are mentioned, too."""
    value = Bounded(Color.RED, [Name("a")], {"a": {"b": Mood.GOOD}})
    back = through_json(Bounded, value)
    assert value == back
    assert (Name, Mood) == (type(back.names[0]), type(back.json["a"]["b"]))


def test_no_number_is_lost() -> None:
    """In either direction of the exponent, and with either sign of zero."""
    value = Page([0.1, -0.0, 1e-308, 5e-324, 1.7976931348623157e308, 2.0**53])
    back = through_json(Page[float], value)
    assert value == back
    assert -1 == math.copysign(1, back.items[1])
