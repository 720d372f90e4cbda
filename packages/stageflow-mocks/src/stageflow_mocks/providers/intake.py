"""What comes in while something goes out: the pieces of a request, as a connection would take them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import Any, TypeVar, cast

from stageflow_mocks.providers.calls import LiveCall
from stageflow_mocks.wording import shown

__tracebackhide__ = True  # pytest shows who asked, and not how it is answered

T = TypeVar("T", str, bytes)

_MOST_WAITING = 100
"""How many pieces may be there that nobody has looked at; who sends more waits then, as with a connection."""


async def taken_in(content: T | AsyncIterable[T], read: Callable[[Any], T], call: LiveCall) -> AsyncGenerator[T]:
    """Yield the pieces of what is asked, in the order in which they come, and record them.

    They are taken in a task of their own, which ends with this: a microphone keeps its pace while the mock takes its
    time, and however slow those are who read what is heard.

    Args:
        content: What is asked, as one or in pieces.
        read: Returns a piece as it is recorded, or raises a TypeError if it is none.
        call: Which asks it.

    Raises:
        Exception: What the source raises, or `read`, after the pieces before it.
    """
    pieces = call.record.pieces
    if not isinstance(content, AsyncIterable):
        pieces.append(content)
        yield content
        return
    there, room = asyncio.Queue[T | None](), asyncio.Semaphore(_MOST_WAITING)

    async def take() -> None:
        async for given in content:
            pieces.append(read(given))
            await room.acquire()
            there.put_nowait(pieces[-1])

    taking = asyncio.create_task(take(), name=f"{call.request_id} takes in what it is asked")
    taking.add_done_callback(lambda _: there.put_nowait(None))
    try:
        while (piece := await there.get()) is not None:
            room.release()
            yield piece
        await taking
    finally:
        if not taking.done():  # or nothing is waited for: when its loop ends, all generators are closed at once
            taking.cancel()
            await asyncio.wait([taking])
        if not taking.cancelled():
            taking.exception()  # which has been raised above, or comes from what nobody wants any more


def text_piece(given: Any) -> str:
    """Return a piece of a text."""
    if not isinstance(given, str):
        raise TypeError(f"A piece of the text of a TTSRequest is a string, not {shown(given)}.")
    return given


def audio_piece(given: Any) -> bytes:
    """Return a piece of a recording, as it is now if it may change."""
    if not isinstance(given, bytes | bytearray | memoryview):
        raise TypeError(f"A piece of the audio of an STTRequest is bytes, not {shown(given)}.")
    return bytes(cast("bytes", given))
