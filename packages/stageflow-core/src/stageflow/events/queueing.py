"""A queue in front of a slow sink, so that runs do not wait for it, and what it costs in events is known exactly.

Every event that the queue receives is in one of four places, at any time: delivered, dropped, failed, or queued. An
event leaves the queue when its delivery has ended. So a delivery that is interrupted, since the task of the queue is
cancelled or its event loop ends, is made again by the next task, and no event gets lost between two places.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from stageflow.errors import ForeignLoopError, InvalidOptionError
from stageflow.events.draining import Drain, Failure, QueuedEvent
from stageflow.events.event_classes import EventClass, OnFull, event_classes
from stageflow.events.secret_text import redacted_text
from stageflow.events.sinks import check_sink
from stageflow.frozen import FrozenDict
from stageflow.protocols import EventSink
from stageflow.wording import shown, text_of, type_name, with_article

logger = logging.getLogger(__name__)

STOP_GRACE = 1.0
"""Seconds that a sink has to clean up in when the queue closes and it is still at a delivery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatistics:
    """What has become of the events: `received == delivered + dropped + failed + queued`, at any time.

    Attributes:
        received: How many events were given to the queue.
        delivered: How many the sink has taken.
        dropped: How many found no room, had to make room, or came after the queue was closed.
        dropped_by_class: The same for each class of events (its pattern) that lost any.
        evicted: How many of the dropped ones had been queued before, and made room for a later one.
        failed: How many the sink raised for, did not take in time, or had not taken when the queue was closed.
        queued: How many wait, the one that is being delivered included.
        high_water: The most that ever waited.
        overflowed: How many were queued although there was no room, being of a class that blocks.
    """

    received: int
    delivered: int
    dropped: int
    dropped_by_class: Mapping[str, int]
    evicted: int
    failed: int
    queued: int
    high_water: int
    overflowed: int


class QueueingEventSink:
    """Takes events at once, and gives them to a slow sink one after the other, in order.

    What happens to an event when `capacity` events wait depends on its class, the first pattern that its type fits:

    - "drop_newest": it is dropped.
    - "drop_oldest": the oldest waiting event of such a class is dropped in its place; itself if there is none.
    - "block": it is never dropped. **It is queued all the same**, and `emit` then waits for room, for `room_timeout` at
      most; `try_emit`, which must not wait, returns. So only such events can make more than `capacity` wait.

    Audit events always block: how runs end, `*.failed`, `*.cancelled`, `*.suspended`, and those named in `audit`.

    Both return False if an event of the same run was dropped, so that the run counts it in `results.events_lost`.
    What cannot be told to a run is in `statistics()` only: an event of another run that had
    to make room, and what fails later.

    To be used as `async with QueueingEventSink(sink) as queue:`, or closed with `await queue.close()`. It may be made
    before an event loop runs, and be used by one loop after another; what still waits goes on in the next one. It is
    not to be used from several threads.

    Args:
        sink: Where the events go, through its `emit`, in the context in which the queue was made.
        capacity: How many events wait at most, the one that is being delivered included.
        on_full: For all events, or by pattern, as in `{"search.*": "drop_oldest"}`; the first that fits counts, and an
            event that none fits has "drop_newest". In a pattern `*` stands for any text.
        audit: Patterns of further events that are never dropped.
        delivery_timeout: Seconds that the sink may take over one event; then it is cancelled, and the event has failed.
        room_timeout: Seconds that `emit` waits for room at most.
        close_timeout: Seconds that `close` lets the sink go on.

    Raises:
        TypeError: `sink` is not a sink.
        InvalidOptionError: One of the others cannot have this value.
    """

    def __init__(
        self,
        sink: EventSink,
        *,
        capacity: int = 1_000,
        on_full: OnFull | Mapping[str, OnFull] = "drop_newest",
        audit: Iterable[str] = (),
        delivery_timeout: float = 5.0,
        room_timeout: float = 1.0,
        close_timeout: float = 5.0,
    ) -> None:
        owner = with_article(type(self).__name__)
        self._sink = check_sink(sink)
        if type(capacity) is not int or capacity < 1:
            raise InvalidOptionError("capacity", f"is a whole number from 1 on, not {shown(capacity)}", of=owner)
        self._capacity = capacity
        self._classes = event_classes(owner, on_full, audit)
        self._delivery_timeout = _seconds(owner, "delivery_timeout", delivery_timeout, zero=False)
        self._room_timeout = _seconds(owner, "room_timeout", room_timeout)
        self._close_timeout = _seconds(owner, "close_timeout", close_timeout)
        self._context = copy_context()
        # By number, in order. Those that may have to make room stand in the second queue, too.
        self._waiting: OrderedDict[int, QueuedEvent] = OrderedDict()
        self._evictable: deque[int] = deque()
        self._drain: Drain | None = None
        self._room: asyncio.Future[None] | None = None
        self._closed = False
        self._told: set[str] = set()
        self._received = self._delivered = self._failed = self._evicted = self._overflowed = self._high_water = 0
        self._dropped: Counter[str] = Counter()

    def try_emit(self, *, type: str, data: dict[str, Any] | None) -> bool:
        """Queue an event; return False if it, or an older one of its run, was dropped.

        Raises:
            ForeignLoopError: Another event loop delivers, and still runs.
        """
        self._check_loop()
        event_class = self._classes.of(type)
        self._received += 1
        if self._closed:
            self._drop(event_class)
            self._tell_once("late", "Event '%s' came after its queue before %s was closed, and was dropped.", type)
            return False
        lost_of_run = False
        if len(self._waiting) >= self._capacity:
            if event_class.on_full == "block":
                self._overflowed += 1
            elif event_class.on_full == "drop_oldest" and self._evictable:
                evicted = self._waiting.pop(self._evictable.popleft())
                self._drop(evicted.event_class)
                self._evicted += 1
                lost_of_run = _run_of(data) is not None and _run_of(data) == _run_of(evicted.data)
            else:
                self._drop(event_class)
                return False
        self._waiting[self._received] = QueuedEvent(self._received, type, data, event_class)
        if event_class.on_full == "drop_oldest":
            self._evictable.append(self._received)
        self._high_water = max(self._high_water, len(self._waiting))
        self._deliver_on()
        return not lost_of_run

    async def emit(self, *, type: str, data: dict[str, Any] | None) -> bool:
        """Queue an event, and wait for room if it blocks and there is none; return what `try_emit` does.

        Raises:
            ForeignLoopError: Another event loop delivers, and still runs.
        """
        taken = self.try_emit(type=type, data=data)
        if taken and len(self._waiting) > self._capacity and self._classes.of(type).on_full == "block":
            loop = asyncio.get_running_loop()
            if self._room is None or self._room.get_loop() is not loop:
                self._room = loop.create_future()
            await asyncio.wait({self._room}, timeout=self._room_timeout)
        return taken

    def statistics(self) -> QueueStatistics:
        """Return what has become of the events so far."""
        return QueueStatistics(
            received=self._received,
            delivered=self._delivered,
            dropped=self._dropped.total(),
            dropped_by_class=FrozenDict(self._dropped),
            evicted=self._evicted,
            failed=self._failed,
            queued=len(self._waiting),
            high_water=self._high_water,
            overflowed=self._overflowed,
        )

    async def close(self) -> None:
        """Take no more events, deliver those that wait for `close_timeout` at most, and end the task of the queue.

        What the sink has not taken by then has failed. To close again does nothing, or waits for the same.

        Raises:
            ForeignLoopError: Another event loop delivers, and still runs.
            asyncio.CancelledError: The caller was cancelled; the queue is closed, and what waited has failed.
        """
        self._check_loop()
        self._closed = True
        loop = asyncio.get_running_loop()
        until = loop.time() + self._close_timeout
        try:
            while self._waiting and (seconds := until - loop.time()) > 0:
                self._deliver_on()
                assert self._drain is not None
                await asyncio.wait({self._drain.task}, timeout=seconds)
        finally:
            await self._end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _check_loop(self) -> None:
        """Let go of a drain whose loop does not run any more; refuse one whose loop runs elsewhere."""
        drain, running = self._drain, _running_loop()
        if drain is None or drain.task.done() or drain.loop is running:
            return
        if drain.loop.is_running():
            raise ForeignLoopError(type(self).__name__)
        if running is not None:
            self._drain = None

    def _deliver_on(self) -> None:
        if (self._drain is None or self._drain.task.done()) and _running_loop() is not None:
            self._drain = Drain(
                self._sink, self._next, self._settle, timeout=self._delivery_timeout, context=self._context.copy()
            )

    def _next(self, drain: Drain) -> QueuedEvent | None:
        if drain is not self._drain or not self._waiting:
            return None
        event = next(iter(self._waiting.values()))
        if self._evictable and self._evictable[0] == event.number:
            self._evictable.popleft()  # from now on it is under way
        return event

    def _settle(self, event: QueuedEvent, failure: Failure | None) -> None:
        if self._waiting.pop(event.number, None) is None:  # given up when the queue was closed, or delivered twice
            return
        if failure is None:
            self._delivered += 1
        else:
            self._failed += 1
            why = failure
            if isinstance(failure, BaseException):
                why = f"{type_name(failure)}: {redacted_text(text_of(failure))}"
            self._tell_once(
                "failed", "Event '%s' did not reach %s: %s. Further failures are only counted.", event.type, why
            )
        if len(self._waiting) <= self._capacity:
            self._make_room()

    def _drop(self, event_class: EventClass) -> None:
        self._dropped[event_class.pattern] += 1

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done() and room.get_loop() is _running_loop():
            room.set_result(None)

    async def _end(self) -> None:
        drain = self._drain
        try:
            if drain is not None and not drain.task.done():
                await drain.stop(STOP_GRACE)
        finally:
            self._drain = None
            self._failed += len(self._waiting)
            self._waiting.clear()
            self._evictable.clear()
            self._make_room()
            self._tell_what_is_lost(drain)

    def _tell_what_is_lost(self, drain: Drain | None) -> None:
        sink = type(self._sink).__qualname__
        if drain is not None and not drain.task.done():
            logger.warning("%s did not stop within %g s of its cancellation, and was left behind.", sink, STOP_GRACE)
        if (self._failed or self._dropped) and "lost" not in self._told:
            self._told.add("lost")
            logger.warning(
                "The event queue before %s is closed. Of %d events it delivered %d and dropped %d, and %d failed.",
                sink,
                self._received,
                self._delivered,
                self._dropped.total(),
                self._failed,
            )

    def _tell_once(self, what: str, message: str, event_type: str, *more: object) -> None:
        if what not in self._told:
            self._told.add(what)
            logger.warning(message, redacted_text(event_type), type(self._sink).__qualname__, *more)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _run_of(data: Mapping[str, Any] | None) -> Any:
    return None if data is None else data.get("pipeline_run_id")


def _seconds(owner: str, option: str, value: Any, *, zero: bool = True) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and math.isfinite(value) and (value > 0 or (zero and value == 0)):
        return float(value)
    least = "from 0 on" if zero else "above 0"
    raise InvalidOptionError(option, f"is a finite number of seconds {least}, not {shown(value)}", of=owner)
