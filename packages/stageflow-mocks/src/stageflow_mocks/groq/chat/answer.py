"""The answer to a chat request: what the model thinks and says, at once or as a stream, with the fault on the way."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from stageflow_mocks.conversation import Responder
from stageflow_mocks.groq import wire
from stageflow_mocks.groq.chat import shapes
from stageflow_mocks.groq.chat.request import ChatRequest
from stageflow_mocks.groq.responses import Break, Response, Step, Terms, refuse
from stageflow_mocks.model_answers import CallTool, Reasoned, split_tokens
from stageflow_mocks.provider_faults import CutOff, Disconnect, ErrorFrame, Hang, NoChoices, StoppedEarly
from stageflow_mocks.providers.errors import ScriptError


async def answer_chat(chat: ChatRequest, terms: Terms, responder: Responder, mock: str) -> Response:
    """Return what the responder answers, in the form that the request asks for.

    Raises:
        ScriptError: The model cannot answer like this, or not at this request.
        TypeError: What the responder returns is no answer.
        Exception: As the responder does.
    """
    said: Any = responder(chat.messages)
    said = await said if inspect.isawaitable(said) else said
    reasoning, answer = (said.reasoning, said.answer) if isinstance(said, Reasoned) else ("", said)
    answer = _read(answer)
    if (why := _why_impossible(chat, reasoning, answer)) is not None:
        raise ScriptError(mock, terms.number, f"a chat with `{chat.model}`", repr(said), why)
    identity = terms.identity if chat.seed is None else dataclasses.replace(terms.identity, seed=chat.seed)
    terms = dataclasses.replace(terms, identity=identity)
    if (failure := chat.demands.failure(answer)) is not None:
        message, code, generation = failure
        return _failed(wire.Refusal(400, message, code=code, failed_generation=generation), chat, terms)
    return _Answer(chat, terms, _written(chat, reasoning, answer, identity)).response()


def _read(said: Any) -> str | Sequence[CallTool]:
    if isinstance(said, str):
        return said
    calls = [said] if isinstance(said, CallTool) else said
    if (
        isinstance(calls, list | tuple)
        and calls
        and all(isinstance(call, CallTool) for call in cast("list[Any]", calls))
    ):
        return cast("Sequence[CallTool]", calls)
    raise TypeError(f"A responder returns a text, a CallTool or a list of them, or these in a Reasoned, not {said!r}.")


def _why_impossible(chat: ChatRequest, reasoning: str, answer: str | Sequence[CallTool]) -> str | None:
    if reasoning and not chat.reasoning.is_possible:
        return "cannot answer as its responder says: this model does not reason."
    if not isinstance(answer, str) and len(answer) > 1 and not chat.demands.is_parallel:
        return "cannot answer as its responder says: the request allows one call at a time (`parallel_tool_calls`)."
    return None


@dataclass(frozen=True, slots=True)
class _Written:
    """What a model wrote, token by token, and what is seen of it; `hidden` counts tokens of which nothing is."""

    reasoning: list[str]
    hidden: int
    pieces: list[str]
    calls: list[wire.JsonObject]
    finish_reason: str


def _written(chat: ChatRequest, reasoning: str, answer: str | Sequence[CallTool], identity: wire.Identity) -> _Written:
    """Write the answer, thoughts first, until the request's stop sequences or its token limit end it."""
    asked = chat.reasoning
    text, calls = (answer, []) if isinstance(answer, str) else ("", shapes.tool_calls(identity, answer))
    for sequence in chat.stop:
        text = text.split(sequence, 1)[0]
    thoughts = split_tokens(reasoning) if asked.is_wanted and asked.shown != "raw" else []
    if reasoning and asked.is_wanted and asked.shown == "raw" and not calls:
        text = f"<think>\n{reasoning}\n</think>\n\n{text}"
    pieces = split_tokens(text)
    finish_reason = "tool_calls" if calls else "stop"
    if chat.max_tokens is not None and len(thoughts) + len(pieces) > chat.max_tokens:
        thoughts, finish_reason = thoughts[: chat.max_tokens], "length"
        pieces, calls = pieces[: chat.max_tokens - len(thoughts)], []
    if asked.shown == "hidden":
        return _Written([], len(thoughts), pieces, calls, finish_reason)
    return _Written(thoughts, 0, pieces, calls, finish_reason)


def _failed(refusal: wire.Refusal, chat: ChatRequest, terms: Terms) -> Response:
    """What the model wrote is not what was asked for: of a stream, Groq has sent the head by the time that it knows."""
    if not chat.stream:
        return refuse(refusal)
    first = wire.event_frame(shapes.first_chunk(terms.identity, chat.model))
    return _streamed([terms.pace.first_byte, first, refusal.frame()])


def _streamed(steps: list[Step] | Iterator[Step], tokens: int = 0) -> Response:
    return Response(200, "text/event-stream", steps, {"cache-control": "no-cache", **wire.chat_limits(tokens)})


@dataclass(frozen=True, slots=True)
class _Answer:
    chat: ChatRequest
    terms: Terms
    written: _Written

    def response(self) -> Response:
        usage = self._usage()
        if self.chat.stream:
            return _streamed(self._stream(usage), usage.prompt_tokens)
        chat, written = self.chat, self.written
        message = shapes.message("".join(written.pieces), written.calls, "".join(written.reasoning))
        payload = shapes.completion(
            self.terms.identity, chat.model, message, written.finish_reason, usage, chat.service_tier
        )
        if isinstance(self.terms.fault, NoChoices):
            payload["choices"] = []
        return self.terms.json(payload, wire.chat_limits(usage.prompt_tokens))

    def _stream(self, usage: shapes.Usage) -> Iterator[Step]:
        identity, model = self.terms.identity, self.chat.model
        yield self.terms.pace.first_byte
        first = shapes.first_chunk(identity, model)
        if isinstance(self.terms.fault, NoChoices):
            yield wire.event_frame({**first, "choices": []})
            yield shapes.DONE_FRAME
            return
        yield wire.event_frame(first)
        for delta in self._deltas():
            yield self.terms.pace.per_chunk
            yield wire.event_frame(shapes.chunk(identity, model, delta))
        yield from self._stream_end(usage)

    def _deltas(self) -> list[wire.JsonObject]:
        written, fault = self.written, self.terms.fault
        deltas = [
            *(shapes.reasoning_delta(piece, self.chat.reasoning.channel) for piece in written.reasoning),
            *({"content": piece} for piece in written.pieces),
            *(shapes.call_delta(index, call) for index, call in enumerate(written.calls)),
        ]
        if isinstance(fault, CutOff | Disconnect | ErrorFrame | Hang | StoppedEarly):
            return deltas[: fault.after_chunks]
        return deltas

    def _stream_end(self, usage: shapes.Usage) -> Iterator[Step]:
        identity, chat = self.terms.identity, self.chat
        match self.terms.fault:
            case Hang():
                yield Break.SILENCE
            case Disconnect():
                yield Break.HANG_UP
            case ErrorFrame(status=status):
                yield wire.stopped(chat.model, status).frame()
            case StoppedEarly(reason=reason):
                yield wire.event_frame(shapes.stopped_chunk(identity, chat.model, reason))
                yield shapes.DONE_FRAME
            case CutOff():
                return
            case _:
                yield wire.event_frame(shapes.last_chunk(identity, chat.model, self.written.finish_reason, usage))
                if chat.include_usage:
                    yield wire.event_frame(shapes.usage_chunk(identity, chat.model, usage, chat.service_tier))
                yield shapes.DONE_FRAME

    def _usage(self) -> shapes.Usage:
        written = self.written
        thoughts = len(written.reasoning) + written.hidden
        chunks = len(written.reasoning) + len(written.pieces) + len(written.calls)
        return shapes.Usage(
            prompt_tokens=shapes.count_prompt_tokens(self.chat.messages),
            completion_tokens=thoughts + len(written.pieces) + sum(map(shapes.count_call_tokens, written.calls)),
            queue_time=self.terms.pace.first_byte,
            waited=self.terms.pace.per_chunk * chunks if self.chat.stream else 0.0,
            reasoning_tokens=thoughts,
        )
