"""Blocks of a page that asks for it are held to what they print."""

import pytest
from sybil import Document

from tools.page_output import MARK, PrintingBlockParser, comments


def run_blocks(text, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text)
    for example in Document.parse(str(page), PrintingBlockParser()).examples():
        example.evaluate()


def block(code):
    return f"```python\n{code}\n```\n\n"


def test_comments_are_what_the_block_prints(tmp_path):
    """Comments stand beside or below what prints them, and '...' and the breaks of lines stand for what may differ."""
    page = [
        MARK,
        block("x = 'a # b'\nprint(x)  # a # b"),
        block("print(x, 'and', id(x))\n# a # b\n# and ..."),
        block("print(end='')"),
    ]
    run_blocks("\n\n".join(page), tmp_path)


@pytest.mark.parametrize(
    "code", ["print(1)  # 2", "print(1)", "x = 1  # 1", "print(1)  # 1\nprint(2)", "print(1)  # 2\nprint(2)  # 1"]
)
def test_another_output_is_an_error(code, tmp_path):
    """A block that prints something else, less, more, or in another order does not pass."""
    with pytest.raises(AssertionError, match="and it prints"):
        run_blocks(f"{MARK}\n\n{block(code)}", tmp_path)


def test_other_pages_are_only_run(tmp_path):
    """A page that does not ask for it may comment as it likes."""
    run_blocks(block("print(1)  # the loneliest number"), tmp_path)


def test_text_in_strings_is_no_comment():
    """A '#' within a string is not taken for a comment."""
    assert comments("print('#1')  # one\n# two") == "one\ntwo\n"
