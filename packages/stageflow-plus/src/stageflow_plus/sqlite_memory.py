"""A conversation memory in an SQLite file, which several runs and several processes may use at once.

One thread owns the connection and does all the work in order, so that the event loop is never blocked and nothing is
shared between threads. WAL lets other processes read while one writes; a write waits for its turn up to `busy_timeout`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from stageflow_plus.errors import MemoryStoreError
from stageflow_plus.memory import RememberedTurns, Turn

T = TypeVar("T")

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE turns (
    id INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL,
    write_key TEXT NOT NULL,
    position INTEGER NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    content TEXT NOT NULL,
    created_at REAL NOT NULL,
    UNIQUE (session_id, write_key, position)
);
CREATE INDEX turns_by_session ON turns (session_id, id);
"""


class SqliteMemory:
    """A `MemoryStore` in one SQLite file, for the length of an `async with` block.

    Args:
        path: The file; it is made if it is absent, its directory is not.
        busy_timeout: Seconds that a write waits for another process before it fails.
        clock: Unix seconds, for the date of a turn.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, busy_timeout: float = 5.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = os.fspath(path)
        self._busy_timeout = busy_timeout
        self._clock = clock
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    @property
    def location(self) -> str:
        """The path of the file."""
        return self._path

    async def __aenter__(self) -> Self:
        if self._thread is not None:
            raise RuntimeError(f"The memory at {self._path} is open already.")
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stageflow-memory")
        try:
            self._connection = await self._in_thread("open", self._open)
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Finish what is under way, then close the file. Closing twice is closing once."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self._close)
            await asyncio.to_thread(thread.shutdown)

    async def recent(self, session_id: str, *, max_turns: int, max_characters: int) -> RememberedTurns:
        """Return the newest turns of a session, oldest first, as many as fit both limits.

        Raises:
            MemoryStoreError: The file cannot be read.
        """
        newest, total = await self._in_thread("read", lambda: _read(self._opened(), session_id, max_turns))
        turns: list[Turn] = []
        for role, content in newest:
            max_characters -= len(content)
            if max_characters < 0:
                break
            turns.append(Turn("assistant" if role == "assistant" else "user", content))
        return RememberedTurns(tuple(reversed(turns)), total - len(turns))

    async def append(self, session_id: str, turns: Sequence[Turn], *, key: str) -> None:
        """Add turns to a session in one transaction; what was added under the same key before stays as it is.

        A cancelled call has written all of its turns or none.

        Raises:
            MemoryStoreError: The file cannot be written.
        """
        now = self._clock()
        rows = [(session_id, key, place, turn.role, turn.content, now) for place, turn in enumerate(turns)]
        await self._in_thread("write", lambda: _write(self._opened(), rows))

    async def _in_thread(self, action: str, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise MemoryStoreError(f"Cannot {action} the memory at {self._path}: it is closed.", location=self._path)
        try:
            return await asyncio.wrap_future(self._thread.submit(work))
        except (sqlite3.Error, OSError, UnicodeEncodeError) as error:
            message = f"Cannot {action} the memory at {self._path}: {error}."
            raise MemoryStoreError(message, location=self._path) from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=self._busy_timeout, isolation_level=None)
        try:
            # Looked at before anything is changed: the file may be another program's.
            if _version(connection) == 0:
                _create(connection)
            connection.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("it is closed")
        return self._connection


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"a newer program wrote it (version {version}, and {_SCHEMA_VERSION} is known)")
    if version == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise sqlite3.DatabaseError("it is another program's database")
    return version


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        # Another process may have been quicker.
        if _version(connection) == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def _read(connection: sqlite3.Connection, session_id: str, max_turns: int) -> tuple[list[tuple[str, str]], int]:
    # One transaction, so that the count and the turns are of the same moment.
    connection.execute("BEGIN")
    with connection:
        newest = connection.execute(
            "SELECT role, content FROM turns WHERE session_id = ? ORDER BY id DESC LIMIT ?", (session_id, max_turns)
        ).fetchall()
        (total,) = connection.execute("SELECT count(*) FROM turns WHERE session_id = ?", (session_id,)).fetchone()
    return newest, total


def _write(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    # IMMEDIATE takes the write lock at once: upgrading a read lock can fail without waiting.
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        connection.executemany(
            "INSERT INTO turns (session_id, write_key, position, role, content, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            rows,
        )
