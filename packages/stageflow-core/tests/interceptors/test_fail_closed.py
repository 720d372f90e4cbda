"""What becomes of a stage whose interceptor breaks: it fails, whoever else would have it otherwise."""

import asyncio
import contextlib
import gc
import logging

import pytest
from stageflow import PipelineContext, StageOutput
from stageflow.errors import InterceptorError
from stageflow.interceptors.base import BaseInterceptor, ErrorAction, FailStage, InterceptorResult
from stageflow.interceptors.guard import HookScope
from stageflow.interceptors.outcome import RetryRequested
from stageflow_mocks.simulation import simulated


class Abort(BaseException):
    """Not an Exception: some libraries have such a thing."""


class Lenient(BaseInterceptor):
    """An outer interceptor that would save whatever it can."""

    def __init__(self, action=ErrorAction.FALLBACK):
        self.priority = -10
        self.seen = []
        self._action = action

    async def on_error(self, ctx, error):
        self.seen.append(error)
        return self._action

    async def fallback(self, ctx, error):
        return StageOutput.ok(saved=True)


class Swallowing(BaseInterceptor):
    """An outer interceptor that returns something in place of whatever it meets."""

    priority = -20

    async def around(self, ctx, call):
        try:
            return await call()
        except BaseException:  # noqa: BLE001 - the worst that one can do
            return StageOutput.ok(saved=True)


def guard(hook, function, *, hook_timeout=30.0):
    """Return an interceptor with one hook."""

    async def call(self, *arguments):
        return await function(*arguments)

    return type("Guard", (BaseInterceptor,), {hook: call, "name": "auth", "hook_timeout": hook_timeout})()


def raising(error):
    async def hook(*_):
        raise error

    return hook


def raising_late(error):
    async def hook(*_):
        await asyncio.sleep(1)
        raise error

    return hook


async def hanging(*_):
    await asyncio.get_running_loop().create_future()


def returning(value):
    async def hook(*_):
        return value

    return hook


async def failing_hook(*_):
    raise OSError("disk")


async def failing_stage():
    raise ValueError("no such user")


BREAKING = {
    "raises": raising(PermissionError("no token")),
    "raises-late": raising_late(PermissionError("no token")),
    "raises-cancelled": raising(asyncio.CancelledError()),
    "raises-cancelled-late": raising_late(asyncio.CancelledError()),
    "raises-base-exception": raising(Abort()),
    "raises-base-exception-late": raising_late(Abort()),
    "raises-timeout-of-its-own": raising_late(TimeoutError("the auth service")),
    "raises-stop-iteration": raising(StopIteration()),
    "hangs": hanging,
    "returns-true": returning(True),
    "returns-false": returning(False),
    "returns-output": returning(StageOutput.ok()),
    "returns-dict": returning({"allow": True}),
}


@pytest.mark.parametrize("breaking", BREAKING.values(), ids=BREAKING)
@pytest.mark.parametrize("action", ErrorAction)
def test_a_guard_that_breaks_before_the_stage_keeps_it_from_running(attempt, breaking, action):
    """No interceptor further out can retry that or replace it; those further in are not entered."""

    @simulated
    async def check():
        outer, inner = Lenient(action), guard("before", raising(AssertionError("was entered")))
        inner.priority = 5
        trial = attempt(Swallowing(), outer, guard("before", breaking), inner)
        with pytest.raises(InterceptorError) as caught:
            await trial.run()
        error = caught.value
        assert ("reply", "auth", "before") == (error.stage, error.interceptor, error.hook)
        assert [error] == outer.seen
        assert 0 == trial.calls
        assert 0 == asyncio.current_task().cancelling()

    check()


LEGITIMATE = {("around", "returns-output"), ("after", "returns-none"), ("fallback", "returns-output")}
ELSEWHERE = [
    pytest.param(hook, function, id=f"{hook}-{name}")
    for hook in ("around", "after", "on_error", "fallback")
    for name, function in {**BREAKING, "returns-none": returning(None)}.items()
    if (hook, name) not in LEGITIMATE
]


@pytest.mark.parametrize("action", ErrorAction)
@pytest.mark.parametrize(("hook", "breaking"), ELSEWHERE)
def test_an_interceptor_that_breaks_elsewhere_fails_the_stage(attempt, breaking, hook, action):
    """Whatever the stage itself did."""

    @simulated
    async def check():
        outer, broken = Lenient(action), guard(hook, breaking)
        if hook == "fallback":
            type(broken).on_error = Lenient.on_error
            broken.seen, broken._action = [], ErrorAction.FALLBACK
        trial = attempt(Swallowing(), outer, broken, stage=failing_stage if hook in ("on_error", "fallback") else None)
        with pytest.raises(InterceptorError) as caught:
            await trial.run()
        error = caught.value
        assert ("reply", "auth", hook) == (error.stage, error.interceptor, error.hook)
        assert [error] == outer.seen
        assert 0 == asyncio.current_task().cancelling()

    check()


@simulated
async def test_the_error_says_what_happened_and_how_to_mend_it(attempt):
    """For a hook that raises, one that returns the wrong thing, and one that hangs."""
    told = {}
    for name in ("raises", "returns-true", "hangs"):
        with pytest.raises(InterceptorError) as caught:
            await attempt(guard("before", BREAKING[name])).run()
        told[name] = str(caught.value).removeprefix("Stage 'reply' failed: `before` of its interceptor 'auth' ")
        assert (name == "raises") == isinstance(caught.value.__cause__, PermissionError)
    assert {
        "raises": "raised PermissionError: no token.",
        "returns-true": "returned True. Return None to let the stage run, or an InterceptorResult with the outcome in "
        "its place.",
        "hangs": "took longer than its hook_timeout of 30 s. Find out what it waits for, or set `hook_timeout` of the "
        "interceptor, in seconds.",
    } == told


@pytest.mark.parametrize("hook", ["before", "around", "after", "on_error", "fallback"])
def test_a_hook_is_stopped_at_its_time_limit(attempt, hook):
    """To the moment, with its `finally` run."""

    @simulated
    async def check():
        log = []

        async def hang(*_):
            try:
                await asyncio.sleep(1000)
            finally:
                log.append(asyncio.get_running_loop().time())

        slow = guard(hook, hang, hook_timeout=0.25)
        if hook == "fallback":
            type(slow).on_error = guard("on_error", returning(ErrorAction.FALLBACK)).on_error.__func__
        with pytest.raises(InterceptorError, match=r"longer than its hook_timeout of 0\.25 s"):
            await attempt(slow, stage=failing_stage if hook in ("on_error", "fallback") else None).run()
        assert [0.25] == log

    check()


@simulated
async def test_a_hook_that_takes_its_time_within_the_limit_is_fine(attempt):
    """Each hook has the whole limit for itself."""

    async def slow(*_):
        await asyncio.sleep(20)

    class Slow(BaseInterceptor):
        before = slow
        after = slow

        async def around(self, ctx, call):
            await asyncio.sleep(20)
            return await call()

    assert StageOutput.ok(answer=42) == await attempt(Slow()).run()
    assert 60.0 == asyncio.get_running_loop().time()


@simulated
async def test_a_hook_that_swallows_the_limit_has_outlasted_it_all_the_same(attempt):
    """A guard cannot let a stage through by coming late."""

    async def stubborn(*_):
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(1)

    async def stubborn_around(ctx, call):
        await stubborn()
        return await call()

    for hook, function in [("before", stubborn), ("around", stubborn_around)]:
        trial = attempt(guard(hook, function))
        with pytest.raises(InterceptorError, match="took longer than its hook_timeout of 30 s"):
            await trial.run()
        assert 0 == trial.calls


@simulated
async def test_the_time_in_call_is_not_the_time_of_around(attempt):
    """A slow stage is not the fault of its interceptor."""

    async def slow_stage():
        await asyncio.sleep(1000)
        return {"answer": 42}

    class Patient(BaseInterceptor):
        hook_timeout = 2

        async def around(self, ctx, call):
            await asyncio.sleep(0.9)
            output = await call()
            await asyncio.sleep(0.9)
            return output

    class Slow(Patient):
        async def around(self, ctx, call):
            await super().around(ctx, call)
            await asyncio.sleep(1)

    assert StageOutput.ok(answer=42) == await attempt(Patient(), stage=slow_stage).run()
    started = asyncio.get_running_loop().time()
    with pytest.raises(InterceptorError, match="took longer than its hook_timeout of 2 s"):
        await attempt(Slow(), stage=slow_stage).run()
    assert pytest.approx(1002.0) == asyncio.get_running_loop().time() - started


@simulated
async def test_the_hooks_inside_have_limits_of_their_own(attempt):
    """A layer further in that takes its time does not use up that of an `around` further out."""

    class Outer(BaseInterceptor):
        hook_timeout = 1

        async def around(self, ctx, call):
            return await call()

    async def slow(*_):
        await asyncio.sleep(25)

    assert StageOutput.ok(answer=42) == await attempt(Outer(), guard("before", slow), guard("after", slow)).run()


@simulated
async def test_calling_twice_is_refused_and_fails_the_stage(attempt):
    """Exactly one execution for each attempt, even if `around` swallows the refusal."""

    async def twice(ctx, call):
        output = await call()
        try:
            await call()
        except InterceptorError:
            return output

    async def at_once(ctx, call):
        return (await asyncio.gather(call(), call()))[0]

    for function in (twice, at_once):
        trial, outer = None, Lenient()
        trial = attempt(outer, guard("around", function))
        with pytest.raises(InterceptorError, match=r"`around` .* called `call\(\)` twice"):
            await trial.run()
        assert 1 == trial.calls
        assert 1 == len(outer.seen)


def calling_again(function):
    """An interceptor whose `around` is this function, and may call again."""
    interceptor = guard("around", function)
    interceptor.calls_again = True
    return interceptor


@simulated
async def test_one_that_says_so_may_call_again(attempt):
    """What counts is what the last call gave, and the hooks further in are called each time."""

    async def twice(ctx, call):
        first, last = await call(), await call()
        assert first is not last
        return last

    asked = []

    async def ask(ctx):
        asked.append(ctx.attempt)

    trial = attempt(calling_again(twice), guard("before", ask))
    assert StageOutput.ok(answer=42) == await trial.run()
    assert (2, [1, 1]) == (trial.calls, asked)


@simulated
async def test_one_that_may_call_again_calls_one_at_a_time(attempt):
    """Two at once would share what the attempt has."""

    async def slow_stage():
        await asyncio.sleep(1)
        return {"answer": 42}

    async def at_once(ctx, call):
        return (await asyncio.gather(call(), call()))[0]

    trial = attempt(calling_again(at_once), stage=slow_stage)
    with pytest.raises(InterceptorError, match=r"called `call\(\)` twice"):
        await trial.run()
    assert 1 == trial.calls


@simulated
async def test_a_second_call_that_is_left_running_is_ended(attempt):
    """That the first one had ended does not count for it."""
    ended = []

    async def slow_stage():
        try:
            await asyncio.sleep(1)
        finally:
            ended.append("stage")
        return {"answer": 42}

    async def leaves(ctx, call):
        output = await call()
        asyncio.create_task(call())  # noqa: RUF006 - that is the mistake
        await asyncio.sleep(0.5)
        return output

    trial = attempt(calling_again(leaves), stage=slow_stage)
    with pytest.raises(InterceptorError, match=r"ended while its `call\(\)` was still running"):
        await trial.run()
    assert ["stage", "stage"] == ended


@simulated
async def test_calling_again_does_not_undo_what_broke_further_in(attempt):
    """Else a guard that broke the first time would let the stage through the second time."""
    asked = []

    async def breaks_once(ctx):
        asked.append(ctx.attempt)
        if len(asked) == 1:
            raise RuntimeError("no connection")

    async def again(ctx, call):
        try:
            return await call()
        except InterceptorError:
            return await call()

    trial = attempt(calling_again(again), guard("before", breaks_once))
    with pytest.raises(InterceptorError):
        await trial.run()
    assert (0, [1]) == (trial.calls, asked)


@simulated
async def test_around_may_run_the_call_in_a_task(attempt):
    """As asyncio.wait_for and its like do; the hooks inside keep their limits."""

    async def slow_stage():
        await asyncio.sleep(10)
        return {"answer": 42}

    async def bounded(ctx, call):
        try:
            return await asyncio.wait_for(call(), 5)
        except TimeoutError:
            return StageOutput.skip("too slow")

    async def patient(ctx, call):
        return await asyncio.wait_for(call(), 50)

    assert StageOutput.skip("too slow") == await attempt(guard("around", bounded), stage=slow_stage).run()
    assert StageOutput.ok(answer=42) == await attempt(guard("around", patient), stage=slow_stage).run()
    with pytest.raises(InterceptorError) as caught:
        await attempt(guard("around", patient), guard("before", hanging)).run()
    assert "before" == caught.value.hook
    with pytest.raises(ValueError, match="no such user"):
        await attempt(guard("around", patient), stage=failing_stage).run()


@simulated
async def test_a_call_left_running_is_ended_and_fails_the_stage(attempt):
    """A stage does not outlive its attempt."""
    log = []

    async def stage():
        try:
            await asyncio.sleep(1000)
        finally:
            log.append("ended")

    async def leaving(ctx, call):
        ctx.observations["task"] = asyncio.ensure_future(call())
        await asyncio.sleep(1)
        return StageOutput.ok(early=True)

    trial = attempt(guard("around", leaving), stage=stage)
    with pytest.raises(InterceptorError, match=r"`around` .* ended while its `call\(\)` was still running"):
        await trial.run()
    assert ["ended"] == log
    assert trial.ctx.observations["task"].cancelled()


@simulated
async def test_a_call_that_is_dropped_half_way_fails_the_stage(attempt):
    """The stage did not end, whatever `around` says."""

    async def dropping(ctx, call):
        running = call()
        running.send(None)
        running.close()
        return StageOutput.ok(early=True)

    async def stage():
        await asyncio.sleep(1000)

    with pytest.raises(InterceptorError, match=r"ended while its `call\(\)` was still running"):
        await attempt(guard("around", dropping), stage=stage).run()


@simulated
async def test_a_call_that_begins_after_around_has_ended_is_refused(attempt):
    """The stage does not run behind the back of its run."""

    async def leaving(ctx, call):
        ctx.observations["task"] = asyncio.ensure_future(call())
        return StageOutput.ok(early=True)

    trial = attempt(guard("around", leaving))
    assert StageOutput.ok(early=True) == await trial.run()
    with pytest.raises(InterceptorError, match=r"had ended when its `call\(\)` was awaited"):
        await trial.ctx.observations["task"]
    assert 0 == trial.calls


@pytest.mark.parametrize("hook", ["before", "around"])
def test_a_cancellation_wins_against_a_hook_that_swallows_it(attempt, hook):
    """The stage does not run, or go on, because an interceptor did not listen."""

    @simulated
    async def check():
        async def deaf(ctx, call=None):
            try:
                await (call() if call else asyncio.sleep(1000))
            except asyncio.CancelledError:
                await asyncio.sleep(1)
            return StageOutput.ok(saved=True) if call else None

        async def stage():
            await asyncio.sleep(1000)

        outer = Lenient()
        trial = attempt(outer, guard(hook, deaf), stage=stage)
        task = asyncio.ensure_future(trial.run())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [] == outer.seen
        assert (1 if hook == "around" else 0) == trial.calls

    check()


@simulated
async def test_what_a_hook_raises_while_it_is_cancelled_is_logged(attempt, caplog):
    """The cancellation wins, and the error is not lost."""

    async def clumsy(*_):
        try:
            await asyncio.sleep(1000)
        finally:
            raise OSError("cannot close")

    for hook in ("before", "around"):
        task = asyncio.ensure_future(attempt(guard(hook, clumsy)).run())
        await asyncio.sleep(1)
        task.cancel()
        with caplog.at_level(logging.WARNING), pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert isinstance(caught.value.__cause__, OSError)
        (record,) = caplog.records
        assert (
            f"Stage 'reply' was cancelled, and `{hook}` of its interceptor 'auth' raised OSError: cannot close."
            == record.getMessage()
        )
        caplog.clear()


@pytest.mark.parametrize("hook", ["before", "around", "after", "on_error"])
def test_a_cancelled_hook_lets_the_cancellation_pass(attempt, hook):
    """And its timer is gone with it."""

    @simulated
    async def check():
        outer = Lenient()
        trial = attempt(outer, guard(hook, hanging), stage=failing_stage if hook == "on_error" else None)
        task = asyncio.ensure_future(trial.run())
        await asyncio.sleep(1)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        assert [] == outer.seen
        await asyncio.sleep(100)
        assert {} == trial.ctx.scope._timers

    check()


@simulated
async def test_a_cancellation_wins_against_the_time_limit_of_the_same_moment(attempt):
    """Whichever comes first."""
    for first in ("cancellation", "limit"):
        task = asyncio.ensure_future(attempt(guard("before", hanging, hook_timeout=5)).run())
        await asyncio.sleep(0)
        loop, when = asyncio.get_running_loop(), asyncio.get_running_loop().time() + 5
        loop.call_at(when - 1e-12 if first == "cancellation" else when + 1e-12, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task


@simulated
async def test_the_stages_own_cancelled_error_passes_untouched(attempt):
    """Its run says what that means; no hook is asked."""
    outer, error = Lenient(), asyncio.CancelledError("of its own")

    async def stage():
        raise error

    async def passing(ctx, call):
        return await call()

    for layers in ([outer], [outer, guard("around", passing)]):
        with pytest.raises(asyncio.CancelledError, match="of its own") as caught:
            await attempt(*layers, stage=stage).run()
        assert caught.value is error
    assert [] == outer.seen


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)], ids=["interrupt", "exit"])
@pytest.mark.parametrize("hook", ["before", "around", "after", "on_error"])
def test_what_ends_the_program_passes_every_hook(attempt, hook, error):
    """It is not for an interceptor to decide on."""

    async def trial(outer):
        scope = HookScope("chat", None)
        stage = failing_stage if hook == "on_error" else None
        one = attempt(outer, guard(hook, raising(error)), stage=stage, scope=scope)
        try:
            await one.run()
        except BaseException as passed:  # noqa: BLE001 - raised out of the event loop it would end the test
            return passed, scope.entered
        return None

    outer = Lenient()
    assert (error, None) == simulated(trial)(outer)
    assert [] == outer.seen


@simulated
async def test_what_ends_the_program_passes_from_the_stage(attempt):
    """Through every kind of layer."""
    error, outer = SystemExit(1), Lenient()

    async def stage():
        raise error

    async def passing(ctx, call):
        return await call()

    for layers in ([outer], [outer, guard("around", passing)]):
        passed = None
        try:
            await attempt(*layers, stage=stage).run()
        except SystemExit as exiting:
            passed = exiting
        assert passed is error
    assert [] == outer.seen


@simulated
async def test_on_error_that_raises_hides_nothing(attempt):
    """The failure of the stage is the context of what the hook raised."""
    with pytest.raises(InterceptorError) as caught:
        await attempt(guard("on_error", raising(OSError("disk"))), stage=failing_stage).run()
    assert isinstance(caught.value.__cause__, OSError)
    assert isinstance(caught.value.__cause__.__context__, ValueError)


@simulated
async def test_on_error_that_returns_nonsense_hides_nothing(attempt):
    """The failure of the stage is the context of the error."""
    with pytest.raises(InterceptorError) as caught:
        await attempt(guard("on_error", returning("retry")), stage=failing_stage).run()
    assert "returned 'retry'" == caught.value.problem
    assert isinstance(caught.value.__context__, ValueError)


@simulated
async def test_a_broken_hook_takes_back_a_retry(attempt):
    """The attempt has failed for another reason than the one that was to be retried."""
    inner = Lenient(ErrorAction.RETRY)
    inner.priority = 5
    with pytest.raises(RetryRequested):
        await attempt(inner, stage=failing_stage).run()
    with pytest.raises(InterceptorError):
        await attempt(guard("on_error", raising(OSError())), inner, stage=failing_stage).run()


@pytest.mark.parametrize("hook", ["before", "around", "after"])
def test_an_interceptor_is_not_asked_about_its_own_fault(attempt, hook):
    """It was not entered, or has broken: those further out are told."""

    @simulated
    async def check():
        broken, outer = guard(hook, BREAKING["raises"]), Lenient()
        type(broken).on_error = Lenient.on_error
        broken.seen, broken._action = [], ErrorAction.FALLBACK
        with pytest.raises(InterceptorError):
            await attempt(outer, broken).run()
        assert ([], 1) == (broken.seen, len(outer.seen))

    check()


@pytest.mark.parametrize("hook", ["before", "after"])
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("breaking", ["raises", "raises-late", "returns-true"])
def test_the_interceptor_that_broke_is_named_among_others(attempt, hook, which, breaking):
    """Whichever of several it is."""

    @simulated
    async def check():
        layers = [guard(hook, BREAKING[breaking] if place == which else returning(None)) for place in range(3)]
        for place, layer in enumerate(layers):
            layer.name = f"layer-{place}"
        with pytest.raises(InterceptorError) as caught:
            await attempt(*layers, guard("on_error", returning(None))).run()
        assert f"layer-{which}" == caught.value.interceptor

    check()


@simulated
async def test_of_two_broken_interceptors_the_first_is_the_outcome(attempt, caplog):
    """The second is told in its notes and in the log."""
    outer = guard("on_error", raising(OSError("disk")))
    outer.priority, outer.name = -5, "audit"
    with caplog.at_level(logging.WARNING), pytest.raises(InterceptorError) as caught:
        await attempt(outer, guard("before", BREAKING["raises"])).run()
    assert "auth" == caught.value.interceptor
    (note,) = caught.value.__notes__
    assert "Stage 'reply' failed: `on_error` of its interceptor 'audit' raised OSError: disk." in note
    assert note in caplog.text


@simulated
async def test_around_that_breaks_over_a_broken_hook_changes_nothing(attempt):
    """The first to break is the outcome."""

    async def other(ctx, call):
        try:
            await call()
        except InterceptorError as error:
            raise OSError("disk") from error

    async def purposeful(ctx, call):
        try:
            await call()
        except InterceptorError as error:
            raise FailStage(OSError("disk")) from error

    async def passing(ctx, call):
        return await call()

    for function, notes in [(other, 1), (purposeful, 0), (passing, 0)]:
        outer = guard("around", function)
        outer.priority = -5
        with pytest.raises(InterceptorError) as caught:
            await attempt(outer, guard("before", BREAKING["raises"])).run()
        assert ("before", notes) == (caught.value.hook, len(getattr(caught.value, "__notes__", ())))


@simulated
async def test_around_that_raises_something_else_than_the_stage_breaks(attempt):
    """Though it says where it comes from."""

    async def translating(ctx, call):
        try:
            return await call()
        except ValueError as error:
            raise LookupError("unknown user") from error

    with pytest.raises(InterceptorError, match=r"`around` .* raised LookupError: unknown user") as caught:
        await attempt(guard("around", translating), stage=failing_stage).run()
    assert isinstance(caught.value.__cause__.__cause__, ValueError)


@simulated
async def test_around_that_raises_the_exception_of_a_returned_failure_breaks(attempt):
    """What was returned is to be returned."""
    error = ValueError()

    async def stage():
        return StageOutput.fail(error)

    async def raising_it(ctx, call):
        raise (await call()).error.exception

    with pytest.raises(InterceptorError) as caught:
        await attempt(guard("around", raising_it), stage=stage).run()
    assert caught.value.__cause__ is error


@simulated
async def test_attempts_at_the_same_time_have_their_own_time(attempt):
    """One run's hooks share a scope; each is stopped at its own moment."""
    scope = HookScope("chat", PipelineContext())
    ended = {}

    def trial(seconds, wait):
        async def before(*_):
            await asyncio.sleep(wait)

        return attempt(guard("before", before, hook_timeout=seconds), scope=scope)

    async def one(name, seconds, wait):
        try:
            await trial(seconds, wait).run()
        except InterceptorError:
            ended[name] = "stopped", asyncio.get_running_loop().time()
        else:
            ended[name] = "done", asyncio.get_running_loop().time()

    await asyncio.gather(one("a", 3, 100), one("b", 1, 100), one("c", 5, 4), one("d", 5, 0), one("e", 2, 2.5))
    assert {
        "a": ("stopped", 3.0),
        "b": ("stopped", 1.0),
        "c": ("done", 4.0),
        "d": ("done", 0.0),
        "e": ("stopped", 2.0),
    } == ended
    assert {} == scope._timers
    assert scope.entered is None


@simulated
async def test_a_hook_that_never_suspends_makes_no_timer(attempt):
    """Not even when its stage is slow."""

    async def slow_stage():
        await asyncio.sleep(1000)

    async def passing(ctx, call):
        return await call()

    made = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later
    loop.call_later = lambda delay, *arguments: made.append(delay) or call_later(delay, *arguments)
    trial = attempt(guard("before", returning(None)), guard("around", passing), guard("after", returning(None)))
    trial._stage = slow_stage
    await trial.run()
    assert [1000] == made


@simulated
async def test_a_chain_leaves_no_garbage(attempt):
    """A failure does not hold the frames that it came through in a circle."""

    async def passing(ctx, call):
        return await call()

    async def trial():
        layers = guard("before", returning(None)), guard("around", passing), guard("after", returning(None))
        for stage in (None, failing_stage):
            with contextlib.suppress(ValueError):
                await attempt(*layers, stage=stage).run()
        with contextlib.suppress(InterceptorError):
            await attempt(*layers, guard("before", failing_hook)).run()
        await attempt(Swallowing(), *layers, stage=failing_stage).run()

    await trial()
    gc.collect()
    gc.disable()
    try:
        await trial()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = sorted(
            {type(item).__name__ for item in gc.garbage} & {"InterceptorContext", "Call", "Outcome", "OSError"}
        )
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert [] == kinds


@simulated
async def test_an_after_further_out_that_breaks_over_an_outcome_given_inside(attempt):
    """Short-circuited or fallen back: the layers on the way out are held to the same."""
    cached = guard("before", returning(InterceptorResult(StageOutput.skip("cached"))))
    for breaking in (BREAKING["raises"], BREAKING["returns-true"]):
        outer = guard("after", breaking)
        outer.priority, outer.name = -5, "audit"
        with pytest.raises(InterceptorError) as caught:
            await attempt(outer, cached).run()
        assert ("audit", "after") == (caught.value.interceptor, caught.value.hook)


@simulated
async def test_a_cancellation_on_the_way_out_leaves_no_further_layer(attempt):
    """The layers further out see no cancellation."""
    outer, cached = Lenient(), guard("before", returning(InterceptorResult(StageOutput.skip("cached"))))
    slow = guard("after", hanging)
    slow.priority = -5
    task = asyncio.ensure_future(attempt(outer, slow, cached).run())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [] == outer.seen


@simulated
async def test_what_a_fail_stage_is_raised_from_is_the_cause_of_its_error(attempt):
    """Unless that has one already."""
    causes = ValueError("first"), ValueError("second")

    async def before(*_):
        raise FailStage(OverflowError("full")) from causes[0]

    async def before_with_a_cause(*_):
        error = OverflowError("full")
        error.__cause__ = causes[1]
        raise FailStage(error) from causes[0]

    for hook, cause in ((before, causes[0]), (before_with_a_cause, causes[1])):
        with pytest.raises(OverflowError) as caught:
            await attempt(guard("before", hook)).run()
        assert caught.value.__cause__ is cause


@simulated
async def test_what_a_hook_returned_is_not_shown_if_it_may_be_data(attempt):
    """Its type is; a short text is shown, since it says what was meant."""
    told = []
    for result in ({"card": "4111"}, StageOutput.ok(card="4111"), "retry", "x" * 100, StageOutput, False):
        with pytest.raises(InterceptorError) as caught:
            await attempt(guard("before", returning(result))).run()
        told.append(caught.value.problem.removeprefix("returned "))
    plain = "a stageflow.core.output.StageOutput"
    assert ["a dict", plain, "'retry'", "a str", "the class StageOutput", "False"] == told


async def looking_up(ctx, *_):
    await asyncio.sleep(1)


@simulated
async def test_a_cancellation_from_before_the_attempt_is_none_of_it(attempt):
    """Whoever swallowed it, it was not a hook of this attempt."""
    asyncio.current_task().cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(1)
    assert StageOutput.ok(answer=42) == await attempt(guard("before", looking_up)).run()


@simulated
async def test_a_cancellation_that_passes_a_hook_is_not_worth_a_warning(attempt, caplog):
    """It is what a cancellation should do."""
    running = asyncio.ensure_future(attempt(guard("before", looking_up)).run())
    await asyncio.sleep(0.5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [] == caplog.records


@simulated
async def test_before_that_returns_a_result_short_circuits_in_time(attempt):
    """A guard that suspends may still give the outcome."""

    async def slow(*_):
        await asyncio.sleep(1)
        return InterceptorResult(StageOutput.skip("cached"))

    trial = attempt(guard("before", slow))
    assert StageOutput.skip("cached") == await trial.run()
    assert 0 == trial.calls
