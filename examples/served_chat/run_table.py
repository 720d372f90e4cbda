"""What became of runs, in an SQLite table: for those who ask when the run itself has been forgotten."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class RunTable:
    """A RunStore in a file, or in memory.

    Args:
        path: The file; in memory, and gone with the process, if None.
        most_runs: How many are kept; each new one then takes the place of the oldest.

    Raises:
        sqlite3.Error: The file cannot be opened, or is something else.
    """

    def __init__(self, path: Path | None = None, *, most_runs: int = 100_000) -> None:
        self._most_runs = most_runs
        # Calls come from threads, some of which have been given up: none must see the database closed in its midst.
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._database.execute("CREATE TABLE IF NOT EXISTS runs (run_id TEXT UNIQUE, status TEXT, data TEXT)")

    async def create_run(self, run_id: str, **metadata: Any) -> None:
        await asyncio.to_thread(self._merge, run_id, "created", json.dumps(metadata))
        await asyncio.to_thread(self._forget_oldest)

    async def update_status(self, run_id: str, status: str, **data: Any) -> None:
        await asyncio.to_thread(self._merge, run_id, status, json.dumps(data))

    async def get_run(self, run_id: str) -> Mapping[str, Any] | None:
        return await asyncio.to_thread(self._read, run_id)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _merge(self, run_id: str, status: str, data: str) -> None:
        with self._lock:
            self._database.execute(
                "INSERT INTO runs VALUES (?, ?, ?) ON CONFLICT (run_id) DO UPDATE SET "
                "status = excluded.status, data = json_patch(data, excluded.data) "
                "WHERE status IN ('created', 'running')",  # a thread that comes late changes nothing of what has ended
                (run_id, status, data),
            )

    def _forget_oldest(self) -> None:
        with self._lock:
            self._database.execute(
                "DELETE FROM runs WHERE rowid <= (SELECT max(rowid) FROM runs) - ?",
                (self._most_runs,),
            )

    def _read(self, run_id: str) -> Mapping[str, Any] | None:
        with self._lock:
            found = self._database.execute("SELECT status, data FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return None if found is None else {**json.loads(found[1]), "run_id": run_id, "status": found[0]}
