"""The page on the command line: what it shows is what the commands write, and no option is missing."""

import argparse
import io
import re
import shlex
import sys
from pathlib import Path

import pytest
from stageflow.cli import main
from stageflow.cli.commands import BUILT_IN, find

PAGE = Path(__file__).resolve().parents[4] / "docs" / "reference" / "cli.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def modules_of(page):
    """Return the modules that stand beside the page, by their names."""
    return dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))


def sessions_in(page):
    """Return each command of the page with its output."""
    sessions = []
    for block in BLOCK.findall(page):
        for line in block.splitlines():
            if line.startswith("$ "):
                sessions.append((line[2:], []))
            else:
                sessions[-1][1].append(line)
    return [(command, "\n".join(lines).strip("\n")) for command, lines in sessions]


def without_what_differs(text):
    """Return the output without times, paths and versions, and without what is installed beside core."""
    text = re.sub(r"\d+\.\d{3} s ", "T s ", text)
    text = re.sub(r"\b\d+(\.\d+)? (ms|s)\b", "T", text)
    text = re.sub(r"/[\w./-]+", "/PATH", text)
    return re.sub(r"^surroundings\n(  .*\n)+", "surroundings\n", text, flags=re.MULTILINE)


def output_of(command, monkeypatch):
    """Return what a command writes on stdout and stderr together."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", out)
    program, *arguments = shlex.split(command)
    assert "stageflow" == program
    main(arguments)
    monkeypatch.undo()
    return out.buffer.getvalue().decode().strip("\n")


def test_the_page_shows_what_the_commands_write(cli):
    """Each command of the page is called, in order, in a folder with its module."""
    page = PAGE.read_text(encoding="utf-8")
    cli.write(**modules_of(page))
    sessions = sessions_in(page)
    assert {*BUILT_IN, "--help"} <= {command.split()[1] for command, _ in sessions}
    for command, shown in sessions:
        with pytest.MonkeyPatch.context() as monkeypatch:
            written = output_of(command, monkeypatch)
        assert without_what_differs(shown) == without_what_differs(written), command


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_page_has_every_option_and_no_other(name):
    """The section of a command says what each of its options is for."""
    page = PAGE.read_text(encoding="utf-8")
    section = re.search(rf"^## {name}\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)[1]
    told = set(
        re.findall(r"--[a-z][a-z-]*", "\n".join(line for line in section.splitlines() if line.startswith("| `--")))
    )
    parser = argparse.ArgumentParser(add_help=False)
    find(name)[0].configure(parser)
    assert {option for action in parser._actions for option in action.option_strings} == told
