"""Where a task waits: the innermost line of the program, and not of what awaits it there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import stageflow

_NOT_THE_PROGRAM = tuple(
    str(Path(file).parent) for file in (asyncio.__file__, stageflow.__file__, str(Path(__file__).parent))
)


def name_and_place(task: asyncio.Task[Any]) -> str:
    """Return the name of a task, and the line of the program where it waits, if it has come to one."""
    places = [frame for frame in _frames(task.get_coro()) if not frame.f_code.co_filename.startswith(_NOT_THE_PROGRAM)]
    if not places:
        return task.get_name()
    code = places[-1].f_code
    return f"{task.get_name()} at {Path(code.co_filename).name}:{places[-1].f_lineno} in {code.co_name}"


def _frames(awaited: Any) -> Iterator[FrameType]:
    """Follow what is awaited from the outside in, as far as it tells."""
    while awaited is not None:
        kind = next((kind for kind in ("cr", "gi", "ag") if hasattr(awaited, f"{kind}_frame")), None)
        if kind is None:
            return
        frame = getattr(awaited, f"{kind}_frame")
        if frame is not None:
            yield frame
        awaited = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
