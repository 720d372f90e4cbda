"""What a run leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast, get_args, overload

from stageflow.context.snapshot import ContextSnapshot
from stageflow.core.handle import StageHandle, StageRef
from stageflow.core.inputs import Stored
from stageflow.core.kinds import StageStatus
from stageflow.core.output import StageOutput, plain
from stageflow.core.output_json import output_from_dict, output_to_dict
from stageflow.core.timer import PipelineTimer
from stageflow.errors import SerializationError, StageflowError, StageOutcomeError, UnknownStageError
from stageflow.frozen import EMPTY, FrozenDict, freeze_mapping
from stageflow.serialization import (
    as_object,
    at_path,
    expect,
    expect_fields,
    expect_list,
    expect_number,
    expect_version,
)
from stageflow.typed_json.writing import write
from stageflow.value import Value

SCHEMA_VERSION = 1

U = TypeVar("U")

RunStatus = Literal["completed", "failed", "cancelled", "suspended"]


class Suspension(Value):
    """What a suspended run keeps for the one that resumes it.

    Attributes:
        snapshot: What the run was asked.
        plan: The fingerprint of its plan: a hash for each stage, and under "" one of the pipeline's own options.
        first_run_id: The id of the run that all began with, which idempotency keys are made of.
        input_kinds: If this comes from JSON, what was written of the types in the snapshot's input.
    """

    __slots__ = ("first_run_id", "input_kinds", "plan", "snapshot")

    snapshot: ContextSnapshot
    plan: Mapping[str, str]
    first_run_id: str
    input_kinds: Any

    def __init__(
        self,
        snapshot: ContextSnapshot,
        plan: Mapping[str, str],
        first_run_id: str,
        input_kinds: Any = None,
    ) -> None:
        object.__setattr__(self, "snapshot", snapshot)
        object.__setattr__(self, "plan", plan)
        object.__setattr__(self, "first_run_id", first_run_id)
        object.__setattr__(self, "input_kinds", input_kinds)


class StageResult(Value):
    """The run's record of one stage.

    Attributes:
        name: Name of the stage.
        output: How it ended and what it returned.
        attempts: How often it was started; 0 if it never was.
        started_at: Start of the first attempt in seconds since the epoch, or None.
        duration_ms: From its start to its end, 0.0 if it never started.
        origin: The stage or the reason that kept it from running or stopped it, or None.
        statistics: What it counted of its streams, its items and its permits, JSON-ready; empty if it has none.
    """

    __slots__ = ("attempts", "duration_ms", "name", "origin", "output", "started_at", "statistics")

    name: str
    output: StageOutput[Any]
    attempts: int
    started_at: float | None
    duration_ms: float
    origin: str | None
    statistics: Mapping[str, Any]

    def __init__(
        self,
        name: str,
        output: StageOutput[Any],
        attempts: int,
        started_at: float | None,
        duration_ms: float,
        origin: str | None = None,
        statistics: Mapping[str, Any] = EMPTY,
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "output", output)
        object.__setattr__(self, "attempts", attempts)
        object.__setattr__(self, "started_at", started_at)
        object.__setattr__(self, "duration_ms", duration_ms)
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "statistics", statistics)

    @property
    def status(self) -> StageStatus:
        return self.output.status


class StageTimes:
    """When each stage of a run started and ended, as the run noted it, for `RunLog.times`.

    It holds no more of the run than that: the results would else keep all of it, and be part of a reference cycle.
    """

    __slots__ = ("_attempts", "_carried", "_ended", "_started", "_timer")

    def __init__(
        self,
        started: Sequence[int],
        ended: Sequence[int],
        timer: PipelineTimer,
        attempts: Mapping[int, int],
        carried: Mapping[int, StageResult],
    ) -> None:
        self._started = started
        self._ended = ended
        self._timer = timer
        self._attempts = attempts
        self._carried = carried

    def __call__(self, index: int) -> tuple[int, float | None, float]:
        started = self._started[index]
        if started:
            duration_ms = (self._ended[index] - started) / 1e6
            return self._attempts.get(index, 1), self._timer.moment(started), duration_ms
        if index in self._carried:
            record = self._carried[index]
            return record.attempts, record.started_at, record.duration_ms
        return 0, None, 0.0


_NO_STATISTICS = FrozenDict[int, Any]()


class RunLog:
    """The columns that a run writes while it goes, one entry a stage; records are made of them when asked for.

    `times` gives the attempts, the start and the duration of a stage, as in `StageResult`. Of most stages there are no
    statistics.
    """

    __slots__ = ("index", "names", "origins", "outputs", "statistics", "times")

    def __init__(
        self,
        names: Sequence[str],
        index: Mapping[str, int],
        outputs: Sequence[Stored],
        origins: Mapping[int, str],
        times: Callable[[int], tuple[int, float | None, float]],
        statistics: Mapping[int, Mapping[str, Any]] = _NO_STATISTICS,
    ) -> None:
        self.names = names
        self.index = index
        self.outputs = outputs
        self.origins = origins
        self.times = times
        self.statistics = statistics

    @classmethod
    def of(cls, records: Sequence[StageResult]) -> RunLog:
        """Lay finished records out as columns again."""
        return cls(
            names=tuple(record.name for record in records),
            index={record.name: index for index, record in enumerate(records)},
            outputs=[record.output for record in records],
            origins={index: record.origin for index, record in enumerate(records) if record.origin is not None},
            times=lambda index: (records[index].attempts, records[index].started_at, records[index].duration_ms),
            statistics={index: record.statistics for index, record in enumerate(records) if record.statistics},
        )


class PipelineResults(Mapping[str, StageOutput[Any]]):
    """The outcome of every stage of a run, by name or handle, in plan order.

    Made by a run, with the snapshot that it was `asked`, or of JSON, with the id that stands there.

    Attributes:
        pipeline: Name of the pipeline.
        pipeline_run_id: Id of the run.
        status: "completed", "failed", "cancelled" or "suspended".
        duration_ms: Of the whole run.
        error: What the run raised, or None. It is not part of `to_dict`.
        stragglers: Stages that did not stop when they were cancelled, and were left behind.
        events_lost: How many events the sink dropped or failed to take.
        records_lost: How much of what became of the run, and of its children, the run store failed to take.
        resumed_from: The id of the suspended run that this one resumed, or None.
        suspension: What the run that resumes this one goes by, or None if it is not suspended.
    """

    __slots__ = (
        "_asked",
        "_log",
        "duration_ms",
        "error",
        "events_lost",
        "pipeline",
        "records_lost",
        "resumed_from",
        "status",
        "stragglers",
        "suspension",
    )

    def __init__(
        self,
        log: RunLog,
        pipeline: str,
        asked: ContextSnapshot | str,
        status: RunStatus,
        duration_ms: float,
        *,
        stragglers: tuple[str, ...] = (),
        events_lost: int = 0,
        records_lost: int = 0,
        resumed_from: str | None = None,
        suspension: Suspension | None = None,
    ) -> None:
        self._log = log
        self.pipeline = pipeline
        self._asked = asked
        self.status: RunStatus = status
        self.duration_ms = duration_ms
        self.stragglers = stragglers
        self.events_lost = events_lost
        self.records_lost = records_lost
        self.resumed_from = resumed_from
        self.suspension = suspension
        self.error: StageflowError | None = None

    @property
    def pipeline_run_id(self) -> str:
        return self._asked if isinstance(self._asked, str) else self._asked.run_id.pipeline_run_id

    @overload
    def __getitem__(self, stage: StageHandle[U], /) -> StageOutput[U]: ...
    @overload
    def __getitem__(self, stage: str, /) -> StageOutput[Any]: ...
    def __getitem__(self, stage: Any, /) -> StageOutput[Any]:
        return self._output(self._position(stage))

    def __iter__(self) -> Iterator[str]:
        return iter(self._log.names)

    def __len__(self) -> int:
        return len(self._log.names)

    def __contains__(self, stage: object) -> bool:
        return (stage.name if isinstance(stage, StageHandle) else stage) in self._log.index

    def failed(self) -> tuple[str, ...]:
        """Return the names of the stages that failed, in plan order."""
        return self._with(StageStatus.FAIL)

    def skipped(self) -> tuple[str, ...]:
        """Return the names of the stages that were skipped, in plan order."""
        return self._with(StageStatus.SKIP)

    def suspended(self) -> tuple[str, ...]:
        """Return the names of the stages that ask for a decision, in plan order; not those that only wait for these."""
        waiting = self._with(StageStatus.SUSPEND)
        return tuple(name for name in waiting if self._log.index[name] not in self._log.origins)

    def data(self, stage: StageRef) -> Mapping[str, Any]:
        """Return the data of a stage.

        Raises:
            UnknownStageError: The plan has no such stage.
            StageOutcomeError: It did not end OK.
        """
        return self._ok(stage).data

    @overload
    def value(self, stage: StageHandle[U], /) -> U: ...
    @overload
    def value(self, stage: str, /) -> Any: ...
    def value(self, stage: Any, /) -> Any:
        """Return the value of a stage, typed by its handle.

        Raises:
            UnknownStageError: The plan has no such stage.
            StageOutcomeError: It did not end OK; the error names its status and where that began.
        """
        return self._ok(stage).value

    def record(self, stage: StageRef) -> StageResult:
        """Return the run's record of a stage: times, attempts, origin."""
        index, log = self._position(stage), self._log
        attempts, started_at, duration_ms = log.times(index)
        statistics = log.statistics.get(index)
        return StageResult(
            name=log.names[index],
            output=self._output(index),
            attempts=attempts,
            started_at=started_at,
            duration_ms=duration_ms,
            origin=log.origins.get(index),
            statistics=EMPTY if statistics is None else freeze_mapping(statistics),
        )

    def records(self) -> tuple[StageResult, ...]:
        """Return the records of all stages, in plan order."""
        return tuple(self.record(name) for name in self)

    def to_dict(self) -> dict[str, Any]:
        """Return the results as JSON-ready data.

        Raises:
            SerializationError: What a stage returned or a suspended run was asked is not JSON; `path` leads to it.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "pipeline": self.pipeline,
            "pipeline_run_id": self.pipeline_run_id,
            "status": self.status,
            "duration_ms": self.duration_ms,
            "stragglers": list(self.stragglers),
            "events_lost": self.events_lost,
            "records_lost": self.records_lost,
            "resumed_from": self.resumed_from,
            "suspension": None if self.suspension is None else _suspension_to_dict(self.suspension),
            "stages": {record.name: _record_to_dict(record) for record in self.records()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PipelineResults:
        """Read what `to_dict` wrote; contract values come back as their mappings.

        Raises:
            SchemaVersionError: A newer Stageflow wrote it.
            SerializationError: It is malformed; `path` says where.
        """
        fields = as_object(data, "$")
        expect_version(fields.pop("schema_version", None), SCHEMA_VERSION)
        records_lost = fields.pop("records_lost", 0)  # absent from what earlier versions wrote
        expect_fields(fields, _FIELDS, "$")
        status = expect(fields.get("status"), str, "$.status")
        if status not in get_args(RunStatus):
            raise SerializationError("$.status", f"'{status}' is not the status of a run.")
        stages = as_object(fields.get("stages"), "$.stages")
        stragglers = expect_list(fields.get("stragglers"), "$.stragglers")
        return cls(
            RunLog.of([_read_record(name, value) for name, value in stages.items()]),
            pipeline=expect(fields.get("pipeline"), str, "$.pipeline"),
            asked=expect(fields.get("pipeline_run_id"), str, "$.pipeline_run_id"),
            status=cast("RunStatus", status),
            duration_ms=expect_number(fields.get("duration_ms"), "$.duration_ms"),
            stragglers=tuple(expect(name, str, f"$.stragglers[{i}]") for i, name in enumerate(stragglers)),
            events_lost=expect(fields.get("events_lost"), int, "$.events_lost"),
            records_lost=expect(records_lost, int, "$.records_lost"),
            resumed_from=_text_or_none(fields.get("resumed_from"), "$.resumed_from"),
            suspension=_read_suspension(fields.get("suspension"), "$.suspension"),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PipelineResults):
            return NotImplemented
        return self._summary() == other._summary() and self.records() == other.records()

    __hash__ = None

    def __repr__(self) -> str:
        stages = ", ".join(f"{name}={self[name].status.name}" for name in list(self)[:20])
        more = ", ..." if len(self) > 20 else ""
        return f"<PipelineResults of '{self.pipeline}': {self.status} in {self.duration_ms:.1f} ms, {stages}{more}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Without `error`, which holds these results itself: pickle cannot close that circle.
        return _restore, (self.records(), self._summary())

    def _summary(self) -> tuple[Any, ...]:
        return (
            self.pipeline,
            self.pipeline_run_id,
            self.status,
            self.duration_ms,
            self.stragglers,
            self.events_lost,
            self.records_lost,
            self.resumed_from,
            self.suspension,
        )

    def _position(self, stage: Any) -> int:
        name: Any = stage.name if isinstance(stage, StageHandle) else stage
        try:
            return self._log.index[name]
        except (KeyError, TypeError):
            raise UnknownStageError(name, pipeline=self.pipeline, stages=self._log.names) from None

    def _output(self, index: int) -> StageOutput[Any]:
        stored = self._log.outputs[index]
        return plain(stored) if isinstance(stored, FrozenDict) else cast("StageOutput[Any]", stored)

    def _ok(self, stage: StageRef) -> StageOutput[Any]:
        index = self._position(stage)
        output = self._output(index)
        if output.status is StageStatus.OK:
            return output
        raise StageOutcomeError(
            self._log.names[index],
            status=output.status.name,
            why=str(output.error) if output.error else output.reason,
            origin=self._log.origins.get(index),
        )

    def _with(self, status: StageStatus) -> tuple[str, ...]:
        return tuple(
            name
            for name, stored in zip(self._log.names, self._log.outputs, strict=True)
            if not isinstance(stored, FrozenDict) and stored is not None and stored.status is status
        )


_FIELDS = (
    "pipeline",
    "pipeline_run_id",
    "status",
    "duration_ms",
    "stragglers",
    "events_lost",
    "resumed_from",
    "suspension",
    "stages",
)
_RECORD_FIELDS = ("output", "attempts", "started_at", "duration_ms", "origin", "statistics")


def _record_to_dict(record: StageResult) -> dict[str, Any]:
    return {
        "output": output_to_dict(record.output, f"$.stages.{record.name}.output"),
        "attempts": record.attempts,
        "started_at": record.started_at,
        "duration_ms": record.duration_ms,
        "origin": record.origin,
        "statistics": dict(record.statistics),
    }


def _read_record(name: str, value: Any) -> StageResult:
    path = f"$.stages.{name}"
    fields = as_object(value, path)
    expect_fields(fields, _RECORD_FIELDS, path)
    started = fields.get("started_at")
    return StageResult(
        name=name,
        output=output_from_dict(as_object(fields.get("output"), f"{path}.output"), f"{path}.output"),
        attempts=expect(fields.get("attempts"), int, f"{path}.attempts"),
        started_at=None if started is None else expect_number(started, f"{path}.started_at"),
        duration_ms=expect_number(fields.get("duration_ms"), f"{path}.duration_ms"),
        origin=_text_or_none(fields.get("origin"), f"{path}.origin"),
        statistics=freeze_mapping(as_object(fields.get("statistics"), f"{path}.statistics")),
    )


def _text_or_none(value: Any, path: str) -> str | None:
    return None if value is None else expect(value, str, path)


def _suspension_to_dict(suspension: Suspension) -> dict[str, Any]:
    # A contract value as input is written as the outputs of stages are, so that it can be made again.
    data, kinds = write(suspension.snapshot.input, "$.suspension.snapshot.input")
    snapshot = suspension.snapshot.replace(input=data)
    return {
        "snapshot": at_path("$.suspension.snapshot", snapshot.to_dict),
        "plan": dict(suspension.plan),
        "first_run_id": suspension.first_run_id,
        "input_kinds": kinds if suspension.input_kinds is None else suspension.input_kinds,
    }


def _read_suspension(value: Any, path: str) -> Suspension | None:
    if value is None:
        return None
    fields = as_object(value, path)
    expect_fields(fields, Suspension.__slots__, path)
    return Suspension(
        snapshot=at_path(f"{path}.snapshot", lambda: ContextSnapshot.from_dict(fields["snapshot"])),
        plan={
            name: expect(digest, str, f"{path}.plan.{name}")
            for name, digest in as_object(fields["plan"], f"{path}.plan").items()
        },
        first_run_id=expect(fields["first_run_id"], str, f"{path}.first_run_id"),
        input_kinds=fields["input_kinds"],
    )


def _restore(records: tuple[StageResult, ...], summary: tuple[Any, ...]) -> PipelineResults:
    pipeline, pipeline_run_id, status, duration_ms, stragglers, events_lost, records_lost, *others = summary
    resumed_from, suspension = others
    return PipelineResults(
        RunLog.of(records),
        pipeline=pipeline,
        asked=pipeline_run_id,
        status=status,
        duration_ms=duration_ms,
        stragglers=stragglers,
        events_lost=events_lost,
        records_lost=records_lost,
        resumed_from=resumed_from,
        suspension=suspension,
    )
