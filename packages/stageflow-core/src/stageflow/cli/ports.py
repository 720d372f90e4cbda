"""The ports that `--ports` names."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any, cast

from stageflow.errors import CommandError
from stageflow.wording import text_of, type_name

HELP = "the ports: an object, or a function or context manager that makes them"


async def opened_ports(given: Any, stack: contextlib.AsyncExitStack) -> Any:
    """Return the ports: what was named, or what it returns, inside of it if it is a context manager.

    Raises:
        CommandError: It raised.
    """
    try:
        made = given() if inspect.isroutine(given) or isinstance(given, type) else given
        if inspect.isawaitable(made):
            made = await made
        kind = cast("Any", type(made))
        if hasattr(kind, "__aenter__"):
            return await stack.enter_async_context(made)
        if hasattr(kind, "__enter__"):
            return stack.enter_context(made)
    except Exception as error:
        raise CommandError(f"--ports: {type_name(error)}: {text_of(error)}") from error
    return made
