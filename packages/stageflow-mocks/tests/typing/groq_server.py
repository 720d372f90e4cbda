"""What a type checker says of GroqServer: checked by `make check`, never run."""

from collections.abc import Sequence
from typing import assert_type

from stageflow_mocks import (
    CallTool,
    ChatMessage,
    GroqServer,
    Heard,
    ReceivedRequest,
    ServerError,
    TranscriptionRequest,
    Upload,
)


def answer(messages: Sequence[ChatMessage]) -> str | CallTool:
    return CallTool("weather") if messages else "Hello."


async def answer_later(messages: Sequence[ChatMessage]) -> list[CallTool]:
    return [CallTool("a"), CallTool("b")]


def hear(request: TranscriptionRequest) -> str:
    return request.file.name


async def hear_later(request: TranscriptionRequest) -> Heard:
    return Heard(request.prompt or "")


GroqServer(responder=answer)
GroqServer(responder=answer_later)
GroqServer(transcriber="Hello.")
GroqServer(transcriber=["One.", Heard("Two.")])
GroqServer(transcriber={b"OggS": "One."})
GroqServer(transcriber=hear)
GroqServer(transcriber=hear_later)
GroqServer(transcriber=5)  # pyright: ignore[reportArgumentType]
GroqServer(transcriber={"a.ogg": "One."})  # pyright: ignore[reportArgumentType]
GroqServer(responder=hear)  # pyright: ignore[reportArgumentType]


async def read(request: ReceivedRequest) -> None:
    assert_type(request.upload, Upload | None)
    assert_type(request.transcription, TranscriptionRequest | None)
    GroqServer().fail_next(None, ServerError())
    GroqServer().fail_next(OSError())  # pyright: ignore[reportArgumentType]
