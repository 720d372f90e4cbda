"""The interceptor that does what a fault plan says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from importlib import import_module
from typing import Any, cast

from stageflow import BaseInterceptor, InterceptorContext, Pipeline, StageOutput
from stageflow.interceptors.base import FailStage, Proceed

from stageflow_mocks.faults.calls import Changes, strike_call
from stageflow_mocks.faults.outputs import cut, with_wrong_types
from stageflow_mocks.faults.plan import FaultPlan
from stageflow_mocks.faults.striking import Strike, Striker

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
        ImportError: The plan has a `clock_skew`, and its extra is not installed.
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
        self._striker = Striker(plan, "FaultInterceptor", raised_as=FailStage)
        if pipeline is not None:
            plan.check(pipeline)
        self.plan = plan
        self.priority = priority
        self.hook_timeout = hook_timeout
        self._clock_off_by: Callable[[float], AbstractContextManager[None]] | None = None
        if any(rule.fault == "clock_skew" and rule.target == "stage" for rule in plan.rules):
            self._clock_off_by = import_module("stageflow_mocks.faults.clock").clock_off_by  # which needs an extra

    async def around(self, ctx: InterceptorContext, call: Proceed) -> StageOutput[Any]:
        for strike in reversed(self._striker.strikes("stage", ctx.pipeline, ctx.stage_name, ctx.stage.index)):
            call = partial(self._strike, strike, call)
        return await call()

    def record(self) -> dict[str, Any]:
        """Return what was done so far: JSON-ready, for `FaultPlan.replay`, in the order of the names of the stages.

        `struck` says whether a fault had an effect: there may have been nothing to cut, or no k-th suspension.
        """
        return self._striker.record.to_dict()

    def check(self) -> None:
        """Refuse the plan, after its runs, if a rule was about no stage that was called.

        Raises:
            FaultPlanError: It is the first such rule.
        """
        self.plan.check_places(self._striker.record.places(), "stage")

    async def _strike(self, strike: Strike, call: Proceed) -> StageOutput[Any]:
        if strike.rule.fault == "clock_skew":
            assert self._clock_off_by is not None
            strike.struck()
            with self._clock_off_by(strike.seconds):
                return await call()
        return await strike_call(strike, call, _CHANGES)


_CHANGES: Changes = {
    "wrong_type": lambda output, _: with_wrong_types(output),
    "truncated": lambda output, strike: cut(output, cast("float", strike.rule.keep)),
}
