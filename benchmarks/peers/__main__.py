"""`python -m benchmarks.peers`: makes each peer's environment, measures it there, and prints the multiples."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.peers.environments import PEERS, Peer, UnavailableError, prepare, run
from benchmarks.peers.results import keep, peer_multiples, peer_notes
from benchmarks.report import machine, multiples_table

TIMEOUT_S = 600


def measure(peer: Peer, scale: float) -> dict[str, Any]:
    """Measure one peer in its own environment, or says why it was skipped."""
    try:
        prepare(peer)
        printed = run([str(peer.python), "-m", peer.module, str(scale)], timeout_s=TIMEOUT_S, variables=peer.variables)
    except UnavailableError as error:
        return {"skipped": str(error)}
    pinned = peer.requirements.read_text().split()
    return {"requirements": pinned, "machine": machine(), "multiples": json.loads(printed.splitlines()[-1])}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the peers one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    names = [peer.name for peer in PEERS]
    parser.add_argument("--only", action="append", metavar="PEER", choices=names, help=f"one of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="small graphs: a trial, nothing is kept")
    options = parser.parse_args(argv)
    results: dict[str, Any] = {}
    for peer in PEERS:
        if options.only and peer.name not in options.only:
            continue
        print(f"measuring {peer.name} ...", file=sys.stderr, flush=True)
        results[peer.name] = measure(peer, 0.1 if options.quick else 1.0)
        if not options.quick:
            keep(peer, results[peer.name])
    print(multiples_table(peer_multiples(results)), *peer_notes(results), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
