"""Stages to build with: models, memory, guards. What needs a third party needs the extra named in its module."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stageflow_plus.chat import ChatStage
from stageflow_plus.errors import MemoryStoreError
from stageflow_plus.guard import GuardedText, GuardStage
from stageflow_plus.memory import MemoryFetchStage, MemoryPorts, MemoryStore, MemoryWriteStage, RememberedTurns, Turn
from stageflow_plus.sqlite_memory import SqliteMemory

if TYPE_CHECKING:
    from stageflow_plus.groq_llm import GroqLLM

__all__ = [
    "ChatStage",
    "GroqLLM",
    "GuardStage",
    "GuardedText",
    "MemoryFetchStage",
    "MemoryPorts",
    "MemoryStore",
    "MemoryStoreError",
    "MemoryWriteStage",
    "RememberedTurns",
    "SqliteMemory",
    "Turn",
]

# These need the `groq` extra, so they are looked up when they are asked for, not when the package is imported.
_NEEDS_GROQ_EXTRA = {"GroqLLM": "groq_llm"}


def __getattr__(name: str) -> Any:
    module = _NEEDS_GROQ_EXTRA.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
