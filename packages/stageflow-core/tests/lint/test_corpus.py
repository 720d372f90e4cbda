"""What lint finds in the programs of the corpus, and what the programs do when they are built and run."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stageflow import Pipeline
from stageflow.errors import (
    CycleDetectedError,
    DuplicateStageError,
    OverlappingDependencyError,
    PipelineValidationError,
    SelfDependencyError,
    StageExecutionError,
    UndeclaredDependencyError,
    UnknownDependencyError,
)
from stageflow.lint import RULES, lint_files

from lint.corpora import MAIN, Program, programs, shown

BUILD_ERRORS = {
    "unknown-stage": (UnknownDependencyError, UndeclaredDependencyError),
    "cycle": (CycleDetectedError,),
    "self-dependency": (SelfDependencyError, UndeclaredDependencyError),
    "duplicate-stage": (DuplicateStageError, OverlappingDependencyError),
    "undeclared-read": (UndeclaredDependencyError,),
}

corpus = pytest.mark.parametrize("program", programs(), ids=repr)


@corpus
def test_lint_finds_what_is_marked_and_nothing_else(program: Program, tmp_path: Path) -> None:
    """Each finding stands in the file and line that the program marks."""
    assert program.expected() == shown(lint_files(program.written(tmp_path)))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose modules can be imported, and are forgotten afterwards."""
    known = set(sys.modules)
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@corpus
def test_programs_do_when_they_run_what_lint_says(program: Program, folder: Path) -> None:
    """Wrong graphs do not build, undeclared reads raise, and what has none of these faults runs to its end."""
    program.written(folder)
    error = outcome(folder / MAIN)
    wanted = [BUILD_ERRORS[rule] for _, _, rule in program.expected() if rule in BUILD_ERRORS]
    if not wanted:
        assert error is None
    elif error is not None:
        assert isinstance(error, tuple(kind for kinds in wanted for kind in kinds))
    else:
        assert "pipeline" not in program.files[MAIN].split()


def outcome(path: Path) -> BaseException | None:
    """Import a program, build and run its pipelines, and return the first error."""
    spec = importlib.util.spec_from_file_location("program", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["program"] = module
    try:
        spec.loader.exec_module(module)
        for pipeline in pipelines_of(vars(module)):
            pipeline.run_sync(input_text="hello")
    except StageExecutionError as error:
        return error.__cause__
    except PipelineValidationError as error:
        return error
    return None


def pipelines_of(names: dict[str, Any]) -> list[Pipeline]:
    """Return the pipelines of a program, but for those that are only parts of others."""
    found = [each for each in names.values() if isinstance(each, Pipeline)]
    return [*found, *names.get("PIPELINES", ())] if "pipeline" not in names else [names["pipeline"]]


def test_the_corpus_has_every_rule_and_many_programs() -> None:
    """At least 60, with and without faults."""
    marked = [{rule for _, _, rule in program.expected()} for program in programs()]
    assert set(RULES) == set().union(*marked)
    assert len([rules for rules in marked if rules]) >= 40
    assert len([rules for rules in marked if not rules]) >= 40
