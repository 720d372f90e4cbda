"""A fault plan: rules and a seed, from which follows where which fault strikes, whatever the schedule.

Whether a rule strikes at a place is drawn from the seed, the number of the rule and the place alone, not from one
stream of random numbers: so stages that run at the same time do not take each other's draws.
"""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, cast

from stageflow import Pipeline

from stageflow_mocks.faults.errors import ERRORS, FaultPlanError, among, check_table, made
from stageflow_mocks.faults.rules import FaultRule, Place
from stageflow_mocks.faults.targets import OPTIONS, Kind

SCHEMA_VERSION = 1


class FaultPlan:
    """Faults for stages, events, providers and stores; it does not change, and serves any number of runs.

    Attributes:
        seed: Decides what rates and distributions leave open.
        rules: In their order, from the outside in: the first that strikes is around the others.
        errors: The exceptions that rules may name.

    Raises:
        FaultPlanError: A rule says what cannot be done.
    """

    def __init__(self, *rules: FaultRule, seed: int = 0, errors: Mapping[str, type[Exception]] | None = None) -> None:
        if type(seed) is not int:
            raise FaultPlanError("seed", f"{seed!r} is no whole number")
        check_table(errors or {})
        self.seed = seed
        self.rules = rules
        self.errors: Mapping[str, type[Exception]] = {**ERRORS, **(errors or {})}
        for number, rule in enumerate(rules):
            path = f"faults[{number}]"
            if not isinstance(rule, FaultRule):  # pyright: ignore[reportUnnecessaryIsInstance]
                hint = "Give rules one by one: FaultPlan(*rules)." if type(rule) in (list, tuple) else ""
                raise FaultPlanError(path, f"this {type(rule).__name__} is no FaultRule", hint)
            if rule.error is None:
                continue
            if rule.error not in self.errors:
                problem = f"there is no error {rule.error!r}"
                raise FaultPlanError(f"{path}.error", problem, among(str(rule.error), sorted(self.errors)))
            if rule.retry_after is not None and not hasattr(made(self.errors[rule.error], "", "", None), "retry_after"):
                raise FaultPlanError(f"{path}.retry_after", f"{rule.error!r} has none", "Errors of providers have.")

    def striking(self, place: Place, kind: Kind) -> Iterator[tuple[int, FaultRule, float | None]]:
        """Yield the rules that strike at a place, each with its number, and how long it delays if it does."""
        for number, rule in enumerate(self.rules):
            if not rule.covers(place, kind):
                continue
            draw = random.Random(f"{self.seed} {number} {tuple(place)!r}")
            if rule.strikes(place, kind, draw):
                yield number, rule, rule.delay_s(draw) if "seconds" in OPTIONS[kind][rule.fault] else None

    def error_of(self, rule: FaultRule, place: Place) -> Exception:
        """Return the exception that a rule raises at a place."""
        assert rule.error is not None
        item = "" if place.item is None else f", item {place.item}"
        what = f"of stage '{place.name}'" if rule.target == "stage" else f"'{place.name}' of '{place.owner}'"
        message = f"Fault '{rule.fault}' of the plan, at call {place.call} {what}{item}."
        provider = place.owner if rule.target == "provider" else "fault-plan"
        return made(self.errors[rule.error], message, provider, rule.retry_after)

    def check(self, *things: Any) -> None:
        """Refuse the plan if a rule is about none of these.

        Args:
            things: Pipelines, for the rules about stages; providers, wrapped or not, and wrapped stores, for those
                about providers. If there are none of a sort, the rules about that are let be.

        Raises:
            FaultPlanError: It is the first such rule.
        """
        pipelines = [thing for thing in things if isinstance(thing, Pipeline)]
        if pipelines:
            self.check_places(
                [Place(each.name, spec.name, None, 1) for each in pipelines for spec in each.stages], "stage"
            )
        names = [_name_of(thing) for thing in things if not isinstance(thing, Pipeline)]
        for number, rule in enumerate(self.rules):
            if (
                names
                and rule.target == "provider"
                and not any(fnmatch.fnmatchcase(name, rule.pattern) for name in names)
            ):
                problem = f"no provider is called {rule.pattern!r}"
                raise FaultPlanError(f"faults[{number}].provider", problem, among(rule.pattern, sorted(names)))

    def check_places(self, places: Iterable[Place], kind: Literal["stage", "event"]) -> None:
        """Refuse the plan if a rule is about none of these stages, or types of events."""
        seen = list(places)
        for number, rule in enumerate(self.rules):
            if rule.target == kind and not any(rule.covers(place, kind) for place in seen):
                of = "" if rule.pipeline == "*" else f" of a pipeline {rule.pipeline!r}"
                names = sorted({place.name for place in seen})
                problem = f"no {kind}{of} is called {rule.pattern!r}"
                raise FaultPlanError(f"faults[{number}].{kind}", problem, among(rule.pattern, names))

    def check_operations(self, provider: str, operations: Mapping[str, Kind], how: str) -> None:
        """Refuse the plan if a rule is about this provider, and about none of these operations of it.

        Args:
            provider: Its name.
            operations: Their names, and what they are.
            how: What they are to the provider: "has" or "was asked to".
        """
        for number, rule in enumerate(self.rules):
            if rule.target != "provider" or not fnmatch.fnmatchcase(provider, rule.pattern):
                continue
            if not any(rule.covers(Place(provider, name, None, 1), kind) for name, kind in operations.items()):
                there = among(rule.operation, sorted(operations))
                problem = f"'{rule.fault}' can be done to no operation {rule.operation!r} that '{provider}' {how}"
                raise FaultPlanError(f"faults[{number}].operation", problem, there)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-ready data; of the exceptions only the names that rules use."""
        return {
            "schema_version": SCHEMA_VERSION,
            "seed": self.seed,
            "faults": [rule.to_dict() for rule in self.rules],
        }

    @classmethod
    def from_dict(cls, data: Any, *, errors: Mapping[str, type[Exception]] | None = None) -> FaultPlan:
        """Return the plan of which this is the `to_dict`.

        Raises:
            FaultPlanError: It is none.
        """
        given = _fields(data, ("schema_version", "seed", "faults"))
        rules = [_rule(each, f"faults[{number}]") for number, each in _listed(given, "faults")]
        return cls(*rules, seed=given.get("seed", 0), errors=errors)

    @classmethod
    def replay(cls, *records: Any, errors: Mapping[str, type[Exception]] | None = None) -> FaultPlan:
        """Return the plan that does again what the records say was done, and no more.

        Args:
            records: Of interceptors, providers and sinks, in any order; together they make one plan for all of these.
            errors: The exceptions that the plan knew beside those that all know.

        Raises:
            FaultPlanError: One of them is no record.
        """
        rules: list[FaultRule] = []
        for record in records:
            for number, entry in _listed(_fields(record, ("schema_version", "injected")), "injected"):
                path = f"injected[{number}]"
                if not isinstance(entry, Mapping):
                    raise FaultPlanError(path, f"{entry!r} is no mapping")
                done = cast("Mapping[str, Any]", entry)
                rules.append(_rule({key: value for key, value in done.items() if key != "struck"}, path))
        return cls(*rules, errors=errors)

    def __repr__(self) -> str:
        return f"FaultPlan({', '.join(map(repr, self.rules))}, seed={self.seed})"


def _name_of(provider: Any) -> str:
    name: Any = getattr(provider, "name", None)
    if not isinstance(name, str):
        raise TypeError(f"check() takes pipelines, and providers, which have a name; {provider!r} is neither.")
    return name


def _fields(data: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise FaultPlanError("$", f"{data!r} is no mapping")
    given = cast("Mapping[str, Any]", data)
    version = given.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise FaultPlanError("schema_version", f"{version!r} is not {SCHEMA_VERSION}, which is what this version reads")
    for name in given:
        if name not in known:
            raise FaultPlanError(str(name), "there is no such field", among(str(name), known))
    return given


def _listed(given: Mapping[str, Any], name: str) -> Iterator[tuple[int, Any]]:
    found: Any = given.get(name)
    if not isinstance(found, list):
        raise FaultPlanError(name, f"{found!r} is no list")
    return enumerate(cast("list[Any]", found))


def _rule(data: Any, path: str) -> FaultRule:
    try:
        return FaultRule.from_dict(data)
    except FaultPlanError as error:
        raise FaultPlanError(f"{path}.{error.path}".rstrip("."), error.problem, error.hint) from None
