"""One run with more interceptors than its pipeline has."""

import asyncio
import logging

import pytest
from stageflow import BaseInterceptor, Pipeline, StageExecutionError, run_with_interceptors, stage
from stageflow.errors import InvalidInterceptorError


class Recording(BaseInterceptor):
    """Writes down which stages it sees."""

    def __init__(self, name="recording", priority=0):
        self.name = name
        self.priority = priority
        self.seen = []

    async def before(self, ctx):
        self.seen.append(ctx.stage_name)


class Closed(BaseInterceptor):
    async def before(self, ctx):
        raise PermissionError("closed")


@stage
async def greet():
    return {"text": "hello"}


async def test_the_defaults_watch_a_run(caplog):
    """Which the log shows."""
    with caplog.at_level(logging.INFO, logger="stageflow.stages"):
        results = await run_with_interceptors(Pipeline("chat", [greet]), input_text="hi")
    assert {"text": "hello"} == results.data("greet")
    assert 2 == len(caplog.records)


async def test_none_is_none(caplog):
    """An empty tuple adds nothing."""
    with caplog.at_level(logging.DEBUG, logger="stageflow"):
        await run_with_interceptors(Pipeline("chat", [greet]), interceptors=())
    assert [] == caplog.records


@pytest.mark.parametrize("interceptors", [None, (), (Recording(),)])
async def test_those_of_the_pipeline_stay(interceptors):
    """A guard is never taken away."""
    with pytest.raises(StageExecutionError, match="closed"):
        await run_with_interceptors(Pipeline("chat", [greet], interceptors=[Closed()]), interceptors=interceptors)


async def test_the_pipeline_itself_does_not_change():
    """It runs without them the next time; any iterable will do."""
    own, added = Recording("own"), Recording("added")
    pipeline = Pipeline("chat", [greet], interceptors=[own])
    await run_with_interceptors(pipeline, interceptors=iter([added]))
    await pipeline.run()
    assert (["greet", "greet"], ["greet"]) == (own.seen, added.seen)


async def test_a_pipeline_with_more_interceptors_keeps_all_else():
    """Its name, stages and options."""
    added = Recording()
    pipeline = Pipeline("chat", [greet], timeout=5, on_failure="continue").with_interceptors(added)
    assert ("chat", (greet,)) == (pipeline.name, pipeline.stages)
    assert (5, "continue") == (pipeline._options.timeout, pipeline._options.on_failure)
    await pipeline.run()
    assert ["greet"] == added.seen


def test_what_is_no_interceptor_is_refused():
    """Given once more, it is given twice."""
    own = Recording()
    with pytest.raises(InvalidInterceptorError, match="is given twice"):
        Pipeline("chat", [greet], interceptors=[own]).with_interceptors(own)
    with pytest.raises(InvalidInterceptorError, match="takes its interceptors as a tuple or list"):
        asyncio.run(run_with_interceptors(Pipeline("chat", [greet]), interceptors=own))


def test_a_graph_is_refused():
    """It is compiled already."""
    with pytest.raises(
        TypeError, match="takes a Pipeline, not <StageGraph 'chat': 1 stages>: a StageGraph is compiled"
    ):
        asyncio.run(run_with_interceptors(Pipeline("chat", [greet]).build()))
