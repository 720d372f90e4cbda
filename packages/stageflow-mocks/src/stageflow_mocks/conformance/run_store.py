"""What a RunStore promises."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

from stageflow import Pipeline, PipelineContext, RunIdentity, RunStore, StageOutput, stage

from stageflow_mocks.conformance.suite import Conformance, ends_when_cancelled, promise, promised


class RunStoreConformance(Conformance[RunStore]):
    """Subclass it, and give `make`.

    Attributes:
        keeps: Whether the store keeps runs, as opposed to one that keeps nothing.
    """

    keeps: bool = True

    @promised
    async def test_it_fits_the_protocol(self, store: RunStore) -> None:
        """A run takes it."""
        PipelineContext(run_store=store)

    @promised
    async def test_an_unknown_run_is_none(self, store: RunStore) -> None:
        """Of a run that was never told of nothing is known."""
        promise(await store.get_run("run-nobody") is None, "`get_run` of an unknown run is None.")

    @promised
    async def test_a_created_run_is_known(self, store: RunStore) -> None:
        """Its id, a status and its metadata can be read at once, whatever they are called and hold."""
        told = {"pipeline": "chat", "stages": 3, "made_up_later": {"by": ["versions", None, 1.5, "ü"], "so": True}}
        await store.create_run("run-1", **told)
        known = await self._known(store, "run-1", **told)
        if self.keeps:
            promise(isinstance(known.get("status"), str), "A created run has a `status`.")

    @promised
    async def test_a_status_takes_the_place_of_the_one_before(self, store: RunStore) -> None:
        """What was known of the run before stays, and what is told with the status is added."""
        await store.create_run("run-1", pipeline="chat", user_id="ada")
        await store.update_status("run-1", "running")
        await self._known(store, "run-1", status="running", pipeline="chat")
        error = {"message": "no", "type": "LookupError", "code": "stage-failed"}
        await store.update_status("run-1", "failed", duration_ms=1.5, failed=["reply"], error=error)
        await self._known(
            store,
            "run-1",
            status="failed",
            pipeline="chat",
            user_id="ada",
            duration_ms=1.5,
            failed=["reply"],
            error=error,
        )

    @promised
    async def test_a_status_of_a_run_that_was_never_created_is_kept(self, store: RunStore) -> None:
        """The record of its beginning may have been lost."""
        await store.update_status("run-1", "completed", duration_ms=2.0)
        await self._known(store, "run-1", status="completed", duration_ms=2.0)

    @promised
    async def test_runs_are_kept_apart(self, store: RunStore) -> None:
        """Of many runs that are told of at once each has its own."""

        async def tell(number: int) -> None:
            await store.create_run(f"run-{number}", pipeline=f"p{number}")
            await store.update_status(f"run-{number}", "running")
            await store.update_status(f"run-{number}", "completed" if number % 2 else "cancelled", number=number)

        await asyncio.gather(*(tell(number) for number in range(20)))
        for number in range(20):
            status = "completed" if number % 2 else "cancelled"
            await self._known(store, f"run-{number}", status=status, pipeline=f"p{number}", number=number)

    @promised
    async def test_what_is_read_is_the_readers_own(self, store: RunStore) -> None:
        """Whoever changes what `get_run` gave changes nothing in the store."""
        await store.create_run("run-1", tags=["a"])
        known: Any = await store.get_run("run-1")
        if known is None:
            promise(not self.keeps, "A created run is known.")
            return
        try:
            known["tags"].append("b")
            known["status"] = "changed"
        except (TypeError, AttributeError):  # it cannot be changed, which is as good
            pass
        again = cast("Any", await store.get_run("run-1"))
        promise(list(again["tags"]) == ["a"] and again["status"] != "changed", "A reader has changed what is stored.")

    @promised
    async def test_a_cancelled_call_ends(self, store: RunStore) -> None:
        """A run gives its store so long, and cancels it then: it stops, and takes what comes next."""
        ids = iter(range(1000))
        await ends_when_cancelled(lambda: store.create_run(f"run-{next(ids)}", pipeline="p"))
        await ends_when_cancelled(lambda: store.update_status("run-0", "running"))
        await ends_when_cancelled(lambda: store.get_run("run-0"))
        await store.create_run("run-after", pipeline="p")
        await store.update_status("run-after", "completed")
        await self._known(store, "run-after", pipeline="p", status="completed")

    @promised
    async def test_runs_are_recorded_as_they_end(self, store: RunStore) -> None:
        """Completed, failed, cancelled and suspended runs lose no record, and all that they tell is kept."""
        for ending in ("completed", "failed", "cancelled", "suspended"):
            pipeline = Pipeline(f"ends {ending}", [_ends])
            run_id = RunIdentity(f"run-{ending}", user_id="ada")
            listening = _Listening(store)
            results = await pipeline.start(input=ending, run_id=run_id, run_store=listening).outcome()
            promise(results.records_lost == 0, f"A run that ended {ending} lost {results.records_lost} records.")
            await self._known(store, f"run-{ending}", **{**listening.told, "status": ending})

    async def _known(self, store: RunStore, run_id: str, **expected: Any) -> Any:
        """Return what is known of a run, which has to be this at least."""
        known: Any = await store.get_run(run_id)
        if not self.keeps:
            promise(known is None, "A store with keeps=False keeps nothing.")
            return {}
        if known is None:
            raise AssertionError(f"Run '{run_id}' was told of, and is not known.")
        promise(isinstance(known, Mapping), f"What `get_run` returns is a Mapping, or None, not {known!r}.")
        promise(known.get("run_id") == run_id, f"`run_id` of run '{run_id}' reads {known.get('run_id')!r}.")
        for name, value in expected.items():
            same = json.loads(json.dumps(known.get(name), default=repr)) == value  # in which a tuple is a list
            promise(same, f"`{name}` of run '{run_id}' is {value!r}, and reads {known.get(name)!r}.")
        return known


class _Listening:
    """Passes on what a run tells its store, and remembers it."""

    def __init__(self, store: RunStore) -> None:
        self.told: dict[str, Any] = {}
        self._store = store

    async def create_run(self, run_id: str, **metadata: Any) -> None:
        self.told |= json.loads(json.dumps(metadata))  # what is handed over is the store's own
        await self._store.create_run(run_id, **metadata)

    async def update_status(self, run_id: str, status: str, **data: Any) -> None:
        self.told |= json.loads(json.dumps(data))
        await self._store.update_status(run_id, status, **data)

    async def get_run(self, run_id: str) -> Mapping[str, Any] | None:
        return await self._store.get_run(run_id)


@stage
async def _ends(input: str) -> StageOutput[Any]:
    if input == "failed":
        raise LookupError("as it should")
    if input == "cancelled":
        return StageOutput.cancel("as it should")
    return StageOutput.suspend("as it should") if input == "suspended" else StageOutput.ok()
