"""What an application may plug into a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stageflow.lazy_names import names_from

if TYPE_CHECKING:
    from stageflow.protocols.enrichment import EnrichmentProvider, EnrichmentRequest, NoOpEnrichmentProvider
    from stageflow.protocols.idempotency import Claim, ClaimState, IdempotencyStore, NoOpIdempotencyStore
    from stageflow.protocols.policy import AllowAllPolicy, PolicyDecision, PolicyEffect, PolicyEvaluator, PolicyRequest
    from stageflow.protocols.runs import (
        NO_CONFIG,
        ConfigProvider,
        CorrelationIds,
        EventSink,
        NoOpConfigProvider,
        NoOpRunStore,
        RunStore,
    )
    from stageflow.protocols.telemetry import (
        Attributes,
        Counter,
        Histogram,
        Meter,
        NoOpInstrument,
        NoOpMeter,
        NoOpSpan,
        NoOpTracer,
        Span,
        Tracer,
    )
    from stageflow.protocols.topology import NoOpPipelineMetadata, PipelineMetadata
else:
    __getattr__, __dir__ = names_from(
        __name__,
        {
            "stageflow.protocols.enrichment": ("EnrichmentProvider", "EnrichmentRequest", "NoOpEnrichmentProvider"),
            "stageflow.protocols.idempotency": ("Claim", "ClaimState", "IdempotencyStore", "NoOpIdempotencyStore"),
            "stageflow.protocols.policy": (
                "AllowAllPolicy",
                "PolicyDecision",
                "PolicyEffect",
                "PolicyEvaluator",
                "PolicyRequest",
            ),
            "stageflow.protocols.runs": (
                "NO_CONFIG",
                "ConfigProvider",
                "CorrelationIds",
                "EventSink",
                "NoOpConfigProvider",
                "NoOpRunStore",
                "RunStore",
            ),
            "stageflow.protocols.telemetry": (
                "Attributes",
                "Counter",
                "Histogram",
                "Meter",
                "NoOpInstrument",
                "NoOpMeter",
                "NoOpSpan",
                "NoOpTracer",
                "Span",
                "Tracer",
            ),
            "stageflow.protocols.topology": ("NoOpPipelineMetadata", "PipelineMetadata"),
        },
    )

__all__ = [
    "AllowAllPolicy",
    "Attributes",
    "Claim",
    "ClaimState",
    "ConfigProvider",
    "CorrelationIds",
    "Counter",
    "EnrichmentProvider",
    "EnrichmentRequest",
    "EventSink",
    "Histogram",
    "IdempotencyStore",
    "Meter",
    "NO_CONFIG",
    "NoOpConfigProvider",
    "NoOpEnrichmentProvider",
    "NoOpIdempotencyStore",
    "NoOpInstrument",
    "NoOpMeter",
    "NoOpPipelineMetadata",
    "NoOpRunStore",
    "NoOpSpan",
    "NoOpTracer",
    "PipelineMetadata",
    "PolicyDecision",
    "PolicyEffect",
    "PolicyEvaluator",
    "PolicyRequest",
    "RunStore",
    "Span",
    "Tracer",
]
