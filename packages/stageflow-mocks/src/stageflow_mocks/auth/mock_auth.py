"""A token issuer with throwaway keys, whose good tokens are really good and whose bad ones are each bad in one way.

    auth = MockAuth(issuer="https://auth.test", audience="chat")
    good = auth.token(user_id="ada", tenant_id="acme", roles=["editor"], scopes=["chat:write"])
    bad = auth.token("key_confused")

Tokens follow the profile for access tokens of RFC 9068. They are signed by joserfc and are to be checked by whatever
JWT library the code under test uses, with `auth.jwks()`; `MockAuthServer` serves that by HTTP. What each kind of token
is stands in `TOKEN_KINDS`.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from stageflow_mocks.auth.claims import (
    ClaimNames,
    audience_claim,
    own_claims,
    require_choice,
    require_name,
    require_seconds,
    scope_claim,
    several_names,
    whole_seconds,
)
from stageflow_mocks.auth.keys import ALGORITHMS, Algorithm, SigningKey
from stageflow_mocks.auth.tokens import (
    TOKEN_KINDS,
    IssuedToken,
    TokenKind,
    encoded,
    signed_by_secret,
    unsigned,
    with_changed_signature,
    with_payload,
    with_zero_signature,
    without_signature,
)

_UNSIGNED: Mapping[TokenKind, str] = {"alg_none": "none", "alg_none_respelt": "nOnE"}
_RESIGNED: Mapping[TokenKind, Callable[[str], str]] = {
    "tampered_signature": with_changed_signature,
    "no_signature": without_signature,
    "zero_signature": with_zero_signature,
}
_UNKNOWN = "https://auth.test/must-be-understood"
"""A header that nobody understands (RFC 7515, section 4.1.11: then the token is invalid)."""


class MockAuth:
    """Issues tokens for users, tenants, roles and scopes, good and bad ones by name.

    The keys are new for each MockAuth: real keys cannot be made from a seed. What the seed decides is each `kid` and
    `jti`, so those are the same in each run. ES256 signs with a random number, so with it the texts of tokens differ.

    Args:
        issuer: The `iss` of the tokens.
        audience: The `aud` of the tokens: a service, or several.
        algorithm: How they are signed. An RSA key takes some 50 ms to make, one of ES256 next to nothing.
        lifetime_s: How long a token is good.
        clock: Says the time in Unix seconds.
        seed: Decides ids.
        typ: The `typ` of the header.
        tenant_claim: The claim that has the tenant.
        roles_claim: The claim that has the roles.

    Attributes:
        issued: Every token that was made, in that order.
    """

    def __init__(
        self,
        *,
        issuer: str = "https://auth.test",
        audience: str | Collection[str] = "stageflow",
        algorithm: Algorithm = "RS256",
        lifetime_s: int = 300,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        typ: str = "at+jwt",
        tenant_claim: str = "tenant_id",
        roles_claim: str = "roles",
    ) -> None:
        require_name("issuer", issuer)
        require_choice("algorithm", algorithm, ALGORITHMS)
        require_seconds("lifetime_s", lifetime_s)
        require_name("typ", typ)
        self.issued: list[IssuedToken] = []
        self._issuer = issuer
        self._audience = audience_claim(audience)
        self._algorithm: Algorithm = algorithm
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._typ = typ
        self._names = ClaimNames(tenant_claim, roles_claim)
        # Apart, so that a rotation does not change the ids of the tokens after it.
        self._key_ids, self._token_ids = random.Random(f"keys {seed}"), random.Random(f"tokens {seed}")
        self._current = self._new_key()
        self._previous: SigningKey | None = self._new_key()
        self._retired: SigningKey | None = None
        self._stray: SigningKey | None = None
        self._revoked: dict[str, None] = {}

    @property
    def issuer(self) -> str:
        """The `iss` of the tokens."""
        return self._issuer

    @property
    def algorithm(self) -> Algorithm:
        """The one algorithm that a verifier is to accept."""
        return self._algorithm

    @property
    def revoked(self) -> tuple[str, ...]:
        """The `jti` of each token that was revoked, in that order."""
        return tuple(self._revoked)

    def jwks(self) -> dict[str, Any]:
        """Return the JWKS document: the public halves of the current key and, if there is one, the previous."""
        return {"keys": [key.public_jwk() for key in (self._current, self._previous) if key is not None]}

    def public_key_pem(self) -> bytes:
        """Return the public half of the current key as PEM: what `key_confused` takes for a secret."""
        return self._current.public_pem()

    def rotate(self, *, keep_previous: bool = True) -> None:
        """Sign with a new key from now on.

        The JWKS lists the key that was current as the previous one, or, without `keep_previous`, the new key alone.
        What was previous before is retired: the JWKS lists it no more.
        """
        was_current, was_previous = self._current, self._previous
        self._current = self._new_key()
        self._previous = was_current if keep_previous else None
        self._retired = (was_previous or self._retired) if keep_previous else was_current

    def revoke(self, token: IssuedToken | str) -> None:
        """Put a token, or the one with this `jti`, on the list of those that were revoked.

        Raises:
            TypeError: It is neither a token nor a text.
            ValueError: It was not issued here, or has no `jti`.
        """
        if isinstance(token, IssuedToken):
            if not any(issued is token for issued in self.issued):
                raise ValueError("This token was not issued here, so it cannot be revoked.")
            if "jti" not in token.claims:
                raise ValueError("This token has no jti, by which it could be revoked.")
            token = token.jti
        require_name("the jti of a token to revoke", token)
        if token.count(".") == 2:
            raise ValueError("A token is revoked by its jti, not by its text: give revoke() what token() returned.")
        if all(issued.claims.get("jti") != token for issued in self.issued):
            raise ValueError(f"No token with the jti {token!r} was issued here, so it cannot be revoked.")
        self._revoked[token] = None

    def token(
        self,
        kind: TokenKind = "valid",
        *,
        user_id: str = "user-1",
        tenant_id: str | None = "tenant-1",
        roles: Collection[str] = (),
        scopes: Collection[str] = (),
        audience: str | Collection[str] | None = None,
        lifetime_s: int | None = None,
        off_by_s: int = 3600,
        claims: Mapping[str, Any] | None = None,
        without: Collection[str] = (),
    ) -> IssuedToken:
        """Issue a token.

        Args:
            kind: What is to be wrong with it: one of `TOKEN_KINDS`.
            user_id: Its `sub`.
            tenant_id: Its tenant; None leaves the claim out.
            roles: Its roles.
            scopes: Its scopes, which stand in `scope` as one text.
            audience: Its `aud`, if it is not that of this MockAuth.
            lifetime_s: How long it is good, if it is not as long as all others.
            off_by_s: How long ago an `expired` one has ended, and until a `not_yet_valid` one begins: more than the
                leeway that a verifier gives to clocks.
            claims: More claims.
            without: Claims to leave out of a `valid` one.

        Raises:
            TypeError: An argument is of the wrong type; `claims` that JSON cannot say among them.
            ValueError: An argument has a value that it cannot have.
        """
        require_choice("kind of token", kind, tuple(TOKEN_KINDS))
        lifetime_s = self._lifetime_s if lifetime_s is None else lifetime_s
        require_seconds("lifetime_s", lifetime_s)
        require_seconds("off_by_s", off_by_s)
        require_name("user_id", user_id)
        says: dict[str, Any] = {
            "iss": self.issuer,
            "sub": user_id,
            "aud": self._audience if audience is None else audience_claim(audience),
            **_times(kind, whole_seconds(self._clock), lifetime_s, off_by_s),
            "scope": scope_claim(scopes),
            self._names.roles: several_names("roles", roles),
            **own_claims(claims, self._names),
        }
        if tenant_id is not None:
            require_name("tenant_id", tenant_id)
            says[self._names.tenant] = tenant_id
        elif kind == "other_tenant":
            raise ValueError(
                "A token of the kind 'other_tenant' has a tenant: give it the tenant_id that it is not of."
            )
        left_out = _left_out(without, kind, [*says, "jti"])
        key = self._key_of(kind)
        # Drawn last, so that a refused call does not change the ids of those after it.
        says["jti"] = str(uuid.UUID(int=self._token_ids.getrandbits(128), version=4))
        says = {name: value for name, value in says.items() if name not in left_out}
        issued = self._made(kind, self._wronged(kind, says), key)
        self.issued.append(issued)
        if kind == "revoked":
            self.revoke(issued)
        return issued

    def _wronged(self, kind: TokenKind, says: dict[str, Any]) -> dict[str, Any]:
        """Return the claims with what is to be wrong in them."""
        if kind == "wrong_audience":
            aud = says["aud"]
            return says | {"aud": _other(aud) if isinstance(aud, str) else [_other(each) for each in aud]}
        if kind == "wrong_issuer":
            return says | {"iss": f"{says['iss']}.other.test"}
        if kind == "other_tenant":
            return says | {self._names.tenant: _other(says[self._names.tenant])}
        return says

    def _made(self, kind: TokenKind, says: dict[str, Any], key: SigningKey) -> IssuedToken:
        """Return the token, signed as its kind is."""
        header: dict[str, Any] = {"typ": self._typ, "alg": key.algorithm, "kid": key.kid}
        if kind in _UNSIGNED:
            header["alg"] = _UNSIGNED[kind]
            return IssuedToken(kind, unsigned(header, says), header, says)
        if kind == "key_confused":
            header["alg"] = "HS256"
            return IssuedToken(kind, signed_by_secret(header, says, key.public_pem()), header, says)
        if kind == "embedded_key":
            header |= {"jwk": key.public_parameters(), "kid": self._current.kid}
        elif kind == "unknown_crit":
            header |= {"crit": [_UNKNOWN], _UNKNOWN: True}
        elif kind == "wrong_typ":
            header["typ"] = "JWT" if self._typ.lower() != "jwt" else "at+jwt"
        text = key.sign(header, encoded(says))
        if kind == "tampered":
            says = says | {"sub": _other(says["sub"])}
            text = with_payload(text, says)
        elif kind in _RESIGNED:
            text = _RESIGNED[kind](text)
        return IssuedToken(kind, text, header, says)

    def _key_of(self, kind: TokenKind) -> SigningKey:
        if kind == "rotated":
            if self._previous is None:
                raise ValueError(
                    "A token of the kind 'rotated' is signed by a previous key, which the JWKS does not list since "
                    "rotate(keep_previous=False): ask for 'retired', or call rotate() once more."
                )
            return self._previous
        if kind == "retired":
            self._retired = self._retired or self._new_key()
            return self._retired
        if kind in ("unknown_kid", "embedded_key"):
            self._stray = self._stray or self._new_key()
            return self._stray
        return self._current

    def _new_key(self) -> SigningKey:
        return SigningKey(f"key-{self._key_ids.getrandbits(64):016x}", self._algorithm)


def _times(kind: TokenKind, now: int, lifetime_s: int, off_by_s: int) -> dict[str, int]:
    """Return when a token was issued, begins and ends: each that is not asked to be wrong fits the time of now."""
    if kind == "expired":
        begin = issued = now - off_by_s - lifetime_s
    elif kind == "not_yet_valid":
        # One of which `iat` is to come is refused for that by some libraries, whatever `nbf` says.
        issued, begin = now, now + off_by_s
    else:
        begin = issued = now
    return {"iat": issued, "nbf": begin, "exp": begin + lifetime_s}


def _other(name: str) -> str:
    return f"{name}-other"


def _left_out(without: Collection[str], kind: TokenKind, has: Sequence[str]) -> list[str]:
    names = several_names("without", without)
    if names and kind != "valid":
        raise ValueError(
            f"without leaves claims out of a 'valid' token; something is wrong with one of {kind!r} already."
        )
    for name in names:
        if name not in has:
            raise ValueError(f"without names {name!r}, which the token does not have. It has: {', '.join(has)}.")
    return names
