"""A loopback server that the official `groq` SDK cannot tell from Groq, for tests and demos without a key.

    async with GroqServer() as server:
        client = AsyncGroq(api_key="any", base_url=server.base_url, max_retries=0)
        server.fail_next(RateLimited(retry_after=3))

It speaks `POST /openai/v1/chat/completions`, at once or as a stream. What it answers is derived from the conversation
by `answer_from_conversation`, or by the `responder` that it was given, which may also call tools (`CallTool`) and has
to write JSON where a request asks for it; what goes wrong is what `fail_next` was told.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self, TypeAlias

from stageflow_mocks.conversation import ChatMessage, Responder, answer_from_conversation
from stageflow_mocks.groq import wire
from stageflow_mocks.groq.answers import Answer, Break, Response, instead_of_answer, refuse
from stageflow_mocks.loopback import LoopbackServer
from stageflow_mocks.model_answers import CallTool
from stageflow_mocks.provider_faults import Fault, Pace

try:
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect, Request
    from starlette.routing import Route
    from starlette.types import Receive, Scope, Send
except ImportError as error:
    raise ImportError(
        'GroqServer needs starlette and uvicorn: pip install "stageflow-mocks[server]"', name=error.name
    ) from error

Ending: TypeAlias = Literal["open", "completed", "cut", "client_left", "server_closed"]
"""How a request ended: answered in full, cut by a fault, left by the client, or ended by the server's own exit."""

_CHAT_PATH = "/openai/v1/chat/completions"


@dataclass(eq=False, slots=True)
class ReceivedRequest:
    """What the server was asked, and how that ended. The bearer key is checked and not kept."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    chat: wire.ChatRequest | None = None
    fault: Fault | None = None
    status: int | None = None
    frames_sent: int = 0
    ending: Ending = "open"
    # Not asyncio's: who waits may have another event loop than the server.
    _ended: Future[None] = field(default_factory=Future, repr=False)

    @property
    def messages(self) -> list[ChatMessage]:
        """The messages of a valid chat request; none of an invalid one."""
        return [] if self.chat is None else list(self.chat.messages)

    async def wait_ended(self) -> Ending:
        """Wait until the server has finished with the request, and say how."""
        await asyncio.shield(asyncio.wrap_future(self._ended))
        return self.ending

    def end(self, ending: Ending) -> None:
        """Record the ending and wake who waits for it."""
        self.ending = ending
        self._ended.set_result(None)


class GroqServer:
    """A Groq-compatible server on a free port of 127.0.0.1, for the length of an `async with` block.

    `api_keys` are the keys it accepts (any, by default), `models` those it has (any, by default), `responder` makes
    the text of an answer from the messages, `pace` is how long it takes over every answer, `seed` decides the ids.
    `sleep` (seconds) and `clock` (Unix seconds) are replaced by tests that must not wait. An exception of the
    responder answers 500, and is raised again when the block is left.
    """

    def __init__(
        self,
        *,
        responder: Responder = answer_from_conversation,
        api_keys: Collection[str] | None = None,
        models: Collection[str] | None = None,
        pace: Pace | None = None,
        seed: int = 0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.requests: list[ReceivedRequest] = []
        self._responder = responder
        self._api_keys = None if api_keys is None else frozenset(api_keys)
        self._models = None if models is None else frozenset(models)
        self._pace = pace or Pace()
        self._random = random.Random(seed)
        self._sleep = sleep
        self._clock = clock
        self._faults: deque[Fault | None] = deque()
        self._arrived = asyncio.Event()
        self._responder_errors: list[Exception] = []
        self._closing = False
        self._loopback = LoopbackServer(Starlette(routes=[Route("/{path:path}", _Endpoint(self))]))

    @property
    def base_url(self) -> str:
        """The host root, as the SDK's `base_url` wants it: it adds `/openai/v1` itself."""
        return self._loopback.base_url

    @property
    def pending_faults(self) -> tuple[Fault | None, ...]:
        """The faults that no request has met yet."""
        return tuple(self._faults)

    def fail_next(self, *faults: Fault | None) -> None:
        """Queue faults: each valid request from now on takes one, in order. None lets a request succeed."""
        self._faults.extend(faults)

    async def wait_for_requests(self, count: int) -> list[ReceivedRequest]:
        """Wait until `count` requests have arrived since the server was made."""
        while len(self.requests) < count:
            self._arrived.clear()
            await self._arrived.wait()
        return self.requests

    async def __aenter__(self) -> Self:
        self._closing = False
        await self._loopback.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing = True
        await self._loopback.__aexit__(exc_type, exc, traceback)
        if self._responder_errors and exc is None:
            raise self._responder_errors[0]

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request (ASGI)."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        received = ReceivedRequest(request.method, request.url.path, headers, body)
        self.requests.append(received)
        self._arrived.set()
        response = self._respond(received, request.headers.get("authorization", ""))
        received.status = response.status
        await self._play(response, received, scope, receive, send)

    def _respond(self, received: ReceivedRequest, authorization: str) -> Response:
        if (received.method, received.path) != ("POST", _CHAT_PATH):
            return refuse(wire.unknown_url(received.method, received.path))
        if not self._accepts(authorization):
            return refuse(wire.invalid_api_key())
        chat = wire.parse_request(received.body)
        if isinstance(chat, wire.Refusal):
            return refuse(chat)
        if self._models is not None and chat.model not in self._models:
            return refuse(wire.unknown_model(chat.model))
        received.chat = chat
        received.fault = self._faults.popleft() if self._faults else None
        return instead_of_answer(received.fault, chat) or self._answer(chat, received.fault)

    def _accepts(self, authorization: str) -> bool:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            return False
        return self._api_keys is None or key.strip() in self._api_keys

    def _answer(self, chat: wire.ChatRequest, fault: Fault | None) -> Response:
        begun = time.perf_counter()
        try:
            said = self._responder(chat.messages)
        except Exception as error:  # noqa: BLE001 - a responder is the test's own; it is raised where the server is left
            self._responder_errors.append(error)
            return refuse(wire.broken(chat.model, 500))
        answer = [said] if isinstance(said, CallTool) else said
        if (failure := chat.asked.failure(answer)) is not None:
            return refuse(wire.failed_generation(*failure))
        identity = wire.Identity.draw(self._random, seed=chat.seed, created=int(self._clock()))
        pieces, finish_reason = wire.limit_answer(answer, chat) if isinstance(answer, str) else ([], "tool_calls")
        return Answer(
            identity=identity,
            chat=chat,
            pieces=pieces,
            calls=[] if isinstance(answer, str) else wire.tool_calls(identity, answer),
            finish_reason=finish_reason,
            fault=fault,
            pace=fault if isinstance(fault, Pace) else self._pace,
            prompt_time=time.perf_counter() - begun,
        ).response()

    async def _play(
        self, response: Response, received: ReceivedRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Send a response step by step, for as long as the client stays."""
        sending = asyncio.create_task(self._send_steps(response, received, send))
        leaving = asyncio.create_task(_wait_disconnect(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                received.end("server_closed" if self._closing else "client_left")
            elif await sending:
                received.end("completed")
            else:
                received.end("cut")
                self._loopback.close_connection(scope["client"])
                # uvicorn reports a response that its application leaves unfinished, unless the client left first.
                await leaving
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send_steps(self, response: Response, received: ReceivedRequest, send: Send) -> bool:
        """Send the steps; False means that the connection is to be closed before the response is complete."""
        headers = response.encoded_headers()
        for step in response.steps:
            if step is Break.SILENCE:
                await asyncio.Event().wait()
            elif step is Break.HANG_UP:
                return False
            elif isinstance(step, bytes):
                if not received.frames_sent:
                    await send({"type": "http.response.start", "status": response.status, "headers": headers})
                received.frames_sent += 1
                await send({"type": "http.response.body", "body": step, "more_body": True})
            elif step:
                await self._sleep(step)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True


class _Endpoint:
    """The server as an ASGI application: starlette hands it requests of every method, as it is not a function."""

    def __init__(self, server: GroqServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._server.handle(scope, receive, send)


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
