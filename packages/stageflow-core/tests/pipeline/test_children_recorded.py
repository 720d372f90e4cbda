"""What a run store learns of the runs that stages start."""

import asyncio
from contextvars import ContextVar

import pytest
from execution.run_stores import Broken, Store, now
from stageflow import Pipeline, PipelineContext, RunIdentity, StageContext, StageExecutionError, StageOutput, stage
from stageflow.errors import TooLateError
from stageflow.execution import recording
from stageflow.execution.recording import Recorder
from stageflow.protocols import NoOpRunStore
from stageflow_mocks.simulation import VirtualClockLoop, simulated


async def instant():
    return {"x": 1}


async def waits():
    await asyncio.sleep(60)


async def fails():
    raise LookupError("no")


INNER = Pipeline("inner", [stage(instant)])


def runs(*children, name="a", **fields):
    """Return a stage that runs these pipelines one after the other, and keeps their results and when each ended."""

    async def execute(ctx: StageContext):
        execute.ended, execute.results = [], []
        for child in children:
            execute.results.append(await ctx.run_pipeline(child, **fields))
            execute.ended.append(now())

    execute.__name__ = name
    return execute


def outer(runner, **options):
    return Pipeline("outer", **options).with_stage("a", runner)


def told(store):
    """Return what was told of each run, by pipeline, in the order of the calls."""
    names = {run_id: data["pipeline"] for run_id, status, data in store.calls if status == "created"}
    return [(names[run_id], status) for run_id, status, _ in store.calls]


RECORDED = [
    ("outer", "created"),
    ("outer", "running"),
    ("inner", "created"),
    ("inner", "running"),
    ("inner", "completed"),
    ("outer", "completed"),
]


@simulated
async def test_a_child_is_recorded_where_its_parent_is():
    """As a run of its own that says whose child it is, in the order in which it all happened."""
    store = Store()
    results = await outer(runs(INNER)).run(run_store=store, run_id=RunIdentity(user_id="ada"))
    assert RECORDED == told(store)
    (created,) = (data for _, status, data in store.calls if status == "created" and data["pipeline"] == "inner")
    assert (results.pipeline_run_id, "a", "ada") == (
        created["parent_run_id"],
        created["parent_stage"],
        created["user_id"],
    )
    assert {"pipeline", "stages", "created_at", "user_id", "parent_run_id", "parent_stage"} == created.keys()


@simulated
async def test_a_slow_store_does_not_hold_up_the_stage():
    """The child has ended for its stage when it has ended; the run waits for the records at its end."""
    store, a = Store(latency_s=1.0), runs(INNER, INNER)
    results = await outer(a).run(run_store=store)
    assert ([0.0, 0.0], 9.0, 0.0) == (a.ended, now(), results.duration_ms)
    assert 9 == len(store.calls)


@simulated
async def test_children_side_by_side_and_within_each_other_are_recorded_in_order():
    """Of each run first its creation, then that it runs, then its end, and that of its parent later."""
    store = Store(latency_s=0.125)
    middle = Pipeline("middle").with_stage("m", runs(INNER, INNER))

    async def a(ctx: StageContext):
        await asyncio.gather(*(ctx.run_pipeline(middle) for _ in range(3)))

    results = await outer(a).run(run_store=store)
    ids = {run_id for run_id, _, _ in store.calls}
    assert (10, 30, 0) == (len(ids), len(store.calls), results.records_lost)
    ended = [run_id for run_id, status, _ in store.calls if status == "completed"]
    for run_id in ids:
        assert ["created", "running", "completed"] == store.statuses(run_id)
        parent = store.data(run_id, "created").get("parent_run_id")
        assert parent is None or ended.index(run_id) < ended.index(parent)


@pytest.mark.parametrize(
    ("runner", "status"), [(fails, "failed"), (lambda: None, "completed"), (StageOutput.cancel, "cancelled")]
)
@simulated
async def test_each_end_of_a_child_is_recorded(runner, status):
    """Whatever becomes of it, and of its parent."""

    async def ends():
        return (await runner()) if runner is fails else (runner() if status == "completed" else runner("enough"))

    store = Store()
    pipeline = outer(runs(Pipeline("inner", [stage(ends)])))
    run = pipeline.start(run_store=store)
    results = await run.outcome()
    assert ("inner", status) == told(store)[-2]
    assert ("outer", results.status) == told(store)[-1]


@simulated
async def test_a_child_that_is_resumed_says_whose_work_it_goes_on_with():
    """It is a run of its own below its new parent."""

    async def asks(ctx: StageContext):
        return {"said": ctx.decision} if ctx.decision else StageOutput.suspend({"question": "may I?"})

    store, inner = Store(), Pipeline("inner", [stage(asks)])
    suspended = await inner.start().outcome()
    await outer(runs(inner, resume=suspended, decisions={"asks": "yes"})).run(run_store=store)
    assert suspended.pipeline_run_id == store.of("created")[1]["resumed_from"]
    assert RECORDED == told(store)


@simulated
async def test_a_child_may_have_a_store_of_its_own():
    """Its records go there, and its stage does not wait for them either: the run at the root does."""
    store, own = Store(), Store(latency_s=2.0)
    a = runs(INNER, run_store=own)
    await outer(a).run(run_store=store)
    assert [each for each in RECORDED if each[0] == "outer"] == told(store)
    assert [each for each in RECORDED if each[0] == "inner"] == told(own)
    assert ([0.0], 6.0) == (a.ended, now())


@simulated
async def test_a_child_may_have_no_store():
    """One that keeps nothing keeps it out of its parent's; a child of that one has what its parent has."""
    store, a = Store(), runs(Pipeline("middle").with_stage("m", runs(INNER)), run_store=NoOpRunStore())
    await outer(a).run(run_store=store)
    assert [each for each in RECORDED if each[0] == "outer"] == told(store)


@simulated
async def test_a_child_of_a_run_without_a_store_waits_for_its_own():
    """There is nobody else to wait; what is below it does not."""
    store, inner = Store(latency_s=1.0), runs(INNER)
    a = runs(Pipeline("middle").with_stage("m", inner), run_store=store)
    results = await outer(a).run()
    assert ([0.0], [6.0], 6.0) == (inner.ended, a.ended, now())
    assert [("middle" if name == "outer" else name, status) for name, status in RECORDED] == told(store)
    assert 0 == results.records_lost


@simulated
async def test_what_is_lost_of_children_is_counted_where_it_is_waited_for():
    """At the root, which has told the store; the child could not know when it ended."""
    store, a = Broken({"completed": "raises"}), runs(INNER, INNER)
    assert 3 == (await outer(a).run(run_store=store)).records_lost
    assert [0, 0] == [results.records_lost for results in a.results]
    a = runs(INNER, run_store=store)
    assert 0 == (await outer(a).run()).records_lost
    assert [1] == [results.records_lost for results in a.results]


@simulated
async def test_a_child_that_its_stage_leaves_running_is_recorded_with_its_end():
    """It is cancelled with the run, before that has ended."""
    store = Store(latency_s=0.5)

    async def a(ctx: StageContext):
        a.left = asyncio.create_task(ctx.run_pipeline(Pipeline("inner", [stage(waits)])))
        await asyncio.sleep(1)

    await outer(a).run(run_store=store)
    assert [*RECORDED[:4], ("inner", "cancelled"), ("outer", "completed")] == told(store)
    assert a.left.cancelled()


@simulated
async def test_a_child_that_begins_too_late_does_not_begin():
    """While the run waits for its store it is over: no task of it may outlive it."""
    store, seen = Store(latency_s=4.0), []

    async def a(ctx: StageContext):
        async def later():
            await asyncio.sleep(1)
            try:
                await ctx.run_pipeline(INNER)
            except TooLateError as error:
                seen.append(type(error).__name__)

        a.task = asyncio.create_task(later())

    await outer(a).run(run_store=store)
    assert (["TooLateError"], 3) == (seen, len(store.calls))
    await a.task


@pytest.mark.parametrize("fault", [None, "hangs", "is stubborn"])
@pytest.mark.parametrize("at", ["root", "child"])
def test_a_run_with_children_may_be_cancelled_at_every_moment(at, fault):
    """No record is missing without being counted, and none comes after the end of its run."""
    steps = None
    for step in range(200):
        store = Broken({"running": fault} if fault else {})
        a = runs(INNER, Pipeline("inner", [stage(waits)]), **({"run_store": store} if at == "child" else {}))
        taken, results, left, calls = cancelled_after(step, a, store, at)
        steps = steps or taken
        if step and step > taken:
            break
        stubborn = fault == "is stubborn"  # such a call is left behind, and ends after later ones
        assert len(left) <= 2 * stubborn, (step, left)  # it, and who waits for it: no stage
        assert () == results.stragglers, step
        for run_id in set() if stubborn else {run_id for run_id, _, _ in calls}:
            found = [status for of, status, _ in calls if of == run_id]
            assert sorted(found, key=("created", "running").count, reverse=True) == found, step
        if at == "root":
            ends = [status for status in store.tried if status not in ("created", "running")]
            assert ends[-1] == results.status, (step, store.tried)
            if stubborn:  # some were not tried: there was no time left
                assert results.records_lost >= store.tried.count("running") > 0, step
            else:
                assert len(store.tried) == 3 * len(ends) == len(calls) + results.records_lost, (step, store.tried)
    assert step > 10


def cancelled_after(step, runner, store, at):
    """Run, its owner cancelling it after some steps; return the steps, the results, the tasks left, the calls made."""
    seen = {}

    class Loop(VirtualClockLoop):
        def begin_turn(self, *, stalled):
            before = self.steps
            super().begin_turn(stalled=stalled)
            if before < step <= self.steps and "run" in seen:
                seen["run"].cancel("enough")

    async def main():
        run = seen["run"] = outer(runner).start(run_store=store if at == "root" else None)
        asyncio.get_running_loop().call_later(30, run.cancel)
        results = await run.outcome()
        left = [task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}]
        seen_of_it = asyncio.get_running_loop().steps, results, left, list(store.calls)
        await asyncio.sleep(100)
        return seen_of_it

    with asyncio.Runner(loop_factory=Loop) as loops:
        return loops.run(main())


@simulated
async def test_a_cancelled_child_gives_its_own_store_no_more_time_than_it_has():
    """Its stage stops within the grace of its run; what the store did not take is counted."""
    store = Broken({"running": "hangs", "cancelled": "hangs", "created": "hangs"})
    results, lost = [], Pipeline("inner", [stage(waits)])

    async def a(ctx: StageContext):
        await ctx.run_pipeline(lost, run_store=store)

    run = outer(a, cancel_grace=2.0).start()
    await asyncio.sleep(1)
    run.cancel()
    results = await run.outcome()
    assert ((), 1.0 + 0.9 * 2.0) == (results.stragglers, now())
    assert ["created"] == store.tried


# --- a store that does not keep up ---------------------------------------------------------------------------------


def context(run_id, store):
    return PipelineContext(snapshot=PipelineContext().snapshot.replace(run_id=RunIdentity(run_id)), run_store=store)


@simulated
async def test_children_are_given_so_long_when_the_run_is_over():
    """Then what they have left is lost and counted; the run's own end is told in any case."""
    store, a = Store(latency_s=4.0), runs(*[INNER] * 4)
    results = await outer(a).run(run_store=store)
    assert [("outer", "created"), ("outer", "running"), *RECORDED[2:5] * 2, ("outer", "completed")] == told(store)
    assert (36.0, 6) == (now(), results.records_lost)


@simulated
async def test_only_so_many_records_of_children_wait(monkeypatch):
    """More would fill the memory; the run's own are kept."""
    monkeypatch.setattr(recording, "MOST_WAITING", 4)
    store, a = Store(latency_s=0.5), runs(*[INNER] * 2)
    results = await outer(a).run(run_store=store)
    assert RECORDED == told(store)
    assert 3 == results.records_lost


@simulated
async def test_a_run_that_has_not_ended_when_the_root_has_is_counted(caplog):
    """Its end, which comes after that, is told to nobody but the log."""
    store, recorder = Store(), Recorder("root")
    root, left = context("root", store), context("left", store)
    recorder.begin(root, {})
    recorder.begin(left, {})
    recorder.end(root, "completed", 1.0, {})
    await recorder.finish()
    assert 1 == recorder.lost
    assert "lost 'its end' of run left: it had not ended when run root had." in caplog.text
    recorder.end(left, "cancelled", 2.0, {})
    assert "The end of run left came after that of run root, and was not recorded." in caplog.text
    assert ["created", "running", "created", "running", "completed"] == store.tried


@pytest.mark.parametrize("fault", ["hangs", "is stubborn"])
@simulated
async def test_what_there_is_no_time_for_is_counted(fault):
    """What the store was at, and all that it was not told, though it goes on all the same."""
    store, recorder = Broken({"created": fault}), Recorder("root")
    root = context("root", store)
    recorder.begin(root, {})
    recorder.end(root, "cancelled", 1.0, {})
    assert await recorder.finish(grace_s=2.0, until=1.0) is None
    assert (3, ["created"], 1.0 if fault == "hangs" else 1.1) == (recorder.lost, store.tried, now())
    await asyncio.sleep(100)
    assert (3, ["created"]) == (recorder.lost, store.tried)


@simulated
async def test_a_stage_that_runs_a_child_is_no_part_of_what_the_store_sees():
    """Neither what it has set, nor what another child has."""
    color, seen = ContextVar("color", default="none"), []

    class Looks(Store):
        async def _take(self, run_id, status, data):
            seen.append(color.get())

    async def a(ctx: StageContext):
        color.set("red")
        await asyncio.sleep(1)  # until the store has been told of the parent
        await ctx.run_pipeline(INNER)

    color.set("blue")
    await outer(a).run(run_store=Looks())
    assert ["blue"] * 6 == seen


@simulated
async def test_a_failing_child_does_not_lose_its_record_with_its_stage():
    """The stage may go on after it, or fail with it."""
    store = Store()

    async def a(ctx: StageContext):
        with pytest.raises(StageExecutionError):
            await ctx.run_pipeline(Pipeline("inner", [stage(fails)]))
        await ctx.run_pipeline(Pipeline("inner", [stage(fails)]))

    with pytest.raises(StageExecutionError):
        await outer(a).run(run_store=store)
    assert ["created", "running", *["created", "running", "failed"] * 2, "failed"] == store.tried
