"""What a PolicyEvaluator promises."""

from __future__ import annotations

import asyncio
from typing import Any

from stageflow import Pipeline, PolicyEvaluator, stage
from stageflow.interceptors import PolicyInterceptor
from stageflow.protocols import PolicyDecision, PolicyRequest

from stageflow_mocks.conformance.suite import Conformance, ends_when_cancelled, not_told, promise, promised


class PolicyEvaluatorConformance(Conformance[PolicyEvaluator]):
    """Subclass it, give `make`, and a request for each answer that the policy can give."""

    def allowed(self) -> PolicyRequest | None:
        """Return a request that the policy allows; None if it allows none."""
        return None

    def denied(self) -> PolicyRequest | None:
        """Return a request that it denies; None if it denies none."""
        return None

    def undecided(self) -> PolicyRequest | None:
        """Return a request for which it wants a human to decide; None if there is none."""
        return None

    @promised
    async def test_it_fits_the_protocol(self, policy: PolicyEvaluator) -> None:
        """An interceptor takes it."""
        PolicyInterceptor(policy)

    @promised
    async def test_it_answers_with_a_decision(self, policy: PolicyEvaluator) -> None:
        """Each request is answered with a PolicyDecision of its effect; one that says no says why."""
        for effect, request in self._requests().items():
            decision: Any = await policy.evaluate(request)
            promise(isinstance(decision, PolicyDecision), f"`evaluate` returns a PolicyDecision, not {decision!r}.")
            promise(decision.effect == effect, f"{request!r} is answered with '{effect}', not '{decision.effect}'.")

    @promised
    async def test_answers_do_not_mix(self, policy: PolicyEvaluator) -> None:
        """Of many requests at once each gets its own answer."""
        requests = self._requests()
        asked = [(effect, request) for _ in range(20) for effect, request in requests.items()]
        decisions = await asyncio.gather(*(policy.evaluate(request) for _, request in asked))
        for (effect, _), decision in zip(asked, decisions, strict=True):
            promise(decision.effect == effect, f"One of many at once was answered '{decision.effect}', not '{effect}'.")

    @promised
    async def test_a_cancelled_evaluation_ends(self, policy: PolicyEvaluator) -> None:
        """It stops, lets nothing through that it does not allow, and the next one is answered."""
        requests = self._requests()
        for effect, request in requests.items():
            for decision in await ends_when_cancelled(lambda asked=request: policy.evaluate(asked)):
                told = f"An evaluation that is cancelled may still be answered '{effect}', not {decision!r}."
                promise(isinstance(decision, PolicyDecision) and decision.effect == effect, told)
            promise(
                (await policy.evaluate(request)).effect == effect, "What is asked afterwards is answered as before."
            )

    @promised
    async def test_only_what_is_allowed_runs(self, policy: PolicyEvaluator) -> None:
        """Behind an interceptor a stage runs, fails, or suspends its run, as the policy says."""
        ends = {"allow": "completed", "deny": "failed", "require-decision": "suspended"}
        for effect, request in self._requests().items():
            ran: list[str] = []

            async def runs(log: list[str] = ran) -> None:
                log.append("ran")

            results = await _behind(policy, request, runs).outcome()
            promise(
                results.status == ends[effect], f"A run of which the policy says '{effect}' ended {results.status}."
            )
            promise(bool(ran) == (effect == "allow"), f"A stage of which the policy says '{effect}' ran: {bool(ran)}.")

    def _requests(self) -> dict[str, PolicyRequest]:
        given = {"allow": self.allowed(), "deny": self.denied(), "require-decision": self.undecided()}
        requests = {effect: request for effect, request in given.items() if request is not None}
        return requests or not_told("`allowed`, `denied` and `undecided` give no request")


def _behind(policy: PolicyEvaluator, asked: PolicyRequest, runs: Any) -> Any:
    """Start a run in which the policy is asked this very request."""

    class Asked:
        async def evaluate(self, request: PolicyRequest) -> PolicyDecision:
            return await policy.evaluate(asked)

    async def execute() -> None:
        await runs()

    return Pipeline("conformance", [stage("runs", execute)], interceptors=(PolicyInterceptor(Asked()),)).start()
