"""The hot loop: what runs when, on which worker, and what ends it."""

import asyncio
import contextlib
import gc
import sys
import time
import warnings

import pytest
from stageflow import Pipeline, PipelineCancelled, StageContext, StageOutput, StageStatus, stage
from stageflow.execution import worker as worker_module
from stageflow_mocks.simulation import VirtualClockLoop, run, simulated


class Journal:
    """Runners that note when they start and end."""

    def __init__(self):
        self.started = []
        self.ended = []

    def instant(self):
        async def execute(ctx: StageContext):
            self.started.append(ctx.stage_name)
            return {}

        return execute

    def sleeping(self, seconds):
        async def execute(ctx: StageContext):
            self.started.append(ctx.stage_name)
            await asyncio.sleep(seconds)
            self.ended.append((ctx.stage_name, asyncio.get_running_loop().time()))
            return {}

        return execute


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def slow_clock(monkeypatch):
    """Let every stage seem to hold the event loop for longer than it may."""
    now = 0

    def read():
        nonlocal now
        now += worker_module.HOLD_NS * 2
        return now

    monkeypatch.setattr(VirtualClockLoop, "perf_counter_ns", lambda _: read())


@simulated
async def test_a_stage_starts_as_soon_as_its_own_dependencies_are_done(journal):
    """No barrier: the stage behind the short one does not wait for the long one beside it."""
    await Pipeline(
        "levels",
        [
            stage("short", journal.sleeping(1)),
            stage("long", journal.sleeping(10)),
            stage("behind_short", journal.sleeping(1), dependencies="short"),
            stage("behind_both", journal.sleeping(1), dependencies=("long", "behind_short")),
        ],
    ).run()
    assert journal.ended == [("short", 1.0), ("behind_short", 2.0), ("long", 10.0), ("behind_both", 11.0)]


@simulated
async def test_what_can_run_at_once_does(journal):
    """A hundred stages that sleep a second take one second together."""
    await Pipeline("fan", [stage(f"s{i}", journal.sleeping(1)) for i in range(100)]).run()
    assert asyncio.get_running_loop().time() == 1.0


async def test_a_chain_that_never_waits_does_not_hold_back_what_is_ready(journal):
    """A root beside a long chain of instant stages starts before the chain is through."""
    chain = [stage("c0", journal.instant())]
    chain += [stage(f"c{i}", journal.instant(), dependencies=f"c{i - 1}") for i in range(1, 2000)]
    chain.insert(1000, stage("beside", journal.instant()))
    chain[1] = stage("c1", spinning(2_000_000), dependencies="c0")
    await Pipeline("chain", chain).run()
    assert journal.started.index("beside") < 10


def spinning(nanoseconds):
    async def execute(ctx: StageContext):
        until = time.perf_counter_ns() + nanoseconds
        while time.perf_counter_ns() < until:
            pass
        return {}

    return execute


@simulated
async def test_a_released_stage_starts_although_others_still_wait(journal):
    """A stage that wakes while all others sleep has its dependents started at once, side by side."""
    await Pipeline(
        "wake",
        [
            stage("first", journal.sleeping(1)),
            stage("sleeper", journal.sleeping(100)),
            *(stage(f"after{i}", journal.sleeping(1), dependencies="first") for i in range(10)),
        ],
    ).run()
    assert sorted(journal.ended) == [*((f"after{i}", 2.0) for i in range(10)), ("first", 1.0), ("sleeper", 100.0)]


@simulated
async def test_roots_start_in_plan_order(journal):
    """Stages that are ready together start in the order in which they were declared."""
    names = [f"s{i}" for i in (3, 1, 2, 0, 5, 4)]
    await Pipeline("roots", [stage(name, journal.sleeping(1)) for name in names]).run()
    assert journal.started == names


@pytest.mark.parametrize("first", [0, 1])
@simulated
async def test_released_stages_start_in_plan_order(journal, first):
    """What one completion releases starts in plan order, whether or not the stages wait."""
    await Pipeline(
        "released",
        [
            stage("root", journal.sleeping(first)),
            *(
                stage(f"s{i}", journal.instant() if i % 2 else journal.sleeping(1), dependencies="root")
                for i in range(9)
            ),
        ],
    ).run()
    assert journal.started == ["root", *(f"s{i}" for i in range(9))]


@simulated
async def test_plan_order_survives_a_yield(journal, slow_clock):
    """A worker that gives way to the event loop does not put a stage behind its siblings."""
    await Pipeline(
        "yields",
        [stage("root", journal.instant()), *(stage(f"s{i}", journal.instant(), dependencies="root") for i in range(5))],
    ).run()
    assert journal.started == ["root", "s0", "s1", "s2", "s3", "s4"]


@simulated
async def test_plan_order_survives_the_yield_of_another_worker(journal, monkeypatch):
    """A worker that stands back while another one yields does not put a stage behind its siblings."""
    yielding = asyncio.Event()
    readings = iter(range(1, 10**12, worker_module.HOLD_NS * 2))
    monkeypatch.setattr(VirtualClockLoop, "perf_counter_ns", lambda _: next(readings))

    async def wait_for_yield(ctx: StageContext):
        await yielding.wait()
        return {}

    async def wake(ctx: StageContext):
        yielding.set()
        return {}

    await Pipeline(
        "yields",
        [
            stage("waiter", wait_for_yield),
            stage("waker", wake),
            stage("next", journal.instant(), dependencies="waker"),
            *(stage(f"s{i}", journal.instant(), dependencies="waiter") for i in range(4)),
        ],
    ).run()
    assert [name for name in journal.started if name != "next"] == ["s0", "s1", "s2", "s3"]


@simulated
async def test_a_long_run_of_instant_stages_yields_to_the_event_loop(journal, slow_clock):
    """Other tasks get their turn while a chain that never waits goes on."""
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    chain = [stage(f"c{i}", journal.instant(), dependencies=f"c{i - 1}" if i else ()) for i in range(50)]
    await Pipeline("chain", chain).run()
    task.cancel()
    assert turns >= 49


@simulated
async def test_instant_work_takes_a_handful_of_tasks(journal):
    """A thousand stages that never wait do not cost a task each."""
    tasks = set()

    async def execute(ctx: StageContext):
        tasks.add(asyncio.current_task())
        return {}

    await Pipeline("fan", [stage(f"s{i}", execute) for i in range(1000)]).run()
    assert len(tasks) < 100


@pytest.mark.parametrize("seconds", [0, 1])
@simulated
async def test_no_task_is_left(journal, seconds):
    """When run returns every worker has ended."""
    before = asyncio.all_tasks()
    await Pipeline("fan", [stage(f"s{i}", journal.sleeping(seconds)) for i in range(50)]).run()
    assert asyncio.all_tasks() == before


class Odd(BaseException):
    """Neither an Exception nor one of Python's own."""


@pytest.mark.parametrize(
    "kind", [Odd, GeneratorExit, asyncio.CancelledError, StopAsyncIteration, StopIteration, MemoryError]
)
@pytest.mark.parametrize("seconds", [None, 1])
@simulated
async def test_whatever_a_stage_raises_is_its_failure(kind, seconds):
    """A BaseException of any kind ends its stage, not the worker."""

    async def execute():
        if seconds is not None:
            await asyncio.sleep(seconds)
        raise kind("odd")

    results = await Pipeline("odd", [stage("s", execute)]).start().outcome()
    assert results.failed() == ("s",)
    cause = results["s"].error.exception
    assert type(cause) is (RuntimeError if kind is StopIteration else kind)
    assert results.error.stage == "s"
    assert results.error.__cause__ is cause


@simulated
async def test_an_exception_that_cannot_say_what_it_is():
    """A __str__ that raises does not take the run down."""

    class Mute(Exception):
        def __str__(self):
            raise ValueError("no words")

    async def execute():
        raise Mute

    results = await Pipeline("mute", [stage("s", execute)]).start().outcome()
    assert results.failed() == ("s",)
    assert "__str__ raised ValueError" in results["s"].error.message


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_stage_ends_the_loop_and_cleans_up(kind, recorder):
    """KeyboardInterrupt and SystemExit leave the event loop at once; then the siblings' finally blocks run."""
    cleaned = []

    async def sibling():
        try:
            await asyncio.sleep(100)
        finally:
            cleaned.append(True)

    async def interrupt():
        await asyncio.sleep(1)
        raise kind("now")

    pipeline = Pipeline("interrupted", [stage("sibling", sibling), stage("interrupt", interrupt)])
    with pytest.raises(kind, match="now"):
        run(pipeline.run(event_sink=recorder))
    assert cleaned == [True]
    assert recorder.of("stage.interrupt.failed")["data"]["error"]["type"] == kind.__name__
    assert recorder.types[-1] == "pipeline.failed"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_stage_is_reported_once(kind, caplog):
    """It comes out of run_sync; asyncio has nothing to add about an exception that nobody retrieved."""

    async def interrupt():
        raise kind("now")

    with pytest.raises(kind, match="now"):
        Pipeline("interrupted", [stage("interrupt", interrupt)]).run_sync()
    gc.collect()
    assert caplog.messages == []


@pytest.mark.parametrize(
    "result",
    [42, "text", [1], (1, 2), object(), StageOutput, {1: object()}.items()],
    ids=["int", "str", "list", "tuple", "object", "class", "items"],
)
@simulated
async def test_what_is_no_result_fails_the_stage(result):
    """A return value of another type fails the stage, naming it and the type."""

    async def execute():
        return result

    results = await Pipeline("wrong", [stage("s", execute)]).start().outcome()
    assert results["s"].error.code == "return-type"
    assert "'s'" in results["s"].error.message
    assert type(result).__qualname__ in results["s"].error.message


@simulated
async def test_what_cannot_be_shared_fails_the_stage():
    """A mapping with something in it that can be neither frozen nor copied fails the stage, with the path."""

    async def execute():
        return {"deep": [{"held": (i for i in ())}]}

    results = await Pipeline("generator", [stage("s", execute)]).start().outcome()
    assert results["s"].error.code == "return-type"
    assert "['deep'][0]['held'] is a generator" in results["s"].error.message


@simulated
async def test_a_result_that_raises_when_it_is_read_fails_the_stage():
    """A mapping of the user's own class that cannot be read is the stage's failure."""

    class Broken(dict):
        def items(self):
            raise LookupError("unreadable")

    async def execute():
        return Broken(a=1)

    results = await Pipeline("broken", [stage("s", execute)]).start().outcome()
    assert results.failed() == ("s",)
    assert results.status == "failed"


@simulated
async def test_a_class_that_cannot_be_made_fails_its_stage():
    """A constructor that raises is the stage's failure."""

    class Needy:
        def __init__(self):
            raise LookupError("no client")

        async def execute(self, ctx):
            return {}

    results = await Pipeline("needy", [stage("s", Needy)]).start().outcome()
    assert isinstance(results["s"].error.exception, LookupError)


@simulated
async def test_a_stage_that_cancels_its_own_task_fails_alone(journal):
    """The stage that meets the CancelledError of its own making fails; no other stage meets it."""

    async def suicidal():
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    results = await Pipeline("own", [stage("s", suicidal)]).start().outcome()
    assert isinstance(results.error.__cause__, asyncio.CancelledError)


@simulated
async def test_a_cancellation_that_a_stage_leaves_behind_meets_no_other_stage(journal):
    """A stage that cancels its own task and returns is OK, and so are those behind and beside it."""

    async def careless():
        asyncio.current_task().cancel()
        return {"x": 1}

    results = await Pipeline(
        "careless",
        [
            stage("careless", careless),
            stage("beside", journal.sleeping(1)),
            stage("behind", journal.sleeping(1), dependencies="careless"),
            stage("later", journal.sleeping(1), dependencies="behind"),
        ],
    ).run()
    assert [output.status for output in results.values()] == [StageStatus.OK] * 4


@simulated
async def test_asyncio_timeout_and_task_groups_work_inside_stages():
    """A timeout that expires and a group that fails in a stage leave the worker as it was."""
    seen = []

    async def last(ctx: StageContext):
        seen.append((asyncio.current_task().cancelling(), asyncio.get_running_loop().time()))
        return {}

    async def impatient(ctx: StageContext):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.sleep(100)
        return await last(ctx)

    async def grouped(ctx: StageContext):
        async def fail():
            await asyncio.sleep(1)
            raise LookupError

        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(100))
                group.create_task(fail())
        return {}  # up to Python 3.12 the group leaves cancelling() at 1

    await Pipeline(
        "inside",
        [
            stage("impatient", impatient),
            stage("grouped", grouped, dependencies="impatient"),
            stage("last", last, dependencies="grouped"),
        ],
    ).run()
    assert seen == [(0, 1.0), (0, 2.0)]


def workers():
    return [task for task in asyncio.all_tasks() if task.get_name() == "stageflow worker"]


@simulated
async def test_a_worker_cancelled_before_its_first_step_is_replaced(journal):
    """Whoever cancels a worker that has not begun costs the run nothing."""
    run = Pipeline("foreign", [stage("a", journal.sleeping(1)), stage("b", journal.sleeping(1))]).start()
    await asyncio.sleep(0)
    (first,) = workers()
    first.cancel()
    results = await run
    assert results.status == "completed"
    assert asyncio.get_running_loop().time() == 1.0


@simulated
async def test_a_worker_cancelled_in_a_yield_is_replaced(journal, slow_clock):
    """Whoever cancels a worker between two stages costs the run nothing."""
    chain = [stage(f"c{i}", journal.instant(), dependencies=f"c{i - 1}" if i else ()) for i in range(20)]
    run = Pipeline("foreign", chain).start()
    due = [5, 10]
    while not run.done:
        await asyncio.sleep(0)
        if due and len(journal.started) >= due[0]:
            due.pop(0)
            for worker in workers():
                worker.cancel()
    assert (await run).status == "completed"
    assert journal.started == [f"c{i}" for i in range(20)]


@simulated
async def test_a_foreign_cancellation_in_a_stage_is_that_stages_failure(journal):
    """A stage whose task somebody else cancels fails with the CancelledError."""
    run = Pipeline("foreign", [stage("a", journal.sleeping(9))]).start()
    await asyncio.sleep(1)
    (task,) = workers()
    task.cancel()
    results = await run.outcome()
    assert results.failed() == ("a",)
    assert isinstance(results.error.__cause__, asyncio.CancelledError)


@pytest.mark.parametrize("turns", range(8))
@simulated
async def test_a_run_survives_that_every_task_is_cancelled(journal, turns):
    """Whoever cancels all tasks there are ends the run, at whatever turn, and nothing hangs or stays."""
    me = asyncio.current_task()
    chain = [stage(f"c{i}", journal.sleeping(0), dependencies=f"c{i - 1}" if i else ()) for i in range(5)]
    run = Pipeline("foreign", [*chain, stage("long", journal.sleeping(100))]).start()
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {me}:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    results = await run.outcome()
    assert results["long"].status in (StageStatus.CANCEL, StageStatus.FAIL)
    assert asyncio.all_tasks() == {me}


@simulated
async def test_a_defect_of_the_executor_ends_the_run_and_shows(journal, monkeypatch):
    """An error in the executor's own code is raised as it is, after everything has stopped."""

    def defect(stage, result):
        raise AssertionError("a defect")

    monkeypatch.setattr(worker_module, "stored_from", defect)
    before = asyncio.all_tasks()

    async def odd(ctx: StageContext):
        return StageOutput.ok({})

    pipeline = Pipeline("broken", [stage("sleeper", journal.sleeping(100)), stage("odd", odd)])
    with pytest.raises(AssertionError, match="a defect"):
        await pipeline.run()
    run = pipeline.start()
    with pytest.raises(AssertionError, match="a defect"):
        await run.outcome()
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_loop_closed_under_a_run_makes_no_noise(journal, turns):
    """A run whose event loop is closed in its midst is left without errors of ours."""
    noise = []
    loop = VirtualClockLoop()
    loop.set_exception_handler(lambda loop, context: noise.append(context["message"]))

    async def scenario():
        fan = [stage(f"s{i}", journal.sleeping(1 if i % 2 else 0)) for i in range(6)]
        fan += [stage(f"t{i}", journal.sleeping(1), dependencies=f"s{i}") for i in range(6)]
        run = Pipeline("closed", fan).start()
        for _ in range(turns):
            await asyncio.sleep(0)
        return run

    run = loop.run_until_complete(scenario())
    loop.close()
    unraisable = []
    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del run
            gc.collect()
    finally:
        sys.unraisablehook = hook
    assert [entry.exc_value for entry in unraisable] == []
    assert set(noise) <= {"Task was destroyed but it is pending!"}
    ours = [str(warning.message) for warning in caught if "drive" not in str(warning.message)]
    assert ours == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 brought eager task factories")
@simulated
async def test_an_eager_task_factory_changes_nothing(journal):
    """With asyncio.eager_task_factory stages start in plan order, run at once, and events() is in time."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

    async def spawning(ctx: StageContext):
        journal.started.append(ctx.stage_name)
        await asyncio.gather(*(asyncio.create_task(asyncio.sleep(seconds)) for seconds in (0, 1)))
        return {}

    run = Pipeline(
        "eager",
        [
            *(stage(f"s{i}", spawning) for i in range(5)),
            stage("last", journal.sleeping(1), dependencies=[f"s{i}" for i in range(5)]),
        ],
    ).start()
    assert journal.started == []
    types = [event.event_type async for event in run.events()]
    await run
    assert types[0] == "pipeline.created"
    assert journal.started == [*(f"s{i}" for i in range(5)), "last"]
    assert journal.ended == [("last", 2.0)]


def test_an_interrupt_between_stages_ends_the_run_when_the_loop_goes_on():
    """Whoever catches the interrupt and runs the loop again gets an end, not a run that waits for ever."""

    class Interrupting:
        async def emit(self, *, type, data):
            """Take the last event."""

        def try_emit(self, *, type, data):
            if type == "stage.first.completed":
                raise KeyboardInterrupt

    async def instant(ctx: StageContext):
        return None

    pipeline = Pipeline("p", [stage("first", instant), stage("second", instant, dependencies="first")])
    loop = VirtualClockLoop()
    try:
        task = loop.create_task(pipeline.run(event_sink=Interrupting()))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        with pytest.raises(PipelineCancelled, match="the event loop was interrupted"):
            loop.run_until_complete(task)
    finally:
        loop.close()
