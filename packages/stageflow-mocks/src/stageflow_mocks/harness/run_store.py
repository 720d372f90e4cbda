"""A run store that keeps its records in memory."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


class InMemoryRunStore:
    """Keeps what becomes of runs, as a database would, and each call beside.

    A run that has ended does not run again: a "running" that comes late is noted in the history alone.
    """

    def __init__(self) -> None:
        self._runs: dict[str, dict[str, Any]] = {}
        self._created: set[str] = set()
        self._history: dict[str, list[str]] = {}

    @property
    def run_ids(self) -> list[str]:
        """The ids of the runs that it knows, in the order in which it heard of them."""
        return list(self._runs)

    def history(self, run_id: str) -> list[str]:
        """Return what it was told of a run, in order: "created", then each status; nothing of an unknown one."""
        return list(self._history.get(run_id, ()))

    async def create_run(self, run_id: str, **metadata: Any) -> None:
        """Note a run that begins.

        Raises:
            ValueError: It was created before.
        """
        if run_id in self._created:
            raise ValueError(f"Run {run_id!r} was created before: an InMemoryRunStore keeps one run under an id.")
        self._created.add(run_id)
        known = self._runs.setdefault(run_id, {"run_id": run_id, "status": "created"})
        known.update({**copy.deepcopy(metadata), **known})
        self._history.setdefault(run_id, []).append("created")

    async def update_status(self, run_id: str, status: str, **data: Any) -> None:
        known = self._runs.setdefault(run_id, {"run_id": run_id, "status": "created"})
        self._history.setdefault(run_id, []).append(status)
        if known["status"] in ("created", "running"):
            known.update({**copy.deepcopy(data), "run_id": run_id, "status": status})

    async def get_run(self, run_id: str) -> Mapping[str, Any] | None:
        return copy.deepcopy(self._runs.get(run_id))
