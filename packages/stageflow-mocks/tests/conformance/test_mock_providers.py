"""The mocks of providers keep the promises of the protocols that they stand for."""

from functools import partial

from stageflow.errors import ProviderRateLimited, ProviderServerError
from stageflow.providers import LLMRequest, Message, Tool
from stageflow_mocks import CallTool, Failure, MockLLM, MockSTT, MockTTS, echo
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
