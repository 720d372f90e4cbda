"""One stage that streams: what it may yield, its attempts, limits, interceptors, and how long it holds the loop."""

import asyncio
import threading
from contextvars import ContextVar

import pytest
from stageflow import (
    BaseInterceptor,
    ErrorAction,
    InterceptorResult,
    Pipeline,
    PipelineTimeoutError,
    RetryPolicy,
    StageArtifact,
    StageContext,
    StageOutput,
    StageReturnTypeError,
    StageStatus,
    StageTimeoutError,
    Stream,
    StreamOptions,
    TimeoutInterceptor,
    stage,
)
from stageflow.errors import StreamBrokenError, StreamFullError, StreamSuspendedError
from stageflow_mocks.simulation import simulated

OK, SKIP, CANCEL, FAIL = StageStatus.OK, StageStatus.SKIP, StageStatus.CANCEL, StageStatus.FAIL


def policy(*retry_on, attempts=3):
    return RetryPolicy(attempts, 1.0, 1.0, jitter=False, retry_on=retry_on)


def now():
    return asyncio.get_running_loop().time()


async def tts(llm: Stream[int]):
    """Read all there is."""
    return {"got": [chunk async for chunk in llm]}


async def outcome(*stages, sink=None, **options):
    results = await Pipeline("p", stages, **options).start(event_sink=sink).outcome()
    assert len(asyncio.all_tasks()) == 1  # nothing outlives the run
    return results


def statuses(results):
    return [results[name].status for name in results]


def error_of(results, name="llm"):
    return results[name].error.exception


def notes(error):
    return getattr(error, "__notes__", [])


# --- what it yields ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [None, 0, "", b"", {}, [], False], ids=repr)
@simulated
async def test_every_chunk_is_a_chunk(last):
    """Also what is false."""

    async def llm(ctx: StageContext):
        yield last
        yield last

    results = await outcome(stage("llm", llm), stage("tts", tts))
    assert (results.data("tts"), results.data("llm")) == ({"got": [last, last]}, {"count": 2})


@pytest.mark.parametrize(
    ("last", "status", "reader"),
    [
        (StageOutput.ok(text="a"), OK, OK),
        (StageOutput.skip("enough"), SKIP, SKIP),
        (StageOutput.fail("busy"), FAIL, SKIP),
        (StageOutput.retry("busy"), FAIL, SKIP),
        (StageOutput.suspend({"ask": 1}), FAIL, SKIP),
    ],
    ids=["ok", "skip", "fail", "retry", "suspend"],
)
@simulated
async def test_an_output_that_is_yielded_last_is_as_if_returned(last, status, reader):
    """It is no chunk."""

    async def llm(ctx: StageContext):
        yield 1
        await asyncio.sleep(1)
        yield last

    results = await outcome(stage("llm", llm), stage("tts", tts), on_failure="continue")
    assert statuses(results) == [status, reader]
    assert results.record("llm").statistics["stream"]["sent"] == 1
    if status is OK:
        assert (results.data("llm"), results.data("tts")) == ({"text": "a"}, {"got": [1]})


@simulated
async def test_an_output_that_is_yielded_is_published_like_one_that_is_returned(recorder):
    """Its artifacts, and the stage's version; the count has that, too."""

    async def llm(ctx: StageContext):
        yield StageOutput.ok(text="a").publishing(StageArtifact("audio", {"bytes": 3}))

    async def counting(ctx: StageContext):
        yield 1

    results = await outcome(stage("llm", llm, version="2"), stage("counting", counting, version="3"), sink=recorder)
    assert (results["llm"].version, results["counting"].version) == ("2", "3")
    assert recorder.of("stage.llm.artifact")["stage"] == "llm"


@pytest.mark.parametrize("late", [1, StageOutput.ok()], ids=["chunk", "output"])
@simulated
async def test_a_chunk_after_the_output_fails_the_stage(late):
    """The generator is closed."""
    log = []

    async def llm(ctx: StageContext):
        try:
            yield StageOutput.ok()
            yield late
        finally:
            log.append("clean")

    results = await outcome(stage("llm", llm), on_failure="continue")
    assert isinstance(error_of(results), StageReturnTypeError)
    assert "a chunk after its StageOutput, which ends it. Yield the StageOutput last." in str(error_of(results))
    assert log == ["clean"]


@simulated
async def test_a_chunk_that_cannot_be_shared_fails_the_stage():
    """Somebody reads it; the error has the path."""
    log = []

    async def llm(ctx: StageContext):
        try:
            yield {"lock": threading.Lock()}
        finally:
            log.append("clean")

    results = await outcome(stage("llm", llm), stage("tts", tts))
    assert isinstance(error_of(results), StageReturnTypeError)
    assert "a chunk that cannot be shared: chunk['lock'] is" in str(error_of(results))
    assert log == ["clean"]


@simulated
async def test_a_full_buffer_fails_the_stage_if_it_says_so():
    """By the stage's own error, and its readers have what had been sent."""

    async def llm(ctx: StageContext):
        for chunk in range(5):
            yield chunk

    async def last(llm: Stream[int] | None = None):
        got = []
        try:
            while True:
                got.append(await anext(llm))
        except StreamBrokenError:
            return {"got": got}

    options = StreamOptions(capacity=2, on_full="error")
    results = await outcome(stage("llm", llm, stream=options), stage("last", last), on_failure="continue")
    assert isinstance(error_of(results), StreamFullError)
    assert (error_of(results).reader, results.data("last")) == ("last", {"got": [0, 1, 2]})


@pytest.mark.parametrize("side", ["llm", "tts"])
@simulated
async def test_neither_side_can_ask_for_a_decision(side):
    """The chunks would be gone; the error says what to do."""

    async def llm(ctx: StageContext):
        yield 1
        if side == "llm":
            yield StageOutput.suspend({"ask": 1})

    async def reader(llm: Stream[int]):
        if side == "tts":
            return StageOutput.suspend({"ask": 1})
        return {"got": [chunk async for chunk in llm]}

    results = await outcome(stage("llm", llm), stage("tts", reader))
    assert (type(error_of(results, side)), results.status) == (StreamSuspendedError, "failed")
    assert error_of(results, side).stage == side


# --- attempts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["raise", "retry", "text", "interceptor", "interceptor on output"])
@pytest.mark.parametrize("chunks", [0, 1])
@pytest.mark.parametrize("side", ["llm", "tts"])
@simulated
async def test_neither_side_is_tried_again_once_a_chunk_was_delivered(side, chunks, how):
    """Before that both are; after it the error says why not."""
    attempts = {"llm": 0, "tts": 0}
    retry = {"raise": policy(LookupError)}.get(how, policy())

    class Again(BaseInterceptor):
        name = "again"

        async def on_error(self, ctx, error):
            return ErrorAction.RETRY

    def failure():
        if how in ("raise", "interceptor"):
            raise LookupError("busy")
        outputs = {"retry": StageOutput.retry(LookupError("busy")), "text": StageOutput.retry("busy")}
        return outputs.get(how, StageOutput.fail("busy"))

    async def llm(ctx: StageContext):
        attempts["llm"] += 1
        for chunk in range(chunks):
            yield chunk
        await asyncio.sleep(1)
        if side == "llm" and ctx.attempt < 3:
            yield failure()
        else:
            yield "last"

    async def reading(ctx: StageContext, llm: Stream[int]):
        attempts["tts"] += 1
        got = [await anext(llm) for _ in range(chunks)]
        await asyncio.sleep(0.1)
        if side == "tts" and ctx.attempt < 3:
            return failure()
        return {"got": got + [chunk async for chunk in llm]}

    results = await outcome(
        stage("llm", llm, retry=retry),
        stage("tts", reading, retry=retry),
        interceptors=(Again(),) if how.startswith("interceptor") else (),
    )
    if not chunks:
        assert (attempts[side], results.data("tts")) == (3, {"got": ["last"]})
        return
    note = f"Stage '{side}' was not tried again: chunks of a stream had been delivered."
    assert (attempts, results[side].status, results.record(side).attempts) == ({"llm": 1, "tts": 1}, FAIL, 1)
    error = results[side].error
    assert (notes(error.exception) == [note]) if error.exception is not None else (error.message == f"busy ({note})")


@simulated
async def test_a_reader_that_has_closed_its_stream_is_not_tried_again():
    """It would read a stream that is over, and take it for a whole one."""

    async def llm(ctx: StageContext):
        await asyncio.sleep(5)
        yield 1

    async def reading(ctx: StageContext, llm: Stream[int]):
        async with llm:
            raise LookupError

    results = await outcome(stage("llm", llm), stage("tts", reading, retry=policy(LookupError)))
    assert (results["tts"].status, results.record("tts").attempts) == (FAIL, 1)


@pytest.mark.parametrize("kind", [ValueError, LookupError])
@simulated
async def test_what_no_policy_covers_gets_no_note(kind):
    """Nor does what was the last attempt anyway."""

    async def llm(ctx: StageContext):
        if ctx.attempt == 2:
            yield 1
        raise kind
        yield

    results = await outcome(
        stage("llm", llm, retry=policy(LookupError, attempts=2)), stage("tts", tts), on_failure="continue"
    )
    assert (results.record("llm").attempts, notes(error_of(results))) == (2 if kind is LookupError else 1, [])


@simulated
async def test_a_stage_that_is_not_tried_again_for_another_reason_gets_no_note():
    """Though there are streams in the run."""

    async def llm(ctx: StageContext):
        yield 1

    async def ignoring(ctx: StageContext):
        for _ in range(2):
            try:
                await asyncio.sleep(20)
            except asyncio.CancelledError:
                continue

    results = (
        await Pipeline(
            "p",
            [stage("llm", llm), stage("tts", tts), stage("other", ignoring, timeout=1, retry=policy(TimeoutError))],
            cancel_grace=1.0,
        )
        .start()
        .outcome()
    )
    assert (results.stragglers, notes(error_of(results, "other"))) == (("other",), [])


@simulated
async def test_only_chunks_of_the_attempt_that_stands_are_in_the_count():
    """Those before were heard by nobody, or there would have been no other attempt."""

    async def llm(ctx: StageContext):
        yield 1
        if ctx.attempt == 1:
            raise LookupError
        yield 2

    results = await outcome(stage("llm", llm, retry=policy(LookupError)))
    assert results.data("llm") == {"count": 2}
    assert results.record("llm").statistics["stream"] == {"sent": 3, "unheard": 3, "readers": {}}


@simulated
async def test_a_class_has_one_instance_for_all_attempts():
    """As without streams."""

    class Counting:
        def __init__(self):
            self.calls = 0

        async def execute(self, ctx: StageContext):
            self.calls += 1
            if self.calls == 1:
                raise LookupError
            yield self.calls

    results = await outcome(stage("llm", Counting, retry=policy(LookupError)), stage("tts", tts))
    assert results.data("tts") == {"got": [2]}


# --- limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["timeout", "deadline", "run"])
@pytest.mark.parametrize("side", ["llm", "tts"])
@pytest.mark.parametrize("blocked", [False, True])
@simulated(seeds=range(3))
async def test_a_time_limit_ends_both_sides(side, limit, blocked):
    """The one by its own error, the other since that has ended; cleanup is waited for."""
    log = []

    async def llm(ctx: StageContext):
        try:
            while True:
                await asyncio.sleep(0 if blocked else 1)
                yield 1
        finally:
            await asyncio.sleep(2)
            log.append("llm")

    async def reader(ctx: StageContext):
        try:
            async for _ in ctx.inputs.stream("llm"):
                await asyncio.sleep(1000 if blocked else 0)
        finally:
            await asyncio.sleep(3)
            log.append("tts")

    options = {} if limit == "run" else {limit: 5}
    results = await outcome(
        stage("llm", llm, **(options if side == "llm" else {})),
        stage("tts", reader, streams="llm", **(options if side == "tts" else {})),
        timeout=5 if limit == "run" else None,
        on_failure="continue",
    )
    assert log == ["llm", "tts"] if side == "llm" or limit == "run" else sorted(log) == ["llm", "tts"]
    if limit == "run":
        assert isinstance(results.error, PipelineTimeoutError)
        assert (statuses(results), now()) == ([CANCEL, CANCEL], 8.0)
        return
    assert isinstance(error_of(results, side), StageTimeoutError)
    other = {"llm": SKIP, "tts": OK}[side]
    assert statuses(results) == ([FAIL, other] if side == "llm" else [other, FAIL])
    assert now() == 10.0


@simulated
async def test_a_limit_that_is_not_reached_is_not_felt():
    """And leaves no timer behind."""

    async def llm(ctx: StageContext):
        yield 1

    results = await outcome(stage("llm", llm, timeout=5, deadline=6), stage("tts", tts, timeout=5, deadline=6))
    assert results.data("tts") == {"got": [1]}
    assert [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()] == []


@simulated
async def test_a_stage_whose_time_is_up_while_nobody_reads_cleans_up_once():
    """Its reader leaves meanwhile, and that cuts nothing short."""
    log = []

    async def llm(ctx: StageContext):
        try:
            yield 1
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(2)
            log.append(now())

    async def reader(llm: Stream[int]):
        await anext(llm)
        await asyncio.sleep(6)

    results = await outcome(stage("llm", llm, timeout=5), stage("tts", reader), on_failure="continue")
    assert (log, statuses(results)) == ([7.0], [FAIL, OK])


@simulated
async def test_a_stage_that_ignores_the_end_of_its_time_is_left_behind():
    """The chunk that it yields after all reaches nobody."""

    async def llm(ctx: StageContext):
        yield 1
        for _ in range(20):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                continue
            yield 2

    async def other(ctx: StageContext):
        await asyncio.sleep(100)

    run = Pipeline(
        "p",
        [stage("llm", llm, timeout=5), stage("tts", tts), stage("other", other)],
        on_failure="continue",
        cancel_grace=1.0,
    ).start()
    results = await run.outcome()
    assert (statuses(results), results.stragglers) == ([FAIL, SKIP, OK], ("llm",))
    assert results.record("tts").statistics["streams"]["llm"]["sent"] == 1


@simulated
async def test_a_stage_that_was_left_behind_is_closed_at_its_next_chunk():
    """Also if nobody ever read it."""
    chunks = []

    async def llm(ctx: StageContext):
        while True:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                continue
            chunks.append(now())
            yield 1

    results = await Pipeline("p", [stage("llm", llm, timeout=15)], cancel_grace=1.0).start().outcome()
    assert results.stragglers == ("llm",)
    await asyncio.sleep(100)
    assert (chunks, len(asyncio.all_tasks())) == ([10.0, 25.0], 1)


# --- interceptors ------------------------------------------------------------------------------------------------


class Hook(BaseInterceptor):
    name = "hook"

    def __init__(self, stage, hook):
        self.stage, self.hook = stage, hook

    async def before(self, ctx):
        if (self.stage, self.hook) == (ctx.stage_name, "before"):
            raise ValueError("broken")
        if (self.stage, self.hook) == (ctx.stage_name, "short"):
            return InterceptorResult(StageOutput.ok(short=True))
        return None

    async def after(self, ctx, output):
        if (self.stage, self.hook) == (ctx.stage_name, "after"):
            raise ValueError("broken")


@pytest.mark.parametrize("hook", ["before", "after"])
@pytest.mark.parametrize("side", ["llm", "tts"])
@simulated
async def test_an_interceptor_that_breaks_on_either_side_ends_both(side, hook):
    """The stage that it breaks fails, and the other ends for it."""

    async def llm(ctx: StageContext):
        for chunk in range(3):
            await asyncio.sleep(1)
            yield chunk

    results = await outcome(
        stage("llm", llm), stage("tts", tts), interceptors=(Hook(side, hook),), on_failure="continue"
    )
    assert statuses(results) == ([FAIL, SKIP] if side == "llm" else [OK, FAIL])
    if side == "tts":
        assert results.data("llm") == {"count": 3 if hook == "after" else 0}


@simulated
async def test_an_interceptor_may_answer_in_place_of_the_stage():
    """Then there are no chunks, and that is all there was to come."""

    async def llm(ctx: StageContext):
        pytest.fail("executed")
        yield

    results = await outcome(stage("llm", llm), stage("tts", tts), interceptors=(Hook("llm", "short"),))
    assert (results.data("llm"), results.data("tts")) == ({"short": True}, {"got": []})


@simulated
async def test_interceptors_do_not_see_that_a_stage_was_closed_by_a_cancellation():
    """It is over by then; a limit of theirs that comes meanwhile is one, as it is for any cleanup."""
    seen = []

    class Looks(BaseInterceptor):
        name = "looks"

        async def after(self, ctx, output):
            seen.append((ctx.stage_name, asyncio.current_task().cancelling()))

    async def llm(ctx: StageContext):
        try:
            yield 1
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(2)

    async def leaving(llm: Stream[int]):
        await anext(llm)
        await asyncio.sleep(1)

    stages = [stage("llm", llm), stage("tts", leaving)]
    results = await outcome(*stages, interceptors=(Looks(),))
    assert (seen, statuses(results)) == ([("tts", 0), ("llm", 0)], [OK, OK])
    results = await outcome(*stages, interceptors=(TimeoutInterceptor(2.0),))
    assert (statuses(results), results["llm"].error.code) == ([FAIL, OK], "stage-timeout")


# --- the event loop ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reads", [False, True])
@simulated
async def test_a_stage_that_never_suspends_does_not_hold_the_loop(reads):
    """After a millisecond it lets others have a turn, whether it drops its chunks or nobody reads them."""
    loop = asyncio.get_running_loop()
    clock = iter(range(0, 10**12, 10_000))  # each look at it takes 10 microseconds
    loop.perf_counter_ns = lambda: next(clock)
    turns, at_most = [], []

    async def llm(ctx: StageContext):
        for chunk in range(5000):
            turns[-1:] = [turns[-1] + 1]
            yield chunk

    def turn():
        at_most.append(turns[-1])
        turns[-1] = 0
        handle.append(loop.call_soon(turn))

    handle = [loop.call_soon(turn)]
    turns.append(0)
    readers = [stage("tts", tts)] if reads else []
    results = await outcome(stage("llm", llm, stream=StreamOptions(on_full="drop_oldest")), *readers)
    handle[-1].cancel()
    assert results.data("llm") == {"count": 5000}
    assert 50 < max(at_most) < 150


@simulated
async def test_what_a_stage_sets_in_its_context_reaches_no_reader():
    """Each side has a context of its own."""
    variable = ContextVar("variable", default="unset")

    async def llm(ctx: StageContext):
        variable.set("llm")
        yield 1
        await asyncio.sleep(1)

    async def reader(llm: Stream[int]):
        return {"seen": [variable.get() async for _ in llm]}

    async def after(llm: dict, tts: dict):
        return {"seen": variable.get()}

    results = await outcome(stage("llm", llm), stage("tts", reader), stage("after", after))
    assert (results.data("tts"), results.data("after")) == ({"seen": ["unset"]}, {"seen": "unset"})
