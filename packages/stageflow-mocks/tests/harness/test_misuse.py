"""What a test gets wrong is told to whoever wrote it, and is not taken for what the stage does."""

import asyncio
from typing import Annotated, Any

import pytest
from stageflow import (
    BaseInterceptor,
    From,
    PipelineContext,
    StageContext,
    StageOutput,
    StageStatus,
    Stream,
    clear_event_sink,
    set_event_sink,
    stage,
)
from stageflow.errors import ContractMismatchError
from stageflow.results import RouteResult
from stageflow_mocks import (
    Chunks,
    FakeClock,
    FakeConfig,
    FakeRandom,
    RecordingEventSink,
    make_context,
    make_snapshot,
    run_stage,
)
from stageflow_mocks.simulation import simulated


class Reads:
    name = "reads-a"

    async def execute(self, ctx: StageContext) -> dict[str, Any]:
        return {"k": ctx.inputs.get_from("a", "k")}


class ReadsNothing:
    async def execute(self, ctx: StageContext) -> dict[str, Any]:
        return {}


@stage
async def listens(words: Stream[str]) -> dict[str, Any]:
    return {"words": [word async for word in words]}


@stage
async def asked(input: int) -> dict[str, int]:
    return {"n": input}


@pytest.mark.parametrize(
    ("tested", "inputs", "told"),
    [
        (Reads, [1], r"inputs of run_stage\(\) is a mapping of what dependencies return, by name, not \[1\]"),
        (Reads, make_snapshot(), r"takes the snapshot after the inputs: run_stage\(stage, snapshot=\.\.\.\)"),
        (Reads, {"a": 3}, "gives 3 for 'a', which no stage ends with. Give a mapping, None"),
        (Reads, {"a": ["x"]}, "which no stage ends with"),
        (Reads, {"a": ValueError}, r"It is a class: give ValueError\(\.\.\.\)"),
        (Reads, {"a": KeyboardInterrupt()}, "It ends the program, and not a stage"),
        (Reads, {"a": StageOutput.retry("x")}, "give the StageOutput.ok or StageOutput.fail that it comes to"),
        (stage("x", Reads, dependencies=("a",)), {"a": Chunks("x")}, "'x' does not read 'a' as a stream"),
        (listens, {"words": ["a"]}, r"'listens' reads 'words' as a stream, and inputs= gives it \['a'\]"),
        (listens, {}, r"nothing was given for it.*run_stage\(listens, \{'words': Chunks\('a', 'b'\)\}\)"),
        (listens, {"words": Chunks(1, 2)}, r"takes 'words' as Stream\[str\], and 'words' returns chunks of type int"),
        (asked, {"input": 3}, r"The run's own is in the snapshot: make_snapshot\(input=\.\.\.\)"),
        (stage("x", ReadsNothing, route={"r": "x"}), {"r": Reads()}, "for 'r', which no stage ends with"),
        (stage("x", asked.runner, route={"r": "x"}), {"r": make_snapshot().run_id}, "says with `route`"),
    ],
)
async def test_wrong_inputs_are_told(tested, inputs, told):
    """A stage that was skipped for them would look like one that has nothing to do."""
    with pytest.raises((TypeError, ContractMismatchError), match=told):
        await run_stage(tested, inputs)


async def test_other_arguments_are_told():
    """In the words of run_stage, and not in those of the run behind it."""
    with pytest.raises(TypeError, match=r"snapshot of run_stage\(\) is a ContextSnapshot, not 'hi'. Make one: make_sn"):
        await run_stage(asked, {}, "hi")
    with pytest.raises(TypeError, match=r"snapshot of run_stage\(\) is a ContextSnapshot, not PipelineC.{70}…"):
        await run_stage(asked, {}, PipelineContext())
    with pytest.raises(TypeError, match=r"interceptors of run_stage\(\) is a list: \["):
        await run_stage(asked, interceptors=BaseInterceptor())


@simulated
async def test_who_stops_waiting_stops_the_stage():
    """A test with a time limit leaves no stage behind: it has cleaned up when the test goes on."""
    ended = []

    @stage
    async def hangs() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(1)
            ended.append("cleaned up")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await run_stage(hangs)
    assert ended == ["cleaned up"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_router_goes_where_it_is_told_to():
    """By itself to the stage; a route that is given counts, and its failure is a failure."""
    behind = stage("behind", asked.runner, route={"router": "here"})
    snapshot = make_snapshot(input=1)
    for given in ({}, {"router": None}, {"router": {"why": "x"}}, {"router": RouteResult("here")}):
        assert (await run_stage(behind, given, snapshot)).data == {"n": 1}
    assert (await run_stage(behind, {"router": StageOutput.ok(route="here")}, snapshot)).data == {"n": 1}
    for given in ({"route": "there"}, RouteResult("there"), StageOutput.ok(route="there")):
        output = await run_stage(behind, {"router": given}, snapshot)
        assert (output.status, output.reason) == (
            StageStatus.SKIP,
            "route 'here' was not taken: 'router' chose 'there'",
        )
    for given in (LookupError("lost"), StageOutput.fail("lost"), StageOutput.skip("lost")):
        output = await run_stage(behind, {"router": given}, snapshot)
        assert output.status is StageStatus.SKIP
        assert "lost" in output.reason


async def test_a_stream_breaks_where_it_is_told_to():
    """Whoever has to have it is skipped, and who can do without sees what came before, and the failure."""

    @stage
    async def makes_do(words: Annotated[Stream[str] | None, From("llm")] = None) -> dict[str, Any]:
        heard = []
        try:
            async for word in words:
                heard.append(word)  # noqa: PERF401 - what came before it broke is kept
        except Exception as error:  # noqa: BLE001 - whatever it is called
            heard.append(str(error.__cause__))
        return {"heard": heard}

    broken = Chunks("a", "b", ConnectionError("cut"))
    assert (await run_stage(makes_do, {"llm": broken})).data == {"heard": ["a", "b", "cut"]}
    for given in (broken, ConnectionError("cut")):
        output = await run_stage(listens, {"words": given})
        assert (output.status, output.reason) == (
            StageStatus.SKIP,
            "required stage 'words' failed: ConnectionError: cut",
        )
    assert (await run_stage(listens, {"words": Chunks()})).data == {"words": []}


async def test_the_current_sink_sees_no_stand_ins_either():
    """A sink that is set for all runs sees what one that is given does."""
    sink = RecordingEventSink()
    set_event_sink(sink)
    try:
        await run_stage(Reads, {"a": {"k": 1}})
    finally:
        clear_event_sink()
    sink.assert_sequence(["pipeline.*", "pipeline.*", "stage.reads-a.started", "stage.reads-a.*", "pipeline.*"])


def test_what_is_made_for_tests_says_what_it_takes():
    """A text is no time, no list of pairs, and no settings."""
    wrong = [
        (lambda: FakeClock("1"), "now of a FakeClock is a number of seconds from 0 on, not '1'"),
        (lambda: FakeClock().advance(True), "a number of seconds from 0 on, not True"),
        (lambda: FakeRandom(told=0.5), r"told of a FakeRandom is a list of numbers: \[0.5\]"),
        (lambda: FakeRandom(told="0"), "was told '0'"),
        (lambda: FakeConfig([1]), r"settings of a FakeConfig is a mapping, not \[1\]"),
        (lambda: make_snapshot(userid="ada"), r"takes no 'userid'\. Did you mean 'user_id'\? It takes: run_id, "),
        (lambda: make_snapshot(token="x"), r"takes no 'token'\. It takes: run_id, input_text, "),
        (lambda: make_snapshot(conversation="hi"), "pairs of role and content, not 'h'"),
        (lambda: make_snapshot(conversation=[{"role": "user", "content": "x"}]), "pairs of role and content, not {"),
        (lambda: make_context(inputs=[1]), r"inputs of make_context\(\) is a mapping of .* not \[1\]"),
        (lambda: make_context({"a": {}}), r"stage_name of make_context\(\) is a name, not \{'a': \{\}\}"),
        (lambda: make_context(attempt=0), "attempts count from 1, not 0"),
    ]
    for make, told in wrong:
        with pytest.raises((TypeError, ValueError), match=told):
            make()
