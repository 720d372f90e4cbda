"""Stages that remember a conversation: what they need of a store, and what they pass on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from stageflow import StageContext, StageKind, StageOutput


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that one side of a conversation said."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class RememberedTurns:
    """The newest turns of a session, oldest first. `omitted` counts the older ones that were left out."""

    turns: tuple[Turn, ...]
    omitted: int


class MemoryStore(Protocol):
    """Keeps the turns of conversations, by session."""

    async def recent(self, session_id: str, *, max_turns: int, max_characters: int) -> RememberedTurns:
        """Return the newest turns of a session, as many as fit both limits."""
        ...

    async def append(self, session_id: str, turns: Sequence[Turn], *, key: str) -> None:
        """Add turns to a session, all or none; turns that were added before under the same key stay as they are."""
        ...


class MemoryPorts(Protocol):
    """What the memory stages need of a run's ports."""

    @property
    def memory(self) -> MemoryStore: ...


class MemoryFetchStage:
    """Reads the newest turns of the run's session from `ctx.ports.memory`.

    It is skipped in a run without a `session_id`, which has nothing to remember: depend on it as optional.

    Args:
        max_turns: How many turns to read at most.
        max_characters: How much text to read at most; the turn that goes over it is left out, with all before it.
    """

    name = "memory_fetch"
    kind = StageKind.ENRICH
    ports = ("memory",)

    def __init__(self, *, max_turns: int = 20, max_characters: int = 16_000) -> None:
        if max_turns < 1 or max_characters < 1:
            raise ValueError(f"max_turns and max_characters are 1 or more, not {max_turns} and {max_characters}.")
        self._max_turns = max_turns
        self._max_characters = max_characters

    async def execute(self, ctx: StageContext) -> StageOutput[RememberedTurns]:
        """Fetch the turns."""
        session_id = ctx.snapshot.run_id.session_id
        if session_id is None:
            return StageOutput.skip("the run has no session_id")
        store = _store(ctx)
        found = await store.recent(session_id, max_turns=self._max_turns, max_characters=self._max_characters)
        return StageOutput.ok(found)


class MemoryWriteStage:
    """Adds what was asked and what was answered to the session, in `ctx.ports.memory`.

    Both turns are written or neither is, and a repeated attempt writes them once. It is skipped in a run without a
    `session_id`.

    Args:
        question_from: The stage whose `text` the user said; a dependency of this one.
        answer_from: The stage whose `text` was answered; a dependency of this one.
    """

    name = "memory_write"
    kind = StageKind.WORK
    ports = ("memory",)

    def __init__(self, *, question_from: str = "input_guard", answer_from: str = "output_guard") -> None:
        self._question_from = question_from
        self._answer_from = answer_from

    async def execute(self, ctx: StageContext) -> StageOutput[object]:
        """Write the two turns."""
        session_id = ctx.snapshot.run_id.session_id
        if session_id is None:
            return StageOutput.skip("the run has no session_id")
        turns = (
            Turn("user", ctx.inputs.require_from(self._question_from, "text")),
            Turn("assistant", ctx.inputs.require_from(self._answer_from, "text")),
        )
        await _store(ctx).append(session_id, turns, key=ctx.idempotency_key)
        return StageOutput.ok(written=len(turns))


def _store(ctx: StageContext) -> MemoryStore:
    return cast("MemoryPorts", ctx.ports).memory
