"""The interceptors that nearly every application wants: those that watch, and change nothing."""

from __future__ import annotations

import logging

from stageflow.interceptors.base import BaseInterceptor
from stageflow.interceptors.logging import LoggingInterceptor
from stageflow.interceptors.metrics import MetricsInterceptor
from stageflow.interceptors.tracing import TracingInterceptor
from stageflow.protocols import Meter, Tracer


def get_default_interceptors(
    *, logger: logging.Logger | None = None, tracer: Tracer | None = None, meter: Meter | None = None
) -> tuple[BaseInterceptor, ...]:
    """Return new interceptors for tracing, metrics and logging, from the outside in.

    They only watch: time limits, circuit breakers, policies and idempotency are for the application to choose.

    Args:
        logger: Where lines go; `stageflow.stages` unless given.
        tracer: Where spans go; nowhere unless given.
        meter: Where measurements go; nowhere unless given.
    """
    logging_interceptor = LoggingInterceptor() if logger is None else LoggingInterceptor(logger)
    return TracingInterceptor(tracer), MetricsInterceptor(meter), logging_interceptor
