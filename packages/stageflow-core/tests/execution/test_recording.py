"""What a run store learns of a run, and what it may do without harm."""

import asyncio
import json
import logging
from contextvars import ContextVar
from dataclasses import dataclass

import pytest
from execution.run_stores import Broken, Store, Stubborn, now
from stageflow import (
    ContextSnapshot,
    CorrelationIds,
    Pipeline,
    PipelineCancelled,
    PipelineContext,
    PipelineResults,
    PipelineSuspended,
    PipelineTimeoutError,
    RunIdentity,
    StageContext,
    StageExecutionError,
    StageOutput,
    clear_event_sink,
    stage,
)
from stageflow.errors import ProtocolMismatchError, UnknownLimitError
from stageflow.execution import recording
from stageflow.execution.recording import CALL_TIMEOUT_S
from stageflow.protocols import NoOpRunStore
from stageflow_mocks.simulation import VirtualClockLoop, simulated

ENDS = ("completed", "failed", "cancelled", "suspended")


async def instant():
    return {"x": 1}


async def waits():
    await asyncio.sleep(10)


async def fails():
    await asyncio.sleep(1)
    raise LookupError("the token is sk-abcdefghijklmnopqrstuvwxyz012345")


async def skips():
    return StageOutput.skip("nothing to do")


async def cancels():
    return StageOutput.cancel("enough")


async def asks(ctx: StageContext):
    if ctx.decision is None:
        return StageOutput.suspend({"question": "may I?"})
    return {"decided": ctx.decision}


CHAIN = Pipeline("chain", [stage("a", instant), stage("b", instant, dependencies="a")])


@pytest.fixture
def store():
    return Store()


# --- what it is told --------------------------------------------------------------------------------------------


@simulated
async def test_a_run_is_created_runs_and_completes(store):
    """The store is told in this order, each once, before the run returns."""
    results = await CHAIN.run(run_store=store)
    assert ["created", "running", "completed"] == store.statuses(results.pipeline_run_id)
    assert (3, 0) == (len(store.calls), results.records_lost)
    assert {"duration_ms": results.duration_ms} == store.data(results.pipeline_run_id, "completed")
    assert {} == store.data(results.pipeline_run_id, "running")


@simulated
async def test_a_run_that_says_little_of_itself_is_created_with_what_there_is(store):
    """Nothing stands there as None."""
    snapshot = ContextSnapshot()
    await CHAIN.run(snapshot, run_store=store)
    (created,) = store.of("created")
    assert created == {"pipeline": "chain", "stages": 2, "created_at": snapshot.created_at.isoformat()}


@simulated
async def test_a_run_is_created_with_all_that_it_says_of_itself(store):
    """Who it is for, how it was asked, and under which ids others know it."""
    identity = RunIdentity("r-1", "req-1", "ses-1", "usr-1", "org-1", "int-1")
    snapshot = ContextSnapshot(run_id=identity, topology="voice", execution_mode="practice", transport="websocket")
    ids = CorrelationIds(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", extra={"order": "17"})
    await CHAIN.run(snapshot, run_store=store, correlation=ids)
    assert "r-1" == store.calls[0][0]
    assert store.of("created") == [
        {
            "pipeline": "chain",
            "stages": 2,
            "created_at": snapshot.created_at.isoformat(),
            "request_id": "req-1",
            "session_id": "ses-1",
            "user_id": "usr-1",
            "org_id": "org-1",
            "interaction_id": "int-1",
            "topology": "voice",
            "execution_mode": "practice",
            "transport": "websocket",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "correlation": {"order": "17"},
        }
    ]


@simulated
async def test_the_store_and_the_events_agree_and_hold_no_secret(store, recorder):
    """Ids are cut as they are in events; so is what a failure says, and what an id is called."""
    secret = "sk-abcdefghijklmnopqrstuvwxyz012345"
    identity = RunIdentity(request_id=secret, session_id=secret, user_id=secret, org_id=secret, interaction_id=secret)
    ids = CorrelationIds(trace_id=secret, extra={"order": secret, "password": "hunter22"})
    pipeline = Pipeline("p", [stage(fails)])
    with pytest.raises(StageExecutionError):
        await pipeline.run(run_id=identity, transport=secret, run_store=store, event_sink=recorder, correlation=ids)
    told = json.dumps(store.calls)
    assert secret not in told
    assert "hunter22" not in told
    assert secret not in json.dumps(recorder.events)
    (created,), event = store.of("created"), recorder.of("pipeline.created")
    for name in ("request_id", "session_id", "user_id", "org_id"):
        assert created[name] == event[name]
    assert created["transport"] == event["data"]["transport"]
    assert created["correlation"] == event["data"]["correlation"]["extra"]


@simulated
async def test_a_failure_is_told_with_what_failed_and_what_was_skipped(store):
    """The error has its code, its type and its message."""
    pipeline = Pipeline(
        "p", [stage(fails), stage("after", instant, dependencies="fails"), stage(skips)], on_failure="continue"
    )
    with pytest.raises(StageExecutionError) as caught:
        await pipeline.run(run_store=store)
    results = caught.value.results
    assert ["created", "running", "failed"] == store.statuses(results.pipeline_run_id)
    told = store.data(results.pipeline_run_id, "failed")
    error = told.pop("error")
    assert told == {"duration_ms": results.duration_ms, "failed": ["fails"], "skipped": ["after", "skips"]}
    assert ("stage-failed", "StageExecutionError") == (error["code"], error["type"])
    assert error["message"].startswith("Stage 'fails' of pipeline 'p' failed: LookupError: the token is ")


@simulated
async def test_what_broke_a_contract_is_not_told(store):
    """As in events the value stays inside: only where it is wrong gets out, of a child's stage, too."""

    @dataclass(frozen=True)
    class Number:
        n: int

    async def number():
        return Number("private words")

    inner = Pipeline("inner", [stage(number, output=Number)])

    async def runs(ctx: StageContext):
        await ctx.run_pipeline(inner)

    for pipeline in (inner, Pipeline("outer", [stage(runs)])):
        with pytest.raises(StageExecutionError) as caught:
            await pipeline.run(run_store=store)
        assert "private words" in str(caught.value)
    assert 3 == len(store.of("failed"))
    assert all("$.n" in told["error"]["message"] for told in store.of("failed"))
    assert "private words" not in json.dumps(store.calls)


@simulated
async def test_a_cancelled_run_is_told_with_its_reason(store):
    """Whoever ended it, a stage or its owner."""
    with pytest.raises(PipelineCancelled):
        await Pipeline("p", [stage(cancels)]).run(run_store=store)
    run = Pipeline("p", [stage(waits)]).start(run_store=store)
    await asyncio.sleep(1)
    run.cancel("changed my mind")
    await run.outcome()
    first, second = store.of("cancelled")
    assert ["stage 'cancels' cancelled the run: enough", "changed my mind"] == [first["reason"], second["reason"]]
    assert "cancelled" == second["error"]["code"]


@simulated
async def test_a_run_whose_time_is_up_is_told_as_failed(store):
    """With the error that it raises, and why it ended."""
    with pytest.raises(PipelineTimeoutError):
        await Pipeline("p", [stage(waits)], timeout=2).run(run_store=store)
    (told,) = store.of("failed")
    assert ("timeout" in told["error"]["code"], told["duration_ms"]) == (True, 2000.0)
    assert told["reason"] == "the run took longer than its timeout of 2 s"
    assert "failed" not in told


@simulated
async def test_a_suspended_run_and_the_one_that_goes_on_are_two(store):
    """The first ends suspended with who asks; the second has an id of its own, and says whose work it goes on with."""
    pipeline = Pipeline("p", [stage(asks)])
    with pytest.raises(PipelineSuspended) as caught:
        await pipeline.run(run_store=store)
    first = caught.value.results
    second = await pipeline.run(resume=first, decisions={"asks": "yes"}, run_store=store)
    assert ["created", "running", "suspended"] == store.statuses(first.pipeline_run_id)
    assert ["asks"] == store.data(first.pipeline_run_id, "suspended")["suspended"]
    assert ["created", "running", "completed"] == store.statuses(second.pipeline_run_id)
    assert first.pipeline_run_id == store.data(second.pipeline_run_id, "created")["resumed_from"]


@simulated
async def test_what_the_sink_lost_is_told(store):
    """As far as it is known when the run has ended."""

    class Refuses:
        def try_emit(self, *, type, data):
            return False

        async def emit(self, *, type, data):
            return None

    await CHAIN.run(run_store=store, event_sink=Refuses())
    assert [6] == [told["events_lost"] for told in store.of("completed")]


@simulated
async def test_the_store_knows_the_end_before_the_last_event_goes_out(store):
    """Whoever hears of the end and asks the store finds it there."""
    store.latency_s = 1.0

    class Asks:
        def try_emit(self, *, type, data):
            return None

        async def emit(self, *, type, data):
            self.found = (type, store.statuses(data["pipeline_run_id"]))

    sink = Asks()
    await CHAIN.run(run_store=store, event_sink=sink)
    assert ("pipeline.completed", ["created", "running", "completed"]) == sink.found


@simulated
async def test_each_way_of_running_records(store):
    """By keyword, beside a snapshot, in a context, in the background, and in a context that resumes."""
    await CHAIN.run(run_store=store)
    await CHAIN.build().run(ContextSnapshot(), run_store=store)
    await CHAIN.start(PipelineContext(run_store=store))
    pipeline = Pipeline("p", [stage(asks)])
    suspended = await pipeline.start(run_store=NoOpRunStore()).outcome()
    await pipeline.run(PipelineContext(run_store=store), resume=suspended, decisions={"asks": 1})
    assert 4 == len(store.of("created")) == len(store.of("running")) == len(store.of("completed"))


def test_run_sync_records(store):
    """The run has ended when it returns, and so has the store."""
    CHAIN.run_sync(run_store=store)
    assert 3 == len(store.calls)


@simulated
async def test_what_the_store_is_given_is_its_own(store):
    """It may change it, and later calls see nothing of that."""

    class Greedy(Store):
        async def create_run(self, run_id, **metadata):
            await super().create_run(run_id, **metadata)
            metadata["correlation"].clear()

    ids = CorrelationIds(extra={"order": "17"})
    await CHAIN.run(run_store=Greedy(), correlation=ids)
    assert {"order": "17"} == ids.extra


# --- when it is told --------------------------------------------------------------------------------------------


@simulated
async def test_a_slow_store_does_not_hold_up_the_stages(store):
    """They run while it is busy; only the end of the run waits for it."""
    store.latency_s = 2.0
    ended = []

    async def notes():
        await asyncio.sleep(1)
        ended.append(now())

    results = await Pipeline("p", [stage(notes)]).run(run_store=store)
    assert ([1.0], 6.0, 1000.0) == (ended, now(), results.duration_ms)
    assert [0.0, 2.0, 4.0] == store.begun


@simulated
async def test_the_store_is_called_by_one_call_after_the_other():
    """Also if it hangs: the next call begins when the last one has stopped."""
    store = Broken(dict.fromkeys(("created", "running", "completed"), "hangs"))
    results = await CHAIN.run(run_store=store)
    assert (["created", "running", "completed"], [0.0, 5.0, 10.0], 15.0) == (store.tried, store.begun, now())
    assert ("completed", 3) == (results.status, results.records_lost)


@simulated
async def test_stages_are_no_part_of_what_the_store_sees():
    """ContextVars that a caller has set reach the store; those that a stage sets do not."""
    color = ContextVar("color", default="none")
    seen = []

    class Looks(Store):
        async def update_status(self, run_id, status, **data):
            seen.append(color.get())

    async def paints():
        color.set("red")

    color.set("blue")
    await Pipeline("p", [stage(paints)]).run(run_store=Looks())
    assert ["blue", "blue"] == seen


# --- what it may do ---------------------------------------------------------------------------------------------

ALL_CALLS = ("created", "running", "completed")
FAULTS = ("raises", "raises odd", "raises cancelled", "hangs", "is stubborn", "is slow", "answers nonsense")
LOSES = {"raises", "raises odd", "raises cancelled", "hangs", "is stubborn"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at", ALL_CALLS)
@simulated
async def test_a_fault_at_any_call_loses_that_record_alone(at, fault):
    """The run ends as it would have, the other calls are made, and the loss is counted."""
    before = asyncio.all_tasks()
    store = Broken({at: fault})
    results = await CHAIN.run(run_store=store)
    lost = fault in LOSES
    assert ("completed", None, int(lost)) == (results.status, results.error, results.records_lost)
    assert list(ALL_CALLS) == store.tried
    assert [each for each in ALL_CALLS if not lost or each != at] == store.statuses(results.pipeline_run_id)
    await asyncio.sleep(100)  # a stubborn one is left behind
    assert before == asyncio.all_tasks()


@pytest.mark.parametrize("fault", sorted(LOSES))
@simulated
async def test_a_store_that_never_works_changes_no_run(fault):
    """It holds up the end of a run for its time limits at most."""
    store = Broken(dict.fromkeys((*ALL_CALLS, "failed"), fault))
    limit = CALL_TIMEOUT_S * {"hangs": 3, "is stubborn": 6}.get(fault, 0)
    assert 3 == (await CHAIN.run(run_store=store)).records_lost
    assert limit == now()
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", [stage(fails)]).run(run_store=store)
    assert 3 == caught.value.results.records_lost
    await asyncio.sleep(100)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("raises", "RuntimeError: it is down, its key is [redacted"),
        ("raises odd", "Odd: "),
        ("raises cancelled", "the store raised CancelledError"),
        ("hangs", "the store took longer than 5 s"),
        ("is stubborn", "the store took longer than 5 s, and did not stop when it was cancelled"),
    ],
)
@simulated
async def test_the_first_loss_is_logged(fault, why, caplog):
    """Once for each run, with the reason, and without the secrets in that."""
    await CHAIN.run(run_store=Broken(dict.fromkeys(ALL_CALLS, fault)), run_id=RunIdentity("r-1"))
    (record,) = caplog.records
    assert (logging.WARNING, "stageflow.execution.recording") == (record.levelno, record.name)
    text = record.getMessage()
    assert text.startswith(f"Run store Broken lost 'created' of run r-1: {why}")
    assert text.endswith("Further losses are only counted, in results.records_lost.")
    await asyncio.sleep(100)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_goes_through(error):
    """It ends the program, not a record."""

    class Interrupted(Store):
        async def update_status(self, run_id, status, **data):
            raise error

    with pytest.raises(error):
        simulated(CHAIN.run)(run_store=Interrupted())


@simulated
async def test_what_was_lost_survives_json():
    """It is part of what a run leaves behind."""
    results = await CHAIN.run(run_store=Broken({"running": "raises"}))
    assert 1 == results.records_lost == results.to_dict()["records_lost"]
    again = PipelineResults.from_dict(json.loads(json.dumps(results.to_dict())))
    assert (1, results) == (again.records_lost, again)
    assert results != PipelineResults.from_dict({**results.to_dict(), "records_lost": 2})


# --- cancellation -----------------------------------------------------------------------------------------------


@simulated
async def test_a_run_that_is_cancelled_before_its_first_step_is_recorded(store):
    """It has been created, and has ended."""
    run = CHAIN.start(run_store=store)
    run.cancel("too late")
    results = await run.outcome()
    assert ["created", "running", "cancelled"] == store.statuses(results.pipeline_run_id)
    task = CHAIN.start(run_store=store)
    task._task.cancel()
    results = await task.outcome()
    assert ["created", "running", "cancelled"] == store.statuses(results.pipeline_run_id)
    assert "the caller was cancelled" == store.data(results.pipeline_run_id, "cancelled")["reason"]


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("latency_s", [0.0, 0.75])
@pytest.mark.parametrize("fault", [None, "raises", "hangs"])
def test_a_caller_may_be_cancelled_at_every_moment(fault, latency_s, times):
    """Whenever that is: the cancellation propagates, no task is left, and every record was made or is counted."""
    steps = cancelled_after(None, Store(), latency_s, times)[0]
    assert steps > 8
    for step in range(1, steps + 1):
        store = Broken({"running": fault} if fault else {})
        store.latency_s = latency_s
        _, results, left = cancelled_after(step, store, latency_s, times)
        if not store.tried and results is None:
            continue  # before the run was made
        assert results is not None, step
        (status,) = {each for each in store.tried if each in ENDS}
        assert status == results.status, step
        assert ["created", "running", status] == store.tried, step
        assert 3 == len(store.calls) + results.records_lost, step
        assert [] == left, step


def cancelled_after(step, store, latency_s, times):
    """Run with the store, its caller cancelled after some steps; return the steps taken, the results, what is left."""
    store.latency_s = latency_s
    seen = {}

    class Loop(VirtualClockLoop):
        def begin_turn(self, *, stalled):
            before = self.steps
            super().begin_turn(stalled=stalled)
            if step is not None and before < step <= self.steps and "caller" in seen:
                for _ in range(times):
                    seen["caller"].cancel()

    async def calls():
        run = seen["run"] = Pipeline("p", [stage(waits), stage(instant)]).start(run_store=store)
        await run

    async def main():
        caller = seen["caller"] = asyncio.create_task(calls())
        await asyncio.wait({caller})
        run = seen.get("run")
        results = None if run is None else await run.outcome()
        return results, [task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}]

    with asyncio.Runner(loop_factory=Loop) as runner:
        results, left = runner.run(main())
        return runner.get_loop().steps, results, left


@simulated
async def test_a_caller_that_is_cancelled_waits_for_the_rest_of_the_records(store):
    """A limit of the caller's own loses none of them."""
    store.latency_s = 2.0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await CHAIN.run(run_store=store)
    assert (["created", "running", "completed"], 6.0) == (store.tried, now())


@simulated
async def test_a_cancel_while_the_store_is_told_comes_too_late(store):
    """Every stage has ended: the owner's does nothing, and the caller's reaches the caller alone."""
    store.latency_s = 2.0
    run = CHAIN.start(run_store=store)
    await asyncio.sleep(1)
    run.cancel("too late")
    assert "completed" == (await run).status
    task = asyncio.create_task(CHAIN.run(run_store=store))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (["created", "running", "completed"] * 2, 12.0) == (store.tried, now())


@simulated
async def test_somebody_who_cancels_the_task_that_records_loses_one_record(store):
    """As when a program cancels every task there is: the others are told all the same."""
    store.latency_s = 1.0
    run = Pipeline("p", [stage(waits)]).start(run_store=store)
    await asyncio.sleep(0.5)
    (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "stageflow run store")
    task.cancel()
    results = await run.outcome()
    assert ["created", "running", "completed"] == store.tried
    assert (["running", "completed"], 1) == (store.statuses(results.pipeline_run_id), results.records_lost)


# --- who is recorded --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (TypeError, lambda store: CHAIN.run(inputtext="x", run_store=store)),
        (UnknownLimitError, lambda store: Pipeline("p", [stage(instant, limit="x")]).run(run_store=store)),
        (TypeError, lambda store: CHAIN.run(run_store=store, correlation={"trace_id": "t"})),
        (TypeError, lambda store: CHAIN.run(run_store=store, resume=1)),
    ],
)
@simulated
async def test_a_run_that_never_begins_is_not_recorded(store, error, call):
    """Its arguments were wrong, so there was no run."""
    with pytest.raises(error):
        await call(store)
    assert [] == store.tried


@simulated
async def test_a_store_that_does_not_fit_is_refused_when_it_is_given():
    """The error has the method as it should be."""

    class NotAsync(Store):
        def create_run(self, run_id, **metadata):
            return None

    for given in (NotAsync(), Store, object()):
        with pytest.raises(ProtocolMismatchError) as caught:
            PipelineContext(run_store=given)
        assert "The run_store of a run" in str(caught.value)
    with pytest.raises(ProtocolMismatchError, match=r"async def create_run\(self, run_id: str, \*\*metadata: Any\)"):
        await CHAIN.run(run_store=NotAsync())


@simulated
async def test_without_a_store_nothing_is_made(monkeypatch):
    """No recorder, no task, and no turn of the loop; the same for a store that keeps nothing."""
    clear_event_sink()
    made = []
    kept = recording.Recorder._put
    monkeypatch.setattr(recording.Recorder, "_put", lambda *args: (made.append(args), kept(*args)))
    await CHAIN.run()
    loop = asyncio.get_running_loop()
    before = loop.steps
    await CHAIN.run()
    without = loop.steps - before
    await CHAIN.run(run_store=NoOpRunStore())
    assert ([], without) == (made, loop.steps - before - without)


@simulated
async def test_a_store_that_derives_from_the_one_that_keeps_nothing_is_asked():
    """It may keep what it likes."""

    class Keeps(NoOpRunStore):
        kept = 0

        async def create_run(self, run_id, **metadata):
            self.kept += 1

    store = Keeps()
    await CHAIN.run(run_store=store)
    assert 1 == store.kept


@simulated
async def test_a_store_that_looks_empty_is_one():
    """A container without entries is false."""

    class Sized(Store):
        def __len__(self):
            return 0

    store = Sized()
    await CHAIN.run(run_store=store)
    assert list(ALL_CALLS) == store.tried


@simulated
async def test_a_straggler_does_not_keep_the_end_from_the_store(store):
    """The run ends without it, and the store is told how."""
    release = asyncio.Event()

    async def straggles():
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    run = Pipeline("p", [stage(straggles)], cancel_grace=1).start(run_store=store)
    await asyncio.sleep(1)
    run.cancel()
    results = await run.outcome()
    assert (("straggles",), ["created", "running", "cancelled"]) == (
        results.stragglers,
        store.statuses(results.pipeline_run_id),
    )
    release.set()
    await asyncio.sleep(1)


def test_a_stubborn_store_is_what_the_tests_say():
    """It goes on for longer than both of its limits."""
    assert 2 * CALL_TIMEOUT_S < Stubborn
