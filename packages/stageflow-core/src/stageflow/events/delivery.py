"""A call of something that watches runs: a sink or a store, which is trusted with nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from stageflow.events.secret_text import redacted_text
from stageflow.wording import text_of


class Delivery:
    """How such a call ended.

    Attributes:
        failure: Why it was not done: what it raised, or words; None if it was.
        value: What it returned.
        interrupted: The cancellation of whoever waited for it, to be raised again.
    """

    __slots__ = ("failure", "interrupted", "value")

    def __init__(
        self,
        failure: BaseException | str | None = None,
        value: Any = None,
        interrupted: asyncio.CancelledError | None = None,
    ) -> None:
        self.failure = failure
        self.value = value
        self.interrupted = interrupted


async def deliver(call: Callable[[], Awaitable[Any]], *, to: str, timeout_s: float) -> Delivery:
    """Make a call, and wait for it, but not for ever; nothing that it raises comes out of here.

    It is cut off when its time is up or the caller is cancelled: cancelled, and awaited for the same time again, so
    that its task does not outlive the run. One that does not stop is left behind.

    Args:
        call: Makes the awaitable.
        to: What is called, for the reason: "the sink".
        timeout_s: Seconds that it may take.

    Raises:
        KeyboardInterrupt, SystemExit: Those alone.
    """
    try:
        delivery = asyncio.ensure_future(call())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - it may raise anything; one that is not async fails here
        return Delivery(error)
    late, interrupted = f"{to} took longer than {timeout_s:g} s", None
    try:
        await asyncio.sleep(0)  # what waits for nothing has ended by then: a timer would cost more than the call
        if not delivery.done():
            await asyncio.wait({delivery}, timeout=timeout_s)
    except asyncio.CancelledError as error:
        late, interrupted = f"the caller was cancelled before {to} had taken it", error
    cut_off = not delivery.done()
    if cut_off:
        interrupted = await _cut_off(delivery, timeout_s) or interrupted
    if not delivery.done():
        return Delivery(f"{late}, and did not stop when it was cancelled", interrupted=interrupted)
    if delivery.cancelled():
        return Delivery(late if cut_off else f"{to} raised CancelledError", interrupted=interrupted)
    if (failure := delivery.exception()) is not None:
        return Delivery(failure, interrupted=interrupted)
    return Delivery(value=delivery.result(), interrupted=interrupted)


async def _cut_off(delivery: asyncio.Future[Any], timeout_s: float) -> asyncio.CancelledError | None:
    """Cancel a call and let it clean up; a cancellation of the caller does not cut that short, and is returned."""
    interrupted, loop = None, asyncio.get_running_loop()
    delivery.cancel()
    until = loop.time() + timeout_s
    while not delivery.done() and (seconds := until - loop.time()) > 0:
        try:
            await asyncio.wait({delivery}, timeout=seconds)
        except asyncio.CancelledError as error:
            interrupted = error
    return interrupted


def report_defect(task: asyncio.Task[None]) -> None:
    """Tell the event loop of what came out of a task that makes such calls, where nothing should."""
    error = None if task.cancelled() else task.exception()
    # An interrupt has gone on through the event loop: asyncio would report it a second time.
    if error is not None and not isinstance(error, (KeyboardInterrupt, SystemExit)):
        context = {"message": f"A defect of Stageflow: {task.get_name()} broke.", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)


def in_words(failure: BaseException | str) -> str:
    """Return why a call was not done, for a log."""
    if isinstance(failure, str):
        return failure
    return f"{type(failure).__qualname__}: {redacted_text(text_of(failure))}"
