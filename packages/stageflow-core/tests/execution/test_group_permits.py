"""The permits of stages that streams join: taken all at once, given back one by one, and never the cause of a halt.

A halt needs no assertion of its own: the simulated event loop raises as soon as nothing can happen any more.
"""

import asyncio
from itertools import count

import pytest
from stageflow import (
    Limits,
    Pipeline,
    RetryPolicy,
    StageContext,
    StageExecutionError,
    StageOutput,
    StageStatus,
    StreamOptions,
    stage,
)
from stageflow.errors import ForeignLoopError, LimitDeadlockError, LimitTooSmallError, UnknownLimitError
from stageflow_mocks.simulation import simulated

OK, SKIP, CANCEL, FAIL = StageStatus.OK, StageStatus.SKIP, StageStatus.CANCEL, StageStatus.FAIL

ONE = StreamOptions(capacity=1)


def now():
    return asyncio.get_running_loop().time()


class Producer:
    """Yields more chunks than there is room for, one every `seconds`."""

    def __init__(self, chunks=4, seconds=1.0, then=None, log=None):
        self.chunks = chunks
        self.seconds = seconds
        self.then = [] if then is None else list(then)
        self.log = [] if log is None else log

    async def execute(self, ctx):
        self.log.append((ctx.stage_name, now()))
        if self.then and (error := self.then.pop(0)) is not None:
            raise error
        for chunk in range(self.chunks):
            yield chunk
            await asyncio.sleep(self.seconds)


class Reader:
    """Reads all chunks of its sources, one after the other."""

    def __init__(self, *sources, then=None, seconds=0.0, log=None):
        self.sources = sources
        self.then = [] if then is None else list(then)
        self.seconds = seconds
        self.log = [] if log is None else log

    async def execute(self, ctx):
        self.log.append((ctx.stage_name, now()))
        if self.then and (error := self.then.pop(0)) is not None:
            raise error
        got = 0
        for source in self.sources:
            async for _ in ctx.inputs.stream(source):
                got += 1
                await asyncio.sleep(self.seconds)
        return {"got": got}


class Passing:
    """Would stream what it reads."""

    async def execute(self, ctx):
        async for chunk in ctx.inputs.stream("p"):
            yield chunk


class Busy:
    """Takes a second."""

    async def execute(self, ctx):
        await asyncio.sleep(1)


def producer(name="p", runner=None, **options):
    return stage(name, runner or Producer(), stream=ONE, **options)


def reader(name="r", *sources, runner=None, **options):
    sources = sources or ("p",)
    return stage(name, runner or Reader(*sources), streams=sources, **options)


def unused(limits):
    """Return whether nobody holds a permit, nor waits for one."""
    return {(limits.in_use(name), limits.waiting(name)) for name in limits.names} == {(0, 0)}


async def outcome(*stages, limits, **options):
    return await Pipeline("test", stages, **options).start(limits=limits).outcome()


async def hold(limits, needs, seconds):
    """Take permits, and give them back after a while."""
    permit = await limits.acquire(needs)
    asyncio.get_running_loop().call_later(seconds, permit.release)


async def look(limits, *times):
    """Return what was in use of each limit at these times."""
    began, seen = now(), []
    for at in times:
        await asyncio.sleep(at - (now() - began))
        seen.append(tuple(limits.in_use(name) for name in limits.names))
    return seen


# --- a halt that cannot happen -----------------------------------------------------------------------------------


@simulated(seeds=range(20))
async def test_a_producer_and_its_reader_share_a_limit():
    """With a permit for each; one would not do, and is refused."""
    limits = Limits({"x": 2})
    run = Pipeline("test", [producer(limit="x"), reader(limit="x")]).start(limits=limits)
    assert [(2,), (2,), (0,)] == await look(limits, 0.5, 3.5, 4.5)
    assert {"got": 4} == (await run).data("r")


@simulated(seeds=range(20))
async def test_many_runs_at_once_share_two_permits():
    """No two of them hold one each, and wait for the other."""
    limits = Limits({"x": 2})
    graph = Pipeline("test", [producer(limit="x"), reader(limit="x")]).build()
    results = await asyncio.gather(*(graph.run(limits=limits) for _ in range(30)))
    assert [4] * 30 == [one.data("r")["got"] for one in results]
    assert (120.0, True) == (now(), unused(limits))


def begun(name, log, **options):
    """Return a stage that notes that it runs."""

    async def runner():
        log.append(name)

    return stage(name, runner, **options)


@simulated
async def test_fewer_permits_than_a_group_needs_are_refused_before_the_first_stage():
    """The error names those who need them, and no other that names the limit."""
    log = []
    stages = [begun("first", log), begun("other", log, limit="x"), producer(limit="x"), reader(limit="x")]
    with pytest.raises(LimitTooSmallError, match="p, r start together") as caught:
        await Pipeline("test", stages).run(limits=Limits({"x": 1}))
    error = caught.value
    assert ("x", 2, 1, ("p", "r"), []) == (error.limit, error.needed, error.capacity, error.stages, log)


@simulated
async def test_the_stages_are_named_that_need_too_many_permits_of_one_limit():
    """Not their neighbours, who need one of another."""
    stages = [producer(limit="x"), reader("r", limit="y"), reader("s", limit="x")]
    with pytest.raises(LimitTooSmallError) as caught:
        await Pipeline("test", stages).run(limits=Limits({"x": 1, "y": 1}))
    assert ("x", ("p", "s")) == (caught.value.limit, caught.value.stages)


@simulated
async def test_a_limit_of_a_group_that_the_run_was_not_given_is_told_with_its_stage():
    """As that of any stage, also if there are too few permits of another one."""
    stages = [producer(limit="x"), reader("r", limit="x"), reader("s", limit="z")]
    for given in (Limits({"x": 1}), Limits({"x": 2}), Limits({"y": 1})):
        with pytest.raises(UnknownLimitError) as caught:
            await Pipeline("test", stages).run(limits=given)
        told = ("s", "z") if "x" in given.names else ("p", "x")
        assert told == (caught.value.stage, caught.value.limit)


@simulated
async def test_a_child_with_such_a_group_is_refused_before_its_first_stage():
    """By the limits of its parent, or those that it is given, and the parent goes on holding its own permit."""
    log, seen = [], []
    limits = Limits({"x": 1})
    inner = Pipeline("inner", [begun("first", log), producer(limit="x"), reader(limit="x")])

    @stage(limit="x")
    async def outer(ctx: StageContext):
        for given in ({}, {"limits": Limits({"x": 1})}):
            with pytest.raises(LimitTooSmallError) as caught:
                await ctx.run_pipeline(inner, **given)
            seen.append((caught.value.stages, limits.in_use("x")))
        await ctx.run_pipeline(inner, limits=Limits({"x": 2}))

    await Pipeline("outer", [outer]).run(limits=limits)
    assert ([(("p", "r"), 1)] * 2, ["first"]) == (seen, log)


@simulated
async def test_a_limit_may_be_as_small_as_the_largest_group_needs():
    """Two groups are not added up: the one waits for the other."""
    limits = Limits({"x": 2})
    stages = [producer(limit="x"), reader(limit="x"), producer("q", limit="x"), reader("s", "q", limit="x")]
    results = await Pipeline("test", stages).run(limits=limits)
    assert (4, 4, 8.0) == (results.data("r")["got"], results.data("s")["got"], now())


@pytest.mark.parametrize("bound", [None, 1])
@simulated(seeds=range(20))
async def test_groups_that_take_two_limits_in_opposite_order_do_not_wait_for_each_other(bound):
    """What the one has the other needs: each takes both or none."""
    limits = Limits({"x": 1, "y": 1, "z": 1})
    one = Pipeline("one", [producer(limit="x"), reader(limit="y")], max_concurrency=bound).build()
    other = Pipeline("other", [producer(limit="y"), reader(limit="x")], max_concurrency=bound).build()
    three = Pipeline(
        "three",
        [producer(limit="z"), reader("m", limit="y"), reader("r", limit="x")],
        max_concurrency=bound,
    ).build()
    results = await asyncio.gather(*(graph.run(limits=limits) for _ in range(10) for graph in (one, other, three)))
    assert [4] * 30 == [result.data("r")["got"] for result in results]
    assert unused(limits)


@simulated(seeds=range(20))
async def test_groups_of_one_pipeline_do_not_wait_for_each_other():
    """Nor for stages beside, whose permits they need, too."""
    limits = Limits({"x": 1, "y": 1})

    stages = [
        producer(limit="x"),
        producer("q", limit="y"),
        *(stage(f"x{number}", Busy(), limit="x") for number in range(5)),
        *(stage(f"y{number}", Busy(), limit="y") for number in range(5)),
        reader(limit="y"),
        reader("s", "q", limit="x"),
    ]
    results = await Pipeline("test", stages).run(limits=limits)
    assert (4, 4, 13.0) == (results.data("r")["got"], results.data("s")["got"], now())
    assert unused(limits)


# --- when permits are taken, and given back ----------------------------------------------------------------------


@simulated
async def test_permits_are_taken_when_all_can_be_had_and_given_back_one_by_one():
    """Each member gives its own back when it ends; the wait is written down for each, and only for those."""
    limits = Limits({"x": 1, "y": 1, "z": 1})
    await hold(limits, {"y": 1}, 2)
    log = []
    stages = [
        producer(limit="x", runner=Producer(2, log=log)),
        reader("m", limit="y", runner=Reader("p", seconds=3, log=log)),
        reader("n", runner=Reader("p", log=log)),
    ]
    run = Pipeline("test", stages).start(limits=limits)
    assert [(0, 1, 0), (1, 1, 0), (0, 1, 0), (0, 0, 0)] == await look(limits, 1, 3, 5, 9)
    results = await run
    assert {("p", 2.0), ("m", 2.0), ("n", 2.0)} == set(log)
    waited = {name: results.record(name).statistics.get("limit") for name in results}
    assert {"p": {"name": "x", "waited_ms": 2000.0}, "m": {"name": "y", "waited_ms": 2000.0}, "n": None} == waited


@simulated(seeds=range(20))
async def test_a_group_with_several_roots_takes_its_permits_once():
    """Whichever of them comes first, the others wait with it, and the roots without a limit as well."""
    limits = Limits({"x": 3, "y": 1})
    await hold(limits, {"y": 1}, 2)
    log = []
    stages = [
        producer(limit="x", runner=Producer(log=log)),
        producer("q", limit="x", runner=Producer(log=log)),
        producer("o", runner=Producer(log=log)),
        reader("r", "p", "q", "o", runner=Reader("p", "q", "o", log=log), limit="y"),
    ]
    run = Pipeline("test", stages).start(limits=limits)
    assert [(0, 1), (2, 1)] == await look(limits, 1, 3)
    assert 12 == (await run).data("r")["got"]
    assert {("p", 2.0), ("q", 2.0), ("o", 2.0), ("r", 2.0)} == set(log)
    assert unused(limits)


def never(inputs, snapshot):
    return False


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("skipped", ["p", "q", "r", "s"])
@simulated(seeds=range(5))
async def test_a_member_that_its_condition_skips_gives_its_part_back(skipped, waits):
    """Also if it was skipped before the group had its permits, and if it is a root."""
    limits = Limits({"p": 1, "q": 1, "r": 1, "s": 1})
    if waits:
        await hold(limits, {"p": 1, "q": 1, "r": 1, "s": 1}, 1)
    when = {name: (never if name == skipped else None) for name in limits.names}
    runners = {"p": Producer(20), "q": Producer(20), "r": Reader("p"), "s": Reader("p", "q")}
    stages = [
        producer("p", runners["p"], limit="p", when=when["p"]),
        producer("q", runners["q"], limit="q", when=when["q"]),
        reader("r", "p", runner=runners["r"], limit="r", when=when["r"]),
        reader("s", "p", "q", runner=runners["s"], limit="s", when=when["s"]),
    ]
    run = Pipeline("test", stages).start(limits=limits)
    ((*held,),) = await look(limits, 5)
    results = await run
    ran = {name for name in limits.names if results[name].status is OK}
    assert {name: int(name in ran) for name in limits.names} == dict(zip(limits.names, held, strict=True))
    assert (SKIP, True) == (results[skipped].status, unused(limits))


@simulated
async def test_a_member_skipped_for_what_it_waits_for_outside_takes_no_permit():
    """The rest of the group does not wait for one that is not there."""
    limits = Limits({"x": 1, "y": 1})

    @stage
    async def gate():
        return StageOutput.skip("not today")

    stages = [
        gate,
        producer(limit="x"),
        reader("r", limit="y", dependencies="gate"),
        reader("s", runner=Reader("p", seconds=1)),
    ]
    run = Pipeline("test", stages).start(limits=limits)
    assert [(1, 0)] == await look(limits, 1)
    results = await run
    assert (SKIP, OK, OK) == (results["r"].status, results["p"].status, results["s"].status)


@simulated(seeds=range(10))
async def test_a_group_without_its_roots_takes_its_permits_at_once_all_the_same():
    """Those that can do without the stream of a root that is skipped are then the first of the group."""
    limits = Limits({"x": 2})

    class Passing:
        async def execute(self, ctx):
            for number in range(4):
                yield number
                await asyncio.sleep(1)

    graph = Pipeline(
        "test",
        [
            producer(when=never),
            stage("m", Passing(), streams="p", optional="p", limit="x", stream=ONE),
            stage("r", Reader("m"), streams=("p", "m"), optional="p", limit="x"),
        ],
    ).build()
    results = await asyncio.gather(*(graph.run(limits=limits) for _ in range(10)))
    assert [4] * 10 == [one.data("r")["got"] for one in results]
    assert (40.0, True) == (now(), unused(limits))


@simulated(seeds=range(10))
async def test_a_member_that_a_skip_lets_go_does_not_take_permits_before_the_others_can_start():
    """They wait for a stage outside, which waits for one of these permits."""
    limits = Limits({"x": 1, "y": 1})

    @stage
    async def gate():
        return StageOutput.skip("not today")

    @stage
    async def first():
        await asyncio.sleep(1)

    async def needs():
        await asyncio.sleep(1)

    stages = [
        gate,
        first,
        stage("needs", needs, limit="y", dependencies="first"),
        producer(limit="y", dependencies="needs"),
        producer("m", Passing(), streams="p", dependencies="gate"),
        stage("r", Reader(), streams="m", optional="m", limit="x"),
    ]
    results = await outcome(*stages, limits=limits)
    assert ("completed", OK, True) == (results.status, results["r"].status, unused(limits))


@simulated(seeds=range(10))
async def test_a_group_of_which_nobody_runs_for_a_moment_keeps_its_slot():
    """Else another group would have it, and wait for permits that this one gives back when its last member has run."""
    limits = Limits({"x": 1, "y": 1})
    stages = [
        producer(runner=Producer(0), limit="y"),
        producer("q", limit="y"),
        reader("s", "q", limit="x"),
        producer("m", Passing(), streams="p", when=never),
        stage("r", Reader(), streams="m", optional="m", limit="x"),
    ]
    results = await outcome(*stages, limits=limits, max_concurrency=1)
    assert ("completed", OK, {"got": 4}) == (results.status, results["r"].status, results.data("s"))


@simulated(seeds=range(10))
async def test_those_that_are_left_of_a_group_without_its_roots_start_with_the_first_of_them():
    """On one slot, though they only read and came into the queue one by one."""
    limits = Limits({"x": 1, "y": 1})

    @stage
    async def a():
        pass

    stages = [
        producer("p1", when=never),
        a,
        producer("p2", when=never),
        stage("n", Busy(), dependencies="a"),
        producer("q", dependencies="a", limit="x"),
        reader("s", "q", limit="y"),
        reader("both", "p1", "p2"),
        stage("r1", Reader(), streams="p1", optional="p1", limit="x"),
        stage("r2", Reader(), streams="p2", optional="p2", limit="y"),
    ]
    results = await outcome(*stages, limits=limits, max_concurrency=1)
    assert ("completed", OK, OK, {"got": 4}) == (
        results.status,
        results["r1"].status,
        results["r2"].status,
        results.data("s"),
    )


@simulated
async def test_the_largest_priority_of_a_group_counts():
    """It goes before those that came earlier."""
    limits, log = Limits({"x": 2}), []
    await hold(limits, {"x": 2}, 1)

    def group(name, **options):
        return Pipeline(
            name,
            [
                producer(name, Producer(log=log), limit="x"),
                reader("r", name, runner=Reader(name), limit="x", **options),
            ],
        )

    runs = [group("a", priority=1).start(limits=limits), group("b", priority=2).start(limits=limits)]
    for run in runs:
        await run
    assert [("b", 1.0), ("a", 5.0)] == log


# --- who waits meanwhile -----------------------------------------------------------------------------------------


@simulated
async def test_a_group_that_waits_keeps_nobody_from_what_it_does_not_have():
    """Another stage takes the permit that is free, and stages without limits go on."""
    limits, log = Limits({"x": 1, "y": 1}), []
    await hold(limits, {"x": 1}, 5)

    class Beside:
        async def execute(self, ctx):
            await asyncio.sleep(1)
            log.append((ctx.stage_name, now()))

    stages = [
        producer(limit="x"),
        reader(limit="y"),
        stage("y", Beside(), limit="y"),
        stage("after", Beside(), limit="y", dependencies="y"),
        stage("free", Beside()),
    ]
    results = await Pipeline("test", stages).run(limits=limits)
    assert [("y", 1.0), ("free", 1.0), ("after", 2.0)] == sorted(log, key=lambda one: (one[1], one[0] != "y"))
    assert 9_000.0 == results.duration_ms


@simulated
async def test_a_group_that_waits_does_not_starve():
    """However many come for the one permit that it could have."""
    limits = Limits({"x": 1, "y": 1})
    started = []

    busy = Pipeline("busy", [stage("a", Busy(), limit="x")]), Pipeline("busy", [stage("a", Busy(), limit="y")])

    async def flood(pipeline):
        for _ in count():
            await pipeline.run(limits=limits)
            if started:
                return

    floods = [asyncio.create_task(flood(one)) for one in (*busy, *busy)]
    await asyncio.sleep(0.5)
    await Pipeline("test", [producer(limit="x", runner=Producer(log=started)), reader(limit="y")]).run(limits=limits)
    await asyncio.gather(*floods)
    assert started[0][1] < 30


# --- how it ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cancel", "timeout", "failure", "caller", "stage"])
@simulated(seeds=range(10))
async def test_a_run_that_ends_while_its_group_waits_leaves_nothing_behind(how):
    """No member has begun, and the permits that it waited for are free for others."""
    limits, log = Limits({"x": 2, "y": 1}), []
    await hold(limits, {"y": 1}, 3)

    async def beside():
        await asyncio.sleep(2)
        if how == "failure":
            raise ValueError("no")
        return StageOutput.cancel("enough") if how == "stage" else None

    stages = [
        producer(limit="x", runner=Producer(log=log)),
        producer("q", limit="x", runner=Producer(log=log)),
        reader("r", "p", "q", limit="y", runner=Reader("p", "q", log=log)),
        stage("beside", beside),
    ]
    run = Pipeline("test", stages, timeout=2 if how == "timeout" else None).start(limits=limits)
    await asyncio.sleep(1)
    assert (1, 1) == (limits.waiting("x"), limits.waiting("y"))
    if how == "cancel":
        run.cancel("enough")
    elif how == "caller":
        task = asyncio.ensure_future(run.outcome())
        await asyncio.sleep(0.5)
        run.cancel()
        await task
    results = await run.outcome()
    assert [CANCEL] * 3 == [results[name].status for name in "pqr"]
    waited = {name: results.record(name).statistics["limit"]["waited_ms"] for name in "pqr"}
    assert dict.fromkeys("pqr", 1e3 * now()) == waited
    assert ([], 0, 0, 0) == (log, limits.in_use("x"), limits.waiting("x"), limits.waiting("y"))
    await asyncio.sleep(3)
    assert unused(limits)


@pytest.mark.parametrize("turns", range(5))
@simulated(seeds=range(10))
async def test_permits_that_come_as_the_run_ends_go_back(turns):
    """However few turns lie between, nobody has begun or all are told to stop."""
    limits, log = Limits({"x": 2, "y": 1}), []
    permit = await limits.acquire({"y": 1})
    stages = [
        producer("o", runner=Producer(log=log)),  # which takes them for all
        producer(limit="x", runner=Producer(log=log)),
        producer("q", limit="x", runner=Producer(log=log)),
        reader("r", "p", "q", "o", limit="y", runner=Reader("p", "q", "o", log=log)),
    ]
    run = Pipeline("test", stages).start(limits=limits)
    await asyncio.sleep(1)
    permit.release()
    for _ in range(turns):
        await asyncio.sleep(0)
    run.cancel("enough")
    results = await run.outcome()
    assert [CANCEL] * 4 == [results[name].status for name in "pqor"]
    assert unused(limits)
    assert turns or not log


ENDINGS = {
    "raises": ValueError("no"),
    "fails": StageOutput.fail("no"),
    "skips": StageOutput.skip("no"),
    "cancels": StageOutput.cancel("no"),
    "suspends": StageOutput.suspend({}),
}


@pytest.mark.parametrize("on_failure", ["fail_fast", "continue"])
@pytest.mark.parametrize("who", ["p", "m", "r"])
@pytest.mark.parametrize("how", ENDINGS)
@simulated(seeds=range(3))
async def test_all_permits_are_back_however_a_member_ends(how, who, on_failure):
    """At its beginning or in the midst of the stream."""

    class Ending:
        """Streams and reads, and ends in the midst."""

        def __init__(self, source):
            self.source = source

        async def execute(self, ctx):
            ends = ENDINGS[how] if ctx.stage_name == who else None
            chunks = ctx.inputs.stream(self.source) if self.source else numbers()
            async for chunk in chunks:
                yield chunk
                if chunk == 2 and ends is not None:
                    if isinstance(ends, BaseException):
                        raise ends
                    yield ends
                    return

    async def numbers():
        for number in range(6):
            await asyncio.sleep(1)
            yield number

    limits = Limits({"x": 2, "y": 1})
    stages = [
        stage("p", Ending(None), limit="x", stream=ONE),
        stage("m", Ending("p"), limit="y", streams="p", stream=ONE),
        stage("r", Ending("m"), limit="x", streams="m", stream=ONE),
    ]
    results = await outcome(*stages, limits=limits, on_failure=on_failure)
    assert OK is not results[who].status
    assert unused(limits)


@pytest.mark.parametrize("option", ["timeout", "deadline"])
@pytest.mark.parametrize("who", ["p", "r"])
@simulated(seeds=range(5))
async def test_all_permits_are_back_after_a_time_limit(who, option):
    """Of a member, which stops when it is told to."""
    limits = Limits({"x": 2})
    options = {name: {option: 2} if name == who else {} for name in "pr"}
    results = await outcome(
        producer(limit="x", **options["p"]), reader(limit="x", **options["r"]), limits=limits, on_failure="continue"
    )
    assert (FAIL, True) == (results[who].status, unused(limits))


@simulated
async def test_the_time_that_a_group_waits_is_not_part_of_a_deadline():
    """It has not begun: unlike a stage of its own, whose wait is."""
    limits = Limits({"x": 2})
    await hold(limits, {"x": 1}, 10)
    results = await outcome(producer(limit="x", deadline=6), reader(limit="x", deadline=6), limits=limits)
    assert ("completed", 14.0) == (results.status, now())


@simulated
async def test_an_attempt_that_is_left_behind_keeps_its_part_until_it_ends():
    """Its reader gives its own back at once."""
    limits, ended = Limits({"x": 1, "y": 1}), []

    class Stubborn:
        async def execute(self, ctx):
            yield 1
            until = now() + 20
            while now() < until:
                try:
                    await asyncio.sleep(until - now())
                except asyncio.CancelledError:
                    continue
            ended.append((now(), limits.in_use("x")))

    policy = RetryPolicy(max_attempts=3, base_delay=0, retry_on=TimeoutError)
    run = Pipeline(
        "test",
        [
            producer(runner=Stubborn(), limit="x", critical=False, retry=policy, timeout=1),
            reader(limit="y", runner=Reader("p")),
        ],
        cancel_grace=2,
    ).start(limits=limits)
    results = await run.outcome()
    assert (3.0, ("p",), 1, 0) == (now(), results.stragglers, limits.in_use("x"), limits.in_use("y"))
    service = Pipeline("next", [producer(limit="x")])
    await service.run(limits=limits)
    assert ([(20.0, 1)], 24.0, True) == (ended, now(), unused(limits))


@simulated
async def test_a_run_that_waits_for_a_human_holds_no_permits():
    """Its group was done before, or waits for the decision and takes them when that has come."""
    limits = Limits({"x": 2})

    @stage
    async def ask(ctx: StageContext):
        return StageOutput.ok() if ctx.decision else StageOutput.suspend({})

    pipeline = Pipeline(
        "test",
        [
            ask,
            producer(limit="x"),
            reader(limit="x"),
            producer("q", limit="x"),
            reader("s", "q", limit="x", dependencies="ask"),
        ],
    )
    results = await pipeline.start(limits=limits).outcome()
    assert ("suspended", OK, True) == (results.status, results["r"].status, unused(limits))
    results = await pipeline.run(resume=results, decisions={"ask": 1}, limits=limits)
    assert ({"got": 4}, True) == (results.data("s"), unused(limits))


@simulated
async def test_a_member_that_was_skipped_before_its_run_was_suspended_takes_no_part_when_it_is_resumed():
    """The others take what they need, and nothing is left of its own."""
    limits = Limits({"x": 1, "y": 1})

    @stage
    async def ask(ctx: StageContext):
        return StageOutput.ok() if ctx.decision else StageOutput.suspend({})

    @stage
    async def gate():
        return StageOutput.skip("not today")

    pipeline = Pipeline(
        "test",
        [
            ask,
            gate,
            producer(limit="x", dependencies="ask"),
            reader("r", limit="y", dependencies="gate"),
            reader("s", runner=Reader("p", seconds=1)),
        ],
    )
    results = await pipeline.start(limits=limits).outcome()
    run = pipeline.start(resume=results, decisions={"ask": 1}, limits=limits)
    assert [(1, 0)] == await look(limits, 2)
    results = await run
    assert (SKIP, {"got": 4}, True) == (results["r"].status, results.data("s"), unused(limits))


@simulated
async def test_a_root_that_is_cancelled_while_it_waits_lets_another_one_take_the_permits():
    """By somebody who cancels every task there is: what is left of the group needs them all the same."""
    limits = Limits({"x": 1, "y": 1, "z": 1})
    await hold(limits, {"y": 1}, 2)
    stages = [
        producer(limit="x", critical=False),
        producer("q", limit="y"),
        stage("r", Reader("q"), streams=("p", "q"), optional="p", limit="z"),
    ]
    run = Pipeline("test", stages).start(limits=limits)
    await asyncio.sleep(1)
    next(iter(run._run.state.workers)).cancel()
    assert [(0, 1, 0), (0, 1, 1)] == await look(limits, 0.5, 2)
    results = await run
    assert (FAIL, {"got": 4}, True) == (results["p"].status, results.data("r"), unused(limits))
    assert {"name": "z", "waited_ms": 2000.0} == results.record("r").statistics["limit"]


def test_limits_of_another_loop_fail_every_root():
    """None of them runs without what the group was to have."""
    limits, other, log = Limits({"x": 2, "y": 1}), asyncio.new_event_loop(), []
    try:
        permit = other.run_until_complete(limits.acquire({"x": 1}))
        with pytest.raises(StageExecutionError) as caught:
            Pipeline(
                "test",
                [
                    producer(limit="x", runner=Producer(log=log)),
                    producer("q", runner=Producer(log=log)),
                    reader("r", "p", "q", runner=Reader("p", "q", log=log), limit="y"),
                ],
                on_failure="continue",
            ).run_sync(limits=limits)
        permit.release()
    finally:
        other.close()
    results = caught.value.results
    assert [] == log
    assert [(FAIL, ForeignLoopError)] * 2 == [(results[one].status, type(results[one].error.exception)) for one in "pq"]


# --- retries -----------------------------------------------------------------------------------------------------

POLICY = RetryPolicy(max_attempts=2, base_delay=10, max_delay=10, jitter=False, retry_on=ConnectionError)


@pytest.mark.parametrize("who", ["p", "r"])
@pytest.mark.parametrize(("limited", "during"), [("both", (1, 1)), ("one", None)])
@simulated(seeds=range(5))
async def test_a_back_off_keeps_a_permit_only_if_another_member_holds_one(limited, during, who):
    """Then the next attempt would have to wait for a permit while the other one waits for it."""
    limits = Limits({"p": 1, "r": 1})
    other = "r" if who == "p" else "p"
    failing = [ConnectionError("busy")]
    options = {who: {"limit": who, "retry": POLICY}, other: {"limit": other} if limited == "both" else {}}
    run = Pipeline(
        "test",
        [
            producer(runner=Producer(then=failing if who == "p" else None), **options["p"]),
            reader(runner=Reader("p", then=failing if who == "r" else None), **options["r"]),
        ],
    ).start(limits=limits)
    assert [during or (0, 0)] == await look(limits, 5)
    results = await run
    record = results.record(who)
    assert (2, {"got": 4}, True) == (record.attempts, results.data("r"), unused(limits))
    assert {"name": who, "waited_ms": 0.0} == record.statistics["limit"]


# --- children ----------------------------------------------------------------------------------------------------


def using(log, seconds=1.0, name="use"):
    """Return a pipeline that needs a permit."""

    async def runner(ctx: StageContext):
        log.append(now())
        assert ctx._scope.permit.is_held
        await asyncio.sleep(seconds)

    return Pipeline(name, [stage("use", runner, limit="x")])


def calling(inner, times=1, name="call"):
    """Return a stage that runs a pipeline as its child, `times` at once, and holds its permit again afterwards."""

    async def runner(ctx: StageContext):
        await asyncio.gather(*(ctx.run_pipeline(inner) for _ in range(times)))
        assert ctx._scope.permit is None or ctx._scope.permit.is_held

    return runner


@pytest.mark.parametrize("options", [{}, {"timeout": 60}, {"retry": POLICY}, {"version": "1"}])
@simulated
async def test_a_parent_with_the_only_permit_runs_a_child_that_needs_it(options):
    """It has its own again before it goes on."""
    limits, log = Limits({"x": 1}), []
    await outcome(stage("call", calling(using(log)), limit="x", **options), limits=limits)
    assert ([0.0], 1.0, True) == (log, now(), unused(limits))


@simulated
async def test_a_parent_has_its_permit_again_when_its_child_has_failed():
    """Before it sees why: it may go on with what the limit protects."""
    limits, held = Limits({"x": 1}), []

    async def fails():
        raise ValueError("no")

    @stage(limit="x")
    async def call(ctx: StageContext):
        with pytest.raises(StageExecutionError):
            await ctx.run_pipeline(Pipeline("inner", [stage("fails", fails, limit="x")]))
        held.append((ctx._scope.permit.is_held, limits.in_use("x")))

    results = await outcome(call, limits=limits)
    assert ("completed", [(True, 1)], True) == (results.status, held, unused(limits))


@simulated
async def test_children_three_deep_that_all_need_the_only_permit():
    """Each lends it to the next."""
    limits, log = Limits({"x": 1}), []
    inner = using(log)
    for name in ("third", "second"):
        inner = Pipeline(name, [stage("call", calling(inner), limit="x")])
    results = await outcome(stage("call", calling(inner), limit="x"), limits=limits)
    assert ("completed", [0.0], True) == (results.status, log, unused(limits))


@simulated
async def test_several_children_at_once_of_the_only_permit():
    """They have it one after the other, and the parent once they are all done."""
    limits, log = Limits({"x": 1}), []
    results = await outcome(stage("call", calling(using(log), times=4), limit="x"), limits=limits)
    assert ("completed", [0.0, 1.0, 2.0, 3.0], True) == (results.status, log, unused(limits))


@pytest.mark.parametrize("depth", [1, 3])
@simulated
async def test_items_of_a_map_run_children_that_need_their_permit(depth):
    """Over a list or over chunks."""
    for over in ("list", "chunks"):
        limits, log = Limits({"x": 1}), []
        inner = using(log)
        for _ in range(depth - 1):
            inner = Pipeline("middle", [stage("call", calling(inner, times=2), limit="x")])

        async def numbers():
            return {"items": [1, 2, 3]}

        if over == "list":
            source, map_over = stage("p", numbers), ("p", "items")
        else:
            source, map_over = producer(runner=Producer(3, 0)), "p"
        results = await outcome(
            source, stage("call", calling(inner, times=2), map_over=map_over, limit="x"), limits=limits
        )
        assert ("completed", 3 * 2**depth, True) == (results.status, len(log), unused(limits))


@simulated
async def test_a_child_whose_group_needs_the_permits_of_its_parent_has_them():
    """All of them, and its own as well."""
    limits, log = Limits({"x": 2}), []
    inner = Pipeline("inner", [producer(limit="x", runner=Producer(log=log)), reader(limit="x")])
    stages = [stage(f"call{number}", calling(inner), limit="x") for number in range(4)]
    results = await outcome(*stages, limits=limits)
    assert ("completed", 4, True) == (results.status, len(log), unused(limits))


def chunks_and_child(inner):
    """Return a runner that yields chunks and then runs a child."""

    async def runner(ctx: StageContext):
        yield 1
        await ctx.run_pipeline(inner)

    return runner


def read_and_child(inner):
    """Return a class of runner that reads a chunk and then runs a child."""

    class Runner:
        async def execute(self, ctx):
            async for _ in ctx.inputs.stream("p"):
                await ctx.run_pipeline(inner)

    return Runner()


def deadlock_in(error):
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@pytest.mark.parametrize("deeper", [False, True])
@pytest.mark.parametrize(
    "who", ["producer", "reader", "item", "producer of two", "reader of two", "managed", "another reader"]
)
@simulated
async def test_a_child_that_needs_permits_is_refused_while_another_member_holds_one(who, deeper):
    """However many there are: the error says which child, of which stage, and what is held."""
    limits, log = Limits({"x": 9, "y": 9}), []
    inner = using(log, name="inner")
    if deeper:
        inner = Pipeline("middle", [stage("deep", calling(inner))])
    stages, holding = {
        "producer": ([producer("p", chunks_and_child(inner)), reader(limit="y")], "y"),
        "reader": ([producer(limit="y"), reader(runner=read_and_child(inner))], "y"),
        "item": ([producer(limit="y"), stage("each", calling(inner), map_over="p")], "y"),
        "producer of two": ([producer("p", chunks_and_child(inner), limit="x"), reader(limit="y")], "y"),
        "reader of two": ([producer(limit="y"), reader(runner=read_and_child(inner), limit="x")], "y"),
        "managed": ([producer(limit="y"), reader(runner=read_and_child(inner), timeout=60)], "y"),
        "another reader": ([producer(), reader("q", limit="y"), reader(runner=read_and_child(inner))], "y"),
    }[who]
    results = await outcome(*stages, limits=limits)
    error = deadlock_in(results.error)
    assert (LimitDeadlockError, "inner", "deep" if deeper else error.stage, holding) == (
        type(error),
        error.pipeline,
        error.stage,
        error.holding,
    )
    assert ([], True) == (log, unused(limits))


@pytest.mark.parametrize("who", ["producer", "reader", "producer beside a map", "item"])
@simulated
async def test_the_only_member_that_holds_a_permit_lends_it_to_its_child(who):
    """So does an item; and while only items hold permits, which wait for nobody, all others run such children."""
    limits, log = Limits({"x": 1}), []
    inner = using(log)
    stages = {
        "producer": [producer("p", chunks_and_child(inner), limit="x"), reader()],
        "reader": [producer(runner=Producer(1)), reader(runner=read_and_child(inner), limit="x")],
        "producer beside a map": [
            producer("p", chunks_and_child(inner)),
            stage("each", calling(using(log)), map_over="p", limit="x"),
        ],
        "item": [producer(runner=Producer(1)), stage("each", calling(inner), map_over="p", limit="x"), reader()],
    }[who]
    results = await outcome(*stages, limits=limits)
    assert ("completed", 2 if "map" in who else 1, True) == (results.status, len(log), unused(limits))


@simulated
async def test_a_stage_outside_of_the_group_runs_such_a_child_meanwhile():
    """What holds for the members is theirs."""
    limits, log = Limits({"x": 1, "y": 1}), []
    beside = stage("call", calling(using(log))), stage("other", calling(using(log)), limit="x")
    results = await outcome(producer(limit="y"), reader(), *beside, limits=limits)
    assert ("completed", 2, True) == (results.status, len(log), unused(limits))
