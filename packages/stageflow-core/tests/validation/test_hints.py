"""The annotations of a class's fields, with everything in them resolved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NotRequired, Optional, TypedDict, TypeVar

import pytest
import typing_extensions
from stageflow.validation.hints import (
    UnresolvedContract,
    bare,
    extra_keys,
    field_hints,
    is_alias,
    meaning,
    required_keys,
    substituted,
    type_text,
)

T = TypeVar("T")
U = TypeVar("U")


@dataclass
class Pair(Generic[T, U]):
    first: T
    second: list[U]


@dataclass
class Turned(Pair[U, T], Generic[T, U]):
    """Has the type variables of its base the other way round."""

    third: T


@dataclass
class Fixed(Turned[int, str]):
    fourth: bool


class Keys(TypedDict):
    text: str
    score: NotRequired[int]


class Extra(typing_extensions.TypedDict, extra_items=int):
    text: str


class Open(typing_extensions.TypedDict, closed=False):
    text: str


class Closed(typing_extensions.TypedDict, closed=True):
    text: str


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (None, "None"),
        (int, "int"),
        (Any, "Any"),
        (T, "T"),
        (Optional[int], "int or None"),  # noqa: UP045
        (int | str | None, "int or str or None"),
        (Literal["a", 1], "'a' or 1"),
        (Annotated[int, "note"], "int"),
        (dict[str, list[int]], "dict[str, list[int]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Callable[[int], str], "Callable[[int], str]"),
        (Callable[..., str], "Callable[..., str]"),
        (Pair[int, None], "Pair[int, None]"),
        (5, "5"),
    ],
)
def test_an_annotation_is_named_as_it_is_written(annotation: Any, text: str) -> None:
    """But for the modules, and for what stands around a local class."""
    assert text == type_text(annotation)


def test_a_local_class_is_named_without_its_function() -> None:
    """The function says nothing to a reader."""

    class Local:
        pass

    assert "Local" == type_text(Local)


@pytest.mark.parametrize(
    ("kind", "args", "hints"),
    [
        (Pair, (int, str), {"first": int, "second": list[str]}),
        (Pair, (), {"first": T, "second": list[U]}),
        (Turned, (int, str), {"first": str, "second": list[int], "third": int}),
        (Fixed, (), {"first": str, "second": list[int], "third": int, "fourth": bool}),
    ],
)
def test_type_variables_stand_for_what_each_class_gives_them(kind: Any, args: tuple[Any, ...], hints: Any) -> None:
    """One name may mean one thing in a class and another in its base."""
    assert hints == field_hints(kind, args, {})


def test_what_a_typed_dict_takes() -> None:
    """Which keys it must have, although its annotations are strings, and which it may have beside its own."""
    hints = field_hints(Keys, (), {})
    assert {"text"} == required_keys(Keys, hints)
    assert [None, int, Any, None] == [extra_keys(kind) for kind in (Keys, Extra, Open, Closed)]
    assert [str, int] == [bare(hint) for hint in hints.values()]


def test_substitution_leaves_alone_what_it_does_not_know() -> None:
    """Other variables, and what has none."""
    assert [int, U, list[int], str] == [substituted(one, {T: int}) for one in (T, U, list[T], str)]


class TypeAliasType:
    """Is evaluated when somebody asks, as the `type` statement makes it."""

    @property
    def __value__(self) -> Any:
        raise NameError("name 'Nowhere' is not defined")


def test_an_alias_that_mentions_what_there_is_not_is_no_contract() -> None:
    """It is evaluated late."""
    alias = TypeAliasType()
    assert is_alias(alias)
    with pytest.raises(UnresolvedContract, match="cannot be resolved \\(NameError: name 'Nowhere'"):
        meaning(alias)
