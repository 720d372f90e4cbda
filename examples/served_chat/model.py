"""A model that runs here, without a key: it says again what it was told, and what it thinks of that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator

_TOKEN = re.compile(r"\s*\S+\s*$|\s*\S+")


class SmallModel:
    """Answers token by token, in about the time that a real one takes."""

    def __init__(self, *, first_token_s: float = 0.4, token_s: float = 0.08) -> None:
        self._first_token_s = first_token_s
        self._token_s = token_s

    async def answer(self, text: str) -> AsyncGenerator[str]:
        """Yield the answer in tokens."""
        await asyncio.sleep(self._first_token_s)
        for token in _TOKEN.findall(_reply(text)):
            yield token
            await asyncio.sleep(self._token_s)


def _reply(text: str) -> str:
    words = re.findall(r"\w+", text)
    longest = max(words, key=len, default="nothing")
    return (
        f"You said: “{text.strip()}” That is {len(words)} word{'' if len(words) == 1 else 's'}, and “{longest}” is the "
        "longest of them. I am a very small model, so this is all that I have to say about it."
    )
