"""Keys that sign JSON Web Tokens, made when they are asked for and never stored.

The one module that needs joserfc. What is signed, and by which key, is decided by `mock_auth`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

try:
    from joserfc import jws
    from joserfc.jwk import ECKey, RSAKey
except ImportError as error:
    raise ImportError('MockAuth needs joserfc: pip install "stageflow-mocks[auth]"', name=error.name) from error

Algorithm: TypeAlias = Literal["RS256", "PS256", "ES256", "ES384"]
"""How tokens are signed (RFC 7518, section 3.1): by RSA keys of 2048 bits, or those of the curve that belongs to it."""

ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)

_CURVES: Mapping[str, Literal["P-256", "P-384"]] = {"ES256": "P-256", "ES384": "P-384"}
_RSA_BITS = 2048


class _AnyHeader(jws.JWSRegistry):
    """Signs what it would refuse to read."""

    def check_header(self, header: Any) -> None:
        return None


class SigningKey:
    """A private key with a `kid`, for one algorithm. It differs each time: no seed makes real keys repeatable."""

    def __init__(self, kid: str, algorithm: Algorithm) -> None:
        self.kid = kid
        self.algorithm: Algorithm = algorithm
        curve = _CURVES.get(algorithm)
        self._key = RSAKey.generate_key(_RSA_BITS) if curve is None else ECKey.generate_key(curve)

    def sign(self, header: Mapping[str, Any], payload: bytes) -> str:
        """Return the payload as a signed token in its compact form (RFC 7515, section 7.1), whatever its header has."""
        return jws.serialize_compact(dict(header), payload, self._key, registry=_AnyHeader(algorithms=[self.algorithm]))

    def public_jwk(self) -> dict[str, Any]:
        """Return the public half as an entry of a JWKS document (RFC 7517)."""
        return self._key.as_dict(private=False, kid=self.kid, use="sig", alg=self.algorithm)

    def public_parameters(self) -> dict[str, Any]:
        """Return the public half with nothing about it, as a header brings it along."""
        return {name: value for name, value in self.public_jwk().items() if name not in ("kid", "use", "alg")}

    def public_pem(self) -> bytes:
        """Return the public half as PEM, with the line end that tools write after it."""
        return self._key.as_pem(private=False)
