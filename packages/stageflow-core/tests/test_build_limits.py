"""Rule B3: depth and width of 10,000, many edges, and linear building."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from stageflow import CycleDetectedError, Pipeline, PipelineValidationError, StageContext, StageSpec, stage
from stageflow.pipeline import compilation

SIZE = 10_000


async def one(ctx: StageContext) -> dict[str, int]:
    """Return the sum of one and what the dependencies hold."""
    inputs = ctx.inputs
    return {"n": 1 + sum(inputs.get_from(name, "n") for name in inputs._declared)}


def chain() -> list[StageSpec[Any]]:
    """Return stages in a row."""
    return [stage(f"s{n}", one, dependencies=f"s{n - 1}" if n else ()) for n in range(SIZE)]


def fan() -> list[StageSpec[Any]]:
    """Return one stage, many beside each other, and one that waits for all of them."""
    middle = [stage(f"m{n}", one, dependencies="first") for n in range(SIZE)]
    return [stage("first", one), *middle, stage("last", one, dependencies=[spec.name for spec in middle])]


@pytest.mark.parametrize("declared", [list, lambda specs: list(reversed(specs))], ids=["forwards", "backwards"])
async def test_ten_thousand_stages_in_a_row_build_and_run(declared: Any) -> None:
    """In any order of declaration, with a stack that a recursion would not fit in."""
    results = await Pipeline.from_stages(*declared(chain())).build().run()
    assert (SIZE, "completed") == (results.data(f"s{SIZE - 1}")["n"], results.status)


async def test_ten_thousand_stages_side_by_side_build_and_run() -> None:
    """One stage has 10,000 dependents, and one 10,000 dependencies."""
    results = await Pipeline.from_stages(*fan()).build().run()
    assert 1 + 2 * SIZE == results.data("last")["n"]


def test_a_ring_of_ten_thousand_stages_is_one_cycle() -> None:
    """Its path holds them all."""
    specs = [stage(f"s{n}", one, dependencies=f"s{(n - 1) % SIZE}") for n in range(SIZE)]
    with pytest.raises(CycleDetectedError) as caught:
        Pipeline.from_stages(*specs).build()
    assert SIZE + 1 == len(caught.value.path)


def test_ten_thousand_faults_are_reported() -> None:
    """All of them, each typed."""
    specs = [stage(f"s{n}", one, dependencies=f"t{n}") for n in range(SIZE)]
    with pytest.raises(PipelineValidationError) as caught:
        Pipeline.from_stages(*specs).build()
    assert SIZE == len(caught.value.faults)


def work(specs: list[StageSpec[Any]]) -> int:
    """Return how many lines of the pipeline package run for these stages."""
    folder = str(Path(compilation.__file__).parent)
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(folder):
            return None
        if event == "line":
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        Pipeline.from_stages(*specs).build()
    finally:
        sys.settrace(before)
    return count


def grid(width: int) -> list[StageSpec[Any]]:
    """Return two layers, each stage of the second depending on four of the first."""
    first = [stage(f"a{n}", one) for n in range(width)]
    second = [
        stage(f"b{n}", one, dependencies=[f"a{(n + offset) % width}" for offset in range(4)]) for n in range(width)
    ]
    return first + second


def row(length: int) -> list[StageSpec[Any]]:
    """Return stages in a row."""
    return [stage(f"s{n}", one, dependencies=f"s{n - 1}" if n else ()) for n in range(length)]


async def chunks(ctx: StageContext) -> AsyncIterator[int]:
    """Never run."""
    yield 1


def relay(length: int) -> list[StageSpec[Any]]:
    """Return stages in a row, each of which reads the stream of the one before."""
    return [stage(f"s{n}", chunks, streams=f"s{n - 1}" if n else (), limit="x") for n in range(length)]


def audience(size: int) -> list[StageSpec[Any]]:
    """Return a stage that streams, and those that read it."""
    return [stage("s", chunks), *(stage(f"r{n}", one, streams="s", limit="x") for n in range(size))]


@pytest.mark.parametrize("shape", [grid, row, relay, audience])
def test_building_is_linear_in_stages_and_edges(shape: Any) -> None:
    """Twice the stages take twice the steps, counted in lines of code rather than in time."""
    once, twice = work(shape(200)), work(shape(400))
    assert 1.95 < twice / once < 2.05
