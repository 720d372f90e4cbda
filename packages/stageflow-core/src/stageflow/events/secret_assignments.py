"""Secrets in text that are known by the name before them: `api_key=...`, `"password": "..."`, `--token ...`.

`password: swordfish` and `the password: please keep it` differ by what comes after the value only, so a plain word
after a colon is taken for a secret only where a value would end: at the end of a line, or before a bracket or another
assignment.
"""

from __future__ import annotations

import re
from functools import cache

from stageflow.secret_names import LONGEST_NAME, kind_of_name

# One of these is in every name that `kind_of_name` calls secret.
_STEMS = (
    "pass", "pw", "secret", "token", "key", "cred", "cookie", "auth", "bearer", "jwt", "otp", "srf", "sess", "sig",
)  # fmt: skip

_SIGNATURES = frozenset({"sig", "signature", "x-amz-signature", "x-goog-signature", "x-amz-credential"})
"""Parameters of signed URLs; anywhere else these words are no secret."""

_SCHEMES = frozenset({"apikey", "aws4-hmac-sha256", "basic", "bearer", "digest", "negotiate", "ntlm", "token"})
"""What stands before the credentials in an Authorization header (RFC 9110, section 11)."""

_STATES = frozenset(
    {
        "absent", "denied", "disabled", "empty", "enabled", "expired", "false", "forbidden", "incorrect", "invalid",
        "malformed", "mismatch", "missing", "no", "none", "null", "ok", "optional", "rejected", "required", "reset",
        "revoked", "true", "undefined", "unknown", "unset", "valid", "wrong", "yes",
    }
)  # fmt: skip
"""What messages say of a secret."""

_PREVIEW = r"\[(?:redacted|base64|data URL|bytes literal), "
_BEFORE_NAME = r"([\w.-]*+)(?: ([A-Za-z]++)|([\"'`]\\{0,4}b?[(\[]))?"
"""Backwards: the rest of the name, and then the word before it, or what opens a pair."""

_SEPARATOR = r"""([\w.-]{0,48}+)(\\{0,4}["'`]?)\]?[ \t]{0,4}(=>|:=|={1,3}|:|,)([ \t]{0,8})"""
_FLAG = r"([\w.-]{0,48}+)[ \t]{1,4}(?![-\s])"
_OPENING = r"""[bfru]{0,2}(\\{0,4})(["'`])"""
_IN_QUOTES = {quote: rf"(?:[^{quote}\\\n]|\\.)*+" for quote in "\"'`"}
_BARE = r"[^\s&;\"'`<>]++"
_SCHEME = rf"([A-Za-z][\w-]{{2,30}}+)[ \t]{{1,4}}(?!{_PREVIEW})(?=\S)"
_COOKIE = r"[^\s=;\"'`]{1,256}+="
_REST_OF_LINE = r"[^\n\"'`]++"
_ANOTHER = r",\s{0,4}[\"']?[\w.-]{1,48}+[\"']?\s{0,4}[:=]"

Span = tuple[int, int]


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)  # when first needed, as in stageflow.events.secret_text


def find_assignments(text: str) -> list[Span]:
    """Return where the values of secret names stand in the text."""
    # As long as the text, so that a place in one is the same in the other: this is the one letter that grows.
    lower = text.lower() if text.isascii() else text.replace("\u0130", "I").lower()
    spans: list[Span] = []
    for stem in _STEMS:
        at = lower.find(stem)
        while at >= 0:
            span = _value_of_name(text, at)
            after = at + len(stem)
            if span is not None:
                spans.append(span)
                after = max(span[1], after)
            at = lower.find(stem, after)
    return spans


def _value_of_name(text: str, at: int) -> Span | None:
    """Return where the value of the name around this place stands, if it has one, and the name is secret."""
    separator = _compiled(_SEPARATOR).match(text, at)
    found = separator or _compiled(_FLAG).match(text, at)
    if found is None:
        return None
    before = _compiled(_BEFORE_NAME).match(text[max(at - LONGEST_NAME, 0) : at][::-1])
    assert before is not None  # each of its parts may be empty
    name = before[1][::-1] + found[1]
    start = found.end()
    if separator is None:
        secret = name.startswith("--") and kind_of_name(name) == "secret"
        return _bare(text, start, sure=True) if secret else None
    quotes, sign, space = separator.group(2, 3, 4)
    if (sign == "," and not (before[3] and quotes)) or text.startswith("//", start):  # prose; or a URL of that scheme
        return None
    kind = kind_of_name(f"{before[2][::-1]} {name}" if before[2] else name)
    if kind == "secret text":
        counted = text[start : start + 1].isdigit()  # `pass=3 fail=0`
        kind = "secret" if ("=" in sign or quotes) and not counted else "open"
    elif kind == "open" and name.lower() in _SIGNATURES and text[at - 1 : at] in {"?", "&"}:
        kind = "secret"
    if kind != "secret" or _compiled(_PREVIEW).match(text, start):
        return None
    opening = _compiled(_OPENING).match(text, start)
    if opening is not None:
        return _quoted(text, opening)
    line = _credentials(text, start, name.lower())
    if line is not None:
        return line
    sure = "=" in sign or (not space and text[start : start + 1].isascii())
    return _bare(text, start, sure=sure)


def _quoted(text: str, opening: re.Match[str]) -> Span | None:
    start, (escape, quote) = opening.end(), opening.groups()
    if escape:  # a quoted text in a quoted text
        end = text.find(escape + quote, start)
        end = len(text) if end < 0 else end
    else:
        content = _compiled(_IN_QUOTES[quote]).match(text, start)
        assert content is not None
        end = content.end()
    return _unless_said(text, start, end)


def _credentials(text: str, start: int, name: str) -> Span | None:
    """Return the rest of the line if it is the value of a Cookie or an Authorization header."""
    if "cookie" in name:
        if not _compiled(_COOKIE).match(text, start):
            return None
    elif "auth" in name:
        scheme = _compiled(_SCHEME).match(text, start)
        if scheme is None or scheme[1].lower() not in _SCHEMES:
            return None
        start = scheme.end()
    else:
        return None
    line = _compiled(_REST_OF_LINE).match(text, start)
    return None if line is None else line.span()


def _bare(text: str, start: int, *, sure: bool) -> Span | None:
    """Return where a value without quotes stands; a plain word of prose is none unless it is sure that one comes."""
    value = _compiled(_BARE).match(text, start)
    if value is None:
        return None
    end = start + len(value[0].rstrip(",.)]}"))
    if not sure and _is_prose(text, text[start:end], value[0], end):
        return None
    return _unless_said(text, start, end)


def _is_prose(text: str, word: str, value: str, end: int) -> bool:
    if word.isdigit():
        return len(word) < 4
    if not word.rstrip("!?").replace("-", "").replace("'", "").isalpha():
        return False
    if not word.isascii():  # some scripts have no spaces, so where a word ends says nothing
        return True
    ends_here = value[-1] not in ".!?," and text[end : end + 1] in {"", "\n", "\r", *")]}&;|<>\"'"}
    return not ends_here and not _compiled(_ANOTHER).match(text, end)


def _unless_said(text: str, start: int, end: int) -> Span | None:
    """Return the stretch, unless it is empty, a preview, or tells about a secret instead of being one."""
    if start >= end or text[start:end].lower() in _STATES or _compiled(_PREVIEW).match(text, start):
        return None
    return start, end
