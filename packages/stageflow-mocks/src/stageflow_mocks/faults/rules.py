"""One rule of a fault plan: which fault strikes where, and how often."""

from __future__ import annotations

import fnmatch
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, cast

from stageflow_mocks.faults.errors import FaultPlanError, among

STAGE_FAULTS: Mapping[str, frozenset[str]] = {
    "latency": frozenset({"seconds", "distribution"}),
    "error": frozenset({"error", "retry_after"}),
    "hang": frozenset(),
    "wrong_type": frozenset(),
    "truncated": frozenset({"keep"}),
    "duplicated": frozenset(),
    "reordered": frozenset({"seconds", "distribution"}),
    "partial_write": frozenset({"error", "retry_after"}),
    "cancel": frozenset({"at_await"}),
}
"""The faults of stages, each with the options that it has."""

SINK_FAULTS = ("sink_raises", "sink_hangs", "sink_drops")
"""The faults of event sinks, which have no options."""

FAULTS = (*STAGE_FAULTS, *SINK_FAULTS)
DISTRIBUTIONS = ("fixed", "uniform", "exponential")
_OPTIONS = ("seconds", "distribution", "error", "retry_after", "keep", "at_await")
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "latency": {"seconds": 1.0, "distribution": "fixed"},
    "error": {"error": "provider-transient"},
    "truncated": {"keep": 0.5},
    "reordered": {"seconds": 1.0, "distribution": "uniform"},
    "partial_write": {"error": "provider-transient"},
    "cancel": {"at_await": 1},
}


class Place(NamedTuple):
    """Where a fault may strike: one call of a stage, or of one of its items, or one event of a type.

    Attributes:
        pipeline: Its name; empty for an event.
        stage: Its name, or the type of the event.
        item: The index of the item of a mapped stage, else None.
        call: The n-th call of that stage, or of that item, counted from 1.
    """

    pipeline: str
    stage: str
    item: int | None
    call: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """Which fault strikes where, and how often: at call `call`, at `rate`, or always.

    Attributes:
        fault: One of `FAULTS`.
        stage: The name of a stage or a pattern (`*`, `?`, `[abc]`).
        event: The type of an event or a pattern: for the faults of sinks, in place of `stage`.
        pipeline: The name of a pipeline or a pattern.
        item: Of a mapped stage, the one item to strike; None for all.
        call: The n-th call of the stage, or of an item of it, counted from 1 over all runs.
        rate: The share of calls, 0 to 1.
        seconds: Of `latency` and `reordered`: how long, the most for "uniform", the mean for "exponential".
        distribution: One of `DISTRIBUTIONS`.
        error: The name of the exception that `error` and `partial_write` raise.
        retry_after: The seconds that an exception of a provider says to wait.
        keep: Of `truncated`: the share that is left of each text and list, from 0 to less than 1.
        at_await: Of `cancel`: at which of its suspensions, counted from 1.

    Raises:
        FaultPlanError: It says what cannot be done.
    """

    fault: str
    stage: str | None = None
    event: str | None = None
    pipeline: str = "*"
    item: int | None = None
    call: int | None = None
    rate: float | None = None
    seconds: float | None = None
    distribution: str | None = None
    error: str | None = None
    retry_after: float | None = None
    keep: float | None = None
    at_await: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.fault, str) or self.fault not in FAULTS:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise FaultPlanError("fault", f"there is no fault {self.fault!r}", among(str(self.fault), FAULTS))
        self._check_target()
        for option in _OPTIONS:
            if getattr(self, option) is not None and option not in STAGE_FAULTS.get(self.fault, ()):
                its = sorted(STAGE_FAULTS.get(self.fault, ()))
                raise FaultPlanError(option, f"'{self.fault}' has no such option", among(option, its))
        for option, value in _DEFAULTS.get(self.fault, {}).items():
            if getattr(self, option) is None:
                object.__setattr__(self, option, value)
        self._check_numbers()

    def _check_target(self) -> None:
        of_sink = self.fault in SINK_FAULTS
        wanted, other = ("event", "stage") if of_sink else ("stage", "event")
        for name in (wanted, "pipeline"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise FaultPlanError(name, f"'{self.fault}' needs a name or a pattern here, not {value!r}")
        if getattr(self, other) is not None:
            raise FaultPlanError(other, f"'{self.fault}' goes by '{wanted}'")
        if of_sink and (self.item is not None or self.pipeline != "*"):
            name = "pipeline" if self.item is None else "item"
            raise FaultPlanError(name, f"'{self.fault}' strikes events, whose '{name}' it cannot tell")
        if self.call is not None and self.rate is not None:
            raise FaultPlanError("rate", "it stands beside 'call'", "Give one of the two, or neither: at every call.")

    def _check_numbers(self) -> None:
        for name, lowest in (("item", 0), ("call", 1), ("at_await", 1)):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < lowest):
                raise FaultPlanError(name, f"{value!r} is no whole number from {lowest} on")
        for name, most in (("rate", 1.0), ("keep", 1.0), ("seconds", math.inf), ("retry_after", math.inf)):
            value: Any = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise FaultPlanError(name, f"{value!r} is no finite number")
            if not 0 <= value <= most or (name == "keep" and value == 1):
                span = "0 to less than 1" if name == "keep" else "0 to 1" if most == 1 else "0 on"
                raise FaultPlanError(name, f"{value!r} is out of range: it goes from {span}")
        if self.distribution is not None and self.distribution not in DISTRIBUTIONS:
            problem = f"there is no distribution {self.distribution!r}"
            raise FaultPlanError("distribution", problem, among(str(self.distribution), DISTRIBUTIONS))

    @property
    def of_sink(self) -> bool:
        """Whether it strikes an event sink."""
        return self.fault in SINK_FAULTS

    @property
    def pattern(self) -> str:
        """The name or pattern of what it strikes."""
        return cast("str", self.event if self.of_sink else self.stage)

    def covers(self, place: Place) -> bool:
        """Return whether it is about this stage of this pipeline, whichever call it is."""
        named = fnmatch.fnmatchcase(place.stage, self.pattern)
        return named and (self.of_sink or fnmatch.fnmatchcase(place.pipeline, self.pipeline))

    def strikes(self, place: Place, draw: random.Random) -> bool:
        """Return whether it strikes here."""
        if not self.covers(place) or (self.item is not None and self.item != place.item):
            return False
        if self.call is not None:
            return self.call == place.call
        return self.rate is None or draw.random() < self.rate

    def delay_s(self, draw: random.Random) -> float:
        """Return how long it delays, drawn from its distribution."""
        seconds = cast("float", self.seconds)
        if self.distribution == "fixed":
            return float(seconds)
        if self.distribution == "uniform":
            return seconds * draw.random()
        return -seconds * math.log(1 - draw.random())

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data, without what was not given and has no default."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value for name, value in given.items() if value is not None and (name, value) != ("pipeline", "*")
        }

    @classmethod
    def from_dict(cls, data: Any) -> FaultRule:
        """Return the rule of which this is the `to_dict`.

        Raises:
            FaultPlanError: It is none.
        """
        if not isinstance(data, Mapping):
            raise FaultPlanError("", f"{data!r} is no mapping")
        known = [field.name for field in fields(cls)]
        given = cast("Mapping[str, Any]", data)
        for name in given:
            if name not in known:
                raise FaultPlanError(str(name), "there is no such field", among(str(name), known))
        if "fault" not in given:
            raise FaultPlanError("fault", "it is missing", among("", FAULTS))
        return cls(**given)
