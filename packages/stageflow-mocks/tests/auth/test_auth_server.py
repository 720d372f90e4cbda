"""MockAuthServer, as HTTP clients and verifiers that fetch keys see it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt as pyjwt
import pytest
import pytest_asyncio
from joserfc import errors, jwt
from joserfc.jwk import KeySet
from stageflow_mocks import TOKEN_KINDS, Hang, MockAuth, MockAuthServer

NOW = 1_800_000_000


@pytest_asyncio.fixture
async def auth() -> AsyncIterator[MockAuthServer]:
    async with MockAuthServer(algorithm="ES256", audience="chat", clock=lambda: NOW) as running:
        yield running


@pytest_asyncio.fixture
async def http(auth: MockAuthServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


class Verifier:
    """Finds the keys of an issuer as OpenID Connect Discovery says, caches them, and fetches them for a new `kid`."""

    def __init__(self, http: httpx.AsyncClient, issuer: str) -> None:
        self._http = http
        self._issuer = issuer
        self._keys: KeySet | None = None

    async def claims_of(self, text: str) -> Any:
        keys = self._keys or await self._fetch()
        if pyjwt.get_unverified_header(text)["kid"] not in {key.kid for key in keys.keys}:
            keys = await self._fetch()
        token = jwt.decode(text, keys, algorithms=["ES256"])
        required: Any = {"iss": {"essential": True, "value": self._issuer}, "aud": {"essential": True, "value": "chat"}}
        jwt.JWTClaimsRegistry(now=NOW, **required).validate(token.claims)
        return token.claims

    async def _fetch(self) -> KeySet:
        discovery = await self._get(f"{self._issuer}/.well-known/openid-configuration")
        assert discovery["issuer"] == self._issuer
        self._keys = KeySet.import_key_set(await self._get(discovery["jwks_uri"]))
        return self._keys

    async def _get(self, url: str) -> Any:
        return (await self._http.get(url)).raise_for_status().json()


async def test_a_verifier_needs_the_issuer_alone(auth: MockAuthServer, http: httpx.AsyncClient) -> None:
    """Discovery leads to the keys, and the keys fit the tokens, of which the server is the issuer."""
    verifier = Verifier(http, auth.issuer)
    token = auth.token(user_id="ada")
    assert await verifier.claims_of(token.text) == token.claims
    assert auth.issuer == auth.base_url == token.claims["iss"]
    assert [request.path for request in auth.requests] == [
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
    ]
    with pytest.raises(errors.InvalidClaimError, match="iss"):
        await verifier.claims_of(auth.token("wrong_issuer").text)


async def test_a_verifier_follows_a_rotation(auth: MockAuthServer, http: httpx.AsyncClient) -> None:
    """A new `kid` is found in the JWKS that is served now, a retired one is not."""
    verifier = Verifier(http, auth.issuer)
    before = auth.token()
    await verifier.claims_of(before.text)
    auth.rotate()
    await verifier.claims_of(auth.token().text)
    await verifier.claims_of(before.text)
    assert len(auth.requests) == 4
    auth.rotate()
    await verifier.claims_of(auth.token().text)
    with pytest.raises(errors.InvalidKeyIdError):
        await verifier.claims_of(before.text)


async def test_two_servers_do_not_accept_each_other(auth: MockAuthServer, http: httpx.AsyncClient) -> None:
    """A token of one is refused by the keys of the other, whose ids are the same by the same seed or not."""
    verifier = Verifier(http, auth.issuer)
    for seed, error in ((0, errors.BadSignatureError), (1, errors.InvalidKeyIdError)):
        async with MockAuthServer(algorithm="ES256", audience="chat", clock=lambda: NOW, seed=seed) as other:
            assert other.issuer != auth.issuer
            with pytest.raises(error):
                await verifier.claims_of(other.token().text)
            await Verifier(http, other.issuer).claims_of(other.token().text)


async def test_the_discovery_document(auth: MockAuthServer, http: httpx.AsyncClient) -> None:
    """It has what OpenID Connect requires, for this server, and is the same where OAuth looks for it."""
    document = (await http.get(auth.discovery_url)).json()
    assert document == {
        "issuer": auth.base_url,
        "authorization_endpoint": f"{auth.base_url}/authorize",
        "token_endpoint": f"{auth.base_url}/token",
        "jwks_uri": auth.jwks_url,
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }
    assert (await http.get(f"{auth.base_url}/.well-known/oauth-authorization-server")).json() == document


async def test_the_jwks_may_be_cached(auth: MockAuthServer, http: httpx.AsyncClient) -> None:
    """It says for how long, and a client that has it gets 304, until the keys are rotated."""
    first = await http.get(auth.jwks_url)
    assert first.json() == auth.jwks()
    assert first.headers["cache-control"] == "public, max-age=300"
    same = await http.get(auth.jwks_url, headers={"if-none-match": first.headers["etag"]})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
    listed = f'"other", W/{first.headers["etag"]}'
    assert (await http.get(auth.jwks_url, headers={"if-none-match": listed})).status_code == 304
    auth.rotate()
    new = await http.get(auth.jwks_url, headers={"if-none-match": first.headers["etag"]})
    assert (new.status_code, new.json()) == (200, auth.jwks())
    assert new.headers["etag"] != first.headers["etag"]


async def test_the_age_of_the_jwks_is_chosen(http: httpx.AsyncClient) -> None:
    """`jwks_max_age_s` is what its `Cache-Control` says."""
    async with MockAuthServer(algorithm="ES256", jwks_max_age_s=0) as auth:
        assert (await http.get(auth.jwks_url)).headers["cache-control"] == "public, max-age=0"
    for wrong in (-1, 1.5):
        with pytest.raises(ValueError, match="jwks_max_age_s is a whole number of seconds, zero or more"):
            MockAuthServer(jwks_max_age_s=wrong)  # pyright: ignore[reportArgumentType]


async def test_the_list_of_the_revoked(auth: MockAuthServer, http: httpx.AsyncClient) -> None:
    """A revoked token is on the served list at once, and the list is not to be cached."""
    assert (await http.get(auth.revoked_url)).json() == {"revoked": []}
    token = auth.token("revoked")
    response = await http.get(auth.revoked_url)
    assert response.json() == {"revoked": [token.jti]}
    assert response.headers["cache-control"] == "no-store"


async def test_faults_are_met_in_their_order(auth: MockAuthServer, http: httpx.AsyncClient) -> None:
    """Each request takes one fault; None lets one through."""
    auth.fail_next(503, None, 404)
    assert auth.pending_faults == (503, None, 404)
    responses = [await http.get(auth.jwks_url) for _ in range(4)]
    assert [response.status_code for response in responses] == [503, 200, 404, 200]
    assert responses[0].json() == {"error": "scripted_fault", "status": 503}
    assert responses[0].headers["cache-control"] == "no-store"
    assert [request.status for request in auth.requests] == [503, 200, 404, 200]


@pytest.mark.parametrize("fault", [200, 600, "503", True, Hang(after_chunks=2)])
def test_other_faults_are_refused(fault: Any) -> None:
    """What is no status of a failure is refused, and nothing is queued."""
    auth = MockAuthServer(algorithm="ES256")
    with pytest.raises(ValueError, match=r"a status from 400 to 599, Hang\(\) or None, not"):
        auth.fail_next(503, fault)
    assert auth.pending_faults == ()


async def test_silence_lasts_until_the_server_is_left(http: httpx.AsyncClient) -> None:
    """A request that meets Hang gets no answer while others do; leaving the server ends it."""
    async with MockAuthServer(algorithm="ES256") as auth:
        auth.fail_next(Hang())
        asking = asyncio.create_task(http.get(auth.jwks_url))
        assert (await auth.wait_for_requests(1))[0].status is None
        assert (await http.get(auth.jwks_url)).status_code == 200
        assert not asking.done()
    with pytest.raises(httpx.TransportError):
        await asking


async def test_what_is_not_served_is_said(auth: MockAuthServer, http: httpx.AsyncClient) -> None:
    """Nobody can log in: the answer says how tokens are made, and what is served."""
    refused = await http.post(f"{auth.base_url}/token", data={"grant_type": "client_credentials"})
    assert refused.status_code == 404
    assert "make tokens by its method token()" in refused.json()["message"]
    assert "/.well-known/jwks.json" in refused.json()["paths"]
    wrong_method = await http.post(auth.jwks_url)
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "GET, HEAD")
    head = await http.head(auth.jwks_url)
    assert (head.status_code, head.content) == (200, b"")
    assert [request.method for request in auth.requests] == ["POST", "POST", "HEAD"]


async def test_a_bearer_token_is_not_kept(auth: MockAuthServer, http: httpx.AsyncClient) -> None:
    """The record of a request has its headers without the secret one."""
    await http.get(auth.jwks_url, headers={"authorization": "Bearer secret", "x-asked-by": "test"})
    assert auth.requests[0].headers["x-asked-by"] == "test"
    assert "authorization" not in auth.requests[0].headers


async def test_an_issuer_of_its_own(http: httpx.AsyncClient) -> None:
    """An application whose issuer is fixed is given that, while its keys come from here."""
    async with MockAuthServer(issuer="https://id.test", algorithm="ES256") as auth:
        assert auth.token().claims["iss"] == "https://id.test"
        assert (await http.get(auth.discovery_url)).json()["issuer"] == "https://id.test"
        assert (await http.get(auth.jwks_url)).json() == auth.jwks()
    assert auth.token().claims["iss"] == "https://id.test"
    with pytest.raises(ValueError, match="issuer is a text that is not empty"):
        MockAuthServer(issuer="")


async def test_it_has_to_run() -> None:
    """Before it is entered it has no address, and so no issuer; entered again it keeps its keys."""
    auth = MockAuthServer(algorithm="ES256", seed=1)
    for ask in (lambda: auth.jwks_url, lambda: auth.issuer, auth.token):
        with pytest.raises(RuntimeError, match="The server is not running: enter it with `async with`"):
            ask()
    keys = auth.jwks()
    async with auth:
        first = auth.token()
    async with auth:
        assert auth.jwks() == keys
    assert first.jti == MockAuth(algorithm="ES256", seed=1).token().jti


async def test_it_takes_what_mock_auth_takes() -> None:
    """Every option reaches the tokens."""
    async with MockAuthServer(
        audience="mail",
        algorithm="PS256",
        lifetime_s=9,
        clock=lambda: 50,
        typ="JWT",
        tenant_claim="org",
        roles_claim="groups",
    ) as auth:
        token = auth.token(roles=["a"], tenant_id="t")
    assert token.header["typ"] == "JWT"
    assert token.header["alg"] == "PS256"
    assert token.claims | {"jti": "", "iss": ""} == {
        "iss": "",
        "sub": "user-1",
        "aud": "mail",
        "iat": 50,
        "nbf": 50,
        "exp": 59,
        "scope": "",
        "groups": ["a"],
        "org": "t",
        "jti": "",
    }


async def test_pyjwt_fetches_the_keys() -> None:
    """Its JWKS client, in a thread as it blocks, judges each kind, and follows a rotation and an outage."""
    async with MockAuthServer(algorithm="ES256", audience="chat") as auth:
        client = pyjwt.PyJWKClient(auth.jwks_url, cooldown_duration=0)

        def user_of(text: str) -> str:
            key = client.get_signing_key_from_jwt(text)
            options: Any = {"require": ["exp", "iss", "aud"]}
            claims = pyjwt.decode(
                text, key, algorithms=["ES256"], audience="chat", issuer=auth.issuer, leeway=60, options=options
            )
            return claims["sub"]

        for kind, case in TOKEN_KINDS.items():
            token = auth.token(kind, user_id="ada")
            if case.found_by in {"nobody", "application"}:
                assert await asyncio.to_thread(user_of, token.text) == "ada"
            else:
                with pytest.raises(pyjwt.PyJWTError):
                    await asyncio.to_thread(user_of, token.text)
        before = auth.token(user_id="eve")
        auth.rotate()
        asked = len(auth.requests)
        assert await asyncio.to_thread(user_of, auth.token(user_id="bob").text) == "bob"
        assert await asyncio.to_thread(user_of, before.text) == "eve"
        assert len(auth.requests) == asked + 1
        auth.rotate()
        auth.fail_next(503)
        with pytest.raises(pyjwt.PyJWKClientConnectionError):
            await asyncio.to_thread(user_of, auth.token().text)
        assert await asyncio.to_thread(user_of, auth.token().text) == "user-1"
        with pytest.raises(pyjwt.PyJWKClientError, match="Unable to find"):
            await asyncio.to_thread(user_of, before.text)
