"""Text to speech: what is asked of those that speak, and what they answer."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol, runtime_checkable

from stageflow.errors import ProviderRequestError
from stageflow.providers.audio import AudioFormat, Word, without_audio, words_in_order
from stageflow.providers.checking import check_instance, check_number, check_text, own_bytes, pieces_of
from stageflow.value import Value


class TTSRequest(Value):
    """Text that is to be spoken.

    Attributes:
        text: All of it; or, for `stream`, pieces of it as they are written.
        voice: The provider's id of the voice; its own default if None.
        format: What the audio is to be made of; the provider's default if None.
        language: What is spoken, as an ISO 639-1 code; to be found out if None.
        model: The provider's id of the model; its own default if None.
        speed: 1.0 is the voice's own.
    """

    __slots__ = ("format", "language", "model", "speed", "text", "voice")

    text: str | AsyncIterable[str]
    voice: str | None
    format: AudioFormat | None
    language: str | None
    model: str | None
    speed: float

    def __init__(
        self,
        text: str | AsyncIterable[str],
        *,
        voice: str | None = None,
        format: AudioFormat | None = None,
        language: str | None = None,
        model: str | None = None,
        speed: float = 1.0,
    ) -> None:
        if not isinstance(text, AsyncIterable):
            check_text("a TTSRequest", "text", text, filled=True)
        check_text("a TTSRequest", "voice", voice, optional=True, filled=True)
        check_instance("a TTSRequest", "format", format, AudioFormat, optional=True)
        check_text("a TTSRequest", "language", language, optional=True, filled=True)
        check_text("a TTSRequest", "model", model, optional=True, filled=True)
        check_number("a TTSRequest", "speed", speed, above=0)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "voice", voice)
        object.__setattr__(self, "format", format)
        object.__setattr__(self, "language", language)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "speed", speed)

    def pieces(self) -> AsyncIterator[str]:
        """Return the text piece by piece, whether it was given in pieces or as one: what `stream` reads."""
        return pieces_of(self.text)

    def whole(self, provider: str) -> str:
        """Return the text, which was given as one: what `synthesize` reads.

        Args:
            provider: The name of the provider, for the error.

        Raises:
            ProviderRequestError: It comes in pieces.
        """
        if not isinstance(self.text, str):
            raise ProviderRequestError(
                f"Provider '{provider}' was asked for the whole, and the text of the TTSRequest comes in pieces.",
                provider=provider,
                hint="Give it as one, of type str, or call stream().",
            )
        return self.text


class TTSResponse(Value):
    """Speech.

    Attributes:
        audio: All of it, in the format that `format` tells.
        duration_ms: How long it is; None if nobody has measured it.
        words: With the times at which they are spoken, if the provider tells them.
        model, request_id: As in `LLMResponse`.
    """

    __slots__ = ("audio", "duration_ms", "format", "model", "request_id", "words")

    audio: bytes
    format: AudioFormat
    duration_ms: float | None
    words: tuple[Word, ...]
    model: str | None
    request_id: str | None

    def __init__(
        self,
        audio: bytes,
        *,
        format: AudioFormat,
        duration_ms: float | None = None,
        words: tuple[Word, ...] = (),
        model: str | None = None,
        request_id: str | None = None,
    ) -> None:
        check_instance("a TTSResponse", "format", format, AudioFormat)
        check_number("a TTSResponse", "duration_ms", duration_ms, least=0, optional=True)
        check_text("a TTSResponse", "model", model, optional=True)
        check_text("a TTSResponse", "request_id", request_id, optional=True)
        object.__setattr__(self, "audio", own_bytes("a TTSResponse", "audio", audio))
        object.__setattr__(self, "format", format)
        object.__setattr__(self, "duration_ms", duration_ms)
        object.__setattr__(self, "words", words_in_order("a TTSResponse", words))
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "request_id", request_id)

    def __repr__(self) -> str:
        return without_audio(self)


class TTSChunk(Value):
    """A piece of speech, in the format that `format` tells.

    Attributes:
        words: Those that it holds, with times from the beginning of the whole, if the provider tells them.
    """

    __slots__ = ("audio", "format", "words")

    audio: bytes
    format: AudioFormat
    words: tuple[Word, ...]

    def __init__(self, audio: bytes, *, format: AudioFormat, words: tuple[Word, ...] = ()) -> None:
        check_instance("a TTSChunk", "format", format, AudioFormat)
        object.__setattr__(self, "audio", own_bytes("a TTSChunk", "audio", audio))
        object.__setattr__(self, "format", format)
        object.__setattr__(self, "words", words_in_order("a TTSChunk", words))

    def __repr__(self) -> str:
        return without_audio(self)


@runtime_checkable
class TTSProvider(Protocol):
    """A service that speaks (text to speech). See `LLMProvider` for `name` and errors."""

    name: str

    async def synthesize(self, request: TTSRequest) -> TTSResponse:
        """Return the speech of the whole text, which is given as one."""
        ...

    def stream(self, request: TTSRequest) -> AsyncIterator[TTSChunk]:
        """Yield the speech as it is made, and where the text comes in pieces, while others are still to come."""
        ...
