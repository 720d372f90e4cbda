"""Permits that runs share."""

import asyncio
import gc
import random
import threading
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stageflow import Limits, PipelineValidationError
from stageflow.context.permit_queue import PATIENCE
from stageflow.errors import ForeignLoopError, InvalidOptionError, LimitTooSmallError, UnknownLimitError
from stageflow_mocks.simulation import run, simulated


class Log:
    """Who was granted permits, in order."""

    def __init__(self, limits):
        self.limits = limits
        self.granted = []
        self.permits = {}

    def start(self, name, needs, priority=0):
        """Start somebody who takes permits and keeps them."""

        async def take():
            self.permits[name] = await self.limits.acquire(needs, priority)
            self.granted.append(name)

        return asyncio.create_task(take())

    async def release(self, name):
        self.permits.pop(name).release()
        await turns()


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


def state(limits):
    return {name: (limits.in_use(name), limits.waiting(name)) for name in limits.names}


def nothing_is_left(limits):
    """Return whether no trace of anybody is kept."""
    ledger = limits._ledger
    if ledger is None:  # nobody came so far
        return True
    pools = ledger._pools.values()
    free = all(pool.free == pool.capacity and not pool.waiting and not pool.queues for pool in pools)
    return free and not ledger._queues and ledger._reserver is None


# --- what they are made of ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, -1, True, False, 1.0, "2", None], ids=repr)
def test_a_limit_is_a_whole_number_from_one_on(count):
    """Neither a flag nor a text."""
    with pytest.raises(InvalidOptionError, match=r"groq of Limits is a whole number of permits, 1 or more") as caught:
        Limits({"tts": 1, "groq": count})
    assert isinstance(caught.value, PipelineValidationError)
    assert isinstance(caught.value, ValueError)
    assert "Limits({'groq': 8})" in caught.value.hint


@pytest.mark.parametrize("name", ["", 3, None, ("a",)], ids=repr)
def test_the_name_of_a_limit_is_a_text(name):
    """That is not empty."""
    with pytest.raises(InvalidOptionError, match="as each name") as caught:
        Limits({name: 1})
    assert caught.value.hint is not None


@pytest.mark.parametrize("given", [{}, None, 8, [("groq", 8)], "groq"], ids=repr)
def test_limits_are_a_mapping_with_something_in_it(given):
    """Pairs are no mapping."""
    with pytest.raises(InvalidOptionError, match="are a mapping from names to numbers of permits") as caught:
        Limits(given)
    assert ("capacities", True) == (caught.value.option, "Limits({'groq': 8})" in caught.value.hint)


def test_limits_do_not_follow_the_mapping_that_they_were_made_of():
    """It was copied."""
    given = {"groq": 8}
    limits = Limits(given)
    given["groq"] = 9
    assert (8, ("groq",)) == (limits.capacity("groq"), limits.names)


@pytest.mark.parametrize("ask", [Limits.capacity, Limits.in_use, Limits.waiting])
def test_an_unknown_name_is_an_error(ask):
    """With the nearest one."""
    with pytest.raises(UnknownLimitError, match="Did you mean 'groq'"):
        ask(Limits({"groq": 8}), "grok")


# --- taking and giving back --------------------------------------------------------------------------------------


@simulated
async def test_what_is_free_is_taken_without_a_wait():
    """No other task has a turn meanwhile."""
    limits = Limits({"x": 2})
    other = asyncio.create_task(turns())
    permits = [await limits.acquire({"x": 1}), await limits.acquire({"x": 1})]
    assert other.get_coro().cr_await is None
    assert {"x": (2, 0)} == state(limits)
    assert all(permit.is_held for permit in permits)
    for permit in permits:
        permit.release()
    assert nothing_is_left(limits)
    await other


@simulated
async def test_one_permit_is_taken_without_a_wait_or_not_at_all():
    """While one is free for whoever comes, it is had at once; whoever finds none is not counted as waiting."""
    limits = Limits({"a": 2, "b": 1})
    first, second = limits.acquire_nowait("a"), limits.acquire_nowait("a")
    assert {"a": 1} == first.needs
    assert limits.acquire_nowait("a") is None
    assert {"a": (2, 0), "b": (0, 0)} == state(limits)
    first.release()
    assert (1, 0) == state(limits)["a"]
    third = limits.acquire_nowait("a")
    third.lend()
    await third.regain()
    assert third.is_held
    second.release()
    third.release()
    assert nothing_is_left(limits)


@simulated
async def test_one_permit_without_a_wait_does_not_overtake_who_waits():
    """Be it for the same limit, or for several at once of which one is free."""
    limits = Limits({"a": 1, "b": 1})
    held = limits.acquire_nowait("a")
    both = asyncio.create_task(limits.acquire({"a": 1, "b": 1}))
    await turns()
    assert limits.acquire_nowait("b") is None
    held.release()
    assert limits.acquire_nowait("a") is None
    (await both).release()
    assert nothing_is_left(limits)


@simulated
async def test_one_permit_of_an_unknown_limit_is_an_error():
    """As it is where one waits."""
    with pytest.raises(UnknownLimitError):
        Limits({"a": 1}).acquire_nowait("b")


@simulated
async def test_who_finds_none_waits_until_one_is_given_back():
    """And a user can see it."""
    limits = Limits({"x": 1, "y": 3})
    log = Log(limits)
    log.start("first", {"x": 1})
    log.start("second", {"x": 1})
    log.start("third", {"x": 1})
    await turns()
    assert (["first"], {"x": (1, 2), "y": (0, 0)}) == (log.granted, state(limits))
    assert "<Limits x: 1 of 1 in use, 2 waiting; y: 0 of 3 in use>" == repr(limits)
    await log.release("first")
    assert (["first", "second"], {"x": (1, 1), "y": (0, 0)}) == (log.granted, state(limits))
    await log.release("second")
    await log.release("third")
    assert nothing_is_left(limits)


@simulated
async def test_a_permit_is_given_back_once():
    """However often it is released."""
    limits = Limits({"x": 1})
    permit = await limits.acquire({"x": 1})
    assert ("<Permit: 1 of 'x', held>", {"x": 1}) == (repr(permit), permit.needs)
    permit.release()
    permit.release()
    assert ({"x": (0, 0)}, "<Permit: 1 of 'x', released>") == (state(limits), repr(permit))


@simulated
async def test_who_comes_does_not_overtake_who_waits():
    """Also in the turn in which a permit is given back."""
    limits = Limits({"x": 1})
    log = Log(limits)
    log.start("first", {"x": 1})
    log.start("second", {"x": 1})
    await turns()
    log.permits.pop("first").release()
    late = log.start("late", {"x": 1})
    await turns()
    assert (["first", "second"], False) == (log.granted, late.done())
    await log.release("second")
    assert ["first", "second", "late"] == log.granted


@pytest.mark.parametrize("count", [0, -1])
@simulated
async def test_nobody_takes_less_than_one_permit(count):
    """A negative number would give others more than there are."""
    with pytest.raises(InvalidOptionError, match="1 time or more"):
        await Limits({"x": 1}).acquire({"x": count})


@simulated
async def test_who_needs_more_than_there_are_is_told_at_once():
    """Else it would wait for ever."""
    limits = Limits({"x": 1, "y": 2})
    with pytest.raises(LimitTooSmallError) as caught:
        await limits.acquire({"x": 1, "y": 3})
    assert ("y", 3, 2) == (caught.value.limit, caught.value.needed, caught.value.capacity)
    with pytest.raises(UnknownLimitError):
        await limits.acquire({"z": 1})
    assert limits._ledger is None


# --- priorities --------------------------------------------------------------------------------------------------


async def served(order, *, permits=2):
    """Let one of each priority wait in this order; return the priorities in the order in which they were done."""
    limits, done = Limits({"x": permits}), []

    async def one(priority):
        permit = await limits.acquire({"x": 1}, priority)
        await asyncio.sleep(1)
        done.append(priority)
        permit.release()

    holders = [await limits.acquire({"x": 1}) for _ in range(permits)]
    tasks = [asyncio.create_task(one(priority)) for priority in order]
    await turns()
    for holder in holders:
        holder.release()
    await asyncio.gather(*tasks)
    assert nothing_is_left(limits)
    return done


@pytest.mark.parametrize("place", [0, 500, 1000], ids=["first", "in the middle", "last"])
@simulated
async def test_five_of_a_low_priority_do_not_starve_behind_a_thousand_of_a_high_one(place):
    """They are done long before the last tenth of these, yet after most of the first."""
    done = await served([*[9] * place, *[0] * 5, *[9] * (1000 - place)])
    last = max(number for number, priority in enumerate(done) if priority == 0)
    assert done[:last].count(9) < 900
    assert (1005, PATIENCE) == (len(done), done.index(0) - done.index(0) % 2)


async def twenty_thousand():
    limits, done = Limits({"x": 3}), []

    async def one(number):
        permit = await limits.acquire({"x": 1}, number % 1000)
        done.append(number)
        permit.release()

    holders = [await limits.acquire({"x": 1}) for _ in range(3)]
    tasks = [asyncio.create_task(one(number)) for number in range(20_000)]
    await asyncio.sleep(0)
    assert 20_000 == limits.waiting("x")
    for task in tasks[::2]:
        task.cancel()
    for holder in holders:
        holder.release()
    await asyncio.wait(tasks)
    assert list(range(1, 20_000, 2)) == sorted(done)
    assert nothing_is_left(limits)


def test_twenty_thousand_wait_their_turn():
    """It takes a second or two; if each step went through all who wait it would be minutes."""
    asyncio.run(twenty_thousand())


# --- cancellation ------------------------------------------------------------------------------------------------


@simulated
async def test_a_waiter_that_is_cancelled_leaves_nothing_behind():
    """Neither its place nor its priority."""
    limits = Limits({"x": 1})
    log = Log(limits)
    log.start("first", {"x": 1})
    waiting = [log.start(number, {"x": 1}, number % 7) for number in range(50)]
    await turns()
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert {"x": (1, 0)} == state(limits)
    assert not limits._ledger._queues
    await log.release("first")
    assert nothing_is_left(limits)


@pytest.mark.parametrize("before", [True, False], ids=["before it was granted", "after it was granted"])
@simulated(seeds=range(20))
async def test_who_is_cancelled_in_the_turn_of_its_grant_passes_it_on(before):
    """The next has it, and none is lost."""
    limits = Limits({"x": 1})
    log = Log(limits)
    log.start("first", {"x": 1})
    await turns()
    second = log.start("second", {"x": 1})
    await turns()
    log.start("third", {"x": 1})
    await turns()
    if before:
        second.cancel()
        log.permits.pop("first").release()
    else:
        log.permits.pop("first").release()
        second.cancel()
    await turns()
    assert (["first", "third"], True, {"x": (1, 0)}) == (log.granted, second.cancelled(), state(limits))
    await log.release("third")
    assert nothing_is_left(limits)


@simulated
async def test_a_whole_row_that_is_cancelled_passes_its_grant_on_to_its_end():
    """From one to the next."""
    limits = Limits({"x": 1})
    log = Log(limits)
    log.start("first", {"x": 1})
    await turns()
    row = [log.start(number, {"x": 1}) for number in range(20)]
    await turns()
    log.permits.pop("first").release()
    for task in row[:-1]:
        task.cancel()
    await turns(30)
    assert ["first", 19] == log.granted


@simulated
async def test_those_who_wait_are_not_kept_by_what_they_waited_for():
    """A cancelled one is gone with its task."""
    limits = Limits({"x": 1})
    await limits.acquire({"x": 1})
    task = asyncio.create_task(limits.acquire({"x": 1}))
    await turns()
    trace = weakref.ref(task)
    task.cancel()
    await asyncio.wait([task])
    del task
    gc.collect()
    assert trace() is None


# --- several permits at once -------------------------------------------------------------------------------------


@simulated
async def test_several_permits_are_taken_all_or_none():
    """Who waits for one of them holds none."""
    limits = Limits({"x": 1, "y": 2})
    log = Log(limits)
    log.start("x", {"x": 1})
    log.start("both", {"x": 1, "y": 2})
    await turns()
    assert (["x"], {"x": (1, 1), "y": (0, 1)}) == (log.granted, state(limits))
    await log.release("x")
    assert (["x", "both"], {"x": (1, 0), "y": (2, 0)}) == (log.granted, state(limits))
    assert "<Permit: 1 of 'x', 2 of 'y', held>" == repr(log.permits["both"])
    await log.release("both")
    assert nothing_is_left(limits)


@simulated
async def test_what_a_group_cannot_use_yet_is_used_by_others():
    """A permit does not lie idle because somebody waits for it and for another one."""
    limits = Limits({"x": 1, "y": 1})
    log = Log(limits)
    log.start("x", {"x": 1})
    log.start("both", {"x": 1, "y": 1}, 100)
    log.start("y", {"y": 1})
    await turns()
    assert ["x", "y"] == log.granted


@simulated
async def test_of_those_who_can_be_served_the_larger_priority_is_first():
    """Also between such as need one permit and such as need several, and first come, first served within one."""
    limits = Limits({"x": 1, "y": 1})
    log = Log(limits)
    log.start("holder", {"x": 1, "y": 1})
    names = [("single", {"x": 1}, 0), ("both", {"x": 1, "y": 1}, 5), ("late", {"x": 1}, 5), ("top", {"x": 1}, 7)]
    for name, needs, priority in names:
        log.start(name, needs, priority)
    await turns()
    for name in ("holder", "top", "both", "late"):
        await log.release(name)
    assert ["holder", "top", "both", "late", "single"] == log.granted


@pytest.mark.parametrize("priority", [0, -5, 5])
@simulated
async def test_a_group_does_not_starve_behind_single_ones(priority):
    """The permits are never both free by themselves; after a bound they are kept for it as they become so."""
    limits = Limits({"x": 1, "y": 1})
    log, stop = Log(limits), False

    async def busy(name):
        while not stop:
            permit = await limits.acquire({name: 1})
            await asyncio.sleep(2)
            permit.release()

    others = [asyncio.create_task(busy("x")), asyncio.create_task(busy("x"))]
    await asyncio.sleep(1)
    others += [asyncio.create_task(busy("y")), asyncio.create_task(busy("y"))]
    await asyncio.sleep(0.1)
    log.start("both", {"x": 1, "y": 1}, priority)
    await asyncio.sleep(2 * (PATIENCE + 3))
    assert ["both"] == log.granted
    stop = True
    await log.release("both")
    await asyncio.wait(others)
    assert nothing_is_left(limits)


@simulated
async def test_single_ones_do_not_starve_behind_groups():
    """Nor does a group behind groups that need others."""
    limits = Limits({"x": 1, "y": 1, "z": 1})
    log = Log(limits)
    log.start("holder", {"x": 1, "y": 1, "z": 1})
    for number in range(40):
        log.start(number, {"x": 1, "y": 1}, 9)
    log.start("single", {"x": 1}, 0)
    log.start("other", {"y": 1, "z": 1}, 0)
    await turns()
    while len(log.granted) < 43:
        await log.release(log.granted[-1] if log.granted[-1] in log.permits else next(iter(log.permits)))
    assert log.granted.index("single") < 2 * PATIENCE
    assert log.granted.index("other") < 4 * PATIENCE


@simulated
async def test_a_group_that_was_served_leaves_the_next_of_its_kind_to_be_passed_over_as_often():
    """The count begins again, else the second would come right behind the first."""
    limits = Limits({"x": 1, "y": 1})
    log = Log(limits)
    log.start("holder", {"x": 1})
    for number in range(3 * PATIENCE):
        log.start(number, {"x": 1}, 9)
    for name in ("first", "second"):
        log.start(name, {"x": 1, "y": 1})
    await turns()
    while "second" not in log.granted:
        await log.release(log.granted[-1])
    assert (PATIENCE + 1, 2 * (PATIENCE + 1)) == (log.granted.index("first"), log.granted.index("second"))


@simulated
async def test_a_reservation_ends_with_the_one_that_it_was_for():
    """What was kept for it goes to whoever waits, at once."""
    limits = Limits({"x": 1, "y": 1})
    log = Log(limits)
    log.start("y", {"y": 1})
    group = log.start("both", {"x": 1, "y": 1}, 9)
    for number in range(PATIENCE + 2):
        log.start(number, {"x": 1})
    await turns()
    for number in range(PATIENCE):
        await log.release(number)
    assert ({"x": (0, 3), "y": (1, 1)}, PATIENCE - 1) == (state(limits), log.granted[-1])
    group.cancel()
    await turns()
    assert ({"x": (1, 1), "y": (1, 0)}, PATIENCE) == (state(limits), log.granted[-1])


@simulated
async def test_a_reservation_keeps_no_more_than_is_needed():
    """Others use the rest."""
    limits = Limits({"x": 3, "y": 1})
    log = Log(limits)
    log.start("y", {"y": 1})
    log.start("both", {"x": 2, "y": 1})
    await turns()
    for number in range(PATIENCE):
        log.start(number, {"x": 1})
        await turns()
        await log.release(number)
    log.start("one", {"x": 1})
    log.start("two", {"x": 1})
    await turns()
    assert ("one", {"x": (1, 2), "y": (1, 1)}) == (log.granted[-1], state(limits))
    await log.release("y")
    assert ("both", {"x": (3, 1), "y": (1, 0)}) == (log.granted[-1], state(limits))


# --- lending -----------------------------------------------------------------------------------------------------


@simulated
async def test_a_permit_that_is_lent_is_for_others():
    """And is waited for when it is regained, behind those who wait."""
    limits = Limits({"x": 1})
    log = Log(limits)
    permit = await limits.acquire({"x": 1})
    log.start("other", {"x": 1})
    log.start("next", {"x": 1})
    await turns()
    permit.lend()
    await turns()
    assert (["other"], False, "<Permit: 1 of 'x', lent>") == (log.granted, permit.is_held, repr(permit))
    back = asyncio.create_task(permit.regain())
    await turns()
    assert "<Permit: 1 of 'x', waiting>" == repr(permit)
    await log.release("other")
    assert (["other", "next"], False) == (log.granted, permit.is_held)
    await log.release("next")
    assert (True, True) == (back.done(), permit.is_held)
    permit.release()
    assert nothing_is_left(limits)


@simulated
async def test_a_permit_is_regained_with_its_priority():
    """Before those of a lower one."""
    limits = Limits({"x": 1})
    log = Log(limits)
    permit = await limits.acquire({"x": 1}, 5)
    log.start("other", {"x": 1})
    log.start("low", {"x": 1})
    await turns()
    permit.lend()
    back = asyncio.create_task(permit.regain())
    await turns()
    await log.release("other")
    assert (["other"], True, True) == (log.granted, back.done(), permit.is_held)


@simulated
async def test_several_lend_a_permit_and_the_last_one_takes_it_again():
    """The first has given it back."""
    limits = Limits({"x": 1})
    permit = await limits.acquire({"x": 1})
    permit.lend()
    permit.lend()
    assert {"x": (0, 0)} == state(limits)
    await permit.regain()
    assert (False, {"x": (0, 0)}) == (permit.is_held, state(limits))
    await permit.regain()
    assert (True, {"x": (1, 0)}) == (permit.is_held, state(limits))


@simulated
async def test_a_permit_that_is_not_lent_cannot_be_regained():
    """That would be to take it twice."""
    permit = await Limits({"x": 1}).acquire({"x": 1})
    with pytest.raises(RuntimeError, match="not lent"):
        await permit.regain()


@simulated
async def test_a_permit_that_is_released_while_it_is_lent_is_not_taken_again():
    """The stage has ended before what it had started."""
    limits = Limits({"x": 1})
    permit = await limits.acquire({"x": 1})
    permit.lend()
    permit.release()
    await permit.regain()
    assert (False, {"x": (0, 0)}) == (permit.is_held, state(limits))


@pytest.mark.parametrize("end", ["release", "lend"])
@pytest.mark.parametrize("granted", [False, True], ids=["while it waits", "in the turn of its grant"])
@simulated(seeds=range(10))
async def test_who_regains_a_permit_that_is_lent_again_or_released_does_not_wait_for_it(end, granted):
    """It goes on without, and holds nothing."""
    limits = Limits({"x": 1})
    permit = await limits.acquire({"x": 1})
    permit.lend()
    other = await limits.acquire({"x": 1})
    back = asyncio.create_task(permit.regain())
    await turns()
    if granted:
        other.release()
    getattr(permit, end)()
    await turns()
    assert (True, None, False) == (back.done(), back.exception(), permit.is_held)
    assert {"x": (0 if granted else 1, 0)} == state(limits)
    other.release()
    assert nothing_is_left(limits)


@pytest.mark.parametrize("granted", [False, True], ids=["while it waits", "in the turn of its grant"])
@simulated(seeds=range(10))
async def test_who_is_cancelled_while_it_regains_holds_nothing(granted):
    """And may release what it does not hold."""
    limits = Limits({"x": 1})
    permit = await limits.acquire({"x": 1})
    permit.lend()
    other = await limits.acquire({"x": 1})
    back = asyncio.create_task(permit.regain())
    await turns()
    if granted:
        other.release()
    back.cancel()
    await turns()
    assert (True, False) == (back.cancelled(), permit.is_held)
    permit.release()
    other.release()
    assert nothing_is_left(limits)


@simulated
async def test_who_lends_does_not_starve():
    """It is served although others of a higher priority keep coming."""
    limits, stop = Limits({"x": 1}), False
    permit = await limits.acquire({"x": 1}, 0)

    async def busy():
        while not stop:
            other = await limits.acquire({"x": 1}, 9)
            await asyncio.sleep(1)
            other.release()

    others = [asyncio.create_task(busy()) for _ in range(3)]
    await turns()
    permit.lend()
    await asyncio.wait_for(permit.regain(), 2 * PATIENCE)
    permit.release()
    stop = True
    await asyncio.wait(others)


# --- splitting ---------------------------------------------------------------------------------------------------


@simulated
async def test_a_permit_is_split_by_name():
    """Each part is given back by itself, lent by itself, and counted once."""
    limits = Limits({"x": 2, "y": 1})
    whole = await limits.acquire({"x": 2, "y": 1}, 3)
    first, second, third = whole.split("x"), whole.split("y"), whole.split("x")
    assert ({}, {"x": 1}, {"y": 1}) == (whole.needs, first.needs, second.needs)
    assert {"x": (2, 0), "y": (1, 0)} == state(limits)
    whole.release()
    assert {"x": (2, 0), "y": (1, 0)} == state(limits)
    first.release()
    second.lend()
    assert {"x": (1, 0), "y": (0, 0)} == state(limits)
    await second.regain()
    assert {"x": (1, 0), "y": (1, 0)} == state(limits)
    second.release()
    third.release()
    assert nothing_is_left(limits)


@simulated
async def test_nothing_is_split_off_that_is_not_held():
    """An unknown name, one that is used up, and a permit that is released or lent."""
    limits = Limits({"x": 2, "y": 1})
    permit = await limits.acquire({"x": 1})
    with pytest.raises(RuntimeError, match="nothing of 'y' to split from <Permit: 1 of 'x', held>"):
        permit.split("y")
    part = permit.split("x")
    with pytest.raises(RuntimeError, match="<Permit: nothing, held>"):
        permit.split("x")
    part.lend()
    with pytest.raises(RuntimeError):
        part.split("x")
    part.release()
    assert nothing_is_left(limits)


# --- event loops -------------------------------------------------------------------------------------------------


def test_limits_serve_one_event_loop_after_another():
    """What was held in a loop that is closed is free; those that waited there are gone, and take nothing with them."""
    limits = Limits({"x": 1})
    assert (1, 0) == (limits.capacity("x"), limits.in_use("x"))
    kept = []

    async def hold():
        kept.append(await limits.acquire({"x": 1}))
        task = asyncio.create_task(limits.acquire({"x": 1}))
        await turns()
        assert {"x": (1, 1)} == state(limits)
        return task

    run(hold())
    assert {"x": (0, 0)} == state(limits)

    async def again():
        permit = await limits.acquire({"x": 1})
        kept[0].release()
        assert {"x": (1, 0)} == state(limits)
        permit.release()

    run(again())


def test_a_permit_that_is_given_back_after_its_loop_was_closed_wakes_nobody():
    """There is nothing left to wake with."""
    limits, kept = Limits({"x": 1}), []
    loop = asyncio.new_event_loop()

    async def hold():
        kept.append(await limits.acquire({"x": 1}))

    waiting = limits.acquire({"x": 1})
    loop.run_until_complete(hold())

    async def wait():
        kept.append(asyncio.ensure_future(waiting))
        await turns()

    loop.run_until_complete(wait())
    loop.close()
    kept[0].release()
    assert {"x": (0, 0)} == state(limits)
    kept[1]._log_destroy_pending = False
    kept.clear()
    gc.collect()


def test_two_threads_at_once_are_refused():
    """Each has a loop of its own."""
    limits, begun, done = Limits({"x": 1}), threading.Event(), threading.Event()

    async def hold():
        permit = await limits.acquire({"x": 1})
        begun.set()
        await asyncio.to_thread(done.wait, 10)
        permit.release()

    thread = threading.Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    try:
        assert begun.wait(10)
        with pytest.raises(ForeignLoopError, match="This Limits is in use by another event loop"):
            asyncio.run(limits.acquire({"x": 1}))
    finally:
        done.set()
        thread.join()
    asyncio.run(limits.acquire({"x": 1}))


def test_a_loop_that_uses_nothing_any_more_does_not_keep_others_out():
    """It need not be closed."""
    limits, loop = Limits({"x": 1}), asyncio.new_event_loop()
    try:
        permit = loop.run_until_complete(limits.acquire({"x": 1}))
        permit.release()
        asyncio.run(limits.acquire({"x": 1}))
    finally:
        loop.close()


def test_what_was_lent_is_not_regained_beside_another_loop():
    """Else both would have it."""
    limits, loop = Limits({"x": 1}), asyncio.new_event_loop()
    other = asyncio.new_event_loop()
    try:
        lent = loop.run_until_complete(limits.acquire({"x": 1}))
        lent.lend()
        held = other.run_until_complete(limits.acquire({"x": 1}))
        with pytest.raises(ForeignLoopError):
            loop.run_until_complete(lent.regain())
        held.release()
    finally:
        loop.close()
        other.close()


# --- whatever happens --------------------------------------------------------------------------------------------

NEEDS = st.dictionaries(st.sampled_from("xyz"), st.integers(1, 2), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    people=st.lists(
        st.tuples(NEEDS, st.integers(0, 2), st.integers(0, 3), st.sampled_from(["hold", "lend", "leave"])),
        min_size=1,
        max_size=40,
    ),
    seed=st.integers(0, 5),
)
def test_whatever_is_asked_for_no_limit_is_exceeded_and_everybody_is_served(people, seed):  # noqa: C901 - a little world
    """At every moment at which all wait, nobody waits who could be served; and at the end nothing is left."""
    capacities = {"x": 2, "y": 2, "z": 3}
    limits = Limits(capacities)
    held, finished = dict.fromkeys(capacities, 0), []

    def count(needs, sign):
        for name, number in needs.items():
            held[name] += sign * number
            assert 0 <= held[name] <= capacities[name]

    async def person(number, needs, priority, seconds, what):
        permit = await limits.acquire(needs, priority)
        try:
            await holding(needs, seconds)
            if what == "lend":
                permit.lend()
                await asyncio.sleep(seconds)
                await permit.regain()
                await holding(needs, seconds)
        finally:
            permit.release()
        finished.append(number)

    async def holding(needs, seconds):
        count(needs, 1)
        try:
            await asyncio.sleep(seconds)
        finally:
            count(needs, -1)

    async def main():
        draw = random.Random(seed)
        tasks = [asyncio.create_task(person(number, *one)) for number, one in enumerate(people)]
        for task, (_, _, _, what) in zip(tasks, people, strict=True):
            if what == "leave":
                asyncio.get_running_loop().call_later(draw.randrange(6), task.cancel)
        await asyncio.sleep(0.5)  # between the moments at which the others do something
        while not all(task.done() for task in tasks):
            assert asyncio.get_running_loop().time() < 1_000
            ledger = limits._of_this_loop()
            for queue in ledger._queues.values():
                assert not ledger._fits(queue.needs, queue)
            assert {name: limits.in_use(name) for name in capacities} == held
            await asyncio.sleep(1)
        for task, (_, _, _, what) in zip(tasks, people, strict=True):
            if what != "leave" or not task.cancelled():
                await task
        return sum(task.cancelled() for task in tasks)

    cancelled = run(main(), seed=seed)
    assert cancelled + len(finished) == len(people)
    assert nothing_is_left(limits)
