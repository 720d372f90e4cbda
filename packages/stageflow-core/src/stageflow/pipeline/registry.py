"""Pipelines by their names: those that an application registers, and those of installed distributions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, cast

from stageflow.errors import (
    DuplicatePipelineError,
    EntryPointError,
    InvalidOptionError,
    NotAPipelineError,
    PipelineDiscoveryError,
    StageflowError,
    UnknownPipelineError,
)
from stageflow.pipeline.builder import Pipeline
from stageflow.pipeline.graph import StageGraph
from stageflow.wording import shown

GROUP = "stageflow.pipelines"
"""The group of entry points under which a distribution offers its pipelines."""

_APPLICATION = "the application"
_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"

Names = list[str]  # inside of the class `list` is the method


class PipelineRegistry:
    """Finds pipelines by name: `registry.get("chat")`.

    An application makes one, registers its own pipelines, and may `discover()` those of distributions that are
    installed beside it. A name is letters, digits, `_`, `-` and `.`, and does not begin with a digit.
    """

    def __init__(self) -> None:
        self._pipelines: dict[str, Pipeline | StageGraph] = {}
        self._sources: dict[str, str] = {}

    def register(self, name: str, pipeline: Pipeline | StageGraph) -> None:
        """Keep a pipeline under a name. One that cannot be built is refused now, not by its first run.

        Raises:
            DuplicatePipelineError: There is one of that name.
            InvalidOptionError: The name is none.
            NotAPipelineError: It is no pipeline.
            PipelineValidationError: It cannot be built.
        """
        self._add(name, pipeline, _APPLICATION)

    def get(self, name: str) -> Pipeline | StageGraph:
        """Return the pipeline of that name, as it was registered.

        Raises:
            UnknownPipelineError: There is none; the message lists those that there are.
        """
        try:
            return self._pipelines[name]
        except (KeyError, TypeError):
            raise UnknownPipelineError(name, names=tuple(self._pipelines)) from None

    def list(self) -> Names:
        """Return the names, in the order in which they were registered."""
        return [*self._pipelines]

    def discover(self) -> tuple[str, ...]:
        """Register what installed distributions offer under the entry-point group `stageflow.pipelines`.

        The name of an entry point is the pipeline's; it refers to a Pipeline, a StageGraph, or a function without
        arguments that returns one. Each is tried, whatever becomes of the others; what is there already from a call
        before is left alone. It reads files and imports modules, so call it before an event loop runs.

        Returns:
            The names that have been added.

        Raises:
            PipelineDiscoveryError: Some could not be loaded, or share a name; the others are registered.
        """
        by_name: dict[str, Names] = {}
        points: dict[str, Any] = {}
        for point in _entry_points():
            by_name.setdefault(point.name, []).append(_source(point))
            points[point.name] = point
        added: Names = []
        failures: list[StageflowError] = []
        for name, sources in by_name.items():
            mine = self._sources.get(name)
            if sources == [mine]:
                continue
            if len(sources) > 1 or mine is not None:
                known = sources if mine is None or mine in sources else [mine, *sources]
                failures.append(DuplicatePipelineError(name, sources=known))
                continue
            try:
                self._add(name, _loaded(points[name]), sources[0])
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the code of a distribution may raise anything, and be a script
                failures.append(EntryPointError(name, points[name].value, points[name].dist.name, error))
            else:
                added.append(name)
        if failures:
            raise PipelineDiscoveryError(failures, registered=added)
        return tuple(added)

    def _add(self, name: str, pipeline: Pipeline | StageGraph, source: str) -> None:
        if not isinstance(name, str) or not re.fullmatch(_NAME, name):  # pyright: ignore[reportUnnecessaryIsInstance]
            problem = f"is letters, digits, '_', '-' and '.', and begins with a letter or '_'; it is {shown(name)}"
            raise InvalidOptionError("name", problem, of="a pipeline in a registry")
        if not isinstance(pipeline, (Pipeline, StageGraph)):  # pyright: ignore[reportUnnecessaryIsInstance]
            hint = f"It is the class: give an instance of {shown(pipeline)}." if isinstance(pipeline, type) else None
            raise NotAPipelineError(name, pipeline, hint=hint)
        if name in self._pipelines:
            raise DuplicatePipelineError(name, sources=(self._sources[name], source))
        if isinstance(pipeline, Pipeline):
            pipeline.build()
        self._pipelines[name] = pipeline
        self._sources[name] = source

    def __contains__(self, name: object) -> bool:
        return name in self.list()

    def __iter__(self) -> Iterator[str]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self._pipelines)

    def __repr__(self) -> str:
        return f"<PipelineRegistry: {', '.join(self._pipelines) or 'no pipelines'}>"


def _entry_points() -> tuple[Any, ...]:
    # Here, and not above: it costs more than a tenth of what importing stageflow does, and few programs discover.
    return tuple(import_module("importlib.metadata").entry_points(group=GROUP))


def _source(point: Any) -> str:
    return f"{point.dist.name} ({point.value})"


def _loaded(point: Any) -> Any:
    """Return what an entry point refers to; of a function, what it returns."""
    found = point.load()
    if isinstance(found, (Pipeline, StageGraph, type)) or not callable(found):
        return found
    made = cast("Callable[[], Any]", found)()
    if hasattr(made, "close") and hasattr(made, "cr_frame"):
        made.close()  # or Python warns that it was never awaited
        raise NotAPipelineError(point.name, found, hint="An async function cannot be called here: make it a plain one.")
    return made
