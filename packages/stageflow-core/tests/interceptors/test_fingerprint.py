"""The same fingerprint for equal values, in every process, and another for others."""

import enum
import os
import pathlib
import subprocess
import sys
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow.frozen import freeze
from stageflow.interceptors.fingerprint import NoFingerprintError, fingerprint_of


@dataclass
class Order:
    item: str
    amounts: list


@dataclass(frozen=True)
class Offer:
    item: str
    amounts: list


class Colour(enum.Enum):
    RED = 1
    CRIMSON = 2


class Point(NamedTuple):
    x: int
    y: int


SAME = [
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({"a": [1, {"b": None}]}, freeze({"a": [1, {"b": None}]})),
    ({1, 2, 3}, frozenset({3, 2, 1})),
    (OrderedDict(a=1), {"a": 1}),
    ([1, 2], (1, 2)),
    (Order("tea", [1]), Order("tea", [1])),
    (Decimal("1.10"), Decimal("1.10")),
    (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
]

DIFFERENT = [
    (1, 1.0),
    (1, True),
    (0, False),
    (1, "1"),
    ("a", b"a"),
    (None, "None"),
    ("", None),
    ([], {}),
    ([], [[]]),
    ([[1], []], [[], [1]]),
    (["ab"], ["a", "b"]),
    ({"a": 1}, {"a": 2}),
    ({"a": None}, {}),
    ({"a": {"b": 1}}, {"a.b": 1}),
    ({1: 1}, {"1": 1}),
    ([1, 2], [2, 1]),
    ([1], {1}),
    (Order("tea", [1]), Offer("tea", [1])),
    (Order("tea", [1]), {"item": "tea", "amounts": [1]}),
    (Order("tea", [1]), Order("tea", [2])),
    (Colour.RED, Colour.CRIMSON),
    (Colour.RED, 1),
    (Decimal("1.10"), Decimal("1.1")),
    (uuid.UUID(int=1), uuid.UUID(int=2)),
    (pathlib.PurePosixPath("a"), "a"),
    (range(3), [0, 1, 2]),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=repr)
def test_equal_values_have_the_same(one, other):
    """Whatever order or container they came in."""
    assert fingerprint_of(one) == fingerprint_of(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=repr)
def test_other_values_have_another(one, other):
    """Types count too."""
    assert fingerprint_of(one) != fingerprint_of(other)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, JSON)
def test_json_has_the_same_only_if_it_is_equal(one, other):
    """Equal to the type: repr tells 1 from True and 1.0."""

    def told(value):
        if isinstance(value, dict):
            return "{" + ",".join(sorted(f"{key!r}:{told(item)}" for key, item in value.items())) + "}"
        return f"[{','.join(map(told, value))}]" if isinstance(value, list) else repr(value)

    assert (told(one) == told(other)) == (fingerprint_of(one) == fingerprint_of(other))


def test_it_is_the_same_in_every_process():
    """Though hashes of strings are not."""
    value = "{'a': {'x', 'y', 'z'}, 'b': [1.5]}"
    code = f"from stageflow.interceptors.fingerprint import fingerprint_of; print(fingerprint_of({value}))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in range(2)
    }
    assert {fingerprint_of({"a": {"x", "y", "z"}, "b": [1.5]})} == told


class Opaque:
    """Known by its address."""


class Nested:
    def __init__(self):
        self.items = []


@pytest.mark.parametrize("value", [Opaque(), object(), lambda: 1, Opaque, print, Nested()])
def test_what_is_known_by_its_address_has_none(value):
    """The error leads to it."""
    with pytest.raises(NoFingerprintError, match=r"parameters\['a'\]\[1\] holds a") as caught:
        fingerprint_of({"a": [0, value]}, "parameters")
    assert "parameters['a'][1]" == caught.value.path


def test_a_named_tuple_is_a_list_of_its_fields():
    """As other tuples are."""
    assert fingerprint_of(Point(1, 2)) == fingerprint_of((1, 2))
