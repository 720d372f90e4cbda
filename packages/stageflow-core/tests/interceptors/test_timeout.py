"""The time limit as an interceptor."""

import asyncio

import pytest
from stageflow import StageOutput
from stageflow.errors import InterceptorError, StageTimeoutError
from stageflow.interceptors.base import BaseInterceptor
from stageflow.interceptors.timeout import TimeoutInterceptor
from stageflow_mocks.simulation import simulated


def stage_that(seconds, *, then=None, on_cancel=None):
    async def stage():
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if on_cancel is None:
                raise
            return on_cancel()
        return then() if then else {"answer": 42}

    return stage


def raise_(error):
    raise error


@simulated
async def test_a_stage_in_time_is_left_alone(attempt):
    """Its output passes."""
    assert StageOutput.ok(answer=42) == await attempt(TimeoutInterceptor(2), stage=stage_that(1)).run()


@simulated
async def test_a_stage_that_is_late_is_stopped(attempt):
    """At the very moment, with an error that says by whom."""
    with pytest.raises(StageTimeoutError) as caught:
        await attempt(TimeoutInterceptor(2), stage=stage_that(10)).run()
    assert 2.0 == asyncio.get_running_loop().time()
    error = caught.value
    assert ("reply", "TimeoutInterceptor", 2) == (error.stage, error.limit, error.seconds)
    assert isinstance(error, TimeoutError)
    assert (
        "Stage 'reply' ran out of time: it took longer than the 2 s of TimeoutInterceptor. "
        "Make it faster, or raise the seconds of its TimeoutInterceptor." == str(error)
    )


@simulated
async def test_a_timeout_error_of_the_stage_is_its_own(attempt):
    """Whether it comes early or at the limit."""
    for seconds in (1, 2):
        error = TimeoutError("the service")
        with pytest.raises(TimeoutError, match="the service") as caught:
            await attempt(TimeoutInterceptor(2.5), stage=stage_that(seconds, then=lambda e=error: raise_(e))).run()
        assert caught.value is error


@pytest.mark.parametrize(
    ("on_cancel", "cause"),
    [
        (lambda: {"late": True}, None),
        (lambda: raise_(OSError("closing")), OSError),
        (lambda: raise_(TimeoutError("closing")), TimeoutError),
    ],
    ids=["returns", "raises", "raises-timeout"],
)
def test_what_a_stage_does_when_it_is_stopped_is_not_its_outcome(attempt, on_cancel, cause):
    """What it raises then is the cause."""

    @simulated
    async def check():
        with pytest.raises(StageTimeoutError) as caught:
            await attempt(TimeoutInterceptor(2), stage=stage_that(10, on_cancel=on_cancel)).run()
        assert cause is None or isinstance(caught.value.__cause__, cause)
        assert (cause is None) == (caught.value.__cause__ is None)

    check()


@simulated
async def test_a_cancellation_is_not_the_limit(attempt):
    """It passes, early or late."""
    for seconds in (1, 2):
        task = asyncio.ensure_future(attempt(TimeoutInterceptor(2), stage=stage_that(10)).run())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(seconds, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task


@simulated
async def test_the_limit_holds_for_the_interceptors_further_in(attempt):
    """They are part of what is inside of it; a broken one stays what it is."""

    class Slow(BaseInterceptor):
        priority = 500

        async def after(self, ctx, output):
            await asyncio.sleep(10)

    class Broken(BaseInterceptor):
        priority = 500

        async def before(self, ctx):
            try:
                await asyncio.sleep(10)
            finally:
                raise OSError("disk")

    with pytest.raises(StageTimeoutError):
        await attempt(TimeoutInterceptor(2), Slow()).run()
    assert 2.0 == asyncio.get_running_loop().time()
    with pytest.raises((StageTimeoutError, InterceptorError)):
        await attempt(TimeoutInterceptor(2), Broken()).run()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), None, True, "2"])
def test_the_limit_is_a_number_above_zero(seconds):
    """Anything else is refused where it is given."""
    with pytest.raises(ValueError, match="TimeoutInterceptor takes a number of seconds above 0, not"):
        TimeoutInterceptor(seconds)
