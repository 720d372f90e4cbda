"""A model that says what it is told to, in the time that a model takes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator

from stageflow.providers import LLMChunk, LLMRequest, LLMResponse, Usage, complete_from_stream, require_supported

_TOKEN = re.compile(r"\s*\w{1,5}|\s*[^\w\s]|\s+$")


class MockModel:
    """Stands in for the provider of a model: waits, then gives one token after the other.

    Attributes:
        unsaid: The tokens of its last answer that it was kept from giving, since it was closed before.
    """

    name = "mock"

    def __init__(self, *, first_token_s: float = 0.25, token_s: float = 0.04) -> None:
        self._first_token_s = first_token_s
        self._token_s = token_s
        self.unsaid: list[str] = []

    async def stream(self, request: LLMRequest) -> AsyncGenerator[LLMChunk]:
        """Yield what was said last in tokens, and then what they cost.

        Raises:
            ProviderRequestError: It is asked for anything else.
        """
        require_supported(request, provider=self.name)
        tokens = self.unsaid = tokens_of(request.messages[-1].content)
        usage = Usage(sum(len(tokens_of(message.content)) for message in request.messages), len(tokens))
        await asyncio.sleep(self._first_token_s - self._token_s)
        while tokens:
            await asyncio.sleep(self._token_s)
            yield LLMChunk(tokens.pop(0), model="mock-1")
        yield LLMChunk(finish_reason="stop", usage=usage)

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Return the whole answer."""
        return await complete_from_stream(self, request)


def tokens_of(text: str) -> list[str]:
    """Return the text in pieces of the size that models use: a word, or a part of a long one."""
    return _TOKEN.findall(text)
