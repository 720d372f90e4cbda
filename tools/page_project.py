"""Whether a page that builds a project, block by block, comes to what it says that pytest prints.

A page that asks for it, by the comment in `MARK`, holds these blocks and no others:

- `python`, `toml`: a file, whose name stands in the first line, behind a `#`. What is there already goes on with it.
  After a file of tests all tests pass, unless a console follows, which tells more.
- `diff`: a change to a file, named likewise, for which a test has to fail. It holds for the consoles that follow it, of
  which there is at least one, and is taken back after them.
- `console`: what is typed, behind a `$`, and what it prints. `...` stands for anything, breaks of lines for any space,
  and a time for any other. pytest is run; `pip` and `make`, which prepare the reader's environment, are not.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path

from sybil import Document, Example, Region

MARK = "<!-- Each block is a file, a change to one, or what pytest prints. -->"

_FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\bin \d+\.\d+s\b")
_FILES = ("python", "toml")
_NOT_RUN = ("make", "pip")


@dataclass(frozen=True)
class Block:
    """A block of such a page: its kind, the file that it is or changes, its text, and what follows it."""

    kind: str
    name: str
    text: str
    followed_by: str
    start: int = 0
    end: int = 0

    @property
    def is_preparing(self) -> bool:
        """Whether it is a console in which nothing is run here."""
        return self.kind == "console" and not any(command[0] == "pytest" for command, _ in self.typed())

    def typed(self) -> list[tuple[list[str], str]]:
        """Return the commands of a console, each with what it prints."""
        told = re.split(r"^\$ (.*)\n", self.text, flags=re.MULTILINE)
        if told[0]:
            raise ValueError(f"A console begins with '$ ', and not with {told[0]!r}.")
        return [(shlex.split(command), printed) for command, printed in zip(told[1::2], told[2::2], strict=True)]


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page, in order.

    Raises:
        ValueError: One is of another kind, names no file, or is a change that nothing is shown of.
    """
    found = list(_FENCED.finditer(page))
    kinds = [match[1] for match in found]
    blocks: list[Block] = []
    for match, following in zip(found, [*kinds[1:], ""], strict=True):
        kind, text, name = match[1], match[2], ""
        if kind in (*_FILES, "diff"):
            head, _, text = text.partition("\n")
            name = head.removeprefix("# ")
            if name == head or not re.fullmatch(r"\w+\.\w+", name):
                raise ValueError(f"A {kind} block begins with '# ' and the name of a file, and not with {head!r}.")
        elif kind != "console":
            raise ValueError(f"A block is python, toml, diff or console, and not {kind!r}.")
        if kind == "diff" and following != "console":
            raise ValueError(f"A change is followed by a console, which shows what fails by it: {text!r}.")
        blocks.append(Block(kind, name, text, following, match.start(), match.end()))
    return blocks


class Project:
    """A reader's folder, and what the blocks of a page have made of it so far.

    Args:
        folder: Where its files are.
        programs: The folder of the environment's programs, pytest among them.
        is_shown_alone: Whether pytest is run only where the page shows it.
        environment: Variables beside PATH, of which the reader's has none.
    """

    def __init__(self, folder: Path, programs: Path, *, is_shown_alone: bool = False, **environment: str) -> None:
        self._folder = folder
        self._is_shown_alone = is_shown_alone
        self._programs = programs
        path = os.pathsep.join([str(programs), os.environ["PATH"]])
        self._environment = {"PATH": path, "COLUMNS": "100", **environment}
        self._unchanged: tuple[Path, str] | None = None

    def play(self, block: Block) -> None:
        """Do what the block says.

        Raises:
            AssertionError: Something else comes of it.
        """
        if block.kind == "console":
            for command, printed in block.typed():
                self._run(command, printed)
            return
        self._take_change_back()
        if block.kind == "diff":
            self._change(block)
        else:
            self._write(block)

    def _write(self, block: Block) -> None:
        path = self._folder / block.name
        known = f"{path.read_text('utf-8')}\n\n" if path.exists() else ""
        path.write_text(known + block.text, "utf-8")
        if block.name.startswith("test_") and block.followed_by != "console" and not self._is_shown_alone:
            self._run(["pytest"], "...")

    def _change(self, block: Block) -> None:
        path = self._folder / block.name
        known = path.read_text("utf-8")
        lines = block.text.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] != "+")
        new = "".join(line[1:] for line in lines if line[0] != "-")
        if known.count(old) != 1:
            raise AssertionError(
                f"In {block.name} this is to be changed, and is there {known.count(old)} times:\n{old}"
            )
        path.write_text(known.replace(old, new), "utf-8")
        self._unchanged = (path, known)

    def _take_change_back(self) -> None:
        if self._unchanged is not None:
            path, known = self._unchanged
            path.write_text(known, "utf-8")
            self._unchanged = None

    def _run(self, command: list[str], printed: str) -> None:
        program, *arguments = command
        if program in _NOT_RUN:
            return
        if program != "pytest":
            raise ValueError(f"A console runs pytest, make or pip, and not {program!r}.")
        # What Python keeps of a file it takes for that of another one of the same second and length.
        shutil.rmtree(self._folder / "__pycache__", ignore_errors=True)
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        expected, found = (_TIME.sub("in 0.00s", text) for text in (printed, done.stdout))
        as_told = OutputChecker().check_output(expected, found, ELLIPSIS | NORMALIZE_WHITESPACE)
        failing = self._unchanged is not None
        if not as_told or done.returncode != failing:
            should = "fail, for the change is there to make a test fail" if failing else "pass"
            raise AssertionError(
                f"`{shlex.join(command)}` should {should}, and print\n\n{expected}\n"
                f"It ends with {done.returncode}, and prints\n\n{found}"
            )


class ProjectParser:
    """Finds the blocks of a page that builds a project, and plays them with the environment that runs the tests."""

    def __call__(self, document: Document) -> Iterable[Region]:
        if MARK in document.text:
            for block in blocks_of(document.text):
                yield Region(block.start, block.end, block, _play)


def _play(example: Example) -> None:
    # Of the plugins that are installed here the reader has ours alone.
    project = example.namespace.setdefault(
        "__project__",
        Project(
            Path.cwd(),
            Path(sys.executable).parent,
            PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
            PYTEST_ADDOPTS="-p stageflow",
        ),
    )
    project.play(example.parsed)
