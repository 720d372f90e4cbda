"""Objects with fields: what pydantic has to say of its own, and subclasses."""

from __future__ import annotations

import dataclasses
import enum
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import pydantic
import pydantic.dataclasses
import pytest
from stageflow.contracts import ContractMismatch
from stageflow.validation.annotations import Compiler

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"


class Inner(pydantic.BaseModel):
    size: int = 0


class SubInner(Inner):
    more: int = 0


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(use_enum_values=True)
    inner: Inner = Inner()
    color: Color = Color.RED
    name: str = None  # type: ignore[assignment] # common, and nothing validates a default
    url: pydantic.HttpUrl | None = None
    day: pydantic.PastDatetime | None = None
    size: pydantic.PositiveInt = 1
    shout: Annotated[str, pydantic.PlainSerializer(lambda text: text.upper())] = ""

    @pydantic.field_validator("size", mode="before")
    @classmethod
    def strip(cls, value: str) -> str:
        """Take a text, and nothing that has been read already: to validate a value again would fail."""
        return value.strip()


@dataclasses.dataclass
class Plain:
    size: int = 0


class Holding(pydantic.BaseModel):
    size: int = 0
    plain: list[Plain] = []


class Failing(pydantic.BaseModel):
    size: int = 0

    @pydantic.model_serializer
    def write(self) -> dict[str, Any]:
        raise RuntimeError("cannot be written")


class Unfinished(pydantic.BaseModel):
    size: int = 0
    later: Nowhere | None = None  # type: ignore[name-defined] # noqa: F821


class Computing(pydantic.BaseModel):
    color: Color = "red"  # type: ignore[assignment]
    model_config = pydantic.ConfigDict(use_enum_values=True)

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def costly(self) -> int:
        """Ask a service."""
        raise RuntimeError("must not be asked")


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]


@pydantic.dataclasses.dataclass
class Dataclass:
    size: int = 0


class Duck:
    """Has the shape of a pydantic class, and nothing else of it."""

    model_fields: ClassVar[dict[str, Any]] = {"size": None}
    size = 5

    def model_validate(self) -> None:
        """Stand there."""


def refusal(annotation: Any, value: Any) -> str:
    """Return what is said of a value that is wrong."""
    with pytest.raises(ContractMismatch) as caught:
        Compiler().shape(annotation).check(value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Model, Model(color="red")),
        (Model, Model(url="http://a.b", day="2020-01-01T00:00:00", size=" 5 ", shout="a")),
        (Model, Model(inner=SubInner(more=1))),
        (Inner, SubInner()),
        (Page[int], Page[int](items=[1])),
        (Page[int], Page(items=[1])),
        (Page[Inner], Page(items=[SubInner()])),
        (Page, Page[int](items=[1])),
        (Dataclass, Dataclass()),
        (Failing, Failing()),
        (Computing, Computing(color="red")),
        (Duck, Duck()),
    ],
)
def test_what_pydantic_has_validated_is_right(annotation: Any, value: Any) -> None:
    """It may hold something else than the annotation says, and validators are not run again."""
    Compiler().shape(annotation).check(value)


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (Model, Inner(), "$ is an Inner; expected Model."),
        (Model, Model.model_construct(size="a"), "$.size is a str ('a'); expected int."),
        (Model, Model.model_construct(inner=5), "$.inner is an int (5); expected Inner."),
        (Model, Model(inner=SubInner.model_construct(more="a")), "$.inner.more is a str ('a'); expected int."),
        (Page[int], Page(items=["a"]), "$.items[0] is a str ('a'); expected int."),
        (Page[int], Page[int].model_construct(items=["a"]), "$.items[0] is a str ('a'); expected int."),
        (Failing, Failing.model_construct(size="a"), "$.size is a str ('a'); expected int."),
        (Holding, Holding.model_construct(size=None), "$.size is None; expected int."),
        (Holding, Holding(plain=[Plain("a")]), "$.plain[0].size is a str ('a'); expected int."),
        (Holding, Holding(plain=[Plain(None)]), "$.plain[0].size is None; expected int."),
    ],
)
def test_what_was_put_into_a_model_behind_its_back_is_wrong(annotation: Any, value: Any, text: str) -> None:
    """By model_construct, or by an assignment; and it takes instances of dataclasses as they are."""
    assert text == refusal(annotation, value)


def test_a_model_resolves_its_own_annotations() -> None:
    """In its own way: one that it cannot resolve has no values, and its own error tells it."""
    value = Unfinished.model_construct(size="a")
    Compiler().shape(Unfinished).check(value)
    assert "$ is an int (5); expected Unfinished." == refusal(Unfinished, 5)


def test_an_assignment_that_breaks_a_model_is_found() -> None:
    """Pydantic does not look at it, unless asked to."""
    value = Model()
    value.size = "many"  # type: ignore[assignment]
    assert "$.size is a str ('many'); expected int." == refusal(Model, value)


def test_another_class_of_the_same_name_is_told_apart() -> None:
    """By its module, since the name alone would say that it is right."""
    other = type("Inner", (), {"__module__": "elsewhere"})
    assert "$ is an elsewhere.Inner, another class of that name; expected Inner." == refusal(Inner, other())
