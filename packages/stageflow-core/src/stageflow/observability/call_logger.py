"""A log of the calls to providers: what was asked of whom, how long it took, and how it ended; never what was said."""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable
from uuid import UUID

CallStatus = Literal["ok", "error", "cancelled"]


@runtime_checkable
class ProviderCallLogger(Protocol):
    """Keeps a record of each call to a provider.

    For each `log_call_start` comes one `log_call_end`, however the call ended. Both are awaited, for a second at most:
    what takes time belongs into a queue. A logger that raises or takes longer changes nothing in the call; that is
    logged. What it is given is JSON-ready and holds no content: sizes, counts, names.
    """

    async def log_call_start(
        self, *, operation: str, provider: str, model: str | None, run_id: str, stage: str, attempt: int, **details: Any
    ) -> UUID:
        """Note a call that begins, and return the id of its record.

        Args:
            operation: What is done: "chat", "transcribe", "synthesize".
            provider: The name of the provider.
            model: The model that was asked for; None for the provider's default.
            run_id: The `pipeline_run_id`.
            stage: The stage that calls.
            attempt: Which attempt of the stage it is, from 1.
            details: What else there is to say, such as the number of messages.
        """
        ...

    async def log_call_end(
        self, call_id: UUID, *, status: CallStatus, duration_ms: float, error_code: str | None = None, **details: Any
    ) -> None:
        """Note how a call ended.

        Args:
            call_id: What `log_call_start` returned.
            status: How.
            duration_ms: How long it took.
            error_code: The `code` of the error.
            details: What else there is to say: "finish_reason", "prompt_tokens", "first_chunk_ms", "request_id".
        """
        ...
