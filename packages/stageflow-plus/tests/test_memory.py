"""The memory stages and their SQLite store, on real files."""

import asyncio
import contextlib
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stageflow import Pipeline, PipelineResults, RunIdentity, StageContext, StageOutput, StageStatus, stage
from stageflow.errors import MissingPortError
from stageflow_plus import (
    MemoryFetchStage,
    MemoryStore,
    MemoryStoreError,
    MemoryWriteStage,
    RememberedTurns,
    SqliteMemory,
    Turn,
    sqlite_memory,
)

HELLO = (Turn("user", "hello"), Turn("assistant", "hi"))
LIMITS: Any = {"max_turns": 100, "max_characters": 100_000}


@dataclass(frozen=True)
class Ports:
    memory: MemoryStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.sqlite3"


async def _source(ctx: StageContext) -> StageOutput[Any]:
    return StageOutput.ok(text=f"{ctx.stage_name} of {ctx.snapshot.input_text}")


PIPELINE = (
    Pipeline("p")
    .with_stage("memory", MemoryFetchStage())
    .with_stage("input_guard", _source)
    .with_stage("output_guard", _source)
    .with_stage("write", MemoryWriteStage(), dependencies=("input_guard", "output_guard"), optional="memory")
)


async def _turn(ports: Any, text: str, session_id: str | None = "s") -> PipelineResults:
    return await PIPELINE.start(input_text=text, ports=ports, run_id=RunIdentity(session_id=session_id)).outcome()


async def test_a_conversation_is_remembered(path: Path) -> None:
    """The second run of a session sees both turns of the first."""
    async with SqliteMemory(path) as memory:
        first = await _turn(Ports(memory), "one")
        second = await _turn(Ports(memory), "two")
    assert first["memory"].value == RememberedTurns((), 0)
    assert first.data("write")["written"] == 2
    assert second["memory"].value == RememberedTurns(
        (Turn("user", "input_guard of one"), Turn("assistant", "output_guard of one")), 0
    )


async def test_it_survives_the_process(path: Path) -> None:
    """What one store wrote, a later one on the same file reads."""
    async with SqliteMemory(path) as memory:
        await memory.append("s", HELLO, key="1")
    async with SqliteMemory(path) as memory:
        assert (await memory.recent("s", **LIMITS)).turns == HELLO


async def test_sessions_do_not_mix(path: Path) -> None:
    """A session reads its own turns only."""
    async with SqliteMemory(path) as memory:
        await memory.append("s", HELLO, key="1")
        assert await memory.recent("t", **LIMITS) == RememberedTurns((), 0)


async def test_run_without_a_session(path: Path) -> None:
    """A run that belongs to no session skips both stages, with the reason."""
    async with SqliteMemory(path) as memory:
        results = await _turn(Ports(memory), "one", session_id=None)
    assert results.status == "completed"
    assert results.skipped() == ("memory", "write")
    assert results["memory"].reason == "the run has no session_id"


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({"max_turns": 3, "max_characters": 1000}, ["c", "dd", "eee"]),
        ({"max_turns": 9, "max_characters": 5}, ["dd", "eee"]),
        ({"max_turns": 9, "max_characters": 4}, ["eee"]),
        ({"max_turns": 9, "max_characters": 2}, []),
        ({"max_turns": 9, "max_characters": 1000}, ["aaaa", "b", "c", "dd", "eee"]),
    ],
)
async def test_fetch_is_bounded(path: Path, limits: dict[str, int], kept: list[str]) -> None:
    """The newest turns within both limits come, in order, and the rest is counted."""
    async with SqliteMemory(path) as memory:
        for number, text in enumerate(("aaaa", "b", "c", "dd", "eee")):
            await memory.append("s", (Turn("user", text),), key=str(number))
        found = await memory.recent("s", **limits)
    assert [turn.content for turn in found.turns] == kept
    assert found.omitted == 5 - len(kept)


async def test_a_key_is_written_once(path: Path) -> None:
    """Repeating a write under its key changes nothing; the same turns under another key are new."""
    async with SqliteMemory(path) as memory:
        for key in ("1", "1", "2"):
            await memory.append("s", HELLO, key=key)
        assert (await memory.recent("s", **LIMITS)).turns == (*HELLO, *HELLO)


async def test_a_write_is_all_or_nothing(path: Path) -> None:
    """A turn that cannot be stored takes the turn beside it along."""
    async with SqliteMemory(path) as memory:
        with pytest.raises(MemoryStoreError, match="Cannot write"):
            await memory.append("s", (HELLO[0], Turn("assistant", "\ud800")), key="1")
        assert await memory.recent("s", **LIMITS) == RememberedTurns((), 0)
        await memory.append("s", HELLO, key="1")
        assert (await memory.recent("s", **LIMITS)).turns == HELLO


async def test_many_writers_in_one_process(path: Path) -> None:
    """Concurrent runs on two stores of one file lose nothing and never fail."""
    async with SqliteMemory(path) as one, SqliteMemory(path) as two:
        runs = [_turn(Ports(store), str(number)) for number in range(25) for store in (one, two)]
        assert {results.status for results in await asyncio.gather(*runs)} == {"completed"}
        found = await one.recent("s", **LIMITS)
    assert len(found.turns) == 100
    assert all(
        question.content.removeprefix("input_guard") == answer.content.removeprefix("output_guard")
        for question, answer in zip(found.turns[::2], found.turns[1::2], strict=True)
    )


_WRITER = """
import asyncio, sys
from stageflow_plus import SqliteMemory, Turn
async def main(path, name):
    async with SqliteMemory(path, busy_timeout=60) as memory:
        for number in range(20):
            await memory.append("s", (Turn("user", name),), key=f"{name}{number}")
asyncio.run(main(*sys.argv[1:]))
"""


async def test_many_processes(path: Path) -> None:
    """Processes that make and fill one file at the same moment wait for each other."""
    start = asyncio.create_subprocess_exec
    writers = [await start(sys.executable, "-c", _WRITER, str(path), name) for name in "abcd"]
    assert [await writer.wait() for writer in writers] == [0, 0, 0, 0]
    async with SqliteMemory(path) as memory:
        assert len((await memory.recent("s", **LIMITS)).turns) == 80


async def test_another_process_is_quicker(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another process makes ready between our look and our lock is taken as it then is."""
    look = sqlite_memory._version

    def quicker(connection: sqlite3.Connection) -> int:
        monkeypatch.setattr(sqlite_memory, "_version", look)
        seen = look(connection)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            sqlite_memory._create(other)
        return seen

    monkeypatch.setattr(sqlite_memory, "_version", quicker)
    async with SqliteMemory(path) as memory:
        await memory.append("s", HELLO, key="1")
        assert (await memory.recent("s", **LIMITS)).turns == HELLO


async def test_the_loop_is_not_blocked(path: Path) -> None:
    """While a write waits for another process's lock, the event loop goes on."""
    async with SqliteMemory(path) as memory:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(memory.append("s", HELLO, key="1"))
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not writing.done()
        other.execute("COMMIT")
        other.close()
        await writing
        assert (await memory.recent("s", **LIMITS)).turns == HELLO


async def test_a_lock_that_stays_is_an_error(path: Path) -> None:
    """A file that another process keeps locked fails the stage, which says where and why."""
    async with SqliteMemory(path, busy_timeout=0) as memory:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        results = await _turn(Ports(memory), "one")
        other.close()
    assert results.failed() == ("write",)
    assert f"Cannot write the memory at {path}: database is locked." in str(results["write"].error)


async def test_cancelled_write_is_whole(path: Path) -> None:
    """A cancelled write has happened in full or not at all, and the store goes on."""
    async with SqliteMemory(path) as memory:
        writing = asyncio.create_task(memory.append("s", HELLO, key="1"))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert (await memory.recent("s", **LIMITS)).turns in ((), HELLO)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(b"this is not a database, it is a letter" * 100),
        lambda path: _run_script(path, "PRAGMA user_version = 99"),
        lambda path: _run_script(path, "CREATE TABLE turns (x)"),
    ],
    ids=["directory", "not a database", "newer", "another program's"],
)
async def test_file_that_cannot_be_opened(path: Path, make: Any) -> None:
    """A file that is no memory of ours is left alone, and the error says which file."""
    make(path)
    before = _content(path)
    with pytest.raises(MemoryStoreError, match="Cannot open the memory at") as caught:
        await SqliteMemory(path).__aenter__()
    assert caught.value.location == str(path)
    assert _content(path) == before


def _run_script(path: Path, script: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


async def test_missing_directory(tmp_path: Path) -> None:
    """The directory of the file is the caller's."""
    with pytest.raises(MemoryStoreError, match="unable to open"):
        await SqliteMemory(tmp_path / "none" / "memory.sqlite3").__aenter__()


async def test_closed_store(path: Path) -> None:
    """A store that is not open says so, and closing twice is closing once."""
    memory = SqliteMemory(path)
    with pytest.raises(MemoryStoreError, match="closed"):
        await memory.recent("s", **LIMITS)
    async with memory:
        with pytest.raises(RuntimeError, match="open already"):
            await memory.__aenter__()
        await memory.aclose()
    await memory.aclose()


async def test_run_without_the_port() -> None:
    """A run without a store fails with what to give it."""
    results = await _turn(None, "one")
    error = results["memory"].error
    assert error is not None
    assert isinstance(error.exception, MissingPortError)
    assert ("memory", "memory") == (error.exception.stage, error.exception.port)
    assert "run(ports=...) takes any object that has the attribute 'memory'" in error.message


@pytest.mark.parametrize("runner", [MemoryFetchStage(), MemoryWriteStage(), MemoryFetchStage, MemoryWriteStage])
def test_what_the_stages_need(runner: MemoryFetchStage) -> None:
    """They say so themselves, so that nobody has to when a pipeline is made of them."""
    assert ("memory",) == stage("m", runner).ports


@pytest.mark.parametrize("limits", [{"max_turns": 0}, {"max_characters": 0}])
def test_impossible_limits(limits: dict[str, int]) -> None:
    """A fetch that could never return anything is refused when it is made."""
    with pytest.raises(ValueError, match="1 or more"):
        MemoryFetchStage(**limits)


async def test_other_names() -> None:
    """The stages to read from are the writer's arguments."""

    @dataclass
    class Recorder:
        written: tuple[Turn, ...] = ()

        async def append(self, session_id: str, turns: tuple[Turn, ...], *, key: str) -> None:
            self.written = turns

    recorder = Recorder()
    pipeline = (
        Pipeline("p")
        .with_stage("asked", _source)
        .with_stage("said", _source)
        .with_stage(
            "write", MemoryWriteStage(question_from="asked", answer_from="said"), dependencies=("asked", "said")
        )
    )
    results = await pipeline.run(input_text="x", run_id=RunIdentity(session_id="s"), ports=Ports(recorder))  # type: ignore[arg-type]
    assert results["write"].status is StageStatus.OK
    assert recorder.written == (Turn("user", "asked of x"), Turn("assistant", "said of x"))
