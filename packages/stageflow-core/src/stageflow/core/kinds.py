"""What kinds of stages there are, and how a stage can end."""

from __future__ import annotations

from enum import StrEnum


class StageKind(StrEnum):
    """What a stage is for. The executor treats all alike; tools and readers do not."""

    TRANSFORM = "transform"
    """Computes something from its inputs."""
    ENRICH = "enrich"
    """Fetches something that the later stages want to know."""
    ROUTE = "route"
    """Decides which of several ways the run takes."""
    GUARD = "guard"
    """Lets the run pass or stops it."""
    WORK = "work"
    """Has an effect outside: writes, sends, books."""
    AGENT = "agent"
    """Lets a model decide or write."""


class StageStatus(StrEnum):
    """How a stage ended. RETRY is what a stage may return, never what is recorded."""

    OK = "ok"
    SKIP = "skip"
    CANCEL = "cancel"
    FAIL = "fail"
    RETRY = "retry"
    SUSPEND = "suspend"


RECORDED = frozenset(StageStatus) - {StageStatus.RETRY}
"""How a stage of a run can have ended."""
