"""The chat as a person or a script runs it: a process with standard input and output."""

import asyncio
import contextlib
import os
import pty
import re
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
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
)

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-W", "error", "-m", "examples.chat")
STAGES = ["input_guard", "memory", "profile", "reply", "output_guard", "remember"]


@dataclass(frozen=True)
class Talk:
    """What came of a conversation."""

    code: int | None
    out: str
    err: str

    @property
    def answers(self) -> list[str]:
        return re.findall(r"^bot> (.*)$", self.out, re.MULTILINE)

    @property
    def problems(self) -> list[str]:
        return re.findall(r"^  ! (.*)$", self.out, re.MULTILINE)

    def statuses(self) -> list[list[str]]:
        """The statuses of the stages, turn by turn."""
        rows = re.findall(rf"^  ({'|'.join(STAGES)}) +(ok|failed|cancelled|skipped)\b", self.out, re.MULTILINE)
        assert [name for name, _ in rows] == STAGES * (len(rows) // len(STAGES))
        return [[status for _, status in rows[at : at + len(STAGES)]] for at in range(0, len(rows), len(STAGES))]


def _environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    ours = ("GROQ_", "NO_COLOR", "COLUMNS", "TERM", "PYTHONIO", "LC_", "LANG", "http_", "https_", "HTTP_", "HTTPS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "LANG": "C.UTF-8", "TERM": "xterm", **(extra or {})}


def _at(server: GroqServer, key: str = "right") -> dict[str, str]:
    return {"GROQ_API_KEY": key, "GROQ_BASE_URL": server.base_url}


async def _start(environment: Mapping[str, str] | None = None, *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, cwd=ROOT, env=_environment(environment), stdin=pipe, stdout=pipe, stderr=pipe
    )


async def _talk(said: str | bytes, environment: Mapping[str, str] | None = None, *arguments: str) -> Talk:
    process = await _start(environment, *arguments)
    out, err = await process.communicate(said.encode() if isinstance(said, str) else said)
    return Talk(process.returncode, out.decode(), err.decode())


def _files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest_asyncio.fixture
async def server() -> AsyncIterator[GroqServer]:
    async with GroqServer(api_keys={"right"}) as running:
        yield running


async def test_without_a_key_it_remembers() -> None:
    """Without a key a local stand-in answers, says so, and knows what it was told."""
    talk = await _talk("My name is Ada.\nWhat is my name?\n")
    assert (talk.code, talk.err) == (0, "")
    assert talk.answers == ["Nice to meet you, Ada.", "Your name is Ada."]
    assert talk.statuses() == [["ok"] * 6, ["ok"] * 6]
    assert "a local stand-in (set GROQ_API_KEY for Groq)" in talk.out
    assert "you> What is my name?" in talk.out


async def test_proxy_does_not_stand_before_the_local_server() -> None:
    """A proxy in the environment is not asked for the way to this machine."""
    dead = "http://127.0.0.1:9"
    talk = await _talk("hello\n", {"HTTP_PROXY": dead, "http_proxy": dead, "ALL_PROXY": dead})
    assert talk.answers == ["Hello! What shall we talk about?"]


async def test_with_a_key_it_talks_to_groq(server: GroqServer) -> None:
    """With a key it asks the server of GROQ_BASE_URL, with the model, the profile and the memory in the prompt."""
    talk = await _talk("My name is Ada.\nWhat is my name?\n", {**_at(server), "LANG": "de_DE.UTF-8"})
    assert talk.answers == ["Nice to meet you, Ada.", "Your name is Ada."]
    assert f"at {server.base_url}" in talk.out
    system, *rest = server.requests[1].messages
    assert "- language: de" in system["content"]
    assert [message["content"] for message in rest] == [
        "My name is Ada.",
        "Nice to meet you, Ada.",
        "What is my name?",
    ]
    assert server.requests[1].chat is not None
    assert server.requests[1].chat.model == "llama-3.1-8b-instant"


async def test_piped_output_is_plain(server: GroqServer) -> None:
    """What goes into a pipe has no control codes, and one line that says that the model writes."""
    talk = await _talk("hello\n", _at(server))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", talk.out)
    assert len(re.findall(r"^  reply is writing, the first words after \d+ ms$", talk.out, re.MULTILINE)) == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (RateLimited(retry_after=7), "reply failed: Groq's rate limit is reached (429). Try again in 7 s."),
        (ServerError(500), "reply failed: Groq failed (500): Internal Server Error"),
        (ServerError(503), "reply failed: Groq failed (503): llama-3.1-8b-instant is currently over capacity."),
        (CutOff(), "reply failed: Groq's answer ended before it was finished"),
        (ErrorFrame(), "reply failed: Groq stopped the answer with an error"),
        (GarbageBody(), "reply failed: Groq's answer holds nothing of an answer"),
        (NoChoices(), "reply failed: Groq answered without any choices."),
        (Disconnect(), "reply failed: Groq cannot be reached at http://127.0.0.1:"),
        (Hang(), "reply failed: Groq did not answer within the client's timeout."),
        (Hang(after_chunks=1), "reply failed: Groq did not answer within the client's timeout."),
    ],
    ids=repr,
)
async def test_fault_is_one_line_and_the_chat_goes_on(server: GroqServer, fault: Fault, message: str) -> None:
    """Whatever the model does wrong is one line; nothing of its text is shown, and the next turn works."""
    server.fail_next(fault)
    patience = ("--timeout", "1") if isinstance(fault, Hang) else ()
    talk = await _talk("My name is Ada.\nhello\n", _at(server), *patience)
    assert (talk.code, talk.err) == (0, "")
    assert len(talk.problems) == 1
    assert talk.problems[0].startswith(message)
    assert talk.answers == ["Hello! What shall we talk about?"]
    assert "Nice" not in talk.out
    failed, fine = talk.statuses()
    assert failed == ["ok", "ok", "ok", "failed", "skipped", "skipped"]
    assert fine == ["ok"] * 6


async def test_wrong_key(server: GroqServer) -> None:
    """A key that Groq refuses is one line, without the key."""
    talk = await _talk("hello\nhello\n", _at(server, "gsk_wrong"))
    assert talk.problems == ["reply failed: Groq does not accept the API key (401): Invalid API Key."] * 2
    assert "gsk_wrong" not in talk.out + talk.err


@pytest.mark.parametrize("key", ["gsk_ä", "gsk\nx"])
async def test_key_that_cannot_be_sent(server: GroqServer, key: str) -> None:
    """A key that no header can hold is one line too."""
    talk = await _talk("hello\n", _at(server, key))
    assert len(talk.problems) == 1
    assert "Look for stray characters in the API key." in talk.problems[0]
    assert (talk.err, server.requests) == ("", [])


async def test_dead_server() -> None:
    """A server that is not there is one line with its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    talk = await _talk("hello\n", {"GROQ_API_KEY": "k", "GROQ_BASE_URL": address})
    assert len(talk.problems) == 1
    assert talk.problems[0].startswith(f"reply failed: Groq cannot be reached at {address}")


async def test_lines_with_nothing_to_send(server: GroqServer) -> None:
    """An empty line, bytes that are not UTF-8 and a line without end are one line each, and nothing is sent."""
    talk = await _talk(b"\n  \t\nab\xffc\n" + b"x" * 2_000_000 + b"\nhello\n", _at(server))
    assert talk.problems == [
        "That line is empty: nothing was sent.",
        "That line is empty: nothing was sent.",
        "That line is not valid UTF-8 (byte 3 is 0xff): nothing was sent.",
        "That line is too long to read: nothing was sent.",
    ]
    assert talk.answers == ["Hello! What shall we talk about?"]
    assert len(server.requests) == 1


async def test_refused_input(server: GroqServer) -> None:
    """Text that is too long or holds a denied term is refused by the guard, and never sent or remembered."""
    talk = await _talk("x" * 100_000 + "\nmy password is tea\nit is tea\nhello\n", _at(server), "--deny", "tea")
    assert talk.problems == [
        "input_guard refused: the text has 100,000 characters, and 4,000 are allowed.",
        "input_guard refused: the text contains a denied term (number 1 of the list).",
        "input_guard refused: the text contains a denied term (number 3 of the list).",
    ]
    assert talk.statuses() == [["cancelled", *["skipped"] * 5]] * 3 + [["ok"] * 6]
    (request,) = server.requests
    assert [message["content"] for message in request.messages][1:] == ["hello"]


async def test_refused_output() -> None:
    """An answer that the output guard refuses is never shown and never remembered."""
    answers = iter(("The password is tea.", "Hello."))
    async with GroqServer(responder=lambda messages: next(answers)) as server:
        talk = await _talk("hello\nhello\n", _at(server))
    assert talk.problems == ["output_guard refused: the text contains a denied term (number 1 of the list)."]
    assert talk.answers == ["Hello."]
    assert "tea" not in talk.out
    assert talk.statuses()[0] == ["ok", "ok", "ok", "ok", "cancelled", "skipped"]
    assert [message["content"] for message in server.requests[1].messages][1:] == ["hello"]


async def test_answer_does_not_command_the_terminal() -> None:
    """Escape sequences in an answer are shown, not obeyed."""
    async with GroqServer(responder=lambda messages: "a\x1b[2Jb") as server:
        talk = await _talk("hello\n", _at(server))
    assert talk.answers == ["a\ufffd[2Jb"]


@pytest.mark.parametrize("word", ["exit", " quit "])
async def test_exit(server: GroqServer, word: str) -> None:
    """A word ends the conversation, and what follows is not sent."""
    talk = await _talk(f"{word}\nhello\n", _at(server))
    assert (talk.code, talk.answers, server.requests) == (0, [], [])


async def test_input_from_a_file(server: GroqServer, tmp_path: Path) -> None:
    """Standard input may be a file."""
    said = tmp_path / "said"
    said.write_text("hello")
    descriptor = os.open(said, os.O_RDONLY)
    process = await asyncio.create_subprocess_exec(
        *COMMAND, cwd=ROOT, env=_environment(_at(server)), stdin=descriptor, stdout=asyncio.subprocess.PIPE
    )
    os.close(descriptor)
    out, _ = await process.communicate()
    assert b"bot> Hello! What shall we talk about?" in out


async def test_memory_in_a_file(server: GroqServer, tmp_path: Path) -> None:
    """A memory file carries a session from one conversation to the next, and keeps sessions apart."""
    path = str(tmp_path / "memory.sqlite3")
    await _talk("My name is Ada.\n", _at(server), "--memory", path)
    again = await _talk("What is my name?\n", _at(server), "--memory", path)
    other = await _talk("What is my name?\n", _at(server), "--memory", path, "--session", "work")
    assert f"Memory: session 'default' in {path}" in again.out
    assert again.answers == ["Your name is Ada."]
    assert other.answers == ["You have not told me your name yet."]


async def test_temporary_memory_goes(server: GroqServer, tmp_path: Path) -> None:
    """The memory of one conversation leaves no file behind."""
    await _talk("hello\n", {**_at(server), "TMPDIR": str(tmp_path)})
    assert _files_in(tmp_path) == []


@pytest.mark.parametrize("content", [None, b"a letter, not a database" * 99])
async def test_memory_that_cannot_be_opened(tmp_path: Path, content: bytes | None) -> None:
    """A memory file that is none is one line on standard error and exit code 2."""
    path = tmp_path / "memory"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    talk = await _talk("hello\n", None, "--memory", str(path))
    assert (talk.code, talk.out) == (2, "")
    assert talk.err.startswith(f"Cannot open the memory at {path}: ")
    assert talk.err.count("\n") == 1


async def test_memory_that_breaks_on_the_way(server: GroqServer, tmp_path: Path) -> None:
    """An answer that the guard cleared is shown even though it could not be remembered, and that is said."""
    path = tmp_path / "memory.sqlite3"
    process = await _start(_at(server), "--memory", str(path))
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readuntil(b"Leave with")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "DROP TABLE turns; CREATE VIEW turns AS SELECT 1 AS session_id, 2 AS id, 'user' AS role, 'x' AS content"
        )
    out, err = await process.communicate(b"hello\n")
    talk = Talk(process.returncode, out.decode(), err.decode())
    assert talk.answers == ["Hello! What shall we talk about?"]
    assert len(talk.problems) == 1
    assert talk.problems[0].startswith(f"remember failed: Cannot write the memory at {path}")


@pytest.mark.parametrize(
    "arguments", [("--timeout", "0"), ("--timeout", "nan"), ("--timeout", "soon"), ("--nonsense",)]
)
async def test_bad_arguments(arguments: tuple[str, ...]) -> None:
    """Wrong arguments are explained, with exit code 2."""
    talk = await _talk("", None, *arguments)
    assert (talk.code, talk.out) == (2, "")
    assert "error: " in talk.err.splitlines()[-1]


async def test_address_that_is_none() -> None:
    """An address without a scheme would look like a server that cannot be reached."""
    talk = await _talk("hello\n", {"GROQ_API_KEY": "k", "GROQ_BASE_URL": "localhost:8000"})
    assert (talk.code, talk.out) == (2, "")
    assert talk.err.splitlines()[-1].endswith(
        "GROQ_BASE_URL is 'localhost:8000', which does not begin with http:// or https://"
    )


async def test_help() -> None:
    """The help names every option."""
    talk = await _talk("", None, "--help")
    assert talk.code == 0
    for option in ("--model", "--memory", "--session", "--deny", "--timeout", "GROQ_API_KEY", "GROQ_BASE_URL"):
        assert option in talk.out


async def test_output_in_ascii(server: GroqServer) -> None:
    """An output that cannot show block characters gets others, and no failure."""
    talk = await _talk("My name is Žofie.\n", {**_at(server), "PYTHONIOENCODING": "ascii"})
    assert (talk.code, talk.err) == (0, "")
    assert "###" in talk.out
    assert talk.answers == ["Nice to meet you, ?ofie."]


async def test_output_that_goes_away(server: GroqServer) -> None:
    """A reader that has had enough ends the conversation without a traceback."""
    process = await _start(_at(server))
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readuntil(b"Leave with")
    process.stdout._transport.close()  # type: ignore[attr-defined]
    process.stdin.write(b"hello\n" * 3)
    assert await process.wait() == 128 + signal.SIGPIPE
    assert process.stderr is not None
    assert await process.stderr.read() == b""


async def test_output_that_goes_away_during_a_run() -> None:
    """The run is stopped before the client that it uses is closed: no task is left to complain."""
    reading, writing = os.pipe()

    def answer(messages: object) -> str:
        os.close(reading)
        return "Hello."

    async with GroqServer(responder=answer) as server:
        server.fail_next(Hang(after_chunks=1))
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            cwd=ROOT,
            env=_environment(_at(server)),
            stdin=asyncio.subprocess.PIPE,
            stdout=writing,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(writing)
        _, err = await process.communicate(b"hello\n")
    assert (process.returncode, err) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("fault", [Hang(), Hang(after_chunks=1)], ids=repr)
async def test_signal_during_a_run(
    server: GroqServer, tmp_path: Path, number: signal.Signals, code: int, fault: Hang
) -> None:
    """A signal cancels the run, waits for it, shows what was done, and ends without a traceback or a file left."""
    server.fail_next(fault)
    process = await _start({**_at(server), "TMPDIR": str(tmp_path)})
    assert process.stdin is not None
    process.stdin.write(b"My name is Ada.\nhello\n")
    (request,) = await server.wait_for_requests(1)
    process.send_signal(number)
    assert await request.wait_ended() == "client_left"
    out, err = await process.communicate()
    talk = Talk(process.returncode, out.decode(), err.decode())
    assert (talk.code, talk.err) == (code, "")
    assert talk.problems == ["The run was interrupted by the user."]
    assert talk.statuses() == [["ok", "ok", "ok", "cancelled", "cancelled", "cancelled"]]
    assert len(server.requests) == 1
    assert _files_in(tmp_path) == []


async def test_signal_at_the_prompt(server: GroqServer) -> None:
    """Ctrl-C while waiting for a line ends the conversation."""
    process = await _start(_at(server))
    assert process.stdout is not None
    await process.stdout.readuntil(b"Leave with")
    process.send_signal(signal.SIGINT)
    # Standard input stays open until the process has gone.
    assert await process.wait() == 130
    assert process.stderr is not None
    assert await process.stderr.read() == b""


# The kernel turns Ctrl-C into a signal for the session whose terminal it is, so the session has to take it first.
_ON_TERMINAL = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("examples.chat", run_name="__main__")
"""


class Screen:
    """A pseudo-terminal with the chat in it."""

    def __init__(self, main: int, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.seen = b""
        self._main = main

    async def until(self, text: bytes) -> bytes:
        """Read until the text has come, and return what came since the last time."""
        came = b""
        while text not in came:
            came += await asyncio.to_thread(os.read, self._main, 65_536)
        self.seen += came
        return came

    def type(self, text: bytes) -> None:
        os.write(self._main, text)


@contextlib.asynccontextmanager
async def _screen(environment: Mapping[str, str]) -> AsyncIterator[Screen]:
    main, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _ON_TERMINAL,
        cwd=ROOT,
        env=_environment(environment),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    try:
        yield Screen(main, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(main)


async def test_live_line(server: GroqServer) -> None:
    """On a terminal a live line counts while the model writes, without its words, and is gone before the answer."""
    server.fail_next(Hang(after_chunks=1))
    async with _screen(_at(server)) as screen:
        await screen.until(b"you> ")
        screen.type(b"My name is Ada.\r")
        live = await screen.until(b"4 characters in 1 pieces")
        assert b"\r\x1b[K" in live
        assert b"Nice" not in live
        screen.type(b"\x03")
        await screen.until(b"interrupted by the user")
        assert await screen.process.wait() == 130


async def test_conversation_on_a_terminal(server: GroqServer) -> None:
    """Typed lines are answered in colour, and Ctrl-D ends the conversation on a line of its own."""
    async with _screen(_at(server)) as screen:
        await screen.until(b"you> ")
        screen.type(b"hello\r")
        came = await screen.until(b"you> ")
        assert b"\r\x1b[K\x1b[35mbot> \x1b[0mHello! What shall we talk about?\r\n" in came
        assert b"\x1b[32m" in came
        screen.type(b"\x04")
        await screen.until(b"\r\n")
        assert await screen.process.wait() == 0


async def test_no_color(server: GroqServer) -> None:
    """NO_COLOR leaves the live line and takes the colours."""
    async with _screen({**_at(server), "NO_COLOR": "1"}) as screen:
        await screen.until(b"you> ")
        screen.type(b"hello\r")
        came = await screen.until(b"you> ")
        assert b"\r\x1b[K" in came
        assert re.search(rb"\x1b\[\d*m", came) is None


async def test_dumb_terminal(server: GroqServer) -> None:
    """A terminal that says it is dumb gets no control codes at all."""
    async with _screen({**_at(server), "TERM": "dumb"}) as screen:
        await screen.until(b"you> ")
        screen.type(b"hello\r")
        assert b"\x1b" not in await screen.until(b"you> ")
