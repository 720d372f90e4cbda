"""A pipeline that is ready to run."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from stageflow import Pipeline, PipelineCancelled, StageContext, StageExecutionError, StageOutput, stage

seen: ContextVar[str] = ContextVar("seen", default="nothing")


async def echo(ctx: StageContext) -> dict[str, Any]:
    """Give the text back."""
    await asyncio.sleep(0)
    before = seen.get()
    seen.set(str(ctx.snapshot.input_text))
    return {"text": ctx.snapshot.input_text, "before": before, "instance": None}


class Counting:
    """Counts how often this very object was called."""

    def __init__(self) -> None:
        self.calls = 0

    async def execute(self, ctx: StageContext) -> dict[str, Any]:
        """Count."""
        self.calls += 1
        await asyncio.sleep(0)
        return {"calls": self.calls}


async def failing(ctx: StageContext) -> None:
    """Fail."""
    raise ValueError("boom")


async def cancelling(ctx: StageContext) -> StageOutput[Any]:
    """End the run."""
    return StageOutput.cancel("spam")


def test_a_graph_tells_what_it_is() -> None:
    """Name, stages, length, and a repr."""
    graph = Pipeline("chat").with_stage("a", echo).with_stage("b", echo).build()
    assert ("chat", ("a", "b"), 2, "<StageGraph 'chat': 2 stages>") == (
        graph.name,
        graph.stages,
        len(graph),
        repr(graph),
    )


async def test_concurrent_runs_share_a_graph_and_see_nothing_of_each_other() -> None:
    """B4: each has its own inputs, its own instances of classes, its own context variables."""
    graph = Pipeline().with_stage("echo", echo).with_stage("count", Counting).build()
    runs = await asyncio.gather(*(graph.run(input_text=str(number)) for number in range(50)))
    assert [str(number) for number in range(50)] == [results.data("echo")["text"] for results in runs]
    assert {"nothing"} == {results.data("echo")["before"] for results in runs}
    assert {1} == {results.data("count")["calls"] for results in runs}
    assert 50 == len({results.pipeline_run_id for results in runs})


async def test_an_instance_is_shared_between_runs() -> None:
    """As its author was told: it should be stateless."""
    graph = Pipeline().with_stage("count", Counting()).build()
    assert [1, 2] == [(await graph.run()).data("count")["calls"] for _ in range(2)]


async def test_run_raises_what_start_reports() -> None:
    """A failure and a cancellation, both with the results."""
    for runner, error in ((failing, StageExecutionError), (cancelling, PipelineCancelled)):
        graph = Pipeline().with_stage("a", runner).build()
        with pytest.raises(error) as caught:
            await graph.run()
        outcome = await graph.start().outcome()
        assert (error, caught.value.results.status) == (type(outcome.error), outcome.status)


async def test_wrong_arguments_are_refused_before_anything_starts() -> None:
    """By start as by run."""
    graph = Pipeline().with_stage("a", echo).build()
    wrong: Any = "hi"
    with pytest.raises(TypeError, match="takes a PipelineContext or a ContextSnapshot"):
        await graph.run(wrong)
    with pytest.raises(TypeError, match="takes a PipelineContext or a ContextSnapshot"):
        graph.start(wrong)


def test_run_sync_runs_in_an_event_loop_of_its_own() -> None:
    """For scripts."""
    assert "hi" == Pipeline().with_stage("a", echo).build().run_sync(input_text="hi").data("a")["text"]


async def test_run_sync_is_refused_in_async_code() -> None:
    """The error says what to write there, and no coroutine is left unawaited."""
    with pytest.raises(RuntimeError, match=r"use `await pipeline\.run\(\.\.\.\)` there"):
        Pipeline().with_stage("a", echo).build().run_sync()


def test_run_sync_adds_nothing_to_a_stage_s_own_error() -> None:
    """What a stage raises is all that is shown: no other exception is being handled around the run."""

    async def fails() -> None:
        raise KeyError("nmae")

    with pytest.raises(StageExecutionError) as caught:
        Pipeline("p", [stage(fails)]).run_sync()
    cause = caught.value.__cause__
    assert isinstance(cause, KeyError)
    assert (None, None) == (cause.__context__, caught.value.__context__)


def test_start_outside_of_async_code_says_what_to_do() -> None:
    """There is no event loop to run beside."""
    with pytest.raises(RuntimeError, match=r"use `pipeline\.run_sync"):
        Pipeline("p", [stage("echo", echo)]).start()
