"""A suite is worth what it finds: implementations that break one promise each fail the test of that promise."""

import asyncio
import struct
from typing import Any
from uuid import UUID

import pytest
from judging import SUITES, failures
from stageflow.errors import ProviderRateLimited, ProviderServerError
from stageflow.interceptors.idempotency_memory import InMemoryIdempotencyStore
from stageflow.observability import InMemoryCircuitBreaker
from stageflow.observability.circuit_breaker import CircuitPermit
from stageflow.protocols import AllowAllPolicy, Claim, PolicyDecision
from stageflow.providers import AudioFormat, LLMChunk, LLMResponse, STTChunk, STTResponse, TTSChunk, TTSResponse
from stageflow_mocks import InMemoryRunStore, RecordingEventSink
from stageflow_mocks.conformance import Failing
from tiny_implementations import PCM, LeasedStore, TinyLLM, TinyLogger, TinyPolicy, TinySTT, TinyTTS, in_pieces

BROKEN: list[Any] = []


def breaks(suite: str, *promises: str, **attributes: Any):
    """Mark a class as one that breaks these promises."""

    def keep(broken):
        BROKEN.append(pytest.param(suite, broken, promises, attributes, id=broken.__name__))
        return broken

    return keep


SINK = "TestRecordingEventSink"


@breaks(SINK, "try_emit_answers_at_once")
class AnswersLater(RecordingEventSink):
    def try_emit(self, *, type, data):
        super().try_emit(type=type, data=data)
        return asyncio.get_running_loop().create_future()


@breaks(SINK, "it_fits_the_protocol")
class WithoutType(RecordingEventSink):
    async def emit(self, data):
        return None


@breaks(SINK, "nothing_is_lost_in_silence_when_many_emit_at_once", "order_is_kept", "a_run_loses_nothing")
class ForgetsEverySecond(RecordingEventSink):
    def try_emit(self, *, type, data):
        self.count = getattr(self, "count", 0) + 1
        if self.count % 2:
            super().try_emit(type=type, data=data)


@breaks(SINK, "order_is_kept", "a_run_loses_nothing")
class NewestFirst(RecordingEventSink):
    @property
    def types(self):
        return super().types[::-1]


@breaks(SINK, "any_event_is_taken")
class NeedsData(RecordingEventSink):
    def try_emit(self, *, type, data):
        super().try_emit(type=type, data={**data})


@breaks(SINK, "nothing_is_lost_in_silence_when_many_emit_at_once")
class OverwritesWhatComesTogether(RecordingEventSink):
    async def emit(self, *, type, data):
        events = list(self.events)
        await asyncio.sleep(0)
        self.events = events
        super().try_emit(type=type, data=data)


@breaks(SINK, "a_cancelled_emit_ends")
class IgnoresCancellation(RecordingEventSink):
    async def emit(self, *, type, data):
        super().try_emit(type=type, data=data)
        for _ in range(100 if type == "conformance.cancelled" else 0):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue


@breaks(SINK, "emit_answers")
class AnswersWithText(RecordingEventSink):
    async def emit(self, *, type, data):
        super().try_emit(type=type, data=data)
        return "ok"


STORE = "TestInMemoryRunStore"


@breaks(STORE, "runs_are_kept_apart")
class OneRun(InMemoryRunStore):
    async def create_run(self, run_id, **metadata):
        self.run = {"run_id": run_id, "status": "created", **metadata}

    async def update_status(self, run_id, status, **data):
        self.run.update(status=status, **data)

    async def get_run(self, run_id):
        return self.run


@breaks(STORE, "a_status_takes_the_place_of_the_one_before")
class ForgetsMetadata(InMemoryRunStore):
    async def update_status(self, run_id, status, **data):
        self._runs[run_id] = {"run_id": run_id, "status": status, **data}


@breaks(STORE, "a_status_of_a_run_that_was_never_created_is_kept")
class NeedsCreation(InMemoryRunStore):
    async def update_status(self, run_id, status, **data):
        if run_id in self._created:
            await super().update_status(run_id, status, **data)


@breaks(STORE, "what_is_read_is_the_readers_own")
class GivesItsOwn(InMemoryRunStore):
    async def get_run(self, run_id):
        return self._runs.get(run_id)


@breaks(STORE, "a_created_run_is_known")
class KnowsItsColumns(InMemoryRunStore):
    async def create_run(self, run_id, *, pipeline, stages=0, user_id=None, tags=(), created_at=None):
        await super().create_run(run_id, pipeline=pipeline)


@breaks(STORE, "a_cancelled_call_ends")
class BreaksWhenCancelled(InMemoryRunStore):
    async def create_run(self, run_id, **metadata):
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            raise RuntimeError("half written") from None
        await super().create_run(run_id, **metadata)


LOGGER = "TestTinyLogger"


@breaks(LOGGER, "a_call_has_an_id", "calls_end_in_any_order")
class OneId(TinyLogger):
    async def log_call_start(self, **told):
        self.records[UUID(int=1)] = told
        return UUID(int=1)


@breaks(LOGGER, "a_call_has_an_id", "a_run_loses_no_record")
class TextIds(TinyLogger):
    async def log_call_start(self, **told):
        return str(await super().log_call_start(**told))

    async def log_call_end(self, call_id, **told):
        await super().log_call_end(UUID(call_id), **told)


@breaks(LOGGER, "any_details_are_taken")
class NeedsModel(TinyLogger):
    async def log_call_start(self, **told):
        return await super().log_call_start(**{**told, "model": told["model"].lower()})


@breaks(LOGGER, "calls_end_in_any_order")
class LastCallEnds(TinyLogger):
    async def log_call_end(self, call_id, **told):
        await super().log_call_end(list(self.records)[-1], **told)


@breaks(LOGGER, "what_is_told_is_kept")
class NoDetails(TinyLogger):
    async def log_call_end(self, call_id, *, status, duration_ms, error_code=None, **details):
        await super().log_call_end(call_id, status=status, duration_ms=duration_ms)


@breaks(LOGGER, "a_run_loses_no_record")
class TooSlow(TinyLogger):
    async def log_call_end(self, call_id, **told):
        await asyncio.sleep(30)


BREAKER = "TestInMemoryCircuitBreaker"


@breaks(BREAKER, "failures_in_a_row_open_it", "a_stage_that_keeps_failing_is_not_called")
class OpensTooLate(InMemoryCircuitBreaker):
    def __init__(self):
        super().__init__(failure_threshold=6)


@breaks(BREAKER, "failures_in_a_row_open_it", "a_probe_that_succeeds_closes_it")
class OpensTooEarly(InMemoryCircuitBreaker):
    def __init__(self):
        super().__init__(failure_threshold=1)


@breaks(BREAKER, "circuits_are_kept_apart")
class OneCircuit(InMemoryCircuitBreaker):
    async def allow(self, circuit):
        return await super().allow("all")

    async def record_failure(self, circuit, permit):
        await super().record_failure("all", permit)


@breaks(BREAKER, "probes_are_let_through_after_a_time")
class ManyProbes(InMemoryCircuitBreaker):
    def __init__(self):
        super().__init__(probes=4)


@breaks(BREAKER, "success_breaks_the_row")
class CountsForEver(InMemoryCircuitBreaker):
    async def record_success(self, circuit, permit):
        if permit.state == "half-open":
            await super().record_success(circuit, permit)


@breaks(BREAKER, "a_released_call_counts_for_nothing")
class ReleaseIsFailure(InMemoryCircuitBreaker):
    async def release(self, circuit, permit):
        await self.record_failure(circuit, permit)


@breaks(BREAKER, "probes_are_let_through_after_a_time")
class KeepsProbes(InMemoryCircuitBreaker):
    async def release(self, circuit, permit):
        return None


@breaks(BREAKER, "a_probe_that_fails_opens_it_again")
class FailedProbesClose(InMemoryCircuitBreaker):
    async def record_failure(self, circuit, permit):
        done = self.record_success if permit.state == "half-open" else super().record_failure
        await done(circuit, permit)


@breaks(BREAKER, "failures_in_a_row_open_it")
class DoesNotSayWhen(InMemoryCircuitBreaker):
    async def allow(self, circuit):
        permit = await super().allow(circuit)
        return CircuitPermit(permit.allowed, permit.state, token=permit.token)


POLICY = "TestTinyPolicy"
breaks(POLICY, "it_answers_with_a_decision", "only_what_is_allowed_runs")(AllowAllPolicy)


@breaks(POLICY, "it_answers_with_a_decision", "only_what_is_allowed_runs")
class AnswersTrue(TinyPolicy):
    async def evaluate(self, request):
        return True


@breaks(POLICY, "answers_do_not_mix")
class Mixes(TinyPolicy):
    async def evaluate(self, request):
        self.request = request
        await asyncio.sleep(0)
        return await super().evaluate(self.request)


@breaks(POLICY, "a_cancelled_evaluation_ends")
class DeniesOnceCancelled(TinyPolicy):
    denies = False

    async def evaluate(self, request):
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.denies = True
            raise
        return PolicyDecision.deny("broken") if self.denies else await super().evaluate(request)


IDEMPOTENCY = "TestInMemoryIdempotencyStore"


@breaks(IDEMPOTENCY, "a_claim_is_granted_once", "work_is_done_once")
class LooksThenTakes(LeasedStore):
    async def claim(self, key, *, fingerprint, owner):
        free = key not in self.done and self._holder(key)[0] is None
        await asyncio.sleep(0)
        if free:
            self.claims[key] = (owner, fingerprint, self._until())
            return Claim("granted")
        return await super().claim(key, fingerprint=fingerprint, owner=owner)


@breaks(IDEMPOTENCY, "other_parameters_are_a_conflict")
class IgnoresFingerprint(InMemoryIdempotencyStore):
    async def claim(self, key, *, fingerprint, owner):
        return await super().claim(key, fingerprint="f", owner=owner)


@breaks(IDEMPOTENCY, "only_its_owner_ends_a_claim")
class AnybodyEnds(LeasedStore):
    async def complete(self, key, *, owner, value):
        self.done[key] = ("f", value)
        return True


@breaks(IDEMPOTENCY, "a_released_key_is_free")
class NeverFree(InMemoryIdempotencyStore):
    async def release(self, key, *, owner):
        return None


@breaks(IDEMPOTENCY, "who_waits_is_told", "a_cancelled_wait_ends")
class NeverTells(InMemoryIdempotencyStore):
    async def wait(self, key):
        await asyncio.get_running_loop().create_future()


@breaks(IDEMPOTENCY, "what_was_done_is_told")
class KeepsTheText(InMemoryIdempotencyStore):
    async def complete(self, key, *, owner, value):
        return await super().complete(key, owner=owner, value=str(value))


@breaks("TestLeasedStore", "a_lease_that_is_not_renewed_ends")
class EndlessLease(LeasedStore):
    def _until(self):
        return float("inf")


@breaks("TestLeasedStore", "a_lease_that_is_renewed_goes_on")
class RenewsNothing(LeasedStore):
    async def renew(self, key, *, owner):
        return self._holder(key)[0] == owner


LLM = "TestTinyLLM"


@breaks(LLM, "a_stream_says_why_it_ended", "it_streams")
class CutOff(TinyLLM):
    def _chunks(self, request):
        return [*super()._chunks(request)[:-1], LLMChunk("...")]

    async def complete(self, request):
        return LLMResponse("...", model="m", finish_reason="stop")


@breaks(LLM, "it_answers")
class SaysNothing(TinyLLM):
    async def complete(self, request):
        return LLMResponse("", model="m", finish_reason="stop")


@breaks(LLM, "it_streams")
class SaysOtherThingsInStreams(TinyLLM):
    async def stream(self, request):
        yield LLMChunk("other", finish_reason="stop", model="m")


@breaks(LLM, "it_streams")
class StreamsText(TinyLLM):
    async def stream(self, request):
        yield "text"


@breaks(LLM, "answers_do_not_mix")
class SharesItsRequest(TinyLLM):
    async def complete(self, request):
        self.request = request
        await asyncio.sleep(0.01)
        return await super().complete(self.request)


@breaks(LLM, "a_stream_that_is_left_is_closed", "a_cancelled_call_ends")
class LeavesCallsOpen(TinyLLM):
    async def stream(self, request):
        self.open += 1
        for chunk in self._chunks(request):
            await asyncio.sleep(0.01)
            yield chunk
        self.open -= 1


@breaks(LLM, "tools_are_called")
class IgnoresTools(TinyLLM):
    def _chunks(self, request):
        return [LLMChunk("It is sunny.", model="m"), LLMChunk(finish_reason="stop")]

    async def complete(self, request):
        return LLMResponse("It is sunny.", model="m", finish_reason="stop")


@breaks(LLM, "usage_adds_up")
class TellsUsageTwice(TinyLLM):
    async def stream(self, request):
        async for chunk in super().stream(request):
            yield chunk
        yield LLMChunk(usage=chunk.usage)


@breaks(
    LLM,
    "failures_are_classified",
    failing=lambda self: {"429": Failing(lambda: TinyLLM(ConnectionError("reset")), ProviderRateLimited)},
)
class Unclassified(TinyLLM):
    pass


@breaks(
    LLM,
    "failures_are_classified",
    failing=lambda self: {"500": Failing(lambda: TinyLLM(ProviderServerError("b", provider="x")), ProviderServerError)},
)
class NamesAnother(TinyLLM):
    pass


STT = "TestTinySTT"


@breaks(STT, "something_comes_out_while_others_go_in")
class WaitsForTheEnd(TinySTT):
    async def stream(self, request):
        audio = b"".join([piece async for piece in in_pieces(request.audio)])
        for word in self._hear(audio):
            yield STTChunk(word, is_final=True)


@breaks(STT, "it_streams", "pieces_are_heard_as_the_whole")
class OnlyGuesses(TinySTT):
    async def stream(self, request):
        async for chunk in super().stream(request):
            yield STTChunk(chunk.text, is_final=False)


@breaks(STT, "pieces_are_heard_as_the_whole")
class LosesWhatIsLeftOver(TinySTT):
    async def stream(self, request):
        async for piece in in_pieces(request.audio):
            yield STTChunk(f"w{struct.unpack_from('<h', piece)[0]}" if len(piece) < 600 else "", is_final=True)


@breaks(STT, "a_stream_that_is_left_takes_no_more")
class GoesOnListening(TinySTT):
    async def stream(self, request):
        audio = in_pieces(request.audio)

        async def listen():
            async for _ in audio:
                await asyncio.sleep(0)

        self.task = asyncio.ensure_future(listen())
        yield STTChunk("w", is_final=True)


@breaks(STT, "words_are_told_if_they_are_wanted")
class WordsOfOthers(TinySTT):
    async def transcribe(self, request):
        answer = await super().transcribe(request)
        return STTResponse(f"{answer.text} more", words=answer.words)


TTS = "TestTinyTTS"


@breaks(TTS, "a_longer_text_takes_longer")
class OneSound(TinyTTS):
    def _speak(self, text):
        return b"\0\0"


@breaks(TTS, "it_answers", "it_streams")
class AnotherFormat(TinyTTS):
    async def synthesize(self, request):
        return TTSResponse(b"\0\0", format=AudioFormat("pcm_s16le", 8_000))

    async def stream(self, request):
        yield TTSChunk(b"\0\0", format=AudioFormat("pcm_s16le", 8_000))


@breaks(TTS, "it_streams")
class HalfSamples(TinyTTS):
    async def stream(self, request):
        async for chunk in super().stream(request):
            yield TTSChunk(chunk.audio[:-1], format=PCM)


@breaks(TTS, "it_answers")
class WrongDuration(TinyTTS):
    async def synthesize(self, request):
        answer = await super().synthesize(request)
        return TTSResponse(answer.audio, format=PCM, duration_ms=answer.duration_ms * 2)


@breaks(TTS, "something_comes_out_while_others_go_in")
class ReadsAllFirst(TinyTTS):
    async def stream(self, request):
        text = "".join([piece async for piece in in_pieces(request.text)])
        yield TTSChunk(self._speak(text), format=PCM)


@breaks(TTS, "a_text_in_pieces_is_spoken")
class NoPieces(TinyTTS):
    async def stream(self, request):
        yield TTSChunk(self._speak(request.text), format=PCM)


def test_each_suite_is_judged():
    """There is a broken implementation for each."""
    assert {param.values[0] for param in BROKEN} == set(SUITES)


@pytest.mark.parametrize(("suite", "make", "promises", "attributes"), BROKEN)
def test_a_broken_promise_is_found(suite, make, promises, attributes):
    """The suite finds what is wrong, and blames the promises that are broken."""
    found = failures(suite, make, **attributes)
    assert set(promises) <= set(found), found
