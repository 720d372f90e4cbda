"""A cancellation at a chosen suspension of what is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class CancelAt:
    """Cancels what is awaited through `of` when it suspends for the k-th time, as `Task.cancel` would at that moment.

    What it waits for is cancelled, so that a task or a lock further in ends or gives up as ever, and the wait raises
    CancelledError. The task itself is not cancelled: that would be the end of the run, not of one stage.
    """

    def __init__(self, at_await: int, struck: Callable[[], None]) -> None:
        self._left = at_await
        self._struck = struck

    def of(self, inner: Awaitable[T]) -> Awaitable[T]:
        """Return what is to be awaited in place of `inner`; of several, the suspensions are counted on."""
        return _Stepped(inner, self)

    def strikes(self) -> bool:
        """Count a suspension; return whether it is the one."""
        self._left -= 1
        if self._left == 0:
            self._struck()
        return self._left == 0


class _Stepped(Awaitable[T], Generic[T]):
    def __init__(self, inner: Awaitable[T], cancel: CancelAt) -> None:
        self._inner = inner
        self._cancel = cancel

    def __await__(self) -> Generator[Any, Any, T]:
        steps: Any = self._inner.__await__()
        error: BaseException | None = None
        while True:
            try:
                waiting = steps.send(None) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            error = None
            strikes = self._cancel.strikes()
            if strikes and waiting is not None:  # else it only lets others run for a turn
                waiting.cancel("a fault plan")
            try:
                yield waiting
            except BaseException as raised:  # noqa: BLE001 - it belongs to what is awaited
                error = raised
            if strikes and error is None:
                error = asyncio.CancelledError("a fault plan")
