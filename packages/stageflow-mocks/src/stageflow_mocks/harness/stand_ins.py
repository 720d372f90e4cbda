"""Stages that stand for those that the stage under test depends on, made of what a test gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

from stageflow import StageContext, StageKind, StageOutput, StageReturnTypeError, StageSpec, StageStatus, stage


class Chunks:
    """In the `inputs` of `run_stage`, what a dependency streams that the stage reads as a stream.

    Args:
        chunks: One after the other; an exception among them is raised in its place.
    """

    def __init__(self, *chunks: Any) -> None:
        self.chunks = chunks

    def __repr__(self) -> str:
        return f"Chunks{self.chunks!r}" if len(self.chunks) != 1 else f"Chunks({self.chunks[0]!r})"


class Absent:
    """An input that was not given."""


ABSENT = Absent()


def stand_in(spec: StageSpec[Any], name: str, given: Any, *, streams: bool) -> StageSpec[Any]:
    """Return a stage that stands for a dependency, and says what it returns, so that the build can compare types.

    Args:
        spec: The stage under test.
        name: The dependency.
        given: What it returns, raises or yields; `ABSENT` if it is not there.
        streams: Whether the stage under test reads it as a stream.

    Raises:
        TypeError: No stage ends so, or none of which this is read.
    """
    if streams:
        return stage(name, _yielding(_chunks(spec, name, given)), critical=False)
    if isinstance(given, Chunks):
        raise TypeError(
            f"Stage '{spec.name}' does not read '{name}' as a stream, and inputs= gives it {given!r}. Give what "
            f"'{name}' returns; or let the stage read a stream: a parameter annotated Stream, or streams=('{name}',)."
        )
    _check_ending(name, given)
    route = (spec.route or {}).get(name)
    if route is not None:
        return _router(name, None if isinstance(given, Absent) else given, route)
    if isinstance(given, BaseException):
        return stage(name, _raising(given), critical=False)
    if isinstance(given, Absent):
        given = StageOutput.skip("run_stage() was given no such input")
    return stage(name, _returning(given), critical=False)


def _check_ending(name: str, given: Any) -> None:
    """Refuse what no stage ends with: the stage under test would be skipped, as if it had nothing to do."""
    if isinstance(given, Absent | Exception | asyncio.CancelledError):
        return
    hint = "Give a mapping, None, a value such as a dataclass, a StageOutput, or an exception for a stage that fails."
    if isinstance(given, BaseException):
        hint = "It ends the program, and not a stage."
    elif isinstance(given, type) and issubclass(given, BaseException):
        hint = f"It is a class: give {given.__name__}(...)."
    elif isinstance(given, StageOutput) and cast("StageOutput[Any]", given).status is StageStatus.RETRY:
        hint = "No stage ends with it: give the StageOutput.ok or StageOutput.fail that it comes to."
    else:
        try:
            StageContext.alone("stage", inputs={name: given})
        except StageReturnTypeError:
            pass
        else:
            return
    raise TypeError(f"inputs= gives {given!r} for '{name}', which no stage ends with. {hint}")


def _router(name: str, given: Any, route: str) -> StageSpec[Any]:
    """Return a stage that takes the way to the stage under test, unless what is given says that it goes elsewhere."""
    if isinstance(given, BaseException):
        return stage(name, _raising(given), kind=StageKind.ROUTE, routes=(route,), critical=False)
    if isinstance(given, StageOutput) and cast("StageOutput[Any]", given).status is StageStatus.OK:
        given = cast("StageOutput[Any]", given).data
    taken: Any = route
    if given is None or isinstance(given, Mapping):
        given = {"route": route, **cast("Mapping[str, Any]", given or {})}
        taken = given["route"]
    elif not isinstance(given, StageOutput):
        if not hasattr(given, "route"):
            raise TypeError(f"inputs= gives {given!r} for the router '{name}', which says with `route` where it goes.")
        taken = given.route
    elsewhere = (taken,) if isinstance(taken, str) and taken != route else ()
    routes = route, *elsewhere
    runner = _returning(given)
    return stage(name, runner, kind=StageKind.ROUTE, routes=routes, terminal_routes=elsewhere, critical=False)


def _chunks(spec: StageSpec[Any], name: str, given: Any) -> tuple[Any, ...]:
    if isinstance(given, Chunks):
        return given.chunks
    if isinstance(given, Exception):
        return (given,)
    told = "nothing was given for it" if isinstance(given, Absent) else f"inputs= gives it {given!r}"
    raise TypeError(
        f"Stage '{spec.name}' reads '{name}' as a stream, and {told}. Give what it yields: "
        f"run_stage({spec.name}, {{'{name}': Chunks('a', 'b')}}); Chunks() is an empty stream."
    )


def _returning(given: Any) -> Callable[[], Any]:
    async def fake() -> Any:
        return given

    is_output = isinstance(given, StageOutput)
    fake.__annotations__["return"] = Any if is_output else Mapping[str, Any] if _is_mapping(given) else type(given)
    return fake


def _is_mapping(given: Any) -> bool:
    return given is None or isinstance(given, Mapping)


def _raising(error: BaseException) -> Callable[[], Any]:
    async def fake() -> Any:
        raise error

    return fake


def _yielding(chunks: tuple[Any, ...]) -> Callable[[], Any]:
    async def fake() -> AsyncIterator[Any]:
        for chunk in chunks:
            if isinstance(chunk, Exception):
                await asyncio.sleep(0)  # whoever reads has begun by then, and sees what came before
                raise chunk
            yield chunk

    types: set[Any] = {type(chunk) for chunk in chunks if not isinstance(chunk, Exception | StageOutput)}
    has_one = len(types) == 1 and not any(issubclass(one, Mapping) for one in types)  # a TypedDict is a dict by then
    fake.__annotations__["return"] = AsyncIterator[types.pop() if has_one else Any]
    return fake
