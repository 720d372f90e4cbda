"""Faults at each endpoint: those that can strike do, the others are refused loudly."""

from typing import Any

import httpx
import pytest
from stageflow_mocks import (
    CutOff,
    Disconnect,
    ErrorFrame,
    Fault,
    GarbageBody,
    GroqServer,
    Hang,
    Malformed,
    NoChoices,
    Pace,
    RateLimited,
    ScriptError,
    ServerError,
    StoppedEarly,
)

CHAT = {"model": "m", "messages": [{"role": "user", "content": "My name is Ada."}]}
SPEECH = {"model": "m", "voice": "v", "input": "Hello.", "response_format": "wav"}
AUDIO: Any = {"data": {"model": "m"}, "files": {"file": ("a.ogg", b"OggS")}}
REQUESTS: dict[str, tuple[str, str, Any]] = {
    "chat": ("POST", "/chat/completions", {"json": CHAT}),
    "stream": ("POST", "/chat/completions", {"json": {**CHAT, "stream": True}}),
    "transcription": ("POST", "/audio/transcriptions", AUDIO),
    "translation": ("POST", "/audio/translations", AUDIO),
    "speech": ("POST", "/audio/speech", {"json": SPEECH}),
    "models": ("GET", "/models", {}),
    "model": ("GET", "/models/whisper-large-v3", {}),
}
WITHOUT_A_STREAM = ("transcription", "translation", "speech", "models", "model")


async def _send(server: GroqServer, name: str, patience: float = 5.0) -> httpx.Response:
    method, path, what = REQUESTS[name]
    async with httpx.AsyncClient(trust_env=False, headers={"authorization": "Bearer k"}, timeout=patience) as http:
        return await http.request(method, f"{server.base_url}/openai/v1{path}", **what)


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize(
    ("fault", "status"),
    [(RateLimited(retry_after=2.5), 429), (ServerError(), 500), (ServerError(503), 503), (GarbageBody(), 200)],
    ids=repr,
)
async def test_fault_in_place_of_an_answer(name: str, fault: Fault, status: int) -> None:
    """Wherever it strikes, a fault is the response; the next request is answered."""
    async with GroqServer(transcriber="Hello.") as server:
        server.fail_next(fault)
        response = await _send(server, name)
        assert response.status_code == status
        assert response.headers.get("retry-after") == ("3" if status == 429 else None)
        assert "None" not in response.text
        assert (await _send(server, name)).status_code == 200


@pytest.mark.parametrize("name", REQUESTS)
async def test_disconnect(name: str) -> None:
    """No endpoint answers a connection that is gone."""
    async with GroqServer(transcriber="Hello.") as server:
        server.fail_next(Disconnect())
        with pytest.raises(httpx.RemoteProtocolError):
            await _send(server, name)
        assert await server.requests[0].wait_ended() == "cut"


@pytest.mark.parametrize("name", REQUESTS)
async def test_hang(name: str) -> None:
    """Every endpoint can keep silent for as long as the client waits."""
    async with GroqServer(transcriber="Hello.") as server:
        server.fail_next(Hang())
        with pytest.raises(httpx.ReadTimeout):
            await _send(server, name, patience=0.05)
        assert await server.requests[0].wait_ended() == "client_left"


@pytest.mark.parametrize("name", [name for name in REQUESTS if name != "stream"])
async def test_cut_off(name: str) -> None:
    """Half of a body comes, whatever it holds."""
    async with GroqServer(transcriber="Hello.") as server:
        server.fail_next(CutOff())
        with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
            await _send(server, name)


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("given", ["usual", "fault"])
async def test_slow_first_byte(name: str, given: str) -> None:
    """Every endpoint takes its time, as the server usually does or once."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    slow = Pace(first_byte=5.0)
    async with GroqServer(transcriber="Hello.", sleep=sleep, pace=slow if given == "usual" else None) as server:
        if given == "fault":
            server.fail_next(slow)
        assert (await _send(server, name)).status_code == 200
    assert slept[0] == 5.0


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (NoChoices(), "there are no choices in its answer"),
        (ErrorFrame(), "its answer is never a stream"),
        (StoppedEarly(), "its answer is never a stream"),
        (Hang(after_chunks=1), "leave out after_chunks"),
        (Disconnect(after_chunks=0), "leave out after_chunks"),
        (Pace(per_chunk=1.0), "say how long it takes by first_byte"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", WITHOUT_A_STREAM)
async def test_fault_that_cannot_strike(name: str, fault: Fault, why: str) -> None:
    """A fault of streams at an endpoint that has none says so to the client, and where the server is left."""
    method, path, _ = REQUESTS[name]

    async def meet() -> None:
        async with GroqServer(transcriber="Hello.") as server:
            server.fail_next(None, fault)
            assert (await _send(server, name)).status_code == 200
            response = await _send(server, name)
            assert response.status_code == 400
            assert why in response.json()["error"]["message"]
            assert server.pending_faults == ()
            assert (await _send(server, name)).status_code == 200

    with pytest.raises(ScriptError, match=why) as caught:
        await meet()
    assert (caught.value.mock, caught.value.call) == ("GroqServer", 2)
    assert (caught.value.asked, caught.value.scripted) == (f"{method} /openai/v1{path}", repr(fault))


async def test_pace_of_chunks_without_a_stream() -> None:
    """To be slow from piece to piece, a chat has to have pieces."""
    server = GroqServer()
    server.fail_next(Pace(per_chunk=1.0))
    with pytest.raises(ScriptError, match="first_byte"):
        async with server:
            assert (await _send(server, "chat")).status_code == 400
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with GroqServer(sleep=sleep) as server:
        server.fail_next(Pace(first_byte=2.0, per_chunk=1.0), Pace(per_chunk=1.0))
        assert (await _send(server, "chat")).status_code == 200
        assert (await _send(server, "stream")).status_code == 200
    assert slept == [2.0, 1.0, 1.0, 1.0, 1.0, 1.0]


async def test_error_inside_the_block_is_not_covered() -> None:
    """What the test itself raises is not replaced by what the server has to complain of."""

    async def fail() -> None:
        async with GroqServer() as server:
            server.fail_next(NoChoices())
            await _send(server, "models")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()


@pytest.mark.parametrize("fault", [OSError(), Malformed(), ServerError, "hang"], ids=repr)
def test_what_is_no_fault(fault: Any) -> None:
    """What a server cannot do is refused when it is queued, with what it can."""
    server = GroqServer()
    with pytest.raises(TypeError, match="one of RateLimited, ServerError"):
        server.fail_next(ServerError(), fault)
    assert server.pending_faults == ()
