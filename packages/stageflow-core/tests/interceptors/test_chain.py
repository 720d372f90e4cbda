"""The order of hooks, and what they make of an outcome."""

import asyncio

import pytest
from stageflow import StageOutput, StageStatus
from stageflow.errors import InterceptorError, StageReturnedFailure
from stageflow.interceptors.base import BaseInterceptor, ErrorAction, FailStage, InterceptorResult
from stageflow.interceptors.chain import Chain
from stageflow.interceptors.outcome import RetryRequested
from stageflow_mocks.simulation import simulated


class Answering(BaseInterceptor):
    """Answers each failure as it is told."""

    def __init__(self, action, output=None, name="answering", priority=0):
        self.name = name
        self.priority = priority
        self._action = action
        self._output = output
        self.seen = []

    async def on_error(self, ctx, error):
        self.seen.append(error)
        return self._action

    async def fallback(self, ctx, error):
        return self._output


class Wrapping(BaseInterceptor):
    """Writes down when its `around` is entered and left."""

    def __init__(self, name, log, *, priority=0):
        self.name = name
        self.priority = priority
        self._log = log

    async def before(self, ctx):
        self._log.append(f"{self.name}.before")

    async def around(self, ctx, call):
        self._log.append(f"{self.name}.in")
        try:
            return await call()
        finally:
            self._log.append(f"{self.name}.out")

    async def after(self, ctx, output):
        self._log.append(f"{self.name}.after")


def failing(error):
    async def stage():
        raise error

    return stage


def returning(output):
    async def stage():
        return output

    return stage


@simulated
async def test_hooks_are_called_from_the_outside_in_and_back(attempt, recording):
    """By ascending priority; equal ones in the order in which they were given, and negative ones outermost."""
    log = []
    layers = [recording(name, log, priority=p) for name, p in [("c", 1), ("d", 1), ("b", 0), ("a", -5), ("e", 1.5)]]
    output = await attempt(*layers).run()
    assert StageOutput.ok(answer=42) == output
    before = [entry for entry in log if "before" in entry]
    assert [f"{name}.before" for name in "abcde"] == before
    assert [f"{name}.after ok" for name in "edcba"] == log[5:]


@simulated
async def test_each_layer_wraps_its_around_in_its_before_and_after(attempt, recording):
    """Layers with and without `around` nest as their priorities say."""
    log = []
    layers = [Wrapping("b", log, priority=2), recording("a", log, priority=1), recording("c", log, priority=3)]
    await attempt(*layers, Wrapping("d", log, priority=4)).run()
    assert [
        "a.before", "b.before", "b.in", "c.before", "d.before", "d.in",
        "d.out", "d.after", "c.after ok", "b.out", "b.after", "a.after ok",
    ] == log  # fmt: skip


def test_interceptors_without_a_hook_make_no_chain():
    """What is not overridden is not even asked."""
    assert Chain.of([]) is None
    assert Chain.of([BaseInterceptor()]) is None


@pytest.mark.parametrize(
    "output",
    [
        StageOutput.ok(answer=1),
        StageOutput.ok(answer=1, version="2"),
        StageOutput.skip("not today"),
        StageOutput.cancel("enough"),
        StageOutput.fail("no"),
    ],
    ids=lambda output: str(output.status),
)
def test_before_may_give_the_outcome(attempt, recording, output):
    """Whatever its status; only the layers that were entered are left."""

    class Cache(recording):
        async def before(self, ctx):
            return InterceptorResult(output)

    @simulated
    async def check():
        log = []
        trial = attempt(recording("outer", log), Cache("cache", log), recording("inner", log))
        assert output == await trial.run()
        assert 0 == trial.calls
        ending = "on_error StageReturnedFailure" if output.status is StageStatus.FAIL else f"after {output.status}"
        assert ["outer.before", f"outer.{ending}"] == log

    check()


@simulated
async def test_a_stage_that_raises_reaches_on_error_and_its_error_leaves_the_chain(attempt, recording):
    """The very exception, from the inside out."""
    log, error = [], ValueError("no such user")
    with pytest.raises(ValueError, match="no such user") as caught:
        await attempt(recording("a", log), recording("b", log), stage=failing(error)).run()
    assert caught.value is error
    assert ["a.before", "b.before", "b.on_error ValueError", "a.on_error ValueError"] == log


@simulated
async def test_a_returned_failure_reaches_on_error_as_its_exception(attempt):
    """And stays what it is if nobody changes it."""
    error = ValueError("no such user")
    watcher = Answering(ErrorAction.FAIL)
    output = StageOutput.fail(error, data={"user": 5}, code="unknown-user")
    assert output is await attempt(watcher, stage=returning(output)).run()
    assert [error] == watcher.seen


@simulated
async def test_a_failure_in_words_reaches_on_error_as_an_error_that_tells_of_it(attempt):
    """It names the stage, and carries the output."""
    watcher = Answering(ErrorAction.FAIL)
    output = StageOutput.fail("no such user")
    assert output == await attempt(watcher, stage=returning(output)).run()
    (seen,) = watcher.seen
    assert isinstance(seen, StageReturnedFailure)
    assert "Stage 'reply' returned a failure: no such user" == str(seen)
    assert output is seen.output


@simulated
async def test_a_fallback_is_the_outcome_that_layers_further_out_see(attempt, recording):
    """Those further in see the failure."""
    log = []
    fallback = Answering(ErrorAction.FALLBACK, StageOutput.ok(answer=0))
    trial = attempt(recording("a", log), fallback, recording("c", log), stage=failing(ValueError()))
    assert StageOutput.ok(answer=0) == await trial.run()
    assert ["a.before", "c.before", "c.on_error ValueError", "a.after ok"] == log


@simulated
async def test_a_fallback_that_fails_goes_on_as_a_failure(attempt):
    """An outer layer may fall back from it in turn."""
    inner = Answering(ErrorAction.FALLBACK, StageOutput.fail("no copy either"))
    outer = Answering(ErrorAction.FALLBACK, StageOutput.skip("gone"), priority=-1)
    assert StageOutput.skip("gone") == await attempt(inner, outer, stage=failing(ValueError())).run()
    assert [StageReturnedFailure] == [type(error) for error in outer.seen]


@simulated
async def test_a_retry_leaves_the_chain_with_the_error(attempt):
    """A layer further out that says FAIL does not undo it, and still sees the error."""
    error = ValueError("busy")
    outer = Answering(ErrorAction.FAIL, priority=-1)
    with pytest.raises(RetryRequested) as caught:
        await attempt(outer, Answering(ErrorAction.RETRY), stage=failing(error)).run()
    assert caught.value.error is error
    assert caught.value.output is None
    assert [error] == outer.seen


@simulated
async def test_a_retry_of_a_returned_failure_keeps_its_output(attempt):
    """It is the outcome if there is no further attempt."""
    output = StageOutput.fail("busy", code="busy")
    with pytest.raises(RetryRequested) as caught:
        await attempt(Answering(ErrorAction.RETRY), stage=returning(output)).run()
    assert output is caught.value.output
    assert isinstance(caught.value.error, StageReturnedFailure)


@simulated
async def test_a_fallback_further_out_overrides_a_retry(attempt):
    """There is an outcome, so nothing is left to retry."""
    outer = Answering(ErrorAction.FALLBACK, StageOutput.ok(answer=0), priority=-1)
    trial = attempt(outer, Answering(ErrorAction.RETRY), stage=failing(ValueError()))
    assert StageOutput.ok(answer=0) == await trial.run()


@simulated
async def test_a_fallback_that_fails_takes_back_a_retry(attempt):
    """The failure that was to be retried is no more."""
    outer = Answering(ErrorAction.FALLBACK, StageOutput.fail("no copy either"), priority=-1)
    trial = attempt(outer, Answering(ErrorAction.RETRY), stage=failing(ValueError()))
    assert StageOutput.fail("no copy either") == await trial.run()


@simulated
async def test_a_retry_passes_an_around_that_lets_the_error_pass(attempt):
    """In both forms of a failure."""
    log = []
    with pytest.raises(RetryRequested):
        await attempt(Wrapping("a", log), Answering(ErrorAction.RETRY), stage=failing(ValueError())).run()
    with pytest.raises(RetryRequested):
        await attempt(Wrapping("a", log), Answering(ErrorAction.RETRY), stage=returning(StageOutput.fail("no"))).run()


@simulated
async def test_around_may_return_something_in_place_of_what_the_stage_raised(attempt, recording):
    """A legitimate fallback: layers further out see the new outcome, and a retry wanted inside is off."""

    class Rescuing(BaseInterceptor):
        async def around(self, ctx, call):
            try:
                return await call()
            except ValueError:
                return StageOutput.ok(answer=0)

    log = []
    trial = attempt(recording("a", log), Rescuing(), Answering(ErrorAction.RETRY), stage=failing(ValueError()))
    assert StageOutput.ok(answer=0) == await trial.run()
    assert ["a.before", "a.after ok"] == log


@simulated
async def test_around_need_not_call(attempt):
    """It then gives the outcome, as `before` can."""

    class Closed(BaseInterceptor):
        async def around(self, ctx, call):
            return StageOutput.skip("closed")

    trial = attempt(Closed())
    assert StageOutput.skip("closed") == await trial.run()
    assert 0 == trial.calls


@simulated
async def test_fail_stage_is_the_stages_own_failure(attempt, recording):
    """Layers further out may retry it or fall back from it, unlike from a broken hook."""

    class Full(BaseInterceptor):
        async def before(self, ctx):
            raise FailStage(OverflowError("full"))

    class FullAround(BaseInterceptor):
        async def around(self, ctx, call):
            await asyncio.sleep(1)
            raise FailStage(OverflowError("full"))

    for full in (Full(), FullAround()):
        log = []
        with pytest.raises(OverflowError, match="full"):
            await attempt(recording("a", log), full).run()
        assert ["a.before", "a.on_error OverflowError"] == log
        fallback = Answering(ErrorAction.FALLBACK, StageOutput.ok(answer=0), priority=-1)
        assert StageOutput.ok(answer=0) == await attempt(fallback, full).run()


@simulated
async def test_cancellation_reaches_neither_after_nor_on_error(attempt, recording):
    """Only the `finally` of `around`."""
    log = []

    async def endless():
        await asyncio.sleep(1000)

    task = asyncio.ensure_future(attempt(recording("a", log), Wrapping("b", log), stage=endless).run())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ["a.before", "b.before", "b.in", "b.out"] == log


@simulated
async def test_objects_of_another_class_are_interceptors_by_their_hooks(attempt):
    """`name`, `priority`, and some of the hooks."""

    class Plain:
        name = "plain"
        priority = 0

        async def after(self, ctx, output):
            ctx.observations["seen"] = output.data["answer"]

    trial = attempt(Plain())
    await trial.run()
    assert {"seen": 42} == trial.ctx.observations


@simulated
async def test_the_context_tells_of_the_attempt(attempt):
    """Stage, kind, attempt, run, pipeline, inputs and key."""
    trial = attempt(Wrapping("a", []))
    await trial.run()
    ctx = trial.ctx
    assert ("reply", "work", 1, "chat") == (ctx.stage_name, ctx.kind, ctx.attempt, ctx.pipeline)
    assert ctx.run.snapshot.run_id.pipeline_run_id + ":reply" == ctx.idempotency_key
    assert ctx.inputs.get_from is not None
    assert {} == ctx.observations


def test_interceptor_result_takes_a_stage_output_only():
    """A mapping is refused where it is given."""
    with pytest.raises(TypeError, match=r"InterceptorResult takes a StageOutput .*, not \{'a': 1\}"):
        InterceptorResult({"a": 1})
    assert "InterceptorResult(StageOutput.skip('no'))" == repr(InterceptorResult(StageOutput.skip("no")))


def test_fail_stage_takes_an_exception_only():
    """A class or a text is refused where it is given."""
    with pytest.raises(TypeError, match=r"takes an exception .*, not the class ValueError"):
        FailStage(ValueError)


@simulated
async def test_the_hooks_of_the_base_may_be_called_by_those_that_override_them(attempt):
    """They do what not overriding them does."""

    class Overriding(BaseInterceptor):
        async def before(self, ctx):
            return await super().before(ctx)

        async def around(self, ctx, call):
            return await super().around(ctx, call)

        async def after(self, ctx, output):
            return await super().after(ctx, output)

        async def on_error(self, ctx, error):
            return await super().on_error(ctx, error)

    assert StageOutput.ok(answer=42) == await attempt(Overriding()).run()
    with pytest.raises(ValueError, match="no"):
        await attempt(Overriding(), stage=failing(ValueError("no"))).run()

    class Half(Overriding):
        async def on_error(self, ctx, error):
            return ErrorAction.FALLBACK

        async def fallback(self, ctx, error):
            return await super().fallback(ctx, error)

    with pytest.raises(InterceptorError, match="Half answers FALLBACK and has no `fallback`"):
        await attempt(Half(), stage=failing(ValueError("no"))).run()


@simulated
async def test_the_default_fallback_is_a_fault(attempt):
    """An interceptor that answers FALLBACK and has no `fallback` does not let the stage through."""

    class Half(BaseInterceptor):
        async def on_error(self, ctx, error):
            return ErrorAction.FALLBACK

    with pytest.raises(InterceptorError, match=r"`fallback` .* is missing, though `on_error` answered FALLBACK"):
        await attempt(Half(), stage=failing(ValueError())).run()
