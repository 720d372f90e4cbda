"""A GroqServer used in the ways in which applications use Groq, and in some in which they should not."""

import asyncio
import base64
import inspect
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import groq
import pytest
from groq import AsyncGroq, Groq
from groq.resources.audio.speech import Speech
from groq.resources.audio.transcriptions import Transcriptions
from groq.resources.audio.translations import Translations
from stageflow_mocks import Disconnect, ErrorFrame, GroqServer, Hang, Pace, UnscriptedCallError

CHAT: Any = {"model": "m", "messages": [{"role": "user", "content": "My name is Ada."}]}
SPEECH: Any = {"model": "canopylabs/orpheus-v1-english", "voice": "troy", "input": "Hello.", "response_format": "wav"}


def _client(server: GroqServer, **options: Any) -> AsyncGroq:
    return AsyncGroq(api_key="k", base_url=server.base_url, **{"max_retries": 0, **options})


async def _spoken(client: AsyncGroq) -> bytes:
    return await (await client.audio.speech.create(**SPEECH)).read()


async def _raw(server: GroqServer, sent: bytes, *, leave: bool = False) -> bytes:
    host, port = server.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    await writer.drain()
    received = b"" if leave else await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


def _request(path: str, body: bytes, length: int | None = None, *, kind: str = "application/json") -> bytes:
    head = (
        f"POST /openai/v1{path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\n"
        f"content-type: {kind}\r\ncontent-length: {length or len(body)}\r\n"
    )
    return head.encode()


def _close(request: bytes, body: bytes) -> bytes:
    return request + b"connection: close\r\n\r\n" + body


def test_every_parameter_of_audio_is_spoken_of() -> None:
    """The SDK has no parameter for audio that the tests here and beside do not know."""
    of_http = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}
    for create, known in (
        (Speech.create, {"input", "model", "voice", "response_format", "sample_rate", "speed"}),
        (Translations.create, {"model", "file", "prompt", "response_format", "temperature", "url"}),
        (
            Transcriptions.create,
            {"model", "file", "language", "prompt", "response_format", "temperature", "timestamp_granularities", "url"},
        ),
    ):
        assert set(inspect.signature(create).parameters) - of_http == known


async def test_answers_as_they_come() -> None:
    """The SDK's ways to what is below its types: raw responses, and bodies read in pieces."""
    async with GroqServer() as server, _client(server) as client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
        assert raw.headers["x-request-id"].startswith("req_")
        assert (await raw.parse()).choices[0].message.content == "Nice to meet you, Ada."
        async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as streamed:
            lines = [line async for line in streamed.iter_lines() if line]
        assert lines[-1] == "data: [DONE]"
        async with client.audio.speech.with_streaming_response.create(**SPEECH) as streamed:
            pieces = [piece async for piece in streamed.iter_bytes(1_000)]
        assert b"".join(pieces) == await _spoken(client)


async def test_files_in_all_forms(tmp_path: Path) -> None:
    """A file may be a path, an open file or a pair; its name may be in any script; bytes alone have no name."""
    async with GroqServer() as server, _client(server) as client:
        wav = await _spoken(client)
        path = tmp_path / "Gespräch 日本.wav"
        path.write_bytes(wav)
        with path.open("rb") as opened:
            for file in (path, opened, (path.name, wav), (path.name, io.BytesIO(wav), "audio/wav")):
                heard = await client.audio.transcriptions.create(model="whisper-large-v3", file=file)
                upload = server.requests[-1].upload
                assert (heard.text, upload and upload.name) == (" Hello.", path.name)
        with pytest.raises(groq.BadRequestError, match="unsupported_audio_format"):
            await client.audio.transcriptions.create(model="whisper-large-v3", file=wav)


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("method", ["transcriptions", "translations"])
async def test_audio_in_a_url(method: str, encode: Callable[[bytes], bytes]) -> None:
    """A data URL is heard as the file that it holds; it has no name."""
    async with GroqServer() as server, _client(server) as client:
        url = f"data:audio/wav;base64,{encode(await _spoken(client)).decode()}"
        heard = await getattr(client.audio, method).create(model="whisper-large-v3", url=url)
        assert heard.text == " Hello."
        asked = server.requests[-1].transcription
        assert asked is not None
        assert (asked.file.name, asked.file.content_type) == ("", "audio/wav")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"url": "https://a.test/a.wav"}, "param `url` is unsupported for `https`: this server fetches nothing"),
        ({"url": "data:audio/wav;base64,????"}, "could not process file"),
        ({"url": "data:audio/wav;base64,A"}, "could not process file"),
        ({"url": "data:audio/wav,RIFF"}, "could not process file"),
        ({"url": "data:text/plain;base64,aGVsbG8="}, "could not process file"),
        ({"url": "data:audio/ogg;base64,T2dnUw==", "file": ("a.ogg", b"OggS")}, "specify either `file` or `url`"),
        ({}, "file is required"),
    ],
)
async def test_audio_that_is_refused(asked: Any, message: str) -> None:
    """There is one file to hear, and it is sound."""
    async with GroqServer(transcriber="Hello.") as server, _client(server) as client:
        with pytest.raises(groq.BadRequestError, match=message):
            await client.audio.transcriptions.create(model="whisper-large-v3", **asked)


async def test_requests_in_one_go() -> None:
    """Requests that come in one packet are answered in their order."""
    body = json.dumps(CHAT).encode()
    request = _request("/chat/completions", body)
    async with GroqServer() as server:
        answers = await _raw(server, (request + b"\r\n" + body) * 2 + _close(request, body))
        assert answers.count(b"HTTP/1.1 200 OK") == 3
        assert [received.ending for received in server.requests] == ["completed"] * 3


async def test_upload_that_is_broken_off() -> None:
    """What never came whole was not asked: it is no request, holds up nobody, and takes no fault."""
    request = _request("/audio/transcriptions", b"", 100_000, kind="multipart/form-data; boundary=b")
    async with GroqServer() as server, _client(server) as client:
        server.fail_next(Disconnect())
        await _raw(server, request + b"\r\n--b\r\n", leave=True)
        with pytest.raises(groq.APIConnectionError):
            await client.chat.completions.create(**CHAT)
        assert len(server.requests) == 1
        host, port = server.base_url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(request + b"\r\n--b\r\n")
        await writer.drain()
    writer.close()


async def test_many_streams_at_once() -> None:
    """A hundred streams do not mix, and each is recorded to its end."""
    async with GroqServer(responder=lambda messages: messages[-1]["content"] * 3) as server, _client(server) as client:

        async def ask(number: int) -> str:
            said = [{"role": "user", "content": f" {number}"}]
            stream: Any = await client.chat.completions.create(model="m", messages=said, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        answers = await asyncio.gather(*map(ask, range(100)))
        assert answers == [f" {number}" * 3 for number in range(100)]
        assert {request.ending for request in server.requests} == {"completed"}


async def test_streams_that_are_left() -> None:
    """A client that leaves a stream ends it here as well; nothing of it is left."""
    before = asyncio.all_tasks()
    async with GroqServer(pace=Pace(per_chunk=60.0)) as server, _client(server) as client:
        for _ in range(5):
            stream: Any = await client.chat.completions.create(**CHAT, stream=True)
            async with stream:
                await anext(stream)
        assert {await request.wait_ended() for request in server.requests} == {"client_left"}
    assert asyncio.all_tasks() == before


@pytest.mark.stageflow_groq_server
def test_sync_clients_in_threads(stageflow_groq_server: GroqServer) -> None:
    """Clients of several threads use one server."""

    async def ask_in_threads() -> None:
        def ask() -> None:
            with Groq(api_key="k", base_url=stageflow_groq_server.base_url, max_retries=0) as client:
                for _ in range(3):
                    assert client.chat.completions.create(**CHAT).choices
                    assert len(list(client.chat.completions.create(**CHAT, stream=True))) == 7

        await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(4)))

    asyncio.run(ask_in_threads())
    assert [request.ending for request in stageflow_groq_server.requests] == ["completed"] * 24


@pytest.mark.stageflow_groq_server
def test_waiting_in_another_loop(stageflow_groq_server: GroqServer) -> None:
    """Who waits for requests may have another loop than the server, which nothing else wakes."""
    server = stageflow_groq_server

    def ask() -> None:
        with Groq(api_key="k", base_url=server.base_url, max_retries=0, timeout=10) as client:
            client.chat.completions.create(**CHAT)

    async def wait() -> str:
        given_up = asyncio.create_task(server.wait_for_requests(1))
        await asyncio.sleep(0)
        given_up.cancel()
        asking = threading.Thread(target=ask, daemon=True)
        asyncio.get_running_loop().call_soon(asking.start)
        (request,) = await asyncio.wait_for(server.wait_for_requests(1), 10)
        ending = await request.wait_ended()
        asking.join()
        return ending

    assert asyncio.run(wait(), debug=True) == "completed"


@pytest.mark.parametrize("fault", [Hang(), Disconnect()], ids=repr)
async def test_status_of_what_was_not_answered(fault: Any) -> None:
    """A request that nothing was sent to has no status."""
    async with GroqServer() as server, _client(server, timeout=0.05) as client:
        server.fail_next(fault)
        with pytest.raises(groq.APIConnectionError):
            await client.chat.completions.create(**CHAT)
        await server.requests[0].wait_ended()
        assert (server.requests[0].status, server.requests[0].frames_sent) == (None, 0)


@pytest.mark.parametrize("responder", ["Hello.", None, 5])
def test_responder_that_is_no_function(responder: Any) -> None:
    """It is found out where it is given."""
    with pytest.raises(TypeError, match="responder is a function of the messages of a chat, not"):
        GroqServer(responder=responder)


async def _cancelled(_: Any) -> str:
    waiting = asyncio.ensure_future(asyncio.sleep(60))
    waiting.cancel()
    await waiting
    return ""


async def test_responder_that_is_cancelled() -> None:
    """A CancelledError of its own ends no test: it is an error as any other, told at the exit."""

    async def ask() -> None:
        async with GroqServer(responder=_cancelled) as server, _client(server) as client:
            with pytest.raises(groq.InternalServerError):
                await client.chat.completions.create(**CHAT)
            assert await server.requests[0].wait_ended() == "completed"

    with pytest.raises(RuntimeError, match="ended with a CancelledError") as raised:
        await ask()
    assert isinstance(raised.value.__cause__, asyncio.CancelledError)


def _no_answer(_: Any) -> str:
    raise LookupError("no answer to that")


@pytest.mark.parametrize("options", [{"sleep": lambda _: None, "pace": Pace(first_byte=1)}, {"clock": lambda: "now"}])
async def test_time_that_is_none(options: Any) -> None:
    """A clock or a sleep of the test's own that fails cuts the connection, and is told of at the exit."""

    async def ask() -> None:
        async with GroqServer(**options) as server, _client(server) as client:
            with pytest.raises(groq.APIConnectionError):
                await client.chat.completions.create(**CHAT)
            assert await server.requests[0].wait_ended() == "cut"

    with pytest.raises((TypeError, ValueError)):
        await ask()


@pytest.mark.parametrize(("status", "wording"), [(429, "Rate limit reached"), (500, "Internal Server Error")])
async def test_status_of_an_error_frame(status: int, wording: str) -> None:
    """What an event says goes with its status; where there is no stream, the answer has it."""
    async with GroqServer() as server, _client(server) as client:
        server.fail_next(ErrorFrame(status=status), ErrorFrame(status=status))
        with pytest.raises(groq.APIStatusError, match=wording) as refused:
            await client.chat.completions.create(**CHAT)
        assert refused.value.status_code == status
        stream: Any = await client.chat.completions.create(**CHAT, stream=True)
        with pytest.raises(groq.APIError, match=wording):
            [chunk async for chunk in stream]


async def test_cause_of_an_error_that_leaves_the_block() -> None:
    """The client's error is what leaves; what it was caused by here is a note on it."""

    async def ask(**options: Any) -> None:
        async with GroqServer(**options) as server, _client(server) as client:
            if "responder" in options:
                await client.chat.completions.create(**CHAT)
            await client.audio.transcriptions.create(model="whisper-large-v3", file=("a.ogg", b"OggS"))

    with pytest.raises(groq.InternalServerError) as raised:
        await ask(responder=_no_answer)
    assert raised.value.__notes__ == ["What went wrong in the GroqServer: LookupError: no answer to that"]
    with pytest.raises(groq.BadRequestError) as refused:
        await ask()
    assert refused.value.__notes__[0].startswith(f"What went wrong in the GroqServer: {UnscriptedCallError.__name__}:")
