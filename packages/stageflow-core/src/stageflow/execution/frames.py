"""Frames of ours behind an error that a stage ended with: they hold the run, which is to end before the error does.

A traceback refers to each frame that the error went through, and a frame to its local variables. From Python 3.12 on
the frame of a coroutine also keeps the one that awaited it last, in the traceback or not. So our frames are taken off
the traceback when a stage raises; and when the run has ended, those that are still behind its errors are emptied.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, cast

from stageflow.errors import StageflowError


def forget_our_frames(error: BaseException) -> None:
    """Take our frames off an error and what led to it: they would keep the whole run alive, and tell the user nothing.

    An error that is raised on purpose by our own code may lose all of them; another one shows where we are wrong.
    """
    for one in _with_what_led_to([error]):
        trace, expected = one.__traceback__, isinstance(one, StageflowError)
        while trace is not None and (expected or trace.tb_next is not None) and _is_ours(trace.tb_frame):
            trace = trace.tb_next
        one.__traceback__ = trace


def empty_our_frames(errors: Iterable[BaseException]) -> None:
    """Empty the frames of ours that are behind the errors of a run that has ended.

    Those that have ended, too, which may be another run's: one error may have been raised in several. One that still
    waits for something has to be let be, since to clear its frame is to close its coroutine, up to Python 3.12.
    """
    seen = set[int]()
    for one in _with_what_led_to(errors):
        trace: TracebackType | None = one.__traceback__
        while trace is not None:
            frame: FrameType | None = trace.tb_frame
            while frame is not None and id(frame) not in seen:
                seen.add(id(frame))
                before = frame.f_back
                if _is_ours(frame) and _has_ended(frame):
                    frame.clear()
                frame = before
            trace = trace.tb_next


def _with_what_led_to(errors: Iterable[BaseException]) -> Iterator[BaseException]:
    left: list[BaseException | None] = [*errors]
    seen = set[int]()
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        left += (one.__cause__, one.__context__)
        if isinstance(one, BaseExceptionGroup):
            left += cast("BaseExceptionGroup[Any]", one).exceptions


def _is_ours(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").startswith(("stageflow.execution.", "stageflow.interceptors."))


def _has_ended(frame: FrameType) -> bool:
    # Only then it owns what it is made of, its code for one, and tells the collector. Until then its coroutine does.
    return any(one is frame.f_code for one in gc.get_referents(frame))
