"""A MockAuth that serves its keys by HTTP, as identity providers do, for code that fetches and caches them.

    async with MockAuthServer(audience="chat") as auth:
        verifier = Verifier(jwks_url=auth.jwks_url, issuer=auth.issuer)
        verifier.check(auth.token("valid").text)

It speaks OpenID Connect Discovery 1.0, RFC 8414 (the same document), JWKS (RFC 7517) with `Cache-Control` and `ETag`,
and a list of revoked ids of its own. Nobody can log in: tokens are made by `token`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

from stageflow_mocks.auth.claims import require_name
from stageflow_mocks.auth.keys import Algorithm
from stageflow_mocks.auth.mock_auth import MockAuth
from stageflow_mocks.loopback import Arrivals, LoopbackServer
from stageflow_mocks.provider_faults import Hang

try:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
    from starlette.types import Receive, Scope, Send
except ImportError as error:
    raise ImportError(
        'MockAuthServer needs starlette and uvicorn: pip install "stageflow-mocks[auth,server]"', name=error.name
    ) from error

AuthFault: TypeAlias = int | Hang
"""What goes wrong with a request: it is answered with this status (400 to 599), or not at all."""

_OPENID_PATH = "/.well-known/openid-configuration"
_OAUTH_PATH = "/.well-known/oauth-authorization-server"
_JWKS_PATH = "/.well-known/jwks.json"
_REVOKED_PATH = "/revoked"


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """What the server was asked, and the status of its answer; None if it does not answer."""

    method: str
    path: str
    headers: Mapping[str, str]
    status: int | None


class MockAuthServer(MockAuth):
    """A MockAuth that is served on a free port of 127.0.0.1, for the length of an `async with` block.

    Args:
        issuer: The `iss` of the tokens. By default the address of the server, as verifiers that read the discovery
            document require; it is known, and tokens can be made, from when the block is entered.
        jwks_max_age_s: For how many seconds the JWKS may be cached, as its `Cache-Control` says.

    The others are those of MockAuth.

    Attributes:
        requests: Every request that was answered, or left without an answer, in that order.
    """

    def __init__(
        self,
        *,
        issuer: str | None = None,
        audience: str | Collection[str] = "stageflow",
        algorithm: Algorithm = "RS256",
        lifetime_s: int = 300,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        typ: str = "at+jwt",
        tenant_claim: str = "tenant_id",
        roles_claim: str = "roles",
        jwks_max_age_s: int = 300,
    ) -> None:
        if issuer is not None:
            require_name("issuer", issuer)
        if type(jwks_max_age_s) is not int or jwks_max_age_s < 0:
            raise ValueError(f"jwks_max_age_s is a whole number of seconds, zero or more, not {jwks_max_age_s!r}.")
        super().__init__(
            audience=audience,
            algorithm=algorithm,
            lifetime_s=lifetime_s,
            clock=clock,
            seed=seed,
            typ=typ,
            tenant_claim=tenant_claim,
            roles_claim=roles_claim,
        )
        self.requests: list[AuthRequest] = []
        self._fixed_issuer = issuer
        self._jwks_max_age_s = jwks_max_age_s
        self._faults: deque[AuthFault | None] = deque()
        self._arrivals = Arrivals()
        self._loopback = LoopbackServer(Starlette(routes=[Route("/{path:path}", _Endpoint(self))]))

    @property
    def base_url(self) -> str:
        """The server's root, `http://127.0.0.1:<port>`, while it runs."""
        return self._loopback.base_url

    @property
    def issuer(self) -> str:
        """The `iss` of the tokens: the address of the server, unless another was given."""
        return self.base_url if self._fixed_issuer is None else self._fixed_issuer

    @property
    def jwks_url(self) -> str:
        """Where the JWKS document is."""
        return self.base_url + _JWKS_PATH

    @property
    def discovery_url(self) -> str:
        """Where the discovery document of OpenID Connect is."""
        return self.base_url + _OPENID_PATH

    @property
    def revoked_url(self) -> str:
        """Where the list of revoked ids is: `{"revoked": ["<jti>", ...]}`."""
        return self.base_url + _REVOKED_PATH

    @property
    def pending_faults(self) -> tuple[AuthFault | None, ...]:
        """The faults that no request has met yet."""
        return tuple(self._faults)

    def fail_next(self, *faults: AuthFault | None) -> None:
        """Queue faults: each request from now on takes one, in order. None lets a request succeed.

        Raises:
            ValueError: One is neither a status from 400 to 599 nor `Hang()`; then none of them is queued.
        """
        for fault in faults:
            is_silence = fault is None or fault == Hang()
            if not is_silence and not (isinstance(fault, int) and 400 <= fault <= 599):
                raise ValueError(
                    f"A fault of MockAuthServer is a status from 400 to 599, Hang() or None, not {fault!r}."
                )
        self._faults.extend(faults)

    async def wait_for_requests(self, count: int) -> list[AuthRequest]:
        """Wait until `count` requests have arrived since the server was made."""
        await self._arrivals.reach(self.requests, count)
        return self.requests

    def discovery(self) -> dict[str, Any]:
        """Return the discovery document, with all that OpenID Connect requires of one."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.base_url}/authorize",
            "token_endpoint": f"{self.base_url}/token",
            "jwks_uri": self.jwks_url,
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.algorithm],
        }

    async def __aenter__(self) -> Self:
        await self._loopback.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._loopback.__aexit__(exc_type, exc, traceback)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request (ASGI)."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        fault = self._faults.popleft() if self._faults else None
        response = self._response(scope["method"], scope["path"], headers, fault)
        status = None if response is None else response.status_code
        kept = {name: value for name, value in headers.items() if name != "authorization"}
        self.requests.append(AuthRequest(scope["method"], scope["path"], kept, status))
        self._arrivals.tell()
        if response is not None:
            await response(scope, receive, send)
            return
        await _wait_disconnect(receive)

    def _response(self, method: str, path: str, headers: Mapping[str, str], fault: AuthFault | None) -> Response | None:
        if isinstance(fault, Hang):
            return None
        if fault is not None:
            return JSONResponse({"error": "scripted_fault", "status": fault}, fault, {"cache-control": "no-store"})
        documents: dict[str, Callable[[], dict[str, Any]]] = {
            _OPENID_PATH: self.discovery,
            _OAUTH_PATH: self.discovery,
            _JWKS_PATH: self.jwks,
            _REVOKED_PATH: lambda: {"revoked": list(self.revoked)},
        }
        document = documents.get(path)
        if document is None:
            told = "MockAuthServer lets nobody log in: make tokens by its method token()."
            return JSONResponse({"error": "not_found", "message": told, "paths": list(documents)}, 404)
        if method not in {"GET", "HEAD"}:
            return JSONResponse({"error": "method_not_allowed"}, 405, {"allow": "GET, HEAD"})
        cacheable = path != _REVOKED_PATH
        return _cached(document(), headers, self._jwks_max_age_s if cacheable else None)


class _Endpoint:
    """The server as an ASGI application: starlette hands it requests of every method, as it is not a function."""

    def __init__(self, server: MockAuthServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._server.handle(scope, receive, send)


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _cached(document: dict[str, Any], headers: Mapping[str, str], max_age_s: int | None) -> Response:
    """Return the document, or 304 if the client has it; what has no age may not be cached."""
    if max_age_s is None:
        return JSONResponse(document, headers={"cache-control": "no-store"})
    tag = f'"{hashlib.sha256(json.dumps(document).encode()).hexdigest()[:32]}"'
    caching = {"cache-control": f"public, max-age={max_age_s}", "etag": tag}
    if tag in {known.strip().removeprefix("W/") for known in headers.get("if-none-match", "").split(",")}:
        return Response(status_code=304, headers=caching)
    return JSONResponse(document, headers=caching)
