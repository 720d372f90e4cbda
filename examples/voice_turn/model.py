"""A model that says what it is told to, in the time that a model takes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator

_TOKEN = re.compile(r"\s*\w{1,5}|\s*[^\w\s]|\s+$")


class MockModel:
    """Stands in for a model: waits, then gives one token after the other.

    Attributes:
        unsaid: The tokens that it was kept from giving, since it was closed before.
    """

    def __init__(self, *, first_token_s: float = 0.25, token_s: float = 0.04) -> None:
        self._first_token_s = first_token_s
        self._token_s = token_s
        self.unsaid: list[str] = []

    async def answer(self, text: str) -> AsyncGenerator[str]:
        """Yield the text in tokens."""
        self.unsaid = tokens_of(text)
        await asyncio.sleep(self._first_token_s - self._token_s)
        while self.unsaid:
            await asyncio.sleep(self._token_s)
            yield self.unsaid.pop(0)


def tokens_of(text: str) -> list[str]:
    """Return the text in pieces of the size that models use: a word, or a part of a long one."""
    return _TOKEN.findall(text)
