"""Lint of our own code: it finds nothing there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from stageflow.lint import lint

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

PAGES = [
    page
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/README.md")])
    if "```python" in page.read_text(encoding="utf-8") and str(page.relative_to(ROOT)) not in PLANTED
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_nothing_is_found_in_the_examples_of_our_pages(page: Path, tmp_path: Path) -> None:
    """All blocks of a page are one program."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "page.py"
    path.write_text("\n".join(blocks), encoding="utf-8")
    expected = SHOWN_BY_PAGES.get(str(page.relative_to(ROOT)), [])
    assert expected == [(each.rule, each.message) for each in lint([path])]
