"""What may do the work of a stage, and what is refused when the stage is made."""

from __future__ import annotations

import inspect
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from types import FunctionType, MethodType
from typing import Any, Protocol

from stageflow.core.context import StageContext
from stageflow.core.handle import StageHandle
from stageflow.errors import InvalidStageError
from stageflow.wording import shown


class HasExecute(Protocol):
    """What a runner needs: one method that takes the context. See `Stage` for what it may have beside."""

    def execute(self, ctx: StageContext, /) -> Awaitable[Any] | AsyncIterator[Any]: ...


Runner = HasExecute | type[HasExecute] | Callable[..., Awaitable[Any]] | Callable[..., AsyncIterator[Any]]
"""An instance with `async execute(ctx)`, a class of such instances, or an async function; each may be a generator."""


def check_runner(name: str, runner: Any) -> None:
    """Check what can be seen of a runner without the pipeline.

    Raises:
        InvalidStageError: It is no runner; the hint says what to give.
    """
    if isinstance(runner, StageHandle):
        as_it_is = f"Give it to Pipeline(..., [{name}])"
        renamed = f"Give it to Pipeline(..., [stage]) or from_stages(stage.named('{name}'))"
        raise InvalidStageError(
            f"Stage '{name}' was given a stage that is already made.",
            stage=name,
            hint=f"{as_it_is if runner.name == name else renamed}.",
        )
    is_function = inspect.isroutine(runner)
    called = runner if is_function else getattr(runner, "execute", None)
    if not callable(called):
        raise InvalidStageError(
            f"Stage '{name}' is {shown(runner)}, which has no `execute`.",
            stage=name,
            hint="A stage is an object or a class with `async def execute(self, ctx)`, or an async function.",
        )
    if isinstance(runner, type):
        _check_class(name, runner)
    inner = inspect.unwrap(called)
    is_async = inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)
    if is_async or not inspect.isroutine(called):
        _check_parameters(name, runner, called)
        return
    if is_function:
        what, form = f"{shown(runner)}, which", "async def"
    else:
        what, form = f"{shown(runner)}, whose `execute`", "async def execute(self, ctx)"
    raise InvalidStageError(
        f"Stage '{name}' is {what} is not async.",
        stage=name,
        hint=f"Write `{form}`; call what blocks with `await asyncio.to_thread(...)`.",
    )


def _check_parameters(name: str, runner: Any, called: Any) -> None:
    """Check that `execute` can be called with the context alone, and that a function is no method.

    By the code itself, since pipelines of 10,000 stages are made; what is written in C is seen when it runs.
    """
    if called is runner:
        inner = inspect.unwrap(runner, stop=lambda function: isinstance(function, MethodType))
        if isinstance(runner, FunctionType) and isinstance(inner, FunctionType) and _is_method(inner):
            raise InvalidStageError(
                f"Stage '{name}' is the method {runner.__qualname__}, and a method does not stand alone.",
                stage=name,
                hint=f"Use a class with `async def execute(self, ctx)`: stage('{name}', TheClass).",
            )
        return
    function, given = called, 1
    if isinstance(called, MethodType):
        function, given = called.__func__, 2
    elif isinstance(runner, type):
        written = inspect.getattr_static(runner, "execute", None)
        if written is called:
            given = 2
        elif not isinstance(written, staticmethod):
            return  # a descriptor of somebody's own: what an instance has is seen when it runs
    if isinstance(function, FunctionType) and not _takes(function, given):
        raise InvalidStageError(
            f"Stage '{name}' is {shown(runner)}, whose `execute{inspect.signature(function, follow_wrapped=False)}` "
            "does not take the context as its only argument.",
            stage=name,
            hint="Write `async def execute(self, ctx)`; read other stages with ctx.inputs.",
        )


def _is_method(function: FunctionType) -> bool:
    first = function.__code__.co_varnames[: function.__code__.co_argcount][:1]
    return first in (("self",), ("cls",)) and first[0] not in function.__annotations__


def _takes(function: FunctionType, given: int) -> bool:
    """Return whether the function can be called with this many positional arguments."""
    code = function.__code__
    most = math.inf if code.co_flags & inspect.CO_VARARGS else code.co_argcount
    least = code.co_argcount - len(function.__defaults__ or ())
    return least <= given <= most and code.co_kwonlyargcount == len(function.__kwdefaults__ or ())


def _check_class(name: str, runner: type[Any]) -> None:
    """Check that a runner that is a class can be made without arguments, as each run does."""
    if inspect.isabstract(runner):
        raise InvalidStageError(
            f"Stage '{name}' is the class {runner.__qualname__}, which is abstract.",
            stage=name,
            hint=f"Give a subclass that defines {', '.join(sorted(runner.__abstractmethods__))}.",
        )
    if runner.__init__ is object.__init__ and runner.__new__ is object.__new__:
        return
    try:
        inspect.signature(runner).bind()
    except TypeError as error:
        raise InvalidStageError(
            f"Stage '{name}' is the class {runner.__qualname__}, and each run makes one without arguments: {error}.",
            stage=name,
            hint=f"Give its parameters defaults, or give an instance: {runner.__qualname__}(...).",
        ) from error
    except ValueError:  # a class written in C that does not tell its parameters
        return
