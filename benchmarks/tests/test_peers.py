"""Peers are skipped with a reason where they are absent, and shown where they were measured."""

import asyncio
import sys
from pathlib import Path

import pytest

from benchmarks import graphs, handwritten
from benchmarks.graphs import Graph
from benchmarks.measuring import Contender, Load
from benchmarks.peers import environments, results
from benchmarks.peers.environments import PEERS, Peer, UnavailableError
from benchmarks.peers.measure import NotExpressibleError, measure_graph, peer_workloads
from benchmarks.peers.results import keep, peer_multiples, peer_notes, peer_results


def test_every_peer_is_pinned() -> None:
    """An environment made tomorrow holds the same version."""
    for peer in PEERS:
        assert all("==" in line for line in peer.requirements.read_text().split())


def test_peer_is_measured_beside_limit() -> None:
    """A multiple is taken against the cheapest hand-written executor of the same graph."""
    graph = graphs.fan(20)
    inline = Contender("inline", handwritten.inline(graph, handwritten.add), read=list)
    figures = asyncio.run(measure_graph(lambda _: inline, graph, Load()))
    assert figures["limit"] in handwritten.LIMIT
    assert figures["multiple"] > 0


def test_graph_that_a_peer_cannot_express_is_skipped_with_the_reason() -> None:
    """What a framework has no form for is no failure of the benchmark."""

    def refuse(graph: Graph) -> Contender:
        raise NotExpressibleError(f"no form for {graph.name}")

    assert asyncio.run(measure_graph(refuse, graphs.chain(3), Load())) == {"skipped": "no form for chain3"}


def test_wrong_values_of_a_peer_are_an_error() -> None:
    """A peer is checked as we are."""
    wrong = Contender("wrong", handwritten.inline(graphs.chain(3), handwritten.add), read=lambda values: values[::-1])
    with pytest.raises(ValueError, match="stage_0 came to"):
        asyncio.run(measure_graph(lambda _: wrong, graphs.chain(3), Load()))


def test_peer_workloads_are_among_ours() -> None:
    """The peers run the graphs that the main table has."""
    assert set(peer_workloads(0.01)) == {"chain1000", "fan1000", "layers10x10", "random300", "pipe10"}


def test_failing_installer_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The installer's last words say why a peer is absent, and the environment is not taken for ready."""
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path)
    failing = [sys.executable, "-c", "raise SystemExit('no such registry')"]

    def installation(peer: Peer) -> list[list[str]]:
        return [failing]

    monkeypatch.setattr(environments, "installation", installation)
    with pytest.raises(UnavailableError, match="no such registry"):
        environments.prepare(PEERS[0])
    assert not environments.is_ready(PEERS[0])


def test_ready_environment_is_made_anew_for_other_requirements(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A changed pin is installed, not overlooked."""
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    peer = Peer("some-peer", "no.module")
    peer.requirements.write_text("some-peer==1")
    peer.python.parent.mkdir(parents=True)
    peer.python.touch()
    assert not environments.is_ready(peer)
    (peer.environment / "requirements.sha256").write_text(environments.fingerprint(peer))
    assert environments.is_ready(peer)
    peer.requirements.write_text("some-peer==2")
    assert not environments.is_ready(peer)


def test_slow_peer_is_cut_off() -> None:
    """A peer that hangs is skipped with its limit."""
    with pytest.raises(UnavailableError, match="longer than 0 s"):
        environments.run([sys.executable, "-c", "import threading; threading.Event().wait()"], timeout_s=0)


def test_kept_results_are_shown_and_absent_ones_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The table has a line for what was measured and a reason for what was not."""
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    first, second = PEERS[:2]
    keep(first, {"multiples": {"chain1000": {"multiple": 821.4}, "pipe10": {"skipped": "no joins"}}})
    keep(second, {"skipped": "no such registry"})
    read = peer_results()
    assert peer_multiples(read) == {first.name: {"chain1000": 821.4}}
    notes = peer_notes(read)
    assert f"{first.name}, pipe10: no joins" in notes
    assert f"{second.name}: skipped, no such registry" in notes
    assert f"{PEERS[2].name}: skipped, not measured here; `python -m benchmarks.peers` does it" in notes
