"""Rows of lint: how long it takes for 10,000 lines, and how that grows with them."""

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from stageflow.lint import lint_files

from benchmarks.effort import Effort
from benchmarks.measuring import Estimate, growth_exponent
from benchmarks.report import EXPONENT, MILLISECONDS, Row, duration

MUST_MS = 2_000
AIM_MS = 1_000

_HEAD = "from stageflow import Pipeline, StageContext, StageOutput, stage\n\n"


def stages(lines: int) -> str:
    """One pipeline of many stages, each a class that reads the one before."""
    text = [_HEAD]
    count = lines // 10
    for number in range(count):
        source = f'ctx.inputs.get_from("s{number - 1}", "x", 0)' if number else "0"
        text.append(
            f'class S{number}:\n    """Adds one."""\n\n'
            f"    async def execute(self, ctx: StageContext) -> StageOutput:\n        value = {source}\n"
            f'        if value is None:\n            return StageOutput.skip("nothing")\n'
            f"        return StageOutput.ok(x=value + 1)\n\n"
        )
    text.append('pipeline = Pipeline("stages").with_stage("s0", S0)\n')
    text += (
        f'pipeline = pipeline.with_stage("s{number}", S{number}, dependencies=("s{number - 1}",))\n'
        for number in range(1, count)
    )
    return "".join(text)


def pipelines(lines: int) -> str:
    """Many pipelines of two functions."""
    return _HEAD + "".join(
        f'@stage\nasync def profile{n}(ctx: StageContext):\n    return {{"name": ctx.snapshot.input_text}}\n\n\n'
        f'@stage\nasync def reply{n}(profile{n}: dict):\n    return {{"text": profile{n}["name"]}}\n\n\n'
        f'p{n} = Pipeline("p{n}", [profile{n}, reply{n}])\n'
        for n in range(lines // 11)
    )


def chains(lines: int) -> str:
    """Expressions of 1,000 builder calls, one on the other."""
    text = [_HEAD, 'class Same:\n    async def execute(self, ctx: StageContext):\n        return {"x": 1}\n\n']
    for number in range(max(1, lines // 1_000)):
        text.append(f'p{number} = (\n    Pipeline("p{number}")\n')
        text += (f'    .with_stage("s{place}", Same)\n' for place in range(min(lines, 997)))
        text.append(")\n")
    return "".join(text)


def calls(lines: int) -> str:
    """Functions that call each other six times, and a stage that calls the last."""
    text = [_HEAD, 'def f0(ctx, x):\n    return ctx.inputs.get_from("a", "x")\n\n']
    count = lines // 8
    text += (f"def f{n}(ctx, x):\n" + f"    f{n - 1}(ctx, x + 1)\n" * 6 + "\n" for n in range(1, count))
    text.append(f"class Reads:\n    async def execute(self, ctx: StageContext):\n        f{count - 1}(ctx, 1)\n\n")
    text.append('pipeline = Pipeline("calls").with_stage("a", Reads)\n')
    return "".join(text)


def loops(lines: int) -> str:
    """Functions of loops in loops over 60 names each."""
    return f"{_HEAD}NAMES = {[f'n{number}' for number in range(60)]}\n\n" + "".join(
        f"def g{n}(p: Pipeline):\n    for a in NAMES:\n        for b in NAMES:\n            for c in NAMES:\n"
        f"                p = p.with_stage(a + b + c, g{n})\n    return p\n\n"
        for n in range(lines // 7)
    )


SOURCES: Mapping[str, Callable[[int], str]] = {
    "stages": stages,
    "pipelines": pipelines,
    "chains": chains,
    "calls": calls,
    "loops": loops,
}


def lint_cost(path: Path) -> int:
    """Time one lint of a file in CPU time, reading and parsing included."""
    gc.collect()
    started = time.process_time_ns()
    lint_files([path])
    return time.process_time_ns() - started


async def lint_rows(effort: Effort) -> list[Row]:
    """Measure each kind of source: 10,000 lines, and the growth from 2,500 lines on."""
    counts = [effort.stages(2_500), effort.stages(5_000), effort.stages(10_000)]
    with tempfile.TemporaryDirectory() as folder:
        # Files are read, which is not done in an event loop.
        return [row for key in SOURCES for row in await asyncio.to_thread(_rows, key, counts, Path(folder), effort)]


def _rows(key: str, counts: list[int], folder: Path, effort: Effort) -> list[Row]:
    files: list[Path] = []
    for count in counts:
        files.append(folder / f"{key}_{count}.py")
        files[-1].write_text(SOURCES[key](count), encoding="utf-8")
    passes = [[lint_cost(file) for file in files] for _ in range(effort.rounds_of(0.15))]
    lines = [file.read_text(encoding="utf-8").count("\n") for file in files]
    first, *_, last = [statistics.median(costs) for costs in zip(*passes, strict=True)]
    return [
        Row(
            key=f"lint-{key}",
            title=f"lint of {lines[-1]} lines, {key}",
            against="-",
            figure=Estimate.of([costs[-1] / 1e6 for costs in passes]),
            unit=MILLISECONDS,
            must=MUST_MS,
            aim=AIM_MS,
            ours=f"{lines[-1] / last * 1e9:.0f} lines/s",
        ),
        Row(
            key=f"lint-growth-{key}",
            title=f"growth of lint, {key}, {lines[0]} to {lines[-1]} lines",
            against="linear is 1",
            figure=Estimate.of([growth_exponent(lines, costs) for costs in passes]),
            unit=EXPONENT,
            must=1.20,
            aim=1.12,
            ours=f"{duration(last / lines[-1])}/line",
            other=f"{duration(first / lines[0])}/line",
            note="'ours' is the longest file, 'other' the shortest",
        ),
    ]
