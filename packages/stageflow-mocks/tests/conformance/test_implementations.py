"""What core has and the mocks have keeps the promises of its protocols."""

import json
import logging
import struct
from contextlib import asynccontextmanager

from stageflow import LoggingEventSink, NoOpEventSink
from stageflow.errors import ProviderRateLimited, ProviderServerError
from stageflow.events.queueing import QueueingEventSink
from stageflow.interceptors.idempotency_memory import InMemoryIdempotencyStore
from stageflow.observability import InMemoryCircuitBreaker, NoOpProviderCallLogger
from stageflow.observability.circuit_breaker import NoOpCircuitBreaker
from stageflow.protocols import AllowAllPolicy, NoOpIdempotencyStore, NoOpRunStore, PolicyRequest
from stageflow.providers import LLMRequest, Message, Tool
from stageflow_mocks import (
    FailingEventSink,
    FakeClock,
    FaultPlan,
    FaultyIdempotencyStore,
    FaultyRunStore,
    InMemoryRunStore,
    RecordingEventSink,
)
from stageflow_mocks.conformance import (
    CircuitBreakerConformance,
    EventSinkConformance,
    Failing,
    IdempotencyStoreConformance,
    LLMProviderConformance,
    PolicyEvaluatorConformance,
    ProviderCallLoggerConformance,
    RunStoreConformance,
    STTProviderConformance,
    TTSProviderConformance,
)
from tiny_implementations import PCM, LeasedStore, TinyLLM, TinyLogger, TinyPolicy, TinySTT, TinyTTS, broken, limited


class TestRecordingEventSink(EventSinkConformance):
    simulated = True

    def make(self):
        return RecordingEventSink()

    async def received(self, sink):
        return sink.types


class TestNoOpEventSink(EventSinkConformance):
    simulated, keeps = True, False

    def make(self):
        return NoOpEventSink()

    async def received(self, sink):
        return []


class TestFailingEventSink(EventSinkConformance):
    """With a plan that leaves it alone."""

    simulated = True

    def make(self):
        return FailingEventSink(RecordingEventSink(), FaultPlan())

    async def received(self, sink):
        return sink.sink.types


class TestLoggingEventSink(EventSinkConformance):
    simulated = True

    def make(self):
        kept = []

        class Keeps(logging.Handler):
            def emit(self, record):
                kept.append(record.args[0])

        logger = logging.Logger("conformance")  # noqa: LOG001 - each test has its own
        logger.addHandler(Keeps())
        sink = LoggingEventSink(logger)
        sink.kept = kept
        return sink

    async def received(self, sink):
        return sink.kept


class TestQueueingEventSink(EventSinkConformance):
    simulated = True

    def make(self):
        inner = RecordingEventSink()
        queue = QueueingEventSink(inner, capacity=1_000)
        queue.inner = inner
        return queue

    async def received(self, sink):
        await sink.close()
        return sink.inner.types


class TestSmallQueueingEventSink(TestQueueingEventSink):
    """A queue with room for few events drops some, and says so."""

    def make(self):
        inner = RecordingEventSink()
        queue = QueueingEventSink(inner, capacity=12)
        queue.inner = inner
        return queue


class TestInMemoryRunStore(RunStoreConformance):
    simulated = True

    def make(self):
        return InMemoryRunStore()


class TestFaultyRunStore(RunStoreConformance):
    """With a plan that leaves it alone."""

    simulated = True

    def make(self):
        return FaultyRunStore(InMemoryRunStore(), FaultPlan())


class TestNoOpRunStore(RunStoreConformance):
    simulated, keeps = True, False

    def make(self):
        return NoOpRunStore()


class TestNoOpProviderCallLogger(ProviderCallLoggerConformance):
    simulated, keeps = True, False

    def make(self):
        return NoOpProviderCallLogger()


class TestTinyLogger(ProviderCallLoggerConformance):
    def make(self):
        return TinyLogger()

    async def record(self, logger, call_id):
        return json.loads(json.dumps(logger.records[call_id]))


class TestInMemoryCircuitBreaker(CircuitBreakerConformance):
    simulated, failures, recovery_s, probes = True, 5, 30.0, 1

    def make(self):
        return InMemoryCircuitBreaker()


class TestCircuitBreakerWithSeveralProbes(CircuitBreakerConformance):
    """Its clock is the test's own, so real time will do."""

    failures, recovery_s, probes = 1, 60.0, 3

    def make(self):
        self.clock = FakeClock()
        return InMemoryCircuitBreaker(failure_threshold=1, recovery_time=60.0, probes=3, clock=self.clock)

    async def pass_time(self, seconds):
        self.clock.advance(seconds)


class TestNoOpCircuitBreaker(CircuitBreakerConformance):
    simulated = True

    def make(self):
        return NoOpCircuitBreaker()


def _request(**told):
    return PolicyRequest(action="pay", pipeline="p", stage="s", kind="work", **told)


class TestAllowAllPolicy(PolicyEvaluatorConformance):
    simulated = True

    def make(self):
        return AllowAllPolicy()

    def allowed(self):
        return _request()


class TestTinyPolicy(PolicyEvaluatorConformance):
    simulated = True

    def make(self):
        return TinyPolicy()

    def allowed(self):
        return _request(user_id="ada")

    def denied(self):
        return _request()

    def undecided(self):
        return _request(user_id="ada", attributes={"amount": 500})


class TestInMemoryIdempotencyStore(IdempotencyStoreConformance):
    simulated = True

    def make(self):
        return InMemoryIdempotencyStore()


class TestFaultyIdempotencyStore(IdempotencyStoreConformance):
    """With a plan that leaves it alone."""

    simulated = True

    def make(self):
        return FaultyIdempotencyStore(InMemoryIdempotencyStore(), FaultPlan())


class TestLeasedStore(IdempotencyStoreConformance):
    simulated = True

    def make(self):
        return LeasedStore()


class TestNoOpIdempotencyStore(IdempotencyStoreConformance):
    simulated, keeps = True, False

    def make(self):
        return NoOpIdempotencyStore()


class TestTinyLLM(LLMProviderConformance):
    simulated = True

    @asynccontextmanager
    async def make(self):
        yield TinyLLM()

    def open_calls(self, provider):
        return provider.open

    def tool_request(self):
        return LLMRequest((Message("user", "How is the weather?"),), tools=(Tool("weather", "It", {"type": "object"}),))

    def failing(self):
        return {"429": Failing(limited, ProviderRateLimited), "500": Failing(broken, ProviderServerError)}


class TestTinySTT(STTProviderConformance):
    simulated, format, piece_bytes = True, PCM, 150

    async def make(self):
        return TinySTT()

    def audio(self, number):
        return b"".join(struct.pack("<h", number * 10 + word) * 100 for word in range(3))


class TestTinyTTS(TTSProviderConformance):
    simulated, format = True, PCM

    def make(self):
        return TinyTTS()
