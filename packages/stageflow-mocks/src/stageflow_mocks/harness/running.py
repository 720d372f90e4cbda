"""One stage, run for real with everything around it given; and what a stage gets, made for a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, TypeVar, cast, overload

from stageflow import (
    ConfigProvider,
    ContextSnapshot,
    Conversation,
    CorrelationIds,
    EventSink,
    Limits,
    Pipeline,
    PipelineContext,
    PipelineResults,
    PipelineValidationError,
    RunIdentity,
    RunStore,
    StageContext,
    StageKind,
    StageOutput,
    StageSpec,
    StageStatus,
    stage,
)
from stageflow.errors import UnknownDependencyError

from stageflow_mocks.harness.only_one_stage import SinkWithoutFakes, around_stage

T = TypeVar("T")

_MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
_IDENTITY = ("pipeline_run_id", "request_id", "session_id", "user_id", "org_id", "interaction_id")
_NO_DECISION: Any = object()


class Chunks:
    """In the `inputs` of `run_stage`, what a dependency streams that the stage reads as a stream."""

    def __init__(self, *chunks: Any) -> None:
        self.chunks = chunks

    def __repr__(self) -> str:
        return f"Chunks{self.chunks!r}"


def make_snapshot(input_text: str | None = None, **fields: Any) -> ContextSnapshot:
    """Return a snapshot that is the same each time: the run id is "test-run", and it was made at the start of 2026.

    Args:
        input_text: What the run is asked.
        fields: The fields of a ContextSnapshot, and those of a RunIdentity: `user_id="ada"`. As `conversation` pairs of
            role and content do.

    Raises:
        TypeError: There is no such field, or its value is of another type.
    """
    identity = {name: fields.pop(name) for name in _IDENTITY if name in fields}
    if identity and "run_id" in fields:
        raise TypeError(f"make_snapshot() takes run_id or its parts, not both: {', '.join(identity)}.")
    fields.setdefault("run_id", RunIdentity(**{"pipeline_run_id": "test-run", **identity}))
    fields.setdefault("created_at", _MADE_AT)
    said = fields.get("conversation")
    if said is not None and not isinstance(said, Conversation):
        conversation = Conversation()
        for role, content in said:
            conversation = conversation.with_message(role, content)
        fields["conversation"] = conversation
    return ContextSnapshot(input_text=input_text, **fields)


def make_context(
    stage_name: str = "stage",
    *,
    inputs: Mapping[str, Any] | None = None,
    snapshot: ContextSnapshot | None = None,
    ports: Any = None,
    config: ConfigProvider | None = None,
    event_sink: EventSink | None = None,
    correlation: CorrelationIds | None = None,
    attempt: int = 1,
    decision: Any = None,
) -> StageContext:
    """Return a context for calling `execute` by hand; see `StageContext.alone`. `run_stage` does more.

    Args:
        stage_name: The name that the stage is to have.
        inputs: By name, what the stages returned that it declares as dependencies.
        snapshot: What the run was asked; that of `make_snapshot()` unless given.
        ports: What it may use from outside.
        config: Where it looks settings up.
        event_sink: Where its events go.
        correlation: Under which ids others know the work.
        attempt: Which attempt it is.
        decision: What was decided for it.
    """
    context = PipelineContext(
        snapshot=make_snapshot() if snapshot is None else snapshot,
        ports=ports,
        config=config,
        event_sink=event_sink,
        correlation=correlation,
    )
    return StageContext.alone(stage_name, context, inputs=inputs or {}, attempt=attempt, decision=decision)


@overload
async def run_stage(
    stage: StageSpec[T],
    /,
    inputs: Mapping[str, Any] | None = None,
    snapshot: ContextSnapshot | None = None,
    *,
    ports: Any = None,
    config: ConfigProvider | None = None,
    event_sink: EventSink | None = None,
    run_store: RunStore | None = None,
    limits: Limits | None = None,
    correlation: CorrelationIds | None = None,
    interceptors: Iterable[Any] = (),
    decision: Any = ...,
) -> StageOutput[T]: ...
@overload
async def run_stage(
    stage: Any,
    /,
    inputs: Mapping[str, Any] | None = None,
    snapshot: ContextSnapshot | None = None,
    *,
    ports: Any = None,
    config: ConfigProvider | None = None,
    event_sink: EventSink | None = None,
    run_store: RunStore | None = None,
    limits: Limits | None = None,
    correlation: CorrelationIds | None = None,
    interceptors: Iterable[Any] = (),
    decision: Any = ...,
    name: str | None = None,
    **options: Any,
) -> StageOutput[Any]: ...
async def run_stage(
    stage: Any,
    /,
    inputs: Mapping[str, Any] | None = None,
    snapshot: ContextSnapshot | None = None,
    *,
    ports: Any = None,
    config: ConfigProvider | None = None,
    event_sink: EventSink | None = None,
    run_store: RunStore | None = None,
    limits: Limits | None = None,
    correlation: CorrelationIds | None = None,
    interceptors: Iterable[Any] = (),
    decision: Any = _NO_DECISION,
    name: str | None = None,
    **options: Any,
) -> StageOutput[Any]:
    """Run one stage as a pipeline would, with its dependencies given, and return its output.

    What it returns is checked and frozen, what it reads must be declared, retries, time limits and interceptors are
    what they are in a run. Interceptors and the sink see this stage alone, and the run itself.

    Args:
        stage: What `@stage` made; or a runner (an object or a class with `execute`, an async function), of which the
            inputs are the dependencies unless `options` say otherwise.
        inputs: By name, what its dependencies return: a mapping, a value, None or a StageOutput; an exception for one
            that fails, and `Chunks` for one that it reads as a stream. An optional one that is not given is absent.
        snapshot: What the run is asked; that of `make_snapshot()` unless given.
        ports: What it may use from outside.
        config: Where it looks settings up.
        event_sink: Where the events go, such as a RecordingEventSink.
        run_store: What keeps what becomes of the run.
        limits: The permits that a stage with `limit=` takes.
        correlation: Under which ids others know the work.
        interceptors: What is around the stage.
        decision: What is decided once the stage has suspended the run; it is then run again, with that.
        name: Of a runner, the name that the stage is to have.
        options: Of a runner, those of `Pipeline.with_stage`: `dependencies=("profile",), retry=RetryPolicy(...)`.

    Raises:
        TypeError: A required input is missing, or one is given that the stage does not read.
        PipelineValidationError: The stage itself is wrong.
        AssertionError: A decision was given, and the stage did not ask for one.
        StageExecutionError: The stage returned a failure in words.
        BaseException: What the stage raised, or gave to StageOutput.fail: that very exception.
    """
    given = dict(inputs or {})
    spec = _spec_of(stage, name, options, given)
    dependencies = _dependencies_of(spec)
    _check_read(spec, given, dependencies)
    fakes = [_fake(spec, other, given.get(other, _ABSENT)) for other in dependencies]
    alone = replace(spec, terminal_routes=spec.routes, critical=True)  # what lies behind its routes is not here
    checked = tuple(interceptors)
    pipeline = Pipeline(f"test of {spec.name}", [*fakes, alone], interceptors=checked)
    if checked and fakes:
        around = [around_stage(spec.name, interceptor) for interceptor in checked]
        pipeline = Pipeline(pipeline.name, [*fakes, alone], interceptors=around)
    if event_sink is not None and fakes:
        PipelineContext(event_sink=event_sink)  # which refuses what is none, by its own name
        event_sink = SinkWithoutFakes(event_sink, dependencies)
    beside: dict[str, Any] = {
        "ports": ports,
        "config": config,
        "event_sink": event_sink,
        "run_store": run_store,
        "limits": limits,
        "correlation": correlation,
    }
    snapshot = make_snapshot() if snapshot is None else snapshot
    results = await pipeline.start(snapshot, **beside).outcome()
    if decision is not _NO_DECISION:
        ended = results[spec.name]
        if ended.status is StageStatus.SUSPEND:
            results = await pipeline.start(resume=results, decisions={spec.name: decision}, **beside).outcome()
        elif ended.status is not StageStatus.FAIL:
            raise AssertionError(f"Stage '{spec.name}' was to ask for a decision, and ended {_shown(ended)}.")
    return _output(spec.name, results, missing=[other for other in dependencies if other not in given])


def _spec_of(runner: Any, name: str | None, options: dict[str, Any], given: Mapping[str, Any]) -> StageSpec[Any]:
    if isinstance(runner, StageSpec):
        if name is not None or options:
            told = ", ".join([*(["name"] if name is not None else ()), *options])
            raise TypeError(f"run_stage() takes {told} beside a runner; what @stage made has options of its own.")
        return cast("StageSpec[Any]", runner)
    if not {"dependencies", "optional", "streams", "map_over"} & options.keys() and hasattr(runner, "execute"):
        options = {
            **options,
            "dependencies": tuple(name for name, one in given.items() if not isinstance(one, Chunks)),
            "streams": tuple(name for name, one in given.items() if isinstance(one, Chunks)),
        }
    own = getattr(runner, "name", None) or getattr(runner, "__name__", None)
    return stage(name or (own if isinstance(own, str) and own.isidentifier() else "stage"), runner, **options)


def _dependencies_of(spec: StageSpec[Any]) -> list[str]:
    """Return what the stage depends on, by name or by a parameter: what is missing in a pipeline of it alone."""
    try:
        Pipeline("alone", [replace(spec, route=None, terminal_routes=spec.routes)]).build()
    except PipelineValidationError as error:
        missing = [fault.dependency for fault in error.faults if isinstance(fault, UnknownDependencyError)]
        if not missing:
            raise
        return list(dict.fromkeys([*missing, *(spec.route or ())]))
    return list(spec.route or ())


def _check_read(spec: StageSpec[Any], given: Mapping[str, Any], dependencies: list[str]) -> None:
    for name in given:
        if name not in dependencies:
            near = get_close_matches(name, dependencies, n=1)
            meant = f" Did you mean '{near[0]}'?" if near else ""
            raise TypeError(
                f"Stage '{spec.name}' does not depend on '{name}', which inputs= gives it.{meant} "
                f"It depends on: {', '.join(dependencies) or 'nothing'}."
            )


class _Absent:
    """An input that was not given."""


_ABSENT = _Absent()


def _fake(spec: StageSpec[Any], name: str, given: Any) -> StageSpec[Any]:
    """Return a stage that stands for a dependency, and says what it returns, so that the build can compare types."""
    route = (spec.route or {}).get(name)
    if route is not None:
        data: Mapping[str, Any] = {} if isinstance(given, _Absent) else given
        return stage(name, _returning({**data, "route": route}), kind=StageKind.ROUTE, routes=(route,))
    if isinstance(given, _Absent):
        given = StageOutput.skip("run_stage() was given no such input")
    if isinstance(given, BaseException):
        return stage(name, _raising(given), critical=False)
    if isinstance(given, Chunks):
        return stage(name, _yielding(given.chunks))
    return stage(name, _returning(given), critical=False)


def _returning(given: Any) -> Callable[[], Any]:
    async def fake() -> Any:
        return given

    is_output = isinstance(given, StageOutput)
    fake.__annotations__["return"] = Any if is_output else Mapping[str, Any] if _is_mapping(given) else type(given)
    return fake


def _is_mapping(given: Any) -> bool:
    return given is None or isinstance(given, Mapping)


def _raising(error: BaseException) -> Callable[[], Any]:
    async def fake() -> Any:
        raise error

    return fake


def _yielding(chunks: tuple[Any, ...]) -> Callable[[], Any]:
    async def fake() -> AsyncIterator[Any]:
        for chunk in chunks:
            yield chunk

    return fake


def _output(name: str, results: PipelineResults, *, missing: list[str]) -> StageOutput[Any]:
    """Return what the stage ended with, or raise what it failed with."""
    output, origin = results[name], results.record(name).origin
    if output.status is StageStatus.SKIP and origin in missing:
        raise TypeError(
            f"Stage '{name}' depends on '{origin}', of which no output was given: "
            f"run_stage({name}, {{'{origin}': ...}})."
        )
    if output.status is not StageStatus.FAIL:
        return output
    if output.error is not None and output.error.exception is not None:
        raise output.error.exception
    assert results.error is not None, "a stage that is critical fails its run"
    raise results.error


def _shown(output: StageOutput[Any]) -> str:
    about = output.reason or (output.error.message if output.error is not None else "")
    return f"{output.status.name} ({about})" if about else output.status.name
