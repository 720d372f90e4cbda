"""Faults done to one awaited call: of a stage, or of a provider that answers as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

from stageflow_mocks.faults.await_points import CancelAt
from stageflow_mocks.faults.striking import Strike

T = TypeVar("T")
Call = Callable[[], Awaitable[T]]

Changes = Mapping[str, Callable[[Any, Strike], Any]]
"""For the faults that change an answer, what returns the changed one; None if there is nothing to change."""


async def strike_call(strike: Strike, call: Call[T], changes: Changes) -> T:
    """Call with this fault; return what comes of it, or raise what the fault raises."""
    fault = strike.rule.fault
    change = changes.get(fault)
    if change is None:
        return await _FAULTS[fault](strike, call)
    answer = await call()
    changed = change(answer, strike)
    if changed is None:
        return answer
    strike.struck()
    return changed


async def _latency(strike: Strike, call: Call[Any]) -> Any:
    strike.struck()
    await asyncio.sleep(strike.seconds)
    return await call()


async def _error(strike: Strike, _: Call[Any]) -> Any:
    strike.struck()
    raise strike.error()


async def _hang(strike: Strike, call: Call[Any]) -> Any:
    strike.struck()
    await asyncio.get_running_loop().create_future()
    return await call()  # not reached: nobody else knows of the future


async def _duplicated(strike: Strike, call: Call[Any]) -> Any:
    await call()
    strike.struck()
    return await call()


async def _reordered(strike: Strike, call: Call[Any]) -> Any:
    answer = await call()
    strike.struck()
    await asyncio.sleep(strike.seconds)
    return answer


async def _partial_write(strike: Strike, call: Call[Any]) -> Any:
    await call()
    strike.struck()
    raise strike.error()


async def _cancel(strike: Strike, call: Call[Any]) -> Any:
    return await CancelAt(cast("int", strike.rule.at_await), strike.struck).of(call())


_FAULTS: Mapping[str, Callable[[Strike, Call[Any]], Awaitable[Any]]] = {
    "latency": _latency,
    "error": _error,
    "hang": _hang,
    "duplicated": _duplicated,
    "reordered": _reordered,
    "partial_write": _partial_write,
    "cancel": _cancel,
}
