"""Comments in a silent stream, so that no proxy takes it for dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from stageflow.projector import sse_comment


async def kept_alive(frames: AsyncIterator[str], *, every_s: float) -> AsyncGenerator[str]:
    """Yield the frames, and a comment whenever there has been none for so long."""
    coming: asyncio.Future[str] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(frames))
            await asyncio.wait({coming}, timeout=every_s)
            if not coming.done():
                yield sse_comment("still here")
                continue
            try:
                frame = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            yield frame
    finally:
        if coming is not None and coming.cancel():
            await asyncio.wait({coming})
        if isinstance(frames, AsyncGenerator):
            await frames.aclose()
