"""The same calls by the SDK's two clients, `Groq` and `AsyncGroq`: both see the same, whatever goes wrong."""

import asyncio
import operator
from dataclasses import dataclass, field
from typing import Any

import groq
import httpx
import pytest
from groq import AsyncGroq, Groq
from groq._response import AsyncBinaryAPIResponse, BinaryAPIResponse
from pydantic import BaseModel
from stageflow_mocks import (
    CallTool,
    CutOff,
    Disconnect,
    ErrorFrame,
    Fault,
    GarbageBody,
    GroqServer,
    Hang,
    NoChoices,
    Pace,
    RateLimited,
    ServerError,
    StoppedEarly,
)

NOW = 1_800_000_000
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@dataclass(frozen=True)
class Call:
    """A call of the SDK, the fault that it meets, and what the client is to see."""

    name: str
    method: str
    sees: str
    options: Any
    fault: Fault | None = None
    server: Any = field(default_factory=dict)


def _chat(**options: Any) -> Any:
    return {"model": "m", "messages": [{"role": "user", "content": "My name is Ada."}], **options}


def _speech(**options: Any) -> Any:
    return {
        "model": "canopylabs/orpheus-v1-english",
        "voice": "troy",
        "input": "Good morning.",
        "response_format": "wav",
        **options,
    }


def _audio(**options: Any) -> Any:
    return {"model": "whisper-large-v3", "file": ("a.ogg", b"OggS and so on", "audio/ogg"), **options}


def _calling(messages: Any) -> Any:
    return CallTool("weather", {"city": "Bergen"})


CHAT, TRANSCRIBE, TRANSLATE = "chat.completions.create", "audio.transcriptions.create", "audio.translations.create"
SPEAK = "audio.speech.create"
HEARS = {"transcriber": "Good morning. How are you?"}
CALLS = [
    Call("chat", CHAT, "ChatCompletion", _chat()),
    Call("stream", CHAT, "list of 7 ChatCompletionChunk", _chat(stream=True)),
    Call("tools", CHAT, "ChatCompletion", _chat(tools=[WEATHER]), server={"responder": _calling}),
    Call(
        "tools-in-stream",
        CHAT,
        "list of 3 ChatCompletionChunk",
        _chat(tools=[WEATHER], stream=True),
        server={"responder": _calling},
    ),
    Call(
        "json",
        CHAT,
        "ChatCompletion",
        _chat(response_format={"type": "json_object"}),
        server={"responder": lambda messages: '{"mood":"good"}'},
    ),
    Call("no-json", CHAT, "BadRequestError 400", _chat(response_format={"type": "json_object"})),
    Call("no-such-tool", CHAT, "APIError None", _chat(stream=True), server={"responder": _calling}),
    Call("no-such-model", CHAT, "NotFoundError 404", _chat(), server={"models": ["other"]}),
    Call("wrong-key", CHAT, "AuthenticationError 401", _chat(), server={"api_keys": ["other"]}),
    Call("speech", SPEAK, "bytes", _speech()),
    Call("speech-as-mp3", SPEAK, "BadRequestError 400", _speech(response_format="mp3")),
    Call("transcription", TRANSCRIBE, "Transcription", _audio(), server=HEARS),
    Call("transcription-text", TRANSCRIBE, "str", _audio(response_format="text"), server=HEARS),
    Call(
        "transcription-verbose",
        TRANSCRIBE,
        "Transcription",
        _audio(response_format="verbose_json", timestamp_granularities=["word", "segment"], language="de"),
        server=HEARS,
    ),
    Call("transcription-of-url", TRANSCRIBE, "BadRequestError 400", {"model": "m", "url": "https://a.test/a.wav"}),
    Call("translation", TRANSLATE, "Translation", _audio(), server=HEARS),
    Call("models", "models.list", "ModelListResponse", {}),
    Call("model", "models.retrieve", "Model", {"model": "openai/gpt-oss-20b"}),
    Call("no-model", "models.retrieve", "NotFoundError 404", {"model": "m"}),
    Call("rate-limit", CHAT, "RateLimitError 429", _chat(), RateLimited(3)),
    Call("rate-limit-of-stream", CHAT, "RateLimitError 429", _chat(stream=True), RateLimited(3)),
    Call("rate-limit-of-audio", TRANSCRIBE, "RateLimitError 429", _audio(), RateLimited(3)),
    Call("rate-limit-of-speech", SPEAK, "RateLimitError 429", _speech(), RateLimited(3)),
    Call("rate-limit-of-models", "models.list", "RateLimitError 429", {}, RateLimited(3)),
    Call("server-error", CHAT, "InternalServerError 500", _chat(), ServerError()),
    Call("over-capacity", TRANSLATE, "InternalServerError 503", _audio(), ServerError(503)),
    Call("garbage", CHAT, "str", _chat(), GarbageBody()),
    Call("garbage-of-stream", CHAT, "list of 0 ", _chat(stream=True), GarbageBody()),
    Call("garbage-of-audio", TRANSCRIBE, "str", _audio(), GarbageBody()),
    Call("garbage-of-speech", SPEAK, "bytes", _speech(), GarbageBody()),
    Call("garbage-of-models", "models.list", "str", {}, GarbageBody()),
    Call("no-choices", CHAT, "ChatCompletion", _chat(), NoChoices()),
    Call("error-frame", CHAT, "APIError None", _chat(stream=True), ErrorFrame()),
    Call("stopped-early", CHAT, "list of 3 ChatCompletionChunk", _chat(stream=True), StoppedEarly()),
    Call("stream-cut-off", CHAT, "list of 2 ChatCompletionChunk", _chat(stream=True), CutOff()),
    Call("cut-off", CHAT, "APIConnectionError None", _chat(), CutOff()),
    Call("cut-off-in-audio", TRANSCRIBE, "APIConnectionError None", _audio(), CutOff(), HEARS),
    Call("cut-off-in-speech", SPEAK, "APIConnectionError None", _speech(), CutOff()),
    Call("cut-off-in-models", "models.list", "APIConnectionError None", {}, CutOff()),
    Call("disconnect", CHAT, "APIConnectionError None", _chat(), Disconnect()),
    Call("disconnect-in-stream", CHAT, "RemoteProtocolError None", _chat(stream=True), Disconnect(1)),
    Call("disconnect-in-audio", TRANSCRIBE, "APIConnectionError None", _audio(), Disconnect()),
    Call("disconnect-in-speech", SPEAK, "APIConnectionError None", _speech(), Disconnect()),
    Call("disconnect-in-models", "models.list", "APIConnectionError None", {}, Disconnect()),
    Call("slow", CHAT, "ChatCompletion", _chat(), Pace(first_byte=0.001)),
    Call("hang", CHAT, "APITimeoutError None", _chat(timeout=0.05), Hang()),
    Call("hang-of-audio", TRANSCRIBE, "APITimeoutError None", _audio(timeout=0.05), Hang()),
    Call("hang-of-speech", SPEAK, "APITimeoutError None", _speech(timeout=0.05), Hang()),
    Call("hang-of-models", "models.list", "APITimeoutError None", {"timeout": 0.05}, Hang()),
]


def _in_short(result: Any) -> str:
    if isinstance(result, list):
        kinds = {type(item).__name__ for item in result}
        return f"list of {len(result)} {' '.join(sorted(kinds))}"
    if isinstance(result, Exception):
        return f"{type(result).__name__} {getattr(result, 'status_code', None)}"
    return type(result).__name__


def _in_full(result: Any) -> Any:
    if isinstance(result, list):
        return [_in_full(item) for item in result]
    if isinstance(result, BaseModel):
        return result.model_dump(mode="json")
    if isinstance(result, Exception):
        return type(result), getattr(result, "body", None)
    return result


def _ask(client: Groq, call: Call) -> Any:
    try:
        answer = operator.attrgetter(call.method)(client)(**call.options)
        if isinstance(answer, BinaryAPIResponse):
            return answer.read()
        return list(answer) if call.options.get("stream") else answer
    except (groq.GroqError, httpx.HTTPError) as error:
        return error


async def _ask_async(client: AsyncGroq, call: Call) -> Any:
    try:
        answer = await operator.attrgetter(call.method)(client)(**call.options)
        if isinstance(answer, AsyncBinaryAPIResponse):
            return await answer.read()
        return [item async for item in answer] if call.options.get("stream") else answer
    except (groq.GroqError, httpx.HTTPError) as error:
        return error


def _server(call: Call) -> GroqServer:
    server = GroqServer(seed=7, clock=lambda: NOW, **call.server)
    server.fail_next(call.fault)
    return server


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
async def test_both_clients_see_the_same(call: Call) -> None:
    """A call ends alike for both clients, and as it would at Groq."""
    async with _server(call) as server:
        async with AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as client:
            seen = await _ask_async(client, call)
        fault = server.requests[0].fault
    async with _server(call) as server:
        with Groq(api_key="k", base_url=server.base_url, max_retries=0) as sync_client:
            seen_by_sync = await asyncio.to_thread(_ask, sync_client, call)
    assert call.sees == _in_short(seen)
    assert fault == call.fault
    assert _in_full(seen) == _in_full(seen_by_sync)


@pytest.mark.stageflow_groq_server(seed=7)
def test_a_turn_of_a_voice_by_the_fixture(stageflow_groq_server: GroqServer) -> None:
    """An ordinary test speaks, hears what was said, and asks a model, by the sync client."""
    with Groq(api_key="k", base_url=stageflow_groq_server.base_url, max_retries=0) as client:
        file = client.audio.speech.create(**_speech(input="My name is Ada.")).read()
        heard = client.audio.transcriptions.create(model="whisper-large-v3", file=("turn.wav", file)).text
        assert heard == " My name is Ada."
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": heard}])
        assert answer.choices[0].message.content == "Nice to meet you, Ada."
    spoken, listened, _ = stageflow_groq_server.requests
    assert spoken.speech is not None
    assert (spoken.speech.voice, listened.upload and listened.upload.data) == ("troy", file)


async def test_retries_of_the_sdk_meet_the_faults_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK tries again by itself, as late as it is told, and gets the answer that comes after the faults."""
    waits: list[float] = []
    usual = AsyncGroq._calculate_retry_timeout

    def waited(*args: Any, **options: Any) -> float:
        waits.append(usual(*args, **options))
        return 0.0

    monkeypatch.setattr(AsyncGroq, "_calculate_retry_timeout", waited)
    async with GroqServer() as server, AsyncGroq(api_key="k", base_url=server.base_url, max_retries=2) as client:
        server.fail_next(RateLimited(retry_after=7), ServerError(503))
        answer = await client.chat.completions.create(**_chat())
    assert answer.choices[0].message.content == "Nice to meet you, Ada."
    assert [request.status for request in server.requests] == [429, 503, 200]
    assert waits[0] == 7.0
