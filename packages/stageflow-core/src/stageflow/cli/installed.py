"""Pipelines that installed distributions offer, under the entry-point group `stageflow.pipelines`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from stageflow.errors import CommandError, PipelineDiscoveryError, StageflowError
from stageflow.pipeline.builder import Pipeline
from stageflow.pipeline.graph import StageGraph
from stageflow.pipeline.registry import GROUP, PipelineRegistry
from stageflow.wording import listed


def installed() -> tuple[dict[str, Pipeline | StageGraph], Sequence[StageflowError]]:
    """Return the pipelines by their names, and an error for each that cannot be loaded."""
    registry = PipelineRegistry()
    failures: Sequence[StageflowError] = ()
    try:
        registry.discover()
    except PipelineDiscoveryError as error:
        failures = error.failures
    return {name: registry.get(name) for name in registry.list()}, failures


def installed_target(name: str) -> str | None:
    """Return what the installed pipeline of that name is, as `module:attribute`, or None if there is none.

    Raises:
        CommandError: There are several.
    """
    points = import_module("importlib.metadata").entry_points(group=GROUP, name=name)
    values = sorted({point.value for point in points})
    if len(values) > 1:
        raise CommandError(f"'{name}' is installed more than once: {listed(values)}.", hint="Name one of these.")
    return values[0] if values else None
