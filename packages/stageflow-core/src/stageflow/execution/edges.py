"""The rules of an edge: what a stage that has ended means for one that depends on it.

The worker knows the most frequent of them itself: a stage that ended OK is one less to wait for. It leaves all else to
these: other outcomes, and stages behind which there is a route or a join.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stageflow.core.inputs import Stored
from stageflow.core.kinds import StageStatus
from stageflow.core.output import StageOutput
from stageflow.execution.plan import PlanNode
from stageflow.wording import listed

_ENDED = {
    StageStatus.FAIL: "failed",
    StageStatus.SKIP: "was skipped",
    StageStatus.CANCEL: "was cancelled",
    StageStatus.SUSPEND: "waits for a decision",
}


def in_words(ended: StageOutput[Any]) -> str:
    """Say how a stage ended that did not end OK, and why."""
    return f"{_ENDED[ended.status]}: {ended.error or ended.reason}"


class Held:
    """Why a stage does not start.

    Attributes:
        stage: The index of the stage because of which.
        why: In words.
        passed_on: Whether that stage was skipped itself, so that what began its skip is what begins this one.
    """

    __slots__ = ("passed_on", "stage", "why")

    def __init__(self, stage: int, why: str, passed_on: bool = False) -> None:
        self.stage = stage
        self.why = why
        self.passed_on = passed_on


def edge_holds(node: PlanNode, source: int, stored: Stored, names: Sequence[str]) -> Held | None:
    """Return why the end of `source` keeps the stage from starting, or None if it does not."""
    ended = stored if isinstance(stored, StageOutput) and stored.status is not StageStatus.OK else None
    if ended is None:
        return _route_holds(node, source, stored, names) if node.gates else None
    if source in node.optional or (source in node.joined and source not in node.gates):
        return None
    why = f"required stage '{names[source]}' {in_words(ended)}"
    return Held(source, why, passed_on=ended.status is StageStatus.SKIP)


def _route_holds(node: PlanNode, source: int, stored: Stored, names: Sequence[str]) -> Held | None:
    wanted = node.gates.get(source)
    if wanted is None:
        return None
    data: Any = stored.data if isinstance(stored, StageOutput) else stored
    route = data["route"]
    if route == wanted:
        return None
    return Held(source, f"route '{wanted}' was not taken: '{names[source]}' chose '{route}'")


def join_holds(node: PlanNode, outputs: Sequence[Stored], names: Sequence[str]) -> Held | None:
    """Return why a stage does not start of which all dependencies have ended, or None if it does."""
    if not node.joined or any(_is_ok(outputs[index]) for index in node.joined):
        return None
    joined = sorted(node.joined)
    return Held(joined[0], f"none of those that it joins ended OK: {listed([names[index] for index in joined])}")


def _is_ok(stored: Stored) -> bool:
    return not isinstance(stored, StageOutput) or stored.status is StageStatus.OK
