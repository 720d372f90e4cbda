"""A fault plan: rules and a seed, from which follows where which fault strikes, whatever the schedule.

Whether a rule strikes at a place is drawn from the seed, the number of the rule and the place alone, not from one
stream of random numbers: so stages that run at the same time do not take each other's draws.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from stageflow import Pipeline

from stageflow_mocks.faults.errors import ERRORS, FaultPlanError, among, check_table, made
from stageflow_mocks.faults.rules import FaultRule, Place

SCHEMA_VERSION = 1


class FaultPlan:
    """Faults for the stages of pipelines and for their event sink; it does not change, and serves any number of runs.

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
                raise FaultPlanError(path, f"{rule!r} is no FaultRule")
            if rule.error is None:
                continue
            if rule.error not in self.errors:
                problem = f"there is no error {rule.error!r}"
                raise FaultPlanError(f"{path}.error", problem, among(str(rule.error), sorted(self.errors)))
            if rule.retry_after is not None and not hasattr(made(self.errors[rule.error], "", None), "retry_after"):
                raise FaultPlanError(f"{path}.retry_after", f"{rule.error!r} has none", "Errors of providers have.")

    def striking(self, place: Place, *, of_sink: bool = False) -> Iterator[tuple[int, FaultRule, float | None]]:
        """Yield the rules that strike at a place, each with its number, and how long it delays if it does."""
        for number, rule in enumerate(self.rules):
            if rule.of_sink is not of_sink:
                continue
            draw = random.Random(f"{self.seed} {number} {tuple(place)!r}")
            if rule.strikes(place, draw):
                yield number, rule, None if rule.seconds is None else rule.delay_s(draw)

    def error_of(self, rule: FaultRule, place: Place) -> Exception:
        """Return the exception that a rule raises at a place."""
        assert rule.error is not None
        item = "" if place.item is None else f", item {place.item}"
        message = f"Fault '{rule.fault}' of the plan, at call {place.call} of stage '{place.stage}'{item}."
        return made(self.errors[rule.error], message, rule.retry_after)

    def check(self, pipeline: Pipeline) -> None:
        """Refuse the plan if a rule is about no stage of this pipeline.

        Raises:
            FaultPlanError: It is the first such rule.
        """
        self.check_names(pipeline.name, [spec.name for spec in pipeline.stages])

    def check_names(self, pipeline: str, stages: Iterable[str]) -> None:
        """Refuse the plan if a rule is about none of these stages of a pipeline."""
        self.check_places([Place(pipeline, stage, None, 1) for stage in stages], of_sink=False)

    def check_places(self, places: Iterable[Place], *, of_sink: bool) -> None:
        """Refuse the plan if a rule is about none of these places."""
        seen = list(places)
        for number, rule in enumerate(self.rules):
            if rule.of_sink is of_sink and not any(rule.covers(place) for place in seen):
                of = "" if of_sink or rule.pipeline == "*" else f" of a pipeline {rule.pipeline!r}"
                what = "event" if of_sink else "stage"
                path = f"faults[{number}].{what}"
                names = sorted({place.stage for place in seen})
                raise FaultPlanError(path, f"no {what}{of} is called {rule.pattern!r}", among(rule.pattern, names))

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
        rules: list[FaultRule] = []
        faults: Any = given.get("faults")
        if not isinstance(faults, list):
            raise FaultPlanError("faults", f"{faults!r} is no list")
        for number, each in enumerate(cast("list[Any]", faults)):
            try:
                rules.append(FaultRule.from_dict(each))
            except FaultPlanError as error:
                path = f"faults[{number}].{error.path}".rstrip(".")
                raise FaultPlanError(path, error.problem, error.hint) from None
        return cls(*rules, seed=given.get("seed", 0), errors=errors)

    @classmethod
    def replay(cls, *records: Any, errors: Mapping[str, type[Exception]] | None = None) -> FaultPlan:
        """Return the plan that does again what the records (of an interceptor, a sink) say was done, and no more.

        Raises:
            FaultPlanError: One of them is no record.
        """
        rules: list[Any] = []
        for record in records:
            given = _fields(record, ("schema_version", "injected"))
            injected: Any = given.get("injected")
            if not isinstance(injected, list):
                raise FaultPlanError("injected", f"{injected!r} is no list")
            for entry in cast("list[Any]", injected):
                if not isinstance(entry, Mapping):
                    raise FaultPlanError("injected", f"{entry!r} is no mapping")
                rules.append({key: value for key, value in cast("Mapping[str, Any]", entry).items() if key != "struck"})
        return cls.from_dict({"schema_version": SCHEMA_VERSION, "faults": rules}, errors=errors)

    def __repr__(self) -> str:
        return f"FaultPlan({', '.join(map(repr, self.rules))}, seed={self.seed})"


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
