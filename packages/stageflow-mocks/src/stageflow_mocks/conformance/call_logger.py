"""What a ProviderCallLogger promises."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from stageflow import Pipeline, ProviderCallLogger, RetryPolicy, StageContext, StagePorts, stage
from stageflow.calls import logged_call
from stageflow.errors import ProviderServerError

from stageflow_mocks.conformance.suite import Conformance, ends_when_cancelled, not_told, promise, promised
from stageflow_mocks.harness.recording_sink import RecordingEventSink

_CALL: Mapping[str, Any] = {
    "operation": "chat",
    "provider": "p",
    "model": "m",
    "run_id": "r",
    "stage": "s",
    "attempt": 1,
}


class ProviderCallLoggerConformance(Conformance[ProviderCallLogger]):
    """Subclass it, and give `make`; `record` too if records can be read.

    Attributes:
        keeps: Whether the logger keeps records, as opposed to one that keeps nothing.
    """

    keeps: bool = True

    async def record(self, logger: ProviderCallLogger, call_id: UUID) -> Mapping[str, Any] | None:
        """Return what is kept of a call, by the names that the methods have for it; None if that cannot be known."""
        return None

    @promised
    async def test_it_fits_the_protocol(self, logger: ProviderCallLogger) -> None:
        """It can be the port `call_logger`."""
        StagePorts(call_logger=logger)

    @promised
    async def test_a_call_has_an_id(self, logger: ProviderCallLogger) -> None:
        """It is a UUID, and each call has another."""
        ids: list[Any] = await asyncio.gather(*(logger.log_call_start(**_CALL) for _ in range(20)))
        promise(all(isinstance(one, UUID) for one in ids), f"`log_call_start` returns a UUID, not {ids[0]!r}.")
        promise(not self.keeps or len(set(ids)) == 20, "Each call has an id of its own.")

    @promised
    async def test_any_details_are_taken(self, logger: ProviderCallLogger) -> None:
        """Numbers, strings, bools and None under any name, the provider's default model, and each way to end."""
        for status, code in (("ok", None), ("error", "provider-rate-limited"), ("cancelled", None)):
            details: dict[str, Any] = {
                "messages": 3,
                "ratio": 0.5,
                "made_up_later": "ü",
                "cached": True,
                "nothing": None,
                # What logging, databases and other libraries have meanings of their own for.
                "name": "n",
                "message": "m",
                "args": 1,
                "id": "i",
            }
            call_id = await logger.log_call_start(**{**_CALL, "model": None}, **details)
            ended: dict[str, Any] = {"status": status, "duration_ms": 1.5, "error_code": code, "tokens": 7}
            await logger.log_call_end(call_id, **ended, nothing_at_all=None)
            await self._kept(logger, call_id, optional=True, model=None, status=status, error_code=code)

    @promised
    async def test_calls_end_in_any_order(self, logger: ProviderCallLogger) -> None:
        """The end of a call belongs to its beginning, however many are under way."""
        calls: list[dict[str, Any]] = [{**_CALL, "stage": f"s{number}"} for number in range(10)]
        ids = await asyncio.gather(*(logger.log_call_start(**call) for call in calls))
        ends = [
            logger.log_call_end(ids[number], status="ok" if number % 2 else "error", duration_ms=float(number))
            for number in (3, 9, 0, 7, 1, 8, 2, 6, 5, 4)
        ]
        await asyncio.gather(*ends)
        for number in range(10):
            status = "ok" if number % 2 else "error"
            await self._kept(logger, ids[number], stage=f"s{number}", status=status, duration_ms=float(number))

    @promised
    async def test_what_is_told_is_kept(self, logger: ProviderCallLogger) -> None:
        """All that is told of a call can be read, with its details."""
        call_id = await logger.log_call_start(**_CALL, messages=3)
        await logger.log_call_end(call_id, status="error", duration_ms=2.0, error_code="provider-server", tokens=7)
        told: dict[str, Any] = {
            **_CALL,
            "messages": 3,
            "status": "error",
            "duration_ms": 2.0,
            "error_code": "provider-server",
            "tokens": 7,
        }
        await self._kept(logger, call_id, **told)

    @promised
    async def test_a_cancelled_call_ends(self, logger: ProviderCallLogger) -> None:
        """It has a second for each call, and is cancelled then: it stops, and takes what comes next."""
        await ends_when_cancelled(lambda: logger.log_call_start(**_CALL))
        cancelled = await logger.log_call_start(**_CALL)
        await ends_when_cancelled(lambda: logger.log_call_end(cancelled, status="ok", duration_ms=1.0))
        call_id = await logger.log_call_start(**_CALL)
        await logger.log_call_end(call_id, status="ok", duration_ms=1.0)
        await self._kept(logger, call_id, status="ok", optional=True)

    @promised
    async def test_a_run_loses_no_record(self, logger: ProviderCallLogger) -> None:
        """The calls of a stage that is tried again are logged, each with its end."""
        sink, retry = RecordingEventSink(), RetryPolicy(max_attempts=2, base_delay=0.001, retry_on=ProviderServerError)
        pipeline = Pipeline("conformance", [stage("calls", _calls, retry=retry)])
        await pipeline.run(ports=StagePorts(call_logger=logger), event_sink=sink)
        lost = [event.data["data"] for event in sink.events if event.type == "provider.call.record_lost"]
        promise(not lost, f"Records of a run were lost: {lost}.")

    async def _kept(
        self, logger: ProviderCallLogger, call_id: UUID, *, optional: bool = False, **expected: Any
    ) -> None:
        record = await self.record(logger, call_id)
        if not self.keeps:
            promise(record is None, "A logger with keeps=False keeps nothing.")
            return
        if record is None:
            if not optional:
                not_told("`record` does not tell what is kept of a call")
            return
        for name, value in expected.items():
            promise(record.get(name) == value, f"`{name}` of a call is {value!r}, and reads {record.get(name)!r}.")


async def _calls(ctx: StageContext) -> None:
    async with logged_call(ctx, "chat", provider="p", messages=3) as call:
        call.note(tokens=7)
        if ctx.attempt == 1:
            raise ProviderServerError("as it should", provider="p")
