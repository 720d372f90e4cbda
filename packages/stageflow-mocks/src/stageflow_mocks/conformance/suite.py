"""What all suites share: how an implementation is made, driven and judged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from inspect import isasyncgen, isawaitable, isgenerator
from typing import Any, Generic, NoReturn, TypeVar, cast

from stageflow_mocks import simulation
from stageflow_mocks.simulation.tracebacks import leave_out_the_loop

try:
    import pytest
except ImportError as error:
    raise ImportError(
        'The conformance suites need pytest. Install it: pip install "stageflow-mocks[pytest]"', name=error.name
    ) from error

__tracebackhide__ = True  # pytest shows the promise that is not kept, and not how it was looked at

I = TypeVar("I")  # noqa: E741 - an implementation
S = TypeVar("S", bound="Conformance[Any]")

_ONE_DAY_S = 86_400.0


class Conformance(Generic[I]):
    """The promises of a protocol as tests, for one implementation: a subclass whose name begins with Test gives `make`.

    Each test makes an implementation of its own, in an event loop of its own.

    Attributes:
        simulated: Whether time is simulated: for what does no input or output, so that nothing is waited for.
        limit_s: Seconds that a test may take, in real time.
    """

    simulated: bool = False
    limit_s: float = 10.0

    def make(self) -> I | Awaitable[I] | AbstractAsyncContextManager[I]:
        """Return a new implementation; an async context manager is entered, and left when the test is over."""
        raise NotImplementedError(f"{type(self).__name__} says with `make` what is to be tested.")

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, as the implementation sees it; one with a clock of its own moves that."""
        await asyncio.sleep(seconds)


def promised(test: Callable[[S, Any], Coroutine[Any, Any, None]]) -> Callable[[S], None]:
    """Make a test of a coroutine that is given the implementation; its docstring is the promise."""

    def run(self: S) -> None:
        _drive(self, test)

    run.__name__, run.__qualname__, run.__doc__ = test.__name__, test.__qualname__, test.__doc__
    run.__module__ = test.__module__
    return run


def promise(kept: object, told: str) -> None:
    """Fail the test if a promise is not kept.

    Raises:
        AssertionError: It is not.
    """
    if not kept:
        raise AssertionError(told)


def not_told(why: str) -> NoReturn:
    """Skip a test that needs to know more of the implementation than the subclass tells."""
    pytest.skip(why)


async def ends_when_cancelled(call: Callable[[], Awaitable[Any]], *, steps: int = 12) -> list[Any]:
    """Cancel a call after each of its first steps, and see to it that it ends then, cancelled or done.

    Returns:
        What those returned that were done.

    Raises:
        AssertionError: It goes on, or ends with another exception.
    """
    returned: list[Any] = []
    for after in range(steps):
        task = asyncio.ensure_future(call())
        for _ in range(after):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=5.0)
        promise(done, f"A call that is cancelled after {after} steps of the event loop ends; this one went on.")
        if task.cancelled():
            continue
        if (error := task.exception()) is not None:
            raise AssertionError(f"A call that is cancelled ends cancelled, or done; it raised {error!r}.") from error
        returned.append(task.result())
    return returned


@asynccontextmanager
async def opened(made: Any) -> AsyncGenerator[Any]:
    """Give what a factory made: entered if it is a context manager, awaited if it is a coroutine.

    Raises:
        TypeError: It made nothing, or a generator.
    """
    if isinstance(made, AbstractAsyncContextManager):
        async with cast("AbstractAsyncContextManager[Any]", made) as entered:
            yield _implementation(entered)
    else:
        yield _implementation(await made if isawaitable(made) else made)


def _implementation(made: Any) -> Any:
    maker = "What makes the implementation, as `make`,"
    if made is None:
        raise TypeError(f"{maker} gave None: is its `return` missing, or its `yield` empty?")
    if isasyncgen(made) or isgenerator(made):
        raise TypeError(f"{maker} is a generator: make it an async one, and put @asynccontextmanager above it.")
    return made


def _drive(suite: S, test: Callable[[S, Any], Coroutine[Any, Any, None]]) -> None:
    limit_s = _ONE_DAY_S if suite.simulated else suite.limit_s

    async def main() -> None:
        limit = asyncio.timeout(limit_s)
        try:
            async with limit, opened(suite.make()) as implementation:
                await test(suite, implementation)
        except TimeoutError as error:
            if limit.expired():
                raise AssertionError(f"What was asked was not answered within {limit_s:g} s.") from error
            raise

    try:
        _run(main(), simulated=suite.simulated)
    except Exception as error:
        leave_out_the_loop(error.__traceback__, __file__)
        error.add_note(f"The promise: {' '.join((test.__doc__ or '').split())}")
        raise


def _run(main: Coroutine[Any, Any, None], *, simulated: bool) -> None:
    if simulated:
        simulation.run(main)
    else:
        asyncio.run(main)
