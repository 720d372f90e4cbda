"""Tracebacks of what fails in simulated time, without the event loop, which says nothing about it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType

_THE_LOOP = (str(Path(asyncio.__file__).parent), str(Path(__file__).parent))


def leave_out_the_loop(traceback: TracebackType | None, *also: str) -> None:
    """Let what follows the first entry begin with the test.

    Args:
        traceback: The first entry is whoever ran the test, and stays.
        also: Files, or folders, that are left out as the loop is.
    """
    inner = traceback and traceback.tb_next
    while inner is not None and inner.tb_frame.f_code.co_filename.startswith((*_THE_LOOP, *also)):
        inner = inner.tb_next
    if traceback is not None:
        traceback.tb_next = inner
