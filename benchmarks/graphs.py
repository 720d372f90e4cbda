"""The graphs that every contender runs, and the values that every stage of them must come to."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

PRIME = 1_000_003
"""Values are taken modulo this, so that they stay small integers however deep the graph is."""


@dataclass(frozen=True)
class Graph:
    """A graph by indices: stage `i` reads the stages `dependencies[i]`, all of them before `i`.

    A stage without dependencies reads the run's input instead. Every run gets another input, so a value left over
    from an earlier or a concurrent run is a wrong value.
    """

    name: str
    dependencies: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.dependencies)

    @cached_property
    def stage_names(self) -> tuple[str, ...]:
        """Give each stage the name that a framework knows it by."""
        return tuple(f"stage_{index}" for index in range(len(self)))

    @cached_property
    def successors(self) -> tuple[tuple[int, ...], ...]:
        """List, for each stage, the stages that read it."""
        lists: list[list[int]] = [[] for _ in self.dependencies]
        for index, dependencies in enumerate(self.dependencies):
            for dependency in dependencies:
                lists[dependency].append(index)
        return tuple(map(tuple, lists))

    @cached_property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """Group the stages by the length of the longest path that leads to them."""
        depths: list[int] = []
        levels: list[list[int]] = []
        for index, dependencies in enumerate(self.dependencies):
            depth = 1 + max((depths[dependency] for dependency in dependencies), default=-1)
            depths.append(depth)
            if depth == len(levels):
                levels.append([])
            levels[depth].append(index)
        return tuple(map(tuple, levels))

    def expected(self, run_input: int) -> list[int]:
        """Compute every stage's value in a plain loop, independent of all executors."""
        values: list[int] = []
        for dependencies in self.dependencies:
            read = sum(values[dependency] for dependency in dependencies) if dependencies else run_input
            values.append((read + 1) % PRIME)
        return values

    def check(self, values: Sequence[object], run_input: int) -> None:
        """Raise ValueError naming the first stage whose value is not the expected one."""
        expected = self.expected(run_input)
        if len(values) != len(expected):
            raise ValueError(f"{self.name}: {len(values)} values for {len(expected)} stages")
        for name, value, right in zip(self.stage_names, values, expected, strict=True):
            if value != right:
                raise ValueError(f"{self.name}, input {run_input}: {name} came to {value!r}, expected {right}")


def chain(length: int) -> Graph:
    """Make stages that each read the one before."""
    return Graph(f"chain{length}", tuple((index - 1,) if index else () for index in range(length)))


def fan(width: int, *, sink: bool = True) -> Graph:
    """Make one root, `width` leaves that read it, and one sink that reads every leaf."""
    leaves = tuple((0,) for _ in range(width))
    last = (tuple(range(1, width + 1)),) if sink else ()
    return Graph(f"fan{width}", ((), *leaves, *last))


def ladder(stages: int) -> Graph:
    """Make rungs of two stages; each stage reads both stages of the rung before."""
    rungs = [() if index < 2 else (index // 2 * 2 - 2, index // 2 * 2 - 1) for index in range(stages)]
    return Graph(f"ladder{stages}", tuple(rungs))


def layers(depth: int, width: int) -> Graph:
    """Make layers in which each stage reads the whole layer before."""
    rows = [() if row == 0 else tuple(range((row - 1) * width, row * width)) for row in range(depth)]
    return Graph(f"layers{depth}x{width}", tuple(reads for reads in rows for _ in range(width)))


def random_dag(stages: int, *, seed: int = 300, window: int = 30) -> Graph:
    """Make a seeded random graph: each stage reads none to three of the `window` stages before it."""
    source = random.Random(seed)
    dependencies: list[tuple[int, ...]] = []
    for index in range(stages):
        near = range(max(0, index - window), index)
        count = min(len(near), source.choice((0, 1, 1, 2, 2, 3)))
        dependencies.append(tuple(sorted(source.sample(near, count))))
    return Graph(f"random{stages}", tuple(dependencies))


def agent_pipeline() -> Graph:
    """Make the ten stages of a voice agent: enrichments beside the guards, a prompt, a model, two things after it."""
    transcribe, guard, profile, memory, documents, route, prompt, model, _, _ = range(10)
    return Graph(
        "pipe10",
        (
            (),
            (transcribe,),
            (transcribe,),
            (transcribe,),
            (guard, profile),
            (guard,),
            (profile, memory, documents, route),
            (prompt,),
            (model,),
            (memory, model),
        ),
    )
