"""What gives the tasks of a map the items of a source that is async.

One task pulls the items, and each only when another task is free to run it. It is a task of its own, since an async
generator may hold what belongs to the task that entered it, `asyncio.timeout` say, and may set ContextVars, which no
item is to see.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, Protocol

from stageflow.core.context import RunScope
from stageflow.core.timer import HOLD_NS
from stageflow.events.secret_text import redacted_text
from stageflow.execution.worker import QUEUED
from stageflow.wording import text_of, type_name

logger = logging.getLogger(__name__)

Handed = tuple[int, Any]
"""An item, after its place."""


class Takers(Protocol):
    """The tasks that take the items: `ItemTasks`, which knows this module."""

    open: bool
    cancelling: bool
    scope: RunScope
    tasks: dict[asyncio.Task[None], None]

    def spawn(self, count: int = 1) -> None: ...
    def place(self) -> int: ...
    def fail_source(self, error: BaseException) -> None: ...
    def look(self) -> None: ...


class ItemFeed:
    """Hands out the items of an async iterable.

    Attributes:
        waiting: Items whose tasks have not begun.
        over: Whether there will be no others.
        exhausted: Whether that is because the source has no others.
    """

    __slots__ = ("_idle", "_items", "_most", "_room", "_stage", "_takers", "exhausted", "over", "waiting")

    def __init__(self, takers: Takers, items: Any, *, most: int, stage: str) -> None:
        self._takers = takers
        self._items = items
        self._most = most
        self._stage = stage
        self._idle: deque[asyncio.Future[Handed | None]] = deque()
        self._room: asyncio.Future[None] | None = None
        self.waiting: deque[Handed] = deque()
        self.over = False
        self.exhausted = False

    async def take(self) -> Handed | None:
        """Return an item for the task that asks, or None if there are no others."""
        if self.waiting:
            return self.waiting.popleft()
        if self.over:
            return None
        handed: asyncio.Future[Handed | None] = asyncio.get_running_loop().create_future()
        self._idle.append(handed)
        self.tell()
        try:
            return await handed
        except asyncio.CancelledError:
            given = None if handed.cancelled() or not handed.done() else handed.result()
            if given is not None:  # by somebody who cancels every task there is: another task takes it
                self.waiting.appendleft(given)
            raise

    def tell(self) -> None:
        """Tell whoever pulls that a task is free, or may be made."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    async def run(self) -> None:
        """Pull every item, as the work of a task."""
        takers = self._takers
        try:
            await QUEUED
            await self._pull()
        except GeneratorExit:  # the event loop was closed under the run
            raise
        except (KeyboardInterrupt, SystemExit) as error:
            takers.fail_source(error)  # it goes on through the event loop
            raise
        except BaseException as error:  # the source may be of any class
            if takers.cancelling:
                raise
            takers.fail_source(error)
        finally:
            self.over = True
        for handed in self._idle:
            if not handed.done():
                handed.set_result(None)
        takers.look()

    async def _pull(self) -> None:
        takers, clock = self._takers, self._takers.scope.timer.clock
        iterator = aiter(self._items)
        until_ns = clock() + HOLD_NS
        close = True
        try:
            while takers.open and takers.scope.stopping is None:
                if not self._free() and len(takers.tasks) >= self._most:
                    await self._wait_for_room()
                    until_ns = clock() + HOLD_NS
                elif clock() > until_ns:  # neither the source nor the tasks have suspended for long
                    await asyncio.sleep(0)
                    until_ns = clock() + HOLD_NS
                try:
                    item = await anext(iterator)
                except StopAsyncIteration:
                    self.exhausted, close = True, False
                    return
                self._hand(item)
        except GeneratorExit:
            close = False  # the event loop was closed under the run: nothing can be awaited any more
            raise
        finally:
            if close:
                await self._close(iterator)

    async def _wait_for_room(self) -> None:
        """Wait until a task is free or may be made."""
        while not self._free() and len(self._takers.tasks) >= self._most:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        self._room = None

    def _free(self) -> bool:
        idle = self._idle
        while idle and idle[0].done():  # its task was cancelled
            idle.popleft()
        return bool(idle)

    def _hand(self, item: Any) -> None:
        handed = (self._takers.place(), item)
        if self._free():
            self._idle.popleft().set_result(handed)
        else:
            self.waiting.append(handed)
            self._takers.spawn()

    async def _close(self, iterator: Any) -> None:
        """Let a source that was not read to its end let go of what it holds."""
        close = getattr(iterator, "aclose", None)
        if close is None:
            return
        try:
            await close()
        except Exception as error:  # noqa: BLE001 - why the map ended is what counts
            why = redacted_text(f"{type_name(error)}: {text_of(error)}")
            logger.warning("The items of stage '%s' could not be closed: %s", self._stage, why)
