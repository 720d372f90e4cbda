"""A stage as a pipeline holds it, and `stage`, which makes one."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast, overload

from stageflow.core.handle import StageHandle, StageRef, name_of
from stageflow.core.kinds import StageKind
from stageflow.errors import InvalidStageError

T = TypeVar("T", covariant=True)
V = TypeVar("V")

Dependencies = StageRef | Iterable[StageRef]
Runner = Any
"""An instance with `async execute(ctx)`, a class of such instances, or an async function."""


@dataclass(frozen=True)
class From:
    """Names the stage that a parameter reads, where the parameter cannot bear that name.

    It stands in the annotation: `Annotated[T, From("x-y")]`.
    """

    stage: str


@dataclass(frozen=True, eq=True)
class StageSpec(StageHandle[T]):
    """One stage of a pipeline: a runner, its name and kind, and what it depends on.

    It is also the handle of the stage: `results.value(spec)` is typed by what the function returns.

    Attributes:
        runner: What does the work.
        dependencies: The required dependencies that were declared by name; a function's parameters come on top.
        optional: Likewise, the optional ones.
    """

    name: str
    runner: Runner
    kind: StageKind
    dependencies: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.name)  # runners need not be hashable

    def named(self, name: str) -> StageSpec[T]:
        """Return the same stage under another name."""
        return replace(self, name=name)


def make_spec(
    name: str,
    runner: Runner,
    kind: StageKind | None = None,
    *,
    dependencies: Dependencies = (),
    optional: Dependencies = (),
) -> StageSpec[Any]:
    """Make a spec, or raise InvalidStageError or TypeError for what can be seen to be wrong without the pipeline."""
    _check_runner(name, runner)
    if kind is None:
        kind = getattr(runner, "kind", StageKind.TRANSFORM)
    if not isinstance(kind, StageKind):
        raise TypeError(f"The kind of stage '{name}' is a StageKind, not {kind!r}.")
    return StageSpec(
        name,
        runner,
        kind,
        _names(dependencies, f"dependencies of stage '{name}'"),
        _names(optional, f"optional of stage '{name}'"),
    )


def _names(given: Dependencies, where: str) -> tuple[str, ...]:
    several = (given,) if isinstance(given, (str, StageHandle)) else tuple(given)
    for one in several:
        if not isinstance(one, (str, StageHandle)):
            raise TypeError(f"The {where} are names or handles of stages, not {one!r}.")
    return tuple(dict.fromkeys(map(name_of, several)))


def _check_runner(name: str, runner: Runner) -> None:
    if isinstance(runner, StageSpec):
        raise InvalidStageError(
            f"Stage '{name}' was given a stage that is already made.",
            stage=name,
            hint=f"Give it to Pipeline(..., [stage]) or from_stages(stage.named('{name}')).",
        )
    if inspect.isroutine(runner):
        if inspect.isasyncgenfunction(runner) or not inspect.iscoroutinefunction(runner):
            raise InvalidStageError(
                f"Stage '{name}' is the function {runner.__qualname__}, which is not async.",
                stage=name,
                hint="Write `async def`; call what blocks with `await asyncio.to_thread(...)`.",
            )
        return
    execute = getattr(runner, "execute", None)
    if not callable(execute):
        raise InvalidStageError(
            f"Stage '{name}' is {runner!r}, which has no `execute`.",
            stage=name,
            hint="A stage is an object or a class with `async def execute(self, ctx)`, or an async function.",
        )
    if inspect.isroutine(execute) and not inspect.iscoroutinefunction(inspect.unwrap(execute)):
        raise InvalidStageError(
            f"Stage '{name}' has an `execute` that is not async.",
            stage=name,
            hint="Write `async def execute(self, ctx)`; call what blocks with `await asyncio.to_thread(...)`.",
        )


@overload
def stage(function: Callable[..., Awaitable[V]], /) -> StageSpec[V]: ...
@overload
def stage(
    *,
    name: str | None = None,
    kind: StageKind = StageKind.TRANSFORM,
    dependencies: Dependencies = (),
    optional: Dependencies = (),
) -> Callable[[Callable[..., Awaitable[V]]], StageSpec[V]]: ...
@overload
def stage(
    name: str,
    runner: Runner,
    kind: StageKind | None = None,
    /,
    *,
    dependencies: Dependencies = (),
    optional: Dependencies = (),
) -> StageSpec[Any]: ...
def stage(*positional: Any, name: str | None = None, **options: Any) -> Any:
    """Make a stage: of the function below it, or of a name and a runner.

    As a decorator, bare or with options, it takes the parameters of an async function as its dependencies, the way
    pytest takes fixtures: a parameter is the name of a stage, one with a default is an optional dependency, one
    annotated StageContext is the context, one named `input` is the run's typed input. One annotated StageOutput gets
    the whole output, Mapping or dict its data, anything else its value.

    As `stage("reply", ReplyStage, dependencies=("profile",))` it makes a stage of an object or class with `execute`.

    Raises:
        InvalidStageError: The runner is not async, or not a stage.
        TypeError: An option is unknown or of the wrong type.
    """
    if positional and isinstance(positional[0], str):
        if name is not None:
            raise TypeError("stage() was given two names.")
        return make_spec(*positional, **options)
    if positional:
        function = cast("Callable[..., Any]", positional[0])
        if len(positional) > 1 or options or name is not None:
            raise TypeError("Use @stage, @stage(kind=...) or stage('name', runner, ...).")
        return _of_function(function, None, {})

    def decorate(function: Callable[..., Any]) -> StageSpec[Any]:
        return _of_function(function, name, options)

    return decorate


def _of_function(function: Callable[..., Any], name: str | None, options: dict[str, Any]) -> StageSpec[Any]:
    if not inspect.isroutine(function):
        raise TypeError(f"@stage goes above an async function, not {function!r}; use stage('name', runner).")
    return make_spec(name or function.__name__, function, **options)
