"""Stages that say which ports they need, in runs that have them and in runs that do not."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from stageflow import (
    BaseInterceptor,
    Limits,
    Pipeline,
    RetryPolicy,
    StageContext,
    StageKind,
    StageOutput,
    StagePorts,
    StageStatus,
    Stream,
    stage,
)
from stageflow.capabilities import NO_PORTS
from stageflow.errors import MissingPortError, ProtocolMismatchError
from stageflow.execution.calling import invoke_class, invoke_execute, invoke_function
from stageflow.execution.invoking import choose_invoke
from stageflow.execution.plan import Form, Management
from stageflow_mocks.simulation import simulated

GIVEN = SimpleNamespace(memory="the memory", lm="a misspelt model")


def cause(results, name):
    """Return what a stage of a run failed with."""
    output = results[name]
    assert StageStatus.FAIL is output.status, output
    return output.error.exception


class Needy:
    """A stage that needs two ports, and counts what is done with it."""

    ports = ("memory", "gateway")
    made = 0
    ran = 0

    def __init__(self):
        type(self).made += 1

    async def execute(self, ctx):
        """Use them."""
        type(self).ran += 1
        return {"used": (ctx.ports.memory, ctx.ports.gateway)}


@pytest.fixture(autouse=True)
def _nothing_counted():
    Needy.made = Needy.ran = 0


class Counting(BaseInterceptor):
    """Counts its hooks."""

    def __init__(self):
        self.hooks = Counter()

    async def before(self, ctx):
        self.hooks["before"] += 1

    async def after(self, ctx, output):
        self.hooks["after"] += 1

    async def on_error(self, ctx, error):
        self.hooks["on_error"] += 1


ALL = {
    "retry": RetryPolicy(max_attempts=5, retry_on=(Exception,)),
    "timeout": 1,
    "deadline": 5,
    "version": "1",
    "limit": "gateway",
}


@pytest.mark.parametrize("options", [{}, *({option: ALL[option]} for option in ALL), ALL])
@pytest.mark.parametrize("intercepted", [False, True])
@pytest.mark.parametrize("form", ["class", "object", "function"])
@simulated
async def test_a_stage_fails_before_anything_is_done_with_it(options, intercepted, form, recorder):
    """Whatever its options: no attempt, no permit, no interceptor, no instance."""
    watching, limits = Counting(), Limits({"gateway": 1})
    runner = {"class": Needy, "object": Needy(), "function": needs_gateway}[form]
    made = Needy.made
    if form == "function":
        options = {**options, "ports": ("memory", "gateway")}
    one = stage("s", runner, **options)
    pipeline = Pipeline("p", [one], interceptors=(watching,) if intercepted else ())
    permit = limits.acquire_nowait("gateway")  # for which a stage that has begun would wait
    results = await pipeline.start(ports=GIVEN, limits=limits, event_sink=recorder).outcome()
    permit.release()
    error = cause(results, "s")
    assert (MissingPortError, "s", "gateway", ("lm", "memory")) == (type(error), error.stage, error.port, error.given)
    assert (made, 0, {}, 1) == (Needy.made, Needy.ran, watching.hooks, results.record("s").attempts)
    assert {} == results.record("s").statistics
    assert ["stage.s.started", "stage.s.failed"] == [type for type in recorder.types if type.startswith("stage.s.")]
    given = SimpleNamespace(memory=1, gateway=2)
    assert (1, 2) == (await pipeline.run(ports=given, limits=limits)).data("s")["used"]


async def needs_gateway(ctx: StageContext):
    """Use them."""
    return await Needy().execute(ctx)


@simulated
async def test_the_first_that_is_missing_is_told(recorder):
    """With what the run has, what may be meant, and how to give it."""
    pipeline = Pipeline("p", [stage("reply", needs_nothing, ports=("memory", "llm", "tts"))])
    assert (
        "Stage 'reply' needs the port 'llm', which its run was not given. "
        "Did you mean 'lm'? The run has: lm, memory. Give it: run(ports=StagePorts(llm=...))."
    ) == str(cause(await pipeline.start(ports=GIVEN).outcome(), "reply"))
    assert (
        "Stage 'reply' needs the port 'memory', which its run was not given. The run has no ports. "
        "Give it: run(ports=...) takes any object that has the attribute 'memory'."
    ) == str(cause(await pipeline.start().outcome(), "reply"))
    assert (
        "Stage 'reply' needs the port 'memory', which its run was not given. The run has: memory. "
        "Ports are attributes, and these are the keys of a mapping: types.SimpleNamespace(**ports)."
    ) == str(cause(await pipeline.start(ports={"memory": 1}).outcome(), "reply"))


async def needs_nothing(ctx: StageContext):
    """Say hello."""
    return {"text": "hello"}


@dataclass
class Some:
    gateway: object = None
    memory: object = None


@pytest.mark.parametrize("ports", [None, Some(), Some(memory=1), object(), StagePorts(), SimpleNamespace(gateway=None)])
@simulated
async def test_none_is_no_port(ports):
    """As little as no such attribute."""
    pipeline = Pipeline("p", [stage("s", needs_nothing, ports="gateway")])
    assert "gateway" == cause(await pipeline.start(ports=ports).outcome(), "s").port


@pytest.mark.parametrize("given", [0, "", (), False, []])
@simulated
async def test_what_is_false_is_a_port(given):
    """A store that is empty is there all the same."""
    pipeline = Pipeline("p", [stage("s", needs_nothing, ports="gateway")])
    assert "completed" == (await pipeline.run(ports=Some(given))).status


@simulated
async def test_a_port_that_stages_agree_on_fits_its_protocol():
    """It is looked at before the stage runs; one of the application's own is not."""
    pipeline = Pipeline("p", [stage("s", Needy, ports=("llm",))])
    ports = SimpleNamespace(memory=1, gateway=2, llm=3)
    error = cause(await pipeline.start(ports=ports).outcome(), "s")
    assert (ProtocolMismatchError, "The port 'llm'", "LLMProvider") == (type(error), error.what, error.protocol)
    assert (0, 0) == (Needy.made, Needy.ran)


@simulated
async def test_a_property_that_raises_fails_the_stage_with_what_it_raised():
    """It may connect to something."""

    class Lazy:
        @property
        def gateway(self):
            raise ConnectionError("down")

    results = await Pipeline("p", [stage("s", needs_nothing, ports="gateway")]).start(ports=Lazy()).outcome()
    assert "down" == str(cause(results, "s"))


@simulated
async def test_the_message_asks_no_property():
    """What the run has is found without connecting to anything."""

    class Lazy:
        @property
        def gateway(self):
            raise SystemError("asked")

    results = await Pipeline("p", [stage("s", needs_nothing, ports="gatway")]).start(ports=Lazy()).outcome()
    assert "Did you mean 'gateway'? The run has: gateway." in str(cause(results, "s"))


# --- skipped, and not critical -----------------------------------------------------------------------------------


@simulated
async def test_a_stage_that_is_skipped_needs_nothing():
    """By its condition, by a router, or because what it requires was skipped."""

    @stage(kind=StageKind.ROUTE, routes=("left", "right"))
    async def way():
        return {"route": "left"}

    pipeline = Pipeline(
        "p",
        [
            way,
            stage("unasked", Needy, when=lambda inputs, snapshot: False),
            stage("right", Needy, route={way: "right"}),
            stage("after", Needy, dependencies="right"),
            stage("left", needs_nothing, route={way: "left"}),
        ],
    )
    results = await pipeline.run()
    assert ("unasked", "right", "after") == results.skipped()


@simulated
async def test_a_stage_that_is_not_critical_lets_its_run_go_on():
    """What requires it is skipped, and what does not is run."""
    pipeline = Pipeline(
        "p",
        [
            stage("extra", Needy, critical=False),
            stage("needs", needs_nothing, dependencies="extra"),
            stage("may", needs_nothing, optional="extra"),
        ],
    )
    results = await pipeline.run()
    assert ("completed", ("extra",), ("needs",)) == (results.status, results.failed(), results.skipped())
    assert StageStatus.OK is results["may"].status


@pytest.mark.parametrize(("on_failure", "ended"), [("fail_fast", StageStatus.CANCEL), ("continue", StageStatus.OK)])
@simulated
async def test_it_is_a_failure_like_any_other(on_failure, ended):
    """What runs beside it is cancelled, or goes on."""

    async def slow():
        await asyncio.sleep(1)

    pipeline = Pipeline("p", [stage("slow", slow), stage("s", Needy)], on_failure=on_failure)
    results = await pipeline.start().outcome()
    assert (("s",), ended) == (results.failed(), results["slow"].status)


# --- maps, streams, children -------------------------------------------------------------------------------------


@stage
async def many():
    """Give items."""
    return {"items": [1, 2, 3]}


@simulated
async def test_a_mapped_stage_fails_once():
    """As a whole, and not as its first item."""
    pipeline = Pipeline("p", [many, stage("s", Needy, map_over=(many, "items"))])
    results = await pipeline.start(ports=GIVEN).outcome()
    assert MissingPortError is type(cause(results, "s"))
    assert (0, 0, {}) == (Needy.made, Needy.ran, dict(results.record("s").statistics))
    ports = SimpleNamespace(memory=1, gateway=2)
    assert 3 == len((await pipeline.run(ports=ports)).data("s")["items"])


@simulated
async def test_a_mapped_stage_without_items_needs_its_ports():
    """What a pipeline needs does not depend on its data."""

    async def none():
        return {"items": []}

    pipeline = Pipeline("p", [stage("none", none), stage("s", Needy, map_over=("none", "items"))])
    assert MissingPortError is type(cause(await pipeline.start().outcome(), "s"))


def group(missing, *, limit=None):
    """Return a pipeline of three stages that streams join, of which one needs what its run does not have."""

    def needs(name):
        return "gateway" if name == missing else ()

    @stage(ports=needs("source"), limit=limit)
    async def source():
        for number in range(200):
            yield {"n": number}

    @stage(ports=needs("middle"), limit=limit)
    async def middle(source: Stream[dict]):
        async for chunk in source:
            yield {"n": chunk["n"]}

    @stage(ports=needs("sink"), limit=limit)
    async def sink(middle: Stream[dict]):
        return {"count": len([chunk async for chunk in middle])}

    return [source, middle, sink]


@pytest.mark.parametrize("missing", ["source", "middle", "sink", None])
@pytest.mark.parametrize("limit", [None, "gateway"])
@pytest.mark.parametrize("most", [None, 1])
@pytest.mark.parametrize("on_failure", ["fail_fast", "continue"])
@simulated
async def test_no_member_of_a_group_waits_for_one_that_does_not_start(missing, limit, most, on_failure):
    """Wherever in it that one is, whoever holds permits, and however few may run at once."""
    limits = Limits({"gateway": 3})
    stages = [*group(missing, limit=limit), stage("other", needs_nothing)]
    pipeline = Pipeline("p", stages, max_concurrency=most, on_failure=on_failure)
    results = await pipeline.start(limits=limits).outcome()
    assert (() if missing is None else (missing,)) == results.failed()
    if on_failure == "continue":
        statuses = {name: results[name].status.name for name in results}
        after = {
            "source": {"source": "FAIL", "middle": "SKIP", "sink": "SKIP"},
            "middle": {"source": "OK", "middle": "FAIL", "sink": "SKIP"},
            "sink": {"source": "OK", "middle": "OK", "sink": "FAIL"},
            None: {"source": "OK", "middle": "OK", "sink": "OK"},
        }
        assert {**after[missing], "other": "OK"} == statuses
    assert 0 == limits.in_use("gateway")


@simulated
async def test_a_reader_that_can_do_without_a_stream_does():
    """Its source never started."""

    @stage
    async def without(middle: Stream[dict] | None = None):
        return {"stream": middle}

    results = await Pipeline("p", [*group("middle"), without], on_failure="continue").start().outcome()
    assert {"stream": None} == results.data("without")


@simulated
async def test_a_child_has_the_ports_of_its_parent():
    """Unless the call gives others."""
    child = Pipeline("child", [stage("s", Needy)])

    @stage
    async def inherits(ctx: StageContext):
        return (await ctx.run_pipeline(child)).data("s")

    @stage
    async def others(ctx: StageContext):
        await ctx.run_pipeline(child, ports=SimpleNamespace(memory=1))

    ports = SimpleNamespace(memory=1, gateway=2)
    assert (1, 2) == (await Pipeline("p", [inherits]).run(ports=ports)).data(inherits)["used"]
    results = await Pipeline("p", [others]).start(ports=ports).outcome()
    error = cause(results, "others").__cause__
    assert (MissingPortError, "gateway") == (type(error), error.port)


# --- what it costs, and what a pipeline needs --------------------------------------------------------------------


def test_a_stage_that_needs_nothing_is_started_as_ever():
    """It pays nothing for what others need."""
    plain = Management(5.0)
    for form, invoke in ((Form.METHOD, invoke_execute), (Form.CLASS, invoke_class), (Form.FUNCTION, invoke_function)):
        assert invoke is choose_invoke(form, plain)


def test_a_graph_tells_what_it_needs():
    """By port, the stages in plan order; nobody can change it."""
    graph = Pipeline(
        "p", [stage("a", needs_nothing, ports="llm"), many, stage("b", Needy, ports=("llm",), dependencies="a")]
    ).build()
    assert {"llm": ("a", "b"), "memory": ("b",), "gateway": ("b",)} == graph.ports
    with pytest.raises(TypeError):
        graph.ports["llm"] = ()
    assert {} == Pipeline("p", [many]).build().ports


@simulated
async def test_ports_are_no_part_of_what_a_resumed_run_relies_on():
    """A run goes on in a pipeline of which a stage says what it always needed."""

    @stage
    async def ask(ctx: StageContext):
        return StageOutput.suspend({"ok": None}) if ctx.decision is None else {"decided": ctx.decision}

    def pipeline(**options):
        return Pipeline("p", [ask, stage("s", needs_nothing, dependencies=ask, **options)])

    waiting = await pipeline().start().outcome()
    results = await pipeline(ports="gateway").run(resume=waiting, decisions={ask: 1}, ports=Some(gateway=1))
    assert "completed" == results.status


# --- ports that were not announced -------------------------------------------------------------------------------


@simulated
async def test_to_read_a_port_that_is_not_there_names_it():
    """A run that was given none has an object without any, and not None."""
    seen = []

    @stage
    async def reads(ctx: StageContext):
        seen.append((ctx.ports, getattr(ctx.ports, "memory", None), hasattr(ctx.ports, "llm")))
        return {"answer": ctx.ports.memory}

    results = await Pipeline("p", [reads]).start().outcome()
    error = cause(results, "reads")
    assert [(NO_PORTS, None, False)] == seen
    assert seen[0][0] is NO_PORTS
    assert (MissingPortError, "", "memory", ()) == (type(error), error.stage, error.port, error.given)
    assert str(results.error).startswith(
        "Stage 'reads' of pipeline 'p' failed: The port 'memory' was read, which the run was not given."
    )


class Connects:
    """Ports that are made when they are first read, and have a mistake in them."""

    @property
    def llm(self):
        return self.clint


class Slotted:
    """Ports without a dict, none of which was given."""

    __slots__ = ("llm",)


@simulated
async def test_a_port_that_cannot_be_made_is_not_told_as_absent():
    """What went wrong in it is the cause, and not that the run was given no such port."""

    @stage(ports="llm")
    async def reply():
        return {}

    pipeline = Pipeline("p", [reply])
    broken = await pipeline.start(ports=Connects()).outcome()
    assert "'Connects' object has no attribute 'clint'" == str(broken["reply"].error.exception)
    empty = await pipeline.start(ports=Slotted()).outcome()
    assert isinstance(empty["reply"].error.exception, MissingPortError)
