"""The responses of a Groq server as scripts of steps, and what each fault makes of them.

A response is played step by step: bytes are sent, a number is a pause in seconds, silence lasts until the client
leaves, and a hang-up closes the connection with whatever is missing. Scripts know nothing of sockets.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias, TypeVar

from stageflow_mocks.groq import wire
from stageflow_mocks.provider_faults import (
    CutOff,
    Disconnect,
    ErrorFrame,
    Fault,
    GarbageBody,
    Hang,
    NoChoices,
    Pace,
    RateLimited,
    ServerError,
    StoppedEarly,
)

T = TypeVar("T")


class Break(Enum):
    """The ways in which a response stays incomplete."""

    SILENCE = "silence"
    HANG_UP = "hang-up"


Step: TypeAlias = bytes | float | Break


@dataclass(frozen=True, slots=True)
class Response:
    """A status, headers and the steps of a body; nothing is sent before the first bytes of it."""

    status: int
    content_type: str
    steps: Iterable[Step]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def encoded_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers as ASGI wants them."""
        headers = {"content-type": self.content_type, **self.headers}
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def refuse(refusal: wire.Refusal) -> Response:
    """An HTTP error."""
    body = wire.encode(refusal.body())
    return Response(refusal.status, "application/json", [body], {**refusal.headers, "content-length": str(len(body))})


def instead_of_answer(fault: Fault | None, chat: wire.ChatRequest) -> Response | None:
    """The response of a fault that leaves nothing of the answer; None where there is an answer to send."""
    match fault:
        case RateLimited():
            return refuse(wire.rate_limited(chat.model, fault.retry_after))
        case ServerError():
            return refuse(wire.broken(chat.model, fault.status))
        case ErrorFrame() if not chat.stream:
            return refuse(wire.broken(chat.model, fault.status))
        case StoppedEarly() if not chat.stream:
            return refuse(wire.Refusal(503, fault.reason, "internal_server_error"))
        case GarbageBody():
            return Response(200, fault.content_type, [fault.body])
        case Hang() if fault.after_chunks is None or not chat.stream:
            return Response(200, "application/json", [Break.SILENCE])
        case Disconnect() if fault.after_chunks is None or not chat.stream:
            return Response(200, "application/json", [Break.HANG_UP])
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says to one request, with the fault that strikes on the way out."""

    identity: wire.Identity
    chat: wire.ChatRequest
    pieces: list[str]
    calls: list[wire.JsonObject]
    finish_reason: str
    fault: Fault | None
    pace: Pace
    prompt_time: float

    def response(self) -> Response:
        """The answer as the request wants it: at once, or as a stream."""
        headers = {"x-request-id": self.identity.request_id}
        if self.chat.stream:
            return Response(200, "text/event-stream", self._stream(), {**headers, "cache-control": "no-cache"})
        body = self._body()
        steps: list[Step] = [self.pace.first_byte, body]
        if isinstance(self.fault, CutOff):
            steps = [self.pace.first_byte, body[: len(body) // 2], Break.HANG_UP]
        return Response(200, "application/json", steps, {**headers, "content-length": str(len(body))})

    def _body(self) -> bytes:
        message = wire.call_message(self.calls) if self.calls else wire.text_message("".join(self.pieces))
        payload = wire.completion(self.identity, self.chat.model, message, self.finish_reason, self._usage(0.0))
        return wire.encode({**payload, "choices": []} if isinstance(self.fault, NoChoices) else payload)

    def _stream(self) -> Iterator[Step]:
        begun = time.perf_counter()
        yield self.pace.first_byte
        first = wire.first_chunk(self.identity, self.chat.model)
        if isinstance(self.fault, NoChoices):
            yield wire.event_frame({**first, "choices": []})
            yield wire.DONE_FRAME
            return
        yield wire.event_frame(first)
        for piece in self._until_fault(self.pieces):
            yield self.pace.per_chunk
            yield wire.event_frame(wire.text_chunk(self.identity, self.chat.model, piece))
        for index, call in enumerate(self._until_fault(self.calls)):
            yield self.pace.per_chunk
            yield wire.event_frame(wire.call_chunk(self.identity, self.chat.model, index, call))
        yield from self._stream_end(self._usage(time.perf_counter() - begun))

    def _until_fault(self, parts: list[T]) -> list[T]:
        if isinstance(self.fault, CutOff | Disconnect | ErrorFrame | Hang | StoppedEarly):
            return parts[: self.fault.after_chunks]
        return parts

    def _stream_end(self, usage: wire.Usage) -> Iterator[Step]:
        match self.fault:
            case Hang():
                yield Break.SILENCE
            case Disconnect():
                yield Break.HANG_UP
            case ErrorFrame():
                yield wire.broken(self.chat.model, self.fault.status).frame()
            case StoppedEarly():
                yield wire.event_frame(wire.stopped_chunk(self.identity, self.chat.model, self.fault.reason))
                yield wire.DONE_FRAME
            case CutOff():
                return
            case _:
                yield wire.event_frame(wire.last_chunk(self.identity, self.chat.model, self.finish_reason, usage))
                yield wire.DONE_FRAME

    def _usage(self, completion_time: float) -> wire.Usage:
        return wire.Usage(
            prompt_tokens=wire.count_prompt_tokens(self.chat.messages),
            completion_tokens=len(self.pieces) or sum(map(wire.count_call_tokens, self.calls)),
            queue_time=self.pace.first_byte,
            prompt_time=self.prompt_time,
            completion_time=completion_time,
        )
