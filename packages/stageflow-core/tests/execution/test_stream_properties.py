"""Random streams: capacities, policies, speeds, readers that leave, fail or are slow, and whatever ends the run."""

import asyncio
from contextlib import aclosing

from hypothesis import given, settings
from hypothesis import strategies as st
from stageflow import Pipeline, RetryPolicy, StageContext, StageOutput, StageStatus, StreamOptions, stage
from stageflow.errors import StreamBrokenError, StreamFullError
from stageflow_mocks.simulation import run

OK, SKIP, CANCEL, FAIL = StageStatus.OK, StageStatus.SKIP, StageStatus.CANCEL, StageStatus.FAIL
SPEEDS = st.sampled_from([None, 0.0, 0.5, 1.0, 3.0])


async def pause(seconds):
    """Take so long; None is not even a turn of the loop."""
    if seconds is not None:
        await asyncio.sleep(seconds)


@st.composite
def members(draw):
    """Draw a tree of streams: producers, those that pass on what they read, and those that only read."""
    drawn = []
    for number in range(draw(st.integers(2, 6))):
        streaming = [index for index, one in enumerate(drawn) if one["yields"] is not None]
        reads = draw(st.sampled_from(streaming)) if number else None
        yields = draw(st.integers(0, 12)) if reads is None else draw(st.sampled_from([None, None, -1]))
        drawn.append(
            {
                "reads": reads,
                "yields": yields,
                "optional": draw(st.booleans()),
                "capacity": draw(st.integers(1, 4)),
                "on_full": draw(st.sampled_from(["block", "block", "block", "drop_oldest", "drop_newest", "error"])),
                "every": draw(SPEEDS),
                "most": draw(st.sampled_from([None, None, 0, 1, 3])),
                "end": draw(st.sampled_from(["ok", "ok", "ok", "ok", "fails", "skips", "output", "retries"])),
                "cleanup": draw(st.sampled_from([0.0, 0.0, 2.0])),
                "timeout": draw(st.sampled_from([None, None, None, 4.0])),
                "when": draw(st.sampled_from([None, None, None, False])),
            }
        )
    return drawn


class Member:
    """One stage, which notes in `state` what it yields and gets, and how it is begun, cancelled and cleaned up."""

    def __init__(self, number, one, state):
        self.one, self.state = one, state
        self.name = f"s{number}"
        self.source = None if one["reads"] is None else f"s{one['reads']}"

    def stage(self):
        one = self.one
        options = {"timeout": one["timeout"], "retry": RetryPolicy(2, 1.0, 1.0, retry_on=LookupError)}
        if one["when"] is not None:
            options["when"] = lambda inputs, snapshot: False
        if self.source is not None:
            options["streams"] = (self.source,)
            options["optional"] = (self.source,) if one["optional"] else ()
        if one["yields"] is None:
            return stage(self.name, self.plain, **options)
        return stage(self.name, self.streaming, stream=StreamOptions(one["capacity"], one["on_full"]), **options)

    async def streaming(self, ctx: StageContext):
        async with aclosing(self.body(ctx)) as body:
            async for chunk in body:
                self.state["sent"].setdefault(self.name, []).append(chunk)
                yield chunk
        output = self.ended()
        if output is not None:
            yield output

    async def plain(self, ctx: StageContext):
        async with aclosing(self.body(ctx)) as body:
            async for _ in body:
                pass
        return self.ended()

    async def body(self, ctx):
        self.state["begun"].append(self.name)
        try:
            async for chunk in self.numbers() if self.source is None else self.read(ctx.inputs.stream(self.source)):
                await pause(self.one["every"])
                yield chunk
        except asyncio.CancelledError:
            self.state["cancelled"].append(self.name)
            raise
        finally:
            await self.clean_up()

    async def numbers(self):
        for chunk in range(self.one["yields"]):
            yield chunk

    async def read(self, stream):
        got = self.state["got"].setdefault(self.name, [])
        while self.one["most"] is None or len(got) < self.one["most"]:
            try:
                got.append(await anext(stream))
            except StopAsyncIteration:
                return
            except StreamBrokenError:
                self.state["broken"].append(self.name)
                return
            yield got[-1]

    async def clean_up(self):
        try:
            await asyncio.sleep(self.one["cleanup"])
        except asyncio.CancelledError:
            self.state["cancelled"].append(self.name)
            raise
        finally:
            self.state["cleaned"].append(self.name)

    def ended(self):
        if self.one["end"] == "fails":
            raise LookupError("no")
        outputs = {"skips": StageOutput.skip("no"), "output": StageOutput.ok(x=1), "retries": StageOutput.retry("no")}
        return outputs.get(self.one["end"])


async def execute(drawn, state, on_failure, cancel_after, watchers):
    stages = [Member(number, one, state).stage() for number, one in enumerate(drawn)]
    pipeline = Pipeline("p", stages, on_failure=on_failure)
    started = pipeline.start()
    tasks = []

    async def watch(name, most):
        got = state["watched"].setdefault(name, [])
        try:
            async for chunk in started.stream(name):
                got.append(chunk)
                if len(got) == most:
                    break
        except StreamBrokenError:
            state["broken"].append("watcher")

    for name, most in watchers:
        if not any(task.get_name() == name for task in tasks):
            tasks.append(asyncio.create_task(watch(name, most), name=name))
    if cancel_after is not None:
        asyncio.get_running_loop().call_later(cancel_after, started.cancel)
    results = await asyncio.wait_for(started.outcome(), 1000)
    for task in tasks:
        await asyncio.wait_for(task, 1000)
    assert len(asyncio.all_tasks()) == 1
    return results


def is_part(part, whole):
    """Return whether the one is the other with some left out."""
    rest = iter(whole)
    return all(any(chunk == other for other in rest) for chunk in part)


@settings(max_examples=250)
@given(
    members(),
    st.sampled_from(["fail_fast", "continue"]),
    st.sampled_from([None, None, 0.5, 2.0, 5.0]),
    st.lists(st.tuples(st.just("s0"), st.sampled_from([None, 1, 2])), max_size=1),
    st.integers(0, 2**32),
)
def test_random_streams_end_and_add_up(drawn, on_failure, cancel_after, watchers, seed):
    """Nothing hangs or outlives the run; each stage has one outcome; no chunk is lost without being counted."""
    state = {"got": {}, "sent": {}, "begun": [], "cleaned": [], "cancelled": [], "broken": [], "watched": {}}
    results = run(execute(drawn, state, on_failure, cancel_after, watchers), seed=seed)

    assert results.stragglers == ()
    assert sorted(state["begun"]) == sorted(state["cleaned"])
    for number, one in enumerate(drawn):
        name = f"s{number}"
        if one["timeout"] is None:
            assert state["cancelled"].count(name) <= 1, "its cleanup was cut short"
        if one["yields"] is not None:
            sent_as_counted(one, results.record(name), state["sent"].get(name, []), exactly=one["timeout"] is None)
        if one["reads"] is not None:
            read_as_counted(one, name, drawn[one["reads"]], results, state)
    for name, got in state["watched"].items():
        assert is_part(got, state["sent"].get(name, []))


def sent_as_counted(one, record, sent, *, exactly):
    """Check what a stage that streams says that it sent."""
    counted = record.statistics["stream"]
    assert counted["sent"] == len(sent) if exactly and record.status is OK else counted["sent"] <= len(sent)
    if record.status is OK and one["end"] != "output":
        assert record.output.data == {"count": counted["sent"]}
    for read in counted["readers"].values():
        assert read["sent"] + counted["unheard"] <= counted["sent"]
        assert read["sent"] == read["received"] + read["dropped"]
        assert 0 <= read["high_water"] <= one["capacity"]
        assert read["blocked_ms"] >= 0 if one["on_full"] == "block" else read["blocked_ms"] == 0


def read_as_counted(one, name, producer, results, state):
    """Check what a reader says that it read, against what it got and what was sent."""
    source = f"s{one['reads']}"
    record, sent, got = results.record(name), state["sent"].get(source, []), state["got"].get(name, [])
    read = record.statistics["streams"][source]
    assert read == results.record(source).statistics["stream"]["readers"][name]
    assert read["received"] == len(got)
    assert is_part(got, sent)
    whole = results[source].status is OK and record.status is OK and name not in state["broken"]
    if whole and one["most"] is None and one["yields"] is None and producer["on_full"] == "block":
        assert got == sent
    if not one["optional"] and results[source].status is not OK and record.status is OK:
        # It had all that it wanted before, or nobody wanted what it made of it.
        assert one["most"] is not None or one["yields"] is not None
    error = results[source].error
    if error is not None and isinstance(error.exception, StreamFullError):
        assert producer["on_full"] == "error"
