"""A wrapper whose plan strikes nothing keeps every promise that what it wraps keeps."""

from stageflow.errors import ProviderRateLimited, ProviderServerError
from stageflow.interceptors.idempotency_memory import InMemoryIdempotencyStore
from stageflow_mocks import (
    FailingEventSink,
    FaultPlan,
    FaultyIdempotencyStore,
    FaultyLLM,
    FaultyRunStore,
    FaultySTT,
    FaultyTTS,
    InMemoryRunStore,
    RecordingEventSink,
)
from stageflow_mocks.conformance import Failing
from test_implementations import (
    TestInMemoryIdempotencyStore,
    TestInMemoryRunStore,
    TestLeasedStore,
    TestRecordingEventSink,
    TestTinyLLM,
    TestTinySTT,
    TestTinyTTS,
)
from tiny_implementations import LeasedStore, TinyLLM, TinySTT, TinyTTS, broken, limited

NOTHING = FaultPlan()


class TestFailingEventSink(TestRecordingEventSink):
    def make(self):
        return FailingEventSink(RecordingEventSink(), NOTHING)

    async def received(self, sink):
        return sink.sink.types


class TestFaultyRunStore(TestInMemoryRunStore):
    def make(self):
        return FaultyRunStore(InMemoryRunStore(), NOTHING)


class TestFaultyIdempotencyStore(TestInMemoryIdempotencyStore):
    def make(self):
        return FaultyIdempotencyStore(InMemoryIdempotencyStore(), NOTHING)


class TestFaultyLeasedStore(TestLeasedStore):
    def make(self):
        return FaultyIdempotencyStore(LeasedStore(), NOTHING)


class TestFaultyLLM(TestTinyLLM):
    def make(self):
        return FaultyLLM(TinyLLM(), NOTHING)

    def failing(self):
        ways = {"429": (limited, ProviderRateLimited), "500": (broken, ProviderServerError)}
        return {
            name: Failing(lambda make=make: FaultyLLM(make(), NOTHING), error) for name, (make, error) in ways.items()
        }


class TestFaultySTT(TestTinySTT):
    async def make(self):
        return FaultySTT(TinySTT(), NOTHING)


class TestFaultyTTS(TestTinyTTS):
    def make(self):
        return FaultyTTS(TinyTTS(), NOTHING)


# The suites that these extend are run where they stand.
del TestInMemoryIdempotencyStore, TestInMemoryRunStore, TestLeasedStore, TestRecordingEventSink
del TestTinyLLM, TestTinySTT, TestTinyTTS
