"""Lines of standard input, read without blocking the event loop, whatever standard input is."""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import dataclass

_CHUNK = 65_536


@dataclass(frozen=True)
class Line:
    """One line as it came in, without its end. `too_long` means that the rest of it was read and dropped."""

    raw: bytes
    too_long: bool = False


class LineReader:
    """Reads a file descriptor line by line."""

    def __init__(self, descriptor: int, *, max_bytes: int = 1_000_000) -> None:
        self._descriptor = descriptor
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._ended = False
        self._readable: asyncio.Future[None] | None = None

    async def next(self) -> Line | None:
        """Return the next line, or None at the end of the input or after `close`."""
        too_long = False
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > self._max_bytes:
                too_long = True
                self._buffer.clear()
            if self._ended:
                return self._take(len(self._buffer), too_long) if self._buffer or too_long else None
            self._buffer += await self._read()
        return self._take(end, too_long)

    def close(self) -> None:
        """End the input now: who waits for a line gets None."""
        self._ended = True
        self._buffer.clear()
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    def _take(self, end: int, too_long: bool) -> Line:
        raw = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        return Line(b"", True) if too_long or len(raw) > self._max_bytes else Line(raw)

    async def _read(self) -> bytes:
        chunk = await self._read_when_ready()
        if not chunk:
            self._ended = True
        return chunk

    async def _read_when_ready(self) -> bytes:
        loop = asyncio.get_running_loop()
        readable = self._readable = loop.create_future()
        try:
            loop.add_reader(self._descriptor, lambda: readable.done() or readable.set_result(None))
        except (PermissionError, NotImplementedError):
            # epoll does not watch files, which are always ready; Windows' loop watches sockets only.
            return await asyncio.to_thread(os.read, self._descriptor, _CHUNK)
        try:
            await readable
        finally:
            loop.remove_reader(self._descriptor)
            self._readable = None
        if self._ended:
            return b""
        try:
            return os.read(self._descriptor, _CHUNK)
        except OSError as error:
            if error.errno == errno.EIO:  # The terminal is gone, which is the end of what it sends.
                return b""
            raise
