"""`stageflow new`: what it writes runs, passes its tests, and is without findings."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import stageflow

SOURCE = Path(stageflow.__file__).parent.parent


def in_project(folder, *arguments):
    """Run Python in the project, with its own source and ours on the path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(("src", str(SOURCE)))}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_new_project_runs_and_passes_its_tests(cli):
    """The commands that are told work, in the order in which they are told."""
    ended = cli("new", "Word-count")
    assert 0 == ended.code
    assert all((cli.folder / line).is_file() for line in ended.out.splitlines())
    folder = cli.folder / "Word-count"
    ran = in_project(folder, "stageflow", "run", "word_count.pipeline:pipeline", "--input", "to be or not to be")
    assert {"answer": {"text": "6 words, 4 different ones"}} == json.loads(ran.stdout)
    linted = in_project(folder, "stageflow", "lint", "src")
    assert (0, "No findings.\n") == (linted.returncode, linted.stdout)
    tested = in_project(folder, "pytest", "-q", "-p", "no:cacheprovider")
    assert 0 == tested.returncode, tested.stdout
    assert "2 passed" in tested.stdout


def test_a_new_project_can_be_installed_and_is_then_listed(cli):
    """Its metadata are complete, and its entry point leads to the pipeline."""
    cli("new", "hello")
    project = tomllib.loads((cli.folder / "hello" / "pyproject.toml").read_text())
    assert {"hello": "hello.pipeline:pipeline"} == project["project"]["entry-points"]["stageflow.pipelines"]
    assert ("hello", ["stageflow-core"]) == (project["project"]["name"], project["project"]["dependencies"])
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["src/hello"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("9lives", "begins with a letter"),
        ("a b", "begins with a letter"),
        ("../up", "begins with a letter"),
        ("a-", "begins with a letter"),
        ("class", "called 'class'"),
        ("json", "called 'json'"),
        ("stageflow-mine", "called 'stageflow_mine'"),
        ("tests", "called 'tests'"),
    ],
)
def test_a_name_that_cannot_be_is_refused(cli, name, said):
    """Nothing is written."""
    ended = cli("new", name)
    assert 2 == ended.code
    assert said in ended.line
    assert [] == list(cli.folder.iterdir())


def test_what_is_there_is_left_alone(cli):
    """A folder that is not empty, and a file of that name, stay as they are; an empty folder is filled."""
    (cli.folder / "full").mkdir()
    (cli.folder / "full" / "x").write_text("mine")
    (cli.folder / "file").write_text("mine")
    (cli.folder / "empty").mkdir()
    assert [2, 2, 0] == [cli("new", name).code for name in ("full", "file", "empty")]
    assert ["x"] == [each.name for each in (cli.folder / "full").iterdir()]
