"""The command line, called in this process and in an empty folder."""

import importlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from stageflow.cli import main

SHOP = """
from typing import Any
from stageflow import Pipeline, StageContext, StageKind, StageOutput, Stream, stage

@stage
async def profile(ctx: StageContext) -> dict[str, Any]:
    return {"name": ctx.snapshot.metadata.get("name", "Ada")}

@stage
async def greeting(ctx: StageContext, profile: dict[str, Any]) -> dict[str, Any]:
    return {"text": f"{ctx.snapshot.input_text}, {profile['name']}!"}

hello = Pipeline("hello", [profile, greeting])

@stage
async def broken(ctx: StageContext) -> None:
    raise OSError("the line\\nis dead")

@stage
async def after(broken: dict[str, Any]) -> None: ...

failing = Pipeline("failing", [broken, after])

@stage(kind=StageKind.GUARD)
async def approval(ctx: StageContext) -> StageOutput[Any]:
    if ctx.decision is None:
        return StageOutput.suspend({"question": "Pay?"})
    return StageOutput.ok(decided=ctx.decision)

@stage
async def pay(approval: dict[str, Any]) -> dict[str, Any]:
    return {"paid": approval["decided"]}

refund = Pipeline("refund", [approval, pay])

@stage
async def words(ctx: StageContext):
    for word in ("a ", "b ", "c"):
        yield word

@stage
async def joined(words: Stream[str]) -> dict[str, Any]:
    return {"text": "".join([word async for word in words])}

talk = Pipeline("talk", [words, joined])

@stage
async def refusal(ctx: StageContext) -> StageOutput[Any]:
    return StageOutput.cancel("not allowed")

guarded = Pipeline("guarded", [refusal])

def made():
    return hello
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line that it wrote on stderr."""
        (line,) = self.err.splitlines()
        return line


class CommandLine:
    """Calls commands in a folder of its own."""

    def __init__(self, folder, capsys, monkeypatch):
        self.folder = folder
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def write(self, **files: str | bytes) -> None:
        """Write modules, by their names."""
        for name, text in files.items():
            data = text if isinstance(text, bytes) else text.encode()
            (self.folder / f"{name}.py").write_bytes(data)
        importlib.invalidate_caches()

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Ended:
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._capsys.readouterr()
        code = main(arguments)
        return Ended(code, *self._capsys.readouterr())


@pytest.fixture
def cli(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "100")
    before = set(sys.modules)
    yield CommandLine(tmp_path, capsys, monkeypatch)
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.fixture
def shop(cli):
    """A command line beside a module with pipelines."""
    cli.write(shop=SHOP)
    return cli
