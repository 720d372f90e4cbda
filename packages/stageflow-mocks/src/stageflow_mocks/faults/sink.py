"""An event sink that fails as a fault plan says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from stageflow import EventSink

from stageflow_mocks.faults.plan import FaultPlan
from stageflow_mocks.faults.records import FaultRecord
from stageflow_mocks.faults.rules import FaultRule


class SinkFaultError(RuntimeError):
    """What a sink raises that a fault plan lets fail."""


class FailingEventSink:
    """Another sink, whose failures a fault plan decides; events of a type are counted over the life of this object.

    `sink_hangs` strikes an event that comes through `emit`, as the last one of a run does. `try_emit` cannot wait, so
    there it does nothing, and its entry in the record says so.
    """

    def __init__(self, sink: EventSink, plan: FaultPlan) -> None:
        if not isinstance(sink, EventSink):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"FailingEventSink takes an EventSink, not {sink!r}.")
        if not isinstance(plan, FaultPlan):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"FailingEventSink takes a FaultPlan, not {plan!r}.")
        self.sink = sink
        self.plan = plan
        self._record = FaultRecord()

    async def emit(self, *, type: str, data: dict[str, Any] | None) -> bool | None:
        for rule, entry in self._striking(type):
            entry["struck"] = True
            if rule.fault == "sink_hangs":
                await asyncio.get_running_loop().create_future()
            elif not _passes(rule, type):
                return False
        return await self.sink.emit(type=type, data=data)

    def try_emit(self, *, type: str, data: dict[str, Any] | None) -> bool | None:
        for rule, entry in self._striking(type):
            if rule.fault == "sink_hangs":
                continue
            entry["struck"] = True
            if not _passes(rule, type):
                return False
        return self.sink.try_emit(type=type, data=data)

    def record(self) -> dict[str, Any]:
        """Return what was done so far, as `FaultInterceptor.record` does."""
        return self._record.to_dict()

    def check(self) -> None:
        """Refuse the plan, after its runs, if a rule was about no event that came.

        Raises:
            FaultPlanError: It is the first such rule.
        """
        self.plan.check_places(self._record.places(), of_sink=True)

    def _striking(self, type: str) -> Iterator[tuple[FaultRule, dict[str, Any]]]:
        place = self._record.next_place("", type, None)
        for number, rule, _ in self.plan.striking(place, of_sink=True):
            yield rule, self._record.add(place, number, rule)


def _passes(rule: FaultRule, type: str) -> bool:
    if rule.fault == "sink_raises":
        raise SinkFaultError(f"Fault 'sink_raises' of the plan, at event '{type}'.")
    return rule.fault != "sink_drops"
