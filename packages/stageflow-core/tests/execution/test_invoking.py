"""What a stage does not ask for costs it nothing; what it does is done, whatever else it asks for."""

import pytest
from stageflow import Limits, Pipeline, RetryPolicy, StageKind, stage
from stageflow.execution import invoking
from stageflow.interceptors.base import BaseInterceptor
from stageflow_mocks.simulation import simulated


class Router:
    kind = StageKind.ROUTE

    async def execute(self, ctx):
        return {"route": "left"}


class Watching(BaseInterceptor):
    """Keeps the version of each output that it sees."""

    def __init__(self):
        self.versions = []

    async def after(self, ctx, output):
        self.versions.append(output.version)


ROUTES = {"routes": "left", "terminal_routes": "left"}


@pytest.mark.parametrize("options", [{}, {"retry": RetryPolicy()}, {"limit": "a"}, {"version": "2"}, ROUTES], ids=str)
@pytest.mark.parametrize("interceptors", [(), (Watching(),)], ids=["bare", "intercepted"])
@simulated
async def test_no_attempts_are_managed_where_the_first_one_stands(options, interceptors, monkeypatch):
    """To get ready for more would cost more than the stage; with interceptors only a check needs it."""
    made = []
    managed = invoking.ManagedStage
    monkeypatch.setattr(invoking, "ManagedStage", lambda *arguments: made.append(arguments) or managed(*arguments))
    pipeline = Pipeline("p", [stage("s", Router(), **options)], interceptors=interceptors)
    results = await pipeline.run(limits=Limits({"a": 1}))
    assert "left" == results.data("s")["route"]
    assert bool(made) == (bool(interceptors) and not options.keys().isdisjoint({"version", "routes"}))


@pytest.mark.parametrize("runner", [Router(), Router], ids=["instance", "class"])
@pytest.mark.parametrize("options", [{"version": "2"}, {"version": "2", "retry": RetryPolicy()}], ids=str)
@simulated
async def test_interceptors_see_what_the_checks_made_of_an_output(runner, options):
    """They stand around all of an attempt."""
    watching = Watching()
    await Pipeline("p", [stage("s", runner, **options)], interceptors=[watching]).run()
    assert ["2"] == watching.versions


@simulated
async def test_a_mapping_that_cannot_be_shared_is_tried_again_like_another_error():
    """What a stage returned is looked at within its attempt."""
    steps = [{"lines": (line for line in ())}, {"lines": 3}]

    async def reading():
        return steps.pop(0)

    policy = RetryPolicy(retry_on=Exception, base_delay=0)
    results = await Pipeline("p", [stage("s", reading, retry=policy)]).run()
    assert ({"lines": 3}, 2) == (results.data("s"), results.record("s").attempts)
