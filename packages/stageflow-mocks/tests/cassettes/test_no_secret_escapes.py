"""An adversary of the redaction: each case tries to get a secret into the file in another way."""

import base64
import gzip
import html
import json
import pickle
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stageflow_mocks import Cassette, UnknownRequestError
from stageflow_mocks.cassettes.errors import CassetteRefusal
from stageflow_mocks.cassettes.secret_values import Secrets
from stageflow_mocks.cassettes.takes import Asked, Take

URL = "http://127.0.0.1:9/v1"
KEY = "Zb3/kT+9w_Q=of-a-team"
"""Nothing but a name, or another place, tells that it is one; and most of what writes it otherwise has a way for it."""
AUTH = {"authorization": f"Bearer {KEY}"}
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
SSE = {"content-type": "text/event-stream"}

Reply = httpx.Response | Exception


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


def _asking(*, method: str = "POST", url: str = URL, **options: Any) -> httpx.Request:
    return httpx.Request(method, url, **options)


def _talk(cassette: Cassette, requests: list[httpx.Request], service: Any = None) -> list[Any]:
    seen: list[Any] = []
    with httpx.Client(transport=cassette.transport(service)) as client:
        for request in requests:
            try:
                seen.append(client.send(request).content)
            except httpx.TransportError as error:
                seen.append(type(error))
    return seen


def _recorded(path: Path, talk: list[tuple[httpx.Request, Reply]], **options: Any) -> str:
    replies = iter([reply for _, reply in talk])

    def serve(_: httpx.Request) -> httpx.Response:
        reply = next(replies)
        if isinstance(reply, Exception):
            raise reply
        return reply

    with Cassette(path, mode="record", **options) as cassette:
        _talk(cassette, [request for request, _ in talk], httpx.MockTransport(serve))
    with Cassette(path, **options) as cassette:  # what was recorded is found again
        _talk(cassette, [request for request, _ in talk])
    return path.read_text("utf-8")


def _views(text: str) -> Iterator[str]:
    """Yield the file as it is, and as who looks for secrets would read it."""
    yield text
    for once in (unquote(text), html.unescape(text), re.sub(r"\\+(?=[^u])", "", text)):
        yield once
        yield unquote(once)
    yield re.sub(r"\\+u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    for packed in re.findall(r"[A-Za-z0-9+/_-]{12,}={0,2}", text):
        for start in range(4):
            part = packed[start:].rstrip("=").replace("-", "+").replace("_", "/")
            yield base64.b64decode(part[: len(part) // 4 * 4]).decode("latin-1")
    for packed in re.findall(r"(?:[0-9a-fA-F]{2}){8,}", text):
        yield bytes.fromhex(packed).decode("latin-1")


def _assert_hidden(text: str, *secrets: str) -> None:
    pure = re.sub(r"sha256[= \":]+[0-9a-f]{64}", "", text)
    views = list(_views(pure))
    assert [] == [secret for secret in secrets if any(secret in view for view in views)]


class _InPieces(httpx.SyncByteStream):
    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pieces)


def _ok(**options: Any) -> httpx.Response:
    return httpx.Response(200, **options)


def _deflated(content: bytes) -> bytes:
    return zlib.compress(content)


def _events(*values: Any) -> str:
    return "".join(f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n" for value in values)


def _multipart(head: str, content: bytes = b"x") -> dict[str, Any]:
    body = f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n--b--\r\n"
    return {"content": body, "headers": {"content-type": "multipart/form-data; boundary=b", **AUTH}}


REQUESTS: dict[str, httpx.Request] = {
    "a path segment": _asking(url=f"{URL}/{quote(KEY, safe='')}/x", headers=AUTH),
    "a path, half quoted": _asking(url=f"{URL}/{quote(KEY, safe='+=')}", headers=AUTH),
    "the user of the address": _asking(url=f"http://{quote(KEY, safe='')}@127.0.0.1:9/", headers=AUTH),
    "the password of the address": _asking(url=f"http://u:{quote(KEY, safe='')}@127.0.0.1:9/v1", json={"a": KEY}),
    "an array in the query": _asking(params={"api_keys[]": [KEY, "x"]}, json=[KEY]),
    "a map in the query": _asking(params={"filter[access_token]": KEY}),
    "the name of a parameter": _asking(params={KEY: "1"}, headers=AUTH),
    "JSON in the query": _asking(params={"q": json.dumps({"token": KEY})}, json=[KEY]),
    "the query of Google": _asking(params={"key": KEY}, json=[KEY]),
    "a presigned address": _asking(
        url=f"{URL}?X-Amz-Credential={quote(KEY)}%2F2026&X-Amz-Signature={quote(KEY)}&X-Amz-Expires=60", json=[KEY]
    ),
    "a form": _asking(data={"note": f"my {KEY}", "client_secret": KEY}),
    "JSON in a form": _asking(data={"payload": json.dumps({"password": KEY, "n": 1}), "again": KEY}),
    "the name of a field of a form": _asking(data={KEY: "1"}, headers=AUTH),
    "a part": _asking(**_multipart('name="note"', f"my {KEY}".encode())),
    "JSON in a part": _asking(
        files={"n": (None, json.dumps({"secret": KEY}))}, data={"again": KEY}, headers={"x-other": "1"}
    ),
    "the name of a part": _asking(**_multipart(f'name="{KEY}"')),
    "the name of a file": _asking(**_multipart(f'name="f"; filename="{KEY}.txt"')),
    "the encoded name of a file": _asking(**_multipart(f"name=f; filename*=utf-8''{quote(KEY, safe='')}.txt")),
    "the type of a part": _asking(files={"f": ("f", b"x", f"text/plain; key={KEY}")}, headers=AUTH),
    "a binary part": _asking(files={"f": ("f.bin", b"\xff\xfe" + KEY.encode() + b"\x00")}, headers=AUTH),
    "base64 in a binary part": _asking(
        files={"f": ("f.bin", b"\xff" + base64.b64encode(KEY.encode()) + b"\x00")}, headers=AUTH
    ),
    "a name in JSON": _asking(json={KEY: {"a": 1}}, headers=AUTH),
    "a number": _asking(json={"password": 8236410975, "again": "it is 8236410975"}),
    "JSON in JSON": _asking(json={"a": json.dumps({"password": KEY}), "b": KEY}),
    "JSON in JSON in JSON": _asking(
        json={"a": json.dumps({"b": json.dumps({"c": json.dumps({"secret": KEY})})}), "d": KEY}
    ),
    "a word in JSON in JSON": _asking(json={"a": json.dumps({"password": "geheimnisse"}), "b": "x geheimnisse"}),
    "a secret with spaces": _asking(json={"passphrase": "correct horse battery", "b": "it is correct horse battery!"}),
    "UTF-16": _asking(content=json.dumps({"password": KEY, "b": KEY}).encode("utf-16")),
    "Latin-1": _asking(content=f'{{"password": "{KEY}", "b": "é{KEY}"}}'.encode("latin-1")),
    "a compressed request": _asking(
        content=gzip.compress(json.dumps({"a": KEY}).encode()),
        headers={"content-encoding": "gzip", "content-type": "application/json", **AUTH},
    ),
    "XML": _asking(content=f"<a><SecretAccessKey>{KEY}</SecretAccessKey><b>{KEY}</b></a>"),
    "lines of settings": _asking(content=f"API_KEY={KEY}\nOTHER={KEY}"),
    "headers of other names": _asking(json=[KEY], headers={"X-RapidAPI-Key": KEY}),
    "a header with underscores": _asking(json=[KEY], headers={"X_API_KEY": KEY}),
    "a header run together": _asking(json=[KEY], headers={"XApiKey": KEY}),
    "Basic": _asking(
        json=[KEY], headers={"Authorization": f"Basic {base64.b64encode(f'ada:{KEY}'.encode()).decode()}"}
    ),
    "Basic, the key as the user": _asking(
        json=[KEY], headers={"Authorization": f"Basic {base64.b64encode(f'{KEY}:'.encode()).decode()}"}
    ),
    "a signed request": _asking(
        json=[KEY], headers={"Authorization": f"AWS4-HMAC-SHA256 Credential=x/1, Signature={KEY}"}
    ),
    "a header that counts": _asking(headers={"x-note": f"with {KEY}", **AUTH}),
    "a content type": _asking(content=b"x", headers={"content-type": f"text/plain; token={KEY}"}),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_no_request_gets_one_in(tmp_path: Path, case: str) -> None:
    """Wherever a request holds it, and where the same request holds it again."""
    text = _recorded(tmp_path / "c.json", [(REQUESTS[case], _ok(text="x"))], match_headers=["x-note"])
    _assert_hidden(text, KEY, "8236410975", "correct horse battery", "geheimnisse")


ANSWERS: dict[str, Callable[[], Reply]] = {
    "a header": lambda: _ok(headers={"x-echo": f"your {KEY}"}),
    "headers that say so": lambda: _ok(headers={"x-rapidapi-key": JWT[::-1], "x-hub-signature-256": JWT[::-1]}),
    "a cookie": lambda: _ok(headers=[("set-cookie", "a=b"), ("set-cookie", f"sid={JWT[::-1]}; Path=/{KEY}")]),
    "a cookie without a name": lambda: _ok(headers={"set-cookie": f"{KEY}; Secure"}),
    "where it has moved to": lambda: _ok(
        headers={"location": f"https://bucket.example/x?X-Amz-Signature={JWT[::-1]}&page=2"}
    ),
    "a code of OAuth": lambda: _ok(headers={"location": f"https://app.example/cb?state=1&code={JWT[::-1]}"}),
    "a login": lambda: _ok(headers={"location": f"wss://ada:{JWT[::-1]}@live.example/"}),
    "an address of a socket": lambda: _ok(json={"url": f"wss://live.example/?access_token={JWT[::-1]}"}),
    "a signed address in JSON": lambda: _ok(json={"url": f"https://x.example/f?se=1&sig={JWT[::-1]}"}),
    "an error that repeats it": lambda: httpx.Response(401, json={"error": f"Incorrect API key provided: {KEY}."}),
    "an error page": lambda: httpx.Response(403, html=f"<p>{html.escape(KEY)} {quote(KEY, safe='')}</p>"),
    "JSON that escapes it": lambda: _ok(
        text=json.dumps({"a": KEY}).replace("/", "\\/"), headers={"content-type": "application/json"}
    ),
    "JSON that escapes more": lambda: _ok(
        text=json.dumps({"a": KEY}).replace("+", "\\u002B"), headers={"content-type": "application/json"}
    ),
    "JSON that escapes letters": lambda: _ok(
        text=json.dumps({"a": KEY}).replace("Z", "\\u005a"), headers={"content-type": "application/json"}
    ),
    "indented JSON that escapes letters": lambda: _ok(
        text=json.dumps({"a": KEY}, indent=3).replace("Z", "\\u005a"), headers={"content-type": "application/json"}
    ),
    "an event that escapes letters": lambda: _ok(
        text=_events(json.dumps({"a": KEY}).replace("Z", "\\u005a")), headers=SSE
    ),
    "a form": lambda: _ok(text=f"access_token={JWT[::-1]}&scope=a&token_type=bearer"),
    "XML": lambda: _ok(text=f"<SessionToken>{JWT[::-1]}</SessionToken>"),
    "a private key": lambda: _ok(text=f"-----BEGIN PRIVATE KEY-----\n{JWT[::-1]}\n-----END PRIVATE KEY-----"),
    "gzip": lambda: _ok(content=gzip.compress(f"a {KEY}".encode()), headers={"content-encoding": "gzip"}),
    "deflate": lambda: _ok(content=_deflated(f"a {KEY}".encode()), headers={"content-encoding": "deflate"}),
    "two codings": lambda: _ok(
        content=gzip.compress(_deflated(f"a {KEY}".encode())), headers={"content-encoding": "deflate, gzip"}
    ),
    "base64": lambda: _ok(text=base64.b64encode(f"user:{KEY}".encode()).decode()),
    "a data URL": lambda: _ok(json={"url": f"data:text/plain;base64,{base64.b64encode(KEY.encode()).decode()}"}),
    "hexadecimal": lambda: _ok(text=KEY.encode().hex()),
    "UTF-16": lambda: _ok(content=json.dumps({"password": JWT[::-1], "b": KEY}).encode("utf-16")),
    "UTF-16 without a mark": lambda: _ok(content=json.dumps({"b": KEY}).encode("utf-16-le")),
    "Latin-1": lambda: _ok(content=f'{{"password": "{JWT[::-1]}", "b": "é{KEY}"}}'.encode("latin-1")),
    "bytes": lambda: _ok(stream=_InPieces(b"\xff" + KEY[:5].encode(), KEY[5:].encode() + b"\xfe")),
    "pieces": lambda: _ok(stream=_InPieces(b"a " + KEY[:5].encode(), KEY[5:9].encode(), KEY[9:].encode())),
    "a name in an event": lambda: _ok(text=_events({KEY: 1}), headers=SSE),
    "a secret of an event": lambda: _ok(
        text=_events({"password": JWT[::-1]}, {"x": f"it is {JWT[::-1]}"}), headers=SSE
    ),
    "a word of an event": lambda: _ok(text=_events({"password": "geheimnisse"}, {"x": "a geheimnisse"}), headers=SSE),
    "a number of an event": lambda: _ok(text=_events({"password": 8236410975}), headers=SSE),
    "the head of a sound": lambda: _ok(
        content=b"RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00"
        b"\x01\x00\x01\x00"
        + bytes(8)
        + b"\x02\x00\x10\x00"
        + b"LIST"
        + len(KEY).to_bytes(4, "little")
        + KEY.encode()
        + b"\x00" * (len(KEY) % 2)
        + b"data\x02\x00\x00\x00\x01\x02"
    ),
    "an error of the transport": lambda: httpx.ProxyError(f"407 for http://u:{JWT[::-1]}@proxy/ with {KEY}"),
    "duplicate names": lambda: _ok(
        text=f'{{"password": "{JWT[::-1]}", "password": "x"}}', headers={"content-type": "application/json"}
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_no_answer_gets_one_in(tmp_path: Path, case: str) -> None:
    """Whatever the service makes of the key, and whatever secrets it gives itself."""
    talk: list[tuple[httpx.Request, Reply]] = [(_asking(headers=AUTH), ANSWERS[case]())]
    _assert_hidden(_recorded(tmp_path / "c.json", talk), KEY, JWT[::-1], "8236410975", "geheimnisse")


PARTS = [KEY[at : at + 3] for at in range(0, len(KEY), 3)]
STREAMS = {
    "events of texts": _events(*PARTS),
    "events of strings": _events(*map(json.dumps, PARTS)),
    "events of JSON": _events(*({"t": part} for part in PARTS)),
    "events of lists": _events(*([1, [part]] for part in PARTS)),
    "events that end with CR": _events(*PARTS).replace("\n", "\r"),
    "events that end with both": _events(*({"t": part} for part in PARTS)).replace("\n", "\r\n"),
    "lines of JSON": "".join(json.dumps({"t": part}) + "\n" for part in PARTS),
}


@pytest.mark.parametrize("case", STREAMS)
def test_no_stream_gets_its_parts_in(tmp_path: Path, case: str) -> None:
    """A mark is where it begins, and nothing where it goes on; what stands between stays."""
    path = tmp_path / "c.json"
    _recorded(path, [(_asking(headers=AUTH), _ok(text=STREAMS[case], headers=SSE))])
    body = json.loads(path.read_text("utf-8"))["exchanges"][0]["response"]["body"]
    kept = "".join(text for _, text in body["text"])
    expected = STREAMS[case].replace(PARTS[0], "<redacted>")
    for part in PARTS[1:]:
        expected = expected.replace(part, "")
    assert re.sub(" ", "", expected) == re.sub(" ", "", kept)


@pytest.mark.parametrize("later", ["request", "answer"])
def test_what_is_known_later_was_hidden_before(tmp_path: Path, later: str) -> None:
    """A key that only the last exchange shows under its name is gone from the first."""
    first = (_asking(json={"said": KEY}, url=f"{URL}/{quote(KEY, safe='')}"), _ok(text=f"you said {KEY}"))
    last = (_asking(headers=AUTH), _ok()) if later == "request" else (_asking(), _ok(json={"apiKey": KEY}))
    _assert_hidden(_recorded(tmp_path / "c.json", [first, last]), KEY)


def test_what_an_error_of_the_transport_shows_is_hidden_elsewhere(tmp_path: Path) -> None:
    """The login of a proxy is in no request."""
    failed = (_asking(), httpx.ProxyError(f"407 for http://ada:{JWT[::-1]}@proxy/"))
    _assert_hidden(_recorded(tmp_path / "c.json", [(_asking(json=[JWT[::-1]]), _ok()), failed]), JWT[::-1])


def test_who_finds_secrets_is_asked_about_everything(tmp_path: Path) -> None:
    """Names as well as values, of addresses, headers, forms and JSON, in requests and answers."""
    path, said = tmp_path / "c.json", [f"user-{number}x" for number in range(9)]
    asked = [
        _asking(url=f"{URL}/{said[0]}", params={"a": said[1]}, headers={"x-a": said[2]}, json={said[3]: said[4]}),
        _asking(data={"a": said[5]}),
        _asking(**_multipart('name="a"', said[6].encode())),
    ]
    answers = [_ok(json={said[7]: 1}), _ok(headers={"x-b": said[8]}), _ok()]
    find = re.compile(r"user-\dx").findall
    _assert_hidden(_recorded(path, list(zip(asked, answers, strict=True)), find_secrets=find), *said)


def test_an_encoded_name_of_a_file_is_read(tmp_path: Path) -> None:
    """As RFC 2231 has it, so that the same name in another encoding is the same."""
    text = _recorded(tmp_path / "c.json", [(_asking(**_multipart("name=f; filename*=utf-8''gr%C3%BC%C3%9Fe")), _ok())])
    assert '"filename": "grüße"' in text


SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=8, max_size=24).filter(
    lambda text: text.strip() == text and not text.isspace() and len(set(text)) > 3
)
WRITTEN: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in letters": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON twice": lambda text: json.dumps(json.dumps(text))[3:-3],
    "JSON thrice": lambda text: json.dumps(json.dumps(json.dumps(text)))[7:-7],
    "quoted": quote,
    "quoted whole": lambda text: quote(text, safe=""),
    "quoted twice": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": html.escape,
    "hexadecimal": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(b"u:" + text.encode()).decode(),
    "base64 of addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    secret=SECRETS,
    written=st.lists(st.sampled_from(sorted(WRITTEN)), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 300), max_size=5),
    kind=st.sampled_from(["text/plain", "application/json", "text/event-stream", "application/octet-stream"]),
)
def test_none_of_its_spellings_gets_in(
    tmp_path: Path, secret: str, written: list[str], cuts: list[int], kind: str
) -> None:
    """However it is written, and wherever the stream is cut."""
    spellings = [WRITTEN[name](secret) for name in written]
    content = "".join(f"<{spelling}>\n" for spelling in spellings).encode()
    ends = [*sorted(min(cut, len(content)) for cut in cuts), len(content)]
    pieces = [content[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    reply = _ok(stream=_InPieces(*pieces), headers={"content-type": kind})
    _recorded(tmp_path / "c.json", [(_asking(json={"password": secret}), reply)])
    tape = json.loads((tmp_path / "c.json").read_text("utf-8"))
    kept = json.dumps(tape, ensure_ascii=False)
    body = tape["exchanges"][0]["response"]["body"]
    assert "".join(text for _, text in body["text"]).count("<redacted>") >= len(written)
    _assert_hidden(
        kept.replace("<redacted>", ""),
        *(s for s in {secret, *spellings} if s not in json.dumps(tape["exchanges"][0]["request"]["url"])),
    )


def test_no_message_and_no_repr_shows_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of every refusal, also where the key is in the path; a traceback shows what has a repr."""
    path = tmp_path / "c.json"
    request = _asking(url=f"https://api.example/{quote(KEY)}/x?key={quote(KEY)}", headers=AUTH, json={"a": KEY})
    cassette = Cassette(path, mode="record")
    refused: list[BaseException] = []

    def ask() -> None:
        with pytest.raises(CassetteRefusal) as caught:
            _talk(cassette, [request])
        refused.append(caught.value)

    ask()
    monkeypatch.setenv("CI", "true")
    cassette.load()
    ask()
    monkeypatch.delenv("CI")
    _recorded(path, [(_asking(json={"a": "other"}), _ok())])
    cassette = Cassette(path)
    cassette.load()
    ask()
    assert ["CassetteClosedError", "RecordingInCIError", "UnknownRequestError"] == [type(e).__name__ for e in refused]
    for error in refused:
        _assert_hidden(f"{error} {error!r} {error.args}", KEY)
        assert "POST https://api.example/<redacted>/x?key=<redacted>" in str(error)
        assert str(error) == str(pickle.loads(pickle.dumps(error)))
    asked = Asked("GET", URL, [("key", KEY)], [("authorization", KEY)], KEY.encode(), KEY)
    _assert_hidden(
        f"{asked!r} {Take(asked, lambda: 0.0, lambda pieces, coding: None)!r} {Secrets(values=[KEY])!r}", KEY
    )


def test_a_picture_stays_as_it_is(tmp_path: Path) -> None:
    """In bytes that are no text, what looks like a name with its value is chance; a known secret is none."""
    picture = b"\x89PNG\x00\x01pw:\x8a1x9\xff?sig=ab12cd34 \x02"
    _recorded(tmp_path / "c.json", [(_asking(headers=AUTH), _ok(content=picture))])
    with Cassette(tmp_path / "c.json") as cassette:
        assert [picture] == _talk(cassette, [_asking(headers=AUTH)])
    _assert_hidden(_recorded(tmp_path / "c.json", [(_asking(headers=AUTH), _ok(content=picture + KEY.encode()))]), KEY)


NAMES = ["max_tokens", "token", "tokens", "key", "code", "text", "stop_token", "monkey", "expires_in", "author"]
WORDS = st.sampled_from(["Hello", "world", "my token is lost", "en-US", "user:42", "", "ä", "password"]) | st.integers(
    0, 9
)
ASKED = st.fixed_dictionaries(
    {"json": st.dictionaries(st.sampled_from(NAMES), WORDS | st.lists(WORDS, max_size=2), max_size=4)},
    optional={"params": st.dictionaries(st.sampled_from(["page", "key", "code", "lang"]), WORDS.map(str), max_size=2)},
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recorded=ASKED, asked=ASKED)
def test_what_holds_no_secret_is_compared(tmp_path: Path, recorded: dict[str, Any], asked: dict[str, Any]) -> None:
    """A request that is another in anything is refused: nothing in it is a wildcard."""
    path = tmp_path / "c.json"
    text = _recorded(path, [(_asking(**recorded), _ok())])
    assert "<redacted>" not in text
    cassette = Cassette(path)
    cassette.load()
    if recorded["json"] == asked["json"] and (recorded.get("params") or {}) == (asked.get("params") or {}):
        _talk(cassette, [_asking(**asked)])
    else:
        with pytest.raises(UnknownRequestError):
            _talk(cassette, [_asking(**asked)])
