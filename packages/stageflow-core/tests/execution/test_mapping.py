"""A mapped stage: which items it runs for, what it returns for them, and how it ends."""

import asyncio
import gc
import logging
import tracemalloc
import weakref
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from stageflow import (
    Limits,
    Pipeline,
    PipelineCancelled,
    PipelineResults,
    PipelineSuspended,
    RetryPolicy,
    StageArtifact,
    StageContext,
    StageEvent,
    StageExecutionError,
    StageOutput,
    StageStatus,
    stage,
)
from stageflow.core.timer import HOLD_NS
from stageflow.errors import (
    ItemSuspendedError,
    MapItemError,
    MapSourceError,
    MissingRetryPolicyError,
    NotMappedError,
    ResumeError,
    StageContractError,
    StageReturnedFailure,
    StageTimeoutError,
)
from stageflow.execution.progress import Progress
from stageflow.interceptors.base import BaseInterceptor, ErrorAction, InterceptorResult
from stageflow_mocks.simulation import VirtualClockLoop, run, simulated

OVER = ("source", "items")


def now():
    return asyncio.get_running_loop().time()


def source(items, key="items"):
    async def execute(ctx: StageContext):
        return {key: items}

    return stage("source", Runner(execute))


class Runner:
    """A stage of a function that takes the context."""

    def __init__(self, execute):
        self._execute = execute

    async def execute(self, ctx):
        return await self._execute(ctx)


def each(function, name="each", **options):
    """Return a stage that awaits the function for each item of 'source'."""
    return stage(name, Runner(function), map_over=OVER, **options)


async def mapped(items, function, *, more=(), sink=None, pipeline=None, **options):
    """Run a stage over the items, and return the results however it ends."""
    stages = [source(items), each(function, **options), *more]
    return await Pipeline("p", stages, **(pipeline or {})).start(event_sink=sink).outcome()


def failure_of(results, name="each"):
    error = results[name].error
    assert error is not None, results
    return error.exception


async def doubled(ctx):
    return {"n": ctx.item * 2}


class Counting:
    """Counts the items that run at once, and takes a second for each."""

    def __init__(self, seconds=1.0):
        self.running = self.most = 0
        self.order = []
        self.seconds = seconds

    async def __call__(self, ctx):
        self.running += 1
        self.most = max(self.most, self.running)
        self.order.append(ctx.item)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
        return {"n": ctx.item}


class Ticker:
    """An async iterable that counts, pausing before each number, and knows whether it was closed."""

    pulled = 0
    closed = 0

    def __init__(self, count, pause=None, fails_after=None):
        self.count, self.pause, self.fails_after = count, pause, fails_after

    def __deepcopy__(self, memo):
        return self

    async def __aiter__(self):
        try:
            for number in range(self.count):
                if number == self.fails_after:
                    raise ConnectionError("gone")
                if self.pause is not None:
                    await asyncio.sleep(self.pause)
                self.pulled += 1
                yield number
        finally:
            self.closed += 1


# --- items and results -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("items", [[1, 2, 3], (1, 2, 3), range(1, 4), deque([1, 2, 3]), Ticker(4)])
@simulated
async def test_a_stage_runs_once_for_each_item(items):
    """Whatever kind of sequence it is, or an async iterable; the results are in the order of the items."""

    async def negative(ctx):
        await asyncio.sleep(10 - ctx.item)
        return {"n": -ctx.item, "at": ctx.index}

    results = await mapped(items, negative)
    found = [(one["n"], one["at"]) for one in results.data("each")["items"]]
    first = 0 if isinstance(items, Ticker) else 1
    assert [(-number, place) for place, number in enumerate(range(first, 4))] == found
    assert {"items"} == results.data("each").keys()


@pytest.mark.parametrize("items", [[], (), range(0), Ticker(0)])
@simulated
async def test_no_items_are_all_right(items):
    """A stage that is mapped over nothing ends OK with nothing, and is started once."""
    results = await mapped(items, doubled)
    assert {"items": []} == results.data("each")
    assert 1 == results.record("each").attempts
    assert {
        "items": 0,
        "ok": 0,
        "skipped": 0,
        "failed": 0,
        "cancelled": 0,
        "attempts": 0,
        "high_water": 0,
    } == results.record("each").statistics["map"]


@simulated
async def test_a_skip_leaves_none():
    """Skipped items stand as None among the others, and are counted."""

    async def odd(ctx):
        return StageOutput.skip("even") if ctx.item % 2 == 0 else {"n": ctx.item}

    results = await mapped(range(4), odd)
    assert [None, {"n": 1}, None, {"n": 3}] == results.data("each")["items"]
    assert {
        "items": 4,
        "ok": 2,
        "skipped": 2,
        "failed": 0,
        "cancelled": 0,
        "attempts": 4,
        "high_water": 1,
    } == results.record("each").statistics["map"]


@dataclass(frozen=True)
class Reply:
    text: str


@dataclass
class Draft:
    lines: list[str] = field(default_factory=list)


@simulated
async def test_the_value_of_an_item_is_what_stands_among_the_results():
    """A contract value stands as itself; what may be changed is a copy for each reader."""

    async def reply(ctx):
        return Reply(ctx.item) if ctx.index == 0 else Draft([ctx.item])

    seen = []

    @stage
    async def reader(each: Mapping[str, Any]):
        seen.append(each["items"][1])
        each["items"][1].lines.append("mine")

    results = await mapped(["a", "b"], reply, more=[reader, reader.named("again")])
    assert [Reply("a"), Draft(["b"])] == results.value("each")["items"]
    assert seen[0] is not seen[1]
    with pytest.raises(TypeError, match="frozen"):
        results.data("each")["items"].append(1)


@simulated
async def test_parameters_stand_beside_the_item():
    """A function reads its dependencies as ever, the source too, and the item by its context."""

    @stage
    async def rate():
        return {"factor": 10}

    @stage(name="each", map_over=OVER)
    async def times(ctx: StageContext, source: Mapping[str, Any], rate: dict[str, Any]):
        return {"n": ctx.item * rate["factor"], "of": len(source["items"])}

    results = await Pipeline("p", [source([1, 2]), rate, times]).run()
    assert [{"n": 10, "of": 2}, {"n": 20, "of": 2}] == results.data("each")["items"]


@simulated
async def test_items_come_from_a_field_of_a_contract_value():
    """The key is one of the data, which a contract value has, too."""

    @dataclass
    class Page:
        rows: list[int]

    @stage
    async def page() -> Page:
        return Page([1, 2])

    @stage(map_over=(page, "rows"))
    async def double(ctx: StageContext):
        return {"n": 2 * ctx.item}

    results = await Pipeline("p", [page, double]).run()
    assert [{"n": 2}, {"n": 4}] == results.data(double)["items"]


@simulated
async def test_each_attempt_gets_the_item_as_it_was():
    """What may be changed is a copy for each attempt, and the same one whenever an attempt asks."""
    seen = []

    async def change(ctx):
        assert ctx.item is ctx.item
        ctx.item.lines.append("more")
        seen.append(list(ctx.item.lines))
        return StageOutput.retry("again") if ctx.attempt == 1 else {"lines": ctx.item.lines}

    draft = Draft(["a"])
    policy = RetryPolicy(max_attempts=2, base_delay=0)
    results = await mapped([draft], change, retry=policy)
    assert [["a", "more"]] * 2 == seen
    assert ["a"] == results.data("source")["items"][0].lines


@pytest.mark.parametrize("options", [{}, {"timeout": 5}, {"retry": RetryPolicy()}], ids=str)
@simulated
async def test_a_class_is_made_once_for_all_items(options):
    """A runner that is a class has one instance for a run, whatever that is mapped over."""
    made = []

    class Stage:
        def __init__(self):
            made.append(self)
            self.count = 0

        async def execute(self, ctx):
            self.count += 1
            return {"count": self.count}

    pipeline = Pipeline("p", [source([1, 2, 3]), stage("each", Stage, map_over=OVER, **options)])
    results = await pipeline.run()
    await pipeline.run()
    assert [1, 2, 3] == [one["count"] for one in results.data("each")["items"]]
    assert 2 == len(made)


@simulated
async def test_a_stage_that_is_not_mapped_has_no_item():
    """It has no index either, and is told how to get both."""

    async def ask(ctx):
        assert ctx.index is None
        return {"item": ctx.item}

    results = await Pipeline("p", [stage("s", Runner(ask))]).start().outcome()
    assert isinstance(failure_of(results, "s"), NotMappedError)


class Bad(Sequence[int]):
    """A sequence that can be read up to a point."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        if index == 2:
            raise LookupError("torn")
        return index


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "None"),
        (3, "an int"),
        ("text", "a str"),
        (b"bytes", "a bytes"),
        ({"a": 1}, "a mapping"),
        ({1, 2}, "a frozenset"),
    ],
    ids=str,
)
@simulated
async def test_what_is_no_sequence_is_refused(value, what):
    """The error names the stage, the source, the key and what is there, without telling it."""
    results = await mapped(value, doubled)
    error = failure_of(results)
    assert isinstance(error, MapSourceError)
    assert isinstance(error, TypeError)
    assert ("each", "source", "items") == (error.stage, error.source, error.key)
    assert f"is {what}" == error.problem


@simulated
async def test_a_missing_key_is_refused():
    """The error lists the keys that there are."""
    results = await Pipeline("p", [source([1], key="rows"), each(doubled)]).start().outcome()
    error = failure_of(results)
    assert isinstance(error, MapSourceError)
    assert "is missing" == error.problem
    assert "'rows'" in str(error)


@pytest.mark.parametrize(("items", "error"), [(Bad(), LookupError), (Ticker(5, fails_after=2), ConnectionError)])
@simulated
async def test_a_source_that_raises_fails_the_stage(items, error):
    """What was raised is the cause, and the results until then are in the error."""
    results = await mapped(items, doubled, map_concurrency=1)
    failure = failure_of(results)
    assert isinstance(failure, MapSourceError)
    assert isinstance(failure.__cause__, error)
    assert {0: {"n": 0}, 1: {"n": 2}} == failure.completed


# --- how many at once --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "bound", "most"), [({}, None, 10), ({"map_concurrency": 3}, None, 3), ({"map_concurrency": 7}, 2, 2)]
)
@pytest.mark.parametrize("make", [range, Ticker])
@simulated
async def test_only_so_many_items_run_at_once(make, options, bound, most):
    """At most `map_concurrency`, ten unless given, and never more than the pipeline's `max_concurrency`."""
    counting = Counting()
    results = await mapped(make(30), counting, pipeline={"max_concurrency": bound}, **options)
    assert most == counting.most == results.record("each").statistics["map"]["high_water"]
    assert list(range(30)) == counting.order
    assert -(-30 // most) == pytest.approx(now())


@simulated
async def test_a_slot_is_taken_by_the_next_item_at_once():
    """A slow item does not hold up those behind it."""

    async def take(ctx):
        await asyncio.sleep(100 if ctx.index == 0 else 1)
        return {"at": now()}

    results = await mapped(range(11), take, map_concurrency=2)
    assert [100, *range(1, 11)] == [one["at"] for one in results.data("each")["items"]]


@simulated
async def test_a_source_is_pulled_only_when_a_task_is_free():
    """What has been pulled and has not ended never exceeds the concurrency."""
    ticker, ahead, ended = Ticker(40), [], []

    async def watch(ctx):
        ahead.append(ticker.pulled - len(ended))
        await asyncio.sleep(1)
        ended.append(ctx.item)

    await mapped(ticker, watch, map_concurrency=4)
    assert 4 == max(ahead)
    assert 40 == len(ended)


@simulated
async def test_a_slow_source_is_awaited():
    """Items start when they come, one after the other if they are faster than the source."""
    results = await mapped(Ticker(5, pause=2), Counting(seconds=1))
    assert 11 == now()
    assert 1 == results.record("each").statistics["map"]["high_water"]


@pytest.mark.parametrize("make", [range, Ticker])
def test_a_million_items_cost_no_more_memory_than_their_results(make):
    """Tasks and scopes follow the concurrency: the peak is the list of results and little more."""

    async def nothing(ctx):
        return None

    count = 30_000  # a million only takes longer, and was measured by hand
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        results = asyncio.run(mapped(make(count), nothing))
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert count == len(results.data("each")["items"])
    assert peak < 40 * count  # a scope or a task for each would be hundreds of bytes


@pytest.fixture
def slow_clock(monkeypatch):
    """Let each reading of the run's clock be later by more than a run may hold the loop."""
    readings = iter(range(1, 10**12, HOLD_NS * 2))
    monkeypatch.setattr(VirtualClockLoop, "perf_counter_ns", lambda _: next(readings))


class Steady(Ticker):
    """An async iterable that is not an async generator, and never suspends."""

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.pulled == self.count:
            raise StopAsyncIteration
        self.pulled += 1
        return self.pulled


@pytest.mark.parametrize("make", [range, Steady])
@simulated
async def test_others_get_their_turn_between_items(make, slow_clock):
    """Items that take long without suspending run one a turn, whoever else was ready."""
    seen, waiting, most = [], True, 4

    async def instant(ctx):
        await gate.wait()
        seen.append(turns[0])

    turns, gate = [0], asyncio.Event()

    async def count():
        while waiting:
            turns[0] += 1
            if turns[0] == 20:
                gate.set()
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await mapped(make(50), instant, map_concurrency=most)
    waiting = False
    await counting
    assert max(Counter(seen).values()) <= most + 1


@simulated
async def test_others_get_their_turn_between_the_items_of_a_wide_map(slow_clock):
    """A source that never suspends is not pulled to its end in one turn, however many items may run at once."""

    async def wait(ctx):
        await asyncio.sleep(1)

    running = asyncio.create_task(mapped(steady := Steady(300), wait, map_concurrency=300))
    seen = []
    while steady.pulled < 300:
        seen.append(steady.pulled)
        await asyncio.sleep(0)
    await running
    assert max(later - earlier for earlier, later in pairwise([*seen, 300])) <= 2


@simulated
async def test_tasks_come_twice_as_many_each_turn():
    """A wide map of items that wait is under way after a few turns of the loop."""
    gate, started = asyncio.Event(), []

    async def wait(ctx):
        started.append(ctx.index)
        await gate.wait()

    handle = Pipeline("p", [source(range(64)), each(wait, map_concurrency=64)]).start()
    for _ in range(25):
        await asyncio.sleep(0)
    assert 64 == len(started)
    gate.set()
    await handle


tenant = ContextVar("tenant", default="nobody")
listed: ContextVar[list[str]] = ContextVar("listed")


@pytest.mark.parametrize("make", [range, Ticker])
@pytest.mark.parametrize("seconds", [None, 1])
@simulated
async def test_a_contextvar_reaches_no_other_item(make, seconds):
    """Neither those that come after it in the same task, nor the source, nor what runs later."""
    tenant.set("caller")
    seen = []

    async def sets(ctx):
        seen.append(tenant.get())
        tenant.set(f"item {ctx.index}")
        if seconds is not None:
            await asyncio.sleep(seconds)
        return {"mine": tenant.get()}

    results = await mapped(make(25), sets, map_concurrency=4)
    assert ["caller"] * 25 == seen
    assert [f"item {index}" for index in range(25)] == [one["mine"] for one in results.data("each")["items"]]
    assert "caller" == tenant.get()


@simulated
async def test_an_item_that_marks_its_task_as_cancelled_harms_no_other():
    """The task makes room for another one."""

    async def marks(ctx):
        if ctx.index % 3 == 0:
            asyncio.current_task().cancel()
        else:
            await asyncio.sleep(1)
        return {"n": ctx.item}

    results = await mapped(range(9), marks, map_concurrency=2)
    assert list(range(9)) == [one["n"] for one in results.data("each")["items"]]


@pytest.mark.parametrize("make", [range, Ticker])
@simulated
async def test_a_contextvar_that_nobody_had_set_reaches_no_other_item(make):
    """Nor does one that is set to an equal value, which is another object."""
    seen = []

    async def sets(ctx):
        seen.append(tenant.get())
        tenant.set("mine")

    await mapped(make(9), sets, map_concurrency=2)
    assert ["nobody"] * 9 == seen
    mine: list[str] = []
    listed.set(mine)
    seen.clear()

    async def sets_equal(ctx):
        seen.append(listed.get() is mine)
        listed.set([])

    await mapped(make(9), sets_equal, map_concurrency=2)
    assert [True] * 9 == seen


class Generator:
    """An async iterable that holds a time limit while it is read, which belongs to the task that entered it."""

    def __deepcopy__(self, memo):
        return self

    async def __aiter__(self):
        async with asyncio.timeout(1000):
            tenant.set("source")
            for number in range(6):
                await asyncio.sleep(1)
                yield number


@simulated
async def test_a_source_is_pulled_by_one_task():
    """What belongs to a task or a context stays right for it, and reaches no item."""

    async def look(ctx):
        await asyncio.sleep(5)
        return {"tenant": tenant.get()}

    results = await mapped(Generator(), look, map_concurrency=2)
    assert [{"tenant": "nobody"}] * 6 == results.data("each")["items"]


# --- how it ends -------------------------------------------------------------------------------------------------


class Tidy:
    """Fails or not by the item, and notes which items were cleaned up."""

    def __init__(self, act):
        self.act = act
        self.cleaned = []
        self.ended = []

    async def __call__(self, ctx):
        try:
            result = await self.act(ctx)
            self.ended.append(ctx.index)
            return result
        finally:
            await asyncio.sleep(0.5)
            self.cleaned.append(ctx.index)


@simulated
async def test_an_item_that_fails_fails_the_stage():
    """The others are cancelled and awaited; what had ended is in the error, and nothing is left behind."""

    async def act(ctx):
        await asyncio.sleep(ctx.item)
        if ctx.index == 3:
            raise ValueError("boom")
        return StageOutput.skip("none") if ctx.index == 1 else {"n": ctx.item}

    tidy = Tidy(act)
    results = await mapped([1, 1, 9, 2, 9, 9], tidy, map_concurrency=5)
    error = failure_of(results)
    assert isinstance(error, MapItemError)
    assert (3, "each") == (error.index, error.stage)
    assert isinstance(error.__cause__, ValueError)
    assert {0: {"n": 1}, 1: None} == error.completed
    assert {0, 1, 2, 3, 4, 5} == set(tidy.cleaned)
    assert {
        "items": 6,
        "ok": 1,
        "skipped": 1,
        "failed": 1,
        "cancelled": 3,
        "attempts": 6,
        "high_water": 5,
    } == results.record("each").statistics["map"]
    assert "Item 3 of stage 'each' failed: ValueError: boom." in str(results.error)
    assert 3.0 == now()


@simulated
async def test_of_several_failures_in_one_turn_the_first_item_is_told():
    """Not the one whose task happened to run first; what fails when it is cancelled does not count."""

    async def fail(ctx):
        try:
            await asyncio.sleep(3 if ctx.index == 0 else 1 if ctx.index in (2, 4) else 5)
        except asyncio.CancelledError:
            raise KeyError("while cancelled") from None
        if ctx.index == 2:  # a turn after the map has seen that item 4 failed
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        raise ValueError(ctx.index)

    results = await mapped(range(5), fail)
    assert 4 == failure_of(results).index

    async def together(ctx):
        await asyncio.sleep(10 - ctx.index)
        await gate.wait()
        raise ValueError(ctx.index)

    gate = asyncio.Event()
    asyncio.get_running_loop().call_later(50, gate.set)
    results = await mapped(range(5), together)
    assert 0 == failure_of(results).index


@pytest.mark.parametrize(
    ("returned", "cause", "told"),
    [
        (StageOutput.fail("no such row", code="row"), StageReturnedFailure, "no such row"),
        (StageOutput.fail(LookupError("row")), LookupError, "LookupError: row"),
        (StageOutput.retry("busy"), MissingRetryPolicyError, "busy"),
        (StageOutput.suspend("may I?"), ItemSuspendedError, "stage of its own"),
        (7, TypeError, "returned an int"),
    ],
    ids=["text", "exception", "retry", "suspend", "type"],
)
@simulated
async def test_what_an_item_returns_can_fail_the_stage(returned, cause, told):
    """As it would for a stage that is not mapped, with the item's place."""

    async def give(ctx):
        return returned if ctx.index == 1 else {}

    results = await mapped(range(3), give, map_concurrency=1)
    error = failure_of(results)
    assert 1 == error.index
    assert isinstance(error.__cause__, cause)
    assert told in error.message
    assert {0: {}} == error.completed


@simulated
async def test_an_item_may_cancel_the_run():
    """In good order, as any stage; the other items have been cancelled and awaited."""

    async def act(ctx):
        await asyncio.sleep(1 if ctx.index == 1 else 5)
        return StageOutput.cancel("enough")

    tidy = Tidy(act)
    results = await mapped(range(3), tidy)
    assert isinstance(results.error, PipelineCancelled)
    assert "enough" == results["each"].reason
    assert {0, 1, 2} == set(tidy.cleaned)
    assert "cancelled" == results.status


@pytest.mark.parametrize("make", [range, Ticker])
@simulated
async def test_of_a_failure_the_results_so_far_are_told(make):
    """Only those of items that have ended, whatever the items came from."""

    async def act(ctx):
        await asyncio.sleep(3 - ctx.index)
        if ctx.index == 1:
            raise ValueError("boom")

    results = await mapped(make(3), act)
    assert {2: {}} == failure_of(results).completed


@simulated
async def test_of_several_items_that_cancel_the_first_is_told():
    """Whichever came first in the turn."""

    async def act(ctx):
        await gate.wait() if ctx.index else await late.wait()
        return StageOutput.cancel(f"by {ctx.index}")

    gate, late = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().call_later(5, gate.set)
    asyncio.get_running_loop().call_later(5, late.set)
    results = await mapped(range(3), act)
    assert "by 0" == results["each"].reason


@simulated
async def test_nothing_starts_once_the_run_is_stopping():
    """Also in the turn in which a sibling has failed, before the items are cancelled."""
    gate, started = asyncio.Event(), []

    async def act(ctx):
        started.append(ctx.index)
        for _ in range(5):
            await asyncio.sleep(0)
        gate.set()
        await asyncio.sleep(0)

    async def fails(ctx):
        await gate.wait()
        raise ValueError("sibling")

    await mapped(range(5), act, map_concurrency=1, more=[stage("sibling", Runner(fails))])
    assert [0] == started


@simulated
async def test_a_run_that_is_cancelled_while_its_map_winds_down_waits_for_the_items():
    """The map has failed by then, and says so; no item outlives it."""

    async def act(ctx):
        if ctx.index == 1:
            await asyncio.sleep(1)
            raise ValueError("boom")
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(5)
            cleaned.append(ctx.index)

    cleaned = []
    handle = Pipeline("p", [source(range(3)), each(act)], cancel_grace=20).start()
    asyncio.get_running_loop().call_later(3, handle.cancel, "enough")
    results = await handle.outcome()
    assert 6 == now()
    assert [0, 2] == sorted(cleaned)
    assert 1 == failure_of(results).index
    assert () == results.stragglers


@simulated
async def test_a_further_cancellation_is_passed_on():
    """An item whose cleanup hangs is told again."""

    async def act(ctx):
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1000)

    handle = Pipeline("p", [source(range(3)), each(act)], cancel_grace=500).start()
    await asyncio.sleep(1)
    (worker,) = (task for task in asyncio.all_tasks() if task.get_name() == "stageflow worker")
    handle.cancel("enough")
    await asyncio.sleep(1)
    worker.cancel()
    results = await handle.outcome()
    assert 2 == now()
    assert StageStatus.CANCEL is results["each"].status


@pytest.mark.parametrize("make", [range, Ticker])
@simulated
async def test_a_run_that_is_cancelled_cancels_its_items(make):
    """They are awaited, and no further one starts."""

    async def act(ctx):
        await asyncio.sleep(10)

    tidy, ticker = Tidy(act), make(100)
    handle = Pipeline("p", [source(ticker), each(tidy, map_concurrency=3)]).start()
    asyncio.get_running_loop().call_later(15, handle.cancel, "enough")
    results = await handle.outcome()
    assert StageStatus.CANCEL is results["each"].status
    assert [0, 1, 2] == sorted(tidy.ended)
    assert set(range(6)) == set(tidy.cleaned)
    assert () == results.stragglers
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if isinstance(ticker, Ticker):
        assert 1 == ticker.closed


@simulated
async def test_a_sibling_that_fails_cancels_the_items():
    """Its failure is the run's, and the map has its CANCEL."""

    async def act(ctx):
        await asyncio.sleep(10)

    async def fails(ctx):
        await asyncio.sleep(3)
        raise ValueError("sibling")

    tidy = Tidy(act)
    results = await mapped(range(20), tidy, more=[stage("sibling", Runner(fails))])
    assert "sibling" == results.error.stage
    assert StageStatus.CANCEL is results["each"].status
    assert 10 == len(tidy.cleaned)
    assert {
        "items": 10,
        "ok": 0,
        "skipped": 0,
        "failed": 0,
        "cancelled": 10,
        "attempts": 10,
        "high_water": 10,
    } == results.record("each").statistics["map"]


@simulated
async def test_the_deadline_bounds_the_whole_stage():
    """All items are cancelled and awaited when it is up."""

    async def act(ctx):
        await asyncio.sleep(2)

    tidy = Tidy(act)
    results = await mapped(range(100), tidy, map_concurrency=2, deadline=6)
    error = failure_of(results)
    assert isinstance(error, StageTimeoutError)
    assert "deadline" == error.limit
    assert [0, 1, 2, 3] == sorted(tidy.ended)
    assert [0, 1, 2, 3, 4, 5] == sorted(tidy.cleaned)
    assert 6.5 == now()


@simulated
async def test_the_timeout_bounds_each_item():
    """Each attempt of each item has its own."""

    async def act(ctx):
        await asyncio.sleep(4 if ctx.index == 5 and ctx.attempt < 3 else 1)
        return {"attempt": ctx.attempt}

    policy = RetryPolicy(max_attempts=3, base_delay=1, jitter=False, retry_on=TimeoutError)
    results = await mapped(range(6), act, timeout=2, retry=policy)
    assert [1, 1, 1, 1, 1, 3] == [one["attempt"] for one in results.data("each")["items"]]
    assert 8 == results.record("each").statistics["map"]["attempts"]
    assert 1 == results.record("each").attempts
    late = await mapped(range(6), act, timeout=2)
    assert 5 == failure_of(late).index
    assert isinstance(failure_of(late).__cause__, StageTimeoutError)


async def stubborn(seconds):
    """Sleep, whoever cancels it."""
    until = now() + seconds
    while now() < until:
        try:
            await asyncio.sleep(until - now())
        except asyncio.CancelledError:
            continue


@simulated
async def test_an_item_that_does_not_stop_is_left_behind(recorder, caplog):
    """The map fails when the grace period is over; the stage is named among the stragglers."""

    async def act(ctx):
        if ctx.index == 1:
            await asyncio.sleep(1)
            raise ValueError("boom")
        await stubborn(30)
        raise ConnectionError("late")

    with caplog.at_level(logging.WARNING):
        results = await mapped(range(2), act, sink=recorder, pipeline={"cancel_grace": 2})
        assert 3 == now()
        assert 1 == failure_of(results).index
        assert ("each",) == results.stragglers
        assert 1 == recorder.types.count("stage.each.straggling")
        await asyncio.sleep(60)
    assert "ended after it had been left behind: it raised ConnectionError: late" in caplog.text


@simulated
async def test_an_attempt_that_its_timeout_leaves_behind_is_not_tried_again(caplog):
    """It might run twice; other items still may be tried again."""
    tries = []

    async def act(ctx):
        tries.append(ctx.index)
        if ctx.index == 0:
            await stubborn(20)
        elif ctx.attempt < 3:
            await asyncio.sleep(9)
            return StageOutput.retry("again")
        return {"attempt": ctx.attempt}

    class Forgiving(BaseInterceptor):
        async def around(self, ctx, call):
            try:
                return await call()
            except StageTimeoutError:
                return StageOutput.skip("late")

    policy = RetryPolicy(max_attempts=3, base_delay=1, jitter=False, retry_on=TimeoutError)
    options = {"timeout": 10, "retry": policy}
    results = await mapped(range(2), act, pipeline={"cancel_grace": 1}, **options)
    assert 0 == failure_of(results).index
    assert 1 == tries.count(0)
    assert ("each",) == results.stragglers
    forgiven = await mapped(range(2), act, pipeline={"cancel_grace": 0.5, "interceptors": (Forgiving(),)}, **options)
    assert "completed" == forgiven.status
    assert [None, {"attempt": 3}] == forgiven.data("each")["items"]
    await asyncio.sleep(60)


@simulated
async def test_a_cancellation_that_nobody_asked_for_is_a_failure():
    """CancelledError raised by an item is that item's failure, and ends the map, not the run."""

    async def act(ctx):
        if ctx.index == 2:
            raise asyncio.CancelledError
        return {}

    results = await mapped(range(4), act, critical=False)
    assert 2 == failure_of(results).index
    assert isinstance(failure_of(results).__cause__, asyncio.CancelledError)
    assert "completed" == results.status


@simulated
async def test_what_an_item_raises_while_it_is_cancelled_is_logged(caplog):
    """It changes nothing, and is not lost."""

    async def act(ctx):
        if ctx.index == 1:
            raise ValueError("boom")
        try:
            await asyncio.sleep(10)
        finally:
            raise OSError("disk full")

    results = await mapped(range(2), act)
    assert 1 == failure_of(results).index
    assert "An item or the source of stage 'each' raised when it was cancelled: OSError: disk full" in caplog.text


@simulated
async def test_a_source_is_closed_when_the_map_ends_early():
    """An async generator lets go of what it holds, whether it is being read or waits."""

    async def act(ctx):
        await asyncio.sleep(1)
        raise ValueError("boom")

    for pause in (None, 0.9):
        ticker = Ticker(50, pause=pause)
        results = await mapped(ticker, act, map_concurrency=3)
        assert 0 == failure_of(results).index
        assert 1 == ticker.closed
        assert ticker.pulled < 5


@simulated
async def test_a_failed_map_keeps_nothing_of_its_run():
    """The error that is told holds none of our frames, which hold everything."""

    class Row:
        pass

    rows = []

    async def act(ctx):
        row = Row()
        rows.append(weakref.ref(row))
        await asyncio.sleep(1)
        return {}

    async def fails(ctx):
        if ctx.index == 0:
            return await act(ctx)
        await asyncio.sleep(2)
        raise ValueError("boom")

    results = await mapped(range(2), fails)
    gc.collect()
    assert rows[0]() is None
    frames = []
    for error in (failure_of(results), failure_of(results).__cause__):
        trace = error.__traceback__
        while trace is not None:
            frames.append(trace.tb_frame.f_globals["__name__"])
            trace = trace.tb_next
    assert not [name for name in frames if name.startswith("stageflow.execution")]


# --- per item ----------------------------------------------------------------------------------------------------


@simulated
async def test_each_item_is_tried_again_by_itself(recorder):
    """With its own attempts and its own key; events say which item it is."""
    keys = {}

    async def act(ctx):
        keys.setdefault(ctx.index, set()).add(ctx.idempotency_key)
        if ctx.attempt <= ctx.item:
            raise ConnectionError("busy")
        return {"attempt": ctx.attempt}

    policy = RetryPolicy(max_attempts=4, base_delay=1, jitter=False, retry_on=ConnectionError)
    results = await mapped([0, 2, 1], act, retry=policy, sink=recorder)
    assert [1, 3, 2] == [one["attempt"] for one in results.data("each")["items"]]
    assert {
        "items": 3,
        "ok": 3,
        "skipped": 0,
        "failed": 0,
        "cancelled": 0,
        "attempts": 6,
        "high_water": 2,
    } == results.record("each").statistics["map"]
    run_id = results.pipeline_run_id
    assert {index: {f"{run_id}:each[{index}]"} for index in range(3)} == keys
    retries = [
        (event["data"]["index"], event["attempt"])
        for event in recorder.events
        if event["event_type"] == "stage.each.retrying"
    ]
    assert [(1, 1), (1, 2), (2, 1)] == sorted(retries)
    assert 1 == recorder.types.count("stage.each.started")
    assert 1 == recorder.types.count("stage.each.completed")


@simulated
async def test_attempts_that_are_used_up_fail_the_item():
    """Exactly so many, and the cause is what the last one raised."""
    tries = []

    async def act(ctx):
        tries.append(ctx.attempt)
        raise ConnectionError(ctx.attempt)

    policy = RetryPolicy(max_attempts=3, base_delay=1, jitter=False, retry_on=ConnectionError)
    results = await mapped([0], act, retry=policy)
    assert [1, 2, 3] == tries
    assert (3,) == failure_of(results).__cause__.args
    assert 3 == results.record("each").statistics["map"]["attempts"]


@simulated
async def test_each_attempt_of_each_item_takes_a_permit():
    """Also beyond what the map runs at once, and not during a back-off."""
    running, most = 0, 0

    async def act(ctx):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1
        if ctx.index == 0 and ctx.attempt == 1:
            return StageOutput.retry("busy", after=100)
        return {"at": now(), "index": ctx.index, "attempt": ctx.attempt}

    policy = RetryPolicy(max_attempts=2, base_delay=1, jitter=False)
    stages = [source(range(7)), each(act, retry=policy, limit="crm", map_concurrency=5)]
    limits = Limits({"crm": 2})
    results = await Pipeline("p", stages).run(limits=limits)
    assert 2 == most
    assert [102, 1, 2, 2, 3, 3, 4] == [one["at"] for one in results.data("each")["items"]]
    assert [(0, 2), *((index, 1) for index in range(1, 7))] == [
        (one["index"], one["attempt"]) for one in results.data("each")["items"]
    ]
    statistics = results.record("each").statistics
    assert {"map", "limit"} == statistics.keys()
    assert statistics["limit"]["waited_ms"] > 0
    assert 0 == limits.in_use("crm")


class Watching(BaseInterceptor):
    """Notes what it is asked about, and gives the first item in the stage's place."""

    def __init__(self):
        self.seen = []

    async def before(self, ctx):
        self.seen.append(("before", ctx.stage.index, ctx.attempt))
        return InterceptorResult(StageOutput.ok(given=True)) if ctx.stage.index == 0 else None

    async def after(self, ctx, output):
        self.seen.append(("after", ctx.stage.index, output.data))

    async def on_error(self, ctx, error):
        self.seen.append(("error", ctx.stage.index, type(error)))
        return ErrorAction.RETRY


@simulated
async def test_interceptors_run_around_each_attempt_of_each_item():
    """They see the item's context, may give its outcome, and may have it tried again."""

    async def act(ctx):
        if ctx.attempt == 1:
            raise LookupError(ctx.item)
        return {"n": ctx.item}

    watching = Watching()
    spec = each(act, retry=RetryPolicy(max_attempts=2, base_delay=0))
    source_too = Pipeline("p", [source([7, 8]), spec], interceptors=[watching])
    results = await source_too.start().outcome()
    assert [{"given": True}, {"n": 8}] == results.data("each")["items"]
    mine = [one for one in watching.seen if one[1] is not None]
    assert ("before", 0, 1) in mine
    assert [("before", 1, 1), ("error", 1, LookupError), ("before", 1, 2), ("after", 1, {"n": 8})] == [
        one for one in mine if one[1] == 1
    ]


@simulated
async def test_an_interceptor_asks_for_a_retry_that_there_is_no_policy_for():
    """It fails the item, as it does a stage, and says so."""

    async def act(ctx):
        raise LookupError(ctx.item)

    results = await mapped([7, 8], act, pipeline={"interceptors": [Watching()]})
    assert 1 == failure_of(results).index
    assert isinstance(failure_of(results).__cause__, MissingRetryPolicyError)


@simulated
async def test_each_item_must_be_what_the_stage_declares():
    """The error names the place of the item and the path in it; events tell no values."""

    @stage(name="each", map_over=OVER)
    async def reply(ctx: StageContext) -> Reply:
        return Reply(ctx.item)

    pipeline = Pipeline("p", [source(["a", 4_000_111]), reply])
    events = []

    class Sink:
        async def emit(self, *, type, data):
            events.append(data)

        def try_emit(self, *, type, data):
            events.append(data)

    results = await pipeline.start(event_sink=Sink()).outcome()
    error = failure_of(results)
    assert 1 == error.index
    assert isinstance(error.__cause__, StageContractError)
    assert "$.text" == error.__cause__.path
    (failed,) = (event for event in events if event["event_type"] == "stage.each.failed")
    assert "4000111" not in str(failed)
    assert "$.text" in failed["data"]["error"]["message"]


@simulated
async def test_the_version_is_that_of_the_whole_output():
    """Once, and not of each item."""
    results = await mapped([1], doubled, version="7")
    assert "7" == results["each"].version
    assert [{"n": 2}] == results.data("each")["items"]


@simulated
async def test_artifacts_and_events_of_items_are_published_in_order(recorder):
    """With the output of the stage, and also if the stage fails."""

    async def act(ctx):
        await asyncio.sleep(3 - ctx.index)
        output = StageOutput.ok(n=1) if ctx.item else StageOutput.fail("boom")
        return output.publishing(StageArtifact("card", {"of": ctx.index}), StageEvent("seen", {"of": ctx.index}))

    results = await mapped([1, 1], act, sink=recorder, version="2")
    assert [0, 1] == [artifact.payload["of"] for artifact in results["each"].artifacts]
    assert [0, 1] == [event.data["of"] for event in results["each"].events]
    assert "2" == results["each"].version
    kinds = [event["event_type"] for event in recorder.events if event["stage"] == "each"]
    expected = ["stage.each.artifact"] * 2 + ["seen"] * 2
    assert expected == [kind for kind in kinds if kind in expected]
    recorder.events.clear()
    await mapped([0, 1], act, sink=recorder)
    published = [event["data"] for event in recorder.events if event["event_type"] == "stage.each.artifact"]
    assert [0, 1] == [data["payload"]["of"] for data in published]


# --- progress ----------------------------------------------------------------------------------------------------


def told(recorder):
    return [event["data"] for event in recorder.events if event["event_type"] == "stage.each.progress"]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, []), (3, [1, 2, 3]), (100, list(range(1, 101))), (1000, list(range(10, 1001, 10)))],
)
@simulated
async def test_progress_is_told_at_each_hundredth(recorder, count, expected):
    """How many are done, and of how many."""
    await mapped(range(count), doubled, sink=recorder)
    assert [{"done": done, "total": count} for done in expected] == told(recorder)


@simulated
async def test_progress_of_an_odd_number_ends_with_all():
    """At most a hundred times, and the last time all are done."""
    handle = Pipeline("p", [source(range(1234)), each(doubled)]).start()
    events = [dict(event.data) async for event in handle.events() if event.event_type == "stage.each.progress"]
    await handle
    assert 100 == len(events)
    assert {"done": 1234, "total": 1234} == events[-1]


@simulated
async def test_progress_of_an_unknown_number_is_told_as_it_grows_by_a_tenth(recorder):
    """The total is None, and the last event tells them all."""
    await mapped(Ticker(1005), doubled, sink=recorder)
    done = [data["done"] for data in told(recorder)]
    assert all(data["total"] is None for data in told(recorder))
    assert list(range(1, 21)) == done[:20]
    assert 1005 == done[-1]
    assert all(later - earlier >= earlier // 10 for earlier, later in pairwise(done[:-1]))
    assert len(done) < 80


@simulated
async def test_an_item_that_fails_is_no_progress(recorder):
    """What is told as done has ended OK, or was skipped."""

    async def fails(ctx):
        raise ValueError("boom")

    await mapped(range(1), fails, sink=recorder)
    assert [] == told(recorder)


# --- JSON and resuming -------------------------------------------------------------------------------------------


@stage
async def rows():
    return {"items": ["a", "b", "c"]}


@stage(map_over=(rows, "items"))
async def replies(ctx: StageContext) -> Reply:
    return Reply(ctx.item) if ctx.index != 1 else StageOutput.skip("none")


@stage(map_over=(rows, "items"))
async def untyped(ctx: StageContext):
    return Reply(ctx.item)


@stage
async def ask(ctx: StageContext, replies: Mapping[str, Any]):
    if ctx.decision is None:
        return StageOutput.suspend("go on?")
    return {"texts": [None if one is None else one.text for one in replies["items"]]}


@simulated
async def test_results_with_values_of_items_go_through_json_and_are_resumed():
    """The values of the items are there again, by the annotation of the stage."""
    pipeline = Pipeline("p", [rows, replies, ask])
    with pytest.raises(PipelineSuspended) as raised:
        await pipeline.run()
    written = raised.value.results.to_dict()
    read = PipelineResults.from_dict(written)
    assert written == read.to_dict()
    assert {
        "items": 3,
        "ok": 2,
        "skipped": 1,
        "failed": 0,
        "cancelled": 0,
        "attempts": 3,
        "high_water": 1,
    } == read.record("replies").statistics["map"]
    results = await pipeline.run(resume=read, decisions={"ask": True})
    assert ["a", None, "c"] == results.data("ask")["texts"]
    assert [Reply("a"), None, Reply("c")] == results.data("replies")["items"]


@simulated
async def test_values_of_items_whose_type_nobody_declares_cannot_be_made_again():
    """The error says which stage, and what to do."""

    @stage
    async def ask_untyped(ctx: StageContext, untyped: Mapping[str, Any]):
        return StageOutput.suspend("go on?") if ctx.decision is None else {}

    pipeline = Pipeline("p", [rows, untyped, ask_untyped])
    with pytest.raises(PipelineSuspended) as raised:
        await pipeline.run()
    read = PipelineResults.from_dict(raised.value.results.to_dict())
    with pytest.raises(ResumeError, match="untyped"):
        await pipeline.run(resume=read, decisions={"ask_untyped": True})


@simulated
async def test_a_run_is_not_resumed_with_items_of_another_type():
    """What was written is checked against what is declared, with the path to the item."""
    pipeline = Pipeline("p", [rows, replies, ask])
    with pytest.raises(PipelineSuspended) as raised:
        await pipeline.run()
    written = raised.value.results.to_dict()
    written["stages"]["replies"]["output"]["data"]["items"][2]["text"] = 3
    with pytest.raises(ResumeError, match=r"items\[2\]\.text"):
        await pipeline.run(resume=PipelineResults.from_dict(written), decisions={"ask": True})


# --- the loop ----------------------------------------------------------------------------------------------------


def test_ctrl_c_in_an_item_ends_the_program(caplog):
    """It goes through the event loop once, and the other items are cleaned up."""
    cleaned = []

    async def act(ctx):
        if ctx.index == 1:
            for _ in range(5):
                await asyncio.sleep(0)
            raise KeyboardInterrupt
        try:
            await asyncio.sleep(10)
        finally:
            cleaned.append(ctx.index)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(mapped(range(3), act))
    assert [0, 2] == sorted(cleaned)
    gc.collect()
    assert "never retrieved" not in caplog.text


@simulated
async def test_somebody_who_cancels_every_task_harms_no_map_between_items():
    """A task that is cancelled before it has an item is replaced."""

    async def act(ctx):
        await asyncio.sleep(1)
        return {"n": ctx.item}

    handle = Pipeline("p", [source(Ticker(3, pause=5)), each(act)]).start()
    await asyncio.sleep(9)
    for task in asyncio.all_tasks():
        if task.get_name() == "stageflow item of each":
            task.cancel()
    results = await handle
    assert [0, 1, 2] == [one["n"] for one in results.data("each")["items"]]


def cancel_items():
    for task in asyncio.all_tasks():
        if task.get_name() == "stageflow item of each":
            task.cancel()


@pytest.mark.parametrize("make", [range, Ticker])
@simulated
async def test_a_task_that_is_cancelled_before_its_first_step_is_replaced(make):
    """No item waits for it for ever."""

    async def act(ctx):
        tenant.set("mine")  # so that another task takes its place
        if ctx.index == 0:
            asyncio.get_running_loop().call_soon(cancel_items)
        return {"n": ctx.item}

    results = await mapped(make(3), act, map_concurrency=1)
    assert [0, 1, 2] == [one["n"] for one in results.data("each")["items"]]


class Spiteful(Ticker):
    """An async iterable that has every task cancelled that waits for an item, or is about to begin one."""

    async def __aiter__(self):
        for number in range(self.count):
            await asyncio.sleep(1)
            asyncio.get_running_loop().call_soon(cancel_items)
            yield number


@simulated
async def test_an_item_whose_task_was_cancelled_in_that_moment_is_run_by_another():
    """It had been handed over, and is not lost."""
    results = await mapped(Spiteful(5), doubled, map_concurrency=2)
    assert [0, 2, 4, 6, 8] == [one["n"] for one in results.data("each")["items"]]


def test_a_loop_that_goes_on_after_ctrl_c_finds_how_the_map_ended(caplog):
    """The item's failure is the KeyboardInterrupt."""

    async def act(ctx):
        await asyncio.sleep(0)
        raise KeyboardInterrupt

    async def main():
        return await mapped(range(1), act)

    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(main())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        results = loop.run_until_complete(task)
    finally:
        loop.close()
    assert isinstance(failure_of(results).__cause__, KeyboardInterrupt)
    gc.collect()
    assert "never retrieved" not in caplog.text


class Interrupting(Ticker):
    """An async iterable in which Ctrl-C arrives."""

    async def __aiter__(self):
        yield 0
        await asyncio.sleep(0)
        raise KeyboardInterrupt


def test_ctrl_c_in_a_source_ends_the_program(caplog):
    """It goes through the event loop once."""
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(mapped(Interrupting(2), doubled))
    gc.collect()
    assert "never retrieved" not in caplog.text


@simulated
async def test_a_defect_of_a_map_is_shown(monkeypatch):
    """It fails the stage as it is, and leaves no task behind."""

    def broken(self, done):
        raise ZeroDivisionError

    async def act(ctx):
        await asyncio.sleep(1 if ctx.index else 0)

    monkeypatch.setattr(Progress, "reached", broken)
    handle = Pipeline("p", [source(range(3)), each(act)]).start()
    _ = handle.events()
    results = await handle.outcome()
    assert isinstance(failure_of(results), ZeroDivisionError)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


class Untidy(Ticker):
    """An async iterable that fails to let go of what it holds."""

    def __init__(self, count, pause):
        self.count, self.pause = count, pause

    async def __aiter__(self):
        try:
            for number in range(self.count):
                yield number
                await asyncio.sleep(self.pause)
        finally:
            raise OSError("disk full")


@pytest.mark.parametrize(("pause", "told"), [(5, "raised when it was cancelled"), (0, "could not be closed")])
@simulated
async def test_a_source_that_cannot_be_closed_is_logged(pause, told, caplog):
    """Whether it is being read or waits; why the map ended is what counts."""

    async def act(ctx):
        await asyncio.sleep(1)
        raise ValueError("boom")

    results = await mapped(Untidy(10, pause), act, map_concurrency=2)
    assert 0 == failure_of(results).index
    assert told in caplog.text
    assert "disk full" in caplog.text


@simulated
async def test_a_cancelled_caller_waits_for_the_items():
    """Its cancellation goes on when they have stopped."""

    async def act(ctx):
        await asyncio.sleep(10)

    tidy = Tidy(act)
    task = asyncio.create_task(Pipeline("p", [source(range(4)), each(tidy)]).run())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [0, 1, 2, 3] == sorted(tidy.cleaned)
    assert 1.5 == now()


def test_runs_of_one_graph_do_not_meet():
    """Concurrent maps keep their items, counts and results apart."""

    async def act(ctx):
        await asyncio.sleep(ctx.item)
        return {"n": ctx.item, "run": ctx.snapshot.input_text}

    async def main():
        graph = Pipeline("p", [source(range(5)), each(act, map_concurrency=2)]).build()
        return await asyncio.gather(*(graph.run(input_text=str(number)) for number in range(10)))

    for number, results in enumerate(run(main())):
        assert [{"n": n, "run": str(number)} for n in range(5)] == results.data("each")["items"]


@simulated
async def test_the_stages_error_is_what_the_run_raises():
    """StageExecutionError has the map's error as its cause, which has the item's."""

    async def act(ctx):
        raise ValueError("boom")

    with pytest.raises(StageExecutionError) as raised:
        await Pipeline("p", [source([1]), each(act)]).run()
    assert isinstance(raised.value.__cause__, MapItemError)
    assert "map-item" == raised.value.stage_code
    assert 1 == raised.value.attempts
