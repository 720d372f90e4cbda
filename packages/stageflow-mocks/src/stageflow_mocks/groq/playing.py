"""How a response is made and sent, step by step, for as long as the client stays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal

from starlette.types import Receive, Send

from stageflow_mocks.groq.received import ReceivedRequest
from stageflow_mocks.groq.responses import Break, Response

Played = Literal["completed", "cut", "left"]
"""How it went: sent in full, to be cut off now, or of no interest to the client any more."""


async def play(
    respond: Callable[[], Coroutine[Any, Any, Response]],
    received: ReceivedRequest,
    receive: Receive,
    send: Send,
    *,
    sleep: Callable[[float], Awaitable[object]],
    end: Callable[[Played], None],
) -> None:
    """Send what there is to respond, and say how that went before the request is over: `end` closes what is cut."""

    async def answer() -> bool:
        return await _send_steps(await respond(), received, send, sleep)

    # A responder that waits for something ends with the client as well, and with the server.
    sending = asyncio.create_task(answer())
    leaving = asyncio.create_task(_wait_disconnect(receive))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            end("left")
        elif await sending:
            end("completed")
        else:
            end("cut")
            # uvicorn reports a response that its application leaves unfinished, unless the client left first.
            await leaving
    finally:
        for task in (sending, leaving):
            task.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


async def _send_steps(
    response: Response, received: ReceivedRequest, send: Send, sleep: Callable[[float], Awaitable[object]]
) -> bool:
    """Send the steps; False means that the connection is to be closed before the response is complete."""
    headers = response.encoded_headers()
    for step in response.steps:
        if step is Break.SILENCE:
            await asyncio.Event().wait()
        elif step is Break.HANG_UP:
            return False
        elif isinstance(step, bytes):
            if received.status is None:
                received.status = response.status
                await send({"type": "http.response.start", "status": response.status, "headers": headers})
            received.frames_sent += 1
            await send({"type": "http.response.body", "body": step, "more_body": True})
        elif step:
            await sleep(step)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return True


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
