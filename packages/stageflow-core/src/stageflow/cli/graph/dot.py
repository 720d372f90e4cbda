"""A pipeline for Graphviz: https://graphviz.org/doc/info/lang.html."""

from __future__ import annotations

from stageflow.cli.graph.drawing import Drawing
from stageflow.core.kinds import StageKind
from stageflow.wording import one_line

_SHAPES = {
    StageKind.TRANSFORM: "box",
    StageKind.ENRICH: "cylinder",
    StageKind.ROUTE: "diamond",
    StageKind.GUARD: "hexagon",
    StageKind.WORK: "box3d",
    StageKind.AGENT: "ellipse",
}
_STYLES = {"required": "solid", "optional": "dashed", "stream": "bold", "optional stream": "dashed"}


def dot(drawing: Drawing) -> str:
    """Return the digraph. A shape stands for a kind; dashed edges are optional, and bold ones are streams."""
    lines = [f"digraph {_quoted(drawing.name)} {{", '    node [fontname="sans-serif"];']
    for index, box in enumerate(drawing.boxes):
        label = "\\n".join(map(_escaped, (box.name, ", ".join((box.kind.value, *box.notes)))))
        lines.append(f'    s{index} [label="{label}", shape={_SHAPES[box.kind]}];')
    for edge in drawing.edges:
        label = f", label={_quoted(edge.label)}" if edge.label else ""
        lines.append(f"    s{edge.source} -> s{edge.target} [style={_STYLES[edge.line]}{label}];")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return one_line(text).replace("\\", "\\\\").replace('"', '\\"')
