"""What `import stageflow` offers, and what no name in core may be."""

from __future__ import annotations

import ast
import inspect
import pathlib
import re
import sys
import types
from collections.abc import Iterator

import pytest
import stageflow

SOURCE = pathlib.Path(stageflow.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))


def test_the_list_of_public_names_is_complete() -> None:
    """Whatever the root module holds that is neither private nor a module is listed, and nothing else is."""
    held = {
        name
        for name, value in vars(stageflow).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert held == set(stageflow.__all__)


def test_no_name_is_listed_twice() -> None:
    """Groups do not overlap."""
    assert sorted(set(stageflow.__all__)) == sorted(stageflow.__all__)


def test_there_are_at_most_eighty_names() -> None:
    """A newcomer can read the list."""
    assert len(stageflow.__all__) <= 80


def test_the_list_stands_in_groups() -> None:
    """Each group has a comment above it, and its names in alphabetical order."""
    text = (SOURCE / "__init__.py").read_text(encoding="utf-8")
    lines = text[text.index("__all__ = [") :].splitlines()[1:-1]
    assert lines[0].strip().startswith("# ")
    groups: list[list[str]] = []
    for line in map(str.strip, lines):
        if line.startswith("#"):
            groups.append([])
        else:
            groups[-1].append(line.strip('",'))
    assert groups == [sorted(group) for group in groups]
    assert stageflow.__all__ == [name for group in groups for name in group]
    assert all(groups)


def test_the_names_of_this_stage_of_the_work_are_there() -> None:
    """Those of the design that exist."""
    names = [
        "Pipeline",
        "stage",
        "From",
        "Stage",
        "StageSpec",
        "StageGraph",
        "StageKind",
        "StageStatus",
        "StageOutput",
        "StageArtifact",
        "StageEvent",
        "StageContext",
        "StageInputs",
        "StageResult",
        "PipelineContext",
        "PipelineResults",
        "PipelineRun",
        "PipelineTimer",
        "ContextSnapshot",
        "ExtensionRegistry",
        "TypedExtension",
        "RunIdentity",
        "Limits",
        "Conversation",
        "EventSink",
        "NoOpEventSink",
        "LoggingEventSink",
        "PipelineEvent",
        "BaseInterceptor",
        "InterceptorContext",
        "InterceptorResult",
        "ErrorAction",
        "TimeoutInterceptor",
        "CircuitBreakerInterceptor",
        "TracingInterceptor",
        "MetricsInterceptor",
        "LoggingInterceptor",
        "get_default_interceptors",
        "run_with_interceptors",
        "PolicyEvaluator",
        "PipelineMetadata",
        "PipelineRegistry",
        "MessageProjector",
        "WSMessageProjector",
        "SSEMessageProjector",
        "CircuitBreaker",
        "set_event_sink",
        "get_event_sink",
        "clear_event_sink",
        "StageflowError",
        "PipelineValidationError",
        "CycleDetectedError",
        "DuplicateStageError",
        "StageError",
        "StageExecutionError",
        "StageReturnTypeError",
        "AmbiguousInputError",
        "PipelineCancelled",
        "UndeclaredDependencyError",
    ]
    assert set() == set(names) - set(stageflow.__all__)


@pytest.mark.parametrize("name", stageflow.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    """A class or function of ours tells what it is for, in its first line."""
    value = getattr(stageflow, name)
    first = (inspect.getdoc(value) or "").split("\n")[0]
    assert first.endswith((".", ":")) or "." in first, first


def test_public_names_are_at_home_in_core() -> None:
    """Nothing of another library is passed on."""
    homes = {getattr(stageflow, name).__module__.split(".")[0] for name in stageflow.__all__}
    assert {"stageflow"} == homes


def identifiers(path: pathlib.Path) -> Iterator[str]:
    """Yield every name that a module uses or defines, and every string in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for name in ("id", "attr", "arg", "name", "asname", "module"):
            value = getattr(node, name, None)
            if isinstance(value, str):
                yield value
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


BANNED = re.compile(
    r"quality_mode|SkillsEnrichment|skill_levels|exercise_id|assessment_state|skip_assessment|Unified|legacy|"
    r"(^|[_.])v2($|[_.])|\bchannel\b|canceled|canceling",
    re.IGNORECASE,
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_banned_name_is_anywhere(path: pathlib.Path) -> None:
    """Neither as a name nor in a text."""
    assert [] == [name for name in identifiers(path) if BANNED.search(name)]


@pytest.mark.parametrize(
    "text", ["quality_mode", "UnifiedRun", "chat_v2", "v2", "a channel b", "Canceled", "legacy_api", "SkillsEnrichment"]
)
def test_the_search_for_banned_names_finds_them(text: str) -> None:
    """The test above can fail."""
    assert BANNED.search(text)


def test_no_module_has_a_name_that_says_nothing() -> None:
    """A module is called after what is in it."""
    names = {part for path in MODULES for part in path.relative_to(SOURCE).with_suffix("").parts}
    assert set() == names & {"helpers", "helper", "utils", "util", "common", "misc", "base_types", "tools", "v2"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_is_imported_inside_a_function_or_for_the_type_checker_only(path: pathlib.Path) -> None:
    """Layers are seen at the top of a file. A type of the standard library may be spared a costly import."""
    assert [] == nested_imports(path.read_text(encoding="utf-8"))


def nested_imports(source: str) -> list[str]:
    """Return the modules that are imported elsewhere than at the top; those of the library are, for type checkers."""
    return [
        ast.unparse(node)
        for block in ast.walk(ast.parse(source))
        if isinstance(block, (ast.FunctionDef, ast.AsyncFunctionDef, ast.If))
        for node in ast.walk(block)
        if isinstance(node, (ast.Import, ast.ImportFrom)) and not is_library_type(block, node)
    ]


def is_library_type(block: ast.AST, node: ast.Import | ast.ImportFrom) -> bool:
    """Return whether an import is for the type checker, and of nothing but the standard library."""
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    tops = {name.split(".")[0] for name in names}
    return isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING" and tops <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("if TYPE_CHECKING:\n    from uuid import UUID", []),
        ("if TYPE_CHECKING:\n    from stageflow.core import Stage", ["from stageflow.core import Stage"]),
        ("if TYPE_CHECKING:\n    from . import core", ["from . import core"]),
        ("if SOMETHING:\n    import uuid", ["import uuid"]),
        ("def run():\n    import uuid", ["import uuid"]),
    ],
)
def test_the_search_for_nested_imports_finds_them(source: str, found: list[str]) -> None:
    """The test above can fail, and lets through only what it says."""
    assert found == nested_imports(source)
