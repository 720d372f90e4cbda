"""The executors that LIMIT is made of are right, and leave nothing running."""

import asyncio
from collections.abc import Callable

import pytest

from benchmarks import graphs, handwritten
from benchmarks.graphs import Graph
from benchmarks.handwritten import Body, Run
from benchmarks.workloads import Workload, workloads

MAKERS: dict[str, Callable[[Graph, Body], Run]] = {"inline": handwritten.inline, **handwritten.LIMIT}


@pytest.mark.parametrize("workload", workloads(0.02), ids=lambda workload: workload.key)
@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_values_are_right(maker: Callable[[Graph, Body], Run], workload: Workload) -> None:
    """Every hand-written executor computes every workload, run after run."""

    async def scenario() -> None:
        run = maker(workload.graph, workload.body)
        for run_input in range(3):
            workload.graph.check(await run(run_input), run_input)

    asyncio.run(scenario())


def fail_beside_waiting() -> Body:
    """Make a body that fails in the first leaf of a fan; the other leaves wait for ever."""
    leaves = iter(("first",))

    async def body(values: list[int]) -> int:
        if values == [0]:
            return 1
        if next(leaves, None) == "first":
            raise LookupError("the first leaf")
        await asyncio.Event().wait()
        raise AssertionError("nobody sets the event")

    return body


@pytest.mark.parametrize("maker", handwritten.LIMIT.values(), ids=handwritten.LIMIT)
def test_failure_reaches_the_caller_and_ends_the_rest(maker: Callable[[Graph, Body], Run]) -> None:
    """A failing stage raises its own error from the run, and no task outlives it, though its siblings wait."""

    async def scenario() -> None:
        run = asyncio.ensure_future(maker(graphs.fan(4), fail_beside_waiting())(0))
        done, _ = await asyncio.wait({run}, timeout=5)
        assert done, "the run waits for stages that never end"
        with pytest.raises(LookupError, match="the first leaf"):
            run.result()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())
