"""Counts and durations of attempts, through the Meter protocol."""

from __future__ import annotations

from stageflow.conformance import conforming
from stageflow.interceptors.base import InterceptorContext
from stageflow.interceptors.telemetry import Ending, TelemetryInterceptor
from stageflow.protocols import Meter, NoOpMeter


class MetricsInterceptor(TelemetryInterceptor):
    """Measures each attempt of each stage.

    - `stageflow.stage.attempts` counts them,
    - `stageflow.stage.duration` says how long they took, in milliseconds,

    both by pipeline, stage, kind, status and, for a failure, type of error.

    Args:
        meter: Where measurements go; nowhere unless given.

    Raises:
        TypeError: It is no Meter.
    """

    priority = -200

    def __init__(self, meter: Meter | None = None) -> None:
        super().__init__()
        given: Meter = NoOpMeter() if meter is None else meter
        conforming(given, Meter, f"The meter of {self.name}")
        self._attempts = given.counter("stageflow.stage.attempts", unit="1", description="Attempts of stages.")
        self._durations = given.histogram(
            "stageflow.stage.duration", unit="ms", description="How long attempts of stages took."
        )

    def end(self, ctx: InterceptorContext, begun: None, ending: Ending) -> None:
        """Count the attempt, and record how long it took."""
        attributes: dict[str, str | bool | int | float] = {
            "stageflow.pipeline": ctx.pipeline,
            "stageflow.stage": ctx.stage_name,
            "stageflow.kind": ctx.kind.value,
            "stageflow.status": ending.status.value,
        }
        if ending.error is not None:
            attributes["error.type"] = ending.error.type or "stage failure"
        self._attempts.add(1, attributes=attributes)
        self._durations.record(ending.duration_ms, attributes=attributes)
