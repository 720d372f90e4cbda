"""Faults from a plan: an interceptor that does them to stages, and an event sink that has them."""

from stageflow_mocks.faults.errors import ERRORS, FaultPlanError
from stageflow_mocks.faults.interceptor import FaultInterceptor
from stageflow_mocks.faults.plan import FaultPlan
from stageflow_mocks.faults.rules import DISTRIBUTIONS, FAULTS, FaultRule
from stageflow_mocks.faults.sink import FailingEventSink, SinkFaultError

__all__ = [
    "DISTRIBUTIONS",
    "ERRORS",
    "FAULTS",
    "FailingEventSink",
    "FaultInterceptor",
    "FaultPlan",
    "FaultPlanError",
    "FaultRule",
    "SinkFaultError",
]
