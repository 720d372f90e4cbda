"""The JSON of chat completions, field for field.

Source: completions and streams that were recorded from Groq in 2026 (the cassettes of pydantic-ai, and answers and
captures in public repositories): which fields there are, their order, what is null and what is left out. The types of
the SDK declare more, which Groq fills for what this server does not have (MCP, compound models, cached tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stageflow_mocks.conversation import ChatMessage, message_text
from stageflow_mocks.groq.wire import Identity, JsonObject
from stageflow_mocks.model_answers import CallTool, split_tokens

DONE_FRAME = b"data: [DONE]\n\n"

# What a model reads and writes; times are made up from it, so that the same answer always took as long.
_TOKENS_READ_PER_S = 10_000
_TOKENS_WRITTEN_PER_S = 500


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted and seconds spent, as Groq reports them."""

    prompt_tokens: int
    completion_tokens: int
    queue_time: float
    waited: float = 0.0
    reasoning_tokens: int = 0

    def to_json(self) -> JsonObject:
        """The usage object, in Groq's order."""
        prompt_time = self.prompt_tokens / _TOKENS_READ_PER_S
        completion_time = self.completion_tokens / _TOKENS_WRITTEN_PER_S + self.waited
        details = {"completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens}}
        return {
            "queue_time": self.queue_time,
            "prompt_tokens": self.prompt_tokens,
            "prompt_time": prompt_time,
            "completion_tokens": self.completion_tokens,
            "completion_time": completion_time,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "total_time": prompt_time + completion_time,
            **(details if self.reasoning_tokens else {}),
        }


def count_prompt_tokens(messages: Sequence[ChatMessage]) -> int:
    """Count what the messages of a request cost."""
    return sum(len(split_tokens(message_text(message))) for message in messages)


def count_call_tokens(call: JsonObject) -> int:
    """Count what the arguments of a call cost, and its name."""
    return len(split_tokens(call["function"]["name"])) + len(split_tokens(call["function"]["arguments"]))


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


def message(text: str, calls: Sequence[JsonObject], reasoning: str) -> JsonObject:
    """What the model thinks and says, or wants called: of these there is what there is something of."""
    said: JsonObject = {} if calls else {"content": text}
    thought = {"reasoning": reasoning} if reasoning else {}
    return {"role": "assistant", **said, **thought, **({"tool_calls": list(calls)} if calls else {})}


def reasoning_delta(piece: str, channel: str | None) -> JsonObject:
    """A piece of what the model thinks."""
    return {"reasoning": piece, **({"channel": channel} if channel is not None else {})}


def call_delta(index: int, call: JsonObject) -> JsonObject:
    """One tool call, which Groq sends whole."""
    return {"tool_calls": [{**call, "index": index}]}


def completion(
    identity: Identity, model: str, message: JsonObject, finish_reason: str, usage: Usage, service_tier: str
) -> JsonObject:
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
        "service_tier": service_tier,
    }


def first_chunk(identity: Identity, model: str) -> JsonObject:
    """The first event of a stream: the role, no text yet, and the id of the request."""
    first = chunk(identity, model, {"role": "assistant", "content": ""})
    return {**first, "x_groq": {"id": identity.request_id, "seed": identity.seed}}


def last_chunk(identity: Identity, model: str, finish_reason: str, usage: Usage) -> JsonObject:
    """The last event of an answer: why it ended, and what it cost."""
    last = chunk(identity, model, {}, finish_reason)
    spent = usage.to_json()
    return {**last, "x_groq": {"id": identity.request_id, "usage": spent}, "usage": spent}


def usage_chunk(identity: Identity, model: str, usage: Usage, service_tier: str) -> JsonObject:
    """What a stream cost once more, without a choice, as `stream_options` asks for."""
    return {**chunk(identity, model, {}), "choices": [], "usage": usage.to_json(), "service_tier": service_tier}


def stopped_chunk(identity: Identity, model: str, reason: str) -> JsonObject:
    """The last event of a stream that Groq gives up on by itself."""
    return {**chunk(identity, model, {}), "x_groq": {"id": identity.request_id, "error": reason}}


def chunk(identity: Identity, model: str, delta: JsonObject, finish_reason: str | None = None) -> JsonObject:
    """A piece of an answer, as an event of a stream."""
    return {
        "id": identity.completion_id,
        "object": "chat.completion.chunk",
        "created": identity.created,
        "model": model,
        "system_fingerprint": identity.fingerprint,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
    }
