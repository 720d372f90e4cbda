"""The event loop in simulated time."""

import asyncio
import contextlib
import gc
import time

import pytest
from stageflow import Pipeline, stage
from stageflow_mocks.simulation import StalledError, TooManyStepsError, VirtualClockLoop, run, simulated


def test_a_day_passes_at_once():
    """A sleep of a day costs no real time, and the clock shows the day."""

    async def scenario():
        await asyncio.sleep(86_400 * 3)
        return asyncio.get_running_loop().time()

    began = time.perf_counter()
    assert run(scenario()) == 86_400 * 3
    assert time.perf_counter() - began < 60


def test_timers_fire_in_the_order_of_their_times():
    """What sleeps less wakes first, whatever the order in which the sleeps began."""

    async def scenario():
        loop, woken = asyncio.get_running_loop(), []

        async def sleeper(seconds):
            await asyncio.sleep(seconds)
            woken.append((seconds, loop.time()))

        await asyncio.gather(*(sleeper(seconds) for seconds in (3, 0.25, 2, 1)))
        return woken

    assert run(scenario()) == [(0.25, 0.25), (1, 1.0), (2, 2.0), (3, 3.0)]


def test_what_is_ready_costs_no_time():
    """A task that only yields leaves the clock where it is, even while a timer is set."""

    async def scenario():
        loop = asyncio.get_running_loop()
        timer = asyncio.create_task(asyncio.sleep(1))
        for _ in range(1000):
            await asyncio.sleep(0)
        now = loop.time()
        await timer
        return now, loop.time()

    assert run(scenario()) == (0.0, 1.0)


def test_timeouts_are_timers_too():
    """asyncio.timeout ends a longer sleep at its limit."""

    async def scenario():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(50)
        return asyncio.get_running_loop().time()

    assert run(scenario()) == 5.0


def test_a_deadlock_is_an_error_that_names_who_waits_and_where():
    """Waiting for what can never come raises, and the error names the tasks, and the innermost line of each."""

    class Awaitable:
        def __await__(self):
            return (yield from asyncio.Event().wait().__await__())

    async def deep():
        await Awaitable()

    @stage
    async def waits():
        await deep()

    async def scenario():
        asyncio.current_task().set_name("main")
        others = [
            asyncio.create_task(Pipeline("test", [waits]).run(), name="run"),
            asyncio.create_task(asyncio.Event().wait(), name="nowhere of ours"),
        ]
        await asyncio.wait(others)

    with pytest.raises(StalledError, match=r"at 0 s.*main at test_virtual_clock\.py:") as caught:
        run(scenario())
    begin, inner = scenario.__code__.co_firstlineno, Awaitable.__await__.__code__.co_firstlineno
    assert caught.value.waiting == [
        f"main at test_virtual_clock.py:{begin + 6} in scenario",
        "nowhere of ours",
        "run",
        f"stageflow worker at test_virtual_clock.py:{inner + 1} in __await__",
    ]


def test_left_over_tasks_are_cancelled():
    """A task that is still there at the end is cancelled and may clean up."""
    ended = []

    async def left_over():
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(asyncio.get_running_loop().time())

    async def scenario():
        task = asyncio.create_task(left_over())
        await asyncio.sleep(1)
        return task

    assert run(scenario()).cancelled()
    assert ended == [1.0]


def test_it_is_an_event_loop_to_be_used_by_hand():
    """The loop works without run, as any event loop does."""
    loop = VirtualClockLoop()
    try:
        assert loop.run_until_complete(asyncio.sleep(2, "done")) == "done"
        assert loop.time() == 2.0
    finally:
        loop.close()


@simulated
async def test_a_run_has_simulated_durations():
    """What a pipeline's stages took is what they slept, to the nanosecond, on the busiest machine."""

    async def sleep():
        await asyncio.sleep(3600)

    results = await Pipeline("slow", [stage(sleep), stage("other", sleep)]).run()
    assert (results.duration_ms, results.record("other").duration_ms) == (3_600_000.0, 3_600_000.0)


@pytest.mark.parametrize("seed", [None, 1])
def test_clocks_go_on_after_years(seed):
    """Timers fire when the clock is so far on that a nanosecond more is the same number."""

    async def scenario():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(86_400 * 10_000)
        await asyncio.sleep(0.5)
        return loop.time()

    assert run(scenario(), seed=seed) == 86_400 * 10_000 + 0.5


def test_a_timer_fires_exactly_when_it_is_due():
    """The clock shows the time of the timer itself, not a sum of waits that comes near it."""

    async def scenario():
        loop, read = asyncio.get_running_loop(), []
        for when in (0.1, 0.3, 0.7, 100_000.1):
            loop.call_at(when, lambda: read.append(loop.time()))
        await asyncio.sleep(200_000)
        return read

    assert run(scenario()) == [0.1, 0.3, 0.7, 100_000.1]


@pytest.mark.parametrize("seed", [None, 1])
def test_a_cancelled_timer_moves_no_clock(seed):
    """A time limit that was not needed leaves no trace, alone or among many, due at once or later."""

    async def scenario():
        loop = asyncio.get_running_loop()
        for count in (1, 1000):
            for timer in [loop.call_later(seconds, print, "fired") for seconds in range(1, count + 1)]:
                timer.cancel()
        same = [loop.call_later(0.5, lambda: [timer.cancel() for timer in same]) for _ in range(3)]
        await asyncio.sleep(0.75)
        return loop.time(), sum(timer.cancelled() for timer in same), len(loop._scheduled), loop._timer_cancelled_count

    assert run(scenario(), seed=seed) == (0.75, 3, 0, 0)


@pytest.mark.parametrize("seed", [None, 1])
def test_a_timer_that_was_cancelled_is_counted_off(seed):
    """A cancelled timer that comes up behind another of its time does not stay on the loop's books."""

    async def scenario():
        loop, fired = asyncio.get_running_loop(), []
        loop.call_at(0.5, fired.append, 1)
        loop.call_at(0.5, fired.append, 2).cancel()
        await asyncio.sleep(1)
        return fired, loop._timer_cancelled_count

    assert run(scenario(), seed=seed) == ([1], 0)


def test_a_livelock_is_an_error_that_names_who_is_busy():
    """Tasks that keep each other going for ever end in an error; who merely waits is not in it."""

    async def spin():
        while True:  # noqa: ASYNC110 - it waits for nothing
            await asyncio.sleep(0)

    async def scenario():
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(spin(), name=f"spinner {number}") for number in range(2)]
        waiting = asyncio.create_task(asyncio.sleep(100), name="waits")
        await asyncio.wait({*tasks, waiting})
        return loop

    with pytest.raises(TooManyStepsError, match=r"After 1000 steps, at 0 s.*max_steps=10000") as caught:
        run(scenario(), max_steps=1000)
    assert (caught.value.max_steps, caught.value.now) == (1000, 0.0)
    assert sorted(caught.value.busy) == ["spinner 0", "spinner 1"]


def test_what_runs_too_long_may_still_clean_up():
    """Tasks are cancelled as ever, and have as many steps again for that."""
    ended = []

    async def spin():
        try:
            while True:  # noqa: ASYNC110 - it waits for nothing
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(1)
            ended.append(asyncio.get_running_loop().time())

    with pytest.raises(TooManyStepsError):
        run(spin(), max_steps=100)
    assert ended == [1.0]


def test_what_never_stops_is_left_behind_in_the_end():
    """A task that goes on even when it is cancelled does not keep the loop from closing."""

    async def never():
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    loop = VirtualClockLoop(max_steps=50)
    with pytest.raises(TooManyStepsError), asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(never())
    assert loop.is_closed()
    assert 100 <= loop.steps <= 110
    gc.collect()


def test_busy_callbacks_are_named_by_what_they_call():
    """A callback that queues itself again is told as one."""

    async def scenario():
        loop = asyncio.get_running_loop()

        def again_and_again():
            loop.call_soon(again_and_again)

        loop.call_soon(again_and_again)
        await asyncio.sleep(1)

    with pytest.raises(TooManyStepsError, match=r"Next would be: <Handle .*again_and_again"):
        run(scenario(), max_steps=100)


@pytest.mark.parametrize("max_steps", [0, -1])
def test_a_bound_below_one_is_refused(max_steps):
    """No step at all is no bound that anybody can mean."""
    with pytest.raises(ValueError, match="at least 1"):
        VirtualClockLoop(max_steps=max_steps)


def test_many_names_are_cut_short():
    """An error that names a thousand tasks says how many more there are."""

    async def scenario():
        await asyncio.gather(*(asyncio.Event().wait() for _ in range(1000)))

    with pytest.raises(StalledError, match="and 991 more") as caught:
        run(scenario())
    assert len(caught.value.waiting) == 1001


@pytest.mark.parametrize("seed", [None, 5])
def test_random_numbers_repeat(seed):
    """A loop gives the same random numbers every time, with a seed and without."""

    async def draw():
        return asyncio.get_running_loop().random.random()

    assert run(draw(), seed=seed) == run(draw(), seed=seed)


@pytest.mark.parametrize("seed", [None, 1])
def test_many_cancelled_timers_are_thrown_out(seed):
    """Time limits that were met do not pile up until their time would have come."""

    async def scenario():
        loop = asyncio.get_running_loop()
        kept = [loop.call_later(1000 + number, list) for number in range(20)]
        for _ in range(1000):
            async with asyncio.timeout(3600):
                await asyncio.sleep(0)
        most = len(loop._scheduled)
        assert all(timer in loop._scheduled for timer in kept)
        await asyncio.sleep(1018.5)
        return most, len(loop._scheduled), loop._timer_cancelled_count <= len(loop._scheduled)

    most, left, counted = run(scenario(), seed=seed)
    assert most < 300
    assert left < 300
    assert counted


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_debug_mode_changes_no_order(seed):
    """The turn of asyncio itself, which looks after each callback, and ours run the same in the same order."""

    async def scenario():
        order, loop = [], asyncio.get_running_loop()

        async def walk(name):
            for step in range(5):
                await asyncio.sleep(step % 3)
                loop.call_soon(order.append, f"{name}{step} soon")
                order.append(f"{name}{step} {loop.time():g}")

        await asyncio.gather(*map(walk, "abcd"))
        return order

    def walked(*, debug):
        with asyncio.Runner(loop_factory=lambda: VirtualClockLoop(seed), debug=debug) as runner:
            return runner.run(scenario())

    assert walked(debug=True) == walked(debug=False)


def test_a_closed_loop_takes_nothing():
    """As any other loop."""
    loop = VirtualClockLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon(list)


@pytest.mark.parametrize("seed", [None, 1])
def test_a_loop_that_is_told_to_stop_takes_one_turn(seed):
    """As any other loop: that nothing is ready is no deadlock then."""
    loop, seen = VirtualClockLoop(seed), []
    loop.stop()
    loop.run_forever()
    loop.call_soon(seen.append, 1)
    loop.stop()
    loop.run_forever()
    loop.close()
    assert [1] == seen


@pytest.mark.parametrize("seed", [None, 1])
def test_a_callback_that_is_cancelled_in_its_turn_does_not_run(seed, caplog):
    """What comes before it in the same turn may still cancel it."""

    async def scenario():
        loop, seen = asyncio.get_running_loop(), []

        def cancel_the_other():
            later.cancel()

        loop.call_soon(cancel_the_other)
        later = loop.call_soon(seen.append, "later")
        await asyncio.sleep(1)
        return seen

    assert [] == run(scenario(), seed=seed)
    assert "" == caplog.text
