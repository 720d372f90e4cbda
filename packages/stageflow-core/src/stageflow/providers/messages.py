"""What a conversation with a language model is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from stageflow.frozen import EMPTY, freeze_mapping
from stageflow.providers.checking import check_count, check_instance, check_text, check_unique, tuple_of
from stageflow.value import Value

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)


class ToolCall(Value):
    """A call that a model asks for.

    Attributes:
        id: Names the call; the message with its result repeats it as `tool_call_id`.
        name: Of the tool.
        arguments: As the model wrote them: JSON as a rule, but nobody has checked that; see
            `stageflow.tool_calls.arguments_of`.
    """

    __slots__ = ("arguments", "id", "name")

    id: str
    name: str
    arguments: str

    def __init__(self, id: str, name: str, arguments: str) -> None:
        check_text("a ToolCall", "id", id, filled=True)
        check_text("a ToolCall", "name", name, filled=True)
        check_text("a ToolCall", "arguments", arguments)
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", arguments)


class Message(Value):
    """One message of a conversation.

    Attributes:
        role: Who speaks.
        content: What is said; the result of a call, if a tool speaks; may be empty.
        name: The speaker's or the tool's, where a provider asks for one.
        tool_calls: The calls that an assistant asks for; only its messages have any.
        tool_call_id: Which call a tool's message answers; each of those has one, and no other message.
    """

    __slots__ = ("content", "name", "role", "tool_call_id", "tool_calls")

    role: Role
    content: str
    name: str | None
    tool_calls: tuple[ToolCall, ...]
    tool_call_id: str | None

    def __init__(
        self,
        role: Role,
        content: str,
        name: str | None = None,
        *,
        tool_calls: tuple[ToolCall, ...] = (),
        tool_call_id: str | None = None,
    ) -> None:
        if role not in ROLES:
            raise ValueError(f"A message's role is one of {', '.join(ROLES)}, not {role!r}.")
        if not isinstance(content, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"A message's content is a string, not {content!r}.")
        if not isinstance(name, str | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"A message's name is a string or None, not {name!r}.")
        calls = tool_calls
        if calls != ():
            calls = tuple_of("a Message", "tool_calls", tool_calls, ToolCall)
            check_unique("a Message", "id of the tool_calls", (call.id for call in calls))
            if calls and role != "assistant":
                raise ValueError(f"tool_calls of a Message are an assistant's; this one's role is {role!r}.")
        if (role == "tool") != (tool_call_id is not None):
            raise ValueError(_TOOL_NEEDS_ID if role == "tool" else f"{_ID_NEEDS_TOOL}; this one's role is {role!r}.")
        check_text("a Message", "tool_call_id", tool_call_id, optional=True, filled=True)
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "content", content)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "tool_calls", calls)
        object.__setattr__(self, "tool_call_id", tool_call_id)


_TOOL_NEEDS_ID = "A tool's Message has the tool_call_id of the call that it answers."
_ID_NEEDS_TOOL = "tool_call_id of a Message is for a tool's"


class Tool(Value):
    """What a model may ask to have called.

    Attributes:
        name: What it is called by.
        description: What it is for, in words for the model.
        parameters: The JSON Schema of its arguments, which is that of an object; it takes none if this is empty.
    """

    __slots__ = ("description", "name", "parameters")

    name: str
    description: str
    parameters: Mapping[str, Any]

    def __init__(self, name: str, description: str, parameters: Mapping[str, Any] = EMPTY) -> None:
        check_text("a Tool", "name", name, filled=True)
        check_text("a Tool", "description", description)
        check_instance("a Tool", "parameters", parameters, Mapping)
        if parameters and parameters.get("type", "object") != "object":
            raise ValueError(f"parameters of the Tool {name!r} is the schema of an object: 'type' is 'object'.")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "parameters", freeze_mapping(parameters, "parameters"))


class Usage(Value):
    """What a call used, in tokens as the provider counts them; it knew `cached_tokens` of the prompt already."""

    __slots__ = ("cached_tokens", "completion_tokens", "prompt_tokens")

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int

    def __init__(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> None:
        check_count("a Usage", "prompt_tokens", prompt_tokens)
        check_count("a Usage", "completion_tokens", completion_tokens)
        check_count("a Usage", "cached_tokens", cached_tokens)
        if cached_tokens > prompt_tokens:
            raise ValueError(
                f"cached_tokens of a Usage are among its {prompt_tokens} prompt_tokens, not {cached_tokens}."
            )
        object.__setattr__(self, "prompt_tokens", prompt_tokens)
        object.__setattr__(self, "completion_tokens", completion_tokens)
        object.__setattr__(self, "cached_tokens", cached_tokens)

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens
