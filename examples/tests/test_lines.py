"""Reading lines from whatever standard input may be."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.chat.lines import Line, LineReader


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe: the end to read and the end to write."""
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        try:
            os.close(end)
        except OSError:
            continue


async def _all(reader: LineReader) -> list[Line]:
    lines: list[Line] = []
    while (line := await reader.next()) is not None:
        lines.append(line)
    return lines


async def test_lines_of_a_pipe(pipe: tuple[int, int]) -> None:
    """Lines come without their ends, whether LF or CRLF, and the last one needs none."""
    os.write(pipe[1], b"one\ntwo\r\n\n\xff\nlast")
    os.close(pipe[1])
    lines = await _all(LineReader(pipe[0]))
    assert [line.raw for line in lines] == [b"one", b"two", b"", b"\xff", b"last"]


async def test_lines_of_a_file(tmp_path: Path) -> None:
    """A file, which cannot be waited for, is read all the same."""
    path = tmp_path / "input"
    path.write_bytes(b"one\ntwo\n")
    with path.open("rb") as file:
        lines = await _all(LineReader(file.fileno()))
    assert [line.raw for line in lines] == [b"one", b"two"]


async def test_a_line_in_pieces(pipe: tuple[int, int]) -> None:
    """A line is given once its end has come."""
    waiting = asyncio.create_task(LineReader(pipe[0]).next())
    os.write(pipe[1], b"he")
    await asyncio.sleep(0)
    os.write(pipe[1], b"llo\n")
    assert await waiting == Line(b"hello")


@pytest.mark.parametrize("end", [b"\nnext\n", b""])
async def test_a_line_without_end_is_not_kept(tmp_path: Path, end: bytes) -> None:
    """A line over the limit is dropped and said to be; the next one is whole."""
    path = tmp_path / "input"
    path.write_bytes(b"x" * 1_000_000 + end)
    with path.open("rb") as file:
        lines = await _all(LineReader(file.fileno(), max_bytes=1000))
    assert lines == [Line(b"", too_long=True), *([Line(b"next")] if end else [])]


@pytest.mark.parametrize(("length", "too_long"), [(1000, False), (1001, True)])
async def test_limit(tmp_path: Path, length: int, too_long: bool) -> None:
    """The limit itself is not too long."""
    path = tmp_path / "input"
    path.write_bytes(b"x" * length + b"\n")
    with path.open("rb") as file:
        (line,) = await _all(LineReader(file.fileno(), max_bytes=1000))
    assert line.too_long is too_long


async def test_close_ends_the_wait(pipe: tuple[int, int]) -> None:
    """Who waits for a line gets None when the reader is closed, and so does who asks later."""
    reader = LineReader(pipe[0])
    waiting = asyncio.create_task(reader.next())
    await asyncio.sleep(0)
    reader.close()
    assert await waiting is None
    os.write(pipe[1], b"late\n")
    assert await reader.next() is None


async def test_cancelled_wait_loses_nothing(pipe: tuple[int, int]) -> None:
    """After a cancelled wait the next one gets the line."""
    reader = LineReader(pipe[0])
    waiting = asyncio.create_task(reader.next())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    os.write(pipe[1], b"hello\n")
    assert await reader.next() == Line(b"hello")
