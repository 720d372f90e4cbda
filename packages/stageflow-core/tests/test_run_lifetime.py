"""What a run holds is let go of when it ends."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from stageflow import (
    BaseInterceptor,
    InterceptorContext,
    Pipeline,
    PipelineValidationError,
    RetryPolicy,
    StageContext,
    StageExecutionError,
    StageSpec,
    Stream,
    stage,
)
from stageflow.core.stream import Source
from stageflow.execution.streams import RunStreams
from stageflow_mocks import simulation


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


async def fails() -> None:
    """Fail, in the second turn of the event loop."""
    await asyncio.sleep(0)
    raise ValueError


async def fails_from() -> None:
    """Fail because of an error that is Stageflow's."""
    try:
        Pipeline("without stages").build()
    except PipelineValidationError as error:
        raise LookupError from error


async def fails_in_task() -> None:
    """Fail in a task of its own."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fails())


async def hangs() -> None:
    """Take too long."""
    await asyncio.Event().wait()


async def fails_on_item(ctx: StageContext) -> None:
    """Fail, and let go of the context, which this frame would keep."""
    item = ctx.item
    del ctx
    await asyncio.sleep(0)
    raise ValueError(item)


class Watching(BaseInterceptor):
    """Has a hook before the stage."""

    async def before(self, ctx: InterceptorContext) -> None:
        """Do nothing."""


AGAIN = RetryPolicy(max_attempts=2, base_delay=0, retry_on=ValueError)


@pytest.mark.parametrize("interceptors", [(), (Watching(),)], ids=["bare", "intercepted"])
@pytest.mark.parametrize(
    "failing",
    [
        stage("a", fails),
        stage("a", fails_from),
        stage("a", fails_in_task),
        stage("a", fails, retry=AGAIN),
        stage("a", fails, timeout=60),
        stage("a", hangs, timeout=1),
        stage("a", fails, deadline=60, retry=AGAIN),
        stage("a", hangs, deadline=1),
        stage("a", fails_on_item, map_over=("first", "items")),
    ],
    ids=["fails", "from", "task", "retry", "timeout", "timed_out", "deadline", "too_late", "map"],
)
def test_an_error_does_not_keep_the_run(failing: StageSpec[None], interceptors: tuple[BaseInterceptor, ...]) -> None:
    """Neither results nor an error keep it, nor does a cycle: no frame of Stageflow is left with them."""

    async def first() -> dict[str, list[int]]:
        return {"items": [1, 2]}

    pipeline = Pipeline("chat", [stage("first", first), failing], interceptors=interceptors)

    async def main() -> None:
        client = Client()
        freed = weakref.ref(client)
        error = None
        try:
            await pipeline.run(ports=client)
        except StageExecutionError as raised:
            error = raised
        del client
        await asyncio.sleep(0)
        assert error is not None
        assert error.results["a"].error is not None
        assert freed() is None

    gc.collect()
    gc.disable()
    try:
        simulation.run(main())
    finally:
        gc.enable()


@simulation.simulated
async def test_a_run_that_goes_on_is_let_be() -> None:
    """One error may be raised in several runs: what ends with the first of them is not what the second still does."""
    shared = ValueError("of both")

    async def dies() -> None:
        raise shared

    async def lives() -> dict[str, bool]:
        await asyncio.sleep(2)
        return {"ended": True}

    failing = stage("a", dies, critical=False)
    longer = Pipeline("longer", [failing, stage("b", lives, optional=("a",))]).start()
    await asyncio.sleep(1)
    shorter = await Pipeline("shorter", [failing]).start().outcome()
    assert shorter["a"].error is not None
    assert shorter["a"].error.exception is shared
    assert (await longer).data("b") == {"ended": True}


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
