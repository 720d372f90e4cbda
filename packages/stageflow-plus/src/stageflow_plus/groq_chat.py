"""A chat model on Groq as a stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from stageflow import StageContext, StageKind
from stageflow.errors import MissingPortError

from stageflow_plus.errors import ProviderError
from stageflow_plus.groq_errors import (
    SDK_ERRORS,
    cut_off,
    holds_headers,
    no_choices,
    no_text,
    provider_error,
    stopped_early,
)
from stageflow_plus.memory import RememberedTurns

try:
    from groq import AsyncGroq, AsyncStream, omit
    from groq.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
except ImportError as error:
    raise ImportError(
        'GroqChatStage needs the Groq SDK: pip install "stageflow-plus[groq]"', name=error.name
    ) from error


class GroqPorts(Protocol):
    """What GroqChatStage needs of a run's ports. Make the client with `max_retries=0`, so that no attempt is hidden."""

    @property
    def groq(self) -> AsyncGroq: ...


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What the model answered.

    Attributes:
        text: The whole answer.
        model: The model that gave it, by its own account.
        finish_reason: "stop", or "length" if the token limit cut the answer.
        chunks: How many pieces of text the stream had.
        first_text_ms: Milliseconds from the request to the first piece of text.
        prompt_tokens: As the provider counts; None if it did not say.
        completion_tokens: As the provider counts; None if it did not say.
        request_id: Groq's id of the request.
    """

    text: str
    model: str
    finish_reason: str
    chunks: int
    first_text_ms: float
    prompt_tokens: int | None
    completion_tokens: int | None
    request_id: str | None


class GroqChatStage:
    """Sends the conversation to a model on Groq, as a stream, and gives the whole answer as a `ChatReply`.

    While the answer comes in, it emits `llm.progress` events that count `chunks` and `characters` and give
    `first_text_ms`, never the text. It fails with a `ProviderError` for everything that is not a complete answer, and
    closes the stream when the run is cancelled. The client is `ctx.ports.groq`.

    Args:
        model: The model's id at Groq.
        system_prompt: What the model is told first.
        text_from: The stage whose `text` the user said, a dependency of this one; the run's input if None.
        memory_from: The stage that gives RememberedTurns, an optional or required dependency of this one.
        profile_from: The stage whose data describes the user, a dependency of this one; it goes into the system prompt.
        temperature: How freely the model answers, 0 to 2; Groq's default if None.
        max_completion_tokens: The longest answer; Groq's default if None.
    """

    name = "groq_chat"
    kind = StageKind.AGENT

    def __init__(
        self,
        *,
        model: str = "llama-3.1-8b-instant",
        system_prompt: str = "You are a helpful assistant.",
        text_from: str | None = None,
        memory_from: str | None = None,
        profile_from: str | None = None,
        temperature: float | None = None,
        max_completion_tokens: int | None = None,
    ) -> None:
        self._model = model
        self._system_prompt = system_prompt
        self._text_from = text_from
        self._memory_from = memory_from
        self._profile_from = profile_from
        self._temperature = temperature
        self._max_completion_tokens = max_completion_tokens

    async def execute(self, ctx: StageContext) -> ChatReply:
        """Ask the model.

        Raises:
            ProviderError: There is no complete answer; the subclass says why.
            MissingPortError: The run has no Groq client.
        """
        client = getattr(ctx.ports, "groq", None)
        if client is None:
            raise MissingPortError(ctx.stage_name, "groq")
        messages = list(self._messages(ctx))
        reading = _Reading()
        try:
            stream = await cast("AsyncGroq", client).chat.completions.create(
                model=self._model,
                messages=messages,
                stream=True,
                temperature=omit if self._temperature is None else self._temperature,
                max_completion_tokens=omit if self._max_completion_tokens is None else self._max_completion_tokens,
            )
            async with stream:
                await reading.follow(stream, ctx)
        except SDK_ERRORS as error:
            raise provider_error(error) from (None if holds_headers(error) else error)
        return reading.reply()

    def _messages(self, ctx: StageContext) -> Iterator[ChatCompletionMessageParam]:
        yield {"role": "system", "content": self._instructions(ctx)}
        if self._memory_from is not None and ctx.inputs.has_output(self._memory_from):
            for turn in ctx.inputs.value(self._memory_from, RememberedTurns).turns:
                yield _message(turn.role, turn.content)
        for message in ctx.snapshot.conversation:
            yield _message(message.role, message.content)
        yield _message("user", self._text(ctx))

    def _instructions(self, ctx: StageContext) -> str:
        profile = None if self._profile_from is None else ctx.inputs.get_output(self._profile_from)
        known = () if profile is None else [f"- {key}: {value}" for key, value in profile.data.items()]
        return "\n".join(
            [self._system_prompt, "What is known about the user:", *known] if known else [self._system_prompt]
        )

    def _text(self, ctx: StageContext) -> str:
        if self._text_from is not None:
            return ctx.inputs.require_from(self._text_from, "text")
        if ctx.snapshot.input_text is None:
            raise ValueError("The run has no input_text, and GroqChatStage was given no text_from to read instead.")
        return ctx.snapshot.input_text


class _Reading:
    """What has come in of one answer."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._pieces: list[str] = []
        self._characters = 0
        self._first_text_ms = 0.0
        self._last: ChatCompletionChunk | None = None
        self._finish_reason: str | None = None
        self._request_id: str | None = None
        self._usage: tuple[int, int] | None = None
        self._stopped: str | None = None
        self._received = False

    async def follow(self, stream: AsyncStream[ChatCompletionChunk], ctx: StageContext) -> None:
        """Read to the end, whatever comes: a stream that is left early leaves its generators to the event loop."""
        async for chunk in stream:
            self._received = True
            # The SDK makes its objects without checking them: an event may be JSON and still not be a chunk.
            if not getattr(chunk, "choices", None):
                continue
            self._last = chunk
            self._note(chunk)
            text = "".join(choice.delta.content or "" for choice in chunk.choices)
            if text:
                self._add(text)
                ctx.emit_event("llm.progress", self._progress())

    def reply(self) -> ChatReply:
        """Return the answer, or raise for what is missing of it."""
        if (error := self._missing()) is not None:
            raise error
        assert self._last is not None
        assert self._finish_reason is not None
        prompt_tokens, completion_tokens = self._usage or (None, None)
        return ChatReply(
            text="".join(self._pieces),
            model=self._last.model,
            finish_reason=self._finish_reason,
            chunks=len(self._pieces),
            first_text_ms=self._first_text_ms,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            request_id=self._request_id,
        )

    def _missing(self) -> ProviderError | None:
        if self._stopped is not None:
            return stopped_early(self._stopped, request_id=self._request_id)
        if self._received and self._last is None:
            return no_choices(request_id=self._request_id)
        if self._finish_reason is None:
            return cut_off(chunks=len(self._pieces), request_id=self._request_id)
        if not self._pieces:
            return no_text(self._finish_reason, request_id=self._request_id)
        return None

    def _note(self, chunk: ChatCompletionChunk) -> None:
        for choice in chunk.choices:
            self._finish_reason = choice.finish_reason or self._finish_reason
        if chunk.x_groq is not None:
            self._request_id = chunk.x_groq.id or self._request_id
            self._stopped = chunk.x_groq.error or self._stopped
            if chunk.x_groq.usage is not None:
                self._usage = (chunk.x_groq.usage.prompt_tokens, chunk.x_groq.usage.completion_tokens)

    def _add(self, text: str) -> None:
        if not self._pieces:
            self._first_text_ms = (time.perf_counter() - self._begun) * 1000
        self._pieces.append(text)
        self._characters += len(text)

    def _progress(self) -> dict[str, float]:
        return {
            "chunks": len(self._pieces),
            "characters": self._characters,
            "first_text_ms": round(self._first_text_ms, 3),
        }


def _message(role: str, content: str) -> ChatCompletionMessageParam:
    match role:
        case "user":
            return {"role": "user", "content": content}
        case "assistant":
            return {"role": "assistant", "content": content}
        case "system":
            return {"role": "system", "content": content}
        case _:
            raise ValueError(f"GroqChatStage cannot send a message of role '{role}' yet.")
