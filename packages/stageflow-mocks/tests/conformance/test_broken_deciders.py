"""Circuit breakers, policies and idempotency stores that each break a promise of their protocol's page are found."""

import asyncio
import unicodedata

import pytest
from judging import Judged, check_found
from stageflow import StageOutput
from stageflow.interceptors.idempotency_memory import InMemoryIdempotencyStore
from stageflow.observability import InMemoryCircuitBreaker
from stageflow.observability.circuit_breaker import CircuitPermit
from stageflow.protocols import PolicyDecision
from tiny_implementations import LeasedStore, TinyPolicy

BREAKER, POLICY, IDEMPOTENCY = "TestInMemoryCircuitBreaker", "TestTinyPolicy", "TestInMemoryIdempotencyStore"
judged = Judged()
breaks = judged.breaks


@breaks(BREAKER, probes_are_let_through_after_a_time="says after how many seconds")
class TellsTheSameTimeForEver(InMemoryCircuitBreaker):
    async def allow(self, circuit):
        permit = await super().allow(circuit)
        return permit if permit.allowed else CircuitPermit(False, permit.state, retry_after=30.0)


@breaks(BREAKER, circuits_are_kept_apart="The success of another circuit")
class OneCountOfFailures(InMemoryCircuitBreaker):
    async def record_success(self, circuit, permit):
        for known in self._circuits.values():
            known.failures = 0
        await super().record_success(circuit, permit)


@breaks(BREAKER, circuits_are_kept_apart="probes of its own")
class ProbesOneOfAll(InMemoryCircuitBreaker):
    async def allow(self, circuit):
        others = sum(len(known.probes) for name, known in self._circuits.items() if name != circuit)
        permit = await super().allow(circuit)
        if not others or permit.state != "half-open" or not permit.allowed:
            return permit
        await super().release(circuit, permit)
        return CircuitPermit(False, "half-open", retry_after=1.0)


@breaks(BREAKER, failures_at_the_same_time_count="at the same time")
class LosesFailuresThatComeTogether(InMemoryCircuitBreaker):
    async def record_failure(self, circuit, permit):
        known = self._circuits[circuit]
        before = known.failures
        await asyncio.sleep(0)
        if self._circuits.get(circuit) is known and known.state == "closed":
            known.failures = before
        await super().record_failure(circuit, permit)


@breaks(BREAKER, a_cancelled_call_ends="lets nobody probe")
class LosesProbesOfTheCancelled(InMemoryCircuitBreaker):
    async def allow(self, circuit):
        permit = await super().allow(circuit)
        if permit.state == "half-open" and permit.allowed:
            self._circuits[circuit].probes[permit.token] = float("inf")
        await asyncio.sleep(0)
        return permit


@breaks(BREAKER, probes_are_let_through_after_a_time="Not earlier, and of many who ask")
class NeverProbes(InMemoryCircuitBreaker):
    def __init__(self):
        super().__init__(recovery_time=3600)


@breaks(BREAKER, a_new_circuit_is_closed="allow` returns a CircuitPermit")
class AnswersWithABool(InMemoryCircuitBreaker):
    async def allow(self, circuit):
        return (await super().allow(circuit)).allowed


@breaks(BREAKER, a_probe_that_succeeds_closes_it="Failures from before do not count")
class ClosesAndRemembers(InMemoryCircuitBreaker):
    async def record_success(self, circuit, permit):
        was_open = permit.state == "half-open"
        await super().record_success(circuit, permit)
        if was_open:
            await super().allow(circuit)
            self._circuits[circuit].failures = 4


@breaks(POLICY, it_answers_with_a_decision="returns a PolicyDecision")
class ForgetsToAwait(TinyPolicy):
    async def evaluate(self, request):
        return asyncio.ensure_future(super().evaluate(request))


@breaks(POLICY, it_answers_with_a_decision="'require-decision', not 'allow'")
class LooksAtTheUserAlone(TinyPolicy):
    async def evaluate(self, request):
        return PolicyDecision.allow() if request.user_id else PolicyDecision.deny("nobody may")


@breaks(POLICY, it_answers_with_a_decision="Each request is answered with a PolicyDecision")
class RaisesItsDenial(TinyPolicy):
    async def evaluate(self, request):
        decision = await super().evaluate(request)
        if decision.effect == "deny":
            raise PermissionError(decision.reason)
        return decision


@breaks(POLICY, a_cancelled_evaluation_ends="may still be answered")
class AllowsWhenInterrupted(TinyPolicy):
    async def evaluate(self, request):
        try:
            return await super().evaluate(request)
        except BaseException:  # noqa: BLE001 - that is what is wrong with it
            return PolicyDecision.allow()


@breaks(POLICY, a_cancelled_evaluation_ends="this one went on")
class AsksAgainAndAgain(TinyPolicy):
    async def evaluate(self, request):
        while True:
            try:
                return await super().evaluate(request)
            except asyncio.CancelledError:
                await asyncio.sleep(60)


@breaks(POLICY, a_cancelled_evaluation_ends="not answered within")
class KeepsItsLock(TinyPolicy):
    def __init__(self):
        self.lock = asyncio.Lock()

    async def evaluate(self, request):
        await self.lock.acquire()
        decision = await super().evaluate(request)
        self.lock.release()
        return decision


@breaks(POLICY, answers_do_not_mix="One of many at once was answered")
class RemembersByUser(TinyPolicy):
    def __init__(self):
        self.known = {}
        self.asked = 0

    async def evaluate(self, request):
        self.asked += 1
        decision = await super().evaluate(request)
        return decision if self.asked <= 3 else self.known.setdefault(request.user_id, decision)


class ByOtherKeys(InMemoryIdempotencyStore):
    """Keeps keys as a database would that does not tell all of them apart."""

    def key(self, key):
        return key

    async def claim(self, key, *, fingerprint, owner):
        return await super().claim(self.key(key), fingerprint=fingerprint, owner=owner)

    async def wait(self, key):
        await super().wait(self.key(key))

    async def complete(self, key, *, owner, value):
        return await super().complete(self.key(key), owner=owner, value=value)

    async def release(self, key, *, owner):
        await super().release(self.key(key), owner=owner)


@breaks(IDEMPOTENCY, keys_are_kept_apart="A claim of ")
class IgnoresCase(ByOtherKeys):
    def key(self, key):
        return key.casefold()


@breaks(IDEMPOTENCY, keys_are_kept_apart="A claim of ")
class CutsKeys(ByOtherKeys):
    def key(self, key):
        return key[:255]


@breaks(IDEMPOTENCY, keys_are_kept_apart="A claim of ")
class NormalizesKeys(ByOtherKeys):
    def key(self, key):
        return unicodedata.normalize("NFC", key).strip()


@breaks(IDEMPOTENCY, what_was_done_is_told="What was kept is")
class KeepsDataAlone(InMemoryIdempotencyStore):
    async def complete(self, key, *, owner, value):
        return await super().complete(key, owner=owner, value=StageOutput.ok(dict(value.data)))


@breaks(IDEMPOTENCY, other_parameters_are_a_conflict="'conflict', not 'running'")
class ComparesWhenDone(LeasedStore):
    async def claim(self, key, *, fingerprint, owner):
        holder, known = self._holder(key)
        return await super().claim(key, fingerprint=known if holder else fingerprint, owner=owner)


@breaks(IDEMPOTENCY, only_its_owner_ends_a_claim="'running', not 'granted'")
class AnybodyReleases(LeasedStore):
    async def release(self, key, *, owner):
        self.claims.pop(key, None)


@breaks(IDEMPOTENCY, only_its_owner_ends_a_claim="'done', not 'granted'")
class ReleasesWhatIsDone(LeasedStore):
    async def release(self, key, *, owner):
        if self._holder(key)[0] in (owner, None):
            self.claims.pop(key, None)
            self.done.pop(key, None)


@breaks(IDEMPOTENCY, who_waits_is_told="not answered within")
class WakesOne(InMemoryIdempotencyStore):
    def __init__(self):
        super().__init__()
        self.waiting = {}

    async def wait(self, key):
        future = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(key, []).append(future)
        await future

    async def complete(self, key, *, owner, value):
        done = await super().complete(key, owner=owner, value=value)
        for future in self.waiting.get(key, [])[:1]:
            if not future.done():
                future.set_result(None)
        return done


@breaks("TestLeasedStore", a_lease_that_is_renewed_goes_on="'done', not 'granted'")
class ForgetsWithTheLease(LeasedStore):
    async def claim(self, key, *, fingerprint, owner):
        if key in self.done and asyncio.get_running_loop().time() > self.until[key]:
            del self.done[key]
        return await super().claim(key, fingerprint=fingerprint, owner=owner)

    async def complete(self, key, *, owner, value):
        self.until = {**getattr(self, "until", {}), key: self._until()}
        return await super().complete(key, owner=owner, value=value)


@breaks(IDEMPOTENCY, a_cancelled_call_ends="not answered within")
class KeepsItsTransaction(LeasedStore):
    def __init__(self):
        super().__init__()
        self.transaction = asyncio.Lock()

    async def claim(self, key, *, fingerprint, owner):
        await self.transaction.acquire()
        await asyncio.sleep(0)
        claim = await super().claim(key, fingerprint=fingerprint, owner=owner)
        self.transaction.release()
        return claim


@breaks(IDEMPOTENCY, a_cancelled_call_ends="is free once its owner has released it")
class HalfReleases(InMemoryIdempotencyStore):
    async def release(self, key, *, owner):
        for _ in range(3):
            await asyncio.sleep(0)
            if getattr(self, "interrupted", False):
                return
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.interrupted = True
            raise
        await super().release(key, owner=owner)


@pytest.mark.parametrize(("suite", "make", "given", "promises"), judged.cases)
def test_it_is_found(suite, make, given, promises):
    """The suite blames the promises that are broken, in their words."""
    check_found(suite, make, given, promises)
