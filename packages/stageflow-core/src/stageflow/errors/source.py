"""What goes wrong with source code that is looked at."""

from __future__ import annotations

from stageflow.errors.base import StageflowError


class UnreadableSourceError(StageflowError):
    """A file cannot be linted: it is not there, is no text, or is no Python.

    Attributes:
        path: The file, folder or module.
        line: Where, if that is known.
    """

    code = "unreadable-source"

    def __init__(self, path: str, problem: str, *, line: int | None = None, hint: str | None = None) -> None:
        where = path if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {problem}.", hint=hint)
        self.path = path
        self.line = line


class NoPipelineError(StageflowError):
    """What was named as a pipeline, `module:attribute`, is none.

    Attributes:
        target: What was named.
    """

    code = "no-pipeline"

    def __init__(self, target: str, problem: str, *, hint: str | None = None) -> None:
        super().__init__(f"{target} is no pipeline: {problem}.", hint=hint)
        self.target = target
