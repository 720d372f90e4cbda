"""How messages name things."""

from __future__ import annotations

import threading

import pytest
from stageflow import StageOutput
from stageflow.frozen import FrozenList
from stageflow.wording import class_name, listed, nearest, path_in_words, shown, sketched, type_name, with_article


def test_the_nearest_name_is_a_question() -> None:
    """A near name is offered, a far one is not."""
    assert ("Did you mean 'profile'? ", "") == (nearest("profle", ["memory", "profile"]), nearest("x", ["memory"]))


@pytest.mark.parametrize(
    ("names", "expected"), [((), "none"), (("a", "b"), "a, b"), (("a", "b", "c", "d"), "a, b, c and 1 more")]
)
def test_long_lists_are_cut(names: tuple[str, ...], expected: str) -> None:
    """A message stays readable however many stages there are."""
    assert expected == listed(names, most=3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, "an int"), ("", "a str"), (threading.Lock(), "a _thread.lock"), (StageOutput.ok(), None)],
)
def test_types_are_named_as_a_person_would(value: object, expected: str | None) -> None:
    """Python's own types go without their module, others with it."""
    assert (expected or "a stageflow.core.output.StageOutput") == with_article(type_name(value))


class Unnamed:
    """Has the repr of every object, which ends in an address."""


class Mute:
    """Has a repr that raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Unnamed, "the class Unnamed"),
        (shown, "the function shown"),
        (Mute(), "a Mute"),
        (Unnamed(), "an Unnamed"),
        ([shown, 1], "[the function shown, 1]"),
        ({"a": 1}, "{'a': 1}"),
    ],
)
def test_a_value_is_shown_without_an_address(value: object, expected: str) -> None:
    """An address in memory tells a person nothing."""
    assert expected == shown(value)


def test_classes_are_named_with_their_module() -> None:
    """Unless they are Python's own."""
    assert ("int", f"{__name__}.Unnamed") == (class_name(int), class_name(Unnamed))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "None"),
        (True, "a bool (True)"),
        (5, "an int (5)"),
        (2**70, "an int"),
        (1.5, "a float (1.5)"),
        ("high", "a str ('high')"),
        ("x" * 20, f"a str ('{'x' * 20}')"),
        ("x" * 21, f"a str ('{'x' * 17}...')"),
        (b"secret", "a bytes"),
        ({"a": 1}, "a mapping"),
        (["a"], "a list"),
        (FrozenList(["a"]), "a list"),
        (["secret"], "a list"),
        (Unnamed(), "an Unnamed"),
        (Unnamed, "the class Unnamed"),
        (5j, "a complex"),
    ],
)
def test_a_wrong_value_is_sketched(value: object, expected: str) -> None:
    """By its type, and the beginning of what is short: a message is no place for data."""
    assert expected == sketched(value)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), ""),
        (("a.b",), "a.b"),
        (("a.b", "c.d"), "a.b > c.d"),
        (("a.b", "c.d", "c.d", "a.b"), "a.b > c.d (2 times) > a.b"),
        (tuple("abcdef"), "a > b > c > d > e > f"),
        (tuple("abcdefg"), "a > b > c > ... (2 more) ... > f > g"),
        (("x", *tuple("ab") * 10), "x > a > b > ... (16 more) ... > a > b"),
    ],
)
def test_a_path_is_told_in_one_line(steps: tuple[str, ...], expected: str) -> None:
    """What repeats is counted, and the middle of many is left out."""
    assert expected == path_in_words(steps)
