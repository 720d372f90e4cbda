"""`stageflow graph`: one pipeline with everything, in each format."""

import sys
import xml.etree.ElementTree as ET

import pytest
from stageflow import Pipeline, StageKind, stage
from stageflow.cli.graph.dot import dot
from stageflow.cli.graph.drawing import drawing_of
from stageflow.cli.graph.listing import listing
from stageflow.cli.graph.mermaid import mermaid

EVERYTHING = """
from typing import Any
from stageflow import Pipeline, StageContext, StageKind, Stream, stage

@stage(kind=StageKind.AGENT)
async def llm(ctx: StageContext):
    yield "a"

@stage(kind=StageKind.GUARD)
async def guard(ctx: StageContext) -> dict[str, Any]: ...

@stage(kind=StageKind.ROUTE, routes=("billing", "other"), terminal_routes="other")
async def router(guard: dict[str, Any]) -> dict[str, Any]: ...

@stage(kind=StageKind.ENRICH, critical=False)
async def rows(ctx: StageContext) -> dict[str, Any]: ...

@stage(route={"router": "billing"}, when=lambda inputs, snapshot: True)
async def billing(ctx: StageContext, rows: dict[str, Any] | None = None) -> dict[str, Any]: ...

@stage(map_over=("rows", "items"), map_concurrency=3, limit="api")
async def each(ctx: StageContext) -> dict[str, Any]: ...

@stage(map_over="llm")
async def sounds(ctx: StageContext) -> dict[str, Any]: ...

@stage
async def speak(llm: Stream[str], billing: dict[str, Any] | None = None) -> dict[str, Any]: ...

@stage
async def hear(llm: Stream[str] | None = None) -> dict[str, Any]: ...

@stage(kind=StageKind.WORK, dependencies=("billing", "each"), join="any")
async def done(ctx: StageContext) -> dict[str, Any]: ...

everything = Pipeline("everything", [llm, guard, router, rows, billing, each, sounds, speak, hear, done])
"""

TEXT = """\
everything: 10 stages, 4 levels
level 1
  llm: agent, streams
  guard: guard
  rows: enrich, may fail
level 2
  router: route
    <- guard
  each: transform, mapped, 3 at once, limit api
    <- rows (each of items)
  sounds: transform, mapped, 10 at once
    <- llm (each item, stream)
  hear: transform
    <- llm (optional, stream)
level 3
  billing: transform, conditional
    <- router (route billing)
    <- rows (optional)
level 4
  speak: transform
    <- billing (optional)
    <- llm (stream)
  done: work, any one is enough
    <- billing
    <- each
"""

MERMAID = """\
flowchart TD
    %% everything
    s0(["llm<br/>agent, streams"])
    s1{{"guard<br/>guard"}}
    s2{"router<br/>route"}
    s3[("rows<br/>enrich, may fail")]
    s4["billing<br/>transform, conditional"]
    s5["each<br/>transform, mapped, 3 at once, limit api"]
    s6["sounds<br/>transform, mapped, 10 at once"]
    s7["speak<br/>transform"]
    s8["hear<br/>transform"]
    s9[["done<br/>work, any one is enough"]]
    s1 --> s2
    s2 -->|"route billing"| s4
    s3 -.-> s4
    s3 -->|"each of items"| s5
    s0 ==>|"each item"| s6
    s4 -.-> s7
    s0 ==>|"stream"| s7
    s0 -.->|"stream"| s8
    s4 --> s9
    s5 --> s9
"""

DOT = """\
digraph "everything" {
    node [fontname="sans-serif"];
    s0 [label="llm\\nagent, streams", shape=ellipse];
    s1 [label="guard\\nguard", shape=hexagon];
    s2 [label="router\\nroute", shape=diamond];
    s3 [label="rows\\nenrich, may fail", shape=cylinder];
    s4 [label="billing\\ntransform, conditional", shape=box];
    s5 [label="each\\ntransform, mapped, 3 at once, limit api", shape=box];
    s6 [label="sounds\\ntransform, mapped, 10 at once", shape=box];
    s7 [label="speak\\ntransform", shape=box];
    s8 [label="hear\\ntransform", shape=box];
    s9 [label="done\\nwork, any one is enough", shape=box3d];
    s1 -> s2 [style=solid];
    s2 -> s4 [style=solid, label="route billing"];
    s3 -> s4 [style=dashed];
    s3 -> s5 [style=solid, label="each of items"];
    s0 -> s6 [style=bold, label="each item"];
    s4 -> s7 [style=dashed];
    s0 -> s7 [style=bold, label="stream"];
    s0 -> s8 [style=dashed, label="stream"];
    s4 -> s9 [style=solid];
    s5 -> s9 [style=solid];
}
"""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((), TEXT), (("--format", "text"), TEXT), (("--format", "mermaid"), MERMAID), (("--format", "dot"), DOT)],
)
def test_everything_that_matters_is_in_the_drawing(cli, arguments, expected):
    """Kinds, optional edges, streams, routes, maps and what is special about a stage."""
    cli.write(all_of_it=EVERYTHING)
    ended = cli("graph", "all_of_it:everything", *arguments)
    assert (0, expected, "") == (ended.code, ended.out, ended.err)


def test_an_svg_is_laid_out(cli):
    """It is XML, with each stage and each edge, no stage on another, and every edge downwards."""
    cli.write(all_of_it=EVERYTHING)
    root = ET.fromstring(cli("graph", "all_of_it:everything", "--format", "svg").out)
    tag = "{http://www.w3.org/2000/svg}"
    boxes = [
        tuple(float(each.get(name)) for name in ("x", "y", "width", "height")) for each in root.findall(f"{tag}rect")
    ]
    paths = [each.get("d") for each in root.findall(f"{tag}path")]
    assert (10, 10) == (len(boxes), len(paths))
    apart = [
        a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]
        for index, a in enumerate(boxes)
        for b in boxes[index + 1 :]
    ]
    assert all(apart)
    starts_and_ends = [(float(path.split("C")[0].split()[1]), float(path.split()[-1])) for path in paths]
    assert all(start < end for start, end in starts_and_ends)
    texts = {each.text for each in root.findall(f"{tag}text")}
    assert {"llm", "route billing", "each of items", "any one is enough"} <= texts
    assert "stroke-dasharray" in "".join(str(each.attrib) for each in root.findall(f"{tag}path"))


def test_stages_that_are_joined_to_none_have_a_place(cli):
    """A pipeline without any edge is a picture, too."""
    cli.write(
        loose="""
from stageflow import Pipeline, StageContext, stage
async def nothing(ctx: StageContext) -> None: ...
loose = Pipeline("loose", [stage(name, nothing) for name in "abc"])
"""
    )
    assert 3 == cli("graph", "loose:loose", "--format", "svg").out.count("<rect")


def test_without_the_library_an_svg_is_refused_with_what_installs_it(shop, monkeypatch):
    """The line can be pasted."""
    monkeypatch.setitem(sys.modules, "fast_sugiyama", None)
    monkeypatch.delitem(sys.modules, "stageflow.cli.graph.svg", raising=False)
    ended = shop("graph", "shop:hello", "--format", "svg")
    assert (2, 'stageflow: An SVG needs fast-sugiyama: pip install "stageflow-core[graph-svg]"') == (
        ended.code,
        ended.line,
    )


def test_names_cannot_break_out_of_a_drawing():
    """Quotes, brackets and line breaks of a pipeline's name or a route stay text."""

    async def route() -> dict[str, str]:
        return {"route": "x"}

    async def taken() -> None: ...

    name = 'a"]; b --> c\n%%'
    graph = Pipeline(
        name,
        [
            stage("r", route, kind=StageKind.ROUTE, routes=('"|x',)),
            stage("s", taken, dependencies="r", route={"r": '"|x'}),
        ],
    ).build()
    drawing = drawing_of(graph)
    assert 5 == len(mermaid(drawing).splitlines())
    assert '    s0 -->|"route #34;#124;x"| s1' == mermaid(drawing).splitlines()[-1]
    assert 'digraph "a\\"]; b --> c %%" {' == dot(drawing).splitlines()[0]
    assert 'a"]; b --> c %%: 2 stages, 2 levels' == listing(drawing).splitlines()[0]


def test_a_deep_pipeline_is_drawn():
    """There is no recursion in it."""

    async def nothing() -> None: ...

    specs = [stage(f"s{n}", nothing, dependencies=f"s{n - 1}" if n else ()) for n in range(5000)]
    assert "deep: 5000 stages, 5000 levels" == listing(drawing_of(Pipeline("deep", specs).build())).splitlines()[0]
