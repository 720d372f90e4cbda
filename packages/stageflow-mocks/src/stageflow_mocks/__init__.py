"""Fakes and loopback servers for testing Stageflow pipelines without keys, network or waiting."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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
    from stageflow_mocks.groq_server import GroqServer, ReceivedRequest

__all__ = [
    "CallTool",
    "ChatMessage",
    "Chunks",
    "CutOff",
    "Disconnect",
    "ErrorFrame",
    "FakeClock",
    "FakeConfig",
    "FakeRandom",
    "Fault",
    "GarbageBody",
    "GroqServer",
    "Hang",
    "InMemoryRunStore",
    "NoChoices",
    "Pace",
    "RateLimited",
    "ReceivedRequest",
    "RecordedEvent",
    "RecordingEventSink",
    "Responder",
    "ServerError",
    "StoppedEarly",
    "answer_from_conversation",
    "make_context",
    "make_snapshot",
    "run_stage",
]

# These need the `server` extra, so they are looked up when they are asked for, not when the package is imported.
_NEEDS_SERVER_EXTRA = {"GroqServer": "groq_server", "ReceivedRequest": "groq_server"}


def __getattr__(name: str) -> Any:
    module = _NEEDS_SERVER_EXTRA.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
