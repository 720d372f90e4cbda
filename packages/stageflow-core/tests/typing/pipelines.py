"""What the type checker knows of pipelines: checked by `make check`, never run.

A line that must be an error is marked with the rule that finds it; a mark that finds nothing is an error itself.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=error

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict, assert_type

from stageflow import (
    ConfigProvider,
    ContextSnapshot,
    Conversation,
    CorrelationIds,
    EnrichmentProvider,
    EnrichStage,
    EventSink,
    From,
    LoggingEventSink,
    MessageProjector,
    NoOpEventSink,
    Pipeline,
    PipelineContext,
    PipelineEvent,
    PipelineRegistry,
    PipelineResults,
    PipelineRun,
    PipelineSuspended,
    RunIdentity,
    RunStore,
    SSEMessageProjector,
    Stage,
    StageContext,
    StageGraph,
    StageKind,
    StageOutput,
    StagePorts,
    StageSpec,
    Stream,
    StreamOptions,
    WSMessageProjector,
    set_event_sink,
    stage,
)
from stageflow.capabilities import AudioPorts, CorePorts, LLMPorts
from stageflow.observability.call_logger import ProviderCallLogger
from stageflow.protocols import NoOpEnrichmentProvider
from stageflow.providers import (
    LLMProvider,
    LLMRequest,
    LLMResponse,
    STTProvider,
    STTRequest,
    TTSChunk,
    TTSProvider,
    TTSRequest,
    closing_stream,
    complete_from_stream,
    require_supported,
)


@dataclass(frozen=True)
class Profile:
    name: str


class Answer(TypedDict):
    text: str


class Runner:
    name: str = "runner"
    kind: StageKind = StageKind.WORK

    async def execute(self, ctx: StageContext) -> Profile:
        return Profile(ctx.stage_name)


class Sync:
    name: str = "sync"
    kind: StageKind = StageKind.WORK

    def execute(self, ctx: StageContext) -> Profile:
        return Profile(ctx.stage_name)


class Configured:
    def __init__(self, model: str) -> None:
        self.model = model

    async def execute(self, ctx: StageContext, /) -> dict[str, str]:
        return {"model": self.model}


class NoContext:
    async def execute(self) -> None: ...


# --- a stage is typed by what its function returns ---------------------------------------------------------------


@stage
async def profile(ctx: StageContext) -> Profile:
    return Profile("Ada")


@stage(kind=StageKind.ENRICH, dependencies=[profile, "memory"], optional="other")
async def reply(ctx: StageContext, profile: Profile, memory: Mapping[str, Any] | None = None) -> str:
    return f"{profile.name} {memory}"


@stage
async def guarded(profile: Annotated[Profile, From("profile")]) -> StageOutput[Profile]:
    return StageOutput.ok(profile, version="2")


@stage(name="guarded-too")
async def guarded_too(profile: Profile) -> StageOutput[Profile]:
    return StageOutput.ok(profile)


@stage
async def answered() -> StageOutput[Answer]:
    return StageOutput.ok({"text": "a"})


@stage
async def misspelt() -> StageOutput[Answer]:
    return StageOutput.ok({"txt": "a"})  # pyright: ignore[reportReturnType]


@stage
async def counted() -> dict[str, int]:
    return {"n": 1}


@stage
async def either(ctx: StageContext) -> Profile | StageOutput[Profile]:
    return Profile("Ada")


@stage(kind=StageKind.GUARD)
async def either_guard(ctx: StageContext) -> Profile | StageOutput[Profile]:
    return Profile("Ada")


@stage(kind=StageKind.GUARD)
async def guard(ctx: StageContext) -> StageOutput[Any] | None:
    return None


@stage
async def bare_guard(ctx: StageContext) -> StageOutput[Any] | None:
    return None


@stage
async def anything(ctx: StageContext) -> Any:
    return None


@stage
async def perhaps(ctx: StageContext) -> Profile | None:
    return None


@stage
async def words(ctx: StageContext) -> AsyncIterator[str]:
    yield "a"


@stage(kind=StageKind.WORK, stream=StreamOptions(capacity=2, on_full="drop_oldest"))
async def tokens(words: Stream[str]) -> AsyncGenerator[int | StageOutput[Profile], None]:
    async for word in words:
        assert_type(word, str)
        yield len(word)
    yield StageOutput.ok(Profile("Ada"))


@stage(streams="words", optional="words")
async def spoken(ctx: StageContext, tokens: Stream[int] | None = None) -> Profile:
    async with ctx.inputs.stream(words) as stream:
        assert_type(stream, Stream[Any])
        assert_type(stream.statistics().dropped, int)
        await stream.aclose()
    return Profile("Ada")


class Streaming:
    async def execute(self, ctx: StageContext, /) -> AsyncIterator[str]:
        yield "a"


StreamOptions(on_full="drop")  # pyright: ignore[reportArgumentType]
StreamOptions(capacity="2")  # pyright: ignore[reportArgumentType]
stage("x", Streaming)
stage("x", Streaming())
stage("x", Runner, stream=2)  # pyright: ignore[reportArgumentType]
stage("x", Runner, streams=5)  # pyright: ignore[reportArgumentType]

by_name = stage("by-name", Runner, StageKind.WORK, dependencies=(profile,))
by_keyword = stage("by-keyword", Runner(), kind=StageKind.WORK)

assert_type(profile, StageSpec[Profile])
assert_type(profile.named("x"), StageSpec[Profile])
assert_type(reply, StageSpec[str])
assert_type(guarded, StageSpec[Profile])
assert_type(guarded_too, StageSpec[Profile])
assert_type(either, StageSpec[Profile])
assert_type(either_guard, StageSpec[Profile])
assert_type(guard, StageSpec[Any])
assert_type(bare_guard, StageSpec[Any])
assert_type(anything, StageSpec[Any])
assert_type(perhaps, StageSpec[Profile | None])
assert_type(words, StageSpec[Mapping[str, Any]])
assert_type(tokens, StageSpec[Mapping[str, Any]])
assert_type(spoken, StageSpec[Profile])
assert_type(by_name, StageSpec[Any])
assert_type(by_keyword, StageSpec[Any])

runner: Stage = Runner()
no_runner: Stage = Sync()  # pyright: ignore[reportAssignmentType]


def not_async(ctx: StageContext) -> Profile:
    return Profile("Ada")


async def plainly_async(ctx: StageContext, profile: Profile) -> str:
    return profile.name


stage(not_async)  # pyright: ignore[reportCallIssue, reportArgumentType]
stage(kind="work")  # pyright: ignore[reportArgumentType]
stage(dependecies="a")  # pyright: ignore[reportCallIssue]
stage("x")  # pyright: ignore[reportCallIssue, reportArgumentType]
From(5)  # pyright: ignore[reportArgumentType]


# --- pipelines ---------------------------------------------------------------------------------------------------

chat = Pipeline("chat", [profile, reply], cancel_grace=1)
assert_type(chat, Pipeline)
assert_type(chat.with_stage("x", Runner, StageKind.WORK, dependencies="a", optional=(profile, "b")), Pipeline)
assert_type(chat.compose(Pipeline.from_stages(profile, by_name)), Pipeline)
assert_type(chat.build(), StageGraph)

chat.with_stage("x", Configured("small"))
chat.with_stage("x", profile.runner)
chat.with_stage("x", Runner().execute)
chat.with_stage("x", plainly_async)
chat.with_stage("x", 42)  # pyright: ignore[reportArgumentType]
chat.with_stage("x", profile)  # pyright: ignore[reportArgumentType]
chat.with_stage("x", Sync)  # pyright: ignore[reportArgumentType]
chat.with_stage("x", Sync())  # pyright: ignore[reportArgumentType]
chat.with_stage("x", NoContext())  # pyright: ignore[reportArgumentType]
chat.with_stage("x", not_async)  # pyright: ignore[reportArgumentType]
stage("x", 42)  # pyright: ignore[reportArgumentType]
stage("x", Sync)  # pyright: ignore[reportArgumentType]
chat.with_stage("x", Runner, "work")  # pyright: ignore[reportArgumentType]
chat.with_stage("x", Runner, dependencies=5)  # pyright: ignore[reportArgumentType]
chat.with_stage("x", Runner, retry=5)  # pyright: ignore[reportArgumentType]
chat.with_stage("x", Runner, retries=5)  # pyright: ignore[reportCallIssue]
Pipeline("p", [not_async])  # pyright: ignore[reportArgumentType]
Pipeline([profile])  # pyright: ignore[reportArgumentType]
profile.name = "x"  # pyright: ignore[reportAttributeAccessIssue]


# --- runs --------------------------------------------------------------------------------------------------------


async def run(sink: EventSink) -> None:
    results = await chat.run(input_text="hi", conversation=Conversation(), event_sink=sink, ports=object())
    assert_type(results, PipelineResults)
    assert_type(await chat.build().run(ContextSnapshot(), ports=5), PipelineResults)
    assert_type(await chat.run(PipelineContext(event_sink=NoOpEventSink())), PipelineResults)
    started = chat.start(input={"any": "thing"})
    assert_type(started, PipelineRun)
    async for chunk in started.stream(words):
        assert_type(chunk, Any)
    assert_type(started.stream("words").statistics().sent, int)
    assert_type(await started, PipelineResults)

    await chat.run(inputtext="hi")  # pyright: ignore[reportCallIssue]
    await chat.run(input_text=5)  # pyright: ignore[reportArgumentType]
    await chat.run("hi")  # pyright: ignore[reportArgumentType]
    await chat.run(conversation=["hi"])  # pyright: ignore[reportArgumentType]
    await chat.build().run(event_sink=print)  # pyright: ignore[reportArgumentType]
    chat.start(metadata=5)  # pyright: ignore[reportArgumentType]
    chat.run_sync(run_id="r")  # pyright: ignore[reportArgumentType]
    set_event_sink(LoggingEventSink())
    set_event_sink(print)  # pyright: ignore[reportArgumentType]


# --- results -----------------------------------------------------------------------------------------------------


async def resume(kept: PipelineResults) -> None:
    await chat.run(resume=kept, decisions={profile: True, "reply": {"allow": True}})
    try:
        await chat.run()
    except PipelineSuspended as suspended:
        await chat.run(resume=suspended.results, decisions={"profile": True})
        chat.start(resume=suspended, decisions={})  # pyright: ignore[reportArgumentType]


def read(results: PipelineResults) -> None:
    assert_type(results.value(profile), Profile)
    assert_type(results.value(reply), str)
    assert_type(results.value(guarded), Profile)
    assert_type(results.value(counted), dict[str, int])
    assert_type(results.value("profile"), Any)
    assert_type(results[profile], StageOutput[Profile])
    assert_type(results[profile].value, Profile)
    assert_type(results["profile"], StageOutput[Any])
    assert_type(results.data(profile), Mapping[str, Any])
    _ = results.value(profile).nam  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    results.value(5)  # pyright: ignore[reportCallIssue, reportArgumentType]
    results.data("profile")["a"] = 1  # pyright: ignore[reportIndexIssue]


# --- inside a stage ----------------------------------------------------------------------------------------------


async def inside(ctx: StageContext) -> None:
    assert_type(ctx.inputs.value("profile", Profile), Profile)
    assert_type(ctx.inputs.value(profile, Profile), Profile)
    assert_type(ctx.inputs.get_output(profile), StageOutput[Any] | None)
    assert_type(ctx.inputs.has_output("profile"), bool)
    assert_type(ctx.snapshot.input_text, str | None)
    ctx.inputs.get_from(Profile, "name")  # pyright: ignore[reportArgumentType]
    ctx.stage = "x"  # pyright: ignore[reportAttributeAccessIssue]


async def with_children(ctx: StageContext, pipeline: Pipeline, graph: StageGraph) -> None:
    assert_type(await ctx.run_pipeline(pipeline, input_text="hi", metadata={"a": 1}), PipelineResults)
    assert_type((await ctx.run_pipeline(graph)).value(profile), Profile)
    await ctx.run_pipeline("chat")  # pyright: ignore[reportArgumentType]
    await ctx.run_pipeline(graph, input_txt="hi")  # pyright: ignore[reportCallIssue]
    await ctx.run_pipeline(graph, run_id=RunIdentity())  # pyright: ignore[reportCallIssue]


class Runs:
    async def create_run(self, run_id: str, **metadata: Any) -> None: ...

    async def update_status(self, run_id: str, status: str, **data: Any) -> None: ...

    async def get_run(self, run_id: str) -> Mapping[str, Any] | None: ...


class Settings:
    def get(self, key: str, default: Any = None) -> Any: ...


async def beside_the_snapshot(ctx: StageContext, pipeline: Pipeline) -> None:
    assert_type(ctx.config, ConfigProvider)
    assert_type(ctx.correlation, CorrelationIds)
    assert_type(PipelineContext(config={"model": "small"}).config, ConfigProvider)
    store: RunStore = Runs()
    settings: list[ConfigProvider] = [Settings(), {"model": "small"}]
    await pipeline.run(run_store=store, config={"model": "small"}, correlation=CorrelationIds(trace_id="t"))
    await pipeline.run(ContextSnapshot(), run_store=Runs(), config=settings[0])
    await ctx.run_pipeline(pipeline, run_store=store, config=settings[1], correlation=None)
    await pipeline.run(run_store=Settings())  # pyright: ignore[reportArgumentType]
    await pipeline.run(config=Runs())  # pyright: ignore[reportArgumentType]
    await pipeline.run(correlation={"trace_id": "t"})  # pyright: ignore[reportArgumentType]


def outputs() -> None:
    assert_type(StageOutput.ok(Profile("Ada")), StageOutput[Profile])
    assert_type(StageOutput.ok(Profile("Ada"), version="2").value, Profile)
    assert_type(StageOutput.ok(), StageOutput[Mapping[str, Any]])
    assert_type(StageOutput.ok({"a": 1}), StageOutput[Mapping[str, Any]])
    assert_type(StageOutput.ok(Answer(text="a")), StageOutput[Answer])
    assert_type(StageOutput.ok(a=1, b=2), StageOutput[Mapping[str, Any]])
    StageOutput.skip()  # pyright: ignore[reportCallIssue]
    StageOutput.skip(ValueError())  # pyright: ignore[reportArgumentType]
    StageOutput.fail(ValueError)  # pyright: ignore[reportArgumentType]


def ports(llm: LLMProvider, stt: STTProvider, tts: TTSProvider) -> None:
    """What a run is given has what each stage needs, and no name that is misspelt."""
    given = StagePorts(llm=llm, stt=stt, tts=tts)
    core: CorePorts = given
    language: LLMPorts = given
    audio: AudioPorts = given
    assert_type(core.enrichment, EnrichmentProvider)
    assert_type(core.call_logger, ProviderCallLogger)
    assert_type(language.llm, LLMProvider)
    assert_type(audio.stt, STTProvider)
    assert_type(audio.tts, TTSProvider)
    _ = given.lm  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    StagePorts(llm=stt)  # pyright: ignore[reportArgumentType]
    StagePorts(memory=llm)  # pyright: ignore[reportArgumentType]
    assert_type(Pipeline().build().ports, Mapping[str, tuple[str, ...]])
    stage(ports="llm")
    stage(ports=("llm", "memory"))
    stage(ports=5)  # pyright: ignore[reportArgumentType]
    stage("profile", EnrichStage, ports=["llm"])
    EnrichStage(NoOpEnrichmentProvider(), wants="crm", attributes=lambda ctx: {"stage": ctx.stage_name})


async def streams(llm: LLMProvider, tts: TTSProvider, asked: LLMRequest, said: TTSRequest, heard: STTRequest) -> None:
    """What a provider streams is closed by whoever reads it, though the protocol has nothing to close."""
    async with closing_stream(tts.stream(said)) as sounds:
        assert_type(sounds, AsyncIterator[TTSChunk])
    assert_type(await complete_from_stream(llm, asked), LLMResponse)
    assert_type(said.pieces(), AsyncIterator[str])
    assert_type(heard.pieces(), AsyncIterator[bytes])
    assert_type(said.whole("p"), str)
    assert_type(heard.whole("p"), bytes)
    require_supported(asked, "seed", provider="p")
    require_supported(asked, "seed")  # pyright: ignore[reportCallIssue]


class Lines:
    def project(self, event: PipelineEvent) -> bytes | None:
        return event.event_type.encode()


class Numbers:
    def project(self, event: PipelineEvent) -> int | None:
        return event.sequence


class Late:
    async def project(self, event: PipelineEvent) -> str | None:
        return event.event_type


def clients(run: PipelineRun) -> None:
    """Messages are of the type that the projector makes."""
    assert_type(run.messages(WSMessageProjector()), AsyncIterator[dict[str, Any]])
    assert_type(run.messages(SSEMessageProjector(), after="run-1"), AsyncIterator[str])
    assert_type(run.messages(Lines()), AsyncIterator[bytes])
    _projector: MessageProjector[str] = SSEMessageProjector()
    run.messages(Numbers())  # pyright: ignore[reportArgumentType]
    run.messages(Late())  # pyright: ignore[reportArgumentType]


def pipeline_by_name(registry: PipelineRegistry) -> None:
    """What is found can be run."""
    assert_type(registry.get("chat"), Pipeline | StageGraph)
    assert_type(registry.list(), list[str])
    assert_type(registry.get("chat").run_sync(), PipelineResults)
    registry.register("chat", "chat")  # pyright: ignore[reportArgumentType]
