"""A line in the log for the start and the end of each attempt."""

from __future__ import annotations

import logging
from typing import Any

from stageflow.core.kinds import StageStatus
from stageflow.events.secret_text import redacted_text
from stageflow.interceptors.base import InterceptorContext
from stageflow.interceptors.telemetry import Ending, TelemetryInterceptor
from stageflow.wording import shown

logger = logging.getLogger("stageflow.stages")


class LoggingInterceptor(TelemetryInterceptor):
    """Logs when each attempt of each stage starts and ends: which one, how long it took, its status, its error.

    No data of a stage is logged, and secrets in the text of an error are not. The fields are in `extra`, under
    `stageflow`.

    Args:
        logger: Where to; `stageflow.stages` unless given.
        level: At what level, as in `logging`; failures are logged as warnings if that is more.

    Raises:
        TypeError: An argument is of another type.
    """

    priority = -100

    def __init__(self, logger: logging.Logger = logger, *, level: int = logging.INFO) -> None:
        super().__init__()
        if not isinstance(logger, (logging.Logger, logging.LoggerAdapter)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"The logger of {self.name} is a logging.Logger, not {shown(logger)}.")
        if isinstance(level, bool) or not isinstance(level, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"The level of {self.name} is a number, as logging.INFO is, not {shown(level)}.")
        self._logger = logger
        self._level = level

    def begin(self, ctx: InterceptorContext) -> None:
        """Log the start."""
        if self._logger.isEnabledFor(self._level):
            self._log(self._level, ctx, "Stage '%s' of pipeline '%s' started (attempt %d, run %s)", (), {})

    def end(self, ctx: InterceptorContext, begun: None, ending: Ending) -> None:
        """Log the end."""
        failed = ending.status is StageStatus.FAIL
        level = max(self._level, logging.WARNING) if failed else self._level
        if not self._logger.isEnabledFor(level):
            return
        fields: dict[str, Any] = {"status": ending.status.value, "duration_ms": ending.duration_ms}
        error = ending.error
        why = ""
        if error is not None:
            message = redacted_text(error.message)
            fields["error"] = {"type": error.type, "code": error.code, "message": message}
            why = ": " + ": ".join(part for part in (error.type, message) if part)
        text = "Stage '%s' of pipeline '%s' ended %s in %.1f ms%s (attempt %d, run %s)"
        self._log(level, ctx, text, (ending.status.value, ending.duration_ms, why), fields)

    def _log(
        self, level: int, ctx: InterceptorContext, text: str, told: tuple[object, ...], fields: dict[str, Any]
    ) -> None:
        run = ctx.run.snapshot.run_id.pipeline_run_id
        known = {
            "pipeline": ctx.pipeline,
            "stage": ctx.stage_name,
            "kind": ctx.kind.value,
            "attempt": ctx.attempt,
            "pipeline_run_id": run,
            **fields,
        }
        self._logger.log(level, text, ctx.stage_name, ctx.pipeline, *told, ctx.attempt, run, extra={"stageflow": known})
