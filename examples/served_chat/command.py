"""The command: its arguments, and the server."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sqlite3
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import uvicorn
from stageflow import StagePorts
from stageflow.providers import LLMProvider
from stageflow_plus import GroqLLM

from examples.served_chat.application import MOST_BYTES, ServedChat
from examples.served_chat.call_log import CallLog
from examples.served_chat.model import SmallModel
from examples.served_chat.pipeline import served_pipelines
from examples.served_chat.run_keeper import RunKeeper
from examples.served_chat.run_table import RunTable

HOST = "127.0.0.1"


class ChatServer(uvicorn.Server):
    """Serves the chat, and ends its runs before it waits for the clients that watch them."""

    def __init__(self, keeper: RunKeeper) -> None:
        config = uvicorn.Config(
            ServedChat(keeper).application(),
            ws="websockets-sansio",
            ws_max_size=MOST_BYTES,
            log_level="warning",
            timeout_graceful_shutdown=5,
            server_header=False,
        )
        super().__init__(config)
        self._keeper = keeper

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the runs end, and with them what clients are being sent."""
        await self._keeper.close()
        await super().shutdown(sockets)


@asynccontextmanager
async def model_of(environ: Mapping[str, str]) -> AsyncGenerator[LLMProvider]:
    """Connect to Groq if there is a key, else give the model that runs here."""
    if key := environ.get("GROQ_API_KEY", "").strip():
        async with GroqLLM(api_key=key, base_url=environ.get("GROQ_BASE_URL") or None) as llm:
            yield llm
    else:
        yield SmallModel()


async def serve(port: int, runs: RunTable, environ: Mapping[str, str]) -> None:
    """Serve until the process is told to stop."""
    async with model_of(environ) as llm:
        keeper = RunKeeper(served_pipelines(), StagePorts(llm=llm, call_logger=CallLog()), store=runs)
        with socket.create_server((HOST, port)) as listening:
            print(f"Open http://{HOST}:{listening.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
            await ChatServer(keeper).serve(sockets=[listening])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.served_chat",
        description="Serve a chat on this machine, and a page that shows its runs while they go on. With GROQ_API_KEY "
        "set, the model is Groq's (GROQ_BASE_URL is honoured); without it, a very small one that runs here.",
    )
    parser.add_argument("--port", type=_port, default=8000, help="where to listen; 0 takes a free one (%(default)s)")
    parser.add_argument(
        "--runs", type=Path, metavar="FILE", help="keep what became of runs in this SQLite file (in memory only)"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("examples.served_chat").setLevel(logging.INFO)
    try:
        with closing(RunTable(options.runs)) as runs:
            asyncio.run(serve(options.port, runs, os.environ))
    except sqlite3.Error as error:
        parser.exit(2, f"{options.runs} cannot be used for runs: {error}.\n")
    except OSError as error:
        parser.exit(2, f"Port {options.port} of {HOST} cannot be used: {error.strerror or error}.\n")
    except KeyboardInterrupt:
        return 130
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < 65_536):
        raise argparse.ArgumentTypeError(f"{text} is not a port, from 0 to 65535")
    return int(text)
