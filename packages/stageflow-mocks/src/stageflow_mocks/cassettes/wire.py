"""What a cassette has to do with httpx: the transport that goes into a client, to record or to replay.

Clients of httpx2, on which some SDKs are, have requests and transports of the same shape but of classes of their own.
They get responses, streams and errors of those: whatever has to be of a class is made of the library of the request.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from functools import cache
from typing import Any, Protocol

from stageflow.providers import closing_stream

from stageflow_mocks.cassettes.bodies import Pieces, response_pieces
from stageflow_mocks.cassettes.errors import CassetteRefusal
from stageflow_mocks.cassettes.takes import Asked, Take
from stageflow_mocks.cassettes.tape import Exchange, RecordedFailure
from stageflow_mocks.simulation.virtual_clock import VirtualClockLoop

try:
    import httpx
except ImportError as error:
    raise ImportError('Cassettes need httpx: pip install "stageflow-mocks[cassettes]"', name=error.name) from error

_LONGER_THAN_THE_READER_WAITED_S = 1.0
_LIBRARIES = ("httpx", "httpx2")


class Deck(Protocol):
    """What a transport needs of its cassette."""

    @property
    def is_recording(self) -> bool: ...

    @property
    def pace(self) -> float | None: ...

    def claim(self, asked: Asked) -> Exchange: ...

    def begin(self, asked: Asked, clock: Callable[[], float]) -> Take: ...

    def drop(self, take: Take) -> None: ...

    def recording_ends(self, exchange: Exchange) -> CassetteRefusal: ...


class CassetteTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport for clients of httpx and httpx2, sync and async, made by `Cassette.transport()`."""

    def __init__(self, deck: Deck, inner: Any = None) -> None:
        self._deck = deck
        # One that is for both kinds of clients, or for the kind that this is given to.
        self._inner: Any = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        __tracebackhide__ = True
        request.read()
        asked = _asked(request)
        if not self._deck.is_recording:
            played = _stream_of(_library_of(request), _Played)(
                self._deck, self._deck.claim(asked), request, simulated=False
            )
            played.begin()
            return played.response()
        if self._inner is None:
            self._inner = _library_of(request).HTTPTransport()
        take = self._deck.begin(asked, time.monotonic)
        try:
            response: Any = self._inner.handle_request(request)
        except BaseException as error:
            self._broken(take, error, request)
            raise
        return _tapped(response, take, request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        __tracebackhide__ = True
        await request.aread()
        asked = _asked(request)
        loop = asyncio.get_running_loop()
        if not self._deck.is_recording:
            simulated = isinstance(loop, VirtualClockLoop)
            played = _stream_of(_library_of(request), _Played)(
                self._deck, self._deck.claim(asked), request, simulated=simulated
            )
            await played.abegin()
            return played.response()
        if self._inner is None:
            self._inner = _library_of(request).AsyncHTTPTransport()
        take = self._deck.begin(asked, loop.time)
        try:
            response: Any = await self._inner.handle_async_request(request)
        except BaseException as error:
            self._broken(take, error, request)
            raise
        return _tapped(response, take, request)

    def _broken(self, take: Take, error: BaseException, request: httpx.Request) -> None:
        if not isinstance(error, Exception):
            take.leave()
        elif isinstance(error, _library_of(request).TransportError):
            take.fail(error)
        else:
            # A defect of the inner transport, or of the application in it: no service answers so.
            self._deck.drop(take)

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()

    async def aclose(self) -> None:
        if self._inner is not None:
            await self._inner.aclose()


def _asked(request: httpx.Request) -> Asked:
    url = request.url
    return Asked(
        method=request.method,
        url=str(url.copy_with(username=None, password=None, query=None, fragment=None)),
        query=url.params.multi_items(),
        headers=_pairs(request.headers),
        content=_plain(request),
        password=url.password,
    )


def _plain(request: httpx.Request) -> bytes:
    coding = request.headers.get("content-encoding", "")
    plain = decoded([(0.0, request.content)], coding) if coding else None
    return request.content if plain is None else b"".join(piece for _, piece in plain)


def _pairs(headers: httpx.Headers) -> list[tuple[str, str]]:
    return [(_decoded(name).lower(), _decoded(value)) for name, value in headers.raw]


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _package(module: str) -> str:
    return module.partition(".")[0]


def _library_of(request: httpx.Request) -> Any:
    return sys.modules[_package(type(request).__module__)]


@cache
def _stream_of(library: Any, kind: type[Any]) -> Any:
    """Return a kind of body as the class of stream that a library's clients take."""
    return type(kind.__name__, (kind, library.SyncByteStream, library.AsyncByteStream), {})


def _tapped(response: Any, take: Take, request: httpx.Request) -> Any:
    take.answer(response.status_code, _pairs(response.headers))
    library = _library_of(request)
    return library.Response(
        response.status_code,
        headers=response.headers,
        stream=_stream_of(library, _Tapped)(response.stream, take, library.TransportError),
        extensions=response.extensions,
    )


class _ReadOnce:
    """A body that closes what is left of its reading: a client that fails over a piece leaves that where it is."""

    _reading: Any = None
    _aread: Callable[[], AsyncGenerator[bytes]]

    def __aiter__(self) -> AsyncGenerator[bytes]:
        self._reading = reading = self._aread()
        return reading

    async def _end_reading(self) -> None:
        if self._reading is not None and not self._reading.ag_running:
            await self._reading.aclose()


class _Tapped(_ReadOnce):
    """The body of a real response, each piece of which is noted when it comes."""

    def __init__(self, stream: Any, take: Take, transport_error: type[Exception]) -> None:
        self._stream = stream
        self._take = take
        self._transport_error = transport_error

    def __iter__(self) -> Generator[bytes]:
        try:
            for piece in self._stream:
                self._take.piece(piece)
                yield piece
        except self._transport_error as error:
            self._take.fail(error)
            raise
        self._take.end()

    async def _aread(self) -> AsyncGenerator[bytes]:
        try:
            async with closing_stream(aiter(self._stream)) as pieces:
                async for piece in pieces:
                    self._take.piece(piece)
                    yield piece
        except self._transport_error as error:
            self._take.fail(error)
            raise
        self._take.end()

    def close(self) -> None:
        self._take.leave()
        self._stream.close()

    async def aclose(self) -> None:
        self._take.leave()
        await self._end_reading()
        await self._stream.aclose()


class _Played(_ReadOnce):
    """An exchange while it is replayed.

    Pieces are due at times counted from the one before, and not from when the reader asks: as over a network, its own
    work and the waiting go on together.
    """

    def __init__(self, deck: Deck, exchange: Exchange, request: httpx.Request, *, simulated: bool) -> None:
        self._deck = deck
        self._exchange = exchange
        self._request = request
        self._pace = deck.pace if deck.pace is not None else 1.0 if simulated else 0.0
        self._due: float | None = None

    def begin(self) -> None:
        answer = self._exchange.response
        if answer is None:
            self._sleep(self._last_wait())
            raise self._last_error()
        self._sleep(answer.after)

    async def abegin(self) -> None:
        answer = self._exchange.response
        if answer is None:
            await self._asleep(self._last_wait())
            raise self._last_error()
        await self._asleep(answer.after)

    def response(self) -> Any:
        answer = self._exchange.response
        assert answer is not None
        headers = [(name.encode(), value.encode()) for name, value in answer.headers]
        if self._request.method != "HEAD" and self._is_whole():
            length = str(sum(len(piece) for _, piece in response_pieces(answer.body))).encode()
            headers = [(name, length if name == b"content-length" else value) for name, value in headers]
        extensions = {"http_version": b"HTTP/1.1"}
        return _library_of(self._request).Response(answer.status, headers=headers, stream=self, extensions=extensions)

    def __iter__(self) -> Generator[bytes]:
        for gap, piece in self._pieces():
            self._sleep(gap)
            yield piece
        if not self._is_whole():
            self._sleep(self._last_wait())
            raise self._last_error()

    async def _aread(self) -> AsyncGenerator[bytes]:
        for gap, piece in self._pieces():
            await self._asleep(gap)
            yield piece
        if not self._is_whole():
            await self._asleep(self._last_wait())
            raise self._last_error()

    def close(self) -> None:
        """There is nothing to close."""

    async def aclose(self) -> None:
        await self._end_reading()

    def _pieces(self) -> Pieces:
        assert self._exchange.response is not None
        return response_pieces(self._exchange.response.body)

    def _is_whole(self) -> bool:
        return self._exchange.failure is None and self._exchange.left_after is None

    def _last_wait(self) -> float:
        if self._exchange.failure is not None:
            return self._exchange.failure.after
        # Who gave up then has to be the first to act now.
        return (self._exchange.left_after or 0.0) + _LONGER_THAN_THE_READER_WAITED_S

    def _last_error(self) -> BaseException:
        failure = self._exchange.failure
        return self._deck.recording_ends(self._exchange) if failure is None else _made(failure, self._request)

    def _sleep(self, gap: float) -> None:
        wait = self._wait(gap, time.monotonic())
        if wait > 0:
            time.sleep(wait)

    async def _asleep(self, gap: float) -> None:
        # Others have their turn also where nothing is waited for, as they would have over a network.
        await asyncio.sleep(max(self._wait(gap, asyncio.get_running_loop().time()), 0))

    def _wait(self, gap: float, now: float) -> float:
        self._due = (now if self._due is None else self._due) + gap * self._pace
        return self._due - now


def _made(failure: RecordedFailure, request: httpx.Request) -> Exception:
    kind: type[httpx.TransportError] = getattr(_library_of(request), failure.type)
    return kind(failure.message, request=request)


def end_before_httpx(refusal: BaseException) -> None:
    """Let the traceback of a refusal end where the client was called: pytest shows the arguments of its last frame.

    That of httpx is the request, whose address may hold a key.
    """
    entry = refusal.__traceback__
    while entry is not None:
        inner = entry.tb_next
        if inner is not None and _package(inner.tb_frame.f_globals["__name__"]) in _LIBRARIES:
            entry.tb_next = None
            return
        entry = inner


def decoded(pieces: Pieces, coding: str) -> Pieces | None:
    """Return the pieces of a body without the coding that they came in, or None if httpx does not know it."""
    place = 0

    def feed() -> Iterator[bytes]:
        nonlocal place
        for number, (_, piece) in enumerate(pieces):
            place = number
            yield piece

    plain = [b""] * len(pieces)
    response = httpx.Response(200, headers={"content-encoding": coding}, stream=_Fed(feed()))
    try:
        for piece in response.iter_bytes():
            plain[place] += piece
    except httpx.DecodingError:
        return None
    if b"".join(plain) == b"".join(piece for _, piece in pieces):
        return None
    return _without_empty([(gap, piece) for (gap, _), piece in zip(pieces, plain, strict=True)])


def _without_empty(pieces: Pieces) -> Pieces:
    """Let what came, and decoded to nothing yet, be waited for with the next."""
    kept: list[tuple[float, bytes]] = []
    waited = 0.0
    for gap, piece in pieces:
        waited += gap
        if piece:
            kept.append((waited, piece))
            waited = 0.0
    return kept


class _Fed(httpx.SyncByteStream):
    """Pieces as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces
