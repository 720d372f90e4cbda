"""GroqLLM in real pipelines: the real SDK against a loopback server."""

import asyncio
import json
import pickle
import socket
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from groq import AsyncGroq
from stageflow import Pipeline, PipelineResults
from stageflow.capabilities import StagePorts
from stageflow.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRequestError,
    ProviderServerError,
    ProviderTimeout,
    ProviderUnreachable,
)
from stageflow.providers import Usage
from stageflow.results import AgentResult
from stageflow_mocks import (
    CutOff,
    Disconnect,
    ErrorFrame,
    Fault,
    GarbageBody,
    GroqServer,
    Hang,
    NoChoices,
    RateLimited,
    ServerError,
    StoppedEarly,
)
from stageflow_mocks.groq_wire import Refusal
from stageflow_plus import ChatStage, GroqLLM
from stageflow_plus.groq_errors import retry_after_seconds

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
    """Each piece of text is an event with running counts; no event of the run holds any of the text."""
    run = CHAT.start(input_text="My name is Ada.", ports=ports)
    events = [event async for event in run.events()]
    progress = [event.data for event in events if event.event_type == "llm.progress"]
    assert [data["chunks"] for data in progress] == [1, 2, 3, 4, 5]
    assert [data["characters"] for data in progress] == [4, 7, 12, 17, 22]
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
    events = run.events()
    (request,) = await server.wait_for_requests(1)
    if fault.after_chunks:
        async for event in events:
            if event.event_type == "llm.progress" and event.data["chunks"] == fault.after_chunks:
                break
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
