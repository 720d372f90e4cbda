"""What the suites of those that hear and those that speak share: something goes in while something comes out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from stageflow.providers import Word, closing_stream

from stageflow_mocks.conformance.providers import ProviderConformance
from stageflow_mocks.conformance.suite import not_told, promise, promised

P = TypeVar("P")
R = TypeVar("R")
C = TypeVar("C")

_LONG = 200
"""How often is said again what nobody takes the end of."""


class SpeechConformance(ProviderConformance[P, R, C]):
    """What each provider promises that is given audio or text in pieces.

    Attributes:
        duplex: Whether something can come out of what has not gone in to its end yet.
    """

    duplex: bool = True

    def stream_of(self, provider: P, content: Any, **options: Any) -> AsyncIterator[C]:
        """Stream what is given, whole or in pieces."""
        raise NotImplementedError

    def pieces(self, number: int) -> AsyncIterator[Any]:
        """Yield in pieces what the request of this number has, an empty one among them."""
        raise NotImplementedError

    def words_of(self, chunk: C) -> Sequence[Word]:
        """Return the words that stay, with their times, that a chunk tells."""
        raise NotImplementedError

    @promised
    async def test_something_comes_out_while_others_go_in(self, provider: P) -> None:
        """A stream does not wait for the end of what it is given."""
        if not self.duplex:
            not_told("the provider answers when all of it has come")
        came_out = asyncio.Event()
        in_time: list[bool] = []

        async def given() -> AsyncIterator[Any]:
            async for piece in self.pieces(0):
                yield piece
            try:
                await asyncio.wait_for(came_out.wait(), 2.0)
            except TimeoutError:
                in_time.append(False)
            else:
                in_time.append(True)

        async for _ in self.stream_of(provider, given()):
            came_out.set()
        promise(in_time == [True], "Something comes out of a stream while what goes in has not come to its end.")

    @promised
    async def test_a_stream_that_is_left_takes_no_more(self, provider: P) -> None:
        """After it was closed no piece is asked for."""
        taken: list[Any] = []

        async def long() -> AsyncIterator[Any]:
            for _ in range(_LONG):
                async for piece in self.pieces(0):
                    taken.append(piece)
                    yield piece
                    await asyncio.sleep(0)

        async with closing_stream(self.stream_of(provider, long())) as stream:
            if self.duplex:
                await anext(stream)
        before = len(taken)
        for _ in range(20):
            await asyncio.sleep(0)
        promise(len(taken) == before, f"{len(taken) - before} pieces were taken after the stream was closed.")

    async def check_times(self, stream: AsyncIterator[C]) -> None:
        """Check that the words of each chunk follow on those of the one before."""
        told = [words async for chunk in stream if (words := self.words_of(chunk))]
        if not told:
            not_told("the provider tells no words in its streams")
        for before, after in pairwise(told):
            promise(
                after[0].start_ms >= before[0].start_ms and after[-1].end_ms > before[-1].end_ms,
                "Times of words count from the beginning of the whole, not of their chunk: "
                f"'{before[-1].text}' ends at {before[-1].end_ms:g} ms, and after it '{after[-1].text}' does at "
                f"{after[-1].end_ms:g} ms.",
            )


def check_milliseconds(words: Sequence[Word]) -> None:
    """Check that times are no seconds: then the longest word would be over before anybody could say it."""
    longest = max(words, key=lambda word: word.end_ms - word.start_ms)
    lasts = longest.end_ms - longest.start_ms
    promise(lasts >= 5, f"Times of words are in milliseconds; the longest word, '{longest.text}', lasts {lasts:g}.")
