"""What a user is told who looks again, goes on too long, or asks too late."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from stageflow import (
    From,
    Pipeline,
    PipelineResults,
    PipelineTimeoutError,
    StageContext,
    StageExecutionError,
    StageOutput,
    Stream,
    stage,
)
from stageflow.errors import InvalidStreamError, StageReturnTypeError, StageTimeoutError, TooLateError
from stageflow_mocks.simulation import simulated


@stage
async def llm() -> AsyncIterator[int]:
    """Yield five chunks."""
    for chunk in range(5):
        yield chunk


@stage
async def last(llm: Stream[int]) -> dict[str, int]:
    """Count them."""
    return {"count": len([chunk async for chunk in llm])}


async def test_a_generator_among_the_data_is_told_how_items_stream() -> None:
    """It cannot be shared, and there is another way to have its items mapped."""

    @stage
    async def source() -> dict[str, Any]:
        return {"items": (number async for number in anything())}

    async def anything() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("test", [source]).run()
    assert isinstance(caught.value.__cause__, StageReturnTypeError)
    assert "Let the stage itself `yield` them: it then streams, and map_over=" in str(caught.value.__cause__)


@simulated
async def test_a_map_that_its_deadline_ends_tells_what_was_done() -> None:
    """The results of the items are in the error, as when an item fails."""

    @stage
    async def source() -> dict[str, Any]:
        return {"items": [0, 1, 2, 3]}

    @stage(map_over=("source", "items"), map_concurrency=1, deadline=2.5)
    async def each(ctx: StageContext) -> dict[str, int]:
        await asyncio.sleep(1)
        return {"item": ctx.item}

    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("test", [source, each]).run()
    error = caught.value.__cause__
    assert isinstance(error, StageTimeoutError)
    assert {0: {"item": 0}, 1: {"item": 1}} == error.completed
    counted = caught.value.results.record("each").statistics["map"]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    assert (3, 2, 0, 1) == (counted["items"], counted["ok"], counted["failed"], counted["cancelled"])


@simulated
async def test_a_stage_that_waits_for_somebody_outside_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever breaks off a loop and keeps the reader holds the run up, and nobody would know."""
    caplog.set_level(logging.WARNING)

    @stage
    async def many() -> AsyncIterator[int]:
        for chunk in range(100):
            yield chunk

    run = Pipeline("test", [many]).start()
    reader = run.stream(many)
    await asyncio.sleep(9)
    assert [] == caplog.messages
    await asyncio.sleep(9)
    (told,) = caplog.messages
    assert told.startswith("Stage 'many' has waited for 10 s until its reader run.stream takes a chunk.")
    await reader.aclose()
    assert 17 == (await run).data(many)["count"]


async def test_a_stage_that_nobody_reads_may_ask_for_a_decision() -> None:
    """It is joined to no other one: nothing is lost when it runs again."""

    @stage
    async def asking(ctx: StageContext) -> AsyncIterator[Any]:
        yield 1
        yield StageOutput.ok({"said": ctx.decision}) if ctx.decision else StageOutput.suspend("May I?")

    pipeline = Pipeline("test", [asking])
    results = await pipeline.start().outcome()
    assert "suspended" == results.status
    again = await pipeline.run(resume=results, decisions={asking: "yes"})
    assert {"said": "yes"} == again.data(asking)


async def test_a_stream_cannot_be_handed_on() -> None:
    """Nor does an attempt to copy it leave anything behind that Python would complain of later."""

    @stage
    async def handing(llm: Stream[int]) -> dict[str, Any]:
        return {"stream": llm}

    with pytest.raises(StageExecutionError, match=r"stageflow\.core\.stream\.Stream, which cannot be copied"):
        await Pipeline("test", [llm, handing]).run()


def test_two_parameters_for_one_stream_do_not_build() -> None:
    """Each would get some of the chunks."""

    @stage
    async def twice(llm: Stream[int], again: Annotated[Stream[int], From("llm")]) -> None:
        """Never run."""

    with pytest.raises(InvalidStreamError, match="has two parameters for the stream of 'llm'"):
        Pipeline("test", [llm, twice]).build()


async def test_what_was_counted_is_still_there_when_a_run_is_resumed() -> None:
    """Of the stages that do not run again."""

    @stage
    async def asking(ctx: StageContext, last: dict[str, int]) -> StageOutput[Any]:
        return StageOutput.ok() if ctx.decision else StageOutput.suspend("May I?")

    pipeline = Pipeline("test", [llm, last, asking])
    results = await pipeline.start().outcome()
    again = await pipeline.run(resume=PipelineResults.from_dict(results.to_dict()), decisions={"asking": "yes"})
    for name in ("llm", "last"):
        assert results.record(name).statistics == again.record(name).statistics
    assert 5 == again.record("llm").statistics["stream"]["sent"]


async def test_a_child_is_too_late_once_the_run_of_its_stage_has_ended() -> None:
    """Nobody would bound it or cancel it."""
    kept: list[StageContext] = []

    @stage
    async def keeping(ctx: StageContext) -> None:
        kept.append(ctx)

    await Pipeline("test", [keeping]).run()
    with pytest.raises(TooLateError, match="wanted to run a child after its run had ended"):
        await kept[0].run_pipeline(Pipeline("child", [llm]))


@simulated
async def test_a_run_that_came_to_a_halt_says_who_held_up_whom() -> None:
    """Two streams that are read one after the other, of which one feeds the other, fill up."""

    @stage
    async def source() -> AsyncIterator[int]:
        for chunk in range(100):
            yield chunk

    @stage
    async def double(source: Stream[int]) -> AsyncIterator[int]:
        async for chunk in source:
            yield 2 * chunk

    @stage
    async def both(source: Stream[int], double: Stream[int]) -> dict[str, int]:
        first = len([chunk async for chunk in source])
        return {"chunks": first + len([chunk async for chunk in double])}

    with pytest.raises(PipelineTimeoutError) as caught:
        await Pipeline("test", [source, double, both], timeout=5).run()
    assert (("source", "double"), ("double", "both")) == caught.value.halted
    assert "'double' waited for its reader 'both' to take a chunk." in caught.value.message
