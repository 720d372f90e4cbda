"""What of given data enters an event."""

from __future__ import annotations

import array
import copy
import ctypes
import hashlib
import json
from collections import OrderedDict, UserDict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stageflow.errors import SerializationError
from stageflow.events.redaction import DEEPEST, publishable, redacted, without_secrets
from stageflow.frozen import freeze


class Unspeakable:
    """Cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Words(str):
    """Text with ideas of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        return "other"


def problem(value: Any) -> tuple[str, str]:
    """Return the path and the problem of the SerializationError that redacting raises."""
    with pytest.raises(SerializationError) as caught:
        redacted(value)
    return caught.value.path, caught.value.problem


def summary(data: bytes) -> dict[str, Any]:
    """Return what stands for these bytes."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (b"audio", b"audio"),
        (b"", b""),
        (bytearray(b"audio"), b"audio"),
        (memoryview(b"audio"), b"audio"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (memoryview(b"abcdef").cast("B", (2, 3)), b"abcdef"),
        (array.array("h", [1, -1]), b"\x01\x00\xff\xff"),
        ((ctypes.c_char * 3)(*b"abc"), b"abc"),
    ],
    ids=["bytes", "empty", "bytearray", "view", "stride", "matrix", "array", "ctypes"],
)
def test_bytes_become_their_size_and_their_hash(value: Any, data: bytes) -> None:
    """As does whatever else has a buffer of numbers."""
    assert {"x": [summary(data)]} == redacted({"x": [value]})


class Liar:
    """Looks like a buffer from Python 3.12 on, and raises when it is asked."""

    def __buffer__(self, flags: int) -> memoryview:
        raise RuntimeError("not now")


released = memoryview(b"x")
released.release()


@pytest.mark.parametrize(
    "value", [memoryview(b"a").cast("B", ()), ctypes.c_int(1), (ctypes.py_object * 2)(1, 2), released, Liar()]
)
def test_a_scalar_with_a_buffer_is_not_json(value: Any) -> None:
    """It would be a number, and is refused as one that JSON does not have; so is what has no buffer after all."""
    assert "$.x" == problem({"x": value})[0]
    with pytest.raises(SerializationError):
        publishable({"x": value})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("hunter2", "[redacted, 7 characters]"),
        (1234, "[redacted, a number]"),
        (0.5, "[redacted, a number]"),
        (b"key", "[redacted, 3 bytes]"),
        ({"user": "u", "pw": "p"}, "[redacted, 2 entries]"),
        (["x"], "[redacted, 1 entry]"),
        ([], []),
        ({}, {}),
        ("", ""),
        (None, None),
        (True, True),
        ("[redacted, 7 characters]", "[redacted, 7 characters]"),
    ],
)
def test_what_stands_under_a_secret_name_is_hidden(value: Any, shown: Any) -> None:
    """But for whether there is something."""
    assert {"a": [{"password": shown}]} == redacted({"a": [{"password": value}]})


def test_a_hash_of_a_secret_would_let_it_be_guessed() -> None:
    """So bytes under a secret name have none."""
    assert "sha256" not in json.dumps(redacted({"api_key": b"1234"}))


def test_headers_and_parameters_in_pairs_are_known() -> None:
    """As lists of two, or as objects with a name and a value."""
    assert {
        "headers": [["X-Api-Key", "[redacted, 3 characters]"], ["Accept", "x"], ["token", "b", "c"], "token", []],
        "fields": [
            {"name": "password", "value": "[redacted, 1 character]"},
            {"key": "api_key", "value": "[redacted, 1 character]"},
            {"name": "max_tokens", "value": 5},
            {"name": "Secret Garden", "value": "a book"},
            {"name": 5, "value": "x"},
        ],
    } == redacted(
        {
            "headers": [["X-Api-Key", "abc"], ["Accept", "x"], ["token", "b", "c"], "token", []],
            "fields": [
                {"name": "password", "value": "p"},
                {"key": "api_key", "value": "k"},
                {"name": "max_tokens", "value": 5},
                {"name": "Secret Garden", "value": "a book"},
                {"name": 5, "value": "x"},
            ],
        }
    )


def test_some_names_hide_text_only() -> None:
    """A decision called `auth` and a count called `pass` stay."""
    given = {"auth": "dXNlcjpwYXNz", "pass": 3, "inner": {"auth": {"allowed": True, "token": "x"}}}
    assert {
        "auth": "[redacted, 12 characters]",
        "pass": 3,
        "inner": {"auth": {"allowed": True, "token": "[redacted, 1 character]"}},
    } == redacted(given)


def test_sound_as_numbers_or_base64_is_summed_up() -> None:
    """Under a name that says that it is sound, in channels too; a short list, other items, and other names stay."""
    samples = [0, 0.5, -1] * 6
    one = {"numbers": 18, "sha256": hashlib.sha256(repr(samples).encode()).hexdigest()}
    assert {"pcm": one, "audio": [one, one], "points": samples} == redacted(
        {"pcm": samples, "audio": [samples, samples], "points": samples}
    )
    few = {"audio": [1, 2, 3], "wav": ["x"] * 20, "pcm": [True] * 20, "audio_ms": 20}
    assert few == redacted(few)
    assert redacted({"audio": "A" * 64})["audio"].startswith("[base64, 64 characters, sha256 ")


def test_a_name_may_be_a_secret_itself() -> None:
    """It is cut like any text, and two that look alike then are kept apart."""
    keys = ["sk-abcdefgh12345678", "sk-abcdefgh87654321", "x" * 100 + " gsk_abcdefghijkl"]
    assert {
        "[redacted, 19 characters]": 0,
        "[redacted, 19 characters]+": 1,
        "x" * 100 + " [redacted, 16 characters]": 2,
    } == redacted({key: index for index, key in enumerate(keys)})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, {"b": (1,)}]}, ("$.a[1].b", "a tuple is not JSON.")),
        ({"x": {1}}, ("$.x", "a set is not JSON.")),
        ({"x": float("nan")}, ("$.x", "nan is not a JSON number.")),
        ([{1: 2}], ("$[0]", "the key 1 is not a string.")),
        ({b"sk-": 2}, ("$", "a key is a bytes, not a string.")),
        ({Unspeakable(): 2}, ("$", f"a key is a {__name__}.Unspeakable, not a string.")),
        ({"x": Unspeakable()}, ("$.x", f"a {__name__}.Unspeakable is not JSON.")),
        ({"password": object()}, ("$.password", "an object is not JSON.")),
        ({"x": [["password", {1}]]}, ("$.x[0][1]", "a set is not JSON.")),
        ({"x": UserDict(a=1)}, ("$.x", "a collections.UserDict is not JSON.")),
    ],
)
def test_what_is_neither_json_nor_bytes_is_refused_with_its_path(value: Any, expected: tuple[str, str]) -> None:
    """Under a secret name too."""
    assert expected == problem(value)


def nested(levels: int, wrap: Callable[[Any], Any]) -> Any:
    """Return so many containers in one another."""
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"x": value}], ids=["list", "dict"])
def test_there_is_an_end_to_how_deep_data_may_be(wrap: Callable[[Any], Any]) -> None:
    """At the same level wherever it is looked at, so that what a stage could make its run can publish."""
    assert nested(DEEPEST, wrap) == redacted(nested(DEEPEST, wrap))
    for function in (redacted, lambda value: publishable({"y": value})):
        with pytest.raises(SerializationError, match="nested too deep, or contains itself"):
            function(nested(DEEPEST + 1, wrap))


def test_a_circle_is_refused() -> None:
    """A container in itself is an error with a path."""
    value: dict[str, Any] = {}
    value["x"] = [value]
    path, what = problem(value)
    assert path.startswith("$.x[0].x[0]")
    assert "is nested too deep, or contains itself." == what


def test_a_caller_deep_in_the_stack_gets_a_typed_error_too() -> None:
    """Not the RecursionError that it is."""
    value = nested(90, lambda value: [value])

    def dive() -> Any:
        try:
            return dive()
        except RecursionError:  # at the bottom: there is no room for 90 levels more
            return redacted(value)

    with pytest.raises(SerializationError, match="nested too deep"):
        dive()


def test_the_data_themselves_stay_as_they_are() -> None:
    """A new value is returned, and only that is redacted."""
    data = {"api_key": "x", "l": [b"x", {"text": "password=hunter2"}], "n": 1}
    before = copy.deepcopy(data)
    result = redacted(data)
    assert before == data
    result["l"].append(1)
    assert before == data


@pytest.mark.parametrize("value", [freeze({"a": [{"b": 1}]}), OrderedDict(a=[{"b": 1}])])
def test_the_result_is_plain(value: Any) -> None:
    """Frozen and other dicts and lists become those that everybody may change."""
    result = redacted(value)
    assert {"a": [{"b": 1}]} == result
    assert (dict, list, dict) == (type(result), type(result["a"]), type(result["a"][0]))


def test_text_of_other_classes_is_text() -> None:
    """Its characters count, not what it says of itself."""
    result = redacted([Words("api_key=hunter2")])
    assert (["api_key=[redacted, 7 characters]"], str) == (result, type(result[0]))


def test_two_surrogates_become_the_character_that_json_makes_of_them() -> None:
    """In names as in text; one alone stays."""
    assert {"\U0001f600": ["a\U0001f600", "\ud83d"]} == redacted({"\ud83d\ude00": ["a\ud83d\ude00", "\ud83d"]})


def test_a_large_number_is_a_number() -> None:
    """As long as Python writes its digits."""
    assert [2**64, -(2**70)] == redacted([2**64, -(2**70)])
    assert "has more digits than Python writes." == problem([10**5_000])[1]


def test_data_of_a_run_that_cannot_be_published_are_told_of() -> None:
    """The event still says that something happened, and the reason has no secret in it."""
    hint = "Use dicts with string keys, lists, strings, finite numbers, booleans and None."
    assert {"a": 1, "x": {"unpublishable": f"$.x: a set is not JSON. {hint}"}} == without_secrets({"a": 1, "x": {1}})
    (told,) = without_secrets({"gsk_abcdefghijklmnop": {1}}).items()
    assert ("[redacted, 20 characters]", "$.[redacted, 20 characters]: a set") == (
        told[0],
        told[1]["unpublishable"][:34],
    )
    assert {"1": {"unpublishable": "$: the key 1 is not a string."}} == without_secrets({1: 2})


def test_what_can_be_published_keeps_its_bytes() -> None:
    """As plain data; a view becomes the bytes that it shows."""
    block = array.array("h", [1])
    kept = publishable({"a": [b"x", block], "v": memoryview(b"ab"), "password": "stays"})
    assert {"a": [b"x", block], "v": b"ab", "password": "stays"} == kept


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
names = st.sampled_from(["api_key", "password", "text", "audio", "name", "value", "auth", "headers"]) | st.text()
named = st.recursive(
    scalars | st.binary(), lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=10
)


@settings(deadline=None)
@given(named)
def test_an_event_goes_through_json_unchanged(value: Any) -> None:
    """Whatever the data are, the event is JSON and comes back equal."""
    result = redacted(value)
    assert result == json.loads(json.dumps(result))


@settings(deadline=None)
@given(named)
def test_no_bytes_come_through(value: Any) -> None:
    """There is none at any depth."""

    def walk(item: Any) -> None:
        assert not isinstance(item, (bytes, bytearray))
        for inner in item.values() if isinstance(item, dict) else item if isinstance(item, list) else ():
            walk(inner)

    walk(redacted(value))


plain_names = st.text(alphabet="abdeg", max_size=4)
plain_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet="abdeg ", max_size=20),
    lambda inner: st.lists(inner) | st.dictionaries(plain_names, inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(plain_data)
def test_data_without_secrets_stay_equal(value: Any) -> None:
    """Nothing is taken away, renamed or reordered."""
    assert json.dumps(value) == json.dumps(redacted(value))


@settings(deadline=None)
@given(st.text(min_size=4, max_size=40))
def test_a_secret_under_its_name_never_comes_through(secret: str) -> None:
    """At any depth, whatever it looks like."""
    secret = f"<{secret}>"
    told = json.dumps(redacted({"x": [{"deep": {"client_secret": secret}}, [["api-key", secret]]]}), ensure_ascii=False)
    assert json.dumps(secret, ensure_ascii=False)[1:-1] not in told
