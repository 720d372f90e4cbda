"""How a child ends with its parent: cancels at every point, deadlines, and stages that do not stop."""

import asyncio
import contextlib
import logging
import math

import pytest
from stageflow import (
    Pipeline,
    PipelineCancelled,
    PipelineContext,
    PipelineTimeoutError,
    RetryPolicy,
    StageContext,
    StageExecutionError,
    StageStatus,
    stage,
)
from stageflow.core.context import StageScope
from stageflow.errors import InvalidOptionError
from stageflow_mocks.simulation import VirtualClockLoop, simulated


def now():
    return asyncio.get_running_loop().time()


def timers():
    """Return the timers that are set in the running loop."""
    return [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]


def sleeping(seconds, log, *, cleanup=0.0, name=None):
    """Return a stage that waits, and notes when it begins and when it has cleaned up."""

    async def execute(ctx: StageContext):
        log.append(("begins", name or ctx.stage_name, now()))
        try:
            await asyncio.sleep(seconds)
        finally:
            try:
                await asyncio.sleep(cleanup)
            finally:
                log.append(("ends", name or ctx.stage_name, now()))

    return execute


def running(pipeline, log=None, **fields):
    """Return a stage that runs the pipeline, and notes what came of it."""

    async def a(ctx: StageContext):
        try:
            await ctx.run_pipeline(pipeline, **fields)
        except BaseException as error:
            if log is not None:
                log.append((type(error).__name__, now()))
            raise

    return a


async def ignoring():
    """Ignore every cancellation for a minute."""
    until = now() + 60
    while now() < until:
        try:
            await asyncio.sleep(until - now())
        except asyncio.CancelledError:
            continue


def outer(runner, name="outer", **options):
    """Return a pipeline with the stage `a`."""
    return Pipeline(name, **options).with_stage("a", runner)


# --- cancelled with its parent -----------------------------------------------------------------------------------


@simulated
async def test_a_child_has_stopped_before_its_stage_goes_on():
    """Its cleanup takes as long as it takes, then CancelledError comes out of run_pipeline."""
    log = []
    inner = Pipeline("inner").with_stage("b", sleeping(60, log, cleanup=2))
    run = outer(running(inner, log)).start()
    await asyncio.sleep(1)
    run.cancel("hung up")
    with pytest.raises(PipelineCancelled):
        await run
    assert [("begins", "b", 0.0), ("ends", "b", 3.0), ("CancelledError", 3.0)] == log


@simulated
async def test_the_failure_of_a_sibling_stops_the_child():
    """As it stops every other stage; then the run fails with the sibling's error."""
    log = []

    async def fails():
        await asyncio.sleep(1)
        raise ValueError("boom")

    inner = Pipeline("inner").with_stage("b", sleeping(60, log, cleanup=2))
    with pytest.raises(StageExecutionError, match="'fails'") as caught:
        await outer(running(inner, log)).with_stage("fails", fails).run()
    assert [("begins", "b", 0.0), ("ends", "b", 3.0), ("CancelledError", 3.0)] == log
    assert StageStatus.CANCEL is caught.value.results["a"].status


@simulated
async def test_the_time_limit_of_the_stage_stops_the_child():
    """`timeout` and `deadline` of the stage cancel the child, and it has stopped before the next attempt."""
    log = []
    inner = Pipeline("inner").with_stage("b", sleeping(60, log, cleanup=2))
    policy = RetryPolicy(max_attempts=2, base_delay=0, retry_on=(TimeoutError,))
    pipeline = Pipeline("outer").with_stage("a", running(inner, log), timeout=1, retry=policy)
    with pytest.raises(StageExecutionError, match="timeout of 1 s"):
        await pipeline.run()
    one = [("begins", "b", 0.0), ("ends", "b", 3.0), ("CancelledError", 3.0)]
    assert [*one, ("begins", "b", 3.0), ("ends", "b", 6.0), ("CancelledError", 6.0)] == log
    log.clear()
    with pytest.raises(StageExecutionError, match="deadline of 1 s"):
        await Pipeline("outer").with_stage("a", running(inner, log), deadline=1).run()
    assert [("begins", "b", 6.0), ("ends", "b", 9.0), ("CancelledError", 9.0)] == log


@simulated
async def test_children_side_by_side_stop_together():
    """All of those of a gather, before the stage has stopped."""
    log = []
    inner = Pipeline("inner").with_stage("b", sleeping(60, log, cleanup=2))

    async def a(ctx: StageContext):
        await asyncio.gather(*(ctx.run_pipeline(inner) for _ in range(3)))

    task = asyncio.create_task(outer(a).run())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ([("begins", "b", 0.0)] * 3 + [("ends", "b", 3.0)] * 3, 3.0) == (log, now())


@simulated
async def test_a_failure_among_children_of_a_task_group_stops_the_others():
    """Before the stage fails with it."""
    log = []

    async def fails():
        await asyncio.sleep(1)
        raise ValueError("boom")

    async def a(ctx: StageContext):
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.run_pipeline(Pipeline("bad", [stage(fails)])))
            group.create_task(ctx.run_pipeline(Pipeline("good").with_stage("b", sleeping(60, log, cleanup=2))))

    with pytest.raises(StageExecutionError) as caught:
        await outer(a).run()
    assert [("begins", "b", 0.0), ("ends", "b", 3.0)] == log
    (failure,) = caught.value.__cause__.exceptions
    assert ("outer.a", "bad.fails") == failure.chain


@simulated
async def test_no_child_starts_once_the_run_is_ending():
    """CancelledError comes at once, and nothing of the child runs."""
    log = []
    inner = Pipeline("inner").with_stage("b", sleeping(0, log))

    async def a(ctx: StageContext):
        try:
            await asyncio.sleep(60)
        finally:
            with pytest.raises(asyncio.CancelledError) as caught:
                await ctx.run_pipeline(inner)
            log.append((caught.value.args, now()))

    run = outer(a).start()
    await asyncio.sleep(1)
    run.cancel("hung up")
    await run.outcome()
    assert [(("hung up",), 1.0)] == log


@simulated
async def test_no_child_starts_once_the_stage_is_cancelled():
    """By its own time limit, while its run goes on."""
    log = []
    inner = Pipeline("inner").with_stage("b", sleeping(0, log))

    async def a(ctx: StageContext):
        try:
            await asyncio.sleep(60)
        finally:
            await ctx.run_pipeline(inner)

    with pytest.raises(StageExecutionError, match="timeout of 1 s"):
        await Pipeline("outer").with_stage("a", a, timeout=1).run()
    assert [] == log


@simulated
async def test_a_child_runs_after_a_time_limit_of_the_stages_own():
    """A cancellation that the stage has taken back is over."""
    log = []
    inner = Pipeline("inner").with_stage("b", sleeping(0, log))

    async def a(ctx: StageContext):
        try:
            async with asyncio.timeout(1):
                await ctx.run_pipeline(Pipeline("slow").with_stage("slow", sleeping(60, log)))
        except TimeoutError:
            await ctx.run_pipeline(inner)

    await outer(a).run()
    assert [("begins", "slow", 0.0), ("ends", "slow", 1.0), ("begins", "b", 1.0), ("ends", "b", 1.0)] == log


@simulated
async def test_a_gather_that_does_not_wait_leaves_no_child_behind(caplog):
    """It ends with the first child that has stopped; the run waits for the others, and cancels none of them twice."""
    log = []
    quick = Pipeline("quick").with_stage("b", sleeping(60, log, cleanup=1))
    slow = Pipeline("slow").with_stage("c", sleeping(60, log, cleanup=3))

    async def a(ctx: StageContext):
        try:
            await asyncio.gather(ctx.run_pipeline(quick), ctx.run_pipeline(slow))
        finally:
            log.append(("a", now()))

    run = outer(a).start()
    await asyncio.sleep(1)
    run.cancel()
    results = await run.outcome()
    assert [("begins", "b", 0.0), ("begins", "c", 0.0), ("ends", "b", 2.0), ("a", 2.0), ("ends", "c", 4.0)] == log
    assert (4.0, ()) == (now(), results.stragglers)
    assert "ended before its child" not in caplog.text


@simulated
async def test_a_child_that_its_stage_leaves_running_ends_with_the_run(caplog):
    """It is cancelled once every stage has ended, and told of; the run waits for it."""
    log, tasks = [], []
    inner = Pipeline("inner").with_stage("b", sleeping(60, log, cleanup=2))

    async def a(ctx: StageContext):
        tasks.append(asyncio.create_task(ctx.run_pipeline(inner)))
        await asyncio.sleep(1)

    results = await outer(a).run()
    assert [("begins", "b", 0.0), ("ends", "b", 3.0)] == log
    assert ("completed", (), 3.0, True) == (results.status, results.stragglers, now(), tasks[0].cancelled())
    assert "Stage 'a' of pipeline 'outer' ended before its child, which is cancelled." in caplog.text


@simulated
async def test_a_cancel_while_the_run_waits_for_such_a_child_comes_through():
    """After the child has stopped."""
    log, tasks = [], []
    inner = Pipeline("inner").with_stage("b", sleeping(60, log, cleanup=2))

    async def a(ctx: StageContext):
        tasks.append(asyncio.create_task(ctx.run_pipeline(inner)))
        await asyncio.sleep(1)

    task = asyncio.create_task(outer(a).run())
    await asyncio.sleep(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ([("begins", "b", 0.0), ("ends", "b", 3.0)], 3.0) == (log, now())


@simulated
async def test_such_a_child_that_does_not_stop_is_a_straggler(recorder):
    """Its stage is named, after `cancel_grace`."""
    tasks = []

    async def a(ctx: StageContext):
        async def keep():
            with contextlib.suppress(asyncio.CancelledError):
                await ctx.run_pipeline(Pipeline("inner", cancel_grace=60).with_stage("b", ignoring))

        tasks.append(asyncio.create_task(keep()))
        await asyncio.sleep(1)

    results = await outer(a, cancel_grace=2).run(event_sink=recorder)
    assert (("a",), pytest.approx(2.8)) == (results.stragglers, now())
    assert ["stage.b.straggling", "stage.a.straggling"] == [kind for kind in recorder.types if "straggling" in kind]
    await asyncio.sleep(100)


@simulated
async def test_a_child_of_an_item_is_one_of_its_run():
    """It is known to the run, has its deadline and its grace, and its errors say where it began."""
    log, found, tasks = [], [], []

    async def fails(ctx: StageContext):
        found.append((ctx._scope.context.deadline, ctx._scope.grace_s))
        raise ValueError("boom")

    async def a(ctx: StageContext):
        item = StageContext(StageScope(ctx._scope, 3, None), ctx.stage_name, ctx.inputs)
        tasks.append(asyncio.create_task(item.run_pipeline(Pipeline("slow").with_stage("b", sleeping(60, log)))))
        await asyncio.sleep(1)
        with pytest.raises(StageExecutionError) as caught:
            await item.run_pipeline(Pipeline("bad", [stage(fails)]))
        found.append(caught.value.chain)

    await outer(a, timeout=7, cancel_grace=2).run()
    assert [(7.0, 1.8), ("outer.a", "bad.fails")] == found
    assert [("begins", "b", 0.0), ("ends", "b", 1.0)] == log


class Interrupter(VirtualClockLoop):
    """An event loop in which somebody acts between two of its steps."""

    def __init__(self, at_step, seed):
        super().__init__(seed)
        self.at_step, self.act = at_step, lambda: None

    def begin_turn(self, *, stalled):
        before = self.steps
        super().begin_turn(stalled=stalled)
        if before < self.at_step <= self.steps:
            self._ready.insert(self.at_step - before - 1, asyncio.Handle(self._do, (), self))

    def _do(self):
        self.act()


def tree(log):
    """Return a pipeline with children after each other and at once, and a child of a child."""

    def step(name, seconds, cleanup=0.0):
        return stage(name, sleeping(seconds, log, cleanup=cleanup, name=name))

    leaf = Pipeline("leaf", [step("leaf1", 1, 0.5), step("leaf2", 2)])
    one = Pipeline("one", [step("first", 0), stage("below", running(leaf)), step("beside", 1, 1)])
    two = Pipeline("two", [step("other", 1, 0.5)])

    async def a(ctx: StageContext):
        await ctx.run_pipeline(two)
        await asyncio.gather(ctx.run_pipeline(one), ctx.run_pipeline(two))
        return {"done": True}

    return Pipeline("outer", [stage("a", a), step("sibling", 2, 1)])


def observe(at_step, seed, how):
    """Cancel the tree at a step; return the steps that it took, what was logged, and the events of its runs."""
    log, events, left = [], [], []

    class Sink:
        async def emit(self, *, type, data):
            events.append(data)
            await asyncio.sleep(0)

        def try_emit(self, *, type, data):
            events.append(data)

    async def main():
        loop = asyncio.get_running_loop()
        if how == "run":
            run = tree(log).start(event_sink=Sink())
            loop.act = lambda: run.cancel("outside")
            await run.outcome()
        else:
            task = asyncio.create_task(tree(log).run(event_sink=Sink()))
            loop.act = task.cancel
            await asyncio.wait({task})
        left.extend(task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()})
        loop.act = lambda: None

    complaints = []
    loop = Interrupter(at_step, seed)
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    assert ([], []) == (left, complaints)
    return loop.steps, log, events


@pytest.mark.parametrize("how", ["run", "caller"])
@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_a_cancel_at_every_step_leaves_nothing_behind(seed, how, caplog):
    """Every stage that began has ended, every run has its last event in order, and none outlives its parent's."""
    steps, log, events = observe(10**9, seed, how)
    assert 4 == len({event["pipeline_run_id"] for event in events}) - 1
    assert steps > 50
    for step in range(1, steps + 1):
        caplog.clear()
        _, log, events = observe(step, seed, how)
        begun = sorted(name for what, name, _ in log if what == "begins")
        assert begun == sorted(name for what, name, _ in log if what == "ends"), step
        by_run, parents = {}, {}
        for place, event in enumerate(events):
            by_run.setdefault(event["pipeline_run_id"], []).append((place, event))
            parents[event["pipeline_run_id"]] = event["parent_run_id"]
        for run, told in by_run.items():
            types = [event["event_type"] for _, event in told]
            assert list(range(1, len(told) + 1)) == [event["sequence"] for _, event in told], step
            ended = [event for _, event in told if event["stage"] and event["status"] and event["attempt"]]
            assert sum(kind.endswith(".started") for kind in types) - 1 == len(ended), step
            # A sink that is about to take the last event may be cut off by the cancel, which is logged.
            assert types[-1] in ("pipeline.completed", "pipeline.cancelled") or "lost 'pipeline." in caplog.text, step
            if parents[run] is not None:
                assert told[-1][0] < by_run[parents[run]][-1][0], step


# --- deadlines ---------------------------------------------------------------------------------------------------


@simulated
async def test_a_root_run_is_over_by_its_deadline():
    """The error tells what was left when the run began; every stage has stopped."""
    log = []
    await asyncio.sleep(10)
    context = PipelineContext(deadline=now() + 2.5)
    with pytest.raises(PipelineTimeoutError) as caught:
        await outer(sleeping(60, log, cleanup=1)).run(context)
    error = caught.value
    assert ("deadline", 2.5, ("a",), 13.5) == (error.limit, error.seconds, error.running, now())
    assert (
        "Pipeline 'outer' took longer than the 2.5 s that were left until its deadline. Running: a. "
        "Set PipelineContext(deadline=...) later, or limit the slow stages by timeout= or deadline=." == str(error)
    )
    assert "the run took longer than the 2.5 s that were left until its deadline" == error.results["a"].reason


@simulated
@pytest.mark.parametrize("before", [0, 3])
async def test_a_deadline_that_has_passed_ends_the_run_before_its_first_stage(recorder, before):
    """With the error of every late run, and the events of one."""
    log = []
    await asyncio.sleep(10)
    context = PipelineContext(deadline=now() - before, event_sink=recorder)
    with pytest.raises(PipelineTimeoutError, match="did not begin, since its deadline had passed") as caught:
        await outer(sleeping(1, log), timeout=5).run(context)
    assert ("deadline", 0.0, (), []) == (caught.value.limit, caught.value.seconds, caught.value.running, log)
    assert "the run's deadline had passed before it began" == caught.value.results["a"].reason
    assert ["pipeline.created", "pipeline.started", "stage.a.cancelled", "pipeline.failed"] == recorder.types
    assert [] == timers()


@simulated
@pytest.mark.parametrize(("seconds", "left", "limit"), [(1, 2, "timeout"), (2, 1, "deadline"), (1, 1, "timeout")])
async def test_the_earlier_of_timeout_and_deadline_counts(seconds, left, limit):
    """And is what the error names."""
    with pytest.raises(PipelineTimeoutError) as caught:
        await outer(sleeping(60, []), timeout=seconds).run(PipelineContext(deadline=now() + left))
    assert (limit, 1, 1.0) == (caught.value.limit, caught.value.seconds, now())


@simulated
async def test_a_run_that_ends_in_time_leaves_no_timer():
    """Its deadline means nothing afterwards."""
    results = await outer(sleeping(1, [])).run(PipelineContext(deadline=now() + 2))
    assert ("completed", []) == (results.status, timers())


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, True, "12", 10**400], ids=str)
def test_a_deadline_is_a_finite_number(wrong):
    """Anything else is refused where it is given."""
    with pytest.raises(InvalidOptionError, match="deadline of a PipelineContext is a moment in seconds, not"):
        PipelineContext(deadline=wrong)


def looking(found):
    """Return a stage that notes the deadline of its run, and how many timers are set."""

    async def look(ctx: StageContext):
        found.append((ctx._scope.context.deadline, len(timers())))

    return look


@simulated
@pytest.mark.parametrize(
    ("seconds", "deadline", "expected"),
    [(None, None, None), (7, None, 8.0), (None, 5, 5), (7, 5, 5), (3, 5, 4.0)],
)
async def test_a_child_must_be_over_when_its_parent_must(seconds, deadline, expected):
    """By the earliest of the parent's deadline and its timeout, counted from the parent's start; without a timer."""
    found = []
    await asyncio.sleep(1)
    inner = outer(running(outer(looking(found), name="leaf")), name="inner")

    async def a(ctx: StageContext):
        await asyncio.sleep(1)
        await ctx.run_pipeline(inner)

    await outer(a, timeout=seconds).run(PipelineContext(deadline=deadline))
    assert [(expected, 0 if expected is None else 1)] == found


@simulated
async def test_the_timeout_of_a_child_bounds_its_own_children():
    """Whichever is the earliest on the way down; no timer is set for one that comes too late to matter."""
    found = []
    inner = outer(running(outer(looking(found), name="leaf")), name="inner", timeout=2)
    await outer(running(inner), timeout=3).run()
    await outer(running(inner), timeout=1).run()
    assert [(2.0, 2), (1.0, 1)] == found


@simulated
async def test_the_parents_time_limit_ends_the_child():
    """By cancelling the stage; the error is the parent's."""
    log = []
    inner = Pipeline("inner", timeout=10).with_stage("b", sleeping(60, log, cleanup=1))
    with pytest.raises(PipelineTimeoutError) as caught:
        await outer(running(inner, log), timeout=2).run()
    assert ("outer", "timeout", ("a",)) == (caught.value.pipeline, caught.value.limit, caught.value.running)
    assert [("begins", "b", 0.0), ("ends", "b", 3.0), ("CancelledError", 3.0)] == log
    assert ("outer",) == caught.value.chain


@simulated
async def test_a_childs_own_timeout_ends_the_child_alone():
    """The stage may go on."""
    log = []
    inner = Pipeline("inner", timeout=2).with_stage("b", sleeping(60, log))

    async def a(ctx: StageContext):
        with pytest.raises(PipelineTimeoutError) as caught:
            await ctx.run_pipeline(inner)
        return {"limit": caught.value.limit, "seconds": caught.value.seconds}

    results = await outer(a, timeout=10).run()
    assert ({"limit": "timeout", "seconds": 2}, 2.0) == (results.data("a"), now())


# --- stages that do not stop -------------------------------------------------------------------------------------


@simulated
async def test_a_straggler_of_a_child_is_not_lost_for_the_parent(recorder, caplog):
    """The parent's results name the stage that ran the child, the events and the log what was left behind."""
    inner = Pipeline("inner", [stage("b", ignoring)], cancel_grace=1)
    run = outer(running(inner)).start(event_sink=recorder)
    await asyncio.sleep(1)
    with caplog.at_level(logging.WARNING):
        run.cancel("hung up")
        results = await run.outcome()
    assert (("a",), 2.0) == (results.stragglers, now())
    assert StageStatus.CANCEL is results["a"].status
    below = recorder.of("stage.b.straggling")
    assert ({"cancel_grace_s": 1}, "b") == (below["data"], below["stage"])
    told = recorder.of("stage.a.straggling")
    assert ("a", results.pipeline_run_id) == (told["stage"], told["pipeline_run_id"])
    ids = {"pipeline": "inner", "child_run_id": below["pipeline_run_id"], "stages": ["b"]}
    assert {"cancel_grace_s": 1, **ids} == told["data"]
    assert recorder.types.index("stage.a.straggling") < recorder.types.index("stage.a.cancelled")
    assert "Stage 'a' ran pipeline 'inner', which left behind: b." in caplog.text


@simulated
async def test_a_child_gives_up_before_its_parent_does(recorder):
    """With the same grace in both the stage that ran the child still ends in order, at any depth."""
    log = []
    leaf = outer(ignoring, name="leaf")
    run = outer(running(outer(running(leaf, log), name="inner"), log)).start(event_sink=recorder)
    await asyncio.sleep(1)
    run.cancel()
    results = await run.outcome()
    assert [("CancelledError", pytest.approx(5.05)), ("CancelledError", pytest.approx(5.05))] == log
    assert (("a",), pytest.approx(5.05)) == (results.stragglers, now())
    assert ["pipeline.cancelled"] * 3 == [kind for kind in recorder.types if kind.startswith("pipeline.c")][3:]
    assert {None} == {event["parent_run_id"] for event in recorder.events[-1:]}
    (told,) = (
        event for event in recorder.events if event["data"].get("cancel_grace_s") and not event["data"].get("stages")
    )
    assert {"cancel_grace_s": pytest.approx(4.05)} == told["data"]


@simulated
async def test_a_stage_whose_child_left_something_behind_is_not_tried_again():
    """What was left behind still runs."""
    tries = []

    async def fails():
        await asyncio.sleep(1)
        raise ValueError("boom")

    inner = Pipeline("inner", [stage("b", ignoring), stage("fails", fails)], cancel_grace=1)

    async def a(ctx: StageContext):
        tries.append(ctx.attempt)
        await ctx.run_pipeline(inner)

    policy = RetryPolicy(max_attempts=3, base_delay=0, retry_on=(StageExecutionError,))
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("outer").with_stage("a", a, retry=policy).run()
    assert ([1], ("a",)) == (tries, caught.value.results.stragglers)
    assert ("b",) == caught.value.__cause__.results.stragglers
    await asyncio.sleep(100)


@simulated
async def test_a_sink_that_hangs_at_the_end_holds_no_stage_up():
    """A child ends in the midst of a stage, whose time a slow sink must not take."""

    class Hanging:
        def __init__(self):
            self.seen = []

        def try_emit(self, *, type, data):
            self.seen.append(type)

        async def emit(self, *, type, data):
            self.seen.append(type)
            await asyncio.sleep(1000)

    @stage
    async def small() -> None:
        """Do nothing."""

    @stage(timeout=1)
    async def outer(ctx: StageContext) -> None:
        await ctx.run_pipeline(Pipeline("inner", [small]))

    sink = Hanging()
    results = await Pipeline("outer", [outer], timeout=2).run(event_sink=sink)
    assert ("completed", 1) == (results.status, results.events_lost)
    assert 2 == sink.seen.count("pipeline.completed")
