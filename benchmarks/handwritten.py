"""Executors of the same graphs as an engineer would write them by hand, each as cheap as it can be and right.

Each is made once for a graph and then run many times, as a compiled graph is. They know the happy path and that a
failure reaches the caller with nothing left running: no names, no records, no events. That is what LIMIT means. None
uses `gather` or `TaskGroup`: their done-callbacks nearly double the price of a task. Two of them pay for that by seeing
a failure only when its turn comes to be awaited, which flatters LIMIT and not us.

Values are kept by index, with the run's input in front, so that a root reads its input as any stage reads its inputs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from benchmarks.graphs import PRIME, Graph

T = TypeVar("T")

Body = Callable[[list[int]], Coroutine[Any, Any, int]]
"""What a stage does with the values it reads."""

Run = Callable[[int], Awaitable[list[int]]]
"""One run of a graph: from the run's input to the values of its stages, in order."""

SLEEP_S = 0.001


async def add(values: list[int]) -> int:
    """Do next to nothing, so that what is measured is the executor."""
    return (sum(values) + 1) % PRIME


async def add_after_sleep(values: list[int]) -> int:
    """Wait as a stage on a network does."""
    await asyncio.sleep(SLEEP_S)
    return (sum(values) + 1) % PRIME


def sources(graph: Graph) -> list[tuple[int, ...]]:
    """Shift a graph's dependencies by one, to make room for the run's input at index 0."""
    return [tuple(index + 1 for index in reads) or (0,) for reads in graph.dependencies]


def inline(graph: Graph, body: Body) -> Run:
    """Await one stage after the other: the floor, with no concurrency."""
    steps = [(body, reads) for reads in sources(graph)]

    async def run(run_input: int) -> list[int]:
        values = [run_input]
        for call, reads in steps:
            values.append(await call([values[index] for index in reads]))
        return values[1:]

    return run


async def results_of(tasks: Sequence[asyncio.Task[T]]) -> list[T]:
    """Await tasks that already run; the first failure ends the others."""
    try:
        return [await task for task in tasks]
    except BaseException:
        await end(tasks)
        raise


async def end(tasks: Sequence[asyncio.Task[T]]) -> None:
    """Cancel tasks and waits until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def by_level(graph: Graph, body: Body) -> Run:
    """Run level after level, a task for each stage; a level of one stage is awaited in place."""
    reads_of = sources(graph)
    levels = [[(index + 1, body, reads_of[index]) for index in level] for level in graph.levels]

    async def run(run_input: int) -> list[int]:
        loop = asyncio.get_running_loop()
        values = [run_input] + [0] * len(graph)
        for level in levels:
            if len(level) == 1:
                index, call, reads = level[0]
                values[index] = await call([values[source] for source in reads])
                continue
            tasks = [loop.create_task(call([values[source] for source in reads])) for _, call, reads in level]
            for (index, _, _), value in zip(level, await results_of(tasks), strict=True):
                values[index] = value
        return values[1:]

    return run


def task_per_stage(graph: Graph, body: Body) -> Run:
    """Start a task for every stage at once; each awaits the tasks that it reads."""
    steps = [(body, reads) for reads in sources(graph)]

    async def run(run_input: int) -> list[int]:
        loop = asyncio.get_running_loop()
        given: asyncio.Future[int] = loop.create_future()
        given.set_result(run_input)
        started: list[asyncio.Future[int]] = [given]

        async def one(call: Body, reads: tuple[int, ...]) -> int:
            return await call([await started[index] for index in reads])

        tasks: list[asyncio.Task[int]] = []
        for call, reads in steps:
            task = loop.create_task(one(call, reads))
            tasks.append(task)
            started.append(task)
        return await results_of(tasks)

    return run


def counters(graph: Graph, body: Body) -> Run:
    """Count what each stage still waits for, and starts a task when that comes to nothing."""
    steps = [
        (body, reads, tuple(index + 1 for index in successors))
        for reads, successors in zip(sources(graph), graph.successors, strict=True)
    ]
    indegrees = [0] + [len(reads) for reads in graph.dependencies]
    roots = [index + 1 for index, reads in enumerate(graph.dependencies) if not reads]

    async def run(run_input: int) -> list[int]:
        loop = asyncio.get_running_loop()
        values = [run_input] + [0] * len(graph)
        waits_for = indegrees.copy()
        unfinished = len(graph)
        finished: asyncio.Future[None] = loop.create_future()

        async def one(index: int) -> None:
            nonlocal unfinished
            try:
                call, reads, successors = steps[index - 1]
                values[index] = await call([values[source] for source in reads])
            except BaseException as error:
                if not finished.done():
                    finished.set_exception(error)
                raise
            for successor in successors:
                waits_for[successor] -= 1
                if not waits_for[successor]:
                    tasks.append(loop.create_task(one(successor)))
            unfinished -= 1
            if not unfinished and not finished.done():
                finished.set_result(None)

        tasks = [loop.create_task(one(index)) for index in roots]
        try:
            await finished
        except BaseException:
            await end(tasks)
            raise
        return values[1:]

    return run


LIMIT = {"by level": by_level, "task per stage": task_per_stage, "counters": counters}
"""The three of which the cheapest is the LIMIT of a workload."""
