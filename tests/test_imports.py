"""What each package may import, where import-linter cannot tell: it forbids the names that it is given."""

import ast
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "stageflow": ROOT / "packages" / "stageflow-core" / "src",
    "stageflow_plus": ROOT / "packages" / "stageflow-plus" / "src",
    "stageflow_mocks": ROOT / "packages" / "stageflow-mocks" / "src",
    "stageflow_observability": ROOT / "packages" / "stageflow-observability" / "src",
}
# What siblings may import of core, beside its root: the modules that docs/reference and the protocols are about.
PUBLIC = {
    "stageflow",
    "stageflow.calls",
    "stageflow.capabilities",
    "stageflow.conformance",
    "stageflow.errors",
    "stageflow.events.secret_text",
    "stageflow.interceptors",
    "stageflow.interceptors.base",
    "stageflow.interceptors.idempotency",
    "stageflow.observability",
    "stageflow.observability.call_logger",
    "stageflow.observability.no_call_logger",
    "stageflow.protocols",
    "stageflow.providers",
    "stageflow.results",
    "stageflow.secret_names",
    "stageflow.tool_calls",
}
EXTRAS_OF_CORE = {
    "cli/graph/svg.py": "fast_sugiyama",
    "cli/run/rich_progress.py": "rich",
    "lint/fixing.py": "libcst",
}
"""The one module of core that may import each third party; nothing imports it before its extra is asked for."""
SIBLINGS = [name for name in PACKAGES if name != "stageflow"]


@dataclass(frozen=True)
class Import:
    """One import statement's module, where it stands, and whether it runs when its module is imported."""

    place: str
    module: str
    at_top: bool

    @property
    def is_ours(self) -> bool:
        """Whether the module belongs to one of the four packages."""
        return self.module.split(".")[0] in PACKAGES


def imports_in(source: str, place: str, package: str) -> Iterator[Import]:
    """Yield every import of `source`, a module of `package`, in functions and conditions too."""
    yield from _imports_below(ast.parse(source), place, package, at_top=True)


def _imports_below(node: ast.AST, place: str, package: str, *, at_top: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(f"{place}:{child.lineno}", alias.name, at_top) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            module = importlib.util.resolve_name("." * child.level + (child.module or ""), package)
            modules = {_module_meant(module, alias.name) for alias in child.names}
            yield from (Import(f"{place}:{child.lineno}", meant, at_top) for meant in sorted(modules))
        else:
            hides = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or _is_for_type_checkers(child)
            yield from _imports_below(child, place, package, at_top=at_top and not hides)


def _module_meant(module: str, name: str) -> str:
    """Return what `from module import name` imports: the module itself, or one of ours that is inside of it."""
    root = PACKAGES.get(module.partition(".")[0])
    inside = None if root is None else root.joinpath(*module.split("."), name)
    found = inside is not None and (inside.is_dir() or inside.with_suffix(".py").is_file())
    return f"{module}.{name}" if found else module


def _is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports_of(file: Path, source_root: Path) -> Iterator[Import]:
    """Yield every import of the module in `file`."""
    package = ".".join(file.relative_to(source_root).parent.parts)
    yield from imports_in(file.read_text(encoding="utf-8"), str(file.relative_to(ROOT)), package)


def offences(package: str, is_offence: Callable[[Import], bool]) -> list[str]:
    """Return the place and module of each import of `package` that `is_offence`."""
    files = sorted((PACKAGES[package] / package).rglob("*.py"))
    assert files, f"no module of {package} found"
    return [
        f"{found.place} imports {found.module}"
        for file in files
        for found in imports_of(file, PACKAGES[package])
        if is_offence(found)
    ]


def is_foreign_to_core(found: Import) -> bool:
    """Tell whether core may not import this: a third party, a sibling, or its own root, which imports all of core."""
    top = found.module.split(".")[0]
    return not (top in sys.stdlib_module_names or found.module.startswith("stageflow.") or is_extra_of_core(found))


def is_extra_of_core(found: Import) -> bool:
    """Tell whether this is the import of a third party in the one module that an extra is for."""
    return any(
        f"/stageflow/{file}:" in found.place and found.module.split(".")[0] == extra
        for file, extra in EXTRAS_OF_CORE.items()
    )


def is_private_to_a_package(found: Import, package: str) -> bool:
    """Tell whether `package` may not import this: a module of core that is not public, or another sibling."""
    return found.is_ours and found.module not in PUBLIC and found.module.split(".")[0] != package


def is_lazy_export(found: Import, package: str) -> bool:
    """Tell whether this declares, to type checkers, a name that a package loads only when somebody asks for it.

    A sibling's root does so for what needs an extra. Which packages of core do, its own test_public_surface knows.
    """
    inits = f"/src/{package}/__init__.py:" if package in SIBLINGS else "/__init__.py:"
    return inits in found.place


def test_core_imports_the_standard_library_only() -> None:
    """Core runs wherever Python runs; one file of an extra needs more, and no other module imports that."""
    fixing = "packages/stageflow-core/src/stageflow/lint/fixing.py"
    found = offences("stageflow", is_foreign_to_core)
    assert [] == [each for each in found if not (each.startswith(f"{fixing}:") and " libcst" in each)]
    assert [] == offences("stageflow", lambda each: each.module == "stageflow.lint.fixing")


@pytest.mark.parametrize("package", SIBLINGS)
def test_siblings_import_what_is_public_of_core_and_no_other_sibling(package: str) -> None:
    """Core's modules may move without breaking a sibling, and each sibling installs alone."""
    assert [] == offences(package, lambda found: is_private_to_a_package(found, package))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_cycle_is_hidden_in_a_function_or_behind_type_checking(package: str) -> None:
    """An import of ours stands where everybody sees it: at the top of its module."""
    assert [] == offences(package, lambda found: found.is_ours and not (found.at_top or is_lazy_export(found, package)))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import asyncio, typing_extensions", ["typing_extensions"]),
        ("from stageflow.errors import StageError", []),
        ("import httpx", ["httpx"]),
        ("from stageflow_plus import ChatStage", ["stageflow_plus"]),
        ("from stageflow import Pipeline", ["stageflow"]),
        ("def run():\n    from pydantic import BaseModel", ["pydantic"]),
        ("try:\n    import rich\nexcept ImportError:\n    rich = None", ["rich"]),
        ("from .errors import StageError", []),
        ("from . import Pipeline", ["stageflow"]),
        ("from stageflow import providers", []),
        ("from stageflow import providers, Pipeline", ["stageflow"]),
    ],
)
def test_the_rule_for_core_sees_each_way_to_import(source: str, expected: list[str]) -> None:
    """The rule that holds core small is not blind to a form of the import statement."""
    assert expected == [found.module for found in imports_in(source, "here", "stageflow") if is_foreign_to_core(found)]


@pytest.mark.parametrize(
    "source",
    [
        "async def run():\n    from stageflow.core import Stage",
        "if TYPE_CHECKING:\n    from .core import Stage",
        "class A:\n    def run(self):\n        import stageflow.core",
    ],
)
def test_a_hidden_import_is_seen(source: str) -> None:
    """Functions and type-checking blocks are where a cycle is usually hidden."""
    assert [False] == [found.at_top for found in imports_in(source, "here", "stageflow")]
