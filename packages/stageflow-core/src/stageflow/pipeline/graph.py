"""A pipeline that is ready to run."""

from __future__ import annotations

import asyncio
from typing import Unpack

from stageflow.context.pipeline_context import PipelineContext
from stageflow.context.snapshot import ContextSnapshot
from stageflow.execution.pipeline_run import PipelineRun
from stageflow.execution.plan import ExecutionPlan
from stageflow.execution.results import PipelineResults
from stageflow.pipeline.invocation import RunFields, make_run


class StageGraph:
    """A checked and compiled pipeline. It is frozen: any number of runs share it and see nothing of each other."""

    __slots__ = ("_plan",)

    def __init__(self, plan: ExecutionPlan) -> None:
        self._plan = plan

    @property
    def name(self) -> str:
        return self._plan.name

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages, in plan order."""
        return self._plan.names

    async def run(
        self, context: PipelineContext | ContextSnapshot | None = None, /, **fields: Unpack[RunFields]
    ) -> PipelineResults:
        """Run once, and return what every stage ended as.

        Args:
            context: What the run is asked and given; or give the fields of either as keywords.

        Raises:
            StageExecutionError: A stage failed; every other stage has stopped.
            PipelineCancelled: A stage cancelled the run.
            asyncio.CancelledError: The caller was cancelled; every stage has stopped.
            InputContractError: The input is not of the type that the pipeline takes.
            PipelineTimeoutError: It took longer than the pipeline's timeout.
            PipelineSuspended: A human must decide before it goes on.
            ResumeError: What is to be resumed cannot be.
            UnknownLimitError: A stage takes permits of a limit that the run is not given.
            TypeError: The arguments are wrong.
        """
        results = await make_run(self._plan, context, fields).execute()
        if results.error is not None:
            raise results.error
        return results

    def start(
        self, context: PipelineContext | ContextSnapshot | None = None, /, **fields: Unpack[RunFields]
    ) -> PipelineRun:
        """Start a run in the background of the running event loop, and return it at once.

        Raises:
            RuntimeError: There is no running event loop.
        """
        if not _in_event_loop():
            raise RuntimeError("start() needs async code to run beside: elsewhere use `pipeline.run_sync(...)`.")
        return PipelineRun(make_run(self._plan, context, fields))

    def run_sync(
        self, context: PipelineContext | ContextSnapshot | None = None, /, **fields: Unpack[RunFields]
    ) -> PipelineResults:
        """Run once from code that is not async, in an event loop of its own.

        Raises:
            RuntimeError: It was called from async code, where it is `await graph.run(...)`.
        """
        if _in_event_loop():
            raise RuntimeError("run_sync() cannot be called from async code: use `await pipeline.run(...)` there.")
        return asyncio.run(self.run(context, **fields))

    def __len__(self) -> int:
        return len(self._plan.nodes)

    def __repr__(self) -> str:
        return f"<StageGraph '{self._plan.name}': {len(self)} stages>"


def _in_event_loop() -> bool:
    """Return whether an event loop runs the calling code."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
