"""What can go wrong with one request to a model server, as values that a test writes down.

Each fault is consumed by one request (`GroqServer.fail_next`). Those that count chunks let that many pieces of the
answer through first, or all of them if there are fewer; on a chat that does not stream, where there are no pieces, they
strike before the answer. What is never a stream, as audio and models, refuses them. All times are in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias


def _require_seconds(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} is a time in seconds, zero or more, not {value!r}.")


def require_chunks(name: str, value: Any) -> None:
    """Refuse what does not count chunks."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} counts chunks, zero or more, not {value!r}.")


def _require_server_error(status: Any, *, or_else: str = "") -> None:
    if isinstance(status, bool) or not isinstance(status, int) or not 500 <= status <= 599:
        raise ValueError(f"status is {or_else}one of 500 to 599, not {status!r}.")


def _require_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is a text that is not empty, not {value!r}.")


@dataclass(frozen=True, slots=True)
class RateLimited:
    """429 with a `retry-after` header, in the words that Groq uses."""

    retry_after: float = 2.0

    def __post_init__(self) -> None:
        _require_seconds("retry_after", self.retry_after)


@dataclass(frozen=True, slots=True)
class ServerError:
    """A 5xx answer: 503 says that the model is over capacity, others that the server broke."""

    status: int = 500

    def __post_init__(self) -> None:
        _require_server_error(self.status)


@dataclass(frozen=True, slots=True)
class Hang:
    """Silence for as long as the client waits: not a byte, or nothing more after `after_chunks` pieces."""

    after_chunks: int | None = None

    def __post_init__(self) -> None:
        if self.after_chunks is not None:
            require_chunks("after_chunks", self.after_chunks)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the server takes: before its first byte, and before each further piece of a stream."""

    first_byte: float = 0.0
    per_chunk: float = 0.0

    def __post_init__(self) -> None:
        _require_seconds("first_byte", self.first_byte)
        _require_seconds("per_chunk", self.per_chunk)


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """An error event in the middle of a stream whose status was 200; its own is 429 or one of 500 to 599."""

    after_chunks: int = 1
    status: int = 503

    def __post_init__(self) -> None:
        require_chunks("after_chunks", self.after_chunks)
        if self.status != 429:
            _require_server_error(self.status, or_else="429 or ")


@dataclass(frozen=True, slots=True)
class StoppedEarly:
    """A stream whose last event says in `x_groq.error` why it stops, without a finish reason; the SDK raises nothing.

    A request that does not stream gets the reason as a 503.
    """

    after_chunks: int = 1
    reason: str = "over capacity"

    def __post_init__(self) -> None:
        require_chunks("after_chunks", self.after_chunks)
        _require_text("reason", self.reason)


@dataclass(frozen=True, slots=True)
class CutOff:
    """A stream that ends in good order, without its finish reason and without `[DONE]`; half a body otherwise."""

    after_chunks: int = 1

    def __post_init__(self) -> None:
        require_chunks("after_chunks", self.after_chunks)


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The TCP connection is reset: before the first byte, or after `after_chunks` pieces."""

    after_chunks: int | None = None

    def __post_init__(self) -> None:
        if self.after_chunks is not None:
            require_chunks("after_chunks", self.after_chunks)


@dataclass(frozen=True, slots=True)
class GarbageBody:
    """200 with a body that is not an answer at all, as a proxy's login page is."""

    body: bytes = b"<!doctype html><title>Sign in</title>"
    content_type: str = "text/html; charset=utf-8"

    def __post_init__(self) -> None:
        body: Any = self.body
        if not isinstance(body, bytes):
            raise TypeError(f"body is bytes, not {body!r}.")
        _require_text("content_type", self.content_type)


@dataclass(frozen=True, slots=True)
class NoChoices:
    """200 with a well-formed answer whose list of choices is empty."""


Fault: TypeAlias = (
    RateLimited | ServerError | Hang | Pace | ErrorFrame | StoppedEarly | CutOff | Disconnect | GarbageBody | NoChoices
)
