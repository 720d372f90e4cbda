"""What is known about a user, a tenant or a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from stageflow.value import Value


class EnrichmentRequest(Value):
    """What an EnrichmentProvider is asked.

    Attributes:
        name: What is wanted: the name of the stage that asks, unless it says otherwise.
        user_id, org_id, session_id: For whom.
        input_text: What the run was asked.
        attributes: What else the stage tells.
    """

    __slots__ = ("attributes", "input_text", "name", "org_id", "session_id", "user_id")
    unshown = ("attributes", "input_text")  # a request ends up in logs

    name: str
    user_id: str | None
    org_id: str | None
    session_id: str | None
    input_text: str | None
    attributes: Mapping[str, Any]

    def __init__(
        self,
        name: str,
        *,
        user_id: str | None = None,
        org_id: str | None = None,
        session_id: str | None = None,
        input_text: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "name", name)
        put(self, "user_id", user_id)
        put(self, "org_id", org_id)
        put(self, "session_id", session_id)
        put(self, "input_text", input_text)
        put(self, "attributes", {} if attributes is None else attributes)


@runtime_checkable
class EnrichmentProvider(Protocol):
    """Finds out what is known about a user, a tenant or a request: a profile, documents, settings."""

    async def enrich(self, request: EnrichmentRequest) -> Mapping[str, Any] | None:
        """Return what is known, or None if nothing is."""
        ...


class NoOpEnrichmentProvider:
    """Knows nothing."""

    async def enrich(self, request: EnrichmentRequest) -> Mapping[str, Any] | None:
        return None
