"""Conversations and their messages."""

from __future__ import annotations

from typing import Any

import pytest
from stageflow import Conversation
from stageflow.providers import ROLES, Message


def test_adding_a_message_leaves_the_conversation_as_it_is() -> None:
    """A conversation is frozen; with_message returns another."""
    empty = Conversation()
    full = empty.with_message("user", "hi").with_message("tool", "42", name="sum", tool_call_id="call_1")
    assert () == empty.messages
    assert (Message("user", "hi"), Message("tool", "42", "sum", tool_call_id="call_1")) == full.messages


def test_a_conversation_is_walked_from_the_oldest_message() -> None:
    """It has a length, and its messages come in order."""
    conversation = Conversation().with_message("user", "a").with_message("assistant", "b")
    assert (["a", "b"], 2) == ([message.content for message in conversation], len(conversation))


def test_messages_may_come_as_a_list() -> None:
    """A list is taken over, and changing it later changes nothing."""
    messages: Any = [Message("user", "a")]
    conversation = Conversation(messages)
    messages.clear()
    assert (Message("user", "a"),) == conversation.messages


@pytest.mark.parametrize(("role", "expected"), [(None, "c"), ("user", "a"), ("assistant", "c"), ("tool", None)])
def test_the_last_message_is_found(role: Any, expected: str | None) -> None:
    """The newest of all or of one role, or None."""
    conversation = Conversation((Message("user", "a"), Message("assistant", "b"), Message("assistant", "c")))
    found = conversation.last(role)
    assert expected == (found and found.content)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_is_taken(role: Any) -> None:
    """The four roles that providers know."""
    assert role == Message(role, "a", tool_call_id="call_1" if role == "tool" else None).role


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("robot", "a"), ValueError, "A message's role is one of system, user, assistant, tool, not 'robot'."),
        ((None, "a"), ValueError, "A message's role is one of system, user, assistant, tool, not None."),
        (("user", 1), TypeError, "A message's content is a string, not 1."),
        (("user", "a", 1), TypeError, "A message's name is a string or None, not 1."),
    ],
)
def test_a_wrong_message_is_refused_when_it_is_made(arguments: Any, error: type[Exception], text: str) -> None:
    """What could not be read back from JSON does not come into being."""
    with pytest.raises(error) as caught:
        Message(*arguments)
    assert text == str(caught.value)


def test_a_conversation_of_dicts_is_refused() -> None:
    """The error shows the way to make messages."""
    messages: Any = [{"role": "user", "content": "a"}]
    with pytest.raises(TypeError, match=r"^A conversation is made of Message objects, not \{'role'.*with_message"):
        Conversation(messages)
