"""Faults done to a stream of a provider: on the way from it to its reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from stageflow.providers import closing_stream

from stageflow_mocks.faults.answers import bare, ends_answer
from stageflow_mocks.faults.await_points import CancelAt
from stageflow_mocks.faults.striking import Strike

Open = Callable[[], AsyncIterator[Any]]
"""Opens the stream of what is further in."""


def strike_stream(strike: Strike, open_stream: Open) -> AsyncIterator[Any]:
    """Return the stream with this fault. It is closed when what is returned is, and opened when that is read."""
    return _FAULTS[strike.rule.fault](strike, open_stream)


async def _latency(strike: Strike, open_stream: Open) -> AsyncGenerator[Any]:
    strike.struck()
    await asyncio.sleep(strike.seconds)
    async with closing_stream(open_stream()) as chunks:
        async for chunk in chunks:
            yield chunk


async def _error(strike: Strike, _: Open) -> AsyncGenerator[Any]:
    strike.struck()
    raise strike.error()
    yield  # which makes it a generator


async def _hang(strike: Strike, open_stream: Open) -> AsyncGenerator[Any]:
    async with _first(strike, open_stream) as chunks:
        async for chunk in chunks:
            yield chunk
        strike.struck()
        await asyncio.get_running_loop().create_future()  # with what was opened still open


async def _partial_write(strike: Strike, open_stream: Open) -> AsyncGenerator[Any]:
    async with _first(strike, open_stream) as chunks:
        async for chunk in chunks:
            yield chunk
    strike.struck()
    raise strike.error()


@asynccontextmanager
async def _first(strike: Strike, open_stream: Open) -> AsyncGenerator[AsyncIterator[Any]]:
    """Give as many chunks as the fault lets through; the provider is not asked if these are none."""
    most = cast("int", strike.rule.after_chunks)
    if not most:
        yield _no_chunks()
        return
    async with closing_stream(open_stream()) as chunks:
        yield _until(chunks, most)


async def _until(chunks: AsyncIterator[Any], most: int) -> AsyncGenerator[Any]:
    for _ in range(most):
        try:
            chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        yield chunk


async def _no_chunks() -> AsyncGenerator[Any]:
    return
    yield  # which makes it a generator


async def _truncated(strike: Strike, open_stream: Open) -> AsyncGenerator[Any]:
    left = cast("int", strike.rule.after_chunks)
    async with closing_stream(open_stream()) as chunks:
        async for chunk in chunks:
            if not left:
                strike.struck()
                return
            left -= 1
            yield chunk


async def _wrong_type(strike: Strike, open_stream: Open) -> AsyncGenerator[Any]:
    async with closing_stream(open_stream()) as chunks:
        async for chunk in chunks:
            strike.struck()
            yield bare(chunk)


async def _duplicated(strike: Strike, open_stream: Open) -> AsyncGenerator[Any]:
    async with closing_stream(open_stream()) as chunks:
        async for chunk in chunks:
            yield chunk
            if not ends_answer(chunk):
                strike.struck()
                yield chunk


async def _reordered(strike: Strike, open_stream: Open) -> AsyncGenerator[Any]:
    held: list[Any] = []
    async with closing_stream(open_stream()) as chunks:
        async for chunk in chunks:
            if ends_answer(chunk):
                held.append(chunk)  # nothing overtakes it: it would be another fault
            elif not held:
                held.append(chunk)
                continue
            else:
                strike.struck()
                held.insert(0, chunk)
            while held:
                yield held.pop(0)
        for chunk in held:
            yield chunk


async def _cancel(strike: Strike, open_stream: Open) -> AsyncGenerator[Any]:
    cancel = CancelAt(cast("int", strike.rule.at_await), strike.struck)
    async with closing_stream(open_stream()) as chunks:
        while True:
            try:
                chunk = await cancel.of(anext(chunks))
            except StopAsyncIteration:
                return
            yield chunk


_FAULTS: Mapping[str, Callable[[Strike, Open], AsyncIterator[Any]]] = {
    "latency": _latency,
    "error": _error,
    "hang": _hang,
    "wrong_type": _wrong_type,
    "truncated": _truncated,
    "duplicated": _duplicated,
    "reordered": _reordered,
    "partial_write": _partial_write,
    "cancel": _cancel,
}
