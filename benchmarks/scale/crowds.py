"""Rows of many runs at once: with streams in each, and in line for the permits of one limit."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from stageflow import Limits, Pipeline, StageContext, StageGraph, stage

from benchmarks.effort import Effort
from benchmarks.measuring import Estimate
from benchmarks.report import BYTES, MULTIPLE, Row
from benchmarks.scale.growing import Sized, growth_row, peak_of, sizes
from benchmarks.streams import Relay, Relaying, relayed, relayed_by_hand

CHUNKS = 20
STAGES = 3
PERMITS = 2
LOW = 5


def sized_crowd(relaying: Relaying, relay: Relay, runs: int) -> Sized:
    """Start so many runs at once; each is checked."""

    async def run() -> None:
        outcomes = await asyncio.gather(*[relaying.run(number) for number in range(runs)])
        for number, outcome in enumerate(outcomes):
            relay.check(relaying.read(outcome), number)

    return Sized(runs, run)


async def stream_crowd_rows(effort: Effort) -> list[Row]:
    """Measure growth and memory of runs whose three stages all run at once."""
    counts = sizes(effort, 100, 316, 1000)
    relay = Relay.of(CHUNKS, wait_s=0)
    ours, by_hand = relayed(relay), relayed_by_hand(relay)
    title = f"runs with a stream of {CHUNKS} through three stages"
    growth, growth_by_hand = [
        await growth_row(
            partial(sized_crowd, relaying, relay), counts, effort.rounds, key="stream-runs", title=title, unit="run"
        )
        for relaying in (ours, by_hand)
    ]
    # Tasks by the thousand cost more each, as they no longer fit into the caches: that is nobody's but the machine's.
    asyncios, own = growth_by_hand.figure.median - 1, growth.figure
    beyond = replace(own, median=own.median - asyncios, low=own.low - asyncios, high=own.high - asyncios)
    told = f"by itself {own.median:.3f}; {by_hand.name} {1 + asyncios:.3f}, at {growth_by_hand.ours} in the largest"
    peak, _ = await peak_of(sized_crowd(ours, relay, counts[-1]))
    peak_by_hand, _ = await peak_of(sized_crowd(by_hand, relay, counts[-1]))
    stages = STAGES * counts[-1]
    memory = Row(
        key="stream-runs-memory",
        title=f"peak memory of {counts[-1]} runs with a stream through three stages",
        against=by_hand.name,
        figure=Estimate.of([peak / stages]),
        unit=BYTES,
        ours=f"{peak / stages:.0f} B/stage",
        other=f"{peak_by_hand / stages:.0f} B/stage",
    )
    return [replace(growth, figure=beyond, against=f"that of {by_hand.name}", note=told), memory]


class NoteEnd:
    """Hold a permit for a turn of the event loop, and note who had it."""

    def __init__(self, ended: list[str], mark: str) -> None:
        self.ended = ended
        self.mark = mark

    async def execute(self, ctx: StageContext) -> None:
        """Let others wait."""
        await asyncio.sleep(0)
        self.ended.append(self.mark)


def waiting_graph(ended: list[str], mark: str, priority: int) -> StageGraph:
    """Build a pipeline of one stage that needs a permit."""
    return Pipeline(mark, [stage(mark, NoteEnd(ended, mark), limit="service", priority=priority)]).build()


async def order_of(high: int, low: int = LOW) -> Sequence[str]:
    """Put the ones in line, and behind them the others, which are less urgent; tell in which order they ended."""
    ended: list[str] = []
    urgent, idle = waiting_graph(ended, "high", 10), waiting_graph(ended, "low", 0)
    limits = Limits({"service": PERMITS})
    await asyncio.gather(
        *[urgent.run(limits=limits) for _ in range(high)], *[idle.run(limits=limits) for _ in range(low)]
    )
    return ended


def before_last_low(ended: Sequence[str]) -> float:
    """Tell which share of the high ones ended before the last low one."""
    last = max(place for place, mark in enumerate(ended) if mark == "low")
    return ended[:last].count("high") / ended.count("high")


def sized_line(high: int) -> Sized:
    """Put so many in line, and check that each ended once."""

    async def run() -> Sequence[str]:
        ended = await order_of(high)
        if (ended.count("high"), ended.count("low")) != (high, LOW):
            raise ValueError(f"{high} and {LOW} were in line, and {len(ended)} ended")
        return ended

    return Sized(high + LOW, run)


async def waiter_rows(effort: Effort) -> list[Row]:
    """Measure when the low ones have their turn, and the growth of a line."""
    share = before_last_low(await order_of(effort.stages(1000, least=100)))
    counts = sizes(effort, 1000, 3162, 10_000)
    growth = await growth_row(
        sized_line, counts, effort.rounds, key="waiters", title=f"runs in line for {PERMITS} permits", unit="run"
    )
    line = Row(
        key="waiters-low",
        title=f"{LOW} of low priority behind {effort.stages(1000, least=100)} of high priority, {PERMITS} permits",
        against="all high ones",
        figure=Estimate.of([share]),
        unit=MULTIPLE,
        must=0.9,
        aim=0.9,
        note="the share of the high ones that ended before the last low one",
    )
    return [line, growth]
