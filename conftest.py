"""What holds for every test of the workspace, and for the Python blocks in its pages."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings
from sybil import Sybil
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import SkipParser

from tools.page_output import PrintingBlockParser
from tools.page_project import ProjectParser

# How long an example takes says something about the machine.
settings.register_profile("untimed", settings.default, deadline=None)
settings.load_profile("untimed")

OURS = ["stageflow", "stageflow_plus", "stageflow_mocks", "stageflow_observability"]


@pytest.fixture(autouse=True)
def _no_blocking_calls() -> Iterator[None]:
    """Fail a test in which our code blocks the event loop: a sleep, a file, a socket, a lock."""
    with blockbuster_ctx(scanned_modules=OURS):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put a page's blocks back in order, since one builds on another, after the plugin that shuffles has run."""
    items.sort(key=lambda item: (str(item.path), item.example.line) if isinstance(item, SybilItem) else ("", 0))


def enter_empty_folder(namespace: dict[str, Any]) -> None:
    """Let a page's blocks be what a reader's program is, and write files where they do not stay."""
    namespace["__name__"] = "__main__"
    folder = tempfile.TemporaryDirectory()
    namespace["__page__"] = (folder, Path.cwd())
    os.chdir(folder.name)


def leave_folder(namespace: dict[str, Any]) -> None:
    """Return to where the page's blocks began."""
    folder, origin = namespace["__page__"]
    os.chdir(origin)
    folder.cleanup()


pytest_collect_file = Sybil(
    parsers=[PrintingBlockParser(), ProjectParser(), SkipParser()],
    patterns=["*.md"],
    excludes=["CHANGELOG.md", "changes/*"],
    setup=enter_empty_folder,
    teardown=leave_folder,
).pytest()
