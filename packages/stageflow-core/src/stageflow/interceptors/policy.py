"""Authorisation, through the PolicyEvaluator protocol: a stage runs if the policy allows it, and only then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stageflow.conformance import conforming
from stageflow.core.output import StageOutput
from stageflow.errors import PolicyDeniedError
from stageflow.interceptors.base import BaseInterceptor, InterceptorContext, InterceptorResult
from stageflow.protocols import PolicyDecision, PolicyEvaluator, PolicyRequest
from stageflow.wording import shown


class PolicyInterceptor(BaseInterceptor):
    """Asks a policy before each attempt of each stage.

    What it denies fails with PolicyDeniedError. What a human must decide suspends the run; once it is resumed with the
    decision for that stage, the policy is asked again, and sees the decision in its request. A policy that raises,
    hangs or says something else fails the stage with an InterceptorError.

    Args:
        policy: Whom to ask.
        action: Gives the name of what is to be done; that of the stage unless given.
        attributes: Gives what else the policy is to know.

    Raises:
        ProtocolMismatchError: `policy` does not fit its protocol.
    """

    priority = 100

    def __init__(
        self,
        policy: PolicyEvaluator,
        *,
        action: Callable[[InterceptorContext], str] | None = None,
        attributes: Callable[[InterceptorContext], Mapping[str, Any]] | None = None,
    ) -> None:
        conforming(policy, PolicyEvaluator, f"The policy of {self.name}")
        self._policy = policy
        self._action = action
        self._attributes = attributes

    async def before(self, ctx: InterceptorContext) -> InterceptorResult | None:
        request = self._request(ctx)
        decision = await self._policy.evaluate(request)
        if not isinstance(decision, PolicyDecision):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"A policy returns a PolicyDecision, not {shown(decision)}.")
        if decision.effect == "allow":
            return None
        if decision.effect == "require-decision":
            return InterceptorResult(StageOutput.suspend(decision.request or decision.reason))
        denied = PolicyDeniedError(ctx.stage_name, request.action, decision.reason)
        return InterceptorResult(StageOutput.fail(denied))

    def _request(self, ctx: InterceptorContext) -> PolicyRequest:
        identity = ctx.run.snapshot.run_id
        return PolicyRequest(
            action=ctx.stage_name if self._action is None else self._action(ctx),
            pipeline=ctx.pipeline,
            stage=ctx.stage_name,
            kind=ctx.kind.value,
            user_id=identity.user_id,
            org_id=identity.org_id,
            attributes={} if self._attributes is None else self._attributes(ctx),
            decision=ctx.stage.decision,
        )
