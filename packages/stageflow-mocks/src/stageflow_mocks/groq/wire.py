"""What all endpoints of Groq share on the wire: JSON, ids, errors, the headers about rate limits.

Sources: the shape of errors and the wordings of 401, 404, 413, 429 and 5xx are those of console.groq.com/docs/errors
and of recorded traffic (the cassettes of pydantic-ai and of openllmetry, error messages in public issues); the headers
are those of console.groq.com/docs/rate-limits, with the limits of the free tier, as recorded.
"""

from __future__ import annotations

import json
import math
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

JsonObject: TypeAlias = dict[str, Any]

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_DAY = 86_400
_HOUR = 3_600
_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP error in Groq's shape."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    failed_generation: str | None = None

    def body(self) -> JsonObject:
        """The body of the response."""
        error: JsonObject = {"message": self.message, "type": self.type}
        if self.param is not None:
            error["param"] = self.param
        if self.code is not None:
            error["code"] = self.code
        if self.failed_generation is not None:
            error["failed_generation"] = self.failed_generation
        return {"error": error}

    def frame(self) -> bytes:
        """The same error as an event in the middle of a stream, where its status has to travel in the data."""
        error = {**self.body()["error"], "status_code": self.status}
        return b"event: error\n" + event_frame({"error": error})


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one answer from every other: its ids, the seed that it was made with, its date."""

    completion_id: str
    request_id: str
    fingerprint: str
    seed: int
    created: int

    @classmethod
    def draw(cls, source: random.Random, *, created: int) -> Identity:
        """Make up ids in Groq's formats from a random source of the caller's."""
        ulid = "01" + "".join(source.choices(_CROCKFORD, k=24))
        return cls(
            completion_id=f"chatcmpl-{uuid.UUID(int=source.getrandbits(128), version=4)}",
            request_id=f"req_{ulid}",
            fingerprint=f"fp_{source.getrandbits(40):010x}",
            seed=source.getrandbits(31),
            created=created,
        )


def event_frame(payload: JsonObject) -> bytes:
    """One server-sent event."""
    return b"data: " + encode(payload) + b"\n\n"


def encode(payload: JsonObject) -> bytes:
    """JSON as Groq writes it: compact, UTF-8."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def read_json(raw: bytes) -> JsonObject | Refusal:
    """Return what the body of a request says; a property that is null is as good as absent."""
    try:
        body: object = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return Refusal(400, "could not parse the request body: it is not valid JSON")
    if not isinstance(body, dict):
        return Refusal(400, "could not parse the request body: it is not a JSON object")
    return {name: value for name, value in cast("JsonObject", body).items() if value is not None}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def invalid_api_key() -> Refusal:
    """401 for a missing or unknown key."""
    return Refusal(401, "Invalid API Key", code="invalid_api_key")


def unknown_model(model: str) -> Refusal:
    """404 for a model that this server was told it does not have."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return Refusal(404, message, code="model_not_found")


def unsupported_by_model(model: str, what: str) -> Refusal:
    """400 for a model that is for something else."""
    return Refusal(400, f"The model `{model}` does not support {what}")


def unsupported_property(name: str) -> Refusal:
    """400 for a property of a chat that the model, or any, does nothing with."""
    return Refusal(400, f"`{name}` is not supported with this model", param=name)


def unknown_url(method: str, path: str) -> Refusal:
    """404 for any other path or method."""
    message = (
        f"Unknown request URL: {method} {path}. Please check the URL for typos, "
        "or see the docs at https://console.groq.com/docs/"
    )
    return Refusal(404, message, code="unknown_url")


def too_large() -> Refusal:
    """413 for a file above 25 MiB."""
    return Refusal(413, "Request Entity Too Large", code="request_too_large")


def rate_limited(model: str | None, retry_after: float) -> Refusal:
    """429 for too many requests in a minute."""
    named = "" if model is None else f" for model `{model}`"
    message = (
        f"Rate limit reached{named} in organization `org_loopback` service tier `on_demand` on requests "
        f"per minute (RPM): Limit 30, Used 30, Requested 1. Please try again in {retry_after:g}s."
    )
    # The header counts whole seconds; the message says the exact time.
    headers = {"retry-after": str(math.ceil(retry_after))}
    return Refusal(429, message, "requests", "rate_limit_exceeded", headers=headers)


def broken(model: str | None, status: int) -> Refusal:
    """5xx: over capacity for 503, an internal error for the rest."""
    message = "Internal Server Error"
    if status == 503:
        message = (
            f"{model or 'This service'} is currently over capacity. Please try again and back off exponentially. "
            "Visit https://groqstatus.com to see if there is an active incident."
        )
    return Refusal(status, message, "internal_server_error")


def stopped(model: str | None, status: int) -> Refusal:
    """What ends a stream whose status was 200: a limit for 429, else as `broken`."""
    return rate_limited(model, 2.0) if status == 429 else broken(model, status)


def chat_limits(tokens: int) -> dict[str, str]:
    """What is left of the limits after one chat request of so many tokens, if it was the first for a long time."""
    return {**_limit("requests", 14_400, _DAY, 1), **_limit("tokens", 6_000, _MINUTE, tokens)}


def audio_limits(seconds: float) -> dict[str, str]:
    """What is left of the limits after one file of so many seconds, if it was the first for a long time."""
    return {**_limit("requests", 2_000, _DAY, 1), **_limit("audio-seconds", 7_200, _HOUR, math.ceil(seconds))}


def speech_limits() -> dict[str, str]:
    """What is left of the limits after one text was spoken, if it was the first for a long time."""
    return _limit("requests", 100, _DAY, 1)


def _limit(what: str, limit: int, period_s: int, used: int) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(limit),
        f"x-ratelimit-remaining-{what}": str(max(0, limit - used)),
        f"x-ratelimit-reset-{what}": _duration(period_s * used / limit),
    }


def _duration(seconds: float) -> str:
    """Write a time as Go does: `130ms`, `6s`, `2m59.56s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{int(minutes)}m{rest:.5g}s" if minutes else f"{rest:.5g}s"
