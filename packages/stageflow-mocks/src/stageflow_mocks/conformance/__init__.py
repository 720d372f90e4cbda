"""The promises of core's protocols as tests, for whoever implements one: subclass a suite, and say how to make yours.

They need pytest: `pip install "stageflow-mocks[pytest]"`.
"""

from __future__ import annotations

from stageflow_mocks.conformance.call_logger import ProviderCallLoggerConformance
from stageflow_mocks.conformance.circuit_breaker import CircuitBreakerConformance
from stageflow_mocks.conformance.event_sink import EventSinkConformance
from stageflow_mocks.conformance.idempotency_store import IdempotencyStoreConformance
from stageflow_mocks.conformance.llm_provider import LLMProviderConformance
from stageflow_mocks.conformance.policy_evaluator import PolicyEvaluatorConformance
from stageflow_mocks.conformance.providers import Failing
from stageflow_mocks.conformance.run_store import RunStoreConformance
from stageflow_mocks.conformance.stt_provider import STTProviderConformance
from stageflow_mocks.conformance.tts_provider import TTSProviderConformance

__all__ = [
    "CircuitBreakerConformance",
    "EventSinkConformance",
    "Failing",
    "IdempotencyStoreConformance",
    "LLMProviderConformance",
    "PolicyEvaluatorConformance",
    "ProviderCallLoggerConformance",
    "RunStoreConformance",
    "STTProviderConformance",
    "TTSProviderConformance",
]
