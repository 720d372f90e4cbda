"""Responses as scripts of steps, and what each fault makes of those of any endpoint.

A response is played step by step: bytes are sent, a number is a pause in seconds, silence lasts until the client
leaves, and a hang-up closes the connection with whatever is missing. Scripts know nothing of sockets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

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

_UNCACHED = "private, max-age=0, no-store, no-cache, must-revalidate"


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
        headers = {"content-type": self.content_type, "cache-control": _UNCACHED, **self.headers}
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the server says of one answer, beside what is asked.

    Attributes:
        number: Which request it answers, from 1.
        identity: Its ids.
        fault: What strikes on the way out.
        pace: How long it takes.
    """

    number: int
    identity: wire.Identity
    fault: Fault | None
    pace: Pace

    def whole(self, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> Response:
        """Return a response that is sent at once, or as much of it as the fault leaves."""
        steps: list[Step] = [self.pace.first_byte, body]
        if isinstance(self.fault, CutOff):
            steps = [self.pace.first_byte, body[: len(body) // 2], Break.HANG_UP]
        return Response(200, content_type, steps, {**(headers or {}), "content-length": str(len(body))})

    def json(self, payload: wire.JsonObject, headers: Mapping[str, str] | None = None) -> Response:
        """Return a JSON object as a response that is sent at once."""
        return self.whole(wire.encode(payload), "application/json", headers)


def refuse(refusal: wire.Refusal) -> Response:
    """An HTTP error."""
    body = wire.encode(refusal.body())
    return Response(refusal.status, "application/json", [body], {**refusal.headers, "content-length": str(len(body))})


def why_unfit(fault: Fault | None, *, is_chat: bool, is_stream: bool) -> str | None:
    """Say why a fault cannot strike the answer to a request; None if it can."""
    match fault:
        case NoChoices() if not is_chat:
            return "there are no choices in its answer"
        case ErrorFrame() | StoppedEarly() if not is_chat:
            return "its answer is never a stream"
        case Hang() | Disconnect() if not is_chat and fault.after_chunks is not None:
            return "its answer has no chunks to count; leave out after_chunks"
        case Pace() if not is_stream and fault.per_chunk and not fault.first_byte:
            return "its answer is one piece; say how long it takes by first_byte"
        case _:
            return None


def instead_of_answer(fault: Fault | None, model: str | None, *, is_stream: bool) -> Response | None:
    """The response of a fault that leaves nothing of the answer; None where there is an answer to send."""
    match fault:
        case RateLimited():
            return refuse(wire.rate_limited(model, fault.retry_after))
        case ServerError():
            return refuse(wire.broken(model, fault.status))
        case ErrorFrame() if not is_stream:
            return refuse(wire.stopped(model, fault.status))
        case StoppedEarly() if not is_stream:
            return refuse(wire.Refusal(503, fault.reason, "internal_server_error"))
        case GarbageBody():
            return Response(200, fault.content_type, [fault.body])
        case Hang() if fault.after_chunks is None or not is_stream:
            return Response(200, "application/json", [Break.SILENCE])
        case Disconnect() if fault.after_chunks is None or not is_stream:
            return Response(200, "application/json", [Break.HANG_UP])
        case _:
            return None
