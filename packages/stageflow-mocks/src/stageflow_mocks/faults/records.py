"""What faults were done where: JSON-ready, and in an order that does not depend on the schedule."""

from __future__ import annotations

import glob
from collections import Counter
from typing import Any

from stageflow_mocks.faults.plan import SCHEMA_VERSION
from stageflow_mocks.faults.rules import FaultRule, Place


class FaultRecord:
    """What was done by one plan, in one interceptor or sink."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, str, int | None]] = Counter()
        self._entries: dict[Place, dict[int, dict[str, Any]]] = {}

    def next_place(self, pipeline: str, stage: str, item: int | None) -> Place:
        """Return the place of a call that begins, and count it."""
        self._calls[pipeline, stage, item] += 1
        return Place(pipeline, stage, item, self._calls[pipeline, stage, item])

    def add(self, place: Place, number: int, rule: FaultRule, seconds: float | None = None) -> dict[str, Any]:
        """Note that a rule strikes, once for each place; what comes of it is to be noted in the entry returned.

        Args:
            place: Where.
            number: Of the rule in its plan.
            rule: Which.
            seconds: The delay that was drawn, if it is one.
        """
        entries = self._entries.setdefault(place, {})
        if number not in entries:
            entries[number] = _entry(place, rule, seconds)
        return entries[number]

    def places(self) -> list[Place]:
        """Return a place for each stage, item or type of event that there was."""
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
    return place.pipeline, place.stage, -1 if place.item is None else place.item, place.call


def _entry(place: Place, rule: FaultRule, seconds: float | None) -> dict[str, Any]:
    """Return a rule that strikes here alone, as data, and that nothing has come of it yet."""
    entry = rule.to_dict()
    entry.pop("rate", None)
    entry["event" if rule.of_sink else "stage"] = glob.escape(place.stage)
    entry["call"] = place.call
    if not rule.of_sink:
        entry["pipeline"] = glob.escape(place.pipeline)
    if place.item is not None:
        entry["item"] = place.item
    if seconds is not None:
        entry |= {"seconds": seconds, "distribution": "fixed"}
    entry["struck"] = False
    return entry
