"""How a stage that streams, or reads a stream, is run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, cast

from stageflow.core.context import RunScope
from stageflow.core.inputs import Stored
from stageflow.core.output import StageOutput
from stageflow.core.stream import Source
from stageflow.errors import NotCopyableError, StageReturnTypeError
from stageflow.execution.plan import Invoke, PlanNode

HOLD_NS = 1_000_000
"""How long a stage may yield chunks without letting the event loop do anything else, in nanoseconds."""


def joined(start: Invoke) -> Invoke:
    """Return what starts a stage that is joined to others by streams: those that read it start when it does."""

    async def invoke(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Any:
        scope.streams.start(node.index)
        return await start(scope, outputs, node)

    return invoke


async def drive(scope: RunScope, node: PlanNode, start: Callable[[], Awaitable[Any]]) -> Any:
    """Draw every chunk from an async generator, and hand it to the readers.

    Returns:
        The output that it yielded as its last chunk, else how many chunks there were, as `{"count": n}`.
    """
    streams, source = scope.streams, cast("Source", scope.streams.source(node.index))
    chunks = cast("AsyncGenerator[Any, None]", start())
    task = asyncio.current_task()
    assert task is not None
    streams.drivers[node.index] = task
    before = source.sent
    last: list[StageOutput[Any]] = []
    try:
        await _draw(scope, node.name, source, chunks, last)
    except asyncio.CancelledError:
        if node.index not in streams.closing or task.cancelling() > 1 or scope.stopping is not None:
            raise
    finally:
        del streams.drivers[node.index]
        if node.index in streams.closing:
            streams.closing.discard(node.index)
            task.uncancel()
        await _close(streams, node.index, chunks)
    return last[0] if last else {"count": source.sent - before}


async def _close(streams: Any, index: int, chunks: AsyncGenerator[Any, None]) -> None:
    """Run what is left of the `finally` blocks of a generator, which nobody is to cut short."""
    streams.cleaning.add(index)
    try:
        await chunks.aclose()
    except BaseExceptionGroup as group:
        if group.split(GeneratorExit)[1] is not None:
            raise  # else a TaskGroup around a `yield` took its being closed for a failure
    finally:
        streams.cleaning.discard(index)


async def _draw(
    scope: RunScope, stage: str, source: Source, chunks: AsyncGenerator[Any, None], last: list[StageOutput[Any]]
) -> None:
    """Hand every chunk to the readers; what comes as a StageOutput goes into `last`, also if this is cancelled then."""
    clock = scope.timer.clock
    hold_until = clock() + HOLD_NS
    if source.abandoned:  # before it began
        return
    async for chunk in chunks:
        if last:
            what = "a chunk after its StageOutput, which ends it"
            raise StageReturnTypeError(stage, what, hint="Yield the StageOutput last.")
        if isinstance(chunk, StageOutput):
            last.append(cast("StageOutput[Any]", chunk))
            continue
        try:
            full = source.offer(chunk)
            if full is not None:
                await source.deliver(chunk, full)
                hold_until = clock() + HOLD_NS
        except NotCopyableError as error:
            what = f"a chunk that cannot be shared: {error.path} {error.why}"
            raise StageReturnTypeError(stage, what, hint=error.hint) from error
        if source.abandoned or source.ended:
            break
        if clock() > hold_until:
            await asyncio.sleep(0)
            hold_until = clock() + HOLD_NS
