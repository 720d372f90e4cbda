"""The application: what a browser may ask for, and what it gets.

    GET    /pipelines                                      the names of what may be run
    POST   /runs                {"text": "..."}            start a run: its id, and where its messages are;
                                                           with "pipeline": "..." another one than the first
    GET    /runs/{id}                                      what became of it, also long after
    GET    /runs/{id}/events    Last-Event-ID: ...         its messages as server-sent events
    WS     /runs/{id}/socket    ?after=...                 its messages as JSON; {"cancel": "reason"} ends it
    DELETE /runs/{id}                                      end it, for those that have no WebSocket
    GET    /                                               a page that shows all that

Whoever may reach the port may use it: there are no users here. A real service knows its users, and lets each ask for
their own runs only.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
from stageflow import SSEMessageProjector, WSMessageProjector
from stageflow.errors import InvalidEventIdError, UnknownPipelineError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from examples.served_chat.keep_alive import kept_alive
from examples.served_chat.live_run import LiveRun
from examples.served_chat.pipeline import Surfaces
from examples.served_chat.run_keeper import BusyError, RunKeeper

MOST_BYTES = 16_384
"""The longest body, and the longest message of a WebSocket, that is read."""

TOLD = ("run_id", "pipeline", "status", "created_at", "duration_ms", "failed", "reason")
"""What a client is told of what a store knows; the texts of errors are not for it."""

PAGE = Path(__file__).parent / "page"
SAFE = {
    # No script but page.js, nothing from elsewhere, and nobody may frame the page.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
INVALID_DATA, POLICY_VIOLATION = 1007, 1008


class ServedChat:
    """Answers requests, over the runs that a keeper has."""

    def __init__(self, keeper: RunKeeper, *, keep_alive_s: float = 15.0) -> None:
        self._keeper = keeper
        self._keep_alive_s = keep_alive_s
        # No events of the stages' own: clients have the text, and need no counts of it.
        self._for_sockets = WSMessageProjector(metadata=Surfaces(), events=())
        self._for_streams = SSEMessageProjector(metadata=Surfaces(), events=(), retry_ms=1_000)

    def application(self) -> Starlette:
        """Return the ASGI application. When it is shut down its runs are cancelled and awaited."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            yield
            await self._keeper.close()

        pages = [Route(path, _page(name, kind)) for path, name, kind in _PAGES]
        runs = [
            Route("/pipelines", self.pipelines, methods=["GET"]),
            Route("/runs", self.start, methods=["POST"]),
            Route("/runs/{run_id}", self.state, methods=["GET"]),
            Route("/runs/{run_id}", self.cancel, methods=["DELETE"]),
            Route("/runs/{run_id}/events", self.events, methods=["GET"]),
            WebSocketRoute("/runs/{run_id}/socket", self.socket),
        ]
        return Starlette(routes=[*pages, *runs], lifespan=lifespan)

    async def pipelines(self, _: Request) -> Response:
        """Tell what may be run."""
        return JSONResponse({"pipelines": self._keeper.pipelines.list()}, headers=SAFE)

    async def start(self, request: Request) -> Response:
        """Start a run with the text of the body."""
        # A page of another site can only send this type after asking, and nobody allows it.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return _problem(415, "Send application/json.")
        body = await _body(request)
        if body is None:
            return _problem(413, f"Send at most {MOST_BYTES} bytes.")
        asked = _object(body)
        if asked is None or not isinstance(text := asked.get("text"), str):
            return _problem(400, 'Send {"text": "..."}.')
        try:
            live = self._keeper.start(text, asked.get("pipeline"))
        except UnknownPipelineError as error:
            return _problem(400, str(error))
        except BusyError:
            return _problem(503, "There are too many runs.", **{"retry-after": "5"})
        where = f"/runs/{live.id}"
        found = {"run_id": live.id, "events": f"{where}/events", "socket": f"{where}/socket"}
        return JSONResponse(found, 201, {**SAFE, "location": where})

    async def state(self, request: Request) -> Response:
        """Tell what became of a run, of which it may have been forgotten what it said."""
        found = await self._keeper.what_became(request.path_params["run_id"])
        if found is None:
            return _unknown()
        return JSONResponse({name: found[name] for name in TOLD if name in found}, headers=_NO_STORE)

    async def cancel(self, request: Request) -> Response:
        """Cancel a run."""
        live = self._keeper.get(request.path_params["run_id"])
        if live is None:
            return _unknown()
        live.run.cancel("cancelled by the client")
        return Response(status_code=202, headers=SAFE)

    async def events(self, request: Request) -> Response:
        """Stream the messages of a run as server-sent events."""
        live = self._keeper.get(request.path_params["run_id"])
        if live is None:
            return _unknown()
        after = request.headers.get("last-event-id")
        try:
            if live.has_all(after):
                return Response(status_code=204, headers=SAFE)  # by which a browser knows that it need not come again
            frames = live.messages(self._for_streams, after=after)
        except InvalidEventIdError as error:
            return _problem(400, str(error))
        stream = kept_alive(frames, every_s=self._keep_alive_s)
        headers = {**SAFE, "cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(stream, headers=headers, media_type="text/event-stream")

    async def socket(self, websocket: WebSocket) -> None:
        """Send the messages of a run, and take a cancel, until the run or the client is gone."""
        origin = websocket.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != websocket.headers.get("host"):
            await websocket.send_denial_response(_problem(403, "This page may not connect."))
            return
        live = self._keeper.get(websocket.path_params["run_id"])
        if live is None:
            await websocket.send_denial_response(_unknown())
            return
        try:
            messages = live.messages(self._for_sockets, after=websocket.query_params.get("after"))
        except InvalidEventIdError as error:
            await websocket.send_denial_response(_problem(400, str(error)))
            return
        await websocket.accept()
        async with anyio.create_task_group() as both:
            both.start_soon(_listen, websocket, live, both.cancel_scope)
            try:
                async with aclosing(messages):  # pyright: ignore[reportArgumentType]
                    async for message in messages:
                        await websocket.send_json(message)
                await websocket.close()
            except WebSocketDisconnect:
                pass
            both.cancel_scope.cancel()


async def _listen(websocket: WebSocket, live: LiveRun, both: anyio.CancelScope) -> None:
    """Take what a client says, until it has gone or said what it should not."""
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                break
            said = _object(message.get("text") or message.get("bytes") or b"")
            if said is None or said.keys() != {"cancel"} or not isinstance(said["cancel"], str):
                await websocket.close(INVALID_DATA, 'Send {"cancel": "reason"}.')
                break
            live.run.cancel(said["cancel"][:200] or "cancelled by the client")
    except WebSocketDisconnect:
        pass
    both.cancel()


async def _body(request: Request) -> bytes | None:
    """Return the body, or None if it is too long: then the rest of it is not read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


def _object(text: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object that the text is, or None."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _problem(status: int, detail: str, **headers: str) -> Response:
    return JSONResponse({"problem": detail}, status, {**SAFE, **headers})


def _unknown() -> Response:
    return _problem(404, "There is no such run, or it ended too long ago.")


_PAGES = (
    ("/", "index.html", "text/html"),
    ("/page.js", "page.js", "text/javascript"),
    ("/page.css", "page.css", "text/css"),
)


def _page(name: str, kind: str) -> Any:
    content = (PAGE / name).read_bytes()

    async def page(_: Request) -> Response:
        return Response(content, headers=_NO_STORE, media_type=kind)

    return page


_NO_STORE: Mapping[str, str] = {**SAFE, "cache-control": "no-store"}
