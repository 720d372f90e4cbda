"""Whether the Python blocks of a page print what the page says that they print.

A page that asks for it, by the comment in `MARK`, has no other comments in its blocks than what they print, one line or
more for each line, in the order in which it is printed. `...` stands for anything.
"""

from __future__ import annotations

import io
import tokenize
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from typing import Any

from sybil import Document, Example, Region
from sybil.parsers.markdown import PythonCodeBlockParser

from tools import page_project

MARK = "<!-- Each comment in a block is what it prints. -->"


class PrintingBlockParser(PythonCodeBlockParser):
    """Finds the Python blocks of a page, and has what they print compared if the page asks for it."""

    def __call__(self, document: Document) -> Iterable[Region]:
        if page_project.MARK in document.text:
            return
        for region in super().__call__(document):
            if MARK in document.text:
                region.evaluator = _compared(region.evaluator)
            yield region


def comments(source: str) -> str:
    """Return the text of the comments in a piece of Python, one line for each."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return "".join(f"{token.string[1:].strip()}\n" for token in tokens if token.type == tokenize.COMMENT)


def _compared(evaluate: Callable[[Example], Any]) -> Callable[[Example], None]:
    def evaluate_and_compare(example: Example) -> None:
        printed = io.StringIO()
        with redirect_stdout(printed):
            evaluate(example)
        expected, found = comments(example.parsed), printed.getvalue()
        if not OutputChecker().check_output(expected, found, ELLIPSIS | NORMALIZE_WHITESPACE):
            raise AssertionError(f"The comments of the block say\n\n{expected}\nand it prints\n\n{found}")

    return evaluate_and_compare
