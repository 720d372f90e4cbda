"""What a TTSProvider promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from stageflow import StagePorts
from stageflow.providers import AudioFormat, TTSChunk, TTSProvider, TTSRequest, TTSResponse

from stageflow_mocks.conformance.providers import ProviderConformance
from stageflow_mocks.conformance.suite import not_told, promise, promised

_LONG = 200
"""How often a text is repeated that nobody hears the end of."""


class TTSProviderConformance(ProviderConformance[TTSProvider, TTSResponse, TTSChunk]):
    """Subclass it, and give `make`.

    Attributes:
        format: The audio that is asked for; the provider's own if None.
        duplex: Whether something of a text can be spoken whose end has not come yet.
    """

    format: AudioFormat | None = None
    duplex: bool = True

    def text(self, number: int) -> str:
        """Return a text that the provider speaks; another number is another text, with several sentences in it."""
        return f"This is text number {number}. It has a second sentence. And a third one."

    def check_port(self, provider: TTSProvider) -> None:
        StagePorts(tts=provider)

    def call(self, provider: TTSProvider, number: int) -> Awaitable[TTSResponse]:
        return provider.synthesize(self._request(self.text(number)))

    def stream(self, provider: TTSProvider, number: int) -> AsyncIterator[TTSChunk]:
        return provider.stream(self._request(self.text(number)))

    def check_answer(self, answer: Any) -> None:
        promise(isinstance(answer, TTSResponse), f"`synthesize` returns a TTSResponse, not {answer!r}.")
        promise(answer.audio, "There is something to hear.")
        self._check_format(answer.format, answer.audio)
        raw = answer.format.encoding == "pcm_s16le" and answer.format.sample_rate is not None
        if raw and answer.duration_ms is not None:
            lasts = answer.format.duration_ms(answer.audio)
            told = f"The audio lasts {lasts:g} ms, and duration_ms is {answer.duration_ms:g}."
            promise(abs(lasts - answer.duration_ms) <= max(1.0, lasts * 0.01), told)

    def check_chunk(self, chunk: Any) -> None:
        promise(isinstance(chunk, TTSChunk), f"`stream` yields TTSChunk, not {chunk!r}.")
        self._check_format(chunk.format, chunk.audio)

    def gist(self, answer: TTSResponse) -> Any:
        return answer.audio, answer.format

    def whole(self, provider: TTSProvider, chunks: list[TTSChunk]) -> Any:
        formats = {(chunk.format.encoding, chunk.format.sample_rate, chunk.format.channels) for chunk in chunks}
        promise(len(formats) == 1, f"All chunks of a stream have one format, not {sorted(map(str, formats))}.")
        return b"".join(chunk.audio for chunk in chunks), chunks[0].format

    @promised
    async def test_a_longer_text_takes_longer(self, provider: TTSProvider) -> None:
        """What is spoken follows the text."""
        short = await provider.synthesize(self._request("Yes."))
        long = await provider.synthesize(self._request(" ".join(self.text(number) for number in range(5))))
        sizes = len(short.audio), len(long.audio)
        promise(sizes[0] < sizes[1], f"The audio of a longer text is longer: {sizes[0]} and {sizes[1]} bytes.")

    @promised
    async def test_a_text_in_pieces_is_spoken(self, provider: TTSProvider) -> None:
        """Each piece is heard, in one format."""
        request = self._request(_pieces(self.text(0)))
        chunks = [chunk async for chunk in provider.stream(request)]
        for chunk in chunks:
            self.check_chunk(chunk)
        promise(chunks and self.whole(provider, chunks)[0], "There is something to hear.")

    @promised
    async def test_it_is_spoken_while_it_is_written(self, provider: TTSProvider) -> None:
        """Chunks come out while text still comes in."""
        if not self.duplex:
            not_told("the provider answers when all of it has come")
        heard = asyncio.Event()
        came: list[bool] = []

        async def written() -> AsyncIterator[str]:
            async for piece in _pieces(self.text(0)):
                yield piece
            try:
                await asyncio.wait_for(heard.wait(), 2.0)
            except TimeoutError:
                came.append(False)
            else:
                came.append(True)

        async for _ in provider.stream(self._request(written())):
            heard.set()
        promise(came == [True], "While the text is written, something of it is spoken.")

    @promised
    async def test_a_stream_that_is_left_takes_no_more_text(self, provider: TTSProvider) -> None:
        """After `aclose()` no piece is asked for."""
        taken: list[str] = []

        async def long() -> AsyncIterator[str]:
            for _ in range(_LONG):
                async for piece in _pieces(self.text(0)):
                    taken.append(piece)
                    yield piece

        stream: Any = provider.stream(self._request(long()))
        if self.duplex:
            await anext(stream)
        await stream.aclose()
        before = len(taken)
        for _ in range(20):
            await asyncio.sleep(0)
        promise(len(taken) == before, f"{len(taken) - before} pieces of text were taken after the stream was closed.")

    def _check_format(self, format: AudioFormat, audio: bytes) -> None:
        if self.format is not None:
            promise(format == self.format, f"{self.format!r} was asked for, and {format!r} came.")
        if format.encoding == "pcm_s16le":
            odd = len(audio) % (2 * format.channels)
            promise(not odd, f"{len(audio)} bytes are no whole number of samples.")
            promise(format.sample_rate is not None, "Raw samples cannot say their rate: the format has to.")

    def _request(self, text: Any) -> TTSRequest:
        return TTSRequest(text, format=self.format)


async def _pieces(text: str) -> AsyncIterator[str]:
    for sentence in text.split(". "):
        yield f"{sentence.removesuffix('.')}. "
        await asyncio.sleep(0)
