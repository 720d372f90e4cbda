"""Modules as files: found and parsed, never imported."""

from __future__ import annotations

import ast
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from stageflow.errors import UnreadableSourceError
from stageflow.lint.definitions import Module
from stageflow.lint.values import OURS

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
        self._others: set[str] = set()

    def ask_for(self, path: Path) -> Module:
        """Return a module that is to be linted.

        Raises:
            UnreadableSourceError: It cannot be read or parsed.
        """
        return self.load(path)

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
            text = read_text(path)
            known = self._by_path[key] = Module(name, path, text, parse(path, text))
            self._by_name.setdefault(name, known)
            self.lines += text.count("\n")
            self._add_roots(root)
        return known

    def _add_roots(self, root: Path) -> None:
        """Note where imports of a module may begin: its folder, and those around it in the same project."""
        if root in self._roots:
            return
        self._roots.append(root)
        around = (root, *root.parents)[:MOST_FOLDERS]
        ends = (place for place, each in enumerate(around) if any((each / mark).exists() for mark in _PROJECT_MARKS))
        self._roots += (each for each in around[1 : next(ends, 0) + 1] if each not in self._roots)
        self._beginnings.clear()

    def find(self, name: str) -> Module | None:
        """Return a module by the name that an import uses, or None if it is not in the source that can be seen.

        One that cannot be read is as good as not there: it is not what was asked to be linted.
        """
        if name in self._by_name:
            return self._by_name[name]
        self._by_name[name] = None
        place = self._place(name)
        if place is not None and self._matters(place):
            try:
                self._by_name[name] = self.load(place)
            except UnreadableSourceError:
                return None
        return self._by_name[name]

    def find_ours(self, name: str) -> Module | None:
        """Return a module if it is known already, or mentions us: any other is only read once a name of it is used."""
        if name not in self._by_name and name not in self._others:
            place = self._place(name)
            if place is None or not _mentions_us(place):
                self._others.add(name)
        return None if name in self._others else self.find(name)

    def _matters(self, place: Path) -> bool:
        """Return whether a module may define stages: one from elsewhere that never mentions us does not."""
        if "site-packages" not in place.parts and any(place.is_relative_to(root) for root in self._roots):
            return True
        return _mentions_us(place)

    def _place(self, name: str) -> Path | None:
        """Return the file of a module that is neither ours nor Python's."""
        head = name.partition(".")[0]
        return None if not head or head in OURS or head in sys.stdlib_module_names else self.locate(name)

    def locate(self, name: str) -> Path | None:
        """Return the file of a module, or None."""
        parts = Path(*name.split("."))
        for root in self._where(parts.parts[0]):
            for candidate in (root / parts.with_suffix(".py"), root / parts / "__init__.py"):
                if candidate.is_file():
                    return candidate
        return None

    def _where(self, head: str) -> list[Path]:
        """Return the folders in which there is anything of this name, each of which is asked once."""
        found = self._beginnings.get(head)
        if found is None:
            places = dict.fromkeys((*self._roots, *map(Path, sys.path)))
            found = [root for root in places if (root / head).is_dir() or (root / f"{head}.py").is_file()]
            self._beginnings[head] = found
        return found


def _mentions_us(place: Path) -> bool:
    try:
        return b"stageflow" in place.read_bytes()
    except OSError:
        return False


def python_files(place: Path) -> Iterator[Path]:
    """Yield a file itself, or all Python files below a folder but for those in hidden and generated folders."""
    if place.is_file():
        yield place
        return
    if not place.is_dir():
        raise UnreadableSourceError(str(place), "there is no such file or folder")
    for each in sorted(place.iterdir()):
        if each.is_dir():
            if not each.name.startswith(".") and each.name not in _SKIPPED_FOLDERS:
                yield from python_files(each)
        elif each.suffix == ".py":
            yield each


def read_text(path: Path) -> str:
    """Return the text of a Python file, in the encoding that it declares.

    Raises:
        UnreadableSourceError: It cannot be opened, or is no text.
    """
    try:
        with tokenize.open(path) as file:
            return file.read()
    except OSError as error:
        raise UnreadableSourceError(str(path), f"cannot be opened ({error.strerror})") from error
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UnreadableSourceError(str(path), "is no text that Python can read") from error


def parse(path: Path, text: str) -> ast.Module:
    """Return what a file says.

    Raises:
        UnreadableSourceError: It is no Python of this version.
    """
    if "\0" in text:
        raise UnreadableSourceError(str(path), "is no text that Python can read")
    try:
        return ast.parse(text, filename=str(path))
    except SyntaxError as error:
        raise UnreadableSourceError(str(path), f"does not parse: {error.msg}", line=error.lineno) from error
    except (RecursionError, MemoryError) as error:  # the parser's own stack, too
        raise UnreadableSourceError(str(path), "does not parse: it is nested too deeply") from error


def name_and_root(path: Path) -> tuple[str, Path]:
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


def imported_from(node: ast.ImportFrom, package: str) -> str:
    """Return the whole name of the module that a statement imports from."""
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    kept = parts[: len(parts) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])
