"""`python -m simulation`: judges many seeds, or shows one with its trace."""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from os import cpu_count

from simulation.describing import shown
from simulation.kinds import describe, judge, kind_of, observe, scenario_of, violations_of

BLOCK = 500


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100_000, help="how many (100000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--seed", type=int, help="show this one, with its trace")
    parser.add_argument("--until-found", action="store_true", help="end at the first that violates something")
    given = parser.parse_args()
    if given.seed is not None:
        return show(given.seed)
    return search(given.first, given.seeds) if given.until_found else judge_all(given.first, given.seeds)


def show(seed: int) -> int:
    """Print a scenario, what happened, and what of that must not be."""
    scenario = scenario_of(seed)
    observation = observe(scenario)
    found = violations_of(observation)
    print(
        f"{kind_of(seed)}:",
        describe(scenario),
        shown(observation.trace),
        *(found or ["It keeps every rule."]),
        sep="\n",
    )
    return bool(found)


def search(first: int, seeds: int) -> int:
    """Print the first seed that violates something."""
    for seed in range(first, first + seeds):
        violations = judge(seed)
        if violations:
            print(f"seed {seed}: {'; '.join(violations)}")
            return 1
    return 0


def judge_all(first: int, seeds: int) -> int:
    """Judge the seeds on all processors; print each that violates something, and the sum."""
    begun, judged, violating = time.monotonic(), 0, 0
    blocks = range(first, first + seeds, BLOCK)
    with ProcessPoolExecutor(cpu_count()) as pool:
        for block, found in zip(blocks, pool.map(judge_block, blocks, repeat(first + seeds)), strict=True):
            judged += min(BLOCK, first + seeds - block)
            violating += len(found)
            for seed, violations in found:
                print(f"seed {seed}: {'; '.join(violations)}")
    took = time.monotonic() - begun
    print(f"{judged} schedules from seed {first} on in {took:.0f} s: {violating or 'none'} violate a rule")
    return bool(violating)


def judge_block(block: int, end: int) -> list[tuple[int, list[str]]]:
    """Return the seeds of a block that violate something, with what."""
    found = ((seed, judge(seed)) for seed in range(block, min(block + BLOCK, end)))
    return [(seed, violations) for seed, violations in found if violations]


if __name__ == "__main__":
    sys.exit(main())
