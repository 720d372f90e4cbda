"""The events that a run emits for its stages, and what stands in them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from stageflow.core.inputs import Stored
from stageflow.core.kinds import StageStatus
from stageflow.core.output import ErrorInfo, StageOutput
from stageflow.errors import MapItemError, RunResults, StageContractError, StageExecutionError, StageflowError
from stageflow.events.emitter import Emitter
from stageflow.events.secret_text import redacted_text
from stageflow.execution.plan import PlanNode
from stageflow.wording import listed, text_of, type_name

logger = logging.getLogger(__name__)

EVENT_OF = {
    StageStatus.OK: "completed",
    StageStatus.FAIL: "failed",
    StageStatus.SKIP: "skipped",
    StageStatus.CANCEL: "cancelled",
    StageStatus.SUSPEND: "suspended",
}


def publish(emitter: Emitter, stage: str, attempt: int | None, output: StageOutput[Any]) -> None:
    """Emit the artifacts and the events that a stage returned."""
    for artifact in output.artifacts:
        payload = {"type": artifact.type, "payload": artifact.payload}
        emitter.emit(f"stage.{stage}.artifact", stage=stage, attempt=attempt, data=payload)
    for event in output.events:
        emitter.emit(event.type, stage=stage, attempt=attempt, data=event.data)


def announce_end(
    emitter: Emitter,
    node: PlanNode,
    output: StageOutput[Any],
    *,
    attempt: int | None,
    duration_ms: float | None,
    origin: str | None,
) -> None:
    """Emit what a stage published, and its terminal event."""
    publish(emitter, node.name, attempt, output)
    data: dict[str, Any] = {}
    if output.error is not None:
        data["error"] = error_data(output.error)
    if output.reason is not None:
        data["reason"] = output.reason
    if output.status is StageStatus.SUSPEND:
        data["request"] = output.data
    if output.status is StageStatus.FAIL and not node.critical:
        data["critical"] = False
    if origin is not None:
        data["origin"] = origin
    emitter.emit(
        f"stage.{node.name}.{EVENT_OF[output.status]}",
        stage=node.name,
        status=output.status.value,
        attempt=attempt,
        duration_ms=duration_ms,
        data=data or None,
    )


def run_error_data(error: StageflowError) -> dict[str, Any]:
    """Return what a run raises as data for others; of what broke a contract it tells the type alone."""
    message, began = error.message, error
    while isinstance(began, StageExecutionError):  # of a child's failure down to where it began
        began = began.__cause__
    if isinstance(error, StageExecutionError) and isinstance(began, (StageContractError, MapItemError)):
        message = message.removesuffix(error.detail) + began.without_values
    return {"message": message, "type": type(error).__qualname__, "code": error.code}


def announce_retry(
    emitter: Emitter, stage: str, attempt: int, delay_s: float, failure: ErrorInfo, *, index: int | None = None
) -> None:
    """Emit that an attempt failed, of the item with this index if the stage is mapped, and that another one follows."""
    data: dict[str, Any] = {"error": error_data(failure), "delay_s": delay_s, "next_attempt": attempt + 1}
    if index is not None:
        data["index"] = index
    emitter.emit(f"stage.{stage}.retrying", stage=stage, attempt=attempt, data=data)


def announce_straggler(emitter: Emitter | None, stage: str, grace_s: float) -> None:
    """Log and emit that a stage was left behind, since it did not stop."""
    logger.warning("Stage '%s' did not stop within %g s of its cancellation, and was left behind.", stage, grace_s)
    if emitter is not None:
        emitter.emit(f"stage.{stage}.straggling", stage=stage, data={"cancel_grace_s": grace_s})


def announce_child_straggler(emitter: Emitter | None, stage: str, child: RunResults, grace_s: float) -> None:
    """Log and emit that a child of a stage left stages behind, since they did not stop."""
    pipeline, names = child.pipeline, child.stragglers
    logger.warning("Stage '%s' ran pipeline '%s', which left behind: %s.", stage, pipeline, listed(names))
    if emitter is not None:
        left = {"cancel_grace_s": grace_s, "pipeline": pipeline, "child_run_id": child.pipeline_run_id}
        emitter.emit(f"stage.{stage}.straggling", stage=stage, data={**left, "stages": list(names)})


def report_late_end(stage: str, attempt: asyncio.Future[Any]) -> None:
    """Log how an attempt ended that was left behind: it changes nothing any more."""
    error = None if attempt.cancelled() else attempt.exception()
    how = "was cancelled" if attempt.cancelled() else "returned"
    if error is not None:
        how = f"raised {type_name(error)}: {redacted_text(text_of(error))}"
    logger.warning("Stage '%s' ended after it had been left behind: it %s.", stage, how)


def end_in_words(stored: Stored) -> str:
    """Say how a stage ended, for a log: what it returned is not for it."""
    if not isinstance(stored, StageOutput):
        return StageStatus.OK.name
    why = stored.error or stored.reason
    return stored.status.name if why is None else f"{stored.status.name}: {redacted_text(str(why))}"


def error_data(info: ErrorInfo) -> dict[str, Any]:
    """Return an error as the data of an event; of what broke a contract it tells the type alone."""
    error = info.exception
    message = error.without_values if isinstance(error, (StageContractError, MapItemError)) else info.message
    return {"message": message, "type": info.type, "code": info.code}
