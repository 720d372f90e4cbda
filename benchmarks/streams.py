"""Rows of streams: chunks through three stages, against three tasks with an asyncio.Queue between each two."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stageflow import Pipeline, StageGraph, Stream, StreamOptions, stage

from benchmarks import handwritten
from benchmarks.effort import Effort
from benchmarks.executing import added_cost
from benchmarks.handwritten import results_of
from benchmarks.measuring import Clock, Contender, Load, Sampling, Work, sample
from benchmarks.report import Row

CAPACITY = StreamOptions().capacity
BY_HAND = "asyncio queues"


@dataclass(frozen=True)
class Relay:
    """Tokens that a first stage makes, a second one puts in capitals and a third one counts.

    The first stage sleeps for `wait_s` before each; None means that it never gives up the event loop by itself.
    """

    tokens: Sequence[str]
    wait_s: float | None = None

    @classmethod
    def of(cls, count: int, wait_s: float | None = None) -> "Relay":
        """Make so many short texts."""
        return cls([f"token {index}" for index in range(count)], wait_s)

    @property
    def clock(self) -> Clock:
        """Return what it is timed by: where it waits, the wall clock."""
        return time.perf_counter_ns if self.wait_s else time.process_time_ns

    def check(self, values: Sequence[object], run_input: int) -> None:
        """Raise ValueError unless every token arrived, the last one last and in capitals."""
        expected = [len(self.tokens), self.tokens[-1].upper()]
        if list(values) != expected:
            raise ValueError(f"a relay of {len(self.tokens)}, input {run_input}: came to {values}, expected {expected}")


@dataclass(frozen=True)
class Relaying(Contender):
    """A way to relay: an outcome is the time before the run beside what the run gave, `seen` makes a mapping of it."""

    seen: Callable[[Any], Mapping[str, Any]]

    @classmethod
    def of(
        cls, name: str, clock: Clock, run: Callable[[int], Awaitable[Any]], seen: Callable[[Any], Mapping[str, Any]]
    ) -> "Relaying":
        """Take the time before each run."""

        async def timed(run_input: int) -> tuple[int, Any]:
            return clock(), await run(run_input)

        def read(outcome: tuple[int, Any]) -> list[object]:
            return [seen(outcome[1])[key] for key in ("count", "last")]

        return cls(name, timed, read, seen)

    def first_chunk_ns(self, outcome: tuple[int, Any]) -> int:
        """Tell how long it took until the third stage had the first token."""
        return self.seen(outcome[1])["first_ns"] - outcome[0]


def relay_graph(relay: Relay) -> StageGraph:
    """Build the three stages."""
    tokens, wait_s, clock = relay.tokens, relay.wait_s, relay.clock

    @stage
    async def llm() -> AsyncIterator[str]:
        for token in tokens:
            if wait_s is not None:
                await asyncio.sleep(wait_s)
            yield token

    @stage
    async def upper(llm: Stream[str]) -> AsyncIterator[str]:
        async for token in llm:
            yield token.upper()

    @stage
    async def last(upper: Stream[str]) -> Mapping[str, Any]:
        count = first_ns = 0
        final = ""
        async for token in upper:
            if not count:
                first_ns = clock()
            count += 1
            final = token
        return {"count": count, "last": final, "first_ns": first_ns}

    return Pipeline("relay", [llm, upper, last]).build()


def relayed(relay: Relay) -> Relaying:
    """Relay through the stages of a graph."""
    graph = relay_graph(relay)
    return Relaying.of(
        "stageflow",
        relay.clock,
        run=lambda run_input: graph.run(input=run_input),
        seen=lambda results: results.data("last"),
    )


def relayed_by_hand(relay: Relay) -> Relaying:
    """Relay through three tasks and two queues, whose end is told by an object that is no token."""
    tokens, wait_s, clock = relay.tokens, relay.wait_s, relay.clock
    end: Any = object()

    async def llm(out: asyncio.Queue[str]) -> None:
        for token in tokens:
            if wait_s is not None:
                await asyncio.sleep(wait_s)
            await out.put(token)
        await out.put(end)

    async def upper(source: asyncio.Queue[str], out: asyncio.Queue[str]) -> None:
        while (token := await source.get()) is not end:
            await out.put(token.upper())
        await out.put(end)

    async def last(source: asyncio.Queue[str]) -> Mapping[str, Any]:
        count = first_ns = 0
        final = ""
        while (token := await source.get()) is not end:
            if not count:
                first_ns = clock()
            count += 1
            final = token
        return {"count": count, "last": final, "first_ns": first_ns}

    async def run(_run_input: int) -> Mapping[str, Any]:
        loop = asyncio.get_running_loop()
        made: asyncio.Queue[str] = asyncio.Queue(CAPACITY)
        raised: asyncio.Queue[str] = asyncio.Queue(CAPACITY)
        stages: list[asyncio.Task[Any]] = [
            loop.create_task(llm(made)),
            loop.create_task(upper(made, raised)),
            loop.create_task(last(raised)),
        ]
        return (await results_of(stages))[-1]

    return Relaying.of(BY_HAND, clock, run, lambda counted: counted)


async def first_chunks(contender: Contender, work: Work, load: Load, first_input: int) -> int:
    """Add up how long the first chunks of some runs took, each run checked to its end."""
    assert isinstance(contender, Relaying)
    gc.collect()
    elapsed_ns = 0
    for run_input in range(first_input, first_input + load.runs):
        outcome = await contender.run(run_input)
        elapsed_ns += contender.first_chunk_ns(outcome)
        work.check(contender.read(outcome), run_input)
    return elapsed_ns


async def relay_row(relay: Relay, load: Load, rounds: int, take: Sampling, **fields: Any) -> Row:
    """Relay by both in turn."""
    return await added_cost(
        relay, load, relayed(relay), relayed_by_hand(relay), rounds=rounds, take=take, against=BY_HAND, **fields
    )


async def first_chunk_rows(effort: Effort) -> list[Row]:
    """Compare the time until the first chunk has come through.

    Where chunks take time to make that shows whether the stages overlap, and is held to a limit. Where they take none
    most of it is the start of a run, which queues by hand do not have: these rows inform.
    """
    rows: list[Row] = []
    for key, manner, wait_s, count, runs, must in (
        ("-sleeping", "that sleeps 1 ms before each chunk, wall", handwritten.SLEEP_S, 10, 5, 1.5),
        ("", "of no-op stages", None, 100, 100, None),
        ("-suspending", "that gives up the loop before each chunk", 0, 100, 100, None),
    ):
        rows.append(
            await relay_row(
                Relay.of(effort.stages(count), wait_s),
                Load(effort.stages(runs, least=2)),
                effort.rounds,
                first_chunks,
                key=f"stream-first{key}",
                title=f"time to first chunk at the end of a three-stage stream {manner}",
                must=must,
                aim=None if must is None else 1.1,
            )
        )
    return rows


async def stream_rows(effort: Effort) -> list[Row]:
    """Compare the time until the first chunk has come through, and until all have."""
    count = effort.stages(1000)
    rows = await first_chunk_rows(effort)
    for key, manner, wait_s in (("", "", None), ("-suspending", ", the loop given up before each", 0)):
        rows.append(
            await relay_row(
                Relay.of(count, wait_s),
                Load(5),
                effort.rounds,
                sample,
                key=f"stream-whole{key}",
                title=f"{count} chunks through three stages, whole{manner}",
            )
        )
    return rows
