"""What a type checker says of the mocks of providers: checked by `make check`, never run."""

from typing import assert_type

from stageflow import PipelineContext, StagePorts
from stageflow.providers import LLMChunk, LLMProvider, LLMRequest, STTProvider, ToolCall, TTSProvider
from stageflow_mocks import (
    Answer,
    AtCall,
    AtRate,
    CallTool,
    Exponential,
    FaultPlan,
    FaultyLLM,
    FaultyRunStore,
    FaultySTT,
    FaultyTTS,
    InMemoryRunStore,
    MockLLM,
    MockSTT,
    MockTool,
    MockTTS,
    RateLimited,
    RecordedCall,
    ServerError,
    Uniform,
    echo,
)

llm: LLMProvider = MockLLM("Hello.")
stt: STTProvider = MockSTT({b"": "Hello."})
tts: TTSProvider = MockTTS(latency=Uniform(0.1, 0.2))
MockTTS(spoken_by="flite", voices={"Ada": "slt"})
MockTTS(spoken_by="espeak")  # pyright: ignore[reportArgumentType]
PipelineContext(run_store=FaultyRunStore(InMemoryRunStore(), FaultPlan()))
StagePorts(llm=FaultyLLM(llm, FaultPlan()), stt=FaultySTT(stt, FaultPlan()), tts=FaultyTTS(tts, FaultPlan(seed=1)))
FaultyLLM(stt, FaultPlan())  # pyright: ignore[reportArgumentType]
StagePorts(llm=MockLLM(echo), stt=MockSTT(["a", "b"]), tts=MockTTS())

MockLLM(["One.", RateLimited(2), CallTool("weather"), [CallTool("a"), CallTool("b")], Answer("x")])
MockLLM({"weather": "Rain.", "name": ServerError()}, latency=Exponential(0.3), faults=[AtCall(1, ServerError())])
MockLLM(3)  # pyright: ignore[reportArgumentType]
MockLLM("x", faults=[ServerError()])  # pyright: ignore[reportArgumentType]
AtRate(0.5, OSError())  # pyright: ignore[reportArgumentType]


async def checked(request: LLMRequest, call: ToolCall) -> None:
    async for chunk in MockLLM("x").stream(request):
        assert_type(chunk, LLMChunk)
    assert_type(await MockTool("t", answers=["x"]).call(call), str)
    assert_type(MockLLM("x").calls, tuple[RecordedCall, ...])
