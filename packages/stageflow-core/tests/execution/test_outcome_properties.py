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
    RetryPolicy,
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


# --- events ------------------------------------------------------------------------------------------------------

ENDS = {
    OK: "completed",
    FAIL: "failed",
    SKIP: "skipped",
    StageStatus.CANCEL: "cancelled",
    SUSPEND: "suspended",
}

behaviours = st.fixed_dictionaries(
    {
        "fails_first": st.integers(0, 3),
        "end": st.sampled_from(["ok", "ok", "ok", "fails", "skips", "asks", "cancels"]),
        "seconds": st.integers(0, 4),
        "timeout": st.sampled_from([None, None, 2.5]),
        "deadline": st.sampled_from([None, None, 6.5]),
        "cleanup": st.integers(0, 2),
        "critical": st.booleans(),
        "needs": st.lists(st.integers(1, 4), max_size=2, unique=True),
        "optional": st.booleans(),
    }
)


def eventful(number, one, executed):
    async def execute(ctx: StageContext):
        executed[ctx.stage_name] += 1
        try:
            await asyncio.sleep(one["seconds"])
        except asyncio.CancelledError:
            await asyncio.sleep(one["cleanup"])
            raise
        if ctx.attempt <= one["fails_first"]:
            raise ConnectionError("not yet")
        if one["end"] == "fails":
            raise LookupError("no")
        return {
            "ok": {},
            "skips": StageOutput.skip("no"),
            "asks": StageOutput.suspend("may I?"),
            "cancels": StageOutput.cancel("enough"),
        }[one["end"]]

    needs = [f"s{number - back}" for back in one["needs"] if back <= number]
    return stage(
        f"s{number}",
        execute,
        timeout=one["timeout"],
        deadline=one["deadline"],
        critical=one["critical"],
        retry=RetryPolicy(max_attempts=3, base_delay=0.5, retry_on=(ConnectionError, TimeoutError)),
        **{"optional" if one["optional"] else "dependencies": needs},
    )


@given(
    st.lists(behaviours, min_size=1, max_size=6),
    st.sampled_from(["fail_fast", "continue"]),
    st.sampled_from([None, 3.25]),
    st.sampled_from([None, 1.75, 4]),
    st.integers(0, 1000),
)
def test_events_tell_of_every_stage_once_and_in_order(drawn, on_failure, timeout, cancel_at, seed):
    """One start and one end for each that ran, one event for each attempt between, and no number left out."""
    executed, sink = Counter(), Sink()
    specs = [eventful(number, one, executed) for number, one in enumerate(drawn)]
    pipeline = Pipeline("p", specs, on_failure=on_failure, timeout=timeout)

    async def main():
        before = asyncio.all_tasks()
        started = pipeline.start(event_sink=sink)
        if cancel_at is not None:
            asyncio.get_running_loop().call_later(cancel_at, started.cancel, "enough")
        results = await started.outcome()
        assert asyncio.all_tasks() == before
        return results

    results = run(main(), seed=seed)
    assert [event["sequence"] for event in sink.events] == list(range(1, len(sink.events) + 1))
    assert sink.events[-1]["event_type"] == f"pipeline.{results.status}"
    ended = {}
    for event in sink.events:
        if event["stage"] is not None and event["event_type"].rpartition(".")[2] in ENDS.values():
            assert event["stage"] not in ended
            ended[event["stage"]] = event["sequence"]
    for spec, record in zip(specs, results.records(), strict=True):
        mine = [event for event in sink.events if event["stage"] == spec.name]
        told = [event["event_type"].rpartition(".")[2] for event in mine]
        # One with a time limit has a task of its own, which looks whether the run has begun to stop meanwhile.
        unmade = (
            spec.timeout is not None
            and record.status is StageStatus.CANCEL
            and record.attempts - executed[spec.name] == 1
        )
        assert (record.attempts, record.attempts <= 3) == (executed[spec.name] + unmade, True)
        if not record.attempts:
            waits = record.status is SUSPEND
            assert told == ([] if waits else [ENDS[record.status]])
            assert record.origin is not None
            continue
        assert told == ["started", *["retrying"] * (told.count("retrying")), ENDS[record.status]]
        # A wait that is cut off was announced, and its attempt was never made.
        assert told.count("retrying") - (record.attempts - 1) in ((0, 1) if record.status is not OK else (0,))
        assert [event["attempt"] for event in mine[:-1]] == [1, *range(1, told.count("retrying") + 1)]
        assert mine[-1]["attempt"] == record.attempts
        assert mine[-1]["duration_ms"] == record.duration_ms
        for dependency in (*spec.dependencies, *spec.optional):
            assert ended[dependency] < mine[0]["sequence"]


class Sink:
    def __init__(self):
        self.events = []

    async def emit(self, *, type, data):
        self.events.append(data)

    def try_emit(self, *, type, data):
        self.events.append(data)
