"""Finds forgotten dependencies, and their like, in source code: without importing or running it.

Files are found and parsed (`modules`), what their code would build is worked out (`evaluation`, `building`), what the
stages read and return as well (`reading`, `returning`), and the one is compared with the other (`rules`).
"""

from __future__ import annotations

from stageflow.lint.findings import RULES, Declaration, Finding, Place, Rule
from stageflow.lint.linter import lint, lint_files
from stageflow.lint.modules import python_files

__all__ = ["RULES", "Declaration", "Finding", "Place", "Rule", "lint", "lint_files", "python_files"]
