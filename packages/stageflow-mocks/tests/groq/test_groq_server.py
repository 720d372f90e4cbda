"""GroqServer, seen through the official SDK."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import groq
import httpx
import pytest
import pytest_asyncio
from groq import AsyncGroq
from groq.types.chat import ChatCompletion, ChatCompletionChunk
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

ADA: list[Any] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "My name is Ada."},
    {"role": "assistant", "content": "Nice to meet you, Ada."},
    {"role": "user", "content": "What is my name?"},
]


WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it.", "parameters": {"type": "object"}},
}
JSON_ANSWER: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[GroqServer]:
    async with GroqServer(api_keys={"right"}) as running:
        yield running


@pytest_asyncio.fixture
async def client(server: GroqServer) -> AsyncIterator[AsyncGroq]:
    async with AsyncGroq(api_key="right", base_url=server.base_url, max_retries=0) as sdk:
        yield sdk


async def _ask(client: AsyncGroq, **options: Any) -> ChatCompletion:
    return await client.chat.completions.create(model="llama-3.1-8b-instant", messages=ADA, **options)


async def _stream(client: AsyncGroq, **options: Any) -> list[ChatCompletionChunk]:
    stream = await client.chat.completions.create(model="llama-3.1-8b-instant", messages=ADA, stream=True, **options)
    async with stream:
        return [chunk async for chunk in stream]


def _text(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


async def test_answer_from_the_conversation(client: AsyncGroq) -> None:
    """What the user said earlier is in the answer."""
    completion = await _ask(client)
    assert completion.choices[0].message.content == "Your name is Ada."
    assert completion.choices[0].finish_reason == "stop"


async def test_stream_carries_the_same_answer(client: AsyncGroq) -> None:
    """The pieces of a stream join to the answer; id and usage stand where Groq puts them."""
    first, *middle, last = await _stream(client)
    assert _text([first, *middle, last]) == "Your name is Ada."
    assert first.x_groq is not None
    assert last.x_groq is not None
    assert first.x_groq.id is not None
    assert first.x_groq.id.startswith("req_")
    assert first.x_groq.id == last.x_groq.id
    assert first.choices[0].delta.role == "assistant"
    assert all(chunk.x_groq is None and chunk.choices[0].finish_reason is None for chunk in middle)
    assert last.choices[0].finish_reason == "stop"
    assert last.x_groq.usage is not None
    assert last.x_groq.usage.completion_tokens == len(middle)
    assert last.x_groq.usage.total_tokens == last.x_groq.usage.prompt_tokens + len(middle)
    assert len({chunk.id for chunk in (first, *middle, last)}) == 1


async def test_same_seed_gives_the_same_ids() -> None:
    """Two servers of one seed answer alike, and two requests to one server do not share an id."""

    async def ids() -> list[str]:
        async with GroqServer(seed=7) as server:
            return [(await _post(server, {"model": "m", "messages": ADA})).json()["id"] for _ in range(2)]

    first, second = await ids(), await ids()
    assert first == second
    assert first[0] != first[1]


async def test_token_limit_cuts_the_answer(client: AsyncGroq) -> None:
    """The token limit ends the answer with finish_reason length."""
    completion = await _ask(client, max_completion_tokens=2)
    assert completion.choices[0].message.content == "Your name"
    assert completion.choices[0].finish_reason == "length"


@pytest.mark.parametrize("stop", ["name", ["name", "is"]])
async def test_stop_sequence_ends_the_answer(client: AsyncGroq, stop: str | list[str]) -> None:
    """Nothing is sent from a stop sequence on."""
    completion = await _ask(client, stop=stop)
    assert completion.choices[0].message.content == "Your "


async def test_responder_replaces_the_rules() -> None:
    """A function of the messages may answer instead."""
    async with GroqServer(responder=lambda messages: f"{len(messages)} messages") as server:
        payload = (await _post(server, {"model": "m", "messages": ADA})).json()
    assert payload["choices"][0]["message"]["content"] == "4 messages"


def _calling(*calls: CallTool) -> Any:
    return lambda messages: list(calls)


async def test_tool_call() -> None:
    """A responder may call a tool, of those that the request has."""
    async with GroqServer(responder=lambda messages: CallTool("weather", {"city": "Bø"})) as server:
        payload = (await _post(server, {"model": "m", "messages": ADA, "tools": [WEATHER]})).json()
    (choice,) = payload["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], "content" in choice["message"]) == ("tool_calls", False)
    assert (call["type"], call["function"]) == ("function", {"name": "weather", "arguments": '{"city":"Bø"}'})
    assert call["id"].startswith("call_")


async def test_tool_calls_in_a_stream() -> None:
    """Each call is one event, with its place in the answer; the ids differ."""
    calls = (CallTool("weather", {"city": "Bergen"}), CallTool("weather", "{not json"))
    async with GroqServer(responder=_calling(*calls)) as server:
        body = {"model": "m", "messages": ADA, "tools": [WEATHER], "stream": True}
        response = await _post(server, body)
    payloads = [json.loads(frame.removeprefix(b"data: ")) for frame in response.content.split(b"\n\n")[:-2]]
    sent = [call for payload in payloads for call in payload["choices"][0]["delta"].get("tool_calls", ())]
    assert [call["index"] for call in sent] == [0, 1]
    assert [call["function"]["arguments"] for call in sent] == ['{"city":"Bergen"}', "{not json"]
    assert len({call["id"] for call in sent}) == 2
    assert payloads[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert payloads[-1]["usage"]["completion_tokens"] > 0


async def test_messages_about_tools_are_understood() -> None:
    """A conversation goes on after a tool has answered."""
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    talk = [
        *ADA,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "4"},
    ]
    async with GroqServer(responder=lambda messages: str(messages[-1]["content"])) as server:
        payload = (await _post(server, {"model": "m", "messages": talk, "tools": [WEATHER]})).json()
    assert payload["choices"][0]["message"]["content"] == "4"


@pytest.mark.parametrize(
    ("responder", "options", "code", "message"),
    [
        (
            _calling(CallTool("magic")),
            {"tools": [WEATHER]},
            "tool_use_failed",
            "tool call validation failed: attempted to call tool 'magic' which was not in request.tools",
        ),
        (
            _calling(CallTool("weather")),
            {"tools": [WEATHER], "tool_choice": "none"},
            "tool_use_failed",
            "Tool choice is none, but model called a tool",
        ),
        (
            _calling(CallTool("weather")),
            {},
            "tool_use_failed",
            "Tool choice is none, but model called a tool",
        ),
        (
            lambda messages: "Sunny.",
            {"tools": [WEATHER], "tool_choice": "required"},
            "tool_use_failed",
            "Tool choice is required, but model did not call a tool",
        ),
        (
            lambda messages: "Sunny.",
            {"response_format": JSON_ANSWER},
            "json_validate_failed",
            "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details.",
        ),
    ],
)
async def test_what_the_model_may_not_write(responder: Any, options: Any, code: str, message: str) -> None:
    """Groq refuses what its model wrote where it is not what was asked for, and shows it."""
    async with GroqServer(responder=responder) as server:
        response = await _post(server, {"model": "m", "messages": ADA, **options})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["message"]) == (400, code, message)
    assert error["failed_generation"]


async def test_json_answer() -> None:
    """An answer that is JSON goes out where JSON was asked for."""
    async with GroqServer(responder=lambda messages: '{"mood": "good"}') as server:
        payload = (await _post(server, {"model": "m", "messages": ADA, "response_format": JSON_ANSWER})).json()
    assert json.loads(payload["choices"][0]["message"]["content"]) == {"mood": "good"}


async def test_responder_may_be_async() -> None:
    """A function that waits for something answers like another."""

    async def answer(messages: Any) -> str:
        await asyncio.sleep(0)
        return f"{len(messages)} messages"

    async with GroqServer(responder=answer) as server:
        payload = (await _post(server, {"model": "m", "messages": ADA})).json()
    assert payload["choices"][0]["message"]["content"] == "4 messages"


@pytest.mark.parametrize("who", ["client", "server"])
async def test_responder_that_waits_ends_with_who_leaves(who: str) -> None:
    """An answer that never comes holds up neither the client that leaves nor the server."""
    ended: list[str] = []

    async def answer(messages: Any) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(who)
        return ""

    async with GroqServer(responder=answer) as server:
        asking = asyncio.create_task(_post(server, {"model": "m", "messages": ADA}))
        (request,) = await server.wait_for_requests(1)
        if who == "client":
            asking.cancel()
            assert await request.wait_ended() == "client_left"
    assert request.ending == ("client_left" if who == "client" else "server_closed")
    assert (ended, request.status) == ([who], None)
    with pytest.raises((asyncio.CancelledError, httpx.HTTPError)):
        await asking


@pytest.mark.parametrize("said", [None, 5, [], ["weather"], {"weather": {}}])
async def test_responder_that_returns_no_answer(said: Any) -> None:
    """What is neither a text nor tool calls answers 500, and is raised where the server is left."""
    with pytest.raises(TypeError, match="A responder returns a text, a CallTool or a list of them"):
        async with GroqServer(responder=lambda messages: said) as server:
            assert (await _post(server, {"model": "m", "messages": ADA})).status_code == 500


async def test_usage_is_the_same_each_time() -> None:
    """Times follow from the texts and the pace, so that the same answer always took as long."""
    usages: list[Any] = []
    for _ in range(2):
        async with GroqServer(pace=Pace(first_byte=0.5, per_chunk=0.1), sleep=lambda s: asyncio.sleep(0)) as server:
            response = await _post(server, {"model": "m", "messages": ADA, "stream": True})
        *_, last = [frame for frame in response.content.split(b"\n\n") if frame.startswith(b"data: {")]
        usages.append(json.loads(last.removeprefix(b"data: "))["usage"])
    assert usages[0] == usages[1]
    assert usages[0]["queue_time"] == 0.5
    assert usages[0]["completion_time"] == pytest.approx(usages[0]["completion_tokens"] * (0.1 + 1 / 500))
    assert usages[0]["total_time"] == usages[0]["prompt_time"] + usages[0]["completion_time"]


async def test_headers() -> None:
    """The headers say what is left of the limits, by requests and by tokens; every answer has an id, refusals too."""
    async with GroqServer() as server:
        response = await _post(server, {"model": "m", "messages": [{"role": "user", "content": "x " * 3000}]})
        refused = await _post(server, {})
    tokens = response.json()["usage"]["prompt_tokens"]
    assert {name: value for name, value in response.headers.items() if name.startswith("x-ratelimit")} == {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-remaining-requests": "14399",
        "x-ratelimit-reset-requests": "6s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": str(6000 - tokens),
        "x-ratelimit-reset-tokens": "30s",
    }
    assert response.headers["x-request-id"] == response.json()["x_groq"]["id"]
    assert refused.headers["x-request-id"].startswith("req_01")
    assert response.headers["x-request-id"] != refused.headers["x-request-id"]


@pytest.mark.parametrize(("words", "reset"), [(1, "10ms"), (100, "1s"), (12_000, "2m0s"), (12_056, "2m0.56s")])
async def test_times_in_headers(words: int, reset: str) -> None:
    """Times are written as Go writes them."""
    async with GroqServer() as server:
        response = await _post(server, {"model": "m", "messages": [{"role": "user", "content": "x " * words}]})
    assert response.headers["x-ratelimit-reset-tokens"] == reset
    assert int(response.headers["x-ratelimit-remaining-tokens"]) == max(0, 6000 - words)


async def test_error_of_a_responder_comes_out() -> None:
    """A bug in the responder answers 500 and is raised where the server is left."""

    def broken(messages: object) -> str:
        raise LookupError("no such line")

    with pytest.raises(LookupError, match="no such line"):
        async with GroqServer(responder=broken) as server:
            assert (await _post(server, {"model": "m", "messages": ADA})).status_code == 500


async def test_text_outside_of_ascii_survives() -> None:
    """Every character of an answer arrives, however the pieces are cut."""
    text = "Žluťoučký kůň 🦄 さようなら, twice  spaced\nand \u2028 split."
    async with (
        GroqServer(responder=lambda _: text) as server,
        AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as sdk,
    ):
        assert _text(await _stream(sdk)) == text


@pytest.mark.parametrize("key", ["wrong", "right2"])
async def test_wrong_key(server: GroqServer, key: str) -> None:
    """A key that the server does not know is refused in Groq's words, and consumes no fault."""
    server.fail_next(ServerError())
    async with AsyncGroq(api_key=key, base_url=server.base_url, max_retries=0) as sdk:
        with pytest.raises(groq.AuthenticationError) as caught:
            await _ask(sdk)
    assert caught.value.body == {
        "error": {"message": "Invalid API Key", "type": "invalid_request_error", "code": "invalid_api_key"}
    }
    assert server.pending_faults == (ServerError(),)


async def test_missing_key() -> None:
    """A server that takes any key still wants one."""
    async with GroqServer() as server, httpx.AsyncClient(trust_env=False) as http:
        response = await http.post(f"{server.base_url}/openai/v1/chat/completions", json={})
    assert response.status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "could not parse the request body: it is not valid JSON"),
        (b"[]", 400, "could not parse the request body: it is not a JSON object"),
        (b"[" * 100_000, 400, "could not parse the request body: it is not valid JSON"),
        (b'{"temperature": NaN}', 400, "could not parse the request body: it is not valid JSON"),
        ({"messages": ADA}, 400, "'model' : property 'model' is required"),
        ({"model": 1, "messages": ADA}, 400, "'model' : value must be a string"),
        ({"model": "m"}, 400, "'messages' : value must be an array"),
        ({"model": "m", "messages": []}, 400, "'messages' : minimum number of items is 1"),
        (
            {"model": "m", "messages": [{"role": "robot", "content": "x"}]},
            400,
            "'messages.0' : discriminator property 'role' has invalid value",
        ),
        (
            {"model": "m", "messages": [*ADA, {"role": "user", "content": 1}]},
            400,
            (
                "'messages.4' : for 'role:user' the following must be satisfied"
                "[('messages.4.content' : value must be a string)]"
            ),
        ),
        ({"model": "m", "messages": ["hello"]}, 400, "'messages.0' : discriminator property 'role' has invalid value"),
        ({"model": "m", "messages": ADA, "stream": "yes"}, 400, "'stream' : value must be a boolean"),
        ({"model": "m", "messages": ADA, "max_tokens": True}, 400, "'max_tokens' : value must be an integer"),
        ({"model": "m", "messages": ADA, "max_tokens": 0}, 400, "'max_tokens' : number must be at least 1"),
        ({"model": "m", "messages": ADA, "stop": [""]}, 400, "'stop' : items must be strings that are not empty"),
        ({"model": "m", "messages": ADA, "n": 2}, 400, "'n' : number must be at most 1"),
        ({"model": "m", "messages": ADA, "n": 0}, 400, "'n' : number must be at least 1"),
        ({"model": "m", "messages": ADA, "tools": {}}, 400, "'tools' : value must be an array"),
        ({"model": "m", "messages": ADA, "tools": []}, 400, "'tools' : minimum number of items is 1"),
        (
            {"model": "m", "messages": ADA, "tools": [{"type": "magic"}]},
            400,
            "'tools.0.type' : value is not one of the allowed values ['function']",
        ),
        (
            {"model": "m", "messages": ADA, "tools": [{"type": "function", "function": {}}]},
            400,
            "'tools.0.function.name' : property 'name' is required",
        ),
        (
            {"model": "m", "messages": ADA, "tools": [WEATHER], "tool_choice": "maybe"},
            400,
            "'tool_choice' : value is not one of the allowed values ('auto', 'none', 'required')",
        ),
        (
            {"model": "m", "messages": ADA, "tools": [WEATHER], "tool_choice": {"type": "function"}},
            400,
            "'tool_choice.function.name' : property 'name' is required",
        ),
        (
            {
                "model": "m",
                "messages": ADA,
                "tools": [WEATHER],
                "tool_choice": {"type": "function", "function": {"name": "wether"}},
            },
            400,
            "tool choice 'wether' was not found in request.tools",
        ),
        ({"model": "m", "messages": ADA, "tool_choice": "auto"}, 400, "'tool_choice' : requires 'tools'"),
        (
            {"model": "m", "messages": [{"role": "tool", "content": "4"}]},
            400,
            (
                "'messages.0' : for 'role:tool' the following must be satisfied"
                "[('messages.0.tool_call_id' : property 'tool_call_id' is missing)]"
            ),
        ),
        (
            {"model": "m", "messages": [{"role": "user", "content": "4", "tool_calls": []}]},
            400,
            (
                "'messages.0' : for 'role:user' the following must be satisfied"
                "[('messages.0' : property 'tool_calls' is unsupported)]"
            ),
        ),
        (
            {"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]},
            400,
            (
                "'messages.0' : for 'role:assistant' the following must be satisfied"
                "[('messages.0.tool_calls.0.type' : property 'type' is missing)]"
            ),
        ),
        (
            {"model": "m", "messages": ADA, "response_format": {"type": "yaml"}},
            400,
            "'response_format.type' : value is not one of the allowed values ('text', 'json_object', 'json_schema')",
        ),
        (
            {"model": "m", "messages": ADA, "response_format": {"type": "json_schema"}},
            400,
            "'response_format.json_schema.name' : property 'name' is required",
        ),
        (
            {"model": "m", "messages": ADA, "response_format": JSON_ANSWER, "tools": [WEATHER]},
            400,
            "json mode cannot be combined with tool/function calling",
        ),
        (
            {"model": "m", "messages": ADA, "response_format": JSON_ANSWER, "stream": True},
            400,
            "response_format `json_schema` does not support streaming",
        ),
        (
            {"model": "other", "messages": ADA},
            404,
            "The model `other` does not exist or you do not have access to it.",
        ),
    ],
)
async def test_bad_request(body: Any, status: int, message: str) -> None:
    """What the server does not understand or speak is refused by name, never ignored."""
    async with GroqServer(models={"m"}) as server:
        response = await _post(server, body)
    assert (response.status_code, response.json()["error"]["message"]) == (status, message)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/openai/v1/chat/completions"), ("POST", "/v1/chat/completions"), ("GET", "/")]
)
async def test_unknown_url(server: GroqServer, method: str, path: str) -> None:
    """Another path or method is a 404 that names it."""
    async with httpx.AsyncClient(base_url=server.base_url, trust_env=False) as http:
        response = await http.request(method, path)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_url"
    assert f"{method} {path}" in response.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("asked", "header"), [(2.0, "2"), (0.2, "1")])
async def test_rate_limit(client: AsyncGroq, server: GroqServer, stream: bool, asked: float, header: str) -> None:
    """429 has the delay in its header, in whole seconds, and in its message."""
    server.fail_next(RateLimited(retry_after=asked))
    with pytest.raises(groq.RateLimitError) as caught:
        await _ask(client, stream=stream)
    assert caught.value.response.headers["retry-after"] == header
    error: Any = caught.value.body
    assert error["error"]["code"] == "rate_limit_exceeded"
    assert f"try again in {asked:g}s" in error["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "message"), [(500, "Internal Server Error"), (503, "over capacity")])
async def test_server_error(client: AsyncGroq, server: GroqServer, stream: bool, status: int, message: str) -> None:
    """5xx is what the SDK calls an InternalServerError."""
    server.fail_next(ServerError(status))
    with pytest.raises(groq.InternalServerError, match=message) as caught:
        await _ask(client, stream=stream)
    assert caught.value.status_code == status


async def test_faults_strike_one_request_each(client: AsyncGroq, server: GroqServer) -> None:
    """Faults are met in order, None lets a request through, and after the last one all is well."""
    server.fail_next(ServerError(), None, RateLimited())
    with pytest.raises(groq.InternalServerError):
        await _ask(client)
    await _ask(client)
    with pytest.raises(groq.RateLimitError):
        await _ask(client)
    await _ask(client)
    assert server.pending_faults == ()
    assert [request.fault for request in server.requests] == [ServerError(), None, RateLimited(), None]


@pytest.mark.parametrize("fault", [Hang(), Hang(after_chunks=2)])
@pytest.mark.parametrize("stream", [False, True])
async def test_hang_lasts_until_the_client_leaves(
    client: AsyncGroq, server: GroqServer, fault: Hang, stream: bool
) -> None:
    """A hanging request is answered by nothing, and ends when the client gives up."""
    server.fail_next(fault)
    asking = asyncio.create_task(_stream(client) if stream else _ask(client))
    (request,) = await server.wait_for_requests(1)
    assert request.ending == "open"
    asking.cancel()
    assert await request.wait_ended() == "client_left"
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_hang_in_the_middle_of_a_stream(client: AsyncGroq, server: GroqServer) -> None:
    """The pieces before the silence arrive."""
    server.fail_next(Hang(after_chunks=2))
    stream = await client.chat.completions.create(model="m", messages=ADA, stream=True)
    got = [(await stream.__anext__()).choices[0].delta.content for _ in range(3)]
    assert got == ["", "Your", " name"]
    await stream.close()
    assert await server.requests[0].wait_ended() == "client_left"


async def test_client_timeout_meets_a_hang(server: GroqServer) -> None:
    """The SDK's own timeout is what ends a hang for a caller who only waits."""
    server.fail_next(Hang())
    async with AsyncGroq(api_key="right", base_url=server.base_url, max_retries=0, timeout=0.05) as sdk:
        with pytest.raises(groq.APITimeoutError):
            await _ask(sdk)


async def test_leaving_does_not_wait_for_hanging_requests() -> None:
    """The server leaves at once with a request open, and the client learns of it."""
    async with GroqServer() as server:
        server.fail_next(Hang())
        sdk = AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0, timeout=None)
        asking = asyncio.create_task(_ask(sdk))
        await server.wait_for_requests(1)
    assert server.requests[0].ending == "server_closed"
    with pytest.raises(groq.APIConnectionError):
        await asking
    await sdk.close()


async def test_leaving_leaves_no_task_behind() -> None:
    """Idle and busy connections end with the server, and so do its tasks."""
    before = asyncio.all_tasks()
    async with GroqServer() as server, AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as sdk:
        await _ask(sdk)
        await _stream(sdk)
    assert asyncio.all_tasks() == before


async def test_error_frame(client: AsyncGroq, server: GroqServer) -> None:
    """An error event in a stream is a bare APIError of the SDK."""
    server.fail_next(ErrorFrame(after_chunks=2))
    with pytest.raises(groq.APIError, match="over capacity") as caught:
        await _stream(client)
    assert type(caught.value) is groq.APIError
    body: Any = caught.value.body
    assert body["status_code"] == 503
    assert server.requests[0].frames_sent == 4


async def test_error_frame_without_a_stream(client: AsyncGroq, server: GroqServer) -> None:
    """Where there is no stream to break, the same error is the response."""
    server.fail_next(ErrorFrame())
    with pytest.raises(groq.InternalServerError):
        await _ask(client)


async def test_stream_stopped_early(client: AsyncGroq, server: GroqServer) -> None:
    """Groq's own reason for stopping stands in the last event, for which the SDK raises nothing."""
    server.fail_next(StoppedEarly(after_chunks=1, reason="tired"))
    chunks = await _stream(client)
    assert _text(chunks) == "Your"
    assert chunks[-1].x_groq is not None
    assert chunks[-1].x_groq.error == "tired"
    assert chunks[-1].choices[0].finish_reason is None


async def test_stopped_early_without_a_stream(client: AsyncGroq, server: GroqServer) -> None:
    """Where there is no stream to stop, the reason is the response."""
    server.fail_next(StoppedEarly(reason="tired"))
    with pytest.raises(groq.InternalServerError, match="tired"):
        await _ask(client)


async def test_stream_cut_off(client: AsyncGroq, server: GroqServer) -> None:
    """A stream cut off in good order raises nothing in the SDK: only the finish reason is missing."""
    server.fail_next(CutOff(after_chunks=2))
    chunks = await _stream(client)
    assert _text(chunks) == "Your name"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None]


async def test_body_cut_off(client: AsyncGroq, server: GroqServer) -> None:
    """A body cut off is a broken connection."""
    server.fail_next(CutOff())
    with pytest.raises(groq.APIConnectionError):
        await _ask(client)
    assert await server.requests[0].wait_ended() == "cut"


@pytest.mark.parametrize("stream", [False, True])
async def test_disconnect_before_the_first_byte(client: AsyncGroq, server: GroqServer, stream: bool) -> None:
    """A connection closed without a response is a connection error."""
    server.fail_next(Disconnect())
    with pytest.raises(groq.APIConnectionError):
        await _ask(client, stream=stream)
    assert await server.requests[0].wait_ended() == "cut"


async def test_disconnect_in_the_middle_of_a_stream(client: AsyncGroq, server: GroqServer) -> None:
    """A connection closed in mid-stream is an error of httpx, which the SDK does not wrap."""
    server.fail_next(Disconnect(after_chunks=1))
    with pytest.raises(httpx.RemoteProtocolError):
        await _stream(client)
    assert server.requests[0].frames_sent == 2


async def test_garbage_with_status_200(client: AsyncGroq, server: GroqServer) -> None:
    """A body that is no answer raises nothing in the SDK."""
    server.fail_next(GarbageBody(), GarbageBody())
    assert await _stream(client) == []
    assert isinstance(await _ask(client), str)


async def test_answer_without_choices(client: AsyncGroq, server: GroqServer) -> None:
    """A well-formed answer may have nothing in it."""
    server.fail_next(NoChoices(), NoChoices())
    assert (await _ask(client)).choices == []
    assert [chunk.choices for chunk in await _stream(client)] == [[]]


@pytest.mark.parametrize("given", ["usual", "fault"])
async def test_pace(given: str) -> None:
    """The server takes its time before the first byte and before each piece, as told."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    slow = Pace(first_byte=5.0, per_chunk=0.5)
    async with (
        GroqServer(sleep=sleep, pace=slow if given == "usual" else None) as server,
        AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as sdk,
    ):
        if given == "fault":
            server.fail_next(slow)
        await _stream(sdk)
    assert slept == [5.0, 0.5, 0.5, 0.5, 0.5]


async def test_slow_first_byte_ends_with_the_client(server: GroqServer) -> None:
    """A client that leaves during a pause ends the request."""
    server.fail_next(Pace(first_byte=3600.0))
    async with AsyncGroq(api_key="right", base_url=server.base_url, max_retries=0) as sdk:
        asking = asyncio.create_task(_ask(sdk))
        await server.wait_for_requests(1)
        asking.cancel()
        assert await server.requests[0].wait_ended() == "client_left"


async def test_requests_are_recorded(client: AsyncGroq, server: GroqServer) -> None:
    """What arrived can be read afterwards, without the key."""
    await _ask(client, temperature=0.5)
    (request,) = server.requests
    assert (request.method, request.path, request.status) == ("POST", "/openai/v1/chat/completions", 200)
    assert request.messages == ADA
    assert json.loads(request.body)["temperature"] == 0.5
    assert "right" not in repr(request)
    assert await request.wait_ended() == "completed"


async def test_concurrent_requests_do_not_mix(server: GroqServer, client: AsyncGroq) -> None:
    """Fifty streams at once each get their own answer."""

    async def tell(name: str) -> str:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": f"My name is {name}."}], stream=True
        )
        return _text([chunk async for chunk in stream])

    names = [f"N{number}" for number in range(50)]
    assert await asyncio.gather(*map(tell, names)) == [f"Nice to meet you, {name}." for name in names]


async def test_base_url_of_a_server_that_does_not_run() -> None:
    """Asking for the address too early says what to do."""
    with pytest.raises(RuntimeError, match="async with"):
        _ = GroqServer().base_url


async def test_server_may_be_entered_again_but_not_twice() -> None:
    """One server runs once at a time."""
    server = GroqServer()
    async with server:
        with pytest.raises(RuntimeError, match="running already"):
            await server.__aenter__()
        assert (await _post(server, {"model": "m", "messages": ADA})).status_code == 200
    async with server:
        assert (await _post(server, {"model": "m", "messages": ADA})).status_code == 200


@pytest.mark.parametrize(
    "make",
    [
        lambda: RateLimited(retry_after=-1),
        lambda: RateLimited(retry_after=float("nan")),
        lambda: ServerError(404),
        lambda: Hang(after_chunks=-1),
        lambda: Pace(first_byte=float("inf")),
        lambda: Pace(per_chunk=-0.1),
        lambda: ErrorFrame(after_chunks=-1),
        lambda: ErrorFrame(status=404),
        lambda: ErrorFrame(status=True),
        lambda: StoppedEarly(reason=""),
        lambda: GarbageBody("text"),  # pyright: ignore[reportArgumentType]
        lambda: GarbageBody(content_type=""),
        lambda: StoppedEarly(after_chunks=-1),
        lambda: CutOff(after_chunks=-1),
        lambda: Disconnect(after_chunks=-1),
    ],
)
def test_impossible_fault(make: Any) -> None:
    """A fault that cannot be is refused when it is written down."""
    with pytest.raises((TypeError, ValueError), match="not"):
        make()


def _fault_kinds() -> list[Fault]:
    return [
        RateLimited(),
        ServerError(),
        ServerError(503),
        GarbageBody(),
        NoChoices(),
        ErrorFrame(),
        StoppedEarly(),
        CutOff(),
        Disconnect(),
        Disconnect(1),
        Pace(),
    ]


@pytest.mark.parametrize("fault", _fault_kinds(), ids=repr)
@pytest.mark.parametrize("stream", [False, True])
async def test_server_is_well_after_a_fault(
    client: AsyncGroq, server: GroqServer, caplog: pytest.LogCaptureFixture, fault: Fault, stream: bool
) -> None:
    """Whatever struck one request, the next one is answered, and no log complains."""
    server.fail_next(fault)
    with contextlib.suppress(groq.GroqError, httpx.HTTPError):
        await (_stream(client) if stream else _ask(client))
    assert _text(await _stream(client)) == "Your name is Ada."
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def _post(server: GroqServer, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.post(
            f"{server.base_url}/openai/v1/chat/completions",
            content=content,
            headers={"authorization": "Bearer right", "content-type": "application/json"},
        )
