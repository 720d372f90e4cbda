"""Whether a value of one annotation can be a value of another one."""

from __future__ import annotations

import collections
import enum
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NewType, NotRequired, Protocol, TypedDict, TypeVar

import msgspec
import pydantic
import pytest
import typing_extensions
from stageflow.pipeline.compatibility import can_be

T = TypeVar("T")


class Base:
    pass


class Mixin:
    pass


class Unused:
    pass


class Abstract(ABC):  # noqa: B024 - that it is one is all that matters
    pass


class HasText(Protocol):
    text: str


@dataclass
class Reply(Base):
    text: str = ""


@dataclass
class Mixed(Reply, Mixin):
    pass


@dataclass
class Other:
    text: str = ""


@dataclass
class Page(Generic[T]):
    item: T


class Model(pydantic.BaseModel):
    text: str = ""


class SubModel(Model):
    pass


class Form(pydantic.BaseModel, Generic[T]):
    item: T


class Struct(msgspec.Struct):
    text: str = ""


class Color(enum.Enum):
    RED = 1


class Keys(TypedDict):
    text: str
    score: NotRequired[float]


class Fewer(TypedDict):
    text: str


class More(TypedDict):
    text: str
    extra: int


class Clashing(TypedDict):
    text: int


class ClashingMaybe(TypedDict, total=False):
    score: str


class ClashingText(TypedDict, total=False):
    text: int


class Open(typing_extensions.TypedDict, closed=False):
    text: str


class Chain(TypedDict):
    next: NotRequired[Chain]


class OtherChain(TypedDict):
    next: NotRequired[OtherChain]


class Unresolvable(TypedDict):
    price: Nowhere  # type: ignore[name-defined] # noqa: F821


Alias = typing_extensions.TypeAliasType("Alias", "Reply | None")
NewReply = NewType("NewReply", Reply)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (Reply, Reply),
        (Reply, Any),
        (Any, Reply),
        (Reply, object),
        (object, Reply),
        (Reply, T),
        (T, Reply),
        (Reply, Base),
        (Base, Reply),
        (Mixed, Reply),
        (Reply, Mixed),
        (Reply, Mixin),
        (Mixin, Reply),
        (Reply, Reply | None),
        (Reply | None, Reply),
        (Reply | Other, Other | Model),
        (Reply | None, Other | None),
        (Reply, Annotated[Reply, "note"]),
        (Reply, NewReply),
        (NewReply, Reply),
        (Reply, Alias),
        (Reply, HasText),
        (HasText, Reply),
        (Reply, Abstract),
        (Abstract, Reply),
        (Reply, "Reply"),
        (Reply, Callable[[], int]),
        (Page[int], Page[str]),
        (Page, Page[str]),
        (Form[int], Form[str]),
        (Form, Form[int]),
        (SubModel, Model),
        (Struct, msgspec.Struct),
        (Keys, Keys),
        (Keys, Fewer),
        (Keys, dict[str, Any]),
        (Keys, Mapping),
        (dict[str, Any], Keys),
        (Mapping[str, int], dict[str, str]),
        (dict, collections.OrderedDict[str, int]),
        (Keys, ClashingMaybe),
        (Open, More),
        (Chain, OtherChain),
        (Unresolvable, Keys),
        (int, float),
        (bool, int),
        (bool, float),
        (float, complex),
        (list[int], list[str]),
        (list[int], Sequence[str]),
        (set[int], frozenset[int]),
        (str, Literal["a"]),
        (Literal["a"], str),
        (Color, Color),
        (None, None),
    ],
)
def test_a_value_may_be_right(given: Any, wanted: Any) -> None:
    """Where it is not certain that it cannot, nothing is said."""
    assert can_be(given, wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (Reply, Other),
        (Reply, Other | Model),
        (Reply, Other | None),
        (Reply | Model, Other | Struct),
        (Reply, Unused),
        (Reply, Model),
        (Model, Reply),
        (Model, Struct),
        (SubModel, Form[int]),
        (Page[int], Reply),
        (Reply, str),
        (Reply, list[int]),
        (Reply, dict[str, Any]),
        (Reply, Keys),
        (Keys, Reply),
        (Keys, Reply | str),
        (dict[str, Any], Reply),
        (Mapping[str, Any], Model),
        (None, Reply),
        (Reply, None),
        (Fewer, More),
        (Keys, Clashing),
        (Keys, ClashingText),
        (ClashingText, Fewer),
        (str, float),
        (int, str),
        (float, int),
        (str, bytes),
        (list[int], tuple[int, ...]),
        (str, Color),
        (Literal["a"], int),
        (Alias, Other),
        (NewReply, Other),
    ],
)
def test_a_value_that_can_never_be_right_is_known(given: Any, wanted: Any) -> None:
    """No class that there is has values of both."""
    assert not can_be(given, wanted)
