"""`python -m benchmarks`: prints the table of what the framework costs and writes it as JSON."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.catalogue import benchmarks
from benchmarks.effort import FULL, QUICK, Effort
from benchmarks.peers.results import peer_multiples, peer_notes, peer_results
from benchmarks.report import RESULTS, Row, document, machine, multiples_of, multiples_table, table, write


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", choices=tuple(benchmarks()), help="measure this one")
    parser.add_argument("--list", action="store_true", help="list the names that --only takes")
    parser.add_argument("--quick", action="store_true", help="small graphs and few rounds: a trial, no measurement")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"samples of each contender ({FULL.rounds})")
    parser.add_argument("--name", default="stageflow", help="name of the file in benchmarks/results/")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the JSON there instead")
    return parser.parse_args(argv)


async def measure(names: Sequence[str], effort: Effort) -> list[Row]:
    """Run the benchmarks one after the other and says on stderr which one it is at."""
    rows: list[Row] = []
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows.extend(await benchmarks()[name](effort))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints and writes."""
    options = arguments(argv)
    if options.list:
        print("\n".join(benchmarks()))
        return 0
    chosen = QUICK if options.quick else FULL
    effort = Effort(rounds=options.rounds or chosen.rounds, scale=chosen.scale)
    rows = asyncio.run(measure(options.only or tuple(benchmarks()), effort))
    peers = peer_results()
    print("{python}, {system}, {cores} cores, {taken_at},".format(**machine()), f"{effort.rounds} rounds")
    if options.quick:
        print("QUICK: small graphs and few rounds, so the verdicts mean nothing")
    print(table(rows))
    print()
    print(multiples_table({**multiples_of(rows), **peer_multiples(peers)}), *peer_notes(peers), sep="\n")
    path = options.json or RESULTS / f"{options.name}.json"
    write(path, document(rows, peers, effort.rounds))
    print(f"\nwritten to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
