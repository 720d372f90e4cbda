"""Which values are what an annotation says, and where the others are not."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import pathlib
import re
import sys
import typing
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    LiteralString,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    ParamSpec,
    Protocol,
    Required,
    Self,
    TypedDict,
    TypeVar,
    TypeVarTuple,
    Union,
    runtime_checkable,
)

import msgspec
import pydantic
import pytest
import typing_extensions
from stageflow.contracts import ContractMismatch
from stageflow.frozen import freeze
from stageflow.validation.annotations import Compiler, either, shape_of_class
from stageflow.validation.hints import UnresolvedContract
from stageflow.validation.shapes import ANYTHING, SCALARS

if TYPE_CHECKING:
    from fractions import Fraction

T = TypeVar("T")
Number = TypeVar("Number", int, str)
Bound = TypeVar("Bound", bound="Item")
Ts = TypeVarTuple("Ts")
P = ParamSpec("P")
UserId = NewType("UserId", int)
Json = typing_extensions.TypeAliasType("Json", "dict[str, Json] | list[Json] | str | None")
Pair = typing_extensions.TypeAliasType("Pair", "tuple[T, T]", type_params=(T,))
Positive = typing_extensions.TypeAliasType("Positive", "Annotated[int, msgspec.Meta(ge=1)]")
Broken = typing_extensions.TypeAliasType("Broken", "list[Nowhere]")  # type: ignore[name-defined] # noqa: F821


class Color(enum.Enum):
    RED = 1


class Mood(enum.StrEnum):
    GOOD = "good"


class Plain:
    pass


class Tags(list[str]):
    pass


class Table(dict[str, int]):
    pass


class Spot(NamedTuple):
    x: int
    name: str = ""


Loose = collections.namedtuple("Loose", "x")  # noqa: PYI024 - it has no annotations


class Quiet(Protocol):
    name: str


@runtime_checkable
class Named(Protocol):
    name: str


@dataclass(frozen=True)
class Item:
    price: float
    name: str = ""


@dataclass(frozen=True)
class Special(Item):
    count: int = 1


class Undecorated(Item):
    pass


@dataclass
class Node:
    value: int
    next: Node | None = None
    others: list[Node] = field(default_factory=list)


@dataclass
class Own:
    next: Self | None = None


@dataclass
class Page(Generic[T]):
    items: list[T]
    next: Page[T] | None = None


@dataclass
class Chain(Generic[T]):
    value: T
    more: list[Chain[T]]


@dataclass
class Items(Page[Item]):
    pass


@dataclass
class Other(Page[int], Generic[T]):
    more: T | None = None


@dataclass
class Kept:
    known: ClassVar[int] = 5
    fixed: Final[int] = 1
    late: int = field(init=False)


class Model(pydantic.BaseModel):
    score: float = 0.0
    item: Item | None = None


class Struct(msgspec.Struct):
    score: float = 0.0
    inner: Struct | None = None


class Bounded(msgspec.Struct):
    count: Annotated[int, msgspec.Meta(ge=0, description="how many")] = 0
    names: Annotated[list[str], msgspec.Meta(min_length=1)] = msgspec.field(default_factory=lambda: ["a"])
    said: Annotated[str, msgspec.Meta(description="anything")] = ""
    given: int | msgspec.UnsetType = msgspec.UNSET


class GenericStruct(msgspec.Struct, Generic[T]):
    item: T


class Reply(TypedDict):
    text: str
    score: NotRequired[float]


class Partial(TypedDict, total=False):
    text: Required[str]
    item: Item


class Boxed(TypedDict, Generic[T]):
    item: T


class Extra(typing_extensions.TypedDict, extra_items=int):
    text: str


class Open(typing_extensions.TypedDict, closed=False):
    text: typing_extensions.ReadOnly[str]


class Closed(typing_extensions.TypedDict, closed=True):
    text: str


RIGHT = [
    (int, 5),
    (int, 2**80),
    (float, 1.5),
    (float, 1),
    (complex, 1),
    (complex, 1j),
    (bool, True),
    (str, "a"),
    (str, Mood.GOOD),
    (bytes, b"a"),
    (None, None),
    (Any, Plain()),
    (object, Plain()),
    (dt.date, dt.date(2026, 1, 1)),
    (dt.date, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
    (decimal.Decimal, decimal.Decimal(1)),
    (pathlib.Path, pathlib.Path("a")),
    (uuid.UUID, uuid.UUID(int=5)),
    (Color, Color.RED),
    (Plain, Plain()),
    (UserId, 5),
    (LiteralString, "a"),
    (Annotated[int, "note"], 5),
    (Literal["a", 1, Color.RED], "a"),
    (Literal["a", 1, Color.RED], 1),
    (Literal["a", 1, Color.RED], Color.RED),
    (Optional[int], None),  # noqa: UP045
    (Union[int, str], "a"),  # noqa: UP007
    (int | None, 5),
    (int | Any, Plain()),
    (list[int] | list[str], ["a"]),
    (Item | Node, Node(1)),
    (list, [Plain()]),
    (typing.List, [Plain()]),  # noqa: UP006
    (typing.List[int], [1]),  # noqa: UP006
    (list[int], []),
    (list[float], [1, 1.5]),
    (list[Any], [Plain()]),
    (list[int | None], [1, None]),
    (Tags, Tags(["a"])),
    (deque[int], deque([1])),
    (Sequence[str], ("a",)),
    (Sequence[str], ["a"]),
    (Sequence, "abc"),
    (MutableSequence[int], [1]),
    (Collection[int], {1}),
    (Iterable[int], [1]),
    (Iterable[int], iter([1])),
    (Iterator[int], iter(["not looked at"])),
    (set[int], {1}),
    (set[int], frozenset([1])),
    (frozenset[int], frozenset([1])),
    (AbstractSet[int], {1}),
    (tuple, (1, "a")),
    (tuple[()], ()),
    (typing.Tuple, (1,)),  # noqa: UP006
    (tuple[int, ...], ()),
    (tuple[int, ...], (1, 2)),
    (tuple[int, str], (1, "a")),
    (tuple[int, *Ts], (1, Plain())),
    (tuple[int, *tuple[str, ...]], (1, "a", "b")),
    (dict, {1: Plain()}),
    (dict[str, int], {"a": 1}),
    (dict[str, Any], {"a": Plain()}),
    (dict[Any, int], {Plain(): 1}),
    (Mapping[str, Item], {"a": Item(1)}),
    (MutableMapping[int, str], {1: "a"}),
    (collections.defaultdict[str, int], collections.defaultdict(int, a=1)),
    (collections.Counter[str], collections.Counter("abc")),
    (Table, Table(a=1)),
    (Callable[[int], str], print),
    (Callable[P, str], print),
    (type[Item], Item),
    (re.Pattern[str], re.compile("a")),
    (Quiet, Plain()),
    (Named, Item(1)),
    (T, Plain()),
    (Number, 5),
    (Number, "a"),
    (Bound, Item(1)),
    (Json, {"a": [{"b": None}, "c"]}),
    (Pair[int], (1, 2)),
    (Spot, Spot(1)),
    (Loose, Loose(Plain())),
    (Item, Item(1.5)),
    (Item, Special(1.5, count=2)),
    (Item, Undecorated(1)),
    (Node, Node(1, Node(2), [Node(3)])),
    (Own, Own(Own())),
    (Page, Page([Plain()])),
    (Page[int], Page([1], Page([2]))),
    (Page[Page[int]], Page([Page([1])])),
    (Items, Items([Item(1)])),
    (Other[str], Other([1], more="a")),
    (Model, Model(score=1)),
    (Struct, Struct(1, Struct(2))),
    (Bounded, Bounded()),
    (Bounded, Bounded(given=5)),
    (GenericStruct[int], GenericStruct(1)),
    (Reply, {"text": "a"}),
    (Reply, {"text": "a", "score": 1}),
    (Partial, {"text": "a", "item": Item(1)}),
    (Partial, {"text": "a"}),
    (Boxed[int], {"item": 1}),
    (Extra, {"text": "a", "more": 1}),
    (Open, {"text": "a", "more": Plain()}),
    (Closed, {"text": "a"}),
    (5, Plain()),
]


@pytest.mark.parametrize(("annotation", "value"), RIGHT)
def test_a_value_that_is_what_the_annotation_says_passes(annotation: Any, value: Any) -> None:
    """Without being changed or converted."""
    Compiler().shape(annotation).check(value)


def late() -> Kept:
    """Return an object one of whose fields was never set."""
    return Kept()


WRONG = [
    (int, True, "$", "int", "a bool (True)"),
    (int, 1.5, "$", "int", "a float (1.5)"),
    (float, False, "$", "float", "a bool (False)"),
    (float, "1", "$", "float", "a str ('1')"),
    (complex, True, "$", "complex", "a bool (True)"),
    (bool, 1, "$", "bool", "an int (1)"),
    (str, b"a", "$", "str", "a bytes"),
    (bytes, bytearray(), "$", "bytes", "a bytearray"),
    (None, 0, "$", "None", "an int (0)"),
    (dt.datetime, dt.date(2026, 1, 1), "$", "datetime", "a date"),
    (Color, 1, "$", "Color", "an int (1)"),
    (Plain, Item(1), "$", "Plain", "an Item"),
    (UserId, "a", "$", "int", "a str ('a')"),
    (Literal["a", 1], True, "$", "'a' or 1", "a bool (True)"),
    (Literal["a", 1], "b", "$", "'a' or 1", "a str ('b')"),
    (Literal["good"], Mood.GOOD, "$", "'good'", "a Mood"),
    (int | str | None, 1.5, "$", "int or str or None", "a float (1.5)"),
    (list[int] | list[str], [1, "a"], "$[1]", "int", "a str ('a')"),
    (Item | Node, Node("a"), "$.value", "int", "a str ('a')"),
    (Item | None, Item("a"), "$.price", "float", "a str ('a')"),
    (list[int], (1,), "$", "list[int]", "a tuple"),
    (list[int], [1, 2, "a"], "$[2]", "int", "a str ('a')"),
    (list[list[int]], [[1], [2, None]], "$[1][1]", "int", "None"),
    (Sequence[str], "abc", "$", "Sequence[str]", "a str ('abc')"),
    (Iterable[int], b"abc", "$", "Iterable[int]", "a bytes"),
    (set[int], [1], "$", "set[int]", "a list"),
    (frozenset[int], {1}, "$", "frozenset[int]", "a set"),
    (set[int], {"a"}, "$[0]", "int", "a str ('a')"),
    (tuple[int, str], (1,), "$", "tuple[int, str]", "a tuple of 1"),
    (tuple[int, str], (1, 2), "$[1]", "str", "an int (2)"),
    (tuple[int, str], [1, "a"], "$", "tuple[int, str]", "a list"),
    (tuple[int, ...], (1, "a"), "$[1]", "int", "a str ('a')"),
    (tuple[()], (1,), "$", "tuple[]", "a tuple of 1"),
    (tuple[int, *Ts], [1], "$", "tuple", "a list"),
    (dict[str, int], [], "$", "dict[str, int]", "a list"),
    (dict[str, int], {"a": "b"}, "$.a", "int", "a str ('b')"),
    (dict[str, int], {"a b": "b"}, "$['a b']", "int", "a str ('b')"),
    (dict[int, int], {"a": 1}, "$[0]", "int", "a str ('a')"),
    (collections.Counter[str], collections.Counter([1]), "$[0]", "str", "an int (1)"),
    (Callable[[int], str], 5, "$", "Callable[[int], str]", "an int (5)"),
    (type[Item], Item(1), "$", "type[Item]", "an Item"),
    (Named, Plain(), "$", "Named", "a Plain"),
    (Number, 1.5, "$", "int or str", "a float (1.5)"),
    (Bound, 5, "$", "Item", "an int (5)"),
    (Json, {"a": [5]}, "$.a[0]", "dict[str, Json] or list[Json] or str or None", "an int (5)"),
    (Positive, 0, "$", "int >= 1", "an int (0)"),
    (Pair[int], (1, "a"), "$[1]", "int", "a str ('a')"),
    (Spot, Spot("a"), "$.x", "int", "a str ('a')"),
    (Spot, (1, "a"), "$", "Spot", "a tuple"),
    (Item, {"price": 1.5}, "$", "Item", "a mapping"),
    (Item, None, "$", "Item", "None"),
    (Item, Special(1, count="a"), "$.count", "int", "a str ('a')"),
    (Item, Undecorated("a"), "$.price", "float", "a str ('a')"),
    (Node, Node(1, Node(2, Node("a"))), "$.next.next.value", "int", "a str ('a')"),
    (Node, Node(1, others=[Node(2), 3]), "$.others[1]", "Node", "an int (3)"),
    (Own, Own(5), "$.next", "Own or None", "an int (5)"),
    (Page[int], Page(["a"]), "$.items[0]", "int", "a str ('a')"),
    (Page[int], Page([], Page(["a"])), "$.next.items[0]", "int", "a str ('a')"),
    (Items, Items([5]), "$.items[0]", "Item", "an int (5)"),
    (Other[str], Other(["a"]), "$.items[0]", "int", "a str ('a')"),
    (Other[str], Other([1], more=5), "$.more", "str or None", "an int (5)"),
    (Kept, late(), "$.late", "a value", "missing"),
    (Model, Model.model_construct(score="a"), "$.score", "float", "a str ('a')"),
    (Model, Model.model_construct(item=Item("a")), "$.item.price", "float", "a str ('a')"),
    (Struct, Struct("a"), "$.score", "float", "a str ('a')"),
    (Struct, Struct(1, Struct(2, 3)), "$.inner.inner", "Struct or None", "an int (3)"),
    (Bounded, Bounded(-1), "$.count", "int >= 0", "an int (-1)"),
    (Bounded, Bounded("a"), "$.count", "int", "a str ('a')"),
    (Bounded, Bounded(names=[]), "$.names", "array of length >= 1", "a list"),
    (Bounded, Bounded(given="a"), "$.given", "int or UnsetType", "a str ('a')"),
    (GenericStruct[int], GenericStruct("a"), "$.item", "int", "a str ('a')"),
    (Reply, [], "$", "Reply", "a list"),
    (Reply, {"score": 1.0}, "$.text", "str", "missing"),
    (Reply, {"text": "a", "score": "b"}, "$.score", "float", "a str ('b')"),
    (Reply, {"text": "a", "scor": 1.0}, "$.scor", "no such key", "a float (1.0)"),
    (Partial, {"item": Item(1)}, "$.text", "str", "missing"),
    (Partial, {"text": "a", "item": Item("b")}, "$.item.price", "float", "a str ('b')"),
    (Boxed[int], {"item": "a"}, "$.item", "int", "a str ('a')"),
    (Extra, {"text": "a", "more": "b"}, "$.more", "int", "a str ('b')"),
    (Open, {"text": 5}, "$.text", "str", "an int (5)"),
    (Closed, {"text": "a", 5: 1}, "$[5]", "no such key", "an int (1)"),
]


@pytest.mark.parametrize(("annotation", "value", "path", "expected", "found"), WRONG)
def test_a_value_that_is_not_is_refused_with_the_place(
    annotation: Any, value: Any, path: str, expected: str, found: str
) -> None:
    """The path leads to it; what should be there and what is there are told apart."""
    with pytest.raises(ContractMismatch) as caught:
        Compiler().shape(annotation).check(value)
    assert (path, expected, found) == (caught.value.path, caught.value.expected, caught.value.found)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (dict[str, list[int]], {"a": [1]}),
        (collections.OrderedDict[str, int], collections.OrderedDict(a=1)),
        (Tags, Tags(["a"])),
        (Table, Table(a=1)),
        (MutableSequence[int], [1]),
        (typing.MutableSet[int], {1}),
        (set, {1}),
        (tuple[Spot, ...], (Spot(1),)),
        (Reply, {"text": "a"}),
    ],
)
def test_a_frozen_value_passes_as_what_it_was(annotation: Any, value: Any) -> None:
    """What a stage returned is frozen before anybody looks at it."""
    Compiler().shape(annotation).check(freeze(value))


def test_what_can_be_read_once_is_not_read() -> None:
    """Nobody would find anything in it."""
    items = iter([1, 2])
    Compiler().shape(Iterable[int]).check(items)
    assert [1, 2] == list(items)


def test_a_misspelt_key_is_told_the_nearest() -> None:
    """Taken for right, it would be absent for ever."""
    with pytest.raises(ContractMismatch) as caught:
        Compiler().shape(Reply).check({"text": "a", "scor": 1.0})
    assert "Did you mean 'score'? Its keys: text, score." == caught.value.hint


@dataclass
class Unresolvable:
    price: Fraction


@dataclass
class Mentions:
    inner: list[Unresolvable]


class UnresolvableStruct(msgspec.Struct):
    price: Fraction


class UnresolvableKeys(TypedDict):
    price: Fraction


@pytest.mark.parametrize(
    "annotation", [Unresolvable, Mentions, UnresolvableStruct, UnresolvableKeys, list[Unresolvable] | None]
)
def test_a_type_that_exists_for_the_type_checker_only_is_no_contract(annotation: Any) -> None:
    """A check that left the field out would be silent; the hint says how to mend it."""
    with pytest.raises(
        UnresolvedContract, match=r"Unresolvable\w* cannot be resolved \(NameError: .*'Fraction'"
    ) as caught:
        Compiler().shape(annotation)
    assert "outside `if TYPE_CHECKING:`" in caught.value.hint


@pytest.mark.parametrize("annotation", [Broken, "Nowhere", list["Nowhere"]])  # type: ignore[name-defined]  # noqa: F821
def test_a_name_that_leads_nowhere_is_no_contract(annotation: Any) -> None:
    """Neither behind an alias nor as a string."""
    with pytest.raises(UnresolvedContract, match="Nowhere"):
        Compiler().shape(annotation)


def test_a_local_class_may_mention_itself_and_its_neighbours() -> None:
    """Its neighbours are told by whoever knows them."""

    @dataclass
    class Leaf:
        size: int

    @dataclass
    class Tree:
        leaf: Leaf
        more: Annotated[Tree | None, "note"] = None
        size: Annotated[int, msgspec.Meta(ge=0)] = 0

    with pytest.raises(UnresolvedContract, match="the fields of Tree cannot be resolved"):
        Compiler().shape(Tree)
    shape = Compiler({"Leaf": Leaf}).shape(Tree)
    shape.check(Tree(Leaf(1), Tree(Leaf(2))))
    for wrong in (Tree(Leaf(1), Tree(5)), Tree(Leaf(1), size=-1)):  # type: ignore[arg-type]
        with pytest.raises(ContractMismatch):
            shape.check(wrong)


def test_a_subclass_that_cannot_be_resolved_shows_when_it_is_met() -> None:
    """Nobody had mentioned it before."""

    @dataclass(frozen=True)
    class Unknown(Item):
        more: Nowhere | None = None  # type: ignore[name-defined] # noqa: F821

    with pytest.raises(UnresolvedContract):
        Compiler().shape(Item).check(Unknown(1))


def test_an_unhashable_note_is_no_obstacle() -> None:
    """An Annotated may hold anything."""
    shape = Compiler().shape(Chain[Annotated[int, ["a", "note"]]])
    shape.check(Chain(1, [Chain(2, [])]))
    with pytest.raises(ContractMismatch):
        shape.check(Chain(1, [Chain("a", [])]))


def test_what_python_itself_cannot_subscript_is_no_contract() -> None:
    """A union of what cannot be hashed: to leave the field out would be silent. Newer versions of Python can."""
    noted = Page[Annotated[int, ["a", "note"]]]
    if sys.version_info < (3, 13):
        with pytest.raises(UnresolvedContract, match="unhashable"):
            Compiler().shape(noted)
        return
    shape = Compiler().shape(noted)
    shape.check(Page([1], Page([2])))
    with pytest.raises(ContractMismatch):
        shape.check(Page([1], Page(["a"])))


class Corner(enum.Enum):
    FIRST = (0, 0)


class Collections(msgspec.Struct):
    corners: Annotated[list[Corner], msgspec.Meta(min_length=1)]
    names: Annotated[Sequence[Annotated[str, msgspec.Meta(pattern="^a")]], msgspec.Meta(max_length=2)] = ("a",)


def test_conditions_of_msgspec_are_asked_of_the_collection_alone() -> None:
    """What is in it may be of a type that msgspec does not know, and has conditions of its own."""
    shape = Compiler().shape(Collections)
    shape.check(Collections([Corner.FIRST]))
    for value, text in [
        (Collections([]), "$.corners is a list; expected array of length >= 1."),
        (Collections([Corner.FIRST], ["a", "a", "a"]), "$.names is a list; expected array of length <= 2."),
        (Collections([Corner.FIRST], ["b"]), "$.names[0] is a str ('b'); expected str matching regex '^a'."),
    ]:
        with pytest.raises(ContractMismatch) as caught:
            shape.check(value)
        assert text == str(caught.value)


def test_a_condition_that_msgspec_does_not_know_is_no_contract() -> None:
    """It would never be checked."""
    with pytest.raises(UnresolvedContract, match=r"msgspec cannot check int or None with .*ge=9") as caught:
        Compiler().shape(Annotated[int | None, msgspec.Meta(ge=9)])
    assert "Mend the annotation." == caught.value.hint


def test_one_shape_is_no_union() -> None:
    """And what takes anything takes all of it."""
    assert SCALARS[int] is either([SCALARS[int], SCALARS[int]])
    assert ANYTHING is either([SCALARS[int], ANYTHING])
    assert shape_of_class(Item) is shape_of_class(Item)
