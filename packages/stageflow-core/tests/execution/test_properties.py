"""Random graphs of well and badly behaved stages, held against a model that knows nothing of the executor."""

import asyncio
import contextlib
from contextvars import ContextVar
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from stageflow import (
    Pipeline,
    PipelineCancelled,
    StageContext,
    StageExecutionError,
    StageOutput,
    StageStatus,
    stage,
)
from stageflow.execution import worker as worker_module
from stageflow_mocks.simulation import VirtualClockLoop, run

OK, SKIP, CANCEL, FAIL = StageStatus.OK, StageStatus.SKIP, StageStatus.CANCEL, StageStatus.FAIL

MARK = ContextVar("mark", default="caller")


class Odd(BaseException):
    """Not an Exception."""


@dataclass
class Node:
    """One stage of a random graph: what it depends on, how long it takes, and how it ends."""

    required: list[int] = field(default_factory=list)
    optional: list[int] = field(default_factory=list)
    turns: int = 0
    seconds: int = 0
    behaviour: str = "ok"

    @property
    def dependencies(self):
        return {*self.required, *self.optional}


# How a stage ends that is left alone.
ENDS = {
    "ok": OK,
    "value": OK,
    "set_var": OK,
    "swallow": OK,
    "cancel_own_and_return": OK,
    "skip": SKIP,
    "cancel": CANCEL,
    "fail": FAIL,
    "raise": FAIL,
    "raise_odd": FAIL,
    "raise_in_finally": FAIL,
    "raise_cancelled": FAIL,
    "cancel_own": FAIL,
    "wrong_type": FAIL,
}
GENTLE = [name for name, status in ENDS.items() if status in (OK, SKIP)]


@st.composite
def graphs(draw, behaviours, *, max_size=30, seconds=0, turns=5):
    """Draw a graph whose plan order is not its topological order."""
    size = draw(st.integers(1, max_size))
    order = draw(st.permutations(range(size)))
    nodes = [Node() for _ in range(size)]
    for place, index in enumerate(order):
        before = sorted(order[max(0, place - 6) : place])
        chosen = draw(st.lists(st.sampled_from(before), max_size=3, unique=True)) if before else []
        required = draw(st.integers(0, len(chosen)))
        nodes[index] = Node(
            chosen[:required],
            chosen[required:],
            draw(st.integers(0, turns)),
            draw(st.integers(0, seconds)),
            draw(st.sampled_from(behaviours)),
        )
    return nodes


# Readings of the workers' clock per stage: never too long, now and then, always.
STEPS = st.sampled_from([0, worker_module.HOLD_NS // 3, worker_module.HOLD_NS * 2])


class World:
    """One execution of a random graph, and everything that was seen of it."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.names = [f"s{i}" for i in range(len(nodes))]
        self.events = []
        self.settled = {}
        self.begun = []
        self.finals = []
        self.ended_at = {}
        self.faults = []

    def try_emit(self, *, type, data):
        self.events.append(data)
        if data["stage"] and data["status"]:
            self.settled[int(data["stage"][1:])] = data["status"]

    async def emit(self, *, type, data):
        self.try_emit(type=type, data=data)

    def pipeline(self):
        def names(indices):
            return [self.names[i] for i in indices]

        return Pipeline(
            "random",
            [
                stage(name, self.runner(i), dependencies=names(node.required), optional=names(node.optional))
                for i, (name, node) in enumerate(zip(self.names, self.nodes, strict=True))
            ],
        )

    def runner(self, index):
        node = self.nodes[index]

        async def execute(ctx: StageContext):
            self.begun.append(index)
            self.check_start(index, ctx)
            try:
                for _ in range(node.turns):
                    await asyncio.sleep(0)
                if node.seconds:
                    await asyncio.sleep(node.seconds)
                self.ended_at[index] = asyncio.get_running_loop().time()
                return await self.act(node.behaviour)
            except asyncio.CancelledError:
                if node.behaviour != "swallow":
                    raise
                return {"swallowed": True}
            finally:
                self.finals.append(index)
                if node.behaviour == "raise_in_finally":
                    raise OSError("in finally")

        return execute

    def check_start(self, index, ctx):
        node = self.nodes[index]
        for i in node.required:
            if self.settled.get(i) != "ok" or not ctx.inputs.has_output(self.names[i]):
                self.faults.append(f"s{index} began before s{i} was OK")
        for i in node.optional:
            if i not in self.settled or ctx.inputs.has_output(self.names[i]) is not (self.settled[i] == "ok"):
                self.faults.append(f"s{index} began before s{i} was settled")
        if MARK.get() != "caller" or asyncio.current_task().cancelling():
            self.faults.append(f"s{index} met what another stage had left")

    async def act(self, behaviour):  # noqa: C901 - one case for each behaviour
        match behaviour:
            case "ok" | "raise_in_finally":
                return {"x": 1}
            case "value" | "swallow":
                return None
            case "set_var":
                MARK.set("stage")
            case "skip":
                return StageOutput.skip("skip")
            case "cancel":
                return StageOutput.cancel("cancel")
            case "fail":
                return StageOutput.fail("fail")
            case "raise":
                raise LookupError
            case "raise_odd":
                raise Odd
            case "raise_cancelled":
                raise asyncio.CancelledError
            case "cancel_own":
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            case "cancel_own_and_return":
                asyncio.current_task().cancel()
            case "wrong_type":
                return 42
        return {}

    def predicted(self):
        """Return how each stage would end if nothing ended the run before its time."""
        ends = {}

        def end(index):
            # The graph is small and acyclic.
            if index not in ends:
                node = self.nodes[index]
                blocked = any(end(i) is not OK for i in node.required)
                ends[index] = SKIP if blocked else ENDS[node.behaviour]
            return ends[index]

        return [end(index) for index in range(len(self.nodes))]

    def enders(self):
        """Return the stages that end the run if they get so far: with their turn, not for want of a requirement."""
        return {i for i, status in enumerate(self.predicted()) if status in (FAIL, CANCEL)}

    def ancestors(self, index):
        found, reached = set(), [index]
        while reached:
            for i in self.nodes[reached.pop()].dependencies - found:
                found.add(i)
                reached.append(i)
        return found

    # What holds for every execution

    def check(self, results):
        assert self.faults == []
        assert list(results) == self.names
        assert sorted(self.begun) == sorted(set(self.begun)), "a stage ran twice"
        assert sorted(self.finals) == sorted(self.begun), "a finally block did not run"
        assert results.stragglers == ()
        self.check_outcomes(results)
        self.check_events(results)

    def check_outcomes(self, results):
        ends = [output.status for output in results.values()]
        predicted = self.predicted()
        own_cancel = {
            i for i in self.begun if self.nodes[i].behaviour == "cancel" and results.record(f"s{i}").origin is None
        }
        for i, node in enumerate(self.nodes):
            record = results.record(self.names[i])
            assert record.attempts == (i in self.begun)
            blocked = [j for j in node.required if ends[j] in (FAIL, SKIP) or (ends[j] is CANCEL and j in own_cancel)]
            if blocked:
                assert (ends[i], record.attempts) == (SKIP, 0)
                origin = int(record.origin[1:])
                assert origin in self.ancestors(i)
                assert origin in self.begun
                assert ends[origin] in (FAIL, SKIP, CANCEL)
            elif i not in self.begun:
                assert ends[i] is CANCEL
                assert record.origin == results[self.names[i]].reason
                assert results.status != "completed"
            elif ends[i] is not predicted[i]:
                assert results.status != "completed"
                assert ends[i] in (CANCEL, FAIL if node.behaviour == "raise_in_finally" else OK)
        if results.status == "completed":
            assert ends == predicted

    def check_events(self, results):
        events = self.events
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
        assert [event["event_type"] for event in events[:2]] == ["pipeline.created", "pipeline.started"]
        assert events[-1]["event_type"] == f"pipeline.{results.status}"
        assert results.events_lost == 0
        started, ended = {}, {}
        for event in events[2:-1]:
            index = int(event["stage"][1:])
            seen = started if event["event_type"].endswith(".started") else ended
            assert index not in seen
            seen[index] = event["sequence"]
            if seen is ended:
                assert event["status"] == results[event["stage"]].status.value
                assert (event["attempt"] == 1) is (index in started)
        assert sorted(ended) == list(range(len(self.nodes)))
        assert list(started) == self.begun
        for index, sequence in started.items():
            assert sequence < ended[index]
            assert all(ended[i] < sequence for i in self.nodes[index].dependencies)


@contextlib.contextmanager
def worker_clock(step):
    """Let the workers' clock advance by so many nanoseconds whenever it is read."""
    now = 1

    def read():
        nonlocal now
        now += step
        return now

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VirtualClockLoop, "perf_counter_ns", lambda _: read())
        yield


def simulate(scenario, step):
    """Run the scenario in simulated time and check that it leaves no task and no mark on its own."""

    async def checked():
        before = asyncio.all_tasks()
        result = await scenario()
        assert asyncio.all_tasks() == before
        assert asyncio.current_task().cancelling() == 0
        assert MARK.get() == "caller"
        return result

    with worker_clock(step):
        return run(checked())


def check_error(world, results):
    """Check that a run that ended by its own stages raised for the right one."""
    enders = world.enders()
    if results.status == "completed":
        assert results.error is None
        assert enders == set()
        return
    ended_by = int(results.error.stage[1:])
    assert ended_by in enders
    failed = isinstance(results.error, StageExecutionError)
    assert failed is (results.status == "failed")
    assert failed or isinstance(results.error, PipelineCancelled)
    assert results[f"s{ended_by}"].status is (FAIL if failed else CANCEL)
    if failed:
        failures = [int(error.stage[1:]) for error in results.error.failures]
        assert failures == sorted(failures)
        assert failures[0] == ended_by
        assert set(failures) <= enders
    if len(enders) == 1:
        # What the stage that ended the run depends on had all ended, each as it would have without it.
        predicted = world.predicted()
        for i in world.ancestors(ended_by):
            assert results[f"s{i}"].status is predicted[i]


EVERYTHING = graphs(list(ENDS))
SETTINGS = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(graphs(GENTLE), STEPS)
def test_graphs_of_gentle_stages_end_exactly_as_predicted(nodes, step):
    """Where nothing ends the run early every outcome is the model's."""
    world = World(nodes)
    results = simulate(lambda: world.pipeline().run(event_sink=world), step)
    world.check(results)
    assert results.status == "completed"
    assert [output.status for output in results.values()] == world.predicted()


@SETTINGS
@given(EVERYTHING, STEPS)
def test_run_returns_or_raises_what_outcome_says(nodes, step):
    """run() and start().outcome() keep all rules, and tell the same story of the same graph."""
    background, world = World(nodes), World(nodes)
    outcome = simulate(lambda: background.pipeline().start(event_sink=background).outcome(), step)
    background.check(outcome)
    check_error(background, outcome)

    async def plain():
        try:
            return await world.pipeline().run(event_sink=world)
        except (StageExecutionError, PipelineCancelled) as error:
            return error.results

    results = simulate(plain, step)
    world.check(results)
    check_error(world, results)
    assert [output.status for output in results.values()] == [output.status for output in outcome.values()]
    assert [event["event_type"] for event in world.events] == [event["event_type"] for event in background.events]


@SETTINGS
@given(graphs(list(ENDS), seconds=2), STEPS, st.integers(0, 40), st.integers(1, 3))
@example([Node(behaviour="swallow", turns=3), Node(required=[0])], 0, 3, 2)
def test_a_caller_cancelled_at_any_moment(nodes, step, turns, times):
    """Whenever and however often the caller is cancelled, every stage has stopped when it learns of it."""
    world = World(nodes)

    async def scenario():
        handle = world.pipeline().start(event_sink=world)

        async def caller():
            await handle

        task = asyncio.create_task(caller())
        for _ in range(turns):
            await asyncio.sleep(0)
        ended = handle.done
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        (raised,) = await asyncio.gather(task, return_exceptions=True)
        results = await handle.outcome()
        assert ended or isinstance(raised, asyncio.CancelledError)
        return results

    results = simulate(scenario, step)
    if world.events:
        world.check(results)
    else:
        assert {output.status for output in results.values()} == {CANCEL}
        assert world.begun == []


@SETTINGS
@given(graphs(list(ENDS), seconds=2), STEPS, st.integers(0, 40))
def test_a_run_cancelled_at_any_moment(nodes, step, turns):
    """cancel(reason), whenever it comes, ends the run in good order."""
    world = World(nodes)

    async def scenario():
        handle = world.pipeline().start(event_sink=world)
        for _ in range(turns):
            await asyncio.sleep(0)
        ended = handle.done
        handle.cancel("the owner's reason")
        results = await handle.outcome()
        if not ended and not results.failed() and isinstance(results.error, PipelineCancelled):
            assert "the owner's reason" in results.error.reason or results.error.stage is not None
        return results

    world.check(simulate(scenario, step))


@SETTINGS
@given(graphs(list(ENDS)), STEPS, st.integers(0, 20))
def test_every_task_cancelled_at_any_moment(nodes, step, turns):
    """Whoever cancels every task there is gets a run that ends, with an outcome for each stage."""
    world = World(nodes)

    async def scenario():
        handle = world.pipeline().start(event_sink=world)
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        return await handle.outcome()

    results = simulate(scenario, step)
    assert sorted(world.finals) == sorted(world.begun)
    assert all(output.status in (OK, SKIP, CANCEL, FAIL) for output in results.values())


@SETTINGS
@given(graphs(GENTLE, seconds=3, turns=2), STEPS)
def test_each_stage_ends_when_it_would_with_a_task_of_its_own(nodes, step):
    """No stage is held up by another that it does not depend on: times equal those of one task per stage."""
    world = World(nodes)
    results = simulate(lambda: world.pipeline().run(event_sink=world), step)
    finish = {}

    def finished(index):
        if index not in finish:
            node = nodes[index]
            if any(results[f"s{i}"].status is not OK for i in node.required):
                # Skipped as soon as the first of them has ended otherwise.
                finish[index] = min(finished(i) for i in node.required if results[f"s{i}"].status is not OK)
            else:
                finish[index] = max((finished(i) for i in node.dependencies), default=0) + node.seconds
        return finish[index]

    assert world.ended_at == {index: float(finished(index)) for index in world.begun}


@SETTINGS
@given(graphs(GENTLE, seconds=1), STEPS)
def test_stages_that_become_ready_together_start_in_plan_order(nodes, step):
    """Roots, and the stages that one completion releases, start in the order of the plan."""
    world = World(nodes)
    simulate(lambda: world.pipeline().run(event_sink=world), step)
    released = {}
    ran_last, ended = 0, {}
    for event in world.events:
        if event["stage"] and event["status"]:
            if event["attempt"]:
                ran_last = event["sequence"]
            ended[int(event["stage"][1:])] = ran_last
    for index in world.begun:
        together = max((ended[i] for i in nodes[index].dependencies), default=0)
        released.setdefault(together, []).append(index)
    for group in released.values():
        assert group == sorted(group)
