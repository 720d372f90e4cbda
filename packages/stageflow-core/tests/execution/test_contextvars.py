"""What a stage sets in its context reaches no other stage, and runs of one graph do not meet."""

import asyncio
import decimal
from contextvars import ContextVar

import pytest
from stageflow import Pipeline, StageContext, get_event_sink, set_event_sink, stage
from stageflow_mocks.simulation import simulated

tenant = ContextVar("tenant", default="nobody")


def setting(value, *, turns=0):
    async def execute(ctx: StageContext):
        for _ in range(turns):
            await asyncio.sleep(0)
        tenant.set(value)
        for _ in range(turns):
            await asyncio.sleep(0)
        return {"saw": tenant.get()}

    return execute


async def reading(ctx: StageContext):
    return {"saw": tenant.get()}


@pytest.mark.parametrize("turns", [0, 1])
@simulated
async def test_a_contextvar_reaches_no_other_stage(turns):
    """Neither dependents, nor siblings, nor what runs later see what a stage set."""
    tenant.set("caller")
    stages = [
        stage("sets", setting("mine", turns=turns)),
        stage("sibling", reading),
        stage("behind", reading, dependencies="sets"),
        stage("sets_too", setting("yours", turns=turns), dependencies="behind"),
        *(stage(f"after{i}", reading, dependencies="sets_too") for i in range(5)),
    ]
    results = await Pipeline("isolated", stages).run()
    saw = {name: output.data["saw"] for name, output in results.items()}
    assert saw.pop("sets") == "mine"
    assert saw.pop("sets_too") == "yours"
    assert set(saw.values()) == {"caller"}


@simulated
async def test_a_contextvar_does_not_reach_the_caller():
    """What stages set is gone when the run returns."""
    await Pipeline("isolated", [stage("sets", setting("mine"))]).run()
    assert tenant.get() == "nobody"


@simulated
async def test_stages_see_what_the_caller_had_set():
    """Every stage starts from the context of whoever started the run, as it was then."""
    tenant.set("caller")
    stages = [stage("a", reading), stage("b", setting("x"), dependencies="a"), stage("c", reading, dependencies="b")]
    run = Pipeline("isolated", stages).start()
    tenant.set("later")
    results = await run
    assert (results.data("a"), results.data("c")) == ({"saw": "caller"}, {"saw": "caller"})


@pytest.mark.parametrize(("inherited", "equal"), [(1, True), (1, 1.0), ("", ""), ([], []), (0, False)])
@simulated
async def test_an_equal_value_is_still_another_value(inherited, equal):
    """A stage that sets a variable to something equal, yet not the same, keeps it to itself."""
    inherited, equal = _fresh(inherited), _fresh(equal)
    tenant.set(inherited)
    seen = []

    async def look(ctx: StageContext):
        seen.append(tenant.get())

    await Pipeline("equal", [stage("sets", setting(equal)), stage("looks", look, dependencies="sets")]).run()
    assert seen[0] is inherited


def _fresh(value):
    return type("Text", (str,), {})(value) if isinstance(value, str) else value


@simulated
async def test_a_value_that_cannot_be_compared_is_taken_as_changed():
    """A variable whose value refuses to be compared is isolated like any other."""

    class Incomparable:
        def __eq__(self, other):
            raise ValueError("ambiguous")

        __hash__ = None

    mine, other = Incomparable(), Incomparable()
    tenant.set(mine)
    seen = []

    async def look(ctx: StageContext):
        seen.append(tenant.get())

    stages = [stage("sets", setting(other)), stage("looks", look, dependencies="sets")]
    await Pipeline("incomparable", stages).run()
    assert seen[0] is mine


@simulated
async def test_a_variable_that_was_reset_costs_no_worker():
    """A stage that puts a variable back as it was leaves its worker to the next stage."""
    tasks = set()

    async def tidy(ctx: StageContext):
        tasks.add(asyncio.current_task())
        token = tenant.set("mine")
        tenant.reset(token)

    chain = [stage(f"c{i}", tidy, dependencies=f"c{i - 1}" if i else ()) for i in range(50)]
    await Pipeline("tidy", chain).run()
    assert len(tasks) < 5


@simulated
async def test_every_stage_of_a_chain_that_sets_is_isolated():
    """A hundred stages that each set the variable each saw the caller's."""

    async def sets(ctx: StageContext):
        saw = tenant.get()
        tenant.set(ctx.stage_name)
        return {"saw": saw}

    chain = [stage(f"c{i}", sets, dependencies=f"c{i - 1}" if i else ()) for i in range(100)]
    results = await Pipeline("chain", chain).run()
    assert {output.data["saw"] for output in results.values()} == {"nobody"}


@simulated
async def test_a_stage_that_sets_a_variable_does_not_mix_up_the_order():
    """What it releases starts in plan order, although its worker retires."""
    started = []

    async def note(ctx: StageContext):
        started.append(ctx.stage_name)

    stages = [stage("sets", setting("mine")), *(stage(f"s{i}", note, dependencies="sets") for i in range(4))]
    await Pipeline("order", stages).run()
    assert started == ["s0", "s1", "s2", "s3"]


@simulated
async def test_two_runs_of_a_graph_have_contexts_of_their_own():
    """Concurrent runs that set the same variable do not meet."""

    async def sets(ctx: StageContext):
        tenant.set(ctx.snapshot.input_text)
        await asyncio.sleep(1)
        return {"saw": tenant.get()}

    graph = Pipeline("shared", [stage("s", sets)]).build()
    results = await asyncio.gather(*(graph.run(input_text=str(i)) for i in range(50)))
    assert [one.data("s")["saw"] for one in results] == [str(i) for i in range(50)]


@simulated
async def test_the_sink_of_a_stage_is_its_own(recorder):
    """set_event_sink in a stage changes no other stage's current sink."""

    async def sets():
        set_event_sink(recorder)

    async def looks():
        return {"recorder": get_event_sink() is recorder}

    results = await Pipeline("sinks", [stage("sets", sets), stage("looks", looks, dependencies="sets")]).run()
    assert results.data("looks") == {"recorder": False}


@simulated
async def test_the_decimal_context_of_a_stage_is_its_own():
    """Decimal's precision, which is a ContextVar, stays with the stage that set it."""

    async def sets():
        decimal.setcontext(decimal.Context(prec=3))

    async def looks():
        return {"third": str(decimal.Decimal(1) / 3)}

    results = await Pipeline("decimal", [stage("sets", sets), stage("looks", looks, dependencies="sets")]).run()
    assert len(results.data("looks")["third"]) > 10


@simulated
async def test_a_class_is_made_once_per_run():
    """Runs of a graph do not share the instance of a class; an instance they do share."""
    made = []

    class Stateful:
        def __init__(self):
            made.append(self)

        async def execute(self, ctx):
            return {}

    graph = Pipeline("classes", [stage("s", Stateful)]).build()
    await asyncio.gather(graph.run(), graph.run())
    assert len(made) == 2
