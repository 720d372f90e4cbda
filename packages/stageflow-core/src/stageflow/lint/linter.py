"""From what somebody asks for to what is wrong with it."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path

from stageflow.errors import NoPipelineError, UnreadableSourceError
from stageflow.lint.building import Building
from stageflow.lint.definitions import Module
from stageflow.lint.findings import Finding
from stageflow.lint.models import PipelineModel
from stageflow.lint.modules import Modules, find_module, python_files
from stageflow.lint.rules.linting import findings_of
from stageflow.lint.values import UNKNOWN
from stageflow.wording import listed, nearest


def lint(targets: Iterable[str | Path]) -> list[Finding]:
    """Return what is wrong in files, folders and single pipelines, in the order of files and lines.

    Args:
        targets: Paths of files or folders, or `module:attribute` for one pipeline, whose file is found along
            `sys.path` and in the current folder; or `file.py:attribute`.

    Raises:
        UnreadableSourceError: There is no such file or module, or one of the files cannot be read or parsed.
        NoPipelineError: The attribute is no pipeline.
    """
    files: dict[Path, None] = {}
    single: list[tuple[str, str]] = []
    for target in targets:
        if not str(target):  # as of a variable that is not set: what is meant is not the current folder
            raise UnreadableSourceError("''", "is no path")
        module, _, attribute = str(target).rpartition(":")
        if isinstance(target, str) and module and attribute.isidentifier() and not Path(target).exists():
            single.append((module, attribute))
        else:
            files.update(dict.fromkeys(python_files(Path(target))))
    found = lint_files(files) if files or not single else []
    for module, attribute in single:
        found += _lint_pipeline(module, attribute)
    return _sorted(found, list(files))


def lint_files(files: Iterable[Path]) -> list[Finding]:
    """Return what is wrong in some files, in the order of files and lines.

    What they import is looked into as well, where its source can be found, but not reported on by itself.

    Raises:
        UnreadableSourceError: One of the files cannot be read or parsed.
    """
    paths = list(files)
    with _uncollected():
        building, asked = _built(paths)
        return _sorted(_findings(building, asked), paths)


@contextmanager
def _uncollected() -> Generator[None]:
    """Keep the garbage collector from going through the trees again and again: there is no garbage before the end."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _lint_pipeline(name: str, attribute: str) -> list[Finding]:
    path = Path(name) if name.endswith(".py") and Path(name).is_file() else find_module(name)
    if path is None:
        hint = "Give a path, or run it where the module can be imported."
        raise UnreadableSourceError(name, "no such module is found along sys.path or in the current folder", hint=hint)
    building, (module,) = _built([path])
    value = building.evaluator.looked_up(module.scope.names.get(attribute))
    if not isinstance(value, PipelineModel):
        raise NoPipelineError(
            f"{name}:{attribute}", _what_it_is(module, attribute, value), hint=_hint(module, attribute)
        )
    return _sorted(_findings(building, [module], only=value), [path])


def _what_it_is(module: Module, attribute: str, value: object) -> str:
    if attribute not in module.scope.names:
        return f"{module.path} defines no '{attribute}'"
    if value is UNKNOWN:
        return f"what it is cannot be told from {module.path} without running it"
    return f"'{attribute}' in {module.path} is no Pipeline"


def _hint(module: Module, attribute: str) -> str:
    names = [name for name, value in module.scope.names.items() if isinstance(value, PipelineModel)]
    return f"{nearest(attribute, names)}Pipelines: {listed(names)}."


def _built(files: Sequence[Path]) -> tuple[Building, list[Module]]:
    modules = Modules()
    asked = [modules.ask_for(path) for path in files]
    building = Building(modules)
    try:
        for module in asked:
            building.evaluator.run_module(module)
        building.evaluator.run_functions()
    except RecursionError as error:
        raise _too_deep(building) from error
    return building, asked


def _findings(building: Building, asked: Sequence[Module], only: PipelineModel | None = None) -> list[Finding]:
    try:
        return list(findings_of(building, asked, only))
    except RecursionError as error:
        raise _too_deep(building) from error


def _too_deep(building: Building) -> UnreadableSourceError:
    module = building.evaluator.following
    return UnreadableSourceError("" if module is None else str(module.path), "is nested too deeply to be followed")


def _sorted(findings: Iterable[Finding], files: Sequence[Path]) -> list[Finding]:
    """Return each finding once, in the order of files and lines."""
    order = {str(path): place for place, path in enumerate(files)}
    distinct: dict[tuple[object, ...], Finding] = {}
    for each in findings:
        at = each.place
        key = (order.get(at.path, len(order)), at.path, at.line, at.column, each.rule, each.about, at.end_line)
        distinct.setdefault((*key, at.end_column, each.stage or ""), each)
    return [distinct[key] for key in sorted(distinct)]
