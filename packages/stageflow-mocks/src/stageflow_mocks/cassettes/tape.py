"""The file of a cassette: its exchanges as JSON that can be read in a review, and the check of what is read."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, cast

from stageflow_mocks.cassettes.bodies import LAYOUTS
from stageflow_mocks.cassettes.errors import CassetteFileError
from stageflow_mocks.wording import nearest

SCHEMA_VERSION = 1
_RECORD_ANEW = "Record it anew."

FAILURES = (
    "CloseError",
    "ConnectError",
    "ConnectTimeout",
    "LocalProtocolError",
    "PoolTimeout",
    "ProxyError",
    "ReadError",
    "ReadTimeout",
    "RemoteProtocolError",
    "UnsupportedProtocol",
    "WriteError",
    "WriteTimeout",
)
"""The errors of httpx's transports, by their names there."""


@dataclass(frozen=True)
class RecordedRequest:
    """What was asked.

    Attributes:
        method: In capitals.
        url: Without its query, a user's name and a fragment.
        query: The parameters in their order.
        headers: The content type, and those that count when requests are compared; names in lower case.
        body: See `bodies`; None if there is none.
    """

    method: str
    url: str
    query: Sequence[Sequence[str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: dict[str, Any] | None = None

    def __str__(self) -> str:
        asked = "&".join(f"{name}={value}" for name, value in self.query)
        return f"{self.method} {self.url}{'?' if asked else ''}{asked}"


@dataclass(frozen=True)
class RecordedResponse:
    """What was answered: `after` so many seconds, status, headers as pairs, and a body (see `bodies`)."""

    after: float
    status: int
    headers: Sequence[Sequence[str]] = ()
    body: dict[str, Any] | None = None


@dataclass(frozen=True)
class RecordedFailure:
    """The error of the transport that an exchange ended with, `after` so many seconds from what came before it."""

    after: float
    type: str
    message: str


@dataclass(frozen=True)
class Exchange:
    """A request, and what came of it.

    Attributes:
        request: What was asked.
        response: The answer, or None if none came.
        failure: What broke it off, before or within the answer.
        left_after: The seconds after which its reader left it, so that no more of it is known; None if it is whole.
    """

    request: RecordedRequest
    response: RecordedResponse | None = None
    failure: RecordedFailure | None = None
    left_after: float | None = None


def written(exchanges: Sequence[Exchange]) -> str:
    """Return the text of a cassette's file."""
    tape = {"schema_version": SCHEMA_VERSION, "exchanges": [_given(exchange) for exchange in exchanges]}
    return _laid_out(tape, 0) + "\n"


def _given(record: Any) -> dict[str, Any]:
    """Return the fields of a record, and of those in it, in which there is something."""
    found = {each.name: getattr(record, each.name) for each in dataclasses.fields(record)}
    return {
        name: _given(value) if is_dataclass(value) else value
        for name, value in found.items()
        if value not in (None, (), [], {})
    }


def _laid_out(value: Any, depth: int) -> str:
    """Lay JSON out with a line for each field, but pairs, as of a stream's pieces, on one."""
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, Mapping) and value:
        fields = cast("Mapping[str, Any]", value)
        lines = [f"{inner}{_compact(name)}: {_laid_out(item, depth + 1)}" for name, item in fields.items()]
        return "{\n" + ",\n".join(lines) + f"\n{outer}}}"
    if isinstance(value, (list, tuple)) and value:
        items = cast("Sequence[Any]", value)
        if len(items) <= 2 and not any(isinstance(item, (Mapping, list, tuple)) for item in items):
            return _compact(items)
        return "[\n" + ",\n".join(inner + _laid_out(item, depth + 1) for item in items) + f"\n{outer}]"
    return _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def read(path: Path, text: str) -> list[Exchange]:
    """Return the exchanges of a cassette's file.

    Raises:
        CassetteFileError: It is damaged, or of another version.
    """
    return _Reader(path).exchanges(text)


class _Reader:
    """Reads one file, and says where in it something is wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _wrong(self, place: str, problem: str, hint: str = _RECORD_ANEW) -> CassetteFileError:
        return CassetteFileError(self._path, place, problem, hint)

    def exchanges(self, text: str) -> list[Exchange]:
        try:
            value: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._wrong("", f"it is no JSON ({error})") from None
        if not isinstance(value, dict):
            raise self._wrong("", "it is no mapping")
        version = cast("dict[str, Any]", value).get("schema_version")
        if type(version) is not int or version != SCHEMA_VERSION:
            newer = isinstance(version, int) and version > SCHEMA_VERSION
            raise self._wrong(
                "schema_version",
                f"{version!r} is not {SCHEMA_VERSION}, which is what this version of stageflow-mocks reads",
                "Install a newer stageflow-mocks, or record it anew." if newer else _RECORD_ANEW,
            )
        fields = self._fields(value, "", ("schema_version", "exchanges"))
        return [
            self._exchange(each, f"exchanges[{number}]")
            for number, each in enumerate(self._list(fields["exchanges"], "exchanges"))
        ]

    def _exchange(self, value: Any, place: str) -> Exchange:
        fields = self._fields(value, place, ("request",), ("response", "failure", "left_after"))
        if not {"response", "failure", "left_after"} & set(fields):
            raise self._wrong(place, "nothing came of it: it has no response, failure or left_after")
        response, failure = fields.get("response"), fields.get("failure")
        return Exchange(
            self._request(fields["request"], f"{place}.request"),
            None if response is None else self._response(response, f"{place}.response"),
            None if failure is None else self._failure(failure, f"{place}.failure"),
            None if "left_after" not in fields else self._seconds(fields["left_after"], f"{place}.left_after"),
        )

    def _request(self, value: Any, place: str) -> RecordedRequest:
        fields = self._fields(value, place, ("method", "url"), ("query", "headers", "body"))
        headers = self._mapping(fields.get("headers", {}), f"{place}.headers")
        return RecordedRequest(
            self._text(fields["method"], f"{place}.method"),
            self._text(fields["url"], f"{place}.url"),
            self._pairs(fields.get("query", []), f"{place}.query"),
            {name: self._text(item, f"{place}.headers.{name}") for name, item in headers.items()},
            self._request_body(fields["body"], f"{place}.body") if "body" in fields else None,
        )

    def _response(self, value: Any, place: str) -> RecordedResponse:
        fields = self._fields(value, place, ("after", "status"), ("headers", "body"))
        status = fields["status"]
        if type(status) is not int or not 100 <= status <= 599:
            raise self._wrong(f"{place}.status", f"{status!r} is no status from 100 to 599")
        return RecordedResponse(
            self._seconds(fields["after"], f"{place}.after"),
            status,
            self._pairs(fields.get("headers", []), f"{place}.headers"),
            self._response_body(fields["body"], f"{place}.body") if "body" in fields else None,
        )

    def _failure(self, value: Any, place: str) -> RecordedFailure:
        fields = self._fields(value, place, ("after", "type", "message"))
        kind = self._text(fields["type"], f"{place}.type")
        if kind not in FAILURES:
            raise self._wrong(f"{place}.type", f"{kind!r} is no error of httpx's transports", _among(kind, FAILURES))
        return RecordedFailure(
            self._seconds(fields["after"], f"{place}.after"), kind, self._text(fields["message"], f"{place}.message")
        )

    def _request_body(self, value: Any, place: str) -> dict[str, Any]:
        kind = self._kind(value, place, ("json", "text", "base64", "audio", "form", "parts"))
        body = self._fields(value, place, (kind,))
        if kind == "form":
            self._pairs(body["form"], f"{place}.form")
        elif kind == "parts":
            for number, part in enumerate(self._list(body["parts"], f"{place}.parts")):
                where = f"{place}.parts[{number}]"
                of_part = self._kind(part, where, ("json", "text", "base64", "audio"))
                self._content(self._fields(part, where, ("name", of_part), ("filename", "type")), of_part, where)
                for name in {"name", "filename", "type"} & set(part):
                    self._text(part[name], f"{where}.{name}")
        else:
            self._content(body, kind, place)
        return body

    def _content(self, body: Mapping[str, Any], kind: str, place: str) -> None:
        where = f"{place}.{kind}"
        if kind == "text":
            self._text(body[kind], where)
        elif kind == "base64":
            self._base64(body[kind], where)
        elif kind == "audio":
            self._audio(body[kind], where)

    def _response_body(self, value: Any, place: str) -> dict[str, Any]:
        kind = self._kind(value, place, ("json", "text", "base64", "audio"))
        where = f"{place}.{kind}"
        if kind == "json":
            body = self._fields(value, place, ("json", self._kind(value, place, ("after", "pieces"))), ("layout",))
            if "after" in body:
                self._seconds(body["after"], f"{place}.after")
            else:
                self._sizes(body["pieces"], f"{place}.pieces")
            layout = body.get("layout", "compact")
            if layout not in LAYOUTS:
                raise self._wrong(f"{place}.layout", f"{layout!r} is none", _among(str(layout), sorted(LAYOUTS)))
            return body
        if kind == "audio":
            body = self._fields(value, place, ("audio", "pieces"))
            self._audio(body["audio"], where)
            total = self._sizes(body["pieces"], f"{place}.pieces")
            if total != body["audio"]["bytes"]:
                raise self._wrong(f"{place}.pieces", f"their sizes are {total} bytes, not those of the whole")
            return body
        body = self._fields(value, place, (kind,))
        self._pieces(body[kind], where, self._text if kind == "text" else self._base64)
        return body

    def _pieces(self, value: Any, place: str, check: Callable[[Any, str], Any]) -> list[Any]:
        found: list[Any] = []
        for number, piece in enumerate(self._list(value, place)):
            where = f"{place}[{number}]"
            pair = self._list(piece, where)
            if len(pair) != 2:
                raise self._wrong(where, "it is no pair of seconds and a piece")
            self._seconds(pair[0], f"{where}[0]")
            found.append(check(pair[1], f"{where}[1]"))
        return found

    def _sizes(self, value: Any, place: str) -> int:
        sizes = self._pieces(value, place, self._size)
        if not sizes:
            raise self._wrong(place, "there are none")
        return sum(sizes)

    def _audio(self, value: Any, place: str) -> None:
        fields = self._fields(value, place, ("type", "bytes", "sha256"), ("head", "fill"))
        self._text(fields["type"], f"{place}.type")
        self._text(fields["sha256"], f"{place}.sha256")
        self._size(fields["bytes"], f"{place}.bytes")
        if self._size(fields.get("fill", 0), f"{place}.fill") > 255:
            raise self._wrong(f"{place}.fill", "it is no byte")
        self._base64(fields.get("head", ""), f"{place}.head")

    def _kind(self, value: Any, place: str, kinds: Sequence[str]) -> str:
        fields = self._mapping(value, place)
        found = [kind for kind in kinds if kind in fields]
        if len(found) != 1:
            raise self._wrong(place, f"it has to have one of {', '.join(kinds)}")
        return found[0]

    def _fields(self, value: Any, place: str, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
        fields = self._mapping(value, place)
        for name in required:
            if name not in fields:
                raise self._wrong(place, f"it has no {name!r}")
        for name in fields:
            if name not in (*required, *optional):
                where = f"{place}.{name}".lstrip(".")
                raise self._wrong(where, "there is no such field", _among(name, (*required, *optional)))
        return fields

    def _mapping(self, value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(place, f"{_short(value)} is no mapping")
        return cast("dict[str, Any]", value)

    def _list(self, value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            raise self._wrong(place, f"{_short(value)} is no list")
        return cast("list[Any]", value)

    def _pairs(self, value: Any, place: str) -> list[list[str]]:
        for number, pair in enumerate(self._list(value, place)):
            where = f"{place}[{number}]"
            if len(self._list(pair, where)) != 2:
                raise self._wrong(where, "it is no pair of a name and a text")
            for side, text in enumerate(pair):
                self._text(text, f"{where}[{side}]")
        return value

    def _text(self, value: Any, place: str) -> str:
        if not isinstance(value, str):
            raise self._wrong(place, f"{_short(value)} is no text")
        return value

    def _base64(self, value: Any, place: str) -> str:
        try:
            base64.b64decode(self._text(value, place), validate=True)
        except (binascii.Error, ValueError):
            raise self._wrong(place, f"{_short(value)} is no base64") from None
        return value

    def _size(self, value: Any, place: str) -> int:
        if type(value) is not int or value < 0:
            raise self._wrong(place, f"{_short(value)} is no number of bytes")
        return value

    def _seconds(self, value: Any, place: str) -> float:
        if type(value) not in (int, float) or not 0 <= value < float("inf"):
            raise self._wrong(place, f"{_short(value)} is no number of seconds")
        return float(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _among(name: str, choices: Sequence[str]) -> str:
    return f"{nearest(name, choices)}There is: {', '.join(choices)}."
