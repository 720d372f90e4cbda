"""Requests for chat completions: what this server speaks of them, and what it refuses by name.

What may stand in a request follows the API reference at console.groq.com/docs and the SDK's own comments; the wordings
follow answers to bad requests in public issues. Those about numbers are made after that about `n`, and that
`stream_options` wants a stream is OpenAI's rule, in its words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stageflow_mocks.conversation import ChatMessage
from stageflow_mocks.groq.chat.messages import malformed_messages
from stageflow_mocks.groq.chat.reasoning import Reasoning, asked_reasoning, malformed_reasoning
from stageflow_mocks.groq.chat.tools import Demands, demands_of, malformed_format, malformed_tools
from stageflow_mocks.groq.models import model_of
from stageflow_mocks.groq.wire import JsonObject, Refusal, read_json, unsupported_property

_OF_THE_ANSWER = frozenset(
    {"messages", "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "seed", "stop"}
    | {"tools", "tool_choice", "parallel_tool_calls", "disable_tool_validation", "response_format", "service_tier"}
    | {"reasoning_effort", "reasoning_format", "include_reasoning"}
)
# These steer how a real model samples, or who pays; an answer that is scripted is the same whatever they say.
_WITHOUT_EFFECT = frozenset({"temperature", "top_p", "frequency_penalty", "presence_penalty", "user"})
# No model of Groq's does anything with them: it takes them if they ask for nothing.
_OF_NO_MODEL = ("logprobs", "top_logprobs", "logit_bias", "metadata", "store")
_UNSPOKEN = frozenset(
    {"functions", "function_call", "documents", "citation_options"}
    | {"compound_custom", "search_settings", "include_domains", "exclude_domains"}
)

_TIERS = ("auto", "on_demand", "flex", "performance")
_MOST_STOPS = 4

_KINDS: Mapping[str, tuple[Any, str]] = {
    "model": (str, "a string"),
    "user": (str, "a string"),
    "service_tier": (str, "a string"),
    "stream": (bool, "a boolean"),
    "parallel_tool_calls": (bool, "a boolean"),
    "disable_tool_validation": (bool, "a boolean"),
    "include_reasoning": (bool, "a boolean"),
    "stream_options": (dict, "an object"),
    "response_format": (dict, "an object"),
    "max_tokens": (int, "an integer"),
    "max_completion_tokens": (int, "an integer"),
    "n": (int, "an integer"),
    "seed": (int, "an integer"),
    "temperature": ((int, float), "a number"),
    "top_p": ((int, float), "a number"),
    "frequency_penalty": ((int, float), "a number"),
    "presence_penalty": ((int, float), "a number"),
    "stop": ((str, list), "a string or an array"),
}
_LIMITS: Mapping[str, tuple[float, float | None]] = {
    "max_tokens": (1, None),
    "max_completion_tokens": (1, None),
    "n": (1, 1),
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request that passed validation.

    Attributes:
        model, messages, stream, seed: As they were given.
        max_tokens: `max_completion_tokens`, or `max_tokens` if there is none.
        stop: The sequences before which the answer ends.
        demands: What is said of tools and of the form of the answer.
        reasoning: What becomes of the model's thoughts.
        service_tier: The one that it is answered by.
        include_usage: Whether a stream ends with an event of its own for what it cost.
    """

    model: str
    messages: Sequence[ChatMessage]
    stream: bool
    max_tokens: int | None
    seed: int | None
    stop: tuple[str, ...]
    demands: Demands
    reasoning: Reasoning
    service_tier: str
    include_usage: bool


def read_chat(raw: bytes) -> ChatRequest | Refusal:
    """Validate the body of a request; what this server does not speak is refused, never ignored."""
    given = read_json(raw)
    if isinstance(given, Refusal):
        return given
    return _unsupported(given) or _malformed(given) or _malformed_for_model(given) or _accepted(given)


def _unsupported(given: JsonObject) -> Refusal | None:
    for name, value in given.items():
        if name in _OF_NO_MODEL:
            if value:
                return unsupported_property(name)
        elif name in _UNSPOKEN:
            return Refusal(400, f"property '{name}' is unsupported: Groq takes it, this server does not speak it")
        elif name not in _OF_THE_ANSWER | _WITHOUT_EFFECT:
            return Refusal(400, f"property '{name}' is unsupported")
    return None


def _malformed(given: JsonObject) -> Refusal | None:
    for name, (kind, words) in _KINDS.items():
        if name in given and (
            not isinstance(given[name], kind) or (kind is not bool and isinstance(given[name], bool))
        ):
            return Refusal(400, f"'{name}' : value must be {words}")
    for name, (least, most) in _LIMITS.items():
        if name in given and given[name] < least:
            return Refusal(400, f"'{name}' : number must be at least {least}")
        if name in given and most is not None and given[name] > most:
            return Refusal(400, f"'{name}' : number must be at most {most}")
    if not given.get("model"):
        return Refusal(400, "'model' : property 'model' is required")
    problem = (
        _malformed_stop(given.get("stop", []))
        or _malformed_stream_options(given)
        or malformed_tools(given)
        or malformed_format(given)
    )
    if problem is None and given.get("service_tier", "auto") not in _TIERS:
        problem = f"'service_tier' : value is not one of the allowed values {_TIERS}"
    return None if problem is None else Refusal(400, problem)


def _malformed_stop(stop: Any) -> str | None:
    stops: list[Any] = [stop] if isinstance(stop, str) else stop
    if not all(isinstance(text, str) and text for text in stops):
        return "'stop' : items must be strings that are not empty"
    return f"'stop' : maximum number of items is {_MOST_STOPS}" if len(stops) > _MOST_STOPS else None


def _malformed_stream_options(given: JsonObject) -> str | None:
    options: JsonObject = given.get("stream_options", {})
    if "stream_options" in given and not given.get("stream"):
        return "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    for name, value in options.items():
        if name != "include_usage":
            return f"'stream_options' : property '{name}' is unsupported"
        if not isinstance(value, bool):
            return "'stream_options.include_usage' : value must be a boolean"
    return None


def _malformed_for_model(given: JsonObject) -> Refusal | None:
    model = model_of(given["model"])
    form = given.get("response_format", {}).get("type")
    if form == "json_schema" and model.output == "text" and "structured_outputs" not in model.features:
        return Refusal(
            400,
            "This model does not support response format `json_schema`. "
            "See supported models at https://console.groq.com/docs/structured-outputs#supported-models",
            param="response_format",
        )
    return malformed_reasoning(given, model) or malformed_messages(given.get("messages"), model)


def _accepted(given: JsonObject) -> ChatRequest:
    stop = given.get("stop", ())
    tier = given.get("service_tier", "auto")
    return ChatRequest(
        model=given["model"],
        messages=given["messages"],
        stream=given.get("stream", False),
        max_tokens=given.get("max_completion_tokens", given.get("max_tokens")),
        seed=given.get("seed"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        demands=demands_of(given),
        reasoning=asked_reasoning(given, model_of(given["model"])),
        service_tier="on_demand" if tier == "auto" else tier,
        include_usage=given.get("stream_options", {}).get("include_usage", False),
    )
