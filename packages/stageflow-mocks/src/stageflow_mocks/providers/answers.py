"""What a mock of a language model answers, and what it counts.

A token is up to eight characters that are no spaces, with the spaces before them, as for `GroqServer`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast, get_args

from stageflow.providers import FinishReason, LLMChunk, LLMRequest, ToolCallPiece, Usage

from stageflow_mocks.model_answers import CallTool, split_tokens
from stageflow_mocks.wording import brief_repr, listed, nearest, shown


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """An answer of a language model, for what a text or a CallTool alone cannot say.

    Args:
        text: What it says.
        tool_calls: The calls that it asks for.
        finish_reason: "tool_calls" where there are any, else "stop", if None. One that `max_tokens` cuts ends with
            "length", unless this is "content_filter".
        usage: What the call is said to have used; counted if None.
    """

    text: str = ""
    tool_calls: tuple[CallTool, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None

    def __post_init__(self) -> None:
        text: Any = self.text
        if not isinstance(text, str):
            raise TypeError(f"text of an Answer is a string, not {shown(text)}.")
        calls: Any = self.tool_calls
        if not isinstance(calls, list | tuple) or not all(
            isinstance(call, CallTool) for call in cast("Sequence[Any]", calls)
        ):
            raise TypeError(f"tool_calls of an Answer is a tuple of CallTool, not {shown(cast('object', calls))}.")
        object.__setattr__(self, "tool_calls", tuple(cast("Sequence[CallTool]", calls)))
        for call in self.tool_calls:
            try:
                call.written()
            except (TypeError, ValueError) as error:
                raise TypeError(f"arguments of the CallTool '{call.name}' are written as JSON: {error}.") from error
        if self.usage is not None and not isinstance(self.usage, Usage):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"usage of an Answer is a Usage or None, not {shown(self.usage)}.")
        reasons = get_args(FinishReason)
        if self.finish_reason is not None and self.finish_reason not in reasons:
            hint = nearest(str(self.finish_reason), reasons)
            told = f"finish_reason of an Answer is one of {', '.join(reasons)}, or None"
            raise ValueError(f"{told}, not {shown(self.finish_reason)}. {hint}".rstrip())
        if self.finish_reason == "tool_calls" and not self.tool_calls:
            raise ValueError(
                "finish_reason of an Answer is 'tool_calls', and it has none: that is Malformed('no_calls')."
            )

    def __repr__(self) -> str:
        return brief_repr(self)


AnswerGiven: TypeAlias = str | CallTool | Sequence[CallTool] | Answer
"""What may be given as an answer."""

LLMFunction: TypeAlias = Callable[[LLMRequest], Any]
"""A function that answers requests, with an AnswerGiven or a fault; it may be async."""


def echo(request: LLMRequest) -> str:
    """Answer with what was said last: `MockLLM(echo)`."""
    return request.messages[-1].content


def read_answer(given: Any, what: str) -> Answer:
    """Return what is given as an answer.

    Raises:
        TypeError: It is none.
    """
    if isinstance(given, Answer):
        return given
    if isinstance(given, str):
        return Answer(given)
    if isinstance(given, CallTool):
        return Answer(tool_calls=(given,))
    if isinstance(given, list | tuple):
        calls = tuple(cast("Sequence[Any]", given))
        if calls and all(isinstance(call, CallTool) for call in calls):
            return Answer(tool_calls=calls)
    raise TypeError(
        f"{what} is a string, a CallTool, a list of them, an Answer, or a fault, not {shown(cast('object', given))}."
    )


def misfit(answer: Answer, request: LLMRequest) -> str | None:
    """Return why a provider would not give this answer to this request; None if it may."""
    names = [tool.name for tool in request.tools]
    for call in answer.tool_calls:
        if call.name not in names:
            return (
                f"is told to call the tool '{call.name}', which the request does not have. "
                f"{nearest(call.name, names)}Tools: {listed(names)}."
            )
        if request.tool_choice not in ("auto", "required", call.name):
            return f"is told to call the tool '{call.name}', and tool_choice is {request.tool_choice!r}."
    if request.tool_choice not in ("auto", "none") and not answer.tool_calls:
        return f"is told to call no tool, and tool_choice is {request.tool_choice!r}."
    if request.json_schema is not None and not answer.tool_calls and not _is_json(answer.text):
        return "is told to answer what is no JSON, and the request has a json_schema."
    return None


def pieces_of(
    answer: Answer, request: LLMRequest, call: int, chunk: Callable[..., LLMChunk]
) -> tuple[list[LLMChunk], FinishReason]:
    """Return the answer as the pieces that a stream sends, a token each made by `chunk`, and why it ends there."""
    text = answer.text
    if request.stop:
        text = re.split("|".join(map(re.escape, request.stop)), text, maxsplit=1)[0]
    chunks = [chunk(token) for token in split_tokens(text)]
    for index, asked in enumerate(answer.tool_calls):
        chunks.append(chunk(tool_calls=(ToolCallPiece(index, f"call_{call}_{index}", asked.name),)))
        chunks += (chunk(tool_calls=(ToolCallPiece(index, arguments=part),)) for part in _parts(asked))
    if request.max_tokens is not None and len(chunks) > request.max_tokens:
        return chunks[: request.max_tokens], "content_filter" if answer.finish_reason == "content_filter" else "length"
    return chunks, answer.finish_reason or ("tool_calls" if answer.tool_calls else "stop")


def usage_of(answer: Answer, request: LLMRequest, pieces: int) -> Usage:
    """Return what is scripted, or counted: the tokens of all messages, and the pieces that were sent."""
    return answer.usage or Usage(sum(_tokens_of(request)), pieces)


def _tokens_of(request: LLMRequest) -> Iterator[int]:
    for message in request.messages:
        yield len(split_tokens(message.content))
        for call in message.tool_calls:
            yield 1 + len(split_tokens(call.arguments))


def _parts(call: CallTool) -> list[str]:
    return split_tokens(call.written())


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON.")


def asked_of(request: LLMRequest) -> str:
    """Return what a message calls a request: who spoke last, and what was said."""
    last = request.messages[-1]
    before = len(request.messages) - 1
    return f"{last.role}: {shown(last.content)}" + (f", in message {before + 1}" if before else "")


def compiled(patterns: Mapping[Any, Any]) -> dict[str, re.Pattern[str]]:
    """Return the patterns, ready to be looked for.

    Raises:
        TypeError, ValueError: One of them is no regular expression; the message says which, and where it breaks.
    """
    found: dict[str, re.Pattern[str]] = {}
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"A pattern is a regular expression as a string, not {shown(pattern)}.")
        try:
            found[pattern] = re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"The pattern {pattern!r} is no regular expression: {error}.") from None
    return found
