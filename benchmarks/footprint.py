"""Rows of size: the memory that a run takes at its peak, and the time that the import and `--help` take."""

import gc
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

from benchmarks import framework, graphs, handwritten
from benchmarks.effort import Effort
from benchmarks.graphs import Graph
from benchmarks.measuring import Contender, Estimate
from benchmarks.report import BYTES, MULTIPLE, Row, duration


async def peak_bytes(contender: Contender, graph: Graph) -> int:
    """Trace one run and gives how far memory rose above what was there before it, its results included."""
    graph.check(contender.read(await contender.run(0)), 0)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        outcome = await contender.run(1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    graph.check(contender.read(outcome), 1)
    return peak - before


async def memory_rows(effort: Effort) -> list[Row]:
    """Divide the peak of a large run by its stages, beside that of the leanest hand-written executor."""
    rows: list[Row] = []
    for key, graph in (("chain", graphs.chain(effort.stages(10_000))), ("fan", graphs.fan(effort.stages(10_000)))):
        ours = await peak_bytes(framework.contender(graph), graph) / len(graph)
        others = {
            name: await peak_bytes(Contender(name, make(graph, handwritten.add), list), graph) / len(graph)
            for name, make in handwritten.LIMIT.items()
        }
        leanest = min(others, key=others.__getitem__)
        rows.append(
            Row(
                key=f"memory-{key}",
                title=f"peak memory of a run, {key} of {effort.stages(10_000)}",
                against=leanest,
                figure=Estimate.of([ours]),
                unit=BYTES,
                must=600,
                aim=400,
                ours=f"{ours:.0f} B/stage",
                other=f"{others[leanest]:.0f} B/stage",
            )
        )
    return rows


async def flat_rows(effort: Effort) -> list[Row]:
    """Trace many runs of everything at once, and compare the peak of the first tenth with that of all that follow."""
    first, runs = effort.stages(1000), effort.stages(10_000)
    graph = graphs.agent_pipeline()
    contender = framework.eventful_contender(graph)
    graph.check(contender.read(await contender.run(0)), 0)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(first):
            await contender.run(number)
        _, early = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for number in range(first, runs):
            await contender.run(number)
        _, late = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return [
        Row(
            key="flat",
            title=f"peak memory of {runs} runs, pipeline of 10 with a sink, an interceptor and retries",
            against=f"of {first}",
            figure=Estimate.of([late / early]),
            must=1.05,
            aim=1.01,
            ours=f"{late / 1000:.0f} kB",
            other=f"{early / 1000:.0f} kB",
        )
    ]


def import_cost(module: str) -> int:
    """Time one import statement in a fresh interpreter, from which the interpreter's own start is left out.

    It runs without `site`, whose .pth files may have imported half of asyncio before, and with our own path instead.
    """
    statement = f"import time; now = time.process_time_ns; start = now(); import {module}; print(now() - start)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
    command = [sys.executable, "-S", "-P", "-c", statement]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def process_time(*arguments: str) -> int:
    """Time a whole process, from its start to its end: what a user waits for."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter_ns()
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    return time.perf_counter_ns() - start


async def help_rows(effort: Effort) -> list[Row]:
    """Compare `stageflow --help` with a process that imports asyncio and ends, in turn; the first of each warms up."""
    ours: list[int] = []
    others: list[int] = []
    for number in range(effort.rounds + 1):
        mine, theirs = process_time("-m", "stageflow", "--help"), process_time("-c", "import asyncio")
        if number:
            ours.append(mine)
            others.append(theirs)
    return [
        Row(
            key="help",
            title="stageflow --help",
            against='python -c "import asyncio"',
            figure=Estimate.of([mine / theirs for mine, theirs in zip(ours, others, strict=True)]),
            unit=MULTIPLE,
            must=2.5,
            aim=2.0,
            ours=duration(statistics.median(ours)),
            other=duration(statistics.median(others)),
            note="wall time of whole processes, since that is what somebody waits for",
        )
    ]


async def import_rows(effort: Effort) -> list[Row]:
    """Compare the import statements alone, in turn; the first of each writes the bytecode and is not counted."""
    ours: list[int] = []
    others: list[int] = []
    for number in range(effort.rounds + 1):
        mine, theirs = import_cost("stageflow"), import_cost("asyncio")
        if number:
            ours.append(mine)
            others.append(theirs)
    return [
        Row(
            key="import",
            title="import stageflow",
            against="import asyncio",
            figure=Estimate.of([mine / theirs for mine, theirs in zip(ours, others, strict=True)]),
            unit=MULTIPLE,
            must=1.8,
            aim=1.3,
            ours=duration(statistics.median(ours)),
            other=duration(statistics.median(others)),
            note="CPU time of the statement alone: with the interpreter's start in both, the multiple would be lower",
        )
    ]
