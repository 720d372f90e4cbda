"""The command `stageflow`. What stands in here is loaded by each call of it, so it is little.

Each command is a module with a docstring, `configure(parser)` and `run(options)` (see `calling`), imported when it is
called. Commands of other packages have the same shape, and are found by the entry-point group `stageflow.cli`.
"""

from stageflow.cli.entry import main

__all__ = ["main"]
