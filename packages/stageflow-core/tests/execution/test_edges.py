"""Routes and joins: which stages start, which are skipped, and why."""

import asyncio
import enum
from dataclasses import dataclass

import pytest
from stageflow import (
    Pipeline,
    RetryPolicy,
    StageContext,
    StageExecutionError,
    StageKind,
    StageOutput,
    StageStatus,
    stage,
)
from stageflow.errors import MissingInputError, UndeclaredRouteError
from stageflow_mocks.simulation import simulated

OK, SKIP, CANCEL, FAIL, SUSPEND = (
    StageStatus.OK,
    StageStatus.SKIP,
    StageStatus.CANCEL,
    StageStatus.FAIL,
    StageStatus.SUSPEND,
)


def now():
    return asyncio.get_running_loop().time()


def after(seconds, result=None):
    """A stage that takes some time, then returns the result or raises it."""

    async def execute(ctx: StageContext):
        await asyncio.sleep(seconds)
        if isinstance(result, BaseException):
            raise result
        return {"by": ctx.stage_name} if result is None else result

    return execute


def router(name, result, *routes, terminal=(), seconds=1, **options):
    """A router that returns the result, or the route of this name."""
    output = {"route": result} if isinstance(result, str) else result
    kind = StageKind.ROUTE
    return stage(name, after(seconds, output), kind, routes=routes, terminal_routes=terminal, **options)


async def outcome(*stages, sink=None, **options):
    return await Pipeline("p", stages, **options).start(event_sink=sink).outcome()


def statuses(results):
    return {name: output.status for name, output in results.items()}


def origins(results):
    return {record.name: record.origin for record in results.records() if record.origin}


# --- routes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", ["left", "right"])
@simulated
async def test_a_run_takes_the_route_that_was_chosen(chosen, recorder):
    """What is behind another one never starts; all that requires it is skipped with the router as its origin."""
    other = {"left": "right", "right": "left"}[chosen]
    stages = [router("way", chosen, "left", "right")]
    for side in ("left", "right"):
        stages += [
            stage(side, after(1), route={"way": side}),
            stage(f"{side}_far", after(1), dependencies=side),
            stage(f"{side}_maybe", after(1), optional=side),
        ]
    results = await outcome(*stages, sink=recorder)
    assert results.status == "completed"
    ended = {"way": OK}
    for side in (chosen, other):
        there = OK if side == chosen else SKIP
        ended |= {side: there, f"{side}_far": there, f"{side}_maybe": OK}
    assert statuses(results) == ended
    assert origins(results) == {other: "way", f"{other}_far": "way"}
    reason = f"route '{other}' was not taken: 'way' chose '{chosen}'"
    assert results[other].reason == results[f"{other}_far"].reason == reason
    assert recorder.of(f"stage.{other}.skipped")["data"] == {"reason": reason, "origin": "way"}
    assert f"stage.{other}.started" not in recorder.types
    assert results.record(other).attempts == 0


@dataclass(frozen=True)
class Choice:
    route: str
    confidence: float


class Anything:
    """Equals every route."""

    def __eq__(self, other):
        return True

    __hash__ = None


class Way(str, enum.Enum):  # noqa: UP042 - what was written before StrEnum
    LEFT = "left"


@pytest.mark.parametrize(
    "output",
    [
        {"route": "left", "why": ["because"]},
        Choice("left", 0.9),
        StageOutput.ok(Choice("left", 0.9)),
        StageOutput.ok(route="left"),
        StageOutput.ok(route="left", version="2"),
        {"route": Way.LEFT},
    ],
    ids=repr,
)
@simulated
async def test_a_route_may_come_in_any_output(output):
    """A mapping, a contract value with such a field, an output of either, a text of another class."""
    results = await outcome(
        router("way", output, "left", "right", terminal="right"), stage("left", after(1), route={"way": "left"})
    )
    assert statuses(results) == {"way": OK, "left": OK}


@pytest.mark.parametrize(
    ("output", "route", "message"),
    [
        ({"route": "lef"}, "lef", "Stage 'way' chose the route 'lef'."),
        ({"route": None}, None, "Stage 'way' returned nothing as data['route']."),
        ({"route": ("left",)}, None, "Stage 'way' returned a tuple as data['route']."),
        ({"route": 1}, None, "Stage 'way' returned an int as data['route']."),
        ({"route": Anything()}, None, f"Stage 'way' returned a {__name__}.Anything as data['route']."),
        ({"way": "left"}, None, "Stage 'way' returned nothing as data['route']."),
        ({}, None, "Stage 'way' returned nothing as data['route']."),
        (Choice("nowhere", 0.1), "nowhere", "Stage 'way' chose the route 'nowhere'."),
        (StageOutput.ok(), None, "Stage 'way' returned nothing as data['route']."),
    ],
)
@simulated
async def test_a_route_that_is_not_declared_fails_the_router(output, route, message):
    """So does none at all; the error lists those that there are."""
    stages = [router("way", output, "left", terminal="left"), stage("s", after(1), route={"way": "left"})]
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", stages).run()
    cause = caught.value.__cause__
    assert isinstance(cause, UndeclaredRouteError)
    assert (cause.stage, cause.route, cause.routes, cause.message) == ("way", route, ("left",), message)
    assert caught.value.results["s"].status is SKIP


@pytest.mark.parametrize(
    ("output", "status"),
    [(StageOutput.skip("no"), SKIP), (StageOutput.fail("no"), FAIL), (LookupError("no"), FAIL)],
    ids=repr,
)
@simulated
async def test_a_router_that_does_not_end_ok_takes_all_of_its_routes_along(output, status):
    """Nothing was chosen."""
    results = await outcome(
        router("way", output, "left", "right", critical=False),
        stage("left", after(1), route={"way": "left"}),
        stage("right", after(1), route={"way": "right"}),
        stage("maybe", after(1), optional=("left", "right")),
    )
    assert statuses(results) == {"way": status, "left": SKIP, "right": SKIP, "maybe": OK}
    assert origins(results) == {"left": "way", "right": "way"}


@simulated
async def test_a_route_may_end_the_way():
    """A run that takes a terminal route completes."""
    results = await outcome(
        router("way", "spam", "spam", "ham", terminal="spam"), stage("ham", after(1), route={"way": "ham"})
    )
    assert (results.status, statuses(results)) == ("completed", {"way": OK, "ham": SKIP})


@simulated
async def test_all_stages_of_a_route_start_together():
    """In plan order, and each reads the router."""
    begun = []

    async def execute(ctx: StageContext):
        begun.append((ctx.stage_name, now(), ctx.inputs.require_from("way", "route")))

    await outcome(
        router("way", "left", "left", "right"),
        stage("b", execute, route={"way": "left"}),
        stage("x", execute, route={"way": "right"}),
        stage("a", execute, route={"way": "left"}),
    )
    assert begun == [("b", 1.0, "left"), ("a", 1.0, "left")]


@simulated
async def test_a_function_reads_the_router_that_it_is_behind():
    """Its parameter and its route are one dependency; a handle serves as the key."""

    @stage(kind=StageKind.ROUTE, routes="left")
    async def way():
        return {"route": "left", "why": "because"}

    @stage(route={way: "left"})
    async def reader(way):
        return {"why": way["why"]}

    results = await outcome(way, reader)
    assert results.data(reader) == {"why": "because"}


@pytest.mark.parametrize(
    ("first", "second", "status", "origin"),
    [("a", "x", OK, None), ("a", "y", SKIP, "two"), ("b", "x", SKIP, "one"), ("b", "y", SKIP, "one")],
)
@simulated
async def test_a_stage_behind_two_routers_needs_both_routes(first, second, status, origin):
    """The first that keeps it from starting is its origin; the other one changes nothing any more."""
    results = await outcome(
        router("one", first, "a", "b", terminal="b"),
        router("two", second, "x", "y", terminal="y", seconds=2),
        stage("s", after(1), route={"one": "a", "two": "x"}),
        stage("behind", after(1), dependencies="s"),
    )
    assert (results["s"].status, results.record("s").origin) == (status, origin)
    assert (results["behind"].status, results.record("behind").origin) == (status, origin)


@pytest.mark.parametrize(("outer", "inner"), [("in", "x"), ("in", "y"), ("out", "x")])
@simulated
async def test_a_router_may_be_behind_a_router(outer, inner):
    """One that is not on the way chooses nothing."""
    results = await outcome(
        router("outer", outer, "in", "out", terminal="out"),
        router("inner", inner, "x", "y", route={"outer": "in"}),
        stage("x", after(1), route={"inner": "x"}),
        stage("y", after(1), route={"inner": "y"}),
    )
    if outer == "out":
        assert statuses(results) == {"outer": OK, "inner": SKIP, "x": SKIP, "y": SKIP}
        assert set(origins(results).values()) == {"outer"}
        assert results["x"].reason == "route 'in' was not taken: 'outer' chose 'out'"
    else:
        taken, other = (("x", "y"), ("y", "x"))[inner == "y"]
        assert statuses(results) == {"outer": OK, "inner": OK, taken: OK, other: SKIP}
        assert origins(results) == {other: "inner"}


@pytest.mark.parametrize("slow", ["way", "other"])
@simulated
async def test_a_route_is_one_dependency_among_others(slow):
    """The stage waits for all of them, whichever comes last, and is skipped at once if the route is not taken."""
    seconds = {"way": 1, "other": 1, slow: 5}
    for chosen, at in (("left", 5.0), ("right", float(seconds["way"]))):
        sink, begun = Sink(), now()
        results = await outcome(
            router("way", chosen, "left", "right", terminal="right", seconds=seconds["way"]),
            stage("other", after(seconds["other"])),
            stage("s", after(1), route={"way": "left"}, dependencies="other"),
            sink=sink,
        )
        assert results["s"].status is (OK if chosen == "left" else SKIP)
        first = next(event for event in sink.events if event["stage"] == "s")
        assert first["timestamp"] - sink.events[0]["timestamp"] == pytest.approx(at)
        assert now() > begun


class Sink:
    def __init__(self):
        self.events = []

    async def emit(self, *, type, data):
        self.events.append(data)

    def try_emit(self, *, type, data):
        self.events.append(data)


@simulated
async def test_a_route_that_is_taken_asks_the_condition():
    """One that is not does not."""
    asked = []

    def when(inputs, snapshot):
        asked.append(inputs.require_from("way", "route"))
        return False

    results = await outcome(
        router("way", "left", "left", "right"),
        stage("left", after(1), route={"way": "left"}, when=when),
        stage("right", after(1), route={"way": "right"}, when=when),
    )
    assert (asked, results["left"].reason) == (["left"], "its `when` said no")


@simulated
async def test_a_router_that_is_tried_again_chooses_once():
    """Its last attempt counts."""

    async def execute(ctx: StageContext):
        if ctx.attempt == 1:
            return StageOutput.retry("undecided")
        return {"route": "right"}

    policy = RetryPolicy(base_delay=1)
    results = await outcome(
        stage("way", execute, StageKind.ROUTE, routes=("left", "right"), retry=policy),
        stage("left", after(1), route={"way": "left"}),
        stage("right", after(1), route={"way": "right"}),
    )
    assert statuses(results) == {"way": OK, "left": SKIP, "right": OK}


@simulated
async def test_a_run_that_stops_takes_no_route():
    """What was chosen is recorded; what is behind it is cancelled, or skipped where it was not chosen."""
    started = Pipeline(
        "p",
        [
            stage("slow", after(100)),
            router("way", "left", "left", "right", seconds=0),
            stage("left", after(100), route={"way": "left"}),
            stage("left_far", after(1), dependencies="left"),
            stage("right", after(1), route={"way": "right"}),
        ],
    ).start()
    await asyncio.sleep(1)
    started.cancel("enough")
    results = await started.outcome()
    assert statuses(results) == {"slow": CANCEL, "way": OK, "left": CANCEL, "left_far": CANCEL, "right": SKIP}


@simulated
async def test_a_route_among_thousands():
    """Each of them is skipped once, without recursion."""
    names = [f"r{number}" for number in range(3000)]
    stages = [router("way", "r7", *names)]
    stages += [stage(name, after(0), route={"way": name}) for name in names]
    results = await outcome(*stages)
    assert len(results.skipped()) == 2999
    assert results["r7"].status is OK


# --- joins -------------------------------------------------------------------------------------------------------

ENDS = {
    "ok": ({}, OK),
    "contract": (Choice("left", 1.0), OK),
    "fails": (LookupError("no"), FAIL),
    "skips": (StageOutput.skip("no"), SKIP),
}


@pytest.mark.parametrize("form", ["named", "parameters"])
@pytest.mark.parametrize("ends", [("ok", "ok"), ("ok", "fails"), ("skips", "ok"), ("fails", "contract")], ids=str)
@simulated
async def test_one_that_is_ok_is_enough(ends, form):
    """The stage starts when all have ended, and reads those that did not end OK as absent."""
    read = []

    async def by_name(ctx: StageContext):
        read.append((now(), [ctx.inputs.has_output(name) for name in ("a", "b")]))

    async def by_parameter(a=None, b=None):
        read.append((now(), [a is not None, b is not None]))

    results = await outcome(
        stage("a", after(1, ENDS[ends[0]][0]), critical=False),
        stage("b", after(5, ENDS[ends[1]][0]), critical=False),
        stage("s", by_name, join="any", dependencies=("a", "b"))
        if form == "named"
        else stage("s", by_parameter, join="any"),
    )
    assert (results["s"].status, read) == (OK, [(5.0, [ENDS[end][1] is OK for end in ends])])


@pytest.mark.parametrize("form", ["named", "parameters"])
@pytest.mark.parametrize("ends", [("fails", "fails"), ("skips", "fails"), ("fails", "skips"), ("skips", "skips")])
@simulated
async def test_if_none_is_ok_it_is_skipped(ends, form):
    """It says which it would have joined."""

    async def by_parameter(b=None, a=None): ...

    joining = {"join": "any"}
    results = await outcome(
        stage("a", after(1, ENDS[ends[0]][0]), critical=False),
        stage("b", after(5, ENDS[ends[1]][0]), critical=False),
        stage("s", after(1), dependencies=("b", "a"), **joining)
        if form == "named"
        else stage("s", by_parameter, **joining),
        stage("behind", after(1), dependencies="s"),
    )
    assert (results.status, now()) == ("completed", 5.0)
    assert (results["s"].status, results["s"].reason) == (SKIP, "none of those that it joins ended OK: a, b")
    assert origins(results) == {"s": "a", "behind": "a"}


@simulated
async def test_the_origin_of_an_empty_join_is_where_that_began():
    """The stage far upstream, rather than the one that was skipped with it."""
    results = await outcome(
        router("way", "stop", "go", "stop", terminal="stop"),
        stage("a", after(1), route={"way": "go"}),
        stage("b", after(1), dependencies="a"),
        stage("s", after(1), join="any", dependencies="b"),
    )
    assert origins(results) == {"a": "way", "b": "way", "s": "way"}


@pytest.mark.parametrize("chosen", ["left", "right"])
@simulated
async def test_the_ways_come_together_again(chosen):
    """What was joined for: whichever was taken."""
    results = await outcome(
        router("way", chosen, "left", "right"),
        stage("left", after(1), route={"way": "left"}),
        stage("right", after(1), route={"way": "right"}),
        stage("s", after(1), join="any", dependencies=("left", "right")),
    )
    assert (results["s"].status, now()) == (OK, 3.0)


@pytest.mark.parametrize(("chosen", "status"), [("in", OK), ("out", SKIP)])
@simulated
async def test_a_join_behind_a_route_needs_the_route(chosen, status):
    """The router is OK, and yet not joined: it is the way."""
    results = await outcome(
        router("way", chosen, "in", "out", terminal="out"),
        stage("a", after(2)),
        stage("b", after(3, StageOutput.skip("no"))),
        stage("s", after(1), join="any", route={"way": "in"}, dependencies=("a", "b")),
    )
    assert (results["s"].status, results.record("s").origin) == (status, None if status is OK else "way")


@simulated
async def test_a_join_behind_a_route_with_nothing_ok_is_skipped():
    """That the way was taken is not enough."""
    results = await outcome(
        router("way", "in", "in"),
        stage("a", after(2, StageOutput.skip("no"))),
        stage("s", after(1), join="any", route={"way": "in"}, dependencies="a"),
    )
    assert (results["s"].status, results.record("s").origin) == (SKIP, "a")


@pytest.mark.parametrize(
    ("a", "extra", "status"), [("ok", "fails", OK), ("fails", "ok", SKIP), ("skips", "skips", SKIP)]
)
@simulated
async def test_beside_required_ones_the_optional_are_only_waited_for(a, extra, status):
    """One of them is not enough."""
    results = await outcome(
        stage("a", after(1, ENDS[a][0]), critical=False),
        stage("extra", after(5, ENDS[extra][0]), critical=False),
        stage("s", after(0), join="any", dependencies="a", optional="extra"),
    )
    assert (results["s"].status, now()) == (status, 5.0)


@simulated
async def test_a_read_of_what_a_join_is_without_says_so():
    """The message leads to `has_output` and to a default."""

    async def execute(ctx: StageContext):
        ctx.inputs.require_from("b", "x")

    results = await outcome(
        stage("a", after(1)),
        stage("b", after(1, StageOutput.skip("no"))),
        stage("s", execute, join="any", dependencies=("a", "b")),
    )
    error = results["s"].error.exception
    assert isinstance(error, MissingInputError)
    assert (error.dependency, error.key) == ("b", "x")
    assert "which ended SKIP. A dependency that is optional, or one of several under join='any'" in str(error)


@simulated
async def test_a_join_of_what_failed_under_continue():
    """It runs, and the run raises all the same."""
    stages = [
        stage("a", after(1, LookupError("no"))),
        stage("b", after(2)),
        stage("s", after(1), join="any", dependencies=("a", "b")),
    ]
    results = await outcome(*stages, on_failure="continue")
    assert (results.status, statuses(results)) == ("failed", {"a": FAIL, "b": OK, "s": OK})


@simulated
async def test_a_join_of_what_is_suspended_waits():
    """What a human decides may be OK yet."""
    results = await outcome(
        stage("a", after(1)),
        stage("b", after(1, StageOutput.suspend("may I?"))),
        stage("s", after(1), join="any", dependencies=("a", "b")),
    )
    assert (results.status, statuses(results)) == ("suspended", {"a": OK, "b": SUSPEND, "s": SUSPEND})
    assert origins(results) == {"s": "b"}


@simulated
async def test_a_join_in_a_run_that_stops_does_not_start():
    """It is cancelled, not skipped: its dependencies were not asked to the end."""
    started = Pipeline(
        "p",
        [stage("a", after(1)), stage("b", after(100)), stage("s", after(1), join="any", dependencies=("a", "b"))],
    ).start()
    await asyncio.sleep(2)
    started.cancel("enough")
    results = await started.outcome()
    assert statuses(results) == {"a": OK, "b": CANCEL, "s": CANCEL}


@simulated
async def test_join_all_is_as_without():
    """Every required one must be OK."""
    results = await outcome(
        stage("a", after(1)),
        stage("b", after(1, StageOutput.skip("no"))),
        stage("s", after(1), join="all", dependencies=("a", "b")),
    )
    assert (results["s"].status, results.record("s").origin) == (SKIP, "b")
