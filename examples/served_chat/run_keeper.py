"""The runs of one server: those that go on, and those that have ended, for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from stageflow import PipelineRegistry, RunIdentity, RunStore, StagePorts
from stageflow.protocols import NoOpRunStore

from examples.served_chat.live_run import LiveRun


class BusyError(Exception):
    """There are as many runs as the server takes at once."""


class RunKeeper:
    """Starts runs, finds them by id, and forgets them; a store knows what became of those.

    A client that goes away looks like one that has lost its connection and will be back in a moment. So its run goes
    on, but not for nobody: when the last client has been away for `abandon_s` it is cancelled, since models cost money.

    Args:
        pipelines: What may be run; the first is meant where none is named.
        ports: What their stages use from outside.
        store: Is told what becomes of each run.
        most: How many runs may go on at once.
        keep_s: Seconds for which a run that has ended can be asked for.
        abandon_s: Seconds that a run goes on without a client.
    """

    def __init__(
        self,
        pipelines: PipelineRegistry,
        ports: StagePorts,
        *,
        store: RunStore | None = None,
        most: int = 50,
        keep_s: float = 120.0,
        abandon_s: float = 20.0,
    ) -> None:
        self.pipelines = pipelines
        self._ports = ports
        self._store = NoOpRunStore() if store is None else store
        self._most = most
        self._keep_s = keep_s
        self._abandon_s = abandon_s
        self._runs: dict[str, LiveRun] = {}
        self._timers: dict[LiveRun, asyncio.TimerHandle] = {}
        self._closed = False

    def start(self, text: str, pipeline: str | None = None) -> LiveRun:
        """Start a run.

        Raises:
            UnknownPipelineError: There is no such pipeline; the message lists those that there are.
            BusyError: There are too many runs, or the server is being shut down.
        """
        chosen = self.pipelines.get(self.pipelines.list()[0] if pipeline is None else pipeline)
        if self._closed or sum(not live.ended for live in self._runs.values()) >= self._most:
            raise BusyError
        run = chosen.start(
            input_text=text,
            run_id=RunIdentity(),
            topology="chat.web",
            transport="http",
            ports=self._ports,
            run_store=self._store,
        )
        live = LiveRun(run, on_left=self._left, on_end=self._ended)
        self._runs[live.id] = live
        return live

    def get(self, run_id: str) -> LiveRun | None:
        """Return the run of that id, unless it has been forgotten."""
        return self._runs.get(run_id)

    async def what_became(self, run_id: str) -> Mapping[str, Any] | None:
        """Return what is known of a run, also of one that has been forgotten; None if there was none.

        Its status is "lost" if nobody will ever say how it ended: a server before this one was killed, or the store
        has lost that.
        """
        live = self.get(run_id)
        found = await self._store.get_run(run_id)
        if found is not None and found["status"] not in ("created", "running"):
            return found
        if live is None:
            return None if found is None else {**found, "status": "lost"}
        status = (await live.run.outcome()).status if live.ended else "running"
        return {"run_id": run_id, **(found or {}), "status": status}

    async def close(self) -> None:
        """Cancel what runs, wait until it has ended, and forget everything."""
        self._closed = True
        for live in self._runs.values():
            live.run.cancel("the server is shutting down")
        for live in list(self._runs.values()):
            await live.end()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._runs.clear()

    def _left(self, live: LiveRun) -> None:
        if not live.ended:
            self._set_timer(live, self._abandon_s, self._abandon)

    def _ended(self, live: LiveRun) -> None:
        self._set_timer(live, self._keep_s, self._forget)

    def _abandon(self, live: LiveRun) -> None:
        if not live.clients and not live.ended:
            live.run.cancel("nobody is watching any more")

    def _forget(self, live: LiveRun) -> None:
        self._timers.pop(live, None)
        self._runs.pop(live.id, None)

    def _set_timer(self, live: LiveRun, seconds: float, action: Callable[[LiveRun], None]) -> None:
        if (timer := self._timers.pop(live, None)) is not None:
            timer.cancel()
        self._timers[live] = asyncio.get_running_loop().call_later(seconds, action, live)
