"""The CSV files: the rows that come in, the rows that go out, and what can be wrong of the former."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

COLUMNS = ("order_id", "customer_id", "amount")
ADDED = ("segment", "lifetime_value")


class Order(TypedDict):
    """One row of the input."""

    order_id: str
    customer_id: int
    amount: float


class TableError(Exception):
    """The input cannot be read; the message is one line for whoever gave it."""


def make_orders(path: Path, count: int, *, seed: int = 7) -> None:
    """Write a table of made-up orders, the same for the same seed."""
    chance = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(
            (f"A{number:06}", chance.randrange(1_000_000), f"{chance.uniform(1, 500):.2f}") for number in range(count)
        )


def read_orders(path: Path) -> list[Order]:
    """Read the orders of a table.

    Raises:
        TableError: There is no such file, or it is no table of orders.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise TableError(f"{path} has no column {missing[0]!r} in its first line.")
            return [_order(row, f"{path}, line {reader.line_num}") for row in reader]
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path} is no CSV file in UTF-8: {error}.") from error


def _order(row: Mapping[str | None, str | None], where: str) -> Order:
    if None in row or None in row.values():
        raise TableError(f"{where}: the line has {'more' if None in row else 'fewer'} fields than the first one.")
    try:
        return Order(
            order_id=str(row["order_id"]),
            customer_id=int(str(row["customer_id"])),
            amount=float(str(row["amount"])),
        )
    except ValueError as error:
        raise TableError(f"{where}: {error}.") from error


def write_orders(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write the orders with what was added to them.

    Raises:
        TableError: The file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, (*COLUMNS, *ADDED))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise TableError(f"{path} cannot be written: {error.strerror}.") from error
