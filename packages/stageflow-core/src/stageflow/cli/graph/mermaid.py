"""A pipeline for Mermaid: https://mermaid.js.org/syntax/flowchart.html."""

from __future__ import annotations

from stageflow.cli.graph.drawing import Box, Drawing
from stageflow.core.kinds import StageKind

_SHAPES = {
    StageKind.TRANSFORM: ("[", "]"),
    StageKind.ENRICH: ("[(", ")]"),
    StageKind.ROUTE: ("{", "}"),
    StageKind.GUARD: ("{{", "}}"),
    StageKind.WORK: ("[[", "]]"),
    StageKind.AGENT: ("([", "])"),
}
_ARROWS = {"required": "-->", "optional": "-.->", "stream": "==>", "optional stream": "-.->"}


def mermaid(drawing: Drawing) -> str:
    """Return the flowchart. A shape stands for a kind; dotted edges are optional, and thick ones are streams."""
    lines = ["flowchart TD", f"    %% {_text(drawing.name)}"]
    lines += (f"    s{index}{_shape(box)}" for index, box in enumerate(drawing.boxes))
    for edge in drawing.edges:
        label = f'|"{_text(edge.label)}"|' if edge.label else ""
        lines.append(f"    s{edge.source} {_ARROWS[edge.line]}{label} s{edge.target}")
    return "\n".join(lines)


def _shape(box: Box) -> str:
    before, after = _SHAPES[box.kind]
    words = "<br/>".join(map(_text, (box.name, ", ".join((box.kind.value, *box.notes)))))
    return f'{before}"{words}"{after}'


def _text(text: str) -> str:
    # Mermaid reads `#...;` as a character, and takes neither quotes nor line breaks in a label.
    return "".join(char if char.isalnum() or char in " _-.,:" else f"#{ord(char)};" for char in text)
