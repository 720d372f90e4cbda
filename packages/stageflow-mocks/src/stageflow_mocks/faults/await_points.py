"""A cancellation at a chosen suspension of what is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class CancelledAt(Awaitable[T]):
    """What is awaited, cancelled when it suspends for the k-th time, as `Task.cancel` would at that moment.

    What it waits for is cancelled, so that a task or a lock further in ends or gives up as ever, and the wait raises
    CancelledError. The task itself is not cancelled: that would be the end of the run, not of one stage.
    """

    def __init__(self, inner: Awaitable[T], at_await: int, struck: Callable[[], None]) -> None:
        self._inner = inner
        self._at_await = at_await
        self._struck = struck

    def __await__(self) -> Generator[Any, Any, T]:
        steps: Any = self._inner.__await__()
        error: BaseException | None = None
        count = 0
        while True:
            try:
                waiting = steps.send(None) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            count += 1
            error = None
            strikes = count == self._at_await
            if strikes:
                self._struck()
                if waiting is not None:  # else it only lets others run for a turn
                    waiting.cancel("a fault plan")
            try:
                yield waiting
            except BaseException as raised:  # noqa: BLE001 - it belongs to what is awaited
                error = raised
            if strikes and error is None:
                error = asyncio.CancelledError("a fault plan")
