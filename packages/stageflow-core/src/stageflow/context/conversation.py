"""The conversation so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stageflow.providers import Message, Role, ToolCall
from stageflow.value import Value


class Conversation(Value):
    """Messages, oldest first. It is frozen: adding a message gives a new one."""

    __slots__ = ("messages",)

    messages: tuple[Message, ...]

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        object.__setattr__(self, "messages", tuple(messages))
        for message in self.messages:
            if not isinstance(message, Message):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"A conversation is made of Message objects, not {message!r}: see with_message().")

    def with_message(
        self,
        role: Role,
        content: str,
        *,
        name: str | None = None,
        tool_calls: tuple[ToolCall, ...] = (),
        tool_call_id: str | None = None,
    ) -> Conversation:
        """Return a conversation with one message more; see `Message` for what it is made of."""
        message = Message(role, content, name, tool_calls=tool_calls, tool_call_id=tool_call_id)
        return Conversation((*self.messages, message))

    def last(self, role: Role | None = None) -> Message | None:
        """Return the newest message, or the newest of one role, or None if there is none."""
        return next((m for m in reversed(self.messages) if role is None or m.role == role), None)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)
