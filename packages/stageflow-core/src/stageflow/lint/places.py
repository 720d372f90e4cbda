"""Where code stands, as people count it."""

from __future__ import annotations

import ast
from typing import Any

from stageflow.lint.definitions import Module
from stageflow.lint.findings import Place


def place_of(module: Module, node: Any) -> Place:
    """Return where a node stands; of a function or class, its head."""
    line, column = node.lineno, node.col_offset
    end_line, end_column = node.end_lineno or line, node.end_col_offset or column
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        word = "def " if isinstance(node, ast.FunctionDef) else "async def "
        end_line, end_column = line, column + len((word + node.name).encode())
    lines = module.lines()
    return Place(
        str(module.path),
        line,
        _characters(lines, line, column) + 1,
        end_line,
        _characters(lines, end_line, end_column) + 1,
    )


def _characters(lines: list[str], line: int, offset: int) -> int:
    """Return a column in characters: `ast` counts the bytes of UTF-8."""
    text = lines[line - 1] if line <= len(lines) else ""
    return offset if text.isascii() else len(text.encode()[:offset].decode(errors="replace"))
