"""The contract of what a stage returns."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, NewType, Protocol, TypedDict, TypeVar

import msgspec
import pydantic
import pytest
import typing_extensions
from stageflow import StageOutput
from stageflow.contracts import ContractMismatch
from stageflow.core.output_json import output_from_dict, output_to_dict
from stageflow.core.returning import returned
from stageflow.errors import StageContractError
from stageflow.execution.returning import check_output, output_contract, returned_types, revive_output
from stageflow.validation.hints import UnresolvedContract

T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    text: str
    score: float = 0.0


@dataclass
class Draft:
    lines: list[str] = field(default_factory=list)
    price: Decimal | None = None


class Model(pydantic.BaseModel):
    text: str = ""


class Struct(msgspec.Struct):
    text: str = ""


class Keys(TypedDict):
    text: str


class Nested(TypedDict):
    reply: Reply


class Base:
    """No contract by itself."""


@dataclass(frozen=True)
class Derived(Base):
    size: int = 0


class HasText(Protocol):
    text: str


Alias = typing_extensions.TypeAliasType("Alias", "Reply | None")
NewReply = NewType("NewReply", Reply)


@pytest.mark.parametrize(
    ("annotation", "types"),
    [
        (Reply, (Reply,)),
        (None, (None,)),
        (StageOutput, (Any,)),
        (StageOutput[Reply], (Reply,)),
        (StageOutput[Reply | None] | Model | None, (Reply, type(None), Model, type(None))),
        (Annotated[StageOutput[Reply], "note"], (Reply,)),
        (Awaitable[Reply], (Reply,)),
        (Coroutine[Any, Any, Reply], (Reply,)),
        (NewReply, (Reply,)),
        (Alias, (Reply, type(None))),
        (dict[str, int], (dict[str, int],)),
    ],
)
def test_the_types_of_a_return_annotation(annotation: Any, types: tuple[Any, ...]) -> None:
    """Without what stands around them."""
    assert types == returned_types(annotation)


@pytest.mark.parametrize(
    "annotation",
    [
        None,
        Any,
        object,
        str,
        dict,
        dict[str, int],
        Mapping[str, Any],
        list[Reply],
        type[Reply],
        Base,
        HasText,
        T,
        StageOutput,
        StageOutput[Any],
        StageOutput[Mapping[str, Any]],
        Reply | Any,
        Reply | HasText,
        Reply | T,
        Callable[[], Reply],
    ],
)
def test_an_annotation_without_a_contract_checks_nothing(annotation: Any) -> None:
    """Nor one that takes anything beside a contract."""
    assert None is output_contract(annotation)


def test_contracts_are_made_once() -> None:
    """Ten thousand stages may return the same type."""
    assert output_contract(Reply | None) is output_contract(Reply | None)
    assert "Reply or None" == output_contract(Reply | None).name  # type: ignore[union-attr]
    assert "Reply" == output_contract(Annotated[Reply, ["unhashable"]]).name  # type: ignore[union-attr]


def test_a_local_type_is_told_its_neighbours() -> None:
    """Those that the stage knows."""

    @dataclass
    class Leaf:
        size: int

    @dataclass
    class Tree:
        leaf: Leaf

    with pytest.raises(UnresolvedContract):
        output_contract(Tree)
    contract = output_contract(Tree, {"Leaf": Leaf})
    assert contract is not None
    contract.check(Tree(Leaf(1)))


def checked(annotation: Any, value: Any) -> None:
    """Check what a stage returns."""
    contract = output_contract(annotation)
    assert contract is not None
    check_output("reply", contract, returned("reply", value))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Reply, Reply("a")),
        (Reply, StageOutput.ok(Reply("a"), version="2")),
        (StageOutput[Reply], StageOutput.ok(Reply("a"))),
        (Reply, StageOutput.skip("no need")),
        (Reply, StageOutput.cancel("enough")),
        (Reply, StageOutput.fail("boom", data={"text": 5})),
        (Reply | None, None),
        (Reply | None, {}),
        (Reply | None, StageOutput.ok()),
        (Reply | dict[str, int], {"a": "what is in it is not looked at"}),
        (Reply | Model, Model()),
        (Reply | str, Reply("a")),
        (Reply | Base, Derived()),
        (Model, Model()),
        (Struct, Struct()),
        (Keys, {"text": "a"}),
        (Keys | None, None),
        (Nested, {"reply": Reply("a")}),
        (Draft, Draft(["a"])),
    ],
)
def test_a_stage_may_return_what_it_declares(annotation: Any, value: Any) -> None:
    """And end in another way than OK."""
    checked(annotation, value)


INSIDE = "Return what the annotation of that field says, or mend the annotation."
OTHERWISE = "or annotate the stage with what it returns."


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (
            Reply,
            Reply("a", "high"),  # type: ignore[arg-type]
            f"Stage 'reply' returned a Reply whose $.score is a str ('high'); expected float. {INSIDE}",
        ),
        (
            Reply,
            {"text": "a"},
            f"Stage 'reply' returned a mapping; expected Reply. Return Reply(...), {OTHERWISE}",
        ),
        (
            StageOutput[Reply],
            StageOutput.ok(Model()),
            f"Stage 'reply' returned a Model; expected Reply. Return Reply(...), {OTHERWISE}",
        ),
        (
            Reply,
            None,
            f"Stage 'reply' returned None, or an empty mapping; expected Reply. Return Reply(...), {OTHERWISE}",
        ),
        (
            Reply | Keys | None,
            Model(),
            (
                "Stage 'reply' returned a Model; expected Reply or Keys or None. "
                f"Return Reply(...) or a mapping with the keys of Keys, {OTHERWISE}"
            ),
        ),
        (
            Keys,
            {},
            f"Stage 'reply' returned a mapping whose $.text is missing; expected str. {INSIDE}",
        ),
        (
            Keys,
            {"text": "a", "txt": "b"},
            (
                "Stage 'reply' returned a mapping whose $.txt is a str ('b'); expected no such key. "
                "Did you mean 'text'? Its keys: text."
            ),
        ),
        (
            Nested,
            {"reply": Reply(5)},  # type: ignore[arg-type]
            f"Stage 'reply' returned a mapping whose $.reply.text is an int (5); expected str. {INSIDE}",
        ),
        (
            Model,
            Model.model_construct(text=5),
            f"Stage 'reply' returned a Model whose $.text is an int (5); expected str. {INSIDE}",
        ),
        (
            Struct,
            Struct(5),  # type: ignore[arg-type]
            f"Stage 'reply' returned a Struct whose $.text is an int (5); expected str. {INSIDE}",
        ),
        (
            Draft,
            Draft(("a",)),  # type: ignore[arg-type]
            f"Stage 'reply' returned a Draft whose $.lines is a tuple; expected list[str]. {INSIDE}",
        ),
    ],
)
def test_a_stage_that_returns_something_else_fails(annotation: Any, value: Any, text: str) -> None:
    """The error says where, what was expected and what came, and what to do."""
    with pytest.raises(StageContractError) as caught:
        checked(annotation, value)
    assert text == str(caught.value)


def test_the_parts_of_a_contract_error() -> None:
    """Nobody has to parse the message."""
    with pytest.raises(StageContractError) as caught:
        checked(Reply | None, Reply("a", "high"))  # type: ignore[arg-type]
    error = caught.value
    assert ("reply", "Reply or None", "$.score", "float", "a str ('high')") == (
        error.stage,
        error.contract,
        error.path,
        error.expected,
        error.found,
    )


# --- from JSON ---------------------------------------------------------------------------------------------------


def read(value: Any) -> StageOutput[Any]:
    """Return what a stage returned, after it was JSON."""
    output = returned("reply", value)
    whole = output if isinstance(output, StageOutput) else StageOutput.ok(output)
    return output_from_dict(json.loads(json.dumps(output_to_dict(whole))))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Reply, Reply("a", 1.5)),
        (StageOutput[Reply] | None, StageOutput.ok(Reply("a"), version="2")),
        (Reply | None, None),
        (Reply | dict[str, Any], {"a": 1}),
        (Model, Model(text="a")),
        (Struct, Struct("a")),
        (Keys, {"text": "a"}),
        (Nested, {"reply": Reply("a")}),
        (Draft, Draft(["a"], Decimal("1.50"))),
        (Any, {"a": [1]}),
        (Reply, StageOutput.skip("no need")),
        (Any, StageOutput.fail("boom")),
    ],
)
def test_an_output_comes_back_with_its_value(annotation: Any, value: Any) -> None:
    """As the stage returned it."""
    output = returned("reply", value)
    back = revive_output(read(value), output_contract(annotation))
    assert (output if isinstance(output, StageOutput) else StageOutput.ok(output)) == back


@pytest.mark.parametrize(
    ("annotation", "value"), [(Reply, Reply("a")), (Nested, {"reply": Reply("a")}), (Any, {"reply": Reply("a")})]
)
def test_an_output_that_was_never_json_is_left_alone(annotation: Any, value: Any) -> None:
    """A run may be resumed in the process that it was suspended in."""
    output = StageOutput.ok(value)
    assert output is revive_output(output, output_contract(annotation))


def test_a_value_that_comes_back_is_as_mutable_as_it_was() -> None:
    """What JSON was read into is frozen, and the lists of a dataclass are not."""
    back = revive_output(read(Draft(["a"])), output_contract(Draft)).value
    back.lines.append("b")
    assert Draft(["a", "b"]) == back


def test_a_failure_keeps_what_it_was_given() -> None:
    """It has no contract to fulfil."""
    output = read(StageOutput.fail("boom", data={"reply": Reply("a")}))
    assert {"reply": {"text": "a", "score": 0.0}} == revive_output(output, output_contract(Reply)).data


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (Any, Reply("a"), f"$ is a {__name__}.Reply; expected plain JSON, since the stage declares no type."),
        (
            dict[str, Reply],
            {"reply": Reply("a")},
            "$ is a mapping with contract values in it; expected plain JSON, since the stage declares no type.",
        ),
        (Model, Reply("a"), f"$ is a {__name__}.Reply; expected a type that the contract mentions."),
        (Reply, {"text": "a"}, "$ is a mapping; expected Reply."),
        (Reply, None, "$ is a mapping; expected Reply."),
        (Keys, {"text": 5}, "$.text is an int (5); expected str."),
    ],
)
def test_an_output_that_cannot_come_back_is_refused(annotation: Any, value: Any, text: str) -> None:
    """Its readers would get a mapping where there was a value, or another one."""
    with pytest.raises(ContractMismatch) as caught:
        revive_output(read(value), output_contract(annotation))
    assert text == str(caught.value)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (Reply("a"), "Annotate the stage with the type that it returns, or give that as output=."),
        ({"a": Reply("a")}, "Say what it holds: return a TypedDict or a dataclass, or give that as output=."),
    ],
)
def test_the_way_out_for_a_stage_that_declares_nothing(value: Any, hint: str) -> None:
    """To declare it."""
    with pytest.raises(ContractMismatch) as caught:
        revive_output(read(value), None)
    assert hint == caught.value.hint
