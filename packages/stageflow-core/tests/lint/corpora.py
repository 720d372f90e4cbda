"""The corpus: small programs, each with what lint is to find at the end of the line where it is to be found."""

from __future__ import annotations

import re
from pathlib import Path

from stageflow.lint import Finding

FOLDER = Path(__file__).parent / "corpus"

HEADER = """\
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Annotated, Any, TypedDict

from stageflow import From, Pipeline, StageContext, StageKind, StageOutput, Stream, stage

"""
MAIN = "program.py"


class Program:
    """One or more files: `=== name` begins a program, `--- file.py` another file of it."""

    def __init__(self, theme: str, name: str, text: str) -> None:
        self.theme = theme
        self.name = name
        first, *others = re.split(r"^--- (.+)\n", text, flags=re.MULTILINE)
        self.files = {MAIN: HEADER + first.strip("\n") + "\n"}
        self.files |= dict(zip(others[::2], others[1::2], strict=True))

    def __repr__(self) -> str:
        return f"{self.theme}: {self.name}"

    def written(self, folder: Path) -> list[Path]:
        """Write the files, and return where they are."""
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        return [folder / name for name in self.files]

    def expected(self) -> list[tuple[str, int, str]]:
        """Return the file, line and rule of each finding."""
        found: list[tuple[str, int, str]] = []
        for name, text in self.files.items():
            for number, line in enumerate(text.splitlines(), 1):
                _, marked, rules = line.partition("# expect: ")
                found += ((name, number, rule.strip()) for rule in rules.split(",") if marked)
        return sorted(found)


def programs() -> list[Program]:
    """Return all programs of the corpus."""
    found: list[Program] = []
    for path in sorted(FOLDER.glob("*.txt")):
        _, *parts = re.split(r"^=== (.+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found += (Program(path.stem, name, text) for name, text in zip(parts[::2], parts[1::2], strict=True))
    return found


def shown(findings: list[Finding]) -> list[tuple[str, int, str]]:
    """Return findings as the corpus expects them."""
    return sorted((Path(each.place.path).name, each.place.line, each.rule) for each in findings)
