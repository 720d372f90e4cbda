"""How the messages of mocks name what they were given."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from inspect import isroutine

_MOST_SHOWN = 80


def shown(value: object) -> str:
    """Return what a message calls a value: its repr, cut where it is long, unless that is an address in memory."""
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    if isroutine(value):
        return f"the function {value.__qualname__}"
    text = repr(value)
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
