"""The messages of a request: what may stand in each, by its role, and what Groq says of the rest.

Groq takes no property that it does not know, null or not: a history into which answers were put as the SDK dumps them
is refused for `annotations`, one in which a user interface keeps fields of its own for these. The wordings are recorded
in public issues of 2024 to 2026. Of `name` the page on OpenAI's compatibility says that it is refused; the reference of
the API declares it, and examples of tools there send it: it is taken.
"""

from __future__ import annotations

from typing import cast

from stageflow_mocks.groq.models import Model
from stageflow_mocks.groq.wire import JsonObject, Refusal

_PROPERTIES = {
    "system": ("role", "content", "name"),
    "developer": ("role", "content", "name"),
    "user": ("role", "content", "name"),
    "assistant": ("role", "content", "name", "reasoning", "tool_calls"),
    "tool": ("role", "content", "name", "tool_call_id"),
}
_PARTS = {"system": ("text",), "developer": ("text",), "assistant": ("text",)}
_PARTS_OF_OTHERS = ("text", "image_url")


def malformed_messages(messages: object, model: Model) -> Refusal | None:
    """Say what is wrong with the messages of a request; None if nothing is."""
    if not isinstance(messages, list):
        return Refusal(400, "'messages' : value must be an array")
    if not messages:
        return Refusal(400, "'messages' : minimum number of items is 1")
    for index, item in enumerate(cast("list[object]", messages)):
        message = cast("JsonObject", item) if isinstance(item, dict) else {}
        role = message.get("role")
        if not isinstance(role, str) or role not in _PROPERTIES:
            return Refusal(400, f"'messages.{index}' : discriminator property 'role' has invalid value")
        problem = _problem(message, role, f"messages.{index}")
        if problem is not None:
            why = f"'messages.{index}' : for 'role:{role}' the following must be satisfied[({problem})]"
            return Refusal(400, why)
        if "image" not in model.inputs and _holds_image(message):
            place = f"messages[{index}].content"
            return Refusal(400, f"{place} must be a string", param=place)
    return None


def _problem(message: JsonObject, role: str, place: str) -> str | None:
    for name in message:
        if name not in _PROPERTIES[role]:
            return f"'{place}' : property '{name}' is unsupported"
    for name in ("name", "reasoning"):
        if not isinstance(message.get(name), str | None):
            return f"'{place}.{name}' : value must be a string"
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        return f"'{place}.tool_call_id' : property 'tool_call_id' is missing"
    calls = message.get("tool_calls")
    return _problem_of_calls(calls, f"{place}.tool_calls") or _problem_of_content(
        message, _PARTS.get(role, _PARTS_OF_OTHERS), f"{place}.content", may_lack=bool(calls)
    )


def _problem_of_content(message: JsonObject, kinds: tuple[str, ...], place: str, *, may_lack: bool) -> str | None:
    content: object = message.get("content")
    if content is None and may_lack:
        return None
    if "content" not in message:
        return f"'{place}' : property 'content' is missing"
    if isinstance(content, str):
        return None
    if not isinstance(content, list) or not content:
        return f"'{place}' : value must be a string"
    for index, item in enumerate(cast("list[object]", content)):
        part = cast("JsonObject", item) if isinstance(item, dict) else {}
        if part.get("type") not in kinds:
            return f"'{place}.{index}' : discriminator property 'type' has invalid value"
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            return f"'{place}.{index}.text' : property 'text' is missing"
        if part["type"] == "image_url" and not _is_image(part.get("image_url")):
            return f"'{place}.{index}.image_url.url' : property 'url' is missing"
    return None


def _problem_of_calls(calls: object, place: str) -> str | None:
    if calls is None:
        return None
    if not isinstance(calls, list):
        return f"'{place}' : value must be an array"
    for index, item in enumerate(cast("list[object]", calls)):
        call = cast("JsonObject", item) if isinstance(item, dict) else {}
        for name in ("id", "type", "function"):
            if name not in call:
                return f"'{place}.{index}.{name}' : property '{name}' is missing"
        function = cast("JsonObject", call["function"]) if isinstance(call["function"], dict) else {}
        for name in ("name", "arguments"):
            if not isinstance(function.get(name), str):
                return f"'{place}.{index}.function.{name}' : value must be a string"
        if call["type"] != "function" or not isinstance(call["id"], str):
            return f"'{place}.{index}' : value must be a call of a function with an id"
    return None


def _is_image(value: object) -> bool:
    return isinstance(value, dict) and isinstance(cast("JsonObject", value).get("url"), str)


def _holds_image(message: JsonObject) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(part["type"] == "image_url" for part in cast("list[JsonObject]", content))
