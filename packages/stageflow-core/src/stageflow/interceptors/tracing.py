"""Spans around attempts, through the Tracer protocol."""

from __future__ import annotations

from contextlib import AbstractContextManager

from stageflow.conformance import conforming
from stageflow.events.secret_text import redacted_text
from stageflow.interceptors.base import InterceptorContext
from stageflow.interceptors.telemetry import Ending, TelemetryInterceptor
from stageflow.protocols import NoOpTracer, Span, Tracer

Opened = tuple[AbstractContextManager[Span], Span]


class TracingInterceptor(TelemetryInterceptor):
    """Puts a span around each attempt of each stage, current while the stage runs, so that its own spans are inside.

    Its name is `stage {name}`; its attributes say which pipeline, run, stage, kind and attempt, and how it ended. No
    data of the stage is in it, and of an error its type and its text, without secrets.

    Args:
        tracer: Where spans go; nowhere unless given.

    Raises:
        TypeError: It is no Tracer.
    """

    priority = -300

    def __init__(self, tracer: Tracer | None = None) -> None:
        super().__init__()
        self._tracer: Tracer = NoOpTracer() if tracer is None else tracer
        conforming(self._tracer, Tracer, f"The tracer of {self.name}")

    def begin(self, ctx: InterceptorContext) -> Opened:
        """Open the span."""
        opened = self._tracer.span(
            f"stage {ctx.stage_name}",
            attributes={
                "stageflow.pipeline": ctx.pipeline,
                "stageflow.run_id": ctx.run.snapshot.run_id.pipeline_run_id,
                "stageflow.stage": ctx.stage_name,
                "stageflow.kind": ctx.kind.value,
                "stageflow.attempt": ctx.attempt,
            },
        )
        return opened, opened.__enter__()

    def end(self, ctx: InterceptorContext, begun: Opened, ending: Ending) -> None:
        """Say how it ended, and close it."""
        opened, span = begun
        try:
            span.set_attribute("stageflow.status", ending.status.value)
            if ending.error is not None:
                span.record_error(ending.error.type or "stage failure", redacted_text(ending.error.message))
        finally:
            opened.__exit__(None, None, None)
