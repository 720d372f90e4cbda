"""Sound in what is recorded: its length, type and digest are kept, and silence of the same length is played.

A WAV file keeps its header, so that it can still be read. Formats: RIFF WAVE as in Microsoft's "Multimedia Programming
Interface and Data Specifications 1.0"; values of silence as in ITU-T G.711.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

_LONGEST_HEAD = 4_096
_FILL_OF_FORMAT = {6: 0xD5, 7: 0xFF}
_BEGINNINGS = {b"fLaC": "audio/flac", b"OggS": "audio/ogg", b"ID3": "audio/mpeg"}
_ENDINGS = {
    "aac": "audio/aac",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "mpga": "audio/mpeg",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "pcm": "audio/pcm",
    "wav": "audio/wav",
    "webm": "audio/webm",
}
_NAMES = frozenset({"audio", "flac", "mp3", "ogg", "opus", "pcm", "speech", "wav", "waveform"})
_SHORTEST_TEXT = 64

_MARK = re.compile(
    r"<audio type=(?P<type>[\w./+-]+) bytes=(?P<bytes>\d+) sha256=(?P<sha256>[0-9a-f]{64})"
    r"(?: fill=(?P<fill>\d+))?(?: head=(?P<head>[\w+/=]+))?>"
)
_FIELD = re.compile(r'"(?P<name>[\w.-]{1,64})"\s*:\s*"(?P<value>(?:data:audio/[\w.+-]+;base64,)?[\w+/-]{64,}={0,2})"')
_DATA_URL = re.compile(r"data:(?P<type>audio/[\w.+-]+);base64,")


def audio_type(content: bytes, content_type: str = "", file_name: str = "") -> str | None:
    """Return the type of sound that the content is, or None: so far as its type, name or beginning tells."""
    given = content_type.partition(";")[0].strip().lower()
    if given.startswith("audio/"):
        return given
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "audio/wav"
    for beginning, kind in _BEGINNINGS.items():
        if content.startswith(beginning):
            return kind
    if given in ("", "application/octet-stream", "video/mp4", "video/webm"):
        return _ENDINGS.get(file_name.rpartition(".")[2].lower())
    return None


def described(content: bytes, kind: str) -> dict[str, Any]:
    """Return what is kept of sound: `type`, `bytes`, `sha256`; of a WAV file `head` (base64) and `fill` besides."""
    about: dict[str, Any] = {"type": kind, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    head, fill = _wav_head(content)
    if head:
        about["head"] = base64.b64encode(head).decode()
    if fill:
        about["fill"] = fill
    return about


def silence(about: Mapping[str, Any]) -> bytes:
    """Return silence of the length that is described."""
    head = base64.b64decode(about.get("head", ""))
    return (head + bytes([about.get("fill", 0)]) * (about["bytes"] - len(head)))[: about["bytes"]]


def without_audio(value: Any, *, under: str = "") -> Any:
    """Return JSON in which base64 of sound is replaced by what is kept of it; `under` is the name it stands under."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: without_audio(item, under=f"{under} {name}") for name, item in fields.items()}
    if isinstance(value, list):
        return [without_audio(item, under=under) for item in cast("list[Any]", value)]
    if not isinstance(value, str):
        return value
    return _marked(value, under) or text_without_audio(value)


def text_without_audio(text: str) -> str:
    """Return text in which fields of JSON that hold sound are replaced, as in the events of a stream."""
    parts: list[str] = []
    end = 0
    for start, until, mark in audio_spans(text):
        parts += [text[end:start], mark]
        end = until
    return "".join([*parts, text[end:]])


def audio_spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield where in a text there is sound, and what stands for it."""
    if len(text) >= _SHORTEST_TEXT:
        for field in _FIELD.finditer(text):
            mark = _marked(field["value"], field["name"])
            if mark is not None:
                yield (*field.span("value"), mark)


def with_silence(value: Any) -> Any:
    """Return JSON or text in which silence stands where sound was."""
    if isinstance(value, dict):
        return {name: with_silence(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [with_silence(item) for item in cast("list[Any]", value)]
    if isinstance(value, str) and "<audio " in value:
        return _MARK.sub(lambda mark: base64.b64encode(silence(_read(mark))).decode(), value)
    return value


def _marked(text: str, under: str) -> str | None:
    if len(text) < _SHORTEST_TEXT:
        return None
    url = _DATA_URL.match(text)
    plain = text[url.end() :] if url else text
    try:
        content = base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        return None
    says_so = not _NAMES.isdisjoint(re.split(r"[^a-z0-9]+", under.lower()))
    kind = url["type"] if url else audio_type(content) or ("audio/unknown" if says_so else None)
    if kind is None:
        return None
    about = described(content, kind)
    rest = "".join(f" {name}={about[name]}" for name in ("fill", "head") if name in about)
    return f"{url[0] if url else ''}<audio type={kind} bytes={about['bytes']} sha256={about['sha256']}{rest}>"


def _read(mark: re.Match[str]) -> dict[str, Any]:
    return {"bytes": int(mark["bytes"]), "fill": int(mark["fill"] or 0), "head": mark["head"] or ""}


def _wav_head(content: bytes) -> tuple[bytes, int]:
    """Return what comes before the samples of a WAV file, and the byte that is silence in it.

    Zeros stand in place of what describes no samples, since anything may be in it: names, comments, keys.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return b"", 0
    head, place, fill = content[:12], 12, 0
    while place + 8 <= min(len(content), _LONGEST_HEAD):
        name, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        if name == b"data":
            return head + content[place : place + 8], fill
        if name == b"fmt ":
            coding = int.from_bytes(content[place + 8 : place + 10], "little")
            bits = int.from_bytes(content[place + 22 : place + 24], "little")
            fill = 0x80 if (coding, bits) == (1, 8) else _FILL_OF_FORMAT.get(coding, 0)
        chunk = content[place : place + 8 + size + size % 2]
        head += chunk if name in (b"fmt ", b"fact") else chunk[:8] + bytes(len(chunk[8:]))
        place += 8 + size + size % 2
    return b"", 0
