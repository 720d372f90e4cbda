"""The command: its arguments, and the server."""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import Sequence

import uvicorn

from examples.served_chat.application import MOST_BYTES, ServedChat
from examples.served_chat.model import SmallModel
from examples.served_chat.pipeline import ChatPorts, build_chat
from examples.served_chat.run_keeper import RunKeeper

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


async def serve(port: int) -> None:
    """Serve until the process is told to stop."""
    keeper = RunKeeper(build_chat(), ChatPorts(SmallModel()))
    with socket.create_server((HOST, port)) as listening:
        print(f"Open http://{HOST}:{listening.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
        await ChatServer(keeper).serve(sockets=[listening])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.served_chat",
        description="Serve a chat on this machine, and a page that shows its runs while they go on.",
    )
    parser.add_argument("--port", type=_port, default=8000, help="where to listen; 0 takes a free one (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(serve(options.port))
    except OSError as error:
        parser.exit(2, f"Port {options.port} of {HOST} cannot be used: {error.strerror or error}.\n")
    except KeyboardInterrupt:
        return 130
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < 65_536):
        raise argparse.ArgumentTypeError(f"{text} is not a port, from 0 to 65535")
    return int(text)
