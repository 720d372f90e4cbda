"""The files of a new project."""

from __future__ import annotations

from collections.abc import Mapping


def files(name: str, package: str) -> Mapping[str, str]:
    """Return the text of each file, by its path."""
    texts = {
        "pyproject.toml": _PYPROJECT,
        "README.md": _README,
        ".gitignore": "__pycache__/\n.venv/\ndist/\n",
        f"src/{package}/__init__.py": _PACKAGE,
        f"src/{package}/pipeline.py": _PIPELINE,
        "tests/test_pipeline.py": _TEST,
    }
    return {path: text.replace("<name>", name).replace("<package>", package) for path, text in texts.items()}


_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "<name>"
version = "0.1.0"
description = "A pipeline of Stageflow."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["stageflow-core"]

# `stageflow list` shows it where this project is installed, and `stageflow run <name>` runs it.
[project.entry-points."stageflow.pipelines"]
<name> = "<package>.pipeline:pipeline"

[dependency-groups]
test = ["pytest"]

[tool.hatch.build.targets.wheel]
packages = ["src/<package>"]

[tool.pytest.ini_options]
pythonpath = ["src"]
testpaths = ["tests"]
"""

_README = """\
# <name>

    PYTHONPATH=src stageflow run <package>.pipeline:pipeline --input "to be or not to be"
    PYTHONPATH=src stageflow graph <package>.pipeline:pipeline
    stageflow lint src
    python -m pytest

Where the project is installed, `stageflow run <name>` is enough.
"""

_PACKAGE = '''\
"""<name>."""
'''

_PIPELINE = '''\
"""The pipeline: each function is a stage, and its parameters are the stages that it reads."""

from typing import TypedDict

from stageflow import Pipeline, StageContext, StageKind, stage


class Words(TypedDict):
    """The words of a text, in order."""

    words: list[str]


class Counts(TypedDict):
    """How often each word is there."""

    counts: dict[str, int]


class Answer(TypedDict):
    """What is said in the end."""

    text: str


@stage(kind=StageKind.TRANSFORM)
async def split(ctx: StageContext) -> Words:
    """Take the input text apart."""
    return {"words": (ctx.snapshot.input_text or "").lower().split()}


@stage(kind=StageKind.ENRICH)
async def count(split: Words) -> Counts:
    """Count the words."""
    words = split["words"]
    return {"counts": {word: words.count(word) for word in dict.fromkeys(words)}}


@stage(kind=StageKind.TRANSFORM)
async def answer(split: Words, count: Counts) -> Answer:
    """Say what has been found."""
    return {"text": f"{len(split['words'])} words, {len(count['counts'])} different ones"}


pipeline = Pipeline("<name>", [split, count, answer])
'''

_TEST = '''\
"""The pipeline, run as it is."""

from <package>.pipeline import answer, count, pipeline


def test_words_are_counted():
    """Each word counts, however often it is there."""
    results = pipeline.run_sync(input_text="To be or not to be")
    assert results.value(answer) == {"text": "6 words, 4 different ones"}
    assert results.data(count)["counts"]["be"] == 2


def test_there_may_be_no_input():
    """A run without an input has nothing to count."""
    assert pipeline.run_sync().value(answer) == {"text": "0 words, 0 different ones"}
'''
