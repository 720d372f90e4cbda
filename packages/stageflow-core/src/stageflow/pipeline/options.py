"""The options of a stage: what they are, and what can be seen to be wrong of each by itself."""

# Without `from __future__ import annotations`: a TypedDict compiles each annotation that is a text, at every import.

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypedDict, cast

from stageflow.context.snapshot import ContextSnapshot
from stageflow.core.handle import StageHandle, StageRef, name_of
from stageflow.core.inputs import StageInputs
from stageflow.core.stream import StreamOptions
from stageflow.errors import InvalidOptionError
from stageflow.execution.retry import RetryPolicy, is_number
from stageflow.frozen import FrozenDict
from stageflow.wording import nearest, shown

Dependencies = StageRef | Iterable[StageRef]
Condition = Callable[[StageInputs, ContextSnapshot], bool]
Join = Literal["all", "any"]


class StageOptions(TypedDict, total=False):
    """The keywords of `stage` and `with_stage`.

    Attributes:
        dependencies: Stages that must end OK before this one starts: a name, a handle, or several. For a function they
            come on top of its parameters.
        optional: Stages that must have ended before it starts. One that did not end OK reads as absent.
        when: Asked once, before the first attempt, as `when(inputs, snapshot)`: False skips the stage.
        join: "any" starts it once all its dependencies have ended and at least one of them is OK.
        route: For each router that it is behind, the route that leads to it: `{"router": "billing"}`.
        routes: For a ROUTE stage, all that it may return as `data["route"]`.
        terminal_routes: Those of them that lead to no stage.
        retry: When it is tried again; never unless given.
        timeout: Seconds that one attempt may take.
        deadline: Seconds that it may take with all its attempts and the waits between them.
        critical: False lets the run go on, and complete, although this stage failed.
        output: The type of its value: a dataclass, a TypedDict, a pydantic or msgspec class. What the function, or
            `execute`, is annotated to return unless given.
        version: Version of what it returns, for whoever stores that; also makes a suspended run refuse to be resumed by
            another one.
        streams: Dependencies that it reads chunk by chunk while they run, with `ctx.inputs.stream`. For a function they
            come on top of the parameters that are annotated `Stream`.
        stream: For an async generator, how many of its chunks may wait for a reader, and what happens to one more.
        map_over: Where the items come from for each of which the stage runs once: `("chunks", "items")` is the sequence
            that stage 'chunks' returns as `data["items"]`; a stage alone is one that streams them.
        map_concurrency: For how many items at once.
        limit: The limit of which each attempt takes a permit: a name in the `Limits` that the run is given.
        priority: Of those that wait for a permit the larger goes first.
        ports: The names of the ports without which it is not to start: in a run that was not given one of them it
            fails. Those that the runner's attribute `ports` names come on top.
    """

    dependencies: Dependencies
    optional: Dependencies
    when: Condition | None
    join: Join
    route: Mapping[Any, str] | None
    routes: str | Iterable[str]
    terminal_routes: str | Iterable[str]
    retry: RetryPolicy | None
    timeout: float | None
    deadline: float | None
    critical: bool
    output: Any
    version: str | None
    streams: Dependencies
    stream: StreamOptions | None
    map_over: StageRef | tuple[StageRef, str] | None
    map_concurrency: int
    limit: str | None
    priority: int
    ports: str | Iterable[str]


def check_known(options: StageOptions, where: str) -> None:
    """Raise a TypeError, as Python does, for a keyword that is no option."""
    for option in options:
        if option not in StageOptions.__annotations__:
            near = nearest(option, [*StageOptions.__annotations__, "name", "kind"])
            known = ", ".join(StageOptions.__annotations__)
            raise TypeError(f"{where} got an unexpected keyword argument '{option}'. {near}Options: {known}.")


def check_condition(stage: str, when: Any) -> Any:
    """Return the condition if it is a plain function."""
    if not callable(when):
        raise InvalidOptionError("when", f"is a function, not {shown(when)}", stage=stage)
    if inspect.iscoroutinefunction(when) or inspect.iscoroutinefunction(getattr(when, "__call__", None)):  # noqa: B004
        hint = "Let a stage find out what takes time, and read its output: when=lambda inputs, snapshot: ..."
        raise InvalidOptionError("when", "is asked at once, so it cannot be async", stage=stage, hint=hint)
    try:
        inspect.signature(when).bind(None, None)
    except TypeError as error:
        hint = "Write when=lambda inputs, snapshot: ..."
        raise InvalidOptionError("when", f"takes two arguments ({error})", stage=stage, hint=hint) from error
    except ValueError:  # written in C without telling its parameters: seen when it is asked
        pass
    return when


def check_seconds(
    option: str, value: Any, *, stage: str | None = None, of: str = "", least: float | None = None
) -> Any:
    """Return the value if it is a time in seconds: above 0, or from `least` on."""
    in_range = is_number(value) and value <= sys.float_info.max and (value > 0 if least is None else value >= least)
    if not in_range:
        bound = "above 0" if least is None else f"{least:g} or more"
        hint = "None means no limit." if least is None else None
        raise InvalidOptionError(
            option, f"is a number of seconds, {bound}, not {shown(value)}", stage=stage, of=of, hint=hint
        )
    return value


def check_names(stage: str, option: str, given: Any) -> tuple[str, ...]:
    """Return names of stages, given as one name or handle or as several."""
    where = f"The {'optional dependencies' if option == 'optional' else option} of stage '{stage}'"
    if isinstance(given, (str, StageHandle)):
        return (name_of(cast("StageRef", given)),)
    if not isinstance(given, Iterable):
        raise TypeError(f"{where} are names or handles of stages, not {shown(given)}.")
    names: dict[str, None] = {}
    for one in cast("Iterable[Any]", given):
        if not isinstance(one, (str, StageHandle)):
            raise TypeError(f"{where} are names or handles of stages, not {shown(one)}.")
        names[name_of(cast("StageRef", one))] = None
    return tuple(names)


def check_routes(stage: str, option: str, given: Any) -> tuple[str, ...]:
    """Return the names of routes, given as one or as several."""
    routes = (given,) if isinstance(given, str) else given
    if not isinstance(routes, Iterable) or isinstance(routes, Mapping):
        raise InvalidOptionError(option, f"are names of routes, not {shown(given)}", stage=stage)
    for one in (several := tuple(cast("Iterable[Any]", routes))):
        if not isinstance(one, str) or not one:
            raise InvalidOptionError(option, f"are names of routes, not {shown(one)}", stage=stage)
    return tuple(dict.fromkeys(several))


def check_route(stage: str, given: Any) -> Mapping[str, str]:
    """Return the route to a stage for each router by its name."""
    if not isinstance(given, Mapping):
        hint = "Write route={'router': 'billing'}."
        raise InvalidOptionError("route", f"names the router, too, not {shown(given)}", stage=stage, hint=hint)
    routes: dict[str, str] = {}
    for router, route in cast("Mapping[Any, Any]", given).items():
        if not isinstance(router, (str, StageHandle)) or not isinstance(route, str):
            pair = f"{shown(cast('object', router))}: {shown(route)}"
            problem = f"is the name or handle of a router and the name of a route, not {{{pair}}}"
            raise InvalidOptionError("route", problem, stage=stage, hint="Write route={'router': 'billing'}.")
        routes[name_of(cast("StageRef", router))] = route
    return FrozenDict(routes)


def check_join(stage: str, given: Any) -> Join:
    """Return "all" or "any"."""
    if given not in ("all", "any"):
        raise InvalidOptionError("join", f"is 'all' or 'any', not {shown(given)}", stage=stage)
    return given


def check_retry(stage: str, given: Any) -> RetryPolicy:
    """Return the policy if it is one."""
    if not isinstance(given, RetryPolicy):
        hint = "Write retry=RetryPolicy(max_attempts=3, retry_on=(...,))."
        raise InvalidOptionError("retry", f"is a RetryPolicy, not {shown(given)}", stage=stage, hint=hint)
    return given


def check_critical(stage: str, given: Any) -> bool:
    """Return True or False."""
    if not isinstance(given, bool):
        raise InvalidOptionError("critical", f"is True or False, not {shown(given)}", stage=stage)
    return given


def check_version(stage: str, given: Any) -> str:
    """Return the version if it is a text."""
    if not isinstance(given, str):
        raise InvalidOptionError("version", f"is a text, not {shown(given)}", stage=stage)
    return given


def check_stream(stage: str, given: Any) -> StreamOptions:
    """Return the options of a stream if they are that."""
    if not isinstance(given, StreamOptions):
        hint = "Write stream=StreamOptions(capacity=16, on_full='block')."
        if isinstance(given, (str, StageHandle)):
            hint += f" To read the chunks of that stage: streams='{name_of(cast('StageRef', given))}'."
        problem = f"is a StreamOptions, not {shown(cast('object', given))}"
        raise InvalidOptionError("stream", problem, stage=stage, hint=hint)
    return given


def check_map_over(stage: str, given: Any) -> tuple[str, str | None]:
    """Return the name of the stage that the items come from, and the key in its data; None if it streams them."""
    if isinstance(given, (str, StageHandle)):
        return (name_of(cast("StageRef", given)), None)
    hint = "Write map_over=('chunks', 'items') for data['items'] of stage 'chunks', or map_over='chunks' if it streams."
    if not isinstance(given, tuple) or len(pair := cast("tuple[Any, ...]", given)) != 2:
        problem = f"is a stage and a key of its data, not {shown(cast('object', given))}"
        raise InvalidOptionError("map_over", problem, stage=stage, hint=hint)
    source, key = pair
    if not isinstance(source, (str, StageHandle)) or not (key is None or (isinstance(key, str) and key)):
        problem = f"is a stage and a key of its data, not {shown(pair)}"
        raise InvalidOptionError("map_over", problem, stage=stage, hint=hint)
    return (name_of(cast("StageRef", source)), key)


def check_count(option: str, given: Any, *, stage: str | None = None, of: str = "") -> int:
    """Return the value if it is a whole number, 1 or more."""
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise InvalidOptionError(option, f"is a whole number, 1 or more, not {shown(given)}", stage=stage, of=of)
    return given


def check_limit(stage: str, given: Any) -> str:
    """Return the name of a limit."""
    if not isinstance(given, str) or not given:
        hint = "Write limit='groq', and give the run limits=Limits({'groq': 8})."
        raise InvalidOptionError("limit", f"is the name of a limit, not {shown(given)}", stage=stage, hint=hint)
    return given


def check_priority(stage: str, given: Any) -> int:
    """Return the priority if it is a whole number."""
    if not isinstance(given, int) or isinstance(given, bool):
        raise InvalidOptionError("priority", f"is a whole number, not {shown(given)}", stage=stage)
    return given


def check_ports(stage: str, given: Any) -> tuple[str, ...]:
    """Return the names of ports, given as one or as several."""
    names = _names_of_ports(given)
    if names is None:
        hint = "Write ports='llm', or ports=('llm', 'memory'): the attributes of `ctx.ports` that it needs."
        raise InvalidOptionError("ports", f"are names of ports, not {shown(given)}", stage=stage, hint=hint)
    return names


def ports_of_runner(stage: str, runner: Any) -> tuple[str, ...]:
    """Return the names of ports that a runner says it needs."""
    own = getattr(runner, "ports", ())
    names = _names_of_ports(own)
    if names is None:
        problem = f"are those that its runner names, too, and the attribute `ports` of that is {shown(own)}"
        hint = "There it names the ports that the runner needs: ports = ('llm',). Call anything else otherwise."
        raise InvalidOptionError("ports", problem, stage=stage, hint=hint)
    return names


def _names_of_ports(given: Any) -> tuple[str, ...] | None:
    """Return names that can be those of ports, each once; None if there are others among them."""
    names = (given,) if isinstance(given, str) else given
    if isinstance(names, type) or not isinstance(names, Iterable) or isinstance(names, Mapping):
        return None
    several = tuple(cast("Iterable[Any]", names))
    if not all(isinstance(name, str) and name.isidentifier() and not name.startswith("_") for name in several):
        return None
    # Which of them is missed first is told, and to be the same in every process.
    return tuple(dict.fromkeys(sorted(several) if isinstance(names, (set, frozenset)) else several))


MAP_CONCURRENCY = 10
"""For how many items at once a stage runs unless it says so."""
