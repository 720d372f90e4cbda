"""What a run holds is let go of when it ends."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from stageflow import Pipeline, StageContext, Stream, stage
from stageflow.core.stream import Source
from stageflow.execution.streams import RunStreams


class Client:
    """A live object, as ports hold them."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Only references that end free anything."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
async def test_results_do_not_keep_the_run() -> None:
    """Results that are kept hold what the stages returned, not the ports that they were given, and form no cycle."""

    async def reply(ctx: StageContext) -> dict[str, bool]:
        return {"connected": isinstance(ctx.ports, Client)}

    graph = Pipeline("chat").with_stage("reply", reply).build()
    client = Client()
    freed = weakref.ref(client)
    results = await graph.run(ports=client)
    assert results.data("reply") == {"connected": True}
    assert results.record("reply").started_at is not None
    del client
    assert freed() is None


async def to_the_end(llm: Stream[int]) -> None:
    """Read all chunks."""
    async for _ in llm:
        pass


async def first_only(llm: Stream[int]) -> None:
    """Leave early."""
    await anext(llm)


async def failing(llm: Stream[int]) -> None:
    """Fail in the midst of it."""
    await anext(llm)
    raise ValueError


@pytest.mark.parametrize("reader", [to_the_end, first_only, failing])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("how", ["whole", "broken", "cancelled"])
@pytest.mark.usefixtures("no_collector")
async def test_streams_do_not_keep_the_run(reader: Callable[..., Awaitable[None]], how: str, *, watched: bool) -> None:
    """However it ends, neither results nor an error nor a stream that is kept keep it, nor does a cycle."""

    async def llm() -> AsyncIterator[int]:
        for chunk in range(30):
            yield chunk
        await asyncio.sleep(0)
        if how == "broken":
            raise LookupError
        if how == "cancelled":
            await asyncio.Event().wait()

    pipeline = Pipeline("chat", [stage("llm", llm), stage("reader", reader, critical=False)], on_failure="continue")
    client = Client()
    freed = [weakref.ref(client)]
    run = pipeline.start(ports=client)
    freed.append(weakref.ref(run))
    stream = run.stream("llm") if watched else None
    if stream is not None:
        await anext(stream)
        await stream.aclose()
    if how == "cancelled":
        for _ in range(9):
            await asyncio.sleep(0)
        run.cancel()
    results = await run.outcome()
    assert results.record("llm").statistics["stream"]["sent"] > 0
    _ = run._task.exception()
    del run, client
    await asyncio.sleep(0)
    assert [ref() for ref in freed] == [None, None]
    del results


def parts_of_streams() -> list[object]:
    """Return all that is there of what runs make for their streams."""
    return [one for one in gc.get_objects() if type(one) in (Source, Stream, RunStreams)]


@pytest.mark.usefixtures("no_collector")
async def test_streams_leave_no_garbage() -> None:
    """What a run with streams was made of is gone with it, without the collector."""

    async def llm() -> AsyncIterator[int]:
        yield 1

    graph = Pipeline("chat", [stage("llm", llm), stage("reader", to_the_end)]).build()
    await graph.run()
    gc.collect()
    before = parts_of_streams()  # which other tests may have left somewhere
    await graph.run()
    left = [type(one).__name__ for one in parts_of_streams() if not any(one is other for other in before)]
    assert left == []
