"""A run that goes on while its caller does something else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from typing import Any, Generic, TypeVar

import stageflow.projector as projection
from stageflow.conformance import conforming
from stageflow.core.handle import StageRef, name_of
from stageflow.core.stream import Stream, StreamStatistics
from stageflow.events.event import PipelineEvent
from stageflow.execution.results import PipelineResults
from stageflow.execution.run import Run
from stageflow.execution.worker import QUEUED

T = TypeVar("T")
M = TypeVar("M", bound="projection.Message")


class StreamReader(Generic[T]):
    """The chunks of a stage as somebody outside of the run reads them; made by `PipelineRun.stream`.

    Whoever breaks off its `async for`, and keeps no other reference to it, is gone as a reader: the stage no longer
    waits for it.

    Raises:
        StreamBrokenError: (by `async for`, after the last chunk) The stage did not end OK.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream[T]) -> None:
        self._stream = stream

    def __aiter__(self) -> StreamReader[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self._stream.__anext__()
        finally:
            del self  # else a cancellation, which keeps this frame, would keep a reader that is gone

    async def aclose(self) -> None:
        """Take no more chunks."""
        self._stream.close()

    def statistics(self) -> StreamStatistics:
        """Return what has been counted so far."""
        return self._stream.statistics()

    def __del__(self) -> None:
        self._stream.close()


class PipelineRun:
    """A run in the background: await it for its results, or watch it, or cancel it.

    `await run` returns the results or raises what the run raised. As with a task, cancelling whoever awaits it cancels
    the run. `outcome()` and `events()` only watch: to cancel those leaves the run alone. A run that fails and that
    nobody awaits is reported by asyncio as an exception that was never retrieved.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        # Not by `create_task`: an eager task factory would take the first step before anybody could ask for `events()`.
        loop, driver = asyncio.get_running_loop(), self._drive()
        driver.send(None)  # into its `try`: a task that is cancelled before its first step never runs
        self._task = asyncio.Task(driver, loop=loop, name=f"stageflow run {run.plan.name}")
        self._task.add_done_callback(self._ended)

    async def _drive(self) -> PipelineResults:
        try:
            await QUEUED
        except asyncio.CancelledError as error:
            self._run.interrupt(error)
        results = await self._run.execute()
        if results.error is not None:
            del self  # the error keeps this frame, and the results the error: they are not to keep the run
            __tracebackhide__ = True
            raise results.error
        return results

    def _ended(self, _: asyncio.Task[PipelineResults]) -> None:
        if self._run.scope.emitter is not None:
            self._run.scope.emitter.end_reading()

    @property
    def id(self) -> str:
        """The `pipeline_run_id`."""
        return self._run.id

    @property
    def done(self) -> bool:
        """Whether the run has ended."""
        return self._task.done()

    def __await__(self) -> Generator[Any, None, PipelineResults]:
        return self._task.__await__()

    def cancel(self, reason: str = "cancelled by its owner") -> None:
        """End the run in good order: it raises PipelineCancelled with this reason.

        Once every stage has ended this does nothing.

        Raises:
            TypeError: The reason is not a string.
        """
        if not isinstance(reason, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"The reason for a cancel is a string, not {reason!r}.")
        if not self._task.done():
            self._run.request_cancel(reason)

    async def outcome(self) -> PipelineResults:
        """Wait for the end and return the results, with `status` and `error`; never raises for what the stages did."""
        await asyncio.wait({self._task})
        error = None if self._task.cancelled() else self._task.exception()
        if self._run.results is None:  # a defect of the executor: there is nothing else to return
            assert error is not None
            raise error
        return self._run.results

    def stream(self, stage: StageRef) -> StreamReader[Any]:
        """Return the chunks of a stage that streams, each as it is made: `async for chunk in run.stream("llm")`.

        Like the stages that read it this is a reader of its own, which gets every chunk, and for which the stage waits
        if its options say so. It ends when the stage has ended OK.

        Raises:
            UnknownStageError: The plan has no such stage.
            NoStreamError: It does not stream.
            TooLateError: It has yielded chunks already, which are gone.
        """
        return StreamReader(self._run.listen_to(name_of(stage)))

    def events(self) -> AsyncIterator[PipelineEvent]:
        """Yield every event of the run from the first to the last, however late the reader is.

        The first call must come before the run's first step, that is before anything is awaited after `start()`: a run
        without a reader keeps no events.

        Raises:
            TooLateError: The run has begun, and has kept no events.
        """
        return self._run.listen().read()

    def messages(self, projector: projection.MessageProjector[M], *, after: str | None = None) -> AsyncIterator[M]:
        """Yield what a client is sent of the run: what the projector makes of its events, from the first to the last.

        As with `events()` the first call of either must come before the run's first step. Later ones may begin in the
        middle. A slow client holds up nobody.

        Args:
            projector: Such as `WSMessageProjector()` or `SSEMessageProjector()`; one serves any number of clients.
            after: The id of the last event that the client has, as in its `Last-Event-ID`; None or empty for all.

        Raises:
            TooLateError: The run has begun, and has kept no events.
            InvalidEventIdError: `after` is not the id of an event that this run has had.
            ProtocolMismatchError: It is no MessageProjector.
            ProjectionError: (by `async for`) The projector raised, or returned what is no message.
        """
        conforming(projector, projection.MessageProjector, "The projector of a run's messages")
        emitter = self._run.listen()
        position = 0 if after is None else projection.position_after(after, run_id=self.id, told=emitter.sequence)
        return projection.projected(emitter.read(position), projector)
