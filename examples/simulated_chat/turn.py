"""One simulated turn: a world is drawn, the pipeline runs in it, and what happened is kept for the rules."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from stageflow import PipelineCancelled, PipelineResults, StageExecutionError, StageGraph, StageStatus
from stageflow.errors import StreamBrokenError
from stageflow_mocks.simulation import VirtualClockLoop, run

from examples.simulated_chat.world import World


@dataclass(repr=False)
class Turn:
    """What happened.

    Attributes:
        world: What the turn met.
        results: Of the run.
        read: What the user read, as it came.
        took_s: From the question until nothing was to be waited for any more, in simulated seconds.
        left: The names of the tasks that were left behind.
    """

    world: World
    results: PipelineResults
    read: list[str] = field(default_factory=list[str])
    took_s: float = 0.0
    left: list[str] = field(default_factory=list[str])

    @property
    def ending(self) -> str:
        """How it ended, in a few words."""
        error = self.results.error
        if error is None:
            return "answered" if self.results["answer"].status is StageStatus.OK else "handed over to a human"
        if isinstance(error, PipelineCancelled):
            return f"cancelled: {error.reason}"
        return f"failed: {error.stage if isinstance(error, StageExecutionError) else type(error).__name__}"

    def trace(self) -> Iterator[str]:
        """Yield what can be seen of the turn from outside, in order. The same seed gives the same, anywhere."""
        yield f"{self.world.user}"
        for event in self.world.events.events:
            told = event.data
            yield f"{told['sequence']:>3} {told['timestamp']:.6f} {event.type} {told['status']} {told['attempt']}"
        for mock in (self.world.llm, self.world.orders):
            yield from (f"{mock.name}: {call}" for call in mock.calls)
        for piece in self.read:
            yield f"read: {piece}"
        for session_id, turns in self.world.memory.turns.items():
            yield from (f"remembered in {session_id}: {turn.role}: {turn.content}" for turn in turns)
        yield f"{self.ending}, after {self.took_s:.6f} s"

    def digest(self) -> str:
        """Return the trace in a few characters."""
        return hashlib.sha256("\n".join(self.trace()).encode()).hexdigest()[:16]


async def take_turn(graph: StageGraph) -> Turn:
    """Take one turn, in a world that the event loop's random numbers decide.

    The loop's, so that whatever runs this under a seed gets the world of that seed: `run`, `@simulated`, the marker of
    the pytest plugin.
    """
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualClockLoop)
    world, before, begun = World(loop.random), asyncio.all_tasks(), loop.time()
    running = graph.start(
        run_id=world.run_id,
        input_text=world.user.question,
        ports=world.ports(),
        event_sink=world.sink(),
        run_store=world.runs,
    )
    read: list[str] = []
    gone = None
    if world.user.leaves_after is not None:
        gone = loop.call_later(world.user.leaves_after, running.cancel, "the user has left")
    try:
        async for sentence in running.stream("output_guard"):
            read.append(sentence)
            await asyncio.sleep(world.user.reads_s)
    except StreamBrokenError:
        pass  # the outcome says why
    results = await running.outcome()
    if gone is not None:
        gone.cancel()
    left = sorted(task.get_name() for task in asyncio.all_tasks() - before)
    return Turn(world, results, read, loop.time() - begun, left)


def turn_of(seed: int, graph: StageGraph) -> Turn:
    """Take the turn of a seed: its world, and its order of tasks."""
    return run(take_turn(graph), seed=seed)
