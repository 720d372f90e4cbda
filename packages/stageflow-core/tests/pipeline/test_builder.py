"""The immutable builder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from stageflow import ContextSnapshot, DuplicateStageError, Pipeline, StageContext, StageGraph, StageKind, stage
from stageflow.errors import InvalidOptionError


async def answer(ctx: StageContext) -> dict[str, str]:
    """Answer."""
    return {"by": ctx.stage_name}


async def other(ctx: StageContext) -> dict[str, str]:
    """Answer otherwise."""
    return {"by": "other"}


class Vector:
    """A runner that compares like a numpy array."""

    def __eq__(self, another: object) -> Any:
        raise ValueError("The truth value of an array is ambiguous.")

    __hash__ = None

    async def execute(self, ctx: StageContext) -> None:
        """Do nothing."""


def names(pipeline: Pipeline) -> list[str]:
    """Return the names of the stages, in order."""
    return [spec.name for spec in pipeline.stages]


# --- B1: immutability --------------------------------------------------------------------------------------------


def test_a_builder_call_returns_a_new_pipeline() -> None:
    """The old one stays, so that two pipelines can grow from one."""
    base = Pipeline("base", cancel_grace=1.5).with_stage("a", answer)
    left, right = base.with_stage("b", answer), base.with_stage("c", answer)
    assert (["a"], ["a", "b"], ["a", "c"]) == (names(base), names(left), names(right))
    assert ("base", "base") == (left.name, right.name)


def test_a_pipeline_grows_after_it_was_built() -> None:
    """What was compiled belongs to the old one."""
    base = Pipeline().with_stage("a", answer)
    graph = base.build()
    assert (("a",), ("a", "b")) == (graph.stages, base.with_stage("b", answer).build().stages)
    assert graph is base.build()


def test_the_list_of_stages_is_taken_over() -> None:
    """Changing it afterwards changes nothing."""
    stages = [stage("a", answer)]
    pipeline = Pipeline("p", stages)
    stages.append(stage("b", answer))
    assert ["a"] == names(pipeline)


@pytest.mark.parametrize("give", [list, tuple, iter, lambda stages: (one for one in stages)])
def test_stages_come_in_any_iterable(give: Callable[[Any], Any]) -> None:
    """Once through is enough."""
    pipeline = Pipeline("p", give([stage("a", answer), stage("b", answer)]))
    assert (["a", "b"], 2) == (names(pipeline), len(pipeline.build()))


def test_from_stages_names_the_pipeline_if_asked() -> None:
    """It is `Pipeline(...)` with the stages in the open."""
    assert ("pipeline", "p") == (Pipeline.from_stages().name, Pipeline.from_stages(stage(answer), name="p").name)


def test_with_stage_passes_every_option_on() -> None:
    """It makes the spec that `stage` makes."""
    pipeline = Pipeline().with_stage("x", answer, StageKind.WORK, dependencies="a", optional=["b"])
    assert (stage("x", answer, StageKind.WORK, dependencies="a", optional=["b"]),) == pipeline.stages


def test_a_pipeline_knows_its_stages() -> None:
    """Length, membership and a repr that lists them."""
    pipeline = Pipeline("chat").with_stage("a", answer).with_stage("b", answer)
    assert (2, True, False, False) == (len(pipeline), "a" in pipeline, "c" in pipeline, 5 in pipeline)
    assert ("<Pipeline 'chat': a, b>", "<Pipeline 'pipeline': no stages>") == (repr(pipeline), repr(Pipeline()))


# --- B1: the same name twice -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: Pipeline("p").with_stage("a", answer).with_stage("a", other),
        lambda: Pipeline("p").with_stage("a", answer).with_stage("a", answer),
        lambda: Pipeline("p", [stage("a", answer), stage("a", answer)]),
        lambda: Pipeline.from_stages(stage("a", answer), stage("a", other), name="p"),
    ],
)
def test_the_same_name_twice_is_refused_at_once(call: Callable[[], object]) -> None:
    """By the call that repeats it, whether or not the stages are equal."""
    with pytest.raises(DuplicateStageError, match="Pipeline 'p' already has a stage 'a'") as caught:
        call()
    assert ("a", ()) == (caught.value.stage, caught.value.differing)


# --- B1: compose -------------------------------------------------------------------------------------------------


def test_compose_adds_the_stages_of_the_other() -> None:
    """Behind its own; its name stays, and both pipelines stay as they are."""
    left = Pipeline("left").with_stage("a", answer)
    right = Pipeline("right").with_stage("b", answer)
    both = left.compose(right)
    assert ("left", ["a", "b"], ["a"], ["b"]) == (both.name, names(both), names(left), names(right))


def test_compose_merges_equal_stages() -> None:
    """Two parts may share a stage; also one whose runner refuses to be compared, if it is the same."""
    shared = Vector()
    left = Pipeline("left").with_stage("a", answer, dependencies="v").with_stage("v", shared)
    right = Pipeline("right").with_stage("b", answer).with_stage("v", shared).with_stage("a", answer, dependencies="v")
    assert ["a", "v", "b"] == names(left.compose(right))
    assert ["a", "v"] == names(left.compose(left))


@pytest.mark.parametrize(
    ("differing", "another"),
    [
        (("runner",), stage("a", other, StageKind.WORK, dependencies="x", optional="y")),
        (("kind",), stage("a", answer, StageKind.GUARD, dependencies="x", optional="y")),
        (("dependencies",), stage("a", answer, StageKind.WORK, dependencies=("x", "z"), optional="y")),
        (("optional",), stage("a", answer, StageKind.WORK, dependencies="x")),
        (("runner", "kind", "dependencies", "optional"), stage("a", other)),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_compose_refuses_different_stages_of_one_name(differing: tuple[str, ...], another: Any) -> None:
    """The error says in what they differ."""
    mine = stage("a", answer, StageKind.WORK, dependencies="x", optional="y")
    with pytest.raises(DuplicateStageError) as caught:
        Pipeline("p", [mine]).compose(Pipeline("q", [another]))
    assert ("a", differing) == (caught.value.stage, caught.value.differing)
    assert f"already has a stage 'a' with another {', '.join(differing)}." in str(caught.value)


# --- arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: Pipeline([stage(answer)]),
            TypeError,
            "The name of a pipeline is a non-empty string, not [<stage 'answer'>].",
        ),
        (lambda: Pipeline(""), TypeError, "The name of a pipeline is a non-empty string, not ''."),
        (
            lambda: Pipeline("p", stage("a", answer)),
            TypeError,
            "The stages of pipeline 'p' are given as a list, not as <stage 'a'>.",
        ),
        (lambda: Pipeline("p", 5), TypeError, "The stages of pipeline 'p' are given as a list, not as 5."),
        (lambda: Pipeline("p", [answer]), TypeError, "Pipeline 'p' was given the function answer as a stage;"),
        (
            lambda: Pipeline("p", "ab"),
            TypeError,
            (
                "Pipeline 'p' was given 'a' as a stage; decorate it with @stage, or use "
                "stage('name', runner) or .with_stage('name', runner)."
            ),
        ),
        (
            lambda: Pipeline.from_stages([stage(answer)]),
            TypeError,
            "Pipeline 'pipeline' was given [<stage 'answer'>] as a stage;",
        ),
        (
            lambda: Pipeline("p").compose([stage(answer)]),
            TypeError,
            "compose() takes a Pipeline, not [<stage 'answer'>].",
        ),
    ],
)
def test_a_wrong_argument_is_refused(call: Callable[[], object], error: type[Exception], text: str) -> None:
    """At the call, with what was given and what would be right."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(text)


NO_TIMES = ["5", True, float("nan"), float("inf"), float("-inf"), -1, -0.001]


@pytest.mark.parametrize("given", [*NO_TIMES, None])
def test_a_cancel_grace_that_is_no_time_is_refused(given: Any) -> None:
    """At the call; there is no unlimited grace."""
    with pytest.raises(InvalidOptionError) as caught:
        Pipeline("p", cancel_grace=given)
    assert f"cancel_grace of pipeline 'p' is a number of seconds, 0 or more, not {given!r}." == str(caught.value)
    assert ("cancel_grace", None) == (caught.value.option, caught.value.stage)


@pytest.mark.parametrize("given", [*NO_TIMES, 0, 0.0])
def test_a_timeout_that_is_no_time_is_refused(given: Any) -> None:
    """A run cannot take no time at all."""
    with pytest.raises(InvalidOptionError) as caught:
        Pipeline("p", timeout=given)
    text = f"timeout of pipeline 'p' is a number of seconds, above 0, not {given!r}. None means no limit."
    assert text == str(caught.value)


@pytest.mark.parametrize("given", ["fail", None, True, ["continue"]])
def test_an_unknown_way_to_fail_is_refused(given: Any) -> None:
    """It says which there are."""
    with pytest.raises(InvalidOptionError) as caught:
        Pipeline("p", on_failure=given)
    assert f"on_failure of pipeline 'p' is 'fail_fast' or 'continue', not {given!r}." == str(caught.value)


def test_options_stay_with_every_builder_call() -> None:
    """The compiled plan has the options of the first pipeline."""
    first = Pipeline("p", cancel_grace=0, timeout=3, on_failure="continue")
    other = Pipeline("q", timeout=5).with_stage("a", answer)
    for grown in (first.with_stage("a", answer), first.compose(other)):
        plan = grown.build()._plan
        assert (0, 3, "continue") == (plan.cancel_grace, plan.timeout, plan.on_failure)


def test_without_options_a_run_has_no_limit_and_fails_fast() -> None:
    """And five seconds to stop."""
    plan = Pipeline().with_stage("a", answer).build()._plan
    assert (5.0, None, "fail_fast") == (plan.cancel_grace, plan.timeout, plan.on_failure)


# --- running -----------------------------------------------------------------------------------------------------


async def test_a_pipeline_builds_itself_to_run() -> None:
    """Run and start take what the graph's take, and build only once."""
    pipeline = Pipeline().with_stage("a", answer)
    snapshot = ContextSnapshot()
    results = await pipeline.run(snapshot)
    started = await pipeline.start(snapshot)
    assert snapshot.run_id.pipeline_run_id == results.pipeline_run_id == started.pipeline_run_id
    assert {"by": "a"} == results.data("a") == started.data("a")
    assert isinstance(pipeline.build(), StageGraph)


def test_a_pipeline_runs_from_code_that_is_not_async() -> None:
    """run_sync is the same in an event loop of its own."""
    assert {"by": "a"} == Pipeline().with_stage("a", answer).run_sync(input_text="hi").data("a")
