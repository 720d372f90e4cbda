"""A page that builds a project is held to its files, its changes and what pytest prints."""

import pytest
from sybil import Document

from tools.page_output import PrintingBlockParser
from tools.page_project import MARK, Project, ProjectParser, blocks_of

# Stands for pytest: prints the files and what it is given, and fails if one of them says so.
PYTEST = """#!/bin/sh
for file in *.py *.txt; do test -e "$file" && echo "$file: $(cat "$file" | tr '\\n' ' ')"; done
echo "arguments $* in 0.37s"
echo run >> ../runs
! grep -q broken *.py
"""


def block(kind, text):
    return f"```{kind}\n{text}\n```\n\n"


FILE = block("python", "# test_it.py\nx = 1\ny = 2")
CHANGE = block("diff", "# test_it.py\n x = 1\n-y = 2\n+y = 'broken'")
SHOWN = block("console", "$ pytest\n...\narguments in 9.99s")


@pytest.fixture
def play(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "project").mkdir()
    (tmp_path / "runs").touch()
    script = tmp_path / "bin" / "pytest"
    script.write_text(PYTEST)
    script.chmod(0o755)

    def play(page, **options):
        project = Project(tmp_path / "project", tmp_path / "bin", **options)
        for one in blocks_of(page):
            project.play(one)
        return (tmp_path / "runs").read_text().count("run")

    return play


def test_a_project_grows_and_changes_are_taken_back(play):
    """A file goes on where it ended, a change holds for the consoles behind it, and times are any times."""
    more = block("python", "# test_it.py\nz = 3")
    shown = block("console", "$ make all\n$ pytest -k 'a b'\ntest_it.py: x = 1 y = 'broken' ... -k a b in 1.00s")
    end = block("console", "$ pytest\ntest_it.py: x = 1 y = 2   z = 3\narguments in 0.00s")
    assert play(FILE + CHANGE + shown + shown + more + end) == 4


def test_a_file_of_tests_is_run_unless_a_console_follows(play):
    """So each step of a page passes, also where it shows no output; where only what is shown is wanted, not."""
    assert play(FILE) == 1
    assert play(FILE + SHOWN) == 2
    assert play(FILE, is_shown_alone=True) == 2
    with pytest.raises(AssertionError, match="should pass"):
        play(block("python", "# test_other.py\nbroken"))


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (FILE + block("console", "$ pytest\ntest_it.py: x = 1 y = 3\narguments in 0.1s"), "test_it.py: x = 1 y = 2"),
        (FILE + block("console", "$ pytest\n"), "should pass, and print"),
        (FILE + block("diff", "# test_it.py\n-y = 2\n+y = 'whole'") + SHOWN, "the change is there to make a test fail"),
        (FILE + block("diff", "# test_it.py\n-y = 3\n+y = 'broken'") + SHOWN, "is there 0 times"),
        (block("python", "# test_it.py\n1\n1") + block("diff", "# test_it.py\n-1\n+2") + SHOWN, "is there 2 times"),
        (block("python", "# test_it.py\nbroken") + SHOWN, "should pass"),
    ],
)
def test_what_is_not_as_the_page_says_fails(play, page, told):
    """Another output, a change that nothing notices, one that cannot be made, and a test that fails by itself."""
    with pytest.raises(AssertionError, match=told):
        play(page)


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (block("python", "x = 1"), "begins with '# ' and the name of a file"),
        (block("python", "# what x is\nx = 1"), "begins with '# ' and the name of a file"),
        (block("bash", "ls"), "is python, toml, diff or console"),
        (block("", "ls"), "is python, toml, diff or console"),
        (FILE + CHANGE, "is followed by a console"),
        (FILE + CHANGE + FILE, "is followed by a console"),
        (block("console", "pytest\n$ pytest"), r"begins with '\$ '"),
        (block("console", "$ python test_it.py"), "runs pytest, make or pip"),
    ],
)
def test_a_block_that_would_not_be_checked_is_refused(play, page, told):
    """Nothing on such a page is only looked at."""
    with pytest.raises(ValueError, match=told):
        play(page)


def test_a_page_that_asks_for_it_is_parsed_so_and_not_otherwise(tmp_path):
    """Its Python blocks are files, and are not run by themselves; other pages hold no projects."""
    page = tmp_path / "page.md"
    for text, parsers in ((f"{MARK}\n\n{FILE}", [0, 1]), (FILE, [1, 0])):
        page.write_text(text)
        found = [list(Document.parse(str(page), parser)) for parser in (PrintingBlockParser(), ProjectParser())]
        assert parsers == [len(one) for one in found]
