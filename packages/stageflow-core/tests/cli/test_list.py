"""`stageflow list`."""

import json

from cli.test_targets import offer


def test_the_pipelines_of_a_module_are_listed(shop):
    """Each with its stages, in the order in which the module has them."""
    ended = shop("list", "shop")
    assert (0, "") == (ended.code, ended.err)
    assert ["pipeline      stages  ports", "shop:hello    2       none"] == ended.out.splitlines()[:2]
    assert 6 == len(ended.out.splitlines())


def test_a_program_gets_objects(shop):
    """With the names of the stages."""
    rows = json.loads(shop("list", "shop.py", "--json").out)
    assert {"name": "shop.py:hello", "pipeline": "hello", "stages": ["profile", "greeting"], "ports": []} == rows[0]


def test_installed_pipelines_are_listed_and_a_broken_one_is_told(shop, monkeypatch):
    """What can be loaded is there; what cannot is a line on stderr, and the code is 1."""
    offer(shop.folder, "stageflow.pipelines", greeter="shop:hello", gone="shop:nope")
    monkeypatch.syspath_prepend(str(shop.folder))
    ended = shop("list")
    assert (1, ["greeter"]) == (ended.code, [line.split()[0] for line in ended.out.splitlines()[1:]])
    assert "gone" in ended.line


def test_a_pipeline_that_cannot_be_built_is_told(cli):
    """The others are listed all the same."""
    cli.write(
        half="""
from stageflow import Pipeline, StageContext, stage
@stage
async def fine(ctx: StageContext) -> None: ...
bad = Pipeline("bad", [stage("x", fine.runner, dependencies="y")])
good = Pipeline("good", [fine])
"""
    )
    ended = cli("list", "half")
    assert (1, "half:good") == (ended.code, ended.out.splitlines()[1].split()[0])
    assert "'half:bad' cannot be built: " in ended.line


def test_that_there_is_none_is_told(cli):
    """An empty list is no failure."""
    cli.write(empty="x = 1\n")
    ended = cli("list", "empty")
    assert (0, "", "No pipeline is in empty.") == (ended.code, ended.out, ended.line)
    assert (0, "[]\n", "") == tuple(vars(cli("list", "empty", "--json")).values())
