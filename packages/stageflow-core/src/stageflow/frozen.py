"""Values that nobody can change for anybody else.

What a stage returns is read by many stages, so it is frozen once, when it arrives: mappings, lists and sets at any
depth become `FrozenDict`, `FrozenList` and `frozenset`, which read like the real thing (`json.dumps` takes the first
two) and refuse to be changed. What cannot be frozen in place, a mutable dataclass in a list say, is copied when it
arrives, and copied again for each reader. The container then is a `GuardedDict` or `GuardedList`: whoever hands it out
asks `is_shareable` and copies it if the answer is no.

Sharing is decided by the value, not by its declared type: a frozen dataclass is shared if all its fields are.
"""

from __future__ import annotations

import copy
import enum
from collections.abc import Callable, Iterable, Mapping
from types import BuiltinFunctionType, FunctionType, NoneType
from typing import Any, NoReturn, TypeVar, cast

from stageflow.contracts import contract_fields, contract_of
from stageflow.errors import NotCopyableError

K = TypeVar("K")
V = TypeVar("V")


def _refuse(self: object, *_args: object, **_kwargs: object) -> NoReturn:
    base = "dict" if isinstance(self, dict) else "list"
    raise TypeError(
        f"This {base} is frozen, because other stages read it too. To change it, copy it with {base}(...), and "
        "likewise each dict and list in it that you change."
    )


class FrozenDict(dict[K, V]):
    """A dict that refuses to be changed, with nothing in it that can be changed either."""

    # Neither __new__ nor __init__ is defined: either would more than double what making one costs.
    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = pop = popitem = setdefault = clear = _refuse

    def __copy__(self) -> FrozenDict[K, V]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenDict[K, V]:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


class FrozenList(list[V]):
    """A list that refuses to be changed, with nothing in it that can be changed either."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = remove = pop = clear = sort = reverse = _refuse

    def __copy__(self) -> FrozenList[V]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenList[V]:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self),)


class GuardedDict(FrozenDict[K, V]):
    """A frozen dict that holds something mutable: every reader gets a deep copy."""

    __slots__ = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> GuardedDict[K, V]:
        return GuardedDict({key: copy.deepcopy(value, memo) for key, value in self.items()})


class GuardedList(FrozenList[V]):
    """A frozen list that holds something mutable: every reader gets a deep copy."""

    __slots__ = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> GuardedList[V]:
        return GuardedList(copy.deepcopy(value, memo) for value in self)


EMPTY: FrozenDict[str, Any] = FrozenDict()

SHAREABLE_TYPES: frozenset[type] = frozenset(
    {NoneType, bool, int, float, complex, str, bytes, range, FrozenDict, FrozenList, FunctionType, BuiltinFunctionType}
)
"""Exact types whose values are shared without a second look."""

# By name, so that sharing a Decimal does not cost every program the import of decimal.
_SHAREABLE_NAMES = frozenset(
    {
        "datetime.date",
        "datetime.datetime",
        "datetime.time",
        "datetime.timedelta",
        "datetime.timezone",
        "decimal.Decimal",
        "fractions.Fraction",
        "ipaddress.IPv4Address",
        "ipaddress.IPv6Address",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.PureWindowsPath",
        "pathlib.WindowsPath",
        "pathlib._local.PosixPath",
        "pathlib._local.PurePosixPath",
        "pathlib._local.PureWindowsPath",
        "pathlib._local.WindowsPath",
        "re.Pattern",
        "uuid.UUID",
        "zoneinfo.ZoneInfo",
    }
)


def is_shareable(value: object) -> bool:
    """Return whether the value cannot be changed by whoever reads it, all the way down."""
    kind = type(value)
    if kind in SHAREABLE_TYPES:
        return True
    contract = contract_of(kind)
    if contract is not None:
        return contract.frozen and all(map(is_shareable, contract.contents(value)))
    if isinstance(value, tuple):
        # One with a __dict__, as a subclass without __slots__ has, takes attributes.
        items = cast("tuple[object, ...]", value)
        return not hasattr(items, "__dict__") and all(map(is_shareable, items))
    if kind is frozenset:
        return all(map(is_shareable, cast("frozenset[object]", value)))
    return isinstance(value, (enum.Enum, type)) or f"{kind.__module__}.{kind.__qualname__}" in _SHAREABLE_NAMES


def freeze(value: Any, name: str = "value") -> Any:
    """Return the value with every mapping, list and set in it frozen, and what else is mutable copied.

    Args:
        value: What to freeze.
        name: What errors call it.

    Raises:
        NotCopyableError: Something in it can be neither frozen nor copied, or it contains itself.
    """
    if type(value) in SHAREABLE_TYPES:
        return value
    try:
        return _freeze(value)
    except Exception as error:
        raise _culprit(value, name, error) from error


def freeze_mapping(value: Mapping[K, Any], name: str = "value") -> FrozenDict[K, Any]:
    """Freeze a mapping; a `GuardedDict` is returned if each reader needs a copy. See `freeze` for what it raises."""
    try:
        return _freeze_mapping(value)
    except Exception as error:
        raise _culprit(value, name, error) from error


def _freeze(value: Any) -> Any:
    if type(value) in SHAREABLE_TYPES:
        return value
    if isinstance(value, Mapping):
        return _freeze_mapping(cast("Mapping[Any, Any]", value))
    if isinstance(value, list):
        items = [_freeze(item) for item in cast("list[Any]", value)]
        return FrozenList(items) if all(map(is_shareable, items)) else GuardedList(items)
    if isinstance(value, tuple):
        return _freeze_tuple(cast("tuple[Any, ...]", value))
    if isinstance(value, (set, frozenset)):
        return frozenset(_freeze(item) for item in cast("frozenset[Any]", value))
    return value if is_shareable(value) else copy.deepcopy(value)


def _freeze_mapping(value: Mapping[K, Any]) -> FrozenDict[K, Any]:
    items = {key: _freeze(item) for key, item in value.items()}
    return FrozenDict(items) if all(map(is_shareable, items.values())) else GuardedDict(items)


def _freeze_tuple(value: tuple[Any, ...]) -> Any:
    if is_shareable(value):
        return value
    if type(value) is tuple:
        return tuple(map(_freeze, value))
    make: Callable[[Iterable[Any]], Any] | None = getattr(type(value), "_make", None)
    return copy.deepcopy(value) if make is None or hasattr(value, "__dict__") else make(map(_freeze, value))


def _culprit(value: Any, name: str, error: Exception) -> NotCopyableError:
    """Walk down to the first thing that cannot be frozen; only asked once freezing has failed."""
    if isinstance(error, RecursionError):
        return NotCopyableError(name, value, why="is nested too deep, or contains itself")
    path = name
    while True:
        for step, item in _children(value):
            try:
                _freeze(item)
            except Exception:  # noqa: BLE001 - __deepcopy__ of the user's class may raise anything
                path, value = path + step, item
                break
        else:
            return NotCopyableError(path, value)


def _children(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return ((f"[{key!r}]", item) for key, item in cast("Mapping[Any, Any]", value).items())
    if isinstance(value, (list, tuple)):
        return ((f"[{index}]", item) for index, item in enumerate(cast("list[Any]", value)))
    return ((f".{name}", item) for name, item in (contract_fields(value) or {}).items())


def for_reader(value: V) -> V:
    """Return the value itself if it can be shared, else a deep copy of it."""
    return value if is_shareable(value) else copy.deepcopy(value)
