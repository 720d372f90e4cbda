"""Which faults of a plan strike a call, and the record of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stageflow_mocks.faults.plan import FaultPlan
from stageflow_mocks.faults.records import FaultRecord
from stageflow_mocks.faults.rules import FaultRule, Place
from stageflow_mocks.faults.targets import Kind


class Strike:
    """One fault at one place.

    Attributes:
        rule: Which.
        seconds: The delay that was drawn, if it has one.
        error: Makes the exception that it raises, if it raises one.
    """

    __slots__ = ("_entry", "error", "rule", "seconds")

    def __init__(self, rule: FaultRule, seconds: float, error: Callable[[], Exception], entry: dict[str, Any]) -> None:
        self.rule = rule
        self.seconds = seconds
        self.error = error
        self._entry = entry

    def struck(self) -> None:
        """Note that it has had an effect."""
        self._entry["struck"] = True


def _as_it_is(error: Exception) -> Exception:
    return error


class Striker:
    """A plan and the record of what was done by it, for one interceptor, sink or provider.

    Args:
        plan: The plan.
        taker: What took it, for errors.
        raised_as: Makes, of an exception that the plan says, the one that is raised there.
    """

    def __init__(self, plan: FaultPlan, taker: str, *, raised_as: Callable[[Exception], Exception] = _as_it_is) -> None:
        if not isinstance(plan, FaultPlan):  # pyright: ignore[reportUnnecessaryIsInstance]
            hint = " Make it one: FaultPlan(rule)." if isinstance(plan, FaultRule) else ""
            raise TypeError(f"{taker} takes a FaultPlan, not a {type(plan).__name__}.{hint}")
        self.plan = plan
        self.record = FaultRecord()
        self._raised_as = raised_as

    def strikes(self, kind: Kind, owner: str, name: str, item: int | None = None) -> list[Strike]:
        """Count a call, and return the faults that strike it, from the outside in."""
        place = self.record.next_place(owner, name, item)
        return [
            Strike(rule, seconds or 0.0, self._error(rule, place), self.record.add(place, kind, number, rule, seconds))
            for number, rule, seconds in self.plan.striking(place, kind)
        ]

    def _error(self, rule: FaultRule, place: Place) -> Callable[[], Exception]:
        return lambda: self._raised_as(self.plan.error_of(rule, place))
