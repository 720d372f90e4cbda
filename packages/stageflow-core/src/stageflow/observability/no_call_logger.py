"""A ProviderCallLogger that keeps nothing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from stageflow.observability.call_logger import CallStatus


class NoOpProviderCallLogger:
    """Keeps no record."""

    async def log_call_start(
        self, *, operation: str, provider: str, model: str | None, run_id: str, stage: str, attempt: int, **details: Any
    ) -> UUID:
        return _NO_CALL

    async def log_call_end(
        self, call_id: UUID, *, status: CallStatus, duration_ms: float, error_code: str | None = None, **details: Any
    ) -> None:
        return None


_NO_CALL = UUID(int=0)
