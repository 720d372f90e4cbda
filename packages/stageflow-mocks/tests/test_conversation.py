"""The rules by which a fake answers from a conversation."""

import pytest
from stageflow_mocks import answer_from_conversation


def _said(*texts: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": text} for text in texts]


@pytest.mark.parametrize(
    ("texts", "answer"),
    [
        (("My name is Ada.", "What is my name?"), "Your name is Ada."),
        (("My name is Ada.", "Do you remember my name?"), "Your name is Ada."),
        (("Call me Ada!", "who am I?"), "Your name is Ada."),
        (("My name is Ada.", "My name is Grace.", "What's my name?"), "Your name is Grace."),
        (("my favourite colour is dark blue", "What is my favourite colour?"), "Your favourite colour is dark blue."),
        (("My name is Ada and I like tea.", "What is my name?"), "Your name is Ada."),
        (("My name is Ada, my cat is Tom; hello", "What is my cat?"), "Your cat is Tom."),
        (("What is my name?",), "You have not told me your name yet."),
        (("My name is Ada. What is my name?",), "You have not told me your name yet."),
        (("My name is Ada.",), "Nice to meet you, Ada."),
        (("My cat is called Tom.",), "I will remember that your cat is called Tom."),
        (("It rains.", "What did I say?"), "You said: “It rains.”"),
        (("What did I just say?",), "This is the first thing that you said."),
        (("Hello!",), "Hello! What shall we talk about?"),
        (("My name is Ada.", "hi there"), "Hello again, Ada! What shall we talk about?"),
        (("It rains.", "Still."), "You wrote “Still.”. That is message 2 of our conversation."),
    ],
)
def test_rule(texts: tuple[str, ...], answer: str) -> None:
    """Each rule gives its one answer, from what was said before and nothing else."""
    assert answer == answer_from_conversation(_said(*texts))


def test_only_the_user_is_heard() -> None:
    """What the system prompt and the assistant say is no fact about the user."""
    messages = [
        {"role": "system", "content": "My name is Groq."},
        {"role": "assistant", "content": "My name is Groq."},
        *_said("What is my name?"),
    ]
    assert answer_from_conversation(messages) == "You have not told me your name yet."


def test_text_parts_are_read_as_one_text() -> None:
    """Content may be a list of parts, of which the text is read."""
    parts = [{"type": "text", "text": "My name"}, {"type": "image_url"}, {"type": "text", "text": "is Ada."}]
    assert answer_from_conversation([{"role": "user", "content": parts}]) == "Nice to meet you, Ada."


def test_nothing_said() -> None:
    """A conversation without a user has an answer too."""
    assert answer_from_conversation([{"role": "system", "content": "x"}]) == "I have not heard anything from you yet."


def test_long_text_is_quoted_short() -> None:
    """A reflection quotes at most 80 characters."""
    answer = answer_from_conversation(_said("word " * 1000))
    assert len(answer) < 140
    assert "…" in answer
