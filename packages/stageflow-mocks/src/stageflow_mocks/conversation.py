"""Answers derived from a conversation by a handful of rules, for fakes that must not be random.

The rules, in the order in which they are tried on the last user message:

1. A question about oneself ("What is my name?", "Do you remember my favourite colour?", "Who am I?") is answered from
   what earlier user messages stated ("My name is Ada.", "Call me Ada."); the latest statement wins. What was never
   stated is answered with "You have not told me your ... yet."
2. "What did I say?" (or ask, tell, write) quotes the user message before it.
3. A statement about oneself is confirmed with its value.
4. A greeting is returned, by name where one was stated.
5. Anything else is reflected: its first words are quoted, and the answer says which message of the conversation it was.

Only user messages are read, so what a system prompt says never shows up as the user's own words.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from stageflow_mocks.model_answers import CallTool, Reasoned

ChatMessage: TypeAlias = Mapping[str, Any]
"""One message as it came over the wire: `role`, and `content` as text or as a list of text parts."""

_Said: TypeAlias = str | CallTool | Sequence[CallTool] | Reasoned

Responder: TypeAlias = Callable[[Sequence[ChatMessage]], _Said | Awaitable[_Said]]
"""Turns the messages of a request into the text of the answer, or into tool calls of the model, with thoughts before
them or without; it may be async."""

_QUOTE_LENGTH = 80

# A value ends with its clause: "My name is Ada, and I like tea." is about a name that is Ada.
_VALUE = r"(?P<value>[^.,;!?\n]+?)(?= and (?:i|my)\b| but |[.,;!?\n]|$)"
_STATEMENT = re.compile(rf"\bmy (?P<topic>\w+(?: \w+)?) (?:is|are) {_VALUE}", re.IGNORECASE)
_NAMED = re.compile(rf"\b(?:call me|i am called|i'm called) {_VALUE}", re.IGNORECASE)
_TOPIC_QUESTION = re.compile(
    r"\b(?:what(?:'s| is| are| was| were)|which is|tell me|remember|know|recall) (?:\w+ )?my (?P<topic>\w+(?: \w+)?)\b",
    re.IGNORECASE,
)
_WHO_AM_I = re.compile(r"\bwho am i\b", re.IGNORECASE)
_WHAT_DID_I_SAY = re.compile(r"\bwhat did i (?:just )?(?:say|ask|tell|write)\b", re.IGNORECASE)
_GREETING = re.compile(r"^\W*(?:hello|hi|hey|good (?:morning|afternoon|evening))\b", re.IGNORECASE)


def answer_from_conversation(messages: Sequence[ChatMessage]) -> str:
    """Answer the last user message by the rules at the head of this module."""
    said = [text for message in messages if message.get("role") == "user" and (text := message_text(message))]
    if not said:
        return "I have not heard anything from you yet."
    *earlier, last = said
    return (
        _answer_about_user(last, earlier)
        or _answer_what_was_said(last, earlier)
        or _answer_statement(last)
        or _answer_greeting(last, earlier)
        or _reflect(last, len(said))
    )


def message_text(message: ChatMessage) -> str:
    """Join the text of a message, whose content is a string or a list of typed parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content.strip()
    if not isinstance(content, list):
        return ""
    parts = [cast("ChatMessage", part) for part in cast("list[object]", content) if isinstance(part, Mapping)]
    return " ".join(str(part.get("text", "")) for part in parts if part.get("type") == "text").strip()


def _answer_about_user(last: str, earlier: Sequence[str]) -> str | None:
    if _WHO_AM_I.search(last):
        topic = "name"
    elif match := _TOPIC_QUESTION.search(last):
        topic = match["topic"].lower()
    else:
        return None
    value = _facts(earlier).get(topic)
    if value is None:
        return f"You have not told me your {topic} yet."
    return f"Your {topic} is {value}."


def _answer_what_was_said(last: str, earlier: Sequence[str]) -> str | None:
    if not _WHAT_DID_I_SAY.search(last):
        return None
    return f"You said: “{_shorten(earlier[-1])}”" if earlier else "This is the first thing that you said."


def _answer_statement(last: str) -> str | None:
    facts = _facts([last])
    if not facts:
        return None
    if "name" in facts:
        return f"Nice to meet you, {facts['name']}."
    topic, value = next(iter(facts.items()))
    return f"I will remember that your {topic} is {value}."


def _answer_greeting(last: str, earlier: Sequence[str]) -> str | None:
    if not _GREETING.search(last):
        return None
    name = _facts(earlier).get("name")
    return f"Hello again, {name}! What shall we talk about?" if name else "Hello! What shall we talk about?"


def _reflect(last: str, count: int) -> str:
    return f"You wrote “{_shorten(last)}”. That is message {count} of our conversation."


def _facts(texts: Sequence[str]) -> dict[str, str]:
    facts: dict[str, str] = {}
    for text in texts:
        for match in _STATEMENT.finditer(text):
            facts[match["topic"].lower()] = match["value"].strip()
        for match in _NAMED.finditer(text):
            facts["name"] = match["value"].strip()
    return facts


def _shorten(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _QUOTE_LENGTH else flat[: _QUOTE_LENGTH - 1].rstrip() + "…"
