"""Secrets in text: keys of providers, passwords in URLs and assignments, private keys, sound in base64.

Each rule finds stretches of the text; what they cover is cut out, and a preview that tells its kind and length stands
in its place. Every rule takes time linear in the length of the text: a pattern has one way to match (possessive
repetition), and a rule that looks around what it found looks a bounded way. Most text comes back as the same object
after a few searches for fixed words.

A preview is not taken for a secret, so redacted text may be redacted again.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from functools import cache

from stageflow.events.digests import sha256_of
from stageflow.events.secret_assignments import find_assignments

Span = tuple[int, int, str]
"""Where a stretch begins and ends, and what its preview calls it."""

LONG_RUN = 200
"""Characters of base64 in a row that are data, and no word, path or digest: 20 ms of telephone sound have 216."""

_SHORTEST = 11
"""Characters of the shortest text in which a secret is known by its looks alone."""

# The least number of characters after each prefix of a key, grouped by a character that a text must have at all.
_PREFIXES = {
    "": {"AKIA": 12, "ASIA": 12, "AIza": 16, "ya29.": 16, "SG.": 16, "eyJ": 16},
    "-": {
        "sk-": 8, "glpat-": 8, "xoxa-": 8, "xoxb-": 8, "xoxe-": 8, "xoxp-": 8, "xoxr-": 8, "xoxs-": 8, "xapp-": 8,
        "pypi-": 16, "pplx-": 16, "xai-": 16, "nvapi-": 16, "tvly-": 16, "key-": 32,
    },
    "_": {
        "gsk_": 8, "ghp_": 8, "gho_": 8, "ghu_": 8, "ghs_": 8, "ghr_": 8, "github_pat_": 8, "whsec_": 8,
        "sk_live_": 8, "sk_test_": 8, "rk_live_": 8, "rk_test_": 8,
        "hf_": 16, "r8_": 16, "lsv2_": 16, "pcsk_": 16, "shpat_": 16, "dop_v1_": 16, "npm_": 32, "sk_": 32,
    },
}  # fmt: skip

_KEY_REST = r"[\w-]*+(?:\.[\w-]+)*+"
_BEARER = r"(?i:bearer)[ \t]{1,4}([\w.~+/=-]++)"
_BASIC = r"(?i:basic)[ \t]{1,4}([A-Za-z0-9+/]{4,}+={0,2})"
_URL_LOGIN = r"://(?:[^\s/?#@:\"'<>\\]*+:([^\s/?#\"'<>\\]+)|([^\s/?#@:\"'<>\\]{16,}+))@"
_DATA_URL = r"(?i:data):([\w.+-]{1,40}/[\w.+-]{1,60})?((?:;[\w.+=-]{1,60}){0,5}),[^\s\"'<>)\\]*+"
_BYTES_LITERAL = r"""(?<![\w'"])b(?:'((?:[^'\\]|\\.)*+)('?)|"((?:[^"\\]|\\.)*+)("?))(?!\w)"""
_BASE64 = rf"(?<![\w+/-])(?:[\w+/-]{{{LONG_RUN},}}+={{0,2}}|(?:[\w+/-]{{60,}}+\r?\n){{2,}}+[\w+/-]*+={{0,2}})"


_SOUND = r"(?:[\w+/-]++[\r\n]*+){1,}+={0,2}\s?"
_HIDDEN = r"\[redacted, (?:\d+ (?:characters?|bytes|entry|entries)|a number)\]"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # When first needed: to compile them all at import would cost as much as the rest of the package.
    return re.compile(pattern, re.ASCII)


def redacted_text(text: str) -> str:
    """Return the text with a preview in place of each secret in it."""
    spans = _found_in(text)
    return _cut(text, spans) if spans else text


def secrets_in(text: str) -> list[tuple[int, int]]:
    """Return where in a text there are secrets, for who hides them in another way; stretches may overlap.

    Each begins and ends at a place of the text, counted in characters. A secret is known by its looks or by the name
    before it; sound, data URLs and literals of bytes are none.
    """
    return [(start, end) for start, end, kind in _found_in(text) if kind == "redacted"]


def _found_in(text: str) -> list[Span]:
    spans: list[Span] = []
    if ":" in text or "=" in text or "--" in text or "'," in text or '",' in text:
        spans += [(start, end, "redacted") for start, end in find_assignments(text)]
    if len(text) >= _SHORTEST:
        _find_looks(text, spans)
    return spans


def redacted_sound(text: str) -> str:
    """Return the text under a name that says that it is sound: base64 is cut from a shorter length on."""
    is_data = len(text) >= 64 and _compiled(_SOUND).fullmatch(text)
    return preview(text, "base64") if is_data else redacted_text(text)


def hidden_text(text: str) -> str:
    """Return what stands for a text that is secret as a whole."""
    return text if _compiled(_HIDDEN).fullmatch(text) else preview(text, "redacted")


def _find_looks(text: str, spans: list[Span]) -> None:
    for sign, prefixes in _PREFIXES.items():
        if sign in text:
            for prefix, least in prefixes.items():
                if prefix in text:
                    _find_keys(text, prefix, least, spans)
    if "earer" in text or "EARER" in text:
        _find_bearers(text, spans)
    if "asic" in text or "ASIC" in text:
        _find_basic_logins(text, spans)
    if "://" in text and "@" in text:
        _find_url_logins(text, spans)
    if "," in text and ("data:" in text or "DATA:" in text or "Data:" in text):
        _find_data_urls(text, spans)
    if "-----BEGIN" in text:
        _find_private_keys(text, spans)
    if "b'" in text or 'b"' in text:
        _find_bytes_literals(text, spans)
    # Base64 has no spaces: a stretch of it covers some of these pieces.
    if len(text) >= 120 and any(" " not in text[at : at + 60] for at in range(0, len(text) - 59, 60)):
        _find_base64(text, spans)


def _find_keys(text: str, prefix: str, least: int, spans: list[Span]) -> None:
    end = 0
    start = text.find(prefix)
    while start >= 0:
        after = start + len(prefix)
        if _begins_there(text, start):
            if after > end:  # else it lies in the run of characters that is known already, and would be walked again
                run = _compiled(_KEY_REST).match(text, after)
                assert run is not None  # it may be empty
                end = run.end()
            if end - after >= least and _is_key(text, prefix, after, end, least):
                spans.append((start, end, "redacted"))
                after = end
        start = text.find(prefix, after)


def _begins_there(text: str, at: int) -> bool:
    before = text[max(at - 3, 0) : at]
    # An escaped character may stand before it, as in `\\nsk-...` and `%3Dsk-...`.
    return not before[-1:].isalnum() or before[-2:-1] == "\\" or before[:1] == "%"


def _is_key(text: str, prefix: str, start: int, end: int, least: int) -> bool:
    if prefix in {"AKIA", "ASIA"}:
        head = text[start : start + 12]
        return head.isalnum() and head.isupper() and any(map(str.isdigit, head))
    if prefix == "eyJ":  # base64 of `{"`; a JSON Web Token (RFC 7519) has dots, any other object in base64 has none
        return text.find(".", start, min(end, start + 8_192)) >= 0
    # A prefix of which more is asked may begin an ordinary word, which has no digits.
    return least == 8 or any(map(str.isdigit, text[start : min(end, start + 256)]))


def _find_bearers(text: str, spans: list[Span]) -> None:
    for found in _compiled(_BEARER).finditer(text):
        token = found[1].rstrip(".")
        # A word of prose has no digits, and capitals at its start only.
        if len(token) >= 20 or (
            len(token) >= 6 and (any(c.isdigit() or c in "_=" for c in token) or not token[1:].islower())
        ):
            spans.append((found.start(1), found.start(1) + len(token), "redacted"))


def _find_basic_logins(text: str, spans: list[Span]) -> None:
    for found in _compiled(_BASIC).finditer(text):
        encoded = found[1].rstrip("=")
        try:
            login = a2b_base64(encoded + "=" * (-len(encoded) % 4))
        except Base64Error:
            continue
        if b":" in login and login.isascii() and login.decode("ascii").isprintable():  # RFC 7617: user:password
            spans.append((*found.span(1), "redacted"))


def _find_url_logins(text: str, spans: list[Span]) -> None:
    spans += [(*found.span(found.lastindex or 0), "redacted") for found in _compiled(_URL_LOGIN).finditer(text)]


def _find_data_urls(text: str, spans: list[Span]) -> None:
    for found in _compiled(_DATA_URL).finditer(text):
        mime, options = found.groups()
        if mime or options:
            spans.append((*found.span(), f"data URL, {mime or 'text/plain'}"))


def _find_private_keys(text: str, spans: list[Span]) -> None:
    begin = text.find("-----BEGIN")
    while begin >= 0:
        after = begin + 10
        if "PRIVATE KEY" in text[after : after + 40]:
            end = text.find("-----END", after)
            end = text.find("-----", end + 8) + 5 if end >= 0 else 4
            after = end if end > 4 else len(text)  # cut off in the middle of the key, or of its last line
            spans.append((begin, after, "redacted"))
        begin = text.find("-----BEGIN", after)


def _find_bytes_literals(text: str, spans: list[Span]) -> None:
    for found in _compiled(_BYTES_LITERAL).finditer(text):
        content, closed = (found[1], found[2]) if found[1] is not None else (found[3], found[4])
        if "\\x" in content or (closed and len(content) >= 16):
            spans.append((*found.span(), "bytes literal"))


def _find_base64(text: str, spans: list[Span]) -> None:
    found = _compiled(_BASE64).finditer(text)
    spans += [(*run.span(), "base64") for run in found if run[0].strip("-_+/\r\n")]  # else it is a ruled line


def _cut(text: str, spans: list[Span]) -> str:
    """Return the text with a preview for each stretch; those that overlap become one."""
    pieces: list[str] = []
    kept = start = end = 0
    kind = ""
    for span in [*sorted(spans), (len(text) + 1, 0, "")]:  # the last one is only there to push out the one before
        if kind and span[0] < end:
            end = max(end, span[1])
            continue
        if kind:
            pieces += text[kept:start], preview(text[start:end], kind)
            kept = end
        start, end, kind = span
    return "".join((*pieces, text[kept:]))


def preview(text: str, kind: str) -> str:
    """Return what stands for a stretch of text."""
    count = f"{len(text)} character{'' if len(text) == 1 else 's'}"
    if kind in {"redacted", "bytes literal"}:  # a hash of a password would let it be guessed
        return f"[{kind}, {count}]"
    return f"[{kind}, {count}, sha256 {sha256_of(text.encode('utf-8', 'surrogatepass'))}]"
