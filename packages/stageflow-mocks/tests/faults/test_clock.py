"""A clock that is off for one stage, while the others, and the timers of the loop, have the right one."""

import asyncio
import contextvars
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime

import pytest
import time_machine
from stageflow import Pipeline, RetryPolicy, StageContext, StageExecutionError, run_with_interceptors
from stageflow_mocks import FaultInterceptor, FaultPlan, FaultRule, RecordingEventSink
from stageflow_mocks.faults import clock
from stageflow_mocks.simulation import run, simulated

YEAR_S = 365 * 86_400
EPOCH_S = time.time() - time.monotonic()
FROM_TIME_NS = time.time_ns  # as a module that has imported it by name has it


def off_by_s(read=time.time):
    """Return by how much a clock is off, to the minute."""
    return round((read() - EPOCH_S - time.monotonic()) / 60) * 60


def skew(stage="skewed", seconds=3600, **options):
    return FaultRule(fault="clock_skew", stage=stage, seconds=seconds, **options)


async def run_stages(plan, **stages):
    """Run stages side by side under a plan; return the record."""
    pipeline = Pipeline("p")
    for name, runner in stages.items():
        pipeline = pipeline.with_stage(name, runner)
    faults = FaultInterceptor(plan, pipeline=pipeline)
    await run_with_interceptors(pipeline, interceptors=(faults,))
    return faults.record()


def assert_put_right():
    assert not time_machine.escape_hatch.is_travelling()
    assert (0, 0) == (off_by_s(), clock._off_by_ns.get())


@simulated
@pytest.mark.parametrize("seconds", [3600, -YEAR_S])
async def test_all_that_tells_the_time_is_off(seconds):
    """By name or not, in local time or not; a monotonic clock and the loop's time are not."""
    seen = {}

    async def skewed(ctx: StageContext):
        before = time.monotonic(), time.perf_counter(), asyncio.get_running_loop().time()
        seen.update(
            time=off_by_s(),
            time_ns=off_by_s(lambda: FROM_TIME_NS() / 1e9),
            now=off_by_s(lambda: datetime.now().timestamp()),  # noqa: DTZ005
            utc=off_by_s(lambda: datetime.now(UTC).timestamp()),
        )
        assert date.fromtimestamp(time.time()) == date.today()  # noqa: DTZ011, DTZ012
        await asyncio.sleep(100)
        after = time.monotonic(), time.perf_counter(), asyncio.get_running_loop().time()
        seen.update(later=off_by_s(), timer=round(after[2] - before[2]))
        assert all(one - other < 60 for one, other in zip(after[:2], before, strict=False))
        return {}

    record = await run_stages(FaultPlan(skew(seconds=seconds)), skewed=skewed)
    assert {"time": seconds, "time_ns": seconds, "now": seconds, "utc": seconds, "later": seconds, "timer": 100} == seen
    assert [True] == [entry["struck"] for entry in record["injected"]]
    assert_put_right()


@simulated(seeds=range(10))
async def test_other_stages_have_the_right_time():
    """Those that run between the steps of one whose clock is off, in whatever order; each has its own."""
    seen = {}

    def reading(name):
        async def stage(ctx: StageContext):
            for _ in range(5):
                seen.setdefault(name, set()).add(off_by_s())
                await asyncio.sleep(0.01)
            return {}

        return stage

    plan = FaultPlan(skew("fast"), skew("slow", -60), skew("both", 60), skew("b*h", 120))
    await run_stages(plan, **{name: reading(name) for name in ("fast", "slow", "right", "both")})
    assert {"fast": {3600}, "slow": {-60}, "right": {0}, "both": {180}} == seen
    assert_put_right()


@simulated
async def test_tasks_that_the_stage_makes_have_its_clock():
    """And so do their callbacks, and the task that a stage with a time limit runs in."""
    seen = {}

    async def child():
        await asyncio.sleep(1)
        seen["task"] = off_by_s()
        asyncio.get_running_loop().call_later(1, lambda: seen.update(callback=off_by_s()))
        await asyncio.sleep(2)

    async def skewed(ctx: StageContext):
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
        alone = contextvars.Context()
        await asyncio.get_running_loop().create_task(note("other context"), context=alone)
        return {}

    async def note(name):
        seen[name] = off_by_s()

    pipeline = Pipeline("p").with_stage("skewed", skewed, timeout=50)
    await run_with_interceptors(pipeline, interceptors=(FaultInterceptor(FaultPlan(skew())),))
    assert {"task": 3600, "callback": 3600, "other context": 0} == seen
    assert_put_right()


async def test_threads_have_the_clock_of_who_asked_them():
    """`asyncio.to_thread` takes it along, an executor and a thread of one's own do not."""
    seen = {}

    async def skewed(ctx: StageContext):
        loop = asyncio.get_running_loop()
        seen["to_thread"] = await asyncio.to_thread(off_by_s)
        seen["executor"] = await loop.run_in_executor(None, off_by_s)
        thread = threading.Thread(target=lambda: seen.update(thread=off_by_s()))
        thread.start()
        thread.join()
        return {}

    await run_stages(FaultPlan(skew()), skewed=skewed)
    assert {"to_thread": 3600, "executor": 0, "thread": 0} == seen
    assert_put_right()


@simulated
async def test_a_child_that_the_stage_runs_has_its_clock():
    """It runs on the same machine, as it were; a stage that streams and one mapped over a list have it as well."""
    seen = {}

    async def inner(ctx: StageContext):
        await asyncio.sleep(1)
        seen["child"] = off_by_s()
        return {}

    async def skewed(ctx: StageContext):
        await ctx.run_pipeline(Pipeline("child").with_stage("inner", inner))
        return {"items": [1, 2]}

    async def streams(ctx: StageContext):
        for _ in range(2):
            await asyncio.sleep(1)
            seen.setdefault("streams", set()).add(off_by_s())
            yield {"n": 1}

    async def each(ctx: StageContext):
        await asyncio.sleep(1)
        seen[ctx.item] = off_by_s()
        return {}

    pipeline = (
        Pipeline("p")
        .with_stage("skewed", skewed)
        .with_stage("each", each, dependencies="skewed", map_over=("skewed", "items"))
        .with_stage("streams", streams, dependencies="skewed")
    )
    plan = FaultPlan(skew(), skew("streams", 60), FaultRule(fault="clock_skew", stage="each", item=1, seconds=-60))
    await run_with_interceptors(pipeline, interceptors=(FaultInterceptor(plan, pipeline=pipeline),))
    assert {"child": 3600, "streams": {60}, 1: 0, 2: -60} == seen
    assert_put_right()


@simulated
async def test_the_clock_is_put_right_however_the_stage_ends():
    """It fails, is cancelled, is tried again, or swallows its cancellation."""

    async def fails(ctx: StageContext):
        await asyncio.sleep(1)
        raise ValueError("no")

    async def waits(ctx: StageContext):
        await asyncio.sleep(1000)
        return {}

    for runner, options in (
        (fails, {}),
        (fails, {"retry": RetryPolicy(max_attempts=3, base_delay=0, retry_on=ValueError)}),
        (waits, {"timeout": 5}),
        (waits, {"deadline": 5}),
    ):
        pipeline = Pipeline("p").with_stage("skewed", runner, **options)
        with pytest.raises(StageExecutionError):
            await run_with_interceptors(pipeline, interceptors=(FaultInterceptor(FaultPlan(skew())),))
        assert_put_right()
    running = asyncio.create_task(run_stages(FaultPlan(skew()), skewed=waits))
    await asyncio.sleep(5)
    assert time_machine.escape_hatch.is_travelling()
    running.cancel()
    await asyncio.wait({running})
    assert_put_right()


@simulated
async def test_what_a_stage_leaves_behind_does_not_keep_the_clock():
    """A task of its own that runs on."""
    seen, left = [], []

    async def later():
        await asyncio.sleep(10)
        seen.append(off_by_s())

    async def skewed(ctx: StageContext):
        left.append(asyncio.create_task(later()))
        return {}

    await run_stages(FaultPlan(skew()), skewed=skewed)
    assert_put_right()
    await left[0]
    assert [0] == seen


@simulated
async def test_events_of_the_run_have_the_right_time():
    """They are the run's, and not that stage's, also those that the stage itself emits."""

    async def skewed(ctx: StageContext):
        ctx.emit_event("noted", {})
        return {}

    sink = RecordingEventSink()
    pipeline = Pipeline("p").with_stage("skewed", skewed)
    faults = FaultInterceptor(FaultPlan(skew(seconds=YEAR_S)))
    await run_with_interceptors(pipeline, interceptors=(faults,), event_sink=sink)
    times = [event.data["timestamp"] for event in sink.events]
    assert "noted" in sink.types
    assert max(times) - min(times) < 60


@simulated
async def test_a_test_may_travel_itself():
    """Its time is what is off then: frozen, moved meanwhile, begun by the stage."""
    seen = []

    async def skewed(ctx: StageContext):
        seen.append(datetime.now(UTC).isoformat())
        with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False):
            seen.append(datetime.now(UTC).isoformat())
        seen.append(datetime.now(UTC).isoformat())
        return {}

    with time_machine.travel(datetime(2030, 1, 1, tzinfo=UTC), tick=False) as traveller:
        await run_stages(FaultPlan(skew()), skewed=skewed)
        traveller.move_to(datetime(2040, 1, 1, tzinfo=UTC))
        await run_stages(FaultPlan(skew(seconds=-1)), skewed=skewed)
        assert datetime(2040, 1, 1, tzinfo=UTC) == datetime.now(UTC)
    assert [
        "2030-01-01T01:00:00+00:00",
        "2031-01-01T00:00:00+00:00",
        "2030-01-01T01:00:00+00:00",
        "2039-12-31T23:59:59+00:00",
        "2031-01-01T00:00:00+00:00",
        "2039-12-31T23:59:59+00:00",
    ] == seen
    assert_put_right()


@simulated
async def test_a_travel_that_the_stage_leaves_open_is_not_ended():
    """Whoever began to travel ends it: the clock that was off is taken out beneath it."""
    travel = time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False)

    async def skewed(ctx: StageContext):
        travel.start()
        return {}

    await run_stages(FaultPlan(skew()), skewed=skewed)
    assert 2031 == datetime.now(UTC).year
    travel.stop()
    assert_put_right()


def test_by_how_much_is_drawn_and_replayed():
    """From its distribution, with its sign."""
    seen = []

    async def skewed(ctx: StageContext):
        seen.append(off_by_s())
        return {}

    async def five(plan):
        faults = FaultInterceptor(plan)
        for _ in range(5):
            await Pipeline("p", interceptors=(faults,)).with_stage("skewed", skewed).run()
        return faults.record()

    record = run(five(FaultPlan(skew(seconds=-YEAR_S, distribution="uniform"), seed=1)))
    assert 5 == len(set(seen))
    assert all(-YEAR_S <= each < 0 for each in seen)
    drawn = seen.copy()
    assert record == run(five(FaultPlan.replay(record)))
    assert drawn == seen[5:]


def test_a_time_machine_that_works_otherwise_is_refused(monkeypatch):
    """Rather than a clock that is right, and a test that passes for it."""
    monkeypatch.setattr(clock, "_can_be_moved", lambda: False)
    with pytest.raises(RuntimeError, match="time-machine does not ask"), clock.clock_off_by(1):
        pass
    monkeypatch.undo()
    with clock.clock_off_by(60):
        assert 60 == off_by_s()
    assert_put_right()


def test_only_a_plan_that_moves_clocks_needs_the_extra():
    """Without it, such a plan is refused when the interceptor is made, with what to install."""
    code = """
import sys
sys.modules["time_machine"] = None
from stageflow_mocks import *
FaultInterceptor(FaultPlan(FaultRule(fault="hang", stage="a"), FaultRule(fault="clock_skew", event="a")))
try:
    FaultInterceptor(FaultPlan(FaultRule(fault="clock_skew", stage="a")))
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'The fault clock_skew needs time-machine: pip install "stageflow-mocks[clock]"\n' == done.stdout
