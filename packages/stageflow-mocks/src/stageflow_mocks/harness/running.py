"""One stage, run for real with everything around it given."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast, overload

from stageflow import (
    ConfigProvider,
    ContextSnapshot,
    CorrelationIds,
    EventSink,
    Limits,
    NoOpEventSink,
    Pipeline,
    PipelineContext,
    PipelineResults,
    PipelineRun,
    PipelineValidationError,
    RunStore,
    StageflowError,
    StageOutput,
    StageSpec,
    StageStatus,
    get_event_sink,
    stage,
)
from stageflow.errors import InvalidStreamError, UnknownDependencyError

from stageflow_mocks.harness.contexts import make_snapshot
from stageflow_mocks.harness.only_one_stage import SinkWithoutFakes, around_stage
from stageflow_mocks.harness.stand_ins import ABSENT, Chunks, stand_in
from stageflow_mocks.wording import nearest

T = TypeVar("T")

_NO_DECISION: Any = object()
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


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
            that fails, and `Chunks` for one that it reads as a stream. An optional one that is not given is absent. A
            router takes the way to the stage unless its `route` says another.
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
        TypeError: A required input is missing, one is given that the stage does not read, or that no stage ends with.
        PipelineValidationError: The stage itself is wrong.
        AssertionError: A decision was given, and the stage did not ask for one.
        StageExecutionError: The stage returned a failure in words.
        BaseException: What the stage raised, or gave to StageOutput.fail: that very exception.
    """
    given = _given(inputs, snapshot)
    spec = _spec_of(stage, name, options, given)
    dependencies = _dependencies_of(spec)
    _check_read(spec, given, dependencies)
    streams = _streams_of(spec, dependencies)
    stand_ins = [stand_in(spec, one, given.get(one, ABSENT), streams=one in streams) for one in dependencies]
    pipeline = _alone(spec, stand_ins, interceptors)
    beside: dict[str, Any] = {
        "ports": ports,
        "config": config,
        "event_sink": _sink_of(event_sink, dependencies),
        "run_store": run_store,
        "limits": limits,
        "correlation": correlation,
    }
    results = await _ended(pipeline.start(make_snapshot() if snapshot is None else snapshot, **beside))
    if decision is not _NO_DECISION:
        ended = results[spec.name]
        if ended.status is StageStatus.SUSPEND:
            results = await _ended(pipeline.start(resume=results, decisions={spec.name: decision}, **beside))
        elif ended.status is not StageStatus.FAIL:
            raise AssertionError(f"Stage '{spec.name}' was to ask for a decision, and ended {_shown(ended)}.")
    return _output(spec.name, results, missing=[other for other in dependencies if other not in given])


def _given(inputs: Any, snapshot: Any) -> dict[str, Any]:
    """Return the inputs, once both are seen to be what they have to be."""
    if isinstance(inputs, ContextSnapshot):
        raise TypeError("run_stage() takes the snapshot after the inputs: run_stage(stage, snapshot=...).")
    if inputs is not None and not isinstance(inputs, Mapping):
        raise TypeError(
            f"inputs of run_stage() is a mapping of what dependencies return, by name, not {_brief(inputs)}."
        )
    if snapshot is not None and not isinstance(snapshot, ContextSnapshot):
        raise TypeError(
            f"snapshot of run_stage() is a ContextSnapshot, not {_brief(snapshot)}. Make one: make_snapshot('hello')."
        )
    return dict(cast("Mapping[str, Any]", inputs or {}))


async def _ended(run: PipelineRun) -> PipelineResults:
    """Wait for the end of a run, which is cancelled if whoever waits is, and return its results however it ends."""
    with contextlib.suppress(StageflowError):
        await run
    return await run.outcome()


def _alone(spec: StageSpec[Any], stand_ins: list[StageSpec[Any]], interceptors: Any) -> Pipeline:
    """Return a pipeline of the stage and its stand-ins, of which the interceptors see the stage alone."""
    if not isinstance(interceptors, Iterable):
        raise TypeError(f"interceptors of run_stage() is a list: [{interceptors!r}].")
    alone = replace(spec, terminal_routes=spec.routes, critical=True)  # what lies behind its routes is not here
    around: list[Any] = list(cast("Iterable[Any]", interceptors))
    pipeline = Pipeline(f"test of {spec.name}", [*stand_ins, alone], interceptors=around)  # which checks them
    if not around or not stand_ins:
        return pipeline
    around = [around_stage(spec.name, interceptor) for interceptor in around]
    return Pipeline(pipeline.name, [*stand_ins, alone], interceptors=around)


def _sink_of(sink: EventSink | None, stand_ins: list[str]) -> EventSink | None:
    """Return the sink of the run, the current one unless given, which does not see what stands for other stages."""
    given = get_event_sink() if sink is None else sink
    if not stand_ins or isinstance(given, NoOpEventSink):
        return sink
    PipelineContext(event_sink=given)  # which refuses what is none, by its own name
    return SinkWithoutFakes(given, stand_ins)


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
    return stage(name or (own if isinstance(own, str) and _NAME.fullmatch(own) else "stage"), runner, **options)


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


def _streams_of(spec: StageSpec[Any], dependencies: list[str]) -> set[str]:
    """Return which of its dependencies the stage reads as streams: where a build finds none."""

    async def whole() -> Any:
        return None

    others = [stage(name, whole) for name in dependencies]
    try:
        Pipeline("alone", [*others, replace(spec, route=None, terminal_routes=spec.routes)]).build()
    except PipelineValidationError as error:
        return {fault.dependency for fault in error.faults if isinstance(fault, InvalidStreamError)}
    return set()


def _check_read(spec: StageSpec[Any], given: Mapping[str, Any], dependencies: list[str]) -> None:
    for name in given:
        if name not in dependencies:
            meant = nearest(name, dependencies)
            if name == "input":
                meant = "The run's own is in the snapshot: make_snapshot(input=...). "
            raise TypeError(
                f"Stage '{spec.name}' does not depend on '{name}', which inputs= gives it. {meant}"
                f"It depends on: {', '.join(dependencies) or 'nothing'}."
            )


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


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _shown(output: StageOutput[Any]) -> str:
    about = output.reason or (output.error.message if output.error is not None else "")
    return f"{output.status.name} ({about})" if about else output.status.name
