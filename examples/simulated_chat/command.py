"""The command: many seeds on all processors, or one with its trace."""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache

from stageflow import StageGraph

from examples.simulated_chat.pipeline import chat_pipeline
from examples.simulated_chat.rules import violations_of
from examples.simulated_chat.turn import turn_of

TURNS = 10_000
BLOCK = 250


@dataclass
class Judged:
    """What came of some turns.

    Attributes:
        endings: How they ended, and how many each.
        faults: What struck them, and how often.
        struck: How many of them were struck by a fault at least.
        calls: How often the model was asked.
        broken: The seeds that break a rule, with what they break.
    """

    endings: Counter[str] = field(default_factory=Counter[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    struck: int = 0
    calls: int = 0
    broken: list[tuple[int, list[str]]] = field(default_factory=list[tuple[int, list[str]]])

    def add(self, other: Judged) -> None:
        """Count those of another block as well."""
        self.endings += other.endings
        self.faults += other.faults
        self.struck += other.struck
        self.calls += other.calls
        self.broken += other.broken


@cache
def the_graph() -> StageGraph:
    """Compile the pipeline, once a process."""
    return chat_pipeline().build()


def judge(seeds: range) -> Judged:
    """Take the turn of each seed, and judge it."""
    judged, graph = Judged(), the_graph()
    for seed in seeds:
        turn = turn_of(seed, graph)
        faults = turn.world.faults()
        judged.endings[turn.ending] += 1
        judged.faults += faults
        judged.struck += bool(faults)
        judged.calls += len(turn.world.llm.calls)
        if found := violations_of(turn):
            judged.broken.append((seed, found))
    return judged


def judge_all(seeds: range, processes: int) -> Judged:
    """Judge the seeds, in their order, on so many processes."""
    judged, blocks = Judged(), [seeds[place : place + BLOCK] for place in range(0, len(seeds), BLOCK)]
    if processes == 1:
        for block in blocks:
            judged.add(judge(block))
        return judged
    with ProcessPoolExecutor(processes, initializer=be_quiet) as pool:
        for each in pool.map(judge, blocks):
            judged.add(each)
    return judged


def be_quiet() -> None:
    """Let the log of what fails on purpose not fill the terminal."""
    logging.getLogger("stageflow").addHandler(logging.NullHandler())


def report(judged: Judged, seeds: range, processes: int, took_s: float) -> Iterator[str]:
    """Yield what is printed in the end."""
    on = "1 process" if processes == 1 else f"{processes} processes"
    yield f"{len(seeds):,} turns of {len(the_graph())} stages in {took_s:.1f} s on {on}"
    yield f"{judged.calls:,} calls of the model"
    yield ""
    yield from (f"{count:>7,}  {ending}" for ending, count in judged.endings.most_common())
    yield ""
    yield f"{judged.faults.total():,} faults struck {judged.struck:,} turns:"
    yield from (f"{count:>7,}  {fault}" for fault, count in judged.faults.most_common())
    yield ""
    for seed, found in judged.broken:
        yield from (f"seed {seed}: {each}" for each in found)
    if judged.broken:
        yield f"{len(judged.broken):,} turns break a rule. To repeat the first, with its trace:"
        yield f"    python -m examples.simulated_chat --seed {judged.broken[0][0]}"
    else:
        yield "Every turn keeps every rule."


def show(seed: int) -> int:
    """Print the turn of one seed, and what of it must not be."""
    turn = turn_of(seed, the_graph())
    found = violations_of(turn)
    print(*turn.trace(), f"trace {turn.digest()}", *(found or ["It keeps every rule."]), sep="\n")
    return int(bool(found))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code: 1 if a rule is broken."""
    options = _parser().parse_args(arguments)
    if options.seed is not None:
        return show(options.seed)
    be_quiet()
    seeds = range(options.first, options.first + options.turns)
    begun = time.perf_counter()
    judged = judge_all(seeds, options.processes)
    print(*report(judged, seeds, options.processes, time.perf_counter() - begun), sep="\n")
    return int(bool(judged.broken))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.simulated_chat",
        description="Take thousands of turns of a chat in simulated time, each under a seed of its own: who asks what, "
        "which faults strike, which of two tasks goes first. Judge each by the same rules.",
    )
    parser.add_argument("--turns", type=_count, default=TURNS, help="how many (%(default)s)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed (%(default)s)")
    parser.add_argument("--seed", type=int, help="take the turn of this seed alone, and show its trace")
    parser.add_argument(
        "--processes", type=_count, default=os.cpu_count() or 1, help="how many at once (one a processor)"
    )
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return count
