"""What goes wrong in what the stages of this package talk to; the errors of providers are in `stageflow.errors`.

StageflowError
└── MemoryStoreError              the conversation memory cannot be opened, read or written
"""

from __future__ import annotations

from stageflow import StageflowError


class MemoryStoreError(StageflowError):
    """The conversation memory cannot be opened, read or written. `location` says where it is."""

    code = "memory-store"

    def __init__(self, message: str, *, location: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.location = location
