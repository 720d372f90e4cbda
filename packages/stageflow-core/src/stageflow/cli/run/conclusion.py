"""What is shown of a run that has ended: what came of it, what is asked, how to go on, and the exit code."""

from __future__ import annotations

import errno
import json
import os
import shlex
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stageflow.cli import exits
from stageflow.cli.console import Console
from stageflow.cli.entry import report
from stageflow.cli.run.reporting import duration
from stageflow.cli.run.running import Ending
from stageflow.core.kinds import StageStatus
from stageflow.errors import CommandError, SerializationError
from stageflow.execution.results import PipelineResults
from stageflow.pipeline.graph import StageGraph
from stageflow.wording import listed

_CODES: Mapping[str, int] = {
    "completed": exits.OK,
    "failed": exits.FAILED,
    "suspended": exits.SUSPENDED,
    "cancelled": exits.CANCELLED,
}


def conclude(graph: StageGraph, ending: Ending, console: Console, options: Namespace) -> int:
    """Show the results of a run, keep them if that was asked for, and return the exit code."""
    results = ending.results
    if options.json:
        console.json({"results": written(results)})
    else:
        outputs = shown_outputs(graph, results, options.output)
        if outputs:
            console.json(outputs, indent=2)
        if options.progress != "off":
            console.tell(summary(results))
    if options.save:
        save(results, Path(options.save))
    if results.error is not None and results.status != "suspended" and ending.signal is None:
        cause = results.error.__cause__ or results.error
        report(str(results.error), cause, traceback=options.traceback)
    if results.status == "suspended" and not options.json:
        for line in how_to_go_on(results, options):
            console.tell(line)
    return _CODES[results.status] if ending.signal is None else exits.by_signal(ending.signal)


def shown_outputs(graph: StageGraph, results: PipelineResults, wanted: list[str]) -> dict[str, Any]:
    """Return the data of the stages that were asked for, else of those that no other reads.

    Of a suspended run it is what is asked.
    """
    if results.status == "suspended" and not wanted:
        return {name: results[name].data for name in results.suspended()}
    if results.status != "completed" and not wanted:
        return {}
    nodes = graph._compiled().nodes  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - of the same package
    names = wanted or [node.name for node in nodes if not node.successors and not node.readers]
    return {name: results[name].data for name in names if results[name].status is StageStatus.OK}


def summary(results: PipelineResults) -> str:
    """Return in a line how a run ended, and how many stages ended in which way."""
    counts: dict[str, int] = {}
    for name in results:
        status = results[name].status.name
        counts[status] = counts.get(status, 0) + 1
    stages = ", ".join(f"{count} {status}" for status, count in counts.items())
    left = f"; left behind: {listed(results.stragglers)}" if results.stragglers else ""
    lost = f"; {results.events_lost} events lost" if results.events_lost else ""
    return f"{results.pipeline}: {results.status} in {duration(results.duration_ms)} ({stages}){left}{lost}"


def how_to_go_on(results: PipelineResults, options: Namespace) -> list[str]:
    """Return the lines that say what a suspended run waits for."""
    told = [f"A decision is needed for: {listed(results.suspended())}."]
    if not options.save:
        told.append("The results were not kept: with --save FILE it can be resumed from there.")
        return told
    decisions = [f"--decision {name}=VALUE" for name in results.suspended()]
    given = [
        f"--{name} {shlex.quote(getattr(options, name))}" for name in ("ports", "config") if getattr(options, name)
    ]
    given += [f"--limit {shlex.quote(each)}" for each in options.limit]
    words = [
        "stageflow run",
        shlex.quote(options.pipeline),
        f"--resume {shlex.quote(options.save)}",
        *decisions,
        *given,
    ]
    return [*told, f"Go on with: {' '.join(words)}"]


def written(results: PipelineResults) -> dict[str, Any]:
    """Return the results for programs: as `to_dict` has them, and the error; described where they are not JSON."""
    error = results.error
    told = None if error is None else {"code": error.code, "message": str(error)}
    try:
        return {**results.to_dict(), "error": told}
    except SerializationError as problem:
        stages = {name: {"status": results[name].status.name, "data": results[name].data} for name in results}
        return {
            "pipeline": results.pipeline,
            "pipeline_run_id": results.pipeline_run_id,
            "status": results.status,
            "duration_ms": results.duration_ms,
            "stages": stages,
            "error": told,
            "not_json": str(problem),
        }


def check_place(path: Path) -> None:
    """Look whether results could be written to a file, before the run that they are of has cost anything.

    Raises:
        CommandError: They could not.
    """
    problem = 0
    if not path.parent.is_dir():
        problem = errno.ENOENT
    elif path.is_dir():
        problem = errno.EISDIR
    elif not os.access(path.parent, os.W_OK):
        problem = errno.EACCES
    if problem:
        raise CommandError(f"--save: {path} cannot be written: {os.strerror(problem)}.")


def save(results: PipelineResults, path: Path) -> None:
    """Write the results to a file that nobody else may read: they hold what the run was asked, and what it found.

    Raises:
        CommandError: It cannot be written, or what a stage returned is not JSON.
    """
    try:
        text = json.dumps(results.to_dict(), ensure_ascii=False)
    except SerializationError as error:
        raise CommandError(f"--save: the results cannot be kept: {error}") from error
    beside = path.with_name(f"{path.name}.new")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        beside.replace(path)
    except OSError as error:
        raise CommandError(f"--save: {path} cannot be written: {error.strerror}.") from error
