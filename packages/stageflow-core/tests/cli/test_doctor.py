"""`stageflow doctor`."""

import json

import pytest
from cli.test_targets import offer
from stageflow.cli.doctor.variables import variables_in

NEEDY = """
import os
from types import SimpleNamespace
from typing import Any
from stageflow import BaseInterceptor, Pipeline, StageContext, stage

KEY = "NEEDY_KEY"
LEVEL = os.environ.get("NEEDY_LEVEL", "info")

class Watch(BaseInterceptor):
    name = "watch"
    async def check_health(self):
        return "watching"

class Reply:
    ports = ("llm2",)
    async def execute(self, ctx: StageContext) -> dict[str, Any]:
        return {"key": os.environ[KEY]}
    def check_health(self):
        return False

class Llm:
    async def check_health(self):
        raise ConnectionError("no route to host")

@stage(ports=("llm2", "store"), limit="api")
async def ask(ctx: StageContext) -> None: ...

needy = Pipeline("needy", [stage("reply", Reply), ask], interceptors=(Watch(),))
some = SimpleNamespace(llm2=Llm())

def failing():
    raise RuntimeError("no ports today")
"""


def checks_of(ended):
    """Return the status of each thing that was looked at, by what it is, of the one pipeline."""
    ((_, checks),) = json.loads(ended.out)["pipelines"].items()
    return {check["what"]: (check["status"], check["remedy"]) for check in checks}


@pytest.fixture
def needy(cli, monkeypatch):
    monkeypatch.delenv("NEEDY_KEY", raising=False)
    monkeypatch.delenv("NEEDY_LEVEL", raising=False)
    cli.write(needy=NEEDY)
    return cli


def test_a_pipeline_that_needs_nothing_is_well(shop):
    """The code is 0."""
    ended = shop("doctor", "shop:hello")
    assert (0, "Nothing is missing.") == (ended.code, ended.line)
    assert "shop:hello\n  ok  imports and builds: 2 stages\n" in ended.out


def test_what_is_needed_is_told_without_ports(needy):
    """Ports and limits are needed, since nobody can say that they will not be given; a variable is missing."""
    ended = needy("doctor", "needy:needy", "--json")
    checks = checks_of(ended)
    assert 1 == ended.code
    assert "needs" == checks["port 'llm2' for reply, ask"][0]
    assert "needs" == checks["port 'store' for ask"][0]
    assert "needs" == checks["permits of limit 'api'"][0]
    assert ("missing", "needy.py:18") == checks["environment variable NEEDY_KEY is not set"]
    assert ("unset", "needy.py:8 does without") == checks["environment variable NEEDY_LEVEL is not set"]


def test_ports_are_looked_at_and_asked(needy, monkeypatch):
    """What is there is fine, what is not is missing, and everything with a check_health is asked."""
    monkeypatch.setenv("NEEDY_KEY", "x")
    checks = checks_of(needy("doctor", "needy:needy", "--ports", "needy:some", "--json"))
    assert "ok" == checks["port 'llm2' for reply, ask"][0]
    assert ("missing", "--ports has: llm2") == checks["port 'store' for ask"]
    assert "ok" == checks["environment variable NEEDY_KEY is set"][0]
    assert ("missing", "ConnectionError: no route to host") == checks["port 'llm2' is not well"]
    assert ("missing", "check_health() returned False") == checks["stage 'reply' is not well"]
    assert ("ok", "watching") == checks["interceptor needy.Watch is well"]


def test_a_check_that_returns_an_awaitable_is_awaited(cli):
    """Else one that is wrapped would be well whatever it says."""
    cli.write(
        wrapped="""
from types import SimpleNamespace
from stageflow import Pipeline, StageContext, stage
@stage
async def idle(ctx: StageContext) -> None: ...
class Wrapped:
    def check_health(self):
        return self._check()
    async def _check(self):
        raise ConnectionError("no route")
wrapped = Pipeline("wrapped", [idle])
ports = SimpleNamespace(line=Wrapped())
"""
    )
    checks = checks_of(cli("doctor", "wrapped:wrapped", "--ports", "wrapped:ports", "--json"))
    assert ("missing", "ConnectionError: no route") == checks["port 'line' is not well"]


def test_ports_that_cannot_be_made_are_missing(needy):
    """The rest is looked at all the same."""
    checks = checks_of(needy("doctor", "needy:needy", "--ports", "needy:failing", "--json"))
    assert "missing" == checks["--ports: RuntimeError: no ports today"][0]
    assert "needs" == checks["port 'store' for ask"][0]


def test_a_port_of_another_shape_is_missing(cli):
    """Ports that stages agree on have protocols."""
    cli.write(
        odd="""
from types import SimpleNamespace
from stageflow import Pipeline, StageContext, stage
@stage(ports="llm")
async def ask(ctx: StageContext) -> None: ...
odd = Pipeline("odd", [ask])
ports = SimpleNamespace(llm=object())
"""
    )
    status, remedy = checks_of(cli("doctor", "odd:odd", "--ports", "odd:ports", "--json"))["port 'llm' for ask"]
    assert "missing" == status
    assert "LLMProvider" in remedy


def test_each_pipeline_of_a_module_is_looked_at_whatever_becomes_of_the_others(shop):
    """A module that cannot be imported is what is missing."""
    shop.write(lacks="raise ImportError('pip install \"acme[fast]\"')\n")
    ended = shop("doctor", "lacks", "shop", "shop:nope", "nowhere:x", "--json")
    found = json.loads(ended.out)["pipelines"]
    assert ["lacks", *(f"shop:{name}" for name in ("hello", "failing", "refund", "talk", "guarded", "nope"))] == [
        *found
    ][:-1]
    assert 'pip install "acme[fast]"' in found["lacks"][0]["what"]
    assert ["missing"] == [check["status"] for check in found["nowhere:x"]]


def test_installed_pipelines_are_looked_at_unless_others_are_named(shop, monkeypatch):
    """One that cannot be loaded is missing."""
    offer(shop.folder, "stageflow.pipelines", greeter="shop:hello", gone="shop:nope")
    monkeypatch.syspath_prepend(str(shop.folder))
    found = json.loads(shop("doctor", "--json").out)["pipelines"]
    assert ["ok"] == [check["status"] for check in found["greeter"]]
    assert ["missing"] == [check["status"] for name, checks in found.items() if name != "greeter" for check in checks]
    assert ["greeter"] == [*json.loads(shop("doctor", "greeter", "--json").out)["pipelines"]]


def test_the_surroundings_tell_of_extras(shop, monkeypatch):
    """One that is not installed comes with the line that installs it, and is no failure."""
    offer(shop.folder, "nothing")
    (shop.folder / "stageflow_acme-1.0.dist-info").mkdir()
    (shop.folder / "stageflow_acme-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: stageflow-acme\nVersion: 1.0\nRequires-Dist: nowhere-lib>=1; extra == 'far'\n"
        "Requires-Dist: acme-tools<2,>=1 ; extra == 'near'\n"
    )
    monkeypatch.syspath_prepend(str(shop.folder))
    ended = shop("doctor", "shop:hello", "--json")
    around = {check["what"]: check for check in json.loads(ended.out)["surroundings"]}
    assert 0 == ended.code
    assert ("ok", "with near") == (around["stageflow-acme 1.0"]["status"], around["stageflow-acme 1.0"]["remedy"])
    missing = around["stageflow-acme[far]"]
    assert ("unset", 'pip install "stageflow-acme[far]"') == (missing["status"], missing["remedy"])


def test_the_text_says_in_the_end_how_much_is_missing(needy):
    """For people, what is missing stands out."""
    ended = needy("doctor", "needy")
    assert (1, "2 missing.") == (ended.code, ended.line)
    assert "  MISSING  environment variable NEEDY_KEY is not set" in ended.out


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_timeout_is_a_time(shop, seconds):
    """Anything else is refused."""
    assert "--timeout is a number of seconds above 0" in shop("doctor", "shop", f"--timeout={seconds}").line


def test_variables_are_found_however_they_are_read():
    """By any name of `os` and its parts, with constants; writes and computed names are none."""
    source = """
import os, os as system
from os import environ, getenv as read
A: str = "ANNOTATED"
B = "CONSTANT"
os.environ["ONE"], system.environ["TWO"], environ["THREE"], environ[A]
os.environ.get("FOUR"), environ.get(B, "x"), read("FIVE"), os.getenv("SIX", "y")
os.environ["WRITTEN"] = "x"
del os.environ["DELETED"]
other["NOT"], other.get("NOT"), os.environ[f"{A}"], os.path["NOT"], environ.get(), read(A + B)
"""
    found = {each.name: each.required for each in variables_in(source, "x.py")}
    required = dict.fromkeys(("ONE", "TWO", "THREE", "ANNOTATED"), True)
    assert required | dict.fromkeys(("FOUR", "CONSTANT", "FIVE", "SIX"), False) == found


def test_what_cannot_be_had_is_missing(cli):
    """A class that cannot be constructed would fail each run."""
    cli.write(
        shy="""
from stageflow import Pipeline, StageContext, stage
class Shy:
    def __init__(self):
        raise RuntimeError("not today")
    async def execute(self, ctx: StageContext) -> None: ...
    def check_health(self): ...
class Ports:
    @property
    def line(self):
        raise RuntimeError("dead")
    async def check_health(self):
        return True
shy = Pipeline("shy", [stage("shy", Shy)])
ports = Ports()
"""
    )
    checks = checks_of(cli("doctor", "shy:shy", "--ports", "shy:ports", "--json"))
    assert ("missing", "RuntimeError: not today") == checks["stage 'shy' cannot be had"]
    assert ("missing", "RuntimeError: dead") == checks["port 'line' cannot be had"]
    assert ("ok", "") == checks["--ports is well"]


def test_a_variable_that_is_needed_somewhere_is_needed(cli, monkeypatch):
    """Another place that does without changes nothing, before it or behind it."""
    for name in ("TWICE_A", "TWICE_B"):
        monkeypatch.delenv(name, raising=False)
    cli.write(
        twice="""
import os
from stageflow import Pipeline, StageContext, stage
@stage
async def reads(ctx: StageContext) -> None:
    os.environ.get("TWICE_A")
    os.environ["TWICE_A"], os.environ["TWICE_B"]
    os.environ.get("TWICE_B")
twice = Pipeline("twice", [reads])
"""
    )
    checks = checks_of(cli("doctor", "twice:twice", "--json"))
    assert [("missing", "twice.py:7")] * 2 == [checks[f"environment variable TWICE_{x} is not set"] for x in "AB"]


def test_a_check_that_ends_the_process_or_returns_an_error_is_not_well(cli):
    """The other checks are made all the same; the ports of a mapping are its items."""
    cli.write(
        ending="""
import sys
from stageflow import Pipeline, StageContext, stage

class Exits:
    def check_health(self): sys.exit(4)

class Returns:
    async def check_health(self): return ConnectionError("refused")

class Well:
    def check_health(self): return "fast"

@stage
async def first(ctx: StageContext): ...

pipeline = Pipeline("p", [first])
ports = {"exits": Exits(), "returns": Returns(), "well": Well()}
"""
    )
    ended = cli("doctor", "ending:pipeline", "--ports", "ending:ports")
    assert (1, "2 missing.") == (ended.code, ended.line)
    lines = {line.split("'")[1]: line.split() for line in ended.out.splitlines() if "port '" in line}
    assert ["MISSING", "port", "'exits'", "is", "not", "well", "SystemExit:", "4"] == lines["exits"]
    assert ["MISSING", "port", "'returns'", "is", "not", "well", "ConnectionError:", "refused"] == lines["returns"]
    assert ["ok", "port", "'well'", "is", "well", "fast"] == lines["well"]
