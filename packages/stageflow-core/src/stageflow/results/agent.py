"""What stages return that ask a model."""

from __future__ import annotations

from typing import ClassVar, get_args

from stageflow.core.kinds import StageKind
from stageflow.providers import FinishReason, ToolCall, Usage
from stageflow.results.base import TypedResult
from stageflow.results.fields import count, many, milliseconds, text, text_or_none
from stageflow.value import Value
from stageflow.wording import sketched


class AgentResult(Value, TypedResult):
    """What the model behind an AGENT stage answered.

    Attributes:
        text: What it says; empty if it only calls tools.
        model: The model that gave it, by its own account.
        provider: The name of the provider.
        finish_reason: Why it ended there.
        tool_calls: The calls that it asks for.
        usage: None if the provider does not say.
        chunks: In how many pieces it came; 0 if it came whole.
        first_text_ms: Milliseconds from the request to the first text; None if it came whole, or without text.
        request_id: The provider's id of the request.
    """

    __slots__ = (
        "chunks",
        "finish_reason",
        "first_text_ms",
        "model",
        "provider",
        "request_id",
        "text",
        "tool_calls",
        "usage",
    )

    kind: ClassVar[StageKind] = StageKind.AGENT

    text: str
    model: str
    provider: str
    finish_reason: FinishReason
    tool_calls: tuple[ToolCall, ...]
    usage: Usage | None
    chunks: int
    first_text_ms: float | None
    request_id: str | None

    def __init__(
        self,
        text: str,
        model: str,
        provider: str,
        finish_reason: FinishReason,
        tool_calls: tuple[ToolCall, ...] = (),
        usage: Usage | None = None,
        chunks: int = 0,
        first_text_ms: float | None = None,
        request_id: str | None = None,
    ) -> None:
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"AgentResult.text is a text, not {sketched(text)}.")
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "model", _name("AgentResult.model", model))
        object.__setattr__(self, "provider", _name("AgentResult.provider", provider))
        object.__setattr__(self, "finish_reason", _finish_reason(finish_reason))
        object.__setattr__(self, "tool_calls", many("AgentResult.tool_calls", tool_calls, ToolCall))
        object.__setattr__(self, "usage", _usage(usage))
        object.__setattr__(self, "chunks", count("AgentResult.chunks", chunks))
        first = None if first_text_ms is None else milliseconds("AgentResult.first_text_ms", first_text_ms)
        object.__setattr__(self, "first_text_ms", first)
        object.__setattr__(self, "request_id", text_or_none("AgentResult.request_id", request_id))


_name = text


def _finish_reason(value: FinishReason) -> FinishReason:
    if value not in get_args(FinishReason):
        raise ValueError(f"AgentResult.finish_reason is one of {', '.join(get_args(FinishReason))}, not {value!r}.")
    return value


def _usage(value: Usage | None) -> Usage | None:
    if not isinstance(value, Usage | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"AgentResult.usage is a Usage or None, not {sketched(value)}.")
    return value
