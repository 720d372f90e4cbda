"""Faults from a plan: done to stages by an interceptor, to events by a sink, to providers and stores by wrappers."""

from stageflow_mocks.faults.errors import ERRORS, FaultPlanError
from stageflow_mocks.faults.interceptor import FaultInterceptor
from stageflow_mocks.faults.plan import FaultPlan
from stageflow_mocks.faults.rules import DISTRIBUTIONS, FaultRule
from stageflow_mocks.faults.sink import FailingEventSink, SinkFaultError
from stageflow_mocks.faults.targets import FAULTS, OPERATIONS
from stageflow_mocks.faults.wrappers import FaultyIdempotencyStore, FaultyLLM, FaultyRunStore, FaultySTT, FaultyTTS

__all__ = [
    "DISTRIBUTIONS",
    "ERRORS",
    "FAULTS",
    "FailingEventSink",
    "FaultInterceptor",
    "FaultPlan",
    "FaultPlanError",
    "FaultRule",
    "FaultyIdempotencyStore",
    "FaultyLLM",
    "FaultyRunStore",
    "FaultySTT",
    "FaultyTTS",
    "OPERATIONS",
    "SinkFaultError",
]
