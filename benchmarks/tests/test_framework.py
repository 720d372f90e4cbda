"""Stageflow computes the workloads' values, and every benchmark gives rows, a table and JSON."""

import asyncio
import json
from pathlib import Path

import pytest

from benchmarks import framework, graphs
from benchmarks.__main__ import main
from benchmarks.catalogue import benchmarks
from benchmarks.effort import Effort
from benchmarks.measuring import sample
from benchmarks.workloads import Workload, workloads

TINY = Effort(rounds=2, scale=0.01)


@pytest.mark.parametrize("workload", workloads(0.02), ids=lambda workload: workload.key)
def test_stageflow_computes_every_workload(workload: Workload) -> None:
    """Every stage of every workload has the value that the plain loop gives."""
    contender = framework.contender(workload.graph, sleeps=workload.sleeps)
    asyncio.run(sample(contender, workload.graph, workload.load))


def test_recorded_run_has_two_events_a_stage() -> None:
    """A sink that lost events is an error, not a cheap run."""
    graph = graphs.layers(2, 3)
    contender = framework.recorded_contender(graph)

    async def scenario() -> None:
        results, sink = await contender.run(1)
        graph.check(contender.read((results, sink)), 1)
        sink.events.pop()  # the end of the run
        contender.read((results, sink))
        sink.events.pop()
        with pytest.raises(ValueError, match="recorded 11 stage events for 6 stages"):
            contender.read((results, sink))

    asyncio.run(scenario())


@pytest.mark.parametrize("name", benchmarks())
def test_benchmark_gives_rows(name: str) -> None:
    """Each benchmark runs at any size and gives positive figures within their spread."""
    rows = asyncio.run(benchmarks()[name](TINY))
    assert rows
    for row in rows:
        assert row.figure.low <= row.figure.median <= row.figure.high
        assert (row.must is None) == (row.aim is None)


def test_command_prints_the_table_and_writes_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m benchmarks` shows the chosen benchmarks and keeps their figures."""
    path = tmp_path / "trial.json"
    assert main(["--quick", "--rounds", "2", "--only", "pipe10", "--only", "sink", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "pipeline of 10" in printed
    assert "langgraph" in printed
    assert [row["key"] for row in json.loads(path.read_text())["rows"]] == ["pipe10", "sink"]


def test_command_refuses_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt name is told with the names that there are."""
    with pytest.raises(SystemExit):
        main(["--only", "chain"])
    assert "chain1000" in capsys.readouterr().err
