"""The run itself: its ports are opened, its events are reported, and a signal ends it in good order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple, Self, cast

from stageflow.cli import exits
from stageflow.cli.ports import opened_ports
from stageflow.cli.run.asking import Asking
from stageflow.cli.run.reporting import Reporter
from stageflow.context.pipeline_context import PipelineContext
from stageflow.errors import CommandError, StageflowError, StreamBrokenError
from stageflow.execution.pipeline_run import PipelineRun, StreamReader
from stageflow.execution.results import PipelineResults
from stageflow.pipeline.graph import StageGraph
from stageflow.wording import text_of


class Ending(NamedTuple):
    """How a run ended, and the signal that ended it, if one did."""

    results: PipelineResults
    signal: int | None


async def carry_out(graph: StageGraph, asking: Asking, reporter: Reporter) -> Ending:
    """Run the pipeline and report its events to a reporter that has been entered.

    Raises:
        CommandError: The ports cannot be made, or the run cannot begin.
    """
    with Interruption(reporter) as interruption:
        async with contextlib.AsyncExitStack() as stack:
            run = _started(graph, asking, await opened_ports(asking.ports, stack))
            interruption.ends(run)
            try:
                await _report(run, asking.streams, reporter)
            finally:  # where the output has gone, the run must end before the ports that it uses do
                run.cancel("shown to nobody")
                results = await run.outcome()
        return Ending(results, None if results.status == "completed" else interruption.number)


def _started(graph: StageGraph, asking: Asking, ports: Any) -> PipelineRun:
    """Start the run.

    Raises:
        CommandError: It cannot begin.
    """
    deadline = None if asking.timeout_s is None else asyncio.get_running_loop().time() + asking.timeout_s
    try:
        context = PipelineContext(snapshot=asking.snapshot, ports=ports, deadline=deadline, **asking.beside)
        return graph.start(context, **cast("Any", asking.resumption))
    except (StageflowError, TypeError, ValueError) as error:
        raise CommandError(f"The run of '{graph.name}' cannot begin: {text_of(error)}") from error


async def _report(run: PipelineRun, streams: Sequence[str], reporter: Reporter) -> None:
    """Report all that happens until the run has ended.

    Raises:
        CommandError: One of the streams is none.
    """
    events = run.events()
    readers = {stage: _reader(run, stage) for stage in streams}
    try:
        async with asyncio.TaskGroup() as group:
            for stage in streams:
                group.create_task(_report_chunks(readers.pop(stage), stage, reporter))
            async for event in events:
                reporter.event(event)
    except ExceptionGroup as several:  # of writing to where nobody reads any more: one is as good as the other
        raise several.exceptions[0] from None


def _reader(run: PipelineRun, stage: str) -> StreamReader[Any]:
    try:
        return run.stream(stage)
    except StageflowError as error:
        raise CommandError(f"--stream {stage}: {error}") from error


async def _report_chunks(reader: StreamReader[Any], stage: str, reporter: Reporter) -> None:
    with contextlib.suppress(StreamBrokenError):  # how the stage ended is among the events
        async for chunk in reader:
            reporter.chunk(stage, chunk)


class Interruption:
    """What Ctrl-C and SIGTERM do within the block: the first cancels the run, the second leaves at once."""

    def __init__(self, reporter: Reporter) -> None:
        self.number: int | None = None
        self._reporter = reporter
        self._run: PipelineRun | None = None
        self._before: Mapping[signal.Signals, Any] = {}

    def ends(self, run: PipelineRun) -> None:
        """Say which run it is that a signal ends."""
        self._run = run
        if self.number is not None:
            self._cancel()

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        with contextlib.suppress(ValueError):  # in another thread than the first one no signal arrives
            self._before = {each: signal.signal(each, self._arrived) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _arrived(self, number: int, _: FrameType | None) -> None:
        if self.number is not None:
            self._reporter.abandon()
            exits.leave_now(exits.by_signal(number))
        self.number = number
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._run is not None and not self._run.done:
            self._run.cancel("interrupted")
            with contextlib.suppress(OSError):  # where nobody reads it any more, the next event finds out
                self._reporter.note("Cancelling the run; Ctrl-C again leaves at once.")
