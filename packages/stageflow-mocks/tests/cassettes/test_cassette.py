"""Cassettes under plain httpx clients, with services of the test's own in place of a network."""

import asyncio
import base64
import gzip
import json
import mimetypes
import threading
import zlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stageflow_mocks import (
    Cassette,
    CassetteCheckError,
    CassetteFileError,
    RecordingEndsError,
    RecordingInCIError,
    UnknownRequestError,
)
from stageflow_mocks.cassettes.errors import CassetteClosedError
from stageflow_mocks.simulation import run

URL = "http://127.0.0.1:9/v1"

# httpx asks it for the types of files, and it reads its tables when it is first asked.
mimetypes.init()


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


class Service(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """A service without a network: it answers after a time, by pieces, each after a time, and may break."""

    def __init__(
        self,
        *pieces: tuple[float, Any],
        after: float = 0.0,
        status: int = 200,
        headers: Any = (("content-type", "text/plain"),),
    ) -> None:
        self.pieces, self.after, self.status, self.headers = pieces, after, status, headers
        self.requests: list[httpx.Request] = []
        self.closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(self.after)
        return self.handle_request(request)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.status == 0:
            raise httpx.ConnectError("no route to host", request=request)
        return httpx.Response(self.status, headers=self.headers, stream=_Pieces(self))


class _Pieces(httpx.AsyncByteStream, httpx.SyncByteStream):
    def __init__(self, service: Service) -> None:
        self.service = service

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        for gap, piece in self.service.pieces:
            await asyncio.sleep(gap)
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def __iter__(self) -> Generator[bytes]:
        for _, piece in self.service.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def aclose(self) -> None:
        self.service.closed += 1

    def close(self) -> None:
        self.service.closed += 1


Talk = Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]


def _simulated(cassette: Cassette, talk: Talk, inner: Any = None) -> Any:
    async def main() -> Any:
        async with httpx.AsyncClient(transport=cassette.transport(inner)) as client:
            return await talk(client)

    return run(main())


def _record(path: Path, talk: Talk, service: Any, **options: Any) -> Any:
    with Cassette(path, mode="record", **options) as cassette:
        return _simulated(cassette, talk, service)


def _replay(path: Path, talk: Talk, **options: Any) -> Any:
    with Cassette(path, **options) as cassette:
        return _simulated(cassette, talk)


async def _get(client: httpx.AsyncClient) -> httpx.Response:
    return await client.get(URL)


async def _read_timed(client: httpx.AsyncClient) -> list[Any]:
    """Return when what has come, by the loop's clock."""
    clock, seen = asyncio.get_running_loop().time, list[Any]()
    async with client.stream("GET", URL) as response:
        seen.append((round(clock(), 3), response.status_code))
        try:
            async for piece in response.aiter_bytes():
                seen.append((round(clock(), 3), piece))
        except httpx.HTTPError as error:
            seen.append((round(clock(), 3), type(error), str(error)))
    return seen


def test_pieces_come_when_they_came(tmp_path: Path) -> None:
    """Each at its time, in simulated time to the millisecond."""
    path = tmp_path / "c.json"
    service = Service((0.25, b"one "), (0.5, b"two "), (2.0, b"three"), after=1.5)
    recorded = _record(path, _read_timed, service)
    assert recorded == [(1.5, 200), (1.75, b"one "), (2.25, b"two "), (4.25, b"three")]
    assert recorded == _replay(path, _read_timed)
    halved = [(at / 2, what) for at, what in recorded]
    assert _replay(path, _read_timed, pace=0.5) == [(round(at, 3), what) for at, what in halved]


def test_what_the_reader_does_between_pieces_does_not_delay_them(tmp_path: Path) -> None:
    """Pieces travel while the reader works, as they do over a network."""
    path = tmp_path / "c.json"
    _record(path, _get, Service((1.0, b"a"), (1.0, b"b"), (1.0, b"c")))

    async def slowly(client: httpx.AsyncClient) -> float:
        async with client.stream("GET", URL) as response:
            async for _ in response.aiter_bytes():
                await asyncio.sleep(0.9)
        return round(asyncio.get_running_loop().time(), 3)

    assert _replay(path, slowly) == 3.9


def test_json_that_is_streamed_keeps_its_pieces(tmp_path: Path) -> None:
    """It is JSON in the file, and comes in its pieces at their times; what came in packets is one."""
    path = tmp_path / "c.json"
    headers = [("content-type", "application/json")]
    service = Service((0.5, b'[{"n":1},'), (0.25, b'{"n":2}'), (0.25, b"]"), headers=headers)
    recorded = _record(path, _read_timed, service)
    body = json.loads(path.read_text())["exchanges"][0]["response"]["body"]
    assert body == {"json": [{"n": 1}, {"n": 2}], "pieces": [[0.5, 9], [0.25, 7], [0.25, 1]]}
    assert recorded == _replay(path, _read_timed)
    _record(path, _read_timed, Service((0.5, b'{"n"'), (0.01, b":1}"), headers=headers))
    assert _replay(path, _read_timed)[1:] == [(0.51, b'{"n":1}')]


@pytest.mark.parametrize(
    "error", [httpx.ReadError("reset"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("incomplete")]
)
def test_a_stream_that_breaks_off_breaks_off_again(tmp_path: Path, error: Exception) -> None:
    """With the same error, after the same pieces and the same time."""
    path = tmp_path / "c.json"
    recorded = _record(path, _read_timed, Service((0.1, b"half"), (5.0, error)))
    assert recorded[-1] == (5.1, type(error), str(error))
    assert recorded == _replay(path, _read_timed)


def test_a_connection_that_fails_fails_again(tmp_path: Path) -> None:
    """An error in place of an answer is one of httpx's, and the request hangs on it."""
    path = tmp_path / "c.json"

    async def ask(client: httpx.AsyncClient) -> Any:
        with pytest.raises(httpx.ConnectError, match="no route to host") as caught:
            await client.get(URL)
        return str(caught.value.request.url), asyncio.get_running_loop().time()

    recorded = _record(path, ask, Service(after=3.0, status=0))
    assert recorded == (URL, 3.0)
    assert recorded == _replay(path, ask)


def test_a_reader_that_leaves_early_is_recorded_as_far_as_it_came(tmp_path: Path) -> None:
    """Who reads as far gets as much; who reads on is told that no more is known, and never takes it for the end."""
    path = tmp_path / "c.json"
    service = Service((0.1, b"one"), (0.1, b"two"), (0.1, b"three"))

    async def reading(client: httpx.AsyncClient, most: int) -> list[bytes]:
        seen: list[bytes] = []
        async with client.stream("GET", URL) as response:
            async for piece in response.aiter_bytes():
                seen.append(piece)
                if len(seen) == most:
                    break
        await asyncio.sleep(30)
        return seen

    assert _record(path, lambda client: reading(client, 2), service) == [b"one", b"two"]
    assert service.closed == 1
    kept = json.loads(path.read_text())["exchanges"][0]
    assert kept["left_after"] == 0.0
    assert [text for _, text in kept["response"]["body"]["text"]] == ["one", "two"]
    assert _replay(path, lambda client: reading(client, 2)) == [b"one", b"two"]
    with pytest.raises(RecordingEndsError, match="ends here, since its reader left"):
        _replay(path, lambda client: reading(client, 3))


@pytest.mark.parametrize("in_stream", [True, False])
def test_a_request_that_was_given_up_can_be_given_up_again(tmp_path: Path, in_stream: bool) -> None:
    """A time limit of the tested code strikes before the cassette says that no more is known."""
    path = tmp_path / "c.json"
    service = Service((0.5, b"one"), (60, b"two")) if in_stream else Service((0, b"one"), after=60)

    async def give_up(client: httpx.AsyncClient) -> Any:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get(URL), 2.0004)
        return round(asyncio.get_running_loop().time(), 4)

    assert _record(path, give_up, service) == 2.0004
    assert _replay(path, give_up) == 2.0004
    with pytest.raises(RecordingEndsError):
        _replay(path, _get)


BODIES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ).flatmap(
        lambda value: st.sampled_from(
            [
                json.dumps(value).encode(),
                json.dumps(value, separators=(",", ":")).encode(),
                json.dumps(value, indent=2).encode() + b"\n",
                json.dumps(value, indent=3).encode(),
            ]
        )
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sent=BODIES,
    body=BODIES,
    cuts=st.lists(st.integers(0, 200), max_size=4),
    kind=st.sampled_from(["", "application/json", "text/event-stream", "application/octet-stream"]),
)
def test_bodies_come_back_byte_for_byte(tmp_path: Path, sent: bytes, body: bytes, cuts: list[int], kind: str) -> None:
    """Whatever they hold, however they are cut, and whatever they are said to be; and what was sent is known again."""
    path = tmp_path / "c.json"
    ends = [*sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [(0.0, body[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    service = Service(*pieces, headers=[("content-type", kind)] if kind else [])

    async def ask(client: httpx.AsyncClient) -> bytes:
        return (await client.post(URL, content=sent, headers={"content-type": kind or "x/y"})).content

    # What begins as a file of sound does is taken for one.
    assert _record(path, ask, service, keep_audio=True) == body
    assert _replay(path, ask) == body


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_stream_can_be_read_in_the_file_and_keeps_its_times(tmp_path: Path, coding: str) -> None:
    """It is kept and given back plain; a piece that decodes to nothing is waited for with the next."""
    path = tmp_path / "c.json"
    packer = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    one = packer.compress("Grüße ".encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
    two = packer.compress(b"from afar") + packer.flush()
    headers = [("content-type", "text/plain"), ("content-encoding", coding), ("content-length", "99")]
    service = Service((0.5, one[:2]), (0.5, one[2:]), (1.0, two), headers=headers)
    assert _record(path, _read_timed, service)[1:] == [(1.0, "Grüße ".encode()), (2.0, b"from afar")]
    assert json.loads(path.read_text())["exchanges"][0]["response"] == {
        "after": 0.0,
        "status": 200,
        "headers": [["content-type", "text/plain"]],
        "body": {"text": [[1.0, "Grüße "], [1.0, "from afar"]]},
    }
    assert _replay(path, _read_timed)[1:] == [(1.0, "Grüße ".encode()), (2.0, b"from afar")]


def test_a_compressed_request_is_the_same_however_it_was_compressed(tmp_path: Path) -> None:
    """It is kept plain, as answers are."""
    path = tmp_path / "c.json"
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    sent = [gzip.compress(b'{"a": 1}', mtime=mtime) for mtime in (1, 2)]
    _record(path, lambda client: _post(client, content=sent[0], headers=headers), Service((0, b"yes")))
    assert json.loads(path.read_text())["exchanges"][0]["request"]["body"] == {"json": {"a": 1}}
    assert _replay(path, lambda client: _post(client, content=sent[1], headers=headers)) == "yes"


def test_what_is_compressed_wrongly_stays_as_it_came(tmp_path: Path) -> None:
    """The client meets the same error again."""
    path = tmp_path / "c.json"

    async def ask(client: httpx.AsyncClient) -> str:
        with pytest.raises(httpx.DecodingError) as caught:
            await client.get(URL)
        return str(caught.value)

    service = Service((0, b"this is no gzip"), headers=[("content-encoding", "gzip")])
    assert _record(path, ask, service) == _replay(path, ask)


def test_a_character_that_two_pieces_share_stays_whole(tmp_path: Path) -> None:
    """The file holds text, and all bytes come back."""
    path = tmp_path / "c.json"
    content = "a€b".encode()
    service = Service((0, content[:2]), (0, content[2:3]), (0, content[3:]))
    assert _record(path, _get, service).content == content
    assert json.loads(path.read_text())["exchanges"][0]["response"]["body"] == {
        "text": [[0.0, "a"], [0.0, ""], [0.0, "€b"]]
    }
    assert _replay(path, _get).content == content


def test_secrets_are_gone_from_every_place(tmp_path: Path) -> None:
    """Headers, cookies, addresses, fields of bodies, in requests and answers, and wherever else their values are."""
    path = tmp_path / "c.json"
    answer = {
        "access_token": "tok-9f8e7d6c5b",
        "usage": {"total_tokens": 3, "max_tokens": 12345678},
        "again": "your tok-9f8e7d6c5b and pass-w0rd-1",
        "logprobs": [{"token": "Hello there", "logprob": -0.1}],
        "team": "team-4711",
    }
    service = Service(
        (0, json.dumps(answer).encode()),
        headers=[
            ("content-type", "application/json"),
            ("set-cookie", "session=c00kie-value; Path=/"),
            ("location", "http://127.0.0.1:9/x?sig=s1gn4ture-1"),
            ("x-api-key", "k3y-of-the-answer"),
        ],
    )

    async def ask(client: httpx.AsyncClient) -> Any:
        await client.post(
            "http://ada:pass-w0rd-1@127.0.0.1:9/v1/tok-9f8e7d6c5b?key=qu3ry-secret&page=2&sig=s1gn4ture-1",
            json={"dbPassword": "b0dy-secret", "n": ["b0dy-secret"], "options": {"apiKeys": {"a": "n3sted-secret"}}},
            headers={"x-trace": "trace of qu3ry-secret", "cookie": "sid=sid-cookie-1; theme=dark-mode-on"},
        )
        await client.post(URL, data={"client_secret": "f0rm-secret", "code": "c0de-secret", "grant": "x"})
        await client.post(URL, files={"file": ("b.bin", b"\xff\xfesid-cookie-1")}, data={"password": "p4rt-secret"})
        return (await client.post(URL, content='{"a": "{\\"secret\\": \\"d33p-secret\\"}" ')).json()

    options: dict[str, Any] = {
        "match_headers": ["x-trace"],
        "secret_values": ["team-4711"],
        "find_secrets": lambda text: ["qu3ry"] if "qu3ry" in text else [],
    }
    assert _record(path, ask, service, **options) == answer
    text = path.read_text()
    found = [
        secret
        for secret in (
            *("tok-9f8e7d6c5b", "pass-w0rd-1", "qu3ry", "s1gn4ture-1", "b0dy-secret", "n3sted-secret", "ada:"),
            *("c00kie-value", "k3y-of-the-answer", "f0rm-secret", "c0de-secret", "sid-cookie-1", "p4rt-secret"),
            *("d33p-secret", "team-4711", base64.b64encode(b"\xff\xfesid-cookie-1").decode()),
        )
        if secret in text
    ]
    assert found == []
    replayed = _replay(path, ask, match_headers=["x-trace"])
    assert replayed == {
        **answer,
        "access_token": "<redacted>",
        "again": "your <redacted> and <redacted>",
        "team": "<redacted>",
    }


def test_a_message_shows_no_secret_that_is_asked(tmp_path: Path) -> None:
    """An unknown request is shown as it would have been recorded."""
    path = tmp_path / "c.json"
    _record(path, _get, Service((0, b"x")))

    async def ask(client: httpx.AsyncClient) -> None:
        await client.post(f"{URL}?api_key=abcdef123", json={"password": "hunter2"}, headers={"x-api-key": "k"})

    with pytest.raises(UnknownRequestError) as caught:
        _replay(path, ask)
    told = str(caught.value)
    assert "POST http://127.0.0.1:9/v1?api_key=<redacted>" in told
    assert "method: recorded 'GET', asked 'POST'" in told
    assert [] == [secret for secret in ("abcdef123", "hunter2") if secret in told]


async def _post(client: httpx.AsyncClient, **options: Any) -> str:
    return (await client.post(URL, **options)).text


JSON = {"a": [1, {"b": "text"}], "c": True}


@pytest.mark.parametrize(
    ("recorded", "asked"),
    [
        ({"json": JSON}, {"json": {"c": True, "a": [1.0, {"b": "text"}]}}),
        (
            {"data": {"x": "1", "y": "2"}},
            {"content": "y=2&x=1", "headers": {"content-type": "application/x-www-form-urlencoded"}},
        ),
        (
            {"files": {"f": ("a.txt", b"one"), "g": ("b.bin", b"\xff")}, "data": {"n": "1"}},
            {"files": {"g": ("b.bin", b"\xff"), "f": ("a.txt", b"one")}, "data": {"n": "1"}},
        ),
        ({"params": {"x": "1", "y": "2"}}, {"params": {"y": "2", "x": "1"}}),
        ({"headers": {"x-other": "1"}, "json": JSON}, {"headers": {"x-other": "2"}, "json": JSON}),
        ({"headers": {"authorization": "Bearer one-long-key"}}, {"headers": {"authorization": "Bearer two"}}),
        ({"json": {"seed": 1, "x": 1}}, {"json": {"seed": 2, "x": 1}}),
        ({"json": {"m": "a gsk_abcdefgh1 b gsk_2abcdefgh c"}}, {"json": {"m": "a any b b else c"}}),
        ({"json": {"m": "gsk_abcdefgh1 b gsk_2abcdefgh"}}, {"json": {"m": " b "}}),
        ({"params": {"seed": "1"}}, {"params": {"seed": "2"}}),
    ],
)
def test_the_same_request_may_be_written_otherwise(tmp_path: Path, recorded: Any, asked: Any) -> None:
    """JSON counts as values, forms and parts by their names, headers not at all, nor what varies."""
    path = tmp_path / "c.json"
    _record(path, lambda client: _post(client, **recorded), Service((0, b"yes")))
    assert _replay(path, lambda client: _post(client, **asked), varying=["seed"]) == "yes"


@pytest.mark.parametrize(
    ("recorded", "asked", "told"),
    [
        ({"json": {"a": True}}, {"json": {"a": 1}}, "body.a: recorded true, asked 1"),
        ({"json": {"a": None}}, {"json": {}}, "body.a: recorded null, asked nothing"),
        ({"json": {"seed": 1}}, {"json": {}}, "body.seed: recorded 1, asked nothing"),
        ({"json": [1, 2]}, {"json": [1, 2, 3]}, "body[2]: recorded nothing, asked 3"),
        ({"json": {"a b": 1}}, {"json": {"a b": 2}}, 'body["a b"]: recorded 1, asked 2'),
        ({"json": {"a": "x" * 90 + "b"}}, {"json": {"a": "x" * 90 + "c"}}, "...'xxxxxxxxxxxxxxxxxxxxb', asked ...'x"),
        ({"data": {"x": "1"}}, {"data": {"x": "2"}}, "body.x: recorded '1', asked '2'"),
        ({"data": {"x": "1"}}, {"json": {"x": "1"}}, "body: recorded form, asked json"),
        ({"json": {"max_tokens": 5}}, {"json": {"max_tokens": 6}}, "body.max_tokens: recorded 5, asked 6"),
        ({"json": {"token": "Hello"}}, {"json": {"token": "World"}}, "body.token: recorded 'Hello', asked 'World'"),
        ({"params": {"key": "user:1"}}, {"params": {"key": "user:2"}}, "query.key: recorded 'user:1', asked 'user:2'"),
        ({"params": {"code": "en-US"}}, {"params": {"code": "de-DE"}}, "query.code: recorded 'en-US', asked 'de-DE'"),
        ({"content": "gsk_abcdefgh1 b"}, {"content": "gsk_abcdefgh1 c"}, "'<redacted> b', asked '<redacted> c'"),
        ({"content": "aba gsk_abcdefgh1 aba"}, {"content": "aba aba"}, "'aba <redacted> aba', asked 'aba aba'"),
        ({"content": "gsk_abcdefgh1 bc gsk_2abcdefgh bc gsk_3abcdefgh"}, {"content": "x bc x"}, "asked 'x bc x'"),
        ({"params": {"x": "1"}}, {"params": {"x": ["1", "2"]}}, "query.x: recorded '1', asked [\"1\", \"2\"]"),
        ({"files": {"f": ("a", b"1")}}, {"files": {"f": ("b", b"1")}}, "body.f.filename: recorded 'a', asked 'b'"),
        ({"files": {"f": ("a", b"\xff")}}, {"files": {"f": ("a", b"\xfe")}}, "body.f.base64: recorded '/w==', asked"),
        ({"headers": {"x-must": "1"}}, {"headers": {"x-must": "2"}}, "headers.x-must: recorded '1', asked '2'"),
        ({"headers": {"x-must": "1"}}, {}, "headers.x-must: recorded '1', asked nothing"),
        ({"content": "one"}, {}, "body: recorded text, asked nothing"),
    ],
)  # fmt: skip
def test_another_request_is_refused_with_what_is_different(
    tmp_path: Path, recorded: Any, asked: Any, told: str
) -> None:
    """Each difference has its place in the request."""
    path = tmp_path / "c.json"
    options: dict[str, Any] = {"match_headers": ["X-Must"], "varying": ["seed"]}
    _record(path, lambda client: _post(client, **recorded), Service((0, b"yes")), **options)
    with pytest.raises(UnknownRequestError) as caught:
        _replay(path, lambda client: _post(client, **asked), **options)
    assert told in str(caught.value)


def test_the_nearest_is_the_one_with_the_fewest_differences(tmp_path: Path) -> None:
    """One at the same address comes before one that is alike and elsewhere."""
    path = tmp_path / "c.json"

    async def ask(client: httpx.AsyncClient) -> None:
        await client.post(URL, json={"a": 1, "b": 2, "c": 3})
        await client.post(URL, json={"a": 1, "b": 7, "c": 8})
        await client.post(f"{URL}/other", json={"a": 1, "b": 2, "c": 4})

    _record(path, ask, Service((0, b"x")))
    with pytest.raises(UnknownRequestError) as caught:
        _replay(path, lambda client: _post(client, json={"a": 1, "b": 2, "c": 4}))
    assert caught.value.nearest == f"exchange 1 of 3, POST {URL}"
    assert [str(each) for each in caught.value.differences] == ["body.c: recorded 3, asked 4"]


def test_many_marks_are_compared_in_no_time(tmp_path: Path) -> None:
    """Each way to share a text among them is not tried: that would take longer than anybody waits."""
    path = tmp_path / "c.json"
    content = " a".join(f"gsk_abcdefgh{number}" for number in range(40))
    _record(path, lambda client: _post(client, content=content), Service((0, b"x")))
    with pytest.raises(UnknownRequestError):
        _replay(path, lambda client: _post(client, content="gsk_abcdefgh" + " a" * 5_000 + "."))


def test_threads_do_not_share_an_exchange(tmp_path: Path) -> None:
    """Each of many equal requests gets one of its own."""
    path, count, answers = tmp_path / "c.json", 40, iter(range(40))
    service = httpx.MockTransport(lambda _: httpx.Response(200, text=str(next(answers))))
    with Cassette(path, mode="record") as cassette, httpx.Client(transport=cassette.transport(service)) as client:
        assert [client.get(URL).text for _ in range(count)] == [str(number) for number in range(count)]
    seen: list[str] = []
    with Cassette(path) as cassette, httpx.Client(transport=cassette.transport()) as client:
        threads = [threading.Thread(target=lambda: seen.append(client.get(URL).text)) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(map(int, seen)) == list(range(count))


def test_nothing_outside_is_asked_from_within_ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording that was left switched on asks nobody there, and leaves the file as it was."""
    path = tmp_path / "c.json"
    _record(path, _get, Service((0, b"here")))
    before = path.read_text()
    monkeypatch.setenv("CI", "true")
    service = Service((0, b"x"))

    async def ask(client: httpx.AsyncClient) -> None:
        await client.get("https://api.example.com/v1?token=abc")

    with pytest.raises(RecordingInCIError, match=r"not asked: GET https://api\.example\.com/v1\?token=<redacted>"):
        _record(path, ask, service)
    assert (service.requests, path.read_text()) == ([], before)
    monkeypatch.setenv("CI", "false")
    _record(path, ask, service)
    assert len(service.requests) == 1


def test_a_failing_test_keeps_what_it_recorded(tmp_path: Path) -> None:
    """The answers are what is needed to mend it; what was stopped by hand, or asked nothing, changes no file."""
    path = tmp_path / "c.json"

    def recording(error: BaseException, *, asks: bool = True) -> None:
        with Cassette(path, mode="record") as cassette:
            if asks:
                _simulated(cassette, _get, Service((0, type(error).__name__.encode())))
            raise error

    with pytest.raises(AssertionError):
        recording(AssertionError())
    assert _replay(path, _get).text == "AssertionError"
    with pytest.raises(KeyboardInterrupt):
        recording(KeyboardInterrupt())
    with pytest.raises(ValueError, match=r"^$"):
        recording(ValueError(), asks=False)
    assert _replay(path, _get).text == "AssertionError"


def test_a_swallowed_refusal_is_told_with_the_error_that_came_of_it(tmp_path: Path) -> None:
    """Unless that error shows it already."""
    path = tmp_path / "c.json"
    _record(path, _get, Service((0, b"x")))

    async def ask(client: httpx.AsyncClient, *, chained: bool) -> None:
        try:
            await client.get(f"{URL}/else")
        except UnknownRequestError as error:
            caught = error
        raise ValueError("what came of it") from (caught if chained else None)

    with pytest.raises(ValueError, match="what came of it") as told:
        _replay(path, lambda client: ask(client, chained=False))
    assert "url: recorded" in told.value.__notes__[0]
    with pytest.raises(ValueError, match="what came of it") as told:
        _replay(path, lambda client: ask(client, chained=True))
    assert not hasattr(told.value, "__notes__")


def test_it_is_asked_within_its_block_alone(tmp_path: Path) -> None:
    """Before and after it there is an error, and no answer of an old state."""
    cassette = Cassette(tmp_path / "c.json", mode="record")
    for _ in range(2):
        with pytest.raises(CassetteClosedError, match="Ask within"):
            _simulated(cassette, _get, Service((0, b"x")))
    with cassette:
        with pytest.raises(RuntimeError, match="in use already"):
            cassette.load()
        _simulated(cassette, _get, Service((0, b"x")))
    with pytest.raises(CassetteClosedError):
        _simulated(cassette, _get)


def test_what_was_not_asked_for_is_told(tmp_path: Path) -> None:
    """By number and request, unless the test has failed already."""
    path = tmp_path / "c.json"

    async def ask(client: httpx.AsyncClient) -> None:
        await client.get(f"{URL}?page=1")
        await client.get(f"{URL}?page=2")

    _record(path, ask, Service((0, b"x")))
    with pytest.raises(CassetteCheckError) as caught:
        _replay(path, lambda client: client.get(f"{URL}?page=2"))
    assert caught.value.unused == (f"exchange 1 of 2, GET {URL}?page=1",)
    with pytest.raises(KeyError), Cassette(path):
        raise KeyError


def test_a_file_that_is_not_there_is_not_recorded(tmp_path: Path) -> None:
    """It says how to record it; nothing is ever asked in its place."""
    path = tmp_path / "none.json"
    with pytest.raises(CassetteFileError, match=r"there is no cassette yet\. Record it: Cassette\("):
        _replay(path, _get)
    assert not path.exists()


def test_two_recordings_differ_where_the_answers_do(tmp_path: Path) -> None:
    """What belongs to the connection, or is another each time by nature, is not in the file."""
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    for path, day, boundary in ((first, "Mon", "one"), (second, "Tue", "two")):
        headers = [("date", day), ("cf-ray", day), ("content-type", "text/plain"), ("x-kept", "1")]
        kind = f"multipart/form-data; boundary={boundary}"
        content = f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--{boundary}--\r\n'
        _record(
            path,
            lambda client, content=content, kind=kind: _post(client, content=content, headers={"content-type": kind}),
            Service((0, b"x"), headers=headers),
        )
    assert first.read_text() == second.read_text()
    assert '["x-kept", "1"]' in first.read_text()


def test_a_response_says_its_length_as_far_as_it_is_true(tmp_path: Path) -> None:
    """That of a HEAD is the service's own; after a secret was hidden it is what is played."""
    path = tmp_path / "c.json"
    body = b'{"api_key":"0123456789012345678901234567890123456789"}'
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]

    async def ask(client: httpx.AsyncClient) -> list[Any]:
        got = await client.get(URL)
        return [(await client.head(URL)).headers["content-length"], got.headers["content-length"], len(got.content)]

    service = httpx.MockTransport(
        lambda request: httpx.Response(200, headers=headers, content=b"" if request.method == "HEAD" else body)
    )
    _record(path, ask, service)
    assert _replay(path, ask) == ["54", "24", 24]


def test_sound_within_json_is_not_in_the_file(tmp_path: Path) -> None:
    """Base64 of it, by its name or its looks, in answers, streams and requests, comes back as silence of its length."""
    path = tmp_path / "c.json"
    sound = bytes(range(256)) * 2
    encoded = base64.b64encode(sound).decode()
    wav = base64.b64encode(b"RIFF\x00\x00\x00\x00WAVE" + sound).decode()
    answer = {"audio": {"data": encoded}, "data": wav, "url": f"data:audio/mpeg;base64,{encoded}", "other": encoded}

    async def ask(client: httpx.AsyncClient) -> Any:
        whole = await client.post(URL, json={"input_audio": {"data": encoded, "format": "wav"}})
        streamed = await client.get(URL)
        return whole.json(), json.loads(streamed.text.removeprefix("data: "))

    def serve(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json=answer)
        text = f"data: {json.dumps({'audio': encoded})}\n\n"
        return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})

    _record(path, ask, httpx.MockTransport(serve))
    text = path.read_text()
    assert text.count(encoded) == 1  # the one of which nothing tells that it is sound
    assert wav not in text
    whole, streamed = _replay(path, ask)
    assert base64.b64decode(whole["audio"]["data"]) == base64.b64decode(streamed["audio"]) == bytes(len(sound))
    assert len(base64.b64decode(whole["data"])) == len(sound) + 12
    assert whole["url"] == f"data:audio/mpeg;base64,{base64.b64encode(bytes(len(sound))).decode()}"
    assert whole["other"] == encoded


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mode": "recrod"}, "one of replay, record, not 'recrod'"),
        ({"pace": -1}, "a number from 0, not -1"),
        ({"varying": "seed"}, "write \\['seed'\\]"),
        ({"match_headers": "x"}, "write \\['x'\\]"),
        ({"secret_names": "x"}, "secret_names are several texts"),
        ({"secret_values": ["abc"]}, "less than four characters"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    """At once, where the cassette is made."""
    with pytest.raises((TypeError, ValueError), match=told):
        Cassette(tmp_path / "c.json", **options)


def test_an_error_of_the_inner_transport_is_not_recorded(tmp_path: Path) -> None:
    """A defect of the application that stands for the service is no answer of a service."""
    path = tmp_path / "c.json"

    def broken(_: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    async def ask(client: httpx.AsyncClient) -> None:
        with pytest.raises(ZeroDivisionError):
            await client.get(URL)

    _record(path, ask, httpx.MockTransport(broken))
    assert json.loads(path.read_text()) == {"schema_version": 1, "exchanges": []}


def test_redirects_are_exchanges_of_their_own(tmp_path: Path) -> None:
    """The client follows them when they are replayed, as it did."""
    path = tmp_path / "c.json"

    def serve(request: httpx.Request) -> httpx.Response:
        moved = request.url.path == "/v1"
        return httpx.Response(302, headers={"location": "/v2"}) if moved else httpx.Response(200, text="there")

    async def ask(client: httpx.AsyncClient) -> Any:
        response = await client.get(URL, follow_redirects=True)
        return response.text, str(response.url)

    recorded = _record(path, ask, httpx.MockTransport(serve))
    assert recorded == ("there", "http://127.0.0.1:9/v2")
    assert recorded == _replay(path, ask)


def test_gzip_of_the_standard_library_is_read(tmp_path: Path) -> None:
    """JSON that came compressed is JSON in the file."""
    path = tmp_path / "c.json"
    content = gzip.compress(b'{"a":1}')
    headers = [("content-type", "application/json"), ("content-encoding", "gzip")]
    _record(path, _get, Service((0.25, content), headers=headers))
    assert json.loads(path.read_text())["exchanges"][0]["response"]["body"] == {"json": {"a": 1}, "after": 0.25}
    assert _replay(path, _get).json() == {"a": 1}


async def test_a_client_of_httpx2_records_and_replays(tmp_path: Path) -> None:
    """Some SDKs are on it: it gets responses, streams and errors of its own, from whichever of both has recorded."""
    path = tmp_path / "c.json"

    def serve(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/broken":
            raise httpx2.ReadError("reset", request=request)
        return httpx2.Response(200, text="yes", headers={"x-kept": "1"})

    async def talk(client: Any) -> list[Any]:
        response = await client.post(URL, json={"api_key": "zb3kt9-of-a-team", "a": 1})
        try:
            await client.get("http://127.0.0.1:9/broken")
        except (httpx.ReadError, httpx2.ReadError) as error:
            return [response.text, response.headers["x-kept"], type(error), str(error)]
        raise AssertionError

    async with (
        Cassette(path, mode="record") as cassette,
        httpx2.AsyncClient(transport=cassette.transport(httpx2.MockTransport(serve))) as client,
    ):
        recorded = await talk(client)
    assert recorded == ["yes", "1", httpx2.ReadError, "reset"]
    for library in (httpx2, httpx):
        async with Cassette(path) as cassette, library.AsyncClient(transport=cassette.transport()) as client:
            assert await talk(client) == ["yes", "1", library.ReadError, "reset"]


def test_a_sync_client_of_httpx2_does(tmp_path: Path) -> None:
    """In the same way."""
    path = tmp_path / "c.json"
    service = httpx2.MockTransport(lambda _: httpx2.Response(200, text="yes"))
    with Cassette(path, mode="record") as cassette, httpx2.Client(transport=cassette.transport(service)) as client:
        assert client.get(URL).text == "yes"
    with Cassette(path) as cassette, httpx2.Client(transport=cassette.transport()) as client:
        assert client.get(URL).text == "yes"
