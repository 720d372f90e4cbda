"""Finds forgotten dependencies, and their like, in source code: without importing or running it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stageflow.lint.building import Building
from stageflow.lint.findings import RULES, Declaration, Finding, Place
from stageflow.lint.modules import Modules, UnreadableSourceError, python_files
from stageflow.lint.rules import Linting, discarded

__all__ = ["RULES", "Declaration", "Finding", "Place", "UnreadableSourceError", "lint_files", "python_files"]


def lint_files(files: Iterable[Path]) -> list[Finding]:
    """Return what is wrong in some files, in the order of files and lines.

    What they import is looked into as well, where its source can be found, but not reported on by itself.

    Raises:
        UnreadableSourceError: One of the files cannot be read or parsed.
    """
    modules = Modules()
    asked = [modules.ask_for(path) for path in files]
    building = Building(modules)
    for module in asked:
        building.evaluator.run_module(module)
    building.evaluator.run_functions()
    own = {id(module) for module in asked}
    pipelines = [pipeline for pipeline in building.pipelines if id(pipeline.module) in own]
    thrown_away = {node: module for node, module in building.thrown_away.items() if id(module) in own}
    found = [*Linting(building.evaluator).findings(pipelines), *discarded(thrown_away)]
    places = {str(module.path): number for number, module in enumerate(asked)}
    distinct = {(each.rule, each.place, each.message): each for each in found}
    return sorted(
        distinct.values(),
        key=lambda each: (places.get(each.place.path, len(places)), each.place.line, each.place.column, each.rule),
    )
