"""The permits of stages that streams join.

A member of such a group waits for the others in the midst of its work: for room in a buffer, for a chunk. If it held a
permit meanwhile, and another member had to wait for one, two groups could each hold what the other one needs. So where
two members or more name limits, the first that starts takes the permits of all of them at once, or none, and each
member gives its own back when it has ended, and not before: not during a back-off, nor while it runs a child.

So nobody may wait for anything else while the group has them. No member starts before all have come that any of them
waits for from outside, not even one that could because what it reads was skipped. And with `max_concurrency` a group
that has begun keeps its slot: whoever is let go of it comes first.
"""

from __future__ import annotations

import asyncio
from typing import Any

from stageflow.context.permits import Permit
from stageflow.core.context import RunScope
from stageflow.execution.permits import counted
from stageflow.execution.plan import PermitGroup


class GroupPermits:
    """The permits of the groups of one run; it belongs to the run's `RunStreams`.

    Attributes:
        held: By the index of a stage, the permit that it has until it ends.
    """

    __slots__ = ("_granted", "_over", "held")

    def __init__(self) -> None:
        self.held: dict[int, Permit] = {}
        self._over: set[int] = set()
        self._granted: dict[PermitGroup, asyncio.Future[None]] = {}

    async def take(self, scope: RunScope, group: PermitGroup) -> None:
        """Wait until the whole group has its permits.

        Raises:
            ForeignLoopError: Another event loop uses the limits.
            asyncio.CancelledError: The run is ending.
        """
        while (granted := self._granted.get(group)) is None or not granted.done():
            if granted is not None:
                await asyncio.wait((granted,))
                continue
            self._granted[group] = granted = asyncio.get_running_loop().create_future()
            try:
                await self._acquire(scope, group)
            except BaseException:
                del self._granted[group]  # so that another one takes them: without them none may go on
                raise
            finally:
                granted.set_result(None)
        if scope.stopping is not None:
            raise asyncio.CancelledError(scope.stopping)

    async def _acquire(self, scope: RunScope, group: PermitGroup) -> None:
        limits, clock = scope.context.limits, scope.timer.clock
        assert limits is not None  # or the run had not begun
        since = clock()
        try:
            permit = await limits.acquire(dict(group.needs), group.priority)
        finally:
            waited_ms = (clock() - since) / 1e6
            for member, limit in group.limits:
                counted(scope, member, limit)["waited_ms"] += waited_ms
        for member, limit in group.limits:
            part = permit.split(limit)
            if member in self._over or scope.stopping is not None:
                part.release()
            else:
                self.held[member] = part

    def settled(self, index: int, straggler: asyncio.Task[Any] | None = None) -> None:
        """Give back what a stage has, or would get, now that it has ended; if it was left behind, once it really has.

        Args:
            index: The stage.
            straggler: The task in which it goes on, if it does.
        """
        self._over.add(index)
        permit = self.held.pop(index, None)
        if permit is None:
            return
        if straggler is None:
            permit.release()
        else:
            straggler.add_done_callback(lambda _: permit.release())
