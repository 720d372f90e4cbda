"""GroqLLM keeps the promises of LLMProvider, through the real SDK, against a loopback server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from stageflow.errors import (
    ProviderAuthError,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderServerError,
    ProviderUnreachable,
)
from stageflow.providers import LLMProvider, LLMRequest, Message, Tool
from stageflow_mocks import (
    CallTool,
    CutOff,
    Disconnect,
    Fault,
    FaultPlan,
    FaultRule,
    FaultyLLM,
    GarbageBody,
    GroqServer,
    RateLimited,
    ServerError,
)
from stageflow_mocks.conformance import Failing, LLMProviderConformance
from stageflow_plus import GroqLLM


@asynccontextmanager
async def groq(*faults: Fault, api_key: str = "right") -> AsyncIterator[LLMProvider]:
    async with (
        GroqServer(api_keys={"right"}, responder=_respond) as server,
        GroqLLM(api_key=api_key, base_url=server.base_url) as llm,
    ):
        for fault in faults:
            server.fail_next(fault)
        yield llm


def _respond(messages):
    said = str(messages[-1]["content"])
    return CallTool("weather", {"city": "Bergen"}) if "weather" in said else f"You said: {said}"


class TestGroqLLM(LLMProviderConformance):
    def make(self):
        return groq()

    def tool_request(self):
        schema = {"type": "object", "properties": {"city": {"type": "string"}}}
        tool = Tool("weather", "How it is outside.", schema)
        return LLMRequest((Message("user", "How is the weather in Bergen?"),), tools=(tool,))

    def failing(self):
        return {
            "rate limit": Failing(partial(groq, RateLimited(retry_after=3)), ProviderRateLimited),
            "5xx": Failing(partial(groq, ServerError()), ProviderServerError),
            "garbage": Failing(partial(groq, GarbageBody()), ProviderProtocolError),
            "disconnect": Failing(partial(groq, Disconnect()), ProviderUnreachable),
            "wrong key": Failing(partial(groq, api_key="wrong"), ProviderAuthError),
        }


@asynccontextmanager
async def faulty_groq(*rules: FaultRule) -> AsyncIterator[LLMProvider]:
    async with groq() as llm:
        yield FaultyLLM(llm, FaultPlan(*rules))


class TestFaultyGroqLLM(TestGroqLLM):
    """A fault plan around it that leaves it alone, or fails it."""

    def make(self):
        return faulty_groq()

    def failing(self):
        error = FaultRule(fault="error", provider="groq", error=ProviderRateLimited.code)
        cut = FaultRule(fault="partial_write", provider="groq", after_chunks=3, error=ProviderServerError.code)
        return {
            "error": Failing(partial(faulty_groq, error), ProviderRateLimited),
            "partial write": Failing(partial(faulty_groq, cut), ProviderServerError),
        }


def test_a_stream_that_is_cut_off_is_found():
    """The suite tells a failure that is not of its class: what is cut off is unreachable, and not a rate limit."""

    class Wrong(LLMProviderConformance):
        make = TestGroqLLM.make

        def failing(self):
            return {"cut off": Failing(partial(groq, CutOff()), ProviderRateLimited)}

    with pytest.raises(AssertionError, match="'cut off' raises ProviderRateLimited from its call"):
        Wrong().test_failures_are_classified()
