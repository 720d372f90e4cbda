"""How messages name things: the words that all errors share."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from inspect import isroutine
from typing import cast

MOST_SHOWN = 80
"""How many characters of a value a message shows."""


def nearest(name: str, choices: Sequence[str]) -> str:
    """Return "Did you mean 'x'? " for the closest of the choices, or nothing."""
    found = get_close_matches(name, choices, n=1, cutoff=0.6)
    return f"Did you mean '{found[0]}'? " if found else ""


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return the names as one line, cut after `most` of them."""
    if not names:
        return "none"
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def type_name(value: object) -> str:
    """Return the name of the value's type, as a person would look for it."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def shown(value: object) -> str:
    """Return what a message calls the value: its repr, unless that is an address in memory."""
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    if isroutine(value):
        return f"the function {getattr(value, '__qualname__', type_name(value))}"
    if type(value).__repr__ is object.__repr__:
        return with_article(type(value).__qualname__)
    text = repr(value)
    if type(value) is list:
        text = f"[{', '.join(map(shown, cast('list[object]', value)))}]"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def with_article(name: str) -> str:
    """Return the name after "a" or "an"."""
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def text_of(error: BaseException) -> str:
    """Return the text of an exception, which may be of a class that cannot say what it is."""
    try:
        return str(error)
    except Exception as flaw:  # noqa: BLE001 - __str__ of the user's class may raise anything
        return f"<its __str__ raised {type(flaw).__qualname__}>"
