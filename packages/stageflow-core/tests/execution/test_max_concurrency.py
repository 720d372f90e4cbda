"""No more stages of a run at once than it says, and no fewer while there is something to do."""

import asyncio
from contextvars import ContextVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stageflow import (
    Limits,
    Pipeline,
    PipelineContext,
    PipelineTimeoutError,
    RetryPolicy,
    StageContext,
    StageExecutionError,
    StageOutput,
    StageStatus,
    stage,
)
from stageflow.core.context import RunScope
from stageflow.core.timer import PipelineTimer
from stageflow.execution import worker as worker_module
from stageflow.execution.state import RunState
from stageflow_mocks.simulation import VirtualClockLoop, run, simulated

MARK = ContextVar("mark", default=0)


def now():
    return asyncio.get_running_loop().time()


class Meter:
    """Stages that count how many of them run."""

    def __init__(self):
        self.running = 0
        self.most = 0
        self.begun = []

    def stage(self, name, do, **options):
        async def execute(ctx: StageContext):
            self.running += 1
            self.most = max(self.most, self.running)
            self.begun.append(name)
            try:
                return await do()
            finally:
                self.running -= 1

        return stage(name, Runner(execute), **options)


class Runner:
    def __init__(self, execute):
        self.run = execute

    async def execute(self, ctx):
        return await self.run(ctx)


async def nothing():
    return None


async def wait():
    await asyncio.sleep(1)


async def turn():
    await asyncio.sleep(0)


async def mark():
    MARK.set(MARK.get() + 1)


async def mark_and_wait():
    MARK.set(MARK.get() + 1)
    await asyncio.sleep(1)


async def hold():
    asyncio.get_running_loop().hold(0.0007)


async def swallow():
    asyncio.current_task().cancel()


async def skip():
    return StageOutput.skip("not today")


BEHAVIOURS = [nothing, wait, turn, mark, mark_and_wait, hold, skip]


def names(count):
    return [f"s{number}" for number in range(count)]


@pytest.mark.parametrize("do", [wait, turn, mark_and_wait])
@pytest.mark.parametrize("bound", [1, 7])
@simulated(seeds=range(3))
async def test_a_thousand_side_by_side_run_as_many_at_once_as_there_is_room_for(do, bound):
    """Never more, and it does come to so many."""
    meter = Meter()
    stages = [meter.stage(name, do) for name in names(1000)]
    results = await Pipeline("p", stages, max_concurrency=bound).run()
    assert ("completed", bound) == (results.status, meter.most)
    assert sorted(names(1000)) == sorted(meter.begun)
    if do is not turn:
        assert -(-1000 // bound) == now()


@simulated(seeds=range(5))
async def test_one_at_a_time_is_in_plan_order():
    """Of what is ready together."""
    meter = Meter()
    stages = [meter.stage(name, BEHAVIOURS[number % len(BEHAVIOURS)]) for number, name in enumerate(names(70))]
    await Pipeline("p", stages, max_concurrency=1).run()
    assert (1, names(70)) == (meter.most, meter.begun)


@simulated
async def test_more_room_than_stages_changes_nothing():
    """All that can run does."""
    meter = Meter()
    await Pipeline("p", [meter.stage(name, wait) for name in names(20)], max_concurrency=100).run()
    assert (20, 1.0) == (meter.most, now())


@simulated
async def test_each_run_has_its_own_bound():
    """Runs of one graph do not share it."""
    meter = Meter()
    graph = Pipeline("p", [meter.stage(name, wait) for name in names(6)], max_concurrency=2).build()
    await asyncio.gather(graph.run(), graph.run(), graph.run())
    assert (6, 3.0) == (meter.most, now())


@simulated
async def test_a_stage_that_waits_for_a_permit_or_another_attempt_keeps_its_slot():
    """It has been started."""
    meter, failures = Meter(), [ConnectionError("busy")]

    async def flaky():
        if failures:
            raise failures.pop()
        return {"at": now()}

    policy = RetryPolicy(max_attempts=2, base_delay=10, jitter=False, retry_on=ConnectionError)
    limits = Limits({"x": 1})
    held = await limits.acquire({"x": 1})
    asyncio.get_running_loop().call_later(5, held.release)
    stages = [
        meter.stage("flaky", flaky, retry=policy),
        meter.stage("limited", wait, limit="x"),
        meter.stage("later", wait),
    ]
    results = await Pipeline("p", stages, max_concurrency=2).run(limits=limits)
    assert (6.0, 10.0) == (results.record("later").started_at - results.record("flaky").started_at, now())


@simulated(seeds=range(10))
async def test_a_failure_ends_a_bounded_run():
    """What waited for a worker never starts."""
    meter = Meter()

    async def fail():
        await asyncio.sleep(1)
        raise ValueError("no")

    stages = [meter.stage("bad", fail), *(meter.stage(name, wait) for name in names(20))]
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", stages, max_concurrency=3).run()
    assert len(meter.begun) <= 6
    assert 0 == meter.running
    rest = [name for name in names(20) if name not in meter.begun]
    assert {StageStatus.CANCEL} == {caught.value.results[name].status for name in rest}


@simulated
async def test_what_does_not_depend_on_a_failure_goes_on():
    """With the slot that it leaves."""
    meter = Meter()

    async def fail():
        raise ValueError("no")

    stages = [meter.stage(name, fail if number % 3 == 0 else wait) for number, name in enumerate(names(30))]
    results = await Pipeline("p", stages, max_concurrency=4, on_failure="continue").start().outcome()
    assert (4, 30, 10) == (meter.most, len(meter.begun), len(results.failed()))
    assert 5.0 == now()


@simulated(seeds=range(5))
async def test_a_bounded_run_is_cancelled_or_runs_out_of_time_like_another():
    """Nothing starts any more."""
    meter = Meter()
    pipeline = Pipeline("p", [meter.stage(name, wait) for name in names(20)], max_concurrency=3)
    going = pipeline.start()
    await asyncio.sleep(2.5)
    going.cancel("enough")
    results = await going.outcome()
    assert ("cancelled", 9, 0) == (results.status, len(meter.begun), meter.running)
    limited = Pipeline("p", [meter.stage(name, wait) for name in names(20)], max_concurrency=3, timeout=1.5)
    with pytest.raises(PipelineTimeoutError):
        await limited.run()
    assert (15, 0) == (len(meter.begun), meter.running)


@simulated
async def test_a_resumed_run_is_bounded_as_well():
    """Its own bound, of what is left."""
    meter = Meter()

    async def ask(ctx: StageContext):
        return StageOutput.ok() if ctx.decision else StageOutput.suspend({})

    stages = [stage("ask", Runner(ask)), *(meter.stage(name, wait, dependencies="ask") for name in names(9))]
    pipeline = Pipeline("p", stages, max_concurrency=3)
    results = await pipeline.start().outcome()
    assert ("suspended", []) == (results.status, meter.begun)
    results = await pipeline.run(resume=results, decisions={"ask": True})
    assert ("completed", 3, 3.0) == (results.status, meter.most, now())


@simulated
async def test_workers_who_retire_are_replaced_within_the_bound():
    """A stage that sets a ContextVar, or cancels its own task, costs its worker but no slot."""
    meter = Meter()
    stages = [
        meter.stage(name, (swallow, mark_and_wait, mark, wait)[number % 4]) for number, name in enumerate(names(80))
    ]
    results = await Pipeline("p", stages, max_concurrency=5).run()
    assert ("completed", 5, 80) == (results.status, meter.most, len(meter.begun))
    assert 8.0 == now()


@simulated
async def test_whoever_cancels_every_worker_between_two_stages_does_not_stall_the_run():
    """Others take their place."""
    meter = Meter()
    workers = []

    async def cancel_the_others():
        mine = asyncio.current_task()
        workers.extend(
            task for task in asyncio.all_tasks() if task.get_name() == "stageflow worker" and task is not mine
        )
        await asyncio.sleep(0)

    stages = [meter.stage("first", cancel_the_others), *(meter.stage(name, turn) for name in names(50))]
    results = await Pipeline("p", stages, max_concurrency=3).run()
    assert ("completed", 51) == (results.status, len(meter.begun))


# --- room --------------------------------------------------------------------------------------------------------


async def state_of(stages, bound):
    """Return the state of a run that has begun."""
    graph = Pipeline("p", stages, max_concurrency=bound).build()
    going = graph.start()
    await asyncio.sleep(0.5)
    return going, going._run.state


@simulated
async def test_more_room_lets_more_workers_come():
    """Whoever makes it queues them."""
    meter = Meter()
    going, state = await state_of([meter.stage(name, wait) for name in names(20)], 2)
    assert (2, 2, False) == (len(state.workers), state.room, state.is_overstaffed())
    state.room += 3
    worker_module.spawn(state, 10)
    await asyncio.sleep(0.1)
    assert (5, 5) == (len(state.workers), meter.running)
    await going


@simulated
async def test_where_there_is_less_than_no_room_nobody_is_queued():
    """Nor counted as queued, which would keep the guard away."""
    going, state = await state_of([Meter().stage(name, wait) for name in names(9)], 5)
    state.room = 2
    worker_module.spawn(state)
    assert (5, 0) == (len(state.workers), state.relief)
    await going


@pytest.mark.parametrize("ends", [skip, nothing])
@simulated
async def test_less_room_lets_workers_retire_who_settle_an_outcome(ends):
    """A skipped stage, say, or one with a route behind it; on the shortest path nobody looks."""
    meter = Meter()

    async def end():
        await asyncio.sleep(1)
        return await ends()

    going, state = await state_of([meter.stage(name, end) for name in names(20)], 5)
    state.room = 2
    assert state.is_overstaffed()
    await asyncio.sleep(1)
    assert (2 if ends is skip else 5) == meter.running == len(state.workers)
    results = await going
    assert ("completed", 20) == (results.status, len(meter.begun))


@simulated
async def test_a_worker_whose_stage_was_held_back_retires_as_well():
    """A condition that says no is settled like an outcome."""
    meter = Meter()

    async def long():
        await asyncio.sleep(10)

    stages = [
        meter.stage("first", wait),
        *(meter.stage(f"long{number}", long) for number in range(2)),
        meter.stage("held", wait, when=lambda inputs, snapshot: False, dependencies="first"),
        meter.stage("later", wait, dependencies="first"),
    ]
    going, state = await state_of(stages, 3)
    state.room = 1
    results = await going
    assert 10.0 == results.record("later").started_at - results.record("first").started_at


# --- whatever the graph ------------------------------------------------------------------------------------------


@st.composite
def graphs(draw):
    size = draw(st.integers(1, 25))
    return [
        (
            draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True)) if number else [],
            draw(st.integers(0, len(BEHAVIOURS) - 1)),
            draw(st.integers(0, 2)),
        )
        for number in range(size)
    ]


@settings(max_examples=300, deadline=None)
@given(graph=graphs(), bound=st.integers(1, 5), seed=st.integers(0, 3))
def test_whatever_the_graph_the_bound_is_met_and_no_slot_lies_idle(graph, bound, seed):
    """Whenever all wait for time to pass, a stage that is ready has found a worker unless there are enough of them."""
    meter = Meter()

    def doing(number, kind, seconds):
        do = BEHAVIOURS[kind]

        async def both():
            if seconds:
                await asyncio.sleep(seconds)
            return await do()

        before = [f"s{other}" for other in graph[number][0]]
        return meter.stage(f"s{number}", both, optional=before)

    async def main():
        stages = [doing(number, kind, seconds) for number, (_, kind, seconds) in enumerate(graph)]
        going = Pipeline("p", stages, max_concurrency=bound).start()
        task = asyncio.ensure_future(going.outcome())
        await asyncio.sleep(0.5)
        while not task.done():
            assert now() < 10_000
            state = going._run.state
            assert len(state.workers) <= bound
            assert meter.running == min(bound, meter.running + len(state.ready))
            await asyncio.sleep(1)  # to the middle of the next second: all that happens does at a full one
        return await task

    results = run(main(), seed=seed)
    assert ("completed", len(graph)) == (results.status, len(meter.begun))
    assert meter.most <= bound


def test_a_run_without_a_bound_has_room_for_all():
    """However wide it is."""
    loop = VirtualClockLoop()
    try:
        graph = Pipeline("p", [stage(name, Runner(None)) for name in names(3)]).build()
        state = RunState(graph._plan, RunScope(PipelineContext(), None, PipelineTimer(loop)), loop)
        assert state.room > 10**12
        assert not state.is_overstaffed()
    finally:
        loop.close()
