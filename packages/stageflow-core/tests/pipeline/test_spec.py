"""Specs, `stage` in all its forms, and what is refused before anything is built."""

from __future__ import annotations

import abc
import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from stageflow import From, Pipeline, StageContext, StageKind, StageOutput, StageSpec, stage
from stageflow.errors import InvalidStageError


async def answer(ctx: StageContext) -> dict[str, int]:
    """Answer."""
    return {"answer": 42}


async def other(ctx: StageContext) -> dict[str, int]:
    """Answer otherwise."""
    return {"answer": 0}


class Runner:
    """A runner with a name and a kind of its own."""

    name = "runners-own"
    kind = StageKind.GUARD

    async def execute(self, ctx: StageContext) -> dict[str, int]:
        """Answer."""
        return {"answer": 42}


# --- the forms of stage ------------------------------------------------------------------------------------------


def test_the_bare_decorator_names_the_stage_like_its_function() -> None:
    """Its kind is TRANSFORM, and nothing is declared but its parameters."""
    spec = stage(answer)
    assert StageSpec("answer", answer, StageKind.TRANSFORM) == spec
    assert spec.runner is answer


def test_the_decorator_takes_options() -> None:
    """Name, kind and dependencies."""
    spec = stage(name="x", kind=StageKind.WORK, dependencies="a", optional=["b", "c"])(answer)
    assert StageSpec("x", answer, StageKind.WORK, ("a",), ("b", "c")) == spec


def test_a_name_and_a_runner_make_a_stage() -> None:
    """The kind is given by position or by name."""
    expected = StageSpec("x", Runner, StageKind.WORK, ("a",))
    assert expected == stage("x", Runner, StageKind.WORK, dependencies="a")
    assert expected == stage("x", Runner, kind=StageKind.WORK, dependencies="a")


def test_a_method_of_an_object_is_a_function() -> None:
    """Bound, it has no parameter `self`."""
    runner = Runner()
    assert {"answer": 42} == Pipeline("p", [stage(runner.execute)]).run_sync().data("execute")
    assert {"answer": 42} == Pipeline().with_stage("m", runner.execute).run_sync().data("m")


@pytest.mark.parametrize("runner", [Runner, Runner()], ids=["class", "instance"])
def test_the_kind_is_the_runners_own_unless_given(runner: Any) -> None:
    """A kind that is given wins."""
    assert (StageKind.GUARD, StageKind.WORK) == (stage("x", runner).kind, stage("x", runner, StageKind.WORK).kind)


def test_the_given_name_wins() -> None:
    """A runner's own name is not used by with_stage."""
    assert "given" == stage("given", Runner()).name


def test_named_reuses_a_stage() -> None:
    """Everything but the name stays."""
    spec = stage(name="x", kind=StageKind.WORK, dependencies="a")(answer)
    assert StageSpec("y", answer, StageKind.WORK, ("a",)) == spec.named("y")
    assert "x" == spec.name


def test_a_spec_is_frozen() -> None:
    """Pipelines share it."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        stage(answer).name = "y"  # pyright: ignore[reportAttributeAccessIssue]


def test_a_spec_is_hashable_whatever_its_runner() -> None:
    """Handles serve as keys."""
    runner = Runner()
    type(runner).__hash__ = None
    try:
        assert {stage("x", runner): 1} == {stage("x", runner): 1}
    finally:
        del type(runner).__hash__


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: stage("x"), "stage('x') has no runner: stage('x', runner), or @stage(name='x')."),
        (lambda: stage("x", answer, name="y"), "stage() was given two names, 'x' and 'y'."),
        (lambda: stage(answer, other), "Use @stage, @stage(kind=...) or stage('name', runner, ...)."),
        (lambda: stage(answer, name="x"), "Use @stage, @stage(kind=...) or stage('name', runner, ...)."),
        (
            lambda: stage(StageKind.GUARD),
            "The kind of a stage is given by name: @stage(kind=StageKind.GUARD).",
        ),
        (lambda: stage(name=5)(answer), "The name of a stage is a string, not 5."),
        (
            lambda: stage("x", answer, "work"),
            ("The kind of stage 'x' is a StageKind (TRANSFORM, ENRICH, ROUTE, GUARD, WORK, AGENT), not 'work'."),
        ),
        (
            lambda: stage("x", answer, optional=5),
            "The optional dependencies of stage 'x' are names or handles of stages, not 5.",
        ),
        (
            lambda: stage("x", answer, dependencies=["a", 5]),
            ("The dependencies of stage 'x' are names or handles of stages, not 5."),
        ),
        (
            lambda: stage("x", answer, dependencies=[other]),
            ("The dependencies of stage 'x' are names or handles of stages, not the function other."),
        ),
        (lambda: stage(answer).named(None), "The name of a stage is a string, not None."),
        (lambda: StageSpec(5, answer, StageKind.WORK), "The name of a stage is a string, not 5."),
        (
            lambda: StageSpec("x", answer, None),
            ("The kind of stage 'x' is a StageKind (TRANSFORM, ENRICH, ROUTE, GUARD, WORK, AGENT), not None."),
        ),
        (lambda: Pipeline().with_stage(["x"], answer), "The name of a stage is a string, not ['x']."),
        (lambda: From(5), "A stage is given by its name or by its handle (what `stage` made), not as 5."),
    ],
)
def test_a_wrong_argument_is_a_type_error_in_our_words(call: Callable[[], object], text: str) -> None:
    """It names the stage and what was given, at the call that is wrong."""
    with pytest.raises(TypeError) as caught:
        call()
    assert text == str(caught.value)


def test_an_unknown_option_is_a_type_error() -> None:
    """In Python's own words, to which newer versions add the nearest option."""
    with pytest.raises(TypeError, match=r"^stage\(\) got an unexpected keyword argument 'dependecies'"):
        stage(dependecies="a")


def test_the_decorator_goes_above_a_function() -> None:
    """A class or an object has no parameters to read: the error shows the other form."""
    with pytest.raises(
        TypeError, match=r"@stage goes above an async function, not the class Runner; use stage\('name', runner\)"
    ):
        stage(Runner)


def test_an_empty_name_is_not_replaced_by_the_functions() -> None:
    """What was asked for is checked, not guessed."""
    assert "" == stage(name="")(answer).name


# --- dependencies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "give",
    [
        lambda: ("a", "b"),
        lambda: ["a", "b"],
        lambda: {"a": 1, "b": 2},
        lambda: iter(["a", "b"]),
        lambda: (name for name in "ab"),
        lambda: map(str.lower, "AB"),
        lambda: ["a", "b", "a"],
        lambda: [stage(name="a")(answer), "b"],
        lambda: (stage(name=name)(answer) for name in "ab"),
    ],
)
@pytest.mark.parametrize("option", ["dependencies", "optional"])
def test_dependencies_are_names_or_handles_in_any_iterable(give: Callable[[], Any], option: str) -> None:
    """Once each, in the order given; one that can be walked once only is walked once."""
    spec = stage("x", answer, **{option: give()})
    assert ("a", "b") == getattr(spec, option)
    assert ("a", "b") == getattr(Pipeline("p", [spec]).stages[0].named("y"), option)


@pytest.mark.parametrize("given", ["ab", stage(name="ab")(answer)], ids=["name", "handle"])
def test_a_single_dependency_needs_no_tuple(given: Any) -> None:
    """A string is one name, not its letters."""
    assert ("ab",) == stage("x", answer, dependencies=given).dependencies
    assert ("ab",) == StageSpec("x", answer, StageKind.WORK, given).dependencies


def test_a_reference_in_an_annotation_may_be_a_handle() -> None:
    """From takes what dependencies take."""
    assert From("x-y") == From(stage(name="x-y")(answer))


# --- runners -----------------------------------------------------------------------------------------------------


def plain(ctx: StageContext) -> dict[str, int]:
    """Answer at once."""
    return {"answer": 42}


class Plain:
    def execute(self, ctx: StageContext) -> dict[str, int]:
        """Answer at once."""
        return {"answer": 42}


class Calling:
    async def __call__(self, ctx: StageContext) -> dict[str, int]:
        """Answer."""
        return {"answer": 42}


class Needy:
    def __init__(self, client: object, /, *, retries: int) -> None:
        self.client = client

    async def execute(self, ctx: StageContext) -> None:
        """Do nothing."""


class Abstract(abc.ABC):
    @abc.abstractmethod
    async def execute(self, ctx: StageContext) -> None:
        """Do something."""


class Shown:
    """Has a repr that reads well in a message."""

    execute = 5

    def __repr__(self) -> str:
        return "Shown()"


@pytest.mark.parametrize(
    ("runner", "text"),
    [
        (
            plain,
            (
                "Stage 'x' is the function plain, which is not async. Write `async def`; call what blocks with "
                "`await asyncio.to_thread(...)`."
            ),
        ),
        (
            functools.lru_cache(plain),
            (
                "Stage 'x' is the function plain, which is not async. Write `async def`; call "
                "what blocks with `await asyncio.to_thread(...)`."
            ),
        ),
        (
            len,
            (
                "Stage 'x' is the function len, which is not async. Write `async def`; call what blocks with "
                "`await asyncio.to_thread(...)`."
            ),
        ),
        (
            Plain,
            (
                "Stage 'x' is the class Plain, whose `execute` is not async. Write `async def execute(self, ctx)`; "
                "call what blocks with `await asyncio.to_thread(...)`."
            ),
        ),
        (
            Shown(),
            (
                "Stage 'x' is Shown(), which has no `execute`. A stage is an object or a class with "
                "`async def execute(self, ctx)`, or an async function."
            ),
        ),
        (
            5,
            (
                "Stage 'x' is 5, which has no `execute`. A stage is an object or a class with "
                "`async def execute(self, ctx)`, or an async function."
            ),
        ),
        (
            "reply",
            (
                "Stage 'x' is 'reply', which has no `execute`. A stage is an object or a class with "
                "`async def execute(self, ctx)`, or an async function."
            ),
        ),
        (
            Needy,
            (
                "Stage 'x' is the class Needy, and each run makes one without arguments: missing a required argument: "
                "'client'. Give its parameters defaults, or give an instance: Needy(...)."
            ),
        ),
        (Abstract, "Stage 'x' is the class Abstract, which is abstract. Give a subclass that defines execute."),
        (
            stage(answer),
            (
                "Stage 'x' was given a stage that is already made. Give it to Pipeline(..., [stage]) or "
                "from_stages(stage.named('x'))."
            ),
        ),
    ],
)
def test_a_runner_that_is_no_stage_is_refused_at_once(runner: Any, text: str) -> None:
    """By every way in, with the name, what it is, and the way out."""
    for way in (
        lambda: stage("x", runner),
        lambda: Pipeline().with_stage("x", runner),
        lambda: StageSpec("x", runner, StageKind.WORK),
    ):
        with pytest.raises(InvalidStageError) as caught:
            way()
        assert (text, "x") == (str(caught.value), caught.value.stage)


def test_a_handle_of_the_same_name_is_given_as_it_is() -> None:
    """There is nothing to rename."""
    with pytest.raises(InvalidStageError, match=r"already made\. Give it to Pipeline\(\.\.\., \[answer\]\)\.$"):
        Pipeline().with_stage("answer", stage(answer))


class NoContext:
    async def execute(self) -> None:
        """Take nothing."""


class TooMany:
    async def execute(self, ctx: StageContext, profile: object) -> None:
        """Take a dependency, as functions do."""


class KeywordOnly:
    async def execute(self, *, ctx: StageContext) -> None:
        """Take the context by name."""


class StaticTooMany:
    @staticmethod
    async def execute(this: object, ctx: StageContext) -> None:
        """Be a method and no method."""


class ClassNoContext:
    @classmethod
    async def execute(cls) -> None:
        """Take nothing."""


@pytest.mark.parametrize("kind", [NoContext, TooMany, KeywordOnly, StaticTooMany, ClassNoContext])
def test_an_execute_that_cannot_take_the_context_is_refused(kind: type[Any]) -> None:
    """It would fail in each run; the same for a class and for an object."""
    for runner, called in ((kind, f"the class {kind.__name__}"), (kind(), f"a {kind.__name__}")):
        with pytest.raises(InvalidStageError) as caught:
            stage("x", runner)
        assert str(caught.value).startswith(f"Stage 'x' is {called}, whose `execute(")
        assert "does not take the context as its only argument. Write `async def execute(self, ctx)`" in str(
            caught.value
        )


class Lenient:
    async def execute(
        self, ctx: StageContext, retries: int = 1, *more: object, client: object = None
    ) -> dict[str, int]:
        """Answer."""
        return {"answer": 42}


class Starred:
    async def execute(*arguments: object) -> dict[str, int]:
        """Answer."""
        return {"answer": 40 + len(arguments)}


class OfTheClass:
    @classmethod
    async def execute(cls, ctx: StageContext) -> dict[str, int]:
        """Answer."""
        return {"answer": 42}


class Binding:
    def __get__(self, instance: object, owner: type[Any]) -> Any:
        return Lenient.execute if instance is None else functools.partial(Lenient.execute, instance)


class Bound:
    execute = Binding()


@pytest.mark.parametrize("kind", [Lenient, Starred, OfTheClass, Bound])
def test_an_execute_that_can_take_the_context_is_taken(kind: type[Any]) -> None:
    """Whatever else it may take."""
    for runner in (kind, kind()):
        assert {"answer": 42} == Pipeline().with_stage("x", runner).run_sync().data("x")


@pytest.mark.parametrize("runner", [Calling(), functools.partial(answer)], ids=["callable", "partial"])
def test_other_callables_are_refused(runner: Any) -> None:
    """Their parameters are not those of the function behind: what would be read is not clear."""
    with pytest.raises(InvalidStageError, match=r"has no `execute`.* or an async function"):
        stage("x", runner)


@pytest.mark.parametrize("make", [functools.partialmethod, staticmethod, operator.attrgetter], ids=lambda m: m.__name__)
def test_what_only_looks_like_a_function_is_refused(make: Any) -> None:
    """Whatever Python takes for a routine, the answer is a typed error."""
    with pytest.raises(InvalidStageError):
        stage("x", make("a") if make is operator.attrgetter else make(plain))


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a coroutine function in a plain one, as many decorators do."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Traced:
    execute = traced(Runner.execute)


@pytest.mark.parametrize("runner", [traced(answer), Traced, Traced()], ids=["function", "class", "instance"])
def test_a_decorated_coroutine_function_is_a_stage(runner: Any) -> None:
    """functools.wraps says what is behind it."""
    assert {"answer": 42} == Pipeline().with_stage("x", runner).run_sync().data("x")


def test_a_decorated_bound_method_is_a_stage() -> None:
    """What is behind it has its `self`, however many decorators there are."""
    assert {"answer": 42} == Pipeline().with_stage("x", traced(Traced().execute)).run_sync().data("x")


def test_a_decorated_method_in_its_class_is_no_stage() -> None:
    """Its `self` is still to be given."""
    with pytest.raises(InvalidStageError, match=r"^Stage 'execute' is the method Runner\.execute"):
        stage(Traced.execute)


class Defaulted:
    def __init__(self, answer: int = 42) -> None:
        self.answer = answer

    async def execute(self, ctx: StageContext) -> dict[str, int]:
        """Answer."""
        return {"answer": self.answer}


@dataclasses.dataclass
class Data:
    answer: int = 42

    async def execute(self, ctx: StageContext) -> dict[str, int]:
        """Answer."""
        return {"answer": self.answer}


class Static:
    @staticmethod
    async def execute(ctx: StageContext) -> dict[str, int]:
        """Answer."""
        return {"answer": 42}


class Inner:
    class execute:  # noqa: N801
        """A callable that is no function: what it gives is seen when it runs."""

        def __init__(self, ctx: StageContext) -> None:
            self.ctx = ctx

        def __await__(self) -> Any:
            return answer(self.ctx).__await__()


@pytest.mark.parametrize("runner", [Defaulted, Data, Data(), Static, Static(), Inner()])
def test_every_runner_that_can_be_made_and_awaited_is_a_stage(runner: Any) -> None:
    """Classes with defaults, dataclasses, static methods."""
    assert {"answer": 42} == Pipeline().with_stage("x", runner).run_sync().data("x")


def test_a_runner_is_not_shown_unless_it_is_refused() -> None:
    """Its repr may be long, or raise."""

    class Unshown(Runner):
        def __repr__(self) -> str:
            raise ZeroDivisionError

    assert "x" == stage("x", Unshown()).name


def test_a_class_that_does_not_tell_its_parameters_is_taken() -> None:
    """Nothing speaks against it before it runs."""

    class Made(dict):
        async def execute(self, ctx: StageContext) -> dict[str, int]:
            return {"answer": 42}

    assert {"answer": 42} == Pipeline().with_stage("x", Made).run_sync().data("x")


def test_an_annotated_reference_is_kept_as_it_is() -> None:
    """From is plain data."""
    assert "x-y" == Annotated[StageOutput, From("x-y")].__metadata__[0].stage
