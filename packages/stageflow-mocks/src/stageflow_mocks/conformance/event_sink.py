"""What an EventSink promises."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from inspect import isawaitable
from typing import Any

from stageflow import EventSink, Pipeline, PipelineContext, StageContext, stage

from stageflow_mocks.conformance.suite import Conformance, ends_when_cancelled, not_told, promise, promised

_DATA: tuple[dict[str, Any] | None, ...] = (
    None,
    {},
    {"text": "Grüße, 世界 \u2028 \x00", "number": -1.5e300, "none": None, "deep": {"list": [[{"x": [True]}]]}},
    {"long": "x" * 100_000},
)


_BLOCKS_S = 0.02
"""From how many seconds on `try_emit` is found to block."""


class EventSinkConformance(Conformance[EventSink]):
    """Subclass it, and give `make`; `received` too if the sink's events can be read.

    Attributes:
        keeps: Whether the sink keeps events, as opposed to one that takes none.
    """

    keeps: bool = True

    async def received(self, sink: EventSink) -> Sequence[str] | None:
        """Return the types of what the sink has taken, oldest first; None if that cannot be known."""
        return None

    @promised
    async def test_it_fits_the_protocol(self, sink: EventSink) -> None:
        """A run takes it."""
        PipelineContext(event_sink=sink)

    @promised
    async def test_try_emit_answers_at_once(self, sink: EventSink) -> None:
        """`try_emit` is called between awaits, must not block, and says at once whether an event was dropped."""
        answer: Any = sink.try_emit(type="conformance.one", data={"n": 1})
        promise(not isawaitable(answer), "`try_emit` is not async: nobody awaits what it returns.")
        promise(answer is None or isinstance(answer, bool), f"`try_emit` returns None or a bool, not {answer!r}.")
        took_s = min(_seconds_of(sink) for _ in range(5))  # the others may have had to wait for the machine
        promise(took_s < _BLOCKS_S, f"`try_emit` must not block: it took {1000 * took_s:.0f} ms, five times in a row.")

    @promised
    async def test_emit_answers(self, sink: EventSink) -> None:
        """`emit` is awaited, and says whether an event was dropped."""
        answer: Any = await sink.emit(type="conformance.one", data={"n": 1})
        promise(answer is None or isinstance(answer, bool), f"`emit` returns None or a bool, not {answer!r}.")

    @promised
    async def test_any_event_is_taken(self, sink: EventSink) -> None:
        """Types of an application's own, no data, long and nested data raise nothing."""
        for data in _DATA:
            sink.try_emit(type="an application's own/Ereignis", data=data)
            await sink.emit(type="x", data=data)

    @promised
    async def test_order_is_kept(self, sink: EventSink) -> None:
        """What was given earlier is received earlier, whichever method it came through."""
        given = [f"conformance.{number}" for number in range(20)]
        dropped = 0
        for number, type in enumerate(given):
            answer = await sink.emit(type=type, data={}) if number % 5 == 4 else sink.try_emit(type=type, data={})
            dropped += answer is False
        received = await self._received(sink)
        self._all_or_told(given, received, dropped)
        ranks = [given.index(type) for type in received]
        promise(ranks == sorted(ranks), f"Events are received in the order in which they are given, not {received}.")

    @promised
    async def test_nothing_is_lost_in_silence_when_many_emit_at_once(self, sink: EventSink) -> None:
        """Of events from many tasks each is received once, or the sink says that one was dropped."""
        given = [f"conformance.{task}.{number}" for task in range(20) for number in range(10)]

        async def emit(task: int) -> int:
            dropped = 0
            for number in range(10):
                dropped += await sink.emit(type=f"conformance.{task}.{number}", data={"task": task}) is False
                await asyncio.sleep(0)
            return dropped

        dropped = sum(await asyncio.gather(*(emit(task) for task in range(20))))
        received = await self._received(sink)
        promise(len(set(received)) == len(received), "Each event is received once.")
        self._all_or_told(given, received, dropped)

    @promised
    async def test_a_cancelled_emit_ends(self, sink: EventSink) -> None:
        """A run gives its sink so long, and cancels it then: it stops, and takes what comes next."""
        await ends_when_cancelled(lambda: _emit(sink))
        taken = await sink.emit(type="conformance.after", data={})
        if self.keeps and taken is not False and (received := await self.received(sink)) is not None:
            promise("conformance.after" in received, "What comes after a cancelled `emit` is received.")

    @promised
    async def test_a_run_loses_nothing(self, sink: EventSink) -> None:
        """A run's events are received from the first to the last, and the run counts no loss."""
        results = await Pipeline("conformance", [_told]).run(event_sink=sink)
        promise(results.events_lost == 0, f"The run lost {results.events_lost} events.")
        received = await self._received(sink)
        expected = ["pipeline.created", "pipeline.started", "stage._told.started", "conformance.own"]
        expected += ["stage._told.completed", "pipeline.completed"]
        promise(list(received) == expected, f"Of a run {expected} are received, not {list(received)}.")

    async def _received(self, sink: EventSink) -> Sequence[str]:
        received = await self.received(sink)
        if received is None:
            not_told("`received` does not tell what the sink has taken")
        promise(self.keeps or not received, "A sink with keeps=False keeps nothing.")
        return received if self.keeps else not_told("the sink keeps nothing")

    def _all_or_told(self, given: Sequence[str], received: Sequence[str], dropped: int) -> None:
        lost = set(given) - set(received)
        others = sorted(set(received) - set(given))
        promise(not others, f"What is received was given; {others[:5]} was not.")
        promise(dropped or not lost, f"{len(lost)} events were lost, and the sink said nothing: {sorted(lost)[:5]}.")


def _seconds_of(sink: EventSink) -> float:
    begun = time.perf_counter()
    sink.try_emit(type="conformance.one", data={"n": 1})
    return time.perf_counter() - begun


async def _emit(sink: EventSink) -> object:
    answer: Awaitable[Any] = sink.emit(type="conformance.cancelled", data={"n": 1})
    return await answer


@stage
async def _told(ctx: StageContext) -> None:
    ctx.emit_event("conformance.own", {"n": 1})
