"""How the messages of mocks name what they were given."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

_MOST_SHOWN = 80
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def shown(value: object) -> str:
    """Return what a message calls a value: its repr, cut where it is long, unless that is an address in memory."""
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    if inspect.isroutine(value):
        return f"the function {value.__qualname__}"
    text = _ADDRESS.sub("", repr(value))
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def nearest(name: str, choices: Sequence[str]) -> str:
    """Return "Did you mean 'x'? " for the closest of the choices, or nothing."""
    found = get_close_matches(name, choices, n=1)
    return f"Did you mean '{found[0]}'? " if found else ""


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return the names as one line, cut after `most` of them."""
    if not names:
        return "none"
    line = ", ".join(names[:most])
    return line if len(names) <= most else f"{line} and {len(names) - most} more"


def brief_repr(value: Any) -> str:
    """Return the repr of a dataclass by what it was given: without the fields that are as they are by themselves."""
    told = [(field, getattr(value, field.name)) for field in fields(value)]
    given = [(field.name, repr(one)) for field, one in told if one != field.default]
    names_first = fields(value)[0].name
    parts = (text if name == names_first else f"{name}={text}" for name, text in given)
    return f"{type(value).__qualname__}({', '.join(parts)})"


def check_takes(what: str, function: Callable[..., Any], *given: str, **named: str) -> None:
    """Refuse a function that cannot be called so: `given` are words for its arguments, `named` those by name."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some that are written in C nothing is known
        return
    try:
        signature.bind(*given, **named)
    except TypeError as error:
        called_with = ", ".join([*given, *named]) or "nothing"
        raise TypeError(
            f"{what} is called with {called_with}, and {shown(function)} is not made for that: {error}."
        ) from None
