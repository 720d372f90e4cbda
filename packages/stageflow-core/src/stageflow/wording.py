"""How messages name things: the words that all errors share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from inspect import isroutine
from itertools import groupby
from typing import cast

MOST_SHOWN = 80
"""How many characters of a value a message shows."""


def similar(name: str, choices: Sequence[str], *, cutoff: float = 0.6) -> Sequence[str]:
    """Return the closest of the choices if it is close enough, or nothing."""
    # Only errors ask this, and `difflib` would be a fiftieth of what importing stageflow costs.
    return import_module("difflib").get_close_matches(name, choices, n=1, cutoff=cutoff)


def nearest(name: str, choices: Sequence[str]) -> str:
    """Return "Did you mean 'x'? " for the closest of the choices, or nothing."""
    found = similar(name, choices)
    return f"Did you mean '{found[0]}'? " if found else ""


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return the names as one line, cut after `most` of them."""
    if not names:
        return "none"
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def path_in_words(steps: Sequence[str]) -> str:
    """Return the steps in their order as one line: repetitions are counted, and the middle of many is left out."""
    parts: list[str] = []
    for step, same in groupby(steps):
        times = len(list(same))
        parts.append(step if times == 1 else f"{step} ({times} times)")
    if len(parts) > 6:
        parts[3:-2] = [f"... ({len(parts) - 5} more) ..."]
    return " > ".join(parts)


def type_name(value: object) -> str:
    """Return the name of the value's type, as a person would look for it."""
    return class_name(type(value))


def class_name(kind: type[object]) -> str:
    """Return the name of a class with that of its module, unless it is a builtin."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def shown(value: object) -> str:
    """Return what a message calls the value: its repr, unless that is an address in memory."""
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    if isroutine(value):
        return f"the function {getattr(value, '__qualname__', type_name(value))}"
    if type(value).__repr__ is object.__repr__:
        return with_article(type(value).__qualname__)
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - __repr__ of the user's class may raise anything
        return with_article(type(value).__qualname__)
    if type(value) is list:
        text = f"[{', '.join(map(shown, cast('list[object]', value)))}]"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def sketched(value: object, *, hidden: bool = False) -> str:
    """Return what a message says of a value that is not what it should be: its type, and a scalar's beginning.

    Of one that is `hidden`, its type alone.
    """
    if value is None:
        return "None"
    if isinstance(value, type):
        return shown(value)
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"  # whoever returned it has not frozen it
    kind = with_article(type(value).__qualname__.rpartition("<locals>.")[2])
    if hidden:
        return kind
    if type(value) is str:
        return f"{kind} ({_beginning(value)!r})"
    return f"{kind} ({value})" if type(value) in (bool, float) or _is_small(value) else kind


def _beginning(text: str) -> str:
    return text if len(text) <= 20 else f"{text[:17]}..."


def _is_small(value: object) -> bool:
    return type(value) is int and value.bit_length() < 64


def with_article(name: str) -> str:
    """Return the name after "a" or "an", as it is spoken: letter by letter where it begins with two capitals."""
    sounds = "AEFHILMNORSX" if name[:2].isupper() and len(name) > 1 else "aeiouAEIOU"
    return f"{'an' if name[0] in sounds else 'a'} {name}"


def text_of(error: BaseException) -> str:
    """Return the text of an exception, which may be of a class that cannot say what it is."""
    try:
        return str(error)
    except Exception as flaw:  # noqa: BLE001 - __str__ of the user's class may raise anything
        return f"<its __str__ raised {type(flaw).__qualname__}>"
