"""What stays the same for a child: idempotency keys over attempts and resumptions; and how a suspended one goes on."""

import asyncio

import pytest
from stageflow import (
    Pipeline,
    PipelineResults,
    PipelineSuspended,
    RetryPolicy,
    RunIdentity,
    StageContext,
    StageExecutionError,
    StageOutput,
    stage,
)
from stageflow.core.context import StageScope
from stageflow.errors import ResumeError


async def key(ctx: StageContext):
    """Tell the key."""
    return {"key": ctx.idempotency_key}


def keyed(name="inner"):
    """Return a pipeline whose stage tells its key."""
    return Pipeline(name, [stage(key)])


def key_of(results):
    return results.data("key")["key"]


async def asks(ctx: StageContext):
    """Ask a human, once."""
    if ctx.decision is None:
        return StageOutput.suspend({"key": ctx.idempotency_key})
    snapshot = ctx.snapshot
    return {
        "decision": ctx.decision,
        "key": ctx.idempotency_key,
        "text": snapshot.input_text,
        "user": snapshot.run_id.user_id,
    }


def asking(name="inner"):
    """Return a pipeline that suspends until somebody has decided."""
    return Pipeline(name, [stage(asks)])


async def test_the_keys_of_children_say_which_of_them_it_is():
    """By the parent's key, the child's name, and its number among those of that name."""
    asked = RunIdentity("run")

    async def a(ctx: StageContext):
        names = ["x", "y", "x", "x", "y"]
        return {"keys": [key_of(await ctx.run_pipeline(keyed(name))) for name in names]}

    results = await Pipeline("outer").with_stage("a", a).run(run_id=asked)
    assert ["run:a/x:key", "run:a/y:key", "run:a/x#2:key", "run:a/x#3:key", "run:a/y#2:key"] == results.data("a")[
        "keys"
    ]


async def test_no_name_gives_the_key_of_another_child():
    """Names of pipelines may hold anything."""

    async def a(ctx: StageContext):
        names = ["x", "x#2", "x", "x/y", "x%232"]
        return {"keys": [key_of(await ctx.run_pipeline(keyed(name))) for name in names]}

    keys = (await Pipeline("outer").with_stage("a", a).run(run_id=RunIdentity("r"))).data("a")["keys"]
    assert ["r:a/x:key", "r:a/x%232:key", "r:a/x#2:key", "r:a/x%2Fy:key", "r:a/x%25232:key"] == keys


async def test_the_keys_of_grandchildren_begin_with_those_of_their_parents():
    """So they are as unique."""

    async def b(ctx: StageContext):
        return {"key": key_of(await ctx.run_pipeline(keyed("leaf")))}

    async def a(ctx: StageContext):
        inner = Pipeline("inner", [stage(b)])
        return {"keys": [(await ctx.run_pipeline(inner)).data("b")["key"] for _ in range(2)]}

    results = await Pipeline("outer").with_stage("a", a).run(run_id=RunIdentity("r"))
    assert ["r:a/inner:b/leaf:key", "r:a/inner#2:b/leaf:key"] == results.data("a")["keys"]


async def test_the_keys_stay_for_each_attempt():
    """Each counts anew."""
    keys = []

    async def a(ctx: StageContext):
        keys.append([key_of(await ctx.run_pipeline(keyed())) for _ in range(2)])
        if ctx.attempt < 3:
            raise ValueError("again")

    policy = RetryPolicy(max_attempts=3, base_delay=0, retry_on=(ValueError,))
    await Pipeline("outer").with_stage("a", a, retry=policy).run(run_id=RunIdentity("r"))
    assert [["r:a/inner:key", "r:a/inner#2:key"]] * 3 == keys


async def test_children_at_once_have_keys_of_their_own():
    """In the order in which they begin."""

    async def a(ctx: StageContext):
        runs = await asyncio.gather(*(ctx.run_pipeline(keyed()) for _ in range(3)))
        return {"keys": [key_of(run) for run in runs]}

    results = await Pipeline("outer").with_stage("a", a).run(run_id=RunIdentity("r"))
    assert ["r:a/inner:key", "r:a/inner#2:key", "r:a/inner#3:key"] == results.data("a")["keys"]


async def test_the_keys_of_an_item_are_its_own():
    """A child of a mapped stage is one of its item's."""

    async def a(ctx: StageContext):
        keys = []
        for index in range(2):
            item = StageContext(StageScope(ctx._scope, index, None), ctx.stage_name, ctx.inputs)
            keys += [key_of(await item.run_pipeline(keyed())) for _ in range(2)]
        return {"keys": keys}

    keys = (await Pipeline("outer").with_stage("a", a).run(run_id=RunIdentity("r"))).data("a")["keys"]
    assert ["r:a[0]/inner:key", "r:a[0]/inner#2:key", "r:a[1]/inner:key", "r:a[1]/inner#2:key"] == keys


async def test_the_keys_stay_when_the_parent_is_resumed():
    """They begin with the id of the run that all began with."""

    async def a(ctx: StageContext):
        keys = [key_of(await ctx.run_pipeline(keyed())) for _ in range(2)]
        return {"keys": keys} if ctx.decision else StageOutput.suspend({"keys": keys})

    pipeline = Pipeline("outer").with_stage("a", a)
    with pytest.raises(PipelineSuspended) as caught:
        await pipeline.run(run_id=RunIdentity("r"))
    suspended = caught.value.results
    results = await pipeline.run(resume=suspended, decisions={"a": True})
    assert ["r:a/inner:key", "r:a/inner#2:key"] == suspended["a"].data["keys"] == results.data("a")["keys"]
    assert "r" != results.pipeline_run_id


# --- a child that was suspended ----------------------------------------------------------------------------------


async def a(ctx: StageContext):
    """Run a pipeline that may ask; pass the question on, and the answer back."""
    decision = ctx.decision
    try:
        if decision is None:
            child = await ctx.run_pipeline(asking(), input_text="hi")
        else:
            kept = PipelineResults.from_dict(decision["child"])
            child = await ctx.run_pipeline(asking(), resume=kept, decisions={"asks": decision["answer"]})
    except PipelineSuspended as error:
        return StageOutput.suspend({"child": error.results.to_dict(), "question": error.results["asks"].data})
    return child.data("asks")


async def test_a_suspended_child_suspends_its_parent_and_goes_on_with_it(recorder):
    """A stage hands the question up and the answer down; keys, question and tenant are as they were."""
    outer = Pipeline("outer", [stage(a)])
    with pytest.raises(PipelineSuspended) as caught:
        await outer.run(run_id=RunIdentity("r", user_id="u"))
    suspended = PipelineResults.from_dict(caught.value.results.to_dict())  # as it is kept elsewhere
    asked = suspended["a"].data
    assert {"key": "r:a/inner:asks"} == asked["question"]
    decision = {"child": asked["child"], "answer": "yes"}
    results = await outer.run(resume=suspended, decisions={"a": decision}, event_sink=recorder)
    assert {"decision": "yes", "key": "r:a/inner:asks", "text": "hi", "user": "u"} == results.data("a")
    created = [event for event in recorder.events if event["event_type"] == "pipeline.created"][1]
    assert created["parent_run_id"] == results.pipeline_run_id != created["pipeline_run_id"]
    assert created["data"]["resumed_from"] == asked["child"]["pipeline_run_id"]


async def test_a_suspended_child_that_nobody_catches_fails_its_stage():
    """It is the cause, and its results are there."""

    async def lets_pass(ctx: StageContext):
        await ctx.run_pipeline(asking())

    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("outer").with_stage("a", lets_pass).run()
    assert isinstance(caught.value.__cause__, PipelineSuspended)
    assert ("asks",) == caught.value.__cause__.results.suspended()


async def test_a_resumed_child_runs_for_whom_its_parent_runs():
    """Not for whom it was suspended: results of another tenant give nobody its rights."""
    with pytest.raises(PipelineSuspended) as caught:
        await asking().run(run_id=RunIdentity(user_id="somebody else"))
    kept = caught.value.results

    async def resumes(ctx: StageContext):
        child = await ctx.run_pipeline(asking(), resume=kept, decisions={"asks": "yes"})
        return child.data("asks")

    outer = Pipeline("outer").with_stage("a", resumes)
    assert "me" == (await outer.run(run_id=RunIdentity(user_id="me"))).data("a")["user"]
    assert None is (await outer.run()).data("a")["user"]


async def test_a_resumed_child_keeps_its_key_and_no_other_child_gets_it():
    """Whichever of those of its name it was, and whatever else runs before and after it."""

    async def first(ctx: StageContext):
        await ctx.run_pipeline(keyed("inner"))
        with pytest.raises(PipelineSuspended) as caught:
            await ctx.run_pipeline(asking("inner"))
        return StageOutput.suspend({"child": caught.value.results.to_dict()})

    async def stages(ctx: StageContext):
        if ctx.decision is None:
            return await first(ctx)
        kept = PipelineResults.from_dict(ctx.decision["child"])
        keys = []
        if ctx.decision["before"]:
            keys.append(key_of(await ctx.run_pipeline(keyed("inner"))))
        child = await ctx.run_pipeline(asking("inner"), resume=kept, decisions={"asks": 1})
        keys.append(child.data("asks")["key"])
        keys.extend([key_of(await ctx.run_pipeline(keyed("inner"))) for _ in range(2)])
        return {"keys": keys}

    outer = Pipeline("outer").with_stage("a", stages)
    with pytest.raises(PipelineSuspended) as caught:
        await outer.run(run_id=RunIdentity("r"))
    suspended = caught.value.results
    for before, expected in (
        (True, ["r:a/inner:key", "r:a/inner#2:asks", "r:a/inner#3:key", "r:a/inner#4:key"]),
        (False, ["r:a/inner#2:asks", "r:a/inner:key", "r:a/inner#3:key"]),
    ):
        decision = {"child": suspended["a"].data["child"], "before": before}
        results = await outer.run(resume=suspended, decisions={"a": decision})
        assert expected == results.data("a")["keys"]


async def test_the_first_child_resumed_keeps_its_key_too():
    """The next of that name is the second."""

    async def stages(ctx: StageContext):
        if ctx.decision is None:
            with pytest.raises(PipelineSuspended) as caught:
                await ctx.run_pipeline(asking("inner"))
            return StageOutput.suspend({"child": caught.value.results.to_dict()})
        kept = PipelineResults.from_dict(ctx.decision["child"])
        child = await ctx.run_pipeline(asking("inner"), resume=kept, decisions={"asks": 1})
        return {"keys": [child.data("asks")["key"], key_of(await ctx.run_pipeline(keyed("inner")))]}

    outer = Pipeline("outer").with_stage("a", stages)
    with pytest.raises(PipelineSuspended) as caught:
        await outer.run(run_id=RunIdentity("r"))
    kept = caught.value.results
    results = await outer.run(resume=kept, decisions={"a": {"child": kept["a"].data["child"]}})
    assert ["r:a/inner:asks", "r:a/inner#2:key"] == results.data("a")["keys"]


@pytest.mark.parametrize(
    ("fields", "kind", "told"),
    [
        ({}, ResumeError, "waits for a decision, and was given none"),
        ({"decisions": {"asks": 1}, "input_text": "x"}, TypeError, "beside resume= takes no keyword 'input_text'"),
    ],
)
async def test_what_does_not_go_with_resume_is_refused(fields, kind, told):
    """As for any run; errors of ours with their chain."""
    with pytest.raises(PipelineSuspended) as caught:
        await asking().run()
    kept, raised = caught.value.results, []

    async def a(ctx: StageContext):
        with pytest.raises(kind, match=told) as caught:
            await ctx.run_pipeline(asking(), resume=kept, **fields)
        raised.append(caught.value)

    await Pipeline("outer").with_stage("a", a).run()
    assert kind is TypeError or ("outer.a", "inner") == raised[0].chain
