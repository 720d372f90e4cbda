"""What keeps every promise in a way of its own passes: slow, buffered, wrapping another, or over SQLite."""

import asyncio
import pickle
import sqlite3
import threading

import pytest
from stageflow.observability import InMemoryCircuitBreaker
from stageflow.protocols import Claim
from stageflow.providers import LLMChunk, STTChunk, TTSChunk, closing_stream, complete_from_stream
from stageflow_mocks import FailingEventSink, FakeClock, FaultPlan, InMemoryRunStore, RecordingEventSink
from stageflow_mocks.conformance import (
    CircuitBreakerConformance,
    EventSinkConformance,
    IdempotencyStoreConformance,
    LLMProviderConformance,
    ProviderCallLoggerConformance,
    RunStoreConformance,
)
from stageflow_mocks.harness.only_one_stage import SinkWithoutFakes
from test_implementations import TestTinySTT, TestTinyTTS
from tiny_implementations import PCM, TinyLLM, TinyLogger, TinySTT, TinyTTS, in_pieces

TinySTTConformance, TinyTTSConformance = TestTinySTT, TestTinyTTS
del TestTinySTT, TestTinyTTS  # they are run where they stand


class Buffered:
    """Keeps events until somebody reads them, in slots."""

    __slots__ = ("_new", "_read")

    def __init__(self):
        self._new = []
        self._read = []

    def try_emit(self, *, type, data):
        self._new.append(type)
        return True

    async def emit(self, *, type, data):
        await asyncio.sleep(0.5)
        return self.try_emit(type=type, data=data)

    def read(self):
        self._read += self._new
        self._new.clear()
        return self._read


class TestBufferedSink(EventSinkConformance):
    simulated = True

    def make(self):
        return Buffered()

    async def received(self, sink):
        return sink.read()


class Bounded(RecordingEventSink):
    """Has room for ten events, and says of the others that it dropped them."""

    def try_emit(self, *, type, data):
        if len(self.events) == 10:
            return False
        super().try_emit(type=type, data=data)
        return True

    async def emit(self, *, type, data):
        return self.try_emit(type=type, data=data)


class TestBoundedSink(EventSinkConformance):
    simulated = True

    def make(self):
        return Bounded()

    async def received(self, sink):
        return sink.types


class Both:
    """Gives events to two sinks."""

    def __init__(self, *sinks):
        self.sinks = sinks

    def try_emit(self, *, type, data):
        taken = [
            sink.try_emit(type=type, data=dict(data or {})) for sink in self.sinks
        ]  # both, whatever the first says
        return False not in taken

    async def emit(self, *, type, data):
        taken = await asyncio.gather(*(sink.emit(type=type, data=dict(data or {})) for sink in self.sinks))
        return False not in taken


class TestSinkOfTwo(EventSinkConformance):
    """The second is behind what wraps sinks in the mocks, and lets all pass here."""

    simulated = True

    def make(self):
        inner = RecordingEventSink()
        both = Both(RecordingEventSink(), SinkWithoutFakes(FailingEventSink(inner, FaultPlan()), {"fake"}))
        both.inner = inner
        return both

    async def received(self, sink):
        return sink.inner.types


class SlowStore(InMemoryRunStore):
    async def create_run(self, run_id, **metadata):
        await asyncio.sleep(2)
        await super().create_run(run_id, **metadata)

    async def update_status(self, run_id, status, **data):
        await asyncio.sleep(2)
        await super().update_status(run_id, status, **data)

    async def get_run(self, run_id):
        await asyncio.sleep(2)
        return await super().get_run(run_id)


class TestSlowStore(RunStoreConformance):
    simulated = True

    def make(self):
        return SlowStore()


class SlowLogger(TinyLogger):
    async def log_call_start(self, **told):
        await asyncio.sleep(0.9)
        return await super().log_call_start(**told)

    async def log_call_end(self, call_id, **told):
        await asyncio.sleep(0.9)
        await super().log_call_end(call_id, **told)


class TestSlowLogger(ProviderCallLoggerConformance):
    simulated = True

    def make(self):
        return SlowLogger()

    async def record(self, logger, call_id):
        return logger.records[call_id]


class Remote:
    """A breaker that is elsewhere: each call takes its time, and is handled in one step there."""

    def __init__(self, inner):
        self.inner = inner

    async def _call(self, method, *args):
        await asyncio.sleep(0.01)
        try:
            return await method(*args)
        finally:
            await asyncio.sleep(0.01)

    async def allow(self, circuit):
        return await self._call(self.inner.allow, circuit)

    async def record_success(self, circuit, permit):
        await self._call(self.inner.record_success, circuit, permit)

    async def record_failure(self, circuit, permit):
        await self._call(self.inner.record_failure, circuit, permit)

    async def release(self, circuit, permit):
        await self._call(self.inner.release, circuit, permit)


class TestRemoteBreaker(CircuitBreakerConformance):
    simulated, failures, recovery_s, probes = True, 3, 20.0, 2

    def make(self):
        return Remote(InMemoryCircuitBreaker(failure_threshold=3, recovery_time=20.0, probes=2))


class SQLiteWork:
    """Which work was done, in a file: one statement decides who gets a key."""

    lease_seconds = 10.0

    def __init__(self, path, clock):
        self._clock = clock
        self._one_by_one = threading.Lock()  # how many rows were changed is told of the connection, not of a statement
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        self._database.execute(
            "CREATE TABLE work (key BLOB PRIMARY KEY, fingerprint TEXT, owner TEXT, until REAL, value BLOB)"
        )

    async def claim(self, key, *, fingerprint, owner):
        return await asyncio.to_thread(self._alone, self._claim, key.encode(), fingerprint, owner)

    async def wait(self, key):
        await asyncio.sleep(0.01)

    async def renew(self, key, *, owner):
        until = self._clock() + self.lease_seconds
        return await self._changed("UPDATE work SET until = ?", key, owner, until)

    async def complete(self, key, *, owner, value):
        return await self._changed("UPDATE work SET value = ?", key, owner, pickle.dumps(value))

    async def release(self, key, *, owner):
        await self._changed("DELETE FROM work", key, owner)

    def close(self):
        self._database.close()

    async def _changed(self, statement, key, owner, *values):
        mine = "WHERE key = ? AND owner = ? AND value IS NULL AND until > ?"
        told = (*values, key.encode(), owner, self._clock())
        return await asyncio.to_thread(self._alone, self._execute, f"{statement} {mine}", told) > 0

    def _alone(self, function, *args):
        with self._one_by_one:
            return function(*args)

    def _execute(self, statement, told):
        return self._database.execute(statement, told).rowcount

    def _claim(self, key, fingerprint, owner):
        now = self._clock()
        taken = self._database.execute(
            "INSERT INTO work VALUES (?, ?, ?, ?, NULL) ON CONFLICT (key) DO UPDATE SET "
            "fingerprint = excluded.fingerprint, owner = excluded.owner, until = excluded.until "
            "WHERE value IS NULL AND until <= ? RETURNING 1",
            (key, fingerprint, owner, now + self.lease_seconds, now),
        ).fetchone()
        if taken is not None:
            return Claim("granted")
        row = self._database.execute("SELECT fingerprint, value FROM work WHERE key = ?", (key,)).fetchone()
        if row[0] != fingerprint:
            return Claim("conflict")
        return Claim("running") if row[1] is None else Claim("done", pickle.loads(row[1]))


class TestSQLiteWork(IdempotencyStoreConformance):
    @pytest.fixture(autouse=True)
    def _open(self, tmp_path):
        self.clock = FakeClock()
        self.store = SQLiteWork(tmp_path / "work.db", self.clock)
        yield
        self.store.close()  # when its threads have ended, as the event loop has

    def make(self):
        return self.store

    async def pass_time(self, seconds):
        self.clock.advance(seconds)


class Passing:
    """Passes requests on to another provider."""

    def __init__(self, inner):
        self.name = f"passing {inner.name}"
        self.inner = inner

    async def stream(self, request):
        async with closing_stream(self.inner.stream(request)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def complete(self, request):
        return await complete_from_stream(self, request)


class TestPassingProvider(LLMProviderConformance):
    simulated = True

    def make(self):
        return Passing(Passing(TinyLLM()))

    def open_calls(self, provider):
        return provider.inner.inner.open


class AtOnce(TinyLLM):
    """Has the answer as a whole, and gives it by an iterator that has nothing to close."""

    async def complete(self, request):
        return await complete_from_stream(self, request)

    def stream(self, request):
        return _Once(super().complete(request))


class _Once:
    def __init__(self, answer):
        self.answer = answer

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.answer is None:
            raise StopAsyncIteration
        answer, self.answer = await self.answer, None
        return LLMChunk(answer.text, finish_reason=answer.finish_reason, usage=answer.usage, model=answer.model)

    def __del__(self):
        if self.answer is not None:
            self.answer.close()


class TestProviderWithAnIterator(LLMProviderConformance):
    simulated = True

    def make(self):
        return AtOnce()


class WholeSTT(TinySTT):
    async def stream(self, request):
        audio = b"".join([piece async for piece in in_pieces(request.audio)])
        yield STTChunk(" ".join(self._hear(audio)), is_final=True)


class TestSTTOfTheWhole(TinySTTConformance):
    duplex = False

    async def make(self):
        return WholeSTT()


class WholeTTS(TinyTTS):
    async def stream(self, request):
        text = "".join([piece async for piece in in_pieces(request.text)])
        yield TTSChunk(self._speak(text), format=PCM)


class TestTTSOfTheWhole(TinyTTSConformance):
    duplex = False

    def make(self):
        return WholeTTS()
