"""JSON and kinds to values."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from stageflow.contracts import ContractMismatch, contract_of, step_to
from stageflow.serialization import check_json
from stageflow.typed_json.models import load_model
from stageflow.typed_json.texts import TEXTS, enum_member, read_text
from stageflow.value import Value
from stageflow.wording import text_of, with_article

Lookup = Callable[[str], type[Any] | None]
"""Finds a class by the name that is in the kinds, among those that may be made."""


def read(data: Any, kinds: Any, lookup: Lookup) -> Any:
    """Return the value that was written; nothing in it is shared with the data.

    Raises:
        ContractMismatch: The data are not of these kinds, or a class is unknown.
    """
    if kinds is None:
        return check_json(data, "$")
    name, parts = kind_name(kinds), cast("Mapping[str, Any]", {} if isinstance(kinds, str) else kinds)
    if parts.get("lossy"):
        hint = "Its model_dump leaves something out: a secret, an excluded or private field, what a subclass adds."
        raise ContractMismatch(name, found=f"less than the {name} that was written", hint=hint)
    if name in _SEQUENCES:
        return _made(name, _SEQUENCES[name], _items(name, data, parts, lookup))
    if name == "dict":
        return _mapping(data, parts, lookup)
    if name == "int":
        return _made(name, int, data)
    if name in TEXTS:
        return _made(name, lambda text: read_text(name, text), data)
    kind = lookup(name)
    if kind is None and parts.get("equal"):
        return data
    if kind is None:
        hint = "Annotate with the type itself what holds it, and import the module of a subclass."
        raise ContractMismatch("a type that the contract mentions", found=with_article(name), hint=hint)
    return _instance(kind, name, data, parts, lookup)


def kind_name(kinds: Any) -> str:
    """Return the name of the type that the kinds begin with."""
    name: Any = cast("Mapping[str, Any]", kinds).get("of") if isinstance(kinds, Mapping) else kinds
    if not isinstance(name, str):
        raise ContractMismatch("the name of a type", value=name)
    return name


_SEQUENCES: dict[str, Callable[[Any], Any]] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


def _made(name: str, make: Callable[[Any], Any], data: Any) -> Any:
    try:
        return make(data)
    except Exception as error:
        raise ContractMismatch(name, value=data, hint=text_of(error)) from error


def _instance(kind: Any, name: str, data: Any, parts: Mapping[str, Any], lookup: Lookup) -> Any:
    if issubclass(kind, enum.Enum):
        return _made(name, lambda data: enum_member(kind, data), data)
    if hasattr(kind, "_make"):
        return _made(name, kind._make, _items(name, data, parts, lookup))
    contract = contract_of(kind)
    if contract is None:
        return _made(name, kind, data)
    if hasattr(kind, "model_validate"):
        return load_model(kind, _object(name, data))
    return _record(kind, contract.names, name, _object(name, data), parts, lookup)


def _record(
    kind: Any, names: tuple[str, ...], name: str, data: Mapping[str, Any], parts: Mapping[str, Any], lookup: Lookup
) -> Any:
    kinds = _object(name, parts.get("fields", {}))
    for key in (*names, *data):
        if key not in data or key not in names:
            error = ContractMismatch(f"a field of {name}", found="missing" if key in names else "no such field")
            error.within(step_to(key))
            raise error
    values = {key: _within(step_to(key), item, kinds.get(key), lookup) for key, item in data.items()}
    # A Value takes its fields by their names, and checks them: what was written by hand may be wrong.
    if hasattr(kind, "__struct_fields__") or issubclass(kind, Value):
        return _made(name, lambda values: kind(**values), values)
    return _made(name, lambda values: _restored(kind, values), values)


def _restored(kind: Any, values: Mapping[str, Any]) -> Any:
    # As unpickling does: __init__ may not take what the fields hold, or make something else of it.
    made = kind.__new__(kind)
    for key, value in values.items():
        object.__setattr__(made, key, value)
    return made


def _items(name: str, data: Any, parts: Mapping[str, Any], lookup: Lookup) -> list[Any]:
    if not isinstance(data, list):
        raise ContractMismatch(name, value=data)
    items, kinds = cast("list[Any]", data), parts.get("items")
    if isinstance(kinds, list) and len(cast("list[Any]", kinds)) != len(items):
        raise ContractMismatch(f"{name} of {len(cast('list[Any]', kinds))}", found=f"a list of {len(items)}")
    each: Iterator[Any] = iter(cast("list[Any]", kinds)) if isinstance(kinds, list) else iter([kinds] * len(items))
    return [_within(f"[{index}]", item, next(each), lookup) for index, item in enumerate(items)]


def _mapping(data: Any, parts: Mapping[str, Any], lookup: Lookup) -> dict[Any, Any]:
    keys, values = _by_key(parts.get("keys")), _by_key(parts.get("values"))
    pairs = [
        (_within(step_to(key), key, keys(key), lookup), _within(step_to(key), item, values(key), lookup))
        for key, item in _object("dict", data).items()
    ]
    return _made("dict", dict, pairs)


def _by_key(kinds: Any) -> Callable[[str], Any]:
    if isinstance(kinds, Mapping) and "each" in kinds:
        return _object("kinds", cast("Mapping[str, Any]", kinds)["each"]).get
    return lambda _key: cast("Any", kinds)


def _within(step: str, data: Any, kinds: Any, lookup: Lookup) -> Any:
    try:
        return read(data, kinds, lookup)
    except ContractMismatch as error:
        error.within(step)
        raise


def _object(name: str, data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ContractMismatch(name, value=data)
    return cast("Mapping[str, Any]", data)
