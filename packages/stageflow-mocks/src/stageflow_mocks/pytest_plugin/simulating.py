"""Tests in simulated time, once for each seed."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from stageflow_mocks.pytest_plugin.items import command_for, rewrapped
from stageflow_mocks.pytest_plugin.markers import misuse
from stageflow_mocks.simulation import run
from stageflow_mocks.simulation.tracebacks import leave_out_the_loop
from stageflow_mocks.simulation.virtual_clock import MAX_STEPS

Renewals: TypeAlias = Callable[[pytest.Item], Mapping[str, tuple[Any, Callable[[], Any]]]]
"""Gives for a test each fixture's value that is not to be shared by seeds, and what makes another one."""

_HERE = str(Path(__file__).parent)

# pytest-asyncio takes a test that we have made an ordinary function for a mistake.
_NOT_ASYNC_ANY_MORE = "ignore:The test .* is marked with .@pytest.mark.asyncio. but it is not an async function"


def simulate(item: pytest.Function, marker: pytest.Mark, renewals: Renewals) -> None:
    """Make an async test an ordinary one, which runs in simulated time.

    Raises:
        TypeError: The marker has arguments that it does not take.
        ValueError: There are no seeds, so that the test would never run.
    """
    if (problem := misuse(marker, _read_marker)) is not None:
        raise TypeError(f"stageflow_simulation() {problem}")
    seeds, options = _read_marker(*marker.args, **marker.kwargs)
    repeated: int | None = item.config.getoption("--stageflow-seed")
    chosen: Sequence[int | None] = seeds if repeated is None else (repeated,)

    def around(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        @functools.wraps(function)
        def in_simulated_time(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            if _records(item):
                # A service is asked, which no clock that jumps can wait for.
                asyncio.run(function(*args, **kwargs))
                return
            made = renewals(item)
            renewed = {name: make for name, (value, make) in made.items() if kwargs.get(name) is value}
            if len(chosen) > 1:
                _refuse_shared(item, made)
            # Each seed sees the random numbers that it would see alone.
            drawn = random.getstate()
            for number, seed in enumerate(chosen):
                if number > 0:
                    random.setstate(drawn)
                    kwargs.update({name: make() for name, make in renewed.items()})
                try:
                    run(function(*args, **kwargs), seed=seed, **options)
                except BaseException as error:
                    if seed is not None:
                        which = "" if len(chosen) == 1 else f", number {number + 1} of {len(chosen)}"
                        repeat = command_for(item, f"--stageflow-seed={seed}")
                        error.add_note(f"This was under seed {seed}{which}. To repeat it alone:\n    {repeat}")
                    leave_out_the_loop(error.__traceback__, _HERE)
                    raise

        return in_simulated_time

    item.obj = rewrapped(item.obj, around)
    if item.get_closest_marker("asyncio") is not None:
        item.add_marker(pytest.mark.filterwarnings(_NOT_ASYNC_ANY_MORE))


def _read_marker(
    *,
    seeds: int | Iterable[int] | None = None,
    seed: int | None = None,
    max_steps: int = MAX_STEPS,
    threads_in_place: bool = False,
) -> tuple[Sequence[int | None], dict[str, Any]]:
    if seed is not None and seeds is not None:
        raise TypeError("stageflow_simulation() takes seed= or seeds=, not both.")
    chosen: Sequence[int | None]
    chosen = (seed,) if seeds is None else range(seeds) if isinstance(seeds, int) else tuple(seeds)
    if not chosen:
        raise ValueError("stageflow_simulation() was given no seeds, so the test would never run.")
    wrong = next((one for one in chosen if one is not None and not isinstance(one, int)), None)  # pyright: ignore[reportUnnecessaryIsInstance]
    if wrong is not None:
        raise TypeError(f"A seed of stageflow_simulation() is an integer, not {wrong!r}.")
    if max_steps < 1:
        raise ValueError(f"max_steps of stageflow_simulation() is at least 1, not {max_steps!r}.")
    return chosen, {"max_steps": max_steps, "threads_in_place": threads_in_place}


def _records(item: pytest.Function) -> bool:
    return "stageflow_cassette" in item.fixturenames and bool(item.config.getoption("--stageflow-record"))


def _refuse_shared(item: pytest.Function, made: Mapping[str, Any]) -> None:
    """Refuse a fixture that holds on to one of ours, which would go on from one seed to the next."""
    known: Mapping[str, Sequence[pytest.FixtureDef[Any]]] = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009 - it has no public name
    for name in made:
        for other, definitions in known.items():
            if name in definitions[-1].argnames:
                pytest.fail(
                    f"Fixture '{other}' holds on to '{name}', which records what it is used for: each seed would find "
                    f"what those before it have left. Ask for '{name}' in the test, and build there what needs it.",
                    pytrace=False,
                )
