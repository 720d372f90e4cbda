"""What an STTProvider promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from stageflow import StagePorts
from stageflow.providers import AudioFormat, STTChunk, STTProvider, STTRequest, STTResponse

from stageflow_mocks.conformance.providers import ProviderConformance
from stageflow_mocks.conformance.suite import not_told, promise, promised

_LONG = 200
"""How often a recording is repeated that nobody listens to the end of."""


class STTProviderConformance(ProviderConformance[STTProvider, STTResponse, STTChunk]):
    """Subclass it, and give `make` and recordings that the provider hears something in.

    Attributes:
        format: What the recordings are made of.
        piece_bytes: How large the pieces are in which they are streamed.
        duplex: Whether something can be heard of a recording whose end has not come yet.
    """

    format: AudioFormat = AudioFormat("pcm_s16le", 16_000)
    piece_bytes: int = 3_200
    duplex: bool = True

    def audio(self, number: int) -> bytes:
        """Return a recording; another number may be another one."""
        raise NotImplementedError(f"{type(self).__name__} says with `audio` what is to be heard.")

    def check_port(self, provider: STTProvider) -> None:
        StagePorts(stt=provider)

    def call(self, provider: STTProvider, number: int) -> Awaitable[STTResponse]:
        return provider.transcribe(self._request(self.audio(number)))

    def stream(self, provider: STTProvider, number: int) -> AsyncIterator[STTChunk]:
        return provider.stream(self._request(self.audio(number)))

    def check_answer(self, answer: Any) -> None:
        promise(isinstance(answer, STTResponse), f"`transcribe` returns an STTResponse, not {answer!r}.")
        promise(answer.text.strip(), "Something is heard in the recording.")

    def check_chunk(self, chunk: Any) -> None:
        promise(isinstance(chunk, STTChunk), f"`stream` yields STTChunk, not {chunk!r}.")

    def gist(self, answer: STTResponse) -> Any:
        return " ".join(answer.text.split())

    def whole(self, provider: STTProvider, chunks: list[STTChunk]) -> Any:
        finals = [chunk.text for chunk in chunks if chunk.is_final]
        promise(finals, "A stream ends with what stays as it is: at least one chunk is final.")
        promise(chunks[-1].is_final, "The last chunk is final: nothing takes the place of a guess after it.")
        return " ".join(" ".join(finals).split())

    @promised
    async def test_pieces_are_heard_as_the_whole(self, provider: STTProvider) -> None:
        """A recording in pieces makes the same text as in one."""
        request = self._request(self._pieces(self.audio(0)))
        heard = self.whole(provider, [chunk async for chunk in provider.stream(request)])
        said = self.gist(await self.call(provider, 0))
        promise(not self.repeats or heard == said, f"In pieces {heard!r} is heard, and in one {said!r}.")

    @promised
    async def test_it_is_heard_while_it_is_said(self, provider: STTProvider) -> None:
        """Chunks come out while audio still comes in."""
        if not self.duplex:
            not_told("the provider answers when all of it has come")
        heard = asyncio.Event()
        came: list[bool] = []

        async def recorded() -> AsyncIterator[bytes]:
            async for piece in self._pieces(self.audio(0)):
                yield piece
            try:
                await asyncio.wait_for(heard.wait(), 2.0)
            except TimeoutError:
                came.append(False)
            else:
                came.append(True)

        async for _ in provider.stream(self._request(recorded())):
            heard.set()
        promise(came == [True], "While the recording goes on, something of what was said is heard.")

    @promised
    async def test_a_stream_that_is_left_takes_no_more_audio(self, provider: STTProvider) -> None:
        """After `aclose()` no piece is asked for."""
        taken: list[int] = []

        async def long() -> AsyncIterator[bytes]:
            for _ in range(_LONG):
                async for piece in self._pieces(self.audio(0)):
                    taken.append(len(piece))
                    yield piece
                    await asyncio.sleep(0)

        stream: Any = provider.stream(self._request(long()))
        if self.duplex:
            await anext(stream)
        await stream.aclose()
        before = len(taken)
        for _ in range(20):
            await asyncio.sleep(0)
        promise(len(taken) == before, f"{len(taken) - before} pieces of audio were taken after the stream was closed.")

    @promised
    async def test_words_are_told_if_they_are_wanted(self, provider: STTProvider) -> None:
        """They lie within the recording, and are those of the text."""
        request = STTRequest(self.audio(0), format=self.format, words=True)
        answer = await provider.transcribe(request)
        if not answer.words:
            not_told("the provider tells no words")
        if answer.duration_ms is not None:
            end = answer.words[-1].end_ms
            promise(end <= answer.duration_ms + 1, f"The last word ends at {end:g} ms of {answer.duration_ms:g} ms.")
        spoken = _letters(" ".join(word.text for word in answer.words))
        promise(spoken == _letters(answer.text), f"The words are {spoken!r}, and the text is {answer.text!r}.")

    def _request(self, audio: Any) -> STTRequest:
        return STTRequest(audio, format=self.format)

    async def _pieces(self, audio: bytes) -> AsyncIterator[bytes]:
        for place in range(0, len(audio), self.piece_bytes):
            yield audio[place : place + self.piece_bytes]
            await asyncio.sleep(0)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())
