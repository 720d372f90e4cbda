"""What watches over calls to the outside: protocols, each with one that works beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stageflow.lazy_names import names_from

if TYPE_CHECKING:
    from stageflow.observability.call_logger import CallStatus, ProviderCallLogger
    from stageflow.observability.circuit_breaker import CircuitBreaker, CircuitPermit, InMemoryCircuitBreaker
    from stageflow.observability.no_call_logger import NoOpProviderCallLogger
else:
    __getattr__, __dir__ = names_from(
        __name__,
        {
            "stageflow.observability.call_logger": ("CallStatus", "ProviderCallLogger"),
            "stageflow.observability.circuit_breaker": ("CircuitBreaker", "CircuitPermit", "InMemoryCircuitBreaker"),
            "stageflow.observability.no_call_logger": ("NoOpProviderCallLogger",),
        },
    )

__all__ = [
    "CallStatus",
    "CircuitBreaker",
    "CircuitPermit",
    "InMemoryCircuitBreaker",
    "NoOpProviderCallLogger",
    "ProviderCallLogger",
]
