"""The parameters of `chat.completions.create`: taken to mean what they do at Groq, or refused in its words."""

import inspect
from typing import Any

import groq
import pytest
from groq import AsyncGroq
from groq.resources.chat.completions import Completions
from groq.types.chat import ChatCompletion, ChatCompletionChunk
from stageflow_mocks import CallTool, CutOff, ErrorFrame, Fault, GroqServer, Reasoned, StoppedEarly

GPT_OSS, QWEN, SEEING, LLAMA = "openai/gpt-oss-20b", "qwen/qwen3-32b", "qwen/qwen3.6-27b", "llama-3.1-8b-instant"
ADA: Any = [{"role": "user", "content": "My name is Ada."}]
IMAGE: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}
SEEN: Any = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]}]
WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
SCHEMA: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
THOUGHT = Reasoned("She wants to hear her name.", "You are Ada.")
THOUGHTS = 6  # tokens of it


async def _ask(responder: Any = None, **asked: Any) -> ChatCompletion:
    options = {} if responder is None else {"responder": responder}
    async with (
        GroqServer(**options) as server,
        AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as client,
    ):
        return await client.chat.completions.create(**{"model": "m", "messages": ADA, **asked})


async def _stream(responder: Any = None, fault: Fault | None = None, **asked: Any) -> list[ChatCompletionChunk]:
    options = {} if responder is None else {"responder": responder}
    async with (
        GroqServer(**options) as server,
        AsyncGroq(api_key="k", base_url=server.base_url, max_retries=0) as client,
    ):
        server.fail_next(fault)
        stream: Any = await client.chat.completions.create(**{"model": "m", "messages": ADA, "stream": True, **asked})
        return [chunk async for chunk in stream]


async def _refused(**asked: Any) -> Any:
    with pytest.raises(groq.BadRequestError) as raised:
        await _ask(**asked)
    body: Any = raised.value.body
    assert body["error"]["type"] == "invalid_request_error"
    return body["error"]


TAKEN: dict[str, Any] = {
    "disable_tool_validation": True,
    "frequency_penalty": 0.5,
    "include_reasoning": True,
    "logit_bias": {},
    "logprobs": False,
    "max_completion_tokens": 100,
    "max_tokens": 100,
    "metadata": {},
    "n": 1,
    "parallel_tool_calls": False,
    "presence_penalty": -0.5,
    "reasoning_effort": "low",
    "reasoning_format": "parsed",
    "response_format": {"type": "text"},
    "seed": 7,
    "service_tier": "flex",
    "stop": ["##", "--"],
    "store": False,
    "stream": False,
    "temperature": 0.0,
    "tool_choice": "none",
    "tools": [WEATHER],
    "top_logprobs": 0,
    "top_p": 1,
    "user": "ada",
}
OF_NO_MODEL: dict[str, Any] = {
    "logit_bias": {"1": 2},
    "logprobs": True,
    "metadata": {"a": "b"},
    "store": True,
    "top_logprobs": 3,
}
UNSPOKEN: dict[str, Any] = {
    "citation_options": "enabled",
    "compound_custom": {},
    "documents": [],
    "exclude_domains": [],
    "function_call": "auto",
    "functions": [],
    "include_domains": [],
    "search_settings": {},
}


def test_every_parameter_of_the_sdk_is_spoken_of() -> None:
    """What `create` takes is taken here, or refused by name: nothing of it is unknown."""
    of_http = {"self", "messages", "model", "extra_headers", "extra_query", "extra_body", "timeout"}
    assert set(inspect.signature(Completions.create).parameters) - of_http == {*TAKEN, *UNSPOKEN}


@pytest.mark.parametrize("name", TAKEN)
async def test_parameter_that_is_taken(name: str) -> None:
    """Each may be sent, alone and as null."""
    for value in (TAKEN[name], None):
        answer = await _ask(**{name: value})
        assert answer.choices[0].message.content == "Nice to meet you, Ada."


@pytest.mark.parametrize("name", OF_NO_MODEL)
async def test_parameter_that_no_model_supports(name: str) -> None:
    """Groq names it twice: in the message, and as `param`."""
    assert await _refused(**{name: OF_NO_MODEL[name]}) == {
        "message": f"`{name}` is not supported with this model",
        "type": "invalid_request_error",
        "param": name,
    }


@pytest.mark.parametrize("name", UNSPOKEN)
async def test_parameter_that_only_groq_takes(name: str) -> None:
    """The refusal says that it is this server's alone."""
    message = (await _refused(**{name: UNSPOKEN[name]}))["message"]
    assert message == f"property '{name}' is unsupported: Groq takes it, this server does not speak it"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"extra_body": {"verbosity": "low"}}, "property 'verbosity' is unsupported"),
        ({"temperature": 2.5}, "'temperature' : number must be at most 2"),
        ({"temperature": "0.5"}, "'temperature' : value must be a number"),
        ({"top_p": -1}, "'top_p' : number must be at least 0"),
        ({"presence_penalty": 3}, "'presence_penalty' : number must be at most 2"),
        ({"user": 5}, "'user' : value must be a string"),
        ({"stop": list("abcde")}, "'stop' : maximum number of items is 4"),
        ({"tools": [WEATHER] * 129}, "'tools' : maximum number of items is 128"),
        ({"parallel_tool_calls": "no"}, "'parallel_tool_calls' : value must be a boolean"),
        ({"response_format": "json"}, "'response_format' : value must be an object"),
        ({"service_tier": "gold"}, "('auto', 'on_demand', 'flex', 'performance')"),
        ({"extra_body": {"stream_options": {"include_usage": True}}}, "only allowed when 'stream' is enabled"),
        (
            {"tools": [WEATHER], "disable_tool_validation": True, "tool_choice": WEATHER},
            "'tool_choice' : a specific tool cannot be required with 'disable_tool_validation'",
        ),
        ({"model": LLAMA, "response_format": SCHEMA}, "This model does not support response format `json_schema`"),
        ({"model": LLAMA, "reasoning_effort": "low"}, "`reasoning_effort` is not supported with this model"),
        ({"model": LLAMA, "include_reasoning": False}, "`include_reasoning` is not supported with this model"),
        ({"model": GPT_OSS, "reasoning_effort": "none"}, "must be one of `low`, `medium`, or `high`"),
        ({"model": QWEN, "reasoning_effort": "low"}, "`reasoning_effort` must be one of `none` or `default`"),
        ({"model": GPT_OSS, "reasoning_format": "raw"}, "`reasoning_format` must be one of `parsed` or `hidden`"),
        (
            {"model": QWEN, "reasoning_format": "raw", "tools": [WEATHER]},
            "`reasoning_format` must be one of `parsed` or `hidden` with tools or JSON mode",
        ),
        (
            {"model": QWEN, "reasoning_format": "raw", "include_reasoning": True},
            "cannot specify both `include_reasoning` and `reasoning_format`",
        ),
    ],
)
async def test_refused(asked: Any, message: str) -> None:
    """What a value may not be is refused in the words of Groq, or in words like its own."""
    assert message in (await _refused(**asked))["message"]


@pytest.mark.parametrize("options", [{"include": True}, {"include_usage": 1}])
async def test_refused_options_of_a_stream(options: Any) -> None:
    """The options of a stream are one, and it is true or false."""
    with pytest.raises(groq.BadRequestError, match="'stream_options"):
        await _stream(extra_body={"stream_options": options})


def _said(role: str, **properties: Any) -> Any:
    return [*ADA, {"role": role, "content": "Hello.", **properties}]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "developer", "content": "Be kind."},
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}], "name": "rules"},
        {"role": "assistant", "content": "Hello.", "reasoning": "A greeting."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", **WEATHER, "function": {"name": "w", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "4", "tool_call_id": "a", "name": "weather"},
        {"role": "tool", "content": [IMAGE], "tool_call_id": "a"},
    ],
)
async def test_message_that_is_taken(message: Any) -> None:
    """What may stand in a message of each role."""
    assert (await _ask(messages=[*ADA, message])).choices[0].message.content == "Nice to meet you, Ada."


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        (_said("user", id="7"), "'messages.1' : property 'id' is unsupported"),
        (_said("assistant", annotations=None), "'messages.1' : property 'annotations' is unsupported"),
        (_said("assistant", refusal=None), "'messages.1' : property 'refusal' is unsupported"),
        (_said("assistant", reasoning_content="x"), "'messages.1' : property 'reasoning_content' is unsupported"),
        (_said("system", reasoning="x"), "'messages.1' : property 'reasoning' is unsupported"),
        (_said("user", name=5), "'messages.1.name' : value must be a string"),
        (_said("user", content=None), "'messages.1.content' : value must be a string"),
        (_said("user", content=[]), "'messages.1.content' : value must be a string"),
        ([{"role": "user"}], "'messages.0.content' : property 'content' is missing"),
        ([{"role": "assistant", "tool_calls": []}], "'messages.0.content' : property 'content' is missing"),
        (_said("system", content=[IMAGE]), "'messages.1.content.0' : discriminator property 'type' has invalid value"),
        (_said("user", content=[{"type": "text"}]), "'messages.1.content.0.text' : property 'text' is missing"),
        (
            _said("user", content=[{"type": "image_url", "image_url": "http://a.test/a.png"}]),
            "'messages.1.content.0.image_url.url' : property 'url' is missing",
        ),
        (
            _said("assistant", tool_calls=[{"id": "a", "type": "function", "function": {"name": "w"}}]),
            "'messages.1.tool_calls.0.function.arguments' : value must be a string",
        ),
        (_said("assistant", tool_calls={}), "'messages.1.tool_calls' : value must be an array"),
        (
            _said("assistant", tool_calls=[{"id": 1, "type": "function", "function": {"name": "w", "arguments": ""}}]),
            "'messages.1.tool_calls.0' : value must be a call of a function with an id",
        ),
    ],
)
async def test_message_that_is_refused(messages: Any, why: str) -> None:
    """Groq takes no message with more or less in it than it knows: null is more, too."""
    role = messages[-1]["role"]
    place = f"messages.{len(messages) - 1}"
    message = (await _refused(messages=messages))["message"]
    assert message == f"'{place}' : for 'role:{role}' the following must be satisfied[({why})]"


async def test_history_of_dumped_answers_is_refused() -> None:
    """The commonest mistake: an answer goes back as the SDK dumps it, with the fields that only answers have."""
    dumped = (await _ask()).choices[0].message.model_dump()
    assert "property 'annotations' is unsupported" in (await _refused(messages=[*ADA, dumped, *ADA]))["message"]
    del dumped["annotations"], dumped["executed_tools"], dumped["function_call"]
    assert (await _ask(messages=[*ADA, dumped, *ADA])).choices


async def test_images_need_a_model_that_sees() -> None:
    """A model with eyes takes an image, and so does one that nobody knows; another says what it takes."""
    for model in (SEEING, "m"):
        assert (await _ask(model=model, messages=SEEN)).choices[0].message.content
    assert await _refused(model=GPT_OSS, messages=SEEN) == {
        "message": "messages[0].content must be a string",
        "type": "invalid_request_error",
        "param": "messages[0].content",
    }


@pytest.mark.parametrize(("asked", "echoed"), [(None, "on_demand"), ("auto", "on_demand"), ("flex", "flex")])
async def test_service_tier_is_echoed(asked: Any, echoed: str) -> None:
    """The answer says by which tier it was given."""
    assert (await _ask(service_tier=asked)).service_tier == echoed
    *_, last = await _stream(service_tier=asked, extra_body={"stream_options": {"include_usage": True}})
    assert getattr(last, "service_tier") == echoed  # noqa: B009 - beyond the SDK's type


async def test_usage_of_a_stream_in_an_event_of_its_own() -> None:
    """Asked for, it comes once more, without choices, after the last choice."""
    without = await _stream()
    *chunks, last = await _stream(extra_body={"stream_options": {"include_usage": True}})
    assert [len(chunk.choices) for chunk in (*chunks, last)] == [*(1 for _ in without), 0]
    assert (last.usage, last.x_groq) == (chunks[-1].usage, None)
    refused = await _stream(extra_body={"stream_options": {"include_usage": False}})
    assert len(refused) == len(without)


async def test_one_call_at_a_time() -> None:
    """A responder that calls two tools where the request allows one is wrong, and is told so."""
    calls = [CallTool("weather"), CallTool("weather")]
    answer = await _ask(lambda _: calls, tools=[WEATHER], parallel_tool_calls=True)
    assert len(answer.choices[0].message.tool_calls or ()) == 2
    with pytest.raises(groq.BadRequestError, match="one call at a time"):
        await _ask(lambda _: calls, tools=[WEATHER], parallel_tool_calls=False)
    answer = await _ask(lambda _: calls[:1], tools=[WEATHER], parallel_tool_calls=False)
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_tools_that_were_not_offered() -> None:
    """`disable_tool_validation` lets them through; a choice of none it does not."""
    offered: Any = {"tools": [WEATHER], "disable_tool_validation": True}
    answer = await _ask(lambda _: CallTool("magic"), **offered)
    assert [call.function.name for call in answer.choices[0].message.tool_calls or ()] == ["magic"]
    with pytest.raises(groq.BadRequestError, match="Tool choice is none"):
        await _ask(lambda _: CallTool("magic"), tool_choice="none", **offered)


@pytest.mark.parametrize(
    ("asked", "content", "reasoning", "counted"),
    [
        ({"model": "m"}, "You are Ada.", THOUGHT.reasoning, THOUGHTS),
        ({"model": GPT_OSS}, "You are Ada.", THOUGHT.reasoning, THOUGHTS),
        ({"model": GPT_OSS, "include_reasoning": True}, "You are Ada.", THOUGHT.reasoning, THOUGHTS),
        ({"model": GPT_OSS, "include_reasoning": False}, "You are Ada.", None, THOUGHTS),
        ({"model": QWEN}, f"<think>\n{THOUGHT.reasoning}\n</think>\n\nYou are Ada.", None, None),
        ({"model": QWEN, "tools": [WEATHER]}, "You are Ada.", THOUGHT.reasoning, THOUGHTS),
        ({"model": QWEN, "reasoning_format": "parsed"}, "You are Ada.", THOUGHT.reasoning, THOUGHTS),
        ({"model": QWEN, "reasoning_format": "hidden"}, "You are Ada.", None, THOUGHTS),
        ({"model": QWEN, "reasoning_effort": "none"}, "You are Ada.", None, None),
    ],
)
async def test_reasoning(asked: Any, content: str, reasoning: str | None, counted: int | None) -> None:
    """A model's thoughts are in a field of their own, in the answer, or nowhere; their tokens are paid for."""
    answer = await _ask(lambda _: THOUGHT, **asked)
    message, usage = answer.choices[0].message, answer.usage
    assert (message.content, message.reasoning) == (content, reasoning)
    assert usage is not None
    assert (usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens) == counted

    chunks = await _stream(lambda _: THOUGHT, **asked)
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == content
    assert "".join(delta.reasoning or "" for delta in deltas) == (reasoning or "")
    assert chunks[-1].usage == usage
    channels = {getattr(delta, "channel", None) for delta in deltas if delta.reasoning}
    assert channels == ({"analysis"} if reasoning and asked["model"] == GPT_OSS else {None} if reasoning else set())


async def test_thoughts_before_calls() -> None:
    """A model may think before it calls a tool."""
    reasoned = Reasoned("I have to look.", CallTool("weather"))
    message = (await _ask(lambda _: reasoned, model=GPT_OSS, tools=[WEATHER])).choices[0].message
    assert (message.reasoning, message.content, len(message.tool_calls or ())) == ("I have to look.", None, 1)


async def test_thoughts_use_up_the_tokens() -> None:
    """What a model may write, it thinks first: so an answer may be empty, and paid for."""
    answer = await _ask(lambda _: THOUGHT, model=GPT_OSS, max_completion_tokens=THOUGHTS - 1)
    choice, usage = answer.choices[0], answer.usage
    assert (choice.message.content, choice.finish_reason) == ("", "length")
    assert choice.message.reasoning is not None
    assert THOUGHT.reasoning.startswith(choice.message.reasoning)
    assert usage is not None
    assert usage.completion_tokens == THOUGHTS - 1
    answer = await _ask(lambda _: THOUGHT, model=GPT_OSS, max_completion_tokens=THOUGHTS + 1)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("You", "length")


@pytest.mark.parametrize("fault", [CutOff(after_chunks=1), StoppedEarly(after_chunks=1)])
async def test_faults_count_thoughts(fault: Fault) -> None:
    """A thought is a piece of the stream as any other."""
    chunks = await _stream(lambda _: THOUGHT, fault, model=GPT_OSS)
    assert [choice.delta.reasoning for chunk in chunks for choice in chunk.choices][:3] == (
        [None, "She"] if isinstance(fault, CutOff) else [None, "She", None]
    )
    with pytest.raises(groq.APIError):
        await _stream(lambda _: THOUGHT, ErrorFrame(after_chunks=1), model=GPT_OSS)


async def test_model_that_does_not_reason() -> None:
    """A responder that thinks for a model which cannot is wrong, and is told so."""
    with pytest.raises(groq.BadRequestError, match="this model does not reason"):
        await _ask(lambda _: THOUGHT, model=LLAMA)


@pytest.mark.parametrize("reasoning", ["", "  ", None, 5])
def test_no_thought(reasoning: Any) -> None:
    """Thoughts are a text."""
    with pytest.raises(TypeError, match="reasoning of a Reasoned is a text that is not empty"):
        Reasoned(reasoning, "You are Ada.")
