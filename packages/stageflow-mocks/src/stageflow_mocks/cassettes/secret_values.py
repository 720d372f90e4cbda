"""Secrets in what is recorded: which names and looks tell of them, and how a known one is found again.

Everything is looked for before anything is written, so that a key which a later request shows is gone from the
earlier ones too.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, cast
from urllib.parse import quote, quote_plus

MARK = "<redacted>"
"""What stands in place of a secret. When requests are compared, any text is equal to it."""

SHORTEST = 8
"""Characters from which on what stands under a secret name is looked for elsewhere: a shorter text is a word."""

FindSecrets: TypeAlias = Callable[[str], Iterable[str]]

_SECRET = frozenset(
    {
        "apikey", "authorization", "bearer", "cookie", "cookies", "credential", "credentials", "csrf", "jwt", "otp",
        "passcode", "passphrase", "passwd", "password", "passwords", "privatekey", "pwd", "secret", "secretkey",
        "secrets", "signature", "xsrf",
    }
)  # fmt: skip
_SECRET_ENDINGS = ("apikey", "cookie", "password", "passwd", "passphrase", "secret", "token")
_BEFORE_KEY = frozenset(
    {
        "access", "account", "api", "auth", "client", "encryption", "license", "master", "private", "secret",
        "service", "session", "shared", "signing", "ssh", "storage", "subscription", "webhook",
    }
)  # fmt: skip
_BEFORE_OTHER_TOKEN = frozenset(
    {
        "bos", "completion", "continuation", "eos", "first", "last", "mask", "max", "min", "next", "output", "pad",
        "page", "per", "prev", "previous", "prompt", "reasoning", "stop", "total", "unk",
    }
)  # fmt: skip
_BEFORE_TOKENS = frozenset({"access", "api", "auth", "bearer", "identity", "refresh", "secret", "session"})
_OPEN_ENDINGS = frozenset(
    {
        "algorithm", "at", "count", "enabled", "endpoint", "expires", "expiry", "format", "id", "ids", "in", "index",
        "length", "limit", "limits", "max", "min", "name", "names", "policy", "required", "scope", "scopes", "size",
        "status", "ttl", "type", "types", "uri", "url", "usage", "version",
    }
)  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")

_SECRET_HEADERS = frozenset({"openai-organization", "openai-project"})
_SECRET_PARAMETERS = frozenset({"key", "sig", "code"})
"""In an address these are keys and signatures; elsewhere they are ordinary words."""

_LOOKS = re.compile(
    r"\b(?:gsk|sk|rk|ghp|glpat|xox[abprs])[_-][A-Za-z0-9_-]{16,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{30,}"
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*"
    r"|(?<=[Bb]earer )[\w.~+/=-]{8,}"
)
# A field of JSON within text, as in the events of a stream; its quotes are escaped where that JSON is a string of JSON.
_FIELDS = (
    re.compile(r'"(?P<name>[\w.-]{1,64})"\s*:\s*"(?P<value>(?:[^"\\]|\\.)*)"'),
    re.compile(r'\\"(?P<name>[\w.-]{1,64})\\"\s*:\s*\\"(?P<value>.*?)\\"'),
)


class Secrets:
    """What is known of the secrets of one cassette.

    Args:
        names: More names of headers, parameters and fields whose values are secret, in any case of letters.
        values: More values.
        find: Returns the secrets in a text.

    Raises:
        ValueError: A value is too short to be told from other text.
    """

    def __init__(
        self, names: Collection[str] = (), values: Collection[str] = (), find: FindSecrets | None = None
    ) -> None:
        for what, given in (("secret_names", names), ("secret_values", values)):
            if isinstance(given, str):
                raise TypeError(f"{what} are several texts, not one: write [...].")
        short = next((value for value in values if len(value) < 4), None)
        if short is not None:
            raise ValueError("A secret value of less than four characters would be found everywhere.")
        self._names = frozenset(name.lower() for name in names)
        self._values = set(values)
        self._find = find
        self._pattern: re.Pattern[str] | None = None

    def is_name(self, name: str) -> bool:
        """Tell whether what stands under this name is secret."""
        return name.lower() in self._names or _is_secret_name(name)

    def is_header(self, name: str) -> bool:
        return name.lower() in _SECRET_HEADERS or self.is_name(name)

    def is_parameter(self, name: str) -> bool:
        return name.lower() in _SECRET_PARAMETERS or self.is_name(name)

    def learn(self, value: str) -> None:
        """Look for this value everywhere from now on, unless it is a word or a sentence."""
        if len(value) >= SHORTEST and not re.search(r"\s", value) and MARK not in value and value not in self._values:
            self._values.add(value)
            self._pattern = None

    def learn_header(self, name: str, value: str) -> None:
        """Learn the secrets in a header: credentials without their scheme, the values of cookies."""
        self._learn_found(value)
        if not self.is_header(name):
            return
        lowered = name.lower()
        if lowered in ("cookie", "set-cookie"):
            crumbs = value.split(";") if lowered == "cookie" else value.split(";")[:1]
            for crumb in crumbs:
                self.learn(crumb.partition("=")[2].strip())
            return
        scheme, _, credentials = value.strip().partition(" ")
        self.learn(credentials.strip() or scheme)
        if scheme.lower() == "basic":
            try:
                user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return
            self.learn(password)
            if not password:  # the key is the name of the user, as some services have it
                self.learn(user)

    def learn_text(self, text: str) -> None:
        """Learn what stands under secret names in text."""
        self._learn_found(text)
        for field in self._secret_fields(text):
            self.learn(field["value"])

    def _learn_found(self, text: str) -> None:
        values = self._find(text) if self._find is not None else ()
        if isinstance(values, str):
            raise TypeError(f"find_secrets returns several texts, not one: [{MARK}].")
        found = {value for value in values if value}
        if not found <= self._values:
            self._values |= found
            self._pattern = None

    def learn_json(self, value: Any, *, secret: bool = False) -> None:
        """Learn what stands under secret names in JSON."""
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            for name, item in fields.items():
                self.learn_json(item, secret=secret or self._is_field(name, fields))
        elif isinstance(value, list):
            for item in cast("list[Any]", value):
                self.learn_json(item, secret=secret)
        elif isinstance(value, str):
            if secret:
                self.learn(value)
            else:
                self.learn_text(value)

    def hidden_json(self, value: Any, *, secret: bool = False) -> Any:
        """Return the JSON with marks in place of secrets; what stands under a secret name keeps its shape."""
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            return {
                self.hidden(name): self.hidden_json(item, secret=secret or self._is_field(name, fields))
                for name, item in fields.items()
            }
        if isinstance(value, list):
            return [self.hidden_json(item, secret=secret) for item in cast("list[Any]", value)]
        if value is None or isinstance(value, bool):
            return value
        if secret:
            return MARK
        if isinstance(value, str):
            return self.hidden(value)
        return MARK if str(value) in self._values else value

    def _is_field(self, name: str, fields: Mapping[str, Any]) -> bool:
        # The token of a list of likely ones is a word of the model.
        return self.is_name(name) and not (name == "token" and "logprob" in fields)

    def hidden_header(self, name: str, value: str) -> str:
        if not self.is_header(name):
            return self.hidden(value)
        if name.lower() == "set-cookie":
            first, _, rest = value.partition(";")
            return f"{first.partition('=')[0]}={MARK}" + (f";{rest}" if rest else "")
        return MARK

    def hidden(self, text: str) -> str:
        """Return the text with marks in place of secrets."""
        parts: list[str] = []
        end = 0
        for start, until in self.spans(text):
            parts += [text[end:start], MARK]
            end = until
        return "".join([*parts, text[end:]]) if parts else text

    def hidden_bytes(self, content: bytes) -> bytes:
        """Return the content with marks in place of the values that are known."""
        for value in sorted(self._values, key=len, reverse=True):
            content = content.replace(value.encode(), MARK.encode())
        return content

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where in a text there are secrets, from beginning to end and apart from one another."""
        found = sorted(self._found(text))
        merged: list[tuple[int, int]] = []
        for start, end in found:
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        for field in self._secret_fields(text):
            if field["value"] != MARK:
                yield field.span("value")
        for match in _LOOKS.finditer(text):
            yield match.span()
        if self._values:
            self._pattern = self._pattern or re.compile("|".join(map(re.escape, self._forms())))
            for match in self._pattern.finditer(text):
                yield match.span()

    def _secret_fields(self, text: str) -> Iterator[re.Match[str]]:
        if '"' in text:
            for pattern in _FIELDS:
                yield from (match for match in pattern.finditer(text) if match["value"] and self.is_name(match["name"]))

    def _forms(self) -> list[str]:
        forms = {form for value in tuple(self._values) for form in _forms_of(value)}
        return sorted(forms, key=len, reverse=True)


def _is_secret_name(name: str) -> bool:
    words = [word.lower() for word in _WORD.findall(name[-64:])]
    if not words or words[-1] in _OPEN_ENDINGS:
        return False
    return any(_is_secret_word(word, before) for before, word in zip(("", *words), words, strict=False))


def _is_secret_word(word: str, before: str) -> bool:
    if word in ("key", "keys"):
        return before in _BEFORE_KEY
    if word == "tokens":
        return before in _BEFORE_TOKENS
    if word == "token":
        return before not in _BEFORE_OTHER_TOKEN
    return word in _SECRET or (word.endswith(_SECRET_ENDINGS) and not word.startswith(("max", "min", "num")))


def _forms_of(value: str) -> Iterator[str]:
    """Yield a value as it may be written: plain, escaped for JSON or an address, as base64 or hexadecimal."""
    yield value
    for ascii_only in (False, True):
        escaped = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield from (escaped, json.dumps(escaped)[1:-1])
    for quoted in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield from (quoted, re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted))
    content = value.encode("utf-8", "surrogatepass")
    yield from (content.hex(), content.hex().upper())
    if len(content) < SHORTEST:
        return
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        # Within other content it may begin at any of three places of a group; its own whole groups are always the same.
        for offset in range(3):
            whole = encode(bytes(offset) + content).decode().rstrip("=")
            yield whole[(8 * offset + 5) // 6 : (8 * (offset + len(content))) // 6]
