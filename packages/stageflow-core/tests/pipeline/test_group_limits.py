"""What a build finds out about the limits of stages that streams join."""

import pytest
from stageflow import Pipeline, stage
from stageflow.errors import InvalidOptionError


class Streams:
    """Yields a chunk."""

    async def execute(self, ctx):
        yield 1


class Ends:
    """Returns."""

    async def execute(self, ctx):
        pass


def chain(*limits, names="pqrst", **options):
    """Return stages of which each reads the one before it, with these limits."""
    stages = []
    for place, limit in enumerate(limits):
        runner = Streams() if place < len(limits) - 1 else Ends()
        source = names[place - 1] if place else ()
        stages.append(stage(names[place], runner, streams=source, limit=limit, **options.get(names[place], {})))
    return stages


def each(over, limit=None, name="each"):
    return stage(name, Ends(), map_over=over, limit=limit)


def plan_of(*stages):
    return Pipeline("test", stages).build()._plan


def gathering(plan):
    """Return the names of the stages that may take the permits of their group."""
    return [node.name for node in plan.nodes if _management(node).gathers is not None]


def holding(plan):
    """Return what each stage knows that others of its group hold."""
    return {node.name: _management(node).holding for node in plan.nodes}


def _management(node):
    """Return the management of a stage that is joined to others: what its `invoke` was made with."""
    cells = dict(zip(node.invoke.__code__.co_freevars, node.invoke.__closure__ or (), strict=True))

    class Found:
        gathers = cells["group"].cell_contents if "group" in cells else None
        holding = cells["holding"].cell_contents if "holding" in cells else None

    return Found


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", ["source", "reader", "further"])
def test_a_map_over_chunks_with_a_limit_beside_another_member_with_one_is_refused(holder):
    """The items would wait for permits in the midst of a group that has its own, of whatever name."""
    source = stage("p", Streams(), limit="x" if holder == "source" else None)
    reads = stage("r", Streams(), streams="p", limit="x" if holder == "reader" else None)
    further = stage("s", Ends(), streams="r", limit="x" if holder == "further" else None)
    with pytest.raises(InvalidOptionError, match="names one, too") as caught:
        plan_of(source, reads, further, each("p", "y"))
    name = {"source": "p", "reader": "r", "further": "s"}[holder]
    assert ("each", "limit") == (caught.value.stage, caught.value.option)
    assert f"'{name}' names one, too" in str(caught.value)
    assert "map_over=('collect', 'items')" in caught.value.hint


def test_every_such_map_is_told_of():
    """In one error."""
    with pytest.raises(Exception, match="'one'") as caught:
        plan_of(
            stage("p", Streams(), limit="x"), each("p", "y", "one"), each("p", "x", "other"), each("p", None, "free")
        )
    assert ["one", "other"] == [fault.stage for fault in caught.value.faults]


@pytest.mark.parametrize(
    "stages",
    [
        (stage("p", Streams()), each("p", "x", "one"), each("p", "x", "other")),
        (stage("p", Streams(), limit="x"), each("p")),
        (stage("p", Streams()), each("p", "x"), stage("q", Streams(), limit="x"), each("q", None, "other")),
        (stage("p", Streams()), each("p", "x"), stage("beside", Ends(), limit="x")),
        (stage("p", Streams(), limit="x"), stage("r", Ends(), dependencies="p"), each(("r", "items"), "x")),
    ],
    ids=["only maps", "no limit of its own", "another group", "a stage beside", "a map over a list"],
)
def test_a_map_whose_items_wait_for_nobody_that_waits_for_them_builds(stages):
    """It is a matter of the stages that run together."""
    assert () == plan_of(*stages).permit_groups


# --- what a group takes at once ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "members", "needs"),
    [
        (("x", "x"), ((0, "x"), (1, "x")), (("x", 2),)),
        (("x", None, "y"), ((0, "x"), (2, "y")), (("x", 1), ("y", 1))),
        (("y", "x", "y", None, "y"), ((0, "y"), (1, "x"), (2, "y"), (4, "y")), (("y", 3), ("x", 1))),
    ],
)
def test_a_group_takes_what_all_of_its_members_need(limits, members, needs):
    """Each limit as often as it is named."""
    (group,) = plan_of(*chain(*limits)).permit_groups
    assert (members, needs) == (group.limits, group.needs)


@pytest.mark.parametrize("limits", [(None, None, None), ("x", None, None), (None, None, "x"), (None, "x", None)])
def test_a_group_with_one_limit_or_none_takes_nothing_at_once(limits):
    """A stage that holds the only permit waits for none that does."""
    assert () == plan_of(*chain(*limits)).permit_groups


def test_each_group_is_one_of_its_own():
    """And stages outside of them are in none."""
    beside = stage("beside", Ends(), limit="x")
    plan = plan_of(*chain("x", "y"), beside, *chain("x", "x", names="uv"))
    assert [((0, "x"), (1, "y")), ((3, "x"), (4, "x"))] == [group.limits for group in plan.permit_groups]


@pytest.mark.parametrize(("p", "q", "most"), [(1, 5, 5), (5, 1, 5), (-3, -2, -2)])
def test_the_largest_priority_is_the_groups(p, q, most):
    """Of the members that name a limit."""
    free = stage("free", Ends(), streams="p")
    plan = plan_of(*chain("x", "x", p={"priority": p}, q={"priority": q}), free)
    assert [most] == [group.priority for group in plan.permit_groups]


def test_every_member_may_take_the_permits_of_its_group():
    """Whether or not it names a limit, and readers as well: what they read may be skipped."""
    stages = (
        stage("p", Streams(), limit="x"),
        stage("q", Streams()),
        stage("m", Streams(), streams="p", limit="x"),
        stage("r", Ends(), streams=("m", "q")),
    )
    assert ["p", "q", "m", "r"] == gathering(plan_of(*stages))


@pytest.mark.parametrize(
    ("limits", "known"),
    [
        (("x", None), {"p": None, "q": "x"}),
        ((None, "x"), {"p": "x", "q": None}),
        (("x", "y"), {"p": "y", "q": "x"}),
        (("x", "y", "z"), {"p": "y", "q": "x", "r": "x"}),
        ((None, None), {"p": None, "q": None}),
    ],
)
def test_each_member_knows_of_a_limit_that_another_one_holds(limits, known):
    """The first of them, and never its own."""
    assert known == holding(plan_of(*chain(*limits)))


def test_what_a_map_takes_for_its_items_holds_up_nobody():
    """Each of them gives it back by itself."""
    assert {"p": None, "each": None} == holding(plan_of(stage("p", Streams()), each("p", "x")))
