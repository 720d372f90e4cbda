"""How whoever reads a provider's stream lets go of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


@asynccontextmanager
async def closing_stream(stream: AsyncIterator[T]) -> AsyncGenerator[AsyncIterator[T]]:
    """Read a provider's stream within this, and it is closed however that ends, which ends the request.

        async with closing_stream(ctx.ports.tts.stream(request)) as sounds:
            async for sound in sounds:
                yield sound

    `contextlib.aclosing` wants an `aclose`; a provider may return an async iterator without one, and is left as it is.

    Args:
        stream: What `stream` of a provider returned.
    """
    try:
        yield stream
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
