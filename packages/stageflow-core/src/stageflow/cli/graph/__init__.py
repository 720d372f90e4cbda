"""Draw a pipeline: its stages, their kinds, and what leads from one to the other.

An edge is required unless it says otherwise: optional, a stream, a route, the items of a map.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from importlib import import_module

from stageflow.cli.console import Console
from stageflow.cli.graph.dot import dot
from stageflow.cli.graph.drawing import Drawing, drawing_of
from stageflow.cli.graph.listing import listing
from stageflow.cli.graph.mermaid import mermaid
from stageflow.cli.targets import TARGET, load_graph
from stageflow.errors import CommandError

_FORMATS = {"text": listing, "mermaid": mermaid, "dot": dot}


def configure(parser: ArgumentParser) -> None:
    """Add what `graph` takes."""
    parser.add_argument("pipeline", metavar="PIPELINE", help=TARGET)
    formats = (*_FORMATS, "svg")
    parser.add_argument("--format", choices=formats, default="text", help="text unless given; svg needs an extra")


def run(options: Namespace) -> int:
    """Print the pipeline."""
    with Console() as console:
        drawing = drawing_of(load_graph(options.pipeline))
        write = _FORMATS.get(options.format, _svg)
        console.data(write(drawing))
    return 0


def _svg(drawing: Drawing) -> str:
    try:
        module = import_module("stageflow.cli.graph.svg")
    except ImportError as error:
        raise CommandError(str(error)) from error
    return module.svg(drawing)
