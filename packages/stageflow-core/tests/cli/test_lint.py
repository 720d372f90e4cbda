"""`stageflow lint`: what it takes and prints; what it finds is tested beside the linter."""

import json
import sys

import pytest

FAULTY = """
from typing import Any
from stageflow import Pipeline, StageContext

print("imported")

class Profile:
    async def execute(self, ctx: StageContext) -> dict[str, Any]:
        return {"name": "Ada"}

class Greeting:
    async def execute(self, ctx: StageContext) -> dict[str, Any]:
        return {"text": ctx.inputs.get_from("profile", "name")}

faulty = Pipeline("faulty").with_stage("profile", Profile).with_stage("greeting", Greeting)
"""


@pytest.fixture
def faulty(cli):
    cli.write(faulty=FAULTY, fine="x = 1\n")
    return cli


@pytest.mark.parametrize("targets", [(), (".",), ("faulty.py",), ("faulty:faulty",), ("fine.py", "faulty.py")])
def test_what_is_found_is_printed_and_nothing_is_run(faulty, targets):
    """The place, the rule and the line to write; the code is 1."""
    ended = faulty("lint", *targets)
    assert (1, "") == (ended.code, ended.err)
    assert "faulty.py:13:25: undeclared-read: " in ended.out
    assert 'Write: dependencies=("profile",)' in ended.out
    assert "imported" not in ended.out
    assert "faulty" not in sys.modules


def test_nothing_is_found_in_what_is_fine(faulty):
    """The code is 0."""
    assert (0, "No findings.\n", "") == tuple(vars(faulty("lint", "fine.py")).values())


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ("json", lambda text: json.loads(text)["findings"][0]["rule"]),
        ("sarif", lambda text: json.loads(text)["runs"][0]["results"][0]["ruleId"]),
        ("github", lambda text: text[text.index("title=stageflow ") :].split(",")[0].split()[1]),
    ],
)
def test_programs_have_forms_of_their_own(faulty, form, read):
    """Each with the code 1 if there is something."""
    ended = faulty("lint", "--format", form)
    assert (1, "undeclared-read") == (ended.code, read(ended.out))


def test_github_is_told_nothing_where_there_is_nothing(faulty):
    """An empty line would be one, too."""
    assert (0, "") == (
        faulty("lint", "fine.py", "--format", "github").code,
        faulty("lint", "fine.py", "--format", "github").out,
    )


def test_what_is_missing_is_declared(faulty):
    """The file is mended, that is told, and what is left decides on the code."""
    ended = faulty("lint", "--fix")
    assert (0, "faulty.py: 1 dependency declared") == (ended.code, ended.line)
    assert 'Greeting, dependencies="profile")' in (faulty.folder / "faulty.py").read_text()
    assert (0, "No findings.\n", "") == tuple(vars(faulty("lint", "--fix")).values())


def test_without_the_library_nothing_is_mended(faulty, monkeypatch):
    """The line can be pasted, and the file stays as it is."""
    monkeypatch.setitem(sys.modules, "libcst", None)
    monkeypatch.delitem(sys.modules, "stageflow.lint.fixing", raising=False)
    ended = faulty("lint", "--fix")
    assert 2 == ended.code
    assert "pip install 'stageflow-core[lint-fix]'" in ended.line
    assert FAULTY == (faulty.folder / "faulty.py").read_text()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("syntax", b"x = 1\ndef (\n", "syntax.py:2: does not parse: "),
        ("binary", b"\x7fELF\x02\xff\xfe", "binary.py: is no text"),
        ("nulls", b"x = 1\0", "nulls.py: "),
    ],
)
def test_what_cannot_be_read_is_one_line(faulty, name, data, said):
    """Nothing else is reported, since it would be half of it."""
    faulty.write(**{name: data})
    ended = faulty("lint")
    assert (2, "") == (ended.code, ended.out)
    assert said in ended.line


@pytest.mark.parametrize("target", ["nope.py", "nope:x", "faulty:nope"])
def test_what_is_not_there_is_one_line(faulty, target):
    """With its name."""
    ended = faulty("lint", target)
    assert (2, "") == (ended.code, ended.out)
    assert target.split(":")[0] in ended.line
