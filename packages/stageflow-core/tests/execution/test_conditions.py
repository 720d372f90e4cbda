"""`when`: whether a stage starts at all."""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field

import pytest
from stageflow import (
    Pipeline,
    RetryPolicy,
    StageContext,
    StageExecutionError,
    StageOutput,
    StageStatus,
    UndeclaredDependencyError,
    stage,
)
from stageflow.errors import ConditionError, MissingInputError
from stageflow_mocks.simulation import simulated

OK, SKIP, CANCEL, FAIL = StageStatus.OK, StageStatus.SKIP, StageStatus.CANCEL, StageStatus.FAIL


def now():
    return asyncio.get_running_loop().time()


async def instant(ctx: StageContext):
    return {"by": ctx.stage_name}


async def skipping(ctx: StageContext):
    return StageOutput.skip("nothing to do")


def yes(inputs, snapshot):
    return True


def no(inputs, snapshot):
    return False


async def outcome(*stages, sink=None, snapshot=None, **options):
    return await Pipeline("p", stages, **options).start(snapshot, event_sink=sink).outcome()


@simulated
async def test_true_starts_the_stage():
    """As if there were no condition."""
    results = await outcome(stage("s", instant, when=yes))
    assert (results.data("s"), results.record("s").attempts) == ({"by": "s"}, 1)


@simulated
async def test_false_skips_it_and_what_requires_it(recorder):
    """It never started; it is itself the origin of what is skipped with it."""
    stages = [
        stage("s", instant, when=no),
        stage("behind", instant, dependencies="s"),
        stage("far", instant, dependencies="behind"),
        stage("maybe", instant, optional="s"),
    ]
    results = await outcome(*stages, sink=recorder)
    assert (results.status, results.skipped()) == ("completed", ("s", "behind", "far"))
    record = results.record("s")
    assert (record.attempts, record.started_at, record.duration_ms, record.origin) == (0, None, 0.0, None)
    assert results["s"].reason == "its `when` said no"
    assert [results.record(name).origin for name in ("behind", "far")] == ["s", "s"]
    assert results["far"].reason == "required stage 's' was skipped: its `when` said no"
    types = [kind for kind in recorder.types if kind.startswith("stage.")]
    assert sorted(types) == sorted(
        ["stage.s.skipped", "stage.behind.skipped", "stage.far.skipped", "stage.maybe.started", "stage.maybe.completed"]
    )
    skipped = recorder.of("stage.s.skipped")
    assert (skipped["attempt"], skipped["duration_ms"], skipped["status"]) == (None, None, "skip")
    assert skipped["data"] == {"reason": "its `when` said no"}


@simulated
async def test_it_reads_what_its_stage_reads_and_what_the_run_was_asked():
    """Whenever the stage could start, and not before."""
    asked = []

    def when(inputs, snapshot):
        asked.append(now())
        return inputs.get_from("size", "n") > 2 and snapshot.input_text == "go"

    async def size(input):
        await asyncio.sleep(3)
        return {"n": input}

    pipeline = Pipeline("p", [stage(size), stage("s", instant, dependencies="size", when=when)])
    statuses = [
        (await pipeline.run(input=number, input_text=text))["s"].status
        for number, text in ((3, "go"), (2, "go"), (3, "stop"))
    ]
    assert (statuses, asked) == ([OK, SKIP, SKIP], [3.0, 6.0, 9.0])


@simulated
async def test_it_is_asked_for_a_stage_without_dependencies_too():
    """Of what the run was asked alone."""
    pipeline = Pipeline("p", [stage("s", instant, when=lambda inputs, snapshot: snapshot.input == 1)])
    assert [(await pipeline.run(input=number))["s"].status for number in (1, 2)] == [OK, SKIP]


@simulated
async def test_it_is_not_asked_for_a_stage_that_cannot_start():
    """A stage whose dependency was skipped is skipped for that."""
    asked = []
    stages = [stage("a", skipping), stage("s", instant, dependencies="a", when=lambda *_: asked.append(1) or True)]
    results = await outcome(*stages)
    assert (results["s"].status, results.record("s").origin, asked) == (SKIP, "a", [])


@simulated
async def test_it_is_asked_when_optional_dependencies_have_ended():
    """One that did not end OK reads as absent."""
    seen = []

    def when(inputs, snapshot):
        seen.append((inputs.has_output("a"), inputs.get_from("a", "x", "default")))
        return True

    await outcome(stage("a", skipping), stage("s", instant, optional="a", when=when))
    assert seen == [(False, "default")]


@simulated
async def test_it_is_asked_once_for_all_attempts():
    """Before the first one."""
    asked = []

    async def asking():
        return StageOutput.retry("busy")

    policy = RetryPolicy(max_attempts=3)
    results = await outcome(stage("s", asking, retry=policy, when=lambda *_: asked.append(now()) or True))
    assert (asked, results.record("s").attempts) == ([0.0], 3)


@simulated
async def test_a_stage_that_it_skips_is_not_constructed():
    """A class has no instance in this run."""

    class Runner:
        def __init__(self):
            raise AssertionError

        async def execute(self, ctx): ...

    results = await outcome(stage("s", Runner, when=no), stage("limited", Runner, when=no, timeout=5))
    assert results.skipped() == ("s", "limited")


# --- when it goes wrong ------------------------------------------------------------------------------------------


class Odd(BaseException):
    """No Exception."""


@pytest.mark.parametrize(
    "error", [LookupError("no such key"), Odd("odd"), asyncio.CancelledError("mine"), GeneratorExit()], ids=repr
)
@simulated
async def test_what_it_raises_fails_the_stage(error, recorder):
    """The stage never started, and the error says where it comes from."""

    def when(inputs, snapshot):
        raise error

    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", [stage("s", instant, when=when)]).run(event_sink=recorder)
    assert (caught.value.stage, caught.value.__cause__, caught.value.attempts) == ("s", error, 0)
    assert "its `when` raised: " in str(caught.value)
    assert [kind for kind in recorder.types if kind.startswith("stage.")] == ["stage.s.failed"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_it_ends_the_program(kind):
    """It is no answer."""

    def when(inputs, snapshot):
        raise kind

    with pytest.raises(kind):
        Pipeline("p", [stage("s", instant, when=when)]).run_sync()


@simulated
async def test_a_failure_of_it_is_never_retried():
    """A policy is for the stage."""
    asked = []

    def when(inputs, snapshot):
        asked.append(1)
        raise ConnectionError

    await outcome(stage("s", instant, when=when, retry=RetryPolicy(retry_on=ConnectionError)))
    assert asked == [1]


@simulated
async def test_a_failure_of_it_is_one_like_any_other():
    """The siblings are cancelled, unless the stage is not critical."""

    def when(inputs, snapshot):
        raise LookupError("no")

    async def slow():
        await asyncio.sleep(5)

    results = await outcome(stage("s", instant, when=when), stage("slow", slow))
    assert (results.status, results["slow"].status, now()) == ("failed", CANCEL, 0.0)
    maybe = stage("maybe", instant, optional="s")
    results = await outcome(stage("s", instant, when=when, critical=False), stage("slow", slow), maybe)
    assert (results.status, results["slow"].status, results["maybe"].status) == ("completed", OK, OK)


class Awaited:
    """What an async function returns, without the warning that nobody awaits it."""

    def __await__(self):
        yield


@pytest.mark.parametrize(
    ("answer", "named"),
    [(None, "a NoneType"), (1, "an int"), ("", "a str"), ([], "a list"), (Awaited(), f"a {__name__}.Awaited")],
)
@simulated
async def test_an_answer_that_is_neither_true_nor_false_fails_the_stage(answer, named):
    """It would mean yes or no by accident."""
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", [stage("s", instant, when=lambda inputs, snapshot: answer)]).run()
    cause = caught.value.__cause__
    assert isinstance(cause, ConditionError)
    assert cause.message == f"The `when` of stage 's' returned {named}."
    assert ("cannot be async" in cause.hint) is isinstance(answer, Awaited)
    assert (caught.value.stage_code, caught.value.attempts) == ("condition", 0)


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (lambda inputs: inputs.get_from("other", "x"), UndeclaredDependencyError),
        (lambda inputs: inputs.has_output("other"), UndeclaredDependencyError),
        (lambda inputs: inputs.require_from("a", "nothing"), MissingInputError),
    ],
    ids=["read", "asked", "required"],
)
@simulated
async def test_what_its_stage_may_not_read_it_may_not_either(read, kind):
    """The rule of declared dependencies has no door here."""
    stages = [
        stage("a", instant),
        stage("other", instant),
        stage("s", instant, dependencies="a", when=lambda inputs, snapshot: bool(read(inputs))),
    ]
    with pytest.raises(StageExecutionError) as caught:
        await Pipeline("p", stages).run()
    assert (caught.value.stage, type(caught.value.__cause__)) == ("s", kind)


# --- isolation ---------------------------------------------------------------------------------------------------

VARIABLE = ContextVar("VARIABLE", default="unset")


@pytest.mark.parametrize("answer", [True, False])
@simulated
async def test_a_variable_that_it_sets_reaches_no_stage(answer):
    """Not its own either."""
    seen = []

    def when(inputs, snapshot):
        VARIABLE.set("set")
        return answer

    async def looking():
        seen.append(VARIABLE.get())

    await outcome(
        stage("s", looking, when=when),
        stage("beside", looking),
        stage("behind", looking, optional="s"),
        stage("conditional", looking, optional="beside", when=lambda *_: seen.append(VARIABLE.get()) or True),
    )
    assert set(seen) == {"unset"}
    assert len(seen) == 4 + answer


@simulated
async def test_it_sees_the_variables_of_whoever_runs_the_pipeline():
    """As stages do."""
    seen = []
    VARIABLE.set("given")
    await outcome(stage("s", instant, when=lambda *_: seen.append(VARIABLE.get()) or True))
    assert seen == ["given"]


@dataclass
class Basket:
    items: list = field(default_factory=list)


@simulated
async def test_what_it_changes_is_its_own_copy():
    """Its stage reads what the other one returned."""

    async def basket():
        return Basket(["apple"])

    def when(inputs, snapshot):
        inputs.value("basket", Basket).items.clear()
        return True

    async def counting(basket: Basket):
        return {"n": len(basket.items)}

    results = await outcome(stage("basket", basket), stage("s", counting, when=when))
    assert results.data("s") == {"n": 1}


@pytest.mark.parametrize("answer", [True, False])
@simulated
async def test_one_that_cancels_its_task_harms_no_other_stage(answer):
    """Whatever it says: at most its own stage fails."""

    def when(inputs, snapshot):
        asyncio.current_task().cancel()
        return answer

    async def pausing():
        await asyncio.sleep(1)
        return {}

    others = [stage(f"other{number}", pausing) for number in range(3)]
    results = await outcome(stage("s", pausing, when=when), *others, on_failure="continue")
    assert [results[spec].status for spec in others] == [OK] * 3
    assert results["s"].status is (FAIL if answer else SKIP)


# --- many --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["fan", "chain"])
async def test_thousands_that_say_no_do_not_hold_the_event_loop(shape):
    """The run yields between them, as it does between stages; in real time, since it is time that counts."""
    count, turns, ending = 3000, 0, False

    def when(inputs, snapshot):
        until = loop.time() + 20e-6
        while loop.time() < until:
            pass
        return False

    async def counting():
        nonlocal turns
        while not ending:
            turns += 1
            await asyncio.sleep(0)

    loop = asyncio.get_running_loop()
    dependencies = {"fan": lambda number: (), "chain": lambda number: (f"s{number - 1}",) if number else ()}[shape]
    stages = [stage(f"s{number}", instant, when=when, optional=dependencies(number)) for number in range(count)]
    counter = asyncio.create_task(counting())
    results = await Pipeline("p", stages).run()
    ending = True
    await counter
    assert len(results.skipped()) == count
    assert turns > 20


@simulated
async def test_a_chain_of_thousands_that_say_yes_is_no_recursion():
    """Each asks, then runs."""
    stages = [
        stage(f"s{number}", instant, when=yes, dependencies=(f"s{number - 1}",) if number else ())
        for number in range(3000)
    ]
    results = await Pipeline("p", stages).run()
    assert results.status == "completed"


@simulated
async def test_all_that_requires_a_skipped_one_is_skipped_however_far():
    """Without recursion."""
    stages = [stage("s0", instant, when=no)]
    stages += [stage(f"s{number}", instant, dependencies=f"s{number - 1}") for number in range(1, 5000)]
    results = await Pipeline("p", stages).run()
    assert len(results.skipped()) == 5000
    assert results.record("s4999").origin == "s0"
