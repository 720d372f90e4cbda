"""One rule of a fault plan: which fault strikes where, and how often."""

from __future__ import annotations

import fnmatch
import math
import random
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, cast

from stageflow_mocks.faults.errors import ERRORS, FaultPlanError, among
from stageflow_mocks.faults.targets import (
    DEFAULTS,
    FAULTS,
    OPERATIONS,
    OPTION_NAMES,
    OPTIONS,
    Kind,
    Target,
    targets_of,
)

DISTRIBUTIONS = ("fixed", "uniform", "exponential")
MOST_SKEW_S = 1e9
"""Some 30 years, beyond which there are dates that not every system has."""

_TARGETS: tuple[Target, ...] = ("stage", "event", "provider")
_GOES_WITH: Mapping[str, Target] = {"pipeline": "stage", "item": "stage", "operation": "provider"}


class Place(NamedTuple):
    """Where a fault may strike: a call of a stage, or of one of its items, an event, a call of a provider.

    Attributes:
        owner: The name of the pipeline or of the provider; empty for an event.
        name: The name of the stage, the type of the event, the provider's operation.
        item: The index of the item of a mapped stage, else None.
        call: The n-th such call, counted from 1.
    """

    owner: str
    name: str
    item: int | None
    call: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """Which fault strikes where, and how often: at call `call`, at `rate`, or always.

    What it strikes is said by one of `stage`, `event` and `provider`; names may be patterns (`*`, `?`, `[abc]`).

    Attributes:
        fault: One of `FAULTS`.
        stage: The name of a stage.
        event: The type of an event: for the faults of sinks.
        provider: The name of a provider or store that is wrapped (`FaultyLLM` and the others).
        operation: Of a provider, its method: "complete", "stream".
        pipeline: Of a stage, the name of its pipeline.
        item: Of a mapped stage, the one item to strike; None for all.
        call: The n-th call of the stage, of an item of it, or of the operation, counted from 1 over all runs.
        rate: The share of calls, 0 to 1.
        seconds: Of `latency` and `reordered`: how long, the most for "uniform", the mean for "exponential". Of
            `clock_skew`, by how much the clock is fast, or slow if it is below 0.
        distribution: One of `DISTRIBUTIONS`.
        error: The name of the exception that `error` and `partial_write` raise.
        retry_after: The seconds that an exception of a provider says to wait.
        keep: Of `truncated`: the share that is left of each text and list, from 0 to less than 1.
        at_await: Of `cancel`: at which of its suspensions, counted from 1.
        after_chunks: Of a provider's stream: how many chunks come before `hang`, `truncated` or `partial_write`.

    Raises:
        FaultPlanError: It says what cannot be done.
    """

    fault: str
    stage: str | None = None
    event: str | None = None
    provider: str | None = None
    operation: str = "*"
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
    after_chunks: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.fault, str) or self.fault not in FAULTS:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise FaultPlanError("fault", f"there is no fault {self.fault!r}", among(str(self.fault), FAULTS))
        self._check_target()
        kinds = self._kinds()
        allowed = frozenset[str]().union(*(OPTIONS[kind][self.fault] for kind in kinds))
        for option in OPTION_NAMES:
            if getattr(self, option) is not None and option not in allowed:
                raise FaultPlanError(option, f"{self._described()} has no such option", among(option, sorted(allowed)))
        for option, value in DEFAULTS.get(self.fault, {}).items():
            if option in allowed and getattr(self, option) is None:
                object.__setattr__(self, option, value)
        self._check_numbers()

    def _check_target(self) -> None:
        allowed = targets_of(self.fault)
        given = [name for name in _TARGETS if getattr(self, name) is not None]
        for name in given:
            if name not in allowed:
                raise FaultPlanError(name, f"'{self.fault}' goes by {_quoted(allowed)}")
        if len(given) > 1:
            raise FaultPlanError(given[1], f"it stands beside '{given[0]}'", "A rule is about one of them.")
        target = given[0] if given else allowed[0]
        for name in (target, "pipeline", "operation"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise FaultPlanError(name, f"'{self.fault}' needs a name or a pattern here, not {value!r}")
        for name, its in _GOES_WITH.items():
            if its != target and getattr(self, name) not in (None, "*"):
                raise FaultPlanError(name, f"it goes with '{its}', and this rule is about '{target}'")
        if self.call is not None and self.rate is not None:
            raise FaultPlanError("rate", "it stands beside 'call'", "Give one of the two, or neither: at every call.")

    def _kinds(self) -> set[Kind]:
        """Return the kinds of things that it can strike.

        Raises:
            FaultPlanError: It names an operation that there is not, or that has no such fault.
        """
        if self.target == "stage":
            return {"stage"}
        if self.target == "event":
            return {"event"}
        named = [name for name in OPERATIONS if fnmatch.fnmatchcase(name, self.operation)]
        if not named:
            problem = f"no operation is called {self.operation!r}"
            raise FaultPlanError("operation", problem, among(self.operation, list(OPERATIONS)))
        able: set[Kind] = {kind for name in named for kind in OPERATIONS[name] if self.fault in OPTIONS[kind]}
        if not able:
            others = [name for name, kinds in OPERATIONS.items() if any(self.fault in OPTIONS[kind] for kind in kinds)]
            hint = f"It can be done to: {', '.join(others)}."
            raise FaultPlanError("fault", f"'{self.fault}' cannot be done to {self.operation!r}", hint)
        return able

    def _described(self) -> str:
        return f"'{self.fault}'" if self.operation == "*" else f"'{self.fault}' of {self.operation!r}"

    def _check_numbers(self) -> None:
        for name, lowest in (("item", 0), ("call", 1), ("at_await", 1), ("after_chunks", 0)):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < lowest):
                raise FaultPlanError(name, f"{value!r} is no whole number from {lowest} on")
        skew_s = MOST_SKEW_S if self.fault == "clock_skew" else None
        for name, least, most, span in (
            ("rate", 0, 1, "0 to 1"),
            ("keep", 0, math.nextafter(1, 0), "0 to less than 1"),
            ("seconds", -(skew_s or 0), skew_s or math.inf, f"-{skew_s:g} to {skew_s:g}" if skew_s else "0 on"),
            ("retry_after", 0, math.inf, "0 on"),
        ):
            value: Any = getattr(self, name)
            if value is None:
                continue
            if not _is_finite(value):
                raise FaultPlanError(name, f"{value!r} is no finite number")
            if not least <= value <= most:
                raise FaultPlanError(name, f"{value!r} is out of range: it goes from {span}")
        if self.distribution is not None and self.distribution not in DISTRIBUTIONS:
            problem = f"there is no distribution {self.distribution!r}"
            raise FaultPlanError("distribution", problem, among(str(self.distribution), DISTRIBUTIONS))
        if self.error is not None and not isinstance(self.error, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            known = next((name for name, kind in ERRORS.items() if kind is self.error), None)
            hint = f"Write {known!r}." if known is not None else ""
            raise FaultPlanError("error", f"{self.error!r} is no name of an error", hint)

    @property
    def target(self) -> Target:
        """The field that says what it strikes."""
        return next(name for name in _TARGETS if getattr(self, name) is not None)

    @property
    def pattern(self) -> str:
        """The name or pattern of what it strikes."""
        return cast("str", getattr(self, self.target))

    def covers(self, place: Place, kind: Kind) -> bool:
        """Return whether it is about this stage, type of event or operation, whichever call it is."""
        if self.fault not in OPTIONS[kind]:
            return False
        if kind == "event" or self.target == "event":
            return self.target == kind and fnmatch.fnmatchcase(place.name, self.pattern)
        if (kind == "stage") is not (self.target == "stage"):
            return False
        owner, name = (self.pipeline, self.pattern) if kind == "stage" else (self.pattern, self.operation)
        return fnmatch.fnmatchcase(place.name, name) and fnmatch.fnmatchcase(place.owner, owner)

    def strikes(self, place: Place, kind: Kind, draw: random.Random) -> bool:
        """Return whether it strikes here."""
        if not self.covers(place, kind) or (self.item is not None and self.item != place.item):
            return False
        if self.call is not None:
            return self.call == place.call
        return self.rate is None or draw.random() < self.rate

    def delay_s(self, draw: random.Random) -> float:
        """Return by how long it delays, or a clock is off, drawn from its distribution."""
        seconds = float(cast("float", self.seconds))
        if self.distribution == "fixed":
            return seconds
        if self.distribution == "uniform":
            return seconds * draw.random()
        drawn = -seconds * math.log(1 - draw.random())
        most = MOST_SKEW_S if self.fault == "clock_skew" else sys.float_info.max  # JSON has no infinity
        return max(min(drawn, most), -most)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data, without what was not given and has no default."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value
            for name, value in given.items()
            if value is not None and (name, value) not in (("pipeline", "*"), ("operation", "*"))
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


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits, which JSON may have
        return False


def _quoted(names: Iterable[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)
