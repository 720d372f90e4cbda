"""The answer to a chat request: what the model says, at once or as a stream, with the fault that strikes on the way."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from stageflow_mocks.conversation import Responder
from stageflow_mocks.groq import wire
from stageflow_mocks.groq.chat import shapes
from stageflow_mocks.groq.chat.request import ChatRequest
from stageflow_mocks.groq.responses import Break, Response, Step, Terms, refuse
from stageflow_mocks.model_answers import CallTool, split_tokens
from stageflow_mocks.provider_faults import CutOff, Disconnect, ErrorFrame, Hang, NoChoices, StoppedEarly

T = TypeVar("T")


async def answer_chat(chat: ChatRequest, terms: Terms, responder: Responder) -> Response:
    """Return what the responder answers, in the form that the request asks for.

    Raises:
        Exception: As the responder does; a TypeError if what it returns is no answer.
    """
    said: Any = responder(chat.messages)
    answer = _read(await said if inspect.isawaitable(said) else said)
    identity = terms.identity if chat.seed is None else dataclasses.replace(terms.identity, seed=chat.seed)
    terms = dataclasses.replace(terms, identity=identity)
    if (failure := chat.asked.failure(answer)) is not None:
        message, code, generation = failure
        return _failed(wire.Refusal(400, message, code=code, failed_generation=generation), chat, terms)
    pieces, finish_reason = limit_answer(answer, chat) if isinstance(answer, str) else ([], "tool_calls")
    calls = [] if isinstance(answer, str) else shapes.tool_calls(identity, answer)
    return _Answer(chat, terms, pieces, calls, finish_reason).response()


def limit_answer(text: str, request: ChatRequest) -> tuple[list[str], str]:
    """Apply the request's stop sequences and its token limit: the pieces to send, and the finish reason."""
    for sequence in request.stop:
        text = text.split(sequence, 1)[0]
    pieces = split_tokens(text)
    if request.max_tokens is not None and len(pieces) > request.max_tokens:
        return pieces[: request.max_tokens], "length"
    return pieces, "stop"


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
    raise TypeError(f"A responder returns a text, a CallTool or a list of them, not {said!r}.")


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
    pieces: list[str]
    calls: list[wire.JsonObject]
    finish_reason: str

    def response(self) -> Response:
        usage = self._usage()
        if self.chat.stream:
            return _streamed(self._stream(usage), usage.prompt_tokens)
        message = shapes.call_message(self.calls) if self.calls else shapes.text_message("".join(self.pieces))
        payload = shapes.completion(self.terms.identity, self.chat.model, message, self.finish_reason, usage)
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
        for piece in self._until_fault(self.pieces):
            yield self.terms.pace.per_chunk
            yield wire.event_frame(shapes.text_chunk(identity, model, piece))
        for index, call in enumerate(self._until_fault(self.calls)):
            yield self.terms.pace.per_chunk
            yield wire.event_frame(shapes.call_chunk(identity, model, index, call))
        yield from self._stream_end(usage)

    def _until_fault(self, parts: list[T]) -> list[T]:
        fault = self.terms.fault
        if isinstance(fault, CutOff | Disconnect | ErrorFrame | Hang | StoppedEarly):
            return parts[: fault.after_chunks]
        return parts

    def _stream_end(self, usage: shapes.Usage) -> Iterator[Step]:
        identity, model = self.terms.identity, self.chat.model
        match self.terms.fault:
            case Hang():
                yield Break.SILENCE
            case Disconnect():
                yield Break.HANG_UP
            case ErrorFrame(status=status):
                yield wire.broken(model, status).frame()
            case StoppedEarly(reason=reason):
                yield wire.event_frame(shapes.stopped_chunk(identity, model, reason))
                yield shapes.DONE_FRAME
            case CutOff():
                return
            case _:
                yield wire.event_frame(shapes.last_chunk(identity, model, self.finish_reason, usage))
                yield shapes.DONE_FRAME

    def _usage(self) -> shapes.Usage:
        chunks = len(self.pieces) + len(self.calls)
        return shapes.Usage(
            prompt_tokens=shapes.count_prompt_tokens(self.chat.messages),
            completion_tokens=len(self.pieces) or sum(map(shapes.count_call_tokens, self.calls)),
            queue_time=self.terms.pace.first_byte,
            waited=self.terms.pace.per_chunk * chunks if self.chat.stream else 0.0,
        )
