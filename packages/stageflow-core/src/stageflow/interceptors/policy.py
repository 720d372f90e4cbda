"""Authorisation, through the PolicyEvaluator protocol: a stage runs if the policy allows it, and only then."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

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
        TypeError: `action` or `attributes` is no function, or an async one.
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
        for option, given in (("action", action), ("attributes", attributes)):
            if given is not None and (not callable(given) or inspect.iscoroutinefunction(given)):
                raise TypeError(
                    f"The {option} of {self.name} is given by a function that is not async, not {shown(given)}. "
                    f"Write {option}=lambda ctx: ..."
                )
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
        attributes: Any = {} if self._attributes is None else self._attributes(ctx)
        if not isinstance(attributes, Mapping):  # a policy that looks for what forbids would find nothing
            raise TypeError(f"The attributes for the policy are a mapping, not {shown(attributes)}.")
        return PolicyRequest(
            action=ctx.stage_name if self._action is None else self._action(ctx),
            pipeline=ctx.pipeline,
            stage=ctx.stage_name,
            kind=ctx.kind.value,
            user_id=identity.user_id,
            org_id=identity.org_id,
            attributes=cast("Mapping[str, Any]", attributes),
            decision=ctx.stage.decision,
        )
