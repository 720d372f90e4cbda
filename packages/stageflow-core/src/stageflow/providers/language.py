"""What a language model is asked, what it answers, and in what pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from stageflow.frozen import freeze_mapping
from stageflow.providers.checking import (
    check_choice,
    check_count,
    check_instance,
    check_number,
    check_text,
    check_unique,
    tuple_of,
)
from stageflow.providers.messages import Message, Tool, ToolCall, Usage
from stageflow.value import Value

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
"""Why an answer ended: it was complete; it ran into `max_tokens`; the model wants tools called; a filter cut it."""

FINISH_REASONS: tuple[str, ...] = get_args(FinishReason)
TOOL_CHOICES = ("auto", "none", "required")


class LLMRequest(Value):
    """What a language model is asked. A field that a provider cannot do is an error of its, never left out.

    Attributes:
        messages: The conversation, oldest first, with the system's instructions as its first message if there are any.
        model: The provider's id of the model; the provider's own default if None.
        tools: What the model may ask to have called.
        tool_choice: "auto", "none", "required", or the name of the one tool that it must call.
        temperature: How freely it answers, from 0 on; how far depends on the provider, whose default it is if None.
        max_tokens: The longest answer, in tokens; the provider's default if None.
        stop: Texts before which the answer ends.
        seed: For providers that can repeat an answer.
        json_schema: The JSON Schema that the answer is to satisfy, if it is to be JSON.
    """

    __slots__ = (
        "json_schema",
        "max_tokens",
        "messages",
        "model",
        "seed",
        "stop",
        "temperature",
        "tool_choice",
        "tools",
    )

    messages: tuple[Message, ...]
    model: str | None
    tools: tuple[Tool, ...]
    tool_choice: str
    temperature: float | None
    max_tokens: int | None
    stop: tuple[str, ...]
    seed: int | None
    json_schema: Mapping[str, Any] | None

    def __init__(
        self,
        messages: tuple[Message, ...],
        *,
        model: str | None = None,
        tools: tuple[Tool, ...] = (),
        tool_choice: str = "auto",
        temperature: float | None = None,
        max_tokens: int | None = None,
        stop: tuple[str, ...] = (),
        seed: int | None = None,
        json_schema: Mapping[str, Any] | None = None,
    ) -> None:
        asked = tuple_of("an LLMRequest", "messages", messages, Message)
        if not asked:
            raise ValueError("messages of an LLMRequest has at least one Message.")
        given = tuple_of("an LLMRequest", "tools", tools, Tool)
        names = [tool.name for tool in given]
        check_unique("an LLMRequest", "name of the tools", names)
        check_text("an LLMRequest", "model", model, optional=True, filled=True)
        check_choice("an LLMRequest", "tool_choice", tool_choice, (*TOOL_CHOICES, *names))
        if tool_choice == "required" and not names:
            raise ValueError("tool_choice of an LLMRequest is 'required', and it has no tools.")
        check_number("an LLMRequest", "temperature", temperature, least=0, optional=True)
        check_count("an LLMRequest", "max_tokens", max_tokens, least=1, optional=True)
        ends = tuple_of("an LLMRequest", "stop", stop, str)
        for place, text in enumerate(ends):
            check_text("an LLMRequest", f"stop[{place}]", text, filled=True)
        check_count("an LLMRequest", "seed", seed, least=None, optional=True)
        check_instance("an LLMRequest", "json_schema", json_schema, Mapping, optional=True)
        object.__setattr__(self, "messages", asked)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "tools", given)
        object.__setattr__(self, "tool_choice", tool_choice)
        object.__setattr__(self, "temperature", temperature)
        object.__setattr__(self, "max_tokens", max_tokens)
        object.__setattr__(self, "stop", ends)
        object.__setattr__(self, "seed", seed)
        object.__setattr__(
            self, "json_schema", None if json_schema is None else freeze_mapping(json_schema, "json_schema")
        )


class LLMResponse(Value):
    """A whole answer of a language model.

    Attributes:
        text: What it says; empty if it only calls tools.
        model: The model that gave it, by its own account.
        finish_reason: Why it ended there.
        tool_calls: The calls that it asks for.
        usage: None if the provider does not say.
        request_id: The provider's id of the request.
    """

    __slots__ = ("finish_reason", "model", "request_id", "text", "tool_calls", "usage")

    text: str
    model: str
    finish_reason: FinishReason
    tool_calls: tuple[ToolCall, ...]
    usage: Usage | None
    request_id: str | None

    def __init__(
        self,
        text: str,
        *,
        model: str,
        finish_reason: FinishReason,
        tool_calls: tuple[ToolCall, ...] = (),
        usage: Usage | None = None,
        request_id: str | None = None,
    ) -> None:
        check_text("an LLMResponse", "text", text)
        check_text("an LLMResponse", "model", model, filled=True)
        check_choice("an LLMResponse", "finish_reason", finish_reason, FINISH_REASONS)
        calls = tuple_of("an LLMResponse", "tool_calls", tool_calls, ToolCall)
        check_unique("an LLMResponse", "id of the tool_calls", (call.id for call in calls))
        if finish_reason == "tool_calls" and not calls:
            raise ValueError("finish_reason of an LLMResponse is 'tool_calls', and it has no tool_calls.")
        check_instance("an LLMResponse", "usage", usage, Usage, optional=True)
        check_text("an LLMResponse", "request_id", request_id, optional=True)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "finish_reason", finish_reason)
        object.__setattr__(self, "tool_calls", calls)
        object.__setattr__(self, "usage", usage)
        object.__setattr__(self, "request_id", request_id)


class ToolCallPiece(Value):
    """A piece of a tool call in a stream: the pieces with one `index` make one call.

    Attributes:
        index: Which of the answer's calls it belongs to, from 0.
        id, name: In the first piece of a call; empty in the others.
        arguments: What comes next of the arguments.
    """

    __slots__ = ("arguments", "id", "index", "name")

    index: int
    id: str
    name: str
    arguments: str

    def __init__(self, index: int, id: str = "", name: str = "", arguments: str = "") -> None:
        check_count("a ToolCallPiece", "index", index)
        check_text("a ToolCallPiece", "id", id)
        check_text("a ToolCallPiece", "name", name)
        check_text("a ToolCallPiece", "arguments", arguments)
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", arguments)


class LLMChunk(Value):
    """A piece of an answer. The last one has the `finish_reason`: a stream that ends without it was cut off.

    Attributes:
        text: What comes next; may be empty.
        tool_calls: Pieces of the calls that it asks for.
        finish_reason, usage: In the last chunk; the usage may come in one of its own after that.
        model, request_id: As soon as the provider says them.
    """

    __slots__ = ("finish_reason", "model", "request_id", "text", "tool_calls", "usage")

    text: str
    tool_calls: tuple[ToolCallPiece, ...]
    finish_reason: FinishReason | None
    usage: Usage | None
    model: str | None
    request_id: str | None

    def __init__(
        self,
        text: str = "",
        *,
        tool_calls: tuple[ToolCallPiece, ...] = (),
        finish_reason: FinishReason | None = None,
        usage: Usage | None = None,
        model: str | None = None,
        request_id: str | None = None,
    ) -> None:
        # One is made for each token, most of which have a text alone: what is not given is not looked at.
        if type(text) is not str:
            check_text("an LLMChunk", "text", text)
        pieces = tuple_of("an LLMChunk", "tool_calls", tool_calls, ToolCallPiece)
        if finish_reason is not None:
            check_choice("an LLMChunk", "finish_reason", finish_reason, FINISH_REASONS)
        if usage is not None:
            check_instance("an LLMChunk", "usage", usage, Usage, optional=True)
        if model is not None:
            check_text("an LLMChunk", "model", model, optional=True)
        if request_id is not None:
            check_text("an LLMChunk", "request_id", request_id, optional=True)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "tool_calls", pieces)
        object.__setattr__(self, "finish_reason", finish_reason)
        object.__setattr__(self, "usage", usage)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "request_id", request_id)


@runtime_checkable
class LLMProvider(Protocol):
    """A service that answers conversations. `name` is what errors and logs call it: "groq".

    Raises:
        ProviderError: By either method: there is no complete answer; the class says what may be done.
    """

    name: str

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Return the whole answer."""
        ...

    def stream(self, request: LLMRequest) -> AsyncIterator[LLMChunk]:
        """Yield the answer in pieces, as they come."""
        ...
