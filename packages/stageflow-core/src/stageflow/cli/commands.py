"""Which commands there are: those of core, and those of other packages, of which none is imported to be listed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from stageflow.errors import CommandError
from stageflow.wording import listed, nearest, text_of, type_name

GROUP = "stageflow.cli"
"""The group of entry points under which a package offers commands: the name of the command, and its module."""

BUILT_IN: Mapping[str, str] = {
    "run": "run a pipeline, and show what happens",
    "lint": "find forgotten dependencies, and their like, without running anything",
    "graph": "draw a pipeline: as text, for Mermaid, for Graphviz, as SVG",
    "list": "list pipelines: those that are installed, or those of a module",
    "doctor": "say what pipelines need, and what of it is missing",
    "new": "begin a project: a pipeline that runs, and a test that passes",
}
"""The commands of core, each with what its line in the list says; `stageflow.cli.<name>` is its module."""


class PlugIn(NamedTuple):
    """A command of another package, not loaded yet. `point` is its entry point."""

    name: str
    package: str
    point: Any


def find(name: str) -> tuple[Any, str | None]:
    """Return a command (see `stageflow.cli.calling`), and the package that it comes from unless that is ours.

    Raises:
        CommandError: There is none of that name, or it cannot be loaded.
    """
    if name in BUILT_IN:
        return import_module(f"stageflow.cli.{name}"), None
    if name.startswith("-"):
        raise CommandError(f"The first argument is a command, not '{name}'.", hint="See `stageflow --help`.")
    usable, problems = plug_ins()
    found = {each.name: each for each in usable}
    if name not in found:
        names = [*BUILT_IN, *found]
        left_out = "".join(f" ({problem})" for problem in problems if f"'{name}'" in problem)
        hint = f"{nearest(name, names)}Commands: {listed(names)}."
        raise CommandError(f"There is no command '{name}'{left_out}.", hint=hint)
    return _loaded(found[name]), found[name].package


def _loaded(plug_in: PlugIn) -> Any:
    where = f"The command '{plug_in.name}' of {plug_in.package}"
    try:
        command = plug_in.point.load()
    except Exception as error:
        raise CommandError(f"{where} cannot be loaded: {type_name(error)}: {text_of(error)}") from error
    missing = [part for part in ("configure", "run") if not callable(getattr(command, part, None))]
    if missing:
        needs = "a module with `configure(parser)` and `run(options)`"
        raise CommandError(f"{where} has no {' and no '.join(missing)}: {plug_in.point.value} should be {needs}.")
    return command


def plug_ins() -> tuple[list[PlugIn], list[str]]:
    """Return the commands of other packages, and in a line each what is wrong with those that are left out.

    Those are commands with a name of ours, and those of which there are two.
    """
    if not any(map(_may_offer_commands, sys.path)):
        return [], []
    by_name: dict[str, dict[tuple[str, str], PlugIn]] = {}
    for point in import_module("importlib.metadata").entry_points(group=GROUP):
        package = point.dist.name if point.dist else "an unknown package"
        by_name.setdefault(point.name, {})[package, point.value] = PlugIn(point.name, package, point)
    usable: list[PlugIn] = []
    problems: list[str] = []
    for name, offered in sorted(by_name.items()):
        packages = listed([package for package, _ in offered])
        if name in BUILT_IN:
            problems.append(f"the command '{name}' of {packages} is left out: it has the name of one of core")
        elif len(offered) > 1:
            problems.append(f"the command '{name}' is left out: it is offered more than once, by {packages}")
        else:
            usable += offered.values()
    return usable, problems


def _may_offer_commands(entry: str) -> bool:
    """Return whether a package in a folder of sys.path may offer commands, which importlib.metadata then tells.

    Importing that costs as much as the rest of `--help`, and mostly there is nothing to find.
    """
    if os.path.isfile(entry):  # noqa: PTH113 - pathlib is not imported for this; a zip file, of which metadata knows more
        return not entry.endswith(f"python{sys.version_info.major}{sys.version_info.minor}.zip")
    return any(GROUP.encode() in text for text in _entry_point_files(entry or os.curdir))


def _entry_point_files(folder: str) -> Iterator[bytes]:
    try:
        with os.scandir(folder) as entries:
            names = [each.path for each in entries if each.name.endswith((".dist-info", ".egg-info"))]
    except OSError:  # sys.path may name what is not there
        return
    for path in names:
        try:
            with open(os.path.join(path, "entry_points.txt"), "rb") as file:  # noqa: PTH118, PTH123
                yield file.read()
        except OSError:  # most have none
            continue
