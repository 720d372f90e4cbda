"""ChatStage and stages that hear and speak, in real pipelines over the mocks: retries, time limits, tools, duplex."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from stageflow import (
    Conversation,
    Pipeline,
    RetryPolicy,
    StageContext,
    StageExecutionError,
    StagePorts,
    StageTimeoutError,
    Stream,
    stage,
)
from stageflow.errors import ProviderContentRefused, ProviderProtocolError, ProviderTransientError
from stageflow.providers import LLMRequest, Message, STTRequest, Tool, TTSChunk, TTSRequest
from stageflow_mocks import (
    Answer,
    AtCall,
    AtRate,
    CallTool,
    CutOff,
    GroqServer,
    Hang,
    Malformed,
    MockLLM,
    MockSTT,
    MockTool,
    MockTTS,
    RateLimited,
    ServerError,
    UnscriptedCallError,
    echo,
)
from stageflow_mocks.simulation import simulated
from stageflow_plus import ChatStage, GroqLLM

PATIENT = RetryPolicy(max_attempts=4, base_delay=1, jitter=False, retry_on=ProviderTransientError)


def chat(**options):
    return Pipeline("chat").with_stage("reply", ChatStage(), **options)


@simulated
async def test_an_answer_goes_through_a_pipeline() -> None:
    """Text, model, reasons, tokens and times are those of the mock."""
    llm = MockLLM({"name": "I am a mock."}, latency=0.5, per_chunk=0.1)
    results = await chat().run(input_text="What is your name?", ports=StagePorts(llm=llm))
    reply = results.value("reply")
    assert ("I am a mock.", "mock-llm", "mock-1", "stop", 4, 500.0, "mock-llm-1") == (
        reply.text,
        reply.provider,
        reply.model,
        reply.finish_reason,
        reply.chunks,
        reply.first_text_ms,
        reply.request_id,
    )
    assert llm.calls[0].answer.usage == reply.usage
    assert "What is your name?" == llm.requests[0].messages[-1].content


@simulated
async def test_faults_are_retried_on_the_virtual_clock() -> None:
    """Each fault that may pass costs an attempt and its wait; the same answer comes in the end."""
    llm = MockLLM(["Hello."], faults=[AtCall(1, RateLimited(30)), AtCall(2, CutOff(1)), AtCall(3, Malformed())])
    results = await chat(retry=PATIENT).run(input_text="Hi.", ports=StagePorts(llm=llm))
    assert ("Hello.", 4) == (results.value("reply").text, results.record("reply").attempts)
    assert [0.0, 30.0, 32.0, 36.0] == [call.started_at for call in llm.calls]
    assert ["error", "cut off", "closed", "ok"] == [call.ended for call in llm.calls]


@simulated
async def test_a_hang_is_ended_by_the_stages_timeout() -> None:
    """The call is cancelled, and another attempt made."""
    llm = MockLLM("Hello.", faults=[AtCall(1, Hang(after_chunks=1))])
    policy = RetryPolicy(max_attempts=2, base_delay=0, jitter=False, retry_on=StageTimeoutError)
    results = await chat(timeout=20, retry=policy).run(input_text="Hi.", ports=StagePorts(llm=llm))
    assert "Hello." == results.value("reply").text
    assert ["cancelled", "ok"] == [call.ended for call in llm.calls]
    assert 20.0 == llm.calls[1].started_at


@simulated
async def test_an_unscripted_call_is_not_tried_again() -> None:
    """It fails the stage with what was asked and what was scripted, whatever errors of providers are retried."""
    llm = MockLLM({"wether": "It rains."})
    with pytest.raises(StageExecutionError, match="asked:    user: 'The weather'") as caught:
        await chat(retry=PATIENT).run(input_text="The weather", ports=StagePorts(llm=llm))
    assert isinstance(caught.value.__cause__, UnscriptedCallError)
    assert 1 == len(llm.calls)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer("Half of", finish_reason="content_filter"), ProviderContentRefused),
        (Answer(""), ProviderProtocolError),
        (CutOff(0), ProviderProtocolError),
        (Malformed("no_calls"), ProviderProtocolError),
        (Malformed("half_call"), ProviderProtocolError),
    ],
)
@simulated
async def test_what_is_no_answer_fails_the_stage(answer, error) -> None:
    """The stage tells an answer from what only looks like one."""
    with pytest.raises(StageExecutionError) as caught:
        await chat().run(input_text="Hi.", ports=StagePorts(llm=MockLLM(answer)))
    assert isinstance(caught.value.__cause__, error)


@simulated
async def test_tools_are_called_and_answered() -> None:
    """A model that asks for a tool, the tool, and the model again."""
    weather = MockTool("weather", "Tells it.", {"city": "string"}, answers=["It rains."])
    llm = MockLLM([CallTool("weather", {"city": "Bergen"}), "Take an umbrella."])
    agent = Pipeline("agent").with_stage("reply", ChatStage(tools=(weather.tool,)))
    conversation = Conversation().with_message("user", "An umbrella?")
    reply = (await agent.run(conversation=conversation, ports=StagePorts(llm=llm))).value("reply")
    assert "tool_calls" == reply.finish_reason
    conversation = conversation.with_message("assistant", reply.text, tool_calls=reply.tool_calls)
    for call in reply.tool_calls:
        conversation = conversation.with_message("tool", await weather.call(call), tool_call_id=call.id)
    reply = (await agent.run(conversation=conversation, ports=StagePorts(llm=llm))).value("reply")
    assert "Take an umbrella." == reply.text
    assert ("tool", "It rains.") == ((last := llm.requests[1].messages[-1]).role, last.content)
    assert [{"city": "Bergen"}] == list(weather.requests)


@stage
async def heard(ctx: StageContext) -> dict[str, str]:
    async def microphone() -> AsyncIterator[bytes]:
        for place in range(0, len(ctx.snapshot.input.audio), 3_200):
            await asyncio.sleep(0.1)
            yield ctx.snapshot.input.audio[place : place + 3_200]

    request = STTRequest(microphone(), format=ctx.snapshot.input.format)
    return {"text": "".join([chunk.text async for chunk in ctx.ports.stt.stream(request) if chunk.is_final])}


@stage
async def spoken(ctx: StageContext, reply: Stream[str]) -> AsyncIterator[TTSChunk]:
    async for chunk in ctx.ports.tts.stream(TTSRequest(reply)):
        yield chunk


@simulated(seeds=range(30))
async def test_a_voice_turn_speaks_before_the_model_has_finished() -> None:
    """Audio is heard as it comes in, and goes out while the model still writes."""
    question = await MockTTS().synthesize(TTSRequest("How are you today?"))
    stt = MockSTT({question.audio: "How are you today?"}, latency=0.1)
    llm = MockLLM(["Fine, thank you, and how are you?"], latency=0.3, per_chunk=0.2)
    tts = MockTTS(latency=0.1)
    reply = stage("reply", ChatStage(text_from="heard"), dependencies=("heard",))
    turn = Pipeline("turn", [heard, reply, spoken])
    results = await turn.run(input=question, ports=StagePorts(stt=stt, llm=llm, tts=tts))
    assert "Fine, thank you, and how are you?" == results.value("reply").text
    assert results.value("reply").text.split() == [word.text for word in tts.calls[0].answer.words]
    assert tts.calls[0].first_chunk_at < llm.calls[0].ended_at
    assert ["ok"] * 3 == [mock.calls[0].ended for mock in (stt, llm, tts)]


@simulated
async def test_fifty_runs_over_a_shaky_provider() -> None:
    """With a fault in every fourth call all runs end well, and the calls are one for each attempt."""
    llm = MockLLM(echo, seed=3, faults=[AtRate(0.25, ServerError(503))])
    pipeline = chat(retry=RetryPolicy(max_attempts=9, base_delay=1, jitter=False, retry_on=ProviderTransientError))
    runs = [pipeline.run(input_text=f"Number {number}.", ports=StagePorts(llm=llm)) for number in range(50)]
    results = await asyncio.gather(*runs)
    assert [f"Number {number}." for number in range(50)] == [each.value("reply").text for each in results]
    attempts = sum(each.record("reply").attempts for each in results)
    assert attempts == len(llm.calls) > 50
    assert attempts - 50 == sum(call.ended == "error" for call in llm.calls)


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        ("Nice to meet you, incomprehensibly long-named friend.", {}),
        ("Nice to meet you, Ada.", {"max_tokens": 3}),
        ("Nice to meet you, Ada.", {"max_tokens": 5}),
        ("Nice to meet you, Ada.", {"stop": ("you",)}),
        (CallTool("weather", {"city": "Bergen"}), {"tools": (Tool("weather", "Tells it."),)}),
        ('{"a": 1}', {"json_schema": {"type": "object"}, "model": "openai/gpt-oss-20b"}),
    ],
)
async def test_it_answers_as_a_server_does(answer, options) -> None:
    """What a real client gets from GroqServer, MockLLM answers too: text, calls, reason and pieces."""
    request = LLMRequest((Message("user", "My name is Ada."),), **options)
    mock = MockLLM(answer)
    async with (
        GroqServer(responder=lambda _messages: answer) as server,
        GroqLLM(api_key="any", base_url=server.base_url) as groq,
    ):
        served, mocked = await groq.complete(request), await mock.complete(request)
        streamed = [chunk.text async for chunk in groq.stream(request) if chunk.text]
    assert (served.text, served.finish_reason) == (mocked.text, mocked.finish_reason)
    assert [(call.name, call.arguments) for call in served.tool_calls] == [
        (call.name, call.arguments) for call in mocked.tool_calls
    ]
    assert served.usage.prompt_tokens == mocked.usage.prompt_tokens
    if not options.get("json_schema"):  # which Groq does not stream
        assert streamed == [chunk.text async for chunk in mock.stream(request) if chunk.text]
