"""Idempotency as an interceptor: one effect for each key."""

import asyncio
import gc
import logging

import pytest
from stageflow import ContextSnapshot, PipelineContext, RunIdentity, StageOutput
from stageflow.errors import IdempotencyConflictError, InterceptorError
from stageflow.frozen import FrozenDict
from stageflow.interceptors.idempotency import IdempotencyInterceptor
from stageflow.interceptors.idempotency_memory import InMemoryIdempotencyStore
from stageflow.protocols import Claim
from stageflow_mocks.simulation import simulated


class Service:
    """What a stage calls: counts its effects."""

    def __init__(self, seconds=1.0, *, failing=0):
        self.effects = 0
        self.calls = 0
        self._seconds = seconds
        self._failing = failing

    async def __call__(self):
        self.calls += 1
        number = self.calls
        await asyncio.sleep(self._seconds)
        if number <= self._failing:
            raise ConnectionError("the service")
        self.effects += 1
        return {"receipt": self.effects}


def of(*, org=None, user=None, text=None, payload=None):
    snapshot = ContextSnapshot(run_id=RunIdentity(org_id=org, user_id=user), input_text=text, input=payload)
    return PipelineContext(snapshot=snapshot)


def fixed(key="order-1"):
    return lambda ctx: key


@simulated
async def test_a_hundred_calls_at_once_have_one_effect_and_one_output(attempt):
    """Each in a run of its own."""
    service, interceptor = Service(), IdempotencyInterceptor(key=fixed())
    trials = [attempt(interceptor, stage=service, run=of()) for _ in range(100)]
    outputs = await asyncio.gather(*(trial.run() for trial in trials))
    assert (1, 1) == (service.calls, service.effects)
    assert [StageOutput.ok(receipt=1)] * 100 == outputs
    notes = [trial.ctx.observations["idempotency"] for trial in trials]
    assert (1, 99) == (notes.count("executed"), notes.count("replayed"))


@simulated
async def test_later_calls_get_the_output_too(attempt):
    """Whole: a contract value, artifacts, version."""
    interceptor = IdempotencyInterceptor(key=fixed())
    output = StageOutput.ok(receipt=1, version="2")

    async def stage():
        return output

    first, second = attempt(interceptor, stage=stage), attempt(interceptor, stage=stage)
    assert output is await first.run()
    assert output is await second.run()
    assert (1, 0) == (first.calls, second.calls)


@simulated
async def test_the_key_is_the_runs_own_unless_given(attempt):
    """Another attempt of it has it too; another run has another."""
    service, interceptor = Service(), IdempotencyInterceptor()
    run = of()
    for number in (1, 2):
        assert StageOutput.ok(receipt=1) == await attempt(interceptor, stage=service, run=run, number=number).run()
    assert StageOutput.ok(receipt=2) == await attempt(interceptor, stage=service, run=of()).run()


@simulated
async def test_without_a_key_work_is_repeated(attempt):
    """The application says so by None."""
    service, interceptor = Service(), IdempotencyInterceptor(key=fixed(None))
    for receipt in (1, 2):
        assert StageOutput.ok(receipt=receipt) == await attempt(interceptor, stage=service).run()


@pytest.mark.parametrize("key", ["", 5, True, b"k"])
def test_a_key_is_a_string(attempt, key):
    """Anything else is a fault, and the stage does not run."""

    @simulated
    async def check():
        trial = attempt(IdempotencyInterceptor(key=fixed(key)))
        with pytest.raises(InterceptorError, match="An idempotency key is a non-empty string, or None, not"):
            await trial.run()
        assert 0 == trial.calls

    check()


@simulated
async def test_tenants_stages_and_pipelines_are_kept_apart(attempt):
    """Nobody gets what is another's, however names are cut."""
    service, interceptor = Service(0), IdempotencyInterceptor(key=fixed())
    runs = [of(org="a"), of(org="b"), of(user="a"), of(), of(org=""), of(user=""), of(org="a1:x"), of(org="nobody")]
    receipts = [(await attempt(interceptor, stage=service, run=run).run()).data["receipt"] for run in runs]
    assert [1, 2, 3, 4, 5, 6, 7, 8] == receipts
    both = await attempt(interceptor, stage=service, run=of(org="a", user="someone")).run()
    assert 1 == both.data["receipt"]
    other = await attempt(interceptor, stage=service, run=runs[0], name="summary").run()
    assert 9 == other.data["receipt"]
    cut = [("reply-1", "x"), ("reply", "-1x")]
    trials = [
        attempt(IdempotencyInterceptor(interceptor._store, key=fixed(key)), stage=service, name=name, run=runs[0])
        for name, key in cut
    ]
    assert [10, 11] == [(await trial.run()).data["receipt"] for trial in trials]


@pytest.mark.parametrize(
    "other",
    [
        {"run": of(text="two")},
        {"run": of(text="one", payload={"amount": 2})},
        {"run": of(text="one", payload={"amount": 1}), "inputs": {"price": FrozenDict(total=6)}},
        {"run": of(text="one", payload={"amount": 1}), "inputs": {"price": StageOutput.skip("none")}},
    ],
    ids=["text", "input", "dependency", "absent-dependency"],
)
def test_the_same_key_with_other_parameters_is_refused(attempt, other):
    """While the first is under way, and when it is done."""

    @simulated
    async def check():
        service, interceptor = Service(), IdempotencyInterceptor(key=fixed())
        same = {"run": of(text="one", payload={"amount": 1}), "inputs": {"price": FrozenDict(total=5)}}
        first = asyncio.ensure_future(attempt(interceptor, stage=service, **same).run())
        await asyncio.sleep(0.5)
        for _ in range(2):
            trial = attempt(interceptor, stage=service, **{"inputs": same["inputs"], **other})
            output = await trial.run()
            error = output.error.exception
            assert isinstance(error, IdempotencyConflictError)
            assert ("reply", "order-1", 0) == (error.stage, error.key, trial.calls)
            assert await first == await attempt(interceptor, stage=service, **same).run()
        assert 1 == service.effects

    check()


@simulated
async def test_the_application_may_say_what_makes_two_calls_the_same(attempt):
    """Where an upstream model never says the same thing twice."""
    service, interceptor = Service(), IdempotencyInterceptor(key=fixed(), parameters=lambda ctx: ctx.run.snapshot.input)
    for text in ("one", "two"):
        run = of(text=text, payload=5)
        assert StageOutput.ok(receipt=1) == await attempt(interceptor, stage=service, run=run).run()


@simulated
async def test_parameters_without_a_fingerprint_keep_the_stage_from_running(attempt):
    """The error leads to them."""
    trial = attempt(IdempotencyInterceptor(), run=of(), inputs={"price": FrozenDict(total=print)})
    with pytest.raises(InterceptorError, match=r"parameters\['inputs'\]\['price'\]\['total'\] holds a"):
        await trial.run()
    assert 0 == trial.calls


@simulated
async def test_a_failed_first_call_frees_the_key(attempt):
    """Of those who wait one goes on, the others wait for that one."""
    service, interceptor = Service(failing=2), IdempotencyInterceptor(key=fixed())
    trials = [attempt(interceptor, stage=service, run=of()) for _ in range(10)]
    outcomes = await asyncio.gather(*(trial.run() for trial in trials), return_exceptions=True)
    assert [ConnectionError] * 2 + [StageOutput] * 8 == [type(outcome) for outcome in outcomes[:2]] + [
        StageOutput for outcome in outcomes[2:] if outcome == StageOutput.ok(receipt=1)
    ]
    assert (3, 1) == (service.calls, service.effects)
    assert 3.0 == asyncio.get_running_loop().time()


@simulated
async def test_a_cancelled_first_call_frees_the_key(attempt):
    """And a cancelled waiter is no trouble."""
    service, interceptor = Service(), IdempotencyInterceptor(key=fixed())
    tasks = [asyncio.ensure_future(attempt(interceptor, stage=service, run=of()).run()) for _ in range(10)]
    await asyncio.sleep(0.5)
    for number in (0, 1, 5):
        tasks[number].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [0, 1, 5] == [number for number, outcome in enumerate(outcomes) if type(outcome) is asyncio.CancelledError]
    assert 7 == outcomes.count(StageOutput.ok(receipt=1))
    assert (2, 1) == (service.calls, service.effects)


@pytest.mark.parametrize(
    "output",
    [
        StageOutput.fail("no"),
        StageOutput.skip("no"),
        StageOutput.retry("busy"),
        StageOutput.suspend("?"),
        StageOutput.cancel("no"),
    ],
    ids=lambda output: str(output.status),
)
def test_only_what_is_ok_is_kept(attempt, output):
    """Everything else may be tried again."""

    @simulated
    async def check():
        async def stage():
            return output

        interceptor = IdempotencyInterceptor(key=fixed())
        trials = [attempt(interceptor, stage=stage) for _ in range(2)]
        for trial in trials:
            assert output == await trial.run()
        assert [1, 1] == [trial.calls for trial in trials]

    check()


@simulated
async def test_a_waiter_waits_for_so_long_and_no_longer(attempt):
    """It fails then, and does not run beside the other."""
    service, interceptor = Service(1000), IdempotencyInterceptor(key=fixed(), hook_timeout=60)
    first = asyncio.ensure_future(attempt(interceptor, stage=service, run=of()).run())
    await asyncio.sleep(1)
    trial = attempt(interceptor, stage=service, run=of())
    with pytest.raises(InterceptorError, match="took longer than its hook_timeout of 60 s"):
        await trial.run()
    assert 0 == trial.calls
    assert StageOutput.ok(receipt=1) == await first


class Leased(InMemoryIdempotencyStore):
    """A store as one over a network is: each call takes a while, and claims end unless they are renewed."""

    lease_seconds = 30.0

    def __init__(self, *, broken=()):
        super().__init__()
        self.renewed = []
        self.broken = set(broken)
        self.slowness = 0.1

    async def _take_a_while(self, what):
        await asyncio.sleep(self.slowness)
        if what in self.broken:
            raise ConnectionError(what)

    async def claim(self, key, **rest):
        await self._take_a_while("claim")
        return await super().claim(key, **rest)

    async def wait(self, key):
        await asyncio.sleep(0.5)

    async def renew(self, key, *, owner):
        await self._take_a_while("renew")
        self.renewed.append(asyncio.get_running_loop().time())
        return await super().renew(key, owner=owner)

    async def complete(self, key, **rest):
        await self._take_a_while("complete")
        return await super().complete(key, **rest)

    async def release(self, key, **rest):
        await self._take_a_while("release")
        await super().release(key, **rest)


@simulated
async def test_a_lease_is_renewed_while_the_stage_runs(attempt):
    """Three times in its time, and no longer than the stage."""
    store, service = Leased(), Service(35)
    interceptor = IdempotencyInterceptor(store, key=fixed())
    outputs = await asyncio.gather(*(attempt(interceptor, stage=service, run=of()).run() for _ in range(5)))
    assert [StageOutput.ok(receipt=1)] * 5 == outputs
    assert [10.2, 20.3, 30.4] == [round(moment, 1) for moment in store.renewed]
    assert 1 == len(asyncio.all_tasks())


@simulated
async def test_a_lease_that_ended_is_told(attempt):
    """The work may have been done twice, which nobody should learn by chance."""
    store, service = Leased(), Service(35)
    task = asyncio.ensure_future(attempt(IdempotencyInterceptor(store, key=fixed()), stage=service, run=of()).run())
    await asyncio.sleep(15)
    store._running.clear()
    with pytest.raises(InterceptorError, match="the lease of its key ended while it ran"):
        await task


@simulated
async def test_a_renewal_that_fails_is_logged_and_tried_again(attempt, caplog):
    """The store may be there again before the lease ends."""
    store = Leased(broken={"renew"})
    trial = attempt(IdempotencyInterceptor(store, key=fixed()), stage=Service(15), run=of())
    with caplog.at_level(logging.WARNING):
        assert StageOutput.ok(receipt=1) == await trial.run()
    (record,) = caplog.records
    assert "The lease of an idempotency key could not be renewed: ConnectionError: renew." == record.getMessage()


@pytest.mark.parametrize("broken", ["claim", "complete"])
def test_a_store_that_breaks_fails_the_stage(attempt, broken):
    """Before it runs, if it can be known then."""

    @simulated
    async def check():
        trial = attempt(IdempotencyInterceptor(Leased(broken={broken}), key=fixed()), stage=Service(), run=of())
        with pytest.raises(InterceptorError, match=f"`around` .* raised ConnectionError: {broken}"):
            await trial.run()
        assert (0 if broken == "claim" else 1) == trial.calls

    check()


@simulated
async def test_a_store_that_cannot_release_fails_the_stage_and_hides_nothing(attempt):
    """What the stage raised is the context."""
    store = Leased(broken={"release"})
    trial = attempt(IdempotencyInterceptor(store, key=fixed()), stage=Service(failing=1), run=of())
    with pytest.raises(InterceptorError, match=r"`around` .* raised ConnectionError: release") as caught:
        await trial.run()
    assert "the service" == str(caught.value.__cause__.__context__)


@pytest.mark.parametrize("moment", [0.05, 0.15, 0.6, 1.15])
def test_a_cancellation_at_any_moment_leaves_no_claim(attempt, moment):
    """Work that was done is noted all the same; after that, the key is free or done."""

    @simulated
    async def check():
        store, service = Leased(), Service()
        interceptor = IdempotencyInterceptor(store, key=fixed())
        task = asyncio.ensure_future(attempt(interceptor, stage=service, run=of()).run())
        await asyncio.sleep(moment)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert {} == store._running
        assert 1 == len(asyncio.all_tasks())
        assert StageOutput.ok(receipt=1) == await attempt(interceptor, stage=service, run=of()).run()
        assert 1 == service.effects

    check()


@pytest.mark.parametrize("lost", ["cancelled", "raised"])
def test_a_claim_whose_answer_is_lost_is_released(attempt, lost):
    """It may have been granted, and nobody else would ever release it."""

    class Forgetful(InMemoryIdempotencyStore):
        answers = 0

        async def claim(self, key, *, fingerprint, owner):
            claim = await super().claim(key, fingerprint=fingerprint, owner=owner)
            await asyncio.sleep(0.1)
            self.answers += 1
            if lost == "raised" and self.answers == 1:
                raise ConnectionError("the answer")
            return claim

    @simulated
    async def check():
        interceptor, service = IdempotencyInterceptor(Forgetful(), key=fixed()), Service()
        first = asyncio.ensure_future(attempt(interceptor, stage=service, run=of()).run())
        await asyncio.sleep(0.05)
        if lost == "cancelled":
            first.cancel()
        with pytest.raises(asyncio.CancelledError if lost == "cancelled" else InterceptorError):
            await first
        assert 0 == service.calls
        assert StageOutput.ok(receipt=1) == await attempt(interceptor, stage=service, run=of()).run()

    check()


@simulated
async def test_a_store_that_hangs_over_a_cancelled_stage_is_given_up(attempt, caplog):
    """After a few seconds, whatever it was noting: the run is waiting."""
    for moment in (0.5, 1.15):
        store, service, started = Leased(), Service(), asyncio.get_running_loop().time()
        task = asyncio.ensure_future(attempt(IdempotencyInterceptor(store, key=fixed()), stage=service, run=of()).run())
        asyncio.get_running_loop().call_later(0.3, setattr, store, "slowness", 1000)
        await asyncio.sleep(moment)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pytest.approx(moment + 5) == asyncio.get_running_loop().time() - started
        assert 1 == len(asyncio.all_tasks())
    told = "An idempotency store could not note what came of work: it took too long."
    assert [told] * 2 == [record.getMessage() for record in caplog.records]


@simulated
async def test_a_store_that_breaks_over_a_cancelled_stage_is_told(attempt, caplog):
    """The cancellation passes."""
    store, service = Leased(), Service()
    task = asyncio.ensure_future(attempt(IdempotencyInterceptor(store, key=fixed()), stage=service, run=of()).run())
    await asyncio.sleep(1.15)
    store.broken.add("complete")
    task.cancel()
    with caplog.at_level(logging.WARNING), pytest.raises(asyncio.CancelledError):
        await task
    assert "An idempotency store could not note what came of work: ConnectionError: complete." in caplog.text


@simulated
async def test_a_store_that_answers_nonsense_fails_the_stage(attempt):
    """It is not taken for leave to run."""

    class Odd(InMemoryIdempotencyStore):
        answer = Claim("perhaps")

        async def claim(self, key, *, fingerprint, owner):
            return self.answer

    store = Odd()
    for answer, told in [
        (Claim("perhaps"), "answers as `Claim` says, not 'perhaps'"),
        (Claim("done", 5), "returned an int"),
    ]:
        store.answer = answer
        trial = attempt(IdempotencyInterceptor(store))
        with pytest.raises(InterceptorError, match=told):
            await trial.run()
        assert 0 == trial.calls


def test_an_event_loop_that_ends_takes_its_claims_along(attempt):
    """A stage that never ended is not under way for ever."""
    store = InMemoryIdempotencyStore()
    interceptor = IdempotencyInterceptor(store, key=fixed())
    loop = asyncio.new_event_loop()

    async def begin():
        task = asyncio.ensure_future(attempt(interceptor, stage=Service(1000), run=of()).run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task

    task = loop.run_until_complete(begin())
    assert 1 == len(store._running)
    task._log_destroy_pending = False
    loop.close()
    del task
    gc.collect()
    trial = attempt(interceptor, run=of())
    assert StageOutput.ok(answer=42) == simulated(trial.run)()


def test_what_is_no_store_is_refused():
    """Where it is given."""
    with pytest.raises(TypeError, match="IdempotencyInterceptor is not an IdempotencyStore, but a dict: "):
        IdempotencyInterceptor({})
