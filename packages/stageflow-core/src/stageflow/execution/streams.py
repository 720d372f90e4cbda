"""The streams of one run: who streams, who reads, and how the end of one side becomes the end of the other.

A `RunStreams` belongs to one run of a plan in which stages stream. It makes each `Source` and `Stream` before anything
starts, so that no chunk is lost to a reader that starts a turn later. Two things end a stage from here, both by
cancelling what it waits for:

- a stage of whose stream nobody is left to read is closed, and ends OK with what it sent (`Source.abandon`);
- a stage that requires a stream which did not end OK is cut off, and ends skipped (`cut_off`).

All else follows from outcomes: `RunState.record` tells of each (`settled`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from stageflow.core.inputs import Stored
from stageflow.core.kinds import StageStatus
from stageflow.core.output import StageOutput
from stageflow.core.stream import Source, Stream
from stageflow.errors import TooLateError
from stageflow.execution.edges import in_words
from stageflow.execution.group_permits import GroupPermits
from stageflow.execution.plan import ExecutionPlan

PASSING_ON = 4
"""In how many turns of the event loop a cancellation has reached a stage under both of its time limits."""


class RunStreams:
    """The streams of one run.

    Attributes:
        opened: Stages that stream and have started.
        cut: Stages that were cut off, each with the stage whose stream broke.
        closing: Stages that were cancelled because nobody reads them any more, and have not ended.
        drivers: The tasks that draw chunks from the stages that stream.
        cleaning: Stages that stream of which only the cleanup is left.
        permits: What groups of stages hold of limits.
        release: Lets those start that read a stage which has started; set by the run.
    """

    __slots__ = (
        "_loop",
        "_outside",
        "_plan",
        "_readers",
        "_sources",
        "_tasks",
        "cleaning",
        "closing",
        "cut",
        "drivers",
        "opened",
        "permits",
        "release",
    )

    def __init__(self, plan: ExecutionPlan, loop: asyncio.AbstractEventLoop, clock: Callable[[], int]) -> None:
        self._plan = plan
        self._loop = loop
        self._tasks: dict[int, asyncio.Task[Any]] = {}
        self._sources: dict[int, Source] = {}
        self._readers: dict[int, dict[int, Stream[Any]]] = {}
        self._outside: dict[int, list[Stream[Any]]] = {}
        self.opened: set[int] = set()
        self.cut: dict[int, int] = {}
        self.closing: set[int] = set()
        self.cleaning: set[int] = set()
        self.drivers: dict[int, asyncio.Task[Any]] = {}
        self.permits = GroupPermits() if plan.permit_groups else None
        self.release: Callable[[int], None] | None = None
        by_reader = self._readers
        for streaming in plan.streaming:
            index, name, options, readers = streaming.stage, streaming.name, streaming.options, streaming.readers
            self._sources[index] = source = Source(index, name, options, loop, clock, self)
            for reader, reader_name, required in readers:
                stream: Stream[Any] = Stream(source, reader_name, required=required)
                source.readers.append(stream)
                if reader in by_reader:
                    by_reader[reader][index] = stream
                else:
                    by_reader[reader] = {index: stream}

    def start(self, index: int) -> None:
        """Note that a stage has started, in the current task; if it streams, let those start that read it."""
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._tasks[index] = task
        if index in self._readers:
            for source in self._readers[index]:
                self._sources[source].heard = True
        if index in self._sources:
            self.opened.add(index)
            assert self.release is not None
            self.release(index)

    def source(self, index: int) -> Source:
        """Return where the chunks of a stage go."""
        return self._sources[index]

    def stream(self, reader: int, index: int) -> Stream[Any] | None:
        """Return the stream by which one stage reads another; None if that never started."""
        return self._readers[reader][index] if index in self.opened else None

    def listen(self, index: int) -> Stream[Any]:
        """Return a stream for somebody outside of the run.

        Raises:
            TooLateError: Chunks have come already, and are gone.
        """
        source = self._sources.get(index)
        if source is None or source.sent or source.ended or index in self.closing:
            raise TooLateError(
                f"Stage '{self._plan.names[index]}' has begun to stream without this reader, and its first chunks are "
                "gone.",
                hint="Call run.stream(...) right after start(), before the first await.",
            )
        outside = self._outside.setdefault(index, [])
        name = "run.stream" if not outside else f"run.stream#{len(outside) + 1}"
        stream: Stream[Any] = Stream(source, name, required=False, outside=True)
        outside.append(stream)
        source.readers.append(stream)
        source.heard = True
        return stream

    def has_delivered(self, index: int) -> bool:
        """Return whether chunks of the stage, or chunks that it reads, were delivered: then it cannot start anew."""
        source = self._sources.get(index)
        read = (stream.is_used for stream in self._readers.get(index, {}).values())
        return (source is not None and source.delivered) or any(read)

    def held_up(self, index: int) -> tuple[str, float]:
        """Return who has held a stage up the longest by not reading, and for how many seconds; none is 0."""
        source = self._sources.get(index)
        readers = () if source is None else source.readers
        waits = [(stream.statistics().blocked_ms / 1e3, stream.name) for stream in readers]
        seconds, name = max(waits, default=(0.0, ""))
        return name, seconds

    def halted(self) -> list[tuple[str, str]]:
        """Return the stages that wait for room in the buffer of a reader, each with that reader."""
        sources = self._sources.values()
        return [(source.stage, reader.name) for source in sources for reader in source.readers if reader.holds_up]

    def settled(self, index: int, stored: Stored, *, stops: bool = False) -> None:
        """End the streams of a stage whose outcome is known: those that it reads, and its own.

        If the outcome `stops` the run, stages that read on are cancelled like all others, and need not be told before.
        """
        task = self._tasks.pop(index, None)
        if self.permits is not None:
            # Whoever ends by itself is settled in its own task.
            self.permits.settled(index, None if task is asyncio.current_task(self._loop) else task)
        for stream in self._readers.get(index, {}).values():
            stream.close()
        source = self._sources.get(index)
        if source is None or source.ended:
            return
        if not isinstance(stored, StageOutput) or stored.status is StageStatus.OK:
            source.end()
            return
        why, cause = in_words(stored), None if stored.error is None else stored.error.exception
        source.end(why, cause, only=self._outside.get(index, ()) if stops else None)

    def cut_off(self, index: int, why: str, *, stopping: bool, told: bool = False) -> None:
        """End those that require the whole stream of a stage which did not end OK.

        If the run is stopping they have been cancelled, and only find that no more comes if they go on all the same.
        Those that were `told` before are woken, in case they wait for a chunk by now.
        """
        for reader in self._plan.nodes[index].readers:
            stream, task = self._readers[reader][index], self._tasks.get(reader)
            if not (stream.required or stopping) or not stream.is_open or task is None:
                continue
            # Also of one that was cut off before, and goes on all the same: it would wait for ever.
            if stopping:
                stream.end(partial(asyncio.CancelledError, why), wake=told)
                self._wake_later(stream)
                continue
            closing = self._is_closing(reader)
            stream.end(partial(asyncio.CancelledError, why), drop=True, wake=closing or reader in self.cut)
            self._wake_later(stream)
            if not closing and reader not in self.cut:
                self.cut[reader] = index
                task.cancel(why)

    def _wake_later(self, stream: Stream[Any], turns: int = PASSING_ON) -> None:
        """Wake whoever still waits for a chunk when a cancellation would have arrived: it has had one and goes on.

        A stage whose time is up has been cancelled by its limit, which passes no other one on.
        """
        if turns:
            self._loop.call_soon(self._wake_later, stream, turns - 1)
        else:
            stream.end(StopAsyncIteration)  # it has ended, so this only wakes

    def being_ended(self) -> set[asyncio.Task[Any]]:
        """Return the tasks of stages that were cut off, or are being closed."""
        ending = (*self.cut, *self.closing, *self.cleaning)
        return {self._tasks[index] for index in ending if index in self._tasks}

    def _is_closing(self, index: int) -> bool:
        """Return whether a stage has been told to end, and has not: to tell it again would cut its cleanup short."""
        return index in self.cleaning or index in self.closing

    def abandon(self, index: int) -> None:
        """Close a stage of whose stream nobody is left to read."""
        task, worker = self.drivers.get(index), self._tasks.get(index)
        if task is None or worker is None or task.cancelling() or worker.cancelling():
            return
        if task is asyncio.current_task(self._loop):  # the garbage collector found the last reader
            self._loop.call_soon(self.abandon, index)
            return
        self.closing.add(index)
        task.cancel("nobody reads its stream any more")

    def finish(self, statistics: dict[int, dict[str, Any]]) -> None:
        """Write down what the streams counted, and let go of the run. Every stage is settled."""
        self.release = None
        for index, source in self._sources.items():
            if "stream" in statistics.get(index, ()):
                continue  # what the run that this one resumes had counted
            inside = (self._readers[reader][index] for reader in self._plan.nodes[index].readers)
            by_reader = {
                stream.name: stream.statistics()._asdict() for stream in (*inside, *self._outside.get(index, ()))
            }
            counted = {"sent": source.sent, "unheard": source.unheard, "readers": by_reader}
            statistics.setdefault(index, {})["stream"] = counted
        for reader, streams in self._readers.items():
            if "streams" in statistics.get(reader, ()):
                continue
            read = {self._plan.names[index]: stream.statistics()._asdict() for index, stream in streams.items()}
            statistics.setdefault(reader, {})["streams"] = read
        self._sources = {}  # each of which leads back here
