"""The tokens of MockAuth by name: what is wrong with each, and what has to find it.

Each kind differs from a valid token in one thing alone, so a verifier that accepts one of them has that one check
missing. Wrong names begin with the right one (`stageflow-other` for `stageflow`), so comparing the beginning of a text,
or looking for one text in the other, is found out, too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

TokenKind: TypeAlias = Literal[
    "valid",
    "rotated",
    "expired",
    "not_yet_valid",
    "wrong_audience",
    "wrong_issuer",
    "tampered",
    "tampered_signature",
    "no_signature",
    "zero_signature",
    "embedded_key",
    "alg_none",
    "alg_none_respelt",
    "key_confused",
    "unknown_crit",
    "unknown_kid",
    "retired",
    "wrong_typ",
    "other_tenant",
    "revoked",
]
"""The names of the tokens that `MockAuth.token` makes."""

FoundBy: TypeAlias = Literal["nobody", "claims", "signature", "algorithm", "header", "key", "application"]
"""What refuses a token: nobody (it is good), a check of a JWT library, or what an application knows itself."""


@dataclass(frozen=True, slots=True)
class TokenCase:
    """What a kind of token is: what is special about it, and what has to find that."""

    what: str
    found_by: FoundBy


TOKEN_KINDS: Mapping[TokenKind, TokenCase] = MappingProxyType(
    {
        "valid": TokenCase("nothing is wrong with it", "nobody"),
        "rotated": TokenCase("signed by the previous key, which the JWKS still lists", "nobody"),
        "expired": TokenCase("its `exp` is over", "claims"),
        "not_yet_valid": TokenCase("its `nbf` is still to come", "claims"),
        "wrong_audience": TokenCase("its `aud` is another service", "claims"),
        "wrong_issuer": TokenCase("its `iss` is another issuer, though the key is ours", "claims"),
        "tampered": TokenCase("its `sub` was changed after it was signed", "signature"),
        "tampered_signature": TokenCase("one bit of its signature was changed", "signature"),
        "no_signature": TokenCase("its signature was taken away; the header says what it said", "signature"),
        "zero_signature": TokenCase("its signature is nothing but zeros, which ECDSA must not take", "signature"),
        "embedded_key": TokenCase(
            "signed by a key that its own header brings along, under a `kid` of ours", "signature"
        ),
        "alg_none": TokenCase("it says `alg: none`, and has no signature", "algorithm"),
        "alg_none_respelt": TokenCase("it says `alg: nOnE`, and has no signature", "algorithm"),
        "key_confused": TokenCase("signed by HS256 with the PEM of the public key as its secret", "algorithm"),
        "unknown_crit": TokenCase("its `crit` names a header that has to be understood, and is not", "header"),
        "unknown_kid": TokenCase("signed by a key that was never in the JWKS, under a `kid` of its own", "key"),
        "retired": TokenCase("signed by a key that the JWKS lists no more", "key"),
        "wrong_typ": TokenCase("good, but its `typ` is that of a token for another purpose", "application"),
        "other_tenant": TokenCase("good, but of another tenant", "application"),
        "revoked": TokenCase("good, but its `jti` is in the list of those that were revoked", "application"),
    }
)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token and what is in it. `str()` gives the text, so that `f"Bearer {token}"` is a header.

    Attributes:
        kind: The name by which it was asked for.
        text: The token in its compact form: what is sent.
        header: What its header says.
        claims: What its payload says; of one that was tampered with, what it says now.
    """

    kind: TokenKind
    text: str = field(repr=False)
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def jti(self) -> str:
        """The token's own id, by which it can be revoked."""
        return self.claims["jti"]

    def __str__(self) -> str:
        return self.text


def encoded(content: Mapping[str, Any]) -> bytes:
    """Return the content as compact JSON."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def unsigned(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Return a token without a signature: an Unsecured JWS (RFC 7515, appendix A.5)."""
    return f"{_base64url(encoded(header))}.{_base64url(encoded(claims))}."


def signed_by_secret(header: Mapping[str, Any], claims: Mapping[str, Any], secret: bytes) -> str:
    """Return a token that is signed by HS256 (RFC 7518, section 3.2), whatever the secret is.

    JWT libraries refuse to sign with a PEM, so this is done by hand.
    """
    content = unsigned(header, claims).rstrip(".")
    return f"{content}.{_base64url(hmac.new(secret, content.encode(), hashlib.sha256).digest())}"


def with_payload(text: str, claims: Mapping[str, Any]) -> str:
    """Return the token with another payload under the same signature."""
    header, _, signature = text.split(".")
    return f"{header}.{_base64url(encoded(claims))}.{signature}"


def without_signature(text: str) -> str:
    """Return the token with an empty signature."""
    return f"{text.rpartition('.')[0]}."


def with_zero_signature(text: str) -> str:
    """Return the token with a signature of zeros, as long as it was: r = s = 0 for ECDSA (CVE-2022-21449)."""
    content, _, signature = text.rpartition(".")
    return f"{content}.{_base64url(bytes(len(base64.urlsafe_b64decode(signature + '=' * (-len(signature) % 4)))))}"


def with_changed_signature(text: str) -> str:
    """Return the token with one bit of its signature changed.

    It is in the first byte: of the last character some bits do not count.
    """
    content, _, signature = text.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    raw[0] ^= 1
    return f"{content}.{_base64url(bytes(raw))}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
