"""Asks what has a `check_health()` whether it is well."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, cast

from stageflow.cli.doctor.checks import Check
from stageflow.wording import text_of, type_name


def can_be_asked(thing: Any) -> bool:
    """Return whether it has a `check_health()`."""
    return callable(inspect.getattr_static(thing, "check_health", None)) or hasattr(
        cast("Any", type(thing)), "check_health"
    )


async def ask(what: str, thing: Any, timeout_s: float) -> Check | None:
    """Return how it is; None if it has not answered in time, and is still at it.

    `check_health()` may be async or not. It says that something is wrong by raising, or by False; a text says more.
    """
    task = asyncio.ensure_future(_answer(thing.check_health))
    done, _ = await asyncio.wait({task}, timeout=timeout_s)
    if not done:
        task.cancel()
        return None
    if task.cancelled():
        return Check("missing", f"{what} is not well", "its check was cancelled")
    answer = task.exception() or task.result()
    if isinstance(answer, BaseException):
        return Check("missing", f"{what} is not well", f"{type_name(answer)}: {text_of(answer)}")
    if answer is False:
        return Check("missing", f"{what} is not well", "check_health() returned False")
    return Check("ok", f"{what} is well", answer if isinstance(answer, str) else "")


async def _answer(call: Any) -> Any:
    """Return what a check says, in a thread unless it is async; what it returns may have to be awaited all the same."""
    try:
        answer = await call() if inspect.iscoroutinefunction(call) else await asyncio.to_thread(call)
        return await answer if inspect.isawaitable(answer) else answer
    except SystemExit as error:  # raised out of a task it would end the command
        return error
