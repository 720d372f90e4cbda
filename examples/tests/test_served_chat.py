"""The served chat, by real clients over real sockets of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from event_stream import EventStream, Received
from stageflow import PipelineRegistry, RunStore, StagePorts, WSMessageProjector
from stageflow.errors import ProviderRequestError
from stageflow.providers import LLMChunk, LLMRequest, LLMResponse, Message, Usage
from stageflow_mocks import GroqServer
from stageflow_mocks.simulation import simulated
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from examples.served_chat.call_log import CallLog
from examples.served_chat.command import ChatServer
from examples.served_chat.keep_alive import kept_alive
from examples.served_chat.model import SmallModel
from examples.served_chat.pipeline import Surfaces, build_chat, served_pipelines
from examples.served_chat.run_keeper import RunKeeper
from examples.served_chat.run_table import RunTable

ROOT = Path(__file__).resolve().parents[2]
SECRET = "key of tenant 7 expired"


class HeldModel:
    """Says what a test lets it say, when it lets it."""

    name = "held"

    def __init__(self, *tokens: str | Exception | None, tells_usage: bool = True) -> None:
        self.tells_usage = tells_usage
        self.tokens: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self.asked: list[LLMRequest] = []
        self.closed = 0
        self.say(*tokens)

    def say(self, *tokens: str | Exception | None) -> None:
        """Give tokens; None is the end of the answer, an exception breaks it."""
        for token in tokens:
            self.tokens.put_nowait(token)

    async def stream(self, request: LLMRequest) -> AsyncGenerator[LLMChunk]:
        self.asked.append(request)
        said = 0
        try:
            while (token := await self.tokens.get()) is not None:
                if isinstance(token, Exception):
                    raise token
                said += 1
                yield LLMChunk(token, model="held-1")
            yield LLMChunk(finish_reason="stop", usage=Usage(7, said) if self.tells_usage else None)
        finally:
            self.closed += 1

    async def complete(self, request: LLMRequest) -> LLMResponse:
        raise NotImplementedError("The chat streams.")


class Server(ChatServer):
    """The server without the parts that assume that the process is its own."""

    def __init__(self, keeper: RunKeeper) -> None:
        super().__init__(keeper)
        self.ready, self.stop = asyncio.Event(), asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        self.ready.set()
        await self.stop.wait()


class Chat:
    """A chat that is served, and its clients."""

    def __init__(self, keeper: RunKeeper, server: Server, port: int, client: httpx.AsyncClient) -> None:
        self.keeper, self.server, self.client = keeper, server, client
        self.host = f"127.0.0.1:{port}"

    async def ask(self, text: str = "hello") -> dict[str, str]:
        response = await self.client.post("/runs", json={"text": text})
        assert response.status_code == 201
        return response.json()

    async def frames(self, run: dict[str, str], after: str | None = None) -> AsyncGenerator[Received]:
        """Read server-sent events as a browser does."""
        headers = {} if after is None else {"last-event-id": after}
        stream = EventStream(after or "")
        async with self.client.stream("GET", run["events"], headers=headers) as response:
            assert (response.status_code, response.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
            async for text in response.aiter_text():
                for event in stream.feed(text):
                    yield event

    def socket(self, run: dict[str, str], query: str = "", **options: Any) -> connect:
        return connect(f"ws://{self.host}{run['socket']}{query}", proxy=None, **options)


@asynccontextmanager
async def served(model: HeldModel | None = None, **keeping: Any) -> AsyncIterator[Chat]:
    ports = StagePorts(llm=model or HeldModel("Hi", " there.", None), call_logger=CallLog())
    keeper = RunKeeper(served_pipelines(), ports, **keeping)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = Server(keeper)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    await server.ready.wait()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            yield Chat(keeper, server, port, client)
    finally:
        server.stop.set()
        await serving


async def until(frames: AsyncIterator[Any], kind: str) -> Any:
    """Return the next message of that type."""
    async for message in frames:
        if (message.type if isinstance(message, Received) else message["type"]) == kind:
            return message
    raise AssertionError(f"There was no {kind}.")


async def messages(websocket: ClientConnection) -> AsyncIterator[Any]:
    async for text in websocket:
        yield json.loads(text)


def told(found: list[Any]) -> list[Any]:
    """Return what a client was told, without the text and what differs from run to run."""
    return [(each["type"], each.get("stage"), each.get("status")) for each in found if each["type"] != "text"]


def text_of(found: list[Any]) -> str:
    """Return the text as a page puts it together."""
    text = ""
    for each in found:
        if each["type"] == "text":
            assert each["offset"] <= len(text)
            text = text[: each["offset"]] + each["text"]
    return text


WHOLE = [
    ("metadata", None, None),
    ("status", None, "running"),
    ("status", "input_guard", "running"),
    ("status", "input_guard", "ok"),
    ("status", "reply", "running"),
    ("artifact", "reply", None),
    ("status", "reply", "ok"),
    ("end", None, "completed"),
]


# --- a whole run -------------------------------------------------------------------------------------------------


async def test_a_browser_sees_a_run_by_server_sent_events() -> None:
    """Each event as a frame with an id, the text in between, and the end at the end."""
    async with served() as chat:
        run = await chat.ask()
        frames = [frame async for frame in chat.frames(run)]
        found = [frame.message for frame in frames]
        assert told(found) == WHOLE
        assert text_of(found) == "Hi there."
        assert found[0]["labels"] == {"service": "chat", "surface": "web"}
        assert all(frame.type == frame.message["type"] for frame in frames)
        ids = [frame.last_event_id for frame in frames if frame.type != "text"]
        # 6 and 7 are of `llm.progress`, which no client is told.
        assert ids == [f"{run['run_id']}-{number}" for number in (*range(1, 6), *range(8, 11))]
        assert {each["type"] for each in found[5:-3]} == {"text"}


async def test_a_browser_sees_a_run_by_websocket() -> None:
    """The same messages; then the server closes."""
    async with served() as chat:
        run = await chat.ask()
        async with chat.socket(run) as websocket:
            found = [message async for message in messages(websocket)]
        assert told(found) == WHOLE
        assert text_of(found) == "Hi there."
        assert websocket.close_code == 1000


async def test_tokens_come_while_the_model_writes() -> None:
    """Not at its end."""
    model = HeldModel("Hi")
    async with served(model) as chat:
        run = await chat.ask()
        async with aclosing(chat.frames(run)) as frames:
            assert (await until(frames, "text")).message["text"] == "Hi"
            model.say(" you")
            assert (await until(frames, "text")).message == {
                "type": "text",
                "run_id": run["run_id"],
                "stage": "reply",
                "offset": 2,
                "text": " you",
            }
            model.say(None)
            assert (await until(frames, "end")).message["status"] == "completed"


async def test_clients_of_one_run_see_the_same() -> None:
    """By either way, from the beginning, or late."""
    model = HeldModel("Hi")
    async with served(model) as chat:
        run = await chat.ask()
        async with aclosing(chat.frames(run)) as early, chat.socket(run) as websocket:
            await until(early, "text")
            late = asyncio.create_task(_all(chat.frames(run)))
            model.say(" all.", None)
            by_socket = [message async for message in messages(websocket)]
            assert told([frame.message for frame in await late]) == told(by_socket) == WHOLE
            assert text_of([frame.message for frame in late.result()]) == text_of(by_socket) == "Hi all."
            assert (await until(early, "end")).message == by_socket[-1]


async def _all(frames: AsyncIterator[Received]) -> list[Received]:
    return [frame async for frame in frames]


async def test_a_client_that_does_not_read_holds_nobody_up() -> None:
    """Megabytes wait for it, and the run ends."""
    model = HeldModel()
    async with served(model) as chat:
        run = await chat.ask()
        async with chat.client.stream("GET", run["events"]) as unread, chat.socket(run, max_size=None) as websocket:
            for _ in range(40):
                model.say("x" * 100_000)
            model.say(None)
            found = [message async for message in messages(websocket)]
            assert told(found) == WHOLE
            assert len(text_of(found)) == 4_000_000
            live = chat.keeper.get(run["run_id"])
            assert live is not None
            assert live.ended
            stream = EventStream()
            slowly = [event.message async for text in unread.aiter_text() for event in stream.feed(text)]
        assert told(slowly) == WHOLE
        assert text_of(slowly) == text_of(found)


@pytest.mark.parametrize("tells_usage", [True, False])
async def test_a_client_is_told_what_an_answer_took(tells_usage: bool) -> None:
    """By whom it was given and why it ended; and its tokens, if the provider counts them."""
    async with served(HeldModel("Hi", " there.", None, tells_usage=tells_usage)) as chat:
        run = await chat.ask()
        found = (await until(chat.frames(run), "artifact")).message
        tokens = {"prompt_tokens": 7, "completion_tokens": 2, "cached_tokens": 0} if tells_usage else {}
        assert (found["artifact"], found["payload"]) == (
            "usage",
            {"model": "held-1", "provider": "held", "finish_reason": "stop", **tokens},
        )


async def test_a_client_chooses_a_pipeline() -> None:
    """By its name, among those that there are; the first is meant by whoever names none."""
    model = HeldModel("Hi", None, "Hi", None)
    async with served(model) as chat:
        assert (await chat.client.get("/pipelines")).json() == {"pipelines": ["chat", "brief"]}
        ran = []
        for choice in ({}, {"pipeline": "brief"}):
            run = (await chat.client.post("/runs", json={"text": " hello\n", **choice})).json()
            ran.append((await _all(chat.frames(run)))[0].message["pipeline"])
        assert ran == ["chat", "brief"]
        assert [(asked.messages[0].content, asked.max_tokens) for asked in model.asked] == [
            ("You are a helpful assistant.", None),
            ("Answer in a few words.", 16),
        ]
        assert [asked.messages[-1].content for asked in model.asked] == ["hello", "hello"]


@pytest.mark.parametrize("name", ["breif", "", 3, [], {}])
async def test_a_pipeline_that_is_not_there_is_refused(name: object) -> None:
    """It is told which there are, and no run is started."""
    async with served() as chat:
        response = await chat.client.post("/runs", json={"text": "hello", "pipeline": name})
        assert response.status_code == 400
        assert response.json()["problem"].endswith("Pipelines: chat, brief.")
        assert not chat.keeper._runs


# --- what became of a run ----------------------------------------------------------------------------------------


async def test_what_became_of_a_run_is_told_after_it_has_been_forgotten() -> None:
    """From its first moment on, and the same when only the store knows it."""
    model = HeldModel("Hi")
    with closing(RunTable()) as table:
        async with served(model, store=table) as chat:
            run = await chat.ask()
            running = (await chat.client.get(f"/runs/{run['run_id']}")).json()
            assert (running["run_id"], running["status"]) == (run["run_id"], "running")
            model.say(None)
            await _all(chat.frames(run))
            ended = (await chat.client.get(f"/runs/{run['run_id']}")).json()
            chat.keeper._forget(chat.keeper.get(run["run_id"]))
            assert (await chat.client.get(run["events"])).status_code == 404
            response = await chat.client.get(f"/runs/{run['run_id']}")
            assert response.json() == ended
            assert response.headers["cache-control"] == "no-store"
        assert set(ended) == {"run_id", "pipeline", "status", "created_at", "duration_ms"}
        assert (ended["pipeline"], ended["status"]) == ("chat", "completed")


async def test_what_became_of_a_run_that_broke_does_not_tell_why() -> None:
    """Which stage failed is told, and no text of an error; the reason of a cancel is for its reader."""
    model = HeldModel("Hi", LookupError(SECRET))
    with closing(RunTable()) as table:
        async with served(model, store=table) as chat:
            broken, refused = await chat.ask(), await chat.ask(" ")
            for run in (broken, refused):
                await _all(chat.frames(run))
            found = (await chat.client.get(f"/runs/{broken['run_id']}")).json()
            assert (found["status"], found["failed"]) == ("failed", ["reply"])
            assert SECRET not in json.dumps(found)
            assert SECRET in json.dumps(await table.get_run(broken["run_id"]))
            found = (await chat.client.get(f"/runs/{refused['run_id']}")).json()
            assert (found["status"], found["reason"].rpartition(": ")[2]) == ("cancelled", "the question is empty")


async def test_what_became_of_a_run_without_a_store() -> None:
    """It is told as long as the run is kept; a run that never was is not found."""
    model = HeldModel("Hi")
    async with served(model) as chat:
        run = await chat.ask()
        where = f"/runs/{run['run_id']}"
        assert (await chat.client.get(where)).json() == {"run_id": run["run_id"], "status": "running"}
        model.say(None)
        await _all(chat.frames(run))
        assert (await chat.client.get(where)).json() == {"run_id": run["run_id"], "status": "completed"}
        chat.keeper._forget(chat.keeper.get(run["run_id"]))
        assert (await chat.client.get(where)).status_code == 404
        assert (await chat.client.get("/runs/nope")).status_code == 404


async def test_a_run_that_a_server_left_behind_is_lost(tmp_path: Path) -> None:
    """A file outlives its server; what was running then will never be known."""
    with closing(RunTable(tmp_path / "runs.db")) as table:
        await table.create_run("run-1", pipeline="chat")
        await table.create_run("run-2", pipeline="chat")
        await table.update_status("run-2", "completed", duration_ms=3.0)
    with closing(RunTable(tmp_path / "runs.db")) as table:
        async with served(store=table) as chat:
            for run_id, status in (("run-1", "lost"), ("run-2", "completed")):
                found = (await chat.client.get(f"/runs/{run_id}")).json()
                assert (found["pipeline"], found["status"]) == ("chat", status)


async def test_a_run_whose_end_the_store_has_lost() -> None:
    """It is told by the run as long as that is kept, and is lost after that."""

    class Forgetful(RunTable):
        async def update_status(self, run_id: str, status: str, **data: Any) -> None:
            if status == "completed":
                raise OSError("the disk is full")
            await super().update_status(run_id, status, **data)

    with closing(Forgetful()) as table:
        async with served(store=table) as chat:
            run = await chat.ask()
            await _all(chat.frames(run))
            where = f"/runs/{run['run_id']}"
            assert (await chat.client.get(where)).json()["status"] == "completed"
            chat.keeper._forget(chat.keeper.get(run["run_id"]))
            assert (await chat.client.get(where)).json()["status"] == "lost"


async def test_a_table_of_runs_keeps_what_it_is_told() -> None:
    """All of it, and what has ended does not run again; of a run whose beginning was lost, its end."""
    with closing(RunTable()) as table:
        assert isinstance(table, RunStore)
        await table.create_run("run-1", pipeline="chat", user_id="ada")
        await table.update_status("run-1", "failed", duration_ms=3.5, failed=["reply"])
        await table.update_status("run-1", "running")
        assert await table.get_run("run-1") == {
            "run_id": "run-1",
            "status": "failed",
            "pipeline": "chat",
            "user_id": "ada",
            "duration_ms": 3.5,
            "failed": ["reply"],
        }
        await table.update_status("run-2", "completed", duration_ms=1.0)
        assert await table.get_run("run-2") == {"run_id": "run-2", "status": "completed", "duration_ms": 1.0}
        assert await table.get_run("run-3") is None


async def test_a_table_of_runs_does_not_grow_for_ever() -> None:
    """A new run takes the place of the oldest."""
    with closing(RunTable(most_runs=2)) as table:
        for number in range(4):
            await table.create_run(f"run-{number}")
        assert [await table.get_run(f"run-{number}") is None for number in range(4)] == [True, True, False, False]


# --- the log of calls --------------------------------------------------------------------------------------------


async def test_calls_to_the_model_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """When they begin and how they end, what they took, and not what was said."""
    caplog.set_level(logging.INFO, "examples.served_chat")
    async with served(HeldModel("Hi", " there.", None, "Hm", LookupError(SECRET))) as chat:
        run = await chat.ask("my own words")
        await _all(chat.frames(run))
        await _all(chat.frames(await chat.ask("my own words")))
    begun, ended, begun_again, failed = caplog.records
    (call_id,) = re.findall(r"^Call ([0-9a-f-]{36}): chat begins \{", begun.getMessage())
    assert json.loads(begun.getMessage()[begun.getMessage().index("{") :]) == {
        "provider": "held",
        "run_id": run["run_id"],
        "stage": "reply",
        "attempt": 1,
        "messages": 2,
        "tools": 0,
    }
    assert re.match(rf"Call {call_id}: ok after \d+ ms \{{", ended.getMessage())
    assert '"prompt_tokens": 7, "completion_tokens": 2' in ended.getMessage()
    assert call_id not in begun_again.getMessage()
    assert (failed.levelname, '"error_code": "LookupError"' in failed.getMessage()) == ("WARNING", True)
    for said in ("my own words", "Hi", SECRET):
        assert said not in caplog.text


# --- connections that break --------------------------------------------------------------------------------------


async def test_a_client_comes_back_in_mid_run_with_the_last_id_that_it_has() -> None:
    """It gets what it has not, and all of the text."""
    model = HeldModel("Hi")
    async with served(model) as chat:
        run = await chat.ask()
        async with aclosing(chat.frames(run)) as frames:
            first = await until(frames, "text")
        model.say(" again.")
        async with aclosing(chat.frames(run, first.last_event_id)) as frames:
            assert (await anext(frames)).message["offset"] == 0
            model.say(None)
            found = [frame.message async for frame in frames]
        assert told(found) == WHOLE[5:]


@pytest.mark.parametrize("kept", range(1, len(WHOLE)))
async def test_a_client_comes_back_after_the_end(kept: int) -> None:
    """By either way, from any event on."""
    async with served() as chat:
        run = await chat.ask()
        after = [frame for frame in await _all(chat.frames(run)) if frame.type != "text"][kept - 1].last_event_id
        found = [frame.message async for frame in chat.frames(run, after)]
        async with chat.socket(run, f"?after={after}") as websocket:
            assert [message async for message in messages(websocket)] == found
        assert told(found) == WHOLE[kept:]
        assert text_of(found) == "Hi there."


async def test_a_browser_that_has_everything_need_not_come_again() -> None:
    """204 ends its attempts; an EventSource makes one whenever a stream ends."""
    async with served() as chat:
        run = await chat.ask()
        last = (await _all(chat.frames(run)))[-1].last_event_id
        response = await chat.client.get(run["events"], headers={"last-event-id": last})
        assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("after", ["garbage", "{id}", "{id}-0", "{id}-99", "01a1f998-6258-7e88-9a45-b193154e5f6f-3"])
async def test_an_id_that_the_run_never_gave_is_refused(after: str) -> None:
    """Before a frame is sent, so that nothing is skipped in silence."""
    async with served() as chat:
        run = await chat.ask()
        after = after.format(id=run["run_id"])
        response = await chat.client.get(run["events"], headers={"last-event-id": after})
        assert response.status_code == 400
        assert "cannot go on after the event id" in response.json()["problem"]
        with pytest.raises(InvalidStatus) as refused:
            await chat.socket(run, f"?after={after}").__aenter__()
        assert refused.value.response.status_code == 400


async def test_a_run_goes_on_without_its_client() -> None:
    """It may only have lost its connection."""
    model = HeldModel("Hi")
    async with served(model) as chat:
        run = await chat.ask()
        async with chat.socket(run) as websocket:
            await until(messages(websocket), "text")
        async with aclosing(chat.frames(run)) as frames:
            await until(frames, "text")
        model.say(None)
        assert (await _all(chat.frames(run)))[-1].message["status"] == "completed"


@pytest.mark.parametrize("way", ["events", "socket", "nobody"])
async def test_a_run_that_nobody_watches_is_cancelled(way: str) -> None:
    """After the time that a client has to come back, which is none here. The model is closed."""
    model = HeldModel("Hi")
    async with served(model, abandon_s=0 if way == "nobody" else 3600) as chat:
        run = await chat.ask()
        live = chat.keeper.get(run["run_id"])
        assert live is not None
        chat.keeper._abandon_s = 0  # from now on: the client has its time to connect
        if way == "events":
            async with aclosing(chat.frames(run)) as frames:
                await until(frames, "text")
        elif way == "socket":
            async with chat.socket(run) as websocket:
                await until(messages(websocket), "text")
        await asyncio.wait_for(live.end(), 10)
        end = (await _all(chat.frames(run)))[-1].message
        assert (end["status"], end["reason"]) == ("cancelled", "nobody is watching any more")
        if way != "nobody":
            assert model.closed == 1


async def test_a_run_is_forgotten_some_time_after_its_end() -> None:
    """No time at all here."""
    async with served(keep_s=0) as chat:
        run = await chat.ask()
        live = chat.keeper.get(run["run_id"])
        assert live is not None
        await live.end()
        forgotten = asyncio.Event()
        asyncio.get_running_loop().call_later(0, forgotten.set)  # after what the keeper asked for before
        await forgotten.wait()
        assert (await chat.client.get(run["events"])).status_code == 404


# --- what clients say --------------------------------------------------------------------------------------------


async def test_a_client_cancels_by_websocket() -> None:
    """All who watch are told why, and the model is closed."""
    model = HeldModel("Hi")
    async with served(model) as chat:
        run = await chat.ask()
        async with aclosing(chat.frames(run)) as frames, chat.socket(run) as websocket:
            await until(messages(websocket), "text")
            await websocket.send(json.dumps({"cancel": "changed my mind"}))
            end = await until(messages(websocket), "end")
            assert (end["status"], end["reason"]) == ("cancelled", "changed my mind")
            assert (await until(frames, "end")).message == end
        assert model.closed == 1


async def test_a_client_cancels_by_request() -> None:
    """One that watches by server-sent events cannot send anything there."""
    async with served(HeldModel("Hi")) as chat:
        run = await chat.ask()
        async with aclosing(chat.frames(run)) as frames:
            await until(frames, "text")
            assert (await chat.client.delete(f"/runs/{run['run_id']}")).status_code == 202
            assert (await until(frames, "end")).message["reason"] == "cancelled by the client"


@pytest.mark.parametrize(
    "said",
    ["", "x", "null", "[]", "{}", '{"cancel": 1}', '{"cancel": "x", "more": 1}', "[" * 5_000, b"\xff\xfe", b'{"a":1}'],
)
async def test_a_client_that_says_something_else_is_closed(said: str | bytes) -> None:
    """With a code and what it may say; the run goes on."""
    model = HeldModel("Hi")
    async with served(model) as chat:
        run = await chat.ask()
        async with chat.socket(run) as websocket:
            await websocket.send(said)
            await websocket.wait_closed()
            assert (websocket.close_code, websocket.close_reason) == (1007, 'Send {"cancel": "reason"}.')
        model.say(None)
        assert (await _all(chat.frames(run)))[-1].message["status"] == "completed"


async def test_a_client_that_says_too_much_is_closed() -> None:
    """Before it has been read."""
    model = HeldModel("Hi")
    async with served(model) as chat:
        run = await chat.ask()
        async with chat.socket(run) as websocket:
            with contextlib.suppress(ConnectionClosed):  # it may be before all has been sent
                await websocket.send(json.dumps({"cancel": "x" * 1_000_000}))
            await websocket.wait_closed()
            assert websocket.close_code == 1009
        model.say(None)
        assert (await _all(chat.frames(run)))[-1].message["status"] == "completed"


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"text": "hi"}', "text/plain", 415),
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[" * 10_000, "application/json", 400),
        (b"[]", "application/json", 400),
        (b"{}", "application/json", 400),
        (b'{"text": 3}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"text": "' + b"x" * 20_000 + b'"}', "application/json", 413),
    ],
)
async def test_a_request_that_asks_for_nothing_is_refused(content: bytes, kind: str, status: int) -> None:
    """It is told what to send, and no run is started."""
    async with served() as chat:
        response = await chat.client.post("/runs", content=content, headers={"content-type": kind})
        assert (response.status_code, list(response.json())) == (status, ["problem"])
        assert not chat.keeper._runs


@pytest.mark.parametrize(("text", "reason"), [(" ", "the question is empty"), ("x" * 2_001, "longer than 2000")])
async def test_a_guard_tells_the_client_why_it_refused(text: str, reason: str) -> None:
    """The reason of a cancel is for its reader."""
    async with served() as chat:
        end = (await _all(chat.frames(await chat.ask(text))))[-1].message
        assert end["status"] == "cancelled"
        assert reason in end["reason"]


async def test_a_client_is_not_told_what_broke() -> None:
    """That it did, and nothing of why."""
    async with served(HeldModel("Hi", LookupError(SECRET))) as chat:
        found = [frame.message for frame in await _all(chat.frames(await chat.ask()))]
        assert text_of(found) == "Hi"
        ended = [("status", "reply", "fail"), ("end", None, "failed")]
        assert told(found)[-2:] == ended
        assert SECRET not in json.dumps(found)


async def test_a_run_that_is_not_there_is_not_found() -> None:
    """By any way."""
    async with served() as chat:
        assert (await chat.client.get("/runs/nope/events")).status_code == 404
        assert (await chat.client.delete("/runs/nope")).status_code == 404
        with pytest.raises(InvalidStatus) as refused:
            await chat.socket({"socket": "/runs/nope/socket"}).__aenter__()
        assert refused.value.response.status_code == 404


async def test_a_page_of_another_site_may_not_connect() -> None:
    """A browser asks nobody before it opens a WebSocket, so the server looks at where the page is from."""
    async with served() as chat:
        run = await chat.ask()
        with pytest.raises(InvalidStatus) as refused:
            await chat.socket(run, origin="http://elsewhere.example").__aenter__()
        assert refused.value.response.status_code == 403
        async with chat.socket(run, origin=f"http://{chat.host}") as websocket:
            await until(messages(websocket), "end")


async def test_a_server_takes_so_many_runs_at_once() -> None:
    """Then it says when to come again; a run that has ended makes room."""
    model = HeldModel()
    async with served(model, most=1) as chat:
        run = await chat.ask()
        refused = await chat.client.post("/runs", json={"text": "hi"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        model.say(None)
        await _all(chat.frames(run))
        await chat.ask()


# --- the server --------------------------------------------------------------------------------------------------


async def test_the_end_of_the_server_ends_its_runs() -> None:
    """Clients are told, models are closed, and nothing is started any more."""
    model = HeldModel("Hi")
    async with served(model) as chat:
        run = await chat.ask()
        async with aclosing(chat.frames(run)) as frames:
            await until(frames, "text")
            closing = asyncio.create_task(chat.keeper.close())
            end = (await until(frames, "end")).message
            await closing
        assert (end["status"], end["reason"]) == ("cancelled", "the server is shutting down")
        assert model.closed == 1
        assert (await chat.client.post("/runs", json={"text": "hi"})).status_code == 503


async def test_a_server_that_is_stopped_tells_those_who_watch() -> None:
    """Their runs end before it waits for them to go."""
    async with served(HeldModel("Hi")) as chat:
        run = await chat.ask()
        async with aclosing(chat.frames(run)) as frames, chat.socket(run) as websocket:
            await until(frames, "text")
            chat.server.stop.set()
            end = (await until(frames, "end")).message
            assert (end["status"], end["reason"]) == ("cancelled", "the server is shutting down")
            assert await until(messages(websocket), "end") == end


@simulated(seeds=range(50))
async def test_text_comes_between_the_beginning_and_the_end_of_its_stage() -> None:
    """In whatever order the tasks of the server take their steps, for each client."""
    keeper = RunKeeper(served_pipelines(), StagePorts(llm=HeldModel("one", " two", " three", None)))
    live = keeper.start("hello")

    async def watch() -> list[Any]:
        return [message async for message in live.messages(WSMessageProjector(metadata=Surfaces(), events=()))]

    for found in await asyncio.gather(watch(), watch()):
        assert told(found) == WHOLE
        assert text_of(found) == "one two three"
        about = [(each["type"], each.get("status")) for each in found if each.get("stage") == "reply"]
        assert (about[0], about[-1]) == (("status", "running"), ("status", "ok"))
        assert found[-1]["type"] == "end"
    await keeper.close()


@simulated
async def test_a_run_that_is_watched_is_not_cancelled() -> None:
    """However long that takes; only when the last client has been away for so long."""
    registry = PipelineRegistry()
    registry.register("chat", build_chat(timeout=1_000))
    keeper = RunKeeper(registry, StagePorts(llm=HeldModel("Hi")), abandon_s=20)
    live, loop = keeper.start("hello"), asyncio.get_running_loop()
    clients = [live.messages(WSMessageProjector()) for _ in range(2)]
    for client in clients:
        await until(client, "text")
    await asyncio.sleep(100)
    await clients[0].aclose()
    await asyncio.sleep(100)
    await clients[1].aclose()
    await asyncio.sleep(19)
    back = live.messages(WSMessageProjector(), after=f"{live.id}-5")
    await until(back, "text")
    await asyncio.sleep(100)
    assert not live.ended
    await back.aclose()
    await live.end()
    assert loop.time() == 100 + 100 + 19 + 100 + 20
    assert (await live.run.outcome()).status == "cancelled"
    await keeper.close()


async def test_the_page_runs_its_own_script_only() -> None:
    """There is none in it, and the browser is told to run none."""
    async with served() as chat:
        page = await chat.client.get("/")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert re.findall(r"<script[^>]*>(.*?)</script>", page.text, re.DOTALL) == [""]
        assert not re.search(r"\son\w+=|style=", page.text)
        for path, kind in (("/page.js", "text/javascript"), ("/page.css", "text/css")):
            found = await chat.client.get(path)
            assert (found.status_code, found.headers["content-type"].split(";")[0]) == (200, kind)


@simulated
async def test_a_silent_stream_has_comments() -> None:
    """One whenever there was no frame for so long, and none where there was."""

    async def frames() -> AsyncIterator[str]:
        await asyncio.sleep(2.5)
        yield "a"
        await asyncio.sleep(0.5)
        yield "b"
        await asyncio.sleep(1.5)

    found = [frame async for frame in kept_alive(frames(), every_s=1)]
    assert found == [": still here\n\n", ": still here\n\n", "a", "b", ": still here\n\n"]


@simulated
async def test_who_leaves_a_silent_stream_closes_it() -> None:
    """Also while it waits for a frame."""
    closed = []

    async def frames() -> AsyncIterator[str]:
        try:
            await asyncio.sleep(100)
            yield "a"
        finally:
            closed.append(asyncio.get_running_loop().time())

    stream = kept_alive(frames(), every_s=1)
    await anext(stream)
    await stream.aclose()
    assert closed == [1]


@simulated
async def test_the_small_model_answers() -> None:
    """From what it was told, in the time of a model."""
    loop, asked = asyncio.get_running_loop(), LLMRequest((Message("user", "A long word."),))
    model = SmallModel(first_token_s=1, token_s=0.5)
    chunks = [(chunk.text, loop.time()) async for chunk in model.stream(asked)]
    text = "".join(token for token, _ in chunks)
    assert "That is 3 words, and “long” is the longest" in text
    assert [at for _, at in chunks][:3] == [1, 1.5, 2]
    answer = await model.complete(asked)
    assert (answer.text, answer.finish_reason) == (text, "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, len(chunks) - 1)


@simulated
async def test_the_small_model_knows_its_limits() -> None:
    """It stops where it is told to, and says so; what it cannot do it refuses."""
    said = (Message("user", "A long word."),)
    answer = await SmallModel().complete(LLMRequest(said, max_tokens=2))
    assert (answer.text, answer.finish_reason, answer.usage.completion_tokens) == ("You said:", "length", 2)
    with pytest.raises(ProviderRequestError, match=r"does not support temperature=1\.0 of"):
        await SmallModel().complete(LLMRequest(said, temperature=1.0))


def test_the_command_serves_until_it_is_interrupted() -> None:
    """As a person starts it; it prints where, and ends without a trace."""
    command = (sys.executable, "-W", "error", "-m", "examples.served_chat", "--port", "0")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            (url,) = re.findall(r"http://127\.0\.0\.1:\d+/", line)
            assert "A served run" in httpx.get(url, trust_env=False).text
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert process.stderr.read() == ""
        finally:
            process.kill()


@pytest.mark.parametrize("port", ["x", "-1", "65536", "1.5", ""])
def test_a_bad_port_is_refused(port: str) -> None:
    """In a line."""
    command = (sys.executable, "-m", "examples.served_chat", f"--port={port}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is not a port, from 0 to 65535" in done.stderr


async def test_the_command_talks_to_groq(tmp_path: Path) -> None:
    """With a key; it logs its calls, and keeps what became of its runs in a file."""
    command = (
        sys.executable,
        "-W",
        "error",
        "-m",
        "examples.served_chat",
        "--port",
        "0",
        "--runs",
        str(tmp_path / "r"),
    )
    async with GroqServer() as groq:
        environment = {**os.environ, "GROQ_API_KEY": "any", "GROQ_BASE_URL": groq.base_url, "NO_PROXY": "*"}
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            (url,) = re.findall(rb"http://127\.0\.0\.1:\d+", await process.stdout.readline())
            async with httpx.AsyncClient(base_url=url.decode(), trust_env=False, timeout=30) as client:
                run = (await client.post("/runs", json={"text": "My name is Ada."})).json()
                found = [frame.message for frame in EventStream().feed((await client.get(run["events"])).text)]
        finally:
            process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
    assert (process.returncode, text_of(found)) == (130, "Nice to meet you, Ada.")
    assert told(found)[-1] == ("end", None, "completed")
    begun, ended = errors.decode().splitlines()
    assert re.search(r" INFO examples\.served_chat\.call_log: Call [0-9a-f-]{36}: chat begins .*\"groq\"", begun)
    assert re.search(r" INFO .*: ok after \d+ ms .*\"completion_tokens\": 5", ended)
    assert "Ada" not in errors.decode()
    with closing(RunTable(tmp_path / "r")) as table:
        assert (await table.get_run(run["run_id"]))["status"] == "completed"


def test_a_file_that_is_no_table_of_runs_is_told(tmp_path: Path) -> None:
    """In a line, before anything is served."""
    file = tmp_path / "notes.txt"
    file.write_text("This is not a database. " * 100)
    command = (sys.executable, "-m", "examples.served_chat", "--port", "0", "--runs", str(file))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{file} cannot be used for runs: file is not a database.\n"


def test_a_port_that_is_taken_is_told() -> None:
    """In a line, too."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = (sys.executable, "-m", "examples.served_chat", f"--port={taken.getsockname()[1]}")
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be used: Address already in use" in done.stderr
