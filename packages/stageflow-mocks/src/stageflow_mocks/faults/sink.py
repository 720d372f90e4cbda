"""An event sink that fails as a fault plan says."""

from __future__ import annotations

import asyncio
from typing import Any

from stageflow import EventSink

from stageflow_mocks.faults.plan import FaultPlan
from stageflow_mocks.faults.striking import Strike, Striker


class SinkFaultError(RuntimeError):
    """What a sink raises that a fault plan lets fail."""


class FailingEventSink:
    """Another sink, whose failures a fault plan decides; events of a type are counted over the life of this object.

    `sink_hangs` strikes an event that comes through `emit`, as the last one of a run does. `try_emit` cannot wait, so
    there it does nothing, and its entry in the record says so. `clock_skew` changes the timestamp of an event, and lets
    it pass: it comes as from a machine whose clock is off.
    """

    def __init__(self, sink: EventSink, plan: FaultPlan) -> None:
        if not isinstance(sink, EventSink):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"FailingEventSink takes an EventSink, not {sink!r}.")
        self._striker = Striker(plan, "FailingEventSink")
        self.sink = sink
        self.plan = plan

    async def emit(self, *, type: str, data: dict[str, Any] | None) -> bool | None:
        for strike in self._striker.strikes("event", "", type):
            if strike.rule.fault == "sink_hangs":
                strike.struck()
                await asyncio.get_running_loop().create_future()
            elif strike.rule.fault == "clock_skew":
                data = _with_other_time(data, strike)
            elif not _passes(strike, type):
                return False
        return await self.sink.emit(type=type, data=data)

    def try_emit(self, *, type: str, data: dict[str, Any] | None) -> bool | None:
        for strike in self._striker.strikes("event", "", type):
            if strike.rule.fault == "clock_skew":
                data = _with_other_time(data, strike)
            elif strike.rule.fault != "sink_hangs" and not _passes(strike, type):
                return False
        return self.sink.try_emit(type=type, data=data)

    def record(self) -> dict[str, Any]:
        """Return what was done so far, as `FaultInterceptor.record` does."""
        return self._striker.record.to_dict()

    def check(self) -> None:
        """Refuse the plan, after its runs, if a rule was about no event that came.

        Raises:
            FaultPlanError: It is the first such rule.
        """
        self.plan.check_places(self._striker.record.places(), "event")


def _passes(strike: Strike, type: str) -> bool:
    strike.struck()
    if strike.rule.fault == "sink_raises":
        raise SinkFaultError(f"Fault 'sink_raises' of the plan, at event '{type}'.")
    return strike.rule.fault != "sink_drops"


def _with_other_time(data: dict[str, Any] | None, strike: Strike) -> dict[str, Any] | None:
    if data is None or not isinstance(data.get("timestamp"), (int, float)):
        return data
    strike.struck()
    return {**data, "timestamp": data["timestamp"] + strike.seconds}
