"""How a stage that streams, or reads a stream, is run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

from stageflow.core.context import RunScope, StageScope
from stageflow.core.inputs import Stored
from stageflow.core.output import StageOutput, ToOutput
from stageflow.core.stream import Source
from stageflow.core.timer import HOLD_NS
from stageflow.errors import NotCopyableError, StageReturnTypeError
from stageflow.execution.plan import Invoke, Management, PlanNode

CHECKED_EVERY = 16
"""After how many chunks that is looked at: most stages wait for something, which nobody here can see, before each."""


def joined(start: Invoke) -> Invoke:
    """Return what starts a stage that is joined to others by streams: those that read it start when it does."""

    def invoke(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Awaitable[Any]:
        scope.streams.start(node.index)
        return start(scope, outputs, node)

    return invoke


def gathering(start: Invoke, management: Management) -> Invoke:
    """Return what starts a stage joined to others by streams, some of which take permits."""
    group, holding = management.gathers, management.holding

    async def invoke(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Any:
        if group is not None:
            await scope.streams.permits.take(scope, group)
        own = StageScope(scope)
        own.holding = holding
        scope.streams.start(node.index)
        if group is not None and node.stream is None:
            scope.streams.release(node.index)  # it may be the first to start, and the others wait for a place
        return await start(own, outputs, node)

    return invoke


def driven(call: Invoke, management: Management) -> Invoke:
    """Return what starts an async generator, of what calls it, and draws all of its chunks."""

    def invoke(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Awaitable[Any]:
        return drive(scope, node, management, partial(call, scope, outputs, node))

    return invoke


async def drive(scope: RunScope, node: PlanNode, management: Management, start: Callable[[], Awaitable[Any]]) -> Any:
    """Draw every chunk from an async generator, and hand it to the readers.

    Returns:
        The output that it yielded as its last chunk, else how many chunks there were, as `{"count": n}`. One that was
        closed before it came to an output that it must end with, since it says of what type it is, is skipped.
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
    if last:
        return last[0]
    if source.abandoned and (management.contract is not None or management.routes):
        return StageOutput.skip("nobody reads its stream any more, so that it was closed before it came to its output")
    return {"count": source.sent - before}


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
    hold_until, unchecked = 0, CHECKED_EVERY  # so that its readers have its first chunk before it makes the next
    if source.abandoned:  # before it began
        return
    async for chunk in chunks:
        if last:
            what = "a chunk after its StageOutput, which ends it"
            raise StageReturnTypeError(stage, what, hint="Yield the StageOutput last.")
        if isinstance(chunk, StageOutput):
            last.append(cast("StageOutput[Any]", chunk))
            continue
        if isinstance(chunk, ToOutput):  # a guard's refusal must not pass by as one chunk among others
            last.append(chunk.to_stage_output())
            continue
        try:
            full = source.offer(chunk)
            if full is not None:
                await source.deliver(chunk, full)
                hold_until, unchecked = clock() + HOLD_NS, 0
        except NotCopyableError as error:
            what = f"a chunk that cannot be shared: {error.path} {error.why}"
            raise StageReturnTypeError(stage, what, hint=error.hint) from error
        if source.abandoned or source.ended:
            break
        unchecked += 1
        if unchecked > CHECKED_EVERY and clock() > hold_until:
            await asyncio.sleep(0)
            hold_until, unchecked = clock() + HOLD_NS, 0
