"""How a stage that streams, or reads a stream, is run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

from stageflow.core.context import RunScope, StageScope
from stageflow.core.inputs import Stored
from stageflow.core.output import StageOutput
from stageflow.core.stream import Source
from stageflow.errors import NotCopyableError, StageReturnTypeError
from stageflow.execution.plan import Invoke, Management, PlanNode

HOLD_NS = 1_000_000
"""How long a stage may yield chunks without letting the event loop do anything else, in nanoseconds."""


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
        return await start(own, outputs, node)

    return invoke


def driven(call: Invoke) -> Invoke:
    """Return what starts an async generator, of what calls it, and draws all of its chunks."""

    def invoke(scope: RunScope, outputs: Sequence[Stored], node: PlanNode) -> Awaitable[Any]:
        return drive(scope, node, partial(call, scope, outputs, node))

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
    output: StageOutput[Any] | None = None
    try:
        output = await _draw(scope, node.name, source, chunks)
    except asyncio.CancelledError:
        if node.index not in streams.closing or task.cancelling() > 1 or scope.stopping is not None:
            raise
    finally:
        del streams.drivers[node.index]
        if node.index in streams.closing:
            task.uncancel()
        await chunks.aclose()
    return {"count": source.sent - before} if output is None else output


async def _draw(
    scope: RunScope, stage: str, source: Source, chunks: AsyncGenerator[Any, None]
) -> StageOutput[Any] | None:
    output: StageOutput[Any] | None = None
    clock = scope.timer.clock
    hold_until = 0  # so that its readers have its first chunk before it makes the next
    if source.abandoned:  # before it began
        return None
    async for chunk in chunks:
        if output is not None:
            what = "a chunk after its StageOutput, which ends it"
            raise StageReturnTypeError(stage, what, hint="Yield the StageOutput last.")
        if isinstance(chunk, StageOutput):
            output = cast("StageOutput[Any]", chunk)
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
    return output
