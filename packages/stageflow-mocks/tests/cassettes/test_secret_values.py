"""Secrets: what is one by its name or looks, and where a known one is found again."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow_mocks.cassettes.bodies import response_body
from stageflow_mocks.cassettes.secret_values import MARK, Secrets


@pytest.mark.parametrize(
    "name",
    ["authorization", "X-Api-Key", "x-rapidapi-key", "X_FUNCTIONS_KEY", "x-hub-signature-256", "set-cookie", "X-Auth"],
)
def test_headers_that_tell_of_secrets(name: str) -> None:
    """Beside the names of secrets that core knows, every key and signature."""
    assert Secrets().is_header(name)


@pytest.mark.parametrize(
    "name", ["idempotency-key", "sec-websocket-key", "x-ratelimit-remaining-tokens", "etag", "x-n"]
)
def test_headers_that_do_not(name: str) -> None:
    """Keys of other kinds, and all else."""
    assert not Secrets().is_header(name)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("sig", "x", True),
        ("X-Amz-Signature", "x", True),
        ("access_token", "x", True),
        ("auth", "x", True),
        ("key", "AIza0123456789", True),
        ("code", "4/0AX4XfWh-and-more-of-it", True),
        ("key", "user:42", False),
        ("code", "en-US", False),
        ("code", "international", False),
        ("max_tokens", "12345678", False),
        ("design", "x", False),
    ],
)
def test_parameters_that_tell_of_secrets(name: str, value: str, told: bool) -> None:
    """`key` and `code` do if they hold what may be one, so that the others are still compared."""
    assert told == Secrets().is_parameter(name, value)


@pytest.mark.parametrize(
    ("value", "is_secret"),
    [
        ("Hello", False),
        (" 2024", False),
        ("internationalization", True),
        ("t0ken-value", True),
        (15496, False),
        ({"id": 1, "text": "Hi"}, False),
        ({"value": "x"}, True),
    ],
)
def test_a_token_may_be_one_of_a_model(value: object, is_secret: bool) -> None:
    """The words of a stream stay, though their field has the name of a credential."""
    assert is_secret == Secrets().is_field("token", value)
    hidden = Secrets().hidden_json({"token": value})
    assert is_secret == (hidden != {"token": value})
    event = f"data: {json.dumps({'token': value})}\n\n"
    body = response_body([(0.0, event.encode())], "text/event-stream", Secrets(), keep_audio=False)
    assert is_secret == (body != {"text": [[0.0, event]]})


def test_names_of_the_users_own() -> None:
    """In any case of letters, in any place, whatever they hold."""
    secrets = Secrets(["Team", "token", "key"])
    assert secrets.is_header("TEAM")
    assert secrets.is_parameter("team", "x")
    assert secrets.is_parameter("key", "x")
    assert secrets.is_field("TEAM", 1)
    assert secrets.is_field("token", "Hello")


def test_who_finds_secrets_returns_several() -> None:
    """One text would be taken for as many secrets as it has letters."""
    with pytest.raises(TypeError, match="find_secrets returns several texts, not one"):
        Secrets(find=lambda text: text).learn_text("abc")


@pytest.mark.parametrize(
    "secret",
    [
        "gsk_abcdefghij0123456789",
        "sk-proj-abcdefghij0123456789",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "AKIAIOSFODNN7EXAMPLE",
    ],
)
def test_looks_that_tell_of_secrets(secret: str) -> None:
    """Wherever they are."""
    assert Secrets().hidden(f"before {secret} after") == f"before {MARK} after"


def test_a_bearer_is_hidden_without_its_word() -> None:
    """In text, as in the message of an error."""
    assert Secrets().hidden("Bearer abc.def/123= is wrong") == f"Bearer {MARK} is wrong"


SECRETS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Zs", "Cc", "Zl", "Zp"]), min_size=8, max_size=40
).filter(lambda text: text not in MARK)


@given(secret=SECRETS, before=st.binary(max_size=5), after=st.binary(max_size=5))
def test_a_known_secret_is_found_in_every_form(secret: str, before: bytes, after: bytes) -> None:
    """Plain, in JSON and JSON in JSON, in addresses, in hexadecimal, and in base64 at any place."""
    secrets = Secrets(values=[secret])
    escaped = json.dumps(secret)[1:-1]
    for form in (secret, escaped, json.dumps(escaped)[1:-1], quote(secret, safe=""), quote(secret), quote_plus(secret)):
        assert form not in secrets.hidden(f"x{form}x")
        assert MARK in secrets.hidden(f"x{form}x")
    content = secret.encode()
    assert MARK in secrets.hidden(content.hex())
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        hidden = secrets.hidden(encode(before + content + after).decode())
        assert MARK in hidden
        # What is left is of what stands around it, and of the groups of base64 that it shares with that.
        assert len(hidden.replace(MARK, "")) <= (len(before) + len(after)) * 4 / 3 + 8


def test_credentials_are_learned_without_what_is_around_them() -> None:
    """The key after Bearer, the password of Basic, the value of a cookie, a sentence; not what is short."""
    secrets = Secrets()
    secrets.learn_header("Authorization", "Bearer long-enough-1")
    secrets.learn_header("Authorization", f"Basic {base64.b64encode(b'ada:p4ssword-of-ada').decode()}")
    secrets.learn_header("Cookie", "sid=c00kie-long; theme=dark")
    secrets.learn_header("X-Api-Key", "short")
    secrets.learn_json({"password": "it is a long one", "token": "t0ken-value"})
    told = "long-enough-1 p4ssword-of-ada c00kie-long dark short it is a long one ada t0ken-value Bearer"
    assert secrets.hidden(told) == f"{MARK} {MARK} {MARK} dark short {MARK} ada {MARK} Bearer"
    secrets = Secrets()
    secrets.learn_header("Authorization", f"Basic {base64.b64encode(b'sk_live_of_stripe:').decode()}")
    assert secrets.hidden("sk_live_of_stripe") == MARK


def test_what_stands_under_a_secret_name_keeps_its_shape() -> None:
    """Its texts and numbers are hidden at any depth."""
    value = {
        "credentials": {"user": "a", "pins": [1, 2.5, None, True]},
        "max_tokens": 5,
        "logprobs": [{"token": "Hi", "logprob": 1}],
    }
    assert Secrets().hidden_json(value) == {
        "credentials": {"user": MARK, "pins": [MARK, MARK, None, True]},
        "max_tokens": 5,
        "logprobs": [{"token": "Hi", "logprob": 1}],
    }


def test_a_secret_that_pieces_share_is_in_none_of_them() -> None:
    """Wherever a stream is cut, and the pieces stay as many, and the text around as it is."""
    secrets = Secrets(values=["geheim-123"])
    text = "one geheim-123 two geheim-123"
    for cut in range(len(text)):
        for second in range(cut, len(text), 3):
            pieces = [(0.1, part.encode()) for part in (text[:cut], text[cut:second], text[second:])]
            body = response_body(pieces, "text/plain", secrets, keep_audio=False)
            assert body is not None
            assert "".join(piece for _, piece in body["text"]) == f"one {MARK} two {MARK}"
            assert len(body["text"]) == 3


@pytest.mark.parametrize("spaced", [False, True])
def test_a_secret_that_events_share_is_in_none_of_them(spaced: bool) -> None:
    """The texts of a model's tokens are read as one, those of each call of a tool by themselves."""

    def event(content: str, call: int, arguments: str) -> str:
        calls = [{"index": call, "function": {"arguments": arguments}}]
        value = {"choices": [{"index": 0, "delta": {"content": content, "tool_calls": calls}}]}
        return f"data: {json.dumps(value, separators=None if spaced else (',', ':'))}\n\n"

    events = [
        event("My key is gsk", 0, '{"pass'),
        event("_0123456789ab", 1, '{"x": 1'),
        event("cdef. And", 0, 'word": "hun'),
        event(" more", 0, 'ter2"}'),
        "data: [DONE]\n\n",
    ]
    body = response_body([(0.0, each.encode()) for each in events], "text/event-stream", Secrets(), keep_audio=False)
    assert body is not None
    kept = [text for _, text in body["text"]]
    assert kept == [
        event(f"My key is {MARK}", 0, '{"pass'),
        event("", 1, '{"x": 1'),
        event(". And", 0, f'word": "{MARK}'),
        event(" more", 0, '"}'),
        "data: [DONE]\n\n",
    ]
