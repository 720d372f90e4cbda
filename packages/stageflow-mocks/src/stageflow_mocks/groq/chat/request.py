"""Requests for chat completions: what this server speaks of them, and what it refuses by name.

What may stand in a request follows the API reference at console.groq.com/docs, the wordings follow answers to bad
requests in public issues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from stageflow_mocks.conversation import ChatMessage
from stageflow_mocks.groq.chat.tools import Asked, asked, malformed_format, malformed_message, malformed_tools
from stageflow_mocks.groq.wire import JsonObject, Refusal, read_json

_ROLES = ("system", "user", "assistant", "tool")
_UNDERSTOOD = frozenset(
    {"messages", "model", "stream", "max_tokens", "max_completion_tokens", "n", "seed", "stop"}
    | {"tools", "tool_choice", "response_format"}
)
# These steer how a real model samples or is billed; an answer derived by rules is the same whatever they say.
_WITHOUT_EFFECT = frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty", "user", "service_tier"})


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


def read_chat(raw: bytes) -> ChatRequest | Refusal:
    """Validate the body of a request; what this server does not speak is refused, never ignored."""
    given = read_json(raw)
    if isinstance(given, Refusal):
        return given
    return _unsupported(given) or _malformed(given) or _malformed_messages(given) or _accepted(given)


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
