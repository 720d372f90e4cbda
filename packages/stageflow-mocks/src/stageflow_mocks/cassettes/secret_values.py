"""Secrets in what is recorded: which names and looks tell of them, and how a known one is found again.

Names and looks are those that events are redacted by (`stageflow.secret_names`, `stageflow.events.secret_text`); here
is what HTTP has besides. Everything is looked for before anything is written, so that a key which a later request
shows is gone from the earlier ones too.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias, cast

from stageflow.events.secret_text import secrets_in
from stageflow.secret_names import kind_of_name

from stageflow_mocks.cassettes.spellings import as_text, places_of

MARK = "<redacted>"
"""What stands in place of a secret. When requests are compared, any text is equal to it."""

SHORTEST = 8
"""Characters from which on what stands under a secret name is looked for elsewhere: a shorter text is a word."""

FindSecrets: TypeAlias = Callable[[str], Iterable[str]]

_HEADERS = frozenset({"openai-organization", "openai-project"})
_OPEN_KEYS = frozenset({"cache", "idempotency", "partition", "public", "surrogate", "websocket"})
"""Before `-key` in a header, where any other word tells of a credential: `x-rapidapi-key`."""
_SIGNATURES = ("sig", "signature")
_MAYBE = frozenset({"key", "code"})
"""In an address these are keys, or ordinary words: `key=AIza...`, `code=en-US`. Their values tell."""

_PARAMETER = re.compile(r"[?&;](?P<name>[\w.-]*(?:sig|signature|key|code))=(?P<value>[^\s&;\"'<>\\]+)", re.IGNORECASE)
_ELEMENT = re.compile(r"<(?:\w+:)?(?P<name>[A-Za-z][\w.-]{0,63})(?: [^<>]*)?>(?P<value>[^<>]+)</")
_SIGNED = re.compile(r"\b(?:signature|response)=\"?(?P<value>[^\s,\"]+)", re.IGNORECASE)


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
        if any(len(value) < 4 for value in values):
            raise ValueError("A secret value of less than four characters would be found everywhere.")
        self._names = frozenset(name.lower() for name in names)
        self._values = set(values)
        self._find = find

    # Which names tell.

    def is_header(self, name: str) -> bool:
        words = name.lower().replace("_", "-").split("-")
        is_key = words[-1] in ("key", "keys") and not _OPEN_KEYS.intersection(words)
        is_named = name.lower() in _HEADERS or words[-1] == "signature" or "signature" in words[1:-1]
        return is_key or is_named or self._is_name(name)

    def is_parameter(self, name: str, value: str) -> bool:
        lowered = name.lower()
        if lowered in _MAYBE and lowered not in self._names:
            return _is_opaque(value)
        return lowered.endswith(_SIGNATURES) or self._is_name(name)

    def is_field(self, name: str, value: Any, fields: Mapping[str, Any] | None = None) -> bool:
        """Tell whether a field of JSON, among others, or of a form, holds a secret."""
        if name.lower() in self._names:
            return True
        if name.lower() == "token" and _is_of_a_model(value, fields or {}):
            return False
        kind = kind_of_name(name)
        return kind == "secret" or (kind == "secret text" and isinstance(value, str))

    def _is_name(self, name: str) -> bool:
        return name.lower() in self._names or kind_of_name(name) in ("secret", "secret text")

    # What becomes known.

    def learn(self, value: str) -> None:
        """Look for this value everywhere from now on, unless it is so short that it may be a word."""
        if len(value) >= SHORTEST and MARK not in value:
            self._values.add(value)

    def learn_header(self, name: str, value: str) -> None:
        """Learn the secrets in a header: credentials without their scheme, the values of cookies."""
        self.learn_text(value)
        lowered = name.lower()
        if lowered in ("cookie", "set-cookie"):
            for crumb in value.split(";") if lowered == "cookie" else value.split(";")[:1]:
                name, found, text = crumb.partition("=")
                self.learn((text if found else name).strip())
        elif self.is_header(name):
            scheme, _, credentials = value.strip().partition(" ")
            self.learn(credentials.strip() or scheme)
            for signed in _SIGNED.finditer(credentials):
                self.learn(signed["value"])
            if scheme.lower() == "basic":
                self._learn_login(credentials)

    def _learn_login(self, credentials: str) -> None:
        try:
            user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return
        self.learn(password or user)  # the key is the name of the user, as some services have it

    def learn_parameter(self, name: str, value: str) -> None:
        """Learn the secrets in a parameter of an address or a form."""
        self._learn_string(value, secret=self.is_parameter(name, value))

    def learn_text(self, text: str) -> None:
        """Learn what names and looks tell of in a text, but for what may be a word of prose."""
        values = self._find(text) if self._find is not None else ()
        if isinstance(values, str):
            raise TypeError(f"find_secrets returns several texts, not one: [{MARK}].")
        self._values.update(value for value in values if value)
        for start, end in self._told(text):
            if _is_opaque(text[start:end]):
                self.learn(text[start:end])

    def learn_json(self, value: Any, *, secret: bool = False) -> None:
        """Learn what stands under secret names in JSON, and in JSON that is a text in it."""
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            for name, item in fields.items():
                self.learn_json(item, secret=secret or self.is_field(name, item, fields))
        elif isinstance(value, list):
            for item in cast("list[Any]", value):
                self.learn_json(item, secret=secret)
        elif isinstance(value, str):
            self._learn_string(value, secret=secret)
        elif secret and isinstance(value, int):
            self.learn(str(value))

    def _learn_string(self, value: str, *, secret: bool) -> None:
        if secret:
            self.learn(value)
            return
        self.learn_text(value)
        if value.lstrip()[:1] in ("{", "["):
            try:
                inner = json.loads(value)
            except (ValueError, RecursionError):
                return
            self.learn_json(inner)

    # What is written in their place.

    def hidden_json(self, value: Any, *, secret: bool = False) -> Any:
        """Return the JSON with marks in place of secrets; what stands under a secret name keeps its shape."""
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            return {
                self.hidden(name): self.hidden_json(item, secret=secret or self.is_field(name, item, fields))
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

    def hidden_parameter(self, name: str, value: str) -> list[str]:
        return [self.hidden(name), MARK if self.is_parameter(name, value) else self.hidden(value)]

    def hidden_header(self, name: str, value: str) -> str:
        if name.lower() == "set-cookie":
            first, _, rest = value.partition(";")
            crumb, found, _ = first.partition("=")
            return (f"{self.hidden(crumb)}={MARK}" if found else MARK) + (f";{self.hidden(rest)}" if rest else "")
        return MARK if self.is_header(name) else self.hidden(value)

    def hidden(self, text: str, *, is_text: bool = True) -> str:
        """Return the text with marks in place of secrets; where it is none, of those alone whose values are known."""
        parts: list[str] = []
        end = 0
        for start, until in self.spans(text, is_text=is_text):
            parts += [text[end:start], MARK]
            end = until
        return "".join([*parts, text[end:]]) if parts else text

    def hidden_bytes(self, content: bytes) -> bytes:
        """Return the content with marks in place of secrets, as text of the encoding that it may have."""
        text, encoding, is_text = as_text(content)
        hidden = self.hidden(text, is_text=is_text)
        content = content if hidden == text else hidden.encode(encoding)
        for value in self._values:
            content = content.replace(value.encode("utf-8", "surrogatepass"), MARK.encode())
        return content

    def spans(self, text: str, *, is_text: bool = True) -> list[tuple[int, int]]:
        """Return where in a text there are secrets, from beginning to end and apart from one another."""
        told = self._told(text) if is_text else []
        found = [(start, end) for start, end in told if MARK not in text[start:end]]
        for value in self._values:
            found += places_of(value, text)
        merged: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def _told(self, text: str) -> list[tuple[int, int]]:
        """Return where looks, and names before them, tell of secrets."""
        found = secrets_in(text)
        if "=" in text:
            found += [
                match.span("value")
                for match in _PARAMETER.finditer(text)
                if self.is_parameter(match["name"], match["value"])
            ]
        if "</" in text:
            found += [match.span("value") for match in _ELEMENT.finditer(text) if self._is_name(match["name"])]
        return found


def _is_opaque(value: str) -> bool:
    """Tell whether a text may be a key: none is a word, or has spaces."""
    is_long = len(value) >= SHORTEST and any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return (is_long or len(value) >= 20) and not re.search(r"\s", value)


def _is_of_a_model(value: Any, fields: Mapping[str, Any]) -> bool:
    """Tell whether a `token` is one of a model's text: a part of a word, its number, or a description of it."""
    if isinstance(value, dict):
        return not {"logprob", "text"}.isdisjoint(cast("dict[str, Any]", value))
    if isinstance(value, list):
        return all(_is_of_a_model(item, fields) for item in cast("list[Any]", value))
    return "logprob" in fields or isinstance(value, int) or (isinstance(value, str) and not _is_opaque(value))
