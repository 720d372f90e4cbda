"""`stageflow run`, in this process."""

import io
import json
import re
import stat
import sys
from unittest.mock import Mock

import pytest
from cli.conftest import SHOP
from stageflow import PipelineEvent
from stageflow.cli.console import Console
from stageflow.cli.run.rich_progress import RichProgress


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_the_results_are_data_and_the_events_are_told_beside_them(shop):
    """What no other stage reads is on stdout, as JSON; each event is a line on stderr."""
    ended = shop("run", "shop:hello", "--input", "Hi")
    assert (0, {"greeting": {"text": "Hi, Ada!"}}) == (ended.code, json.loads(ended.out))
    told = [line[12:].split(":")[0].split() for line in ended.err.splitlines()]
    assert [
        ["started", "the", "run"],
        ["started", "profile"],
        ["completed", "profile"],
        ["started", "greeting"],
        ["completed", "greeting"],
        ["completed", "the", "run"],
    ] == told[:-1]
    assert ended.err.splitlines()[-1].startswith("hello: completed in ")


def test_a_function_is_called_for_its_pipeline(shop):
    """`module:function` is as good as `module:pipeline`, and so is a graph."""
    shop.write(graphs="import shop\ngraph = shop.hello.build()\nclass Box:\n    inner = shop.hello\n")
    assert [0, 0, 0] == [shop("run", each).code for each in ("shop:made", "graphs:graph", "graphs:Box.inner")]


def test_a_file_is_as_good_as_a_module(shop):
    """A path of a file works from elsewhere, in a package as well."""
    package = shop.folder / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "flow.py").write_text("from pack.parts import NAME\n" + SHOP)
    (package / "parts.py").write_text("NAME = 1\n")
    assert 0 == shop("run", "pack/flow.py:hello").code


def test_a_file_is_imported_with_what_stands_beside_it(shop):
    """Its own folder, or that of its package, is looked in as well."""
    folder = shop.folder / "else" / "where"
    folder.mkdir(parents=True)
    (folder / "flow.py").write_text("from beside import NAME\n" + SHOP)
    (folder / "beside.py").write_text("NAME = 1\n")
    assert 0 == shop("run", "else/where/flow.py:hello").code


@pytest.mark.parametrize(
    ("arguments", "stdin", "expected"),
    [
        (("--input", "Grüß"), b"", "Grüß"),
        (("--input", "-"), "Grüß\n".encode(), "Grüß\n"),
        (("--input", "@text.txt"), b"", "from a file"),
    ],
)
def test_the_input_is_a_text_a_file_or_stdin(shop, arguments, stdin, expected):
    """Each of the three ways gives the same."""
    (shop.folder / "text.txt").write_text("from a file")
    ended = shop("run", "shop:hello", *arguments, stdin=stdin)
    assert {"greeting": {"text": f"{expected}, Ada!"}} == json.loads(ended.out)


def test_what_the_run_is_asked_is_in_its_snapshot(cli):
    """Ids and metadata arrive; a value that is JSON is taken as that."""
    cli.write(
        asked="""
from typing import Any
from stageflow import Pipeline, StageContext, stage
@stage
async def told(ctx: StageContext) -> dict[str, Any]:
    who = ctx.snapshot.run_id
    return {"ids": [who.user_id, who.session_id, who.org_id], **ctx.snapshot.metadata}
pipeline = Pipeline("asked", [told])
"""
    )
    ids = ("--user", "u", "--session", "s", "--org", "o")
    ended = cli("run", "asked:pipeline", *ids, "--metadata", "n=3", "--metadata", "t=a=b")
    assert {"told": {"ids": ["u", "s", "o"], "n": 3, "t": "a=b"}} == json.loads(ended.out)


TYPED = """
from dataclasses import dataclass
from typing import Any
from stageflow import Pipeline, StageContext, stage
@dataclass(frozen=True)
class Item:
    name: str
    count: int = 1
@dataclass(frozen=True)
class Order:
    items: list[Item]
    gift: Item | None = None
@stage
async def total(input: Order) -> dict[str, Any]:
    return {"count": sum(item.count for item in input.items), "gift": input.gift.name if input.gift else None}
pipeline = Pipeline("typed", [total], input=Order)
"""


def test_a_typed_input_is_made_of_json(cli):
    """Objects become dataclasses where the annotations say so, with the defaults of what is left out."""
    cli.write(typed=TYPED)
    order = {"items": [{"name": "a", "count": 2}, {"name": "b"}], "gift": {"name": "c"}}
    ended = cli("run", "typed:pipeline", "--input-json", json.dumps(order))
    assert {"total": {"count": 3, "gift": "c"}} == json.loads(ended.out)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('{"items": 3}', "cannot begin: "),
        ('{"itms": []}', "Order refuses its fields: "),
        ("{", "--input-json is no JSON: "),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_a_typed_input_that_is_none_is_said_to_be_wrong(cli, given, said):
    """It is one line, and no run begins."""
    cli.write(typed=TYPED)
    ended = cli("run", "typed:pipeline", "--input-json", given)
    assert (2, "") == (ended.code, ended.out)
    assert said in ended.line


PORTS = """
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any
from stageflow import Pipeline, StageContext, stage

log = []

@stage(ports="greeter", limit="api")
async def greet(ctx: StageContext) -> dict[str, Any]:
    log.append("ran")
    return {"text": ctx.ports.greeter("Ada"), "level": ctx.config.get("level", "none")}

pipeline = Pipeline("ports", [greet])
plain = SimpleNamespace(greeter=str.upper)

def made():
    return plain

async def awaited():
    return plain

@contextmanager
def opened():
    log.append("opened")
    yield plain
    log.append("closed")

@asynccontextmanager
async def opened_async():
    log.append("opened")
    yield plain
    log.append("closed")

def failing():
    raise ConnectionError("no route")

class Settings:
    def get(self, key, default=None):
        return f"{key}!"

settings = Settings()
"""


@pytest.mark.parametrize("name", ["plain", "made", "awaited", "opened", "opened_async"])
def test_ports_are_an_object_or_what_makes_it(cli, name):
    """They are there while the run goes on, and are closed after it."""
    cli.write(wired=PORTS)
    ended = cli("run", "wired:pipeline", "--ports", f"wired:{name}", "--limit", "api=1", "--config", "wired:settings")
    assert {"greet": {"text": "ADA", "level": "level!"}} == json.loads(ended.out)
    expected = ["opened", "ran", "closed"] if name.startswith("opened") else ["ran"]
    assert expected == sys.modules["wired"].log


@pytest.mark.parametrize(("name", "text"), [("s.json", '{"level": "high"}'), ("s.toml", 'level = "high"')])
def test_settings_are_read_from_a_file(cli, name, text):
    """JSON and TOML, by the ending of the name."""
    cli.write(wired=PORTS)
    (cli.folder / name).write_text(text)
    ended = cli("run", "wired:pipeline", "--ports", "wired:plain", "--limit", "api=1", "--config", name)
    assert "high" == json.loads(ended.out)["greet"]["level"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ports", "wired:failing", "--limit", "api=1"), "--ports: ConnectionError: no route"),
        (("--ports", "wired:nope"), "there is no 'nope' in wired"),
        (("--ports", "wired:plain"), "cannot begin: "),
        (("--ports", "wired:plain", "--limit", "api=none"), "--limit: "),
        (("--ports", "wired:plain", "--limit", "api"), "--limit is written KEY=VALUE"),
        (("--config", "nope.json"), "nope.json cannot be read: No such file"),
        (("--config", "bad.json"), "--config is no JSON"),
        (("--config", "bad.toml"), "bad.toml is no TOML"),
        (("--config", "list.json"), "holds no settings"),
        (("--timeout", "0"), "above 0"),
        (("--timeout", "nan"), "above 0"),
        (("--output", "gret"), "Did you mean 'greet'?"),
        (("--stream", "nope"), "no stage 'nope'"),
        (("--decision", "greet=1"), "--decision goes with --resume"),
        (("--input", "-", "--input-json", "-"), "cannot both read stdin"),
        (("--input", "@nope.txt"), "nope.txt cannot be read"),
        (("--input", "@bin.dat"), "bin.dat is binary"),
        (("--input", "@latin.txt"), "latin.txt is not UTF-8 (byte 2 is 0xff)"),
        (("--input", "@a\0b"), "is no name of a file"),
        (("--resume", "bad.json"), "is no JSON"),
        (("--resume", "list.json"), "--resume list.json: "),
        (("--resume", "list.json", "--input", "x"), "--input does not go with --resume"),
    ],
)
def test_what_cannot_be_is_one_line(cli, arguments, said):
    """Each says which argument it is, nothing runs, and there is no traceback."""
    cli.write(wired=PORTS)
    (cli.folder / "bad.json").write_text("{")
    (cli.folder / "bad.toml").write_text("x = ")
    (cli.folder / "list.json").write_text("[]")
    (cli.folder / "bin.dat").write_bytes(b"\x7fELF\0\0")
    (cli.folder / "latin.txt").write_bytes(b"a\xff")
    ended = cli("run", "wired:pipeline", *arguments)
    assert (2, "") == (ended.code, ended.out)
    assert said in ended.line
    assert [] == sys.modules["wired"].log


def test_a_failed_run_says_why(shop):
    """The last line is the error, the code is 1, and there are no data."""
    ended = shop("run", "shop:failing")
    assert (1, "") == (ended.code, ended.out)
    assert (
        "stageflow: Stage 'broken' of pipeline 'failing' failed: OSError: the line is dead"
        in ended.err.splitlines()[-1]
    )
    assert "Traceback" not in ended.err


def test_a_traceback_is_shown_where_it_is_asked_for(shop):
    """It leads to the line of the stage."""
    ended = shop("run", "shop:failing", "--traceback")
    assert 1 == ended.code
    assert 'raise OSError("the line' in ended.err


def test_a_run_that_a_stage_cancels_has_a_code_of_its_own(shop):
    """A refusal is no failure."""
    ended = shop("run", "shop:guarded")
    assert (4, "") == (ended.code, ended.out)
    assert "was cancelled by stage 'refusal': not allowed" in ended.err


def test_a_run_that_takes_too_long_fails(cli):
    """`--timeout` is the run's deadline."""
    cli.write(
        slow="""
import asyncio
from stageflow import Pipeline, StageContext, stage
@stage
async def waits(ctx: StageContext) -> None:
    await asyncio.Event().wait()
pipeline = Pipeline("slow", [waits])
"""
    )
    ended = cli("run", "slow:pipeline", "--timeout", "0.01")
    assert (1, "") == (ended.code, ended.out)
    assert "took longer than the 0.0" in ended.err


def test_what_is_suspended_is_shown_and_goes_on(shop):
    """The request is the data; with --save the last line is how to go on, and doing that works."""
    ended = shop("run", "shop:refund", "--save", "kept.json")
    assert (3, {"approval": {"question": "Pay?"}}) == (ended.code, json.loads(ended.out))
    last = ended.err.splitlines()[-1]
    assert "Go on with: stageflow run shop:refund --resume kept.json --decision approval=VALUE" == last
    assert 0o600 == stat.S_IMODE((shop.folder / "kept.json").stat().st_mode)
    again = shop("run", "shop:refund", "--resume", "kept.json", "--decision", 'approval={"yes": true}')
    assert (0, {"pay": {"paid": {"yes": True}}}) == (again.code, json.loads(again.out))


def test_what_is_suspended_and_not_kept_is_said_to_be_lost(shop):
    """A run that cannot be gone on with says so."""
    ended = shop("run", "shop:refund")
    assert 3 == ended.code
    assert "The results were not kept" in ended.err.splitlines()[-1]


def test_a_decision_for_another_stage_is_refused(shop):
    """It is the input that is wrong."""
    shop("run", "shop:refund", "--save", "kept.json")
    ended = shop("run", "shop:refund", "--resume", "kept.json", "--decision", "pay=1")
    assert 2 == ended.code
    assert "cannot begin: " in ended.line


@pytest.mark.parametrize("target", ["shop:hello", "shop:failing", "shop:refund", "shop:guarded", "shop:talk"])
def test_json_is_a_line_for_each_event_and_one_for_the_results(shop, target):
    """Each line is an object with one key, and nothing else is on stdout."""
    *events, last = lines_of(shop("run", target, "--json").out)
    assert {("event",)} == {tuple(line) for line in events}
    assert [*range(1, len(events) + 1)] == [line["event"]["sequence"] for line in events]
    assert {"pipeline", "status", "stages", "error"} <= last["results"].keys()


def test_json_describes_what_is_not_json(cli):
    """The results are there all the same, with what is wrong with them."""
    cli.write(
        odd="""
from typing import Any
from stageflow import Pipeline, StageContext, stage
@stage
async def odd(ctx: StageContext) -> dict[str, Any]:
    return {"bytes": b"abc", "none": float("nan"), "set": {2, 1}, "many": (1,), "what": object, "lone": "\\ud800"}
pipeline = Pipeline("odd", [odd])
"""
    )
    shown = {
        "bytes": "<3 bytes>",
        "none": "nan",
        "set": [1, 2],
        "many": [1],
        "what": "the class object",
        "lone": "\ud800",
    }
    results = lines_of(cli("run", "odd:pipeline", "--json").out)[-1]["results"]
    assert shown == results["stages"]["odd"]["data"]
    assert "$.stages.odd.output.data.bytes" in results["not_json"]
    ended = cli("run", "odd:pipeline", "--save", "kept.json")
    assert (2, False) == (ended.code, (cli.folder / "kept.json").exists())


def test_outputs_are_those_that_were_asked_for(shop):
    """Any stage can be shown, not only the last."""
    ended = shop("run", "shop:hello", "--output", "profile", "--progress", "off")
    assert ({"profile": {"name": "Ada"}}, "") == (json.loads(ended.out), ended.err)


def test_chunks_are_shown_as_they_come(shop):
    """Text is written as it is, without a line for each chunk, and the results begin on a line of their own."""
    ended = shop("run", "shop:talk", "--stream", "words", "--progress", "off")
    assert 'a b c\n{\n  "joined": {\n    "text": "a b c"\n  }\n}\n' == ended.out


def test_chunks_are_lines_of_json_as_well(shop):
    """A program tells them from the events."""
    lines = lines_of(shop("run", "shop:talk", "--stream", "words", "--json").out)
    assert ["a ", "b ", "c"] == [line["chunk"]["value"] for line in lines if "chunk" in line]


def test_a_stage_that_does_not_stream_has_no_chunks(shop):
    """It is said before the run, which ends."""
    ended = shop("run", "shop:hello", "--stream", "profile")
    assert 2 == ended.code
    assert "--stream profile: " in ended.err.splitlines()[-1]


def test_what_a_stage_says_moves_no_cursor(cli):
    """What a stage says is one line without control characters."""
    cli.write(
        evil="""
from stageflow import Pipeline, StageContext, stage
@stage
async def evil(ctx: StageContext) -> None:
    raise OSError("\\x1b[2Jgone\\r\\nfake line")
pipeline = Pipeline("evil", [evil])
"""
    )
    ended = cli("run", "evil:pipeline")
    assert "\x1b" not in ended.err
    assert not any(line.startswith("fake") for line in ended.err.splitlines())


def test_what_a_pipeline_prints_is_not_among_the_data(cli):
    """Neither at its import nor while it runs, so that a program can read what the command writes."""
    cli.write(
        chatty="""
from typing import Any
from stageflow import Pipeline, StageContext, stage
print("imported")
@stage
async def talks(ctx: StageContext) -> dict[str, Any]:
    print("ran")
    return {}
pipeline = Pipeline("chatty", [talks])
"""
    )
    before = sys.stdout
    ended = cli("run", "chatty:pipeline", "--json")
    assert all(line.startswith("{") for line in ended.out.splitlines())
    assert "imported\nran\n" == ended.err
    assert before is sys.stdout
    del sys.modules["chatty"]
    assert "imported\n" == cli("graph", "chatty:pipeline").err
    del sys.modules["chatty"]
    assert "imported\n" == cli("list", "chatty", "--json").err


def test_without_rich_progress_is_plain_unless_rich_is_asked_for(shop, monkeypatch):
    """The message can be pasted."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "stageflow.cli.run.rich_progress", raising=False)
    monkeypatch.setattr("stageflow.cli.console.is_terminal", lambda stream: True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "started     profile" in shop("run", "shop:hello").err
    ended = shop("run", "shop:hello", "--progress", "rich")
    expected = 'stageflow: --progress rich: The live display needs rich: pip install "stageflow-core[cli-rich]"'
    assert (2, expected) == (ended.code, ended.line)


def test_the_live_display_tells_what_has_ended(shop):
    """Each stage once, with its time, and what came of the run."""
    ended = shop("run", "shop:failing", "--progress", "rich")
    assert 1 == ended.code
    assert "failed      broken" in ended.err
    assert "skipped     after: because of broken" in ended.err


class Terminal(io.StringIO):
    """Takes what is written to a terminal, and counts how often."""

    writes = 0

    def isatty(self):
        return True

    def write(self, text):
        self.writes += 1
        return super().write(text)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    return Terminal()


def happening(verb, number, **fields):
    stage = f"s{number}"
    return PipelineEvent(**ids(number), event_type=f"stage.{stage}.{verb}", stage=stage, **fields)


def test_of_many_stages_that_run_some_are_shown_and_the_others_follow(terminal):
    """A display is as high as a terminal at most, and whoever has waited longest gets a place."""
    display = RichProgress(Console(err=terminal))
    for n in range(20):
        display.event(happening("started", n))
    display.event(happening("started", 3))  # again
    display._live.start()
    display._draw()
    first = terminal.getvalue()
    assert [f"s{n}" for n in range(12)] == re.findall(r"\bs\d+", first)
    assert "  and 8 more" in first
    display.event(happening("completed", 3, status="ok", duration_ms=1.0))
    display._draw()
    second = terminal.getvalue()[len(first) :]
    assert "completed   s3: 1 ms" in second
    assert [f"s{n}" for n in (3, *range(3), *range(4, 13))] == re.findall(r"\bs\d+", second)
    assert "  and 7 more" in second
    display._live.stop()


def test_quick_stages_do_not_wait_for_the_display(terminal):
    """What happens is kept until the next drawing, which shows all of it at once."""
    display = RichProgress(Console(err=terminal))
    display._live.start()
    before = terminal.writes
    for n in range(5000):
        display.event(happening("started", n))
        display.event(happening("completed", n, status="ok", duration_ms=1.0))
    assert before == terminal.writes
    display._draw()
    assert before + 1 == terminal.writes
    assert 5000 == terminal.getvalue().count("completed   s")
    display._live.stop()


def test_what_a_stage_prints_stands_between_the_events_around_it(terminal, monkeypatch):
    """Both are drawn in the order in which they came, and what has no end of line yet is not lost."""
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    with RichProgress(Console(err=terminal)) as display:
        display.event(happening("completed", 1, status="ok"))
        sys.stdout.write("from s2\n")
        display.event(happening("completed", 2, status="ok"))
        sys.stderr.write("\x1b[31mwarned\x1b[0m\n")
        sys.stdout.write("to be ")
    assert (terminal, terminal) == (sys.stdout, sys.stderr)
    shown = [terminal.getvalue().index(text) for text in (" s1", "from s2", " s2\n", "\x1b[31mwarned", "to be ")]
    assert sorted(shown) == shown


def test_a_display_that_nobody_reads_ends_the_run(terminal, monkeypatch):
    """The thread that draws says so where the run hears it."""
    display = RichProgress(Console(err=terminal))
    display.event(happening("completed", 1, status="ok"))
    monkeypatch.setattr(terminal, "write", Mock(side_effect=BrokenPipeError))
    monkeypatch.setattr(display._ended, "wait", Mock(return_value=False))
    display._draw_often()
    with pytest.raises(BrokenPipeError):
        display.event(happening("completed", 2, status="ok"))


def test_whoever_leaves_at_once_has_seen_all_that_had_happened(terminal):
    """What was not drawn yet is written as it is."""
    display = RichProgress(Console(err=terminal))
    display.event(happening("completed", 1, status="ok"))
    display.abandon()
    assert "completed   s1\n" in terminal.getvalue()


def ids(number):
    return {"event_id": f"e{number}", "timestamp": float(number), "sequence": number + 1, "pipeline_run_id": "r"}


@pytest.mark.parametrize(
    ("place", "why"), [("no/such/folder.json", "No such file or directory"), (".", "Is a directory")]
)
def test_results_that_could_not_be_kept_are_not_worked_for(shop, place, why):
    """A run costs time and money, and one that is suspended would be lost."""
    ended = shop("run", "shop:hello", "--save", place)
    assert (2, "") == (ended.code, ended.out)
    assert f"stageflow: --save: {place} cannot be written: {why}." == ended.line


def test_results_that_cannot_be_kept_are_shown_all_the_same(cli):
    """The run has been, whatever becomes of the file."""
    cli.write(
        rude="""
import asyncio
from pathlib import Path
from stageflow import Pipeline, StageContext, stage

@stage
async def removes(ctx: StageContext):
    await asyncio.to_thread(Path("folder").rmdir)
    return {"n": 1}

pipeline = Pipeline("rude", [removes])
"""
    )
    (cli.folder / "folder").mkdir()
    ended = cli("run", "rude:pipeline", "--save", "folder/kept.json")
    assert 2 == ended.code
    assert {"removes": {"n": 1}} == json.loads(ended.out)
    assert "stageflow: --save: folder/kept.json cannot be written: No such file" in ended.err.splitlines()[-1]
