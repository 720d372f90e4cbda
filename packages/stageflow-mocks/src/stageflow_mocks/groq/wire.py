"""The JSON that Groq's chat completions endpoint sends, field for field, and the requests that it refuses.

Shapes and wording follow the API reference and error pages at console.groq.com/docs and recorded traffic; the official
`groq` SDK's models accept them with no field missing and none left over.
"""

from __future__ import annotations

import json
import math
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from stageflow_mocks.conversation import ChatMessage, message_text
from stageflow_mocks.groq.tools import Asked, asked, malformed_format, malformed_message, malformed_tools
from stageflow_mocks.model_answers import CallTool, split_tokens

JsonObject: TypeAlias = dict[str, Any]

DONE_FRAME = b"data: [DONE]\n\n"

_ROLES = ("system", "user", "assistant", "tool")
_UNDERSTOOD = frozenset(
    {"messages", "model", "stream", "max_tokens", "max_completion_tokens", "n", "seed", "stop"}
    | {"tools", "tool_choice", "response_format"}
)
# These steer how a real model samples or is billed; an answer derived by rules is the same whatever they say.
_WITHOUT_EFFECT = frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty", "user", "service_tier"})

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP error in Groq's shape."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    failed_generation: str | None = None

    def body(self) -> JsonObject:
        """The body of the response."""
        error: JsonObject = {"message": self.message, "type": self.type}
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
class ChatRequest:
    """A request that passed validation."""

    model: str
    messages: Sequence[ChatMessage]
    stream: bool
    max_tokens: int | None
    seed: int | None
    stop: tuple[str, ...]
    asked: Asked


@dataclass(frozen=True, slots=True)
class Identity:
    """The ids and the date that every part of one answer carries."""

    completion_id: str
    request_id: str
    fingerprint: str
    seed: int
    created: int

    @classmethod
    def draw(cls, source: random.Random, *, seed: int | None, created: int) -> Identity:
        """Make up ids in Groq's formats from a random source of the caller's."""
        ulid = "01" + "".join(source.choices(_CROCKFORD, k=24))
        return cls(
            completion_id=f"chatcmpl-{uuid.UUID(int=source.getrandbits(128), version=4)}",
            request_id=f"req_{ulid}",
            fingerprint=f"fp_{source.getrandbits(40):010x}",
            seed=source.getrandbits(31) if seed is None else seed,
            created=created,
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted and seconds spent, as Groq reports them."""

    prompt_tokens: int
    completion_tokens: int
    queue_time: float
    prompt_time: float
    completion_time: float

    def to_json(self) -> JsonObject:
        """The usage object, in Groq's order."""
        return {
            "queue_time": self.queue_time,
            "prompt_tokens": self.prompt_tokens,
            "prompt_time": self.prompt_time,
            "completion_tokens": self.completion_tokens,
            "completion_time": self.completion_time,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "total_time": self.prompt_time + self.completion_time,
        }


def parse_request(raw: bytes) -> ChatRequest | Refusal:
    """Validate the body of a request; what this server does not speak is refused, never ignored."""
    try:
        body: object = json.loads(raw)
    except ValueError:
        return Refusal(400, "could not parse the request body: it is not valid JSON")
    if not isinstance(body, dict):
        return Refusal(400, "could not parse the request body: it is not a JSON object")
    given = {name: value for name, value in cast("JsonObject", body).items() if value is not None}
    return _unsupported(given) or _malformed(given) or _malformed_messages(given) or _accepted(given)


def failed_generation(message: str, code: str, generation: str) -> Refusal:
    """400 for what the model wrote, which is not what the request asks for."""
    return Refusal(400, message, code=code, failed_generation=generation)


def _unsupported(given: JsonObject) -> Refusal | None:
    for name in given:
        if name not in _UNDERSTOOD | _WITHOUT_EFFECT:
            return Refusal(400, f"property '{name}' is unsupported")
    if given.get("n", 1) != 1:
        return Refusal(400, "'n' : number must be at most 1")
    return None


def _malformed(given: JsonObject) -> Refusal | None:
    for name, kind, words in (
        ("model", str, "a string"),
        ("stream", bool, "a boolean"),
        ("max_tokens", int, "an integer"),
        ("max_completion_tokens", int, "an integer"),
        ("seed", int, "an integer"),
        ("stop", (str, list), "a string or an array"),
    ):
        if name in given and (not isinstance(given[name], kind) or (kind is int and isinstance(given[name], bool))):
            return Refusal(400, f"'{name}' : value must be {words}")
    stop = given.get("stop", ())
    if not all(isinstance(text, str) and text for text in ([stop] if isinstance(stop, str) else stop)):
        return Refusal(400, "'stop' : items must be strings that are not empty")
    if not given.get("model"):
        return Refusal(400, "'model' : property 'model' is required")
    for name in ("max_tokens", "max_completion_tokens"):
        if given.get(name, 1) < 1:
            return Refusal(400, f"'{name}' : number must be at least 1")
    problem = malformed_tools(given) or malformed_format(given)
    return None if problem is None else Refusal(400, problem)


def _malformed_messages(given: JsonObject) -> Refusal | None:
    messages = given.get("messages")
    if not isinstance(messages, list):
        return Refusal(400, "'messages' : value must be an array")
    if not messages:
        return Refusal(400, "'messages' : minimum number of items is 1")
    for index, item in enumerate(cast("list[object]", messages)):
        message = cast("JsonObject", item) if isinstance(item, dict) else {}
        if message.get("role") not in _ROLES:
            return Refusal(400, f"'messages.{index}' : discriminator property 'role' has invalid value")
        if (problem := malformed_message(index, message)) is not None:
            return Refusal(400, problem)
        if not isinstance(message.get("content"), str | list) and not message.get("tool_calls"):
            return Refusal(400, f"'messages.{index}.content' : value must be a string or an array")
    return None


def _accepted(given: JsonObject) -> ChatRequest:
    stop = given.get("stop", ())
    return ChatRequest(
        model=given["model"],
        messages=given["messages"],
        stream=given.get("stream", False),
        max_tokens=given.get("max_completion_tokens", given.get("max_tokens")),
        seed=given.get("seed"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        asked=asked(given),
    )


def count_prompt_tokens(messages: Sequence[ChatMessage]) -> int:
    """Count what the messages of a request cost."""
    return sum(len(split_tokens(message_text(message))) for message in messages)


def count_call_tokens(call: JsonObject) -> int:
    """Count what the arguments of a call cost, and its name."""
    return len(split_tokens(call["function"]["name"])) + len(split_tokens(call["function"]["arguments"]))


def limit_answer(text: str, request: ChatRequest) -> tuple[list[str], str]:
    """Apply the request's stop sequences and its token limit: the pieces to send, and the finish reason."""
    for sequence in request.stop:
        text = text.split(sequence, 1)[0]
    pieces = split_tokens(text)
    if request.max_tokens is not None and len(pieces) > request.max_tokens:
        return pieces[: request.max_tokens], "length"
    return pieces, "stop"


def tool_calls(identity: Identity, calls: Sequence[CallTool]) -> list[JsonObject]:
    """Calls as a model asks for them, with ids that are the same for the same answer."""
    return [
        {
            "id": f"call_{identity.request_id[-20:]}{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.written()},
        }
        for index, call in enumerate(calls)
    ]


def text_message(text: str) -> JsonObject:
    """What the model says."""
    return {"role": "assistant", "content": text}


def call_message(calls: Sequence[JsonObject]) -> JsonObject:
    """What the model wants called."""
    return {"role": "assistant", "tool_calls": list(calls)}


def completion(identity: Identity, model: str, message: JsonObject, finish_reason: str, usage: Usage) -> JsonObject:
    """The whole answer to a request that does not stream."""
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_reason,
    }
    return {
        "id": identity.completion_id,
        "object": "chat.completion",
        "created": identity.created,
        "model": model,
        "choices": [choice],
        "usage": usage.to_json(),
        "usage_breakdown": None,
        "system_fingerprint": identity.fingerprint,
        "x_groq": {"id": identity.request_id, "seed": identity.seed},
        "service_tier": "on_demand",
    }


def first_chunk(identity: Identity, model: str) -> JsonObject:
    """The first event of a stream: the role, no text yet, and the id of the request."""
    chunk = _chunk(identity, model, {"role": "assistant", "content": ""})
    return {**chunk, "x_groq": {"id": identity.request_id, "seed": identity.seed}}


def text_chunk(identity: Identity, model: str, piece: str) -> JsonObject:
    """One piece of text."""
    return _chunk(identity, model, {"content": piece})


def call_chunk(identity: Identity, model: str, index: int, call: JsonObject) -> JsonObject:
    """One tool call, which Groq sends whole."""
    return _chunk(identity, model, {"tool_calls": [{**call, "index": index}]})


def last_chunk(identity: Identity, model: str, finish_reason: str, usage: Usage) -> JsonObject:
    """The last event of a stream: why it ended, and what it cost."""
    chunk = _chunk(identity, model, {}, finish_reason)
    spent = usage.to_json()
    return {**chunk, "x_groq": {"id": identity.request_id, "usage": spent}, "usage": spent}


def stopped_chunk(identity: Identity, model: str, reason: str) -> JsonObject:
    """The last event of a stream that Groq gives up on by itself."""
    return {**_chunk(identity, model, {}), "x_groq": {"id": identity.request_id, "error": reason}}


def _chunk(identity: Identity, model: str, delta: JsonObject, finish_reason: str | None = None) -> JsonObject:
    return {
        "id": identity.completion_id,
        "object": "chat.completion.chunk",
        "created": identity.created,
        "model": model,
        "system_fingerprint": identity.fingerprint,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
    }


def event_frame(payload: JsonObject) -> bytes:
    """One server-sent event."""
    return b"data: " + encode(payload) + b"\n\n"


def encode(payload: JsonObject) -> bytes:
    """JSON as Groq writes it: compact, UTF-8."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def invalid_api_key() -> Refusal:
    """401 for a missing or unknown key."""
    return Refusal(401, "Invalid API Key", code="invalid_api_key")


def unknown_model(model: str) -> Refusal:
    """404 for a model that this server was told it does not have."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return Refusal(404, message, code="model_not_found")


def unknown_url(method: str, path: str) -> Refusal:
    """404 for any other path or method."""
    message = (
        f"Unknown request URL: {method} {path}. Please check the URL for typos, "
        "or see the docs at https://console.groq.com/docs/"
    )
    return Refusal(404, message, code="unknown_url")


def rate_limited(model: str, retry_after: float) -> Refusal:
    """429 for too many requests in a minute."""
    message = (
        f"Rate limit reached for model `{model}` in organization `org_loopback` service tier `on_demand` on requests "
        f"per minute (RPM): Limit 30, Used 30, Requested 1. Please try again in {retry_after:g}s."
    )
    # The header counts whole seconds; the message says the exact time.
    return Refusal(429, message, "requests", "rate_limit_exceeded", {"retry-after": str(math.ceil(retry_after))})


def broken(model: str, status: int) -> Refusal:
    """5xx: over capacity for 503, an internal error for the rest."""
    message = "Internal Server Error"
    if status == 503:
        message = (
            f"{model} is currently over capacity. Please try again and back off exponentially. "
            "Visit https://groqstatus.com to see if there is an active incident."
        )
    return Refusal(status, message, "internal_server_error")
