"""Which hooks can suspend at all, and so need a time limit."""

import functools
from unittest.mock import AsyncMock

import pytest
from stageflow.interceptors.hooks import can_suspend


async def plain(ctx):
    return ctx.attempt + sum(x for x in range(3))


async def catching(ctx):
    try:
        return ctx.attempt
    except ValueError:
        return None


async def defining(ctx):
    async def inner():
        await other(ctx)

    return inner


async def awaiting(ctx):
    if ctx is None:
        await other(ctx)


async def iterating(ctx):
    async for _ in ctx:
        pass


async def entering(ctx):
    async with ctx:
        pass


async def comprehending(ctx):
    return [x async for x in ctx]


async def awaiting_in_comprehension(ctx):
    return [await x for x in ctx]


async def other(ctx):
    return None


class Callable:
    async def __call__(self, ctx):
        return None

    async def method(self, ctx):
        return None


def pretending(ctx):
    return other(ctx)


@pytest.mark.parametrize("hook", [plain, catching, defining, other, Callable().method], ids=lambda hook: hook.__name__)
def test_a_hook_without_an_await_cannot_suspend(hook):
    """However much else it does."""
    assert not can_suspend(hook)


@pytest.mark.parametrize(
    "hook",
    [
        awaiting,
        iterating,
        entering,
        comprehending,
        awaiting_in_comprehension,
        functools.partial(plain),
        AsyncMock(),
        Callable(),
        pretending,
    ],
)
def test_any_other_might(hook):
    """One that cannot be looked into, too."""
    assert can_suspend(hook)
