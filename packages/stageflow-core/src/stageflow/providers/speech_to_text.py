"""Speech to text: what is asked of those that write down what is said, and what they answer."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol, runtime_checkable

from stageflow.errors import ProviderRequestError
from stageflow.providers.audio import AudioFormat, Word, without_audio, words_in_order
from stageflow.providers.checking import check_flag, check_instance, check_number, check_text, own_bytes, pieces_of
from stageflow.value import Value


class STTRequest(Value):
    """Speech that is to be written down.

    Attributes:
        audio: All of it; or, for `stream`, pieces of it as they are recorded.
        format: What it is made of.
        language: What is spoken, as an ISO 639-1 code; to be found out if None.
        model: The provider's id of the model; its own default if None.
        prompt: Words that are likely to occur, and how they are spelt.
        words: Whether the times of the single words are wanted.
    """

    __slots__ = ("audio", "format", "language", "model", "prompt", "words")

    audio: bytes | AsyncIterable[bytes]
    format: AudioFormat
    language: str | None
    model: str | None
    prompt: str | None
    words: bool

    def __init__(
        self,
        audio: bytes | AsyncIterable[bytes],
        *,
        format: AudioFormat,
        language: str | None = None,
        model: str | None = None,
        prompt: str | None = None,
        words: bool = False,
    ) -> None:
        if not isinstance(audio, AsyncIterable):
            audio = own_bytes("an STTRequest", "audio", audio)
        check_instance("an STTRequest", "format", format, AudioFormat)
        check_text("an STTRequest", "language", language, optional=True, filled=True)
        check_text("an STTRequest", "model", model, optional=True, filled=True)
        check_text("an STTRequest", "prompt", prompt, optional=True)
        check_flag("an STTRequest", "words", words)
        object.__setattr__(self, "audio", audio)
        object.__setattr__(self, "format", format)
        object.__setattr__(self, "language", language)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "prompt", prompt)
        object.__setattr__(self, "words", words)

    def pieces(self) -> AsyncIterator[bytes]:
        """Return the audio piece by piece, whether it was given in pieces or as one: what `stream` reads."""
        return pieces_of(self.audio)

    def whole(self, provider: str) -> bytes:
        """Return the audio, which was given as one: what `transcribe` reads.

        Args:
            provider: The name of the provider, for the error.

        Raises:
            ProviderRequestError: It comes in pieces.
        """
        if not isinstance(self.audio, bytes):
            raise ProviderRequestError(
                f"Provider '{provider}' was asked for the whole, and the audio of the STTRequest comes in pieces.",
                provider=provider,
                hint="Give it as one, of type bytes, or call stream().",
            )
        return self.audio

    def __repr__(self) -> str:
        return without_audio(self)


class STTResponse(Value):
    """What was said.

    Attributes:
        words: With their times, if they were asked for.
        language: What was spoken.
        duration_ms: How long the audio is.
        confidence: From 0 to 1; None if the provider does not say.
        model, request_id: As in `LLMResponse`.
    """

    __slots__ = ("confidence", "duration_ms", "language", "model", "request_id", "text", "words")

    text: str
    words: tuple[Word, ...]
    language: str | None
    duration_ms: float | None
    confidence: float | None
    model: str | None
    request_id: str | None

    def __init__(
        self,
        text: str,
        *,
        words: tuple[Word, ...] = (),
        language: str | None = None,
        duration_ms: float | None = None,
        confidence: float | None = None,
        model: str | None = None,
        request_id: str | None = None,
    ) -> None:
        check_text("an STTResponse", "text", text)
        check_text("an STTResponse", "language", language, optional=True)
        check_number("an STTResponse", "duration_ms", duration_ms, least=0, optional=True)
        check_number("an STTResponse", "confidence", confidence, least=0, most=1, optional=True)
        check_text("an STTResponse", "model", model, optional=True)
        check_text("an STTResponse", "request_id", request_id, optional=True)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "words", words_in_order("an STTResponse", words))
        object.__setattr__(self, "language", language)
        object.__setattr__(self, "duration_ms", duration_ms)
        object.__setattr__(self, "confidence", confidence)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "request_id", request_id)


class STTChunk(Value):
    """What was said so far since the last final chunk. One that is not final is a guess, and the next takes its place.

    Attributes:
        is_final: Whether it stays as it is: the texts of all final chunks make the whole.
        words: With their times, if they were asked for.
    """

    __slots__ = ("confidence", "is_final", "text", "words")

    text: str
    is_final: bool
    words: tuple[Word, ...]
    confidence: float | None

    def __init__(
        self, text: str, *, is_final: bool, words: tuple[Word, ...] = (), confidence: float | None = None
    ) -> None:
        check_text("an STTChunk", "text", text)
        check_flag("an STTChunk", "is_final", is_final)
        check_number("an STTChunk", "confidence", confidence, least=0, most=1, optional=True)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "is_final", is_final)
        object.__setattr__(self, "words", words_in_order("an STTChunk", words))
        object.__setattr__(self, "confidence", confidence)


@runtime_checkable
class STTProvider(Protocol):
    """A service that writes down what is said (speech to text). See `LLMProvider` for `name` and errors."""

    name: str

    async def transcribe(self, request: STTRequest) -> STTResponse:
        """Return what is said in the whole audio, which is given as bytes."""
        ...

    def stream(self, request: STTRequest) -> AsyncIterator[STTChunk]:
        """Yield what is said while the audio comes in: chunks go out while others are still to come."""
        ...
