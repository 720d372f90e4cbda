"""Where the peers' multiples are kept between `make bench-peers` and the next table."""

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.peers.environments import PEERS, Peer
from benchmarks.report import RESULTS

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


def peer_multiples(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Give the multiples of the peers that were measured, of the graphs that they have a form for."""
    return {
        name: {key: figure["multiple"] for key, figure in result["multiples"].items() if "multiple" in figure}
        for name, result in results.items()
        if "multiples" in result
    }


def peer_notes(results: Mapping[str, Any]) -> list[str]:
    """Say what was skipped, and why."""
    notes = [f"{name}: skipped, {result['skipped']}" for name, result in results.items() if "skipped" in result]
    for name, result in results.items():
        reasons: dict[str, list[str]] = {}
        for key, figure in result.get("multiples", {}).items():
            if "skipped" in figure:
                reasons.setdefault(figure["skipped"], []).append(key)
        notes += [f"{name}, {' and '.join(keys)}: {reason}" for reason, keys in reasons.items()]
    return notes
