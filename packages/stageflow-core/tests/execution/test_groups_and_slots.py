"""Stages that are joined by streams and take one place among `max_concurrency`, in ways that the simulation found."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stageflow import Limits, Pipeline, RetryPolicy, StageContext, Stream, StreamOptions, stage
from stageflow.errors import MissingInputError, StreamBrokenError
from stageflow_mocks.simulation import run as simulate
from stageflow_mocks.simulation import simulated


@simulated
async def test_a_group_takes_its_slot_until_its_last_member_has_ended() -> None:
    """Also if the stage that is mapped over the stream ends before the one that reads it."""

    @stage
    async def talking() -> AsyncIterator[int]:
        yield 1

    @stage(map_over="talking")
    async def each(ctx: StageContext) -> None:
        await asyncio.sleep(1)

    @stage
    async def listening(talking: Stream[int]) -> None:
        await asyncio.sleep(3)

    @stage
    async def beside() -> dict[str, float]:
        return {"began": asyncio.get_running_loop().time()}

    results = await Pipeline("test", [talking, each, listening, beside], max_concurrency=1).run()
    assert results.data(beside) == {"began": 3.0}


@simulated(seeds=range(20))
async def test_all_stages_that_begin_a_group_start_with_it() -> None:
    """Two stages stream to a third one, which needs both: one that waited for a place would let the others wait."""

    @stage
    async def words() -> AsyncIterator[str]:
        for _ in range(40):
            yield "word"

    @stage
    async def beside() -> None:
        await asyncio.sleep(1)

    @stage
    async def tones() -> AsyncIterator[int]:
        for tone in range(40):
            yield tone

    @stage
    async def both(words: Stream[str], tones: Stream[int]) -> dict[str, int]:
        return {"words": len([word async for word in words]), "tones": len([tone async for tone in tones])}

    results = await Pipeline("test", [words, beside, tones, both], max_concurrency=1).run()
    assert results.data(both) == {"words": 40, "tones": 40}


@simulated
async def test_a_permit_comes_back_when_the_code_that_uses_it_has_ended() -> None:
    """A member that does not stop when its run does goes on to use what the limit protects."""
    limits, in_use = Limits({"x": 2}), list[int]()

    @stage(limit="x")
    async def talking() -> AsyncIterator[int]:
        yield 1

    @stage(limit="x")
    async def stubborn(talking: Stream[int]) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(10)
            in_use.append(limits.in_use("x"))

    run = Pipeline("test", [talking, stubborn], cancel_grace=1.0).start(limits=limits)
    await asyncio.sleep(1)
    run.cancel()
    assert (await run.outcome()).stragglers == ("stubborn",)
    assert limits.in_use("x") == 1
    await asyncio.sleep(20)
    assert (in_use, limits.in_use("x")) == ([1], 0)


@simulated
async def test_nor_before_that_if_its_time_was_up() -> None:
    """Whichever of the two limits it has gone beyond."""
    for limit in ({"timeout": 1.0}, {"deadline": 1.0}):
        limits = Limits({"x": 2})

        @stage(limit="x")
        async def talking() -> AsyncIterator[int]:
            yield 1

        @stage(limit="x", **limit)
        async def stubborn(talking: Stream[int]) -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(10)

        results = await Pipeline("test", [talking, stubborn], cancel_grace=1.0).start(limits=limits).outcome()
        assert (results.status, limits.in_use("x")) == ("failed", 1)
        await asyncio.sleep(20)
        assert limits.in_use("x") == 0


@pytest.mark.parametrize("bound", [1, 2])
@simulated(seeds=range(10))
async def test_a_reader_let_go_by_a_skip_runs_on_the_slot_of_its_group(bound: int) -> None:
    """Its other source runs by then and would wait for it without end; nobody beside takes the place made for it."""
    running: set[str] = set()
    most = 0

    @contextmanager
    def inside(name: str) -> Iterator[None]:
        nonlocal most
        running.add(name)
        most = max(most, len(running))
        yield
        running.discard(name)

    @stage
    async def words() -> AsyncIterator[str]:
        with inside("group"):
            for _ in range(40):
                yield "word"

    @stage(when=lambda inputs, snapshot: False)
    async def tones() -> AsyncIterator[int]:
        yield 1

    class Beside:
        async def execute(self, ctx: StageContext) -> None:
            with inside(ctx.stage_name):
                await asyncio.sleep(1)

    @stage
    async def both(words: Stream[str], tones: Stream[int] | None = None) -> dict[str, object]:
        return {"words": len([word async for word in words]), "tones": tones}

    others = [stage(f"s{number}", Beside()) for number in range(3)]
    results = await Pipeline("test", [words, tones, *others, both], max_concurrency=bound).run()
    assert results.data(both) == {"words": 40, "tones": None}
    assert most == bound


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("bound", [1, 2, 3, 4, 5])
@simulated(seeds=range(5))
async def test_groups_and_stages_beside_take_as_many_slots_as_there_are(bound: int, size: int) -> None:
    """No more, and no fewer either: each of the two groups counts as one until its last member has ended."""
    world = World()
    stages: list[Any] = []
    for group in ("g", "h"):
        stages.append(stage(f"{group}0", Streaming(world, group, "goes on"), stream=StreamOptions(capacity=1)))
        for place in range(1, size):
            kind, source = (Streaming if place < size - 1 else Plain), f"{group}{place - 1}"
            stages.append(stage(f"{group}{place}", kind(world, group, "goes on", (source,)), streams=source))
    stages += [stage(f"s{number}", Plain(world, f"s{number}", "goes on")) for number in range(6)]
    await Pipeline("test", stages, max_concurrency=bound).run()
    assert world.most == bound
    assert not world.running


@simulated(seeds=range(10))
async def test_roots_that_start_on_slots_of_their_own_make_room_when_they_are_one_group() -> None:
    """While they wait for permits each keeps the slot it began on; from then on the others have what is left."""
    limits = Limits({"x": 2})
    permit = await limits.acquire({"x": 1})
    asyncio.get_running_loop().call_later(1, permit.release)
    began: dict[str, float] = {}

    class Root:
        async def execute(self, ctx: StageContext) -> AsyncIterator[int]:
            yield 1
            await asyncio.sleep(5)

    class Reads:
        async def execute(self, ctx: StageContext) -> None:
            for source in ("a", "b"):
                async for _ in ctx.inputs.stream(source):
                    pass

    class Beside:
        async def execute(self, ctx: StageContext) -> None:
            began[ctx.stage_name] = asyncio.get_running_loop().time()

    stages = [
        stage("a", Root(), limit="x"),
        stage("b", Root(), limit="x"),
        stage("r", Reads(), streams=("a", "b")),
        stage("s", Beside()),
    ]
    await Pipeline("test", stages, max_concurrency=2).run(limits=limits)
    assert began == {"s": 1.0}


# --- any groups --------------------------------------------------------------------------------------------------


class Member:
    """A stage of a random pipeline, which counts for its group while it runs."""

    def __init__(self, world: "World", unit: str, ends: str) -> None:
        self.world = world
        self.unit = unit
        self.ends = ends

    async def read(self, ctx: StageContext, names: tuple[str, ...]) -> None:
        await asyncio.gather(*(self.drain(ctx, name) for name in names))

    async def drain(self, ctx: StageContext, name: str) -> None:
        try:
            async for _ in ctx.inputs.stream(name):
                await asyncio.sleep(0.5)
        except (StreamBrokenError, MissingInputError):  # of one that it can do without
            self.world.absent += 1

    async def end(self) -> None:
        await asyncio.sleep(1)
        if self.ends == "fails":
            raise ValueError(self.unit)


class Plain(Member):
    def __init__(self, world: "World", unit: str, ends: str, reads: tuple[str, ...] = ()) -> None:
        super().__init__(world, unit, ends)
        self.reads = reads

    async def execute(self, ctx: StageContext) -> None:
        with self.world.inside(self.unit):
            await self.read(ctx, self.reads)
            await self.end()


class Streaming(Plain):
    async def execute(self, ctx: StageContext) -> AsyncIterator[int]:  # type: ignore[override]
        with self.world.inside(self.unit):
            reading = asyncio.ensure_future(self.read(ctx, self.reads))
            try:
                for chunk in range(3):
                    yield chunk
                await reading
                await self.end()
            finally:
                reading.cancel()


class World:
    """Which units run, where a group is one, and the most that ever did."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.most = 0
        self.absent = 0

    @contextmanager
    def inside(self, unit: str) -> Iterator[None]:
        self.running.append(unit)
        self.most = max(self.most, len(set(self.running)))
        try:
            yield
        finally:
            self.running.remove(unit)


ENDS = st.sampled_from(["goes on", "goes on", "goes on", "held back", "fails"])


@st.composite
def groups_and_others(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw groups of 2 to 5 stages, each of which reads one or two of those before it, and stages beside them."""
    made: list[dict[str, Any]] = []
    for group in range(draw(st.integers(1, 3))):
        members: list[dict[str, Any]] = []
        size = draw(st.integers(2, 5))
        roots = draw(st.integers(1, max(1, size // 2)))
        for place in range(size):
            reads = {} if place < roots else {f"g{group}m{roots - 1 if place == roots else 0}": draw(st.booleans())}
            if place == roots:  # so that all roots are of one group
                reads = {f"g{group}m{root}": draw(st.booleans()) for root in range(roots)}
            elif place > roots:
                reads[f"g{group}m{draw(st.integers(0, place - 1))}"] = draw(st.booleans())
            members.append({"name": f"g{group}m{place}", "unit": f"g{group}", "reads": reads, "ends": draw(ENDS)})
        made += members
    for number in range(draw(st.integers(0, 4))):
        made.append({"name": f"s{number}", "unit": f"s{number}", "reads": None, "ends": draw(ENDS)})
    outside = [one["name"] for one in made if one["reads"] is None]
    for one in made:
        one["after"] = (
            draw(st.sets(st.sampled_from(outside), max_size=2)) if outside and one["reads"] is not None else ()
        )
    return draw(st.permutations(made))


def stages_of(drawn: list[dict[str, Any]], world: World) -> list[Any]:
    """Return the stages that were drawn."""
    read = {name for one in drawn for name in one["reads"] or ()}
    stages: list[Any] = []
    for one in drawn:
        reads = one["reads"] or {}
        kind = Streaming if one["name"] in read else Plain
        stages.append(
            stage(
                one["name"],
                kind(world, one["unit"], one["ends"], tuple(reads)),
                streams=tuple(reads),
                optional=(*(name for name, needed in reads.items() if not needed), *one["after"]),
                stream=StreamOptions(capacity=1) if one["name"] in read else None,
                when=(lambda inputs, snapshot: False) if one["ends"] == "held back" else None,
                limit=one.get("limit"),
                retry=one.get("retry"),
                critical=False,
            )
        )
    return stages


@settings(max_examples=150, deadline=None)
@given(drawn=groups_and_others(), bound=st.one_of(st.none(), st.integers(1, 3)), seed=st.integers(0, 1000))
def test_whatever_the_groups_the_bound_holds_and_nothing_stalls(
    drawn: list[dict[str, Any]], bound: int | None, seed: int
) -> None:
    """A group counts as one, whichever of its members are skipped or fail; a stall would be an error of the loop."""
    world = World()
    results = simulate(Pipeline("test", stages_of(drawn, world), max_concurrency=bound).run(), seed=seed)
    assert results.status == "completed"
    assert world.most <= (bound or len(drawn))
    assert not world.running


POLICIES = st.sampled_from([None, RetryPolicy(max_attempts=2, base_delay=2, jitter=False, retry_on=ValueError)])


@settings(max_examples=60, deadline=None)
@given(
    drawn=groups_and_others(),
    data=st.data(),
    bound=st.one_of(st.none(), st.integers(1, 3)),
    seed=st.integers(0, 1000),
)
def test_whatever_the_limits_of_groups_nothing_stalls_and_all_permits_come_back(
    drawn: list[dict[str, Any]], data: st.DataObject, bound: int | None, seed: int
) -> None:
    """Three runs share as few permits as the neediest of their groups can do with."""
    for one in drawn:
        one["limit"], one["retry"] = data.draw(st.sampled_from([None, "x", "y"])), data.draw(POLICIES)
    world = World()
    graph = Pipeline("test", stages_of(drawn, world), max_concurrency=bound).build()
    needs = {"x": 1, "y": 1}
    for unit in {one["unit"] for one in drawn}:
        named = [one["limit"] for one in drawn if one["unit"] == unit]
        needs = {name: max(needed, named.count(name)) for name, needed in needs.items()}
    limits = Limits(needs)

    async def three() -> list[str]:
        return [one.status for one in await asyncio.gather(*(graph.run(limits=limits) for _ in range(3)))]

    assert simulate(three(), seed=seed) == ["completed"] * 3
    assert not world.running
    assert {(limits.in_use(name), limits.waiting(name)) for name in limits.names} == {(0, 0)}
