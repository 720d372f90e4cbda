"""A pipeline that is ready to run."""

from __future__ import annotations

from collections.abc import Mapping

from stageflow.execution.plan import ExecutionPlan
from stageflow.pipeline.runnable import Runnable


class StageGraph(Runnable):
    """A checked and compiled pipeline. It is frozen: any number of runs share it and see nothing of each other."""

    __slots__ = ("_plan",)

    def __init__(self, plan: ExecutionPlan) -> None:
        self._plan = plan

    @property
    def name(self) -> str:
        return self._plan.name

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages, in plan order."""
        return self._plan.names

    @property
    def ports(self) -> Mapping[str, tuple[str, ...]]:
        """What its runs have to be given as `ports`: the name of each port, with the stages that need it."""
        return self._plan.ports

    def _compiled(self) -> ExecutionPlan:
        return self._plan

    def __len__(self) -> int:
        return len(self._plan.nodes)

    def __repr__(self) -> str:
        return f"<StageGraph '{self._plan.name}': {len(self)} stages>"
