"""The implementations that the pages show keep the promises of the protocols: they are what readers begin with."""

import ast
import asyncio
import json
import math
import re
import struct
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from stageflow.events.queueing import QueueingEventSink
from stageflow.protocols import PolicyRequest
from stageflow.providers import AudioFormat, LLMRequest, Message
from stageflow_mocks.conformance import (
    CircuitBreakerConformance,
    EventSinkConformance,
    IdempotencyStoreConformance,
    LLMProviderConformance,
    PolicyEvaluatorConformance,
    ProviderCallLoggerConformance,
    RunStoreConformance,
    STTProviderConformance,
    TTSProviderConformance,
)

DOCS = Path(__file__).resolve().parent.parent / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def shown(page, name):
    """Return the class of this name that a page shows, made of nothing but what the page imports and defines before."""
    names = {"__name__": "shown"}
    for block in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        for node in ast.parse(block).body:
            if _defines(node):
                exec(compile(ast.Module([node], []), page, "exec"), names)
        if name in names:
            return names[name]
    raise LookupError(f"{page} shows no {name}")


def _defines(node):
    if isinstance(node, ast.Assign):
        return (
            all(isinstance(target, ast.Name | ast.Tuple) for target in node.targets)
            and ast.unparse(node.targets[0]).isupper()
        )
    undecorated = isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.decorator_list
    return undecorated or isinstance(node, ast.Import | ast.ImportFrom)


PROTOCOLS = "reference/protocols"
Tally = shown(f"{PROTOCOLS}/event-sink.md", "Tally")
JsonLines = shown("reference/events.md", "JsonLines")
SQLiteRuns = shown(f"{PROTOCOLS}/run-store.md", "SQLiteRuns")
KnownRuns = shown("how-to/serve-a-run.md", "KnownRuns")
RunsOfTheTutorial = shown("tutorial/building-with-stageflow.md", "Runs")
CallTable = shown(f"{PROTOCOLS}/provider-call-logger.md", "CallTable")
Switch = shown(f"{PROTOCOLS}/circuit-breaker.md", "Switch")
Spending = shown(f"{PROTOCOLS}/policy-evaluator.md", "Spending")
OneLoopStore = shown(f"{PROTOCOLS}/idempotency-store.md", "OneLoopStore")
RuleLLM = shown(f"{PROTOCOLS}/llm-provider.md", "RuleLLM")
SmallModelOfTheTutorial = shown("tutorial/building-with-stageflow.md", "SmallModel")
Echo = shown("reference/providers.md", "Echo")
ToneTTS = shown(f"{PROTOCOLS}/tts-provider.md", "ToneTTS")
ToneSTT = shown(f"{PROTOCOLS}/stt-provider.md", "ToneSTT")


class TestTally(EventSinkConformance):
    """It counts, so it tells no order."""

    simulated = True

    def make(self):
        return Tally(most=1_000)


class TestJsonLinesBehindAQueue(EventSinkConformance):
    """A sink that writes by a thread is slow: a queue stands in front of it."""

    @pytest.fixture(autouse=True)
    def _give_folder(self, tmp_path):
        self.folder = tmp_path

    @asynccontextmanager
    async def make(self):
        lines = JsonLines(self.folder / "events.jsonl")
        async with QueueingEventSink(_WithTypes(lines)) as queue:
            yield queue

    async def received(self, sink):
        await sink.close()
        text = await asyncio.to_thread((self.folder / "events.jsonl").read_text, encoding="utf-8")
        return [json.loads(line)["type"] for line in text.splitlines()]


class _WithTypes:
    """Puts the type of an event into its data, where the events of runs have it."""

    def __init__(self, inner):
        self.inner = inner

    async def emit(self, *, type, data):
        return await self.inner.emit(type=type, data={**(data or {}), "type": type})

    def try_emit(self, *, type, data):
        return self.inner.try_emit(type=type, data=data)


class TestSQLiteRuns(RunStoreConformance):
    @pytest.fixture(autouse=True)
    def _open(self, tmp_path):
        with closing(SQLiteRuns(tmp_path / "runs.db")) as self.runs:
            yield  # its threads have ended when the event loop has

    def make(self):
        return self.runs


class TestKnownRuns(RunStoreConformance):
    simulated = True

    def make(self):
        return KnownRuns()


class TestRunsOfTheTutorial(RunStoreConformance):
    simulated = True

    def make(self):
        return RunsOfTheTutorial()


class TestCallTable(ProviderCallLoggerConformance):
    """It keeps what its readers want to know, in words of its own."""

    simulated = True

    def make(self):
        return CallTable()


class TestSwitch(CircuitBreakerConformance):
    simulated, failures, recovery_s, probes = True, 2, 60.0, None

    def make(self):
        return Switch(most=2)


class TestSpending(PolicyEvaluatorConformance):
    simulated = True

    def make(self):
        return Spending({"ada"}, most=100)

    def allowed(self):
        return _paying("ada", 5)

    def denied(self):
        return _paying("eve", 5)

    def undecided(self):
        return _paying("ada", 500)


def _paying(user_id, amount):
    about = {"pipeline": "p", "stage": "pay", "kind": "work", "attributes": {"amount": amount}}
    return PolicyRequest(action="pay", user_id=user_id, **about)


class TestOneLoopStore(IdempotencyStoreConformance):
    simulated = True

    def make(self):
        return OneLoopStore()


class TestRuleLLM(LLMProviderConformance):
    simulated = True

    def make(self):
        return RuleLLM({"number": "It is a number.", "two": "And another."})


class TestSmallModelOfTheTutorial(LLMProviderConformance):
    simulated = True

    def make(self):
        return SmallModelOfTheTutorial()


class TestEcho(LLMProviderConformance):
    simulated = True

    def make(self):
        return Echo()

    def request(self, number):
        return LLMRequest((Message("user", f"Say {number}."),))


class TestToneTTS(TTSProviderConformance):
    simulated, format = True, AudioFormat("pcm_s16le", 8_000)

    def text(self, number):
        return " ".join((("yes", "no", "maybe") * 4)[number % 3 : 8])

    def make(self):
        return ToneTTS()


class TestToneSTT(STTProviderConformance):
    simulated, format, piece_bytes = True, AudioFormat("pcm_s16le", 8_000), 500

    def make(self):
        return ToneSTT()

    def audio(self, number):
        return b"".join(_tone(hertz) for hertz in ((400, 800), (800, 400), (1_200, 400))[number % 3])


def _tone(hertz):
    samples = [round(8_000 * math.sin(2 * math.pi * hertz * n / 8_000 + 0.1)) for n in range(800)]
    return struct.pack("<800h", *samples)
