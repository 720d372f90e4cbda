"""What there is to draw of a pipeline, whatever it is drawn as."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from stageflow.core.kinds import StageKind
from stageflow.execution.plan import PlanNode
from stageflow.pipeline.graph import StageGraph

Line = Literal["required", "optional", "stream", "optional stream"]
"""What an edge means: the stage needs the other one, can do without, or reads its chunks."""


class Edge(NamedTuple):
    """That a stage depends on another one; both by index. `label` says what else there is to it, or is empty."""

    source: int
    target: int
    line: Line
    label: str


class Box(NamedTuple):
    """A stage. `notes` say what is special about it; `level` is how many stages stand before it on the longest way."""

    name: str
    kind: StageKind
    notes: tuple[str, ...]
    level: int


class Drawing(NamedTuple):
    """A pipeline: its stages in plan order, and its edges."""

    name: str
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]


def drawing_of(graph: StageGraph) -> Drawing:
    """Return what there is to draw."""
    plan = graph._compiled()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - of the same package
    edges = tuple(edge for node in plan.nodes for edge in _edges(node))
    levels = _levels(len(plan.nodes), edges)
    boxes = tuple(
        Box(node.name, node.kind, tuple(_notes(node, node.index in plan.conditions, plan.limits)), levels[node.index])
        for node in plan.nodes
    )
    return Drawing(plan.name, boxes, edges)


def _edges(node: PlanNode) -> Iterator[Edge]:
    over = node.map_over
    whole = {*node.declared.values()}
    if over is not None and over.key is None:
        yield Edge(over.source, node.index, "stream", "each item")
    for source in node.declared.values():
        line: Line = "optional" if source in node.optional else "required"
        label = f"route {node.gates[source]}" if source in node.gates else ""
        if over is not None and over.key is not None and over.source == source:
            label = f"each of {over.key}"
        yield Edge(source, node.index, line, label)
    for source in node.streams.values():
        optional = source in node.optional and source not in whole
        yield Edge(source, node.index, "optional stream" if optional else "stream", "stream")


def _notes(node: PlanNode, asks: bool, limits: object) -> Iterator[str]:
    if node.stream is not None:
        yield "streams"
    if node.map_over is not None:
        yield f"mapped, {node.map_over.most} at once"
    if asks:
        yield "conditional"
    if node.joined:
        yield "any one is enough"
    if not node.critical:
        yield "may fail"
    if isinstance(limits, dict) and node.name in limits:
        yield f"limit {limits[node.name]}"


def _levels(count: int, edges: Sequence[Edge]) -> list[int]:
    levels = [0] * count
    following: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for edge in edges:
        following[edge.source].append(edge.target)
        waiting[edge.target] += 1
    ready = [index for index in range(count) if not waiting[index]]
    for index in ready:
        for target in following[index]:
            levels[target] = levels[index] + 1  # the last to be written is the largest: levels come in order
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)  # which the loop goes on to
    return levels
