"""How the time and the memory of a run follow its size; the unit of time is a task of asyncio."""

import asyncio
import gc
import statistics
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.effort import Effort
from benchmarks.measuring import Estimate, growth_exponent
from benchmarks.report import EXPONENT, Row

TASKS = 20_000

MUST_GROW, AIM_TO_GROW = 1.20, 1.12
MUST_WEIGH, AIM_TO_WEIGH = 600, 400
"""Bytes that a stage may take at the peak of a run."""


@dataclass(frozen=True)
class Sized:
    """Something of a size: how many there are, and one run of it, which raises if what it gives is wrong."""

    count: int
    run: Callable[[], Awaitable[Any]]


def sizes(effort: Effort, *full: int) -> list[int]:
    """Scale sizes, each still larger than the one before."""
    counts: list[int] = []
    for count in full:
        counts.append(effort.stages(count, least=2 * counts[-1] if counts else 10))
    return counts


async def nothing() -> None:
    """Do nothing."""


async def task_ns() -> float:
    """Measure the unit: what one task of asyncio costs that does nothing, made and awaited among a thousand.

    The collector is off meanwhile: what it costs depends on what else is in memory, and a unit must not.
    """
    loop = asyncio.get_running_loop()
    gc.collect()
    gc.disable()
    try:
        started = time.process_time_ns()
        for _ in range(TASKS // 1000):
            for task in [loop.create_task(nothing()) for _ in range(1000)]:
                await task
        return (time.process_time_ns() - started) / TASKS
    finally:
        gc.enable()


async def cost_ns(sized: Sized) -> int:
    """Measure one run in CPU time."""
    gc.collect()
    started = time.process_time_ns()
    await sized.run()
    return time.process_time_ns() - started


async def peak_of(sized: Sized) -> tuple[int, Any]:
    """Trace one run; give how far memory rose above what was there before, and what the run gave."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        outcome = await sized.run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before, outcome


async def growth_row(
    make: Callable[[int], Sized],
    counts: Sequence[int],
    rounds: int,
    *,
    key: str,
    title: str,
    unit: str,
    promised: bool = True,
) -> Row:
    """Measure several sizes, each with nothing but its own in memory, in tasks: how many one costs, and the growth.

    The unit is taken beside each sample, so that a slow minute of the machine is in both.
    """
    costs: list[list[float]] = []
    for count in counts:
        sized = make(count)
        await sized.run()
        costs.append([await cost_ns(sized) / await task_ns() for _ in range(rounds)])
    first, *_, last = [statistics.median(samples) / count for samples, count in zip(costs, counts, strict=True)]
    return Row(
        key=f"{key}-growth",
        title=f"growth, {title}, {counts[0]} to {counts[-1]}",
        against="linear is 1",
        figure=Estimate.of([growth_exponent(counts, each) for each in zip(*costs, strict=True)]),
        unit=EXPONENT,
        must=MUST_GROW if promised else None,
        aim=AIM_TO_GROW if promised else None,
        ours=f"{last:.3g} tasks/{unit}",
        other=f"{first:.3g} tasks/{unit}",
    )
