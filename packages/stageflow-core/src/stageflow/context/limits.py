"""Permits that runs share: see `Limits`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Limits:
    """How many stages may use each of some services at once, over all runs that are given the same object."""

    __slots__ = ("_capacities",)

    def __init__(self, capacities: Mapping[str, int]) -> None:
        self._capacities: dict[str, Any] = dict(capacities)
