"""What `run_stage` gives is what the stage ends with in a run, where stages that are written out play the others."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from stageflow import (
    BaseInterceptor,
    ErrorAction,
    Pipeline,
    RetryPolicy,
    StageKind,
    StageOutput,
    stage,
)
from stageflow_mocks import Chunks, make_snapshot, run_stage, simulation

NAMES = ("alpha", "beta", "gamma")
BROKEN = ConnectionError("as it should")
ENDS = {
    "mapping": {"n": 1},
    "nothing": None,
    "ok": StageOutput.ok(n=2),
    "skip": StageOutput.skip("not now"),
    "cancel": StageOutput.cancel("stop"),
    "fail": StageOutput.fail("in words", data={"n": 3}),
    "raises": BROKEN,
}


@dataclass
class Case:
    """A stage, and what it is given."""

    given: dict[str, str]
    optional: list[str]
    returns: str
    failing_attempts: int
    max_attempts: int
    hangs: bool
    when: bool | None
    join: str | None
    route: str | None
    stream: list[str] | None
    mends: bool
    decision: str | None
    tried: list[int] = field(default_factory=list)


@st.composite
def cases(draw):
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3))
    ends = {name: draw(st.sampled_from([*ENDS, "mapping", "mapping"])) for name in names}
    cancels = [name for name, end in ends.items() if end == "cancel"]
    if cancels:  # it stands alone: of several that end in one turn the first decides, whichever that is
        ends = {cancels[0]: "cancel"}
    stream = draw(st.one_of(st.none(), st.lists(st.sampled_from("xyz"), max_size=3))) if not cancels else None
    may_join = names and stream is None
    return Case(
        given=ends,
        optional=[name for name in ends if draw(st.booleans())],
        returns=draw(st.sampled_from([*(set(ENDS) - {"raises"}), "seen", "wrong", "suspends"])),
        failing_attempts=draw(st.integers(0, 3)),
        max_attempts=draw(st.integers(1, 3)),
        hangs=draw(st.integers(0, 9)) == 0,
        when=draw(st.sampled_from([None, None, True, False])),
        join=draw(st.sampled_from([None, None, "any"])) if may_join else None,
        route=draw(st.sampled_from([None, None, "here", "elsewhere"])) if not cancels else None,
        stream=stream,
        mends=draw(st.booleans()),
        decision=draw(st.sampled_from([None, "yes"])),
    )


class Mending(BaseInterceptor):
    """Is asked about the stage alone, since all others have no errors of this kind."""

    async def on_error(self, ctx, error):
        return ErrorAction.FALLBACK if isinstance(error, BufferError) else ErrorAction.FAIL

    async def fallback(self, ctx, error):
        return StageOutput.ok(mended=str(error))


def stage_of(case):
    """Return the stage under test, made anew: it counts its attempts."""
    case.tried.clear()

    class Runner:
        async def execute(self, ctx):
            case.tried.append(ctx.attempt)
            if case.hangs:
                await asyncio.sleep(60)
            if ctx.attempt <= case.failing_attempts:
                raise ConnectionError("not yet") if case.max_attempts > 1 else BufferError("not yet")
            seen = {name: ctx.inputs.get_from(name, "n", "absent") for name in case.given}
            if case.stream is not None:
                seen["words"] = [word async for word in ctx.inputs.stream("words")]
            if case.returns == "seen":
                return {**seen, "said": ctx.snapshot.input_text, "decision": ctx.decision}
            if case.returns == "wrong":
                return 7
            if case.returns == "suspends":
                return StageOutput.suspend("?") if ctx.decision is None else {"decided": ctx.decision}
            return ENDS[case.returns]

    options: dict[str, Any] = {"timeout": 5.0}
    if case.max_attempts > 1:
        options["retry"] = RetryPolicy(max_attempts=case.max_attempts, base_delay=0.1, retry_on=ConnectionError)
    if case.when is not None:
        options["when"] = lambda inputs, snapshot: case.when
    if case.join is not None:
        options["join"] = case.join
    if case.route is not None:
        options["route"] = {"router": "here"}
    required = tuple(name for name in case.given if name not in case.optional)
    streams = ("words",) if case.stream is not None else ()
    return stage("tested", Runner, dependencies=required, optional=tuple(case.optional), streams=streams, **options)


def others_of(case):
    """Write out the stages that it depends on, in the order in which it names them."""
    for name, end in sorted(case.given.items(), key=lambda one: one[0] in case.optional):

        async def returns(end=end) -> Any:
            if end == "raises":
                raise BROKEN
            return ENDS[end]

        yield _named(name, returns)
    if case.stream is not None:

        async def words() -> AsyncIterator[str]:
            for word in case.stream:
                yield word

        yield stage("words", words)
    if case.route is not None:

        async def router() -> dict[str, str]:
            return {"route": case.route}

        ways = {"routes": ("here", "elsewhere"), "terminal_routes": ("elsewhere",)}
        yield stage("router", router, kind=StageKind.ROUTE, **ways)


def _named(name, returns):
    async def other() -> Any:
        return await returns()

    return stage(name, other, critical=False)


def told(output, case):
    """Return what a test could look at."""
    error = output.error and (output.error.message, output.error.type)
    return output.status, dict(output.data), output.reason, error, tuple(case.tried)


async def in_a_run(case):
    pipeline = Pipeline("real", [*others_of(case), stage_of(case)], interceptors=[Mending()] if case.mends else ())
    results = await pipeline.start(make_snapshot("hello")).outcome()
    if results["tested"].status.value == "suspend" and results.record("tested").origin is None and case.decision:
        results = await pipeline.start(resume=results, decisions={"tested": case.decision}).outcome()
    return told(results["tested"], case)


async def by_run_stage(case):
    inputs: dict[str, Any] = {name: ENDS[end] for name, end in case.given.items()}
    if case.stream is not None:
        inputs["words"] = Chunks(*case.stream)
    if case.route is not None:
        inputs["router"] = {"route": case.route}
    more: dict[str, Any] = {"interceptors": [Mending()] if case.mends else ()}
    tested = stage_of(case)
    try:
        output = await run_stage(tested, inputs, make_snapshot("hello"), **more)
        if output.status.value == "suspend" and case.decision and case.tried:
            case.tried.clear()
            output = await run_stage(tested, inputs, make_snapshot("hello"), decision=case.decision, **more)
    except Exception as error:  # noqa: BLE001 - what the stage failed with
        return error
    return told(output, case)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_it_is_the_same(case):
    """Status, data, reason, attempts, and what it failed with."""
    expected = simulation.run(in_a_run(case))
    came = simulation.run(by_run_stage(case))
    if isinstance(came, Exception):
        status, _, _, (message, _), tried = expected
        assert status.value == "fail"
        assert message in str(came)
        assert tried == tuple(case.tried)
    else:
        assert came == expected
