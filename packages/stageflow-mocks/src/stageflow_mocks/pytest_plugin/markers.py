"""What is wrong with a marker, as whoever wrote it would say it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any

import pytest

from stageflow_mocks.wording import listed, nearest

_WITHOUT_MARKER = ("stageflow_events", "stageflow_golden")


def unknown(name: str, known: Collection[str], config: pytest.Config) -> str | None:
    """Return what is wrong with a marker that is none of ours though its name says so; None if the project has it."""
    own = {line.partition(":")[0].partition("(")[0].strip() for line in config.getini("markers")}
    if name in own:
        return None
    if name in _WITHOUT_MARKER:
        return f"The fixture {name} is made from no arguments: leave out its marker."
    return f"There is no marker '{name}'. {nearest(name, list(known))}There are: {', '.join(sorted(known))}."


def misuse(marker: pytest.Mark, takes: Callable[..., Any]) -> str | None:
    """Return what is wrong with the arguments of a marker, by the signature of what is called with them, or None."""
    signature = inspect.signature(takes)
    parameters = signature.parameters.values()
    plain = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    names = plain + [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
    for name in marker.kwargs:
        if name not in names:
            return f"takes no '{name}'. {nearest(name, names)}It takes: {', '.join(names)}."
    if len(marker.args) > len(plain):
        most = f"only {listed(plain)}" if plain else "nothing"
        return f"takes {most} without its name. It takes, by name: {', '.join(names[len(plain) :])}."
    given = {*plain[: len(marker.args)], *marker.kwargs}
    for one in parameters:
        if one.default is one.empty and one.name not in given:
            return f"lacks '{one.name}'. It takes: {', '.join(names)}."
    try:
        signature.bind(*marker.args, **marker.kwargs)
    except TypeError as error:
        return f"cannot be read: {error}."
    return None
