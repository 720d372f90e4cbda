"""The ids under which others know a run, and the settings that it is given."""

import dataclasses
import json
import pickle

import pytest
from execution.run_stores import Store
from stageflow import (
    BaseInterceptor,
    ConfigProvider,
    ContextSnapshot,
    CorrelationIds,
    Pipeline,
    PipelineContext,
    PipelineSuspended,
    RunIdentity,
    StageContext,
    StageExecutionError,
    StageOutput,
    stage,
)
from stageflow.context.pipeline_context import correlation_of
from stageflow.errors import ProtocolMismatchError
from stageflow.protocols import NoOpConfigProvider
from stageflow_mocks.simulation import simulated


async def tells(ctx: StageContext):
    """Return what the stage sees."""
    ids = ctx.correlation
    return {
        "ids": {"run": ids.run_id, "request": ids.request_id, "trace": ids.trace_id, **ids.extra},
        "model": ctx.config.get("model", "small"),
    }


PIPELINE = Pipeline("p", [stage(tells)])
IDENTITY = RunIdentity("run-1", request_id="req-1")


def below(depth, **fields):
    """Return a pipeline whose stage runs `PIPELINE` so deep below itself, the first child with these fields."""
    inner = PIPELINE if depth == 1 else below(depth - 1)

    async def a(ctx: StageContext):
        return (await ctx.run_pipeline(inner, **fields))[inner.stages[0].name].data

    return Pipeline("outer", [stage(a)])


# --- correlation ------------------------------------------------------------------------------------------------


@simulated
async def test_a_stage_sees_the_ids_of_its_run_where_none_were_given():
    """Its own id, and that of the request."""
    results = await PIPELINE.run(run_id=IDENTITY)
    assert {"run": "run-1", "request": "req-1", "trace": None} == results.data("tells")["ids"]


@simulated
async def test_a_stage_sees_the_ids_that_were_given():
    """Each beats that of the run."""
    given = CorrelationIds("theirs", "req-2", "4bf9", {"order": "17"})
    results = await PIPELINE.run(run_id=IDENTITY, correlation=given)
    assert {"run": "theirs", "request": "req-2", "trace": "4bf9", "order": "17"} == results.data("tells")["ids"]
    results = await PIPELINE.run(ContextSnapshot(run_id=IDENTITY), correlation=CorrelationIds(trace_id="4bf9"))
    assert {"run": "run-1", "request": "req-1", "trace": "4bf9"} == results.data("tells")["ids"]


@pytest.mark.parametrize("depth", [1, 2, 3])
@simulated
async def test_children_share_the_ids_of_the_run_at_the_root(depth):
    """However deep they lie, with given ids and without."""
    results = await below(depth).run(run_id=IDENTITY)
    assert {"run": "run-1", "request": "req-1", "trace": None} == results.data("a")["ids"]
    results = await below(depth).run(run_id=IDENTITY, correlation=CorrelationIds(trace_id="4bf9"))
    assert {"run": "run-1", "request": "req-1", "trace": "4bf9"} == results.data("a")["ids"]


@simulated
async def test_a_child_may_be_given_ids_of_its_own():
    """They replace its parent's as a whole, and hold for what lies below it."""
    pipeline = below(2, correlation=CorrelationIds(extra={"order": "18"}))
    results = await pipeline.run(run_id=IDENTITY, correlation=CorrelationIds(trace_id="4bf9"))
    assert {"run": "run-1", "request": "req-1", "trace": None, "order": "18"} == results.data("a")["ids"]


@simulated
async def test_the_first_event_tells_the_ids_that_were_given(recorder):
    """With what the run fills in, and without secrets; if none were given, there is nothing to tell."""
    given = CorrelationIds(trace_id="4bf9", extra={"password": "hunter22"})
    await PIPELINE.run(run_id=IDENTITY, correlation=given, event_sink=recorder)
    told = recorder.of("pipeline.created")["data"]["correlation"]
    assert "[redacted" in told.pop("extra")["password"]
    assert {"run_id": "run-1", "request_id": "req-1", "trace_id": "4bf9"} == told
    assert "hunter22" not in json.dumps(recorder.events)
    recorder.events.clear()
    await PIPELINE.run(event_sink=recorder)
    assert {"pipeline": "p", "stages": 1} == recorder.of("pipeline.created")["data"]


@simulated
async def test_a_run_that_goes_on_has_the_ids_that_it_is_given():
    """It is a run of its own: they are no part of what the suspended one was asked."""

    async def asks(ctx: StageContext):
        if ctx.decision is None:
            return StageOutput.suspend({"question": "may I?"})
        return {"run": ctx.correlation.run_id, "trace": ctx.correlation.trace_id, "model": ctx.config.get("model")}

    pipeline = Pipeline("p", [stage(asks)])
    with pytest.raises(PipelineSuspended) as caught:
        await pipeline.run(correlation=CorrelationIds(trace_id="old"), config={"model": "small"})
    given = {"correlation": CorrelationIds(trace_id="new"), "config": {"model": "large"}}
    for context, fields in ((None, given), (PipelineContext(**given), {})):
        results = await pipeline.run(context, resume=caught.value.results, decisions={"asks": 1}, **fields)
        found = {"run": results.pipeline_run_id, "trace": "new", "model": "large"}
        assert found == results.data("asks")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"run_id": 5}, "run_id of CorrelationIds is a string, not 5."),
        ({"request_id": b"r"}, "request_id of CorrelationIds is a string, not b'r'."),
        ({"trace_id": ["t"]}, "trace_id of CorrelationIds is a string, not ['t']."),
        ({"extra": "order"}, "extra of CorrelationIds is a mapping of strings, not 'order'."),
        ({"extra": {"order": 17}}, "extra of CorrelationIds is a mapping of strings; it has 17 as 'order'."),
        ({"extra": {17: "order"}}, "extra of CorrelationIds is a mapping of strings; it has 'order' as 17."),
    ],
)
def test_ids_are_texts(fields, text):
    """Anything else would be found by whoever reads them, far away."""
    with pytest.raises(TypeError) as caught:
        CorrelationIds(**fields)
    assert text == str(caught.value)


def test_ids_cannot_be_changed():
    """Neither the fields, nor the mapping, nor through the one that was given."""
    given = {"order": "17"}
    ids = CorrelationIds(extra=given)
    given["order"] = "18"
    with pytest.raises(TypeError, match="frozen"):
        ids.extra["order"] = "19"
    with pytest.raises(dataclasses.FrozenInstanceError):
        ids.run_id = "r"
    assert {"order": "17"} == ids.extra


def test_ids_are_a_value():
    """Equal by their fields, and pickled, copied and written as other dataclasses are."""
    ids = CorrelationIds("r", "q", "t", {"order": "17"})
    assert ids == CorrelationIds("r", "q", "t", {"order": "17"}) == pickle.loads(pickle.dumps(ids))
    assert ids != dataclasses.replace(ids, extra={})
    assert {"run_id": "r", "request_id": "q", "trace_id": "t", "extra": {"order": "17"}} == dataclasses.asdict(ids)


def test_only_correlation_ids_are_taken():
    """A mapping is what somebody tries first."""
    with pytest.raises(TypeError) as caught:
        PipelineContext(correlation={"trace_id": "t"})
    assert str(caught.value) == (
        "The correlation of a run is a CorrelationIds, not {'trace_id': 't'}. "
        "Write correlation=CorrelationIds(trace_id='...', extra={'order': '...'})."
    )


def test_a_context_tells_the_ids_of_a_run_to_interceptors():
    """As `correlation_of` does."""
    snapshot = ContextSnapshot(run_id=IDENTITY)
    assert CorrelationIds("run-1", "req-1") == correlation_of(PipelineContext(snapshot=snapshot))


# --- config -----------------------------------------------------------------------------------------------------


class Settings:
    """Answers with the key itself."""

    def get(self, key, default=None):
        return f"of {key}"


class Broken:
    def get(self, key, default=None):
        raise ConnectionError("settings are down")


@simulated
async def test_a_stage_reads_settings():
    """Of a provider, of a dict, or the defaults where there are none."""
    assert "of model" == (await PIPELINE.run(config=Settings())).data("tells")["model"]
    assert "large" == (await PIPELINE.run(config={"model": "large"})).data("tells")["model"]
    assert "small" == (await PIPELINE.run(config={})).data("tells")["model"]
    assert "small" == (await PIPELINE.run()).data("tells")["model"]
    assert "small" == (await PIPELINE.run(config=NoOpConfigProvider())).data("tells")["model"]
    assert "of model" == (await PIPELINE.run(PipelineContext(config=Settings()))).data("tells")["model"]


@simulated
async def test_children_read_the_settings_of_their_parents():
    """Unless the call gives others."""
    assert "of model" == (await below(2).run(config=Settings())).data("a")["model"]
    assert "own" == (await below(2, config={"model": "own"}).run(config=Settings())).data("a")["model"]
    assert "small" == (await below(2, config=NoOpConfigProvider()).run(config=Settings())).data("a")["model"]


@simulated
async def test_interceptors_read_settings():
    """Where there are none, too."""
    seen = []

    class Reads(BaseInterceptor):
        name = "reads"

        async def before(self, ctx):
            seen.append(ctx.run.config.get("model", "none"))

    pipeline = PIPELINE.with_interceptors(Reads())
    await pipeline.run(config=Settings())
    await pipeline.run()
    assert ["of model", "none"] == seen


@simulated
async def test_settings_that_cannot_be_read_fail_the_stage():
    """It asked, and has no answer."""
    with pytest.raises(StageExecutionError, match="ConnectionError: settings are down") as caught:
        await PIPELINE.run(config=Broken())
    assert "tells" == caught.value.stage


def test_settings_that_do_not_fit_are_refused():
    """When they are given, with the method as it should be."""

    class Async:
        async def get(self, key, default=None):
            return None

    class NoDefault:
        def get(self, key):
            return None

    for given in (Async(), NoDefault(), ["model"], Settings):
        with pytest.raises(ProtocolMismatchError, match="The config of a run") as caught:
            PipelineContext(config=given)
    with pytest.raises(ProtocolMismatchError, match=r"def get\(self, key: str, default: Any = None, /\)") as caught:
        PIPELINE.run_sync(config=NoDefault())
    assert isinstance(caught.value, TypeError)


def test_what_fits_is_a_provider():
    """As `isinstance` sees it."""
    assert isinstance({}, ConfigProvider)
    assert isinstance(Settings(), ConfigProvider)


@pytest.mark.parametrize("keyword", ["run_store", "config", "correlation"])
@simulated
async def test_a_child_checks_what_it_is_given(keyword):
    """Before it begins; the failure is that of the stage that gave it."""
    store = Store()
    with pytest.raises(StageExecutionError, match=f"The {keyword} of a run"):
        await below(1, **{keyword: 5}).run(run_store=store)
    assert ["created", "running", "failed"] == store.tried
