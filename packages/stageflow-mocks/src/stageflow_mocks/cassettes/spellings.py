"""How a known secret may be written: plain, escaped for JSON, HTML or an address, in hexadecimal or base64."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_SHORTEST_PACKED = 6
"""Bytes from which on hexadecimal and base64 of a secret are looked for: less would be found by accident."""

_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a]")
_LETTERS = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}


class Reading(NamedTuple):
    """Content as the text that it may be; what is none is letters of Latin-1, one for each byte."""

    text: str
    encoding: str
    is_text: bool = True


def as_text(content: bytes) -> Reading:
    """Return the text that content may be, by its bytes alone."""
    for encoding in (json.detect_encoding(content), "utf-8"):  # without zeros the first is UTF-8 as well
        try:
            return Reading(content.decode(encoding), encoding)
        except UnicodeDecodeError:
            continue
    text = content.decode("latin-1")
    return Reading(text, "latin-1", _CONTROLS.search(text) is None)


def places_of(value: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield where in a text a value stands, in any spelling of its characters."""
    plain, packed = _spellings(value)
    for match in plain.finditer(text):
        yield match.span()
    for form in packed:
        start = text.find(form)
        while start >= 0:
            yield start, start + len(form)
            start = text.find(form, start + 1)


@lru_cache(maxsize=1_024)
def _spellings(value: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    return re.compile("".join(map(_spelled, value))), tuple(dict.fromkeys(_packed(value)))


def _spelled(char: str) -> str:
    """Return a pattern for the ways of writing a character; nothing escapes what is a letter or digit of ASCII."""
    if char.isascii() and (char.isalnum() or char in "-_.~"):
        return char if char.isalnum() else re.escape(char)
    content = char.encode("utf-8", "surrogatepass")
    units = char.encode("utf-16-be", "surrogatepass").hex()
    ways = [rf"\\{{0,31}}{re.escape(char)}", "".join(f"%(?:25)*(?i:{byte:02x})" for byte in content)]
    ways.append("".join(rf"\\+u(?i:{units[at : at + 4]})" for at in range(0, len(units), 4)))
    if char in _LETTERS:
        ways.append(rf"\\+{_LETTERS[char]}")
    if char in " +":
        ways.append(re.escape("+"))
    if html.escape(char) != char:
        ways.append(re.escape(html.escape(char)))
    ways.append(f"&#(?:0*{ord(char)}|(?i:x0*{ord(char):x}));")
    return f"(?:{'|'.join(ways)})"


def _packed(value: str) -> Iterator[str]:
    content = value.encode("utf-8", "surrogatepass")
    if len(content) < _SHORTEST_PACKED:
        return
    yield from (content.hex(), content.hex().upper())
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        # Within other content it may begin at any of three places of a group; its own whole groups are always the same.
        for offset in range(3):
            whole = encode(bytes(offset) + content).decode().rstrip("=")
            yield whole[(8 * offset + 5) // 6 : (8 * (offset + len(content))) // 6]
