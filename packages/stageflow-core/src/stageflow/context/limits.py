"""Permits that runs share: see `Limits`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from stageflow.context.permits import Ledger, Permit
from stageflow.errors import ForeignLoopError, InvalidOptionError, LimitTooSmallError, UnknownLimitError
from stageflow.wording import shown


class Limits:
    """How many stages may use each of some services at once, over all runs that are given the same object.

    Each attempt of a stage with `limit="groq"` holds one permit of that name. Those that wait are served first come,
    first served, the larger `priority` first, yet none starves.

    It is made anywhere, and serves one event loop at a time.

    Args:
        capacities: By name, how many permits there are.

    Raises:
        InvalidOptionError: It is not a mapping from names to whole numbers above 0, or it is empty.
    """

    __slots__ = ("_capacities", "_ledger")

    def __init__(self, capacities: Mapping[str, int]) -> None:
        self._capacities = _checked(capacities)
        self._ledger: Ledger | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the limits."""
        return tuple(self._capacities)

    def capacity(self, name: str) -> int:
        """Return how many permits there are.

        Raises:
            UnknownLimitError: There is no such limit.
        """
        if name not in self._capacities:
            raise UnknownLimitError(name, given=self.names)
        return self._capacities[name]

    def in_use(self, name: str) -> int:
        """Return how many permits are held.

        Raises:
            UnknownLimitError: There is no such limit.
        """
        self.capacity(name)
        ledger = self._ledger
        return ledger.in_use(name) if ledger is not None and ledger.is_alive() else 0

    def waiting(self, name: str) -> int:
        """Return how many wait for a permit.

        Raises:
            UnknownLimitError: There is no such limit.
        """
        self.capacity(name)
        ledger = self._ledger
        return ledger.waiting(name) if ledger is not None and ledger.is_alive() else 0

    async def acquire(self, needs: Mapping[str, int], priority: int = 0) -> Permit:
        """Wait until all of these permits can be had at once, and take them. Stages have this done for them.

        Args:
            needs: By name, how many.
            priority: The larger, the sooner.

        Raises:
            UnknownLimitError: There is no limit of that name.
            LimitTooSmallError: There are never that many.
            InvalidOptionError: It is none at all.
            ForeignLoopError: Another event loop uses these limits.
            asyncio.CancelledError: The caller was cancelled, and holds nothing.
        """
        for name, count in needs.items():
            if count < 1:
                raise InvalidOptionError(name, f"is taken 1 time or more, not {count}", of="acquire()")
            if count > self.capacity(name):
                raise LimitTooSmallError(name, needed=count, capacity=self._capacities[name])
        permit = Permit(self._of_this_loop, needs, priority)
        await permit.regain()
        return permit

    def acquire_nowait(self, name: str, priority: int = 0) -> Permit | None:
        """Take one permit as `acquire` does, or return None if that would have to wait.

        Raises:
            UnknownLimitError: There is no limit of that name.
            ForeignLoopError: Another event loop uses these limits.
        """
        if name not in self._capacities:
            raise UnknownLimitError(name, given=self.names)
        ledger = self._of_this_loop()
        return Permit(self._of_this_loop, {name: 1}, priority, ledger) if ledger.take_one(name) else None

    def _of_this_loop(self) -> Ledger:
        loop, ledger = asyncio.get_running_loop(), self._ledger
        if ledger is None or ledger.loop is not loop:
            if ledger is not None and ledger.is_alive():
                raise ForeignLoopError("Limits")
            # Who held permits in a loop that is closed will never give them back, nor use them.
            ledger = self._ledger = Ledger(loop, self._capacities)
        return ledger

    def __repr__(self) -> str:
        return f"<Limits {'; '.join(map(self._told, self._capacities))}>"

    def _told(self, name: str) -> str:
        waiting = self.waiting(name)
        used = f"{name}: {self.in_use(name)} of {self._capacities[name]} in use"
        return f"{used}, {waiting} waiting" if waiting else used


_HINT = "Write Limits({'groq': 8}): a name, and how many stages may use it at once."


def _checked(given: Any) -> dict[str, int]:
    if not isinstance(given, Mapping) or not given:
        what = "are a mapping from names to numbers of permits"
        problem = f"{what}, with at least one" if isinstance(given, Mapping) else f"{what}, not {shown(given)}"
        raise InvalidOptionError("capacities", problem, of="Limits", hint=_HINT)
    for name, count in cast("Mapping[Any, Any]", given).items():
        if not isinstance(name, str) or not name:
            raise InvalidOptionError(
                "capacities", f"have a text as each name, not {shown(name)}", of="Limits", hint=_HINT
            )
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            problem = f"is a whole number of permits, 1 or more, not {shown(count)}"
            raise InvalidOptionError(name, problem, of="Limits", hint=_HINT)
    return dict(cast("Mapping[str, int]", given))
