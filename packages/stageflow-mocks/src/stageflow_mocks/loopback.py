"""An ASGI application served on a free port of 127.0.0.1 by the event loop that is already running.

No thread, no signal handler, no waiting: leaving closes the listener, resets every connection that is still open and
awaits the handlers, so that a request which hangs on purpose never holds up the test that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator, Sized
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

try:
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as error:
    raise ImportError(
        'Loopback servers need uvicorn and starlette: pip install "stageflow-mocks[server]"', name=error.name
    ) from error


class _InLoopServer(uvicorn.Server):
    """uvicorn without the parts that assume it owns the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.stop = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self.ready.set()
        await self.stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in self.servers:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        # A reset connection wakes its handler through `receive` and `send`; the handlers then end by themselves.
        while self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks))
        for listener in self.servers:
            await listener.wait_closed()


class Arrivals:
    """Tells of requests whoever waits for them, who may have another event loop than the server."""

    def __init__(self) -> None:
        self._next: Future[None] = Future()

    def tell(self) -> None:
        """Wake who waits: a request has arrived."""
        arrived, self._next = self._next, Future()
        arrived.set_result(None)

    async def reach(self, requests: Sized, count: int) -> None:
        """Wait until there are so many requests."""
        while True:
            arrived = self._next
            if len(requests) >= count:
                return
            await asyncio.shield(asyncio.wrap_future(arrived))


class LoopbackServer:
    """Serves one ASGI application for as long as its `async with` block lasts."""

    def __init__(self, app: Any) -> None:
        config = uvicorn.Config(
            app, http="h11", ws="none", lifespan="off", access_log=False, log_config=None, server_header=False
        )
        self._config = config
        self._server: _InLoopServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._base_url: str | None = None

    @property
    def base_url(self) -> str:
        """The server's root, `http://127.0.0.1:<port>`, while it runs."""
        if self._base_url is None:
            raise RuntimeError("The server is not running: enter it with `async with` before asking for its base_url.")
        return self._base_url

    def close_connection(self, client: tuple[str, int]) -> None:
        """Close the TCP connection of a client, given as the address in its request's scope, whatever is under way."""
        if self._server is None:
            return
        for connection in list(self._server.server_state.connections):
            if isinstance(connection, H11Protocol) and connection.client == client:
                connection.transport.close()

    async def __aenter__(self) -> Self:
        if self._serving is not None:
            raise RuntimeError("The server is running already: one `async with` at a time.")
        listening = socket.create_server(("127.0.0.1", 0))
        server = self._server = _InLoopServer(self._config)
        self._serving = asyncio.create_task(server.serve(sockets=[listening]), name="loopback-server")
        ready = asyncio.create_task(server.ready.wait())
        await asyncio.wait({self._serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            await self._serving
        self._base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        server, serving = self._server, self._serving
        self._server = self._serving = self._base_url = None
        if server is not None and serving is not None:
            server.stop.set()
            await serving
