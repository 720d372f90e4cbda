"""GroqLLM in real pipelines: the real SDK against a loopback server."""

import asyncio
import contextlib
import json
import pickle
import re
import socket
import traceback
from collections.abc import AsyncIterator
from typing import Any

import groq
import httpx
import pytest
import pytest_asyncio
from groq import AsyncGroq
from stageflow import Pipeline, PipelineResults
from stageflow.capabilities import StagePorts
from stageflow.errors import (
    ProviderAuthError,
    ProviderContentRefused,
    ProviderError,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRequestError,
    ProviderServerError,
    ProviderTimeout,
    ProviderTransientError,
    ProviderUnreachable,
)
from stageflow.providers import (
    AnswerInPieces,
    LLMProvider,
    LLMRequest,
    LLMResponse,
    Message,
    Tool,
    ToolCall,
    Usage,
)
from stageflow.results import AgentResult
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
    RateLimited,
    Reasoned,
    ServerError,
    StoppedEarly,
)
from stageflow_mocks.groq.wire import Refusal
from stageflow_plus import ChatStage, GroqLLM
from stageflow_plus.groq_errors import provider_error, retry_after_seconds
from stageflow_plus.groq_llm import _as_one_chunk

CHAT = Pipeline("chat").with_stage("reply", ChatStage())


@pytest_asyncio.fixture
async def server() -> AsyncIterator[GroqServer]:
    async with GroqServer(api_keys={"right"}, models={"llama-3.1-8b-instant"}) as running:
        yield running


@pytest_asyncio.fixture
async def ports(server: GroqServer) -> AsyncIterator[StagePorts]:
    async with AsyncGroq(api_key="right", base_url=server.base_url, max_retries=0) as client:
        yield StagePorts(llm=GroqLLM(client))


async def _outcome(ports: Any, pipeline: Pipeline = CHAT, text: str = "My name is Ada.") -> PipelineResults:
    return await pipeline.start(input_text=text, ports=ports).outcome()


async def _failure(ports: Any, pipeline: Pipeline = CHAT) -> ProviderError:
    results = await _outcome(ports, pipeline)
    assert results.failed() == ("reply",)
    info = results["reply"].error
    assert info is not None
    assert isinstance(info.exception, ProviderError), info
    return info.exception


async def test_reply(ports: StagePorts) -> None:
    """The whole answer comes out, with what it cost and how it ended."""
    results = await CHAT.run(input_text="My name is Ada.", ports=ports)
    reply = results["reply"].value
    assert isinstance(reply, AgentResult)
    assert reply.text == "Nice to meet you, Ada."
    assert (reply.model, reply.finish_reason, reply.chunks) == ("llama-3.1-8b-instant", "stop", 5)
    assert reply.usage == Usage(reply.usage.prompt_tokens, 5)
    assert reply.first_text_ms > 0
    assert (reply.provider, reply.tool_calls) == ("groq", ())
    assert reply.request_id is not None
    assert reply.request_id.startswith("req_")


async def test_options_reach_the_server(ports: StagePorts, server: GroqServer) -> None:
    """The token limit and the temperature are sent, and a cut answer says that it is cut."""
    pipeline = Pipeline("chat").with_stage("reply", ChatStage(temperature=0.25, max_tokens=2))
    results = await pipeline.run(input_text="My name is Ada.", ports=ports)
    assert json.loads(server.requests[0].body)["temperature"] == 0.25
    assert (results.data("reply")["text"], results.data("reply")["finish_reason"]) == ("Nice to", "length")


async def test_progress_counts_and_never_quotes(ports: StagePorts) -> None:
    """The last piece of text, if not others, is an event with the counts; no event of the run holds any of the text."""
    run = CHAT.start(input_text="My name is Ada.", ports=ports)
    events = [event async for event in run.events()]
    progress = [event.data for event in events if event.event_type == "llm.progress"]
    assert (progress[0]["chunks"], progress[0]["characters"]) == (1, 4)
    assert (progress[-1]["chunks"], progress[-1]["characters"]) == (5, 22)
    assert len({data["first_text_ms"] for data in progress}) == 1
    assert "Nice" not in repr(events)
    assert "Ada" not in repr(events)


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (RateLimited(retry_after=3), ProviderRateLimited, "Groq's rate limit is reached (429). Try again in 3 s."),
        (ServerError(500), ProviderServerError, "Groq failed (500): Internal Server Error"),
        (ServerError(503), ProviderServerError, "Groq failed (503): llama-3.1-8b-instant is currently over capacity"),
        (ErrorFrame(after_chunks=2), ProviderServerError, "Groq stopped the answer with an error: llama-3.1-8b-inst"),
        (ErrorFrame(after_chunks=0), ProviderServerError, "Groq stopped the answer with an error"),
        (StoppedEarly(reason="tired"), ProviderServerError, "Groq stopped the answer: tired"),
        (CutOff(after_chunks=2), ProviderProtocolError, "Groq's answer ended before it was finished (finish_reason is"),
        (CutOff(after_chunks=0), ProviderProtocolError, "Groq's answer holds nothing of an answer"),
        (NoChoices(), ProviderProtocolError, "Groq answered without any choices."),
        (GarbageBody(), ProviderProtocolError, "Groq's answer holds nothing of an answer"),
        (GarbageBody(b"data: {nonsense\n\n"), ProviderProtocolError, "is not an answer: its events do not hold JSON"),
        (GarbageBody(b"data: \xff\n\n"), ProviderProtocolError, "is not an answer: its events do not hold JSON"),
        (GarbageBody(b'data: {"foo": 1}\n\n'), ProviderProtocolError, "Groq answered without any choices."),
        (GarbageBody(b"data: 7\n\n"), ProviderProtocolError, "Groq answered without any choices."),
        (Disconnect(), ProviderUnreachable, "Groq cannot be reached at http://127.0.0.1:"),
        (Disconnect(after_chunks=1), ProviderUnreachable, "peer closed connection"),
    ],
    ids=repr,
)
async def test_fault(
    ports: StagePorts, server: GroqServer, fault: Fault, kind: type[ProviderError], message: str
) -> None:
    """Whatever is not a complete answer fails the stage, under a type that says who is to do what."""
    server.fail_next(fault)
    error = await _failure(ports)
    assert type(error) is kind
    assert message in str(error)
    assert "\n" not in str(error)
    assert error.provider == "groq"
    assert (await _outcome(ports)).status == "completed"


async def test_rate_limit_carries_its_delay(ports: StagePorts, server: GroqServer) -> None:
    """The wait that Groq asks for is an attribute, for a retry to respect."""
    server.fail_next(RateLimited(retry_after=7))
    error = await _failure(ports)
    assert (error.retry_after, error.status) == (7.0, 429)


@pytest.mark.parametrize(
    ("header", "seconds"), [("0", 0.0), ("1.5", 1.5), ("-3", 0.0), ("soon", None), (None, None), ("nan", None)]
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """The header's seconds are read, and what is not a time is no time."""
    assert retry_after_seconds(header, now=0.0) == seconds


def test_retry_after_date() -> None:
    """The header's other form is a date, which may have passed."""
    header = "Thu, 01 Jan 1970 00:01:40 GMT"
    assert retry_after_seconds(header, now=40.0) == 60.0
    assert retry_after_seconds(header, now=400.0) == 0.0


async def test_error_keeps_its_data_when_pickled(ports: StagePorts, server: GroqServer) -> None:
    """An error may cross a process boundary."""
    server.fail_next(RateLimited(retry_after=7))
    error = await _failure(ports)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.retry_after) == (ProviderRateLimited, str(error), 7.0)


async def test_every_attempt_is_one_request(ports: StagePorts, server: GroqServer) -> None:
    """Nothing is retried behind the pipeline's back."""
    server.fail_next(ServerError())
    await _failure(ports)
    assert len(server.requests) == 1


@pytest.mark.parametrize("key", ["wrong", "right "])
async def test_wrong_key(server: GroqServer, key: str) -> None:
    """A key that Groq refuses is an error of its own, which does not repeat the key."""
    async with AsyncGroq(api_key=key + "x", base_url=server.base_url, max_retries=0) as client:
        error = await _failure(StagePorts(llm=GroqLLM(client)))
    assert type(error) is ProviderAuthError
    assert str(error) == "Groq does not accept the API key (401): Invalid API Key."
    assert error.status == 401


@pytest.mark.parametrize("key", ["gsk_secret\n", "gsk_sécret"])
async def test_key_that_cannot_be_sent(server: GroqServer, key: str) -> None:
    """A key that no header can hold is refused without repeating it, in the chain of causes neither."""
    async with AsyncGroq(api_key=key, base_url=server.base_url, max_retries=0) as client:
        error = await _failure(StagePorts(llm=GroqLLM(client)))
    assert type(error) is ProviderRequestError
    assert "cret" not in "".join(traceback.format_exception(error, chain=True))
    assert server.requests == []


async def test_unknown_model(ports: StagePorts) -> None:
    """A model that Groq does not have is the request's fault."""
    error = await _failure(ports, Pipeline("chat").with_stage("reply", ChatStage(model="llama-9")))
    assert type(error) is ProviderRequestError
    assert "(404): The model `llama-9` does not exist" in str(error)


async def test_dead_server() -> None:
    """Where nothing listens, the error has the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    async with AsyncGroq(api_key="k", base_url=f"http://127.0.0.1:{port}", max_retries=0) as client:
        error = await _failure(StagePorts(llm=GroqLLM(client)))
    assert type(error) is ProviderUnreachable
    assert f"http://127.0.0.1:{port}" in str(error)


async def test_address_that_is_none() -> None:
    """A base URL without a scheme is told apart from a server that is down."""
    async with AsyncGroq(api_key="k", base_url="nowhere", max_retries=0) as client:
        error = await _failure(StagePorts(llm=GroqLLM(client)))
    assert type(error) is ProviderUnreachable
    assert "protocol" in str(error)


@pytest.mark.parametrize("fault", [Hang(), Hang(after_chunks=1)], ids=repr)
async def test_silence(server: GroqServer, fault: Hang) -> None:
    """Silence before or within an answer ends at the client's timeout."""
    server.fail_next(fault)
    async with AsyncGroq(api_key="right", base_url=server.base_url, max_retries=0, timeout=0.05) as client:
        error = await _failure(StagePorts(llm=GroqLLM(client)))
    assert type(error) is ProviderTimeout
    assert isinstance(error, TimeoutError)
    assert await server.requests[0].wait_ended() == "client_left"


@pytest.mark.parametrize("fault", [Hang(), Hang(after_chunks=2)], ids=repr)
async def test_cancelling_the_run_closes_the_stream(ports: StagePorts, server: GroqServer, fault: Hang) -> None:
    """When the run is cancelled the server sees the client leave, and no task is left."""
    before = asyncio.all_tasks()
    server.fail_next(fault)
    run = CHAT.start(input_text="My name is Ada.", ports=ports)
    pieces = run.stream("reply")
    (request,) = await server.wait_for_requests(1)
    for _ in range(fault.after_chunks or 0):
        await anext(pieces)
    run.cancel("changed my mind")
    results = await run.outcome()
    assert results.status == "cancelled"
    assert results.stragglers == ()
    assert await request.wait_ended() == "client_left"
    # By name: the server's own tasks, which may take a moment more to end, come from a file of stageflow_mocks.
    assert [task for task in asyncio.all_tasks() - before if task.get_name().startswith("stageflow ")] == []


async def test_broken_stream_is_closed() -> None:
    """After an error in a stream the connection is closed, even if the server keeps it open."""
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + Refusal(503, "tired").frame())
        while await reader.read(65_536):
            pass
        left.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with AsyncGroq(api_key="k", base_url=f"http://127.0.0.1:{port}", max_retries=0) as client:
            error = await _failure(StagePorts(llm=GroqLLM(client)))
            await asyncio.wait_for(left.wait(), 10)
    assert str(error) == "Groq stopped the answer with an error: tired"
    assert error.status == 503


async def test_empty_answer() -> None:
    """An answer that is complete and says nothing is not an answer."""
    async with (
        GroqServer(responder=lambda messages: "") as server,
        AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as client,
    ):
        error = await _failure(StagePorts(llm=GroqLLM(client)))
    assert type(error) is ProviderProtocolError
    assert "neither text nor tool calls (finish_reason is 'stop')." in str(error)


async def test_concurrent_runs_share_the_stage(ports: StagePorts) -> None:
    """One stage serves any number of runs at once; each gets its own answer."""
    names = [f"N{number}" for number in range(40)]
    runs = await asyncio.gather(*(_outcome(ports, text=f"My name is {name}.") for name in names))
    assert [results.data("reply")["text"] for results in runs] == [f"Nice to meet you, {name}." for name in names]


# --- the provider by itself ---------------------------------------------------------------------------------------

WEATHER = Tool("weather", "Tells the weather.", {"type": "object", "properties": {"city": {"type": "string"}}})


def _asked(text: str = "My name is Ada.", **options: Any) -> LLMRequest:
    return LLMRequest((Message("user", text),), **options)


async def _whole(llm: GroqLLM, request: LLMRequest) -> LLMResponse:
    answer = AnswerInPieces(llm.name)
    async with contextlib.aclosing(llm.stream(request)) as chunks:
        async for chunk in chunks:
            answer.add(chunk)
    return answer.whole()


async def _complete(llm: GroqLLM, request: LLMRequest) -> LLMResponse:
    return await llm.complete(request)


@contextlib.asynccontextmanager
async def _serving(responder: Any = None) -> AsyncIterator[tuple[GroqServer, GroqLLM]]:
    options = {} if responder is None else {"responder": responder}
    async with GroqServer(**options) as server, GroqLLM(api_key="gsk_secret", base_url=server.base_url) as llm:
        yield server, llm


BOTH = pytest.mark.parametrize("ask", [_complete, _whole])


@BOTH
async def test_an_answer(ask: Any) -> None:
    """At once or in pieces, the same answer."""
    async with _serving() as (_, llm):
        answer = await ask(llm, _asked())
    assert (answer.text, answer.model, answer.finish_reason) == (
        "Nice to meet you, Ada.",
        "llama-3.1-8b-instant",
        "stop",
    )
    assert answer.usage == Usage(answer.usage.prompt_tokens, 5)
    assert answer.request_id.startswith("req_")


@BOTH
async def test_what_is_asked_reaches_groq(ask: Any) -> None:
    """Each field of a request is sent under Groq's name for it, and what is not asked for is not sent."""
    call = ToolCall("call_1", "weather", "{}")
    talk = (
        Message("system", "Be kind."),
        Message("user", "Hi.", "ada"),
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", "4", "weather", tool_call_id="call_1"),
    )
    request = LLMRequest(
        talk,
        model="m",
        tools=(WEATHER, Tool("now", "")),
        temperature=0.5,
        max_tokens=9,
        stop=("END",),
        seed=7,
    )
    async with _serving() as (server, llm):
        await ask(llm, request)
        body = json.loads(server.requests[0].body)
    body.pop("stream", None)
    assert body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi.", "name": "ada"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "content": "4", "tool_call_id": "call_1"},
        ],
        "temperature": 0.5,
        "max_completion_tokens": 9,
        "stop": ["END"],
        "seed": 7,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "Tells the weather.",
                    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                },
            },
            {
                "type": "function",
                "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}},
            },
        ],
        "tool_choice": "auto",
    }


@BOTH
@pytest.mark.parametrize(
    ("choice", "written"),
    [("required", "required"), ("weather", {"type": "function", "function": {"name": "weather"}})],
)
async def test_tool_calls(ask: Any, choice: str, written: Any) -> None:
    """The model's calls come back with the ids, names and arguments that it gave them."""
    calls = [CallTool("weather", {"city": "Bø"}), CallTool("weather", "{oops")]
    async with _serving(lambda messages: calls) as (server, llm):
        answer = await ask(llm, _asked(tools=(WEATHER,), tool_choice=choice))
        assert json.loads(server.requests[0].body)["tool_choice"] == written
    assert (answer.text, answer.finish_reason) == ("", "tool_calls")
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [
        ("weather", '{"city":"Bø"}'),
        ("weather", "{oops"),
    ]
    assert len({call.id for call in answer.tool_calls}) == 2


FOR_SCHEMAS = "openai/gpt-oss-20b"


@BOTH
async def test_a_model_without_schemas(ask: Any) -> None:
    """That a model takes no schema is refused for good: no other attempt goes better."""
    async with _serving(lambda messages: "{}") as (_, llm):
        with pytest.raises(ProviderRequestError, match="does not support response format `json_schema`") as caught:
            await ask(llm, _asked(json_schema={"type": "object"}))
    assert not isinstance(caught.value, ProviderTransientError)


@BOTH
async def test_an_answer_with_thoughts(ask: Any) -> None:
    """What a model thinks is no part of its answer; if nothing but thoughts fits, the answer says that it was cut."""
    thought = Reasoned("Her name, then.", "You are Ada.")
    async with _serving(lambda messages: thought) as (_, llm):
        answer = await ask(llm, _asked(model=FOR_SCHEMAS))
        assert (answer.text, answer.finish_reason) == ("You are Ada.", "stop")
        answer = await ask(llm, _asked(model=FOR_SCHEMAS, max_tokens=2))
        assert (answer.text, answer.finish_reason) == ("", "length")


@BOTH
async def test_thoughts_in_an_answer(ask: Any) -> None:
    """Qwen3 writes its thoughts into the answer, unless it is asked to hide them; others refuse to be asked."""
    thought = Reasoned("Her name, then.", "You are Ada.")
    async with GroqServer(responder=lambda messages: thought) as server:
        async with GroqLLM(api_key="k", base_url=server.base_url, model="qwen/qwen3-32b") as llm:
            assert (await ask(llm, _asked())).text == "<think>\nHer name, then.\n</think>\n\nYou are Ada."
        async with GroqLLM(api_key="k", base_url=server.base_url, model="qwen/qwen3-32b", hide_reasoning=True) as llm:
            answer = await ask(llm, _asked())
            assert (answer.text, answer.usage and answer.usage.completion_tokens > 3) == ("You are Ada.", True)
            with pytest.raises(ProviderRequestError, match="`reasoning_format` is not supported with this model"):
                await ask(llm, _asked(model="llama-3.1-8b-instant"))


@BOTH
async def test_an_answer_in_json(ask: Any) -> None:
    """Groq streams no answer that has to satisfy a schema, so it comes as one chunk."""
    schema = {"type": "object", "properties": {"mood": {"type": "string"}}}
    async with _serving(lambda messages: '{"mood":"good"}') as (server, llm):
        answer = await ask(llm, _asked(json_schema=schema, model=FOR_SCHEMAS))
        body = json.loads(server.requests[0].body)
    assert (answer.text, answer.finish_reason) == ('{"mood":"good"}', "stop")
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    assert "stream" not in body


def test_tool_calls_where_a_schema_was_asked_for() -> None:
    """Whatever a whole answer holds is in the chunk that it becomes."""
    whole = LLMResponse("", model="m", finish_reason="tool_calls", tool_calls=(ToolCall("a", "b", "{}"),))
    answer = AnswerInPieces("groq")
    answer.add(_as_one_chunk(whole))
    assert answer.whole() == whole


@BOTH
@pytest.mark.parametrize(
    ("responder", "options", "code"),
    [
        (lambda messages: CallTool("magic", {"word": "secret"}), {"tools": (WEATHER,)}, "tool_use_failed"),
        (lambda messages: "secret", {"json_schema": {"type": "object"}, "model": FOR_SCHEMAS}, "json_validate_failed"),
    ],
)
async def test_what_the_model_got_wrong_may_go_well_later(ask: Any, responder: Any, options: Any, code: str) -> None:
    """Groq's 400 for what its model wrote is no fault of the request, and is not repeated in the error."""
    async with _serving(responder) as (_, llm):
        with pytest.raises(ProviderProtocolError) as caught:
            await ask(llm, _asked(**options))
    # Of a stream the status is 200, and the error an event in it.
    assert str(caught.value).replace("(400, ", "(") == f"The model's answer was malformed, says Groq ({code})."
    assert caught.value.status == 400
    assert isinstance(caught.value, ProviderTransientError)


FAULTS: list[tuple[Fault, type[ProviderError]]] = [
    (RateLimited(retry_after=3), ProviderRateLimited),
    (ServerError(500), ProviderServerError),
    (ServerError(503), ProviderServerError),
    (CutOff(), ProviderUnreachable),
    (Disconnect(), ProviderUnreachable),
    (GarbageBody(), ProviderProtocolError),
    (GarbageBody(b'{"choices": [{}]}', "application/json"), ProviderProtocolError),
    (GarbageBody(b'{"choices": [{"message": {"content": 5}}]}', "application/json"), ProviderProtocolError),
    (GarbageBody(b"{", "application/json"), ProviderProtocolError),
    (GarbageBody(b"\xff", "application/json"), ProviderProtocolError),
    (NoChoices(), ProviderProtocolError),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=repr)
async def test_faults_of_a_whole_answer(fault: Fault, kind: type[ProviderError]) -> None:
    """What goes wrong without a stream is told apart as with one; the next request goes well."""
    async with _serving() as (server, llm):
        server.fail_next(fault)
        with pytest.raises(ProviderError) as caught:
            await llm.complete(_asked())
        assert type(caught.value) is kind
        assert (await llm.complete(_asked())).finish_reason == "stop"


def _event(**fields: Any) -> bytes:
    return (
        b"data: "
        + json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", **fields}).encode()
        + b"\n\n"
    )


def _choice(finish_reason: Any = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (_event(**_choice(content=5)), "text of an LLMChunk is a string, not 5"),
        (_event(**_choice("whim")), "finish_reason of an LLMChunk is one of"),
        (_event(**_choice(tool_calls=[{"id": "a"}])), "index of a ToolCallPiece"),
        (_event(**_choice(), x_groq={"id": 5}), "request_id of an LLMChunk"),
        (_event(**_choice("stop"), usage={"prompt_tokens": -1, "completion_tokens": 0}), "prompt_tokens of a Usage"),
    ],
)
async def test_events_of_another_shape(event: bytes, why: str) -> None:
    """The SDK checks nothing of what it receives, so what is not what it should be is found here."""
    async with _serving() as (server, llm):
        server.fail_next(GarbageBody(event, "text/event-stream"))
        with pytest.raises(ProviderProtocolError, match=re.escape(f"What Groq sent is not an answer: {why}")):
            await _whole(llm, _asked())


async def test_what_only_some_answers_have() -> None:
    """Cached tokens are counted, the old name of a finish reason is understood, and a filter's word is passed on."""
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 1,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    body = _event(**_choice(content="Hi")) + _event(**_choice("content_filter")) + _event(choices=[], usage=usage)
    old = _event(**_choice("function_call", tool_calls=[{"index": 0, "id": "a", "function": {"name": "b"}}]))
    async with _serving() as (server, llm):
        server.fail_next(GarbageBody(body, "text/event-stream"), GarbageBody(old, "text/event-stream"))
        filtered, called = await _whole(llm, _asked()), await _whole(llm, _asked())
    assert (filtered.finish_reason, filtered.usage) == ("content_filter", Usage(9, 1, 4))
    assert (called.finish_reason, called.tool_calls) == ("tool_calls", (ToolCall("a", "b", ""),))


def _status_error(status: int, code: str) -> groq.APIStatusError:
    request = httpx.Request("POST", "http://127.0.0.1/")
    body = {"error": {"message": "It said: secret", "code": code}}
    return groq.APIStatusError("no", response=httpx.Response(status, request=request, json=body), body=body)


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (_status_error(400, "content_filter"), ProviderContentRefused, 400),
        (_status_error(403, "x"), ProviderAuthError, 403),
        (_status_error(413, "x"), ProviderRequestError, 413),
        (_status_error(498, "capacity_exceeded"), ProviderServerError, 498),
        (_status_error(408, "x"), ProviderServerError, 408),
        (
            groq.APIError("secret", request=httpx.Request("POST", "http://h/"), body={"code": "content_filter"}),
            ProviderContentRefused,
            None,
        ),
        (
            groq.APIError("secret", request=httpx.Request("POST", "http://h/"), body={"code": "tool_use_failed"}),
            ProviderProtocolError,
            None,
        ),
        (
            groq.APIError("slow", request=httpx.Request("POST", "http://h/"), body={"status_code": 429}),
            ProviderRateLimited,
            429,
        ),
        (
            groq.APIError("full", request=httpx.Request("POST", "http://h/"), body={"status_code": 498}),
            ProviderServerError,
            498,
        ),
        (groq.GroqError("odd"), ProviderError, None),
    ],
    ids=repr,
)
def test_what_the_stand_in_does_not_say(error: Exception, kind: type[ProviderError], status: int | None) -> None:
    """Statuses and codes of Groq's that no fault of the loopback server has."""
    found = provider_error(error)
    assert (type(found), found.status, found.provider) == (kind, status, "groq")
    if kind in (ProviderContentRefused, ProviderProtocolError):
        assert "secret" not in str(found)


async def test_leaving_a_stream_closes_it() -> None:
    """The server sees a reader that stops, though more would come."""
    async with _serving() as (server, llm):
        server.fail_next(Hang(after_chunks=2))
        async with contextlib.aclosing(llm.stream(_asked())) as chunks:
            async for chunk in chunks:
                if chunk.text:
                    break
        assert await server.requests[0].wait_ended() == "client_left"


async def test_a_run_that_nobody_reads_any_more_closes_the_stream(ports: StagePorts, server: GroqServer) -> None:
    """A client that has gone away ends the request."""
    server.fail_next(Hang(after_chunks=2))
    run = CHAT.start(input_text="My name is Ada.", ports=ports)
    async for text in run.stream("reply"):
        assert text == "Nice"
        break
    assert (await run).data("reply")["count"] >= 1
    assert await server.requests[0].wait_ended() == "client_left"


# --- making one ----------------------------------------------------------------------------------------------------


async def test_a_client_that_retries_is_refused() -> None:
    """Attempts that nobody sees would be neither logged nor counted."""
    async with AsyncGroq(api_key="k") as client:
        with pytest.raises(ValueError, match=re.escape("The client would try 2 times again by itself")):
            GroqLLM(client)
        assert GroqLLM(client.with_options(max_retries=0)).name == "groq"


async def test_a_client_or_what_one_is_made_of() -> None:
    """Both at once would leave out one of them."""
    async with AsyncGroq(api_key="k", max_retries=0) as client:
        for given in ({"api_key": "k"}, {"base_url": "http://h"}, {"timeout": 1.0}):
            with pytest.raises(ValueError, match="not both"):
                GroqLLM(client, **given)


def test_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is said, with the ways to give it."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with pytest.raises(ValueError, match="environment variable GROQ_API_KEY"):
        GroqLLM()


async def test_its_own_client_is_closed_and_another_is_not() -> None:
    """Whoever made a client closes it."""
    async with GroqServer() as server, AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as client:
        async with GroqLLM(client) as llm:
            pass
        assert (await llm.complete(_asked())).text
        async with GroqLLM(api_key="k", base_url=server.base_url) as own:
            await own.complete(_asked())
        with pytest.raises(ProviderUnreachable, match="closed"):
            await own.complete(_asked())


async def test_its_timeout_is_that_of_its_client() -> None:
    """Silence ends a request as told."""
    async with GroqServer() as server, GroqLLM(api_key="k", base_url=server.base_url, timeout=0.05) as llm:
        server.fail_next(Hang())
        async with asyncio.timeout(10):  # the SDK's own is a minute
            with pytest.raises(ProviderTimeout):
                await llm.complete(_asked())


async def test_the_key_does_not_show() -> None:
    """Neither in what it is shown as nor in an error and what led to it."""
    async with GroqServer(api_keys={"right"}) as server, GroqLLM(api_key="gsk_secret", base_url=server.base_url) as llm:
        assert repr(llm) == f"GroqLLM(model='llama-3.1-8b-instant', base_url='{server.base_url}')"
        with pytest.raises(ProviderAuthError) as caught:
            await llm.complete(_asked())
    assert "gsk_secret" not in "".join(traceback.format_exception(caught.value, chain=True))
    assert b"gsk_secret" not in pickle.dumps(caught.value)


async def test_it_fits_the_protocol() -> None:
    """Ports take it, and a stage finds its methods."""
    async with GroqLLM(api_key="k") as llm:
        provider: LLMProvider = llm
        assert StagePorts(llm=provider).llm is llm
