"""The context of a stage that is called by hand."""

import asyncio
from dataclasses import dataclass

import pytest
from stageflow import (
    ContextSnapshot,
    Pipeline,
    PipelineContext,
    RunIdentity,
    StageContext,
    StageOutput,
    UndeclaredDependencyError,
    stage,
)
from stageflow.errors import MissingInputError, MissingPortError, NotMappedError, StageReturnTypeError
from stageflow_mocks.simulation import simulated


@dataclass(frozen=True)
class Profile:
    name: str


async def test_a_stage_reads_what_it_is_given_and_nothing_else():
    """Mappings, values and outputs read as in a run; what is not OK is absent, what is not there undeclared."""
    given = {"a": {"n": [1]}, "profile": Profile("Ada"), "gone": StageOutput.skip("no"), "none": None}
    ctx = StageContext.alone("s", inputs=given)
    given["a"]["n"].append(2)
    assert ctx.inputs.get_from("a", "n") == [1]
    assert ctx.inputs.value("profile", Profile) == Profile("Ada")
    assert not ctx.inputs.has_output("gone")
    assert ctx.inputs.has_output("none")
    assert ctx.inputs.declared == ("a", "profile", "gone", "none")
    with pytest.raises(MissingInputError, match="s"):
        ctx.inputs.require_from("gone", "k")
    with pytest.raises(UndeclaredDependencyError, match="Stage 's' read 'b' without declaring it"):
        ctx.inputs.get_from("b", "n")
    with pytest.raises(TypeError, match="frozen"):
        ctx.inputs.get_from("a", "n").append(3)


def test_without_anything_it_is_that_of_an_empty_run():
    """Nothing has to be given, and no event loop to run."""
    ctx = StageContext.alone("s")
    assert (ctx.stage_name, ctx.attempt, ctx.decision, ctx.index, ctx.cancelled) == ("s", 1, None, None, False)
    assert ctx.config.get("k", 3) == 3
    ctx.emit_event("mine", {"n": 1})
    with pytest.raises(MissingPortError):
        _ = ctx.ports.llm
    with pytest.raises(NotMappedError):
        _ = ctx.item


@simulated
async def test_what_the_run_is_asked_and_given_is_the_caller_s(recorder):
    """Snapshot, ports, config, events, attempt, decision, key and time are as in a run."""
    snapshot, ports, decided = ContextSnapshot(input_text="hi", run_id=RunIdentity("r")), object(), {"yes": [1]}
    context = PipelineContext(snapshot=snapshot, ports=ports, config={"k": 1}, event_sink=recorder)
    ctx = StageContext.alone("s", context, attempt=3, decision=decided)
    decided["yes"].append(2)
    await asyncio.sleep(0.25)
    ctx.emit_event("mine", {"n": 1})
    assert (ctx.snapshot, ctx.ports, ctx.config.get("k"), ctx.attempt) == (snapshot, ports, 1, 3)
    assert ctx.decision == {"yes": [1]}
    assert ctx.idempotency_key == "r:s"
    assert ctx.timer.elapsed_ms == 250.0
    assert ctx.event_sink is recorder
    mine = recorder.of("mine")
    assert (mine["stage"], mine["attempt"], mine["pipeline_run_id"], mine["data"]) == ("s", 3, "r", {"n": 1})


@simulated
async def test_a_stage_called_by_hand_may_run_a_child(recorder):
    """The child is a real run, with the ports and the sink that were given."""

    @stage
    async def inner(ctx: StageContext) -> dict[str, int]:
        return {"n": ctx.ports + 1}

    ctx = StageContext.alone("s", PipelineContext(ports=41, event_sink=recorder))
    results = await ctx.run_pipeline(Pipeline("child", [inner]))
    assert results.data(inner) == {"n": 42}
    assert recorder.of("stage.inner.completed")["parent_run_id"] == ctx.snapshot.run_id.pipeline_run_id


def test_an_input_that_no_stage_can_return_is_refused():
    """It is told which one."""
    with pytest.raises(StageReturnTypeError, match="'a'"):
        StageContext.alone("s", inputs={"a": 3})
