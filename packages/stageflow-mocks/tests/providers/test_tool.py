"""MockTool: what it answers, and which calls it refuses."""

import asyncio

import pytest
from stageflow.errors import ProviderServerError, ToolArgumentsError
from stageflow.providers import Tool, ToolCall
from stageflow_mocks import AtCall, Failure, Hang, MockTool, Pace, ScriptError, ServerError, UnscriptedCallError
from stageflow_mocks.simulation import simulated

IN_SHORT = {"city": "string", "days": "integer"}


def asks(arguments="{}", name="weather"):
    return ToolCall("c1", name, arguments)


def test_its_schema_may_be_written_in_short() -> None:
    """The type of each argument, all of them required; or a schema as it is."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    }
    assert Tool("weather", "Tells it.", schema) == MockTool("weather", "Tells it.", IN_SHORT, answers=[1]).tool
    assert Tool("weather", "", schema) == MockTool("weather", "", schema, answers=[1]).tool
    assert Tool("weather", "") == MockTool("weather", answers=[1]).tool


@simulated
async def test_answers_in_order() -> None:
    """A text as it is, anything else as JSON; a fault may stand among them."""
    tool = MockTool("weather", answers=["Rain.", {"sky": "grün"}, None, Failure(OSError), ["x"]], latency=0.5)
    assert ["Rain.", '{"sky": "grün"}', "null"] == [await tool.call(asks()) for _ in range(3)]
    with pytest.raises(OSError, match="as it was told to"):
        await tool.call(asks())
    assert '["x"]' == await tool.call(asks())
    assert (0, 2.5) == (tool.answers_left, asyncio.get_running_loop().time())
    with pytest.raises(UnscriptedCallError, match=r"all of its 5 answers are used up[^$]*asked: +weather\(\{\}\)"):
        await tool.call(asks())


@simulated
async def test_a_function_answers() -> None:
    """It takes the arguments by their names, and may be async."""

    async def forecast(city, days):
        await asyncio.sleep(1)
        return f"{city}: rain for {days} days."

    tool = MockTool("weather", parameters=IN_SHORT, function=forecast)
    assert "Oslo: rain for 3 days." == await tool.call(asks('{"city": "Oslo", "days": 3}'))
    (call,) = tool.calls
    assert ("call", {"city": "Oslo", "days": 3}, "ok", "Oslo: rain for 3 days.", 1) == (
        call.operation,
        call.request,
        call.ended,
        call.answer,
        call.chunks,
    )
    assert tool.answers_left is None


@simulated
async def test_a_function_may_have_an_argument_of_any_name() -> None:
    """Also of the names that the mock uses inside."""
    tool = MockTool("weather", parameters={"call": "string", "self": "string"}, function=lambda **named: named)
    assert '{"call": "a", "self": "b"}' == await tool.call(asks('{"call": "a", "self": "b"}'))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("{", "are not JSON"),
        ("[]", "are an array, not an object"),
        ("{}", "lack 'city'"),
        ('{"city": "Oslo"}', "lack 'days'"),
        ('{"city": 3, "days": 3}', "have a 'city' that is not of type string"),
        ('{"city": "Oslo", "days": 3.5}', "have a 'days' that is not of type integer"),
        ('{"city": "Oslo", "days": true}', "have a 'days' that is not of type integer"),
        ('{"city": "Oslo", "days": 3, "cty": 1}', "have 'cty', and it takes city, days"),
    ],
)
@simulated
async def test_arguments_that_do_not_fit_are_the_models_mistake(arguments, why) -> None:
    """The error can go back to the model, and no answer is used up."""
    tool = MockTool("weather", "", IN_SHORT, answers=["x"])
    with pytest.raises(ToolArgumentsError) as caught:
        await tool.call(asks(arguments))
    assert why in str(caught.value)
    assert (1, "error") == (tool.answers_left, tool.calls[0].ended)


@simulated
async def test_a_tool_without_parameters_takes_none() -> None:
    """An argument of it is refused; of a schema that leaves them open it is not."""
    with pytest.raises(ToolArgumentsError, match="have 'x', and it takes none"):
        await MockTool("weather", answers=["y"]).call(asks('{"x": 1}'))
    open_schema = {"type": "object", "properties": {"a": {"type": ["string", "null"]}, "b": {}}}
    assert "y" == await MockTool("weather", "", open_schema, answers=["y"]).call(asks('{"x": 1, "a": null, "b": 2}'))


@simulated
async def test_faults_leave_the_answer() -> None:
    """What failed is answered when it is asked again."""
    tool = MockTool("weather", answers=["Rain."], faults=[AtCall(1, ServerError()), AtCall(3, Pace(first_byte=4))])
    with pytest.raises(ProviderServerError, match="Call 1 of mock 'weather' is answered with 500"):
        await tool.call(asks())
    tool.fail_next(Hang(after_chunks=3))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await tool.call(asks())
    assert "Rain." == await tool.call(asks())
    assert 14.0 == asyncio.get_running_loop().time()


@simulated
async def test_a_function_is_not_called_when_it_fails() -> None:
    """A fault strikes before the function does anything."""
    called = []
    tool = MockTool("weather", function=lambda: called.append(1))
    tool.fail_next(Failure(OSError, after_chunks=5))
    with pytest.raises(OSError, match="fails"):
        await tool.call(asks())
    assert [] == called
    assert "null" == await tool.call(asks())
    assert [1] == called


@simulated
async def test_calls_that_are_the_tests_mistake() -> None:
    """Of another tool, or of a function whose answer is no JSON."""
    tool = MockTool("weather", function=lambda: float("nan"))
    with pytest.raises(ScriptError, match=r"is given the call of another tool[^$]*asked: +wether\(\{\}\)"):
        await tool.call(asks(name="wether"))
    with pytest.raises(ScriptError, match="is told to answer what JSON cannot say"):
        await tool.call(asks())


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({}, TypeError, "is given answers or a function, one of the two"),
        ({"answers": ["x"], "function": print}, TypeError, "one of the two"),
        ({"answers": []}, TypeError, "a list of at least one"),
        ({"answers": "x"}, TypeError, "a list of at least one"),
        ({"answers": [Pace()]}, TypeError, r"answers\[0\] is a Pace"),
        ({"function": int}, TypeError, "is a function, not the class int"),
        ({"function": 3}, TypeError, "is a function, not 3"),
        ({"answers": ["x", {1, 2}]}, TypeError, r"answers\[1\] of MockTool 'weather' is a text, what JSON can say"),
        ({"answers": [float("inf")]}, TypeError, r"answers\[0\] of MockTool 'weather'"),
        (
            {"function": lambda city: "x"},
            TypeError,
            "is called with nothing, and .* missing a required argument: 'city'",
        ),
        ({"function": lambda town: "x", "parameters": {"city": "string"}}, TypeError, "is called with city, and "),
        ({"answers": ["x"], "parameters": "string"}, TypeError, "parameters is a JSON Schema, or the type of each"),
        ({"answers": ["x"], "parameters": [("city", "string")]}, TypeError, "parameters is a JSON Schema"),
        ({"answers": ["x"], "parameters": {1: "string"}}, TypeError, "one is 1"),
        ({"answers": ["x"], "parameters": {"type": "object", "properties": ["a"]}}, TypeError, "properties of the"),
        (
            {"answers": ["x"], "parameters": {"type": "object", "required": "a"}},
            TypeError,
            "required of the parameters",
        ),
        ({"answers": ["x"], "parameters": {"properties": {"a": {"type": "sting"}}}}, ValueError, "type of parameters"),
        ({"answers": ["x"], "parameters": {"properties": {"a": {"type": ["null", 3]}}}}, ValueError, "not 3"),
        ({"answers": ["x"], "parameters": {"city": "sting"}}, ValueError, "Did you mean 'string'"),
        ({"answers": ["x"], "parameters": {"city": {"type": "string"}}}, ValueError, r"parameters\['city'\] is one of"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(options, error, why) -> None:
    """A script or a schema that makes no sense never reaches a run."""
    with pytest.raises(error, match=why):
        MockTool("weather", **options)


VALUES = {
    "string": '"a"',
    "integer": "3",
    "number": "3.5",
    "boolean": "true",
    "array": "[1]",
    "object": "{}",
    "null": "null",
}


@pytest.mark.parametrize("kind", VALUES)
@simulated
async def test_each_type_of_json_schema(kind) -> None:
    """In short and in full: values of that type are taken, and no others; whole numbers are numbers, too."""
    taken = {kind, "integer"} if kind == "number" else {kind}
    for parameters in ({"x": kind}, {"type": "object", "properties": {"x": {"type": [kind]}}}):
        for other, value in VALUES.items():
            tool = MockTool("weather", "", parameters, answers=["ok"])
            if other in taken:
                assert "ok" == await tool.call(asks(f'{{"x": {value}}}'))
            else:
                with pytest.raises(ToolArgumentsError, match=f"have a 'x' that is not of type {kind}"):
                    await tool.call(asks(f'{{"x": {value}}}'))


@simulated
async def test_a_type_may_be_one_of_several() -> None:
    """And a whole number is an integer however it is written, as JSON Schema has it."""
    schema = {"properties": {"x": {"type": ["integer", "null"]}, "y": True, "z": {"enum": [1]}}}
    tool = MockTool("weather", "", schema, function=lambda **given: given)
    assert '{"x": null, "y": 1, "z": 2}' == await tool.call(asks('{"x": null, "y": 1, "z": 2}'))
    assert '{"x": 3.0}' == await tool.call(asks('{"x": 3.0}'))
    with pytest.raises(ToolArgumentsError, match="not of type integer or null"):
        await tool.call(asks('{"x": 3.5}'))


def test_arguments_may_be_called_like_parts_of_a_schema() -> None:
    """In short, "type" and "properties" are names like others."""
    tool = MockTool("weather", "", {"type": "string", "properties": "array"}, answers=["x"]).tool
    assert ["type", "properties"] == tool.parameters["required"]


@simulated
async def test_what_is_no_call_is_refused() -> None:
    """The message says what is."""
    with pytest.raises(TypeError, match="MockTool 'weather' is asked with a ToolCall, not 'Oslo'"):
        await MockTool("weather", answers=["x"]).call("Oslo")
