"""What stages return that decide how the run goes on, or whether."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from stageflow.core.kinds import StageKind
from stageflow.frozen import EMPTY
from stageflow.results.base import TypedResult
from stageflow.results.fields import flag, many, mapping, share, text, text_or_none
from stageflow.value import Value


class RouteResult(Value, TypedResult):
    """Which way a ROUTE stage chose.

    Attributes:
        route: Its name, which is what stages with `route=` wait for.
        confidence: How sure the choice is, from 0 to 1; None if nobody knows.
        reason: Why.
        alternatives: The other routes, and how sure each would have been, from 0 to 1.
    """

    __slots__ = ("alternatives", "confidence", "reason", "route")

    kind: ClassVar[StageKind] = StageKind.ROUTE

    route: str
    confidence: float | None
    reason: str | None
    alternatives: Mapping[str, float]

    def __init__(
        self,
        route: str,
        confidence: float | None = None,
        reason: str | None = None,
        alternatives: Mapping[str, float] = EMPTY,
    ) -> None:
        object.__setattr__(self, "route", text("RouteResult.route", route))
        sure = None if confidence is None else share("RouteResult.confidence", confidence)
        object.__setattr__(self, "confidence", sure)
        object.__setattr__(self, "reason", text_or_none("RouteResult.reason", reason))
        others = mapping("RouteResult.alternatives", alternatives)
        for name, value in others.items():
            share(f"RouteResult.alternatives[{text('A route in RouteResult.alternatives', name)!r}]", value)
        object.__setattr__(self, "alternatives", others)


class GuardResult(Value, TypedResult):
    """Whether a GUARD stage lets the run go on. A stage that returns one that has not passed cancels the run.

    Attributes:
        passed: Whether it does.
        text: What may go on, where the guard has changed it: a text without what had to be taken out.
        reason: Why it does not; given if it has not passed. It is the reason that the run ends with.
        findings: What was found, one name or sentence each.
    """

    __slots__ = ("findings", "passed", "reason", "text")

    kind: ClassVar[StageKind] = StageKind.GUARD

    passed: bool
    text: str | None
    reason: str | None
    findings: tuple[str, ...]

    def __init__(
        self, passed: bool, text: str | None = None, reason: str | None = None, findings: tuple[str, ...] = ()
    ) -> None:
        flag("GuardResult.passed", passed)
        object.__setattr__(self, "passed", passed)
        object.__setattr__(self, "text", text_or_none("GuardResult.text", text, empty=True))
        object.__setattr__(self, "reason", _reason(passed, reason))
        object.__setattr__(self, "findings", many("GuardResult.findings", findings, str))

    @property
    def refusal(self) -> str | None:
        return None if self.passed else self.reason


def _reason(passed: bool, reason: str | None) -> str | None:
    if passed:
        return text_or_none("GuardResult.reason", reason)
    return text("GuardResult.reason of what has not passed", reason)
