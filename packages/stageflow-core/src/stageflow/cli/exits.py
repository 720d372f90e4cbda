"""How a command ends."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Generator
from typing import NoReturn

OK = 0
FAILED = 1
"""The run failed, lint has found something, or doctor has."""
USAGE = 2
"""The command was not called as it should be, or what it was given is not what it should be."""
SUSPENDED = 3
CANCELLED = 4
"""A stage ended the run by `cancel()`."""
BROKEN = 70
"""The command itself failed: a defect, of ours or of the package that it comes from."""
PIPE_CLOSED = 141
INTERRUPTED = 130


def by_signal(number: int) -> int:
    """Return the exit code of what a signal ended, as shells have it."""
    return 128 + number


@contextlib.contextmanager
def left_by_signals() -> Generator[None]:
    """Within the block Ctrl-C and SIGTERM leave at once, unless somebody else takes them."""
    before = {}
    with contextlib.suppress(ValueError):  # in another thread than the first one no signal arrives
        before = {
            each: signal.signal(each, lambda number, _: leave_now(by_signal(number)))
            for each in (signal.SIGINT, signal.SIGTERM)
        }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_now(code: int) -> NoReturn:
    """End the process without waiting for anything that it has started: threads, tasks, exit handlers."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # whoever read it has gone, which is no reason to stay
            continue
    os._exit(code)
