"""Imports the pipelines that are to be looked at, each for itself, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from stageflow.cli.installed import installed, installed_target
from stageflow.cli.targets import built, import_target, load_graph, pipelines_in
from stageflow.errors import CommandError
from stageflow.pipeline.graph import StageGraph
from stageflow.wording import text_of

T = TypeVar("T")

Loaded = StageGraph | CommandError
"""A pipeline, or why there is none."""


def load(targets: Sequence[str]) -> dict[str, Loaded]:
    """Return the pipelines that are named, all those of the modules that are named, or else the installed ones."""
    loaded: dict[str, Loaded] = {}
    for target in targets:
        if ":" in target or installed_target(target):
            loaded[target] = _tried(lambda target=target: load_graph(target))
        else:
            loaded |= _of_module(target)
    return loaded if targets else _of_distributions()


def _of_module(target: str) -> dict[str, Loaded]:
    module = _tried(lambda: import_target(target))
    if isinstance(module, CommandError):
        return {target: module}
    held = {f"{target}:{name}": pipeline for name, pipeline in pipelines_in(module).items()}
    if not held:
        return {target: CommandError(f"{target} holds no pipeline.")}
    return {name: _tried(lambda name=name, pipeline=pipeline: built(name, pipeline)) for name, pipeline in held.items()}


def _of_distributions() -> dict[str, Loaded]:
    found, failures = installed()
    loaded: dict[str, Loaded] = {}
    for name, pipeline in found.items():
        loaded[name] = _tried(lambda name=name, pipeline=pipeline: built(name, pipeline))
    for failure in failures:
        loaded[str(getattr(failure, "name", type(failure).__name__))] = CommandError(text_of(failure))
    return loaded


def _tried(call: Callable[[], T]) -> T | CommandError:
    try:
        return call()
    except CommandError as error:
        return error
