"""A log of what was asked of models, in lines of `logging`."""

from __future__ import annotations

import json
import logging
from typing import Any
from uuid import UUID, uuid4

logger = logging.getLogger(__name__)


class CallLog:
    """Writes a line when a call begins and one when it ends. Both have its id; neither has what was said."""

    async def log_call_start(
        self, *, operation: str, provider: str, model: str | None, run_id: str, stage: str, attempt: int, **details: Any
    ) -> UUID:
        call_id = uuid4()
        about = {"provider": provider, "model": model, "run_id": run_id, "stage": stage, "attempt": attempt}
        logger.info("Call %s: %s begins %s", call_id, operation, _written(about | details))
        return call_id

    async def log_call_end(
        self, call_id: UUID, *, status: str, duration_ms: float, error_code: str | None = None, **details: Any
    ) -> None:
        level = logging.WARNING if status == "error" else logging.INFO
        about = _written({"error_code": error_code, **details})
        logger.log(level, "Call %s: %s after %.0f ms %s", call_id, status, duration_ms, about)


def _written(details: dict[str, Any]) -> str:
    """Return what is known as JSON, which has no line breaks, whatever a provider calls its requests."""
    return json.dumps({name: value for name, value in details.items() if value is not None})
