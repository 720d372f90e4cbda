"""Authorisation as an interceptor."""

import asyncio
from types import MappingProxyType

import pytest
from stageflow import ContextSnapshot, PipelineContext, RunIdentity, StageOutput, StageStatus
from stageflow.errors import InterceptorError, PolicyDeniedError, SerializationError
from stageflow.interceptors.policy import PolicyInterceptor
from stageflow.protocols import AllowAllPolicy, PolicyDecision, PolicyEvaluator, PolicyRequest
from stageflow_mocks.simulation import simulated


class Fixed:
    """Answers with one thing, and remembers what it was asked."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    async def evaluate(self, request):
        self.asked.append(request)
        return await self.answer() if callable(self.answer) else self.answer


async def hanging():
    await asyncio.get_running_loop().create_future()


async def broken():
    raise ConnectionError("the policy service")


@simulated
async def test_what_is_allowed_runs(attempt):
    """As if there were no policy."""
    assert StageOutput.ok(answer=42) == await attempt(PolicyInterceptor(Fixed(PolicyDecision.allow()))).run()
    assert isinstance(AllowAllPolicy(), PolicyEvaluator)
    assert StageOutput.ok(answer=42) == await attempt(PolicyInterceptor(AllowAllPolicy())).run()


@simulated
async def test_what_is_denied_does_not_run_and_says_why(attempt):
    """A returned failure, so that no RetryPolicy tries again."""
    trial = attempt(PolicyInterceptor(Fixed(PolicyDecision.deny("not in this organisation"))))
    output = await trial.run()
    assert (StageStatus.FAIL, 0) == (output.status, trial.calls)
    error = output.error.exception
    assert isinstance(error, PolicyDeniedError)
    assert ("reply", "reply", "not in this organisation") == (error.stage, error.action, error.reason)


@pytest.mark.parametrize(
    "answer", [hanging, broken, True, None, "allow"], ids=["hangs", "raises", "true", "none", "text"]
)
def test_a_policy_that_breaks_keeps_the_stage_from_running(attempt, answer):
    """Whatever it does other than decide."""

    @simulated
    async def check():
        trial = attempt(PolicyInterceptor(Fixed(answer)))
        with pytest.raises(InterceptorError) as caught:
            await trial.run()
        assert ("PolicyInterceptor", "before", 0) == (caught.value.interceptor, caught.value.hook, trial.calls)

    check()


@simulated
async def test_what_a_human_must_decide_suspends(attempt):
    """With what is asked, or else the reason."""
    decision = PolicyDecision.require_decision("over 1000 EUR", {"amount": 1200})
    trial = attempt(PolicyInterceptor(Fixed(decision)))
    assert StageOutput.suspend({"amount": 1200}) == await trial.run()
    assert 0 == trial.calls
    decision = PolicyDecision.require_decision("over 1000 EUR")
    assert StageOutput.suspend("over 1000 EUR") == await attempt(PolicyInterceptor(Fixed(decision))).run()


@simulated
async def test_the_policy_knows_what_is_to_be_done_and_for_whom(attempt):
    """The application may say more."""
    policy = Fixed(PolicyDecision.allow())
    identity = RunIdentity(user_id="ada", org_id="acme")
    run = PipelineContext(snapshot=ContextSnapshot(run_id=identity))
    interceptor = PolicyInterceptor(policy, action=lambda ctx: "pay", attributes=lambda ctx: {"amount": 5})
    await attempt(interceptor, run=run).run()
    (request,) = policy.asked
    assert ("pay", "chat", "reply", "work", "ada", "acme", {"amount": 5}, None) == (
        request.action,
        request.pipeline,
        request.stage,
        request.kind,
        request.user_id,
        request.org_id,
        request.attributes,
        request.decision,
    )


def test_a_decision_is_one_of_three():
    """A misspelt one must not be taken for another."""
    with pytest.raises(ValueError, match="A policy says 'allow', 'deny', 'require-decision', not 'alow'"):
        PolicyDecision("alow")


def test_what_policies_are_asked_and_say_are_values():
    """Equal if they say the same, and nobody changes what was decided."""
    decision = PolicyDecision.deny("no")
    assert PolicyDecision("deny", "no") == decision
    assert PolicyDecision.deny("never") != decision
    assert "PolicyDecision(effect='deny', reason='no', request=None)" == repr(decision)
    with pytest.raises(AttributeError):
        decision.effect = "allow"
    asked = {"action": "pay", "pipeline": "p", "stage": "s", "kind": "work"}
    assert PolicyRequest(**asked, attributes={"amount": 5}) == PolicyRequest(**asked, attributes={"amount": 5})
    assert PolicyRequest(**asked) != PolicyRequest(**asked, decision="yes")
    assert "PolicyRequest(action='pay', pipeline='p', " in repr(PolicyRequest(**asked))
    with pytest.raises(AttributeError):
        PolicyRequest(**asked).decision = "yes"


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: PolicyDecision.deny(None), TypeError, "The reason of a PolicyDecision is a text, not None."),
        (lambda: PolicyDecision.deny(""), ValueError, "A PolicyDecision of effect 'deny' has a reason; this one's is"),
        (lambda: PolicyDecision.require_decision(" "), ValueError, "of effect 'require-decision' has a reason"),
        (lambda: PolicyDecision.require_decision("r", 3), TypeError, "is a mapping or None, not 3."),
        (lambda: PolicyDecision.require_decision("r", {"by": object()}), SerializationError, r"\$.request.by"),
    ],
)
def test_a_decision_says_why_and_what_is_asked(make, kind, text):
    """It is refused where the policy makes it, not where somebody reads it."""
    with pytest.raises(kind, match=text):
        make()


def test_what_a_human_is_asked_stays():
    """Whoever made the request may go on with the mapping."""
    asked = {"amounts": [5]}
    decision = PolicyDecision.require_decision("r", MappingProxyType(asked))
    asked["amounts"].append(6)
    assert {"amounts": [5]} == decision.request


def test_what_is_no_policy_is_refused():
    """Where it is given."""
    with pytest.raises(TypeError, match=r"The policy of PolicyInterceptor is not a PolicyEvaluator, but None: "):
        PolicyInterceptor(None)
