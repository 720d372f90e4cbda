"""The pipeline behind the enrichment: start reading here.

    read --> enrich, once for each order, many at once --> write

`enrich` knows nothing of the others: not how many orders there are, how many run at once, or how often it is tried.
Each attempt holds a permit for the service, and gives it back while it waits to be made again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from stageflow import Pipeline, RetryPolicy, StageContext, StageGraph, StageKind, StageOutput, stage

from examples.bulk_enrich.service import CustomerService, ServiceBusyError
from examples.bulk_enrich.table import Order, read_orders, write_orders


@dataclass(frozen=True)
class BulkPorts:
    """What the stages use from outside. A run is given it as `ports=`."""

    customers: CustomerService
    source: Path
    target: Path


class Orders(TypedDict):
    """What the table holds. The build of the pipeline sees that `orders` is a list to map over."""

    orders: list[Order]


class EnrichedOrder(Order):
    """An order with what the service knows of its customer. What `enrich` returns for each order is checked."""

    segment: str
    lifetime_value: float


@stage
async def read(ctx: StageContext) -> Orders:
    """What blocks goes to a thread, so that nothing else has to wait for it."""
    return {"orders": await asyncio.to_thread(read_orders, ctx.ports.source)}


@stage
async def write(ctx: StageContext, enrich: Mapping[str, Any]) -> dict[str, int]:
    """The results of a mapped stage are in the order of its items, None where one was skipped."""
    rows = [row for row in enrich["items"] if row is not None]
    await asyncio.to_thread(write_orders, ctx.ports.target, rows)
    return dict(Counter(row["segment"] for row in rows))


async def enrich_order(ctx: StageContext) -> StageOutput[EnrichedOrder]:
    """One order. ServiceBusyError is for the policy; `retry_after` of the error is the least that is waited."""
    order: Order = ctx.item
    customer = await ctx.ports.customers.look_up(order["customer_id"])
    if customer is None:
        return StageOutput.skip("the customer is unknown")
    return StageOutput.ok(EnrichedOrder(**order, segment=customer.segment, lifetime_value=customer.lifetime_value))


def build_enrichment(*, at_once: int, base_delay: float) -> StageGraph:
    """Compile the pipeline: so many orders at once, each tried up to six times.

    Whoever runs it gives it `limits=` with a limit "crm": all runs that are given the same one share its permits.
    """
    enrich = stage(
        "enrich",
        enrich_order,
        kind=StageKind.ENRICH,
        map_over=(read, "orders"),
        map_concurrency=at_once,
        limit="crm",
        retry=RetryPolicy(max_attempts=6, base_delay=base_delay, retry_on=ServiceBusyError),
    )
    return Pipeline("bulk_enrich", [read, enrich, write]).build()
