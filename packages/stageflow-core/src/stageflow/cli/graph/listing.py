"""A pipeline as a list: by levels, each stage with what it depends on below it."""

from __future__ import annotations

from stageflow.cli.graph.drawing import Drawing, Edge
from stageflow.wording import one_line


def listing(drawing: Drawing) -> str:
    """Return the list. The stages of a level depend on none of the same level, or of one below it."""
    by_level: dict[int, list[int]] = {}
    for index, box in enumerate(drawing.boxes):
        by_level.setdefault(box.level, []).append(index)
    leading: dict[int, list[Edge]] = {}
    for edge in drawing.edges:
        leading.setdefault(edge.target, []).append(edge)
    lines = [f"{one_line(drawing.name)}: {_counted(len(drawing.boxes), 'stage')}, {_counted(len(by_level), 'level')}"]
    for level, indices in sorted(by_level.items()):
        lines.append(f"level {level + 1}")
        for index in indices:
            box = drawing.boxes[index]
            lines.append(f"  {box.name}: {', '.join((box.kind.value, *box.notes))}")
            lines += (f"    <- {_told(drawing, edge)}" for edge in leading.get(index, ()))
    return "\n".join(lines)


def _told(drawing: Drawing, edge: Edge) -> str:
    words = [word for word in (edge.line.removesuffix(" stream"), edge.label) if word not in ("required", "stream", "")]
    if "stream" in edge.line:
        words.append("stream")
    return drawing.boxes[edge.source].name + (f" ({', '.join(words)})" if words else "")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
