"""The command: its arguments, its progress on the terminal, and what it says at the end."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from stageflow import Limits, PipelineResults, StageExecutionError
from stageflow.errors import MapItemError

from examples.bulk_enrich.pipeline import BulkPorts, build_enrichment
from examples.bulk_enrich.service import UnreliableService
from examples.bulk_enrich.table import TableError, make_orders

ROWS = 10_000


class ProgressLine:
    """Shows how far the run has come: on a terminal in one line that rewrites itself, else in a line each tenth."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._tenth = 0

    def show(self, done: int, total: int) -> None:
        """Show that so many of all orders are done."""
        text = f"{done:,} of {total:,} orders, {done * 100 // total} %"
        if self._live:
            print(f"\r{text}", end="\n" if done == total else "", file=self._out, flush=True)
        elif done * 10 // total > self._tenth:
            self._tenth = done * 10 // total
            print(text, file=self._out, flush=True)

    def stop(self) -> None:
        """End a line that stands half-way."""
        if self._live:
            print(file=self._out, flush=True)


async def enrich(
    source: Path, target: Path, *, service: UnreliableService, calls: int, base_delay: float, out: TextIO
) -> PipelineResults:
    """Run the pipeline with so many calls of the service at once, showing its progress.

    Raises:
        StageExecutionError: It failed; nothing has been written.
    """
    ports = BulkPorts(service, source, target)
    # More orders than calls, so that an order that waits to be tried again leaves its call to another one.
    graph = build_enrichment(at_once=2 * calls, base_delay=base_delay)
    running = graph.start(ports=ports, limits=Limits({"crm": calls}))
    line = ProgressLine(out)
    async for event in running.events():
        if event.event_type == "stage.enrich.progress" and event.data is not None:
            line.show(event.data["done"], event.data["total"])
        elif event.event_type == "stage.enrich.failed":
            line.stop()
    return await running


def summary(results: PipelineResults, service: UnreliableService) -> str:
    """Return what was done, in a few lines."""
    record = results.record("enrich")
    items = record.statistics["map"]
    segments = ", ".join(f"{segment} {count:,}" for segment, count in sorted(results.data("write").items()))
    return "\n".join(
        (
            f"enriched  {items['ok']:,} of {items['items']:,} orders in {record.duration_ms / 1000:.1f} s",
            f"skipped   {items['skipped']:,}, whose customers are unknown",
            f"attempts  {items['attempts']:,}, {items['attempts'] - items['items']:,} of them again",
            f"at once   {items['high_water']} orders, {service.most_at_once} calls of the service",
            f"segments  {segments or 'none'}",
        )
    )


def problem_of(error: StageExecutionError) -> str:
    """Return why a run failed, in one line."""
    cause = error.__cause__
    if isinstance(cause, MapItemError):
        failure = cause.__cause__
        return f"order {cause.index + 1} failed after {len(cause.completed):,} were done: {failure or cause.message}"
    return str(cause or error)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 1 if the run failed, 2 if what was asked cannot be done."""
    options = _parser().parse_args(arguments)
    with ExitStack() as cleanup:
        source, target = options.source, options.output
        if source is None:
            folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
            source, target = folder / "orders.csv", target or folder / "enriched.csv"
            make_orders(source, options.rows)
        target = target or source.with_suffix(".enriched.csv")
        service = UnreliableService(latency=options.latency_ms / 1000)
        try:
            results = asyncio.run(
                enrich(
                    source,
                    target,
                    service=service,
                    calls=options.calls,
                    base_delay=2 * options.latency_ms / 1000,
                    out=sys.stdout,
                )
            )
        except KeyboardInterrupt:
            return 130
        except StageExecutionError as error:
            print(f"bulk_enrich: {problem_of(error)}", file=sys.stderr)
            return 2 if isinstance(error.__cause__, TableError) else 1
        print(summary(results, service))
        print(f"written   {target if options.output or options.source else 'nothing that is kept: give --output'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bulk_enrich", description="Look up the customer of each order in a CSV file, many at once."
    )
    parser.add_argument(
        "source", nargs="?", type=Path, help="a table with order_id, customer_id, amount; made up unless given"
    )
    parser.add_argument("-o", "--output", type=Path, help="where the enriched table goes")
    parser.add_argument("--rows", type=_count, default=ROWS, help=f"how many orders to make up ({ROWS})")
    parser.add_argument("--calls", type=_count, default=50, help="how many calls of the service at once (50)")
    parser.add_argument("--latency-ms", type=_latency, default=5.0, help="how long the service takes (5)")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return count


def _latency(text: str) -> float:
    latency = float(text)
    if not 0 <= latency < 60_000:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return latency
