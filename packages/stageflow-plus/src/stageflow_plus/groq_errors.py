"""What the `groq` SDK raises, and what httpx raises through it, as errors that say who is to do what."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from typing import Any, cast

from stageflow.errors import (
    ProviderAuthError,
    ProviderContentRefused,
    ProviderError,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRequestError,
    ProviderServerError,
    ProviderTimeout,
    ProviderUnreachable,
)

try:
    import groq
    import httpx
except ImportError as error:
    raise ImportError('GroqLLM needs the Groq SDK: pip install "stageflow-plus[groq]"', name=error.name) from error

_PROVIDER = "groq"
_MESSAGE_LENGTH = 300

_FAILED_BY_THE_MODEL = ("json_validate_failed", "tool_use_failed")
"""Codes of a 400 for what the model wrote, and not for what it was asked: another attempt may go well."""

_PASSING = (408, 498)
"""Statuses of the client's errors that pass: a proxy waited too long for the request (RFC 9110, section 15.5.9), and
Groq's own for a flex tier at its capacity."""

_REFUSED_CONTENT = ("content_filter", "content_policy_violation")
"""Codes for content that is not answered, as in the interface of OpenAI, which Groq's is compatible with."""

SDK_ERRORS = (groq.GroqError, httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, JSONDecodeError, UnicodeError)
"""What a call or a stream of the SDK raises. It does not wrap the reading of a stream: httpx errors come through as
they are, and so do the errors of bytes that are not JSON or not UTF-8."""


def provider_error(error: Exception) -> ProviderError:
    """Return the error to raise for one of `SDK_ERRORS`."""
    match error:
        case groq.APITimeoutError() | httpx.TimeoutException():
            return ProviderTimeout("Groq did not answer within the client's timeout.", provider=_PROVIDER)
        case groq.APIStatusError():
            return _status_error(error)
        case groq.APIConnectionError() | httpx.TransportError() | httpx.StreamError() | httpx.InvalidURL():
            return _unreachable(error)
        case groq.APIResponseValidationError():
            return _not_an_answer(str(error))
        case groq.APIError():
            return _error_frame(error)
        case UnicodeEncodeError():
            return _unsendable()
        case JSONDecodeError() | UnicodeError():
            return _not_an_answer("its events do not hold JSON")
        case _:
            return ProviderError(f"The Groq SDK failed: {_short(str(error))}", provider=_PROVIDER)


def stopped_early(reason: str, *, request_id: str | None) -> ProviderError:
    """Return the error for a stream that carries its own reason for ending early."""
    return ProviderServerError(f"Groq stopped the answer: {_short(reason)}", provider=_PROVIDER, request_id=request_id)


def cut_off(*, chunks: int, request_id: str | None) -> ProviderError:
    """Return the error for a stream without a finish reason."""
    what = "ended before it was finished" if chunks else "holds nothing of an answer"
    return ProviderProtocolError(
        f"Groq's answer {what} (finish_reason is missing after {chunks} chunks).",
        provider=_PROVIDER,
        status=200,
        request_id=request_id,
    )


def no_choices(*, request_id: str | None) -> ProviderError:
    """Return the error for an answer without choices."""
    return ProviderProtocolError(
        "Groq answered without any choices.", provider=_PROVIDER, status=200, request_id=request_id
    )


def malformed(why: str, *, request_id: str | None) -> ProviderError:
    """Return the error for an answer that does not have the shape of one."""
    return _not_an_answer(why, request_id=request_id)


def _status_error(error: groq.APIStatusError) -> ProviderError:
    status = error.status_code
    said = _said(error.body) or error.response.reason_phrase
    request_id = error.response.headers.get("x-request-id")
    known: dict[str, Any] = {"provider": _PROVIDER, "status": status, "request_id": request_id}
    if status in (401, 403):
        return ProviderAuthError(f"Groq does not accept the API key ({status}): {said}.", **known)
    code = _code(error.body)
    if code in _REFUSED_CONTENT:
        return ProviderContentRefused(f"Groq refuses this content ({status}, {code}).", **known)
    if code in _FAILED_BY_THE_MODEL:
        # Its text repeats what the model wrote.
        return ProviderProtocolError(f"The model's answer was malformed, says Groq ({status}, {code}).", **known)
    if status == 429:
        wait = retry_after_seconds(error.response.headers.get("retry-after"), now=time.time())
        hint = None if wait is None else f"Try again in {wait:g} s."
        return ProviderRateLimited("Groq's rate limit is reached (429).", retry_after=wait, hint=hint, **known)
    if status >= 500 or status in _PASSING:
        return ProviderServerError(f"Groq failed ({status}): {said}", **known)
    return ProviderRequestError(f"Groq refused the request ({status}): {said}", **known)


def holds_headers(error: Exception) -> bool:
    """Return whether the error repeats the request's headers, and with them the key: do not chain it."""
    return isinstance(error, UnicodeEncodeError) or isinstance(error.__cause__ or error, httpx.LocalProtocolError)


def _unsendable() -> ProviderError:
    return ProviderRequestError(
        "The request cannot be written: a header holds characters that HTTP does not allow.",
        provider=_PROVIDER,
        hint="Look for stray characters in the API key.",
    )


def _unreachable(error: Exception) -> ProviderError:
    if holds_headers(error):
        return _unsendable()
    cause = error.__cause__ if isinstance(error, groq.APIConnectionError) and error.__cause__ else error
    request: httpx.Request | None = getattr(cause, "_request", None) or getattr(error, "request", None)
    place = "" if request is None else f" at {request.url.scheme}://{request.url.netloc.decode('ascii', 'replace')}"
    return ProviderUnreachable(f"Groq cannot be reached{place}: {_short(str(cause))}.", provider=_PROVIDER)


def _error_frame(error: groq.APIError) -> ProviderError:
    status = cast("Mapping[str, object]", error.body).get("status_code") if isinstance(error.body, Mapping) else None
    known: dict[str, Any] = {"provider": _PROVIDER, "status": status if isinstance(status, int) else None}
    code = _code(cast("object", error.body))
    if code in _REFUSED_CONTENT:
        return ProviderContentRefused(f"Groq refuses this content ({code}).", **known)
    if code in _FAILED_BY_THE_MODEL:
        return ProviderProtocolError(f"The model's answer was malformed, says Groq ({code}).", **known)
    kind = ProviderServerError
    if isinstance(status, int) and 400 <= status < 500 and status not in _PASSING:
        kind = ProviderRateLimited if status == 429 else ProviderRequestError
    message = f"Groq stopped the answer with an error: {_short(error.message)}"
    return kind(message, **known)


def _not_an_answer(why: str, *, request_id: str | None = None) -> ProviderError:
    return ProviderProtocolError(
        f"What Groq sent is not an answer: {_short(why)}.", provider=_PROVIDER, status=200, request_id=request_id
    )


def _code(body: object) -> str:
    """Return the code of an error; of an event in a stream, the SDK gives the error without what it stands in."""
    given: Mapping[str, object] = cast("Mapping[str, object]", body) if isinstance(body, Mapping) else {}
    inner = given.get("error")
    code = (cast("Mapping[str, object]", inner) if isinstance(inner, Mapping) else given).get("code")
    return code if isinstance(code, str) else ""


def _said(body: object) -> str:
    error = cast("Mapping[str, object]", body).get("error") if isinstance(body, Mapping) else None
    message = cast("Mapping[str, object]", error).get("message") if isinstance(error, Mapping) else None
    return _short(message) if isinstance(message, str) else ""


def _short(text: str) -> str:
    flat = " ".join(text.split()).rstrip(".")
    return flat if len(flat) <= _MESSAGE_LENGTH else flat[: _MESSAGE_LENGTH - 1] + "…"


def retry_after_seconds(header: str | None, *, now: float) -> float | None:
    """Read the header's two forms, seconds and an HTTP date (RFC 9110, section 10.2.3), at a Unix time."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
