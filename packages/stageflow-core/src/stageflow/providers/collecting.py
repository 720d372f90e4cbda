"""What a provider that streams needs to answer as a whole: one line for its `complete`, or its `synthesize`."""

from __future__ import annotations

from stageflow.errors import ProviderProtocolError, ProviderRequestError
from stageflow.providers.assembling import AnswerInPieces
from stageflow.providers.language import LLMProvider, LLMRequest, LLMResponse
from stageflow.providers.reading import closing_stream
from stageflow.providers.text_to_speech import TTSChunk, TTSProvider, TTSRequest, TTSResponse

JOINABLE = ("pcm_s16le", "mulaw", "mp3", "ogg")
"""The encodings of which pieces that can be played one by one, set one after the other, can be played as one."""


async def complete_from_stream(provider: LLMProvider, request: LLMRequest) -> LLMResponse:
    """Return the whole answer of a provider that streams.

        async def complete(self, request: LLMRequest) -> LLMResponse:
            return await complete_from_stream(self, request)

    Raises:
        ProviderProtocolError: The stream ended before the answer was complete, or what it holds is no answer.
        ProviderError: Whatever `stream` raises.
    """
    answer = AnswerInPieces(provider.name, request.model)
    async with closing_stream(provider.stream(request)) as chunks:
        async for chunk in chunks:
            answer.add(chunk)
    return answer.whole()


async def synthesize_from_stream(provider: TTSProvider, request: TTSRequest) -> TTSResponse:
    """Return the whole speech of a provider that streams.

        async def synthesize(self, request: TTSRequest) -> TTSResponse:
            return await synthesize_from_stream(self, request)

    Raises:
        ProviderProtocolError: The stream held no speech, or speech of several formats.
        ProviderRequestError: It came in pieces of a format that cannot be joined: a WAV file has one head.
        ProviderError: Whatever `stream` raises.
    """
    async with closing_stream(provider.stream(request)) as stream:
        chunks = [chunk async for chunk in stream]
    _check_joinable(chunks, provider.name)
    audio, format = b"".join(chunk.audio for chunk in chunks), chunks[0].format
    is_measurable = format.encoding == "pcm_s16le" and format.sample_rate is not None
    return TTSResponse(
        audio,
        format=format,
        duration_ms=format.duration_ms(audio) if is_measurable else None,
        words=tuple(word for chunk in chunks for word in chunk.words),
        model=request.model,
    )


def _check_joinable(chunks: list[TTSChunk], provider: str) -> None:
    formats = list(dict.fromkeys(chunk.format for chunk in chunks))
    if not formats:
        raise ProviderProtocolError(f"The stream of provider '{provider}' ended and held no speech.", provider=provider)
    if len(formats) > 1:
        raise ProviderProtocolError(
            f"The speech of provider '{provider}' changed from {formats[0]} to {formats[1]}.", provider=provider
        )
    encoding = formats[0].encoding
    if len(chunks) > 1 and encoding not in JOINABLE:
        raise ProviderRequestError(
            f"The speech of provider '{provider}' came in {len(chunks)} pieces of {encoding}, which cannot be joined.",
            provider=provider,
            hint=f"Ask for {', '.join(JOINABLE)}, or read its stream.",
        )
