"""The bulk enrichment as a person runs it, and its pipeline in simulated time."""

import asyncio
import csv
import io
import os
import pty
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from stageflow import Limits, StageExecutionError, StageStatus
from stageflow.errors import MapItemError
from stageflow_mocks.simulation import simulated

from examples.bulk_enrich import pipeline
from examples.bulk_enrich.command import ProgressLine, main, problem_of
from examples.bulk_enrich.pipeline import BulkPorts, build_enrichment
from examples.bulk_enrich.service import Customer, ServiceBusyError, UnreliableService
from examples.bulk_enrich.table import COLUMNS, Order, TableError, make_orders, read_orders

ROOT = Path(__file__).resolve().parents[2]
HEADER = ",".join(COLUMNS)


@pytest.fixture
def orders(tmp_path):
    path = tmp_path / "orders.csv"
    make_orders(path, 200)
    return path


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_command_enriches_a_table(orders, capsys):
    """Every order whose customer is known is written, in the order of the table, and the counts add up."""
    assert 0 == main([str(orders), "--latency-ms", "0"])
    out = capsys.readouterr().out
    written = rows_of(orders.with_suffix(".enriched.csv"))
    known = [row["order_id"] for row in rows_of(orders)]
    assert [row["order_id"] for row in written] == [one for one in known if one in {row["order_id"] for row in written}]
    assert {"new", "regular", "gold"} == {row["segment"] for row in written}
    assert all(float(row["lifetime_value"]) >= 10 for row in written)
    assert f"enriched  {len(written)} of 200 orders" in out
    assert f"skipped   {200 - len(written)}," in out
    assert 0 < 200 - len(written) < 50
    assert f"written   {orders.with_suffix('.enriched.csv')}" in out
    assert "100 of 200 orders, 50 %\n" in out


def test_ten_thousand_made_up_rows(capsys):
    """What the command does unless it is given anything, without the waiting."""
    assert 0 == main(["--latency-ms", "0"])
    out = capsys.readouterr().out
    assert "of 10,000 orders in" in out
    assert "10,000 of 10,000 orders, 100 %" in out
    assert "at once   100 orders, 50 calls" in out


def test_it_is_run_as_a_module(orders):
    """`python -m examples.bulk_enrich`, with warnings as errors."""
    command = [sys.executable, "-W", "error", "-m", "examples.bulk_enrich", str(orders), "--latency-ms", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert "\r" not in done.stdout


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file"),
        (b"", "has no column 'order_id'"),
        (b"order_id,amount\nA1,2\n", "has no column 'customer_id'"),
        (f"{HEADER}\nA1,seven,2.0\n".encode(), "line 2: invalid literal for int()"),
        (f"{HEADER}\nA1,7,much\n".encode(), "line 2: could not convert"),
        (f"{HEADER}\nA1,7,1.0\nA2,7\n".encode(), "line 3: the line has fewer fields"),
        (f"{HEADER}\nA1,7,1.0,more\n".encode(), "line 2: the line has more fields"),
        (f'{HEADER}\n"A1"x,7,1.0\n'.encode(), "is no CSV file in UTF-8"),
        (b"\xff\xfe\x00", "is no CSV file in UTF-8"),
    ],
    ids=["missing", "empty", "column", "id", "amount", "fewer", "more", "quotes", "bytes"],
)
def test_bad_input_is_one_line_and_an_exit_code(tmp_path, capsys, content, told):
    """It says which file, which line and what is wrong; nothing is written."""
    path = tmp_path / "orders.csv"
    if content is not None:
        path.write_bytes(content)
    assert 2 == main([str(path), "--latency-ms", "0"])
    printed = capsys.readouterr()
    assert printed.err.startswith(f"bulk_enrich: {path}")
    assert told in printed.err
    assert 1 == printed.err.count("\n")
    assert not path.with_suffix(".enriched.csv").exists()


def test_a_target_that_cannot_be_written(orders, tmp_path, capsys):
    """Likewise."""
    assert 2 == main([str(orders), "--latency-ms", "0", "-o", str(tmp_path / "no" / "where.csv")])
    assert "cannot be written: No such file or directory." in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--rows", "0"], ["--rows", "x"], ["--latency-ms", "-1"], ["--calls", "0"]])
def test_options_that_cannot_be(arguments, capsys):
    """They end the command with its usage."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert 2 == ended.value.code
    assert "usage: bulk_enrich" in capsys.readouterr().err


def test_a_terminal_gets_one_line_that_rewrites_itself():
    """Elsewhere each tenth has a line."""
    primary, secondary = pty.openpty()
    with os.fdopen(secondary, "w") as terminal:
        line = ProgressLine(terminal)
        for done in (1, 150, 200):
            line.show(done, 200)
        seen = ""
        while not seen.endswith("\n"):  # what is written may arrive in parts
            seen += os.read(primary, 1000).decode()
    os.close(primary)
    assert "\r1 of 200 orders, 0 %\r150 of 200 orders, 75 %\r200 of 200 orders, 100 %\r\n" == seen
    plain = io.StringIO()
    line = ProgressLine(plain)
    for done in range(1, 201):
        line.show(done, 200)
    line.stop()
    assert 10 == plain.getvalue().count("\n")
    assert plain.getvalue().startswith("20 of 200 orders, 10 %\n")


class Patient:
    """A service that knows everybody, after it has asked the odd ones to wait a minute."""

    def __init__(self):
        self.asked = Counter()
        self.times = {}

    async def look_up(self, customer_id):
        self.asked[customer_id] += 1
        await asyncio.sleep(1)
        if customer_id % 2 and self.asked[customer_id] == 1:
            raise ServiceBusyError("too many requests", retry_after=60)
        self.times[customer_id] = asyncio.get_running_loop().time()
        return Customer("gold", 1.0)


@pytest.fixture
def written(monkeypatch):
    """Keep the tables in memory, four orders and the list that is written: simulated time has no threads and files."""
    orders = [Order(order_id=f"A{number}", customer_id=number, amount=1.0) for number in range(4)]
    kept = []

    async def at_once(function, *arguments):
        return function(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", at_once)
    monkeypatch.setattr(pipeline, "read_orders", lambda _: orders)
    monkeypatch.setattr(pipeline, "write_orders", lambda _, rows: kept.extend(rows))
    return kept


def ports(service):
    return BulkPorts(service, Path("orders.csv"), Path("out.csv"))


@simulated
async def test_what_the_service_asks_to_wait_is_waited(written):
    """The others go on meanwhile."""
    service = Patient()
    graph = build_enrichment(at_once=4, base_delay=0.1)
    results = await graph.run(ports=ports(service), limits=Limits({"crm": 2}))
    assert {0: 1, 1: 2, 2: 1, 3: 2} == service.asked
    assert 1 == service.times[0]
    assert 2 == service.times[2]
    assert "crm" == results.record("enrich").statistics["limit"]["name"]
    assert service.times[1] >= 62
    assert ["A0", "A1", "A2", "A3"] == [row["order_id"] for row in written]
    assert 6 == results.record("enrich").statistics["map"]["attempts"]


class Broken:
    """A service that is there for the first ones only."""

    async def look_up(self, customer_id):
        await asyncio.sleep(1)
        if customer_id == 2:
            raise ServiceBusyError("down")
        return Customer("new", 2.0)


@simulated
async def test_a_service_that_stays_away_fails_the_run(written):
    """After six attempts, with the place of the order and how many were done; nothing is written."""
    with pytest.raises(StageExecutionError) as raised:
        await build_enrichment(at_once=2, base_delay=0.1).run(ports=ports(Broken()), limits=Limits({"crm": 2}))
    error = raised.value.__cause__
    assert isinstance(error, MapItemError)
    assert (2, {0, 1, 3}) == (error.index, set(error.completed))
    assert "order 3 failed after 3 were done: down" == problem_of(raised.value)
    assert StageStatus.SKIP is raised.value.results["write"].status
    assert not written


@simulated
async def test_the_service_is_the_same_in_any_order():
    """What it does for a customer depends on the seed and on how often it was asked."""

    async def outcomes(customers):
        service = UnreliableService(latency=0.1, failing=0.3, limiting=0.3)
        found = {}
        for customer in customers:
            try:
                found[customer] = await service.look_up(customer)
            except ServiceBusyError as error:
                found[customer] = error.retry_after
        return found

    first = await outcomes(range(50))
    assert first == await outcomes(reversed(range(50)))
    assert {type(one) for one in first.values()} >= {Customer, float, type(None)}


def test_made_up_orders_are_the_same_each_time(tmp_path, orders):
    """The table is seeded, and reads back."""
    make_orders(tmp_path / "again.csv", 200)
    assert orders.read_bytes() == (tmp_path / "again.csv").read_bytes()
    assert 200 == len(read_orders(orders))
    with pytest.raises(TableError):
        read_orders(tmp_path)
