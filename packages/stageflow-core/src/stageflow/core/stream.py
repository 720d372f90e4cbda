"""What flows from one stage to others while all of them run.

A `Source` belongs to a stage that streams, a `Stream` to one that reads it (or to whoever called `run.stream`). The run
makes both before its stages start, and ends them when the outcome of either stage is settled. A chunk is frozen once
and put into the buffer of each reader; what a reader does not take out itself is dropped, and counted, when it closes.

    offer -> buffer of reader 1 -> read        sent = received + dropped, for each reader, once it is closed
          -> buffer of reader 2 -> read

All of it happens on one event loop, and nothing here awaits between reading and writing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Generic, Literal, NamedTuple, NoReturn, Protocol, TypeVar, cast, get_args

from stageflow.errors import InvalidOptionError, StreamBrokenError, StreamFullError
from stageflow.frozen import SHAREABLE_TYPES, for_reader, freeze
from stageflow.value import Value
from stageflow.wording import nearest, shown

logger = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""How long a stage waits for a reader outside of the run before that is logged, in seconds."""

T = TypeVar("T")

OnFull = Literal["block", "drop_oldest", "drop_newest", "error"]


class StreamOptions(Value):
    """How a stage that streams is kept from running ahead of those that read it.

    Attributes:
        capacity: How many chunks may wait for each reader.
        on_full: What becomes of a chunk that finds a full buffer: "block" lets the stage wait until there is room;
            "drop_oldest" and "drop_newest" drop and count one; "error" fails the stage.

    Raises:
        InvalidOptionError: One of them cannot be what it is.
    """

    __slots__ = ("capacity", "on_full")

    capacity: int
    on_full: OnFull

    def __init__(self, capacity: int = 16, on_full: OnFull = "block") -> None:
        count: Any = capacity
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            problem = f"is a number of chunks, 1 or more, not {shown(count)}"
            raise InvalidOptionError("capacity", problem, of="StreamOptions")
        given: Any = on_full
        if given not in get_args(OnFull):
            known = ", ".join(f"'{policy}'" for policy in get_args(OnFull))
            near = nearest(given, get_args(OnFull)) if isinstance(given, str) else None
            raise InvalidOptionError("on_full", f"is one of {known}, not {shown(given)}", of="StreamOptions", hint=near)
        object.__setattr__(self, "capacity", capacity)
        object.__setattr__(self, "on_full", on_full)


class StreamStatistics(NamedTuple):
    """What one reader of a stream counted: `sent` is `received`, `dropped` and `waiting` together, at any time.

    Attributes:
        sent: Chunks that the stage yielded while it was a reader. Each reader is one from the first chunk on.
        received: Those that it took.
        dropped: Those that it did not, because its buffer was full or because it stopped.
        high_water: The most that ever waited for it.
        blocked_ms: How long the stage waited for it to make room, in milliseconds.
        waiting: Chunks that wait for it; none once it has stopped.
    """

    sent: int
    received: int
    dropped: int
    high_water: int
    blocked_ms: float
    waiting: int = 0


class Stream(Generic[T]):
    """The chunks of a stage, as another one reads them: `async for chunk in stream`.

    Each reader gets every chunk, from the first on. What several tasks read from one Stream is shared out among them.
    To leave a loop early does not stop the stage that streams; to end, or `await stream.aclose()`, does, if nobody else
    reads it.
    """

    __slots__ = (
        "_blocked_ns",
        "_buffer",
        "_closed",
        "_end",
        "_full_since",
        "_held",
        "_high_water",
        "_received",
        "_room",
        "_sent",
        "_source",
        "_waiting",
        "name",
        "outside",
        "required",
    )

    def __init__(self, source: Source, name: str, *, required: bool, outside: bool = False) -> None:
        self.name = name
        self.outside = outside
        self.required = required
        self._source: Source | None = source
        self._buffer: deque[Any] = deque()
        self._waiting: deque[asyncio.Future[None]] | None = None
        self._room: asyncio.Future[None] | None = None
        self._end: Callable[[], BaseException] | None = None
        self._sent = self._received = self._high_water = self._blocked_ns = 0
        self._full_since: int | None = None
        self._held = False
        self._closed = False

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        buffer = self._buffer
        while not buffer:
            if self._end is not None:
                raise self._end()
            await self._chunk()
        chunk = buffer.popleft()
        self._received += 1
        if self._room is not None:
            self._make_room()
        return cast("T", chunk if type(chunk) in SHAREABLE_TYPES else for_reader(chunk))

    async def _chunk(self) -> None:
        """Wait until there may be a chunk, or the end."""
        source = self._source
        assert source is not None
        waiter = source.loop.create_future()
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiting:  # else a chunk or the end has come, before or since
                self._waiting.remove(waiter)
            elif not waiter.cancelled():
                self._wake()  # what woke this one is for another task that reads the same stream
            raise

    def statistics(self) -> StreamStatistics:
        """Return what has been counted so far."""
        source, blocked_ns, waiting = self._source, self._blocked_ns, len(self._buffer)
        sent = self._sent if source is None else source.sent
        if source is not None and self._full_since is not None:
            blocked_ns += source.clock() - self._full_since
        if source is not None and self._held:
            waiting += 1
        dropped = sent - self._received - waiting
        return StreamStatistics(sent, self._received, dropped, self._high_water, blocked_ns / 1e6, waiting)

    async def aclose(self) -> None:
        """Take no more: what waits is dropped, and counted. Once nobody reads it any more, the stage is ended."""
        self.close()

    def close(self) -> None:
        """Do what `aclose` does, from code that is not async."""
        self._closed = True
        self.end(StopAsyncIteration, drop=True)

    async def __aenter__(self) -> Stream[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Stream belongs to the stage that reads it: it can be neither copied nor handed on.")

    # What follows is for the source and the run.

    def end(self, why: Callable[[], BaseException], *, drop: bool = False, wake: bool = True) -> None:
        """Let nothing more come, and raise `why()` after what waits, or in its place if that is to be dropped.

        Whoever waits for a chunk is woken, unless it is about to be cancelled: one thing is enough to end it.
        """
        source, self._source = self._source, None
        if drop:
            self._buffer.clear()
        if wake:
            self._wake(all_of_them=True)
        if source is None:
            return
        self._end = why
        self._sent = source.sent
        if self._room is not None:
            self._make_room(source)
        source.left(self)

    def put(self, chunk: Any) -> None:
        """Take a chunk for which there is room."""
        buffer = self._buffer
        buffer.append(chunk)
        if len(buffer) > self._high_water:  # noqa: PLR1730 - `max` costs three times as much
            self._high_water = len(buffer)
        if self._waiting:
            self._wake()

    def replace_oldest(self, chunk: Any) -> None:
        """Take a chunk for which there is no room in place of the one that has waited the longest."""
        self._buffer.popleft()
        self._buffer.append(chunk)

    def hold(self, held: bool) -> None:
        """Note whether a chunk is kept for it that there was no room for."""
        self._held = held

    async def room(self) -> None:
        """Wait until there is room, or nobody reads any more."""
        source = self._source
        assert source is not None
        reminder = None
        if self.outside:
            reminder = source.loop.call_later(PATIENCE_S, _remind, source.stage, self.name)
        self._full_since = source.clock()
        self._room = room = source.loop.create_future()
        try:
            await room
        finally:
            if reminder is not None:
                reminder.cancel()
            if self._room is room:  # cancelled, or the reader has closed in the same turn
                self._make_room(source)

    @property
    def is_full(self) -> bool:
        source = self._source
        return source is not None and len(self._buffer) >= source.options.capacity

    @property
    def holds_up(self) -> bool:
        """Whether the stage waits for it to make room."""
        return self._room is not None

    @property
    def is_open(self) -> bool:
        """Whether chunks can still come."""
        return self._source is not None

    @property
    def is_used(self) -> bool:
        """Whether whoever reads has taken chunks, or wants no more, so that it cannot begin again."""
        return self._received > 0 or self._closed

    @property
    def pending(self) -> int:
        """How many chunks wait to be read."""
        return len(self._buffer)

    def _make_room(self, source: Source | None = None) -> None:
        source = source or self._source
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
        if source is not None and self._full_since is not None:
            self._blocked_ns += source.clock() - self._full_since
        self._full_since = None

    def _wake(self, *, all_of_them: bool = False) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if not all_of_them:
                    return


def _remind(stage: str, reader: str) -> None:
    """Log that a stage is held up by somebody whom the run knows nothing of."""
    logger.warning(
        "Stage '%s' has waited for %g s until its reader %s takes a chunk. Read on, or let go of it with aclose().",
        stage,
        PATIENCE_S,
        reader,
    )


class Abandon(Protocol):
    """What a source needs of its run: to be closed by it."""

    def abandon(self, index: int) -> None:
        """Close the stage of that index, since nobody is left to read its stream."""


class Source:
    """Where the chunks of a stage go: to each of its readers.

    Attributes:
        index, stage: The index and the name of the stage.
        readers: Who reads it at present.
        sent: How many chunks the stage has yielded.
        unheard: How many of them nobody read, since there was no reader.
        heard: Whether a reader has begun.
        delivered: Whether any chunk reached a reader.
        ended: Whether the outcome of the stage is settled.
        run: Told when the last reader has left, if one had begun.
    """

    __slots__ = (
        "clock",
        "delivered",
        "ended",
        "heard",
        "index",
        "loop",
        "options",
        "readers",
        "run",
        "sent",
        "stage",
        "unheard",
    )

    def __init__(
        self,
        index: int,
        stage: str,
        options: StreamOptions,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], int],
        run: Abandon,
    ) -> None:
        self.index = index
        self.stage = stage
        self.options = options
        self.loop = loop
        self.clock = clock
        self.run = run
        self.readers: list[Stream[Any]] = []
        self.sent = self.unheard = 0
        self.heard = self.delivered = self.ended = False

    @property
    def abandoned(self) -> bool:
        """Whether those that read it have all stopped."""
        return self.heard and not self.readers

    def offer(self, chunk: Any) -> list[Stream[Any]] | None:
        """Give a chunk to every reader that has room; return the others if they are to be waited for.

        Raises:
            NotCopyableError: The chunk can be neither frozen nor copied.
            StreamFullError: A reader has no room, and that is an error.
        """
        self.sent += 1
        if not self.readers:
            self.unheard += 1
            return None
        if type(chunk) not in SHAREABLE_TYPES:
            chunk = freeze(chunk, "chunk")
        self.delivered = True
        capacity, full = self.options.capacity, None
        for reader in self.readers:
            if len(reader._buffer) < capacity:  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - a call would cost as much as all of this
                reader.put(chunk)
            elif self.options.on_full == "block":
                full = [*(full or ()), reader]
            elif self.options.on_full == "error":
                raise StreamFullError(self.stage, reader.name, capacity=capacity)
            elif self.options.on_full == "drop_oldest":
                reader.replace_oldest(chunk)
        return full

    async def deliver(self, chunk: Any, readers: list[Stream[Any]]) -> None:
        """Give the chunk that `offer` could not give them to these readers, waiting for each."""
        if type(chunk) not in SHAREABLE_TYPES:
            chunk = freeze(chunk, "chunk")
        for reader in readers:
            reader.hold(True)
        try:
            for reader in readers:
                while reader.is_full:
                    await reader.room()
                reader.hold(False)
                if reader.is_open:
                    reader.put(chunk)
        finally:
            for reader in readers:  # of which the stage, if it was cancelled, has not come to all
                reader.hold(False)

    def left(self, reader: Stream[Any]) -> None:
        """Note that a reader has ended."""
        self.readers.remove(reader)
        if self.abandoned and not self.ended:
            self.run.abandon(self.index)

    def end(
        self,
        broken: str | None = None,
        cause: BaseException | None = None,
        *,
        only: Sequence[Stream[Any]] | None = None,
    ) -> None:
        """Let the readers end after what waits for them; `broken` says why, if that is not all there was to come.

        Those that require the whole of it, and if `only` some are to be ended the others, are ended by the run.
        """
        self.ended = True
        for reader in tuple(self.readers if only is None else only):
            if broken is None:
                reader.end(StopAsyncIteration)
            elif not reader.required:
                reader.end(_Break(self.stage, broken, cause))


class _Break:
    """Makes the error of a stream that broke: a new one for each read, since a raised one collects frames."""

    __slots__ = ("_cause", "_stage", "_why")

    def __init__(self, stage: str, why: str, cause: BaseException | None) -> None:
        self._stage = stage
        self._why = why
        self._cause = cause

    def __call__(self) -> StreamBrokenError:
        error = StreamBrokenError(self._stage, self._why)
        error.__cause__ = self._cause
        return error
