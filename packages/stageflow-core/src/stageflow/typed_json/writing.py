"""Values to JSON and kinds."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any, cast

from stageflow.contracts import contract_fields, contract_of
from stageflow.errors import SerializationError
from stageflow.serialization import check_json
from stageflow.typed_json.models import dumped
from stageflow.typed_json.texts import TEXTS, enum_data, text_type_name
from stageflow.wording import type_name

Written = tuple[Any, Any]
"""Data and kinds."""

_NATIVE = frozenset({NoneType, bool, int, float, str})
_BASES: tuple[tuple[type[Any], Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)


def write(value: Any, path: str) -> Written:
    """Return a value as JSON-ready data and kinds.

    Raises:
        SerializationError: `path` leads to what cannot be written.
    """
    try:
        data, kinds = _write(value, path, inside=False)
        return check_json(data, path), kinds
    except RecursionError as error:
        raise SerializationError(path, "is nested too deep.") from error


def _write(value: Any, path: str, *, inside: bool) -> Written:
    kind: type[Any] = cast("Any", type(value))
    if kind in _NATIVE:
        return value, None
    if contract_of(kind) is not None:
        return _write_contract(value, path)
    if isinstance(value, Mapping):
        return _write_mapping(cast("Mapping[Any, Any]", value), path, inside=inside)
    if isinstance(value, list):
        return _write_items("list", cast("list[Any]", value), path, inside=inside)
    # What cannot be written is left as it is: `check_json` refuses it, and says where it stands.
    return _write_typed(value, path) if inside else (value, None)


def _write_contract(value: Any, path: str) -> Written:
    name = type_name(value)
    if hasattr(value, "model_dump"):
        data, lossy = dumped(value, path)
        return data, {"of": name, "lossy": True} if lossy else name
    fields = contract_fields(value) or {}
    data, kinds = _apart({key: _write(item, f"{path}.{key}", inside=True) for key, item in fields.items()})
    return data, _node(name, fields={key: kind for key, kind in kinds.items() if kind is not None} or None)


def _write_typed(value: Any, path: str) -> Written:
    kind, name = cast("type[Any]", type(value)), type_name(value)
    if isinstance(value, enum.Enum):
        data = enum_data(value)
        return data, {"of": name, "equal": True} if data == value else name
    if isinstance(value, tuple):
        items = cast("tuple[Any, ...]", value)
        known = kind is tuple or hasattr(kind, "_make")
        return _write_items(name, items, path, inside=True) if known else (items, None)
    if isinstance(value, (set, frozenset)):
        return _write_set(cast("set[Any]", value), path)
    for base, plain in _BASES:
        if isinstance(value, base):
            return plain(value), {"of": name, "equal": True}
    name = text_type_name(kind)
    return (TEXTS[name][0](value), name) if name in TEXTS else (value, None)


def _write_items(name: str, items: Sequence[Any], path: str, *, inside: bool) -> Written:
    written = [_write(item, f"{path}[{index}]", inside=inside) for index, item in enumerate(items)]
    kinds = _shared([kind for _, kind in written])
    return [data for data, _ in written], None if name == "list" and kinds is None else _node(name, items=kinds)


def _write_set(value: set[Any] | frozenset[Any], path: str) -> Written:
    # In an order that does not change from one process to the next.
    written = sorted((_write(item, path, inside=True) for item in value), key=repr)
    name = "set" if isinstance(value, set) else "frozenset"
    return [data for data, _ in written], _node(name, items=_shared([kind for _, kind in written]))


def _write_mapping(value: Mapping[Any, Any], path: str, *, inside: bool) -> Written:
    names, keys = {key: key for key in value}, None
    if inside and any(type(key) is not str for key in value):
        written = {key: _write_key(key, path) for key in value}
        names = {key: name for key, (name, _) in written.items()}
        keys = _shared_by_key(dict(written.values()))
        if len({*names.values()}) < len(value):
            raise SerializationError(path, "two of its keys would be one in JSON.")
    data, kinds = _apart({names[key]: _write(item, f"{path}.{key}", inside=inside) for key, item in value.items()})
    values = _shared_by_key(kinds)
    return data, None if keys is None and values is None else _node("dict", keys=keys, values=values)


def _write_key(key: Any, path: str) -> Written:
    name, kind = (str(key), "int") if type(key) is int else _write(key, path, inside=True)
    if not isinstance(name, str):
        raise SerializationError(path, f"the key {key!r} cannot be written as a string.")
    return name, kind


def _apart(written: Mapping[Any, Written]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    return {key: data for key, (data, _) in written.items()}, {key: kind for key, (_, kind) in written.items()}


def _node(name: str, **parts: Any) -> Any:
    said = {key: part for key, part in parts.items() if part is not None}
    return {"of": name, **said} if said else name


def _shared(kinds: list[Any]) -> Any:
    """Return the kind that all have, or the list of all."""
    return kinds if any(kind != kinds[0] for kind in kinds) else next(iter(kinds), None)


def _shared_by_key(kinds: Mapping[str, Any]) -> Any:
    shared = _shared(list(kinds.values()))
    return {"each": {key: kind for key, kind in kinds.items() if kind}} if isinstance(shared, list) else shared
