"""What the fields of typed results are checked for, with errors that name them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stageflow.frozen import FrozenDict, freeze_mapping
from stageflow.wording import sketched


def text(field: str, value: Any) -> str:
    """Return the value if it is a text that says something."""
    if not isinstance(value, str):
        raise TypeError(f"{field} is a text, not {sketched(value)}.")
    if not value.strip():
        raise ValueError(f"{field} is a text that says something, not {value!r}.")
    return value


def text_or_none(field: str, value: Any, *, empty: bool = False) -> str | None:
    """Return the value if it is a text or None; `empty` says whether the text may be."""
    if value is None or (empty and isinstance(value, str)):
        return value
    return text(field, value)


def flag(field: str, value: Any) -> bool:
    """Return the value if it is True or False: what is only truthy is a mistake where it decides."""
    if not isinstance(value, bool):
        raise TypeError(f"{field} is True or False, not {sketched(value)}.")
    return value


def share(field: str, value: Any) -> float:
    """Return the value if it is a number from 0 to 1."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{field} is a number from 0 to 1, not {sketched(value)}.")
    if not 0 <= value <= 1:  # also false of NaN
        raise ValueError(f"{field} is a number from 0 to 1, not {sketched(value)}.")
    return value


def milliseconds(field: str, value: Any) -> float:
    """Return the value if it is a duration."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{field} is a number of milliseconds, not {sketched(value)}.")
    if (isinstance(value, float) and not math.isfinite(value)) or value < 0:
        raise ValueError(f"{field} is a number of milliseconds, 0 or more, not {sketched(value)}.")
    return value


def count(field: str, value: Any) -> int:
    """Return the value if it is a number of things."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{field} is a whole number, not {sketched(value)}.")
    if value < 0:
        raise ValueError(f"{field} is 0 or more, not {value}.")
    return value


def mapping(field: str, value: Any) -> FrozenDict[str, Any]:
    """Return the value, frozen, if it is a mapping whose keys are texts."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{field} is a mapping, not {sketched(value)}.")
    frozen: FrozenDict[Any, Any] = freeze_mapping(value, field)  # pyright: ignore[reportUnknownArgumentType]
    for key in frozen:
        if not isinstance(key, str):
            raise TypeError(f"{field} has the key {sketched(key)}; its keys are texts.")
    return frozen


def many(field: str, value: Any, kind: type[Any]) -> tuple[Any, ...]:
    """Return the value as a tuple, if it is a list or tuple of things of the kind."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{field} is a tuple of {kind.__name__}, not {sketched(value)}.")
    items: tuple[Any, ...] = tuple(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    for index, item in enumerate(items):
        if not isinstance(item, kind):
            raise TypeError(f"{field}[{index}] is {sketched(item)}, not of type {kind.__name__}.")
    return items
