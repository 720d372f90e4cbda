"""Ways to run code in simulated time."""

from __future__ import annotations

import asyncio
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

    Tasks that are left over are cancelled at its end, as there.

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
    """
    with asyncio.Runner(
        loop_factory=lambda: VirtualClockLoop(seed, max_steps=max_steps, threads_in_place=threads_in_place)
    ) as runner:
        return runner.run(coroutine)


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
