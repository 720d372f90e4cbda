"""The sources that lint is measured with: Python of the length that was asked for, in which nothing is wrong."""

import asyncio

import pytest
from stageflow.lint import lint_files

from benchmarks.effort import QUICK
from benchmarks.linting import SOURCES, lint_rows


@pytest.mark.parametrize("key", SOURCES)
def test_sources_are_as_long_as_asked_and_followed(key, tmp_path):
    """Lint finds nothing in them: nothing is declared wrongly, and what is too deep to follow tells nothing."""
    path = tmp_path / "source.py"
    path.write_text(SOURCES[key](1_000))
    assert 900 <= path.read_text().count("\n") <= 1_300
    assert [] == lint_files([path])


def test_rows_tell_lines_per_second_and_growth():
    """Two rows for each kind of source."""
    rows = asyncio.run(lint_rows(QUICK))
    assert [name for key in SOURCES for name in (f"lint-{key}", f"lint-growth-{key}")] == [row.key for row in rows]
    assert all("lines/s" in row.ours for row in rows[::2])
