"""`run.stream(stage)`: chunks for whoever started the run."""

import asyncio
import gc

import pytest
from stageflow import (
    Pipeline,
    PipelineCancelled,
    PipelineSuspended,
    StageContext,
    StageExecutionError,
    StageOutput,
    StageStatus,
    Stream,
    StreamOptions,
    stage,
)
from stageflow.errors import NoStreamError, StreamBrokenError, TooLateError, UnknownStageError
from stageflow_mocks.simulation import simulated


def llm_of(*chunks, every=1.0, then=None, log=None):
    log = [] if log is None else log

    @stage(name="llm")
    async def llm(ctx: StageContext):
        try:
            for chunk in chunks:
                await asyncio.sleep(every)
                yield chunk
            await asyncio.sleep(every)
            if isinstance(then, BaseException):
                raise then
            if then is not None:
                yield then
        finally:
            log.append("clean")

    return llm


@stage
async def tts(llm: Stream[int]):
    """Read all there is."""
    return {"got": [chunk async for chunk in llm]}


@stage
async def whole(llm: dict):
    """Read the data."""
    return llm


async def until_broken(stream):
    """Read to the end; return the chunks, and why it broke."""
    got = []
    try:
        async for chunk in stream:
            got.append(chunk)  # noqa: PERF401 - a comprehension would lose them
    except StreamBrokenError as error:
        return got, error.why
    return got, None


@simulated
async def test_it_has_every_chunk():
    """By name or by handle, beside the stages that read, and each has a reader of its own."""
    llm = llm_of(1, 2, 3)
    run = Pipeline("p", [llm, tts]).start()
    first, second = run.stream("llm"), run.stream(llm)
    assert [chunk async for chunk in first] == [1, 2, 3]
    assert [chunk async for chunk in second] == [1, 2, 3]
    results = await run
    assert results.data("tts") == {"got": [1, 2, 3]}
    statistics = results.record("llm").statistics["stream"]
    assert list(statistics["readers"]) == ["tts", "run.stream", "run.stream#2"]
    assert tuple(statistics["readers"]["run.stream"].values())[:3] == (3, 3, 0)
    assert first.statistics()._asdict() == statistics["readers"]["run.stream"]


@simulated
async def test_it_can_be_asked_until_the_first_chunk():
    """Later the first chunks are gone, and the error says what to do."""
    run = Pipeline("p", [llm_of(1, 2)]).start()
    await asyncio.sleep(0.5)
    early = run.stream("llm")
    await asyncio.sleep(1)
    with pytest.raises(TooLateError, match=r"Stage 'llm' has begun to stream without this reader.*right after start"):
        run.stream("llm")
    assert [chunk async for chunk in early] == [1, 2]
    await run
    with pytest.raises(TooLateError):
        run.stream("llm")


@simulated
async def test_it_is_asked_of_a_stage_that_streams():
    """The errors name those that there are."""
    run = Pipeline("p", [llm_of(1), tts]).start()
    with pytest.raises(UnknownStageError, match="lm"):
        run.stream("lm")
    with pytest.raises(NoStreamError) as caught:
        run.stream("tts")
    assert caught.value.streaming == ("llm",)
    await run
    run = Pipeline("p", [plain]).start()
    with pytest.raises(NoStreamError) as caught:
        run.stream("plain")
    assert caught.value.streaming == ()
    await run


@stage
async def plain():
    """Do nothing."""


@pytest.mark.parametrize("how", ["break", "aclose", "forgotten", "cancelled", "raises"])
@simulated
async def test_a_reader_that_goes_away_closes_the_stage(how):
    """If it was the last one. Those that wait for its end run with what was sent."""
    log = []
    run = Pipeline("p", [llm_of(*range(100), log=log), whole]).start()

    async def watch():
        async for chunk in run.stream("llm"):
            if chunk == 1 and how == "break":
                break
            if chunk == 1 and how == "raises":
                raise LookupError

    if how in ("break", "raises"):
        watching = asyncio.create_task(watch())
        await asyncio.wait({watching})
        assert isinstance(watching.exception(), LookupError) is (how == "raises")
        watching = None
    elif how == "cancelled":
        watching = asyncio.create_task(watch())
        await asyncio.sleep(2.5)
        watching.cancel()
        await asyncio.wait({watching})
    else:
        stream = run.stream("llm")
        await anext(stream)
        await anext(stream)
        if how == "aclose":
            await stream.aclose()
            assert [chunk async for chunk in stream] == []
        del stream
    results = await run
    assert (results.data("whole"), log) == ({"count": 2}, ["clean"])
    assert asyncio.get_running_loop().time() == (2.5 if how == "cancelled" else 2.0)


@simulated
async def test_one_chunk_may_be_all_that_is_wanted():
    """The reader is there for as long as it is read from."""
    run = Pipeline("p", [llm_of(1, 2)]).start()
    assert await anext(run.stream("llm")) == 1
    assert (await run).data("llm") == {"count": 1}


@simulated
async def test_a_reader_that_goes_away_leaves_the_stage_to_others():
    """Nobody waits for it any more."""
    run = Pipeline("p", [llm_of(1, 2, 3, 4, every=0.0), tts]).start()
    async for _ in run.stream("llm"):
        break
    assert (await run).data("tts") == {"got": [1, 2, 3, 4]}


@simulated
async def test_a_reader_that_was_never_read_from_holds_nothing_up_once_it_is_gone():
    """The stage waits for it before."""
    narrow = stage("llm", llm_of(*range(9), every=0.0).runner, stream=StreamOptions(capacity=1))
    run = Pipeline("p", [narrow, tts]).start()
    stream = run.stream("llm")
    await asyncio.sleep(10)
    assert (run.done, stream.statistics().blocked_ms) == (False, 10000.0)
    del stream
    assert (await run).data("tts") == {"got": [*range(9)]}


@simulated
async def test_a_reader_in_a_circle_is_found_by_the_collector_in_the_stage_itself():
    """Wherever the collector runs, the stage is closed at once."""
    log = []

    class Watcher:
        """Holds itself."""

    @stage
    async def llm():
        try:
            yield 1
            gc.collect()
            await asyncio.sleep(1000)
        finally:
            log.append(asyncio.get_running_loop().time())

    gc.disable()
    try:
        run = Pipeline("p", [llm]).start()
        watcher = Watcher()
        watcher.me, watcher.stream = watcher, run.stream("llm")
        del watcher
        results = await run
    finally:
        gc.enable()
    assert (results.data("llm"), log) == ({"count": 1}, [0.0])


@simulated
async def test_nobody_joins_a_stage_that_is_being_closed():
    """It would see a whole stream without a chunk."""

    @stage
    async def llm():
        try:
            await asyncio.sleep(1000)
            yield 1
        finally:
            await asyncio.sleep(1)

    run = Pipeline("p", [llm]).start()
    stream = run.stream("llm")
    await asyncio.sleep(1)
    await stream.aclose()
    for _ in range(2):
        with pytest.raises(TooLateError):
            run.stream("llm")
        await asyncio.sleep(0.5)
    assert (await run).data("llm") == {"count": 0}


@pytest.mark.parametrize(
    "how", ["fails", "continue", "skips", "cancels", "run cancelled", "run timeout", "not started"]
)
@simulated
async def test_a_stream_that_is_not_whole_ends_with_an_error(how):
    """Never silently, whatever ended the stage; what had come is there before."""
    then = {"fails": ValueError("busy"), "continue": ValueError("busy"), "skips": StageOutput.skip("enough")}
    then["cancels"] = StageOutput.cancel("stop")
    run = Pipeline(
        "p",
        [llm_of(1, 2, then=then.get(how)), tts],
        on_failure="continue" if how == "continue" else "fail_fast",
        timeout=2.5 if how == "run timeout" else None,
    ).start()
    stream = run.stream("llm")
    if how == "not started":
        run.cancel("no")
    elif how == "run cancelled":
        asyncio.get_running_loop().call_later(2.5, run.cancel, "no")
    got, why = await asyncio.wait_for(until_broken(stream), 100)
    results = await run.outcome()
    assert got == ([] if how == "not started" else [1, 2])
    assert why.startswith(
        {"fails": "failed: ValueError", "continue": "failed: ValueError", "skips": "was skipped: enough"}.get(
            how, "was cancelled: "
        )
    )
    assert results.status == {
        "skips": "completed",
        "fails": "failed",
        "continue": "failed",
        "run timeout": "failed",
    }.get(how, "cancelled")


@simulated
async def test_a_stage_that_is_skipped_breaks_its_stream():
    """Its condition said no, or what it requires failed."""

    @stage(when=lambda inputs, snapshot: False)
    async def never():
        yield 1

    run = Pipeline("p", [never]).start()
    assert await until_broken(run.stream("never")) == ([], "was skipped: its `when` said no")
    await run


@simulated
async def test_what_is_buffered_can_be_read_after_the_run():
    """Whether it went well or not."""
    for then in (None, ValueError("busy")):
        run = Pipeline("p", [llm_of(1, 2, then=then)]).start()
        stream = run.stream("llm")
        results = await run.outcome()
        readers = results.record("llm").statistics["stream"]["readers"]
        assert tuple(readers["run.stream"].values())[:3] == (2, 0, 0)
        assert await until_broken(stream) == ([1, 2], None if then is None else "failed: ValueError: busy")
        assert stream.statistics().received == 2


@simulated
async def test_a_watcher_is_no_member_of_the_run():
    """What it raises is its own affair, and its stage goes on for the others."""
    run = Pipeline("p", [llm_of(1, 2), tts]).start()

    async def watch():
        async for _ in run.stream("llm"):
            raise LookupError

    with pytest.raises(LookupError):
        await watch()
    assert (await run).data("tts") == {"got": [1, 2]}


@simulated
async def test_a_resumed_run_has_no_chunks_of_a_stage_that_was_done():
    """It does not run again, and to ask for its stream says so; others stream."""

    @stage
    async def ask(ctx: StageContext):
        return StageOutput.suspend("sure?") if ctx.decision is None else {"sure": ctx.decision}

    @stage
    async def later(ask: dict):
        yield ask["sure"]

    @stage
    async def reader(later: Stream[bool]):
        return {"got": [chunk async for chunk in later]}

    graph = Pipeline("p", [llm_of(1), tts, ask, later, reader]).build()
    with pytest.raises(PipelineSuspended) as caught:
        await graph.run()
    results = caught.value.results
    first = graph.start()
    assert await until_broken(first.stream("later")) == ([], "waits for a decision: waits for 'ask'")
    await first.outcome()
    assert first._task.exception() is not None
    assert [results[name].status for name in ("llm", "later", "reader")] == [
        StageStatus.OK,
        StageStatus.SUSPEND,
        StageStatus.SUSPEND,
    ]
    run = graph.start(resume=results, decisions={"ask": True})
    with pytest.raises(TooLateError):
        run.stream("llm")
    stream = run.stream("later")
    assert [chunk async for chunk in stream] == [True]
    results = await run
    assert (results.data("reader"), results.data("tts")) == ({"got": [True]}, {"got": [1]})


@simulated
async def test_a_run_that_fails_for_another_reason_tells_its_watchers():
    """The cause is that of the stage whose stream it is."""

    @stage
    async def other():
        await asyncio.sleep(1.5)
        raise ValueError("x")

    run = Pipeline("p", [llm_of(1, 2), other]).start()
    assert await until_broken(run.stream("llm")) == ([1], "was cancelled: stage 'other' failed")
    with pytest.raises(StageExecutionError):
        await run


@simulated
async def test_a_caller_that_is_cancelled_tells_its_watchers():
    """Before the run's first step, too."""
    for seconds in (0, 1.5):
        run = Pipeline("p", [llm_of(1, 2)]).start()
        reading = asyncio.create_task(until_broken(run.stream("llm")))
        waiting = run._task
        if seconds:
            await asyncio.sleep(seconds)
        waiting.cancel()
        await asyncio.wait({waiting})
        got, why = await asyncio.wait_for(reading, 10)
        assert (got, why) == ([1] if seconds else [], "was cancelled: the caller was cancelled")


@simulated
async def test_cancelling_a_run_reaches_its_streams_through_the_caller():
    """`await run` raises what it always does."""
    run = Pipeline("p", [llm_of(1, 2)]).start()
    stream = run.stream("llm")
    await anext(stream)
    run.cancel("enough")
    with pytest.raises(PipelineCancelled, match="enough"):
        await run
    assert await until_broken(stream) == ([], "was cancelled: enough")
