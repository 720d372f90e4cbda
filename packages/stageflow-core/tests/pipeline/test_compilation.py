"""Validation, all faults at once, and the compiled plan."""

from __future__ import annotations

from typing import Any

import pytest
from stageflow import (
    CycleDetectedError,
    Pipeline,
    PipelineValidationError,
    StageContext,
    StageKind,
    StageSpec,
    stage,
)
from stageflow.errors import (
    EmptyPipelineError,
    InvalidStageError,
    InvalidStageNameError,
    OverlappingDependencyError,
    SelfDependencyError,
    UnknownDependencyError,
)
from stageflow.execution.calling import invoke_class, invoke_execute, invoke_function
from stageflow.pipeline.compilation import MOST_SUGGESTIONS


async def answer(ctx: StageContext) -> dict[str, str]:
    """Answer."""
    return {"by": ctx.stage_name}


class Runner:
    async def execute(self, ctx: StageContext) -> dict[str, str]:
        """Answer."""
        return {"by": ctx.stage_name}


def spec(name: str, *dependencies: str, optional: Any = ()) -> StageSpec[Any]:
    """Return a stage with these dependencies."""
    return stage(name, answer, dependencies=dependencies, optional=optional)


def fault_of(*specs: StageSpec[Any]) -> PipelineValidationError:
    """Build a pipeline of these stages and return the error."""
    with pytest.raises(PipelineValidationError) as caught:
        Pipeline("chat", specs).build()
    return caught.value


# --- one fault ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("specs", "cls", "stage_name", "text"),
    [
        ([], EmptyPipelineError, None, "Pipeline 'chat' has no stages."),
        ([spec("a", "b")], UnknownDependencyError, "a", "Stage 'a' depends on 'b', which is not in pipeline 'chat'."),
        (
            [spec("a", optional="b")],
            UnknownDependencyError,
            "a",
            "Stage 'a' depends on 'b', which is not in pipeline 'chat'.",
        ),
        ([spec("a", "a")], SelfDependencyError, "a", "Stage 'a' of pipeline 'chat' depends on itself."),
        ([spec("a", optional="a")], SelfDependencyError, "a", "Stage 'a' of pipeline 'chat' depends on itself."),
        ([spec("a", "b"), spec("b", "a")], CycleDetectedError, "a", "Pipeline 'chat' has a cycle: a -> b -> a."),
        (
            [spec("a", "c"), spec("b", optional="a"), spec("c", "b")],
            CycleDetectedError,
            "a",
            "Pipeline 'chat' has a cycle: a -> b -> c -> a.",
        ),
        (
            [spec("a"), spec("b", "a", optional="a")],
            OverlappingDependencyError,
            "b",
            "Stage 'b' of pipeline 'chat' declares 'a' both as required and as optional.",
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_single_fault_is_raised_as_its_own_type(
    specs: list[StageSpec[Any]], cls: type[PipelineValidationError], stage_name: str | None, text: str
) -> None:
    """With its stage, its message, and a hint."""
    fault = fault_of(*specs)
    assert (cls, stage_name, text) == (type(fault), fault.stage, fault.message)
    assert (fault,) == fault.faults
    assert fault.hint


@pytest.mark.parametrize("name", ["a", "_", "A9", "a-b_c", "_-", "x" * 1000])
def test_good_names_build(name: str) -> None:
    """A letter or underscore, then letters, digits, underscores and hyphens."""
    assert (name,) == Pipeline("chat", [spec(name)]).build().stages


@pytest.mark.parametrize("name", ["", "9a", "-a", "a b", "a.b", "ä", "a\n", "a/b", "²"])
def test_bad_names_do_not(name: str) -> None:
    """The error shows the name so that even a blank in it is seen."""
    fault = fault_of(spec(name))
    assert (InvalidStageNameError, name) == (type(fault), fault.stage)
    assert f"Pipeline 'chat' has a stage named {name!r}." == fault.message


def test_the_nearest_name_is_offered() -> None:
    """And the first of the names that there are."""
    fault = fault_of(spec("profile"), spec("memory"), spec("reply", "profle"))
    assert (
        "Stage 'reply' depends on 'profle', which is not in pipeline 'chat'. Did you mean 'profile'? "
        "Stages: profile, memory, reply." == str(fault)
    )


def test_parameters_count_as_dependencies() -> None:
    """A parameter and an option may overlap, too."""

    async def reply(memory: Any = None) -> None:
        """Reply."""

    fault = fault_of(spec("memory"), stage("reply", reply, dependencies="memory"))
    assert (OverlappingDependencyError, "memory") == (type(fault), getattr(fault, "dependency", None))


def test_a_parameter_may_be_declared_as_well() -> None:
    """Saying the same twice is no fault."""

    async def reply(memory: Any) -> None:
        """Reply."""

    graph = Pipeline("chat", [spec("memory"), stage("reply", reply, dependencies="memory")]).build()
    assert ("memory", "reply") == graph.stages


# --- all faults at once ------------------------------------------------------------------------------------------


def test_every_fault_is_reported_at_once() -> None:
    """In one error, each typed, so that nobody mends one to meet the next."""

    async def starred(*names: Any) -> None:
        """Read any number."""

    fault = fault_of(
        stage("starred", starred),
        spec("9"),
        spec("own", "own"),
        spec("lost", "nowhere", "owl", optional="starred"),
        spec("both", "own", optional="own"),
        spec("x", "y"),
        spec("y", "x"),
        spec("p", "q"),
        spec("q", optional="p"),
    )
    expected = [
        (InvalidStageError, "starred"),
        (InvalidStageNameError, "9"),
        (SelfDependencyError, "own"),
        (UnknownDependencyError, "lost"),
        (UnknownDependencyError, "lost"),
        (OverlappingDependencyError, "both"),
        (CycleDetectedError, "x"),
        (CycleDetectedError, "p"),
    ]
    assert expected == [(type(one), one.stage) for one in fault.faults]
    assert PipelineValidationError is type(fault)
    assert ("invalid-pipeline", None) == (fault.code, fault.stage)
    assert "Pipeline 'chat' has 8 faults:" == str(fault).splitlines()[0]
    assert [f"  {number}. {one}" for number, one in enumerate(fault.faults, 1)] == str(fault).splitlines()[1:]


def test_each_fault_has_code_stage_message_and_hint() -> None:
    """A tool can show them in its own way."""
    for one in fault_of(spec("a", "x"), spec("b", "b"), spec("c d")).faults:
        assert (one.code, one.message, one.hint) != (None, None, None)
        assert one.stage in {"a", "b", "c d"}


def test_a_stage_behind_a_cycle_is_not_in_it() -> None:
    """The path holds the stages that have to be mended."""
    fault = fault_of(spec("before"), spec("a", "before", "b"), spec("b", "a"), spec("behind", "b"))
    assert (("a", "b", "a"), 1) == (getattr(fault, "path", None), len(fault.faults))


def test_suggestions_are_made_for_the_first_unknown_names() -> None:
    """Looking for the nearest of 10,000 names 10,000 times would take minutes."""
    specs = [spec(f"stage_{number}", f"stagex_{number}") for number in range(MOST_SUGGESTIONS + 1)]
    offered = ["Did you mean" in str(fault) for fault in fault_of(*specs).faults]
    assert [True] * MOST_SUGGESTIONS + [False] == offered


def test_a_suggestion_for_a_name_is_made_for_all_who_misspelt_it() -> None:
    """However many they are."""
    faults = fault_of(spec("profile"), *(spec(f"reader_{number}", "profle") for number in range(200))).faults
    assert {True} == {"Did you mean 'profile'?" in str(fault) for fault in faults}


# --- the plan ----------------------------------------------------------------------------------------------------


def test_the_plan_indexes_the_stages() -> None:
    """In the order of declaration, with what each waits for and who waits for it."""
    specs = [spec("c", "a", "b"), spec("a"), spec("b", optional=("a",))]
    plan = Pipeline("chat", specs, cancel_grace=2.0).build()._plan
    assert ("chat", ("c", "a", "b"), 2.0) == (plan.name, plan.names, plan.cancel_grace)
    assert ({"c": 0, "a": 1, "b": 2}, (2, 0, 1), (1,)) == (plan.index, plan.in_degrees, plan.roots)
    assert [{"a": 1, "b": 2}, {}, {"a": 1}] == [dict(node.declared) for node in plan.nodes]
    assert [(), (0, 2), (0,)] == [node.successors for node in plan.nodes]
    assert [frozenset(), frozenset(), frozenset({1})] == [node.optional for node in plan.nodes]


def test_the_plan_knows_the_limits_that_its_stages_name() -> None:
    """By stage."""
    specs = [spec("a"), stage("b", answer, limit="web"), stage("c", answer, limit="groq")]
    specs.append(stage("d", answer, limit="web"))
    assert {"b": "web", "c": "groq", "d": "web"} == Pipeline("chat", specs).build()._plan.limits
    assert {} == Pipeline("chat", [spec("a")]).build()._plan.limits


def test_the_plan_knows_how_to_start_each_form() -> None:
    """A function, a class, an object."""
    runner = Runner()
    pipeline = Pipeline("chat", [stage("f", answer), stage("c", Runner), stage("o", runner, StageKind.WORK)])
    nodes = pipeline.build()._plan.nodes
    assert [invoke_function, invoke_class, invoke_execute] == [node.invoke for node in nodes]
    assert [answer, Runner, runner.execute] == [node.target for node in nodes]
    assert [StageKind.TRANSFORM, StageKind.TRANSFORM, StageKind.WORK] == [node.kind for node in nodes]
    assert {"by": "o"} == pipeline.run_sync().data("o")


def test_building_leaves_what_it_was_given_as_it_was() -> None:
    """A spec may be in many pipelines."""
    one = spec("a")
    Pipeline("p", [one, spec("b", "a")]).build()
    assert (spec("a"), ()) == (one, one.dependencies)
