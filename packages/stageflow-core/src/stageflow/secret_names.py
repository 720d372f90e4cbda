"""Which names say that what stands under them is secret: `api_key`, `Set-Cookie`, `dbPassword`.

A name is taken apart into words, so that `tokens`, `secretary` and `max_token` are not `token`, and `OPENAI_API_KEY`
and `openaiApiKey` are the same. What only tells about a secret (`token_count`, `password_changed_at`) is open.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Literal

NameKind = Literal["open", "secret", "secret text", "audio"]
"""What a name says of its value: nothing; that it is secret; that it is if it is text; that it is sound."""

LONGEST_NAME = 64
"""Characters above which a text is no name that anybody gave to a field."""

_SECRET = frozenset(
    {
        "accesskey", "apikey", "apikeys", "authkey", "authorization", "bearer", "cookie", "cookies", "credential",
        "credentials", "creds", "csrf", "jsessionid", "jwt", "otp", "passcode", "passphrase", "passwd", "password",
        "passwords", "phpsessid", "privatekey", "pw", "pwd", "secret", "secretkey", "secrets", "token", "totp",
        "xsrf",
    }
)  # fmt: skip
_SECRET_ENDINGS = ("apikey", "cookie", "credentials", "passphrase", "passwd", "password", "secret", "token")
"""Of words that were run together: `dbpassword`, `accesstoken`."""

_BEFORE_KEY = frozenset(
    {
        "access", "account", "aes", "anthropic", "api", "assemblyai", "auth", "azure", "cartesia", "client",
        "cohere", "consumer", "decryption", "deepgram", "elevenlabs", "encryption", "gemini", "google", "groq",
        "hmac", "license", "master", "mistral", "openai", "private", "rsa", "secret", "sendgrid", "service",
        "session", "shared", "signing", "ssh", "storage", "stripe", "subscription", "twilio", "webhook",
    }
)  # fmt: skip
_BEFORE_TOKENS = frozenset(
    {
        "access", "api", "auth", "bearer", "csrf", "id", "identity", "refresh", "secret", "session", "xsrf",
    }
)  # fmt: skip
_BEFORE_OTHER_TOKEN = frozenset(
    {
        "bos", "cached", "completion", "continuation", "eos", "first", "input", "last", "mask", "max", "min",
        "next", "output", "pad", "page", "per", "prev", "previous", "prompt", "reasoning", "special", "stop",
        "total", "unexpected", "unk",
    }
)  # fmt: skip
"""`first_token` and its like are the words of a model, `next_page_token` is a place in a list."""

_OPEN_ENDINGS = frozenset(
    {
        "age", "algorithm", "at", "budget", "count", "counts", "days", "enabled", "endpoint", "expiration",
        "expires", "expiry", "file", "format", "id", "ids", "in", "index", "label", "len", "length", "limit", "limits",
        "max", "min", "name", "names", "path", "policy", "present", "provider", "rate", "required", "scope",
        "scopes", "size", "status", "strength", "ttl", "type", "types", "uri", "url", "usage", "used", "valid",
        "version",
    }
)  # fmt: skip
_AUDIO = frozenset({"audio", "flac", "mulaw", "ogg", "opus", "pcm", "wav", "waveform"})


@cache
def _word() -> re.Pattern[str]:
    # Compiled when first needed: at import it would cost more than the rest of this module.
    return re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")


def kind_of_name(name: str) -> NameKind:
    """Return what the name of a field says of its value."""
    if len(name) > LONGEST_NAME:
        name = name[-LONGEST_NAME:]  # the end of a path or of a dotted name is what tells
    return _kind(name)


@lru_cache(maxsize=2_048)
def _kind(name: str) -> NameKind:
    words = [word.lower() for word in _word().findall(name)]
    if not words:
        return "open"
    last = words[-1]
    if last in _OPEN_ENDINGS:
        return "open"
    if any(_is_secret(word, before) for before, word in zip(("", *words), words, strict=False)):
        return "secret"
    if last in {"auth", "pass"}:
        return "secret text"
    return "open" if _AUDIO.isdisjoint(words) else "audio"


def _is_secret(word: str, before: str) -> bool:
    if word in {"key", "keys"}:
        return before in _BEFORE_KEY
    if word == "tokens":
        return before in _BEFORE_TOKENS
    if word == "token":
        return before not in _BEFORE_OTHER_TOKEN
    return word in _SECRET or (word.endswith(_SECRET_ENDINGS) and not word.startswith(("max", "min", "num")))
