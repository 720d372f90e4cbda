"""What a command is about, and all that it may turn out to be instead."""

import pytest


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nope:x", "There is no module 'nope'."),
        ("shop.nope:x", "There is no module 'shop.nope'."),
        ("nope.py:x", "There is no file 'nope.py'."),
        ("nope", "There is no module 'nope'."),
        (
            "shop",
            "'shop' names no pipeline. Pipelines there: shop:hello, shop:failing, ",
        ),
        ("shop:", "'shop:' names no pipeline."),
        (":x", "':x' names no pipeline."),
        ("shop:helo", "'shop:helo': there is no 'helo' in shop. Did you mean 'hello'?"),
        ("shop:hello.nope", "there is no 'nope' in shop."),
        ("shop:profile", "'shop:profile' is no pipeline, but <stage 'profile'>. Pipelines there: "),
        ("shop:SHOP", "there is no 'SHOP' in shop."),
        ("bad:number", "'bad:number' is no pipeline, but 7. bad holds no pipeline."),
        ("bad:Pipelines", "'bad:Pipelines' is no pipeline, but the class Pipelines."),
        ("bad:seven", "is no pipeline, but the function seven, which returns 7."),
        ("bad:takes", "'bad:takes' takes arguments (missing a required argument: 'name')"),
        ("bad:later", "'bad:later' is an async function"),
        ("bad:raises", "'bad:raises' cannot be called: ZeroDivisionError: division by zero ("),
        ("bad:wrong", "'bad:wrong' cannot be built: Stage 'x' depends on 'y', which is not in pipeline 'wrong'."),
        ("bad:faults", "'bad:faults' cannot be built: Pipeline 'faults' has 2 faults: 1. "),
        ("syntax:x", "'syntax' cannot be imported: "),
        ("syntax.py:x", "syntax.py:2 does not parse: "),
        ("binary:x", "does not parse: "),
        ("nulls:x", "'nulls' cannot be imported: its source does not parse: "),
        ("..shop:hello", "'..shop:hello' names no pipeline. Write module:attribute"),
        ("bad:holder.broken", "'bad:holder.broken' cannot be read: RuntimeError: not now ("),
        ("bad:holder.away", "'bad:holder.away': there is no 'away' in bad."),
        ("raises:x", "'raises' cannot be imported: ZeroDivisionError: division by zero ("),
        ("lacks:x", "'lacks' cannot be imported: ModuleNotFoundError: No module named 'nowhere' ("),
        ("unset:x", "'unset' cannot be imported: the environment variable NOT_SET_HERE is not set ("),
        ("leaves:x", "'leaves' cannot be imported: it ends the process (SystemExit: 3) ("),
        ("json.py:x", "'json.py' cannot be imported, since module 'json' is "),
    ],
)
@pytest.mark.parametrize("command", ["run", "graph"])
def test_what_is_no_pipeline_is_one_line(shop, command, target, said):
    """It says what is there instead, and where; the code is 2, and there is no traceback."""
    shop.write(
        bad="""
from stageflow import Pipeline, stage
number = 7
class Pipelines: ...
class Holder:
    @property
    def broken(self):
        raise RuntimeError("not now")
holder = Holder()
def seven():
    return 7
def takes(name):
    return name
async def later():
    return None
def raises():
    return 1 / 0
async def nothing() -> None: ...
wrong = lambda: Pipeline("wrong", [stage("x", nothing, dependencies="y")])
faults = lambda: Pipeline("faults", [stage("x", nothing, dependencies=("y", "z"))])
""",
        syntax="x = 1\ndef (\n",
        binary=b"\x7fELF\x02\xff\xfe",
        nulls=b"x = 1\0",
        raises="def f():\n    return 1 / 0\nf()\n",
        lacks="import nowhere\n",
        unset="import os\nos.environ['NOT_SET_HERE']\n",
        leaves="import sys\nsys.exit(3)\n",
        json="x = 1\n",
    )
    ended = shop(command, target)
    assert (2, "") == (ended.code, ended.out)
    assert said in ended.line


def test_the_traceback_of_a_module_is_shown_where_it_is_asked_for(cli):
    """Before the line, and leading to where the module raised."""
    cli.write(raises="def f():\n    return 1 / 0\nf()\n")
    ended = cli("graph", "raises:x", "--traceback")
    assert 2 == ended.code
    assert "ZeroDivisionError" in ended.err
    assert "raises.py" in ended.err
    assert ended.err.splitlines()[-1].startswith("stageflow: 'raises' cannot be imported: ")


def test_ctrl_c_during_an_import_ends_quietly(cli):
    """It is no defect of the module."""
    cli.write(interrupted="raise KeyboardInterrupt\n")
    ended = cli("run", "interrupted:x")
    assert (130, "", "") == (ended.code, ended.out, ended.err)


def offer(folder, group, **points):
    """Put a distribution beside the modules that offers entry points."""
    info = folder / "acme_tools-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tools\nVersion: 1.2\n")
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")


def test_an_installed_pipeline_is_known_by_its_name(shop, monkeypatch):
    """`run NAME` is enough where a distribution offers it."""
    offer(shop.folder, "stageflow.pipelines", greeter="shop:hello")
    monkeypatch.syspath_prepend(str(shop.folder))
    ended = shop("run", "greeter", "--input", "Hi", "--progress", "off")
    assert (0, "") == (ended.code, ended.err)
    assert "Hi, Ada!" in ended.out
