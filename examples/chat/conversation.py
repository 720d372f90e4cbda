"""The conversation: read a line, run the pipeline, show what came of it, until the input ends or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import re
import signal
import sys
import tempfile
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from pathlib import Path

from groq import AsyncGroq, DefaultAsyncHttpxClient
from stageflow import PipelineCancelled, PipelineResults, RunIdentity, StageExecutionError, StageGraph, StageStatus
from stageflow_mocks import GroqServer, Pace
from stageflow_plus import GroqLLM, MemoryStoreError, SqliteMemory

from examples.chat.lines import Line, LineReader
from examples.chat.pipeline import ChatPorts, build_chat
from examples.chat.progress import Progress
from examples.terminal.writing import Terminal

GROQ_URL = "https://api.groq.com"
DENIED = ("password", "credit card number")


class Interrupt:
    """What Ctrl-C and SIGTERM end: whatever is under way at that moment, and then the conversation."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._end: Callable[[], None] | None = None

    def raised(self, number: signal.Signals) -> None:
        """Take note of a signal."""
        self.signal = number
        if self._end is not None:
            self._end()

    @contextlib.contextmanager
    def ends(self, end: Callable[[], None]) -> Generator[None]:
        """Call `end` if a signal comes within the block, or came before it."""
        self._end = end
        if self.signal is not None:
            end()
        try:
            yield
        finally:
            self._end = None


class Chat:
    """One conversation: a session of turns, each of which is a run of the pipeline."""

    def __init__(self, graph: StageGraph, ports: ChatPorts, terminal: Terminal, *, session: str, language: str) -> None:
        self._graph = graph
        self._ports = ports
        self._terminal = terminal
        self._session = session
        self._language = language

    async def converse(self, lines: LineReader, interrupt: Interrupt, *, echo: bool) -> None:
        """Take turns until the input ends, the user says exit, or a signal comes."""
        while interrupt.signal is None:
            if not echo:
                self._terminal.prompt()
            with interrupt.ends(lines.close):
                line = await lines.next()
            if line is None:
                return
            text = self._text_of(line, echo=echo)
            if text is not None and text.strip() in ("exit", "quit"):
                return
            if text is not None:
                await self._take_turn(text, interrupt)

    def _text_of(self, line: Line, *, echo: bool) -> str | None:
        """Return what to send; where there is nothing to send, say why."""
        if echo:
            self._terminal.echo(line.raw.decode("utf-8", "replace"))
        if line.too_long:
            self._terminal.problem("That line is too long to read: nothing was sent.")
            return None
        try:
            text = line.raw.decode("utf-8")
        except UnicodeDecodeError as error:
            place = f"byte {error.start + 1} is 0x{line.raw[error.start]:02x}"
            self._terminal.problem(f"That line is not valid UTF-8 ({place}): nothing was sent.")
            return None
        if not text.strip():
            self._terminal.problem("That line is empty: nothing was sent.")
            return None
        return text

    async def _take_turn(self, text: str, interrupt: Interrupt) -> None:
        run = self._graph.start(
            input_text=text,
            run_id=RunIdentity(session_id=self._session),
            metadata={"language": self._language},
            transport="terminal",
            ports=self._ports,
        )
        events = run.events()
        with interrupt.ends(lambda: run.cancel("interrupted by the user")):
            try:
                async with Progress(self._terminal) as progress:
                    async for event in events:
                        progress.note(event)
            finally:
                # Where the output has gone, the run must end before the client and the memory that it uses do.
                run.cancel("shown to nobody")
                results = await run.outcome()
        if results["output_guard"].status is StageStatus.OK:
            self._terminal.answer(results.data("output_guard")["text"])
        if (problem := _problem(results)) is not None:
            self._terminal.problem(problem)
        self._terminal.results(results)


def _problem(results: PipelineResults) -> str | None:
    """Return in one sentence why the run did not complete, or None if it did."""
    match results.error:
        case None:
            return None
        case PipelineCancelled() as end:
            return f"{end.stage} refused: {end.reason}." if end.stage else f"The run was {end.reason}."
        case StageExecutionError() as failure:
            return f"{failure.stage} failed: {failure.__cause__ or failure}"
        case other:
            return str(other)


@contextlib.asynccontextmanager
async def groq_models(environ: Mapping[str, str], longest_silence: float) -> AsyncGenerator[tuple[GroqLLM, str]]:
    """Connect to Groq, or to a server on this machine that stands in for it, and say which."""
    key = environ.get("GROQ_API_KEY", "").strip()
    if key:
        base_url = environ.get("GROQ_BASE_URL") or GROQ_URL
        async with GroqLLM(api_key=key, base_url=base_url, timeout=longest_silence) as llm:
            yield llm, f"at {base_url}"
        return
    # A proxy from the environment is for the way out; this connection does not leave the machine.
    direct = DefaultAsyncHttpxClient(trust_env=False)
    async with (
        GroqServer(pace=Pace(first_byte=0.2, per_chunk=0.04)) as server,
        AsyncGroq(
            api_key="loopback", base_url=server.base_url, max_retries=0, timeout=longest_silence, http_client=direct
        ) as client,
    ):
        yield GroqLLM(client), "a local stand-in (set GROQ_API_KEY for Groq)"


@contextlib.contextmanager
def memory_file(path: Path | None) -> Generator[Path]:
    """Give the file that was asked for, or one that lasts as long as the conversation."""
    if path is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="stageflow-chat-") as folder:
        yield Path(folder) / "memory.sqlite3"


async def chat(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Set the conversation up, hold it, and return the exit code."""
    terminal = Terminal(sys.stdout, environ)
    interrupt = Interrupt()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt.raised, number)
    kept = options.memory is not None
    session = options.session or ("default" if kept else str(uuid.uuid4()))
    graph = build_chat(model=options.model, denied=(*DENIED, *options.deny))
    with memory_file(options.memory) as path:
        async with SqliteMemory(path) as memory, groq_models(environ, options.timeout) as (llm, where):
            keeping = f"session '{session}' in {path}" if kept else "this conversation only (--memory FILE keeps it)"
            terminal.line(f"Model: {options.model}, {where}")
            terminal.line(f"Memory: {keeping}")
            terminal.line("Leave with exit, Ctrl-D or Ctrl-C.\n")
            talk = Chat(
                graph, ChatPorts(llm=llm, memory=memory), terminal, session=session, language=_language(environ)
            )
            await talk.converse(LineReader(sys.stdin.fileno()), interrupt, echo=not sys.stdin.isatty())
            terminal.close()
    return 0 if interrupt.signal is None else 128 + interrupt.signal


def _language(environ: Mapping[str, str]) -> str:
    """Return the language of the user's locale: "de" for de_DE.UTF-8, "en" where the locale says none."""
    code = re.split(r"[_.@]", environ.get("LC_ALL") or environ.get("LANG") or "C")[0]
    return "en" if code in ("C", "POSIX") else code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    base_url = os.environ.get("GROQ_BASE_URL") or GROQ_URL
    if not base_url.startswith(("http://", "https://")):
        parser.error(f"GROQ_BASE_URL is {base_url!r}, which does not begin with http:// or https://")
    if sys.stdin is None or sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        return 2  # Closed by whoever started the program: there is nobody to talk to.
    sys.stdout.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    try:
        return asyncio.run(chat(options, os.environ))
    except MemoryStoreError as error:
        print(f"{error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read the output has gone; what is still buffered must not be flushed into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(f"Standard input cannot be read: {error.strerror}.", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.chat",
        description="Chat with a model on the terminal, and see what each stage of the pipeline did. With GROQ_API_KEY "
        "set, the model is Groq's (GROQ_BASE_URL is honoured); without it, a server on this machine plays it.",
    )
    parser.add_argument("--model", default="llama-3.1-8b-instant", help="the model's id (%(default)s)")
    parser.add_argument("--memory", type=Path, metavar="FILE", help="keep the conversation in this SQLite file")
    parser.add_argument("--session", metavar="NAME", help="which conversation in that file (default)")
    parser.add_argument(
        "--deny", action="append", default=[], metavar="TERM", help="a term that neither side may use; repeatable"
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="longest silence of the model (%(default)g)"
    )
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above zero")
    return seconds
