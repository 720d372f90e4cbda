"""A model that runs here, without a key: it says again what it was told, and what it thinks of that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator

from stageflow.providers import LLMChunk, LLMRequest, LLMResponse, Usage, complete_from_stream, require_supported

_TOKEN = re.compile(r"\s*\S+\s*$|\s*\S+")


class SmallModel:
    """A provider that answers token by token, in about the time that a real one takes."""

    name = "small"

    def __init__(self, *, first_token_s: float = 0.4, token_s: float = 0.08) -> None:
        self._first_token_s = first_token_s
        self._token_s = token_s

    async def stream(self, request: LLMRequest) -> AsyncGenerator[LLMChunk]:
        """Yield the answer in tokens, and then what they cost.

        Raises:
            ProviderRequestError: It is too small for what it is asked.
        """
        require_supported(request, "max_tokens", provider=self.name)
        answer = _TOKEN.findall(_reply(request.messages[-1].content))
        tokens = answer[: request.max_tokens]
        await asyncio.sleep(self._first_token_s)
        for token in tokens:
            yield LLMChunk(token, model="small-1")
            await asyncio.sleep(self._token_s)
        usage = Usage(sum(len(_TOKEN.findall(message.content)) for message in request.messages), len(tokens))
        yield LLMChunk(finish_reason="stop" if len(tokens) == len(answer) else "length", usage=usage)

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Return the whole answer."""
        return await complete_from_stream(self, request)


def _reply(text: str) -> str:
    words = re.findall(r"\w+", text)
    longest = max(words, key=len, default="nothing")
    return (
        f"You said: “{text.strip()}” That is {len(words)} word{'' if len(words) == 1 else 's'}, and “{longest}” is the "
        "longest of them. I am a very small model, so this is all that I have to say about it."
    )
