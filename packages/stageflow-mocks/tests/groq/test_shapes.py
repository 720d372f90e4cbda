"""Every kind of response against the SDK's own types: no field missing, none that Groq does not send."""

import json
from collections.abc import Collection, Mapping
from typing import Any

import httpx
import pytest
from groq.types import Model, ModelListResponse
from groq.types.audio import Transcription, Translation
from groq.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage, chat_completion
from groq.types.chat import chat_completion_chunk as chunks
from groq.types.completion_usage import CompletionUsage
from groq.types.shared import ErrorObject
from pydantic import BaseModel
from stageflow_mocks import (
    CallTool,
    ErrorFrame,
    Fault,
    GroqServer,
    NoChoices,
    RateLimited,
    Reasoned,
    ServerError,
    StoppedEarly,
)

SPEECH = {
    "model": "canopylabs/orpheus-v1-english",
    "input": "Good morning. How are you?",
    "voice": "troy",
    "response_format": "wav",
}
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "My name is Ada."}]}
TOOLS = {"tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]}

# What Groq sends beyond what its SDK declares, and where that is recorded.
BEYOND_THE_SDK: Mapping[type[BaseModel], Collection[str]] = {
    # The API reference at console.groq.com/docs, and answers recorded in 2024 and 2026.
    Transcription: ("x_groq", "task", "language", "duration", "words", "segments"),
    Translation: ("x_groq", "task", "language", "duration", "segments"),
    # The API reference for the first four, a list of October 2026 for the others.
    Model: (
        *("active", "context_window", "public_apps", "max_completion_tokens"),
        *("name", "input_modalities", "output_modalities", "supported_features"),
    ),
    # Captures of streams, 2026: of gpt-oss that reasons, and with `stream_options`.
    chunks.ChoiceDelta: ("channel",),
    ChatCompletionChunk: ("service_tier",),
    # Error events of recorded streams.
    ErrorObject: ("status_code",),
}

# What the SDK declares and Groq leaves out of such answers: it is about what they have nothing of.
LEFT_OUT: Mapping[type[BaseModel], Collection[str]] = {
    ChatCompletion: ("mcp_list_tools",),
    ChatCompletionMessage: ("annotations", "executed_tools", "function_call", "reasoning"),
    chat_completion.XGroq: ("debug", "usage"),
    CompletionUsage: ("completion_tokens_details", "prompt_tokens_details"),
    chunks.ChoiceDelta: ("annotations", "executed_tools", "function_call", "reasoning"),
    chunks.XGroq: ("debug", "usage_breakdown"),
    ErrorObject: ("debug", "param", "schema_code", "schema_kind", "schema_path", "schema_path_segments"),
}


def assert_exact(
    kind: type[BaseModel],
    payload: Any,
    left_out: Mapping[type[BaseModel], Collection[str]] | None = None,
    not_left_out: Mapping[type[BaseModel], str] | None = None,
) -> None:
    """Fail unless the payload is of the type strictly, with each declared field and none that nobody sends."""
    value = kind.model_validate(payload, strict=True)
    absent = {**LEFT_OUT}
    for of, there in (not_left_out or {}).items():
        absent[of] = tuple(name for name in LEFT_OUT[of] if name != there)
    for of, names in (left_out or {}).items():
        absent[of] = (*absent.get(of, ()), *names)
    _assert_exact(value, payload, absent, kind.__name__)


def _assert_exact(value: Any, payload: Any, absent: Mapping[type[BaseModel], Collection[str]], path: str) -> None:
    if isinstance(value, list):
        assert len(value) == len(payload)
        for index, item in enumerate(value):
            _assert_exact(item, payload[index], absent, f"{path}[{index}]")
    if not isinstance(value, BaseModel):
        return
    kind = type(value)
    declared, beyond = set(kind.model_fields), set(BEYOND_THE_SDK.get(kind, ()))
    missing = declared - set(payload) - set(absent.get(kind, ()))
    assert not missing, f"{path} lacks {missing}"
    extra = set(payload) - declared - beyond
    assert not extra, f"{path} has {extra}, which nobody says that Groq sends"
    wrongly_listed = set(payload) & set(absent.get(kind, ()))
    assert not wrongly_listed, f"{path} has {wrongly_listed}, which is listed as left out"
    for name in declared & set(payload):
        _assert_exact(getattr(value, name), payload[name], absent, f"{path}.{name}")


async def _post(server: GroqServer, path: str, key: str = "k", **what: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, headers={"authorization": f"Bearer {key}"}) as http:
        return await http.post(f"{server.base_url}/openai/v1{path}", **what)


async def _get(server: GroqServer, path: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, headers={"authorization": "Bearer k"}) as http:
        return await http.get(f"{server.base_url}/openai/v1{path}")


async def _events(server: GroqServer, **asked: Any) -> list[Any]:
    response = await _post(server, "/chat/completions", json={**CHAT, "stream": True, **asked})
    assert response.headers["content-type"] == "text/event-stream"
    *frames, rest = response.content.split(b"\n\n")
    assert rest == b""
    if frames[-1] == b"data: [DONE]":
        frames.pop()
    return [json.loads(frame.removeprefix(b"event: error\n").removeprefix(b"data: ")) for frame in frames]


def assert_exact_chunks(payloads: list[Any]) -> None:
    """Each event of a stream has what its place in the stream asks for."""
    first, *middle, last = payloads
    only_text = {chunks.ChoiceDelta: ("tool_calls",)}
    assert_exact(
        ChatCompletionChunk, first, {**only_text, ChatCompletionChunk: ("usage",), chunks.XGroq: ("usage", "error")}
    )
    for payload in middle:
        told = ("role", "content") if "tool_calls" in payload["choices"][0]["delta"] else ("role", "tool_calls")
        assert_exact(ChatCompletionChunk, payload, {ChatCompletionChunk: ("usage", "x_groq"), chunks.ChoiceDelta: told})
    assert_exact(
        ChatCompletionChunk,
        last,
        {chunks.ChoiceDelta: ("role", "content", "tool_calls"), chunks.XGroq: ("seed", "error")},
    )


async def test_completion() -> None:
    """A completion has every field of recorded traffic, in its order."""
    async with GroqServer() as server:
        payload = (await _post(server, "/chat/completions", json=CHAT)).json()
    assert_exact(ChatCompletion, payload, {ChatCompletionMessage: ("tool_calls",)})
    assert list(payload) == [
        *("id", "object", "created", "model", "choices", "usage", "usage_breakdown"),
        *("system_fingerprint", "x_groq", "service_tier"),
    ]
    assert list(payload["choices"][0]) == ["index", "message", "logprobs", "finish_reason"]
    assert list(payload["usage"]) == [
        *("queue_time", "prompt_tokens", "prompt_time", "completion_tokens", "completion_time"),
        *("total_tokens", "total_time"),
    ]


async def test_completion_with_tool_calls() -> None:
    """What calls a tool has no content, not even null."""
    async with GroqServer(responder=lambda messages: CallTool("weather", {"city": "Bø"})) as server:
        payload = (await _post(server, "/chat/completions", json={**CHAT, **TOOLS})).json()
    assert_exact(ChatCompletion, payload, {ChatCompletionMessage: ("content",)})


THOUGHT = Reasoned("Her name, then.", "You are Ada.")
REASONING = {CompletionUsage: "completion_tokens_details", ChatCompletionMessage: "reasoning"}


async def test_completion_with_reasoning() -> None:
    """Thoughts come after the answer, and what they cost after all other costs."""
    async with GroqServer(responder=lambda messages: THOUGHT) as server:
        asked = {"json": {**CHAT, "model": "openai/gpt-oss-20b"}}
        payload = (await _post(server, "/chat/completions", **asked)).json()
    assert_exact(ChatCompletion, payload, {ChatCompletionMessage: ("tool_calls",)}, REASONING)
    assert list(payload["choices"][0]["message"]) == ["role", "content", "reasoning"]
    assert list(payload["usage"])[-1] == "completion_tokens_details"


async def test_chunks_with_reasoning_and_usage() -> None:
    """A thought is a delta with its channel; what all cost is an event of its own, if asked for."""
    async with GroqServer(responder=lambda messages: THOUGHT) as server:
        asked = {"model": "openai/gpt-oss-20b", "stream_options": {"include_usage": True}}
        _, thought, *_, usage = await _events(server, **asked)
    assert list(thought["choices"][0]["delta"].items()) == [("reasoning", "Her"), ("channel", "analysis")]
    absent = {ChatCompletionChunk: ("usage", "x_groq"), chunks.ChoiceDelta: ("role", "content", "tool_calls")}
    assert_exact(ChatCompletionChunk, thought, absent, {chunks.ChoiceDelta: "reasoning"})
    assert_exact(ChatCompletionChunk, usage, {ChatCompletionChunk: ("x_groq",)}, REASONING)
    assert list(usage) == [
        *("id", "object", "created", "model", "system_fingerprint", "choices", "usage", "service_tier"),
    ]


async def test_chunks() -> None:
    """The id of a request is in the first and in the last event of a stream, what it cost in the last."""
    async with GroqServer() as server:
        assert_exact_chunks(await _events(server))


async def test_chunks_with_tool_calls() -> None:
    """A tool call is an event of its own."""
    async with GroqServer(responder=lambda messages: [CallTool("weather"), CallTool("weather")]) as server:
        payloads = await _events(server, **TOOLS)
    assert_exact_chunks(payloads)
    assert sum("tool_calls" in payload["choices"][0]["delta"] for payload in payloads) == 2


async def test_answer_without_choices() -> None:
    """An answer that a fault leaves empty is well-formed all the same."""
    async with GroqServer() as server:
        server.fail_next(NoChoices(), NoChoices())
        assert_exact(ChatCompletion, (await _post(server, "/chat/completions", json=CHAT)).json())
        (payload,) = await _events(server)
        assert_exact(ChatCompletionChunk, payload, {ChatCompletionChunk: ("usage",), chunks.XGroq: ("usage", "error")})


async def test_stream_that_stops_early() -> None:
    """The last event of a stream that Groq gives up on says why, and nothing of usage."""
    async with GroqServer() as server:
        server.fail_next(StoppedEarly())
        *_, last = await _events(server)
    absent = {
        ChatCompletionChunk: ("usage",),
        chunks.XGroq: ("usage", "seed"),
        chunks.ChoiceDelta: ("role", "content", "tool_calls"),
    }
    assert_exact(ChatCompletionChunk, last, absent)


TRANSCRIPTIONS = [
    ({}, ("x_groq",)),
    ({"response_format": "json"}, ("x_groq",)),
    ({"response_format": "verbose_json"}, ("task", "language", "duration", "segments", "x_groq")),
    (
        {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]},
        ("task", "language", "duration", "words", "segments", "x_groq"),
    ),
]


@pytest.mark.parametrize(("asked", "beyond"), TRANSCRIPTIONS)
async def test_transcription(asked: Any, beyond: Collection[str]) -> None:
    """A transcription has the fields of its format, each where the type of the SDK has room for it."""
    async with GroqServer() as server:
        payload = await _heard(server, "transcriptions", asked)
    assert_exact(Transcription, payload)
    assert set(payload) == {"text", *beyond}
    assert list(payload["x_groq"]) == ["id"]
    for segment in payload.get("segments") or ():
        assert [(name, type(value).__name__) for name, value in segment.items()] == [
            *(("id", "int"), ("seek", "int"), ("start", type(segment["start"]).__name__), ("end", "float")),
            *(("text", "str"), ("tokens", "list"), ("temperature", "int"), ("avg_logprob", "float")),
            *(("compression_ratio", "float"), ("no_speech_prob", "float")),
        ]
    for word in payload.get("words", ()):
        assert list(word) == ["word", "start", "end"]


@pytest.mark.parametrize(("asked", "beyond"), TRANSCRIPTIONS[:3])
async def test_translation(asked: Any, beyond: Collection[str]) -> None:
    """A translation has the fields of a transcription, but for words."""
    async with GroqServer() as server:
        payload = await _heard(server, "translations", asked)
    assert_exact(Translation, payload)
    assert set(payload) == {"text", *beyond}


async def test_transcription_as_text() -> None:
    """A text is no JSON."""
    async with GroqServer() as server:
        file = (await _post(server, "/audio/speech", json=SPEECH)).content
        form = {"data": {"model": "whisper-large-v3", "response_format": "text"}, "files": {"file": ("a.wav", file)}}
        response = await _post(server, "/audio/transcriptions", **form)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == " Good morning. How are you?"


async def _heard(server: GroqServer, endpoint: str, asked: Any) -> Any:
    file = (await _post(server, "/audio/speech", json=SPEECH)).content
    data = {"model": "whisper-large-v3", **asked}
    return (await _post(server, f"/audio/{endpoint}", data=data, files={"file": ("a.wav", file)})).json()


async def test_models() -> None:
    """The list of models, and each of them."""
    async with GroqServer() as server:
        payload = (await _get(server, "/models")).json()
        assert_exact(ModelListResponse, payload)
        for model in payload["data"]:
            assert (await _get(server, f"/models/{model['id']}")).json() == model


ERRORS: list[tuple[str, Any, Fault | None, int, Collection[str]]] = [
    ("/chat/completions", {"json": {}}, None, 400, ()),
    ("/chat/completions", {"json": CHAT, "key": "wrong"}, None, 401, ("code",)),
    ("/chat/completions", {"json": {**CHAT, "model": "other"}}, None, 404, ("code",)),
    ("/nothing", {}, None, 404, ("code",)),
    ("/chat/completions", {"json": CHAT}, RateLimited(), 429, ("code",)),
    ("/chat/completions", {"json": CHAT}, ServerError(), 500, ()),
    ("/chat/completions", {"json": CHAT}, ServerError(503), 503, ()),
    ("/chat/completions", {"json": CHAT}, StoppedEarly(), 503, ()),
    (
        "/chat/completions",
        {"json": {**CHAT, "response_format": {"type": "json_object"}}},
        None,
        400,
        ("code", "failed_generation"),
    ),
    ("/audio/transcriptions", {"json": {}}, None, 400, ()),
    ("/audio/transcriptions", {"data": {"model": "m"}, "files": {"file": ("a", b"")}}, None, 400, ("code",)),
    ("/audio/transcriptions", {"data": {"model": "m"}, "files": {"file": ("a.wav", b"")}}, None, 400, ("code",)),
    ("/audio/speech", {"json": SPEECH | {"model": "m", "voice": ""}}, None, 400, ()),
    ("/audio/speech", {"json": SPEECH | {"model": "m"}}, RateLimited(), 429, ("code",)),
]


@pytest.mark.parametrize(("path", "what", "fault", "status", "fields"), ERRORS)
async def test_error(path: str, what: Any, fault: Fault | None, status: int, fields: Collection[str]) -> None:
    """An error has what the SDK's type for it says, and of what may be there what belongs to it."""
    async with GroqServer(api_keys={"k"}, models={"m"}) as server:
        server.fail_next(fault)
        response = await _post(server, path, **what)
    payload = response.json()
    assert (response.status_code, list(payload)) == (status, ["error"])
    assert_exact(ErrorObject, payload["error"], {ErrorObject: {"code", "failed_generation"} - set(fields)})


@pytest.mark.parametrize(
    ("fault", "responder", "fields"),
    [
        (ErrorFrame(), lambda messages: "Hello, hello.", ()),
        (None, lambda messages: CallTool("magic"), ("code", "failed_generation")),
    ],
)
async def test_error_in_a_stream(fault: Fault | None, responder: Any, fields: Collection[str]) -> None:
    """An error event is the error with its status."""
    async with GroqServer(responder=responder) as server:
        server.fail_next(fault)
        *_, last = await _events(server)
    assert list(last) == ["error"]
    assert_exact(ErrorObject, last["error"], {ErrorObject: {"code", "failed_generation"} - set(fields)})
    assert last["error"]["status_code"] == (503 if fault else 400)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, "nobody says"),
        ({"created": "1"}, "created"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"mcp_list_tools": []}, "listed as left out"),
    ],
)
async def test_comparison_can_fail(change: Any, message: str) -> None:
    """The comparison with the SDK's types notices what is too much, of another type, or wrongly listed."""
    async with GroqServer() as server:
        payload = (await _post(server, "/chat/completions", json=CHAT)).json() | change
    with pytest.raises((AssertionError, ValueError), match=message):
        assert_exact(ChatCompletion, payload, {ChatCompletionMessage: ("tool_calls",)})


@pytest.mark.parametrize("kind", [ChatCompletion, ChatCompletionChunk])
async def test_comparison_notices_what_is_missing(kind: type[BaseModel]) -> None:
    """A field that the SDK declares may be left out only if it is listed."""
    async with GroqServer() as server:
        payload = (await _post(server, "/chat/completions", json=CHAT)).json()
    del payload["system_fingerprint"]
    if kind is ChatCompletionChunk:
        payload = (await _chunk()) | {}
        del payload["choices"][0]["logprobs"]
    with pytest.raises(AssertionError, match="lacks"):
        assert_exact(kind, payload, {ChatCompletionMessage: ("tool_calls",), ChatCompletionChunk: ("usage",)})


async def _chunk() -> Any:
    async with GroqServer() as server:
        return (await _events(server))[0]
