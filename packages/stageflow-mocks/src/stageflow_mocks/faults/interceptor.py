"""The interceptor that does what a fault plan says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from stageflow import BaseInterceptor, InterceptorContext, Pipeline, StageOutput
from stageflow.interceptors.base import FailStage, Proceed

from stageflow_mocks.faults.await_points import CancelledAt
from stageflow_mocks.faults.outputs import cut, with_wrong_types
from stageflow_mocks.faults.plan import FaultPlan
from stageflow_mocks.faults.records import FaultRecord
from stageflow_mocks.faults.rules import FaultRule, Place

PRIORITY = 500
"""Further in than the interceptors of stageflow, which take what a fault does for the stage's own doing."""

A_DAY_S = 86_400.0


class FaultInterceptor(BaseInterceptor):
    """Does what a fault plan says to the stages of a pipeline, and records it.

    A fault is outside of a stage's own `timeout=`, and inside of its `deadline=` and of a TimeoutInterceptor. Calls of
    a stage are counted over the life of this object, so one whose run is to be replayed has an object of its own.

    Args:
        plan: What is to be done.
        pipeline: The pipeline that it is for, if it is known: a rule about no stage of it is refused here.
        priority: Where it stands among other interceptors.
        hook_timeout: Seconds after which a hang, or another delay, that nothing ends fails its stage.

    Raises:
        FaultPlanError: A rule is about no stage of the pipeline.
    """

    calls_again = True

    def __init__(
        self,
        plan: FaultPlan,
        *,
        pipeline: Pipeline | None = None,
        priority: float = PRIORITY,
        hook_timeout: float = A_DAY_S,
    ) -> None:
        if not isinstance(plan, FaultPlan):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"FaultInterceptor takes a FaultPlan, not {plan!r}.")
        if pipeline is not None:
            plan.check(pipeline)
        self.plan = plan
        self.priority = priority
        self.hook_timeout = hook_timeout
        self._record = FaultRecord()

    async def around(self, ctx: InterceptorContext, call: Proceed) -> StageOutput[Any]:
        place = self._record.next_place(ctx.pipeline, ctx.stage_name, ctx.stage.index)
        for number, rule, seconds in reversed(list(self.plan.striking(place))):
            call = partial(self._strike, place, number, rule, seconds, call)
        return await call()

    def record(self) -> dict[str, Any]:
        """Return what was done so far: JSON-ready, for `FaultPlan.replay`, in the order of the names of the stages.

        `struck` says whether a fault had an effect: there may have been nothing to cut, or no k-th suspension.
        """
        return self._record.to_dict()

    def check(self) -> None:
        """Refuse the plan, after its runs, if a rule was about no stage that was called.

        Raises:
            FaultPlanError: It is the first such rule.
        """
        self.plan.check_places(self._record.places(), of_sink=False)

    async def _strike(
        self, place: Place, number: int, rule: FaultRule, seconds: float | None, call: Proceed
    ) -> StageOutput[Any]:
        entry = self._record.add(place, number, rule, seconds)
        struck = partial(entry.__setitem__, "struck", True)
        return await _FAULTS[rule.fault](rule, partial(self.plan.error_of, rule, place), seconds or 0.0, call, struck)


Struck = Callable[[], None]
MakeError = Callable[[], Exception]


async def _latency(_: FaultRule, __: MakeError, seconds: float, call: Proceed, struck: Struck) -> StageOutput[Any]:
    struck()
    await asyncio.sleep(seconds)
    return await call()


async def _error(_: FaultRule, error: MakeError, __: float, ___: Proceed, struck: Struck) -> StageOutput[Any]:
    struck()
    raise FailStage(error())


async def _hang(_: FaultRule, __: MakeError, ___: float, call: Proceed, struck: Struck) -> StageOutput[Any]:
    struck()
    await asyncio.get_running_loop().create_future()
    return await call()  # not reached: nobody else knows of the future


async def _wrong_type(_: FaultRule, __: MakeError, ___: float, call: Proceed, struck: Struck) -> StageOutput[Any]:
    return _changed(await call(), with_wrong_types, struck)


async def _truncated(rule: FaultRule, _: MakeError, __: float, call: Proceed, struck: Struck) -> StageOutput[Any]:
    return _changed(await call(), partial(cut, keep=cast("float", rule.keep)), struck)


async def _duplicated(_: FaultRule, __: MakeError, ___: float, call: Proceed, struck: Struck) -> StageOutput[Any]:
    await call()
    struck()
    return await call()


async def _reordered(_: FaultRule, __: MakeError, seconds: float, call: Proceed, struck: Struck) -> StageOutput[Any]:
    output = await call()
    struck()
    await asyncio.sleep(seconds)
    return output


async def _partial_write(_: FaultRule, error: MakeError, __: float, call: Proceed, struck: Struck) -> StageOutput[Any]:
    await call()
    struck()
    raise FailStage(error())


async def _cancel(rule: FaultRule, _: MakeError, __: float, call: Proceed, struck: Struck) -> StageOutput[Any]:
    return await CancelledAt(call(), cast("int", rule.at_await), struck)


def _changed(
    output: StageOutput[Any], change: Callable[[StageOutput[Any]], StageOutput[Any] | None], struck: Struck
) -> StageOutput[Any]:
    changed = change(output)
    if changed is None:
        return output
    struck()
    return changed


_FAULTS = {
    "latency": _latency,
    "error": _error,
    "hang": _hang,
    "wrong_type": _wrong_type,
    "truncated": _truncated,
    "duplicated": _duplicated,
    "reordered": _reordered,
    "partial_write": _partial_write,
    "cancel": _cancel,
}
