"""The task that gives queued events to a sink, one after the other, each within a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, NamedTuple

from stageflow.events.delivery import report_defect
from stageflow.events.event_classes import EventClass
from stageflow.protocols import EventSink

HOLD_S = 0.001
"""Seconds after which a drain lets others have the event loop, if its sink never does."""

Failure = BaseException | str
"""Why a sink did not take an event."""


class QueuedEvent(NamedTuple):
    """An event that waits for its sink."""

    number: int
    type: str
    data: dict[str, Any] | None
    event_class: EventClass


class Drain:
    """Delivers queued events until there are none, and then ends.

    A timer watches each delivery: one that takes too long is cancelled, again and again if the sink ignores that, and
    the next event waits until it has stopped. A drain that anybody else cancels ends, and leaves open how the
    delivery ended that it was at.

    Args:
        sink: Where the events go, through its `emit`.
        next_event: Is given the drain, and returns the event to deliver next, or None.
        settle: Is told how the delivery of an event ended: None if the sink took it, else why not.
        timeout: Seconds that a delivery may take.
        context: Where the sink runs, so that it sees no ContextVar of the stage that happened to emit.
    """

    def __init__(
        self,
        sink: EventSink,
        next_event: Callable[[Drain], QueuedEvent | None],
        settle: Callable[[QueuedEvent, Failure | None], None],
        *,
        timeout: float,
        context: Context,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._sink = sink
        self._next_event = next_event
        self._settle = settle
        self._timeout = timeout
        self._until: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._overdue = 0
        # Not by `create_task`: an eager task factory would run the sink inside of whoever emits.
        self.task = asyncio.Task(self._run(), loop=self.loop, name="stageflow event queue", context=context)
        self.task.add_done_callback(report_defect)

    async def stop(self, grace: float) -> None:
        """Cancel the drain, and wait until it has stopped, for `grace` seconds at most.

        Raises:
            asyncio.CancelledError: The caller was cancelled; the drain has had its time all the same.
        """
        self.task.cancel()
        interrupted, until = None, self.loop.time() + grace
        while not self.task.done() and (seconds := until - self.loop.time()) > 0:
            try:
                await asyncio.wait({self.task}, timeout=seconds)
            except asyncio.CancelledError as error:
                interrupted = error
        if interrupted is not None:
            raise interrupted

    async def _run(self) -> None:
        since = self.loop.time()
        try:
            while not self.task.cancelling() and (event := self._next_event(self)) is not None:
                self._settle(event, await self._deliver(event))
                if self.loop.time() - since > HOLD_S:
                    await asyncio.sleep(0)
                    since = self.loop.time()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def _deliver(self, event: QueuedEvent) -> Failure | None:
        self._until = self.loop.time() + self._timeout
        if self._timer is None:  # one timer for many deliveries: it looks at `_until` when it rings
            self._timer = self.loop.call_at(self._until, self._look)
        failure: Failure | None = None
        try:
            if await self._sink.emit(type=event.type, data=event.data) is False:
                failure = "the sink dropped it"
        except asyncio.CancelledError:
            failure = "the sink raised CancelledError"
            if self._overdue:
                failure = f"the sink took longer than {self._timeout:g} s"
            if self.task.cancelling() > self._overdue:  # not by the timer, or not by it alone
                raise
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a sink may raise anything
            failure = error
        finally:
            self._until = None
        while self._overdue:
            self._overdue -= 1
            self.task.uncancel()
        return failure

    def _look(self) -> None:
        self._timer = None
        if self._until is None:  # between two deliveries
            return
        if self.loop.time() >= self._until:
            self._overdue += 1
            self.task.cancel()
            self._until = self.loop.time() + self._timeout
        self._timer = self.loop.call_at(self._until, self._look)
