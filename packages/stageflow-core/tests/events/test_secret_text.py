"""Secrets in text, and text that only looks like it."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stageflow.events.secret_text import hidden_text, redacted_sound, redacted_text, secrets_in

PREVIEW = re.compile(r"\[(?:redacted|base64|data URL|bytes literal), [^\]]*\]")

KEYS = [
    "sk-proj-abc_DEF-1234567890",
    "sk-ant-api03-abcdefgh",
    "gsk_abcdefghijklmnop",
    "ghp_0123456789abcdefABCDEF",
    "github_pat_11ABCDEFG0abcdefghij",
    "glpat-abcdefgh1234",
    "xoxb-123456789012-abcdef",
    "xapp-1-A0123456789",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "ya29.a0AfH6SMBx-1234567890",
    "SG.abcdefghijklmnop1.qrstuvwxyz",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "hf_abcdefghijklmnopqrst12",
    "sk_live_0123456789abcdef",
    "whsec_abcdefghijkl",
    "npm_abcdefghijklmnopqrstuvwxyz0123456789",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "around", ["{}", "Incorrect API key: {}.", "'{}'", "<{}>", "a\n{}\nb", "(see {})", "\\n{}", "%3D{}"]
)
def test_keys_of_providers_are_cut(key: str, around: str) -> None:
    """They are known by how they begin, wherever they stand."""
    cut = redacted_text(around.format(key))
    assert key not in cut
    assert re.search(r"\[redacted, \d+ characters\]", cut)


def test_a_preview_tells_the_length() -> None:
    """And what stands around the secret stays."""
    assert "use [redacted, 20 characters] here" == redacted_text("use gsk_abcdefghijklmnop here")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("api_key=abc123", "api_key=[redacted, 6 characters]"),
        ("password: hunter2", "password: [redacted, 7 characters]"),
        ("password: swordfish", "password: [redacted, 9 characters]"),
        ("password:swordfish now", "password:[redacted, 9 characters] now"),
        ("password: swordfish\nuser: x", "password: [redacted, 9 characters]\nuser: x"),
        ("(password: swordfish)", "(password: [redacted, 9 characters])"),
        ("password: swordfish, user: x", "password: [redacted, 9 characters], user: x"),
        ("API key: abc1", "API key: [redacted, 4 characters]"),
        ("my access token = x", "my access token = [redacted, 1 character]"),
        ("DB_PASSWORD=ab,cd;PORT=1", "DB_PASSWORD=[redacted, 5 characters];PORT=1"),
        ("connect(user='u', password='p w')", "connect(user='u', password='[redacted, 3 characters]')"),
        ("connect(password=hunter2)", "connect(password=[redacted, 7 characters])"),
        ("password='ab\\'cd' next", "password='[redacted, 6 characters]' next"),
        ("password='never closed\nnext", "password='[redacted, 12 characters]\nnext"),
        ("password=`x y` next", "password=`[redacted, 3 characters]` next"),
        ('{"api_key": "abc", "n": 1}', '{"api_key": "[redacted, 3 characters]", "n": 1}'),
        ("{'token': 'x', 'max_tokens': 5}", "{'token': '[redacted, 1 character]', 'max_tokens': 5}"),
        (r"{\"api_key\": \"abc\", \"n\": 1}", r"{\"api_key\": \"[redacted, 3 characters]\", \"n\": 1}"),
        (r"{\"api_key\": \"abc", r"{\"api_key\": \"[redacted, 3 characters]"),
        ('{"pin_token": 123456}', '{"pin_token": [redacted, 6 characters]}'),
        ("os.environ['API_KEY'] = 'abc'", "os.environ['API_KEY'] = '[redacted, 3 characters]'"),
        ("[('x-api-key', 'abc'), ('a', 'b')]", "[('x-api-key', '[redacted, 3 characters]'), ('a', 'b')]"),
        ("[(b'x-api-key', b'abc')]", "[(b'x-api-key', b'[redacted, 3 characters]')]"),
        ("run --api-key hunter2 --verbose", "run --api-key [redacted, 7 characters] --verbose"),
        ("run --password=hunter2", "run --password=[redacted, 7 characters]"),
        ("GET /x?api_key=abc&n=1", "GET /x?api_key=[redacted, 3 characters]&n=1"),
        ("https://x/y?sig=AbC%2F&se=1", "https://x/y?sig=[redacted, 6 characters]&se=1"),
        ("Authorization: Bearer abc", "Authorization: Bearer [redacted, 3 characters]"),
        ("authorization: Digest a=1, b=2\nHost: x", "authorization: Digest [redacted, 8 characters]\nHost: x"),
        ("Cookie: a=b; c=d\nHost: x", "Cookie: [redacted, 8 characters]\nHost: x"),
        ("Bearer abc123", "Bearer [redacted, 6 characters]"),
        ("Bearer abcDefGhi", "Bearer [redacted, 9 characters]"),
        ("bearer abcdefghijklmnopqrstu.", "bearer [redacted, 21 characters]."),
        ("Basic dXNlcjpwYXNz", "Basic [redacted, 12 characters]"),
        ("pass=hunter2", "pass=[redacted, 7 characters]"),
        ("postgres://app:s3cret@db/x", "postgres://app:[redacted, 6 characters]@db/x"),
        ("postgres://app:a@b@db/x", "postgres://app:[redacted, 3 characters]@db/x"),
        ("redis://:pw@host", "redis://:[redacted, 2 characters]@host"),
        ("https://0123456789abcdef@errors.example/1", "https://[redacted, 16 characters]@errors.example/1"),
        ("\u0130" * 40 + " password=geheim1", "\u0130" * 40 + " password=[redacted, 7 characters]"),
        (
            'private_key="-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----"',
            'private_key="[redacted, 57 characters]"',
        ),
        ("password=тест", "password=[redacted, 4 characters]"),
        ("key=x api_key=y", "key=x api_key=[redacted, 1 character]"),
        ("password=foo:sk-1234567890 x", "password=[redacted, 17 characters] x"),
        ("cannot decode b'\\x00\\x01'", "cannot decode [bytes literal, 11 characters]"),
        ('got b"it\'s a long one!"', "got [bytes literal, 19 characters]"),
        ("got b'\\x00 and was cut of", "got [bytes literal, 21 characters]"),
    ],
)
def test_secrets_are_cut_out_of_text(text: str, expected: str) -> None:
    """A preview stands in the place of the secret, and all around it stays."""
    assert expected == redacted_text(text)


ORDINARY = [
    "",
    "Hello there! How are you today?",
    "I forgot my password, can you reset it?",
    "The password: please change it every month.",
    "Passwords must have: letters, digits.",
    "Secret: nobody knows who she is.",
    "The secret is: practice, practice, practice.",
    "Secret ingredient: butter",
    "A token: the smallest unit of text.",
    "Next token: the",
    "Tokens: 512, max_tokens=100, total_tokens: 612",
    "Token: 2 of 3",
    "Time to first token: 230 ms",
    "The key: get up early",
    "Turn the key = open the door",
    "Cookies: we use them",
    "Recipe for cookies: butter and sugar",
    "Authorization: you need to ask your manager first.",
    "Author: Jane Austen",
    "Bearer of bad news",
    "the ring bearer walked on",
    "Basic JavaScript course for beginners",
    "Basic English:",
    "Basic abcde",
    "He said 'b' and then 'c', 'b', 'a'",
    "Plan b's weakness, and plan c's strength: none",
    "expected b'GET'",
    "invalid token: expired",
    "token=None password=null secret: required",
    "password=",
    "password=''",
    "pass: 10, fail: 2",
    "passed=10 pass=3",
    "See https://example.com/@user and http://localhost:8080/a@b",
    "ssh://git@example.com/x",
    "secret://vault/path",
    "the data: here, and there; data:, too",
    "task-force desk-lamp risk-management-2024-report",
    "ASIAPACIFICREGION and AKIA",
    "eyJ is how base64 of an object begins: eyJhIjoxLCJiIjoyLCJjIjozfQ",
    "npm_package_config_node_gyp_python_version",
    "0123456789abcdef" * 8,
    "550e8400-e29b-41d4-a716-446655440000",
    "/usr/lib/python3/dist-packages/some/long/path/to/a/module/called/something.py",
    "-" * 300,
    "Das Passwort ist: bitte nicht weitersagen",
    "パスワード: 忘れました",
    "token:这是一个词",
    "He earned $5: that's 3:1 odds at 10:30",
    "def f(key: str, n_tokens: int) -> None: ...",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_comes_back_as_it_is(text: str) -> None:
    """The very same object, which is how the fast path is known."""
    assert redacted_text(text) is text


def test_a_private_key_is_cut_to_its_end() -> None:
    """Or to the end of the text if that is cut off before."""
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----"
    assert "a [redacted, 69 characters] b" == redacted_text(f"a {key} b")
    assert "a [redacted, 69 characters] b" == redacted_text(f"a {key} b")
    assert "a [redacted, 39 characters]" == redacted_text(f"a {key[:39]}")
    assert "a [redacted, 66 characters]" == redacted_text(f"a {key[:66]}")


def test_a_certificate_is_no_private_key() -> None:
    """What is public may be published."""
    text = "-----BEGIN CERTIFICATE-----\nMIIEabc\n-----END CERTIFICATE-----"
    assert redacted_text(text) is text


def test_sound_as_a_data_url_becomes_its_size_and_its_hash() -> None:
    """With its type; the hash is that of the characters."""
    assert (
        "play [data URL, audio/wav, 30 characters, sha256 "
        "487a9bdf8ad01ae8fd7e25965ec4bf80f27362a1eb08e38ab92e1df6c1451923] now"
    ) == redacted_text("play data:audio/wav;base64,UklGRg== now")
    assert redacted_text("data:;base64,UklGRg==").startswith("[data URL, text/plain, 21 characters, sha256 ")


@pytest.mark.parametrize("sound", [bytes(range(256)) * 4, bytes(400)], ids=["noise", "silence"])
@pytest.mark.parametrize(
    "encode",
    [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes, bytes.hex],
    ids=lambda encode: encode.__name__,
)
def test_long_base64_becomes_its_size_and_its_hash(sound: bytes, encode: object) -> None:
    """Plain, for URLs, in lines, or in hexadecimal."""
    encoded = encode(sound)  # pyright: ignore[reportCallIssue, reportUnknownVariableType]
    text = encoded if isinstance(encoded, str) else encoded.decode()
    cut = redacted_text(f"frame: {text.rstrip()} end")
    assert re.fullmatch(r"frame: \[base64, \d+ characters, sha256 [0-9a-f]{64}\] end", cut)
    assert f"{len(text.rstrip())} characters" in cut


def test_base64_under_the_name_of_sound_is_cut_from_a_shorter_length_on() -> None:
    """As is hexadecimal; words stay."""
    text = base64.b64encode(b"0123456789abcdef" * 3).decode()
    assert redacted_text(text) is text
    assert redacted_sound(text).startswith("[base64, 64 characters, sha256 ")
    words = "please say again what you said about the weather in the mountains, and slower"
    assert redacted_sound(words) is words
    assert "short" == redacted_sound("short")


def test_a_hidden_text_is_hidden_once() -> None:
    """Its preview stays what it is, and a text that only begins like one is hidden."""
    assert "[redacted, 3 characters]" == hidden_text("abc") == hidden_text(hidden_text("abc"))
    assert "[redacted, 16 characters]" == hidden_text("[redacted, hello")


def test_every_letter_but_one_keeps_its_place_when_it_is_made_small() -> None:
    """Places in the text are found in a copy in small letters, so the two must be of one length."""
    assert ["\u0130"] == [chr(code) for code in range(0x110000) if len(chr(code).lower()) != 1]


FRAGMENTS = [
    *KEYS, "password", "api_key", "token", "Cookie", "Authorization", "Bearer", "Basic", "secret", "auth", "--key",
    "=", ":", " ", ": ", "'", '"', "`", "\\", '\\"', ",", "(", ")", "[", "]", "{", "}", "\n", "\r\n", "://", "@", "/",
    "data:a/b;base64,", "-----BEGIN PRIVATE KEY-----", "-----END", "b'", "\\x00", "&", ";", "<", ">", "None", "A" * 60,
    "[redacted, 3 characters]", "[redacted, ", "dXNlcjpwYXNz", "hunter2", "word", "A" * 200, "é", "\ud83d", "\u0130",
]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=12).map("".join))
def test_any_text_can_be_redacted(text: str) -> None:
    """Whatever stands beside whatever, nothing raises, and where something is cut a preview tells of it."""
    cut = redacted_text(text)
    assert cut is text or PREVIEW.search(cut)


@settings(deadline=None)
@given(
    st.sampled_from(["api_key", "password", '"token"', "--secret", "the client secret", "Cookie"]),
    st.sampled_from(["=", ": ", ":", " = ", "='", ': "', "=`"]),
    st.sampled_from([*KEYS, "hunter2", "a=b; c=d", "Basic dXNlcjpwYXNz"]),
    st.sampled_from(["", "'", '"', " and more", "\n", ", b=1", ")"]),
)
def test_a_preview_is_no_secret(name: str, sign: str, secret: str, after: str) -> None:
    """What was redacted stays as it is when it is redacted again, as an event of an event is."""
    once = redacted_text(f"{name}{sign}{secret}{after}")
    assert secret not in once
    assert once == redacted_text(once)


@settings(deadline=None)
@given(st.sampled_from(KEYS), st.text(max_size=30), st.text(max_size=30))
def test_a_key_is_cut_in_any_surroundings(key: str, before: str, after: str) -> None:
    """Unless a letter or a digit runs into it."""
    assert key not in redacted_text(f"{before} {key} {after}")


@settings(deadline=None)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz ,.!?", max_size=200))
def test_words_alone_are_never_cut(text: str) -> None:
    """Without a sign that assigns, only what has the looks of a key is a secret."""
    assert text == redacted_text(text)


@pytest.mark.parametrize(
    "pattern",
    [
        "token: ", "auth: token ", "cookie: a", " api key: a, ", "password='", 'password=\\"', "password: [redacted, ",
        "-eyJ", "sk-", "://a:", "data:a/b;", "b'\\", "-----BEGIN PRIVATE KEY", "A" * 60 + "\n", "bearer a ",
    ],
)  # fmt: skip
def test_the_longest_text_takes_time_in_proportion(pattern: str) -> None:
    """A rule that walked the rest of the text for each find would be at this one longer than a test may take."""
    text = pattern * (1_500_000 // len(pattern))
    assert redacted_text(text)


def test_who_hides_secrets_in_another_way_learns_their_places() -> None:
    """Those by looks and those by names; no sound, data or bytes, which are no secrets."""
    data = base64.b64encode(bytes(300)).decode()
    text = f"password=hunter2-x and gsk_abcdefghijklmnop, {data} data:image/png;base64,AAAA b'\\x00\\x01'"
    assert ["hunter2-x", "gsk_abcdefghijklmnop"] == [text[start:end] for start, end in secrets_in(text)]
    assert [] == secrets_in("max_tokens=5 and nothing else")
