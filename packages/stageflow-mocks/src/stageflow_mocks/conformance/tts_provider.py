"""What a TTSProvider promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

from stageflow import StagePorts
from stageflow.errors import ProviderError
from stageflow.providers import AudioFormat, TTSChunk, TTSProvider, TTSRequest, TTSResponse, Word

from stageflow_mocks.conformance.speech import SpeechConformance, check_milliseconds
from stageflow_mocks.conformance.suite import promise, promised

_UNUSUAL = AudioFormat("pcm_s16le", 11_025)
"""What some can speak in, and nobody speaks in by themselves."""


class TTSProviderConformance(SpeechConformance[TTSProvider, TTSResponse, TTSChunk]):
    """Subclass it, and give `make`.

    Attributes:
        format: The audio that is asked for; the provider's own if None.
    """

    format: AudioFormat | None = None

    def text(self, number: int) -> str:
        """Return a text that the provider speaks; another number is another text, with several sentences in it."""
        return f"This is text number {number}. It has a second sentence. And a third one."

    def check_port(self, provider: TTSProvider) -> None:
        StagePorts(tts=provider)

    def call(self, provider: TTSProvider, number: int) -> Awaitable[TTSResponse]:
        return provider.synthesize(self._request(self.text(number)))

    def stream(self, provider: TTSProvider, number: int) -> AsyncIterator[TTSChunk]:
        return self.stream_of(provider, self.text(number))

    def stream_of(self, provider: TTSProvider, content: Any, **options: Any) -> AsyncIterator[TTSChunk]:
        return provider.stream(self._request(content, **options))

    async def pieces(self, number: int) -> AsyncIterator[str]:
        for place, word in enumerate(self.text(number).split()):
            yield f"{word} "
            await asyncio.sleep(0)
            if place == 0:
                yield ""  # as models give it that only tell how they are

    def words_of(self, chunk: TTSChunk) -> Sequence[Word]:
        return chunk.words

    def said(self, number: int) -> str:
        return self.text(number)

    def check_answer(self, answer: Any) -> None:
        promise(isinstance(answer, TTSResponse), f"`synthesize` returns a TTSResponse, not {answer!r}.")
        promise(answer.audio, "There is something to hear.")
        self._check_format(answer.format, answer.audio)
        if answer.words:
            check_milliseconds(answer.words)
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
        short = await provider.synthesize(self._request(self._sentence().split()[0]))
        long = await provider.synthesize(self._request(" ".join(self.text(number) for number in range(5))))
        sizes = len(short.audio), len(long.audio)
        promise(sizes[0] < sizes[1], f"The audio of a longer text is longer: {sizes[0]} and {sizes[1]} bytes.")

    @promised
    async def test_a_text_in_pieces_is_spoken(self, provider: TTSProvider) -> None:
        """There is something to hear, in one format."""
        promise(await self._spoken(provider, self.pieces(0)), "There is something to hear.")

    @promised
    async def test_a_text_in_pieces_is_spoken_to_its_end(self, provider: TTSProvider) -> None:
        """What comes after an empty piece is spoken, and what no full stop follows."""
        sentence = self._sentence()
        begins, _, goes_on = sentence[: len(sentence) // 2].rpartition(" ")
        goes_on += sentence[len(sentence) // 2 :]
        whole = len((await provider.synthesize(self._request(sentence))).audio)
        spoken = len(await self._spoken(provider, _yielding(f"{begins} ", "", goes_on)))
        told = f"also after an empty piece, and without a full stop: {spoken} bytes came, of the whole {whole}."
        promise(spoken > whole * 0.75, f"A text in pieces is spoken to its end, {told}")

    @promised
    async def test_what_it_cannot_do_it_refuses(self, provider: TTSProvider) -> None:
        """A speed and a format are those that were asked for, or refused with a ProviderError: not ignored."""
        usual = await provider.synthesize(self._request(self.text(0)))
        try:
            fast = await provider.synthesize(self._request(self.text(0), speed=2.0))
        except ProviderError:
            pass
        else:
            told = f"speed=2.0 is refused, or halves the audio: {len(fast.audio)} bytes came, and {len(usual.audio)}"
            promise(len(fast.audio) < len(usual.audio) * 0.8, f"{told} at speed 1.0.")
        try:
            other = await provider.synthesize(TTSRequest(self.text(0), format=_UNUSUAL))
        except ProviderError:
            return
        promise(other.format == _UNUSUAL, f"{_UNUSUAL!r} was asked for, and {other.format!r} came.")

    @promised
    async def test_words_of_a_stream_count_from_the_beginning(self, provider: TTSProvider) -> None:
        """Of the whole, not of the chunk that has them."""
        await self.check_times(self.stream_of(provider, self.pieces(0)))

    def _sentence(self) -> str:
        """Return the first sentence of the text, without what ends it."""
        return self.text(0).split(". ")[0].strip(" .!?")

    async def _spoken(self, provider: TTSProvider, text: AsyncIterator[str]) -> bytes:
        chunks = [chunk async for chunk in self.stream_of(provider, text)]
        for chunk in chunks:
            self.check_chunk(chunk)
        promise(chunks, "A text in pieces is spoken; not a single chunk came.")
        return self.whole(provider, chunks)[0]

    def _check_format(self, format: AudioFormat, audio: bytes) -> None:
        if self.format is not None:
            promise(format == self.format, f"{self.format!r} was asked for, and {format!r} came.")
        if format.encoding == "pcm_s16le":
            odd = len(audio) % (2 * format.channels)
            promise(not odd, f"{len(audio)} bytes are no whole number of samples.")
            promise(format.sample_rate is not None, "Raw samples cannot say their rate: the format has to.")

    def _request(self, text: Any, **options: Any) -> TTSRequest:
        return TTSRequest(text, format=self.format, **options)


async def _yielding(*pieces: str) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)
