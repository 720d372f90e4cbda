"""What a failed run shows of Stageflow's own code under pytest: nothing."""

import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from stageflow import (
    BaseInterceptor,
    InterceptorContext,
    Pipeline,
    StageContext,
    StageExecutionError,
    run_with_interceptors,
    stage,
)


async def fails() -> None:
    """Fail by itself."""
    raise LookupError


async def misspells(ctx: StageContext) -> None:
    """Ask the snapshot for what it does not have."""
    _ = ctx.snapshot.user_id  # type: ignore[attr-defined]


async def fails_in_child(ctx: StageContext) -> None:
    """Fail because of another run."""
    await ctx.run_pipeline(Pipeline("inner", [stage("a", fails)]))


class Around(BaseInterceptor):
    """Stands between the run and the stage."""

    async def around(self, ctx: InterceptorContext, call: Callable[[], Awaitable[Any]]) -> Any:
        """Pass on."""
        return await call()


async def run(pipeline: Pipeline) -> Any:
    """Run at once."""
    return await pipeline.run()


async def start(pipeline: Pipeline) -> Any:
    """Start first."""
    return await pipeline.start()


def shown(error: BaseException | None) -> set[str]:
    """Return the modules of which pytest shows frames, of an error and of what led to it."""
    modules: set[str] = set()
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if not frame.f_locals.get("__tracebackhide__", frame.f_globals.get("__tracebackhide__")):
                modules.add(frame.f_globals["__name__"])
        error = error.__cause__
    return modules


@pytest.mark.parametrize("runner", [fails, misspells, fails_in_child])
@pytest.mark.parametrize("way", [run, start, run_with_interceptors])
@pytest.mark.parametrize("interceptors", [(), (Around(),)], ids=["bare", "around"])
async def test_none_of_our_frames_is_shown(
    way: Callable[[Pipeline], Awaitable[Any]], runner: Any, interceptors: tuple[BaseInterceptor, ...]
) -> None:
    """The test, the stage that failed, and an interceptor of the application's that it went through."""
    with pytest.raises(StageExecutionError) as caught:
        await way(Pipeline("chat", [stage("a", runner)], interceptors=interceptors))
    assert shown(caught.value) == {__name__}


def test_none_but_asyncios_frames_are_shown_of_a_run_that_is_not_async() -> None:
    """They stand between."""
    with pytest.raises(StageExecutionError) as caught:
        Pipeline("chat", [stage("a", fails)]).run_sync()
    assert shown(caught.value) == {__name__, "asyncio.base_events", "asyncio.runners"}
