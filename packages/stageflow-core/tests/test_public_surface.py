"""What `import stageflow` offers, and what no name in core may be."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pathlib
import pydoc
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
import stageflow

SOURCE = pathlib.Path(stageflow.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))


def test_the_list_of_public_names_is_complete() -> None:
    """Whatever the root module holds that is neither private nor a module is listed, and nothing else is."""
    held = {
        name
        for name in dir(stageflow)
        if not name.startswith("_") and not isinstance(getattr(stageflow, name), types.ModuleType)
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


def lazy_block(tree: ast.Module) -> ast.If | None:
    """Return the statement in which a package tells the type checker, and else the interpreter, of its lazy names."""
    blocks = [
        node
        for node in tree.body
        if isinstance(node, ast.If)
        and ast.unparse(node.test).removeprefix("typing.") == "TYPE_CHECKING"
        and "names_from(__name__, {" in ast.unparse(node.orelse)
    ]
    return blocks[0] if blocks else None


LAZY = {path: block for path in MODULES if (block := lazy_block(ast.parse(path.read_text(encoding="utf-8"))))}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_is_imported_inside_a_function_or_for_the_type_checker_only(path: pathlib.Path) -> None:
    """Layers are seen at the top of a file; but for the names of a package that are loaded when they are asked for."""
    block = LAZY.get(path)
    told = [] if block is None else [ast.unparse(node) for node in block.body]
    assert told == nested_imports(path.read_text(encoding="utf-8"))


def nested_imports(source: str) -> list[str]:
    """Return the imports that stand elsewhere than at the top."""
    return [
        ast.unparse(node)
        for block in ast.walk(ast.parse(source))
        if isinstance(block, (ast.FunctionDef, ast.AsyncFunctionDef, ast.If))
        for node in ast.walk(block)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]


@pytest.mark.parametrize(
    "source",
    [
        "if TYPE_CHECKING:\n    from uuid import UUID",
        "if SOMETHING:\n    import uuid",
        "def run():\n    import uuid",
        "class A:\n    async def run(self):\n        from . import core",
    ],
)
def test_the_search_for_nested_imports_finds_them(source: str) -> None:
    """The test above can fail; what tells the type checker alone is no table of lazy names."""
    assert 1 == len(nested_imports(source))
    assert lazy_block(ast.parse(source)) is None


def test_only_packages_have_names_that_are_loaded_later() -> None:
    """Whoever looks for them knows where."""
    assert {
        "__init__.py",
        "interceptors/__init__.py",
        "observability/__init__.py",
        "projector/__init__.py",
        "protocols/__init__.py",
        "providers/__init__.py",
    } == {str(path.relative_to(SOURCE)) for path in LAZY}


@pytest.mark.parametrize("path", LAZY, ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_type_checker_and_the_interpreter_are_told_the_same(path: pathlib.Path) -> None:
    """What a package imports for the one is the table of the other, in the same order, and is public."""
    block = LAZY[path]
    imports = {
        node.module: tuple(name.name for name in node.names) for node in block.body if isinstance(node, ast.ImportFrom)
    }
    [table] = [ast.literal_eval(node) for node in ast.walk(ast.Module(block.orelse, [])) if isinstance(node, ast.Dict)]
    package = importlib.import_module(".".join(("stageflow", *path.parent.relative_to(SOURCE).parts)))
    assert list(imports.items()) == list(table.items())
    for module, names in table.items():
        assert set(names) <= set(package.__all__)
        home = importlib.import_module(module)
        assert [getattr(home, name) for name in names] == [getattr(package, name) for name in names]


def in_a_new_interpreter(code: str) -> Any:
    """Run some code that prints JSON, in a process that has imported nothing yet, and return what it printed."""
    return json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def test_what_most_runs_do_not_need_is_not_imported() -> None:
    """`import stageflow` loads none of the modules that are asked for by name, nor what only they need."""
    loaded = set(
        in_a_new_interpreter("import sys, stageflow; loaded = [*sys.modules]; import json; print(json.dumps(loaded))")
    )
    homes = {
        module
        for block in LAZY.values()
        for node in ast.walk(ast.Module(block.orelse, []))
        if isinstance(node, ast.Dict)
        for module in ast.literal_eval(node)
    }
    needed = {
        "stageflow.extensions.conversion",  # of a snapshot
        "stageflow.extensions.registry",
        "stageflow.projector",  # the package alone, which has a table of its own
        "stageflow.protocols",
        "stageflow.protocols.runs",  # of a run
        "stageflow.providers.messages",  # of a conversation
    }
    assert needed == homes & loaded
    assert set() == loaded & {"difflib", "uuid", "json", "stageflow.results", "stageflow.providers.audio"}


def test_every_public_name_can_be_imported_at_once() -> None:
    """`from stageflow import *` in a new process gives all of them, those that are loaded later, too."""
    code = "import json; from stageflow import *; print(json.dumps([*globals()]))"
    assert set() == set(stageflow.__all__) - set(in_a_new_interpreter(code))


def test_names_are_listed_before_they_are_loaded() -> None:
    """Completion in a shell offers them."""
    code = "import json, stageflow; print(json.dumps([dir(stageflow), [*vars(stageflow)]]))"
    offered, held = in_a_new_interpreter(code)
    assert set() == set(stageflow.__all__) - set(offered)
    assert "PipelineRegistry" not in held


def test_help_shows_names_that_are_loaded_later() -> None:
    """`help(stageflow)` has the whole list."""
    text = pydoc.plain(pydoc.render_doc(stageflow))
    assert [] == [name for name in stageflow.__all__ if name not in text]
