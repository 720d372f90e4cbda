"""A fingerprint of values: the same for equal values, in every process, and another for others."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, cast

from stageflow.contracts import contract_fields
from stageflow.frozen import is_shareable
from stageflow.wording import type_name


class NoFingerprintError(TypeError):
    """Something in a value is only known by its address in memory. `path` leads to it."""

    def __init__(self, path: str, value: object) -> None:
        super().__init__(
            f"{path} holds a {type_name(value)}, of which nothing is known that stays the same. "
            "Say by `parameters=` what makes two calls the same."
        )
        self.path = path


def fingerprint_of(value: Any, name: str = "$") -> str:
    """Return the SHA-256 hash of a value, in hexadecimal digits.

    Mappings and sets count without their order, types as well as values: 1, 1.0 and True differ. What is left out of a
    contract value's fields does not count.

    Args:
        value: Data as stages return it: mappings, lists, contract values, and what cannot be changed.
        name: What errors call it.

    Raises:
        NoFingerprintError: Something in it is none of these.
        RecursionError: It contains itself.
    """
    return hashlib.sha256("".join(_encoded(value, name)).encode("utf-8", "surrogatepass")).hexdigest()


def _encoded(value: Any, path: str) -> Iterator[str]:
    """Yield a text from which the value could be told: each part says its type and its length."""
    kind = cast("type[Any]", type(value))
    if value is None or kind in (bool, int, float, complex, str, bytes, range):
        yield _part(kind.__name__, repr(value))
    elif isinstance(value, enum.Enum):
        yield _part(type_name(value), value.name)
    elif (fields := contract_fields(value)) is not None:
        yield _part("contract", type_name(value))
        yield from _of_mapping(fields, path)
    elif isinstance(value, Mapping):
        yield from _of_mapping(cast("Mapping[Any, Any]", value), path)
    elif isinstance(value, (list, tuple)):
        yield from _of_items("list", [_text(item, f"{path}[{i}]") for i, item in enumerate(cast("list[Any]", value))])
    elif isinstance(value, (set, frozenset)):
        yield from _of_items("set", sorted(_text(item, f"{path}{{}}") for item in cast("set[Any]", value)))
    elif is_shareable(value) and not callable(value):  # a date, a Decimal, a path: told by its repr
        yield _part(type_name(value), repr(value))
    else:
        raise NoFingerprintError(path, value)


def _of_mapping(items: Mapping[Any, Any], path: str) -> Iterator[str]:
    pairs = [_text(key, path) + _text(item, f"{path}[{key!r}]") for key, item in items.items()]
    yield from _of_items("dict", sorted(pairs))


def _of_items(kind: str, items: list[str]) -> Iterator[str]:
    yield _part(kind, str(len(items)))
    yield from items


def _text(value: Any, path: str) -> str:
    return "".join(_encoded(value, path))


def _part(kind: str, text: str) -> str:
    return f"{kind}:{len(text)}:{text};"
