"""MockAuth's tokens, as two JWT libraries judge them."""

import asyncio
import base64
import hashlib
import hmac
import re
import time
from typing import Any, get_args

import jwt as pyjwt
import pytest
from joserfc import errors, jwt
from joserfc.jwk import KeySet, OctKey
from stageflow_mocks import TOKEN_KINDS, MockAuth, TokenKind
from stageflow_mocks.auth.keys import ALGORITHMS, Algorithm
from stageflow_mocks.simulation import simulated

NOW = 1_800_000_000
LEEWAY_S = 60


def _auth(**options: Any) -> MockAuth:
    return MockAuth(**({"algorithm": "ES256", "audience": "chat", "clock": lambda: NOW + 0.7} | options))


def _judge(auth: MockAuth, text: str, *, keys: dict[str, Any] | None = None, now: int = NOW, **claims: Any) -> Any:
    """Check a token as joserfc's documentation says, and return its claims."""
    key_set = KeySet.import_key_set(keys or auth.jwks())
    token = jwt.decode(text, key_set, algorithms=[auth.algorithm])
    required = {
        "iss": {"essential": True, "value": auth.issuer},
        "aud": {"essential": True, "value": "chat"},
        "exp": {"essential": True},
    }
    jwt.JWTClaimsRegistry(now=now, leeway=LEEWAY_S, **(required | claims)).validate(token.claims)
    return token.claims


def _judge_by_pyjwt(auth: MockAuth, text: str) -> Any:
    """Check a token as PyJWT's documentation says, and return its claims."""
    keys = {key.key_id: key for key in pyjwt.PyJWKSet.from_dict(auth.jwks()).keys}
    kid = pyjwt.get_unverified_header(text)["kid"]
    if kid not in keys:
        raise pyjwt.PyJWKClientError(f"no key {kid}")
    return pyjwt.decode(
        text, keys[kid], algorithms=[auth.algorithm], audience="chat", issuer=auth.issuer, leeway=LEEWAY_S
    )


REFUSED_BY_JOSERFC: dict[TokenKind, tuple[type[Exception], str]] = {
    "expired": (errors.ExpiredTokenError, "exp"),
    "not_yet_valid": (errors.InvalidClaimError, "not yet valid"),
    "wrong_audience": (errors.InvalidClaimError, "aud"),
    "wrong_issuer": (errors.InvalidClaimError, "iss"),
    "tampered": (errors.BadSignatureError, "bad_signature"),
    "tampered_signature": (errors.BadSignatureError, "bad_signature"),
    "no_signature": (errors.BadSignatureError, "bad_signature"),
    "zero_signature": (errors.BadSignatureError, "bad_signature"),
    "embedded_key": (errors.BadSignatureError, "bad_signature"),
    "alg_none": (errors.UnsupportedAlgorithmError, "none"),
    "alg_none_respelt": (errors.UnsupportedAlgorithmError, "nOnE"),
    "unknown_crit": (errors.UnsupportedHeaderError, "must-be-understood"),
    "key_confused": (errors.UnsupportedAlgorithmError, "HS256"),
    "unknown_kid": (errors.InvalidKeyIdError, "key-"),
    "retired": (errors.InvalidKeyIdError, "key-"),
}
REFUSED_BY_PYJWT: dict[TokenKind, type[Exception]] = {
    "expired": pyjwt.ExpiredSignatureError,
    "not_yet_valid": pyjwt.ImmatureSignatureError,
    "wrong_audience": pyjwt.InvalidAudienceError,
    "wrong_issuer": pyjwt.InvalidIssuerError,
    "tampered": pyjwt.InvalidSignatureError,
    "tampered_signature": pyjwt.InvalidSignatureError,
    "no_signature": pyjwt.InvalidSignatureError,
    "zero_signature": pyjwt.InvalidSignatureError,
    "embedded_key": pyjwt.InvalidSignatureError,
    "alg_none": pyjwt.InvalidAlgorithmError,
    "alg_none_respelt": pyjwt.InvalidAlgorithmError,
    "unknown_crit": pyjwt.InvalidTokenError,
    "key_confused": pyjwt.InvalidAlgorithmError,
    "unknown_kid": pyjwt.PyJWKClientError,
    "retired": pyjwt.PyJWKClientError,
}
ACCEPTED: tuple[TokenKind, ...] = ("valid", "rotated", "wrong_typ", "other_tenant", "revoked")


def test_each_kind_is_described_and_judged() -> None:
    """No kind is without a description or without a verdict, and who finds it is what the libraries say."""
    assert tuple(TOKEN_KINDS) == get_args(TokenKind)
    assert set(TOKEN_KINDS) == {*REFUSED_BY_JOSERFC, *ACCEPTED}
    assert set(REFUSED_BY_JOSERFC) == set(REFUSED_BY_PYJWT)
    finds = {
        "claims": errors.ClaimError,
        "signature": errors.BadSignatureError,
        "algorithm": errors.UnsupportedAlgorithmError,
        "header": errors.UnsupportedHeaderError,
        "key": errors.InvalidKeyIdError,
    }
    for kind, (error, _) in REFUSED_BY_JOSERFC.items():
        assert issubclass(error, finds[TOKEN_KINDS[kind].found_by]), kind
    left_to_others = {kind for kind, case in TOKEN_KINDS.items() if case.found_by in {"nobody", "application"}}
    assert left_to_others == set(ACCEPTED)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kind", REFUSED_BY_JOSERFC)
def test_joserfc_refuses(kind: TokenKind, algorithm: Algorithm) -> None:
    """A bad token is refused for what is wrong with it, by each algorithm."""
    auth = _auth(algorithm=algorithm)
    error, told = REFUSED_BY_JOSERFC[kind]
    if kind == "embedded_key" and algorithm in ("RS256", "PS256"):
        error, told = errors.ExceededSizeError, "Header size exceeds 512 bytes"  # before it comes to the signature
    with pytest.raises(error, match=told) as refused:
        _judge(auth, auth.token(kind).text)
    assert type(refused.value) is error


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kind", ACCEPTED)
def test_joserfc_accepts(kind: TokenKind, algorithm: Algorithm) -> None:
    """A token that a library cannot object to is accepted, and says what was asked for."""
    auth = _auth(algorithm=algorithm)
    token = auth.token(kind, user_id="ada", roles=["editor", "admin"], scopes=["chat:read", "chat:write"])
    claims = _judge(auth, token.text)
    assert claims == token.claims
    assert (claims["sub"], claims["roles"], claims["scope"]) == ("ada", ["editor", "admin"], "chat:read chat:write")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
@pytest.mark.parametrize("kind", TOKEN_KINDS)
def test_pyjwt_says_the_same(kind: TokenKind, algorithm: Algorithm) -> None:
    """Another library, by the real clock, comes to the same verdict."""
    auth = _auth(algorithm=algorithm, clock=time.time)
    token = auth.token(kind)
    if kind in ACCEPTED:
        assert _judge_by_pyjwt(auth, token.text) == token.claims
    else:
        with pytest.raises(REFUSED_BY_PYJWT[kind]) as refused:
            _judge_by_pyjwt(auth, token.text)
        assert type(refused.value) is REFUSED_BY_PYJWT[kind]


@pytest.mark.parametrize(
    ("kind", "without_the_check"),
    [
        ("expired", {"now": NOW - 3601}),
        ("not_yet_valid", {"now": NOW + 3600}),
        ("wrong_audience", {"aud": {"essential": True}}),
        ("wrong_issuer", {"iss": {"essential": True}}),
    ],
)
def test_one_thing_is_wrong(kind: TokenKind, without_the_check: dict[str, Any]) -> None:
    """Without the check that finds it a token is accepted, so it tests that check and no other."""
    auth = _auth()
    token = auth.token(kind)
    assert _judge(auth, token.text, **without_the_check) == token.claims


def test_wrong_names_begin_with_the_right_ones() -> None:
    """A verifier that compares beginnings, or looks for a text in a text, accepts what it should not."""
    auth = _auth()
    assert auth.token("wrong_audience").claims["aud"] == "chat-other"
    assert auth.token("wrong_audience", audience=["chat", "mail"]).claims["aud"] == ["chat-other", "mail-other"]
    assert auth.token("wrong_issuer").claims["iss"].startswith(auth.issuer)
    assert auth.token("other_tenant", tenant_id="acme").claims["tenant_id"] == "acme-other"


def test_key_confusion_deceives_who_believes_the_header() -> None:
    """The signature is right for HS256 with the public PEM as the secret: a careless verifier accepts it."""
    auth = _auth(algorithm="RS256")
    content, _, signature = auth.token("key_confused").text.rpartition(".")
    computed = hmac.new(auth.public_key_pem(), content.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64encode(computed).rstrip(b"=").decode() == signature
    assert auth.public_key_pem().startswith(b"-----BEGIN PUBLIC KEY-----\n")


def test_alg_none_deceives_who_allows_it() -> None:
    """The token is a well-formed unsecured one: a verifier that allows `none` reads it."""
    token = _auth().token("alg_none")
    with pytest.warns(errors.SecurityWarning):
        read = jwt.decode(token.text, OctKey.generate_key(), algorithms=["none"])
    assert read.claims == token.claims
    assert token.text.endswith(".")


def test_an_embedded_key_deceives_who_trusts_it() -> None:
    """The signature is right by the key in the header: a verifier that takes that key accepts it."""
    auth = _auth()
    token = auth.token("embedded_key")
    brought = KeySet.import_key_set({"keys": [token.header["jwk"] | {"kid": token.header["kid"]}]})
    read = jwt.decode(token.text, brought, algorithms=["ES256"])
    assert read.claims == token.claims
    assert token.header["kid"] == auth.jwks()["keys"][0]["kid"]
    assert "d" not in token.header["jwk"]


def test_a_typ_for_another_purpose() -> None:
    """It is that of plain JWTs, as ID tokens are; where that is what is asked for it is that of access tokens."""
    assert _auth().token("wrong_typ").header["typ"] == "JWT"
    assert _auth(typ="JWT").token("wrong_typ").header["typ"] == "at+jwt"


def test_a_signature_of_zeros_is_as_long_as_a_real_one() -> None:
    """So that its length is not what it is refused for."""
    auth = _auth()
    lengths = {len(auth.token(kind).text.rpartition(".")[2]) for kind in ("valid", "zero_signature")}
    assert len(lengths) == 1
    assert auth.token("no_signature").text.endswith(".")


def test_a_tampered_token_says_what_it_was_changed_to() -> None:
    """The payload is of another user under the signature of the first, and `claims` tells it."""
    auth = _auth()
    token = auth.token("tampered", user_id="ada")
    assert pyjwt.decode(token.text, options={"verify_signature": False}) == token.claims
    assert token.claims["sub"] == "ada-other"


def test_claims_and_header_of_a_valid_token() -> None:
    """A token has what RFC 9068 asks for, in whole seconds, and claims of the names that were chosen."""
    auth = _auth(issuer="https://id.test", lifetime_s=60, tenant_claim="org_id", roles_claim="groups", seed=7)
    token = auth.token(user_id="ada", tenant_id="acme", roles=["editor"], scopes=["a", "b"], claims={"email": "a@b.c"})
    assert token.claims == {
        "iss": "https://id.test",
        "sub": "ada",
        "aud": "chat",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 60,
        "scope": "a b",
        "groups": ["editor"],
        "org_id": "acme",
        "email": "a@b.c",
        "jti": token.jti,
    }
    assert token.header == {"typ": "at+jwt", "alg": "ES256", "kid": auth.jwks()["keys"][0]["kid"]}
    assert pyjwt.get_unverified_header(token.text) == token.header
    assert f"Bearer {token}" == f"Bearer {token.text}"


def test_a_token_ends_when_its_time_is_over() -> None:
    """The clock decides: a token that was good is expired once its lifetime and the leeway are over."""
    now = [NOW]
    auth = _auth(clock=lambda: now[0])
    token = auth.token(lifetime_s=30)
    _judge(auth, token.text, now=NOW + 30 + LEEWAY_S - 1)
    with pytest.raises(errors.ExpiredTokenError):
        _judge(auth, token.text, now=NOW + 30 + LEEWAY_S)
    now[0] += 1000
    assert auth.token().claims["iat"] == NOW + 1000


@pytest.mark.parametrize(("off_by_s", "accepted"), [(LEEWAY_S - 1, True), (LEEWAY_S, False)])
def test_how_far_off_is_chosen(off_by_s: int, accepted: bool) -> None:
    """With `off_by_s` a test stands at the edge of its verifier's leeway."""
    auth = _auth()
    token = auth.token("expired", off_by_s=off_by_s)
    assert token.claims["exp"] == NOW - off_by_s
    if accepted:
        _judge(auth, token.text)
    else:
        with pytest.raises(errors.ExpiredTokenError):
            _judge(auth, token.text)
    assert auth.token("not_yet_valid", off_by_s=5).claims["nbf"] == NOW + 5


@simulated()
async def test_the_clock_may_be_that_of_a_simulation() -> None:
    """In simulated time tokens age as everything else does."""
    auth = _auth(clock=asyncio.get_running_loop().time)
    token = auth.token()
    await asyncio.sleep(3600)
    assert (token.claims["iat"], auth.token().claims["iat"]) == (0, 3600)


def test_rotation() -> None:
    """The previous key stays in the JWKS for one rotation; then what it signed is refused."""
    auth = _auth()
    before = auth.token()
    first = auth.jwks()["keys"]
    auth.rotate()
    second = auth.jwks()["keys"]
    assert second[1] == first[0]
    assert second[0] not in first
    _judge(auth, before.text)
    assert auth.token("rotated").header["kid"] == before.header["kid"]
    assert auth.token().header["kid"] == second[0]["kid"]
    auth.rotate()
    with pytest.raises(errors.InvalidKeyIdError):
        _judge(auth, before.text)
    assert auth.token("retired").header["kid"] == before.header["kid"]
    assert len(auth.jwks()["keys"]) == 2


def test_rotation_that_drops_the_previous_key() -> None:
    """After a key was compromised the JWKS lists the new one alone, and what the old one signed is refused."""
    auth = _auth()
    before = auth.token()
    auth.rotate(keep_previous=False)
    assert len(auth.jwks()["keys"]) == 1
    assert auth.token("retired").header["kid"] == before.header["kid"]
    with pytest.raises(errors.InvalidKeyIdError):
        _judge(auth, before.text)
    with pytest.raises(ValueError, match=r"since rotate\(keep_previous=False\): ask for 'retired', or call rotate\(\)"):
        auth.token("rotated")
    auth.rotate()
    _judge(auth, auth.token("rotated").text)
    assert auth.token("retired").header["kid"] == before.header["kid"]


def test_keys_of_a_kind_stay_the_same() -> None:
    """Two tokens by an unknown key are by one key, and a retired key is never in the JWKS."""
    auth = _auth()
    listed = {key["kid"] for key in auth.jwks()["keys"]}
    for kind in ("unknown_kid", "retired"):
        kids = {auth.token(kind).header["kid"] for _ in range(2)}
        assert len(kids) == 1
        assert not kids & listed


def test_no_private_key_is_published() -> None:
    """The JWKS has public parameters alone, with what a verifier chooses a key by."""
    for algorithm, public in (("RS256", {"n", "e"}), ("ES256", {"crv", "x", "y"})):
        for key in _auth(algorithm=algorithm).jwks()["keys"]:
            assert set(key) == {"kty", "kid", "use", "alg"} | public
            assert (key["use"], key["alg"]) == ("sig", algorithm)


@pytest.mark.parametrize("seed", [0, 1])
def test_two_issuers_do_not_accept_each_other(seed: int) -> None:
    """Of another seed the key is unknown; of the same seed its id is the same, yet the signature is not."""
    ours, theirs = _auth(seed=0), _auth(seed=seed)
    token = theirs.token()
    _judge(theirs, token.text)
    with pytest.raises(errors.InvalidKeyIdError if seed else errors.BadSignatureError):
        _judge(ours, token.text)


def test_ids_come_from_the_seed() -> None:
    """The same calls give the same ids, whatever else was asked for in a way that failed; another seed others."""

    def ids(seed: int) -> list[str]:
        auth = _auth(seed=seed)
        tokens = [auth.token(kind) for kind in TOKEN_KINDS]
        with pytest.raises(ValueError, match="scope"):
            auth.token(scopes=["a b"])
        with pytest.raises(ValueError, match="without"):
            auth.token(without=["nothing"])
        auth.rotate()
        every = (*tokens, auth.token())
        return [token.jti for token in every] + [token.header["kid"] for token in every]

    assert ids(3) == ids(3)
    assert not set(ids(3)) & set(ids(4))
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", ids(3)[0])
    assert re.fullmatch(r"key-[0-9a-f]{16}", ids(3)[-1])


def test_every_token_is_recorded() -> None:
    """What was issued can be looked at afterwards, in its order."""
    auth = _auth()
    tokens = [auth.token(), auth.token("expired")]
    assert auth.issued == tokens
    assert [token.kind for token in auth.issued] == ["valid", "expired"]


def test_revoking() -> None:
    """A revoked token is on the list from the beginning, another one from when it is revoked, once."""
    auth = _auth()
    good, by_id, bad = auth.token(), auth.token(), auth.token("revoked")
    assert auth.revoked == (bad.jti,)
    auth.revoke(good)
    auth.revoke(by_id.jti)
    auth.revoke(good)
    assert auth.revoked == (bad.jti, good.jti, by_id.jti)
    with pytest.raises(ValueError, match=r"No token with the jti 'elsewhere' was issued here"):
        auth.revoke("elsewhere")
    with pytest.raises(ValueError, match=r"not by its text: give revoke\(\) what token\(\) returned"):
        auth.revoke(good.text)
    with pytest.raises(ValueError, match="This token was not issued here"):
        auth.revoke(_auth().token())
    nameless: Any = auth.token(without=["jti"])
    for what in (nameless, None):
        with pytest.raises((TypeError, ValueError), match="jti"):
            auth.revoke(what)
    assert len(auth.revoked) == 3


@pytest.mark.parametrize("claim", ["iss", "aud", "exp"])
def test_claims_can_be_left_out(claim: str) -> None:
    """A verifier that requires a claim refuses a token without it."""
    auth = _auth()
    token = auth.token(without=[claim])
    with pytest.raises(errors.MissingClaimError, match=claim):
        _judge(auth, token.text)


def test_a_token_without_a_tenant() -> None:
    """A user need not be of a tenant; then there is no other tenant either."""
    auth = _auth()
    assert "tenant_id" not in auth.token(tenant_id=None).claims
    with pytest.raises(ValueError, match="has a tenant: give it the tenant_id"):
        auth.token("other_tenant", tenant_id=None)


def test_an_audience_of_several() -> None:
    """Several services may be the audience, of a MockAuth or of one token."""
    auth = _auth(audience=["chat", "mail"])
    assert _judge(auth, auth.token().text)["aud"] == ["chat", "mail"]
    assert auth.token(audience="mail").claims["aud"] == "mail"


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"issuer": ""}, ValueError, "issuer is a text that is not empty"),
        ({"issuer": 5}, TypeError, "issuer is a text, not 5"),
        ({"audience": []}, ValueError, "audience is at least one service"),
        ({"audience": "chat "}, ValueError, "audience is a text .* no white space"),
        (
            {"algorithm": "ES25"},
            ValueError,
            r"'ES25' is no algorithm of MockAuth\. Did you mean 'ES256'\? There are: RS256",
        ),
        ({"algorithm": "none"}, ValueError, "'none' is no algorithm of MockAuth"),
        ({"algorithm": []}, ValueError, r"\[\] is no algorithm of MockAuth"),
        ({"lifetime_s": 0}, ValueError, "lifetime_s is at least 1 second, not 0"),
        ({"lifetime_s": 1.5}, TypeError, "lifetime_s is a whole number of seconds, not 1.5"),
        ({"typ": ""}, ValueError, "typ is a text"),
        ({"tenant_claim": "sub"}, ValueError, "claims of their own, but 'sub' is taken"),
        ({"tenant_claim": "x", "roles_claim": "x"}, ValueError, "claims of their own, but 'x' is taken"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], error: type[Exception], told: str) -> None:
    """What an issuer cannot be is refused when it is made."""
    with pytest.raises(error, match=told):
        _auth(**options)


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        (
            {"kind": "expird"},
            ValueError,
            r"'expird' is no kind of token of MockAuth\. Did you mean 'expired'\? There are: valid",
        ),
        ({"kind": 3}, ValueError, "3 is no kind of token"),
        ({"user_id": ""}, ValueError, "user_id is a text that is not empty"),
        ({"tenant_id": 7}, TypeError, "tenant_id is a text, not 7"),
        ({"roles": "admin"}, TypeError, r"roles are several texts, not one: write \['admin'\]"),
        ({"roles": ["a", "a"]}, ValueError, "roles names something twice"),
        ({"roles": [1]}, TypeError, "each of roles is a text, not 1"),
        ({"scopes": "chat"}, TypeError, r"scopes are several texts, not one: write \['chat'\]"),
        ({"scopes": ["chat read"]}, ValueError, "'chat read' is no scope"),
        ({"audience": [""]}, ValueError, "each of audience is a text that is not empty"),
        ({"lifetime_s": -1}, ValueError, "lifetime_s is at least 1 second"),
        ({"off_by_s": 0}, ValueError, "off_by_s is at least 1 second"),
        ({"off_by_s": True}, TypeError, "off_by_s is a whole number of seconds, not True"),
        ({"claims": {"exp": 1}}, ValueError, "claims sets 'exp', which MockAuth writes itself: use user_id"),
        ({"claims": {"tenant_id": "x"}}, ValueError, "claims sets 'tenant_id'"),
        ({"claims": {"x": object()}}, TypeError, "claims cannot be written as JSON"),
        ({"claims": [1]}, TypeError, r"claims is a mapping, not \[1\]"),
        ({"claims": {"x": float("nan")}}, TypeError, "claims cannot be written as JSON"),
        ({"without": ["nonce"]}, ValueError, "without names 'nonce', which the token does not have. It has: iss, sub"),
        ({"without": ["exp"], "kind": "expired"}, ValueError, "something is wrong with one of 'expired' already"),
    ],
)
def test_bad_requests_are_refused(asked: dict[str, Any], error: type[Exception], told: str) -> None:
    """What a token cannot be is refused, and no token is recorded."""
    auth = _auth()
    with pytest.raises(error, match=told):
        auth.token(**asked)
    assert auth.issued == []


def test_a_clock_that_tells_no_time_is_refused() -> None:
    """A token with no time in it would be good for ever or never."""
    with pytest.raises(ValueError, match="The clock of MockAuth says Unix seconds, not nan"):
        _auth(clock=lambda: float("nan")).token()
