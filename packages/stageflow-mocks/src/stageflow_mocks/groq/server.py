"""A loopback server that the official `groq` SDK cannot tell from Groq, for tests and demos without a key.

    async with GroqServer() as server:
        client = AsyncGroq(api_key="any", base_url=server.base_url, max_retries=0)
        server.fail_next(RateLimited(retry_after=3))

It speaks `POST /openai/v1/chat/completions`, at once or as a stream, `/audio/transcriptions`, `/audio/translations` and
`/audio/speech`, and `GET /openai/v1/models`. This module is the router: what stands on the wire is in `chat`, `audio`,
`models` and `wire`, whose heads say from which source each shape is.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from types import NoneType, TracebackType
from typing import Self, get_args

from stageflow_mocks.conversation import Responder, answer_from_conversation
from stageflow_mocks.groq import wire
from stageflow_mocks.groq.audio.form import is_form, read_form
from stageflow_mocks.groq.audio.hearing import Ears, Transcriber
from stageflow_mocks.groq.audio.speech import SpeechRequest, answer_speech, read_speech
from stageflow_mocks.groq.audio.transcription import answer_transcription
from stageflow_mocks.groq.audio.transcription_request import TranscriptionRequest, read_transcription
from stageflow_mocks.groq.chat.answer import answer_chat
from stageflow_mocks.groq.chat.request import ChatRequest, read_chat
from stageflow_mocks.groq.models import Models, ModelsRequest
from stageflow_mocks.groq.playing import Played, play
from stageflow_mocks.groq.received import Asked, Ending, ReceivedRequest
from stageflow_mocks.groq.responses import Response, Terms, instead_of_answer, refuse, why_unfit
from stageflow_mocks.loopback import Arrivals, LoopbackServer
from stageflow_mocks.provider_faults import Fault, Pace
from stageflow_mocks.providers.errors import ScriptError
from stageflow_mocks.providers.tts import MockTTS

try:
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect, Request
    from starlette.routing import Route
    from starlette.types import Receive, Scope, Send
except ImportError as error:
    raise ImportError(
        'GroqServer needs starlette, uvicorn and python-multipart: pip install "stageflow-mocks[server]"',
        name=error.name,
    ) from error

__all__ = ["Ending", "GroqServer", "ReceivedRequest"]

_NAME = "GroqServer"
_FAULTS = get_args(Fault)
_ROOT = "/openai/v1"


class GroqServer:
    """A Groq-compatible server on a free port of 127.0.0.1, for the length of an `async with` block.

    Args:
        responder: Makes the answer of a chat from its messages: a text, or the tool calls that the model asks for.
        transcriber: What is heard in audio: a text or `Heard` in every file, a list of them in order, a mapping from
            the bytes of files, or a function of the request. None: what this server spoke is heard again as its text.
        api_keys: Those that it accepts; any, if None.
        models: Those that it has; those of Groq and any other name, if None.
        pace: How long it takes over every answer.
        seed: Decides the ids.
        sleep, clock: Replaced by tests that must not wait: `asyncio.sleep`, and Unix seconds.

    An exception of the responder or the transcriber answers 500; audio of which nothing says what is heard in it, and a
    fault that cannot strike what is asked, answer 400 with what was asked and scripted. The first of them is raised
    where the block is left; if an error leaves it by itself, such as the client's for the 500, it is a note on that.
    """

    def __init__(
        self,
        *,
        responder: Responder = answer_from_conversation,
        transcriber: Transcriber | None = None,
        api_keys: Collection[str] | None = None,
        models: Collection[str] | None = None,
        pace: Pace | None = None,
        seed: int = 0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not callable(responder):
            raise TypeError(f"responder is a function of the messages of a chat, not {responder!r}.")
        self.requests: list[ReceivedRequest] = []
        self._responder = responder
        self._ears = Ears(_NAME, transcriber)
        self._voice = MockTTS()
        self._api_keys = None if api_keys is None else frozenset(api_keys)
        self._models = Models(models)
        self._pace = pace or Pace()
        self._random = random.Random(seed)
        self._sleep = sleep
        self._clock = clock
        self._faults: deque[Fault | None] = deque()
        self._arrivals = Arrivals()
        self._errors: list[Exception] = []
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
        """Queue faults: each valid request from now on takes one, in order. None lets a request succeed.

        Raises:
            TypeError: One of them is none that a server has.
        """
        for fault in faults:
            if not isinstance(fault, (*_FAULTS, NoneType)):
                named = ", ".join(kind.__name__ for kind in _FAULTS)
                raise TypeError(f"A fault of a GroqServer is None or one of {named}; not {fault!r}.")
        self._faults.extend(faults)

    async def wait_for_requests(self, count: int) -> list[ReceivedRequest]:
        """Wait until `count` requests have arrived since the server was made."""
        await self._arrivals.reach(self.requests, count)
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
        if not self._errors:
            return
        if exc is None:
            raise self._errors[0]
        # The client was told of it in a few words at most, and that is what leaves the block.
        exc.add_note(f"What went wrong in the {_NAME}: {type(self._errors[0]).__name__}: {self._errors[0]}")

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
        number = len(self.requests)
        self._arrivals.tell()
        authorization = request.headers.get("authorization", "")

        async def respond() -> Response:
            identity = wire.Identity.draw(self._random, created=int(self._clock()))
            response = await self._respond(received, number, authorization, identity)
            signed = {"vary": "Origin", "x-groq-region": "loopback", "x-request-id": identity.request_id}
            return dataclasses.replace(response, headers={**signed, **response.headers})

        def end(played: Played) -> None:
            left: Ending = "server_closed" if self._closing else "client_left"
            received.end(left if played == "left" else played)
            if played == "cut":
                self._loopback.close_connection(scope["client"])

        try:
            await play(respond, received, receive, send, sleep=self._sleep, end=end)
        except Exception as error:  # noqa: BLE001 - of `sleep` or `clock`, which are the test's own
            self._errors.append(error)
            end("cut")

    async def _respond(
        self, received: ReceivedRequest, number: int, authorization: str, identity: wire.Identity
    ) -> Response:
        received.form = await read_form(received.headers, received.body)
        asked = self._read(received)
        if asked is None:
            return refuse(wire.unknown_url(received.method, received.path))
        if not self._accepts(authorization):
            return refuse(wire.invalid_api_key())
        refusal = asked if isinstance(asked, wire.Refusal) else self._refusal_by_model(asked)
        if refusal is not None:
            return refuse(refusal)
        assert not isinstance(asked, wire.Refusal)
        received.asked = asked
        received.fault = self._faults.popleft() if self._faults else None
        pace = received.fault if isinstance(received.fault, Pace) else self._pace
        terms = Terms(number, identity, received.fault, pace)
        try:
            return await self._answer(asked, terms, f"{received.method} {received.path}")
        except ScriptError as error:
            self._errors.append(error)
            return refuse(wire.Refusal(400, str(error)))
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            # To raise it out of the block would look as if the test itself were cancelled.
            wrong = RuntimeError("The responder or the transcriber ended with a CancelledError: what it awaited was.")
            wrong.__cause__ = error
            self._errors.append(wrong)
            return refuse(wire.broken(asked.model, 500))
        except Exception as error:  # noqa: BLE001 - of the test's own; it is raised where the server is left
            self._errors.append(error)
            return refuse(wire.broken(asked.model, 500))

    def _read(self, received: ReceivedRequest) -> Asked | wire.Refusal | None:
        """Read what is asked; None if nothing is at this address."""
        match received.method, received.path.removeprefix(_ROOT) if received.path.startswith(_ROOT) else None:
            case "POST", "/chat/completions":
                return read_chat(received.body)
            case "POST", "/audio/transcriptions" | "/audio/translations" as path:
                translate = path == "/audio/translations"
                return read_transcription(received.form, is_form=is_form(received.headers), translate=translate)
            case "POST", "/audio/speech":
                return read_speech(received.body)
            case "GET", "/models":
                return ModelsRequest()
            case "GET", str(path) if path.startswith("/models/"):
                return ModelsRequest(path.removeprefix("/models/"))
            case _:
                return None

    def _accepts(self, authorization: str) -> bool:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            return False
        return self._api_keys is None or key.strip() in self._api_keys

    def _refusal_by_model(self, asked: Asked) -> wire.Refusal | None:
        match asked:
            case ModelsRequest():
                return self._models.unknown(asked)
            case ChatRequest():
                return self._models.refusal(asked.model, "text")
            case TranscriptionRequest():
                return self._models.refusal(asked.model, "transcription")
            case SpeechRequest():
                return self._models.refusal(asked.model, "speech")

    async def _answer(self, asked: Asked, terms: Terms, address: str) -> Response:
        is_chat = isinstance(asked, ChatRequest)
        is_stream = isinstance(asked, ChatRequest) and asked.stream
        unfit = why_unfit(terms.fault, is_chat=is_chat, is_stream=is_stream)
        if unfit is not None:
            why = f"cannot meet the fault that it was given: {unfit}."
            raise ScriptError(_NAME, terms.number, address, repr(terms.fault), why)
        instead = instead_of_answer(terms.fault, asked.model, is_stream=is_stream)
        if instead is not None:
            return instead
        match asked:
            case ChatRequest():
                return await answer_chat(asked, terms, self._responder, _NAME)
            case TranscriptionRequest():
                return answer_transcription(asked, await self._ears.hear(asked, terms), terms)
            case SpeechRequest():
                return await answer_speech(asked, terms, self._voice, self._ears)
            case ModelsRequest():
                return terms.json(self._models.to_json(asked))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _Endpoint:
    """The server as an ASGI application: starlette hands it requests of every method, as it is not a function."""

    def __init__(self, server: GroqServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._server.handle(scope, receive, send)
