"""What a Pipeline and a StageGraph have in common: they can be run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Unpack

from stageflow.context.pipeline_context import ChildFields, PipelineContext
from stageflow.context.snapshot import ContextSnapshot
from stageflow.core.context import ChildPipeline, RunScope
from stageflow.execution.pipeline_run import PipelineRun
from stageflow.execution.plan import ExecutionPlan
from stageflow.execution.results import PipelineResults
from stageflow.pipeline.children import run_child
from stageflow.pipeline.invocation import RunFields, make_run


class Runnable(ChildPipeline[PipelineResults]):
    """Base of Pipeline and StageGraph."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """Shown in errors, events and results."""
        raise NotImplementedError

    def _compiled(self) -> ExecutionPlan:
        raise NotImplementedError

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
            PipelineTimeoutError: It took longer than the pipeline's timeout, or than its deadline.
            PipelineSuspended: A human must decide before it goes on.
            PipelineValidationError: The pipeline cannot be built.
            ResumeError: What is to be resumed cannot be.
            UnknownLimitError: A stage takes permits of a limit that the run is not given.
            TypeError: The arguments are wrong.
        """
        results = await make_run(self._compiled(), context, fields).execute()
        if results.error is not None:
            __tracebackhide__ = True  # pytest shows who ran it, and not how
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
        return PipelineRun(make_run(self._compiled(), context, fields))

    def run_sync(
        self, context: PipelineContext | ContextSnapshot | None = None, /, **fields: Unpack[RunFields]
    ) -> PipelineResults:
        """Run once from code that is not async, in an event loop of its own.

        Raises:
            RuntimeError: It was called from async code, where it is `await pipeline.run(...)`.
        """
        if _in_event_loop():
            raise RuntimeError("run_sync() cannot be called from async code: use `await pipeline.run(...)` there.")
        __tracebackhide__ = True
        return asyncio.run(self.run(context, **fields))

    def _run_in(
        self, scope: RunScope, stage: str, key_of: Callable[[str, str | None], str], fields: ChildFields
    ) -> Coroutine[Any, Any, PipelineResults]:
        return run_child(self.name, self._compiled, scope, stage, key_of, fields)


def _in_event_loop() -> bool:
    """Return whether an event loop runs the calling code."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
