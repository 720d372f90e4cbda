"""The idempotency store for one process."""

import asyncio

import pytest
from stageflow.interceptors.idempotency_memory import InMemoryIdempotencyStore
from stageflow.protocols import Claim, IdempotencyStore, NoOpIdempotencyStore
from stageflow_mocks.simulation import run, simulated


class Clock:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


async def keep(store, key, value="done", fingerprint="f"):
    assert "granted" == (await store.claim(key, fingerprint=fingerprint, owner="me")).state
    assert await store.complete(key, owner="me", value=value)


async def state(store, key, fingerprint="f", owner="you"):
    return (await store.claim(key, fingerprint=fingerprint, owner=owner)).state


@simulated
async def test_a_key_is_granted_to_one_at_a_time():
    """Until it is released."""
    store = InMemoryIdempotencyStore()
    assert isinstance(store, IdempotencyStore)
    assert "granted" == await state(store, "k", owner="me")
    assert "running" == await state(store, "k")
    assert "running" == await state(store, "k", owner="me")
    assert "granted" == await state(store, "other")
    await store.release("k", owner="me")
    assert "granted" == await state(store, "k")


@simulated
async def test_what_was_done_is_kept():
    """For whoever asks."""
    store = InMemoryIdempotencyStore()
    await keep(store, "k", {"answer": 42})
    claim = await store.claim("k", fingerprint="f", owner="you")
    assert ("done", {"answer": 42}) == (claim.state, claim.value)
    assert "Claim('done')" == repr(claim)


@simulated
async def test_other_parameters_are_a_conflict():
    """While the work is under way, and when it is done."""
    store = InMemoryIdempotencyStore()
    await store.claim("k", fingerprint="f", owner="me")
    assert "conflict" == await state(store, "k", "g")
    await store.complete("k", owner="me", value=1)
    assert "conflict" == await state(store, "k", "g")


@simulated
async def test_a_key_that_became_free_stands_for_any_parameters():
    """The work was not done."""
    store = InMemoryIdempotencyStore()
    await store.claim("k", fingerprint="f", owner="me")
    await store.release("k", owner="me")
    assert "granted" == await state(store, "k", "g")


@simulated
async def test_only_the_owner_completes_releases_and_renews():
    """A latecomer cannot end the claim of another."""
    store = InMemoryIdempotencyStore()
    await store.claim("k", fingerprint="f", owner="me")
    assert [True, False] == [await store.renew("k", owner=owner) for owner in ("me", "you")]
    await store.release("k", owner="you")
    assert not await store.complete("k", owner="you", value=1)
    assert "running" == await state(store, "k")
    assert await store.complete("k", owner="me", value=1)
    assert not await store.complete("k", owner="me", value=2)


@simulated
async def test_waiting_ends_when_the_claim_does():
    """By completion or release; a key that is not claimed is not waited for."""
    store, ended = InMemoryIdempotencyStore(), []

    async def wait(key):
        await store.wait(key)
        ended.append((key, asyncio.get_running_loop().time()))

    await store.wait("free")
    for key in ("a", "b"):
        await store.claim(key, fingerprint="f", owner="me")
    waiting = [asyncio.ensure_future(wait(key)) for key in ("a", "b", "b", "b")]
    await asyncio.sleep(1)
    waiting[1].cancel()
    await asyncio.sleep(0)
    await store.complete("a", owner="me", value=1)
    waiting[2].cancel()
    await asyncio.sleep(1)
    await store.release("b", owner="me")
    await asyncio.wait(waiting)
    assert [("a", 1.0), ("b", 2.0)] == ended


@simulated
async def test_a_waiter_that_is_cancelled_as_it_is_woken_is_no_trouble():
    """The others are woken all the same."""
    store = InMemoryIdempotencyStore()
    await store.claim("k", fingerprint="f", owner="me")
    waiting = [asyncio.ensure_future(store.wait("k")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await store.release("k", owner="me")
    await asyncio.wait(waiting)
    assert [True, False, False] == [task.cancelled() for task in waiting]


async def test_what_was_done_is_forgotten_after_its_time():
    """To the moment, and what is under way never."""
    clock = Clock()
    store = InMemoryIdempotencyStore(ttl=60, clock=clock)
    await store.claim("running", fingerprint="f", owner="me")
    await keep(store, "early")
    clock.now += 30
    await keep(store, "late")
    clock.now += 29.9
    assert "done" == await state(store, "early")
    clock.now += 0.1
    assert "granted" == await state(store, "early")
    assert "done" == await state(store, "late")
    clock.now += 1_000_000
    assert "running" == await state(store, "running")


async def test_of_too_much_the_oldest_is_forgotten():
    """And what is under way never."""
    store = InMemoryIdempotencyStore(max_entries=3, clock=Clock())
    for number in range(100):
        await store.claim(f"running-{number}", fingerprint="f", owner="me")
    for number in range(5):
        await keep(store, f"k{number}")
    assert 103 == len(store)
    assert ["granted", "granted", "done", "done", "done"] == [await state(store, f"k{number}") for number in range(5)]
    assert {"running"} == {await state(store, f"running-{number}") for number in range(100)}


async def test_its_table_does_not_grow_for_ever():
    """However many keys come."""
    clock = Clock()
    store = InMemoryIdempotencyStore(ttl=10, max_entries=50, clock=clock)
    for number in range(1_000):
        clock.now += 1
        await keep(store, f"k{number}")
        assert len(store) <= 10
    for number in range(1_000):
        await keep(store, f"l{number}")
    assert 50 == len(store)


@simulated
async def test_its_clock_is_that_of_the_event_loop_unless_given():
    """So that simulated time works."""
    store = InMemoryIdempotencyStore(ttl=60)
    await keep(store, "k")
    await asyncio.sleep(59)
    assert "done" == await state(store, "k")
    await asyncio.sleep(1)
    assert "granted" == await state(store, "k")


def test_what_was_claimed_in_an_event_loop_that_is_gone_is_free():
    """Whoever claimed it can never end it."""
    store = InMemoryIdempotencyStore(clock=Clock())
    run(store.claim("k", fingerprint="f", owner="me"))
    assert "granted" == run(state(store, "k"))
    assert not run(store.complete("k", owner="me", value=1))


@simulated
async def test_two_event_loops_at_a_time_are_refused():
    """One cannot wake what waits in the other."""
    store, claimed = InMemoryIdempotencyStore(clock=Clock()), asyncio.new_event_loop()
    try:
        with_other = claimed.create_task(store.claim("k", fingerprint="f", owner="me"))
        running = asyncio.events._get_running_loop()
        asyncio.events._set_running_loop(None)
        try:
            claimed.run_until_complete(with_other)
        finally:
            asyncio.events._set_running_loop(running)
        with pytest.raises(RuntimeError, match="two event loops at a time"):
            await store.claim("k", fingerprint="f", owner="you")
    finally:
        claimed.close()


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), None, True, "60"])
def test_the_time_is_above_zero(ttl):
    """Anything else is refused where it is given."""
    with pytest.raises(ValueError, match="ttl of an InMemoryIdempotencyStore is a number of seconds above 0, not"):
        InMemoryIdempotencyStore(ttl=ttl)


@pytest.mark.parametrize("most", [0, -1, 1.5, None, True, "60"])
def test_the_number_of_entries_is_from_one_on(most):
    """Anything else is refused where it is given."""
    with pytest.raises(ValueError, match="max_entries of an InMemoryIdempotencyStore is a whole number from 1 on, not"):
        InMemoryIdempotencyStore(max_entries=most)


async def test_the_no_op_grants_everything():
    """And remembers nothing."""
    store = NoOpIdempotencyStore()
    assert isinstance(store, IdempotencyStore)
    await keep(store, "k")
    assert "granted" == await state(store, "k", "g")
    assert await store.renew("k", owner="me")
    await store.release("k", owner="me")
    await store.wait("k")
    assert isinstance(await store.claim("k", fingerprint="f", owner="me"), Claim)
