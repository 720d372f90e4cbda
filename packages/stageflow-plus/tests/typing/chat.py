"""What a type checker says of chats and providers: checked by `make check`, never run."""

from collections.abc import AsyncGenerator
from typing import assert_type

from groq import AsyncGroq
from stageflow import Pipeline, StageContext, Stream, stage
from stageflow.calls import LoggedCall, logged_call
from stageflow.capabilities import StagePorts
from stageflow.providers import LLMChunk, LLMProvider, LLMRequest, LLMResponse, Message, Tool
from stageflow.results import AgentResult
from stageflow_plus import ChatStage, GroqLLM


class EchoLLM:
    name = "echo"

    async def complete(self, request: LLMRequest) -> LLMResponse:
        return LLMResponse(request.messages[-1].content, model="echo", finish_reason="stop")

    async def stream(self, request: LLMRequest) -> AsyncGenerator[LLMChunk]:
        yield LLMChunk(request.messages[-1].content, model="echo", finish_reason="stop")


class NoLLM:
    name = "none"

    async def complete(self, request: LLMRequest) -> str:
        return request.messages[-1].content


def providers(client: AsyncGroq) -> None:
    one: LLMProvider = EchoLLM()
    other: LLMProvider = GroqLLM(client)
    StagePorts(llm=one)
    StagePorts(llm=other)
    StagePorts(llm=NoLLM())  # pyright: ignore[reportArgumentType]
    GroqLLM("gsk_...")  # pyright: ignore[reportArgumentType]


def requests() -> None:
    assert_type(LLMRequest((Message("user", "hi"),)).temperature, float | None)
    Message("robot", "hi")  # pyright: ignore[reportArgumentType]
    LLMRequest((Message("user", "hi"),), tools=("add",))  # pyright: ignore[reportArgumentType]
    Message("user", "hi").content = "ho"  # pyright: ignore[reportAttributeAccessIssue]


@stage
async def stored(reply: AgentResult) -> str:
    return reply.text


@stage
async def spoken(reply: Stream[str]) -> int:
    return len([text async for text in reply])


def pipelines() -> Pipeline:
    ChatStage(temprature=1)  # pyright: ignore[reportCallIssue]
    return Pipeline("chat", [stored, spoken]).with_stage("reply", ChatStage("m", tools=(Tool("add", "Adds."),)))


async def logged(ctx: StageContext) -> None:
    async with logged_call(ctx, "chat", provider="p", messages=3) as call:
        assert_type(call, LoggedCall)
        call.note(finish_reason="stop", first_chunk_ms=None)
        call.note(messages=["hi"])  # pyright: ignore[reportArgumentType]
