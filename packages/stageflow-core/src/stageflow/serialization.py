"""Data that goes to JSON and comes back the same, or says where it cannot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from stageflow.errors import SerializationError

T = TypeVar("T")


def check_json(value: Any, path: str) -> Any:
    """Return plain, JSON-ready data equal to the value: new dicts and lists, and the scalars as they are.

    Only what comes back equal is taken: a tuple would return as a list, NaN is not JSON, a key must be a string.

    Raises:
        SerializationError: `path` (as in `$.metadata.user`) leads to what is not JSON.
    """
    try:
        return _plain(value, path)
    except RecursionError as error:
        raise SerializationError(path, "is nested too deep, or contains itself") from error


def _plain(value: Any, path: str) -> Any:
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise SerializationError(path, f"{value} is not a JSON number")
        return value
    if isinstance(value, dict):
        return {_key(key, path): _plain(item, f"{path}.{key}") for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(item, f"{path}[{index}]") for index, item in enumerate(cast("list[Any]", value))]
    raise SerializationError(
        path,
        f"a {type(value).__module__}.{type(value).__qualname__} is not JSON.",
        hint="Use dicts with string keys, lists, strings, finite numbers, booleans and None.",
    )


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise SerializationError(path, f"the key {key!r} is not a string")
    return key


def expect(value: Any, kind: type[T] | tuple[type[Any], ...], path: str) -> T:
    """Return the value if it is of the kind, else raise a SerializationError that says what it is."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = " or ".join(one.__name__ for one in kinds)
        raise SerializationError(path, f"expected {wanted}, found {type(value).__name__}")
    return cast("T", value)


def as_object(value: Any, path: str) -> dict[str, Any]:
    """Return a new dict of the value's fields if it is a JSON object, else raise a SerializationError."""
    if not isinstance(value, Mapping):
        raise SerializationError(path, f"expected an object, found {type(value).__name__}")
    return dict(cast("Mapping[str, Any]", value))
