"""Fakes and loopback servers for testing Stageflow pipelines without keys, network or waiting."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stageflow_mocks.auth.mock_auth import MockAuth
    from stageflow_mocks.auth.server import AuthRequest, MockAuthServer
    from stageflow_mocks.auth.tokens import TOKEN_KINDS, IssuedToken, TokenCase, TokenKind
    from stageflow_mocks.cassettes.cassette import Cassette
    from stageflow_mocks.cassettes.errors import (
        CassetteCheckError,
        CassetteFileError,
        CassetteRefusal,
        RecordingEndsError,
        RecordingInCIError,
        UnknownRequestError,
    )
    from stageflow_mocks.conversation import ChatMessage, Responder, answer_from_conversation
    from stageflow_mocks.faults import (
        FailingEventSink,
        FaultInterceptor,
        FaultPlan,
        FaultPlanError,
        FaultRule,
        FaultyIdempotencyStore,
        FaultyLLM,
        FaultyRunStore,
        FaultySTT,
        FaultyTTS,
    )
    from stageflow_mocks.groq.audio.form import Upload
    from stageflow_mocks.groq.audio.hearing import Transcriber
    from stageflow_mocks.groq.audio.transcription_request import TranscriptionRequest
    from stageflow_mocks.groq.server import GroqServer, ReceivedRequest
    from stageflow_mocks.harness.clock_and_chance import FakeClock, FakeRandom
    from stageflow_mocks.harness.contexts import make_context, make_snapshot
    from stageflow_mocks.harness.recording_sink import RecordedEvent, RecordingEventSink
    from stageflow_mocks.harness.run_store import InMemoryRunStore
    from stageflow_mocks.harness.running import run_stage
    from stageflow_mocks.harness.settings import FakeConfig
    from stageflow_mocks.harness.stand_ins import Chunks
    from stageflow_mocks.model_answers import CallTool, Reasoned
    from stageflow_mocks.provider_faults import (
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
    from stageflow_mocks.providers.answers import Answer, echo
    from stageflow_mocks.providers.calls import RecordedCall
    from stageflow_mocks.providers.errors import FliteError, ScriptError, UnscriptedCallError
    from stageflow_mocks.providers.faults import AtCall, AtRate, Failure, Malformed, MockFault
    from stageflow_mocks.providers.hearing import Heard
    from stageflow_mocks.providers.llm import MockLLM
    from stageflow_mocks.providers.stt import MockSTT
    from stageflow_mocks.providers.timing import Exponential, Latency, Uniform
    from stageflow_mocks.providers.tool import MockTool
    from stageflow_mocks.providers.tts import MockTTS
    from stageflow_mocks.pytest_plugin.golden import Golden

__all__ = [
    "Answer",
    "AtCall",
    "AtRate",
    "AuthRequest",
    "CallTool",
    "Cassette",
    "CassetteCheckError",
    "CassetteFileError",
    "CassetteRefusal",
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
    "FaultyIdempotencyStore",
    "FaultyLLM",
    "FaultyRunStore",
    "FaultySTT",
    "FaultyTTS",
    "FliteError",
    "GarbageBody",
    "Golden",
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
    "Reasoned",
    "ReceivedRequest",
    "RecordedCall",
    "RecordedEvent",
    "RecordingEndsError",
    "RecordingEventSink",
    "RecordingInCIError",
    "Responder",
    "ScriptError",
    "ServerError",
    "StoppedEarly",
    "TOKEN_KINDS",
    "TokenCase",
    "TokenKind",
    "Transcriber",
    "TranscriptionRequest",
    "Uniform",
    "UnknownRequestError",
    "UnscriptedCallError",
    "Upload",
    "answer_from_conversation",
    "echo",
    "make_context",
    "make_snapshot",
    "run_stage",
]

# Each name is looked up when it is asked for: some need an extra, some load Stageflow, and pytest loads this package in
# every session, because of the plugin.
_HOMES: dict[str, tuple[str, ...]] = {
    "auth.mock_auth": ("MockAuth",),
    "auth.server": ("AuthRequest", "MockAuthServer"),
    "auth.tokens": ("IssuedToken", "TOKEN_KINDS", "TokenCase", "TokenKind"),
    "cassettes.cassette": ("Cassette",),
    "cassettes.errors": (
        "CassetteCheckError",
        "CassetteFileError",
        "CassetteRefusal",
        "RecordingEndsError",
        "RecordingInCIError",
        "UnknownRequestError",
    ),
    "conversation": ("ChatMessage", "Responder", "answer_from_conversation"),
    "faults": (
        "FailingEventSink",
        "FaultInterceptor",
        "FaultPlan",
        "FaultPlanError",
        "FaultRule",
        "FaultyIdempotencyStore",
        "FaultyLLM",
        "FaultyRunStore",
        "FaultySTT",
        "FaultyTTS",
    ),
    "groq.audio.form": ("Upload",),
    "groq.audio.hearing": ("Transcriber",),
    "groq.audio.transcription_request": ("TranscriptionRequest",),
    "groq.server": ("GroqServer", "ReceivedRequest"),
    "harness.clock_and_chance": ("FakeClock", "FakeRandom"),
    "harness.recording_sink": ("RecordedEvent", "RecordingEventSink"),
    "harness.run_store": ("InMemoryRunStore",),
    "harness.contexts": ("make_context", "make_snapshot"),
    "harness.running": ("run_stage",),
    "harness.stand_ins": ("Chunks",),
    "harness.settings": ("FakeConfig",),
    "model_answers": ("CallTool", "Reasoned"),
    "provider_faults": (
        "CutOff",
        "Disconnect",
        "ErrorFrame",
        "Fault",
        "GarbageBody",
        "Hang",
        "NoChoices",
        "Pace",
        "RateLimited",
        "ServerError",
        "StoppedEarly",
    ),
    "providers.answers": ("Answer", "echo"),
    "providers.calls": ("RecordedCall",),
    "providers.errors": ("FliteError", "ScriptError", "UnscriptedCallError"),
    "providers.faults": ("AtCall", "AtRate", "Failure", "Malformed", "MockFault"),
    "providers.hearing": ("Heard",),
    "providers.llm": ("MockLLM",),
    "providers.stt": ("MockSTT",),
    "providers.timing": ("Exponential", "Latency", "Uniform"),
    "providers.tool": ("MockTool",),
    "providers.tts": ("MockTTS",),
    "pytest_plugin.golden": ("Golden",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
