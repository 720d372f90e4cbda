"""The order in which a seed lets ready tasks run, and what it leaves as it is."""

import asyncio
import itertools
import os
import subprocess
import sys
from asyncio import tasks

import pytest
from stageflow_mocks.simulation import VirtualClockLoop, run
from stageflow_mocks.simulation.ordering import task_of

SEEDS = range(200)


def orders(scenario, seeds=SEEDS):
    """Return every order that the scenario, given a list to write to, leaves behind."""

    async def recorded():
        seen = []
        await scenario(seen.append)
        return tuple(seen)

    return {run(recorded(), seed=seed) for seed in seeds}


async def three_tasks(say):
    async def speak(name):
        say(name)

    await asyncio.gather(*(speak(name) for name in "abc"))


def test_a_seed_decides_which_task_starts_first():
    """Tasks that are ready together start in every order there is, over enough seeds."""
    assert orders(three_tasks) == set(itertools.permutations("abc"))


def test_without_a_seed_tasks_run_as_asyncio_runs_them():
    """No seed means first in, first out."""
    assert orders(three_tasks, [None]) == {("a", "b", "c")}


def test_a_seed_decides_which_task_goes_on_first():
    """What has been woken in the same turn goes on in every order."""

    async def scenario(say):
        event = asyncio.Event()

        async def wait(name):
            await event.wait()
            say(name)

        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(wait(name))
            await asyncio.sleep(1)
            event.set()

    assert orders(scenario) == set(itertools.permutations("abc"))


def test_callbacks_stay_first_in_first_out():
    """call_soon keeps its promise under every seed, also for a task's own methods."""

    async def scenario(say):
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(asyncio.sleep(100))
        task.add_done_callback(lambda _: say("done"))
        await asyncio.sleep(1)
        for name in "abc":
            loop.call_soon(say, name)
        loop.call_soon(task.cancel)
        loop.call_soon(lambda: say(task.cancelling()))
        await asyncio.wait({task})

    assert orders(scenario) == {("a", "b", "c", 1, "done")}


def test_timers_of_different_times_keep_their_order():
    """A microsecond is a difference: what is due earlier is called earlier."""

    async def scenario(say):
        loop = asyncio.get_running_loop()
        loop.call_later(1 + 1e-6, say, "later")
        loop.call_later(1, say, "sooner")
        await asyncio.sleep(2)

    assert orders(scenario) == {("sooner", "later")}


def test_timers_of_the_same_time_are_called_in_any_order():
    """Asyncio leaves it undefined which of them is first, so a seed decides; a rounding error is no difference."""

    async def scenario(say):
        loop = asyncio.get_running_loop()
        for name, seconds in (("a", 0.3), ("b", 0.3), ("c", 0.1 + 0.2)):
            loop.call_at(seconds, say, name)
        await asyncio.sleep(2)

    assert orders(scenario) == set(itertools.permutations("abc"))


def test_the_clock_waits_for_every_timer_of_a_time():
    """However a seed spreads timers over turns, none of them sees a later time."""

    async def scenario(say):
        loop = asyncio.get_running_loop()
        for seconds in (1, 1, 1, 2):
            loop.call_at(seconds, lambda: say(loop.time()))
        await asyncio.sleep(3)

    assert orders(scenario) == {(1.0, 1.0, 1.0, 2.0)}


def test_a_timer_may_come_before_a_task_that_is_ready():
    """A time limit that ends at the very moment of the result is met under some seeds only."""

    async def scenario(say):
        async def work():
            await asyncio.sleep(5)
            await asyncio.sleep(0)

        try:
            async with asyncio.timeout(5):
                await work()
            say("in time")
        except TimeoutError:
            say("too late")

    assert orders(scenario) == {("in time",), ("too late",)}


def test_a_step_never_overtakes_a_callback():
    """What call_soon was given before `await sleep(0)` has run after it, and before a later task starts."""

    async def scenario(say):
        async def late():
            say("task")

        loop = asyncio.get_running_loop()
        loop.call_soon(say, "callback")
        task = asyncio.create_task(late())
        await asyncio.sleep(0)
        say("main")
        await task

    assert orders(scenario) == {("callback", "task", "main"), ("callback", "main", "task")}


def test_a_callback_may_overtake_a_step():
    """A task that was ready before a callback was queued may be held back behind it, and behind several."""

    async def scenario(say):
        async def early():
            say("task")

        loop = asyncio.get_running_loop()
        task = asyncio.create_task(early())
        loop.call_soon(say, "first")
        loop.call_soon(say, "second")
        await task

    assert orders(scenario) == {("task", "first", "second"), ("first", "task", "second"), ("first", "second", "task")}


def test_done_callbacks_run_before_whoever_awaits_later():
    """A done-callback that was added before somebody awaits the future runs before that somebody goes on."""

    async def scenario(say):
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: say("callback"))
        asyncio.get_running_loop().call_later(1, future.set_result, None)
        await future
        say("main")

    assert orders(scenario) == {("callback", "main")}


def test_nothing_is_put_off_to_a_later_turn():
    """A task that was ready has had its step when a turn is over, however many are ready with it."""

    async def scenario(say):
        started = set()

        async def begin(name):
            started.add(name)
            await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for name in range(20):
                group.create_task(begin(name))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            say(len(started))

    assert orders(scenario) == {(20,)}


@pytest.mark.parametrize("seed", range(10))
def test_it_makes_no_difference_in_which_order_tasks_were_woken(seed):
    """Whoever cancels the tasks of a set does so in the order of their addresses, which is not the same twice."""

    async def scenario(arranged):
        ended = []

        async def wait(name):
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(name)

        tasks = [asyncio.create_task(wait(name)) for name in range(10)]
        await asyncio.sleep(1)
        for task in arranged(tasks):
            task.cancel()
        await asyncio.wait(tasks)
        return ended

    forwards, backwards = (run(scenario(arranged), seed=seed) for arranged in (iter, reversed))
    assert forwards == backwards


def test_random_numbers_of_the_program_change_no_order():
    """Drawing from loop.random gives the same numbers for a seed and leaves the order of tasks alone."""

    async def scenario(say):
        await three_tasks(say)
        return [asyncio.get_running_loop().random.random() for _ in range(3)]

    async def drawing(say):
        asyncio.get_running_loop().random.random()
        await three_tasks(say)

    for seed in range(20):
        plain, drawn = [], []
        assert run(scenario(plain.append), seed=seed) == run(scenario([].append), seed=seed)
        run(drawing(drawn.append), seed=seed)
        assert plain == drawn
    assert run(scenario([].append), seed=1) != run(scenario([].append), seed=2)


class PythonTask(tasks._PyTask):
    """A task that is written in Python, and a subclass as well."""


@pytest.mark.parametrize("kind", [asyncio.Task, tasks._PyTask, PythonTask])
def test_steps_of_every_kind_of_task_are_known(kind):
    """Starts and wakeups of tasks are told from other callbacks, however this Python names them."""
    steps = []

    class Watching(VirtualClockLoop):
        def call_soon(self, callback, *args, context=None):
            handle = super().call_soon(callback, *args, context=context)
            task = task_of(handle)
            if task is not None:
                steps.append(task.get_name())
            return handle

    async def work():
        await asyncio.sleep(0)
        await asyncio.sleep(1)
        await asyncio.Event().wait()

    async def scenario():
        loop = asyncio.get_running_loop()
        task = kind(work(), loop=loop, name="watched")
        task.add_done_callback(lambda _: None)
        await asyncio.sleep(2)
        loop.call_soon(task.cancel)
        await asyncio.wait({task})

    with asyncio.Runner(loop_factory=Watching) as runner:
        runner.run(scenario())
    # Its start, and its going on after each of the three awaits.
    assert steps.count("watched") == 4


@pytest.mark.parametrize("kind", [tasks._PyTask, PythonTask])
def test_tasks_written_in_python_are_shuffled_too(kind):
    """Which implementation of tasks a program uses makes no difference."""

    async def scenario(say):
        async def speak(name):
            await asyncio.sleep(0)
            say(name)

        loop = asyncio.get_running_loop()
        await asyncio.gather(*(kind(speak(name), loop=loop) for name in "abc"))

    assert orders(scenario) == set(itertools.permutations("abc"))


PROGRAM = """
import asyncio
from stageflow_mocks.simulation import run

said = []

async def work(name):
    try:
        for turn in range(1 + name % 4):
            await asyncio.sleep(turn * (name % 3))
            said.append((name, turn))
        if name == 11:
            raise LookupError
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(name % 2)
        said.append((name, "end"))

async def main():
    loose = {asyncio.create_task(work(name)) for name in range(20, 40)}
    try:
        async with asyncio.TaskGroup() as group:
            for name in range(20):
                group.create_task(work(name))
    except* LookupError:
        said.append(sorted({str(name) for name in range(9)}) and asyncio.get_running_loop().random.random())
    return loose

for seed in range(5):
    run(main(), seed=seed)
print(said)
"""


def test_a_seed_gives_the_same_in_every_process():
    """TaskGroup cancels in the order of a set, and so does the end of a run; neither shows in the order of tasks."""

    def told(hash_seed):
        # Addresses differ from process to process, and a few objects more make sure of it.
        program = f"ballast = [object() for _ in range({hash_seed * 1000})]\n{PROGRAM}"
        environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    first = told(0)
    assert first.count("end") == 5 * 40
    assert [told(hash_seed) for hash_seed in (1, 2, 3)] == [first] * 3


def test_tasks_that_began_alone_have_their_place():
    """Who was alone in the turn in which it began has a place like any other: who wakes it first changes nothing."""

    async def scenario(woken):
        loop, order = asyncio.get_running_loop(), []
        signals = {name: asyncio.Event() for name in "ab"}
        tasks = []

        async def wait(name):
            await signals[name].wait()
            order.append(name)

        for seconds, name in ((0.1, "a"), (0.2, "b")):
            loop.call_later(seconds, lambda name=name: tasks.append(asyncio.create_task(wait(name))))
        await asyncio.sleep(1)
        for name in woken:
            signals[name].set()
        await asyncio.sleep(1)
        return order

    orders = [run(scenario("ab"), seed=seed) for seed in range(30)]
    assert orders == [run(scenario("ba"), seed=seed) for seed in range(30)]
    assert ["a", "b"] in orders
    assert ["b", "a"] in orders


def test_a_seed_of_an_old_report_still_shows_it():
    """The order of a seed is no promise between versions, but it changes for a reason only: if there is one, adapt."""

    async def scenario():
        order = []

        async def walk(name, *pauses):
            for pause in pauses:
                await asyncio.sleep(pause)
                order.append(name)

        await asyncio.gather(walk("d", 0.1, 0.2), *(walk(name, 0.5, 0.0, 0.25, 0.25) for name in "abc"))
        return "".join(order)

    orders = ["ddababcccbaacb", "ddabccbacbacba", "ddacbabcacbbca"]
    assert orders == [run(scenario(), seed=seed) for seed in (1, 2, 3)]
