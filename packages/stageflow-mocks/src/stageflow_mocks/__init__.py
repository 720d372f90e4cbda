"""Fakes and loopback servers for testing Stageflow pipelines without keys, network or waiting."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stageflow_mocks.auth_tokens import TOKEN_KINDS, IssuedToken, TokenCase, TokenKind
from stageflow_mocks.clock_and_chance import FakeClock, FakeRandom
from stageflow_mocks.conversation import ChatMessage, Responder, answer_from_conversation
from stageflow_mocks.groq_faults import (
    CutOff,
    Disconnect,
    ErrorFrame,
    Fault,
    GarbageBody,
    Hang,
    NoChoices,
    Pace,
    RateLimited,
    ServerError,
    StoppedEarly,
)
from stageflow_mocks.groq_tools import CallTool
from stageflow_mocks.harness import Chunks, make_context, make_snapshot, run_stage
from stageflow_mocks.memory_run_store import InMemoryRunStore
from stageflow_mocks.recording_sink import RecordedEvent, RecordingEventSink
from stageflow_mocks.settings import FakeConfig

if TYPE_CHECKING:
    from stageflow_mocks.auth_server import AuthRequest, MockAuthServer
    from stageflow_mocks.faults import FailingEventSink, FaultInterceptor, FaultPlan, FaultPlanError, FaultRule
    from stageflow_mocks.groq_server import GroqServer, ReceivedRequest
    from stageflow_mocks.mock_auth import MockAuth
    from stageflow_mocks.providers.answers import Answer, echo
    from stageflow_mocks.providers.calls import RecordedCall
    from stageflow_mocks.providers.errors import ScriptError, UnscriptedCallError
    from stageflow_mocks.providers.faults import AtCall, AtRate, Failure, Malformed, MockFault
    from stageflow_mocks.providers.hearing import Heard
    from stageflow_mocks.providers.llm import MockLLM
    from stageflow_mocks.providers.stt import MockSTT
    from stageflow_mocks.providers.timing import Exponential, Latency, Uniform
    from stageflow_mocks.providers.tool import MockTool
    from stageflow_mocks.providers.tts import MockTTS

__all__ = [
    "Answer",
    "AtCall",
    "AtRate",
    "AuthRequest",
    "CallTool",
    "ChatMessage",
    "Chunks",
    "CutOff",
    "Disconnect",
    "ErrorFrame",
    "Exponential",
    "FailingEventSink",
    "Failure",
    "FakeClock",
    "FakeConfig",
    "FakeRandom",
    "Fault",
    "FaultInterceptor",
    "FaultPlan",
    "FaultPlanError",
    "FaultRule",
    "GarbageBody",
    "GroqServer",
    "Hang",
    "Heard",
    "InMemoryRunStore",
    "IssuedToken",
    "Latency",
    "Malformed",
    "MockAuth",
    "MockAuthServer",
    "MockFault",
    "MockLLM",
    "MockSTT",
    "MockTTS",
    "MockTool",
    "NoChoices",
    "Pace",
    "RateLimited",
    "ReceivedRequest",
    "RecordedCall",
    "RecordedEvent",
    "RecordingEventSink",
    "Responder",
    "ScriptError",
    "ServerError",
    "StoppedEarly",
    "TOKEN_KINDS",
    "TokenCase",
    "TokenKind",
    "Uniform",
    "UnscriptedCallError",
    "answer_from_conversation",
    "echo",
    "make_context",
    "make_snapshot",
    "run_stage",
]

# Looked up when they are asked for, not when the package is imported: these need an extra, `server` or `auth`,
_NEEDS_EXTRA = {
    "AuthRequest": "auth_server",
    "GroqServer": "groq_server",
    "MockAuth": "mock_auth",
    "MockAuthServer": "auth_server",
    "ReceivedRequest": "groq_server",
}

# and these need more of the core than a server does.
_NEEDS_CORE = {
    "Answer": "providers.answers",
    "AtCall": "providers.faults",
    "AtRate": "providers.faults",
    "Exponential": "providers.timing",
    "FailingEventSink": "faults",
    "Failure": "providers.faults",
    "FaultInterceptor": "faults",
    "FaultPlan": "faults",
    "FaultPlanError": "faults",
    "FaultRule": "faults",
    "Heard": "providers.hearing",
    "Latency": "providers.timing",
    "Malformed": "providers.faults",
    "MockFault": "providers.faults",
    "MockLLM": "providers.llm",
    "MockSTT": "providers.stt",
    "MockTTS": "providers.tts",
    "MockTool": "providers.tool",
    "RecordedCall": "providers.calls",
    "ScriptError": "providers.errors",
    "Uniform": "providers.timing",
    "UnscriptedCallError": "providers.errors",
    "echo": "providers.answers",
}


def __getattr__(name: str) -> Any:
    module = _NEEDS_EXTRA.get(name) or _NEEDS_CORE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
