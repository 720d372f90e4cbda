"""MockLLM: what it answers, in what pieces, how long it takes, and what it records."""

import asyncio
import pickle
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stageflow.errors import ProviderProtocolError
from stageflow.providers import AnswerInPieces, LLMChunk, LLMRequest, Message, Tool, ToolCall, Usage
from stageflow_mocks import (
    Answer,
    AtCall,
    AtRate,
    CallTool,
    CutOff,
    Exponential,
    Failure,
    Hang,
    Malformed,
    MockLLM,
    Pace,
    RateLimited,
    ScriptError,
    ServerError,
    Uniform,
    UnscriptedCallError,
    echo,
)
from stageflow_mocks.simulation import run, simulated

WEATHER = Tool("weather", "Tells it.", {"type": "object"})


def asks(text="Hi.", **options):
    return LLMRequest((Message("user", text),), **options)


def put_together(chunks):
    answer = AnswerInPieces("mock-llm", "mock-1")
    for chunk in chunks:
        answer.add(chunk)
    return answer.whole()


async def read_into(came, llm):
    async for chunk in llm.stream(asks()):
        came.append(chunk.text)


async def read(llm, request=None):
    return [chunk async for chunk in llm.stream(request or asks())]


@simulated
async def test_one_answer_is_given_to_every_call() -> None:
    """A text alone answers always."""
    llm = MockLLM("Hello.")
    assert ["Hello.", "Hello."] == [(await llm.complete(asks())).text for _ in range(2)]
    assert llm.answers_left is None


@simulated
async def test_a_list_is_answered_in_order() -> None:
    """Each call gets the next answer, and a fault that stands in the list strikes in its place."""
    llm = MockLLM(["One.", RateLimited(2), "Two."])
    assert "One." == (await llm.complete(asks())).text
    with pytest.raises(Exception, match="is limited"):
        await llm.complete(asks())
    assert 1 == llm.answers_left
    assert "Two." == (await llm.complete(asks())).text
    assert 0 == llm.answers_left


@simulated
async def test_a_used_up_list_says_what_was_asked_and_scripted() -> None:
    """The error of a call too many shows the question and the answers."""
    llm = MockLLM(["One.", "Two."])
    for _ in range(2):
        await llm.complete(asks())
    with pytest.raises(UnscriptedCallError) as caught:
        await llm.complete(asks("And now?"))
    assert (
        "Call 3 of mock 'mock-llm' has no answer: all of its 2 answers are used up.\n"
        "  asked:    user: 'And now?'\n"
        "  scripted: Answer('One.'), Answer('Two.')" == str(caught.value)
    )
    assert ("mock-llm", 3) == (caught.value.mock, caught.value.call)
    assert str(caught.value) == str(pickle.loads(pickle.dumps(caught.value)))
    assert "error" == llm.calls[2].ended


@simulated
async def test_patterns_are_tried_in_order() -> None:
    """The first that occurs in the last message answers, whatever its case."""
    llm = MockLLM({r"weather|rain": "It rains.", r"\bmy name is (\w+)": "Hello.", "rain in": "Never."})
    assert "It rains." == (await llm.complete(asks("Is there RAIN in Bergen?"))).text
    assert "Hello." == (await llm.complete(asks("My name is Ada"))).text
    assert "It rains." == (await llm.complete(asks("The weather?"))).text


@simulated
async def test_no_pattern_names_the_nearest() -> None:
    """The error of a text that no pattern fits has the text, all patterns, and the most similar."""
    llm = MockLLM({"wether": "It rains.", "name": "Ada."})
    with pytest.raises(UnscriptedCallError) as caught:
        await llm.complete(LLMRequest((Message("system", "Be kind."), Message("user", "How is the weather?"))))
    assert "no pattern occurs in what was said last. The nearest is 'wether'." in str(caught.value)
    assert "asked:    user: 'How is the weather?', in message 2" in str(caught.value)
    assert "scripted: 'wether', 'name'" in str(caught.value)
    with pytest.raises(UnscriptedCallError) as caught:
        await llm.complete(asks("Zzz"))
    assert "nearest" not in str(caught.value)


@simulated
async def test_long_texts_and_lists_are_cut_in_messages() -> None:
    """The error of a long question and many patterns can still be read."""
    llm = MockLLM({f"pattern{number}": "x" for number in range(20)})
    with pytest.raises(UnscriptedCallError) as caught:
        await llm.complete(asks("a " * 500))
    asked, scripted = str(caught.value).splitlines()[1:]
    assert asked.endswith("a a...")
    assert len(asked) < 120
    assert scripted.endswith("'pattern11' and 8 more")


@simulated
async def test_echo_and_functions() -> None:
    """A function answers from the request; it may be async, and may answer with a fault."""

    async def answers(request):
        await asyncio.sleep(1)
        return ServerError(502) if request.temperature else [CallTool("weather"), CallTool("weather", {"city": "Oslo"})]

    assert "Hi." == (await MockLLM(echo).complete(asks())).text
    llm = MockLLM(answers)
    whole = await llm.complete(asks(tools=(WEATHER,)))
    assert (
        ToolCall("call_1_0", "weather", "{}"),
        ToolCall("call_1_1", "weather", '{"city":"Oslo"}'),
    ) == whole.tool_calls
    with pytest.raises(Exception, match="answered with 502"):
        await llm.complete(asks(temperature=1.0))
    with pytest.raises(
        TypeError, match="returns is a string, a CallTool, a list of them, an Answer, or a fault, not 3"
    ):
        await MockLLM(lambda _request: 3).complete(asks())


@simulated
async def test_tokens_come_by_the_clock() -> None:
    """The first token comes after the latency, each further one after its own time; the end comes with the last."""
    llm = MockLLM("Hello there, friend.", latency=0.5, per_chunk=0.25)
    loop = asyncio.get_running_loop()
    came = [(loop.time(), chunk.text, chunk.finish_reason) async for chunk in llm.stream(asks())]
    assert [(0.5, "Hello", None), (0.75, " there,", None), (1.0, " friend.", None), (1.0, "", "stop")] == came
    (call,) = llm.calls
    assert (0.0, 0.5, 1.0, 3, "ok") == (call.started_at, call.first_chunk_at, call.ended_at, call.chunks, call.ended)
    await llm.complete(asks())
    assert 2.0 == loop.time()


@simulated
async def test_an_empty_answer_takes_the_latency() -> None:
    """Its end comes when its first token would have come."""
    assert "" == (await MockLLM("", latency=2).complete(asks())).text
    assert 2.0 == asyncio.get_running_loop().time()


@simulated
async def test_a_function_is_not_asked_for_what_is_not_said() -> None:
    """Where a fault comes before anything of the answer, nobody makes one."""
    asked = []
    llm = MockLLM(lambda request: asked.append(request) or "Hello there.")
    llm.fail_next(ServerError(), CutOff(1))
    with pytest.raises(Exception, match="500"):
        await llm.complete(asks())
    assert [] == asked
    assert ["Hello"] == [chunk.text for chunk in await read(llm)]
    assert 1 == len(asked)


@simulated
async def test_usage_is_counted_or_scripted() -> None:
    """A token is up to eight characters with the space before them; what is scripted is taken as it is."""
    request = LLMRequest(
        (
            Message("user", "What is the weather?"),
            Message("assistant", "", tool_calls=(ToolCall("1", "weather", '{"a": 1}'),)),
            Message("tool", "Rain.", tool_call_id="1"),
        )
    )
    counted = (await MockLLM("Bring an umbrella, please.").complete(request)).usage
    assert Usage(4 + 3 + 1, 5) == counted
    assert Usage(9, 8, 7) == (await MockLLM(Answer("x", usage=Usage(9, 8, 7))).complete(request)).usage


@simulated
async def test_limits_of_the_request_hold() -> None:
    """`max_tokens` and `stop` cut the answer, and it says so."""
    llm = MockLLM("One two three END four")
    cut = await llm.complete(asks(max_tokens=2))
    assert ("One two", "length", 2) == (cut.text, cut.finish_reason, cut.usage.completion_tokens)
    stopped = await llm.complete(asks(stop=("five", "END")))
    assert ("One two three ", "stop") == (stopped.text, stopped.finish_reason)
    calls = MockLLM(Answer("One two", (CallTool("weather"),), finish_reason="tool_calls"))
    assert "length" == (await calls.complete(asks(tools=(WEATHER,), max_tokens=2))).finish_reason
    exact = await llm.complete(asks(max_tokens=5))
    assert "stop" == exact.finish_reason


@simulated
async def test_finish_reason_is_scripted() -> None:
    """An Answer says why it ends."""
    llm = MockLLM(Answer("I will not say.", finish_reason="content_filter"))
    assert "content_filter" == (await llm.complete(asks())).finish_reason
    assert ("I", "content_filter") == ((cut := await llm.complete(asks(max_tokens=1))).text, cut.finish_reason)


@simulated
async def test_an_answer_that_does_not_fit_is_refused() -> None:
    """A script that calls a tool which is not there, or none where one must be, or answers no JSON, is wrong."""
    calls = MockLLM(CallTool("wether"))
    with pytest.raises(ScriptError, match=r"'wether', which the request does not have. Did you mean 'weather'"):
        await calls.complete(asks(tools=(WEATHER,)))
    with pytest.raises(ScriptError, match="tool_choice is 'none'"):
        await MockLLM(CallTool("weather")).complete(asks(tools=(WEATHER,), tool_choice="none"))
    for choice in ("required", "weather"):
        with pytest.raises(ScriptError, match="is told to call no tool"):
            await MockLLM("Text.").complete(asks(tools=(WEATHER,), tool_choice=choice))
    with pytest.raises(ScriptError, match="no JSON"):
        await MockLLM("Text.").complete(asks(json_schema={"type": "object"}))
    assert '{"a": 1}' == (await MockLLM('{"a": 1}').complete(asks(json_schema={"type": "object"}))).text


@simulated
async def test_who_answers() -> None:
    """The model is the one that was asked for, else the mock's; each request has an id of its own."""
    llm = MockLLM("x", model="m-9", name="fake")
    assert ("m-9", "fake-1") == ((one := await llm.complete(asks())).model, one.request_id)
    assert ("m-1", "fake-2") == ((two := await llm.complete(asks(model="m-1"))).model, two.request_id)


@simulated
async def test_every_call_is_recorded_with_how_it_ended() -> None:
    """Finished, failed, cancelled, closed, cut off, and still running."""
    llm = MockLLM("One two three", per_chunk=1, faults=[AtCall(2, ServerError()), AtCall(5, CutOff(2))])
    request = asks()
    await llm.complete(request)
    with pytest.raises(Exception, match="500"):
        await llm.complete(request)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await llm.complete(request)
    async with aclosing(llm.stream(request)) as chunks:
        await anext(chunks)
    await read(llm)
    last = llm.stream(request)
    await anext(last)
    assert ["ok", "error", "cancelled", "closed", "cut off", "running"] == [call.ended for call in llm.calls]
    assert [3, 0, 2, 1, 2, 1] == [call.chunks for call in llm.calls]
    assert "One two three" == llm.calls[0].answer.text
    assert [None] * 5 == [call.answer for call in llm.calls[1:]]
    assert request is llm.requests[0]
    assert "2. chat at 2 s: error (ProviderServerError) after 0 s, 0 chunks" == str(llm.calls[1])
    assert "6. chat at 5.5 s: running, 1 chunk so far" == str(llm.calls[5])
    await last.aclose()


@simulated
async def test_a_spoilt_answer_is_not_used_up() -> None:
    """Whoever asks again gets the answer that a fault kept back; one that only took longer was given."""
    llm = MockLLM(["One two", "Three"])
    llm.fail_next(ServerError(), CutOff(1), Pace(first_byte=9))
    with pytest.raises(Exception, match="500"):
        await llm.complete(asks())
    assert ["One"] == [chunk.text for chunk in await read(llm)]
    assert "One two" == (await llm.complete(asks())).text
    assert 9.0 == asyncio.get_running_loop().time()
    assert "Three" == (await llm.complete(asks())).text


@simulated
async def test_streams_that_break_the_rules() -> None:
    """What a malformed or cut off stream yields is refused by whoever puts it together, and by `complete`."""
    for fault, why in (
        (CutOff(0), "holds nothing of it"),
        (CutOff(1), "after 1 chunks of text"),
        (CutOff(99), "after 2 chunks of text"),
        (Malformed(), "went on after its end"),
        (Malformed("goes_on"), "went on after its end"),
        (Malformed("no_calls"), "has no call"),
        (Malformed("half_call"), "without an id or a name"),
    ):
        llm = MockLLM("Hello there.")
        llm.fail_next(fault, fault)
        chunks = await read(llm)
        assert all(isinstance(chunk, LLMChunk) for chunk in chunks)
        with pytest.raises(ProviderProtocolError, match=why):
            put_together(chunks)
        with pytest.raises(ProviderProtocolError, match=why):
            await llm.complete(asks())
        assert [fault, fault] == [call.fault for call in llm.calls]
        assert "Hello there." == (await llm.complete(asks())).text


@simulated
async def test_faults_in_the_middle_of_an_answer() -> None:
    """A fault that counts chunks lets so many through, and strikes at the end of an answer that has fewer."""
    for after, texts in ((0, []), (1, ["One"]), (2, ["One", " two"]), (9, ["One", " two"])):
        llm, came = MockLLM("One two"), []
        llm.fail_next(Failure(OSError, after_chunks=after))
        with pytest.raises(OSError, match="fails, as it was told to"):
            await read_into(came, llm)
        assert texts == came


@simulated
async def test_a_hang_lasts_until_somebody_gives_up() -> None:
    """Nothing more comes, for an hour, and the reader's cancellation ends it."""
    llm, came = MockLLM("One two"), []
    llm.fail_next(Hang(after_chunks=1))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(read_into(came, llm), 3600)
    assert ["One"] == came
    assert "cancelled" == llm.calls[0].ended


def _trace(seed, texts, at_once):
    async def trace():
        llm = MockLLM(
            echo, seed=seed, latency=Exponential(0.5, most=4), per_chunk=Uniform(0.01, 0.1), faults=list(RATES)
        )

        async def call(text):
            try:
                return await llm.complete(asks(text))
            except Exception as error:  # noqa: BLE001 - whatever the fault is
                return repr(error)

        if at_once:
            return [await asyncio.gather(*map(call, texts)), [str(call) for call in llm.calls]]
        return [[await call(text) for text in texts], [str(call) for call in llm.calls]]

    return run(trace())


RATES = (AtRate(0.3, RateLimited(1)), AtRate(0.2, CutOff(1)), AtRate(0.1, Malformed()))


@given(st.integers(), st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=8), st.booleans())
def test_the_same_seed_gives_the_same_trace(seed, texts, at_once) -> None:
    """Answers, errors and times are decided by the seed, for calls one after the other and all at once."""
    assert _trace(seed, texts, at_once) == _trace(seed, texts, at_once)


def test_what_overlaps_draws_the_same() -> None:
    """Whether calls overlap changes neither what goes wrong with each nor how long it takes."""
    texts = ["a b c d"] * 20
    one, other = _trace(5, texts, at_once=True), _trace(5, texts, at_once=False)
    assert one[0] == other[0]
    durations = [[line.partition(" s: ")[2] for line in trace[1]] for trace in (one, other)]
    assert durations[0] == durations[1]
    assert _trace(6, texts, at_once=False) != other


@given(st.text(max_size=60), st.integers(1, 9))
def test_a_stream_is_its_answer(text, most) -> None:
    """The chunks make what `complete` returns, and that is the text, cut at its limit."""
    llm = MockLLM(text)

    async def both():
        return put_together(await read(llm, asks(max_tokens=most))), await llm.complete(asks(max_tokens=most))

    streamed, whole = run(both())
    assert (streamed.text, streamed.usage, streamed.finish_reason) == (whole.text, whole.usage, whole.finish_reason)
    assert text.startswith(whole.text)
    assert (whole.text == text) == (whole.finish_reason == "stop")


@pytest.mark.parametrize(
    ("answers", "options", "error", "why"),
    [
        ([], {}, ValueError, "at least one"),
        ({}, {}, ValueError, "at least one"),
        (3, {}, TypeError, "answers is a string, a CallTool"),
        (["x", 3], {}, TypeError, r"answers\[1\] is a string"),
        ([[]], {}, TypeError, r"answers\[0\] is a string"),
        ({"a": None}, {}, TypeError, "The answer to 'a' is a string"),
        ({"(": "x"}, {}, ValueError, r"The pattern '\(' is no regular expression"),
        ({3: "x"}, {}, TypeError, "A pattern is a regular expression"),
        ([Pace()], {}, TypeError, r"answers\[0\] is a Pace"),
        ([Malformed("half_sample")], {}, ValueError, "half_sample"),
        ("x", {"name": ""}, TypeError, "name of a MockLLM"),
        ("x", {"model": ""}, TypeError, "model of a MockLLM"),
        ("x", {"seed": "7"}, TypeError, "seed of a MockLLM"),
        ("x", {"latency": -1}, ValueError, "latency of a MockLLM is a time in seconds"),
        ("x", {"per_chunk": float("nan")}, ValueError, "per_chunk of a MockLLM is a time in seconds"),
        ("x", {"latency": True}, ValueError, "latency of a MockLLM"),
        (
            "x",
            {"faults": AtCall(1, Hang())},
            TypeError,
            "faults of a MockLLM is a list of AtCall and AtRate, not AtCall",
        ),
        ("x", {"faults": {AtCall(1, Hang())}}, TypeError, "faults of a MockLLM is a list"),
        ("x", {"faults": None}, TypeError, "faults of a MockLLM is a list"),
        (lambda: "x", {}, TypeError, "is called with the request, and the function .* is not made for that: too many"),
        (lambda one, two: "x", {}, TypeError, "missing a required argument: 'two'"),
        (object(), {}, TypeError, "not <object object>.$"),
        (CallTool("a", {"x": float("nan")}), {}, TypeError, "arguments of the CallTool 'a' are written as JSON"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(answers, options, error, why) -> None:
    """A script or an option that makes no sense never reaches a run."""
    with pytest.raises(error, match=why):
        MockLLM(answers, **options)


def test_an_answer_checks_what_it_is_made_of() -> None:
    """Wrong fields of an Answer are named."""
    for fields, error, why in (
        ({"text": 3}, TypeError, "text of an Answer"),
        ({"tool_calls": ("x",)}, TypeError, "tool_calls of an Answer"),
        (
            {"tool_calls": (CallTool("t", {"x": object()}),)},
            TypeError,
            "arguments of the CallTool 't' are written as JSON",
        ),
        ({"usage": 3}, TypeError, "usage of an Answer"),
        ({"finish_reason": "stopped"}, ValueError, "Did you mean 'stop'"),
        ({"finish_reason": "tool_calls"}, ValueError, "no_calls"),
    ):
        with pytest.raises(error, match=why):
            Answer(**fields)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((3,), "name of a CallTool is a string that is not empty, not 3"),
        (("",), "name of a CallTool is a string that is not empty"),
        (("weather", 3), "arguments of the CallTool 'weather' are a mapping, or a string, not 3"),
        (("weather", ["Oslo"]), "are a mapping, or a string"),
    ],
)
def test_a_tool_call_has_a_name_and_arguments(arguments, why) -> None:
    """What no model could call is refused when it is written down."""
    with pytest.raises(TypeError, match=why):
        CallTool(*arguments)


@pytest.mark.parametrize("asked", ["Hello?", None, [Message("user", "Hello?")]])
@simulated
async def test_what_is_no_request_is_refused(asked) -> None:
    """The message says what is; nothing is recorded or used up."""
    llm = MockLLM(["x"])
    with pytest.raises(TypeError, match="MockLLM 'mock-llm' is asked with an LLMRequest, not "):
        await llm.complete(asked)
    with pytest.raises(TypeError, match="is asked with an LLMRequest"):
        await anext(llm.stream(asked))
    assert ((), 1) == (llm.calls, llm.answers_left)


@simulated
async def test_no_number_is_no_json() -> None:
    """Python reads NaN as JSON, and nobody else does."""
    with pytest.raises(ScriptError, match="is no JSON"):
        await MockLLM('{"a": NaN}').complete(asks(json_schema={"type": "object"}))


def test_an_answer_is_shown_as_it_was_written() -> None:
    """Without what it did not say."""
    assert "Answer('Hi.')" == repr(Answer("Hi."))
    assert "Answer()" == repr(Answer())
    assert "Answer(finish_reason='stop')" == repr(Answer(finish_reason="stop"))
    assert "Answer(tool_calls=(CallTool(name='a', arguments={}),))" == repr(Answer(tool_calls=[CallTool("a")]))
