"""Run a pipeline, and show what happens: each event as a line on stderr, and in the end the results on stdout.

Exit codes: 0 the run completed, 1 it failed or took too long, 2 it could not begin, 3 it is suspended until somebody
decides, 4 a stage cancelled it, 130 it was ended by Ctrl-C, 143 by SIGTERM, 141 nobody reads the output any more.
"""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, Namespace
from pathlib import Path

from stageflow.cli import exits
from stageflow.cli.console import Console
from stageflow.cli.entry import report
from stageflow.cli.run.asking import add_arguments, asked
from stageflow.cli.run.conclusion import check_place, conclude
from stageflow.cli.run.reporting import reporter_for
from stageflow.cli.run.running import carry_out
from stageflow.cli.targets import TARGET, load_graph, place_of


def configure(parser: ArgumentParser) -> None:
    """Add what `run` takes."""
    parser.add_argument("pipeline", metavar="PIPELINE", help=TARGET)
    add_arguments(parser)


def run(options: Namespace) -> int:
    """Run the pipeline."""
    with Console() as console:
        return _run(console, options)


def _run(console: Console, options: Namespace) -> int:
    graph = load_graph(options.pipeline)
    asking = asked(graph, options)
    if options.save:
        check_place(Path(options.save))
    reporter = reporter_for(console, options)
    # The loop, as it closes, waits for the threads that stages have left behind: a signal ends that as well.
    with exits.left_by_signals(), asyncio.Runner() as runner:
        try:
            with reporter:  # outside the loop, since entering and leaving it may wait for a thread
                ending = runner.run(carry_out(graph, asking, reporter))
        except SystemExit as error:
            told = f"A stage of '{options.pipeline}' ends the process (SystemExit: {error.code}){place_of(error)}."
            report(told, error, traceback=options.traceback)
            return exits.FAILED
        code = conclude(graph, ending, console, options)
        if ending.results.stragglers:  # else the loop, as it closes, would wait for stages that do not stop
            exits.leave_now(code)
    return code
