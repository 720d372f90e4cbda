"""Whole answers and whole speech, made of streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from stageflow.errors import ProviderProtocolError, ProviderRequestError, ProviderServerError
from stageflow.providers import (
    AudioFormat,
    LLMChunk,
    LLMRequest,
    LLMResponse,
    Message,
    TTSChunk,
    TTSRequest,
    TTSResponse,
    Word,
    closing_stream,
    complete_from_stream,
    synthesize_from_stream,
)

HI = LLMRequest((Message("user", "hi"),), model="asked")
PCM = AudioFormat("pcm_s16le", 1_000)
BROKE = ProviderServerError("Broke.", provider="p")


class Streams:
    """Streams what it is told to, and completes and synthesizes by that."""

    name = "p"

    def __init__(self, *steps: Any) -> None:
        self.closed = 0
        self._steps = steps

    async def stream(self, request: Any) -> AsyncIterator[Any]:
        try:
            for step in self._steps:
                if isinstance(step, BaseException):
                    raise step
                yield step
        finally:
            self.closed += 1

    async def complete(self, request: LLMRequest) -> LLMResponse:
        return await complete_from_stream(self, request)

    async def synthesize(self, request: TTSRequest) -> TTSResponse:
        return await synthesize_from_stream(self, request)


async def test_an_answer_of_a_stream() -> None:
    """The pieces make the whole, with the model that was asked for where none is told."""
    streams = Streams(LLMChunk("He"), LLMChunk("llo", finish_reason="stop"))
    assert LLMResponse("Hello", model="asked", finish_reason="stop") == await streams.complete(HI)
    assert 1 == streams.closed


async def test_half_an_answer_is_none() -> None:
    """What ends too soon is told of by the name of the provider."""
    with pytest.raises(ProviderProtocolError, match="The answer of provider 'p' ended before"):
        await Streams(LLMChunk("He")).complete(HI)


async def test_the_stream_of_an_answer_is_closed_where_it_is_left() -> None:
    """A chunk that cannot come there ends the reading, and the request with it."""
    streams = Streams(LLMChunk(finish_reason="stop"), LLMChunk("more"), LLMChunk("and more"))
    with pytest.raises(ProviderProtocolError, match="went on after its end"):
        await streams.complete(HI)
    assert 1 == streams.closed


async def test_what_a_stream_raises_is_what_the_whole_raises() -> None:
    """It is the provider's own error, unchanged."""
    with pytest.raises(ProviderServerError) as raised:
        await Streams(LLMChunk("He"), BROKE).complete(HI)
    assert raised.value is BROKE
    with pytest.raises(ProviderServerError) as raised:
        await Streams(BROKE).synthesize(TTSRequest("hi"))
    assert raised.value is BROKE


async def test_speech_of_a_stream() -> None:
    """The sounds are joined, the words as well, and raw samples are measured."""
    words = (Word("a", 0, 10), Word("b", 10, 20))
    streams = Streams(
        TTSChunk(bytes(20), format=PCM, words=words[:1]), TTSChunk(bytes(20), format=PCM, words=words[1:])
    )
    assert TTSResponse(bytes(40), format=PCM, duration_ms=20, words=words, model="m") == await streams.synthesize(
        TTSRequest("a b", model="m")
    )


@pytest.mark.parametrize("format", [AudioFormat("mp3"), AudioFormat("pcm_s16le")])
async def test_speech_that_cannot_be_measured(format: AudioFormat) -> None:
    """How long it is stays unknown where bytes do not say it."""
    speech = await Streams(TTSChunk(b"ab", format=format), TTSChunk(b"cd", format=format)).synthesize(TTSRequest("a"))
    assert TTSResponse(b"abcd", format=format) == speech


async def test_one_piece_of_any_format_is_the_whole() -> None:
    """A WAV file that comes at once is one."""
    wav = AudioFormat("wav")
    assert TTSResponse(b"ab", format=wav) == await Streams(TTSChunk(b"ab", format=wav)).synthesize(TTSRequest("a"))


@pytest.mark.parametrize(
    ("formats", "kind", "text"),
    [
        ((), ProviderProtocolError, "The stream of provider 'p' ended and held no speech."),
        ((PCM, AudioFormat("mp3")), ProviderProtocolError, "The speech of provider 'p' changed from AudioFormat("),
        ((AudioFormat("wav"),) * 2, ProviderRequestError, "came in 2 pieces of wav, which cannot be joined. Ask for"),
    ],
)
async def test_speech_that_is_no_whole(formats: tuple[AudioFormat, ...], kind: type[Exception], text: str) -> None:
    """Nothing, two formats, and files that each have a head of their own, do not pass for one."""
    with pytest.raises(kind) as raised:
        await Streams(*(TTSChunk(b"ab", format=format) for format in formats)).synthesize(TTSRequest("a"))
    assert type(raised.value) is kind
    assert text in str(raised.value)


# --- closing -------------------------------------------------------------------------------------------------------


async def test_a_stream_that_is_left_is_closed() -> None:
    """At once, and not when somebody collects what is left of it."""
    streams = Streams(LLMChunk("a"), LLMChunk("b"))
    async with closing_stream(streams.stream(HI)) as chunks:
        async for _ in chunks:
            break
        assert 0 == streams.closed
    assert 1 == streams.closed


async def test_a_stream_is_closed_when_its_reader_fails() -> None:
    """The error goes on."""
    streams = Streams(LLMChunk("a"), LLMChunk("b"))

    async def read() -> None:
        async with closing_stream(streams.stream(HI)) as chunks:
            async for _ in chunks:
                raise KeyError

    with pytest.raises(KeyError):
        await read()
    assert 1 == streams.closed


async def test_an_iterator_with_nothing_to_close() -> None:
    """A provider may return any async iterator."""

    class Two:
        def __init__(self) -> None:
            self.left = ["a", "b"]

        def __aiter__(self) -> Two:
            return self

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

    async with closing_stream(Two()) as letters:
        assert ["a", "b"] == [letter async for letter in letters]
