"""Tools and JSON answers on Groq's wire: what a request may say of them, and what a model answers.

Shapes and wording follow the API reference and the pages on tool use and structured outputs at console.groq.com/docs.
Whether arguments and answers satisfy a schema is not looked at: they do if the test's responder makes them so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from stageflow_mocks.model_answers import CallTool

JsonObject: TypeAlias = dict[str, Any]

_CHOICES = ("auto", "none", "required")
_FORMATS = ("text", "json_object", "json_schema")
_MOST_TOOLS = 128


@dataclass(frozen=True, slots=True)
class Demands:
    """What a request wants of its answer.

    Attributes:
        tools: The names of those that may be called.
        tool_choice: "auto", "none", "required", or the name of the one that has to be called.
        is_validated: Whether a call of any other tool is a failure.
        is_parallel: Whether several may be called at once.
        is_json: Whether the text has to be JSON.
    """

    tools: tuple[str, ...] = ()
    tool_choice: str = "auto"
    is_validated: bool = True
    is_parallel: bool = True
    is_json: bool = False

    def failure(self, answer: str | Sequence[CallTool]) -> tuple[str, str, str] | None:
        """Say why Groq does not send an answer of its model: message, code and `failed_generation`; None if it does."""
        if isinstance(answer, str):
            return self._failed_text(answer)
        generation = "".join(f"<function={call.name}>{call.written()}</function>" for call in answer)
        for call in answer:
            if self.tool_choice == "none":
                return "Tool choice is none, but model called a tool", "tool_use_failed", generation
            if self.is_validated and call.name not in self.tools:
                message = (
                    f"tool call validation failed: attempted to call tool '{call.name}' which was not in request.tools"
                )
                return message, "tool_use_failed", generation
        return None

    def _failed_text(self, text: str) -> tuple[str, str, str] | None:
        if self.tool_choice not in ("auto", "none"):
            message = "Tool choice is required, but model did not call a tool"
            return message, "tool_use_failed", text
        if self.is_json and not _is_json(text):
            message = "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details."
            return message, "json_validate_failed", text
        return None


def demands_of(given: JsonObject) -> Demands:
    """Read a request that is well-formed."""
    choice = given.get("tool_choice", "auto" if given.get("tools") else "none")
    return Demands(
        tuple(tool["function"]["name"] for tool in given.get("tools", ())),
        choice if isinstance(choice, str) else choice["function"]["name"],
        is_validated=not given.get("disable_tool_validation", False),
        is_parallel=given.get("parallel_tool_calls", True),
        is_json=given.get("response_format", {}).get("type", "text") != "text",
    )


def malformed_tools(given: JsonObject) -> str | None:
    """Say what is wrong with what a request says of tools; None if nothing is."""
    tools = given.get("tools")
    if tools is None:
        return "'tool_choice' : requires 'tools'" if given.get("tool_choice", "none") != "none" else None
    if not isinstance(tools, list):
        return "'tools' : value must be an array"
    if not tools:
        return "'tools' : minimum number of items is 1"
    if len(cast("list[object]", tools)) > _MOST_TOOLS:
        return f"'tools' : maximum number of items is {_MOST_TOOLS}"
    names: list[str] = []
    for index, item in enumerate(cast("list[object]", tools)):
        tool = cast("JsonObject", item) if isinstance(item, dict) else {}
        if tool.get("type") != "function":
            return f"'tools.{index}.type' : value is not one of the allowed values ['function']"
        name = _name(tool)
        if name is None:
            return f"'tools.{index}.function.name' : property 'name' is required"
        names.append(name)
    choice = given.get("tool_choice", "auto")
    if given.get("disable_tool_validation") and not isinstance(choice, str):
        return "'tool_choice' : a specific tool cannot be required with 'disable_tool_validation'"
    return _malformed_choice(choice, names)


def _malformed_choice(choice: object, names: Sequence[str]) -> str | None:
    if isinstance(choice, str):
        return None if choice in _CHOICES else f"'tool_choice' : value is not one of the allowed values {_CHOICES}"
    named = _name(cast("JsonObject", choice)) if isinstance(choice, dict) else None
    if named is None:
        return "'tool_choice.function.name' : property 'name' is required"
    return None if named in names else f"tool choice '{named}' was not found in request.tools"


def _name(value: JsonObject) -> str | None:
    function = value.get("function")
    name = cast("JsonObject", function).get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) and name else None


def malformed_format(given: JsonObject) -> str | None:
    """Say what is wrong with the form that a request wants its answer in; None if nothing is."""
    wanted = given.get("response_format", {})
    kind = cast("JsonObject", wanted).get("type", "text") if isinstance(wanted, dict) else None
    if kind not in _FORMATS:
        return f"'response_format.type' : value is not one of the allowed values {_FORMATS}"
    if kind == "text":
        return None
    if given.get("tools"):
        return "json mode cannot be combined with tool/function calling"
    if kind == "json_object":
        return None
    if given.get("stream"):
        return "response_format `json_schema` does not support streaming"
    schema = cast("JsonObject", wanted).get("json_schema")
    if not isinstance(schema, dict) or not cast("JsonObject", schema).get("name"):
        return "'response_format.json_schema.name' : property 'name' is required"
    return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
