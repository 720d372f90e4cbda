"""What a run holds is let go of when it ends."""

import gc
import weakref
from collections.abc import Iterator

import pytest
from stageflow import Pipeline, StageContext


class Client:
    """A live object, as ports hold them."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Only references that end free anything."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
async def test_results_do_not_keep_the_run() -> None:
    """Results that are kept hold what the stages returned, not the ports that they were given, and form no cycle."""

    async def reply(ctx: StageContext) -> dict[str, bool]:
        return {"connected": isinstance(ctx.ports, Client)}

    graph = Pipeline("chat").with_stage("reply", reply).build()
    client = Client()
    freed = weakref.ref(client)
    results = await graph.run(ports=client)
    assert results.data("reply") == {"connected": True}
    assert results.record("reply").started_at is not None
    del client
    assert freed() is None
