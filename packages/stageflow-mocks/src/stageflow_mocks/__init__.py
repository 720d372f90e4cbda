"""Fakes and loopback servers for testing Stageflow pipelines without keys, network or waiting."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stageflow_mocks.auth_server import AuthRequest, MockAuthServer
    from stageflow_mocks.auth_tokens import TOKEN_KINDS, IssuedToken, TokenCase, TokenKind
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
    from stageflow_mocks.groq_server import GroqServer, ReceivedRequest
    from stageflow_mocks.groq_tools import CallTool
    from stageflow_mocks.mock_auth import MockAuth

__all__ = [
    "AuthRequest",
    "CallTool",
    "ChatMessage",
    "CutOff",
    "Disconnect",
    "ErrorFrame",
    "Fault",
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

# Each name is looked up when it is asked for: some need an extra, some load Stageflow, and pytest loads this package in
# every session, because of the plugin.
_HOMES: dict[str, tuple[str, ...]] = {
    "auth_server": ("AuthRequest", "MockAuthServer"),
    "auth_tokens": ("IssuedToken", "TOKEN_KINDS", "TokenCase", "TokenKind"),
    "conversation": ("ChatMessage", "Responder", "answer_from_conversation"),
    "groq_faults": (
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
    "groq_server": ("GroqServer", "ReceivedRequest"),
    "groq_tools": ("CallTool",),
    "mock_auth": ("MockAuth",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
