"""How a RunStore learns what becomes of runs.

One recorder belongs to the first run of a tree that has a store, and tells the stores of all runs below it, too. A task
of its own makes the calls, one after the other, so that no stage and no child waits for a store. The run that owns it
waits at its end until every call has been made, before its last event goes out. As with a sink nothing that a store
does reaches a run: each call has a time limit, and what is lost is counted, and logged once.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Mapping
from contextvars import copy_context
from typing import Any

from stageflow.context.pipeline_context import PipelineContext, correlation_of
from stageflow.events.delivery import deliver, in_words, report_defect
from stageflow.events.emitter import redacted_id
from stageflow.events.redaction import without_secrets
from stageflow.protocols import NoOpRunStore, RunStore

logger = logging.getLogger(__name__)

CALL_TIMEOUT_S = 5.0
"""Seconds that a store may take over one call."""

ARREARS_TIMEOUT_S = 30.0
"""Seconds that the records of children may still take when the run is over; its own are tried in any case."""

CLEANUP_SHARE = 0.05
"""Of the grace of a child, which is a little less than its parent's: how long its own store may take to be cut off."""

MOST_WAITING = 10_000
"""Records of children that wait for a slow store; more are lost."""

_CREATED = "created"
_IDS = ("request_id", "session_id", "user_id", "org_id", "interaction_id")


class _Record:
    __slots__ = ("data", "run_id", "status", "store")

    def __init__(
        self,
        store: RunStore,
        run_id: str,
        status: str,
        data: dict[str, Any],
    ) -> None:
        self.store = store
        self.run_id = run_id
        self.status = status
        self.data = data


def _store_of(context: PipelineContext) -> RunStore | None:
    """Return the store of a run, or None if nothing would be kept."""
    store = context.run_store
    return None if type(store) is NoOpRunStore else store  # a subclass may keep what it likes


class Recorder:
    """Tells the stores of a tree of runs what becomes of them, in order.

    Attributes:
        owner: The id of the run at its root, which waits for it.
        lost: How many records did not reach their store.
    """

    __slots__ = ("_context", "_current", "_finished", "_open", "_queue", "_task", "_until", "lost", "owner")

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.lost = 0
        self._queue: deque[_Record] = deque()
        self._current: _Record | None = None
        self._open: dict[str, RunStore] = {}
        self._task: asyncio.Task[None] | None = None
        self._context = copy_context()  # a store sees what the run's caller has set, and nothing of a stage
        self._until = math.inf
        self._finished = False

    def begin(self, context: PipelineContext, created: Mapping[str, Any]) -> None:
        """Record that a run has been created, of which `created` tells its first event, and is running."""
        if (store := _store_of(context)) is not None:
            run_id = context.snapshot.run_id.pipeline_run_id
            self._open[run_id] = store
            self._put(_Record(store, run_id, _CREATED, _metadata(context, created)))
            self._put(_Record(store, run_id, "running", {}))

    def end(self, context: PipelineContext, status: str, duration_ms: float, told: Mapping[str, Any]) -> None:
        """Record how a run has ended; of what is told, what there is."""
        if (store := _store_of(context)) is None:
            return
        run_id = context.snapshot.run_id.pipeline_run_id
        if self._finished:  # by a child that its run has left behind, and counted
            logger.warning("The end of run %s came after that of run %s, and was not recorded.", run_id, self.owner)
            return
        self._open.pop(run_id, None)
        data = without_secrets({name: value for name, value in told.items() if value})
        self._put(_Record(store, run_id, status, {"duration_ms": duration_ms, **data}))

    async def finish(self, *, grace_s: float = math.inf, until: float = math.inf) -> asyncio.CancelledError | None:
        """Wait until everything has been recorded or is lost; return a cancellation of the caller, which ends nothing.

        Args:
            grace_s: Seconds after such a cancellation in which it has to be done all the same.
            until: When it has to be, as a reading of the loop's clock.
        """
        loop, interrupted = asyncio.get_running_loop(), None
        self._until = loop.time() + ARREARS_TIMEOUT_S
        while (task := self._running()) is not None:
            try:
                await asyncio.wait({task}, timeout=None if until == math.inf else max(until - loop.time(), 0.0))
            except asyncio.CancelledError as error:
                interrupted = interrupted or error
                until = min(until, loop.time() + grace_s)
            else:
                if task.done() or loop.time() < until:
                    continue
                if self._until == -math.inf:
                    break  # the store goes on though it was cancelled, and is left behind
                self._until = -math.inf
                task.cancel()
                until = loop.time() + CLEANUP_SHARE * grace_s
        self._finished = True
        if (record := self._current) is not None:
            self._current = None
            self._lose(record, "it did not stop when it was cancelled")
        while self._queue:
            self._lose(self._queue.popleft(), "there was no time left for it")
        for run_id, store in self._open.items():
            self._lose(_Record(store, run_id, "its end", {}), f"it had not ended when run {self.owner} had")
        return interrupted

    def _put(self, record: _Record) -> None:
        if record.run_id != self.owner and len(self._queue) >= MOST_WAITING:
            self._lose(record, f"{MOST_WAITING} records wait for the store")
            return
        self._queue.append(record)
        self._running()

    def _running(self) -> asyncio.Task[None] | None:
        """Return the task that makes the calls, begun anew if somebody has cancelled it; None if there are none."""
        if self._task is None or self._task.done():
            if not self._queue or self._until == -math.inf:
                return None
            # Not by `create_task`: an eager task factory would call the store inside of whoever records.
            loop = asyncio.get_running_loop()
            self._task = asyncio.Task(self._work(), loop=loop, name="stageflow run store", context=self._context)
            self._task.add_done_callback(report_defect)
        return self._task

    async def _work(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._queue:
            record = self._queue.popleft()
            if clock() >= self._until and record.run_id != self.owner:
                self._lose(record, "there was no time left for it")
                continue
            self._current = record
            told = await deliver(lambda record=record: _call(record), to="the store", timeout_s=CALL_TIMEOUT_S)
            if self._current is not record:  # it has been given up, and counted
                return
            self._current = None
            if told.failure is not None:
                self._lose(record, in_words(told.failure))
            if told.interrupted is not None:
                raise told.interrupted

    def _lose(self, record: _Record, why: str) -> None:
        self.lost += 1
        if self.lost == 1:
            logger.warning(
                "Run store %s lost '%s' of run %s: %s. Further losses are only counted, in results.records_lost.",
                type(record.store).__qualname__,
                record.status,
                record.run_id,
                why,
            )


def _call(record: _Record) -> Any:
    if record.status == _CREATED:
        return record.store.create_run(record.run_id, **record.data)
    return record.store.update_status(record.run_id, record.status, **record.data)


def _metadata(context: PipelineContext, created: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is to say of a run that begins, with ids and texts as they are in its events."""
    snapshot, parent, given = context.snapshot, context.parent, context.correlation
    metadata = {**created, "created_at": snapshot.created_at.isoformat()}
    metadata.pop("depth", None)
    if metadata.pop("correlation", None) is not None and given is not None and given.extra:
        metadata["correlation"] = dict(given.extra)
    metadata = without_secrets(metadata)
    ids = {name: getattr(snapshot.run_id, name) for name in _IDS}
    ids["trace_id"] = None if given is None else correlation_of(context).trace_id
    metadata |= {name: redacted_id(value) for name, value in ids.items() if value is not None}
    if parent is not None:
        metadata["parent_run_id"] = parent.run_id
    return metadata
