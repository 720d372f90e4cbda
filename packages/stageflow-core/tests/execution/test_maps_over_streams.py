"""Stages that are mapped over the chunks of another one, while it makes them."""

import asyncio

import pytest
from stageflow import (
    Limits,
    Pipeline,
    RetryPolicy,
    StageContext,
    StageExecutionError,
    StageOutput,
    StageStatus,
    StageTimeoutError,
    StreamOptions,
    stage,
)
from stageflow.errors import MapItemError
from stageflow_mocks.simulation import simulated

OK, SKIP, CANCEL, FAIL = StageStatus.OK, StageStatus.SKIP, StageStatus.CANCEL, StageStatus.FAIL


def now():
    return asyncio.get_running_loop().time()


class Numbers:
    """Yields numbers, notes when each was taken, and ends as it is told."""

    def __init__(self, count=6, seconds=0.0, ends=None):
        self.count = count
        self.seconds = seconds
        self.ends = ends
        self.made = 0
        self.closed_at = None

    async def execute(self, ctx):
        try:
            for number in range(self.count):
                self.made = number + 1
                yield number
                await asyncio.sleep(self.seconds)
            if isinstance(self.ends, BaseException):
                raise self.ends
            if self.ends is not None:
                yield self.ends
        finally:
            self.closed_at = now()


class Each:
    """Takes a second for each item, and ends as it is told for some."""

    def __init__(self, ends=None, seconds=1.0):
        self.ends = {} if ends is None else ends
        self.seconds = seconds
        self.log = []
        self.cancelled = []
        self.running = self.most = 0

    async def execute(self, ctx):
        self.log.append((ctx.index, ctx.item, now()))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled.append(ctx.index)
            raise
        finally:
            self.running -= 1
        ends = self.ends.get(ctx.index)
        if isinstance(ends, list):
            ends = ends.pop(0) if ends else None
        if isinstance(ends, BaseException):
            raise ends
        return {"item": ctx.item} if ends is None else ends


def pair(numbers, each, capacity=16, bound=None, of_numbers=None, **options):
    stages = [
        stage("numbers", numbers, stream=StreamOptions(capacity=capacity), **(of_numbers or {})),
        stage("each", each, map_over="numbers", **options),
    ]
    return Pipeline("test", stages, max_concurrency=bound)


async def outcome(*args, limits=None, **options):
    return await pair(*args, **options).start(limits=limits).outcome()


@simulated(seeds=range(20))
async def test_the_results_are_in_the_order_of_the_chunks():
    """However long each item takes."""

    @stage
    async def numbers():
        for number in range(20):
            yield number

    @stage(map_over="numbers")
    async def each(ctx: StageContext):
        await asyncio.sleep((ctx.item * 7) % 5)
        return {"square": ctx.item**2}

    results = await Pipeline("test", [numbers, each]).run()
    assert [{"square": number**2} for number in range(20)] == results.data("each")["items"]
    assert {"count": 20} == results.data("numbers")


@simulated
async def test_an_empty_stream_gives_no_items():
    """The map ends with its source."""
    results = await outcome(Numbers(0), Each())
    assert ("completed", {"items": []}) == (results.status, results.data("each"))


@simulated(seeds=range(10))
async def test_items_begin_while_their_source_still_makes_others():
    """As soon as each has come."""
    each = Each()
    await outcome(Numbers(4, seconds=10), each)
    assert [(0, 0, 0.0), (1, 1, 10.0), (2, 2, 20.0), (3, 3, 30.0)] == each.log


@pytest.mark.parametrize(("at_once", "bound", "most"), [(3, None, 3), (3, 2, 2), (2, 3, 2), (5, 1, 1)])
@simulated(seeds=range(10))
async def test_so_many_items_run_at_once(at_once, bound, most):
    """As many as both bounds allow, and the group takes one slot."""
    each = Each()
    await outcome(Numbers(12), each, bound=bound, map_concurrency=at_once)
    assert (most, 12 / most) == (each.most, now())


@pytest.mark.parametrize("capacity", [1, 4])
@simulated(seeds=range(10))
async def test_the_source_makes_no_more_than_there_is_room_for(capacity):
    """In the buffer, in the items, and in its own hands."""
    numbers, each = Numbers(100), Each(seconds=10)
    run = pair(numbers, each, capacity=capacity, map_concurrency=2).start()
    await asyncio.sleep(5)
    assert 2 + capacity + 1 == numbers.made
    await asyncio.sleep(10)
    assert 4 + capacity + 1 == numbers.made
    run.cancel("enough")
    await run.outcome()


# --- how items end -----------------------------------------------------------------------------------------------


@simulated(seeds=range(10))
async def test_a_skipped_item_leaves_a_none():
    """And its source goes on."""
    results = await outcome(Numbers(3), Each({1: StageOutput.skip("no")}))
    assert [{"item": 0}, None, {"item": 2}] == results.data("each")["items"]
    counted = results.record("each").statistics["map"]
    assert (3, 2, 1) == (counted["items"], counted["ok"], counted["skipped"])


@pytest.mark.parametrize("end", [ValueError("no"), StageOutput.fail("no")])
@simulated(seeds=range(10))
async def test_an_item_that_fails_ends_the_others_and_closes_the_source(end):
    """The error tells its index and what had come of the others; the source ends OK with what it sent."""
    numbers, each = Numbers(100, seconds=1), Each({2: end}, seconds=1.5)
    results = await outcome(numbers, each, critical=False)
    error = results["each"].error.exception
    assert (MapItemError, 2, {0, 1}) == (type(error), error.index, set(error.completed))
    assert ([3], 3.5) == (each.cancelled, numbers.closed_at)
    assert (OK, {"count": 4}) == (results["numbers"].status, results.data("numbers"))


@simulated(seeds=range(10))
async def test_an_item_that_fails_fails_the_run():
    """The source is told to stop with all the others."""
    numbers = Numbers(100, seconds=1)
    with pytest.raises(StageExecutionError) as caught:
        await pair(numbers, Each({0: ValueError("no")})).run()
    assert ("each", MapItemError) == (caught.value.stage, type(caught.value.__cause__))
    assert 1.0 == numbers.closed_at


@simulated(seeds=range(10))
async def test_an_item_can_cancel_the_run():
    """Its source is closed, as it is whenever nobody reads it any more."""
    numbers = Numbers(100, seconds=1)
    results = await outcome(numbers, Each({1: StageOutput.cancel("enough")}))
    assert ("cancelled", CANCEL, OK) == (results.status, results["each"].status, results["numbers"].status)
    assert 2.0 == numbers.closed_at


@simulated(seeds=range(10))
async def test_an_item_is_tried_again_though_chunks_were_delivered():
    """It has its chunk still, where a stage that reads a stream could not have it a second time."""
    policy = RetryPolicy(max_attempts=3, base_delay=10, max_delay=10, jitter=False, retry_on=ConnectionError)
    each = Each({1: [ConnectionError("busy"), ConnectionError("busy")]})
    results = await outcome(Numbers(3), each, retry=policy)
    assert [{"item": 0}, {"item": 1}, {"item": 2}] == results.data("each")["items"]
    assert [(1, 1, 0.0), (1, 1, 11.0), (1, 1, 22.0)] == [one for one in each.log if one[0] == 1]
    assert 5 == results.record("each").statistics["map"]["attempts"]


@simulated(seeds=range(10))
async def test_each_item_has_a_timeout_of_its_own():
    """The map may take longer."""
    results = await outcome(Numbers(5), Each(), timeout=2, map_concurrency=1)
    assert ("completed", 5.0) == (results.status, now())


@simulated(seeds=range(10))
async def test_a_deadline_ends_the_whole_map_and_closes_its_source():
    """In the midst of its items."""
    numbers, each = Numbers(100, seconds=2), Each(seconds=1.5)
    results = await outcome(numbers, each, deadline=5, critical=False)
    assert isinstance(results["each"].error.exception, StageTimeoutError)
    assert ([2], 5.0, OK) == (each.cancelled, numbers.closed_at, results["numbers"].status)


# --- how the source ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [ValueError("no"), StageOutput.fail("no"), StageOutput.skip("no")])
@simulated(seeds=range(10))
async def test_a_map_is_cut_off_by_a_source_that_breaks(end):
    """Its items are cancelled, none begins, and it is skipped for the source; what had come of it is counted."""
    numbers, each = Numbers(3, seconds=1, ends=end), Each(seconds=1.5)
    results = (
        await Pipeline(
            "test",
            [stage("numbers", numbers, critical=False), stage("each", each, map_over="numbers")],
            on_failure="continue",
        )
        .start()
        .outcome()
    )
    assert (SKIP, "numbers") == (results["each"].status, results.record("each").origin)
    assert ([2], 3, 3.0) == (each.cancelled, len(each.log), now())
    counted = results.record("each").statistics["map"]
    assert (3, 2) == (counted["items"], counted["ok"])


@simulated
async def test_an_item_that_fails_as_its_source_breaks_does_not_make_it_a_failure_of_the_map():
    """In the same turn, but after it: the map was told to stop by then."""
    numbers, each = Numbers(1, seconds=1, ends=ValueError("no")), Each({0: ValueError("no")})
    results = await outcome(numbers, each, of_numbers={"critical": False})
    assert (SKIP, "numbers") == (results["each"].status, results.record("each").origin)


@simulated(seeds=range(10))
async def test_items_that_wait_in_the_buffer_of_a_broken_source_never_begin():
    """They would be part of something that nobody gets."""
    numbers, each = Numbers(5, ends=ValueError("no")), Each()
    results = await outcome(numbers, each, map_concurrency=1, of_numbers={"critical": False})
    assert SKIP is results["each"].status
    assert len(each.log) <= 1


@simulated(seeds=range(10))
async def test_items_that_wait_in_the_buffer_of_a_source_that_ended_well_all_run():
    """Its end comes after them."""
    numbers, each = Numbers(5), Each()
    results = await outcome(numbers, each, map_concurrency=1)
    assert (0.0, 5.0, 5) == (numbers.closed_at, now(), len(results.data("each")["items"]))


@simulated(seeds=range(10))
async def test_a_source_that_never_starts_skips_the_map():
    """As it does every stage that requires it."""
    results = await outcome(Numbers(), Each(), of_numbers={"when": lambda inputs, snapshot: False})
    assert (SKIP, "numbers") == (results["each"].status, results.record("each").origin)


@pytest.mark.parametrize("at", [0.5, 2.5, 4])
@simulated(seeds=range(10))
async def test_a_run_that_is_cancelled_ends_both_sides(at):
    """All items stop before it has ended."""
    numbers, each = Numbers(100, seconds=1), Each(seconds=1.5)
    run = pair(numbers, each).start()
    await asyncio.sleep(at)
    run.cancel("enough")
    results = await run.outcome()
    assert (CANCEL, CANCEL, 0) == (results["numbers"].status, results["each"].status, each.running)
    assert at == numbers.closed_at


# --- permits -----------------------------------------------------------------------------------------------------


@simulated(seeds=range(10))
async def test_each_attempt_of_each_item_takes_a_permit():
    """Between them it is free, and the waits of all are added up."""
    limits = Limits({"x": 2})
    policy = RetryPolicy(max_attempts=2, base_delay=10, max_delay=10, jitter=False, retry_on=ConnectionError)
    each = Each({0: [ConnectionError("busy")]})
    results = await outcome(Numbers(6), each, limit="x", retry=policy, limits=limits)
    assert ("completed", 2, 12.0, 0) == (results.status, each.most, now(), limits.in_use("x"))
    assert {"name": "x", "waited_ms": 2 * 1000.0 + 2 * 2000.0} == results.record("each").statistics["limit"]


@simulated(seeds=range(10))
async def test_several_stages_mapped_over_one_stream_share_a_permit():
    """An item waits for nobody while it holds it, so that the others of the group get it sooner or later."""
    limits, log = Limits({"x": 1}), Each()
    stages = [
        stage("numbers", Numbers(5), stream=StreamOptions(capacity=1)),
        stage("one", log, map_over="numbers", limit="x"),
        stage("other", log, map_over="numbers", limit="x"),
    ]
    results = await Pipeline("test", stages, max_concurrency=1).run(limits=limits)
    assert (5, 5) == (len(results.data("one")["items"]), len(results.data("other")["items"]))
    assert (1, 10.0, 0) == (log.most, now(), limits.in_use("x"))


@pytest.mark.parametrize("how", ["item", "source", "cancel", "deadline"])
@simulated(seeds=range(10))
async def test_no_permit_is_left_when_a_map_ends_early(how):
    """Neither those that items held nor places of those that waited."""
    limits = Limits({"x": 2})
    numbers = Numbers(10, seconds=0.25, ends=ValueError("no") if how == "source" else None)
    each = Each({0: ValueError("no")} if how == "item" else None)
    options = {"deadline": 1.1} if how == "deadline" else {}
    run = pair(numbers, each, limit="x", **options).start(limits=limits)
    if how == "cancel":
        asyncio.get_running_loop().call_later(1.2, run.cancel, "enough")
    results = await run.outcome()
    assert OK is not results["each"].status
    assert (0, 0, 0) == (limits.in_use("x"), limits.waiting("x"), each.running)
