"""Bodies of requests and responses as a cassette holds them: readable where they are text, without secrets and sound.

A body is a mapping whose first key tells its kind:

    {"json": ..., "layout": "spaced", "after": 0.2}             JSON; `layout` if it is not compact
    {"json": ..., "pieces": [[0.4, 20], [0.3, 9]]}              JSON that came slowly, with the sizes of its pieces
    {"text": [[0.4, "data: ..."], [0.02, "data: ..."]]}         text in pieces, each with the seconds since the last
    {"base64": [[0.1, "AAEC"]]}                                 other content
    {"audio": {"type": "audio/wav", "bytes": 9, "sha256": ...}, "pieces": [[0.1, 9]]}

Those of requests have no times: `text` and `base64` are one string there, `audio` has no pieces, and there are
`form`, a list of pairs, and `parts`, those of multipart/form-data (RFC 7578).
"""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Callable, Iterable, Sequence
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from stageflow_mocks.cassettes.audio import (
    audio_spans,
    audio_type,
    described,
    silence,
    text_without_audio,
    with_silence,
    without_audio,
)
from stageflow_mocks.cassettes.events import hidden_events, learn_events
from stageflow_mocks.cassettes.secret_values import MARK, Secrets
from stageflow_mocks.cassettes.spellings import as_text

Pieces: TypeAlias = Sequence[tuple[float, bytes]]
"""What came, each with the seconds since the one before."""

_STREAMED_S = 0.05
"""JSON that takes as long from its first piece to its last is a stream of parts; what is faster came in packets."""

_LAYOUTS: dict[str, dict[str, Any]] = {
    "compact": {"separators": (",", ":"), "ensure_ascii": False},
    "spaced": {"separators": (", ", ": "), "ensure_ascii": False},
    "compact ascii": {"separators": (",", ":")},
    "spaced ascii": {"separators": (", ", ": ")},
    "indented": {"indent": 2, "ensure_ascii": False},
    "indented ascii": {"indent": 2},
    "indented by 4": {"indent": 4, "ensure_ascii": False},
    "indented by 4 ascii": {"indent": 4},
}
"""The ways of writing JSON that are given back byte for byte; what is written otherwise is kept as text."""
_AND_NEWLINE = " and newline"
LAYOUTS = (*_LAYOUTS, *(name + _AND_NEWLINE for name in _LAYOUTS))

Edit: TypeAlias = tuple[int, int, str]


def rounded(seconds: float) -> float:
    """Return seconds as they are written: to the millisecond, so that files stay readable."""
    return round(max(seconds, 0.0), 3)


def learn_request(content: bytes, content_type: str, secrets: Secrets) -> None:
    """Let the secrets of a request's body be known."""
    match request_body(content, content_type, None):
        case {"form": pairs}:
            for name, value in pairs:
                secrets.learn_parameter(name, value)
        case {"parts": parts}:
            for part in parts:
                if "text" in part:
                    secrets.learn_parameter(part["name"], part["text"])
                elif "json" in part:
                    secrets.learn_json(part["json"])
                elif "base64" in part:
                    learn_content(base64.b64decode(part["base64"]), secrets)
        case {"audio": _}:
            pass
        case _:
            learn_content(content, secrets)


def learn_content(content: bytes, secrets: Secrets) -> None:
    """Let the secrets of JSON, text, a stream of events or anything else be known."""
    text, _, is_text = as_text(content)
    if not is_text:
        return
    try:
        secrets.learn_json(json.loads(text))
    except (ValueError, RecursionError):
        learn_events(text, secrets)
    secrets.learn_text(text)


def request_body(content: bytes, content_type: str, secrets: Secrets | None) -> dict[str, Any] | None:
    """Return a request's body as a cassette holds it, with its secrets in it still if none are given."""
    kind, parameters = _content_type(content_type)
    if not content:
        return None
    if kind == "multipart/form-data" and (boundary := parameters.get("boundary")):
        parts = _parts(content, boundary)
        if parts is not None:
            return {"parts": [_part(*part, secrets) for part in parts]}
    if kind == "application/x-www-form-urlencoded":
        pairs = _form(content)
        if pairs is not None:
            return {
                "form": [
                    [name, value] if secrets is None else secrets.hidden_parameter(name, value) for name, value in pairs
                ]
            }
    return _plain(content, content_type, "", secrets)


def _plain(content: bytes, content_type: str, file_name: str, secrets: Secrets | None) -> dict[str, Any]:
    sound = audio_type(content, content_type, file_name)
    if sound is not None:
        return {"audio": described(content, sound)}
    text = _text(content)
    if text is None:
        kept = content if secrets is None else secrets.hidden_bytes(content)
        return {"base64": base64.b64encode(kept).decode()}
    try:
        value = without_audio(_read_json(text))
    except (ValueError, RecursionError):
        text = text_without_audio(text)
        return {"text": text if secrets is None else secrets.hidden(text)}
    return {"json": value if secrets is None else secrets.hidden_json(value)}


def _form(content: bytes) -> list[tuple[str, str]] | None:
    try:
        return parse_qsl(content.decode(), keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        return None


def _parts(content: bytes, boundary: str) -> list[tuple[Message, bytes]] | None:
    delimiter = b"\r\n--" + boundary.encode()
    pieces = (b"\r\n" + content).split(delimiter)
    if len(pieces) < 2 or pieces[0] or not pieces[-1].startswith(b"--"):
        return None
    parts: list[tuple[Message, bytes]] = []
    for piece in pieces[1:-1]:
        head, found, body = piece.partition(b"\r\n\r\n")
        if not found:
            return None
        about = Message()
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, _, value = line.partition(":")
            if name.strip():
                about[name.strip()] = value.strip()
        parts.append((about, body))
    return parts


def _part(about: Message, content: bytes, secrets: Secrets | None) -> dict[str, Any]:
    name = str(about.get_param("name", "", header="content-disposition"))
    file_name = about.get_param("filename", None, header="content-disposition")
    plain_name = None if file_name is None else collapse_rfc2231_value(file_name)
    given = {"name": name, "filename": plain_name, "type": str(about.get("content-type", "")) or None}
    kept: dict[str, Any] = {
        key: text if secrets is None else secrets.hidden(text) for key, text in given.items() if text is not None
    }
    text = _text(content)
    if secrets is not None and secrets.is_parameter(name, text or ""):
        return {**kept, "text": MARK}
    # A field of a form is text, also one that looks like JSON: "1" and "1.0" are not the same there.
    if text is not None and (not text or set(kept) == {"name"}):
        return {**kept, "text": text if secrets is None else secrets.hidden(text)}
    return {**kept, **_plain(content, given["type"] or "", plain_name or "", secrets)}


def response_body(pieces: Pieces, content_type: str, secrets: Secrets, *, keep_audio: bool) -> dict[str, Any] | None:
    """Return a response's body as a cassette holds it; `pieces` are decoded from what they were compressed with."""
    content = b"".join(piece for _, piece in pieces)
    if not pieces:
        return None
    sound = audio_type(content, content_type) if content else None
    if sound is not None and not keep_audio:
        sizes = [[rounded(gap), len(piece)] for gap, piece in pieces]
        return {"audio": described(content, sound), "pieces": sizes}
    if sound is None:
        if _may_be_json(pieces, content_type) and (kept := _json_body(content, secrets, keep_audio=keep_audio)):
            if sum(gap for gap, _ in pieces[1:]) >= _STREAMED_S:
                return {**kept, "pieces": [[rounded(gap), len(piece)] for gap, piece in pieces]}
            return {**kept, "after": rounded(sum(gap for gap, _ in pieces))}
        texts = _texts(pieces)
        if texts is not None:
            if not keep_audio:
                texts = _edited(texts, lambda text: list(audio_spans(text)))
            texts = _edited(texts, lambda text: hidden_events(text, secrets))
            return {"text": [[rounded(gap), text] for gap, text in texts]}
    hidden = secrets.hidden_bytes(content)
    if hidden != content:
        pieces = [(sum(gap for gap, _ in pieces), hidden)]
    return {"base64": [[rounded(gap), base64.b64encode(piece).decode()] for gap, piece in pieces]}


def response_pieces(body: dict[str, Any] | None) -> list[tuple[float, bytes]]:
    """Return what is to be played of a response's body."""
    match body:
        case None:
            return []
        case {"json": value, "after": after}:
            return [(after, _written_json(with_silence(value), body.get("layout", "compact")))]
        case {"json": value, "pieces": pieces}:
            return _cut(_written_json(with_silence(value), body.get("layout", "compact")), pieces)
        case {"text": pieces}:
            return [(gap, with_silence(text).encode()) for gap, text in pieces]
        case {"base64": pieces}:
            return [(gap, base64.b64decode(piece)) for gap, piece in pieces]
        case {"audio": about, "pieces": pieces}:
            return _cut(silence(about), pieces)
        case _:
            raise AssertionError(f"no body of a cassette: {body}")


def _cut(content: bytes, pieces: Sequence[Sequence[Any]]) -> list[tuple[float, bytes]]:
    """Cut content into pieces of these sizes; the last is what is left, more or less if a secret was hidden."""
    played: list[tuple[float, bytes]] = []
    place = 0
    for gap, size in pieces[:-1]:
        played.append((gap, content[place : place + size]))
        place += size
    return [*played, (pieces[-1][0], content[place:])]


def _content_type(content_type: str) -> tuple[str, dict[str, str]]:
    about = Message()
    about["content-type"] = content_type or "application/octet-stream"
    return about.get_content_type(), dict(about.get_params([])[1:])


def _may_be_json(pieces: Pieces, content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    if kind:
        return kind == "application/json" or kind.endswith("+json")
    return len(pieces) == 1


def _json_body(content: bytes, secrets: Secrets, *, keep_audio: bool) -> dict[str, Any] | None:
    try:
        text = content.decode()
        value = _read_json(text)
        layout = next((name for name in LAYOUTS if _written_json(value, name) == content), None)
    except (ValueError, RecursionError):
        return None
    plain = value if keep_audio else without_audio(value)
    hidden = secrets.hidden_json(plain)
    if layout is None:
        # Where something is hidden it is no more byte for byte, and escapes that no layout has may not hide it.
        return None if hidden == plain else {"json": hidden}
    return {"json": hidden} if layout == "compact" else {"json": hidden, "layout": layout}


def _read_json(text: str) -> Any:
    value = json.loads(text, parse_constant=_refuse_constant)
    json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair cannot stand in a file
    return value


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _written_json(value: Any, layout: str) -> bytes:
    text = json.dumps(value, **_LAYOUTS[layout.removesuffix(_AND_NEWLINE)])
    return (text + "\n" * layout.endswith(_AND_NEWLINE)).encode()


def _texts(pieces: Pieces) -> list[tuple[float, str]] | None:
    """Return the pieces as text, or None if they are none; a character that two of them share is in the later one."""
    if _text(b"".join(piece for _, piece in pieces)) is None:
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    return [(gap, decoder.decode(piece)) for gap, piece in pieces]


def _text(content: bytes) -> str | None:
    read = as_text(content)
    return read.text if read.encoding == "utf-8" else None


def _edited(texts: list[tuple[float, str]], find: Callable[[str], Iterable[Edit]]) -> list[tuple[float, str]]:
    """Replace what is found in the text as a whole; what stands for text of several pieces is in the first of them."""
    whole = "".join(text for _, text in texts)
    edits = list(find(whole))
    if not edits:
        return texts
    edited: list[tuple[float, str]] = []
    place, number = 0, 0
    for gap, text in texts:
        until, kept = place + len(text), list[str]()
        while place < until:
            start, end, instead = edits[number] if number < len(edits) else (until, until, "")
            if place < start:
                kept.append(whole[place : min(start, until)])
                place = min(start, until)
            elif number < len(edits) and place < end:
                if place == start:
                    kept.append(instead)
                place = min(end, until)
            if number < len(edits) and place >= end:
                number += 1
        edited.append((gap, "".join(kept)))
    return edited
