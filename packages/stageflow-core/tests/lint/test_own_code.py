"""Lint of our own code: it finds nothing there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from stageflow.lint import Finding, lint

ROOT = Path(__file__).parents[4]

PLANTED = {
    "docs/tutorial/first-pipeline.md",
    "docs/tutorial/building-with-stageflow.md",
    "docs/reference/cli.md",
    "docs/reference/lint.md",
}
"""Pages that show what is wrong."""


@pytest.mark.parametrize(
    "folder",
    ["examples", "benchmarks", "tools", "tests", *(f"packages/{p.name}/src" for p in (ROOT / "packages").iterdir())],
)
def test_nothing_is_found_in_what_we_ship(folder: str) -> None:
    """Nor in the tests of the examples."""
    assert [] == [(str(each.place), each.rule, each.about) for each in lint([ROOT / folder])]


@pytest.mark.parametrize("package", ["stageflow-plus", "stageflow-mocks", "stageflow-observability"])
def test_nothing_is_found_in_the_tests_of_our_packages(package: str) -> None:
    """But for stages that only wait for others, of which tests have many; the tests of core plant faults."""
    if (ROOT / "packages" / package / "tests").is_dir():
        found = lint([ROOT / "packages" / package / "tests"])
        assert [] == [(str(e.place), e.rule, e.about) for e in found if e.rule != "unused-dependency"]


SHOWN_BY_PAGES = {
    "docs/how-to/maps.md": [
        ("unknown-key", "Stage 'misspelt' is mapped over 'page' of 'split', which never returns it."),
    ]
}
"""The faults that a page plants to show what the build says."""


def name_of(page: Path) -> str:
    """Return where a page is in the repository."""
    return str(page.relative_to(ROOT))


PAGES = [
    page
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/README.md")])
    if "```python" in page.read_text(encoding="utf-8") and name_of(page) not in PLANTED
]


@pytest.fixture(scope="module")
def found_in_pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """What is found in each page; all blocks of a page are one program, and what they import is read once for all."""
    folder = tmp_path_factory.mktemp("pages")
    pages: dict[str, str] = {}
    for number, page in enumerate(PAGES):
        program = folder / f"page_{number}.py"
        pages[str(program)] = name_of(page)
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        program.write_text("\n".join(blocks), encoding="utf-8")
    found: dict[str, list[Finding]] = {program: [] for program in pages}
    for each in lint(pages):
        found[each.place.path].append(each)
    return {pages[program]: findings for program, findings in found.items()}


@pytest.mark.parametrize("page", [name_of(page) for page in PAGES])
def test_nothing_is_found_in_the_examples_of_our_pages(page: str, found_in_pages: dict[str, list[Finding]]) -> None:
    """But for what a page plants."""
    assert SHOWN_BY_PAGES.get(page, []) == [(each.rule, each.message) for each in found_in_pages[page]]
