"""List pipelines: those that are installed, or those of a module.

A distribution offers pipelines under the entry-point group `stageflow.pipelines`.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from stageflow.cli import exits
from stageflow.cli.console import Console, columns
from stageflow.cli.entry import report
from stageflow.cli.installed import installed
from stageflow.cli.targets import built, import_target, pipelines_in
from stageflow.errors import CommandError
from stageflow.pipeline.builder import Pipeline
from stageflow.pipeline.graph import StageGraph
from stageflow.wording import listed, text_of


def configure(parser: ArgumentParser) -> None:
    """Add what `list` takes."""
    parser.add_argument("module", metavar="MODULE", nargs="?", help="a module or a file; unless given, the installed")
    parser.add_argument("--json", action="store_true", help="a list of objects")


def run(options: Namespace) -> int:
    """Print the pipelines."""
    with Console() as console:
        return _list(console, options)


def _list(console: Console, options: Namespace) -> int:
    if options.module is None:
        found, failures = installed()
    else:
        found = {f"{options.module}:{name}": each for name, each in pipelines_in(import_target(options.module)).items()}
        failures = ()
    problems = [text_of(failure) for failure in failures]
    rows: list[dict[str, Any]] = []
    for name, pipeline in found.items():
        try:
            rows.append(_row(name, pipeline))
        except CommandError as error:
            problems.append(text_of(error))
    if options.json:
        console.json(rows, indent=2)
    elif rows:
        lines = [[row["name"], str(len(row["stages"])), listed(row["ports"], most=6)] for row in rows]
        for line in columns([["pipeline", "stages", "ports"], *lines]):
            console.data(line)
    elif not problems:
        where = "is installed" if options.module is None else f"is in {options.module}"
        console.tell(f"No pipeline {where}.")
    for problem in problems:
        report(problem)
    return exits.FAILED if problems else exits.OK


def _row(name: str, pipeline: Pipeline | StageGraph) -> dict[str, Any]:
    graph = built(name, pipeline)
    return {"name": name, "pipeline": graph.name, "stages": list(graph.stages), "ports": list(graph.ports)}
