"""The options of a stage: what each may be, whichever way it is given."""

from __future__ import annotations

import enum
import functools
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from stageflow import DuplicateStageError, Pipeline, RetryPolicy, StageContext, StageKind, StageSpec, stage
from stageflow.core.stream import StreamOptions
from stageflow.errors import InvalidOptionError
from stageflow.pipeline.options import StageOptions


async def answer(ctx: StageContext) -> None:
    """Answer."""


def by_stage(**options: Any) -> object:
    """Give the options to `stage`."""
    return stage("s", answer, **options)


def by_decorator(**options: Any) -> object:
    """Give them to the decorator."""
    return stage(name="s", **options)(answer)


def by_builder(**options: Any) -> object:
    """Give them to `with_stage`."""
    return Pipeline().with_stage("s", answer, **options)


def by_spec(**options: Any) -> object:
    """Give them to the class itself."""
    return StageSpec("s", answer, StageKind.WORK, **options)


WAYS = [by_stage, by_decorator, by_builder, by_spec]


def refused(way: Callable[..., object], **options: Any) -> InvalidOptionError:
    """Return the error that the options raise."""
    with pytest.raises(InvalidOptionError) as caught:
        way(**options)
    assert (caught.value.stage, [caught.value.option]) == ("s", list(options)[:1])
    return caught.value


POLICY = RetryPolicy()


def when(inputs: Any, snapshot: Any) -> bool:
    """Say yes."""
    return True


class Way(enum.StrEnum):
    LEFT = "left"


@dataclass(frozen=True)
class Shape:
    sides: int


GOOD: dict[str, tuple[Any, ...]] = {
    "dependencies": ("a", ["a", "b"], {"a"}, stage("a", answer), (stage("a", answer), "b"), ()),
    "optional": ("a", ["a", "b"], ()),
    "when": (when, lambda inputs, snapshot: True, lambda *given: True, operator.eq, None),
    "join": ("all", "any"),
    "route": ({"way": "left"}, {stage("way", answer): "left"}, {}, None),
    "routes": ("left", ["left", "right"], Way, ()),
    "terminal_routes": ("left", ("left",), ()),
    "retry": (POLICY, None),
    "timeout": (1, 0.5, 1e-9, 1e308, None),
    "deadline": (1, 0.5, None),
    "critical": (True, False),
    "output": (Shape, dict[str, int], None),
    "version": ("2", "", None),
    "streams": ("a", ["a", "b"], stage("a", answer), ()),
    "stream": (StreamOptions(), StreamOptions(capacity=1, on_full="error"), None),
    "map_over": (("a", "items"), (stage("a", answer), "items"), "a", stage("a", answer), None),
    "map_concurrency": (10,),
    "limit": ("groq", None),
    "priority": (0,),
    "ports": ("llm", ("llm", "memory"), ["llm"], {"llm", "stt"}, dict.fromkeys(["llm"]).keys(), ()),
}


def test_every_option_is_tried_here() -> None:
    """A new one is not forgotten."""
    assert set(StageOptions.__annotations__) == set(GOOD)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("option", "value"), [(option, value) for option, values in GOOD.items() for value in values])
def test_what_is_right_is_taken(way: Callable[..., object], option: str, value: Any) -> None:
    """By each way in which a stage is made."""
    assert way(**{option: value}) is not None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("option", ["timeout", "deadline"])
@pytest.mark.parametrize("value", [0, 0.0, -1, -0.5, math.nan, math.inf, -math.inf, True, False, "5", [5], 10**400])
def test_a_time_is_above_zero(way: Callable[..., object], option: str, value: Any) -> None:
    """And a number."""
    error = refused(way, **{option: value})
    assert error.message.startswith(f"{option} of stage 's' is a number of seconds, above 0, not ")
    assert error.hint == "None means no limit."


@pytest.mark.parametrize("option", ["dependencies", "optional", "join", "routes", "terminal_routes", "critical"])
def test_none_is_no_value_where_it_means_nothing(option: str) -> None:
    """Whoever computes an option is told."""
    for way in WAYS:
        assert f"{option} of stage 's' cannot be None: leave it out." == str(refused(way, **{option: None}))


@pytest.mark.parametrize("value", [3, "RetryPolicy", RetryPolicy, {"max_attempts": 3}, True, ValueError])
def test_a_policy_is_a_policy(value: Any) -> None:
    """Neither a number of attempts nor the class."""
    error = refused(by_stage, retry=value)
    assert error.message.startswith("retry of stage 's' is a RetryPolicy, not ")
    assert error.hint == "Write retry=RetryPolicy(max_attempts=3, retry_on=(...,))."


async def later(inputs: Any, snapshot: Any) -> bool:
    """Say yes, but not at once."""
    return True


class Later:
    async def __call__(self, inputs: Any, snapshot: Any) -> bool:
        """Say yes, but not at once."""
        return True


@pytest.mark.parametrize("value", [later, Later(), functools.partial(later)])
def test_a_condition_is_not_async(value: Any) -> None:
    """It is asked at once."""
    error = refused(by_stage, when=value)
    assert error.message == "when of stage 's' is asked at once, so it cannot be async."
    assert error.hint is not None


@pytest.mark.parametrize(
    "value", [lambda: True, lambda inputs: True, lambda a, b, c: True, lambda inputs, *, snapshot: True]
)
def test_a_condition_takes_two_arguments(value: Any) -> None:
    """Seen when it is given, not in mid-run."""
    error = refused(by_stage, when=value)
    assert error.message.startswith("when of stage 's' takes two arguments (")
    assert error.hint == "Write when=lambda inputs, snapshot: ..."
    assert isinstance(error.__cause__, TypeError)


def test_a_condition_that_does_not_tell_its_arguments_is_taken() -> None:
    """Some that are written in C do not."""
    spec = stage("s", answer, when=dict.fromkeys)  # any callable without a signature would do
    assert spec.when is not None
    assert stage("s", answer, when=max).when is max


@pytest.mark.parametrize("value", [True, "yes", 5, ["a"]])
def test_a_condition_is_a_function(value: Any) -> None:
    """A value would be the same for every run."""
    assert refused(by_stage, when=value).message.startswith("when of stage 's' is a function, not ")


@pytest.mark.parametrize("value", ["or", "ANY", True, 1, ["any"]])
def test_a_join_is_all_or_any(value: Any) -> None:
    """In these letters."""
    assert refused(by_stage, join=value).message.startswith("join of stage 's' is 'all' or 'any', not ")


@pytest.mark.parametrize("value", ["left", ["way"], ("way", "left"), 5])
def test_a_route_names_its_router(value: Any) -> None:
    """There may be several routers."""
    error = refused(by_stage, route=value)
    assert error.message.startswith("route of stage 's' names the router, too, not ")
    assert error.hint == "Write route={'router': 'billing'}."


@pytest.mark.parametrize("value", [{5: "left"}, {"way": 5}, {"way": None}, {"way": ["left", "right"]}, {answer: "x"}])
def test_a_route_is_a_name_for_each_router(value: Any) -> None:
    """One name; two routes are two stages, or a join."""
    error = refused(by_stage, route=value)
    assert error.message.startswith("route of stage 's' is the name or handle of a router and the name of a route, not")


@pytest.mark.parametrize("option", ["routes", "terminal_routes"])
@pytest.mark.parametrize("value", [5, {"left": 1}, ["left", 5], [""], "", ["left", None]])
def test_routes_are_names(option: str, value: Any) -> None:
    """One or several, none of them empty."""
    assert refused(by_stage, **{option: value}).message.startswith(f"{option} of stage 's' are names of routes, not ")


@pytest.mark.parametrize("value", [0, 1, "no", []])
def test_critical_is_true_or_false(value: Any) -> None:
    """Nothing that is merely so."""
    assert refused(by_stage, critical=value).message.startswith("critical of stage 's' is True or False, not ")


@pytest.mark.parametrize("value", [2, 2.0, ("2",), True])
def test_a_version_is_a_text(value: Any) -> None:
    """Numbers would sort, and compare as numbers do."""
    assert refused(by_stage, version=value).message.startswith("version of stage 's' is a text, not ")


@pytest.mark.parametrize("way", [by_stage, by_decorator, by_builder])
@pytest.mark.parametrize(
    ("option", "near"),
    [
        ("timeuot", "timeout"),
        ("retries", "retry"),
        ("depends", "dependencies"),
        ("qqq", ""),
        ("terminal_route", "terminal"),
    ],
)
def test_an_unknown_option_is_a_type_error(way: Callable[..., object], option: str, near: str) -> None:
    """With the nearest one, and all that there are."""
    with pytest.raises(TypeError) as caught:
        way(**{option: 1})
    text = str(caught.value)
    assert f"got an unexpected keyword argument '{option}'." in text
    assert (f"Did you mean '{near}" in text) is bool(near)
    assert text.endswith(f"Options: {', '.join(StageOptions.__annotations__)}.")


# --- in their form -----------------------------------------------------------------------------------------------


def test_several_names_keep_their_order_once_each() -> None:
    """Names and handles alike."""
    a = stage("a", answer)
    spec = stage("s", answer, dependencies=["b", a, "b", "a"], optional=("d", "c"), routes=["y", "x", "y"])
    assert (("b", "a"), ("d", "c"), ("y", "x")) == (spec.dependencies, spec.optional, spec.routes)


def test_routes_are_known_by_the_names_of_their_routers() -> None:
    """A handle is its name, and what was given may change afterwards."""
    given: dict[Any, str] = {stage("way", answer): "left"}
    spec = stage("s", answer, route=given)
    given["other"] = "right"
    assert {"way": "left"} == spec.route
    with pytest.raises(TypeError):
        spec.route["other"] = "right"  # pyright: ignore[reportOptionalSubscript, reportIndexIssue]


OTHERS: dict[str, Any] = {
    "dependencies": "a",
    "optional": "a",
    "when": when,
    "join": "any",
    "route": {"way": "left"},
    "routes": "left",
    "terminal_routes": "left",
    "retry": RetryPolicy(max_attempts=9),
    "timeout": 1,
    "deadline": 1,
    "critical": False,
    "output": Shape,
    "version": "2",
    "streams": "a",
    "stream": StreamOptions(capacity=3),
    "map_over": ("a", "items"),
    "map_concurrency": 3,
    "limit": "groq",
    "priority": 5,
    "ports": "llm",
}

GO_WITH: dict[str, dict[str, Any]] = {"map_concurrency": {"map_over": ("a", "items")}, "priority": {"limit": "groq"}}


@pytest.mark.parametrize(("option", "needed"), [("map_concurrency", "map_over"), ("priority", "limit")])
def test_an_option_that_would_do_nothing_is_refused(option: str, needed: str) -> None:
    """It means nothing without the other one."""
    for way in WAYS:
        assert f"{option} of stage 's' goes with {needed}=, which is missing." == str(refused(way, **{option: 5}))


@pytest.mark.parametrize("option", GOOD)
def test_stages_that_differ_in_an_option_are_different(option: str) -> None:
    """To compose them says in which."""
    beside = GO_WITH.get(option, {})
    one = stage("s", answer, **beside)
    other, again = (stage("s", answer, **beside, **{option: OTHERS[option]}) for _ in range(2))
    assert (one != other, other == again) == (True, True)
    assert (option,) == one.differing(other)
    with pytest.raises(DuplicateStageError, match=f"already has a stage 's' with another {option}"):
        Pipeline("p", [one]).compose(Pipeline("q", [other]))
    assert 1 == len(Pipeline("p", [other]).compose(Pipeline("q", [again])))


@pytest.mark.parametrize("option", GOOD)
def test_a_stage_keeps_its_options_under_another_name(option: str) -> None:
    """`named` changes nothing else."""
    spec = stage("s", answer, **GO_WITH.get(option, {}), **{option: OTHERS[option]})
    assert getattr(spec, option) == getattr(spec.named("t"), option)
    assert () == spec.differing(spec.named("t"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        (
            "stream",
            16,
            "stream of stage 's' is a StreamOptions, not 16. Write stream=StreamOptions(capacity=16, on_full=",
        ),
        ("stream", "llm", "To read the chunks of that stage: streams='llm'."),
        ("map_over", ["a", "items"], "map_over of stage 's' is a stage and a key of its data, not ['a', 'items']."),
        ("map_over", ("a",), "is a stage and a key of its data, not ('a',)."),
        ("map_over", ("a", ""), "is a stage and a key of its data, not ('a', '')."),
        ("map_over", ("a", 5), "is a stage and a key of its data, not ('a', 5)."),
        ("map_over", (5, "items"), "is a stage and a key of its data, not (5, 'items')."),
        ("map_over", 5, "Write map_over=('chunks', 'items') for data['items'] of stage 'chunks', or map_over='chunks'"),
        ("map_concurrency", 0, "map_concurrency of stage 's' is a whole number, 1 or more, not 0."),
        ("map_concurrency", -1, "is a whole number, 1 or more, not -1."),
        ("map_concurrency", True, "is a whole number, 1 or more, not True."),
        ("map_concurrency", 2.0, "is a whole number, 1 or more, not 2.0."),
        (
            "limit",
            "",
            "limit of stage 's' is the name of a limit, not ''. Write limit='groq', and give the run limits=",
        ),
        ("limit", 8, "is the name of a limit, not 8."),
        ("priority", 1.5, "priority of stage 's' is a whole number, not 1.5."),
        ("priority", True, "is a whole number, not True."),
        ("priority", "high", "is a whole number, not 'high'."),
        (
            "ports",
            5,
            "ports of stage 's' are names of ports, not 5. Write ports='llm', or ports=('llm', 'memory'): the",
        ),
        ("ports", "", "are names of ports, not ''."),
        ("ports", "ports.llm", "are names of ports, not 'ports.llm'."),
        ("ports", ["llm", "a b"], "are names of ports, not ['llm', 'a b']."),
        ("ports", ["llm", None], "are names of ports, not ['llm', None]."),
        ("ports", "_private", "are names of ports, not '_private'."),
        ("ports", {"llm": object}, "are names of ports, not {'llm': <class 'object'>}."),
        ("ports", Way, "are names of ports, not the class Way."),
    ],
)
def test_what_joins_stages_is_what_it_should_be(way: Callable[..., object], option: str, value: Any, told: str) -> None:
    """The message shows how to write it."""
    assert told in str(refused(way, **{option: value}, **GO_WITH.get(option, {})))


class NeedsModel:
    ports = "llm"

    async def execute(self, ctx: StageContext) -> None:
        """Answer."""


@pytest.mark.parametrize("runner", [NeedsModel, NeedsModel()])
def test_a_runner_names_ports_as_well(runner: Any) -> None:
    """What it names comes on top of what the option does, each name once."""
    assert ("llm",) == stage("s", runner).ports
    assert ("memory", "llm") == stage("s", runner, ports=("memory",)).ports
    assert ("llm", "memory") == Pipeline().with_stage("s", runner, ports=["llm", "memory", "llm"]).stages[0].ports
    assert () == stage("s", runner).differing(stage("s", runner, ports="llm"))


class Clients:
    async def execute(self, ctx: StageContext) -> None:
        """Answer."""


@pytest.mark.parametrize(
    ("ports", "told"),
    [(object(), "an object"), ({"llm": 1}, "{'llm': 1}"), (None, "None"), (["a b"], "['a b']"), (7, "7")],
)
def test_a_runner_has_no_other_ports(ports: Any, told: str) -> None:
    """An attribute that happens to be called so is not taken for names, and not passed over."""
    runner = Clients()
    runner.ports = ports
    with pytest.raises(InvalidOptionError) as caught:
        stage("s", runner)
    assert (
        "ports of stage 's' are those that its runner names, too, and the attribute `ports` of that is "
        f"{told}. There it names the ports that the runner needs: ports = ('llm',). Call anything else otherwise."
    ) == str(caught.value)
    assert ("s", "ports") == (caught.value.stage, caught.value.option)


def test_a_set_of_ports_is_the_same_in_every_process() -> None:
    """The first that is missing is told of."""
    assert ("llm", "memory", "stt", "tts") == stage("s", answer, ports={"tts", "memory", "stt", "llm"}).ports


@pytest.mark.parametrize("value", [0, -1, True, 2.5, "8"])
def test_a_pipeline_runs_one_stage_at_least(value: Any) -> None:
    """Whatever else would be no bound, or an end."""
    with pytest.raises(InvalidOptionError) as caught:
        Pipeline("p", [stage("s", answer)], max_concurrency=value)
    told = f"max_concurrency of pipeline 'p' is a whole number, 1 or more, not {value!r}."
    assert ("max_concurrency", told) == (caught.value.option, caught.value.message)
