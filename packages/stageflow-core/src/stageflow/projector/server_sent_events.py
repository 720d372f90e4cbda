"""Events as server-sent events, which a browser reads with `EventSource`.

The format is that of the WHATWG HTML standard, section 9.2 "Server-sent events": fields in lines, an empty line after
each event, CR, LF and CRLF all end a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import Any

from stageflow.errors import InvalidOptionError
from stageflow.events.event import PipelineEvent
from stageflow.projector.event_ids import as_sent
from stageflow.projector.websocket import WSMessageProjector
from stageflow.protocols import PipelineMetadata
from stageflow.wording import shown

_FRAME = "a frame of server-sent events"


class _Messages(WSMessageProjector):
    _called = "SSEMessageProjector"


class SSEMessageProjector:
    """Makes a frame of each event that a client may see: the message of a WSMessageProjector as JSON.

    The `event:` of a frame is the message's type, its `id:` the event's id, with `%20` and its like for what a header
    does not carry. A browser that has lost its connection
    sends the last id as `Last-Event-ID`; given as `run.messages(..., after=...)` that lets it go on where it was.
    Frames are text, to be sent as UTF-8 with the media type `text/event-stream`.

    Args:
        retry_ms: How long the client waits before it connects again, told with the first message; None leaves it be.
        metadata, errors, requests, events, artifacts: As for WSMessageProjector.

    Raises:
        InvalidOptionError: An option cannot be what it is.
        ProtocolMismatchError: `metadata` is no PipelineMetadata.
    """

    def __init__(
        self,
        *,
        retry_ms: int | None = None,
        metadata: PipelineMetadata | None = None,
        errors: bool = False,
        requests: bool = False,
        events: str | Iterable[str] = "*",
        artifacts: str | Iterable[str] = "*",
    ) -> None:
        if retry_ms is not None:
            _check_retry(retry_ms, "an SSEMessageProjector")
        self._retry_ms = retry_ms
        self._messages = _Messages(
            metadata=metadata, errors=errors, requests=requests, events=events, artifacts=artifacts
        )

    def project(self, event: PipelineEvent) -> str | None:
        """Return the frame for an event, or None for one that is not for the client."""
        message = self._messages.project(event)
        if message is None:
            return None
        retry_ms = self._retry_ms if event.sequence == 1 else None
        return sse_frame(_written(message), event=message["type"], id=as_sent(event.event_id), retry_ms=retry_ms)

    def text(self, run_id: str, stage: str, text: str, *, offset: int) -> str:
        """Return a frame with text of a stage that streams, see `WSMessageProjector.text`. It has no id."""
        message = self._messages.text(run_id, stage, text, offset=offset)
        return sse_frame(_written(message), event="text")


def sse_frame(data: str, *, event: str | None = None, id: str | None = None, retry_ms: int | None = None) -> str:
    """Return an event as the text that is sent for it.

    Args:
        data: What it says, in any number of lines.
        event: Its type, or None for "message".
        id: What the client is to send as `Last-Event-ID`; None leaves the one before, "" takes it back.
        retry_ms: How long the client is to wait before it connects again.

    Raises:
        InvalidOptionError: The type or the id has a line break in it, which would begin a field of its own; or the id a
            null character, with which a client ignores it.
    """
    lines: list[str] = []
    if retry_ms is not None:
        _check_retry(retry_ms, _FRAME)
        lines.append(f"retry: {retry_ms}")
    if id is not None:
        lines.append(f"id: {_line('id', id, without=chr(0))}")
    if event is not None:
        lines.append(f"event: {_line('event', event)}")
    lines += [f"data: {line}" for line in _lines(data)]
    return "\n".join(lines) + "\n\n"


def sse_comment(text: str = "") -> str:
    """Return a comment, which clients ignore: sent now and then it keeps a proxy from closing a silent connection."""
    return "".join(f": {line}\n" for line in _lines(text)) + "\n"


def _lines(text: str) -> list[str]:
    return re.split("\r\n|\r|\n", text)


def _line(option: str, text: str, *, without: str = "") -> str:
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOptionError(option, f"is a string, not {shown(text)}", of=_FRAME)
    if any(character in text for character in "\r\n" + without):
        raise InvalidOptionError(option, f"has a line break or a null character in it: {shown(text)}", of=_FRAME)
    return text


def _check_retry(retry_ms: int, of: str) -> None:
    if type(retry_ms) is not int or retry_ms < 0:
        raise InvalidOptionError("retry_ms", f"is a whole number of milliseconds, not {shown(retry_ms)}", of=of)


def _written(message: dict[str, Any]) -> str:
    # NaN is not JSON; what comes from an event has none.
    return _json().dumps(message, separators=(",", ":"), allow_nan=False)


@cache
def _json() -> Any:
    # When first needed: every program that imports stageflow would pay for it.
    return import_module("json")
