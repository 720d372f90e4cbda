"""Where the peers' multiples are kept between `make bench-peers` and the next table, and how they are shown."""

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.peers.environments import PEERS, Peer
from benchmarks.report import RESULTS, columns

FOLDER = RESULTS / "peers"


def peer_results() -> dict[str, Any]:
    """Read what was measured last, or the reason why there is nothing."""
    results: dict[str, Any] = {}
    for peer in PEERS:
        path = FOLDER / f"{peer.name}.json"
        absent = {"skipped": "not measured here; `python -m benchmarks.peers` does it"}
        results[peer.name] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else absent
    return results


def keep(peer: Peer, result: Mapping[str, Any]) -> None:
    """Write the latest result of a peer."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{peer.name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def peer_table(results: Mapping[str, Any]) -> str:
    """Write a table of multiples, a line for each peer, and below it why some are missing."""
    measured = {name: result["multiples"] for name, result in results.items() if "multiples" in result}
    notes = [f"{name}: skipped, {result['skipped']}" for name, result in results.items() if "skipped" in result]
    keys = list(dict.fromkeys(key for multiples in measured.values() for key in multiples))
    cells = [["peers, multiples of LIMIT", *keys]]
    for name, multiples in measured.items():
        cells.append([name, *[_cell(multiples[key]) for key in keys]])
        reasons = {key: multiples[key]["skipped"] for key in keys if "skipped" in multiples[key]}
        notes += [f"{name}, {key}: {reason}" for key, reason in reasons.items()]
    return "\n".join([*(columns(cells, left=1) if measured else ()), *notes])


def _cell(figure: Mapping[str, Any]) -> str:
    return "-" if "skipped" in figure else f"{figure['multiple']:.3g}"
