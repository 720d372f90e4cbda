"""Runs that stages start: what a child is given, what it leaves behind, and what it raises."""

import asyncio
import gc
import pickle
import traceback
import weakref
from contextvars import ContextVar

import pytest
from stageflow import (
    NoOpEventSink,
    Pipeline,
    PipelineCancelled,
    PipelineResults,
    PipelineSuspended,
    PipelineTimeoutError,
    RetryPolicy,
    RunIdentity,
    StageContext,
    StageExecutionError,
    StageOutput,
    clear_event_sink,
    set_event_sink,
    stage,
)
from stageflow.capabilities import NO_PORTS
from stageflow.context.limits import Limits
from stageflow.context.parent import MOST_DEEP
from stageflow.core.context import StageScope
from stageflow.errors import InputContractError, LimitDeadlockError, PipelineDepthError, UnknownDependencyError
from stageflow_mocks.simulation import simulated

color = ContextVar("color", default="none")


def child(*runners, name="inner", **options):
    """Return a pipeline of these functions, each a stage."""
    return Pipeline(name, [stage(runner) for runner in runners], **options)


def parent(runner, name="outer", **options):
    """Return a pipeline with the stage `a`."""
    return Pipeline(name, **options).with_stage("a", runner)


def running(pipeline, **fields):
    """Return a stage that runs the pipeline and keeps its results."""

    async def a(ctx: StageContext):
        a.results = await ctx.run_pipeline(pipeline, **fields)
        return {"status": a.results.status}

    return a


async def echo(ctx: StageContext):
    """Tell what the run was asked and given."""
    snapshot = ctx.snapshot
    return {
        "text": snapshot.input_text,
        "input": snapshot.input,
        "metadata": snapshot.metadata,
        "transport": snapshot.transport,
        "key": ctx.idempotency_key,
        "decision": ctx.decision,
    }


async def fails():
    """Fail."""
    raise KeyError("x")


class Seen:
    """A stage that keeps what it saw of its run."""

    async def execute(self, ctx: StageContext):
        """Look."""
        self.identity = ctx.snapshot.run_id
        self.ports = ctx.ports
        self.sink = ctx.event_sink
        self.context = ctx._scope.context


# --- what it is given --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("built", [False, True])
async def test_a_child_runs_and_gives_its_results(built):
    """A Pipeline or a StageGraph, asked what the call says."""
    inner = child(echo)
    a = running(inner.build() if built else inner, input_text="hi", input={"n": 1}, metadata={"m": 2}, transport="sms")
    results = await parent(a).run(input_text="something else", metadata={"other": 3})
    assert ({"status": "completed"}, "completed") == (results.data("a"), results.status)
    assert type(a.results) is PipelineResults
    data = a.results.data("echo")
    assert ("hi", {"n": 1}, {"m": 2}, "sms") == (data["text"], data["input"], data["metadata"], data["transport"])


async def test_nothing_of_the_parents_question_is_inherited():
    """A child is asked what the call says, and nothing else."""
    a = running(child(echo))
    await parent(a).run(input_text="hi", input=1, metadata={"m": 2}, transport="sms")
    data = a.results.data("echo")
    assert (None, None, {}, None) == (data["text"], data["input"], data["metadata"], data["transport"])


@pytest.mark.parametrize("other", ["inner", None, Pipeline, 3], ids=str)
async def test_something_else_than_a_pipeline_is_refused(other):
    """The error says what is taken."""

    async def a(ctx: StageContext):
        with pytest.raises(TypeError, match=r"ctx\.run_pipeline\(\) takes a Pipeline or a StageGraph, not "):
            await ctx.run_pipeline(other)

    await parent(a).run()


async def test_the_identity_is_the_parents_with_an_id_of_its_own():
    """Same user and tenant, another run."""
    seen = Seen()
    asked = RunIdentity(request_id="r", session_id="s", user_id="u", org_id="o", interaction_id="i")
    a = running(Pipeline("inner", [stage("seen", seen)]))
    await parent(a).run(run_id=asked)
    names = ("request_id", "session_id", "user_id", "org_id", "interaction_id")
    assert ["r", "s", "u", "o", "i"] == [getattr(seen.identity, name) for name in names]
    assert asked.pipeline_run_id != seen.identity.pipeline_run_id == a.results.pipeline_run_id
    assert "7" == a.results.pipeline_run_id[14]


@pytest.mark.parametrize("name", ["request_id", "session_id", "user_id", "org_id", "interaction_id"])
async def test_each_id_alone_is_handed_down(name):
    """Whichever of them the application uses."""
    seen = Seen()
    await parent(running(Pipeline("inner", [stage("seen", seen)]))).run(run_id=RunIdentity(**{name: "mine"}))
    assert "mine" == getattr(seen.identity, name)


async def test_a_run_without_ids_has_children_with_runs_of_their_own():
    """Each has another id."""
    inner = child(echo)

    async def a(ctx: StageContext):
        runs = [await ctx.run_pipeline(inner) for _ in range(3)]
        return {"ids": [ctx.snapshot.run_id.pipeline_run_id, *(run.pipeline_run_id for run in runs)]}

    assert 4 == len(set((await parent(a).run()).data("a")["ids"]))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"run_id": RunIdentity()}, "takes no run_id: a child runs for whom its parent runs"),
        ({"input_txt": "x"}, "takes no keyword 'input_txt'. Did you mean 'input_text'"),
        ({"decisions": {"b": 1}}, "goes with run_pipeline"),
        ({"event_sink": 3}, "The event sink is not an EventSink, but 3: "),
    ],
)
async def test_wrong_keywords_are_refused(fields, told):
    """Before anything of the child runs."""
    ran = []

    async def never():
        ran.append(True)

    async def a(ctx: StageContext):
        with pytest.raises(TypeError) as caught:
            await ctx.run_pipeline(child(never), **fields)
        assert told in str(caught.value)

    await parent(a).run()
    assert [] == ran


async def test_ports_limits_and_sink_are_the_parents(recorder):
    """The same objects, also further down."""
    seen, ports, limits = Seen(), object(), Limits({"groq": 1})
    inner = parent(running(Pipeline("leaf", [stage("seen", seen)])), name="inner")
    await parent(running(inner)).run(ports=ports, limits=limits, event_sink=recorder)
    assert (True, True, True) == (seen.ports is ports, seen.context.limits is limits, seen.sink is recorder)


async def test_a_call_can_give_others(recorder):
    """Ports, limits and a sink for this child alone; no ports is also something to give."""
    seen, ports, limits, other = Seen(), object(), Limits({"groq": 1}), type(recorder)()
    inner = Pipeline("inner", [stage("seen", seen)])
    given = {"ports": object(), "limits": Limits({"groq": 2}), "event_sink": other}
    await parent(running(inner, **given)).run(ports=ports, limits=limits, event_sink=recorder)
    assert (given["ports"], given["limits"], other) == (seen.ports, seen.context.limits, seen.sink)
    assert {"outer"} == {
        event["data"]["pipeline"] for event in recorder.events if event["stage"] is None if event["data"]
    }
    await parent(running(inner, ports=None, limits=None, event_sink=None)).run(
        ports=ports, limits=limits, event_sink=recorder
    )
    assert (NO_PORTS, limits, recorder) == (seen.ports, seen.context.limits, seen.sink)


async def test_an_empty_sink_is_a_sink(recorder):
    """A sink that is a container may be empty when it is given."""

    class Kept(type(recorder)):
        def __len__(self):
            return len(self.events)

    other = Kept()
    await parent(running(child(echo), event_sink=other)).run(event_sink=recorder)
    assert "pipeline.created" == other.types[0]


async def test_the_sink_of_the_context_is_the_childs_too(recorder):
    """As it was when the parent began: what a stage sets in between is for others."""
    other = type(recorder)()

    async def a(ctx: StageContext):
        set_event_sink(other)
        await ctx.run_pipeline(child(echo))

    set_event_sink(recorder)
    try:
        await parent(a).run()
    finally:
        clear_event_sink()
    assert 2 == recorder.types.count("pipeline.created")
    assert [] == other.events


async def test_a_parent_without_a_sink_has_children_without_one(recorder):
    """Also if there is another current sink by then."""
    seen = Seen()

    async def a(ctx: StageContext):
        set_event_sink(recorder)
        await ctx.run_pipeline(Pipeline("inner", [stage("seen", seen)]))

    await parent(a).run()
    assert ([], NoOpEventSink) == (recorder.events, type(seen.sink))


async def test_a_child_sees_the_context_variables_of_its_stage():
    """And sets none of them for the stage."""

    async def look():
        before = color.get()
        color.set("blue")
        return {"before": before}

    async def a(ctx: StageContext):
        color.set("red")
        results = await ctx.run_pipeline(child(look))
        return {"before": results.data("look")["before"], "after": color.get()}

    results = await parent(a).run()
    assert {"before": "red", "after": "red"} == results.data("a")


async def test_a_parents_max_concurrency_is_not_the_childs():
    """A child uses the slot of its parent, and bounds its own stages."""

    async def one():
        await asyncio.sleep(0)

    inner = Pipeline("inner", [stage(f"s{n}", one) for n in range(3)], max_concurrency=2)
    results = await parent(running(inner), max_concurrency=1).run()
    assert "completed" == results.status


# --- events ------------------------------------------------------------------------------------------------------


async def test_the_events_of_a_child_carry_its_own_and_its_parents_id(recorder):
    """Each run counts for itself, without gaps; a grandchild's parent is the child."""
    inner = parent(running(child(echo, name="leaf")), name="inner")
    asked = RunIdentity(user_id="u", org_id="o")
    await parent(running(inner)).run(event_sink=recorder, run_id=asked)
    by_run = {}
    for event in recorder.events:
        by_run.setdefault(event["pipeline_run_id"], []).append(event)
    root, middle, leaf = by_run
    assert asked.pipeline_run_id == root
    assert [{None}, {root}, {middle}] == [{event["parent_run_id"] for event in by_run[run]} for run in by_run]
    for events in by_run.values():
        assert list(range(1, len(events) + 1)) == [event["sequence"] for event in events]
        assert {("u", "o")} == {(event["user_id"], event["org_id"]) for event in events}
    assert {"pipeline": "outer", "stages": 1} == by_run[root][0]["data"]
    assert {"pipeline": "inner", "stages": 1, "parent_stage": "a", "depth": 2} == by_run[middle][0]["data"]
    assert {"pipeline": "leaf", "stages": 1, "parent_stage": "a", "depth": 3} == by_run[leaf][0]["data"]


async def test_a_reader_of_the_parents_events_sees_the_parents_alone():
    """A child without a sink emits nothing."""
    emitters = []

    async def look(ctx: StageContext):
        emitters.append(ctx._scope.emitter)

    run = parent(running(child(look))).start()
    types = [event.event_type async for event in run.events()]
    await run
    started = ["pipeline.created", "pipeline.started", "stage.a.started"]
    assert [*started, "stage.a.completed", "pipeline.completed"] == types
    assert [None] == emitters


# --- what it raises ----------------------------------------------------------------------------------------------


async def test_what_the_child_raises_is_raised_as_it_is_with_its_chain():
    """A stage can catch it like that of any run."""
    caught = []

    async def a(ctx: StageContext):
        try:
            await ctx.run_pipeline(child(fails))
        except StageExecutionError as error:
            caught.append(error)

    await parent(a).run()
    (error,) = caught
    assert ("fails", "inner", ("outer.a", "inner.fails")) == (error.stage, error.pipeline, error.chain)
    assert "Stage 'fails' of pipeline 'inner' failed: KeyError: 'x'" == str(error)
    assert ["In a child run of outer.a."] == error.__notes__
    assert "failed" == error.results.status
    assert isinstance(error.__cause__, KeyError)


async def test_the_chain_reaches_through_all_levels():
    """Each level says in one line where it began and with what; the causes are all there."""
    inner = Pipeline("inner").with_stage("b", running(child(fails, name="leaf")))
    with pytest.raises(StageExecutionError) as caught:
        await parent(running(inner)).run()
    outer = caught.value
    middle, leaf = outer.__cause__, outer.__cause__.__cause__
    assert "Stage 'a' of pipeline 'outer' failed in its child inner.b > leaf.fails: KeyError: 'x'" == str(outer)
    assert "Stage 'b' of pipeline 'inner' failed in its child leaf.fails: KeyError: 'x'" == str(middle)
    assert "Stage 'fails' of pipeline 'leaf' failed: KeyError: 'x'" == str(leaf)
    assert [("outer.a", "inner.b", "leaf.fails")] * 3 == [error.chain for error in (outer, middle, leaf)]
    assert ["KeyError: 'x'"] * 3 == [error.detail for error in (outer, middle, leaf)]
    assert [False, False, True] == [hasattr(error, "__notes__") for error in (outer, middle, leaf)]
    assert ["In a child run of outer.a > inner.b."] == leaf.__notes__


async def test_a_stage_that_raises_something_else_ends_the_chain():
    """What led to it is in its cause."""

    async def a(ctx: StageContext):
        try:
            await ctx.run_pipeline(child(fails))
        except StageExecutionError as error:
            raise RuntimeError("no answer") from error

    with pytest.raises(StageExecutionError, match="Stage 'a' of pipeline 'outer' failed: RuntimeError") as caught:
        await parent(a).run()
    assert ("outer.a",) == caught.value.chain
    assert ("outer.a", "inner.fails") == caught.value.__cause__.__cause__.chain


async def test_an_error_of_another_run_is_no_error_of_a_child():
    """A stage that runs a pipeline by itself, without a parent, raises what that raised as its own."""

    async def a():
        await child(fails).run()

    with pytest.raises(StageExecutionError) as caught:
        await parent(a).run()
    assert (("outer.a",), ("inner.fails",)) == (caught.value.chain, caught.value.__cause__.chain)
    assert str(caught.value).startswith("Stage 'a' of pipeline 'outer' failed: Stage 'fails' of pipeline 'inner'")


async def test_tries_and_the_child_are_told_together():
    """Each attempt has run it."""
    outer = Pipeline("outer").with_stage(
        "a", running(child(fails)), retry=RetryPolicy(max_attempts=2, base_delay=0, retry_on=(StageExecutionError,))
    )
    with pytest.raises(StageExecutionError) as caught:
        await outer.run()
    assert "Stage 'a' of pipeline 'outer' failed after 2 attempts, in its child inner.fails: KeyError: 'x'" == str(
        caught.value
    )


async def test_every_failure_of_the_child_has_its_chain():
    """Of several, each leads to its own stage."""

    async def also():
        raise ValueError("y")

    with pytest.raises(StageExecutionError) as caught:
        await parent(running(child(fails, also, on_failure="continue"))).run()
    failures = caught.value.__cause__.failures
    assert [("outer.a", "inner.fails"), ("outer.a", "inner.also")] == [failure.chain for failure in failures]


async def cancels():
    """End the run."""
    return StageOutput.cancel("spam")


async def asks():
    """Ask a human."""
    return StageOutput.suspend({"question": "send it?"})


async def sleeps():
    """Take long."""
    await asyncio.sleep(60)


def unbuilt():
    """Return a pipeline that cannot be built."""
    return Pipeline("inner").with_stage("b", echo, dependencies="nobody")


@pytest.mark.parametrize(
    ("inner", "fields", "kind", "last"),
    [
        (child(cancels), {}, PipelineCancelled, "inner.cancels"),
        (child(asks), {}, PipelineSuspended, "inner"),
        (child(sleeps, timeout=1), {}, PipelineTimeoutError, "inner"),
        (unbuilt(), {}, UnknownDependencyError, "inner"),
        (child(echo, input=int), {"input": "x"}, InputContractError, "inner"),
    ],
    ids=["cancelled", "suspended", "late", "unbuilt", "wrong input"],
)
def test_whatever_a_child_raises_has_a_chain(inner, fields, kind, last):
    """Caught or not, with the same text wherever it is told; it fails the stage that lets it pass."""
    caught = []

    async def a(ctx: StageContext):
        try:
            await ctx.run_pipeline(inner, **fields)
        except kind as error:
            caught.append(error)
            raise

    @simulated
    async def run():
        with pytest.raises(StageExecutionError) as raised:
            await parent(a).run()
        return raised.value

    outer = run()
    (error,) = caught
    assert outer.__cause__ is error
    assert [("outer.a", last)] * 2 == [error.chain, outer.chain]
    assert ["In a child run of outer.a."] == error.__notes__
    assert f"Stage 'a' of pipeline 'outer' failed in its child {last}: {error}" == str(outer)


async def test_the_chain_of_a_run_without_children_is_its_own_stage():
    """Nothing is noted then."""
    for runner, kind, chain in (
        (fails, StageExecutionError, ("outer.a",)),
        (cancels, PipelineCancelled, ("outer.a",)),
        (asks, PipelineSuspended, ("outer",)),
    ):
        with pytest.raises(kind) as caught:
            await parent(runner).run()
        assert (chain, False) == (caught.value.chain, hasattr(caught.value, "__notes__"))


async def test_the_chain_and_its_note_survive_pickling():
    """On every level."""
    inner = Pipeline("inner").with_stage("b", running(child(fails, name="leaf")))
    with pytest.raises(StageExecutionError) as caught:
        await parent(running(inner)).run()
    copy = pickle.loads(pickle.dumps(caught.value))
    leaf = copy.__cause__.__cause__
    assert [caught.value.chain] * 2 == [copy.chain, leaf.chain]
    assert (str(caught.value), ["In a child run of outer.a > inner.b."]) == (str(copy), leaf.__notes__)
    assert caught.value.results == copy.results


async def test_the_record_of_the_stage_has_the_childs_error():
    """As of whatever else a stage raises."""
    with pytest.raises(StageExecutionError) as caught:
        await parent(running(child(fails))).run()
    info = caught.value.results["a"].error
    assert ("stage-failed", caught.value.__cause__) == (info.code, info.exception)


# --- how deep ----------------------------------------------------------------------------------------------------


def nested(levels):
    """Return a pipeline in which runs lie so deep, and what each of them counted."""
    depths = []

    async def a(ctx: StageContext):
        above = ctx._scope.context.parent
        depth = 1 if above is None else above.depth
        depths.append(depth)
        if depth < levels:
            await ctx.run_pipeline(again)

    again = Pipeline("again").with_stage("a", a)
    return again, depths


async def test_runs_lie_sixteen_deep_and_no_deeper():
    """The root counts."""
    pipeline, depths = nested(MOST_DEEP)
    await pipeline.run()
    assert (16, list(range(1, 17))) == (MOST_DEEP, depths)
    pipeline, depths = nested(MOST_DEEP + 1)
    with pytest.raises(StageExecutionError):
        await pipeline.run()
    assert list(range(1, 17)) == depths


async def test_a_pipeline_that_starts_itself_without_end_says_so():
    """By a typed error, and no level repeats what those below it have said."""
    pipeline, _ = nested(1_000)
    with pytest.raises(StageExecutionError) as caught:
        await pipeline.run()
    error = caught.value
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    deep = causes.pop()
    assert (PipelineDepthError, "again", 17, 16) == (type(deep), deep.pipeline, deep.depth, deep.most)
    assert [("again.a",) * 16] * 2 == [deep.chain, error.chain]
    assert 16 == len(causes)
    assert f"Stage 'a' of pipeline 'again' failed in its child again.a (15 times): {deep}" == str(error)
    text = "".join(traceback.format_exception(error))
    assert len(text.splitlines()) < 200
    assert max(map(len, text.splitlines())) < 400
    copy = pickle.loads(pickle.dumps(error))
    assert (error.chain, str(error)) == (copy.chain, str(copy))


async def test_side_by_side_is_not_deep():
    """Any number of children after each other, or at once."""
    inner = child(echo)

    async def a(ctx: StageContext):
        for _ in range(20):
            await ctx.run_pipeline(inner)
        await asyncio.gather(*(ctx.run_pipeline(inner) for _ in range(20)))

    assert "completed" == (await parent(a).run()).status


# --- limits ------------------------------------------------------------------------------------------------------


class Permit:
    """Keeps what is done with it."""

    def __init__(self, log):
        self.log = log

    def lend(self):
        self.log.append("lend")

    async def regain(self):
        await asyncio.sleep(1)
        self.log.append("regain")


def with_permit(log, inner, **fields):
    """Return a stage that holds a permit while it runs the pipeline."""

    async def a(ctx: StageContext):
        scope = StageScope(ctx._scope)
        scope.permit = Permit(log)
        ctx._scope = scope
        try:
            await ctx.run_pipeline(inner, **fields)
        finally:
            log.append("after")

    return a


def logging(log, then=None):
    """Return a stage that notes that it runs."""

    async def b():
        log.append("child")
        await asyncio.sleep(5)
        if then is not None:
            raise then

    return b


@simulated
async def test_a_permit_is_lent_while_the_child_runs():
    """Before it begins, until it has ended."""
    log = []
    await parent(with_permit(log, child(logging(log)))).run()
    assert ["lend", "child", "regain", "after"] == log


@simulated
async def test_a_permit_is_regained_after_a_child_that_failed():
    """Before the stage sees the error."""
    log = []
    with pytest.raises(StageExecutionError):
        await parent(with_permit(log, child(logging(log, ValueError())))).run()
    assert ["lend", "child", "regain", "after"] == log


@simulated
async def test_a_permit_is_not_regained_by_a_cancelled_stage():
    """It needs none any more."""
    log = []
    run = parent(with_permit(log, child(logging(log)))).start()
    await asyncio.sleep(2)
    run.cancel()
    assert "cancelled" == (await run.outcome()).status
    assert ["lend", "child", "after"] == log


@simulated
async def test_a_permit_is_not_lent_for_a_child_that_does_not_begin():
    """A wrong call takes nothing away."""
    log = []
    with pytest.raises(StageExecutionError):
        await parent(with_permit(log, child(logging(log)), nonsense=1)).run()
    assert ["after"] == log


class Held(StageScope):
    """The scope of a stage while another one that streams with it holds a permit."""


def held(inner, holding):
    """Return a stage that streams with one that holds a permit."""

    async def a(ctx: StageContext):
        ctx._scope = Held(ctx._scope)
        ctx._scope.holding = holding
        await ctx.run_pipeline(inner)

    return a


@pytest.mark.parametrize("deeper", [False, True])
async def test_a_child_that_takes_permits_is_refused_while_one_is_held(deeper):
    """By a stage that its parent streams with, or one further up."""
    ran = []

    async def b():
        ran.append(True)

    inner = Pipeline("inner", [stage("b", b, limit="groq"), stage("c", b, limit="web"), stage("d", b, limit="groq")])
    below = parent(running(inner), name="middle") if deeper else inner
    with pytest.raises(StageExecutionError) as caught:
        await parent(held(below, "gpu")).run(limits=Limits({"groq": 1, "web": 1}))
    error = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    assert (LimitDeadlockError, "inner", "a", "gpu", {"groq", "web"}) == (
        type(error),
        error.pipeline,
        error.stage,
        error.holding,
        set(error.limits),
    )
    assert [] == ran


async def test_a_child_that_takes_none_runs_while_one_is_held():
    """There is nothing to wait for."""
    assert "completed" == (await parent(held(child(echo), "gpu")).run()).status


# --- lifetime ----------------------------------------------------------------------------------------------------


class Client:
    """A live object, as ports hold them."""


@pytest.fixture
def no_collector():
    """Only references that end free anything."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("inner", [child(echo), child(fails)], ids=["completed", "failed"])
async def test_a_child_that_has_ended_is_not_kept(inner):
    """Neither by its parent, which goes on, nor by a cycle."""
    freed = []

    async def a(ctx: StageContext):
        client = Client()
        freed.append(weakref.ref(client))
        try:
            await ctx.run_pipeline(inner, ports=client)
        except StageExecutionError as error:
            caught = error
        else:
            caught = None
        del client
        freed.append(freed[0]() is None)
        del caught

    await parent(a).run()
    assert True is freed[1]


@pytest.mark.parametrize("inner", [child(fails), unbuilt()], ids=["failed", "unbuilt"])
async def test_the_error_of_a_child_keeps_neither_run(inner):
    """The frames of ours that it went through have let go of them."""
    with pytest.raises(StageExecutionError) as caught:
        await parent(running(inner)).run()
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__cause__.__traceback__)]
    ours = next(frame for frame in frames if frame.f_code.co_name == "run_child")
    assert [] == [name for name in ("run", "scope", "key_of") if name in ours.f_locals]
