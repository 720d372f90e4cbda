"""Data that goes to JSON and comes back the same, or says where it cannot."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, TypeVar, cast

from stageflow.errors import SchemaVersionError, SerializationError
from stageflow.wording import nearest, type_name, with_article

T = TypeVar("T")


def check_json(value: Any, path: str, *, deepest: int = 1_000_000, keep: Callable[[Any], Any] = lambda _: None) -> Any:
    """Return plain, JSON-ready data equal to the value: new dicts and lists, and the scalars as they are.

    Only what comes back equal is taken: a tuple would return as a list, NaN is not JSON, a key must be a string.

    Args:
        value: What to check.
        path: What errors call it.
        deepest: Levels of containers that it may have.
        keep: Is given what is not JSON, and returns what to leave in its place, or None to refuse it.

    Raises:
        SerializationError: `path` (as in `$.metadata.user`) leads to what is not JSON.
    """
    try:
        return _plain(value, path, deepest, keep)
    except RecursionError as error:
        raise SerializationError(path, _TOO_DEEP) from error


_TOO_DEEP = "is nested too deep, or contains itself."


def _plain(value: Any, path: str, deepest: int, keep: Callable[[Any], Any]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if type(value) is int:
        return _integer(value, path)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise SerializationError(path, f"{value} is not a JSON number.")
        return value
    if isinstance(value, (dict, list)) and not deepest:
        raise SerializationError(path, _TOO_DEEP)
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return {_key(key, path): _plain(item, f"{path}.{key}", deepest - 1, keep) for key, item in items}
    if isinstance(value, list):
        items = enumerate(cast("list[Any]", value))
        return [_plain(item, f"{path}[{index}]", deepest - 1, keep) for index, item in items]
    kept = keep(value)
    if kept is not None:
        return kept
    raise SerializationError(
        path,
        f"{with_article(type_name(value))} is not JSON.",
        hint="Use dicts with string keys, lists, strings, finite numbers, booleans and None.",
    )


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        # The repr of a class of the user's may raise anything, and that of bytes shows them.
        if key is None or type(key) in {bool, int, float}:
            raise SerializationError(path, f"the key {key!r} is not a string.")
        raise SerializationError(path, f"a key is {with_article(type_name(key))}, not a string.")
    return _text(key, path)


@cache
def _surrogate_pair() -> re.Pattern[str]:
    return re.compile("[\ud800-\udbff][\udc00-\udfff]")  # when first needed: most text has none


def joined_surrogates(text: str) -> str:
    """Return the text as it comes back from JSON: two surrogates in a row are the one character they stand for."""
    return _surrogate_pair().sub(lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"), text)


def _text(value: str, path: str) -> str:
    # JSON has no other way to write the one character that such a pair stands for.
    if not value.isascii() and _surrogate_pair().search(value):
        raise SerializationError(path, "two surrogates in a row would come back as one character.")
    return value


def _integer(value: int, path: str) -> int:
    if value.bit_length() > 2_000:  # below any limit that the interpreter can be given
        try:
            str(value)
        except ValueError as error:
            raise SerializationError(path, "has more digits than Python writes.") from error
    return value


def expect(value: Any, kind: type[T] | tuple[type[Any], ...], path: str) -> T:
    """Return the value if it is of the kind, else raise a SerializationError that says what it is."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(one.__name__ for one in kinds)
        raise SerializationError(path, f"expected {wanted}, found {type(value).__name__}.")
    return cast("T", value)


def expect_list(value: Any, path: str) -> list[Any]:
    """Return the value if it is a list, else raise a SerializationError."""
    return cast("list[Any]", expect(value, list, path))


def expect_number(value: Any, path: str) -> float:
    """Return the value if it is a finite number, else raise a SerializationError."""
    number: float = expect(value, (int, float), path)
    try:
        finite = math.isfinite(number)
    except OverflowError as error:
        raise SerializationError(path, "is larger than any float.") from error
    if not finite:
        raise SerializationError(path, f"{number} is not a JSON number.")
    return number


def expect_version(value: Any, known: int) -> None:
    """Raise SchemaVersionError if the data is newer than `known`, SerializationError if that is no version at all."""
    path = "$.schema_version"
    version: int = expect(value, int, path)
    if version > known:
        raise SchemaVersionError(version, known)
    if version < 1:
        raise SerializationError(path, f"there is no version {version}.")


def expect_fields(fields: Mapping[str, Any], names: Collection[str], path: str) -> None:
    """Raise a SerializationError if there are other fields than these, or if one of these is missing."""
    for name in fields:
        if name not in names:
            raise SerializationError(
                f"{path}.{name}", "is not a field that is known here.", hint=nearest(name, [*names])
            )
    for name in names:
        if name not in fields:
            raise SerializationError(f"{path}.{name}", "is missing.")


def at_path(path: str, do: Callable[[], T]) -> T:
    """Do what reads or writes a part, whose errors then lead to it from the whole."""
    try:
        return do()
    except SchemaVersionError:
        raise
    except SerializationError as error:
        raise SerializationError(path + error.path.removeprefix("$"), error.problem, hint=error.hint) from error


def as_object(value: Any, path: str) -> dict[str, Any]:
    """Return a new dict of the value's fields if it is a JSON object, else raise a SerializationError."""
    if not isinstance(value, Mapping):
        text = isinstance(value, (str, bytes)) and path == "$"
        hint = "Read it with json.loads first." if text else None
        raise SerializationError(path, f"expected an object, found {type(value).__name__}.", hint=hint)
    return dict(cast("Mapping[str, Any]", value))
