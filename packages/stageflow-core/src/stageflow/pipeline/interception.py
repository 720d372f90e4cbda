"""One run with interceptors that the pipeline itself does not have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from stageflow.context.pipeline_context import PipelineContext
from stageflow.context.snapshot import ContextSnapshot
from stageflow.execution.results import PipelineResults
from stageflow.interceptors.checking import check_interceptors
from stageflow.interceptors.defaults import get_default_interceptors
from stageflow.pipeline.builder import Pipeline
from stageflow.pipeline.invocation import RunFields
from stageflow.wording import shown


async def run_with_interceptors(
    pipeline: Pipeline,
    context: PipelineContext | ContextSnapshot | None = None,
    /,
    *,
    interceptors: Iterable[Any] | None = None,
    **fields: Unpack[RunFields],
) -> PipelineResults:
    """Run a pipeline once, with interceptors beside those that it has, and return what every stage ended as.

    The pipeline is built anew for that: for many runs, build `pipeline.with_interceptors(...)` once.

    Args:
        pipeline: What to run.
        context: As for `Pipeline.run`, and so are the other keywords.
        interceptors: Those of `get_default_interceptors()` unless given; none if it is empty.

    Raises:
        InvalidInterceptorError: One of them is none.
        TypeError: The arguments are wrong.
        BaseException: What `Pipeline.run` raises.
    """
    if not isinstance(pipeline, Pipeline):  # pyright: ignore[reportUnnecessaryIsInstance]
        hint = "a StageGraph is compiled with its interceptors, so give the Pipeline that it was built from."
        raise TypeError(f"run_with_interceptors() takes a Pipeline, not {shown(pipeline)}: {hint}")
    added = get_default_interceptors() if interceptors is None else interceptors
    checked = check_interceptors(added, pipeline=pipeline.name)
    __tracebackhide__ = True
    return await pipeline.with_interceptors(*checked).run(context, **fields)
