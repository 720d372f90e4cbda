"""Ways to run code in simulated time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar, overload

from stageflow_mocks.simulation.virtual_clock import MAX_STEPS, VirtualClockLoop

P = ParamSpec("P")
T = TypeVar("T")


def run(
    coroutine: Coroutine[Any, Any, T],
    *,
    seed: int | None = None,
    max_steps: int = MAX_STEPS,
    threads_in_place: bool = False,
) -> T:
    """Run the coroutine in simulated time and return its result, as `asyncio.run` does in real time.

    Tasks that are left over are cancelled at its end, as there. A KeyboardInterrupt is raised where it strikes: nothing
    is waited for here that would have to be cancelled first.

    Args:
        coroutine: What to run.
        seed: Decides in which order tasks run that are ready at the same moment, and what `loop.random` gives. The same
            seed gives the same again, in another process too. None leaves tasks in asyncio's order.
        max_steps: How many steps of tasks and callbacks it may take.
        threads_in_place: Whether what is to run in a thread (`asyncio.to_thread`) is called in place, in no simulated
            time, as for a client that looks at its machine there. It must not wait for anything. Else it is refused.

    Raises:
        StalledError: What is awaited can never come.
        TooManyStepsError: It takes too many steps, without an end most likely.
        OutsideWorldError: Something real was asked for.
        RuntimeError: An event loop is running here already.
        ValueError: It is no coroutine.
    """
    if not asyncio.iscoroutine(coroutine):
        raise ValueError(f"run() takes a coroutine, not {coroutine!r}.")
    if _is_in_a_loop():
        raise RuntimeError("run() of stageflow_mocks.simulation cannot be called from a running event loop.")
    # Not asyncio.Runner, most of whose work here would be to catch Ctrl-C: for a short test it is the larger part.
    loop = VirtualClockLoop(seed, max_steps=max_steps, threads_in_place=threads_in_place)
    try:
        try:
            result = loop.run_until_complete(coroutine)
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):  # it may have struck in the middle of a turn, some of which is lost
                _end_what_is_left(loop)
            raise
        except BaseException:
            _end_what_is_left(loop)
            raise
        _end_what_is_left(loop)
        return result
    finally:
        loop.close()


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _end_what_is_left(loop: VirtualClockLoop) -> None:
    """Cancel and await the tasks that are left, tell of those that fail then, and close what generators are open."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
    for task in left:
        if not task.cancelled() and task.exception() is not None:
            told = "unhandled exception while a simulated run was ended"
            loop.call_exception_handler({"message": told, "exception": task.exception(), "task": task})
    if loop.has_open_generators:
        loop.run_until_complete(loop.shutdown_asyncgens())


@overload
def simulated(function: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, T]: ...
@overload
def simulated(
    *, seed: int | None = None, max_steps: int = MAX_STEPS, threads_in_place: bool = False
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, T]]: ...
@overload
def simulated(
    *, seeds: Iterable[int], max_steps: int = MAX_STEPS, threads_in_place: bool = False
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, T]]: ...
def simulated(
    function: Callable[..., Coroutine[Any, Any, Any]] | None = None,
    /,
    *,
    seed: int | None = None,
    seeds: Iterable[int] | None = None,
    max_steps: int = MAX_STEPS,
    threads_in_place: bool = False,
) -> Any:
    """Make an async test one that runs in simulated time; see `run`.

    `@simulated(seeds=range(1000))` runs it once for each seed, with its tasks in another order each time, until one
    fails; the error then tells which, and how to repeat that order alone. The arguments, and so pytest's fixtures, are
    the same for all of them: what one run would leave changed for the next belongs inside the test.

    Raises:
        TypeError: Both seed and seeds are given.
        ValueError: There are no seeds, so that the test would never run.
    """
    if seed is not None and seeds is not None:
        raise TypeError("simulated() takes seed= or seeds=, not both.")
    chosen: Sequence[int | None] = (seed,) if seeds is None else tuple(seeds)
    if not chosen:
        raise ValueError("simulated() was given no seeds, so the test would never run.")

    def decorate(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
        @functools.wraps(function)
        def in_simulated_time(*args: P.args, **kwargs: P.kwargs) -> T:
            def attempt(number: int) -> T:
                try:
                    coroutine = function(*args, **kwargs)
                    return run(coroutine, seed=chosen[number], max_steps=max_steps, threads_in_place=threads_in_place)
                except BaseException as error:
                    if chosen[number] is not None:
                        error.add_note(_how_to_repeat(chosen, number))
                    raise

            for number in range(len(chosen) - 1):
                attempt(number)
            return attempt(len(chosen) - 1)

        return in_simulated_time

    return decorate if function is None else decorate(function)


def _how_to_repeat(seeds: Sequence[int | None], number: int) -> str:
    seed, count = seeds[number], len(seeds)
    which = f"seed {seed}" if count == 1 else f"seed {seed}, number {number + 1} of {count}"
    return f"This was under {which}. To repeat it alone: @simulated(seed={seed}), or run(..., seed={seed})."
