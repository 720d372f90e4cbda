"""Which work has been done."""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

ClaimState = Literal["granted", "running", "done", "conflict"]
"""What an IdempotencyStore says to a claim: the key was free and is the caller's now, to `complete` or `release`;
another caller is at it, so `wait` and claim again; the work has been done; the key stands for other parameters."""


class Claim:
    """The answer of an IdempotencyStore. `value` is what the work gave, if it has been done."""

    __slots__ = ("state", "value")

    def __init__(self, state: ClaimState, value: Any = None) -> None:
        self.state = state
        self.value = value

    def __repr__(self) -> str:
        return f"Claim({self.state!r})"


@runtime_checkable
class IdempotencyStore(Protocol):
    """Remembers which work has been done, so that it has one effect however often it is asked for.

    `key` names the work, `fingerprint` its parameters, `owner` one caller of `claim`. What is kept is a StageOutput,
    which can be pickled; a store in the same process may keep the object itself.

    Attributes:
        lease_seconds: How long a claim lasts unless it is renewed, so that the key of a caller that died becomes free;
            None if claims last until they are completed or released.
    """

    lease_seconds: float | None

    async def claim(self, key: str, *, fingerprint: str, owner: str) -> Claim:
        """Take the key for this owner if it is free: in one step, so that of two callers one gets it."""
        ...

    async def wait(self, key: str) -> None:
        """Return when it may be worth claiming the key again; a store that cannot be told sleeps for a moment."""
        ...

    async def renew(self, key: str, *, owner: str) -> bool:
        """Begin the lease anew; False if the key is no longer this owner's."""
        ...

    async def complete(self, key: str, *, owner: str, value: Any) -> bool:
        """Keep what came of the work, and end the claim; False if the key is no longer this owner's."""
        ...

    async def release(self, key: str, *, owner: str) -> None:
        """Free the key, since the work was not done; nothing happens if it is no longer this owner's."""
        ...


class NoOpIdempotencyStore:
    """Grants every claim and remembers nothing: work is done as often as it is asked for."""

    lease_seconds: float | None = None

    async def claim(self, key: str, *, fingerprint: str, owner: str) -> Claim:
        return Claim("granted")

    async def wait(self, key: str) -> None:
        return None

    async def renew(self, key: str, *, owner: str) -> bool:
        return True

    async def complete(self, key: str, *, owner: str, value: Any) -> bool:
        return True

    async def release(self, key: str, *, owner: str) -> None:
        return None
