"""What goes wrong in what the stages of this package talk to; the errors of providers are in `stageflow.errors`.

StageflowError
├── MemoryStoreError              the conversation memory cannot be opened, read or written
└── StageError
    └── MissingPortError          the run was not given something that a stage needs
"""

from __future__ import annotations

from stageflow import StageError, StageflowError


class MemoryStoreError(StageflowError):
    """The conversation memory cannot be opened, read or written. `location` says where it is."""

    code = "memory-store"

    def __init__(self, message: str, *, location: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.location = location


class MissingPortError(StageError):
    """The run was not given something that a stage needs: its `ports` have no such attribute."""

    code = "missing-port"

    def __init__(self, stage: str, port: str, *, kind: str) -> None:
        super().__init__(
            f"Stage '{stage}' needs {kind} as the port '{port}', which this run was not given.",
            stage=stage,
            hint=f"Start the run with ports=... whose attribute '{port}' is one.",
        )
        self.port = port
