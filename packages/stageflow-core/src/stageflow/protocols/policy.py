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
        reason: Why not; empty if it may.
        request: What the human is asked, JSON-ready.

    Raises:
        TypeError: The reason is no text, or the request no mapping.
        ValueError: It is none of the three, or does not say why a stage may not run.
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
            raise TypeError(f"The reason of a policy is a text, not {shown(reason)}.")
        if effect != "allow" and not reason.strip():
            raise ValueError(f"A policy that says {effect!r} gives a reason, not {reason!r}.")
        if request is not None and not isinstance(request, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"What a policy asks a human is a mapping, not {shown(request)}.")
        object.__setattr__(self, "effect", effect)
        object.__setattr__(self, "reason", reason)
        asked = None if request is None else freeze_mapping(check_json(dict(request), "$.request"), "request")
        object.__setattr__(self, "request", asked)

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

    def __repr__(self) -> str:
        return f"PolicyDecision({self.effect!r}, {self.reason!r})"


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
    unshown = ("attributes", "decision")  # a request ends up in logs

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
        put = object.__setattr__
        put(self, "action", action)
        put(self, "pipeline", pipeline)
        put(self, "stage", stage)
        put(self, "kind", kind)
        put(self, "user_id", user_id)
        put(self, "org_id", org_id)
        put(self, "attributes", {} if attributes is None else attributes)
        put(self, "decision", decision)


@runtime_checkable
class PolicyEvaluator(Protocol):
    """Decides whether a stage may run. One that raises or hangs keeps it from running."""

    async def evaluate(self, request: PolicyRequest) -> PolicyDecision: ...


class AllowAllPolicy:
    """Allows everything: for an application without policies."""

    async def evaluate(self, request: PolicyRequest) -> PolicyDecision:
        return PolicyDecision.allow()
