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


def test_what_a_human_is_asked_stays():
    """Whoever made the request may go on with the mapping."""
    asked = {"amounts": [5]}
    decision = PolicyDecision.require_decision("r", MappingProxyType(asked))
    asked["amounts"].append(6)
    assert {"amounts": [5]} == decision.request
    with pytest.raises(SerializationError, match=r"\$.request.by"):
        PolicyDecision.require_decision("r", {"by": object()})


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (lambda: PolicyDecision.deny(None), TypeError, "The reason of a policy is a text, not None."),
        (lambda: PolicyDecision.deny(" "), ValueError, "A policy that says 'deny' gives a reason, not ' '."),
        (
            lambda: PolicyDecision.require_decision(""),
            ValueError,
            "A policy that says 'require-decision' gives a reason",
        ),
        (
            lambda: PolicyDecision.require_decision("why", 3),
            TypeError,
            "What a policy asks a human is a mapping, not 3.",
        ),
    ],
)
def test_a_decision_says_why(make, error, told):
    """Whoever is refused, or asked, reads it."""
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value).startswith(told)


def test_a_decision_stays_what_it_is():
    """A policy may hand out one object any number of times; and tests compare."""
    denied = PolicyDecision.deny("no")
    with pytest.raises(AttributeError):
        denied.effect = "allow"
    assert (PolicyDecision.deny("no"), "deny") == (denied, denied.effect)
    assert PolicyDecision.allow() != denied


def test_what_a_policy_is_asked_can_be_compared():
    """And shown, but for what the application tells and a human has said."""
    fields = {"action": "pay", "pipeline": "p", "stage": "s", "kind": "work", "user_id": "ada"}
    request = PolicyRequest(**fields, attributes={"card": "4111"}, decision="hunter2")
    assert PolicyRequest(**fields, attributes={"card": "4111"}, decision="hunter2") == request
    assert PolicyRequest(**fields) != request
    assert "PolicyRequest(action='pay', pipeline='p', stage='s', kind='work', user_id='ada', org_id=None)" == repr(
        request
    )


def test_what_is_no_policy_is_refused():
    """Where it is given."""
    with pytest.raises(TypeError, match=r"The policy of PolicyInterceptor is not a PolicyEvaluator, but None: "):
        PolicyInterceptor(None)


async def later(ctx):
    return {}


@pytest.mark.parametrize("option", ["action", "attributes"])
@pytest.mark.parametrize("given", [3, "pay", {"amount": 5}, later], ids=["number", "text", "mapping", "async"])
def test_what_is_asked_is_given_by_plain_functions(option, given):
    """Anything else is refused where it is given, and not by the first stage."""
    with pytest.raises(TypeError, match=f"The {option} of PolicyInterceptor is given by a function that is not async"):
        PolicyInterceptor(AllowAllPolicy(), **{option: given})


@pytest.mark.parametrize("attributes", [None, 3, [("amount", 5)]])
@simulated
async def test_attributes_that_are_no_mapping_let_nothing_through(attempt, attributes):
    """A policy that looks in them for what forbids would find nothing."""
    policy = Fixed(PolicyDecision.allow())
    trial = attempt(PolicyInterceptor(policy, attributes=lambda ctx: attributes))
    with pytest.raises(InterceptorError, match="The attributes for the policy are a mapping, not "):
        await trial.run()
    assert (0, []) == (trial.calls, policy.asked)
