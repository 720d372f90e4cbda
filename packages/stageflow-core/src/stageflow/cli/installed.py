"""Pipelines that installed distributions offer, under the entry-point group `stageflow.pipelines`."""

from __future__ import annotations

from collections.abc import Sequence

from stageflow.errors import PipelineDiscoveryError, StageflowError
from stageflow.pipeline.builder import Pipeline
from stageflow.pipeline.graph import StageGraph
from stageflow.pipeline.registry import PipelineRegistry


def installed() -> tuple[dict[str, Pipeline | StageGraph], Sequence[StageflowError]]:
    """Return the pipelines by their names, and an error for each that cannot be loaded."""
    registry = PipelineRegistry()
    failures: Sequence[StageflowError] = ()
    try:
        registry.discover()
    except PipelineDiscoveryError as error:
        failures = error.failures
    return {name: registry.get(name) for name in registry.list()}, failures
