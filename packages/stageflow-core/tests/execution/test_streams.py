"""Stages that stream and stages that read them: how the end of one side becomes the end of the other."""

import asyncio
import contextlib
import json

import pytest
from stageflow import (
    BaseInterceptor,
    Pipeline,
    PipelineCancelled,
    PipelineResults,
    RetryPolicy,
    StageContext,
    StageKind,
    StageOutput,
    StageStatus,
    Stream,
    StreamOptions,
    stage,
)
from stageflow.errors import StreamBrokenError
from stageflow_mocks.simulation import simulated

OK, SKIP, CANCEL, FAIL, SUSPEND = (
    StageStatus.OK,
    StageStatus.SKIP,
    StageStatus.CANCEL,
    StageStatus.FAIL,
    StageStatus.SUSPEND,
)
ONE = StreamOptions(capacity=1)


def now():
    return asyncio.get_running_loop().time()


def yielding(*chunks, every=1.0, then=None, log=None, cleanup=0.0, hold=0.0):
    """A stage that yields these, one each so many seconds, and says in the log when it is cleaned up."""
    log = [] if log is None else log

    async def execute(ctx: StageContext):
        try:
            for chunk in chunks:
                await asyncio.sleep(every)
                yield chunk
            await asyncio.sleep(hold)
            if isinstance(then, BaseException):
                raise then
            if then is not None:
                yield then
        finally:
            log.append("cleaning")
            await asyncio.sleep(cleanup)
            log.append("clean")

    return execute


def reading(source="llm", *, most=None, log=None, cleanup=0.0, slow=0.0, then=None):
    """A stage that reads so many chunks, and returns them."""
    log = [] if log is None else log

    async def execute(ctx: StageContext):
        got = []
        try:
            async for chunk in ctx.inputs.stream(source):
                got.append(chunk)
                if len(got) == most:
                    break
                await asyncio.sleep(slow)
        finally:
            log.append("cleaning")
            await asyncio.sleep(cleanup)
            log.append("clean")
        if isinstance(then, BaseException):
            raise then
        return {"got": got} if then is None else then

    return execute


def reader(name="tts", source="llm", *, optional=False, options=(), **how):
    extra = {"optional": (source,)} if optional else {}
    return stage(name, reading(source, **how), streams=(source,), **extra, **dict(options))


async def outcome(*stages, sink=None, **options):
    results = await Pipeline("p", stages, **options).start(event_sink=sink).outcome()
    assert len(asyncio.all_tasks()) == 1  # nothing outlives the run
    return results


def statuses(results):
    return {name: results[name].status for name in results}


def error_of(results, name):
    return results[name].error.exception


async def plainly(llm: Stream[int] | None = None):
    """Read all there is, and fail at once if that is not the whole."""
    async for _ in llm:
        pass


async def until_broken(stream, got):
    """Read to the end, and return why that was not the whole."""
    try:
        while True:
            got.append(await anext(stream))
    except StreamBrokenError as error:
        return error.why


def counted(results, producer="llm", name="tts"):
    """Return sent, received and dropped of one reader."""
    made = results.record(producer).statistics["stream"]["readers"][name]
    read = results.record(name).statistics["streams"][producer]
    assert made == read
    return made["sent"], made["received"], made["dropped"]


# --- side by side ------------------------------------------------------------------------------------------------


@simulated
async def test_a_reader_runs_while_the_stage_that_streams_does():
    """It has each chunk when it is made."""

    async def tts(llm: Stream[int]):
        return {"got": [(chunk, now()) async for chunk in llm]}

    results = await outcome(stage("llm", yielding(1, 2, 3)), stage("tts", tts))
    assert results.data("tts") == {"got": [(1, 1.0), (2, 2.0), (3, 3.0)]}
    assert (results.data("llm"), counted(results)) == ({"count": 3}, (3, 3, 0))


@simulated
async def test_readers_have_every_chunk_whatever_their_speed():
    """The slow one holds the stage up once its buffer is full, and the other with it."""
    results = await outcome(
        stage("llm", yielding(*range(6), every=0.5), stream=StreamOptions(capacity=2)),
        reader("fast"),
        reader("slow", slow=3.0),
    )
    assert results.data("fast") == results.data("slow") == {"got": [0, 1, 2, 3, 4, 5]}
    statistics = results.record("llm").statistics["stream"]
    assert statistics == {
        "sent": 6,
        "unheard": 0,
        "readers": {
            "fast": {"sent": 6, "received": 6, "dropped": 0, "waiting": 0, "high_water": 1, "blocked_ms": 0.0},
            "slow": {"sent": 6, "received": 6, "dropped": 0, "waiting": 0, "high_water": 2, "blocked_ms": 6500.0},
        },
    }
    assert results.record("fast").statistics == {"streams": {"llm": statistics["readers"]["fast"]}}


@simulated
async def test_what_was_counted_survives_json():
    """Of a stage that both reads and streams both."""

    async def upper(llm: Stream[str]):
        async for chunk in llm:
            yield chunk.upper()

    results = await outcome(stage("llm", yielding("a", "b")), stage("upper", upper), reader("tts", "upper"))
    assert results.data("tts") == {"got": ["A", "B"]}
    again = PipelineResults.from_dict(json.loads(json.dumps(results.to_dict())))
    for record in results.records():
        assert again.record(record.name).statistics == record.statistics
    assert sorted(again.record("upper").statistics) == ["stream", "streams"]


@simulated
async def test_a_stage_that_nobody_reads_runs_to_its_end():
    """Its chunks are counted as unheard, and those that depend on it read how many there were."""

    async def after(llm: dict):
        return {"read": llm}

    results = await outcome(stage("llm", yielding(1, 2)), stage("after", after))
    assert results.data("after") == {"read": {"count": 2}}
    assert results.record("llm").statistics == {"stream": {"sent": 2, "unheard": 2, "readers": {}}}


@simulated
async def test_an_ordinary_dependent_waits_for_the_end():
    """And reads what was yielded last as a StageOutput."""
    seen = []

    async def after(llm: dict):
        seen.append(now())
        return llm

    results = await outcome(
        stage("llm", yielding(1, 2, then=StageOutput.ok(text="12"))), reader(), stage("after", after)
    )
    assert (results.data("after"), seen, results.data("tts")) == ({"text": "12"}, [2.0], {"got": [1, 2]})


@simulated
async def test_a_stage_may_read_several_streams():
    """It starts when the last of those has started."""

    async def both(ctx: StageContext):
        one, two = ctx.inputs.stream("one"), ctx.inputs.stream("two")
        assert ctx.inputs.stream("one") is one
        return {"got": [c async for c in one] + [c async for c in two]}

    results = await outcome(
        stage("one", yielding(1, 2)), stage("two", yielding(3)), stage("both", both, streams=("one", "two"))
    )
    assert results.data("both") == {"got": [1, 2, 3]}
    assert sorted(results.record("both").statistics["streams"]) == ["one", "two"]


@simulated
async def test_a_long_line_of_streams_flows():
    """Each stage reads the one before it."""

    def passing(source):
        async def execute(ctx: StageContext):
            async for chunk in ctx.inputs.stream(source):
                yield chunk + 1

        return execute

    length = 300
    stages = [stage("s0", yielding(0, 10))]
    stages += [stage(f"s{i}", passing(f"s{i - 1}"), streams=(f"s{i - 1}",)) for i in range(1, length)]
    results = await outcome(*stages, reader("last", f"s{length - 1}"))
    assert results.data("last") == {"got": [length - 1, length + 9]}


# --- the start of a group ----------------------------------------------------------------------------------------


def noted(log, name, seconds=0.0, then=None):
    async def execute(ctx: StageContext):
        await asyncio.sleep(seconds)
        log.append((name, now()))
        return then

    return stage(name, execute)


@pytest.mark.parametrize("how", ["required", "optional", "skipped", "gate", "join"])
@simulated
async def test_the_first_stage_waits_for_what_any_of_its_readers_waits_for(how):
    """So no chunk is made for a reader that cannot start."""
    begun = []

    async def llm(ctx: StageContext):
        begun.append(now())
        yield 1

    async def tts(ctx: StageContext):
        begun.append(now())
        return {"got": [c async for c in ctx.inputs.stream("llm")]}

    never = {"when": lambda inputs, snapshot: False}
    routed = {"kind": StageKind.ROUTE, "routes": ("x",)}
    voice = stage(
        "voice",
        noted([], "voice", 5, {"route": "x"}).runner,
        **(never if how == "skipped" else routed if how == "gate" else {}),
    )
    options = {
        "required": {"dependencies": ("voice",)},
        "optional": {"optional": ("voice",)},
        "skipped": {"optional": ("voice",)},
        "gate": {"route": {"voice": "x"}},
        "join": {"dependencies": ("join",)},
    }[how]
    stages = [voice, stage("llm", llm), stage("tts", tts, streams=("llm",), **options), reader("other")]
    if how == "join":
        stages.append(stage("join", noted([], "join").runner, dependencies=("voice",), join="any"))
    results = await outcome(*stages)
    start = 0.0 if how == "skipped" else 5.0
    assert (begun, results.data("tts"), results.status) == ([start, start], {"got": [1]}, "completed")


@simulated
async def test_a_reader_behind_a_route_that_is_not_taken_is_no_reader():
    """The stage that streams only waits for the choice."""
    choice = stage(
        "choice", noted([], "choice", 2, {"route": "text"}).runner, kind=StageKind.ROUTE, routes=("text", "voice")
    )
    shown = stage("shown", reading(), streams=("llm",), route={"choice": "text"})
    spoken = stage("spoken", reading(), streams=("llm",), route={"choice": "voice"})
    results = await outcome(choice, stage("llm", yielding(1)), shown, spoken)
    assert statuses(results) == {"choice": OK, "llm": OK, "shown": OK, "spoken": SKIP}
    assert results.record("spoken").origin == "choice"
    assert counted(results, name="spoken") == (0, 0, 0)


@simulated
async def test_two_roots_of_a_group_wait_for_the_same():
    """What one reader of both waits for keeps both from starting."""
    begun = {}

    def root(name):
        async def execute(ctx: StageContext):
            begun[name] = now()
            yield name

        return stage(name, execute, dependencies=("first",) if name == "b" else ())

    both = stage("both", reading("a"), streams=("a", "b"), dependencies=("last",))
    results = await outcome(noted([], "first", 1), noted([], "last", 4), root("a"), root("b"), both)
    assert (begun, results.status) == ({"a": 4.0, "b": 4.0}, "completed")


@pytest.mark.parametrize("optional", [False, True])
@simulated
async def test_a_reader_whose_condition_says_no_is_no_reader(optional):
    """Chunks that only it would have read are dropped, and the stage that streams goes on to its end."""
    tts = reader(optional=optional, options={"when": lambda inputs, snapshot: False})
    results = await outcome(stage("llm", yielding(1, 2, 3), stream=ONE), tts)
    assert (statuses(results), results.data("llm")) == ({"llm": OK, "tts": SKIP}, {"count": 3})
    assert (counted(results), results.record("llm").statistics["stream"]["unheard"]) == ((0, 0, 0), 3)


@simulated
async def test_what_requires_the_stream_of_a_skipped_stage_is_skipped():
    """With the origin of the first; what it is optional for runs without it."""

    async def tts(llm: Stream[int] = "none"):
        return {"llm": llm}

    results = await outcome(
        stage("llm", yielding(1), when=lambda inputs, snapshot: False),
        stage("tts", tts),
        stage("strict", yielding(1), streams=("llm",)),
        reader("after", "strict"),
    )
    assert statuses(results) == {"llm": SKIP, "tts": OK, "strict": SKIP, "after": SKIP}
    assert results.data("tts") == {"llm": "none"}
    assert results.record("after").origin == results.record("strict").origin == "llm"
    assert results["strict"].reason == "required stage 'llm' was skipped: its `when` said no"


@simulated
async def test_an_optional_stream_that_never_started_is_missing():
    """By name too, where an error says so."""

    async def tts(ctx: StageContext):
        ctx.inputs.stream("llm")

    results = await outcome(
        stage("llm", yielding(1), when=lambda inputs, snapshot: False),
        stage("tts", tts, streams=("llm",), optional=("llm",)),
    )
    assert "'llm'" in str(error_of(results, "tts"))
    assert type(error_of(results, "tts")).__name__ == "MissingInputError"


@simulated
async def test_a_reader_that_starts_after_the_end_has_it_all():
    """The stage that streams never suspended, so it had its turn first."""

    async def llm(ctx: StageContext):
        for chunk in range(5):
            yield chunk

    results = await outcome(stage("llm", llm), reader())
    assert results.data("tts") == {"got": [0, 1, 2, 3, 4]}


@pytest.mark.parametrize("optional", [False, True])
@simulated
async def test_a_reader_that_had_no_turn_before_the_failure(optional):
    """If it requires the stream it never starts; else it is told of the error."""

    async def llm(ctx: StageContext):
        if not ctx.cancelled:
            raise ValueError("busy")
        yield 1

    got = []

    async def tts(ctx: StageContext):
        try:
            while True:
                got.append(await anext(ctx.inputs.stream("llm")))
        except StreamBrokenError as error:
            got.append(error.why)

    extra = {"optional": ("llm",)} if optional else {}
    results = await outcome(stage("llm", llm), stage("tts", tts, streams=("llm",), **extra), on_failure="continue")
    assert statuses(results) == {"llm": FAIL, "tts": OK if optional else SKIP}
    assert got == (["failed: ValueError: busy"] if optional else [])
    assert (results.record("tts").started_at is None) is not optional


# --- the stage that streams does not end OK ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["continue", "not critical", "skip", "fail"])
@simulated
async def test_a_reader_that_requires_a_broken_stream_is_ended(how):
    """Its cleanup runs and is waited for; it is skipped, and its record says because of whom."""
    log = []
    then = {"skip": StageOutput.skip("enough"), "fail": StageOutput.fail("no")}.get(how, ValueError("busy"))
    results = await outcome(
        stage("llm", yielding(1, 2, then=then), critical=how != "not critical"),
        reader(log=log, cleanup=3.0),
        reader("after", "llm", log=[]),
        on_failure="fail_fast" if how in ("not critical", "skip") else "continue",
    )
    assert statuses(results) == {"llm": SKIP if how == "skip" else FAIL, "tts": SKIP, "after": SKIP}
    assert (results.record("tts").origin, log) == ("llm", ["cleaning", "clean"])
    why = {"skip": "was skipped: enough", "fail": "failed: no"}.get(how, "failed: ValueError: busy")
    assert results["tts"].reason == f"required stage 'llm' {why}"
    assert results.record("tts").duration_ms == 5000.0
    assert counted(results) == (2, 2, 0)
    failures = () if results.error is None else results.error.failures
    assert [failure.stage for failure in failures] == (["llm"] if how in ("continue", "fail") else [])


@simulated
async def test_what_a_broken_stream_ends_reaches_through_others():
    """A reader that streams itself ends its own readers, with the first origin; what waits for it is skipped."""
    log = []

    async def upper(llm: Stream[int]):
        try:
            async for chunk in llm:
                yield chunk
        finally:
            await asyncio.sleep(1)
            log.append(now())

    async def after(tts: dict):
        """Never run."""

    results = await outcome(
        stage("llm", yielding(1, then=ValueError("busy"))),
        stage("upper", upper),
        reader("tts", "upper"),
        stage("after", after),
        on_failure="continue",
    )
    assert statuses(results) == {"llm": FAIL, "upper": SKIP, "tts": SKIP, "after": SKIP}
    assert {results.record(name).origin for name in ("upper", "tts", "after")} == {"llm"}
    assert log == [2.0]


@pytest.mark.parametrize("first", ["llm", "tts"])
@pytest.mark.parametrize("optional", [False, True])
@simulated(seeds=range(10))
async def test_a_failure_that_ends_the_run_cancels_readers_like_all_others(first, optional):
    """Nobody else is among the failures, wherever it stands in the plan."""
    log = []
    stages = [stage("llm", yielding(1, then=ValueError("busy"))), reader(log=log, optional=optional, cleanup=1.0)]
    results = await outcome(*(stages if first == "llm" else reversed(stages)))
    assert statuses(results) == {"llm": FAIL, "tts": CANCEL}
    assert [failure.stage for failure in results.error.failures] == ["llm"]
    assert log == ["cleaning", "clean"]


@simulated
async def test_two_failures_of_one_turn_are_two_and_no_more():
    """A reader that is told of one of them is not a third."""

    async def other(ctx: StageContext):
        await asyncio.sleep(2)
        raise LookupError

    async def llm(ctx: StageContext):
        yield 1
        await asyncio.sleep(2)
        raise ValueError

    results = await outcome(stage("other", other), stage("llm", llm), stage("tts", plainly))
    assert [failure.stage for failure in results.error.failures] == ["other", "llm"]
    assert results["tts"].status is CANCEL


@simulated
async def test_an_optional_reader_of_a_stage_that_is_not_critical_is_told():
    """The run goes on, so nothing else would end it."""

    async def tts(llm: Stream[int] | None = None):
        return {"why": await until_broken(llm, [])}

    results = await outcome(stage("llm", yielding(1, then=ValueError("busy")), critical=False), stage("tts", tts))
    assert (statuses(results), results.status) == ({"llm": FAIL, "tts": OK}, "completed")


@pytest.mark.parametrize("fails", [False, True])
@simulated
async def test_a_reader_that_drains_its_stream_when_it_is_cancelled_comes_to_an_end(fails):
    """If it makes do without the whole."""
    got = []

    async def tts(llm: Stream[int] | None = None):
        try:
            await asyncio.sleep(1000)
        finally:
            got.append(await until_broken(llm, got))

    async def llm(ctx: StageContext):
        try:
            yield 1
            yield 2
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            if fails:
                raise LookupError from None
            raise

    run = Pipeline("p", [stage("llm", llm), stage("tts", tts)]).start()
    await asyncio.sleep(2.5)
    run.cancel("enough")
    results = await run.outcome()
    assert got == [1, 2, "failed: LookupError" if fails else "was cancelled: enough"]
    assert (results.stragglers, statuses(results)) == ((), {"llm": FAIL if fails else CANCEL, "tts": CANCEL})


@simulated
async def test_an_optional_reader_has_what_was_sent_then_the_error():
    """And may make do with that."""

    async def tts(llm: Stream[int] | None = None):
        got = []
        await asyncio.sleep(10)
        try:
            while True:
                got.append(await anext(llm))
        except StreamBrokenError as error:
            return {"got": got, "why": error.why, "cause": repr(error.__cause__)}

    results = await outcome(
        stage("llm", yielding(1, 2, then=ValueError("busy"))), stage("tts", tts), on_failure="continue"
    )
    assert results.data("tts") == {"got": [1, 2], "why": "failed: ValueError: busy", "cause": "ValueError('busy')"}
    assert counted(results) == (2, 2, 0)


@simulated
async def test_a_reader_that_breaks_while_it_is_ended_failed_itself():
    """Its own error is what is told."""

    async def tts(llm: Stream[int]):
        try:
            async for _ in llm:
                pass
        finally:
            raise LookupError("mine")

    results = await outcome(
        stage("llm", yielding(1, then=ValueError("busy"))), stage("tts", tts), on_failure="continue"
    )
    assert statuses(results) == {"llm": FAIL, "tts": FAIL}
    assert isinstance(error_of(results, "tts"), LookupError)


@simulated
async def test_a_reader_that_swallows_its_end_is_skipped_none_the_less():
    """It did not have what it requires; to read on ends it once more."""

    async def tts(llm: Stream[int]):
        try:
            async for _ in llm:
                pass
        except asyncio.CancelledError:
            with pytest.raises(asyncio.CancelledError):
                await anext(llm)
            await asyncio.sleep(1)
        return {"all": "well"}

    results = await outcome(
        stage("llm", yielding(1, then=ValueError("busy"))), stage("tts", tts), on_failure="continue"
    )
    assert (statuses(results), results.record("tts").duration_ms) == ({"llm": FAIL, "tts": SKIP}, 2000.0)


@simulated
async def test_a_reader_that_had_ended_before_the_failure_stays_ok():
    """It is too late to take anything back."""
    results = await outcome(
        stage("llm", yielding(1, 2, then=ValueError("busy"))), reader("quick", most=1), reader(), on_failure="continue"
    )
    assert statuses(results) == {"llm": FAIL, "quick": OK, "tts": SKIP}


@pytest.mark.parametrize("limit", [None, "timeout", "deadline"])
@simulated
async def test_a_reader_is_ended_inside_of_its_limits(limit):
    """And while it waits before another attempt."""
    log = []
    options = {} if limit is None else {limit: 100}

    async def retrying(ctx: StageContext, llm: Stream[int]):
        raise LookupError

    results = await outcome(
        stage("llm", yielding(1, every=3, then=ValueError("busy"))),
        reader(log=log, cleanup=2.0, options=options),
        stage("retrying", retrying, retry=RetryPolicy(3, 50, 50, jitter=False, retry_on=LookupError)),
        on_failure="continue",
    )
    assert statuses(results) == {"llm": FAIL, "tts": SKIP, "retrying": SKIP}
    assert (log, now()) == (["cleaning", "clean"], 5.0)


@simulated
async def test_a_cancel_by_the_stage_that_streams_ends_the_run():
    """Its readers are cancelled."""
    results = await outcome(
        stage("llm", yielding(1, hold=1.0, then=StageOutput.cancel("enough"))), stage("tts", plainly)
    )
    assert statuses(results) == {"llm": CANCEL, "tts": CANCEL}
    assert isinstance(results.error, PipelineCancelled)


# --- all readers have stopped ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["ends", "fails", "skips", "closes", "with"])
@simulated
async def test_a_stage_whose_readers_have_stopped_is_closed_at_once(how):
    """Also while it awaits something. It ends OK with what it sent, and those that wait for its end run."""
    log = []

    async def tts(llm: Stream[int]):
        if how == "with":
            async with llm:
                await anext(llm)
            await asyncio.sleep(10)
        else:
            await anext(llm)
        if how == "closes":
            await llm.aclose()
            await asyncio.sleep(10)
        if how == "fails":
            raise ValueError("no")
        return StageOutput.skip("enough") if how == "skips" else None

    async def after(llm: dict):
        return {"read": llm, "at": now()}

    results = await outcome(
        stage("llm", yielding(*range(100), log=log, cleanup=2.0)),
        stage("tts", tts, critical=False),
        stage("after", after),
    )
    assert results.data("after") == {"read": {"count": 1}, "at": 3.0}
    assert statuses(results)["tts"] is {"fails": FAIL, "skips": SKIP}.get(how, OK)
    assert (log, results.status) == (["cleaning", "clean"], "completed")
    assert counted(results) == (1, 1, 0)


@simulated
async def test_a_stage_that_somebody_still_reads_is_not_closed():
    """One reader that leaves is none the less one that leaves."""
    results = await outcome(stage("llm", yielding(1, 2, 3)), reader("quick", most=1), reader())
    assert (results.data("llm"), results.data("tts")) == ({"count": 3}, {"got": [1, 2, 3]})


@simulated
async def test_a_stage_that_waits_for_room_is_closed_as_well():
    """The chunk in its hands is counted as sent, and nobody got it."""
    log = []
    results = await outcome(
        stage("llm", yielding(1, 2, 3, log=log, cleanup=1.0), stream=ONE), reader(slow=5.0, most=1, then={})
    )
    assert log == ["cleaning", "clean"]
    log.clear()

    async def tts(llm: Stream[int]):
        await asyncio.sleep(10)

    results = await outcome(stage("llm", yielding(1, 2, 3, log=log, cleanup=1.0), stream=ONE), stage("tts", tts))
    assert (results.data("llm"), counted(results), log) == ({"count": 2}, (2, 0, 2), ["cleaning", "clean"])
    assert results.record("llm").duration_ms == 11000.0


@simulated
async def test_closing_reaches_up_a_line_of_streams():
    """Each stage is closed once nobody reads it."""
    logs = {"a": [], "b": []}

    async def b(a: Stream[int]):
        try:
            async for chunk in a:
                yield chunk
        finally:
            logs["b"].append(now())

    async def a(ctx: StageContext):
        try:
            while True:
                await asyncio.sleep(1)
                yield 1
        finally:
            logs["a"].append(now())

    results = await outcome(stage("a", a), stage("b", b), reader("c", "b", most=2))
    assert (statuses(results), logs) == ({"a": OK, "b": OK, "c": OK}, {"a": [2.0], "b": [2.0]})


@simulated
async def test_a_stage_that_is_being_closed_cleans_up_in_peace_when_what_it_reads_breaks():
    """Nobody wants what it lacks: it ends OK with what it sent, and has no more to read."""
    log = []

    async def upper(llm: Stream[int]):
        try:
            async for chunk in llm:
                yield chunk
        finally:
            await asyncio.sleep(2)
            log.append((now(), [chunk async for chunk in ended(llm)]))

    async def ended(stream):
        with contextlib.suppress(asyncio.CancelledError):
            async for chunk in stream:
                yield chunk

    results = await outcome(
        stage("llm", yielding(1, 2, hold=0.5, then=ValueError("busy"))),
        stage("upper", upper),
        reader("tts", "upper", most=2),
        reader("other"),
        on_failure="continue",
    )
    assert statuses(results) == {"llm": FAIL, "upper": OK, "tts": OK, "other": SKIP}
    assert (results.data("upper"), log) == ({"count": 2}, [(4.0, [])])


@pytest.mark.parametrize("limit", [None, "timeout"])
@simulated
async def test_a_reader_that_is_being_ended_cleans_up_in_peace_when_the_run_is_cancelled(limit):
    """To be told twice would cut it short."""
    log = []
    run = Pipeline(
        "p",
        [
            stage("llm", yielding(1, then=ValueError("busy"))),
            reader(log=log, cleanup=3.0, options={} if limit is None else {limit: 100}),
            stage("other", yielding(*range(100))),
        ],
        on_failure="continue",
    ).start()
    await asyncio.sleep(2)
    run.cancel("enough")
    results = await run.outcome()
    assert (log, now(), results["other"].status) == (["cleaning", "clean"], 4.0, CANCEL)


@simulated
async def test_a_stage_that_is_closed_after_its_output_keeps_that():
    """It was only cleaning up."""

    async def tts(llm: Stream[int]):
        await anext(llm)
        await asyncio.sleep(1)

    results = await outcome(
        stage("llm", yielding(1, every=0, then=StageOutput.ok(text="1"), hold=0, cleanup=9)), stage("tts", tts)
    )
    assert results.data("llm") == {"text": "1"}


@simulated
async def test_a_stage_that_answers_its_being_closed_is_heard():
    """With an output as its last chunk, or a failure of its own."""

    async def says(ctx: StageContext):
        try:
            yield 1
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            yield StageOutput.ok(text="cut short")

    async def fails(ctx: StageContext):
        try:
            yield 1
            await asyncio.sleep(100)
        finally:
            raise LookupError("mine")

    async def both(says: Stream[int], fails: Stream[int]):
        await anext(says)
        await anext(fails)
        await asyncio.sleep(1)

    results = await outcome(stage("says", says), stage("fails", fails), stage("both", both), on_failure="continue")
    assert (results.data("says"), statuses(results)["fails"]) == ({"text": "cut short"}, FAIL)


@simulated
async def test_a_stage_that_ignores_its_being_closed_is_closed_at_its_next_chunk():
    """What it yields then is heard by nobody."""

    async def llm(ctx: StageContext):
        for chunk in range(100):
            try:
                await asyncio.sleep(2)
            except asyncio.CancelledError:
                await asyncio.sleep(1)
            yield chunk

    results = await outcome(stage("llm", llm), reader(most=1))
    assert (results.data("llm"), now(), results.record("llm").statistics["stream"]["unheard"]) == ({"count": 2}, 3.0, 1)


@simulated
async def test_a_task_group_around_what_is_yielded_is_no_failure():
    """It takes the close for one, and wraps it."""

    async def llm(ctx: StageContext):
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1000))
            while True:
                yield 1

    async def broken(ctx: StageContext):
        async with asyncio.TaskGroup():
            try:
                while True:
                    yield 1
            finally:
                raise LookupError("mine")

    async def both(llm: Stream[int], broken: Stream[int]):
        await asyncio.sleep(1)

    results = await outcome(stage("llm", llm), stage("broken", broken), stage("both", both), on_failure="continue")
    assert statuses(results) == {"llm": OK, "broken": FAIL, "both": OK}


@simulated
async def test_a_failed_reader_that_ends_the_run_cancels_the_stage_that_streams():
    """That was not closed for want of readers, but with all the rest."""
    log = []
    results = await outcome(
        stage("llm", yielding(1, 2, 3, log=log, cleanup=1.0)), reader(most=1, then=ValueError("no"))
    )
    assert (statuses(results), log) == ({"llm": CANCEL, "tts": FAIL}, ["cleaning", "clean"])


@simulated
async def test_a_reader_that_leaves_before_the_stage_draws_its_first_chunk():
    """Nothing is begun then."""
    log = []

    class Slow(BaseInterceptor):
        name = "slow"

        async def before(self, ctx):
            if ctx.stage_name == "llm":
                await asyncio.sleep(5)

    async def leaving(llm: Stream[int]):
        """Read nothing."""

    results = await outcome(stage("llm", yielding(1, log=log)), stage("tts", leaving), interceptors=(Slow(),))
    assert (results.data("llm"), log) == ({"count": 0}, [])


# --- the run ends ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, "timeout", "deadline"])
@pytest.mark.parametrize("state", ["waits", "blocked", "closing", "closing at a chunk"])
@simulated(seeds=range(4))
async def test_a_cancelled_run_ends_both_sides(state, limit):
    """Each cleans up in peace: it is cancelled once, and waited for."""
    log = []

    async def idle(llm: Stream[int]):
        await asyncio.sleep(3)

    options = {} if limit is None else {limit: 1000}
    every = 0.0 if state in ("blocked", "closing at a chunk") else 1.0
    hold = {"closing": {"most": 3}, "blocked": {"slow": 1000}}.get(state, {})
    run = Pipeline(
        "p",
        [
            stage("llm", yielding(*range(1000), every=every, log=log, cleanup=2.0), stream=ONE, **options),
            stage("tts", idle) if state == "closing at a chunk" else reader(options=options, **hold),
            stage("other", yielding(*range(1000))),
        ],
    ).start()
    await asyncio.sleep(3.5)
    run.cancel("enough")
    results = await run.outcome()
    assert [results[name].status for name in ("other", "llm")] == [
        CANCEL,
        OK if state == "closing at a chunk" else CANCEL,
    ]
    assert log == ["cleaning", "clean"]
    assert (len(asyncio.all_tasks()), results.status, results.stragglers) == (1, "cancelled", ())


@pytest.mark.parametrize("limits", [(), ("timeout",), ("timeout", "deadline")], ids=str)
@simulated(seeds=range(20))
async def test_a_reader_that_leaves_as_the_run_ends_cuts_no_cleanup_short(limits):
    """The stage that streams has been told to end already, if perhaps not yet heard of it."""
    log = []

    async def tts(llm: Stream[int]):
        async for _ in llm:
            pass

    options = dict.fromkeys(limits, 1000)
    run = Pipeline(
        "p", [stage("llm", yielding(*range(99), log=log, cleanup=2.0), **options), stage("tts", tts)]
    ).start()
    await asyncio.sleep(1.5)
    run.cancel("enough")
    assert statuses(await run.outcome()) == {"llm": CANCEL, "tts": CANCEL}
    assert log == ["cleaning", "clean"]


@simulated
async def test_a_later_attempt_is_cancelled_like_the_first():
    """Also if the one before it was cleaned up, or closed, and while it waits for it."""

    async def again(ctx: StageContext):
        if ctx.attempt == 1:
            raise LookupError
        await asyncio.sleep(1000)
        yield

    async def closed(ctx: StageContext):
        try:
            await asyncio.sleep(1000)
        finally:
            raise LookupError
        yield

    async def leaving(closed: Stream[int]):
        await asyncio.sleep(1)

    def policy(seconds):
        return RetryPolicy(3, seconds, seconds, jitter=False, retry_on=LookupError)

    run = Pipeline(
        "p",
        [stage("again", again, retry=policy(1)), stage("closed", closed, retry=policy(50)), stage("leaving", leaving)],
    ).start()
    await asyncio.sleep(3)
    run.cancel("enough")
    assert statuses(await run.outcome()) == {"again": CANCEL, "closed": CANCEL, "leaving": OK}
    assert now() == 3.0


@simulated
async def test_a_reader_of_two_waits_for_the_start_of_both():
    """That the first has ended meanwhile does not count twice."""

    async def llm(ctx: StageContext):
        yield 1

    async def upper(llm: Stream[int]):
        async for chunk in llm:
            yield chunk + 1

    async def both(llm: Stream[int], upper: Stream[int]):
        return {"got": [chunk async for chunk in llm] + [chunk async for chunk in upper]}

    results = await outcome(stage("llm", llm), stage("both", both), stage("upper", upper))
    assert results.data("both") == {"got": [1, 2]}
