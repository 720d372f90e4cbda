"""Random graphs with routes, joins, conditions, failures and questions: each ends as the rules say."""

import asyncio
import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from stageflow import (
    Pipeline,
    PipelineResults,
    PipelineSuspended,
    StageContext,
    StageKind,
    StageOutput,
    StageStatus,
    stage,
)
from stageflow_mocks.simulation import run

OK, SKIP, FAIL, SUSPEND = StageStatus.OK, StageStatus.SKIP, StageStatus.FAIL, StageStatus.SUSPEND

ROUTES = ("x", "y")


@st.composite
def graphs(draw):
    """Draw stages in plan order, each with its dependencies, routes and join, and what becomes of it if it runs."""
    drawn = []
    for number in range(draw(st.integers(1, 8))):
        earlier = list(range(number))
        routers = [index for index in earlier if drawn[index]["router"]]
        gates = draw(st.dictionaries(st.sampled_from(routers), st.sampled_from(ROUTES), max_size=2)) if routers else {}
        others = [index for index in earlier if index not in gates]
        picked = draw(st.lists(st.sampled_from(others), unique=True, max_size=3)) if others else []
        required = [index for index in picked if draw(st.booleans())]
        drawn.append(
            {
                "gates": gates,
                "required": required,
                "optional": [index for index in picked if index not in required],
                "any": bool(picked) and draw(st.booleans()),
                "when": draw(st.sampled_from([None, None, True, False])),
                "router": draw(st.booleans()),
                "route": draw(st.sampled_from(ROUTES)),
                "end": draw(st.sampled_from(["ok", "ok", "ok", "fails", "skips", "asks"])),
                "seconds": draw(st.integers(0, 3)),
            }
        )
    return drawn


def expected_statuses(graph, decided=()):
    """Work out by the rules what each stage ends as; plan order is an order in which that can be done."""
    ended = []
    for number, one in enumerate(graph):
        joined = (one["required"] or one["optional"]) if one["any"] else []
        sources = [*one["gates"], *one["required"], *one["optional"]]
        held = any(
            ended[index] is not SUSPEND and not (ended[index] is OK and graph[index]["route"] == route)
            for index, route in one["gates"].items()
        )
        held |= any(ended[index] not in (OK, SUSPEND) for index in one["required"] if index not in joined)
        if held:
            ended.append(SKIP)
        elif any(ended[index] is SUSPEND for index in sources):
            ended.append(SUSPEND)
        elif (joined and not any(ended[index] is OK for index in joined)) or one["when"] is False:
            ended.append(SKIP)
        else:
            end = "ok" if one["end"] == "asks" and number in decided else one["end"]
            ended.append({"ok": OK, "fails": FAIL, "skips": SKIP, "asks": SUSPEND}[end])
    return ended


def stages_of(graph, executed):
    """Make the stages, which count how often they are executed."""

    def runner(one):
        ok = {"route": one["route"]} if one["router"] else {}

        async def execute(ctx: StageContext):
            executed[ctx.stage_name] += 1
            await asyncio.sleep(one["seconds"])
            if one["end"] == "fails":
                raise LookupError("no")
            if one["end"] == "asks" and ctx.decision is None:
                return StageOutput.suspend({"of": ctx.stage_name})
            assert ctx.decision in (None, {"for": ctx.stage_name})
            return StageOutput.skip("no") if one["end"] == "skips" else ok

        return execute

    for number, one in enumerate(graph):
        options = {"routes": ROUTES, "terminal_routes": ROUTES} if one["router"] else {}
        if one["when"] is not None:
            options["when"] = lambda inputs, snapshot, answer=one["when"]: answer
        yield stage(
            f"s{number}",
            runner(one),
            StageKind.ROUTE if one["router"] else None,
            dependencies=[f"s{index}" for index in one["required"]],
            optional=[f"s{index}" for index in one["optional"]],
            route={f"s{index}": route for index, route in one["gates"].items()} or None,
            join="any" if one["any"] else "all",
            critical=False,
            **options,
        )


def check_origins(graph, results):
    """A skip that a stage did not decide for itself names the stage where it began."""
    for record in results.records():
        one = graph[int(record.name[1:])]
        if record.origin is None:
            assert record.attempts == 1 or one["when"] is False
            continue
        first = results.record(record.origin)
        assert (record.attempts, first.origin) == (0, None)
        if record.status is SUSPEND:
            assert (first.status, first.attempts) == (SUSPEND, 1)
        else:
            assert record.status is SKIP
            assert first.status in (FAIL, SKIP) or graph[int(first.name[1:])]["router"]


def statuses(results):
    return [output.status for output in results.values()]


@given(graphs(), st.integers(0, 1000))
def test_every_graph_ends_as_the_rules_say(graph, seed):
    """Whatever the order in which stages end: each has its one outcome, and a skip the stage where it began."""
    executed = Counter()
    pipeline = Pipeline("p", stages_of(graph, executed))

    async def main():
        return await pipeline.start().outcome()

    results = run(main(), seed=seed)
    assert statuses(results) == expected_statuses(graph)
    assert results.status == ("suspended" if SUSPEND in statuses(results) else "completed")
    assert executed == {record.name: 1 for record in results.records() if record.attempts}
    check_origins(graph, results)


@given(graphs(), st.integers(0, 1000), st.data())
def test_every_suspended_run_ends_where_one_without_questions_does(graph, seed, data):
    """However many are decided at a time, through JSON or not: nothing but what asked is executed twice."""
    executed = Counter()
    pipeline = Pipeline("p", stages_of(graph, executed))
    decided = set()
    first = results = None
    given_ = {}
    while True:
        try:
            results = run(pipeline.run(**given_), seed=seed)
            break
        except PipelineSuspended as error:
            results = error.results
        assert isinstance(results, PipelineResults)
        first = first or results.pipeline_run_id
        assert statuses(results) == expected_statuses(graph, decided)
        check_origins(graph, results)
        assert results.suspension.first_run_id == first
        asking = results.suspended()
        chosen = data.draw(st.lists(st.sampled_from(asking), min_size=1, unique=True))
        decided |= {int(name[1:]) for name in chosen}
        if data.draw(st.booleans()):
            results = PipelineResults.from_dict(json.loads(json.dumps(results.to_dict())))
        before = {record.name: record for record in results.records() if record.status is not SUSPEND}
        given_ = {"resume": results, "decisions": {name: {"for": name} for name in chosen}}
    assert statuses(results) == expected_statuses(graph, range(len(graph)))
    assert executed == {
        record.name: 1 + (graph[int(record.name[1:])]["end"] == "asks")
        for record in results.records()
        if record.attempts
    }
    check_origins(graph, results)
    if decided:
        assert before == {name: record for name, record in _records(results).items() if name in before}


def _records(results):
    return {record.name: record for record in results.records()}
