"""Stageflow: pipelines of async stages for LLM, voice and agent applications.

This module is the home of every name that it lists; the pages under docs/reference say what each is for.
"""

import typing

from stageflow.capabilities import StagePorts
from stageflow.context.conversation import Conversation
from stageflow.context.identity import RunIdentity
from stageflow.context.limits import Limits
from stageflow.context.pipeline_context import PipelineContext
from stageflow.context.snapshot import ContextSnapshot
from stageflow.core.context import StageContext
from stageflow.core.inputs import StageInputs
from stageflow.core.kinds import StageKind, StageStatus
from stageflow.core.output import StageArtifact, StageEvent, StageOutput
from stageflow.core.stage import Stage
from stageflow.core.stream import Stream, StreamOptions
from stageflow.core.timer import PipelineTimer
from stageflow.errors import (
    AmbiguousInputError,
    CycleDetectedError,
    DuplicateStageError,
    PipelineCancelled,
    PipelineSuspended,
    PipelineTimeoutError,
    PipelineValidationError,
    StageError,
    StageExecutionError,
    StageflowError,
    StageReturnTypeError,
    StageTimeoutError,
    UndeclaredDependencyError,
)
from stageflow.events.event import PipelineEvent
from stageflow.events.sinks import LoggingEventSink, NoOpEventSink, clear_event_sink, get_event_sink, set_event_sink
from stageflow.execution.pipeline_run import PipelineRun
from stageflow.execution.results import PipelineResults, StageResult
from stageflow.execution.retry import RetryPolicy
from stageflow.interceptors.base import BaseInterceptor, ErrorAction, InterceptorContext, InterceptorResult
from stageflow.lazy_names import names_from as _names_from
from stageflow.pipeline.builder import Pipeline
from stageflow.pipeline.graph import StageGraph
from stageflow.pipeline.spec import From, StageSpec, stage
from stageflow.protocols import ConfigProvider, CorrelationIds, EventSink, RunStore

if typing.TYPE_CHECKING:
    from stageflow.extensions.conversion import TypedExtension
    from stageflow.extensions.registry import ExtensionRegistry
    from stageflow.interceptors.circuit_breaker import CircuitBreakerInterceptor
    from stageflow.interceptors.defaults import get_default_interceptors
    from stageflow.interceptors.logging import LoggingInterceptor
    from stageflow.interceptors.metrics import MetricsInterceptor
    from stageflow.interceptors.timeout import TimeoutInterceptor
    from stageflow.interceptors.tracing import TracingInterceptor
    from stageflow.observability.call_logger import ProviderCallLogger
    from stageflow.observability.circuit_breaker import CircuitBreaker
    from stageflow.pipeline.interception import run_with_interceptors
    from stageflow.pipeline.registry import PipelineRegistry
    from stageflow.projector import MessageProjector, SSEMessageProjector, WSMessageProjector
    from stageflow.protocols import EnrichmentProvider, PipelineMetadata, PolicyEvaluator
    from stageflow.results.enriching import EnrichStage
else:
    __getattr__, __dir__ = _names_from(
        __name__,
        {
            "stageflow.extensions.conversion": ("TypedExtension",),
            "stageflow.extensions.registry": ("ExtensionRegistry",),
            "stageflow.interceptors.circuit_breaker": ("CircuitBreakerInterceptor",),
            "stageflow.interceptors.defaults": ("get_default_interceptors",),
            "stageflow.interceptors.logging": ("LoggingInterceptor",),
            "stageflow.interceptors.metrics": ("MetricsInterceptor",),
            "stageflow.interceptors.timeout": ("TimeoutInterceptor",),
            "stageflow.interceptors.tracing": ("TracingInterceptor",),
            "stageflow.observability.call_logger": ("ProviderCallLogger",),
            "stageflow.observability.circuit_breaker": ("CircuitBreaker",),
            "stageflow.pipeline.interception": ("run_with_interceptors",),
            "stageflow.pipeline.registry": ("PipelineRegistry",),
            "stageflow.projector": ("MessageProjector", "SSEMessageProjector", "WSMessageProjector"),
            "stageflow.protocols": ("EnrichmentProvider", "PipelineMetadata", "PolicyEvaluator"),
            "stageflow.results.enriching": ("EnrichStage",),
        },
    )

__all__ = [
    # Pipelines
    "From",
    "Limits",
    "Pipeline",
    "PipelineRegistry",
    "RetryPolicy",
    "StageGraph",
    "StageSpec",
    "stage",
    # Stages
    "EnrichStage",
    "Stage",
    "StageArtifact",
    "StageContext",
    "StageEvent",
    "StageInputs",
    "StageKind",
    "StageOutput",
    "StageStatus",
    "Stream",
    "StreamOptions",
    # What a run is asked and given
    "ContextSnapshot",
    "Conversation",
    "CorrelationIds",
    "ExtensionRegistry",
    "PipelineContext",
    "RunIdentity",
    "StagePorts",
    "TypedExtension",
    # A run and its results
    "PipelineResults",
    "PipelineRun",
    "PipelineTimer",
    "StageResult",
    # Interceptors: the others are in stageflow.interceptors
    "BaseInterceptor",
    "CircuitBreakerInterceptor",
    "ErrorAction",
    "InterceptorContext",
    "InterceptorResult",
    "LoggingInterceptor",
    "MetricsInterceptor",
    "TimeoutInterceptor",
    "TracingInterceptor",
    "get_default_interceptors",
    "run_with_interceptors",
    # What an application may plug in
    "CircuitBreaker",
    "ConfigProvider",
    "EnrichmentProvider",
    "PipelineMetadata",
    "PolicyEvaluator",
    "ProviderCallLogger",
    "RunStore",
    # What a client of a run is sent: more is in stageflow.projector
    "MessageProjector",
    "SSEMessageProjector",
    "WSMessageProjector",
    # Events
    "EventSink",
    "LoggingEventSink",
    "NoOpEventSink",
    "PipelineEvent",
    "clear_event_sink",
    "get_event_sink",
    "set_event_sink",
    # Errors: the rest of the tree is in stageflow.errors
    "AmbiguousInputError",
    "CycleDetectedError",
    "DuplicateStageError",
    "PipelineCancelled",
    "PipelineSuspended",
    "PipelineTimeoutError",
    "PipelineValidationError",
    "StageError",
    "StageExecutionError",
    "StageReturnTypeError",
    "StageTimeoutError",
    "StageflowError",
    "UndeclaredDependencyError",
]
