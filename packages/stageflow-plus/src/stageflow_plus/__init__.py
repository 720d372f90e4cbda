"""Stages to build with: models, memory, guards. What needs a third party needs the extra named in its module."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stageflow_plus.errors import (
    MemoryStoreError,
    ProviderAuthError,
    ProviderError,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRequestError,
    ProviderServerError,
    ProviderTimeout,
    ProviderUnreachable,
)
from stageflow_plus.guard import GuardedText, GuardStage
from stageflow_plus.memory import MemoryFetchStage, MemoryPorts, MemoryStore, MemoryWriteStage, RememberedTurns, Turn
from stageflow_plus.sqlite_memory import SqliteMemory

if TYPE_CHECKING:
    from stageflow_plus.groq_chat import ChatReply, GroqChatStage, GroqPorts

__all__ = [
    "ChatReply",
    "GroqChatStage",
    "GroqPorts",
    "GuardStage",
    "GuardedText",
    "MemoryFetchStage",
    "MemoryPorts",
    "MemoryStore",
    "MemoryStoreError",
    "MemoryWriteStage",
    "ProviderAuthError",
    "ProviderError",
    "ProviderProtocolError",
    "ProviderRateLimited",
    "ProviderRequestError",
    "ProviderServerError",
    "ProviderTimeout",
    "ProviderUnreachable",
    "RememberedTurns",
    "SqliteMemory",
    "Turn",
]

# These need the `groq` extra, so they are looked up when they are asked for, not when the package is imported.
_NEEDS_GROQ_EXTRA = {"ChatReply": "groq_chat", "GroqChatStage": "groq_chat", "GroqPorts": "groq_chat"}


def __getattr__(name: str) -> Any:
    module = _NEEDS_GROQ_EXTRA.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
