"""The permit that an attempt of a stage with `limit=` holds, and what the stage has counted of its waits."""

from __future__ import annotations

import asyncio
from typing import Any

from stageflow.context.permits import Permit
from stageflow.core.context import RunScope


def take_permit(scope: RunScope, stage: int, limit: str, priority: int) -> Permit | None:
    """Take a permit that can be had without a wait; return None if there is none.

    Raises:
        asyncio.CancelledError: The run is ending.
    """
    limits = scope.context.limits
    assert limits is not None  # or the run had not begun
    permit = limits.acquire_nowait(limit, priority)
    if permit is not None:
        counted(scope, stage, limit)
        _unless_stopping(scope, permit)
    return permit


async def wait_for_permit(scope: RunScope, stage: int, limit: str, priority: int) -> Permit:
    """Wait for a permit, and count for how long.

    Raises:
        asyncio.CancelledError: The stage was cancelled, or the run is ending.
    """
    limits = scope.context.limits
    assert limits is not None  # or the run had not begun
    clock, of_stage = scope.timer.clock, counted(scope, stage, limit)
    since = clock()
    try:
        permit = await limits.acquire({limit: 1}, priority)
    finally:
        of_stage["waited_ms"] += (clock() - since) / 1e6
    _unless_stopping(scope, permit)
    return permit


def _unless_stopping(scope: RunScope, permit: Permit) -> None:
    if scope.stopping is not None:  # nothing starts any more
        permit.release()
        raise asyncio.CancelledError(scope.stopping)


def counted(scope: RunScope, stage: int, limit: str) -> dict[str, Any]:
    """Return what a stage has counted of its waits so far, for the record."""
    of_stage = scope.statistics.setdefault(stage, {})
    if "limit" not in of_stage:
        of_stage["limit"] = {"name": limit, "waited_ms": 0.0}
    return of_stage["limit"]
