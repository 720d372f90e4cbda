"""Reports: what people, programs and code hosts get."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from stageflow.lint import RULES, Finding, Place, lint_files
from stageflow.lint.reporting import FORMATS, as_github, as_json, as_sarif, as_text

from lint.corpora import HEADER

SOURCE = (
    HEADER
    + """
class A:
    async def execute(self, ctx: StageContext):
        return {"x": 1}

class B:
    async def execute(self, ctx: StageContext):
        é = "é"; return {"x": ctx.inputs.get_from("a", "x"), é: 1}

pipeline = Pipeline("p").with_stage("a", A).with_stage("b", B)
"""
)


def finding(path: str = "a.py", message: str = "It is wrong.", *, end_line: int = 3) -> Finding:
    place = Place(path, 3, 5, end_line, 9)
    return Finding("cycle", message, place, "Remove it.", stage="s", pipeline="p", about="t")


def test_text_shows_the_line_and_what_to_write(tmp_path: Path) -> None:
    """Path, line, column, rule, message; the source with carets below; the line to write; how many there are."""
    path = tmp_path / "program.py"
    path.write_text(SOURCE, encoding="utf-8")
    (found,) = lint_files([path])
    line = found.place.line
    assert as_text([found]) == (
        f"{path}:{line}:31: undeclared-read: Stage 'b' of pipeline 'p' reads 'a' without declaring it.\n"
        f'  {line} |         é = "é"; return {{"x": ctx.inputs.get_from("a", "x"), é: 1}}\n'
        f"     |                               {'^' * 29}\n"
        '  Write: dependencies=("a",)\n'
        "\n"
        "1 finding in 1 file.\n"
    )


def test_text_of_nothing_says_so() -> None:
    """Rather than nothing at all."""
    assert "No findings.\n" == as_text([])


@pytest.mark.parametrize("lines", [[], ["", "", "\tabc def"]])
def test_text_needs_no_source(lines: list[str]) -> None:
    """A file that is gone is not shown; tabs stay tabs before the carets."""
    shown = as_text([finding()], lambda _: lines)
    assert shown.startswith("a.py:3:5: cycle: It is wrong.\n")
    assert ("\n    | \t   ^^^^\n" in shown) is bool(lines)


def test_carets_of_several_lines_end_with_the_first(tmp_path: Path) -> None:
    """Only the first line is shown."""
    shown = as_text([finding(end_line=5)], lambda _: ["", "", "    abcdef"])
    assert "  3 |     abcdef\n    |     ^^^^^^\n" in shown


def test_json_has_a_version_and_every_field() -> None:
    """What a program needs to show a finding by itself."""
    told = json.loads(as_json([finding()]))
    assert 1 == told["schema_version"]
    assert [
        {
            "rule": "cycle",
            "message": "It is wrong.",
            "write": "Remove it.",
            "path": "a.py",
            "line": 3,
            "column": 5,
            "end_line": 3,
            "end_column": 9,
            "pipeline": "p",
            "stage": "s",
            "about": "t",
            "fixable": False,
        }
    ] == told["findings"]


def test_sarif_has_what_the_standard_requires() -> None:
    """SARIF 2.1.0: version, runs, a driver with a name (3.19.8), rules with ids (3.49.3), messages (3.27.11)."""
    told = json.loads(as_sarif([finding("a folder/é.py"), finding()], "1.2"))
    assert ("2.1.0", 1) == (told["version"], len(told["runs"]))
    assert told["$schema"].startswith("https://docs.oasis-open.org/sarif/")
    run: dict[str, Any] = told["runs"][0]
    driver = run["tool"]["driver"]
    assert ("stageflow lint", "1.2") == (driver["name"], driver["version"])
    assert list(RULES) == [rule["id"] for rule in driver["rules"]]
    for rule in driver["rules"]:
        assert all(rule[part]["text"] for part in ("shortDescription", "fullDescription", "help"))
    for result in run["results"]:
        assert result["ruleId"] == driver["rules"][result["ruleIndex"]]["id"]
        assert ("error", "It is wrong. Remove it.") == (result["level"], result["message"]["text"])
    location = run["results"][0]["locations"][0]["physicalLocation"]
    assert "a%20folder/%C3%A9.py" == location["artifactLocation"]["uri"]
    assert {"startLine": 3, "startColumn": 5, "endLine": 3, "endColumn": 9} == location["region"]


def test_sarif_of_an_absolute_path_is_a_file_uri() -> None:
    """RFC 8089."""
    told = json.loads(as_sarif([finding("/a b/c.py")]))
    location = told["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert "file:///a%20b/c.py" == location["artifactLocation"]["uri"]


def test_github_escapes_what_would_end_a_command() -> None:
    """In properties `,` and `:` as well; a message stays one line."""
    told = as_github([finding("a,b:c.py", "100 %\r\nwrong: a, b")])
    assert told == (
        "::error file=a%2Cb%3Ac.py,line=3,endLine=3,title=stageflow cycle,col=5,endColumn=9"
        "::100 %25%0D%0Awrong: a, b Remove it.\n"
    )


def test_github_gives_no_columns_of_several_lines() -> None:
    """Which it refuses."""
    assert not re.search(r"\bcol=", as_github([finding(end_line=4)]))


def test_each_format_is_told_by_its_name() -> None:
    """For the command line."""
    assert {"text": as_text, "json": as_json, "sarif": as_sarif, "github": as_github} == dict(FORMATS)
