"""Cassettes under the real `groq` SDK: recorded from a server on loopback, replayed when it is gone."""

import asyncio
import base64
import io
import json
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import groq
import httpx
import pytest
from groq import AsyncGroq, Groq
from stageflow import Pipeline, RetryPolicy, StageExecutionError, StagePorts
from stageflow.providers import LLMRequest, Message
from stageflow_mocks import (
    CallTool,
    Cassette,
    CassetteCheckError,
    CutOff,
    Disconnect,
    GroqServer,
    Pace,
    RateLimited,
    UnknownRequestError,
)
from stageflow_mocks.loopback import LoopbackServer
from stageflow_mocks.simulation import run
from stageflow_plus import ChatStage, GroqLLM
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

KEY = "gsk_Zb3/kT+9wQ=secret-of-a-team"
MODEL = "llama-3.1-8b-instant"
ADA: list[Any] = [{"role": "user", "content": "My name is Ada."}]
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": {"type": "object"}}}
]


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


def _client(cassette: Cassette, base_url: str, key: str = "any", **options: Any) -> AsyncGroq:
    http = httpx.AsyncClient(transport=cassette.transport())
    return AsyncGroq(api_key=key, base_url=base_url, http_client=http, **{"max_retries": 0, **options})


async def _recorded(
    path: Path, talk: Callable[[AsyncGroq], Awaitable[Any]], server: Any = None, **options: Any
) -> tuple[str, Any]:
    async with (
        server or GroqServer() as running,
        Cassette(path, mode="record", **options) as cassette,
        _client(cassette, running.base_url, KEY) as client,
    ):
        return running.base_url, await talk(client)


async def _replayed(path: Path, base_url: str, talk: Callable[[AsyncGroq], Awaitable[Any]], **options: Any) -> Any:
    async with Cassette(path, **options) as cassette, _client(cassette, base_url) as client:
        return await talk(client)


async def _conversation(client: AsyncGroq) -> list[Any]:
    whole = await client.chat.completions.create(model=MODEL, messages=ADA)
    stream = await client.chat.completions.create(model=MODEL, messages=ADA, stream=True)
    streamed = [chunk.model_dump() async for chunk in stream]
    tools = await client.chat.completions.create(model=MODEL, messages=ADA, tools=TOOLS)
    return [whole.model_dump(), streamed, tools.model_dump()]


def _weather_or_words(messages: Any) -> Any:
    _weather_or_words.calls += 1
    return CallTool("weather", {"city": "Bergen"}) if _weather_or_words.calls == 3 else "Nice to meet you, Ada."


async def test_a_conversation_is_replayed_without_the_server(tmp_path: Path) -> None:
    """Whole answers, streams and tool calls come back as they were, in equal and in other order."""
    _weather_or_words.calls = 0
    path = tmp_path / "c.json"
    base_url, recorded = await _recorded(path, _conversation, GroqServer(responder=_weather_or_words))
    assert recorded[2]["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "weather"
    assert recorded == await _replayed(path, base_url, _conversation)


async def test_the_sync_client_replays_what_the_async_one_recorded(tmp_path: Path) -> None:
    """A cassette is one for both, also from a thread."""
    path = tmp_path / "c.json"
    base_url, recorded = await _recorded(path, _conversation, GroqServer(responder=lambda _: "Ada."))

    def talk() -> list[Any]:
        with (
            Cassette(path) as cassette,
            Groq(api_key="any", base_url=base_url, http_client=httpx.Client(transport=cassette.transport())) as client,
        ):
            whole = client.chat.completions.create(model=MODEL, messages=ADA)
            streamed = [
                chunk.model_dump() for chunk in client.chat.completions.create(model=MODEL, messages=ADA, stream=True)
            ]
            tools = client.chat.completions.create(model=MODEL, messages=ADA, tools=TOOLS)
            return [whole.model_dump(), streamed, tools.model_dump()]

    assert recorded == await asyncio.to_thread(talk)


async def test_the_sync_client_records(tmp_path: Path) -> None:
    """Its transport is tapped as the other is."""
    path = tmp_path / "c.json"

    def talk(mode: Any, base_url: str) -> list[str | None]:
        with (
            Cassette(path, mode=mode) as cassette,
            Groq(api_key=KEY, base_url=base_url, http_client=httpx.Client(transport=cassette.transport())) as client,
        ):
            stream = client.chat.completions.create(model=MODEL, messages=ADA, stream=True)
            return [chunk.choices[0].delta.content for chunk in stream]

    async with GroqServer() as server:
        recorded = await asyncio.to_thread(talk, "record", server.base_url)
        base_url = server.base_url
    assert "".join(part or "" for part in recorded) == "Nice to meet you, Ada."
    assert recorded == await asyncio.to_thread(talk, "replay", base_url)
    _assert_no_secret(path)


def _assert_no_secret(path: Path) -> None:
    text = path.read_text("utf-8")
    content = KEY.encode()
    forms = {KEY, quote(KEY, safe=""), quote(KEY), json.dumps(KEY)[1:-1], content.hex()}
    for lead in (b"", b"a", b"aa"):
        encoded = base64.b64encode(lead + content).decode().rstrip("=")
        forms |= {encoded[4:-4], encoded[4:-4].replace("+", "-").replace("/", "_")}
    assert [] == [form for form in forms if form in text]


async def test_no_form_of_the_key_is_in_the_file(tmp_path: Path) -> None:
    """A key that the service, or the user, repeats elsewhere is hidden there, however it is written."""
    path = tmp_path / "c.json"

    async def talk(client: AsyncGroq) -> None:
        forms = [KEY, quote(KEY, safe=""), base64.b64encode(b"user:" + KEY.encode()).decode(), KEY.encode().hex()]
        for said in forms:
            await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": f"I am {said}."}])
            stream = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": f"I am {said}!"}], stream=True
            )
            async for _ in stream:
                pass

    def answer(messages: Any) -> str:
        return str(messages[-1]["content"])

    base_url, _ = await _recorded(path, talk, GroqServer(responder=answer))
    _assert_no_secret(path)
    assert path.read_text().count("<redacted>") >= 16
    await _replayed(path, base_url, talk)


def test_a_stream_takes_its_recorded_time_in_simulated_time_alone(tmp_path: Path) -> None:
    """Under the virtual clock pieces come when they came; else at once, unless a pace is given."""
    path = tmp_path / "c.json"

    async def talk(client: AsyncGroq) -> list[float]:
        clock = asyncio.get_running_loop().time
        begun, times = clock(), list[float]()
        stream = await client.chat.completions.create(model=MODEL, messages=ADA, stream=True)
        async for _ in stream:
            times.append(round(clock() - begun, 3))
        return times

    base_url, _ = asyncio.run(_recorded(path, talk, GroqServer(pace=Pace(first_byte=0.05, per_chunk=0.02))))
    response = json.loads(path.read_text())["exchanges"][0]["response"]
    pieces = response["body"]["text"]
    whole = response["after"] + sum(gap for gap, _ in pieces)
    assert whole > 0.14

    def replayed(**options: Any) -> list[float]:
        async def main() -> list[float]:
            async with _client(cassette, base_url) as client:
                return await talk(client)

        with Cassette(path, **options) as cassette:
            return run(main(), threads_in_place=True)

    times = replayed()
    assert times == sorted(times)
    assert times[0] == pytest.approx(response["after"] + pieces[0][0])
    # The last event ends the stream and is no chunk.
    assert times[-1] == pytest.approx(whole - pieces[-1][0], abs=0.0021)
    assert replayed(pace=10)[-1] == pytest.approx(10 * times[-1], abs=0.01)
    assert set(replayed(pace=0)) == {0.0}


@pytest.mark.parametrize("retries", [0, 2])
async def test_an_unknown_request_is_no_broken_connection(tmp_path: Path, retries: int) -> None:
    """Neither the SDK's retries nor its wrapping of errors get hold of it, and it says what is different."""
    path = tmp_path / "c.json"

    async def talk(client: AsyncGroq) -> Any:
        return await client.chat.completions.create(model=MODEL, messages=ADA, temperature=0.5)

    base_url, _ = await _recorded(path, talk)

    async def other(client: AsyncGroq) -> None:
        bob: list[Any] = [{"role": "user", "content": "My name is Bob."}]
        client = client.with_options(max_retries=retries)
        await client.chat.completions.create(model=MODEL, messages=bob, stop=["x"])

    with pytest.raises(UnknownRequestError) as caught:
        await _replayed(path, base_url, other)
    told = str(caught.value)
    assert "exchange 1 of 1, POST http://127.0.0.1" in told
    assert "    body.messages[0].content: recorded 'My name is Ada.', asked 'My name is Bob.'\n" in told
    assert "    body.temperature: recorded 0.5, asked nothing\n" in told
    assert '    body.stop: recorded nothing, asked ["x"]\n' in told
    assert f"Record it anew: Cassette('{path}', mode='record')" in told
    assert len(caught.value.differences) == 3


async def test_a_refusal_that_something_catches_is_raised_at_the_end(tmp_path: Path) -> None:
    """Code that goes on after whatever happens cannot hide it, nor what was never asked."""
    path = tmp_path / "c.json"

    async def talk(client: AsyncGroq) -> Any:
        return await client.chat.completions.create(model=MODEL, messages=ADA)

    base_url, _ = await _recorded(path, talk)

    async def catching(client: AsyncGroq) -> None:
        with pytest.raises(UnknownRequestError):
            await client.models.list()

    with pytest.raises(CassetteCheckError) as caught:
        await _replayed(path, base_url, catching)
    assert "GET http://127.0.0.1" in str(caught.value)
    assert "An exchange was never asked for" in str(caught.value)
    assert (1, 1) == (len(caught.value.unused), len(caught.value.refused))


async def test_each_exchange_answers_one_request_and_equal_ones_in_their_order(tmp_path: Path) -> None:
    """Also where they are under way together."""
    path = tmp_path / "c.json"
    answers = iter(["one", "two", "three", "four"])

    async def talk(client: AsyncGroq) -> Any:
        async def ask(content: str) -> Any:
            made = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
            return made.choices[0].message.content

        return [await ask("a"), await ask("b"), *await asyncio.gather(ask("a"), ask("a"))]

    base_url, recorded = await _recorded(path, talk, GroqServer(responder=lambda _: next(answers)))
    again = await _replayed(path, base_url, talk)
    assert again[:2] == recorded[:2] == ["one", "two"]
    assert sorted(again[2:]) == ["four", "three"]

    async def twice(client: AsyncGroq) -> None:
        await talk(client)
        await talk(client)

    with pytest.raises(UnknownRequestError, match="which was asked for already"):
        await _replayed(path, base_url, twice)


async def test_errors_of_status_and_of_the_connection_come_back(tmp_path: Path) -> None:
    """A 429 with its header, a connection that is hung up, and a stream that is cut off in the middle."""
    path = tmp_path / "c.json"
    server = GroqServer()
    server.fail_next(RateLimited(retry_after=7), Disconnect(), CutOff(after_chunks=2), Disconnect(after_chunks=3))

    async def talk(client: AsyncGroq) -> list[Any]:
        seen: list[Any] = []
        for _ in range(2):
            try:
                await client.chat.completions.create(model=MODEL, messages=ADA)
            except groq.APIStatusError as error:
                seen.append((type(error), error.response.headers["retry-after"], error.body))
            except groq.APIConnectionError as error:
                seen.append((type(error), type(error.__cause__), str(error.__cause__)))
        for _ in range(2):
            pieces: list[Any] = []
            try:
                stream = await client.chat.completions.create(model=MODEL, messages=ADA, stream=True)
                pieces.extend([chunk.choices[0].delta.content async for chunk in stream])
            except (httpx.HTTPError, groq.APIConnectionError) as error:
                pieces.append((type(error), str(error)))
            seen.append(pieces)
        return seen

    base_url, recorded = await _recorded(path, talk, server)
    assert recorded[0][0] is groq.RateLimitError
    assert issubclass(recorded[1][1], httpx.TransportError)
    assert issubclass(recorded[3][-1][0], (httpx.TransportError, groq.APIConnectionError))
    assert recorded == await _replayed(path, base_url, talk)


async def test_our_provider_takes_its_client_from_a_cassette(tmp_path: Path) -> None:
    """GroqLLM needs no door of its own: it takes the SDK's client, which takes httpx's."""
    path = tmp_path / "c.json"
    request = LLMRequest((Message("user", "My name is Ada."),))

    async def talk(client: AsyncGroq) -> Any:
        llm = GroqLLM(client, model=MODEL)
        return await llm.complete(request), [chunk async for chunk in llm.stream(request)]

    base_url, recorded = await _recorded(path, talk)
    assert recorded == await _replayed(path, base_url, talk)


async def test_no_policy_of_a_stage_tries_an_unknown_request_again(tmp_path: Path) -> None:
    """A run fails at once, whatever its policy retries, and its cause is the refusal itself."""
    path = tmp_path / "c.json"
    chat = Pipeline("chat").with_stage(
        "reply", ChatStage(), retry=RetryPolicy(max_attempts=5, base_delay=100, retry_on=Exception)
    )

    async def talk(client: AsyncGroq, said: str) -> Any:
        return await chat.run(input_text=said, ports=StagePorts(llm=GroqLLM(client)))

    base_url, _ = await _recorded(path, lambda client: talk(client, "Ada."))
    with pytest.raises(StageExecutionError, match=r"body\.messages") as caught:
        await _replayed(path, base_url, lambda client: talk(client, "Bob."))
    assert isinstance(caught.value.__cause__, UnknownRequestError)
    assert caught.value.attempts == 1
    assert not hasattr(caught.value, "__notes__")


def _wav(seconds: float) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8_000)
        sound.writeframes(bytes(range(1, 201)) * int(80 * seconds))
    return file.getvalue()


async def _transcribe(request: Request) -> Response:
    return JSONResponse({"text": f"{len(await request.body())} bytes", "x_groq": {"id": "req_1"}})


async def _speak(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        sound = _wav(1.0)
        yield sound[:10]
        yield sound[10:9_000]
        yield sound[9_000:]

    return StreamingResponse(pieces(), media_type="audio/wav")


def _speech_service() -> LoopbackServer:
    routes = [
        Route("/openai/v1/audio/transcriptions", _transcribe, methods=["POST"]),
        Route("/openai/v1/audio/speech", _speak, methods=["POST"]),
    ]
    return LoopbackServer(Starlette(routes=routes))


async def _speech(client: AsyncGroq) -> tuple[str, bytes]:
    heard = await client.audio.transcriptions.create(model="whisper-large-v3", file=("a.wav", _wav(0.5)))
    said = await client.audio.speech.create(model="m", voice="v", input="Hello.", response_format="wav")
    return heard.text, await said.read()


async def test_sound_is_not_in_the_file_and_silence_of_its_length_is_played(tmp_path: Path) -> None:
    """What is sent is known by its digest, whatever the boundary; a WAV that comes can still be read as one."""
    path = tmp_path / "c.json"
    base_url, recorded = await _recorded(path, _speech, _speech_service())
    assert recorded[1] == _wav(1.0)
    assert len(path.read_text()) < 3_000
    text, sound = await _replayed(path, base_url, _speech)
    assert text == recorded[0]
    assert len(sound) == len(recorded[1])
    with wave.open(io.BytesIO(sound)) as read:
        assert (8_000, 1, 2) == (read.getframerate(), read.getnchannels(), read.getsampwidth())
        frames = read.readframes(read.getnframes())
        assert frames == bytes(len(recorded[1]) - 44)

    with pytest.raises(UnknownRequestError, match=r"body\.file\.audio\.sha256: recorded '[0-9a-f]{64}', asked '"):
        async with Cassette(path) as cassette, _client(cassette, base_url) as client:
            await client.audio.transcriptions.create(model="whisper-large-v3", file=("a.wav", _wav(0.5)[:-2] + b"ab"))


async def test_sound_is_kept_if_that_is_asked_for(tmp_path: Path) -> None:
    """Then it is played as it was."""
    path = tmp_path / "c.json"
    base_url, recorded = await _recorded(path, _speech, _speech_service(), keep_audio=True)
    assert recorded == await _replayed(path, base_url, _speech)
