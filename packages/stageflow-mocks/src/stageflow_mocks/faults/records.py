"""What faults were done where: JSON-ready, and in an order that does not depend on the schedule."""

from __future__ import annotations

import glob
from collections import Counter
from typing import Any

from stageflow_mocks.faults.plan import SCHEMA_VERSION
from stageflow_mocks.faults.rules import FaultRule, Place
from stageflow_mocks.faults.targets import OPTION_NAMES, OPTIONS, Kind


class FaultRecord:
    """What was done by one plan, in one interceptor, sink or provider."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, str, int | None]] = Counter()
        self._entries: dict[Place, dict[int, dict[str, Any]]] = {}

    def next_place(self, owner: str, name: str, item: int | None = None) -> Place:
        """Return the place of a call that begins, and count it."""
        self._calls[owner, name, item] += 1
        return Place(owner, name, item, self._calls[owner, name, item])

    def add(
        self, place: Place, kind: Kind, number: int, rule: FaultRule, seconds: float | None = None
    ) -> dict[str, Any]:
        """Note that a rule strikes, once for each place; what comes of it is to be noted in the entry returned.

        Args:
            place: Where.
            kind: What that is.
            number: Of the rule in its plan.
            rule: Which.
            seconds: The delay that was drawn, if it is one.
        """
        entries = self._entries.setdefault(place, {})
        if number not in entries:
            entries[number] = _entry(place, kind, rule, seconds)
        return entries[number]

    def places(self) -> list[Place]:
        """Return a place for each stage, item, type of event or operation that there was."""
        return [Place(*key, 1) for key in self._calls]

    def to_dict(self) -> dict[str, Any]:
        """Return what was done, as `FaultPlan.replay` takes it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "injected": [
                dict(self._entries[place][number])
                for place in sorted(self._entries, key=_order)
                for number in sorted(self._entries[place])
            ],
        }


def _order(place: Place) -> tuple[str, str, int, int]:
    return place.owner, place.name, -1 if place.item is None else place.item, place.call


def _entry(place: Place, kind: Kind, rule: FaultRule, seconds: float | None) -> dict[str, Any]:
    """Return a rule that strikes here alone, as data, and that nothing has come of it yet."""
    options = OPTIONS[kind][rule.fault]
    entry = {name: value for name, value in rule.to_dict().items() if name in options or name not in OPTION_NAMES}
    entry.pop("rate", None)
    entry[rule.target] = glob.escape(place.owner if rule.target == "provider" else place.name)
    if rule.target == "provider":
        entry["operation"] = place.name
    entry["call"] = place.call
    if rule.target == "stage":
        entry["pipeline"] = glob.escape(place.owner)
    if place.item is not None:
        entry["item"] = place.item
    if seconds is not None:
        entry |= {"seconds": seconds, "distribution": "fixed"}
    entry["struck"] = False
    return entry
