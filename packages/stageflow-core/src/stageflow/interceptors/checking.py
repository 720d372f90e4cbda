"""What may be given as `interceptors=`: a guard that is none must not pass for one."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator
from typing import Any, cast

from stageflow.errors import InvalidInterceptorError, PipelineValidationError
from stageflow.interceptors.base import HOOK_TIMEOUT, BaseInterceptor
from stageflow.wording import shown, similar

HOOKS = {
    "before": "(self, ctx) -> InterceptorResult | None",
    "around": "(self, ctx, call) -> StageOutput",
    "after": "(self, ctx, output) -> None",
    "on_error": "(self, ctx, error) -> ErrorAction",
    "fallback": "(self, ctx, error) -> StageOutput",
}
"""The hooks, each with what its signature must allow."""


def check_interceptors(interceptors: Any, *, pipeline: str) -> tuple[Any, ...]:
    """Return the interceptors as a tuple, in the order given.

    Raises:
        PipelineValidationError: One of them is no interceptor: an InvalidInterceptorError, or several in `faults`.
    """
    given, faults = interceptor_faults(interceptors, pipeline=pipeline)
    if faults:
        raise PipelineValidationError.of(pipeline, faults)
    return given


def interceptor_faults(interceptors: Any, *, pipeline: str) -> tuple[tuple[Any, ...], list[InvalidInterceptorError]]:
    """Return the interceptors as a tuple, and what is wrong with them."""
    if isinstance(interceptors, (str, bytes)) or not isinstance(interceptors, Iterable):
        hint = f"Give a tuple, even of one: interceptors=({type(cast('object', interceptors)).__name__.lower()},)."
        problem = f"takes its interceptors as a tuple or list, not as {shown(cast('object', interceptors))}"
        return (), [InvalidInterceptorError(f"Pipeline '{pipeline}' {problem}.", interceptor=None, hint=hint)]
    given = tuple(cast("Iterable[Any]", interceptors))
    faults: list[InvalidInterceptorError] = []
    for position, interceptor in enumerate(given):
        where = f"Interceptor {position + 1} of pipeline '{pipeline}'"
        if any(interceptor is other for other in given[:position]):
            problems = [("is given twice", "Each attempt would call its hooks twice: keep one.")]
        else:
            problems = list(_problems(interceptor))
        name = _name_for_messages(interceptor)
        faults += [
            InvalidInterceptorError(f"{where}, {name}, {problem}.", interceptor=name, hint=hint)
            for problem, hint in problems
        ]
    return given, faults


def _name_for_messages(interceptor: Any) -> str:
    name = None if isinstance(interceptor, type) else getattr(interceptor, "name", None)
    return f"'{name}'" if isinstance(name, str) and name else shown(interceptor)


def _problems(interceptor: Any) -> Iterator[tuple[str, str]]:
    if isinstance(interceptor, type):
        kind = cast("type[Any]", interceptor)
        yield "is a class, not an instance of it", f"Write {kind.__name__}(...)."
        return
    if isinstance(interceptor, (tuple, list)):
        yield "is several", "Unpack it: (*several, another), or with_interceptors(*several)."
        return
    hooks = [hook for hook in HOOKS if callable(getattr(interceptor, hook, None))]
    if not isinstance(interceptor, BaseInterceptor) and not {*hooks} - {"fallback"}:
        yield "has none of the hooks of an interceptor", "Derive it from BaseInterceptor, and override what is wanted."
        return
    name = getattr(interceptor, "name", None)
    if not isinstance(name, str) or not name:
        yield f"has the name {name!r}", "Give it a `name`, which errors call it by."
    priority: Any = getattr(interceptor, "priority", None)
    if not _is_number(priority) or math.isnan(priority):
        yield f"has the priority {shown(priority)}", "A priority is a number; lower ones are further out."
    limit: Any = getattr(interceptor, "hook_timeout", HOOK_TIMEOUT)
    if not _is_number(limit) or not 0 < limit < math.inf:
        yield f"has the hook_timeout {shown(limit)}", "A hook_timeout is a number of seconds, above 0 and finite."
    only_watches: Any = getattr(interceptor, "only_watches", False)
    if not isinstance(only_watches, bool):
        yield f"has the only_watches {shown(only_watches)}", "It is True or False."
    calls_again: Any = getattr(interceptor, "calls_again", False)
    if not isinstance(calls_again, bool):
        yield f"has the calls_again {shown(calls_again)}", "It is True or False."
    for hook in hooks:
        yield from _problems_of_hook(hook, getattr(interceptor, hook))
    yield from _misspelt(interceptor)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _problems_of_hook(hook: str, function: Any) -> Iterator[tuple[str, str]]:
    expected = f"async def {hook}{HOOKS[hook]}"
    if inspect.isasyncgenfunction(function):
        yield (
            f"has a hook `{hook}` that yields",
            f"It returns instead: {expected}, with `await call()` where it yields.",
        )
        return
    if not inspect.iscoroutinefunction(function) and not inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - asked for what it is, not whether it is there
    ):
        yield f"has a hook `{hook}` that is not async", f"Write: {expected}."
        return
    arguments = HOOKS[hook].partition(")")[0].count(",")
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError as error:
        yield f"has a hook `{hook}` with other parameters ({error})", f"Write: {expected}."


def _misspelt(interceptor: Any) -> Iterator[tuple[str, str]]:
    """Find the guard that never runs because its hook is called `befor`."""
    kind = cast("type[Any]", type(interceptor))
    missing = [hook for hook in HOOKS if getattr(kind, hook, None) in (None, getattr(BaseInterceptor, hook))]
    for name in dir(kind):
        if name.startswith("_") or name in HOOKS or not inspect.iscoroutinefunction(getattr(kind, name, None)):
            continue
        for hook in similar(name, missing, cutoff=0.85):
            yield f"has no `{hook}`, and an async method `{name}`, which nobody calls", f"Call it `{hook}`, or _{name}."
