"""What an STTProvider promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

from stageflow import StagePorts
from stageflow.errors import ProviderError
from stageflow.providers import AudioFormat, STTChunk, STTProvider, STTRequest, STTResponse, Word

from stageflow_mocks.conformance.speech import SpeechConformance, check_milliseconds
from stageflow_mocks.conformance.suite import not_told, promise, promised


class STTProviderConformance(SpeechConformance[STTProvider, STTResponse, STTChunk]):
    """Subclass it, and give `make` and recordings that the provider hears something in.

    Attributes:
        format: What the recordings are made of.
        piece_bytes: How large the pieces are in which they are streamed.
    """

    format: AudioFormat = AudioFormat("pcm_s16le", 16_000)
    piece_bytes: int = 3_200

    def audio(self, number: int) -> bytes:
        """Return a recording; another number may be another one."""
        raise NotImplementedError(f"{type(self).__name__} says with `audio` what is to be heard.")

    def check_port(self, provider: STTProvider) -> None:
        StagePorts(stt=provider)

    def call(self, provider: STTProvider, number: int) -> Awaitable[STTResponse]:
        return provider.transcribe(self._request(self.audio(number)))

    def stream(self, provider: STTProvider, number: int) -> AsyncIterator[STTChunk]:
        return self.stream_of(provider, self.audio(number))

    def stream_of(self, provider: STTProvider, content: Any, **options: Any) -> AsyncIterator[STTChunk]:
        return provider.stream(self._request(content, **options))

    async def pieces(self, number: int) -> AsyncIterator[bytes]:
        audio = self.audio(number)
        for place in range(0, len(audio), self.piece_bytes):
            yield audio[place : place + self.piece_bytes]
            await asyncio.sleep(0)
            if place == 0:
                yield b""  # as a recorder gives it that has nothing new

    def words_of(self, chunk: STTChunk) -> Sequence[Word]:
        return chunk.words if chunk.is_final else ()

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
        """A recording in pieces makes the same text as in one, and an empty piece is not its end."""
        heard = self.whole(provider, [chunk async for chunk in self.stream_of(provider, self.pieces(0))])
        said = self.gist(await self.call(provider, 0))
        promise(not self.repeats or heard == said, f"In pieces {heard!r} is heard, and in one {said!r}.")

    @promised
    async def test_it_tells_how_long_the_audio_is(self, provider: STTProvider) -> None:
        """In milliseconds, if it tells it at all."""
        audio, told = self.audio(0), (await self.call(provider, 0)).duration_ms
        if told is None or self.format.encoding != "pcm_s16le" or self.format.sample_rate is None:
            not_told("the provider does not tell it, or it cannot be told from the bytes")
        lasts = self.format.duration_ms(audio)
        near = abs(lasts - told) <= max(20.0, lasts * 0.05)  # some hear in frames
        promise(near, f"The audio lasts {lasts:g} ms, and duration_ms is {told:g}.")

    @promised
    async def test_what_it_cannot_do_it_refuses(self, provider: STTProvider) -> None:
        """A request for words is answered with words, or refused with a ProviderError: it is not ignored."""
        try:
            answer = await provider.transcribe(self._request(self.audio(0), words=True))
        except ProviderError:
            return
        promise(answer.words, f"words=True is refused, or there are words; {answer.text!r} came without any.")

    @promised
    async def test_words_are_told_if_they_are_wanted(self, provider: STTProvider) -> None:
        """They lie within the recording, in milliseconds, and are those of the text."""
        try:
            answer = await provider.transcribe(self._request(self.audio(0), words=True))
        except ProviderError:
            not_told("the provider tells no words")
        promise(answer.words, "Words that were asked for are told.")
        check_milliseconds(answer.words)
        if answer.duration_ms is not None:
            end = answer.words[-1].end_ms
            promise(end <= answer.duration_ms + 1, f"The last word ends at {end:g} ms of {answer.duration_ms:g} ms.")
        spoken = _letters(" ".join(word.text for word in answer.words))
        promise(spoken == _letters(answer.text), f"The words are {spoken!r}, and the text is {answer.text!r}.")

    @promised
    async def test_words_of_a_stream_count_from_the_beginning(self, provider: STTProvider) -> None:
        """Of the recording, not of the piece or the chunk that they came in."""
        try:
            await self.check_times(self.stream_of(provider, self.pieces(0), words=True))
        except ProviderError:
            not_told("the provider tells no words in its streams")

    def _request(self, audio: Any, **options: Any) -> STTRequest:
        return STTRequest(audio, format=self.format, **options)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())
