"""What goes wrong on the command line."""

from __future__ import annotations

from stageflow.errors.base import StageflowError


class CommandError(StageflowError):
    """A command cannot do what it was asked: an argument, a file or a module is not what it should be.

    The command line shows it as one line, and ends with exit code 2. Commands of other packages raise it, too.
    """

    code = "command"
