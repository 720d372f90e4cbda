"""A request as it is asked, and a recording while it is made: what comes and when, with nothing hidden yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from stageflow_mocks.cassettes.bodies import (
    Pieces,
    learn_content,
    learn_request,
    request_body,
    response_body,
    rounded,
)
from stageflow_mocks.cassettes.secret_values import Secrets
from stageflow_mocks.cassettes.tape import Exchange, RecordedFailure, RecordedRequest, RecordedResponse

_PASSING_HEADERS = frozenset(
    {
        "age", "alt-svc", "cf-cache-status", "cf-ray", "connection", "date", "keep-alive", "nel", "report-to",
        "server-timing", "transfer-encoding", "via",
    }
)  # fmt: skip
"""Of the connection, or another each time: they would only make two recordings differ."""


@dataclass(frozen=True, repr=False)
class Asked:
    """A request, as it goes over the wire. It has no repr, as a traceback would show its secrets.

    Attributes:
        url: Without its query, a user's name and a fragment.
        password: That of the address; empty if there is none.
        headers: Pairs, their names in lower case.
    """

    method: str
    url: str
    query: Sequence[tuple[str, str]]
    headers: Sequence[tuple[str, str]]
    content: bytes
    password: str = ""

    def learn(self, secrets: Secrets) -> None:
        """Let its secrets be known."""
        secrets.learn(self.password)
        secrets.learn_text(self.url)
        for name, value in self.headers:
            secrets.learn_header(name, value)
        for name, value in self.query:
            secrets.learn_parameter(name, value)
        learn_request(self.content, self._header("content-type"), secrets)

    def recorded(self, secrets: Secrets | None, headers: Collection[str]) -> RecordedRequest:
        """Return the request as a cassette holds it, with these headers; nothing is hidden if no secrets are given."""
        kept = {name: self._header(name) for name in sorted({"content-type", *headers}) if self._has(name)}
        if kept.get("content-type", "").startswith("multipart/"):
            kept["content-type"] = kept["content-type"].partition(";")[0]  # the rest is another each time
        body = request_body(self.content, self._header("content-type"), secrets)
        if secrets is None:
            return RecordedRequest(self.method, self.url, [list(pair) for pair in self.query], kept, body)
        query = [secrets.hidden_parameter(name, value) for name, value in self.query]
        shown = {name: secrets.hidden_header(name, value) for name, value in kept.items()}
        return RecordedRequest(self.method, secrets.hidden(self.url), query, shown, body)

    def _has(self, header: str) -> bool:
        return any(name == header for name, _ in self.headers)

    def _header(self, header: str) -> str:
        return ", ".join(value for name, value in self.headers if name == header)


@dataclass(repr=False)
class Take:
    """One exchange while it is recorded.

    Attributes:
        asked: The request.
        clock: Says seconds.
        decode: Takes pieces and the coding of the content, and returns them decoded, or None if it cannot.
    """

    asked: Asked
    clock: Callable[[], float]
    decode: Callable[[Pieces, str], Pieces | None]
    pieces: list[tuple[float, bytes]] = field(default_factory=list[tuple[float, bytes]])
    status: int | None = None
    headers: Sequence[tuple[str, str]] = ()
    after: float = 0.0
    failure: RecordedFailure | None = None
    left_after: float | None = None
    is_over: bool = False
    _last: float = 0.0

    def __post_init__(self) -> None:
        self._last = self.clock()

    def _gap(self) -> float:
        now = self.clock()
        gap, self._last = now - self._last, now
        return gap

    def answer(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Note that an answer has begun."""
        self.status, self.headers, self.after = status, headers, self._gap()

    def piece(self, content: bytes) -> None:
        """Note a piece of the body."""
        self.pieces.append((self._gap(), content))

    def end(self) -> None:
        """Note that the body is whole."""
        self.is_over = True

    def fail(self, error: Exception) -> None:
        """Note the error of the transport."""
        self.is_over = True
        self.failure = RecordedFailure(rounded(self._gap()), type(error).__name__, str(error))

    def leave(self) -> None:
        """Note that nobody reads on."""
        if not self.is_over:
            self.is_over = True
            self.left_after = rounded(self._gap())

    def learn(self, secrets: Secrets) -> None:
        """Let the secrets of request and response be known."""
        self.asked.learn(secrets)
        for name, value in self.headers:
            secrets.learn_header(name, value)
        if self.failure is not None:
            secrets.learn_text(self.failure.message)
        learn_content(b"".join(piece for _, piece in self._decoded()[0]), secrets)

    def exchange(self, secrets: Secrets, headers: Collection[str], *, keep_audio: bool) -> Exchange:
        """Return what is written, with nothing secret in it."""
        failure = self.failure
        if failure is not None:
            failure = RecordedFailure(failure.after, failure.type, secrets.hidden(failure.message))
        return Exchange(
            self.asked.recorded(secrets, headers),
            self._response(secrets, keep_audio=keep_audio),
            failure,
            self.left_after,
        )

    def _response(self, secrets: Secrets, *, keep_audio: bool) -> RecordedResponse | None:
        if self.status is None:
            return None
        pieces, is_decoded = self._decoded()
        dropped = {*_PASSING_HEADERS, "content-encoding", "content-length"} if is_decoded else _PASSING_HEADERS
        kept = [[name, secrets.hidden_header(name, value)] for name, value in self.headers if name not in dropped]
        kind = next((value for name, value in self.headers if name == "content-type"), "")
        body = response_body(pieces, kind, secrets, keep_audio=keep_audio)
        return RecordedResponse(rounded(self.after), self.status, kept, body)

    def _decoded(self) -> tuple[Pieces, bool]:
        coding = ", ".join(value for name, value in self.headers if name == "content-encoding")
        if not coding or coding == "identity":
            return self.pieces, False
        decoded = self.decode(self.pieces, coding)
        return (self.pieces, False) if decoded is None else (decoded, True)
