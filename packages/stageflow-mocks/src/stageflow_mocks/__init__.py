"""Fakes and loopback servers for testing Stageflow pipelines without keys, network or waiting."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stageflow_mocks.auth_tokens import TOKEN_KINDS, IssuedToken, TokenCase, TokenKind
from stageflow_mocks.conversation import ChatMessage, Responder, answer_from_conversation
from stageflow_mocks.faults import FailingEventSink, FaultInterceptor, FaultPlan, FaultPlanError, FaultRule
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

if TYPE_CHECKING:
    from stageflow_mocks.auth_server import AuthRequest, MockAuthServer
    from stageflow_mocks.groq_server import GroqServer, ReceivedRequest
    from stageflow_mocks.mock_auth import MockAuth

__all__ = [
    "AuthRequest",
    "CallTool",
    "ChatMessage",
    "CutOff",
    "Disconnect",
    "ErrorFrame",
    "FailingEventSink",
    "Fault",
    "FaultInterceptor",
    "FaultPlan",
    "FaultPlanError",
    "FaultRule",
    "GarbageBody",
    "GroqServer",
    "Hang",
    "IssuedToken",
    "MockAuth",
    "MockAuthServer",
    "NoChoices",
    "Pace",
    "RateLimited",
    "ReceivedRequest",
    "Responder",
    "ServerError",
    "StoppedEarly",
    "TOKEN_KINDS",
    "TokenCase",
    "TokenKind",
    "answer_from_conversation",
]

# These need an extra, `server` or `auth`: they are looked up when they are asked for, not when the package is imported.
_NEEDS_EXTRA = {
    "AuthRequest": "auth_server",
    "GroqServer": "groq_server",
    "MockAuth": "mock_auth",
    "MockAuthServer": "auth_server",
    "ReceivedRequest": "groq_server",
}


def __getattr__(name: str) -> Any:
    module = _NEEDS_EXTRA.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
