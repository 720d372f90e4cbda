"""Faults done to the calls of providers and stores, in simulated time."""

import asyncio
import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stageflow import Pipeline, RetryPolicy, StageContext, StageExecutionError, StageKind, StagePorts
from stageflow.errors import (
    ProtocolMismatchError,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderTransientError,
    StageTimeoutError,
)
from stageflow.interceptors.idempotency import IdempotencyInterceptor
from stageflow.interceptors.idempotency_memory import InMemoryIdempotencyStore
from stageflow.providers import (
    AnswerInPieces,
    AudioFormat,
    LLMChunk,
    LLMRequest,
    Message,
    STTRequest,
    Tool,
    TTSRequest,
)
from stageflow_mocks import (
    CallTool,
    FaultInterceptor,
    FaultPlan,
    FaultPlanError,
    FaultRule,
    FaultyIdempotencyStore,
    FaultyLLM,
    FaultyRunStore,
    FaultySTT,
    FaultyTTS,
    InMemoryRunStore,
    MockLLM,
    MockSTT,
    MockTTS,
)
from stageflow_mocks.faults.streams import _FAULTS as STREAM_FAULTS
from stageflow_mocks.faults.targets import OPTIONS
from stageflow_mocks.simulation import run, simulated

ASKED = LLMRequest((Message("user", "Hello?"),))
TEXT = "One two three four."


def now():
    return asyncio.get_running_loop().time()


def faulty(*rules, answers=TEXT, seed=0, **options):
    """Return a model whose answers take a second to begin, and another one for each further chunk."""
    options = {"latency": 1, "per_chunk": 1, **options}
    return FaultyLLM(MockLLM(answers, name="llm", **options), FaultPlan(*rules, seed=seed))


def rule(fault, operation="*", **options):
    return FaultRule(fault=fault, provider="llm", operation=operation, **options)


def struck(wrapped):
    return [(each["fault"], each["operation"], each["call"], each["struck"]) for each in wrapped.record()["injected"]]


async def read(llm, request=ASKED):
    """Read a stream; return its texts, and the error that ended it, if one did."""
    texts = []
    try:
        async for chunk in llm.stream(request):
            texts.append(chunk.text if isinstance(chunk, LLMChunk) else chunk)  # noqa: PERF401 - what came is returned
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it is returned
        return texts, error
    return texts, None


@simulated
async def test_no_fault_changes_nothing():
    """An empty plan: the same answers, the same times."""
    llm, bare = faulty(), MockLLM(TEXT, name="llm", latency=1, per_chunk=1)
    assert await bare.complete(ASKED) == await llm.complete(ASKED)
    assert [chunk async for chunk in bare.stream(ASKED)] == [chunk async for chunk in llm.stream(ASKED)]
    assert [] == llm.record()["injected"]
    StagePorts(llm=llm)


@simulated
async def test_latency_comes_before_a_call():
    """Whole and streamed, by the clock of the event loop."""
    llm = faulty(rule("latency", seconds=100))
    began = now()
    await llm.complete(ASKED)
    assert now() - began == pytest.approx(104)
    began = now()
    stream = llm.stream(ASKED)
    await anext(stream)
    assert now() - began == pytest.approx(101)
    await stream.aclose()


@simulated
async def test_an_error_comes_in_place_of_a_call():
    """It says which provider, and that a plan did it; the provider is not asked."""
    llm = faulty(rule("error", error="provider-rate-limited", retry_after=30))
    with pytest.raises(ProviderRateLimited, match="at call 1 'complete' of 'llm'") as caught:
        await llm.complete(ASKED)
    assert ("llm", 30) == (caught.value.provider, caught.value.retry_after)
    texts, error = await read(llm)
    assert ([], ProviderRateLimited) == (texts, type(error))
    assert () == llm.calls


@simulated
async def test_a_hang_is_ended_by_a_time_limit_of_the_stage():
    """It is further in than that, unlike a fault of the stage; what was opened is closed."""

    async def reply(ctx: StageContext):
        return {"text": (await ctx.ports.llm.complete(ASKED)).text}

    async def reply_in_pieces(ctx: StageContext):
        return {"text": "".join((await read(ctx.ports.llm))[0])}

    for stage, plan in ((reply, rule("hang")), (reply_in_pieces, rule("hang", after_chunks=2))):
        llm = faulty(plan)
        began = now()
        with pytest.raises(StageExecutionError) as caught:
            await Pipeline("chat").with_stage("reply", stage, timeout=7).run(ports=StagePorts(llm=llm))
        assert isinstance(caught.value.__cause__, StageTimeoutError)
        assert (7, True) == (now() - began, llm.record()["injected"][0]["struck"])
        assert all(call.ended == "closed" for call in llm.calls)


async def _read_into(texts, llm):
    async for chunk in llm.stream(ASKED):
        texts.append(chunk.text)


@simulated
async def test_a_hang_may_come_in_the_middle_of_a_stream():
    """After so many chunks, and if there are no more, after the last."""
    for after, count in ((0, 0), (2, 2), (50, 5)):
        llm = faulty(rule("hang", after_chunks=after))
        texts = []
        reading = asyncio.create_task(_read_into(texts, llm))
        await asyncio.wait({reading}, timeout=1000)
        assert not reading.done()
        reading.cancel()
        await asyncio.wait({reading})
        assert count == len(texts)
        assert len(llm.calls) == (after > 0)


@simulated
async def test_a_model_that_is_not_to_be_asked_is_not_asked():
    """Not even for a stream that it would begin to fetch when it is asked for."""
    asked = []

    class Eager:
        name = "llm"

        async def complete(self, request):
            asked.append(request)

        def stream(self, request):
            asked.append(request)
            return MockLLM(TEXT).stream(request)

    async def whole(llm):
        await llm.complete(ASKED)

    without = [(rule(fault), ask) for fault in ("error", "hang", "latency") for ask in (whole, read)]
    for plan, ask in (*without, (rule("partial_write", after_chunks=0), read)):
        asking = asyncio.create_task(ask(FaultyLLM(Eager(), FaultPlan(plan))))
        await asyncio.wait({asking}, timeout=0.5)
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled() or asking.exception() or asking.result()
    assert [] == asked


@simulated
async def test_a_wrong_type_is_what_the_answer_holds():
    """A text in place of the answer, and of each chunk; the audio of a voice."""
    llm = faulty(rule("wrong_type"))
    assert TEXT == await llm.complete(ASKED)
    texts, _ = await read(llm)
    assert TEXT == "".join(texts)
    pieces = AnswerInPieces("llm")
    with pytest.raises(TypeError, match="made of LLMChunk"):
        pieces.add(await anext(llm.stream(ASKED)))
    tts = FaultyTTS(MockTTS(), FaultPlan(FaultRule(fault="wrong_type", provider="mock-tts")))
    assert isinstance(await tts.synthesize(TTSRequest("Hello")), bytes)


@simulated
async def test_a_whole_answer_is_cut_and_does_not_say_so():
    """Text, the arguments of calls, words, audio at a whole sample."""
    answer = await faulty(rule("truncated", keep=0.3)).complete(ASKED)
    assert (TEXT[: int(len(TEXT) * 0.3)], "stop") == (answer.text, answer.finish_reason)

    tool = Tool("weather", "It", {"type": "object"})
    asked = LLMRequest(ASKED.messages, tools=(tool,))
    answer = await faulty(rule("truncated"), answers=CallTool("weather", {"city": "Oslo"})).complete(asked)
    assert '{"city"' == answer.tool_calls[0].arguments

    plan = FaultPlan(FaultRule(fault="truncated", provider="mock-*", keep=0.5))
    said = await FaultyTTS(MockTTS(), plan).synthesize(TTSRequest("One"))
    whole = await MockTTS().synthesize(TTSRequest("One"))
    assert said.audio == whole.audio[: len(said.audio)]
    assert (0, len(whole.audio) // 4) == (len(said.audio) % 2, len(said.audio) // 2)
    heard = await FaultySTT(MockSTT("one two"), plan).transcribe(
        STTRequest(bytes(32_000), format=AudioFormat("pcm_s16le", 16_000), words=True)
    )
    assert ("one", ["one"]) == (heard.text, [word.text for word in heard.words])


@simulated
async def test_an_answer_without_anything_to_cut_is_let_be():
    """And the record says so."""
    llm = faulty(rule("truncated"), answers="")
    assert "" == (await llm.complete(ASKED)).text
    assert [("truncated", "complete", 1, False)] == struck(llm)


@simulated
async def test_a_truncated_stream_just_ends():
    """After so many chunks, if there were more: whoever puts them together finds no end, and the call is closed."""
    llm = faulty(rule("truncated", after_chunks=2))
    pieces = AnswerInPieces("llm")
    async for chunk in llm.stream(ASKED):
        pieces.add(chunk)
    with pytest.raises(ProviderProtocolError, match="before it was complete"):
        pieces.whole()
    assert (2, "closed") == (pieces.chunks, llm.calls[0].ended)
    assert [("truncated", "stream", 1, True)] == struck(llm)
    llm = faulty(rule("truncated", after_chunks=5))
    assert TEXT == "".join((await read(llm))[0])
    assert [("truncated", "stream", 1, False)] == struck(llm)


@simulated
async def test_a_duplicated_call_is_made_twice():
    """One after the other, and the second answer counts."""
    llm = faulty(rule("duplicated", "complete"), answers=["first", "second"])
    assert "second" == (await llm.complete(ASKED)).text
    assert ["ok", "ok"] == [call.ended for call in llm.calls]


@simulated
async def test_the_chunks_of_a_stream_come_twice():
    """But for the one that ends the answer: that would be another fault, which whoever reads it finds at once."""
    llm = faulty(rule("duplicated"))
    pieces = AnswerInPieces("llm")
    async for chunk in llm.stream(ASKED):
        pieces.add(chunk)
    ended = pieces.whole()
    texts, _ = await read(MockLLM(TEXT))
    doubled = "".join(text * 2 for text in texts)
    assert (doubled, 1) == (ended.text, len(llm.calls))


@simulated
async def test_reordered_answers_are_overtaken():
    """The first is held back, the second is not; the model was asked on time."""
    llm = faulty(rule("reordered", "complete", call=1, seconds=60, distribution="fixed"))
    ended = []

    async def ask(name):
        await llm.complete(ASKED)
        ended.append(name)

    async with asyncio.TaskGroup() as group:
        first = group.create_task(ask("first"))
        await asyncio.sleep(0.5)
        group.create_task(ask("second"))
    assert (["second", "first"], None) == (ended, first.result())
    assert [call.ended_at - call.started_at for call in llm.calls] == pytest.approx([4, 4])


@simulated
async def test_the_chunks_of_a_stream_overtake_each_other():
    """Two by two, none the end: the text is another one, of the same pieces."""
    llm = faulty(rule("reordered"))
    texts, _ = await read(llm)
    assert [" two", "One", " four.", " three", ""] == texts
    assert [("reordered", "stream", 1, True)] == struck(llm)
    pieces = AnswerInPieces("llm")
    async for chunk in faulty(rule("reordered"), answers="One two three").stream(ASKED):
        pieces.add(chunk)
    assert " twoOne three" == pieces.whole().text


@simulated
async def test_no_chunk_is_lost_that_nothing_overtakes():
    """The last of an odd number, of a voice, whose streams have no end of their own."""
    tts = FaultyTTS(MockTTS(), FaultPlan(FaultRule(fault="reordered", provider="mock-tts")))
    words = [chunk.words[0].text async for chunk in tts.stream(TTSRequest("one two three"))]
    assert ["two", "one", "three"] == words


@simulated
async def test_a_partial_write_fails_after_some_of_it():
    """A stream after so many chunks, or its last; a whole call after the model has answered, which costs."""
    for after, count in ((0, 0), (2, 2), (50, 5)):
        llm = faulty(rule("partial_write", after_chunks=after, error="ConnectionResetError"))
        texts, error = await read(llm)
        assert (count, ConnectionResetError) == (len(texts), type(error))
    llm = faulty(rule("partial_write"))
    with pytest.raises(ProviderTransientError):
        await llm.complete(ASKED)
    assert "ok" == llm.calls[0].ended


@simulated
async def test_cancel_strikes_at_the_kth_suspension_of_a_call():
    """In a stream over all of its chunks; what the call did is cleaned up, the task is not cancelled."""
    llm = faulty(rule("cancel", at_await=3))
    texts, error = await read(llm)
    assert (2, asyncio.CancelledError, "cancelled") == (len(texts), type(error), llm.calls[0].ended)
    assert 0 == asyncio.current_task().cancelling()
    llm = faulty(rule("cancel"))
    with pytest.raises(asyncio.CancelledError):
        await llm.complete(ASKED)
    assert [("cancel", "complete", 1, True)] == struck(llm)
    llm = faulty(rule("cancel", at_await=50))
    assert (None, [("cancel", "stream", 1, False)]) == ((await read(llm))[1], struck(llm))


@simulated
@pytest.mark.parametrize("fault", sorted(OPTIONS["stream"]))
async def test_a_stream_that_is_left_is_closed(fault):
    """Whichever fault it has, what is further in ends."""
    llm = faulty(rule(fault, "stream"))
    stream = llm.stream(ASKED)
    reading = asyncio.create_task(anext(stream))
    await asyncio.sleep(1.5)
    reading.cancel()
    await asyncio.wait({reading})
    assert reading.cancelled() or reading.exception() or reading.result()
    await stream.aclose()
    assert all(call.ended != "running" for call in llm.calls)
    assert {asyncio.current_task()} == asyncio.all_tasks()


def test_each_fault_of_streams_is_done():
    """The table of what can be said is the table of what is done."""
    assert set(OPTIONS["stream"]) == set(STREAM_FAULTS)


@simulated
async def test_the_first_rule_is_around_the_others():
    """A stream that is cut where its chunks come twice, and the other way round."""
    twice, cut = rule("duplicated"), rule("truncated", after_chunks=2)
    assert ["One", "One"] == (await read(faulty(cut, twice)))[0]
    assert ["One", "One", " two", " two"] == (await read(faulty(twice, cut)))[0]


@simulated
async def test_calls_are_counted_by_operation_and_rates_are_drawn_for_each():
    """A replay of the record does the same again."""
    rules = (rule("error", "complete", call=2), rule("truncated", rate=0.3))
    llm = faulty(*rules, seed=4)

    async def outcomes(llm):
        got = []
        for _ in range(20):
            try:
                got.append((await llm.complete(ASKED)).text)
            except ProviderTransientError:
                got.append("error")
            got.append("".join((await read(llm))[0]))
        return got

    got = await outcomes(llm)
    assert "error" == got[2]
    assert 5 < sum(text != TEXT for text in got) < 22
    record = json.loads(json.dumps(llm.record(), allow_nan=False))
    again = FaultyLLM(llm.wrapped, FaultPlan.replay(record))
    assert got == await outcomes(again)
    assert record == again.record()
    other = faulty(*rules, seed=5)
    assert got != await outcomes(other)


def test_another_order_of_tasks_changes_no_fault_of_a_provider():
    """What strikes is drawn for each call by its number; which caller that is depends on the order."""

    async def record():
        llm = faulty(rule("truncated", rate=0.5), rule("latency", rate=0.5, distribution="uniform"), seed=3)
        await asyncio.gather(*(llm.complete(ASKED) for _ in range(6)), *(read(llm) for _ in range(6)))
        return llm.record()

    records = [run(record(), seed=seed) for seed in range(20)]
    assert 3 < len(records[0]["injected"]) < 20
    assert [records[0]] * 20 == records


CALL_FAULTS = sorted({*OPTIONS["answer"], *OPTIONS["stream"]})
RULES = st.builds(
    lambda fault, operation, when: rule(fault, operation, **when),
    st.sampled_from(CALL_FAULTS),
    st.sampled_from(("complete", "stream", "*")),
    st.sampled_from(({}, {"rate": 0.3}, {"rate": 0.7}, {"call": 1}, {"call": 2})),
)


async def chat_outcome(plan):
    """Run two stages that ask one model, whole and in pieces; return what they ended as, and the record."""
    llm = FaultyLLM(MockLLM(TEXT, name="llm", latency=1, per_chunk=1), plan)

    async def whole(ctx: StageContext):
        return {"answer": str(await llm.complete(ASKED))}

    async def pieces(ctx: StageContext):
        texts, error = await read(llm)
        if error is not None:
            raise error
        return {"texts": texts}

    again = RetryPolicy(max_attempts=3, base_delay=0, jitter=False, retry_on=ProviderTransientError)
    chat = Pipeline("chat", on_failure="continue")
    for name, stage in (("whole", whole), ("pieces", pieces)):
        chat = chat.with_stage(name, stage, retry=again, timeout=100)
    results = await chat.start().outcome()
    assert all(call.ended != "running" for call in llm.calls)
    ended = {name: (results[name].status, results.data(name) if results[name].data else None) for name in results}
    return ended, llm.record()


@settings(max_examples=150, deadline=None)
@given(st.lists(RULES, max_size=4), st.integers(0, 1000), st.integers(0, 1000))
def test_under_any_plan_no_call_is_left_and_its_record_does_the_same_again(rules, seed, order):
    """Through JSON, in the same order of tasks to the letter."""
    plan = FaultPlan(*rules, seed=seed)
    outcome = run(chat_outcome(plan), seed=order)
    record = json.loads(json.dumps(outcome[1], allow_nan=False))
    assert outcome == run(chat_outcome(FaultPlan.from_dict(json.loads(json.dumps(plan.to_dict())))), seed=order)
    assert outcome == run(chat_outcome(FaultPlan.replay(record)), seed=order)


@simulated
async def test_one_replay_of_all_records():
    """Of stages, a provider and a store: each takes from the plan what is its own."""

    async def reply(ctx: StageContext):
        return {"text": (await ctx.ports.llm.complete(ASKED)).text}

    retry = RetryPolicy(max_attempts=4, base_delay=0, retry_on=ProviderTransientError)
    chat = Pipeline("chat").with_stage("reply", reply, retry=retry)

    async def run_by(plan):
        llm, store = FaultyLLM(MockLLM("Hello.", name="llm"), plan), FaultyRunStore(InMemoryRunStore(), plan)
        faults = FaultInterceptor(plan, pipeline=chat)
        results = await chat.with_interceptors(faults).run(ports=StagePorts(llm=llm), run_store=store)
        return results.data("reply"), results.records_lost, [each.record() for each in (llm, store, faults)]

    plan = FaultPlan(
        rule("error", call=1),
        FaultRule(fault="truncated", stage="reply"),
        FaultRule(fault="error", stage="reply", call=1),
        FaultRule(fault="error", provider="run_store", operation="create_run", error="OSError"),
    )
    text, lost, records = await run_by(plan)
    assert ({"text": "Hel"}, 1) == (text, lost)
    assert [1, 1, 4] == [len(record["injected"]) for record in records]
    again = FaultPlan.replay(*json.loads(json.dumps(records)))
    assert (text, lost, records) == await run_by(again)


@simulated
async def test_a_store_is_struck_by_its_operations():
    """What is done twice, fails once it is done, or is not done."""
    for fault, history in (
        ("error", ["created"]),
        ("partial_write", ["created", "running"]),
        ("duplicated", ["created", "running", "running"]),
    ):
        store = InMemoryRunStore()
        plan = FaultPlan(FaultRule(fault=fault, provider="run_*", operation="update_status"))
        wrapped = FaultyRunStore(store, plan)
        await wrapped.create_run("a", pipeline="chat")
        failed = False
        try:
            await wrapped.update_status("a", "running")
        except ProviderTransientError:
            failed = True
        assert (history, fault != "duplicated") == (store.history("a"), failed)
        assert "chat" == (await wrapped.get_run("a"))["pipeline"]


@simulated
async def test_a_failing_store_of_done_work_stops_the_stage():
    """It decides, so it fails closed: the work is not done without it."""
    done = []

    async def pay(ctx: StageContext):
        done.append(ctx.idempotency_key)
        return {}

    plan = FaultPlan(FaultRule(fault="error", provider="idempotency_store", operation="claim", error="OSError"))
    store = FaultyIdempotencyStore(InMemoryIdempotencyStore(), plan)
    pipeline = Pipeline("shop", interceptors=(IdempotencyInterceptor(store),)).with_stage("pay", pay, StageKind.WORK)
    with pytest.raises(StageExecutionError):
        await pipeline.run()
    assert ([], [("error", "claim", 1, True)]) == (done, struck(store))


def test_what_cannot_be_done_is_refused_when_it_is_wrapped():
    """A rule that names the provider, and a fault or an operation that it does not have."""
    for wrong, message in (
        (rule("truncated", "trans*"), "'truncated' can be done to no operation 'trans*' that 'llm' has. There is: com"),
        (rule("error", "claim"), "faults[0].operation: 'error' can be done to no operation 'claim' that 'llm' has."),
    ):
        with pytest.raises(FaultPlanError) as caught:
            faulty(wrong)
        assert message in str(caught.value)
    with pytest.raises(FaultPlanError, match="no operation '\\*' that 'run_store' has"):
        FaultyRunStore(InMemoryRunStore(), FaultPlan(FaultRule(fault="truncated", provider="run_store")))
    FaultyRunStore(InMemoryRunStore(), FaultPlan(rule("truncated")))  # about another provider
    with pytest.raises(TypeError, match="FaultyLLM takes a FaultPlan"):
        FaultyLLM(MockLLM(TEXT), {})
    with pytest.raises(ProtocolMismatchError, match="What FaultyLLM wraps"):
        FaultyLLM(MockTTS(), FaultPlan())


async def _nothing():
    return {}


def test_a_rule_about_no_provider_is_refused_beforehand():
    """By the plan, which is told what there is; a pipeline alone says nothing of providers, nor they of stages."""
    plan = FaultPlan(rule("error"), FaultRule(fault="error", provider="lmm"), FaultRule(fault="hang", stage="*"))
    with pytest.raises(FaultPlanError) as caught:
        plan.check(MockLLM(TEXT, name="llm"), FaultyRunStore(InMemoryRunStore(), plan))
    message = (
        "Fault plan, faults[1].provider: no provider is called 'lmm'. Did you mean 'llm'? There is: llm, run_store."
    )
    assert message == str(caught.value)
    plan.check(MockLLM(TEXT, name="llm"), MockLLM(TEXT, name="lmm"))
    plan.check()
    one, other = (Pipeline(name).with_stage(name, _nothing) for name in ("a", "b"))
    with pytest.raises(FaultPlanError, match="no stage is called 'b'"):
        FaultPlan(FaultRule(fault="hang", stage="b")).check(one)
    FaultPlan(FaultRule(fault="hang", stage="b"), rule("error")).check(one, other)
    with pytest.raises(TypeError, match="is neither"):
        plan.check(InMemoryRunStore())


@simulated
async def test_a_rule_about_what_was_never_called_is_found_after_the_run():
    """One about another provider is not this one's concern."""
    llm = faulty(rule("error", "stream"), FaultRule(fault="error", provider="other"))
    await llm.complete(ASKED)
    with pytest.raises(FaultPlanError, match="'error' can be done to no operation 'stream' that 'llm' was asked for"):
        llm.check()
    await read(llm)
    llm.check()


def test_what_is_wrapped_stays_in_reach():
    """Its own attributes, also through a copy."""
    llm = faulty()
    assert ("llm", (), 1) == (llm.name, llm.calls, copy.copy(llm).answers_left or 1)
    assert "FaultyLLM 'llm'" in repr(llm)
    assert "other" == FaultyLLM(MockLLM(TEXT), FaultPlan(), name="other").name
    with pytest.raises(AttributeError, match="nothing"):
        _ = llm.nothing


@simulated
async def test_an_answer_that_is_none_is_let_be():
    """A fault further in has made it one."""
    llm = faulty(rule("truncated"), rule("wrong_type"))
    assert TEXT == await llm.complete(ASKED)
    assert [("truncated", "complete", 1, False), ("wrong_type", "complete", 1, True)] == struck(llm)
