"""How far a mapped stage has come, as events."""

from __future__ import annotations

from stageflow.events.emitter import Emitter


class Progress:
    """Emits `stage.{name}.progress` now and then: at each further hundredth, or tenth if the total is unknown."""

    __slots__ = ("_emitter", "_event", "_next", "_stage", "_told", "_total")

    def __init__(self, emitter: Emitter, stage: str, total: int | None) -> None:
        self._emitter = emitter
        self._stage = stage
        self._event = f"stage.{stage}.progress"
        self._total = total
        self._told = 0
        self._next = 1 if total is None else -(-total // 100)

    def reached(self, done: int) -> None:
        """Note how many items are done."""
        if done >= self._next:
            self._tell(done)

    def end(self, done: int) -> None:
        """Tell how many there were, unless that has been told."""
        if done > self._told:
            self._tell(done)

    def _tell(self, done: int) -> None:
        total = self._total
        self._told = done
        if total is None:
            self._next = done + max(1, done // 10)
        else:
            self._next = -(-total * (done * 100 // total + 1) // 100)
        self._emitter.emit(self._event, stage=self._stage, attempt=1, data={"done": done, "total": total})
