"""Modules as files: found and parsed, never imported."""

from __future__ import annotations

import ast
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from stageflow.errors import UnreadableSourceError
from stageflow.lint.values import OURS, Module

MOST_FOLDERS = 8
"""As far up as the folder of the project is looked for."""

_PROJECT_MARKS = ("pyproject.toml", "setup.py", "setup.cfg", ".git")
_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "dist", "build"})


class Modules:
    """The modules that were asked for, and those that they import, each read once.

    Attributes:
        lines: How many lines they have.
    """

    def __init__(self) -> None:
        self.lines = 0
        self._by_path: dict[Path, Module] = {}
        self._by_name: dict[str, Module | None] = {}
        self._roots: list[Path] = []
        self._beginnings: dict[str, list[Path]] = {}
        self._asked: dict[Path, None] = {}

    def ask_for(self, path: Path) -> Module:
        """Return a module that is to be linted.

        Raises:
            UnreadableSourceError: It cannot be read or parsed.
        """
        module = self.load(path)
        self._asked[name_and_root(path.resolve())[1]] = None
        return module

    def look_in(self, folder: Path) -> None:
        """Find modules in a folder, too, before all others."""
        self._roots.insert(0, folder)

    def load(self, path: Path) -> Module:
        """Return the module in a file.

        Raises:
            UnreadableSourceError: It cannot be read or parsed.
        """
        key = path.resolve()
        known = self._by_path.get(key)
        if known is None:
            name, root = name_and_root(key)
    """Return the name by which a file is imported, and the folder that the name begins in."""
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts), folder


def find_module(name: str) -> Path | None:
    """Return the file of a module along `sys.path` and in the current folder, or None."""
    if not all(part.isidentifier() for part in name.split(".")):
        return None
    modules = Modules()
    modules.look_in(Path())
    return modules.locate(name)
