"""One stage, run with its dependencies given."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest
from stageflow import (
    BaseInterceptor,
    ErrorAction,
    From,
    InterceptorResult,
    Limits,
    Pipeline,
    PipelineContext,
    PipelineValidationError,
    RetryPolicy,
    StageContext,
    StageExecutionError,
    StageKind,
    StageOutput,
    StageReturnTypeError,
    StageStatus,
    StageTimeoutError,
    Stream,
    UndeclaredDependencyError,
    stage,
)
from stageflow.errors import (
    InterceptorError,
    InvalidInterceptorError,
    MissingInputError,
    ProtocolMismatchError,
    StageContractError,
)
from stageflow_mocks import (
    Chunks,
    FakeConfig,
    InMemoryRunStore,
    RecordingEventSink,
    make_context,
    make_snapshot,
    run_stage,
)
from stageflow_mocks.simulation import simulated


@dataclass(frozen=True)
class Profile:
    name: str


class Sky(TypedDict):
    colour: str


@stage
async def greeting(profile: Profile, weather: Sky | None = None) -> dict[str, str]:
    return {"text": f"Hello {profile.name}, {weather['colour'] if weather else 'no'} sky."}


async def test_a_function_gets_what_it_is_given():
    """Values, mappings and whole outputs serve as dependencies; an optional one that is not given is absent."""
    output = await run_stage(greeting, {"profile": Profile("Ada"), "weather": {"colour": "blue"}})
    assert output.data == {"text": "Hello Ada, blue sky."}
    assert (await run_stage(greeting, {"profile": Profile("Ada")})).data == {"text": "Hello Ada, no sky."}
    given = {"profile": StageOutput.ok(Profile("Ada")), "weather": ValueError("no window")}
    assert (await run_stage(greeting, given)).data == {"text": "Hello Ada, no sky."}


async def test_a_missing_input_is_told():
    """A required dependency without an output does not make a skipped stage, but an error that says which."""
    with pytest.raises(TypeError, match=r"'greeting' depends on 'profile', of which no output was given: run_stage"):
        await run_stage(greeting, {"weather": {"colour": "blue"}})


async def test_an_input_that_is_not_read_is_told():
    """A misspelt one would pass for an absent one."""
    with pytest.raises(TypeError, match=r"not depend on 'whether'.* Did you mean 'weather'\? It depends on: profile"):
        await run_stage(greeting, {"profile": Profile("Ada"), "whether": {}})
    with pytest.raises(TypeError, match=r"It depends on: nothing"):
        await run_stage(greeting_of_nobody, {"profile": Profile("Ada")})


@stage
async def greeting_of_nobody() -> None:
    return None


async def test_an_input_of_another_type_is_refused():
    """The build compares what is given with what the parameter is annotated with, as it does for real stages."""
    with pytest.raises(PipelineValidationError, match="profile"):
        await run_stage(greeting, {"profile": {"name": "Ada"}})


class Reply:
    name = "reply"
    kind = StageKind.AGENT

    async def execute(self, ctx: StageContext) -> dict[str, Any]:
        return {"said": f"{ctx.inputs.require_from('memory', 'topic')} {ctx.inputs.get_from('mood', 'now', 'calm')}"}


@pytest.mark.parametrize("runner", [Reply, Reply()])
async def test_the_inputs_of_a_runner_are_its_dependencies(runner):
    """An object or a class reads what it is given, and nothing else."""
    output = await run_stage(runner, {"memory": {"topic": "tea"}, "mood": {"now": "glad"}})
    assert output.data == {"said": "tea glad"}
    with pytest.raises(UndeclaredDependencyError, match="Stage 'reply' read 'mood' without declaring it"):
        await run_stage(runner, {"memory": {"topic": "tea"}})


async def test_options_of_a_runner_are_those_of_a_stage():
    """Given dependencies are the stage's, whatever the inputs; a name is its name."""
    options = {"dependencies": ("memory",), "optional": ("mood",)}
    assert (await run_stage(Reply, {"memory": {"topic": "tea"}}, **options)).data == {"said": "tea calm"}
    with pytest.raises(TypeError, match="Stage 'answer' depends on 'memory'"):
        await run_stage(Reply, name="answer", **options)
    with pytest.raises(TypeError, match="takes name, retry beside a runner"):
        await run_stage(greeting, name="x", retry=None)


async def test_what_the_stage_raises_is_raised():
    """It is that very exception, whether it was raised or returned; a failure in words is that of a run."""
    broken = LookupError("nobody")

    @stage
    async def raising() -> None:
        raise broken

    @stage
    async def returning() -> StageOutput[Any]:
        return StageOutput.fail(broken)

    @stage(critical=False)
    async def in_words() -> StageOutput[Any]:
        return StageOutput.fail("nobody is there", data={"n": 1})

    for one in (raising, returning):
        with pytest.raises(LookupError) as caught:
            await run_stage(one)
        assert caught.value is broken
    with pytest.raises(StageExecutionError, match="nobody is there") as failed:
        await run_stage(in_words)
    assert failed.value.results["in_words"].data == {"n": 1}


async def test_what_is_returned_is_checked_and_frozen():
    """A contract that is broken, and a value that is none, fail as in a run."""

    @stage
    async def wrong() -> Profile:
        return {"name": "Ada"}

    @stage
    async def number() -> Any:
        return 3

    @stage
    async def listed() -> dict[str, Any]:
        return {"items": [1]}

    with pytest.raises(StageContractError):
        await run_stage(wrong)
    with pytest.raises(StageReturnTypeError):
        await run_stage(number)
    with pytest.raises(TypeError, match="frozen"):
        (await run_stage(listed)).data["items"].append(2)


async def test_other_outcomes_are_returned():
    """A skip, a cancel and a suspension are outputs; so is the skip that a failed dependency causes."""

    @stage
    async def ends(input: str) -> StageOutput[Any]:
        return {"skip": StageOutput.skip, "cancel": StageOutput.cancel, "suspend": StageOutput.suspend}[input]("why")

    for status in ("skip", "cancel", "suspend"):
        assert (await run_stage(ends, snapshot=make_snapshot(input=status))).status is StageStatus(status)
    skipped = await run_stage(greeting, {"profile": LookupError("gone")})
    assert skipped.status is StageStatus.SKIP


@simulated
async def test_retries_and_time_limits_are_real():
    """A stage that recovers is tried again; one that hangs is timed out."""
    attempts = []

    async def flaky(ctx: StageContext, profile: Profile) -> dict[str, int]:
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise ConnectionError("not yet")
        return {"attempt": ctx.attempt}

    retry = RetryPolicy(max_attempts=3, retry_on=ConnectionError)
    assert (await run_stage(flaky, {"profile": Profile("Ada")}, retry=retry)).data == {"attempt": 3}
    assert attempts == [1, 2, 3]

    async def hangs() -> None:
        await asyncio.sleep(3600)

    with pytest.raises(StageTimeoutError, match="'hangs'"):
        await run_stage(hangs, timeout=2.0)


class Counting(BaseInterceptor):
    def __init__(self):
        self.seen = []

    async def before(self, ctx):
        self.seen.append(ctx.stage_name)
        return InterceptorResult(StageOutput.ok(text="in its place")) if ctx.run.snapshot.input_text else None


async def test_interceptors_are_around_this_stage_alone():
    """They see no fake, may take the stage's place, and what is none is refused."""
    counting, given = Counting(), {"profile": Profile("Ada")}
    assert (await run_stage(greeting, given, interceptors=[counting])).data == {"text": "Hello Ada, no sky."}
    output = await run_stage(greeting, given, make_snapshot("now"), interceptors=[counting])
    assert output.data == {"text": "in its place"}
    assert counting.seen == ["greeting", "greeting"]
    with pytest.raises(InvalidInterceptorError, match="Counting"):
        await run_stage(greeting, given, interceptors=[Counting])


async def test_a_broken_interceptor_fails_the_stage_by_its_name():
    """It is not the name of what keeps it from the fakes."""

    class Around(BaseInterceptor):
        name = "mender"

        async def around(self, ctx, call):
            output = await call()
            return StageOutput.ok({**output.data, "around": True})

        async def after(self, ctx, output):
            assert ctx.stage_name == "greeting"
            raise ZeroDivisionError("in after")

    with pytest.raises(Exception, match="mender") as caught:
        await run_stage(greeting, {"profile": Profile("Ada")}, interceptors=[Around()])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_an_interceptor_may_mend_a_failure():
    """on_error is asked about this stage alone, and its fallback is the outcome."""
    asked = []

    class Mends(BaseInterceptor):
        async def on_error(self, ctx, error):
            asked.append((ctx.stage_name, type(error)))
            return ErrorAction.FALLBACK

        async def fallback(self, ctx, error):
            return StageOutput.ok(text=str(error))

    async def greeting(weather: Mapping[str, Any] | None = None) -> dict[str, str]:
        raise ValueError("no words" if weather is None else "weather")

    output = await run_stage(greeting, {"weather": LookupError("no sky")}, interceptors=[Mends()])
    assert output.data == {"text": "no words"}
    assert asked == [("greeting", ValueError)]


@simulated
async def test_interceptors_keep_their_order_and_their_time():
    """A priority is that of the interceptor, so is the time of its hooks, and hooks that it lacks are not called."""
    entered = []

    class Slow(BaseInterceptor):
        priority, hook_timeout = 5, 2.0

        async def before(self, ctx):
            entered.append("slow")
            await asyncio.sleep(60)

    class Duck:
        name, priority = "duck", 1

        async def before(self, ctx):
            entered.append("duck")

    given = {"profile": Profile("Ada")}
    with pytest.raises(InterceptorError, match="Slow"):
        await run_stage(greeting, given, interceptors=[Slow(), Duck()])
    assert (entered, asyncio.get_running_loop().time()) == (["duck", "slow"], 2.0)
    assert (await run_stage(greeting, given, interceptors=[Duck()])).status is StageStatus.OK


async def test_the_sink_sees_the_stage_and_no_fakes():
    """The run's own events are there, and what the stage emits; a child's stage is no fake."""
    sink = RecordingEventSink()

    @stage
    async def profile(ctx: StageContext) -> None:
        ctx.emit_event("inner.tick")

    async def outer(ctx: StageContext, profile: Mapping[str, Any]) -> None:
        ctx.emit_event("outer.tick")
        await ctx.run_pipeline(pipeline)

    pipeline = Pipeline("child", [profile])
    await run_stage(outer, {"profile": {}}, event_sink=sink)
    assert [event.type for event in sink.events if event.data["parent_run_id"] is None] == [
        "pipeline.created",
        "pipeline.started",
        "stage.outer.started",
        "outer.tick",
        "stage.outer.completed",
        "pipeline.completed",
    ]
    assert "inner.tick" in sink.types
    with pytest.raises(ProtocolMismatchError, match="object"):
        await run_stage(outer, {"profile": {}}, event_sink=object())


async def test_streams_maps_routes_and_limits():
    """A stream is given as Chunks, a map its items, a route is taken, and a router needs nothing behind it."""

    @stage
    async def joined(words: Stream[str]) -> dict[str, str]:
        return {"text": "".join([word async for word in words])}

    class Reader:
        async def execute(self, ctx: StageContext) -> dict[str, str]:
            return {"text": "-".join([word async for word in ctx.inputs.stream("words")])}

    @stage(map_over=("found", "items"))
    async def each(ctx: StageContext) -> dict[str, int]:
        return {"twice": ctx.item * 2}

    @stage(route={"router": "billing"}, limit="groq")
    async def billing(router: Mapping[str, Any]) -> dict[str, str]:
        return {"why": router["why"]}

    @stage(kind=StageKind.ROUTE, routes=("billing", "sales"))
    async def router() -> dict[str, str]:
        return {"route": "sales"}

    @stage
    async def spoken(words: Annotated[Stream[str], From("llm-words")]) -> AsyncIterator[str]:
        async for word in words:
            yield word.upper()

    assert (await run_stage(joined, {"words": Chunks("a", "b")})).data == {"text": "ab"}
    assert (await run_stage(Reader(), {"words": Chunks("a", "b")})).data == {"text": "a-b"}
    assert (await run_stage(each, {"found": {"items": [1, 2]}})).data["items"] == [{"twice": 2}, {"twice": 4}]
    limits = Limits({"groq": 1})
    assert (await run_stage(billing, {"router": {"why": "money"}}, limits=limits)).data == {"why": "money"}
    assert (await run_stage(router)).data == {"route": "sales"}
    assert (await run_stage(spoken, {"llm-words": Chunks("a", "b")})).data == {"count": 2}


async def test_a_stage_behind_a_join_runs():
    """What is given is enough for a join, and the others are absent."""

    @stage(join="any")
    async def either(left: Mapping[str, Any] | None = None, right: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return {"left": left is not None, "right": right is not None}

    assert (await run_stage(either, {"right": {}})).data == {"left": False, "right": True}


async def test_a_decision_is_given_once_it_is_asked_for():
    """The stage is run until it suspends, and again; one that does not ask is told of."""

    @stage
    async def pay(ctx: StageContext) -> StageOutput[Any]:
        if ctx.snapshot.input_text or ctx.decision is not None:
            return StageOutput.ok(decided=ctx.decision)
        return StageOutput.suspend("Pay?")

    assert (await run_stage(pay, decision="yes")).data == {"decided": "yes"}
    assert (await run_stage(pay)).status is StageStatus.SUSPEND
    with pytest.raises(AssertionError, match="Stage 'pay' was to ask for a decision, and ended OK"):
        await run_stage(pay, snapshot=make_snapshot("now"), decision="yes")


async def test_what_a_run_is_given_reaches_the_stage():
    """Ports, config, snapshot and run store are the test's."""
    store = InMemoryRunStore()

    @stage
    async def looks(ctx: StageContext) -> dict[str, Any]:
        return {"port": ctx.ports, "config": ctx.config.get("k"), "who": ctx.snapshot.run_id.user_id}

    snapshot = make_snapshot("hi", user_id="ada")
    output = await run_stage(looks, snapshot=snapshot, ports=7, config=FakeConfig({"k": 1}), run_store=store)
    assert output.data == {"port": 7, "config": 1, "who": "ada"}
    assert store.history("test-run") == ["created", "running", "completed"]


def test_a_snapshot_is_the_same_each_time():
    """Ids and times are fixed, parts of the identity are given flat, and conversations as pairs."""
    assert make_snapshot("hi", user_id="ada") == make_snapshot("hi", user_id="ada")
    snapshot = make_snapshot(conversation=[("user", "Hi"), ("assistant", "Hello")], pipeline_run_id="r")
    assert [(message.role, message.content) for message in snapshot.conversation] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
    ]
    assert (snapshot.run_id.pipeline_run_id, snapshot.created_at.year) == ("r", 2026)
    with pytest.raises(TypeError, match="user_id"):
        make_snapshot(user_id="ada", run_id=snapshot.run_id)
    with pytest.raises(TypeError, match="chanel"):
        make_snapshot(chanel="web")


async def test_execute_can_be_called_by_hand():
    """A context has the test's inputs and the rest of a run."""
    ctx = make_context("reply", inputs={"memory": {"topic": "tea"}, "mood": {"now": "glad"}}, ports=7, attempt=2)
    assert await Reply().execute(ctx) == {"said": "tea glad"}
    assert (ctx.ports, ctx.attempt, ctx.snapshot) == (7, 2, make_snapshot())
    with pytest.raises(MissingInputError):
        make_context(inputs={"a": None}).inputs.require_from("a", "k")
    assert PipelineContext(config=FakeConfig()).config.get("k", 2) == 2
