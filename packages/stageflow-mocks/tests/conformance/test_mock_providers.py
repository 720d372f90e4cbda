"""The mocks of providers keep the promises of the protocols that they stand for."""

from functools import partial

from stageflow.errors import ProviderRateLimited, ProviderServerError
from stageflow.providers import LLMRequest, Message, Tool
from stageflow_mocks import (
    CallTool,
    Failure,
    FaultPlan,
    FaultRule,
    FaultyLLM,
    FaultySTT,
    FaultyTTS,
    MockLLM,
    MockSTT,
    MockTTS,
    echo,
)
from stageflow_mocks.conformance import (
    Failing,
    LLMProviderConformance,
    STTProviderConformance,
    TTSProviderConformance,
)

LIMITED = Failure(ProviderRateLimited)
BROKEN = Failure(ProviderServerError)


class TestMockLLM(LLMProviderConformance):
    simulated = True

    def make(self):
        answers = {"weather": CallTool("weather", {"city": "Oslo"}), ".": "So it is."}
        return MockLLM(answers, latency=0.1, per_chunk=0.01)

    def tool_request(self):
        return LLMRequest((Message("user", "The weather?"),), tools=(Tool("weather", "It", {"type": "object"}),))

    def failing(self):
        return {
            "429": Failing(partial(MockLLM, LIMITED), ProviderRateLimited),
            "500": Failing(partial(MockLLM, BROKEN), ProviderServerError),
        }


class TestEcho(LLMProviderConformance):
    simulated = True

    def make(self):
        return MockLLM(echo)


class TestMockTTS(TTSProviderConformance):
    simulated = True

    def make(self):
        return MockTTS()


class TestMockSTT(STTProviderConformance):
    simulated = True

    def make(self):
        return MockSTT("One two three. Four five.")

    def audio(self, number):
        return bytes(3 * 32_000)

    def failing(self):
        return {"429": Failing(partial(MockSTT, LIMITED), ProviderRateLimited)}


def failing_by(wrapper, mock, *, answers=()):
    """Return the ways in which a plan makes a mock fail."""

    def make(fault, error):
        return wrapper(mock(*answers), FaultPlan(FaultRule(fault=fault, provider="*", error=error)))

    return {
        "429": Failing(partial(make, "error", ProviderRateLimited.code), ProviderRateLimited),
        "500, late": Failing(partial(make, "partial_write", ProviderServerError.code), ProviderServerError),
    }


class TestFaultyLLM(TestMockLLM):
    """With a plan that leaves it alone, it is what it wraps."""

    def make(self):
        return FaultyLLM(super().make(), FaultPlan())

    def failing(self):
        return failing_by(FaultyLLM, MockLLM, answers=["So it is."])

    def open_calls(self, provider):
        return sum(call.ended == "running" for call in provider.calls)


class TestSlowFaultyLLM(TestFaultyLLM):
    """With faults that only take time, too."""

    def make(self):
        slow = (FaultRule(fault=name, provider="*", rate=0.5) for name in ("latency", "reordered"))
        return FaultyLLM(MockLLM(echo, latency=0.1, per_chunk=0.01), FaultPlan(*slow))

    def request(self, number):
        return LLMRequest((Message("user", f"word{number}"),))

    def tool_request(self):
        return None


class TestFaultyTTS(TestMockTTS):
    def make(self):
        return FaultyTTS(super().make(), FaultPlan())

    def failing(self):
        return failing_by(FaultyTTS, MockTTS)


class TestFaultySTT(TestMockSTT):
    def make(self):
        return FaultySTT(super().make(), FaultPlan())

    def failing(self):
        return failing_by(FaultySTT, MockSTT, answers=["One."])
