"""Models behind protocols: what is asked of them, what they answer, and in what pieces.

A provider wraps one service. It translates requests and responses, and classifies what goes wrong as one of the errors
in `stageflow.errors` (`ProviderError`): it retries nothing, since a stage's RetryPolicy does, and hides no attempt from
whoever logs calls. Whoever stops reading a stream closes it (`aclose`), and that ends the request.

Times are in milliseconds, sample rates in hertz.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from stageflow.frozen import EMPTY, freeze_mapping
from stageflow.value import Value

# --- language models ----------------------------------------------------------------------------------------------

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
"""Why an answer ended: it was complete; it ran into `max_tokens`; the model wants tools called; a filter cut it."""


class ToolCall(Value):
    """A call that a model asks for.

    Attributes:
        id: Names the call; the message with its result repeats it as `tool_call_id`.
        name: Of the tool.
        arguments: As the model wrote them: JSON as a rule, but nobody has checked that.
    """

    __slots__ = ("arguments", "id", "name")

    id: str
    name: str
    arguments: str

    def __init__(self, id: str, name: str, arguments: str) -> None:
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", arguments)


class Message(Value):
    """One message of a conversation. `name` is the speaker's or the tool's, where a provider asks for one."""

    __slots__ = ("content", "name", "role")

    role: Role
    content: str
    name: str | None

    def __init__(self, role: Role, content: str, name: str | None = None) -> None:
        if role not in ROLES:
            raise ValueError(f"A message's role is one of {', '.join(ROLES)}, not {role!r}.")
        if not isinstance(content, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"A message's content is a string, not {content!r}.")
        if not isinstance(name, str | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"A message's name is a string or None, not {name!r}.")
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "content", content)
        object.__setattr__(self, "name", name)


class Tool(Value):
    """What a model may ask to have called.

    Attributes:
        name: What it is called by.
        description: What it is for, in words for the model.
        parameters: The JSON Schema of its arguments, which is that of an object.
    """

    __slots__ = ("description", "name", "parameters")

    name: str
    description: str
    parameters: Mapping[str, Any]

    def __init__(self, name: str, description: str, parameters: Mapping[str, Any] = EMPTY) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "parameters", freeze_mapping(parameters, "parameters"))


class Usage(Value):
    """What a call used, in tokens as the provider counts them; it knew `cached_tokens` of the prompt already."""

    __slots__ = ("cached_tokens", "completion_tokens", "prompt_tokens")

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int

    def __init__(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> None:
        object.__setattr__(self, "prompt_tokens", prompt_tokens)
        object.__setattr__(self, "completion_tokens", completion_tokens)
        object.__setattr__(self, "cached_tokens", cached_tokens)

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class LLMRequest(Value):
    """What a language model is asked.

    Attributes:
        messages: The conversation, oldest first, with the system's instructions as its first message if there are any.
        model: The provider's id of the model; the provider's own default if None.
        tools: What the model may ask to have called.
        tool_choice: "auto", "none", "required", or the name of the one tool that it must call.
        temperature: How freely it answers, from 0 on; the provider's default if None.
        max_tokens: The longest answer, in tokens; the provider's default if None.
        stop: Texts before which the answer ends.
        seed: For providers that can repeat an answer.
        json_schema: The JSON Schema that the answer is to satisfy, if it is to be JSON.
    """

    __slots__ = (
        "json_schema",
        "max_tokens",
        "messages",
        "model",
        "seed",
        "stop",
        "temperature",
        "tool_choice",
        "tools",
    )

    messages: tuple[Message, ...]
    model: str | None
    tools: tuple[Tool, ...]
    tool_choice: str
    temperature: float | None
    max_tokens: int | None
    stop: tuple[str, ...]
    seed: int | None
    json_schema: Mapping[str, Any] | None

    def __init__(
        self,
        messages: tuple[Message, ...],
        *,
        model: str | None = None,
        tools: tuple[Tool, ...] = (),
        tool_choice: str = "auto",
        temperature: float | None = None,
        max_tokens: int | None = None,
        stop: tuple[str, ...] = (),
        seed: int | None = None,
        json_schema: Mapping[str, Any] | None = None,
    ) -> None:
        object.__setattr__(self, "messages", tuple(messages))
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "tools", tuple(tools))
        object.__setattr__(self, "tool_choice", tool_choice)
        object.__setattr__(self, "temperature", temperature)
        object.__setattr__(self, "max_tokens", max_tokens)
        object.__setattr__(self, "stop", tuple(stop))
        object.__setattr__(self, "seed", seed)
        object.__setattr__(
            self, "json_schema", None if json_schema is None else freeze_mapping(json_schema, "json_schema")
        )


class LLMResponse(Value):
    """A whole answer of a language model.

    Attributes:
        text: What it says; empty if it only calls tools.
        model: The model that gave it, by its own account.
        finish_reason: Why it ended there.
        tool_calls: The calls that it asks for.
        usage: None if the provider does not say.
        request_id: The provider's id of the request.
    """

    __slots__ = ("finish_reason", "model", "request_id", "text", "tool_calls", "usage")

    text: str
    model: str
    finish_reason: FinishReason
    tool_calls: tuple[ToolCall, ...]
    usage: Usage | None
    request_id: str | None

    def __init__(
        self,
        text: str,
        *,
        model: str,
        finish_reason: FinishReason,
        tool_calls: tuple[ToolCall, ...] = (),
        usage: Usage | None = None,
        request_id: str | None = None,
    ) -> None:
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "finish_reason", finish_reason)
        object.__setattr__(self, "tool_calls", tuple(tool_calls))
        object.__setattr__(self, "usage", usage)
        object.__setattr__(self, "request_id", request_id)


class ToolCallPiece(Value):
    """A piece of a tool call in a stream: the pieces with one `index` make one call.

    Attributes:
        index: Which of the answer's calls it belongs to, from 0.
        id, name: In the first piece of a call; empty in the others.
        arguments: What comes next of the arguments.
    """

    __slots__ = ("arguments", "id", "index", "name")

    index: int
    id: str
    name: str
    arguments: str

    def __init__(self, index: int, id: str = "", name: str = "", arguments: str = "") -> None:
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", arguments)


class LLMChunk(Value):
    """A piece of an answer. The last one has the `finish_reason`: a stream that ends without it was cut off.

    Attributes:
        text: What comes next; may be empty.
        tool_calls: Pieces of the calls that it asks for.
        finish_reason, usage: In the last chunk, or the last two.
        model, request_id: As soon as the provider says them.
    """

    __slots__ = ("finish_reason", "model", "request_id", "text", "tool_calls", "usage")

    text: str
    tool_calls: tuple[ToolCallPiece, ...]
    finish_reason: FinishReason | None
    usage: Usage | None
    model: str | None
    request_id: str | None

    def __init__(
        self,
        text: str = "",
        *,
        tool_calls: tuple[ToolCallPiece, ...] = (),
        finish_reason: FinishReason | None = None,
        usage: Usage | None = None,
        model: str | None = None,
        request_id: str | None = None,
    ) -> None:
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "tool_calls", tuple(tool_calls))
        object.__setattr__(self, "finish_reason", finish_reason)
        object.__setattr__(self, "usage", usage)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "request_id", request_id)


@runtime_checkable
class LLMProvider(Protocol):
    """A service that answers conversations. `name` is what errors and logs call it: "groq".

    Raises:
        ProviderError: By either method: there is no complete answer; the class says what may be done.
    """

    name: str

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Return the whole answer."""
        ...

    def stream(self, request: LLMRequest) -> AsyncIterator[LLMChunk]:
        """Yield the answer in pieces, as they come."""
        ...


# --- audio --------------------------------------------------------------------------------------------------------

AudioEncoding = Literal["pcm_s16le", "wav", "mp3", "opus", "ogg", "flac", "mulaw"]
"""How audio is written: raw samples of 16 bits with a sign, little-endian; or a container or codec of that name."""


class AudioFormat(Value):
    """What audio is made of: what its bytes cannot say by themselves.

    Attributes:
        encoding: How it is written.
        sample_rate: Samples in a second; None if the audio itself says it, as a WAV file does.
        channels: 1 is mono.
    """

    __slots__ = ("channels", "encoding", "sample_rate")

    encoding: AudioEncoding
    sample_rate: int | None
    channels: int

    def __init__(self, encoding: AudioEncoding, sample_rate: int | None = None, channels: int = 1) -> None:
        object.__setattr__(self, "encoding", encoding)
        object.__setattr__(self, "sample_rate", sample_rate)
        object.__setattr__(self, "channels", channels)

    def duration_ms(self, audio: bytes) -> float:
        """Return how long raw samples of this format last.

        Raises:
            ValueError: The format is not "pcm_s16le", or its sample rate is unknown.
        """
        if self.encoding != "pcm_s16le" or self.sample_rate is None:
            raise ValueError(f"How long {self.encoding} audio lasts cannot be told from the number of its bytes.")
        return len(audio) / (2 * self.channels * self.sample_rate) * 1000


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
        object.__setattr__(self, "audio", audio)
        object.__setattr__(self, "format", format)
        object.__setattr__(self, "language", language)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "prompt", prompt)
        object.__setattr__(self, "words", words)


class Word(Value):
    """A word that was heard or spoken, and when: milliseconds from the beginning of the audio.

    Attributes:
        confidence: From 0 to 1; None if the provider does not say.
    """

    __slots__ = ("confidence", "end_ms", "start_ms", "text")

    text: str
    start_ms: float
    end_ms: float
    confidence: float | None

    def __init__(self, text: str, start_ms: float, end_ms: float, confidence: float | None = None) -> None:
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "start_ms", start_ms)
        object.__setattr__(self, "end_ms", end_ms)
        object.__setattr__(self, "confidence", confidence)


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
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "words", tuple(words))
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
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "is_final", is_final)
        object.__setattr__(self, "words", tuple(words))
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
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "voice", voice)
        object.__setattr__(self, "format", format)
        object.__setattr__(self, "language", language)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "speed", speed)


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
        object.__setattr__(self, "audio", audio)
        object.__setattr__(self, "format", format)
        object.__setattr__(self, "duration_ms", duration_ms)
        object.__setattr__(self, "words", tuple(words))
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "request_id", request_id)


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
        object.__setattr__(self, "audio", audio)
        object.__setattr__(self, "format", format)
        object.__setattr__(self, "words", tuple(words))


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
