"""Requests as the `groq` SDK takes them, and its answers as core knows them.

The wire format is that of console.groq.com/docs/api-reference (chat completions), which the SDK's types follow. It does
not check what it receives, so what comes out here is checked by the types that it becomes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from stageflow.providers import LLMChunk, LLMRequest, LLMResponse, Message, Tool, ToolCall, ToolCallPiece, Usage

from stageflow_plus.groq_errors import malformed, no_choices

T = TypeVar("T")

_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


def parameters_of(request: LLMRequest, default_model: str) -> dict[str, Any]:
    """Return the keywords of `client.chat.completions.create`; what is not asked for is left out."""
    given: dict[str, Any] = {
        "model": request.model or default_model,
        "messages": [_message(message) for message in request.messages],
        "temperature": request.temperature,
        "max_completion_tokens": request.max_tokens,
        "stop": list(request.stop) or None,
        "seed": request.seed,
    }
    if request.tools:
        given["tools"] = [_tool(tool) for tool in request.tools]
        given["tool_choice"] = _tool_choice(request.tool_choice)
    if request.json_schema is not None:
        schema = {"name": "answer", "schema": request.json_schema}
        given["response_format"] = {"type": "json_schema", "json_schema": schema}
    return {name: value for name, value in given.items() if value is not None}


def _message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.role == "tool":
        return {**written, "tool_call_id": message.tool_call_id}
    if message.name is not None:
        written["name"] = message.name
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return written


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters or _NO_PARAMETERS,
    }
    return {"type": "function", "function": function}


def _tool_choice(choice: str) -> Any:
    return choice if choice in ("auto", "none", "required") else {"type": "function", "function": {"name": choice}}


def response_of(completion: Any) -> LLMResponse:
    """Return a whole answer.

    Raises:
        ProviderProtocolError: It is none.
    """
    if not getattr(completion, "choices", None):  # what is not JSON comes as a string
        raise no_choices(request_id=_request_id(completion))
    return _checked(_response, completion)


def _response(completion: Any) -> LLMResponse:
    choice = completion.choices[0]
    calls = choice.message.tool_calls or ()
    return LLMResponse(
        choice.message.content or "",
        model=completion.model,
        finish_reason=_finish_reason(choice.finish_reason),
        tool_calls=tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in calls),
        usage=_usage(completion.usage),
        request_id=_request_id(completion),
    )


def chunk_of(event: Any) -> LLMChunk:
    """Return a piece of an answer.

    Raises:
        ProviderProtocolError: It is none.
    """
    return _checked(_chunk, event)


def _chunk(event: Any) -> LLMChunk:
    told = event.x_groq
    choice = event.choices[0] if event.choices else None
    calls = () if choice is None else choice.delta.tool_calls or ()
    return LLMChunk(
        "" if choice is None else choice.delta.content or "",
        tool_calls=tuple(map(_piece, calls)),
        finish_reason=None if choice is None else _finish_reason(choice.finish_reason),
        usage=_usage((None if told is None else told.usage) or event.usage),
        model=event.model,
        request_id=_request_id(event),
    )


def _piece(call: Any) -> ToolCallPiece:
    function = call.function
    name, arguments = (None, None) if function is None else (function.name, function.arguments)
    return ToolCallPiece(call.index, call.id or "", name or "", arguments or "")


def _finish_reason(reason: Any) -> Any:
    return "tool_calls" if reason == "function_call" else reason  # its old name


def _usage(usage: Any) -> Usage | None:
    if usage is None:
        return None
    details = usage.prompt_tokens_details
    return Usage(usage.prompt_tokens, usage.completion_tokens, 0 if details is None else details.cached_tokens)


def _request_id(answer: Any) -> str | None:
    return getattr(getattr(answer, "x_groq", None), "id", None)


def _checked(translate: Callable[[Any], T], received: Any) -> T:
    try:
        return translate(received)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise malformed(str(error), request_id=None) from error
