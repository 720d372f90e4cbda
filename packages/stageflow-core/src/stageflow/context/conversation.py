"""The conversation so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, get_args

from stageflow.value import Value

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)


class Message(Value):
    """One message of a conversation. `name` is the speaker's or the tool's, where a provider asks for one."""

    __slots__ = ("content", "name", "role")

    role: Role
    content: str
    name: str | None

    def __init__(self, role: Role, content: str, name: str | None = None) -> None:
        if role not in ROLES:
            raise ValueError(f"A message's role is one of {', '.join(ROLES)}, not {role!r}.")
        if not isinstance(content, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"A message's content is a string, not {content!r}.")
        if not isinstance(name, str | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"A message's name is a string or None, not {name!r}.")
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "content", content)
        object.__setattr__(self, "name", name)


class Conversation(Value):
    """Messages, oldest first. It is frozen: adding a message gives a new one."""

    __slots__ = ("messages",)

    messages: tuple[Message, ...]

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        object.__setattr__(self, "messages", tuple(messages))
        for message in self.messages:
            if not isinstance(message, Message):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"A conversation is made of Message objects, not {message!r}: see with_message().")

    def with_message(self, role: Role, content: str, *, name: str | None = None) -> Conversation:
        """Return a conversation with one message more."""
        return Conversation((*self.messages, Message(role, content, name)))

    def last(self, role: Role | None = None) -> Message | None:
        """Return the newest message, or the newest of one role, or None if there is none."""
        return next((m for m in reversed(self.messages) if role is None or m.role == role), None)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)
