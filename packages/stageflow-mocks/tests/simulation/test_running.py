"""Running in simulated time, once or under many seeds."""

import asyncio

import pytest
from stageflow_mocks.simulation import StalledError, TooManyStepsError, run, simulated


@simulated
async def test_an_async_test_can_be_simulated(tmp_path):
    """A decorated test takes fixtures as ever, and has a virtual clock."""
    assert tmp_path.name
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() == 3600


async def _first_of_three():
    began = []

    async def begin(name):
        began.append(name)

    await asyncio.gather(*(begin(name) for name in "abc"))
    return began[0]


def test_one_seed_is_one_order():
    """simulated(seed=) and run(seed=) agree, call after call."""
    for seed in range(10):
        decorated = simulated(seed=seed)(_first_of_three)
        assert [decorated(), decorated(), run(_first_of_three(), seed=seed)] == [decorated()] * 3


def test_each_seed_runs_once():
    """simulated(seeds=) runs for each of them, in their order, each on a loop of its own, whenever it is called."""
    drawn = []

    @simulated(seeds=(seed for seed in (3, 5, 3)))
    async def draw():
        loop = asyncio.get_running_loop()
        assert loop.time() == 0.0
        drawn.append(loop.random.random())
        return len(drawn)

    assert (draw(), draw()) == (3, 6)
    assert drawn[0] == drawn[2] != drawn[1]
    assert drawn[:3] == drawn[3:]


def test_a_failing_seed_is_told():
    """What a failing seed raises says which it was and how to repeat it, and later seeds are not tried."""
    tried = []

    @simulated(seeds=range(100))
    async def fails_for_some():
        tried.append(await _first_of_three())
        assert tried[-1] == "a"

    with pytest.raises(AssertionError) as caught:
        fails_for_some()
    seed = len(tried) - 1
    assert tried[:-1] == ["a"] * seed
    (note,) = caught.value.__notes__
    assert note.startswith(f"This was under seed {seed}, number {seed + 1} of 100. ")
    assert note.endswith(f" To repeat it alone: @simulated(seed={seed}), or run(..., seed={seed}).")
    with pytest.raises(AssertionError, match="assert") as again:
        simulated(seed=seed)(fails_for_some.__wrapped__)()
    assert again.value.__notes__[0].startswith(f"This was under seed {seed}. To repeat it alone")


def test_without_a_seed_nothing_is_told_of_seeds():
    """An error outside of any shuffling stays as it is."""

    @simulated
    async def fails():
        raise LookupError

    with pytest.raises(LookupError) as caught:
        fails()
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"seed": 1, "seeds": [2]}, TypeError, "takes seed= or seeds=, not both"),
        ({"seeds": []}, ValueError, "no seeds, so the test would never run"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, error, told):
    """A decorator that would run nothing, or does not know what to run, says so at once."""
    with pytest.raises(error, match=told):
        simulated(**options)


def test_the_number_of_steps_is_bounded():
    """max_steps reaches the loop from run and from simulated."""

    async def for_ever():
        while True:  # noqa: ASYNC110 - it waits for nothing
            await asyncio.sleep(0)

    with pytest.raises(TooManyStepsError):
        run(for_ever(), max_steps=10)
    with pytest.raises(TooManyStepsError):
        simulated(max_steps=10)(for_ever)()
    with pytest.raises(TooManyStepsError) as caught:
        simulated(seeds=[4], max_steps=10)(for_ever)()
    assert "seed 4" in caught.value.__notes__[0]


def test_exceptions_come_through():
    """What the coroutine raises is what run raises."""

    async def scenario():
        await asyncio.sleep(1)
        raise LookupError("as it is")

    with pytest.raises(LookupError, match="as it is"):
        run(scenario())


def test_two_runs_have_a_clock_each():
    """Every run starts at zero."""

    async def scenario():
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(1)
        return began

    assert (run(scenario()), run(scenario())) == (0.0, 0.0)


@pytest.mark.parametrize("seed", [None, 7])
def test_a_deadlock_is_an_error_under_any_order(seed):
    """Shuffling does not hide that nothing can happen any more."""
    with pytest.raises(StalledError, match="waits in vain"):
        run(_wait_in_vain(), seed=seed)


async def _wait_in_vain():
    asyncio.current_task().set_name("waits in vain")
    await asyncio.Event().wait()


def test_a_generator_that_is_left_open_is_closed():
    """Its `finally` has run, and may wait, before run() returns."""
    closed = []

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(1)
            closed.append(asyncio.get_running_loop().time())

    async def scenario():
        left = numbers()
        return await anext(left), left

    assert 1 == run(scenario(), seed=1)[0]
    assert [1.0] == closed


def test_a_task_that_fails_while_it_is_cancelled_is_told(caplog):
    """What it raises then changes no result, and is not swallowed either."""

    async def fails():
        try:
            await asyncio.sleep(10)
        finally:
            raise LookupError("while it cleaned up")

    async def scenario():
        asyncio.get_running_loop().failing = asyncio.create_task(fails())
        await asyncio.sleep(0)
        return 7

    assert 7 == run(scenario())
    assert "while it cleaned up" in caplog.text


def test_an_interrupt_comes_through_and_tasks_clean_up():
    """Ctrl-C strikes where it does; what is left has been cancelled and awaited before it is seen."""
    cleaned = []

    async def other():
        try:
            await asyncio.sleep(10)
        finally:
            cleaned.append("other")

    async def scenario():
        waiting = asyncio.create_task(other())
        await asyncio.sleep(1)
        assert not waiting.done()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(scenario(), seed=1)
    assert ["other"] == cleaned


def test_an_interrupt_wins_over_what_cleaning_up_raises():
    """A deadlock among what is left is not told in its place."""

    async def ignores_it():
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.Event().wait()

    async def scenario():
        asyncio.get_running_loop().left = asyncio.create_task(ignores_it())
        await asyncio.sleep(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(scenario())


def test_it_does_not_run_within_another_loop():
    """One clock cannot jump while another one runs; the coroutine is the caller's still."""

    async def outer():
        inner = asyncio.sleep(1)
        with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
            run(inner)
        await inner

    run(outer())


def test_only_a_coroutine_can_be_run():
    """A function that was not called is the usual mistake."""
    with pytest.raises(ValueError, match="takes a coroutine, not <function"):
        run(_first_of_three)
