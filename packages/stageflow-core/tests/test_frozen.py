"""Freezing, sharing and copying of what stages return."""

from __future__ import annotations

import collections
import copy
import datetime
import decimal
import enum
import json
import pathlib
import pickle
import re
import threading
import time
import types
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Self

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow.errors import NotCopyableError
from stageflow.frozen import (
    FrozenDict,
    FrozenList,
    GuardedDict,
    GuardedList,
    for_reader,
    freeze,
    freeze_mapping,
    is_shareable,
)


class Colour(enum.Enum):
    RED = "red"


class Point(NamedTuple):
    x: Any
    y: Any


class Tagged(Point):
    """A named tuple that takes attributes, as it has no __slots__."""


@dataclass
class Mutable:
    items: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    value: Any


class HalfFrozen(Frozen):
    """Inherits from a frozen dataclass and is none: it takes new attributes."""


@dataclass(frozen=True)
class Caching:
    size: int

    @cached_property
    def items(self) -> list[int]:
        return [0] * self.size


class Model(pydantic.BaseModel):
    items: list[int] = []


class FrozenModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    value: Any = None
    _cache: list[int] = pydantic.PrivateAttr(default_factory=list)


class FrozenPlainModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    value: Any = None


class Struct(msgspec.Struct):
    items: list[int] = []


class FrozenStruct(msgspec.Struct, frozen=True):
    value: Any = None


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


# --- frozen containers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.__setitem__("a", 2),
        lambda d: d.__delitem__("a"),
        lambda d: d.update(a=2),
        lambda d: d.pop("a"),
        lambda d: d.popitem(),
        lambda d: d.setdefault("b", 1),
        lambda d: d.clear(),
        lambda d: d.__ior__({"b": 1}),
    ],
)
@pytest.mark.parametrize("value", [1, Mutable([1])], ids=["frozen", "guarded"])
def test_a_frozen_dict_refuses_each_mutator(change: Callable[[Any], object], value: object) -> None:
    """Every way to change a dict raises, and leaves it as it was."""
    frozen = freeze({"a": value})
    with pytest.raises(TypeError, match=r"This dict is frozen.*copy it with dict\(\.\.\.\)"):
        change(frozen)
    assert {"a": value} == frozen


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.__setitem__(0, 2),
        lambda v: v.__setitem__(slice(0, 1), []),
        lambda v: v.__delitem__(0),
        lambda v: v.append(1),
        lambda v: v.extend([1]),
        lambda v: v.insert(0, 1),
        lambda v: v.remove(1),
        lambda v: v.pop(),
        lambda v: v.clear(),
        lambda v: v.sort(),
        lambda v: v.reverse(),
        lambda v: v.__iadd__([1]),
        lambda v: v.__imul__(2),
    ],
)
@pytest.mark.parametrize("value", [1, Mutable([1])], ids=["frozen", "guarded"])
def test_a_frozen_list_refuses_each_mutator(change: Callable[[Any], object], value: object) -> None:
    """Every way to change a list raises, and leaves it as it was."""
    frozen = freeze([value])
    with pytest.raises(TypeError, match=r"This list is frozen.*copy it with list\(\.\.\.\)"):
        change(frozen)
    assert [value] == frozen


@pytest.mark.parametrize("base", [dict, list])
def test_every_mutator_of_the_base_is_refused(base: type) -> None:
    """No method of dict or list that changes it is forgotten, in later Pythons either."""
    harmless = {
        *("__init__", "__new__", "__class__", "__getattribute__", "__setattr__", "__delattr__", "__subclasshook__"),
        *(
            "__init_subclass__",
            "__class_getitem__",
            "__getstate__",
            "copy",
            "fromkeys",
            "get",
            "items",
            "keys",
            "values",
        ),
        *("__reversed__", "count", "index", "__add__", "__mul__", "__rmul__", "__or__", "__ror__"),
        *("__contains__", "__getitem__", "__iter__", "__len__", "__sizeof__", "__repr__", "__str__", "__format__"),
        *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__doc__", "__dir__"),
        *("__reduce_ex__", "__reduce__"),
    }
    frozen = FrozenDict if base is dict else FrozenList
    left = [name for name in dir(base) if name not in harmless and getattr(frozen, name) is getattr(base, name)]
    assert [] == left


def test_a_frozen_value_goes_to_json() -> None:
    """json.dumps takes what is frozen as it takes what was given."""
    value = {"a": [1, {"b": [True, None]}], "c": {}}
    assert json.dumps(value) == json.dumps(freeze(value))


@pytest.mark.parametrize("value", [{"a": [1]}, [{"a": 1}]])
def test_a_frozen_copy_is_the_thing_itself(value: Any) -> None:
    """What cannot change needs no copy."""
    frozen = freeze(value)
    assert frozen is copy.copy(frozen)
    assert frozen is copy.deepcopy(frozen)


@pytest.mark.parametrize("value", [{"a": [1, {"b": 2}]}, [{"a": Mutable([1])}], {"a": Mutable([1])}])
def test_a_frozen_value_survives_pickling(value: Any) -> None:
    """Another process gets it as frozen as it was."""
    frozen = freeze(value)
    back = pickle.loads(pickle.dumps(frozen))
    assert (type(frozen), frozen) == (type(back), back)


def test_a_shallow_copy_of_a_guarded_value_is_the_thing_itself() -> None:
    """copy.copy shares what is inside anyway."""
    frozen = freeze({"a": Mutable()})
    assert frozen is copy.copy(frozen)


# --- freeze ------------------------------------------------------------------------------------------------------


def test_freezing_reaches_any_depth() -> None:
    """Mappings, lists and sets inside one another are all frozen."""
    frozen = freeze({"a": [{"b": ({1: [2]},)}], "c": {3}})
    assert {"a": [{"b": ({1: [2]},)}], "c": frozenset({3})} == frozen
    kinds = [type(frozen), type(frozen["a"]), type(frozen["a"][0]), type(frozen["a"][0]["b"]), type(frozen["c"])]
    assert [FrozenDict, FrozenList, FrozenDict, tuple, frozenset] == kinds
    assert FrozenList is type(frozen["a"][0]["b"][0][1])


@pytest.mark.parametrize(
    "value",
    [
        collections.defaultdict(list, {"a": [1]}),
        collections.OrderedDict(a=[1]),
        collections.UserDict(a=[1]),
        collections.ChainMap({"a": [1]}),
        types.MappingProxyType({"a": [1]}),
        FrozenDict(a=[1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_mapping_becomes_a_frozen_dict(value: Any) -> None:
    """A default dict grows no keys when it is read, and a live view does not follow its original."""
    frozen = freeze({"m": value})
    assert {"m": {"a": [1]}} == frozen
    if not isinstance(value, FrozenDict):
        assert (FrozenDict, FrozenList) == (type(frozen["m"]), type(frozen["m"]["a"]))


def test_a_frozen_default_dict_raises_for_a_missing_key() -> None:
    """Reading a missing key does not change what others read."""
    with pytest.raises(KeyError):
        freeze(collections.defaultdict(list))["a"]


def test_the_original_does_not_reach_the_frozen_value() -> None:
    """The producer keeps its list; changing it later changes nothing for readers."""
    items, mutable = [1], Mutable([1])
    frozen = freeze({"items": items, "mutable": mutable})
    items.append(2)
    mutable.items.append(2)
    assert {"items": [1], "mutable": Mutable([1])} == frozen


def test_what_is_frozen_already_is_kept() -> None:
    """Passing on what another stage returned costs nothing."""
    frozen = freeze({"a": [1]})
    assert frozen is freeze(frozen)


def test_a_tuple_of_immutable_values_is_kept() -> None:
    """It is the very object, whatever its class: time.localtime() keeps its fields' names."""
    moment = time.gmtime(0)
    assert moment is freeze(moment)
    point = Point(1, "a")
    assert point is freeze(point)


def test_a_named_tuple_keeps_its_class() -> None:
    """Its items are frozen inside it."""
    frozen = freeze(Point([1], {"a": 2}))
    assert (Point, FrozenList, FrozenDict) == (type(frozen), type(frozen.x), type(frozen.y))


def test_a_named_tuple_with_attributes_is_copied_whole() -> None:
    """A subclass that takes attributes keeps them, and readers cannot reach those of the original."""
    tagged = Tagged([1], 2)
    tagged.note = ["new"]
    frozen = freeze(tagged)
    tagged.note.append("old")
    assert (Tagged, ["new"], ([1], 2)) == (type(frozen), frozen.note, frozen)
    assert not is_shareable(frozen)


class Pair(tuple):
    """A tuple whose constructor takes other arguments."""

    __slots__ = ()

    def __new__(cls, first: Any, second: Any) -> Self:
        return super().__new__(cls, (first, second))

    def __reduce__(self) -> tuple[Any, ...]:
        return Pair, tuple(self)


def test_a_tuple_of_a_class_with_its_own_constructor_keeps_its_class() -> None:
    """It is copied, since it can be made in no other way that is known."""
    frozen = freeze(Pair([1], 2))
    assert (Pair, ([1], 2)) == (type(frozen), frozen)


def test_a_mutable_object_makes_its_containers_guarded() -> None:
    """Whoever hands the container out can see that each reader needs a copy."""
    frozen = freeze({"list": [Mutable()], "plain": [1]})
    assert (GuardedDict, GuardedList, FrozenList) == (type(frozen), type(frozen["list"]), type(frozen["plain"]))


@pytest.mark.parametrize(
    "value",
    [
        {"lock": threading.Lock()},
        [threading.Lock()],
        ("a", threading.Lock()),
        {"g": (n for n in ())},
        {"m": memoryview(b"a")},
        {"m": threading},
        Mutable([threading.Lock()]),
        {"u": Uncopyable()},
    ],
)
@pytest.mark.parametrize("guard", [freeze, lambda value, name: freeze_mapping({"v": value}, name)], ids=["any", "map"])
def test_what_cannot_be_copied_is_refused(value: Any, guard: Callable[[Any, str], Any]) -> None:
    """Both entrances raise the one typed error."""
    with pytest.raises(NotCopyableError, match="cannot be copied"):
        guard(value, "data")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {"b": threading.Lock()}]}, "data['a'][1]['b']"),
        ((1, threading.Lock()), "data[1]"),
        (Mutable([1, threading.Lock()]), "data.items[1]"),
        (Model.model_construct(items=threading.Lock()), "data.items"),
        (Struct([threading.Lock()]), "data.items[0]"),
        ({frozenset({1}): threading.Lock()}, "data[frozenset({1})]"),
        (threading.Lock(), "data"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_error_leads_to_what_cannot_be_copied(value: Any, path: str) -> None:
    """The path goes through containers and contract values, down to the culprit."""
    with pytest.raises(NotCopyableError) as caught:
        freeze(value, "data")
    assert (path, "_thread.lock") == (caught.value.path, caught.value.kind)


def test_a_class_that_refuses_to_be_copied_is_the_cause() -> None:
    """What the class itself said is not lost."""
    with pytest.raises(NotCopyableError) as caught:
        freeze([Uncopyable()])
    assert "there is only one of me" == str(caught.value.__cause__)


def circle(make: Callable[[], Any], tie: Callable[[Any], object]) -> Any:
    """Return a container that contains itself."""
    value = make()
    tie(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        circle(dict, lambda value: value.update(me=value)),
        circle(list, lambda value: value.append(value)),
        circle(list, lambda value: value.append({"me": (value,)})),
    ],
    ids=["dict", "list", "mixed"],
)
def test_a_circle_is_refused(value: Any) -> None:
    """The error says so, rather than how deep the interpreter may go."""
    with pytest.raises(
        NotCopyableError, match=r"^data is nested too deep, or contains itself\. .*: make it flatter\.$"
    ):
        freeze(value, "data")


def test_what_is_nested_too_deep_is_refused() -> None:
    """Depth beyond the interpreter's stack is an error with a name, not a RecursionError."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NotCopyableError, match="nested too deep"):
        freeze(deep, "data")


def test_a_circle_of_objects_is_copied_as_one() -> None:
    """A mutable object may refer to itself: deepcopy keeps the shape."""
    mutable = Mutable()
    mutable.items.append(mutable)
    frozen = freeze({"m": mutable})["m"]
    assert frozen is frozen.items[0]
    assert frozen is not mutable


def test_odd_comparisons_are_never_asked_for() -> None:
    """An object that compares like a numpy array is frozen, copied and shared like any other."""
    vector = Vector([1])
    frozen = freeze({"v": vector, "list": [vector]})
    vector.numbers.append(2)
    assert ([1], [1]) == (frozen["v"].numbers, frozen["list"][0].numbers)
    read = for_reader(frozen)
    read["v"].numbers.append(3)
    assert [1] == frozen["v"].numbers


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
    max_leaves=20,
)


@given(json_values)
def test_freezing_keeps_the_value(value: Any) -> None:
    """What is frozen equals what was given, can be shared, and freezing it again gives it back equal."""
    frozen = freeze(value)
    assert value == frozen
    assert is_shareable(frozen)
    assert frozen is for_reader(frozen)
    assert frozen == freeze(frozen)


# --- sharing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1,
        1.5,
        2j,
        "a",
        b"a",
        range(3),
        len,
        is_shareable,
        int,
        Colour.RED,
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        datetime.date(2026, 1, 1),
        datetime.timedelta(1),
        decimal.Decimal("1.5"),
        uuid.UUID(int=1),
        pathlib.PurePosixPath("/tmp"),
        pathlib.Path("/tmp"),
        re.compile("a"),
        (1, ("a",)),
        Point(1, 2),
        frozenset({1, (2,)}),
        Frozen(1),
        Frozen(Frozen(("a",))),
        FrozenPlainModel(value=1),
        FrozenStruct(1),
        FrozenStruct((Frozen(1),)),
    ],
)
def test_what_is_immutable_all_the_way_down_is_shared(value: Any) -> None:
    """Every reader gets the very object."""
    assert is_shareable(value)
    assert value is for_reader(value)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        set(),
        bytearray(b"a"),
        collections.deque(),
        object(),
        Mutable(),
        Frozen([]),
        Frozen(Mutable()),
        Frozen(Frozen([])),
        HalfFrozen(1),
        Model(),
        FrozenPlainModel(value=[]),
        FrozenModel(value=1),
        Struct(),
        FrozenStruct([]),
        ([],),
        Point(1, []),
        Tagged(1, 2),
        frozenset({Frozen(None), object()}),
        type("Text", (str,), {})("a"),
        Vector([1]),
        types.SimpleNamespace(a=1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_can_be_changed_is_not_shared(value: Any) -> None:
    """Every reader gets a copy of its own."""
    assert not is_shareable(value)
    assert value is not for_reader(value)


def test_a_frozen_value_that_has_cached_something_mutable_is_not_shared() -> None:
    """A cached property is as reachable as a field."""
    value = Caching(2)
    assert is_shareable(value)
    value.items.append(1)
    assert not is_shareable(value)


def test_a_type_of_the_same_name_is_not_mistaken_for_one_that_is_shared() -> None:
    """A class of the user's named like one of Python's is judged by what it is."""
    impostor = type("Decimal", (), {"__module__": "money"})()
    assert not is_shareable(impostor)
