"""A pipeline as SVG, laid out by fast-sugiyama: the extra `graph-svg`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

try:
    from fast_sugiyama import from_edges
except ImportError as error:
    raise ImportError('An SVG needs fast-sugiyama: pip install "stageflow-core[graph-svg]"') from error

from stageflow.cli.graph.drawing import Box, Drawing, Edge
from stageflow.core.kinds import StageKind

_FILLS = {
    StageKind.TRANSFORM: "#dbeafe",
    StageKind.ENRICH: "#dcfce7",
    StageKind.ROUTE: "#fef3c7",
    StageKind.GUARD: "#fee2e2",
    StageKind.WORK: "#ede9fe",
    StageKind.AGENT: "#cffafe",
}
_STROKES = {
    "required": 'stroke-width="1.5"',
    "optional": 'stroke-width="1.5" stroke-dasharray="6 4"',
    "stream": 'stroke-width="4"',
    "optional stream": 'stroke-width="4" stroke-dasharray="6 4"',
}
_HEIGHT, _GAP_X, _GAP_Y, _MARGIN, _CHARACTER = 60, 36, 60, 24, 7

Point = tuple[float, float]


def svg(drawing: Drawing) -> str:
    """Return the picture. A colour stands for a kind; dashed edges are optional, and thick ones are streams."""
    widths = [_width(box) for box in drawing.boxes]
    column = max(widths) + _GAP_X
    centres = _centres(drawing, column)
    right = max(x for x, _ in centres.values()) + column / 2 + _MARGIN
    bottom = max(y for _, y in centres.values()) + _HEIGHT / 2 + _MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right:.0f} {bottom:.0f}" width="{right:.0f}" '
        f'height="{bottom:.0f}" font-family="sans-serif" font-size="13" text-anchor="middle">'
    )
    marker = (
        '  <defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="9" markerHeight="9" '
        'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8z" fill="#475569"/></marker></defs>'
    )
    lines = [
        head,
        f"  <title>{escape(drawing.name)}</title>",
        marker,
    ]
    for edge in drawing.edges:
        lines += _edge(edge, centres[edge.source], centres[edge.target])
    for index, box in enumerate(drawing.boxes):
        lines += _box(box, centres[index], widths[index])
    return "\n".join([*lines, "</svg>"])


def _width(box: Box) -> float:
    return max(max(map(len, _lines(box))) * _CHARACTER + 20, 80)


def _lines(box: Box) -> list[str]:
    return [box.name, box.kind.value, *([", ".join(box.notes)] if box.notes else [])]


def _centres(drawing: Drawing, column: float) -> Mapping[int, Point]:
    """Return where the layout puts each stage; those that are joined to none stand at the right, in the first row."""
    places: dict[int, Point] = {}
    pairs = sorted({(edge.source, edge.target) for edge in drawing.edges})
    if pairs:
        placed = from_edges(pairs, vertex_spacing=1).dot_layout(spacing=1).to_dict()
        left, top = min(x for x, _ in placed.values()), max(y for _, y in placed.values())
        rows = {y: row for row, y in enumerate(sorted({top - y for _, y in placed.values()}))}
        places = {int(index): (x - left, rows[top - y]) for index, (x, y) in placed.items()}
    free = max((x for x, _ in places.values()), default=-1.0)
    for index in range(len(drawing.boxes)):
        if index not in places:
            free += 1
            places[index] = (free, 0)
    return {
        index: (_MARGIN + x * column + column / 2, _MARGIN + row * (_HEIGHT + _GAP_Y) + _HEIGHT / 2)
        for index, (x, row) in places.items()
    }


def _edge(edge: Edge, source: Point, target: Point) -> Iterator[str]:
    (x1, y1), (x2, y2) = (source[0], source[1] + _HEIGHT / 2), (target[0], target[1] - _HEIGHT / 2)
    bend = (y2 - y1) / 2
    path = f"M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"
    yield f'  <path d="{path}" fill="none" stroke="#475569" {_STROKES[edge.line]} marker-end="url(#end)"/>'
    if edge.label:
        place = f'x="{(x1 + x2) / 2:.1f}" y="{(y1 + y2) / 2:.1f}"'
        look = 'fill="#334155" font-size="11" stroke="#fff" stroke-width="4" paint-order="stroke"'
        yield f"  <text {place} {look}>{escape(edge.label)}</text>"


def _box(box: Box, centre: Point, width: float) -> Iterator[str]:
    x, y = centre
    place = f'x="{x - width / 2:.1f}" y="{y - _HEIGHT / 2:.1f}" width="{width:.1f}" height="{_HEIGHT}"'
    yield f'  <rect {place} rx="6" fill="{_FILLS[box.kind]}" stroke="#475569"/>'
    lines = _lines(box)
    for number, line in enumerate(lines):
        at = f'x="{x:.1f}" y="{y + 5 + (number - (len(lines) - 1) / 2) * 17:.1f}"'
        look = 'fill="#475569" font-size="11"' if number else 'fill="#0f172a"'
        yield f"  <text {at} {look}>{escape(line)}</text>"
