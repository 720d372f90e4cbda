"""`python -m benchmarks.scale`: prints one table of very large runs, and fails if one of them misses what it must."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from benchmarks.effort import Effort
from benchmarks.report import Row, machine, table
from benchmarks.scale.crowds import stream_crowd_rows, waiter_rows
from benchmarks.scale.items import item_rows
from benchmarks.scale.stages import stage_rows

SCALES: Mapping[str, Callable[[Effort], Coroutine[Any, Any, list[Row]]]] = {
    "stages": stage_rows,
    "items": item_rows,
    "streams": stream_crowd_rows,
    "waiters": waiter_rows,
}
"""What `--only` takes, in the order of the table."""

FULL = Effort(rounds=3)
QUICK = Effort(rounds=2, scale=0.01)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", choices=tuple(SCALES), help=", ".join(SCALES))
    parser.add_argument("--quick", action="store_true", help="a hundredth of everything: a trial, which never fails")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"samples of each size ({FULL.rounds})")
    return parser.parse_args(argv)


async def measure(names: Sequence[str], effort: Effort) -> list[Row]:
    """Go through them one after the other, and say on stderr which one it is at."""
    rows: list[Row] = []
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows.extend(await SCALES[name](effort))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 if something is missed."""
    options = arguments(argv)
    chosen = QUICK if options.quick else FULL
    effort = Effort(rounds=options.rounds or chosen.rounds, scale=chosen.scale)
    rows = asyncio.run(measure(options.only or tuple(SCALES), effort))
    print("{python}, {system}, {cores} cores, {taken_at},".format(**machine()), f"{effort.rounds} rounds")
    if options.quick:
        print("QUICK: small runs, so the verdicts mean nothing")
    print(table(rows))
    missed = [] if options.quick else [row.title for row in rows if row.verdict == "MISSES"]
    for title in missed:
        print(f"missed: {title}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
