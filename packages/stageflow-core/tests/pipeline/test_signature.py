"""What the parameters of a function stage ask for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypedDict, Union

import pytest
from stageflow import (
    ContextSnapshot,
    From,
    Pipeline,
    PipelineContext,
    StageContext,
    StageKind,
    StageOutput,
    StageSpec,
    stage,
)
from stageflow.errors import InvalidStageError, UnknownDependencyError
from stageflow.execution.plan import Reads
from stageflow.pipeline.signature import ParameterRead, UnreadableSignature, read_function, read_signature

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True)
class Profile:
    name: str = "Ada"


class Typed(TypedDict):
    name: str


@stage(name="x-y")
async def hyphenated() -> Profile:
    """Answer."""
    return Profile("Grace")


# The annotations of this module are strings, since it imports annotations from __future__.
async def whole(ctx: StageContext, profile: Profile, memory: Profile | None = None) -> None:
    """Read the context, a required and an optional dependency."""


async def nothing() -> None:
    """Read nothing."""


async def contexts(
    a: StageContext, b: StageContext | None, c: Annotated[StageContext, "x"], d: StageContext | None = None
) -> None:
    """Read the context in every way."""


async def modes(
    bare,
    value: Profile,
    anything: Any,
    typed: Typed,
    output: StageOutput,
    output_of: StageOutput[Profile],
    data: dict,
    data_of: dict[str, Any],
    mapping: Mapping,
    mapping_of: Mapping[str, Any],
    several: dict | Profile,
    old: Union[dict, Profile],  # noqa: UP007
) -> None:
    """Read in every mode."""


async def optionals(
    a: StageOutput | None = None,
    b: StageOutput[Profile] | None = None,
    c: dict[str, Any] | None = None,
    d: Profile = Profile("nobody"),
    e: "int | str" = 5,  # noqa: UP037
    f: Optional[StageOutput] = None,  # noqa: UP045
) -> None:
    """Read in every mode what may be absent."""


async def sources(
    a: Annotated[Profile, From("x-y")],
    b: Annotated[StageOutput | None, From("x-y")] = None,
    c: Annotated[dict, From("x-y")] | None = None,
    d: Optional[Annotated[Profile, "note", From(hyphenated)]] = None,  # noqa: UP045
    e: Annotated[Profile, "note"] = Profile(),
    input: Annotated[Profile, From("input")] = Profile(),
) -> None:
    """Read stages under other names."""


async def places(first: Profile, /, second: Profile, *, third: Profile, fourth: Profile | None = None) -> None:
    """Read by position and by name."""


async def the_input(input: Profile, *, ctx: StageContext) -> None:
    """Read the run's input."""


def asked_by(function: Callable[..., Any]) -> tuple[ParameterRead, ...]:
    """Return what the parameters ask for, but for the annotations themselves."""
    return tuple(read._replace(annotation=inspect.Parameter.empty) for read in read_signature(function))


VALUE, DATA, OUTPUT, CONTEXT, INPUT = Reads.VALUE, Reads.DATA, Reads.OUTPUT, Reads.CONTEXT, Reads.INPUT


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (nothing, ()),
        (
            whole,
            (
                ParameterRead("ctx", CONTEXT),
                ParameterRead("profile", VALUE, "profile"),
                ParameterRead("memory", VALUE, "memory", optional=True),
            ),
        ),
        (contexts, tuple(ParameterRead(name, CONTEXT) for name in "abcd")),
        (
            modes,
            (
                *(ParameterRead(name, VALUE, name) for name in ("bare", "value", "anything", "typed")),
                *(ParameterRead(name, OUTPUT, name) for name in ("output", "output_of")),
                *(ParameterRead(name, DATA, name) for name in ("data", "data_of", "mapping", "mapping_of")),
                *(ParameterRead(name, VALUE, name) for name in ("several", "old")),
            ),
        ),
        (
            optionals,
            (
                ParameterRead("a", OUTPUT, "a", optional=True),
                ParameterRead("b", OUTPUT, "b", optional=True),
                ParameterRead("c", DATA, "c", optional=True),
                ParameterRead("d", VALUE, "d", optional=True, default=Profile("nobody")),
                ParameterRead("e", VALUE, "e", optional=True, default=5),
                ParameterRead("f", OUTPUT, "f", optional=True),
            ),
        ),
        (
            sources,
            (
                ParameterRead("a", VALUE, "x-y"),
                ParameterRead("b", OUTPUT, "x-y", optional=True),
                ParameterRead("c", DATA, "x-y", optional=True),
                ParameterRead("d", VALUE, "x-y", optional=True),
                ParameterRead("e", VALUE, "e", optional=True, default=Profile()),
                ParameterRead("input", VALUE, "input", optional=True, default=Profile()),
            ),
        ),
        (
            places,
            (
                ParameterRead("first", VALUE, "first"),
                ParameterRead("second", VALUE, "second"),
                ParameterRead("third", VALUE, "third", keyword_only=True),
                ParameterRead("fourth", VALUE, "fourth", optional=True, keyword_only=True),
            ),
        ),
        (the_input, (ParameterRead("input", INPUT), ParameterRead("ctx", CONTEXT, keyword_only=True))),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_parameter_asks_for_something(function: Callable[..., Any], expected: tuple[ParameterRead, ...]) -> None:
    """By its annotation the mode, by its name or From the stage, by its default whether it may be absent."""
    assert expected == asked_by(function)


def test_a_parameter_keeps_its_annotation() -> None:
    """As it is written, for the check of what it reads."""
    expected = (Annotated[Profile, From("x-y")], Annotated[StageOutput | None, From("x-y")])
    assert expected == tuple(read.annotation for read in read_signature(sources))[:2]
    assert StageContext is read_signature(whole)[0].annotation
    assert Profile is read_signature(the_input)[0].annotation
    assert inspect.Parameter.empty is read_signature(modes)[0].annotation


def test_a_method_has_no_self() -> None:
    """A bound method asks for what the call needs."""

    class Service:
        async def reply(self, profile: Profile) -> None:
            """Reply."""

    assert (ParameterRead("profile", VALUE, "profile"),) == asked_by(Service().reply)


def test_a_decorated_function_asks_for_what_is_behind() -> None:
    """functools.wraps keeps the parameters."""

    @functools.wraps(whole)
    async def wrapper(*args: Any, **kwargs: Any) -> None:
        """Pass on."""

    assert read_signature(whole) == read_signature(wrapper)


def test_a_local_class_that_the_function_uses_is_found() -> None:
    """Its name stands in the annotation as a string, and in the function's closure as a class."""

    @dataclass
    class Local:
        size: int

    async def reads(local: Local) -> Local:
        return Local(local.size)

    assert (ParameterRead("local", VALUE, "local"),) == asked_by(reads)


def test_a_name_that_is_bound_later_is_no_obstacle() -> None:
    """A closure may hold an empty cell when the stage is built."""

    async def reads(profile: Profile) -> Profile:
        return later(profile)

    expected = (ParameterRead("profile", VALUE, "profile"),)
    assert expected == asked_by(reads)

    def later(profile: Profile) -> Profile:
        return profile


async def unresolvable(price: Decimal) -> None:
    """Read a type that exists for the type checker only."""


async def unresolvable_return() -> Decimal:
    """Return a type that exists for the type checker only."""


async def starred(*profiles: Profile) -> None:
    """Read any number."""


async def double_starred(**profiles: Profile) -> None:
    """Read any names."""


async def bare_ctx(ctx) -> None:
    """Read something called ctx."""


async def bare_context(context) -> None:
    """Read something called context."""


async def whole_run(ctx: PipelineContext) -> None:
    """Ask for what the run was given."""


async def asked(context: ContextSnapshot) -> None:
    """Ask for what the run was asked."""


DEFINE = "Define or import the types at the top of the module, outside `if TYPE_CHECKING:`."
SEPARATE = "Write one parameter for each dependency."


@pytest.mark.parametrize(
    ("function", "text", "hint"),
    [
        (
            unresolvable,
            "the annotations of unresolvable cannot be resolved (NameError: name 'Decimal' is not defined).",
            DEFINE,
        ),
        (
            unresolvable_return,
            "the annotations of unresolvable_return cannot be resolved (NameError: name 'Decimal' is not defined).",
            DEFINE,
        ),
        (starred, "its parameter '*profiles: 'Profile'' names no stage.", SEPARATE),
        (double_starred, "its parameter '**profiles: 'Profile'' names no stage.", SEPARATE),
        (bare_ctx, "its parameter 'ctx' has no annotation.", "Write `ctx: StageContext`."),
        (bare_context, "its parameter 'context' has no annotation.", "Write `context: StageContext`."),
        (whole_run, "its parameter 'ctx' is annotated PipelineContext.", "Write `ctx: StageContext`."),
        (asked, "its parameter 'context' is annotated ContextSnapshot.", "Write `context: StageContext`."),
    ],
)
def test_parameters_that_cannot_be_read_are_a_fault_of_the_build(
    function: Callable[..., Any], text: str, hint: str
) -> None:
    """Beside the other faults, with the way out."""
    with pytest.raises(UnreadableSignature) as caught:
        read_signature(function)
    assert text == str(caught.value)
    with pytest.raises(InvalidStageError) as fault:
        Pipeline().with_stage("x", function).build()
    assert (f"Stage 'x' cannot be read: {text}", hint, "x") == (
        fault.value.message,
        fault.value.hint,
        fault.value.stage,
    )


# --- what the function receives ----------------------------------------------------------------------------------


def spec(name: str, result: Any) -> StageSpec[Any]:
    """Return a stage that returns this."""

    async def source(ctx: StageContext) -> Any:
        return result

    return stage(name, source)


def received(function: Callable[..., Any], *sources: StageSpec[Any], **fields: Any) -> Any:
    """Run a function stage beside its sources, and return its data."""
    return Pipeline("p", [*sources, stage(name="reader")(function)]).run_sync(**fields).data("reader")


async def read_modes(
    ctx: StageContext,
    value: Profile,
    output: Annotated[StageOutput[Profile], From("value")],
    data: Annotated[dict[str, Any], From("value")],
    *,
    renamed: Annotated[Mapping[str, Any], From("x-y")],
) -> dict[str, Any]:
    """Tell what came."""
    return {
        "stage": ctx.stage_name,
        "value": value,
        "output": output.value,
        "status": output.status.value,
        "data": data,
        "renamed": renamed,
    }


def test_a_function_receives_what_its_parameters_ask_for() -> None:
    """Context, value, whole output, data, by position and by name."""
    expected = {
        "stage": "reader",
        "value": Profile("Ada"),
        "output": Profile("Ada"),
        "status": "ok",
        "data": {"name": "Ada"},
        "renamed": {"name": "Grace"},
    }
    assert expected == received(read_modes, spec("value", Profile()), hyphenated)


async def read_mapping(source: dict[str, Any], whole: Annotated[StageOutput, From("source")]) -> dict[str, Any]:
    """Tell what came."""
    return {"source": source, "whole": whole.data}


def test_a_function_receives_a_mapping_as_data_and_as_output() -> None:
    """The output of a stage that returned a mapping."""
    assert {"source": {"k": 1}, "whole": {"k": 1}} == received(read_mapping, spec("source", {"k": 1}))


async def read_places(first: dict, /, second: dict, *, third: dict, fourth: Any = "absent") -> dict[str, Any]:  # type: ignore[type-arg]
    """Tell what came."""
    return {"all": [first["k"], second["k"], third["k"], fourth]}


def test_positional_only_and_keyword_only_parameters_are_filled() -> None:
    """An optional one that was skipped has its default."""
    stages = [spec("first", {"k": 1}), spec("second", {"k": 2}), spec("third", {"k": 3})]
    data = received(read_places, *stages, spec("fourth", StageOutput.skip("no need")))
    assert {"all": [1, 2, 3, "absent"]} == data


async def read_optional(
    a: Profile | None = None,
    b: StageOutput | None = None,
    c: dict[str, Any] = {},  # noqa: B006
) -> dict[str, Any]:
    """Tell what came."""
    return {"a": a, "b": b and b.data, "c": c}


def test_optional_parameters_have_their_defaults_when_absent() -> None:
    """In every mode."""
    skipped = StageOutput.skip("no need")
    data = received(read_optional, spec("a", skipped), spec("b", skipped), spec("c", skipped))
    assert {"a": None, "b": None, "c": {}} == data


def test_optional_parameters_are_filled_when_present() -> None:
    """As required ones are."""
    data = received(read_optional, spec("a", Profile()), spec("b", {"k": 1}), spec("c", {"k": 2}))
    assert {"a": Profile(), "b": {"k": 1}, "c": {"k": 2}} == data


async def read_input(input: Any) -> dict[str, Any]:
    """Tell what came."""
    return {"input": input}


def test_a_parameter_called_input_is_the_runs_input() -> None:
    """Even where a stage has that name: From reads the stage."""
    named_input = spec("input", {"k": "of the stage"})

    async def read_stage(source: Annotated[dict[str, Any], From("input")]) -> dict[str, Any]:
        return source

    assert {"input": "of the run"} == received(read_input, named_input, input="of the run")
    assert {"k": "of the stage"} == received(read_stage, named_input, input="of the run")


def test_a_parameter_that_names_no_stage_does_not_build() -> None:
    """Optional or not: a misspelt optional one would be absent for ever."""
    pipeline = Pipeline.from_stages(spec("profile", {}), spec("memery", {}), stage(name="x")(whole))
    with pytest.raises(UnknownDependencyError) as caught:
        pipeline.build()
    assert "memory" == caught.value.dependency
    assert (
        "Stage 'x' depends on 'memory', which is not in pipeline 'pipeline'. Did you mean 'memery'? It is the "
        "parameter 'memory' of whole: a parameter names a stage, is annotated StageContext, or is called `input`. "
        "Stages: profile, memery, x." == str(caught.value)
    )


@pytest.mark.parametrize("first", ["self", "cls"])
def test_a_method_in_its_class_is_no_stage(first: str) -> None:
    """Its first parameter is no dependency; the error shows the form that takes an object."""
    defined: dict[str, Any] = {"StageContext": StageContext}
    exec(f"async def reply({first}, ctx: StageContext): ...", defined)
    with pytest.raises(InvalidStageError) as caught:
        stage(defined["reply"])
    assert str(caught.value) == (
        "Stage 'reply' is the method reply, and a method does not stand alone. "
        "Use a class with `async def execute(self, ctx)`: stage('reply', TheClass)."
    )


def test_a_stage_may_be_named_self() -> None:
    """An annotation says that the parameter is no method's."""

    async def reads(self: Profile) -> None:
        """Read it."""

    assert ("self",) == tuple(read.stage for read in read_signature(stage(reads).runner))


def test_parameters_and_declared_dependencies_add_up() -> None:
    """A dependency that only orders stands in the options."""
    order: list[str] = []

    @stage
    async def first() -> None:
        order.append("first")

    @stage
    async def second() -> None:
        order.append("second")

    @stage(kind=StageKind.WORK, dependencies=[second])
    async def last(first: Any) -> None:
        order.append("last")

    Pipeline("p", [last, first, second]).run_sync()
    assert "last" == order[-1]


async def test_a_local_class_that_only_the_annotations_mention_is_found() -> None:
    """A stage and the types it passes on may be defined in one function, as in a test."""

    @dataclass(frozen=True)
    class Question:
        text: str

    @stage
    async def question() -> Question:
        return Question("why?")

    @stage(kind=StageKind.AGENT)
    async def answer(question: Question, more: Question | None = None) -> dict[str, str]:
        return {"text": question.text}

    asked = stage(name="more")(question.runner)
    results = await Pipeline("local", [question, asked, answer]).run()
    assert {"text": "why?"} == results.data("answer")


async def test_the_local_classes_that_a_local_class_mentions_are_found() -> None:
    """Its fields are checked, and it does not know its neighbours either."""

    @dataclass(frozen=True)
    class Word:
        text: str

    @dataclass(frozen=True)
    class Text:
        words: tuple[Word, ...]

    @dataclass(frozen=True)
    class Answer(Text):
        to: Text | None = None

    @stage
    async def answer() -> Answer:
        return Answer((Word("because"),))

    results = await Pipeline("local", [answer]).run()
    assert "because" == results.value(answer).words[0].text


async def test_the_names_around_a_stage_do_not_make_it_another_stage() -> None:
    """Two specs of one function are equal wherever they were made."""

    async def plain(profile: Profile) -> None:
        return None

    assert stage(plain) == StageSpec("plain", plain, StageKind.TRANSFORM)


@pytest.mark.parametrize(("given", "expected"), [({}, 3), ({"input": None}, 3), ({"input": 5}, 5)])
async def test_the_input_has_its_default_where_the_run_has_none(given: Any, expected: int) -> None:
    """As any parameter has."""

    @stage
    async def counts(input: int = 3) -> dict[str, int]:
        return {"count": input}

    results = await Pipeline("counts", [counts]).run(**given)
    assert expected == results.data(counts)["count"]


async def unsaid(profile: Profile):
    """Return who knows what."""


@pytest.mark.parametrize(("function", "returns"), [(nothing, type(None)), (read_input, dict[str, Any]), (unsaid, Any)])
def test_what_a_function_returns_is_read_with_its_parameters(function: Callable[..., Any], returns: Any) -> None:
    """At once, since to resolve annotations is what costs."""
    assert (read_signature(function), returns) == read_function(function)
