"""Faults of mocks: what each raises, when it strikes, and what is refused."""

import pytest
from stageflow.errors import (
    ProviderAuthError,
    ProviderContentRefused,
    ProviderRateLimited,
    ProviderRequestError,
    ProviderServerError,
    ProviderTimeout,
    ProviderUnreachable,
)
from stageflow.providers import LLMRequest, Message
from stageflow_mocks import (
    AtCall,
    AtRate,
    CutOff,
    Disconnect,
    Exponential,
    Failure,
    GarbageBody,
    Hang,
    Malformed,
    MockLLM,
    MockTool,
    MockTTS,
    Pace,
    RateLimited,
    ServerError,
    Uniform,
)
from stageflow_mocks.simulation import simulated

ASKED = LLMRequest((Message("user", "Hi."),))


async def outcome(llm):
    try:
        return (await llm.complete(ASKED)).text
    except Exception as error:  # noqa: BLE001 - whatever the fault is
        return error


@simulated
async def test_each_fault_is_the_error_that_a_provider_would_raise() -> None:
    """Its class, its status and its wait, under the name of the mock."""
    llm = MockLLM("x", name="fake")
    llm.fail_next(RateLimited(3), ServerError(503), Disconnect())
    limited, broken, lost = [await outcome(llm) for _ in range(3)]
    assert (ProviderRateLimited, 3, 429, "fake", "fake-1") == (
        type(limited),
        limited.retry_after,
        limited.status,
        limited.provider,
        limited.request_id,
    )
    assert (ProviderServerError, 503) == (type(broken), broken.status)
    assert ProviderUnreachable is type(lost)
    assert "x" == await outcome(llm)


@pytest.mark.parametrize(
    "kind", [ProviderAuthError, ProviderContentRefused, ProviderRequestError, ProviderTimeout, ProviderServerError]
)
@simulated
async def test_any_error_of_providers(kind) -> None:
    """A class is made into an error of this mock and call."""
    error = await outcome(MockLLM("x", faults=[AtCall(1, Failure(kind))]))
    assert (kind, "mock-llm", "mock-llm-1") == (type(error), error.provider, error.request_id)
    assert "Call 1 of mock 'mock-llm' fails, as it was told to." in str(error)


@simulated
async def test_a_ready_made_error_is_raised_as_a_copy() -> None:
    """What is raised can be noted and chained without changing the fault."""
    made = ProviderRateLimited("Slow down.", provider="groq", retry_after=7)
    llm = MockLLM("x", faults=[AtRate(1, Failure(made))])
    first, second = [await outcome(llm) for _ in range(2)]
    assert first is not made is not second is not first
    assert ("Slow down.", "groq", 7) == (second.message, second.provider, second.retry_after)
    assert made.__traceback__ is None


@simulated
async def test_which_fault_strikes() -> None:
    """The next fault before the plan's, the plan's rules in their order, and a fault before the script's."""
    llm = MockLLM([ServerError(599), "x"], faults=[AtCall(2, ServerError(502)), AtRate(1, ServerError(501))])
    llm.fail_next(ServerError(503))
    assert [503, 502, 501] == [(await outcome(llm)).status for _ in range(3)]
    assert 2 == llm.answers_left
    always = MockLLM({"": ServerError(599)})
    always.fail_next(ServerError(503))
    assert [503, 599] == [(await outcome(always)).status for _ in range(2)]
    unscripted = MockLLM({"x": "y"}, faults=[AtCall(1, ServerError(502))])
    assert 502 == (await outcome(unscripted)).status


@simulated
async def test_rates() -> None:
    """None at 0, all at 1, and about as many as the rate says between; another seed strikes others."""

    async def struck(rate, seed):
        llm = MockLLM("x", seed=seed, faults=[AtRate(rate, ServerError())])
        return [await outcome(llm) != "x" for _ in range(400)]

    assert 0 == sum(await struck(0, 1))
    assert 400 == sum(await struck(1, 1))
    one, other = await struck(0.25, 1), await struck(0.25, 2)
    assert 70 < sum(one) < 130
    assert one != other


@simulated
async def test_distributions() -> None:
    """Uniform times stay within their bounds, exponential ones have their mean and stay below the most."""

    async def times(latency):
        llm = MockLLM("x", latency=latency)
        for _ in range(400):
            await outcome(llm)
        return [call.ended_at - call.started_at for call in llm.calls]

    uniform = await times(Uniform(1, 3))
    assert 1 - 1e-9 <= min(uniform) < 1.2
    assert 2.8 < max(uniform) <= 3 + 1e-9
    exponential = await times(Exponential(2))
    assert 1.6 < sum(exponential) / 400 < 2.4
    assert max(exponential) > 6
    assert max(await times(Exponential(2, most=3))) == pytest.approx(3)
    assert {0.0} == set(await times(Exponential(0)))


@simulated
async def test_a_pace_replaces_the_times_of_one_call() -> None:
    """What was slow once is as fast as before afterwards."""
    llm = MockLLM("One two three", latency=1, per_chunk=1, faults=[AtCall(1, Pace(first_byte=5, per_chunk=2))])
    assert ["One two three"] * 2 == [await outcome(llm) for _ in range(2)]
    assert [9.0, 3.0] == [call.ended_at - call.started_at for call in llm.calls]


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), "0.5", True, None])
def test_a_rate_is_from_0_to_1(rate) -> None:
    """Any other is refused when the rule is made."""
    with pytest.raises(ValueError, match="rate of an AtRate is a number from 0 to 1, not"):
        AtRate(rate, ServerError())


@pytest.mark.parametrize("call", [0, -1, 1.0, True, None])
def test_a_call_counts_from_1(call) -> None:
    """Any other is refused when the rule is made."""
    with pytest.raises(ValueError, match="call of an AtCall counts calls, from 1 on"):
        AtCall(call, ServerError())


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        (
            "hang",
            r"is one of CutOff, Disconnect, Failure, Hang, Malformed, Pace, RateLimited, ServerError, not 'hang'\.$",
        ),
        (RateLimited, r"It is the class: write RateLimited\(\)\.$"),
        (ProviderTimeout, r"An error is given as Failure\(ProviderTimeout\)\.$"),
        (OSError("x"), r"An error is given as Failure\(OSError\('x'\)\)\.$"),
        (GarbageBody(), "not GarbageBody"),
    ],
)
def test_an_unknown_fault_is_refused_when_it_is_given(fault, hint) -> None:
    """In a rule, and as the next one."""
    for give in (lambda: AtCall(1, fault), lambda: AtRate(1, fault), lambda: MockLLM("x").fail_next(fault)):
        with pytest.raises(TypeError, match=hint):
            give()


def test_a_fault_that_this_mock_cannot_have_is_refused() -> None:
    """A voice has no tool calls to spoil, and a tool no stream to cut."""
    with pytest.raises(ValueError, match=r"Malformed\('no_calls'\), and what this one can be is half_sample"):
        MockTTS(faults=[AtCall(1, Malformed("no_calls"))])
    with pytest.raises(TypeError, match="A fault of a MockTool is one of"):
        MockTool("t", answers=["x"]).fail_next(Malformed())


def test_a_fault_says_when() -> None:
    """A fault alone is no rule."""
    with pytest.raises(TypeError, match=r"faults\[0\] of a MockLLM is an AtCall or an AtRate, which say when"):
        MockLLM("x", faults=[ServerError()])


def test_no_fault_of_several_is_kept_if_one_is_wrong() -> None:
    """fail_next takes all or none."""
    llm = MockLLM("x")
    with pytest.raises(TypeError):
        llm.fail_next(ServerError(), "boom")
    assert llm._next_faults == type(llm._next_faults)()


class Needy(Exception):
    def __init__(self, one, two):
        super().__init__(one)
        self.two = two


@pytest.mark.parametrize(
    ("error", "why"),
    [
        ("boom", "an exception or a class of exceptions, not 'boom'"),
        (KeyboardInterrupt, "an exception or a class of exceptions"),
        (Needy, "is given ready made"),
        (Needy(1, 2), "can be copied"),
    ],
)
def test_a_failure_is_an_error_that_can_be_raised(error, why) -> None:
    """What could not be made in the middle of a test is refused at its beginning."""
    with pytest.raises(TypeError, match=why):
        Failure(error)


def test_numbers_of_faults_are_checked() -> None:
    """Counts, ways and times that cannot be."""
    with pytest.raises(ValueError, match="after_chunks counts chunks"):
        Failure(OSError, after_chunks=-1)
    with pytest.raises(ValueError, match="Did you mean 'half_call'"):
        Malformed("halfcall")
    with pytest.raises(ValueError, match="high of a Uniform is not below its low"):
        Uniform(2, 1)
    for make in (lambda: Uniform(-1, 1), lambda: Exponential(-1), lambda: Exponential(1, most=float("inf"))):
        with pytest.raises(ValueError, match="is a time in seconds"):
            make()


@pytest.mark.parametrize("wrong", [-1, True, 1.5, float("nan"), "1"])
@pytest.mark.parametrize("fault", [Hang, CutOff, Disconnect, lambda after: Failure(OSError, after)])
def test_chunks_are_counted_in_whole_numbers(fault, wrong) -> None:
    """What counts none is refused where it is written, by every fault."""
    with pytest.raises(ValueError, match=r"after_chunks counts chunks, zero or more, not"):
        fault(wrong)


@pytest.mark.parametrize("wrong", [-1, True, float("nan"), float("inf"), "1", None])
@pytest.mark.parametrize("fault", [RateLimited, Pace, lambda time: Pace(0, time)])
def test_times_of_faults_are_seconds(fault, wrong) -> None:
    """Of every fault that has one."""
    with pytest.raises(ValueError, match="is a time in seconds, zero or more, not"):
        fault(wrong)


@pytest.mark.parametrize("wrong", [404, True, 500.0, "500", None])
def test_a_server_error_is_a_status_from_500_on(wrong) -> None:
    """Any other is no error of the server."""
    with pytest.raises(ValueError, match="status is one of 500 to 599, not"):
        ServerError(wrong)


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration(), StopIteration("x")])
def test_what_ends_an_iteration_is_no_failure(error) -> None:
    """Python turns it into another error wherever something is awaited."""
    with pytest.raises(TypeError, match="nothing that is awaited can raise one"):
        Failure(error)
