"""What a test gives a run: a store, settings, time and chance."""

import random

import pytest
from stageflow import Pipeline, StageContext, StageExecutionError, stage
from stageflow.observability import InMemoryCircuitBreaker
from stageflow_mocks import FakeClock, FakeConfig, FakeRandom, InMemoryRunStore


async def test_the_store_keeps_what_it_is_told():
    """Metadata and data are merged, copies go in and out, and an end is final."""
    store, tags = InMemoryRunStore(), ["a"]
    await store.create_run("r", pipeline="p", tags=tags)
    tags.append("b")
    await store.update_status("r", "completed", duration_ms=1.0)
    await store.update_status("r", "running")
    run = await store.get_run("r")
    assert run == {"run_id": "r", "status": "completed", "pipeline": "p", "tags": ["a"], "duration_ms": 1.0}
    run["tags"].append("c")
    assert (await store.get_run("r"))["tags"] == ["a"]
    assert (store.run_ids, store.history("r")) == (["r"], ["created", "completed", "running"])
    assert await store.get_run("other") is None
    assert store.history("other") == []


async def test_the_store_knows_a_run_that_was_never_created():
    """What comes late does not undo what is known; to create a run twice is refused."""
    store = InMemoryRunStore()
    await store.update_status("r", "completed", failed=[])
    await store.create_run("r", pipeline="p")
    assert await store.get_run("r") == {"run_id": "r", "status": "completed", "failed": [], "pipeline": "p"}
    with pytest.raises(ValueError, match="Run 'r' was created before"):
        await store.create_run("r")


async def test_settings_count_what_is_not_there():
    """A default is given, and the key is counted."""
    config = FakeConfig({"model": "m", "empty": None})

    @stage
    async def looks(ctx: StageContext) -> dict[str, str]:
        return {
            "model": ctx.config.get("model"),
            "other": ctx.config.get("other", "x"),
            "none": ctx.config.get("empty", 1),
        }

    results = await Pipeline("p", [looks]).run(config=config)
    assert results.data(looks) == {"model": "m", "other": "x", "none": None}
    assert (config.asked, config.missing) == ({"model": 1, "other": 1, "empty": 1}, {"other": 1})
    assert repr(config) == "<FakeConfig: 2 settings>"


async def test_settings_may_refuse_what_is_not_there():
    """The stage fails, and the message says what there is."""
    config = FakeConfig({"model": "m"}, on_missing="refuse")

    @stage
    async def looks(ctx: StageContext) -> None:
        ctx.config.get("modell", "x")

    with pytest.raises(StageExecutionError, match=r"'modell' was asked for, .* Did you mean 'model'\? Given: 'model'"):
        await Pipeline("p", [looks]).run(config=config)
    with pytest.raises(ValueError, match="'default' or 'refuse'"):
        FakeConfig(on_missing="ignore")


async def test_a_clock_moves_when_it_is_moved():
    """A circuit breaker with it recovers at the test's word, and it never goes back."""
    clock = FakeClock(5)
    breaker = InMemoryCircuitBreaker(failure_threshold=1, recovery_time=30, clock=clock)
    await breaker.record_failure("c", await breaker.allow("c"))
    assert (await breaker.allow("c")).retry_after == 30
    clock.advance(30)
    assert clock() == 35
    assert (await breaker.allow("c")).allowed
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="number of seconds"):
            clock.advance(wrong)


def test_chance_repeats_itself():
    """The same seed gives the same, what is told comes first, and what was drawn is kept."""
    first, second = FakeRandom(7), FakeRandom(7)
    assert [first.random(), first.randint(0, 9), first.choice("abc")] == [
        second.random(),
        second.randint(0, 9),
        second.choice("abc"),
    ]
    assert FakeRandom(8).random() != FakeRandom(7).random() == random.Random(7).random()
    told = FakeRandom(7, told=[0.5, 0.25])
    assert (told.uniform(0, 10), told.random(), told.random()) == (5.0, 0.25, random.Random(7).random())
    assert told.drawn[:2] == [0.5, 0.25]
    with pytest.raises(ValueError, match=r"told 1\.5"):
        FakeRandom(told=[1.5])
