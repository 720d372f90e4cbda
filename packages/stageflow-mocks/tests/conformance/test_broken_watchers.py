"""Sinks, run stores and call loggers that each break a promise of their protocol's page are found out."""

import asyncio
import time
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import pytest
from judging import Judged, check_found
from stageflow_mocks import InMemoryRunStore, RecordingEventSink
from tiny_implementations import TinyLogger

SINK, STORE, LOGGER = "TestRecordingEventSink", "TestInMemoryRunStore", "TestTinyLogger"
judged = Judged()
breaks = judged.breaks


@breaks(SINK, try_emit_answers_at_once="must not block")
class TakesItsTime(RecordingEventSink):
    def try_emit(self, *, type, data):
        until = time.perf_counter() + 0.03
        while len(self.events) < 6 and time.perf_counter() < until:  # more often than a test of this tries
            pass
        super().try_emit(type=type, data=data)


@breaks(SINK, any_event_is_taken="Types of an application's own")
class KnowsTheTypesOfRuns(RecordingEventSink):
    def try_emit(self, *, type, data):
        kind, _, name = type.partition(".")
        super().try_emit(type={"pipeline": "p", "stage": "s", "conformance": "c"}[kind] + name, data=data)


@breaks(SINK, order_is_kept="What is received was given")
class SharesOneList(RecordingEventSink):
    shared: list = []  # noqa: RUF012 - that is what is wrong with it

    def __init__(self):
        super().__init__()
        self.events = self.shared


@breaks(SINK, order_is_kept="What was given earlier is received earlier")
class SendsEachByATaskOfItsOwn(RecordingEventSink):
    def try_emit(self, *, type, data):
        self.sending = asyncio.ensure_future(self._send(type, data))

    async def emit(self, *, type, data):
        await self._send(type, data)

    async def _send(self, type, data):
        await asyncio.sleep(0.001 * len(self.events))
        super().try_emit(type=type, data=data)


@breaks(SINK, a_cancelled_emit_ends="What comes after a cancelled `emit`")
class KeepsItsLockWhenCancelled(RecordingEventSink):
    def __init__(self):
        super().__init__()
        self.lock = asyncio.Lock()

    async def emit(self, *, type, data):
        if self.lock.locked():
            return
        await self.lock.acquire()
        await asyncio.sleep(0.01)
        super().try_emit(type=type, data=data)
        self.lock.release()


@breaks(SINK, a_cancelled_emit_ends="not answered within")
class HangsOnceCancelled(RecordingEventSink):
    def __init__(self):
        super().__init__()
        self.lock = asyncio.Lock()

    async def emit(self, *, type, data):
        await self.lock.acquire()
        await asyncio.sleep(0.01)
        super().try_emit(type=type, data=data)
        self.lock.release()


@breaks(SINK, a_run_loses_nothing="are received, not")
class LosesTheEnd(RecordingEventSink):
    async def emit(self, *, type, data):
        if not type.startswith("pipeline."):
            super().try_emit(type=type, data=data)


@breaks(SINK, nothing_is_lost_in_silence_when_many_emit_at_once="Each event is received once")
class TriesTwice(RecordingEventSink):
    async def emit(self, *, type, data):
        super().try_emit(type=type, data=data)
        await asyncio.sleep(0)
        super().try_emit(type=type, data=data)


@breaks(STORE, an_unknown_run_is_none="Of a run that was never told of nothing is known")
class RaisesForUnknown(InMemoryRunStore):
    async def get_run(self, run_id):
        return {**self._runs[run_id]}


@breaks(STORE, a_created_run_is_known="is a Mapping")
class GivesARow(InMemoryRunStore):
    async def get_run(self, run_id):
        known = await super().get_run(run_id)
        return None if known is None else tuple(known.items())


@breaks(STORE, a_created_run_is_known="made_up_later")
class KeepsTextAlone(InMemoryRunStore):
    async def create_run(self, run_id, **metadata):
        told = {name: value if isinstance(value, int) else str(value) for name, value in metadata.items()}
        await super().create_run(run_id, **told)


@breaks(STORE, runs_are_recorded_as_they_end="and all that they tell is kept")
class HasColumnsForSome(InMemoryRunStore):
    async def update_status(self, run_id, status, *, duration_ms=None, failed=None, error=None, number=None, **rest):
        told = {"duration_ms": duration_ms, "failed": failed, "error": error, "number": number}
        await super().update_status(
            run_id, status, **{name: value for name, value in told.items() if value is not None}
        )


@breaks(STORE, runs_are_kept_apart="is not known")
class RewritesItsFile(InMemoryRunStore):
    async def create_run(self, run_id, **metadata):
        await self._rewrite(run_id, {"run_id": run_id, "status": "created", **metadata})

    async def update_status(self, run_id, status, **data):
        await self._rewrite(run_id, {"run_id": run_id, "status": status, **data})

    async def _rewrite(self, run_id, told):
        whole = dict(self._runs)
        await asyncio.sleep(0)
        self._runs = {**whole, run_id: {**whole.get(run_id, {}), **told}}


@breaks(STORE, what_is_read_is_the_readers_own="A reader has changed what is stored")
class GivesShallowCopies(InMemoryRunStore):
    async def get_run(self, run_id):
        known = self._runs.get(run_id)
        return None if known is None else {**known}


@breaks(STORE, a_created_run_is_known="is not known")
class WritesLater(InMemoryRunStore):
    async def create_run(self, run_id, **metadata):
        asyncio.get_running_loop().call_later(1, lambda: self._runs.setdefault(run_id, {"run_id": run_id, **metadata}))


@breaks(STORE, a_cancelled_call_ends="stops, and takes what comes next")
class LeavesItsTransactionOpen(InMemoryRunStore):
    def __init__(self):
        super().__init__()
        self.lock = asyncio.Lock()

    async def update_status(self, run_id, status, **data):
        await self.lock.acquire()
        await asyncio.sleep(0)
        await super().update_status(run_id, status, **data)
        self.lock.release()


@breaks(LOGGER, a_call_has_an_id="an id of its own")
class IdsFromWhatIsCalled(TinyLogger):
    async def log_call_start(self, *, run_id, stage, attempt, **told):
        call_id = uuid5(NAMESPACE_URL, f"{run_id}/{stage}/{attempt}")
        self.records[call_id] = {"run_id": run_id, "stage": stage, "attempt": attempt, **told}
        return call_id


@breaks(LOGGER, any_details_are_taken="under any name")
class WritesExtraFields(TinyLogger):
    async def log_call_start(self, **told):
        taken = {"name", "message", "args"} & set(told)  # as logging.Logger.makeRecord has it
        if taken:
            raise KeyError(f"Attempt to overwrite {taken} in LogRecord")
        return await super().log_call_start(**told)


@breaks(LOGGER, calls_end_in_any_order="`stage` of a call is")
class KeepsTheLastCall(TinyLogger):
    async def log_call_start(self, **told):
        self.told = told
        await asyncio.sleep(0)
        call_id = uuid4()
        self.records[call_id] = dict(self.told)
        return call_id


@breaks(LOGGER, any_details_are_taken="each way to end")
class KnowsTwoEnds(TinyLogger):
    async def log_call_end(self, call_id, *, status, **told):
        await super().log_call_end(call_id, status={"ok": "ok", "error": "error"}[status], **told)


@breaks(LOGGER, what_is_told_is_kept="`duration_ms` of a call is")
class KeepsSeconds(TinyLogger):
    async def log_call_end(self, call_id, *, duration_ms, **told):
        await super().log_call_end(call_id, duration_ms=duration_ms / 1000, **told)


@breaks(LOGGER, any_details_are_taken="`model` of a call is None")
class WritesNoneAsText(TinyLogger):
    async def log_call_start(self, *, model, **told):
        return await super().log_call_start(model=str(model), **told)


@breaks(LOGGER, a_cancelled_call_ends="stops, and takes what comes next")
class KeepsItsConnection(TinyLogger):
    def __init__(self):
        super().__init__()
        self.connection = asyncio.Lock()

    async def log_call_end(self, call_id, **told):
        await self.connection.acquire()
        await super().log_call_end(call_id, **told)
        self.connection.release()


@breaks(LOGGER, a_run_loses_no_record="Records of a run were lost")
class CountsCalls(TinyLogger):
    async def log_call_start(self, **told):
        call_id = UUID(int=len(self.records))
        if told["attempt"] > 1:
            raise LookupError("there is a record of this stage")
        self.records[call_id] = told
        return call_id


@pytest.mark.parametrize(("suite", "make", "given", "promises"), judged.cases)
def test_it_is_found(suite, make, given, promises):
    """The suite blames the promises that are broken, in their words."""
    check_found(suite, make, given, promises)
