"""Whether a stage may run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from stageflow.frozen import freeze_mapping
from stageflow.serialization import check_json
from stageflow.value import Value
from stageflow.wording import shown

PolicyEffect = Literal["allow", "deny", "require-decision"]
"""What a policy says to a stage that is about to run; the last, that a human must decide first."""


class PolicyDecision(Value):
    """What a PolicyEvaluator decides; made by `allow`, `deny` and `require_decision`.

    Attributes:
        effect: Whether the stage may run.
        reason: Why not; may be empty if it may.
        request: What the human is asked, JSON-ready.

    Raises:
        ValueError: The effect is none of a policy, or there is no reason for one that keeps the stage from running.
        TypeError: The reason is not a text, or the request not a mapping.
        SerializationError: The request is not JSON-ready.
    """

    __slots__ = ("effect", "reason", "request")

    effect: PolicyEffect
    reason: str
    request: Mapping[str, Any] | None

    def __init__(self, effect: PolicyEffect, reason: str = "", request: Mapping[str, Any] | None = None) -> None:
        if effect not in get_args(PolicyEffect):
            raise ValueError(f"A policy says {', '.join(map(repr, get_args(PolicyEffect)))}, not {effect!r}.")
        if not isinstance(reason, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"The reason of a PolicyDecision is a text, not {shown(reason)}.")
        if effect != "allow" and not reason.strip():
            raise ValueError(f"A PolicyDecision of effect {effect!r} has a reason; this one's is empty.")
        if not isinstance(request, Mapping | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"The request of a PolicyDecision is a mapping or None, not {shown(request)}.")
        object.__setattr__(self, "effect", effect)
        object.__setattr__(self, "reason", reason)
        object.__setattr__(self, "request", None if request is None else _json_ready(request))

    @staticmethod
    def allow() -> PolicyDecision:
        """The stage may run."""
        return PolicyDecision("allow")

    @staticmethod
    def deny(reason: str) -> PolicyDecision:
        """The stage may not run."""
        return PolicyDecision("deny", reason)

    @staticmethod
    def require_decision(reason: str, request: Mapping[str, Any] | None = None) -> PolicyDecision:
        """The stage may not run before a human has decided."""
        return PolicyDecision("require-decision", reason, request)


def _json_ready(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return freeze_mapping(check_json(dict(request), "$.request"), "request")


class PolicyRequest(Value):
    """What a policy is asked: may this stage run, for whom, on what.

    Attributes:
        action: What is to be done: the name of the stage unless the application says otherwise.
        pipeline, stage, kind: What is to run.
        user_id, org_id: For whom.
        attributes: What else the application wants the policy to know.
        decision: What a human has decided, once one has.
    """

    __slots__ = ("action", "attributes", "decision", "kind", "org_id", "pipeline", "stage", "user_id")

    action: str
    pipeline: str
    stage: str
    kind: str
    user_id: str | None
    org_id: str | None
    attributes: Mapping[str, Any]
    decision: Any

    def __init__(
        self,
        *,
        action: str,
        pipeline: str,
        stage: str,
        kind: str,
        user_id: str | None = None,
        org_id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        decision: Any = None,
    ) -> None:
        object.__setattr__(self, "action", action)
        object.__setattr__(self, "pipeline", pipeline)
        object.__setattr__(self, "stage", stage)
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "user_id", user_id)
        object.__setattr__(self, "org_id", org_id)
        object.__setattr__(self, "attributes", attributes or {})
        object.__setattr__(self, "decision", decision)


@runtime_checkable
class PolicyEvaluator(Protocol):
    """Decides whether a stage may run. One that raises or hangs keeps it from running."""

    async def evaluate(self, request: PolicyRequest) -> PolicyDecision: ...


class AllowAllPolicy:
    """Allows everything: for an application without policies."""

    async def evaluate(self, request: PolicyRequest) -> PolicyDecision:
        return PolicyDecision.allow()
