"""Tasks that wait for a chunk, and are cancelled."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from stageflow.core.stream import Source, Stream, StreamOptions
from stageflow_mocks.simulation import simulated


def _joined() -> tuple[Source, Stream[Any]]:
    source = Source(0, "llm", StreamOptions(), asyncio.get_running_loop(), time.monotonic_ns, SimpleNamespace())
    stream = Stream[Any](source, "reader", required=True)
    source.readers.append(stream)
    return source, stream


@pytest.mark.parametrize("comes", ["chunk", "end", "nothing"])
def test_cancelled_while_it_waits(comes: str) -> None:
    """A reader that is cancelled, and to which a chunk or the end comes in the same turn, ends by its cancellation."""

    @simulated
    async def cancel() -> None:
        source, stream = _joined()
        reader = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(1)
        reader.cancel()
        if comes == "chunk":
            source.offer("a")
        elif comes == "end":
            source.end()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert stream.pending == (comes == "chunk")
        if comes == "nothing":  # and it is no longer waited for: what comes next is for the next who asks
            source.offer("a")
            assert await anext(stream) == "a"

    cancel()


@simulated
async def test_chunk_goes_to_another_task() -> None:
    """A chunk that woke a task which is then cancelled goes to another one that reads the same stream."""
    source, stream = _joined()
    first, second = asyncio.ensure_future(anext(stream)), asyncio.ensure_future(anext(stream))
    await asyncio.sleep(1)
    source.offer("a")
    first.cancel()
    assert await second == "a"
    assert first.cancelled()
