"""Data that goes to JSON and comes back, and the paths in its errors."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow.errors import SchemaVersionError, SerializationError
from stageflow.frozen import FrozenDict, FrozenList, freeze
from stageflow.serialization import (
    as_object,
    check_json,
    expect,
    expect_fields,
    expect_list,
    expect_number,
    expect_version,
)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


class Size(enum.IntEnum):
    SMALL = 1


def problem(call: Callable[..., object], *arguments: Any) -> tuple[str, str]:
    """Return the path and the problem of the SerializationError that a call raises."""
    with pytest.raises(SerializationError) as caught:
        call(*arguments)
    return caught.value.path, caught.value.problem


@given(json_values)
def test_json_data_come_back_the_same(value: Any) -> None:
    """What check_json lets through equals what json makes of it and back."""
    assert value == check_json(value, "$") == json.loads(json.dumps(check_json(freeze(value), "$")))


def test_checked_data_are_plain_and_new() -> None:
    """Frozen containers become those that everybody may change."""
    frozen = freeze({"a": [{}]})
    checked = check_json(frozen, "$")
    assert (FrozenDict, FrozenList) == (type(frozen), type(frozen["a"]))
    assert (dict, list, dict) == (type(checked), type(checked["a"]), type(checked["a"][0]))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, {"b": (1,)}]}, ("$.data.a[1].b", "a tuple is not JSON.")),
        ({1, 2}, ("$.data", "a set is not JSON.")),
        (b"a", ("$.data", "a bytes is not JSON.")),
        ([float("nan")], ("$.data[0]", "nan is not a JSON number.")),
        ({"x": float("-inf")}, ("$.data.x", "-inf is not a JSON number.")),
        ({"x": {1: 2}}, ("$.data.x", "the key 1 is not a string.")),
        ([Size.SMALL], ("$.data[0]", f"a {__name__}.Size is not JSON.")),
        (1j, ("$.data", "a complex is not JSON.")),
    ],
)
def test_the_path_leads_to_what_is_not_json(value: Any, expected: tuple[str, str]) -> None:
    """What would not come back equal is refused, and the error says where it is."""
    assert expected == problem(check_json, value, "$.data")


def test_a_circle_is_refused() -> None:
    """A container that contains itself is an error with a path, not a RecursionError."""
    value: list[Any] = []
    value.append(value)
    assert ("$.data", "is nested too deep, or contains itself.") == problem(check_json, value, "$.data")


@pytest.mark.parametrize(("value", "kind"), [("a", str), (1, int), ([], list), (True, bool), (1.5, (int, float))])
def test_a_value_of_the_kind_is_returned(value: Any, kind: Any) -> None:
    """Reading needs no second step after checking."""
    assert value is expect(value, kind, "$")


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, str, "expected str, found int."),
        (None, int, "expected int, found NoneType."),
        (True, int, "expected int, found bool."),
        ("a", (int, float), "expected int or float, found str."),
    ],
)
def test_a_value_of_another_kind_is_named(value: Any, kind: Any, expected: str) -> None:
    """The error says what was expected and what came; a boolean is no number."""
    assert ("$.a", expected) == problem(expect, value, kind, "$.a")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_is_finite(value: float) -> None:
    """json.loads reads NaN, and nothing that contains it equals itself."""
    assert ("$.a", f"{value} is not a JSON number.") == problem(expect_number, value, "$.a")


def test_a_number_is_returned() -> None:
    """Whole numbers are numbers."""
    assert (1, 1.5) == (expect_number(1, "$"), expect_number(1.5, "$"))


def test_a_list_is_returned_or_refused() -> None:
    """A list is a list, a string is not."""
    assert [1] == expect_list([1], "$")
    assert ("$", "expected list, found str.") == problem(expect_list, "a", "$")


def test_an_object_is_copied() -> None:
    """The caller may take the fields out one by one."""
    given = {"a": 1}
    assert given == as_object(given, "$")
    assert given is not as_object(given, "$")


def test_what_is_no_object_is_refused() -> None:
    """A list where an object should be is named with its path."""
    assert ("$.a", "expected an object, found list.") == problem(as_object, [], "$.a")


def test_a_newer_version_is_refused_by_its_own_error() -> None:
    """The way out is another than for malformed data."""
    with pytest.raises(SchemaVersionError) as caught:
        expect_version(2, 1)
    assert (2, 1, "$.schema_version") == (caught.value.found, caught.value.known, caught.value.path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "there is no version 0."),
        (-1, "there is no version -1."),
        (None, "expected int, found NoneType."),
        ("1", "expected int, found str."),
        (True, "expected int, found bool."),
    ],
)
def test_what_is_no_version_is_refused(value: Any, expected: str) -> None:
    """Data without a version are not ours."""
    assert ("$.schema_version", expected) == problem(expect_version, value, 1)


def test_known_versions_pass() -> None:
    """This version, and older ones."""
    assert (None, None) == (expect_version(1, 2), expect_version(2, 2))


def test_an_unknown_field_is_refused_with_the_nearest_one() -> None:
    """A misspelt field is not silently dropped."""
    with pytest.raises(SerializationError) as caught:
        expect_fields({"name": 1, "sise": 2}, ("name", "size"), "$.a")
    assert "$.a.sise: is not a field that is known here. Did you mean 'size'?" == str(caught.value)


def test_a_missing_field_is_refused() -> None:
    """No default is made up for what the writer always writes."""
    assert ("$.size", "is missing.") == problem(expect_fields, {"name": 1}, ("name", "size"), "$")


@pytest.mark.parametrize("value", ["\ud83d\ude00", {"\ud83d\ude00": 1}, ["a\ud83d\ude00b"]])
def test_surrogates_that_would_become_one_character_are_refused(value: Any) -> None:
    """JSON has no way to keep them apart; a surrogate alone comes back."""
    with pytest.raises(SerializationError, match="would come back as one character"):
        check_json(value, "$.v")
    for alone in ("\ud83d", "\ude00\ud83d", "\U0001f600"):
        assert alone == json.loads(json.dumps(check_json(alone, "$.v")))


def test_an_integer_that_python_does_not_write_is_refused() -> None:
    """It would only fail in json.dumps, which knows no path."""
    with pytest.raises(SerializationError) as caught:
        check_json({"n": 10**5000}, "$.v")
    assert "$.v.n" == caught.value.path
    assert 10**1000 == json.loads(json.dumps(check_json(10**1000, "$.v")))


def test_a_number_beyond_any_float_is_refused() -> None:
    """With the path, as any other number that is none."""
    with pytest.raises(SerializationError, match=r"\$\.n: is larger than any float"):
        expect_number(10**400, "$.n")
