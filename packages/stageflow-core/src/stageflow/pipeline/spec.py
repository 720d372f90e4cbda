"""A stage as a pipeline holds it, and `stage`, which makes one."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any, Protocol, TypeVar, Unpack, cast, overload

from stageflow.core.handle import StageHandle, StageRef, name_of
from stageflow.core.kinds import StageKind
from stageflow.core.output import StageOutput
from stageflow.core.stream import StreamOptions
from stageflow.errors import InvalidOptionError
from stageflow.execution.retry import RetryPolicy
from stageflow.pipeline.options import (
    MAP_CONCURRENCY,
    Condition,
    Join,
    StageOptions,
    check_condition,
    check_count,
    check_critical,
    check_join,
    check_known,
    check_limit,
    check_map_over,
    check_names,
    check_ports,
    check_priority,
    check_retry,
    check_route,
    check_routes,
    check_seconds,
    check_stream,
    check_version,
    ports_of_runner,
)
from stageflow.pipeline.runner import Runner, check_runner
from stageflow.value import Value
from stageflow.wording import shown

T = TypeVar("T", covariant=True)
V = TypeVar("V")


class From(Value):
    """Names the stage that a parameter reads, where the parameter cannot bear that name.

    It stands in the annotation: `Annotated[T, From("x-y")]`.
    """

    stage: str

    def __init__(self, stage: StageRef) -> None:
        object.__setattr__(self, "stage", name_of(stage))


class StageSpec(Value, StageHandle[T]):
    """One stage of a pipeline: a runner, its name and kind, and its options.

    It is also the handle of the stage: `results.value(spec)` is typed by what the function returns.

    Attributes:
        runner: What does the work.
        dependencies: The required dependencies that were declared by name; a function's parameters come on top.
        optional: Likewise, the optional ones.
        ports: The names of all ports that it needs: those that were given, and those that its runner names.
        local_names: Where `@stage` stood in a function, the names there that the annotations mention, since
            annotations may be strings.

    The others are as in `StageOptions`.
    """

    name: str
    runner: Runner
    kind: StageKind
    dependencies: tuple[str, ...]
    optional: tuple[str, ...]
    when: Condition | None
    join: Join
    route: Mapping[str, str] | None
    routes: tuple[str, ...]
    terminal_routes: tuple[str, ...]
    retry: RetryPolicy | None
    timeout: float | None
    deadline: float | None
    critical: bool
    output: Any
    version: str | None
    streams: tuple[str, ...]
    stream: StreamOptions | None
    map_over: tuple[str, str | None] | None
    map_concurrency: int
    limit: str | None
    priority: int
    ports: tuple[str, ...]
    local_names: Mapping[str, Any] | None

    def __init__(
        self,
        name: str,
        runner: Runner,
        kind: StageKind,
        dependencies: tuple[str, ...] = (),
        optional: tuple[str, ...] = (),
        when: Condition | None = None,
        join: Join = "all",
        route: Mapping[str, str] | None = None,
        routes: tuple[str, ...] = (),
        terminal_routes: tuple[str, ...] = (),
        retry: RetryPolicy | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        critical: bool = True,
        output: Any = None,
        version: str | None = None,
        streams: tuple[str, ...] = (),
        stream: StreamOptions | None = None,
        map_over: tuple[str, str | None] | None = None,
        map_concurrency: int = MAP_CONCURRENCY,
        limit: str | None = None,
        priority: int = 0,
        ports: tuple[str, ...] = (),
        local_names: Mapping[str, Any] | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "name", name)
        put(self, "runner", runner)
        put(self, "kind", kind)
        put(self, "dependencies", dependencies)
        put(self, "optional", optional)
        put(self, "when", when)
        put(self, "join", join)
        put(self, "route", route)
        put(self, "routes", routes)
        put(self, "terminal_routes", terminal_routes)
        put(self, "retry", retry)
        put(self, "timeout", timeout)
        put(self, "deadline", deadline)
        put(self, "critical", critical)
        put(self, "output", output)
        put(self, "version", version)
        put(self, "streams", streams)
        put(self, "stream", stream)
        put(self, "map_over", map_over)
        put(self, "map_concurrency", map_concurrency)
        put(self, "limit", limit)
        put(self, "priority", priority)
        put(self, "ports", ports)
        put(self, "local_names", local_names)
        self._check()

    def _check(self) -> None:
        if not isinstance(self.name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"The name of a stage is a string, not {shown(self.name)}.")
        check_runner(self.name, self.runner)
        if not isinstance(self.kind, StageKind):  # pyright: ignore[reportUnnecessaryIsInstance]
            kinds = ", ".join(kind.name for kind in StageKind)
            raise TypeError(f"The kind of stage '{self.name}' is a StageKind ({kinds}), not {shown(self.kind)}.")
        for option, unless_given, check in _OPTIONS:
            given = getattr(self, option)
            if given is not unless_given and given is not None:
                object.__setattr__(self, option, check(self.name, given))
            elif given is not unless_given:  # None is what some options are by themselves, and nothing to the others
                raise InvalidOptionError(option, "cannot be None: leave it out", stage=self.name)
        own = ports_of_runner(self.name, self.runner)
        if own:
            object.__setattr__(self, "ports", tuple(dict.fromkeys((*self.ports, *own))))
        for option, unless_given, needed in _GO_WITH:
            if getattr(self, option) != unless_given and getattr(self, needed) is None:
                raise InvalidOptionError(option, f"goes with {needed}=, which is missing", stage=self.name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StageSpec):
            return NotImplemented
        return self.name == other.name and not self.differing(cast("StageSpec[Any]", other))

    def __repr__(self) -> str:
        return f"<stage '{self.name}'>"

    def __hash__(self) -> int:
        return hash(self.name)  # runners need not be hashable

    def differing(self, other: StageSpec[Any]) -> tuple[str, ...]:
        """Return the names of the fields, other than the name, in which the two stages differ."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in _COMPARED)
        # By identity first: == of a runner may do anything, and a stage is often its own counterpart.
        return tuple(name for name, mine, theirs in pairs if mine is not theirs and mine != theirs)

    def named(self, name: str) -> StageSpec[T]:
        """Return the same stage under another name."""
        return replace(self, name=name)


_OPTIONS: tuple[tuple[str, Any, Callable[[str, Any], Any]], ...] = (
    ("dependencies", (), lambda stage, given: check_names(stage, "dependencies", given)),
    ("optional", (), lambda stage, given: check_names(stage, "optional", given)),
    ("when", None, check_condition),
    ("join", "all", check_join),
    ("route", None, check_route),
    ("routes", (), lambda stage, given: check_routes(stage, "routes", given)),
    ("terminal_routes", (), lambda stage, given: check_routes(stage, "terminal_routes", given)),
    ("retry", None, check_retry),
    ("timeout", None, lambda stage, given: check_seconds("timeout", given, stage=stage)),
    ("deadline", None, lambda stage, given: check_seconds("deadline", given, stage=stage)),
    ("critical", True, check_critical),
    ("version", None, check_version),
    ("streams", (), lambda stage, given: check_names(stage, "streams", given)),
    ("stream", None, check_stream),
    ("map_over", None, check_map_over),
    ("map_concurrency", MAP_CONCURRENCY, lambda stage, given: check_count("map_concurrency", given, stage=stage)),
    ("limit", None, check_limit),
    ("priority", 0, check_priority),
    ("ports", (), check_ports),
)
"""Each option with what it is unless given, and what checks it and brings it into its form."""

_GO_WITH = (("map_concurrency", MAP_CONCURRENCY, "map_over"), ("priority", 0, "limit"))
"""Options that mean nothing without another one: what they are unless given, and the other one."""

_COMPARED = ("runner", "kind", "output", *(option for option, _, _ in _OPTIONS))


def make_spec(
    name: str,
    runner: Runner,
    kind: StageKind | None,
    options: StageOptions,
    local_names: Mapping[str, Any] | None = None,
) -> StageSpec[Any]:
    """Make a spec, or raise what can be seen to be wrong without the pipeline.

    Raises:
        InvalidStageError: The runner is no stage.
        InvalidOptionError: An option has a value that it cannot have.
    """
    if kind is None:
        kind = getattr(runner, "kind", StageKind.TRANSFORM)
    # The spec itself checks them, and turns references to stages into names.
    fields: Any = options
    return StageSpec[Any](name, runner, cast("StageKind", kind), local_names=local_names, **fields)


class _Decorator(Protocol):
    """What `@stage(...)` is: a stage's value is what its function returns, or what is in the output that it returns."""

    @overload
    def __call__(self, function: Callable[..., AsyncIterator[Any]], /) -> StageSpec[Mapping[str, Any]]: ...
    @overload
    def __call__(self, function: Callable[..., Awaitable[StageOutput[V]]], /) -> StageSpec[V]: ...
    @overload
    def __call__(self, function: Callable[..., Awaitable[V | StageOutput[V]]], /) -> StageSpec[V]: ...


@overload
def stage(function: Callable[..., AsyncIterator[Any]], /) -> StageSpec[Mapping[str, Any]]: ...
@overload
def stage(function: Callable[..., Awaitable[StageOutput[V]]], /) -> StageSpec[V]: ...
@overload
def stage(function: Callable[..., Awaitable[V | StageOutput[V]]], /) -> StageSpec[V]: ...
@overload
def stage(
    *, name: str | None = None, kind: StageKind = StageKind.TRANSFORM, **options: Unpack[StageOptions]
) -> _Decorator: ...
@overload
def stage(
    name: str, runner: Runner, /, kind: StageKind | None = None, **options: Unpack[StageOptions]
) -> StageSpec[Any]: ...
def stage(
    first: Any = None,
    runner: Any = None,
    /,
    kind: StageKind | None = None,
    *,
    name: str | None = None,
    **options: Unpack[StageOptions],
) -> Any:
    """Make a stage: of the function below it, or of a name and a runner.

    As a decorator, bare or with options, it takes the parameters of an async function as its dependencies, the way
    pytest takes fixtures: a parameter is the name of a stage, one with a default is an optional dependency, one
    annotated StageContext is the context, one named `input` is the run's typed input. One annotated StageOutput gets
    the whole output, Mapping or dict its data, anything else its value.

    As `stage("reply", ReplyStage, dependencies=("profile",))` it makes a stage of an object or class with `execute`.

    Args:
        first: The function, or the name.
        runner: Beside a name, what does the work.
        kind: The runner's own unless given, else TRANSFORM.
        name: Of the stage that is made of a function: the function's unless given.
        options: `dependencies, optional, when, join, route, routes, terminal_routes, retry, timeout, deadline,
            critical, output, version, streams, stream, map_over, map_concurrency, limit, priority, ports`, see
            `StageOptions`.

    Raises:
        InvalidStageError: The runner is not async, or not a stage.
        InvalidOptionError: An option has a value that it cannot have.
        TypeError: An option is unknown, or of the wrong type.
    """
    check_known(options, "stage()")
    if isinstance(first, StageKind):
        raise TypeError(f"The kind of a stage is given by name: @stage(kind=StageKind.{first.name}).")
    if isinstance(first, str):
        if runner is None:
            raise TypeError(f"stage('{first}') has no runner: stage('{first}', runner), or @stage(name='{first}').")
        if name is not None:
            raise TypeError(f"stage() was given two names, '{first}' and '{name}'.")
        return make_spec(first, runner, kind, options)
    # No other way leads to a type that a function defines. The frame is the caller's: one's own would hold itself.
    caller = sys._getframe(1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    around = {} if caller.f_locals is caller.f_globals else caller.f_locals
    make = partial(_of_function, name=name, kind=kind, options=options, around=around)
    if first is None:
        return make
    if runner is not None or name is not None:
        raise TypeError("Use @stage, @stage(kind=...) or stage('name', runner, ...).")
    return make(first)


def _mentioned(function: Any, around: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the names around a nested function that its annotations mention, where these are strings.

    So do those of the fields of local classes among them, which are not told what stands around them either.
    """
    if "<locals>" not in function.__qualname__:
        return None
    found: dict[str, Any] = {}
    waiting = [function]
    while waiting:
        annotations: Mapping[str, Any] = getattr(waiting.pop(), "__annotations__", {})
        texts = " ".join(hint for hint in annotations.values() if isinstance(hint, str))
        new = [name for name in _identifier().findall(texts) if name in around and name not in found]
        found.update((name, around[name]) for name in new)
        waiting += (base for name in new if isinstance(around[name], type) for base in around[name].__mro__)
    return found


@cache
def _identifier() -> re.Pattern[str]:
    return re.compile(r"[^\W\d]\w*")  # when first needed: most stages are not nested


def _of_function(
    function: Any,
    *,
    name: str | None,
    kind: StageKind | None,
    options: StageOptions,
    around: Mapping[str, Any],
) -> StageSpec[Any]:
    if not inspect.isroutine(function):
        raise TypeError(f"@stage goes above an async function, not {shown(function)}; use stage('name', runner).")
    name = function.__name__ if name is None else name
    return make_spec(name, function, kind, options, _mentioned(function, around))
