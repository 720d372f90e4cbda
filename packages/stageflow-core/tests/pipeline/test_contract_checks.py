"""What a build can tell of the types that stages pass to each other, and the check of what a run is asked."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NewType, NoReturn, Protocol, TypedDict

import pydantic
import pytest
import typing_extensions
from stageflow import From, StageContext, StageOutput
from stageflow.errors import ContractMismatchError, InputContractError
from stageflow.pipeline.contract_checks import (
    check_input,
    declared_contract,
    declared_output,
    input_contract,
    parameter_fault,
)
from stageflow.pipeline.signature import UnreadableSignature, read_signature

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True)
class Profile:
    name: str = "Ada"


@dataclass(frozen=True)
class Friend(Profile):
    since: int = 0


@dataclass(frozen=True)
class Memory:
    facts: tuple[str, ...] = ()


class Keys(TypedDict):
    name: str


class Model(pydantic.BaseModel):
    name: str = ""


@dataclass
class Unresolvable:
    price: Decimal


UserId = NewType("UserId", int)
Line = typing_extensions.TypeAliasType("Line", str)
Broken = typing_extensions.TypeAliasType("Broken", "list[Nowhere]")  # type: ignore[name-defined] # noqa: F821


class HasName(Protocol):
    name: str


# --- what a stage declares ---------------------------------------------------------------------------------------


async def plain() -> Profile:
    """Return what it says."""
    return Profile()


async def bare(ctx):  # type: ignore[no-untyped-def]
    """Say nothing."""


async def union(ctx: StageContext) -> StageOutput[Profile] | None:
    """Return one of two things."""


async def quiet(ctx: StageContext) -> None:
    """Return nothing."""


async def unknown() -> Decimal:
    """Return what exists for the type checker only."""
    raise NotImplementedError


class Instance:
    async def execute(self, ctx: StageContext) -> Profile:
        return Profile()


class HiddenContext:
    """Its parameter is annotated with what exists for the type checker only, and nobody reads that."""

    async def execute(self, ctx: Decimal) -> Profile:
        return Profile()


class Static:
    @staticmethod
    async def execute(ctx: StageContext) -> Profile:
        return Profile()


class Unannotated:
    async def execute(self, ctx):  # type: ignore[no-untyped-def]
        """Say nothing."""


class Promising:
    def execute(self, ctx: StageContext) -> Awaitable[Profile]:
        raise NotImplementedError


class Called:
    def __call__(self, ctx: StageContext) -> Awaitable[Profile]:
        raise NotImplementedError


class HoldsCalled:
    execute = Called()


@functools.wraps(plain)
async def wrapper() -> Any:
    """Pass on."""


@pytest.mark.parametrize(
    ("runner", "expected"),
    [
        (plain, Profile),
        (bare, Any),
        (union, StageOutput[Profile] | None),
        (quiet, type(None)),
        (wrapper, Profile),
        (Instance(), Profile),
        (Instance, Profile),
        (Instance().execute, Profile),
        (HiddenContext, Profile),
        (Static, Profile),
        (Unannotated(), Any),
        (Promising(), Awaitable[Profile]),
        (HoldsCalled(), Any),
        (functools.partial(plain), Any),
    ],
)
def test_a_stage_declares_what_its_annotation_says(runner: Any, expected: Any) -> None:
    """Of the function, or of execute."""
    if isinstance(runner, functools.partial):
        runner = type("Holder", (), {"execute": staticmethod(runner)})()
    assert expected == declared_output(runner)


@pytest.mark.parametrize("said", [Profile, Profile | None, "Profile", "StageOutput[Profile]", None])
def test_an_annotation_need_not_be_a_string(said: Any) -> None:
    """Not every module imports annotations from __future__."""

    async def function() -> None:
        """Return something."""

    function.__annotations__["return"] = said
    expected = {"Profile": Profile, "StageOutput[Profile]": StageOutput[Profile], None: type(None)}
    assert expected.get(said, said) == declared_output(function)


def test_the_option_wins_over_the_annotation() -> None:
    """It is what the author of the pipeline says."""
    assert Memory is declared_output(plain, returns=Memory)
    assert Friend is declared_output(plain, Friend, returns=Memory)
    assert Friend is declared_output(plain, Friend)
    assert StageOutput[Memory] == declared_output(Unannotated, StageOutput[Memory])


def test_names_around_a_local_function_are_found() -> None:
    """By the names that the stage has noted, and by those that the function uses."""

    @dataclass
    class Local:
        size: int

    async def mentions() -> Local:
        raise NotImplementedError

    async def uses() -> Local:
        return Local(1)

    with pytest.raises(UnreadableSignature, match="name 'Local' is not defined"):
        declared_output(mentions)
    assert Local is declared_output(mentions, names={"Local": Local})
    assert Local is declared_output(uses)


def test_an_annotation_that_cannot_be_resolved_is_a_fault() -> None:
    """To check nothing instead would be silent."""
    with pytest.raises(UnreadableSignature, match="the annotations of unknown cannot be resolved") as caught:
        declared_output(unknown)
    assert "outside `if TYPE_CHECKING:`" in caught.value.hint


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (int, "int"),
        (5, "5"),
        ("Profile", "'Profile'"),
        (Any, "Any"),
        (dict[str, int], "dict[str, int]"),
    ],
)
def test_an_option_that_checks_nothing_is_a_fault(output: Any, shown: str) -> None:
    """Who gives it means something by it."""
    with pytest.raises(UnreadableSignature) as caught:
        declared_output(plain, output)
    assert f"its output= is {shown}, which has no fields to check." == str(caught.value)


def test_what_is_declared_is_a_contract_if_it_has_fields() -> None:
    """Any is not, nor is a mapping."""
    contract = declared_contract(StageOutput[Profile] | None)
    assert contract is not None
    assert "Profile or None" == contract.name
    assert [None, None] == [declared_contract(Any), declared_contract(dict[str, int])]


def test_fields_that_cannot_be_resolved_are_a_fault() -> None:
    """With the way out."""
    with pytest.raises(UnreadableSignature, match="the fields of Unresolvable cannot be resolved") as caught:
        declared_contract(Unresolvable)
    assert "outside `if TYPE_CHECKING:`" in caught.value.hint
    with pytest.raises(UnreadableSignature):
        input_contract(Unresolvable)
    with pytest.raises(UnreadableSignature):
        declared_output(plain, Broken)


# --- what a parameter gets ---------------------------------------------------------------------------------------


def fault(annotation: Any, given: Any, name: str = "source") -> ContractMismatchError | None:
    """Return the fault of a function with a parameter of this annotation."""
    made: dict[str, Any] = {}
    exec(f"async def reader({name}): ...", made)
    made["reader"].__annotations__[name] = annotation
    (read,) = read_signature(made["reader"])
    return parameter_fault("reply", read, given)


@pytest.mark.parametrize(
    ("annotation", "given"),
    [
        (Profile, Profile),
        (Profile, Friend),
        (Friend, Profile),
        (Profile | None, Profile),
        (Profile, Profile | None),
        (Profile, StageOutput[Profile]),
        (Profile, StageOutput),
        (Profile, Any),
        (Any, Profile),
        (HasName, Profile),
        (Profile | Memory, Memory | Model),
        (Annotated[Profile, From("x-y")], Profile),
        (dict[str, Any], Profile),
        (Mapping[str, str], Memory),
        (dict[str, Any] | None, Profile),
        (StageOutput, Profile),
        (StageOutput[Profile], Friend),
        (StageOutput[Profile] | None, Profile),
        (StageOutput[Mapping[str, Any]], Profile),
        (StageOutput[Any], Profile),
        (StageContext, Profile),
        (None, Profile),
        (None, dict[str, int]),
        (Keys, Keys),
        (Keys, None),
        (dict[str, Any], None),
        (Profile | None, None),
        (Profile, str),
        (Profile, list[Memory]),
        (Profile, Memory | str),
        (Broken, Profile),
        (Profile, Broken),
    ],
)
def test_a_parameter_that_may_be_right_is_none_of_our_business(annotation: Any, given: Any) -> None:
    """A false alarm would keep a pipeline that works from being built; a stage that returns a str fails by itself."""
    assert None is fault(annotation, given)


@pytest.mark.parametrize(
    ("annotation", "given", "expected", "found"),
    [
        (Profile, Memory, "Profile", "Memory"),
        (Profile | None, Memory, "Profile or None", "Memory"),
        (Profile, StageOutput[Memory] | None, "Profile", "Memory or None"),
        (Profile, dict[str, Any], "Profile", "dict[str, Any]"),
        (Profile, Mapping[str, Any] | None, "Profile", "Mapping[str, Any] or None"),
        (Profile, None, "Profile", "None"),
        (Profile, Keys, "Profile", "Keys"),
        (Keys, Profile, "Keys", "Profile"),
        (Profile | dict[str, Any], Memory, "Profile or dict[str, Any]", "Memory"),
        (str, Profile, "str", "Profile"),
        (StageOutput[Profile], Memory, "StageOutput[Profile]", "Memory"),
        (StageOutput[Profile] | None, Memory, "StageOutput[Profile] or None", "Memory"),
        (Annotated[Profile, "note"], Model, "Profile", "Model"),
    ],
)
def test_a_parameter_that_can_never_be_right_is_a_fault(annotation: Any, given: Any, expected: str, found: str) -> None:
    """It says what is read and what is declared."""
    error = fault(annotation, given)
    assert error is not None
    assert ("reply", "source", "source", expected, found) == (
        error.stage,
        error.parameter,
        error.dependency,
        error.expected,
        error.found,
    )


def local() -> type[Any]:
    """Return a class of a name that another one has."""

    @dataclass(frozen=True)
    class Profile:
        name: str = "Grace"

    return Profile


def remade() -> type[Any]:
    """Return a class of the name and the module of another one, as a notebook makes whose cell is run again."""
    made = local()
    made.__qualname__ = "Profile"
    return made


LOCAL: Any = local()
WHOLE = f"{__name__}.Profile"


@pytest.mark.parametrize(
    ("annotation", "given", "text"),
    [
        (
            Profile,
            None,
            (
                "and 'source' returns None. "
                "Let 'source' return Profile, and say so; one that only raises returns NoReturn."
            ),
        ),
        (
            Profile,
            dict[str, Any],
            (
                "and 'source' returns dict[str, Any]. "
                "Annotate 'source' with Mapping[str, Any]; or let 'source' return Profile."
            ),
        ),
        (
            Profile | None,
            StageOutput[LOCAL],
            f"as {WHOLE} or None, and 'source' returns {__name__}.local.<locals>.Profile. Annotate",
        ),
        (
            Annotated[Profile, From("source")],
            remade(),
            f"as {WHOLE}, and 'source' returns {WHOLE}, another class of that name. Annotate",
        ),
    ],
)
def test_the_way_out_depends_on_what_is_declared(annotation: Any, given: Any, text: str) -> None:
    """To annotate the parameter with None, or with the same name once more, would be no help."""
    assert text in str(fault(annotation, given))


def test_a_stage_that_only_raises_may_be_read_as_anything() -> None:
    """It says so by its annotation."""
    assert None is fault(Profile, NoReturn)


def test_the_stage_that_is_read_is_named() -> None:
    """Which need not be the parameter's name."""
    error = fault(Annotated[Profile, From("x-y")], Memory)
    assert (
        "Stage 'reply' takes 'source' as Profile, and 'x-y' returns Memory. Annotate 'source' with Memory, "
        "or with Mapping[str, Any] to read its data; or mend what is declared there." == str(error)
    )


@pytest.mark.parametrize(
    ("annotation", "given", "text"),
    [
        (Profile, Profile, None),
        (Profile | None, Friend, None),
        (float, int, None),
        (Any, Profile, None),
        (Profile, Any, None),
        (dict[str, Any], Keys, None),
        (
            Memory,
            Profile,
            "the pipeline's input is Profile. Annotate 'input' with Profile; or mend",
        ),
        (str, int | None, "takes 'input' as str, and the pipeline's input is int or None."),
        (dict[str, Any], Profile, "takes 'input' as dict[str, Any], and the pipeline's input is Profile."),
    ],
)
def test_the_input_is_read_as_it_is(annotation: Any, given: Any, text: str | None) -> None:
    """Also by who asks for a mapping: it has no data beside its value."""
    error = fault(annotation, given, name="input")
    assert (error is None) if text is None else (text in str(error))
    assert error is None or error.dependency is None


# --- what a run is asked -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [Profile, Keys, Model, str, list[int], int | None, UserId, Line])
def test_any_type_may_be_what_a_pipeline_takes(declared: Any) -> None:
    """Not only one with fields."""
    assert None is not input_contract(declared)


@pytest.mark.parametrize("declared", [Any, object])
def test_a_pipeline_that_takes_anything_checks_nothing(declared: Any) -> None:
    """As one that does not say."""
    assert None is input_contract(declared)


@pytest.mark.parametrize("declared", [5, "Profile", Profile(), None, plain])
def test_what_is_no_type_is_refused(declared: Any) -> None:
    """At once."""
    with pytest.raises(TypeError, match=r"Pipeline\(input=\.\.\.\) takes a type, not"):
        input_contract(declared)


def asked(declared: Any, value: Any) -> None:
    """Ask a pipeline."""
    contract = input_contract(declared)
    assert contract is not None
    check_input("chat", contract, value)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (Profile, Profile()),
        (Profile | None, None),
        (str, "a"),
        (list[int], [1]),
        (Keys, {"name": "a"}),
        (Model, Model()),
    ],
)
def test_an_input_of_the_type_passes(declared: Any, value: Any) -> None:
    """Whatever type it is."""
    asked(declared, value)


@pytest.mark.parametrize(
    ("declared", "value", "text"),
    [
        (
            Profile,
            None,
            (
                "The input of pipeline 'chat' is None; expected Profile. "
                "Give the run an input of that type, or mend Pipeline(input=...)."
            ),
        ),
        (str, 5, "The input of pipeline 'chat' is an int (5); expected str."),
        (
            Profile,
            Profile(5),  # type: ignore[arg-type]
            (
                "The input of pipeline 'chat' is a Profile whose $.name is an int (5); expected str. "
                "Give that field what its annotation says, or mend Pipeline(input=...)."
            ),
        ),
        (list[int], [1, "a"], "The input of pipeline 'chat' is a list whose $[1] is a str ('a'); expected int."),
        (Keys, {"nam": "a", "name": "a"}, "expected no such key. Did you mean 'name'? Its keys: name."),
    ],
)
def test_an_input_of_another_type_is_refused(declared: Any, value: Any, text: str) -> None:
    """With the place and the way out."""
    with pytest.raises(InputContractError) as caught:
        asked(declared, value)
    assert text in str(caught.value)


def test_the_parts_of_an_input_error() -> None:
    """Nobody has to parse the message."""
    with pytest.raises(InputContractError) as caught:
        asked(Profile, Profile(5))  # type: ignore[arg-type]
    error = caught.value
    assert ("chat", "Profile", "$.name", "str", "an int (5)") == (
        error.pipeline,
        error.contract,
        error.path,
        error.expected,
        error.found,
    )
